#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles the public header alone, the way its users' compilers may be set up.

Every language standard that a host may have, pedantic warnings as errors, short enums, no
exceptions; the layout table of every struct on this machine and, where the compiler can, on ABIs
with 32-bit pointers.
"""

import argparse
import shlex
import subprocess
import sys
from itertools import product
from pathlib import Path

HERE = Path(__file__).resolve().parent
WARNINGS = ["-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wpadded", "-Wshadow", "-Werror"]
C_STANDARDS = ["c99", "c11", "c17"]
CXX_STANDARDS = ["c++11", "c++14", "c++17", "c++20", "c++23"]
ENUMS = [[], ["-fshort-enums"]]
SOURCES = ["#include <octet/octet.h>\n", '#include "layout.h"\n']


def compiles(compiler, language, flags, source):
    command = [*compiler, "-x", language, "-fsyntax-only", *flags, "-"]
    done = subprocess.run(command, input=source, text=True, capture_output=True)
    return done.returncode == 0, shlex.join(command) + "\n" + done.stderr


def host_cases(cc, cxx):
    for standard, enums in product(C_STANDARDS, ENUMS):
        yield cc, "c", [f"-std={standard}", *enums]
    exceptions = [[], ["-fno-exceptions", "-fno-rtti"]]
    for standard, enums, without in product(CXX_STANDARDS, ENUMS, exceptions):
        yield cxx, "c++", [f"-std={standard}", *enums, *without]


def pointer32_cases(cc):
    """The 32-bit targets that this compiler has; the header is all that they need."""
    for target in [
        "-m32",
        "--target=i686-linux-gnu",
        "--target=armv7a-none-eabi",
        "--target=wasm32",
    ]:
        flags = [target, "-ffreestanding"]
        probe = "typedef char wide[sizeof(void*) == 4 ? 1 : -1];\n"
        if compiles(cc, "c", flags, probe)[0]:
            yield from ((cc, "c", [*flags, "-std=c99", *enums]) for enums in ENUMS)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--include", required=True)
    parser.add_argument("--cc", required=True, type=shlex.split)
    parser.add_argument("--cxx", required=True, type=shlex.split)
    args = parser.parse_args()
    includes = ["-I", args.include, "-I", str(HERE)]
    done = 0
    for compiler, language, flags in [*host_cases(args.cc, args.cxx), *pointer32_cases(args.cc)]:
        for source in SOURCES:
            good, report = compiles(compiler, language, WARNINGS + flags + includes, source)
            if not good:
                sys.exit(report)
            done += 1
    print(f"{done} compilations of the header, none with a warning")


if __name__ == "__main__":
    main()

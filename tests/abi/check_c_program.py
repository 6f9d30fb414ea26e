#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds c_program.c with nothing but a C compiler, which links it too, against the static or the
shared library, and runs it."""

import argparse
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parent / "c_program.c"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", type=Path)
    parser.add_argument("--cc", required=True, type=shlex.split)
    parser.add_argument("--include", required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "c_program")
        warnings = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
        link = [str(args.library), "-lm", f"-Wl,-rpath,{args.library.parent}"]
        command = [*args.cc, *warnings, "-I", args.include, str(SOURCE), "-o", program, *link]
        subprocess.run(command, check=True)
        wrapper = shlex.split(os.environ.get("MESON_EXE_WRAPPER", ""))
        subprocess.run([*wrapper, program], check=True)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the release shared library as the loader of a host does: what it exports, what it needs,
what it keeps writable, and its stripped size. Any surprise fails the test."""

import argparse
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

NEEDED = re.compile(r"lib[cm]\.(so\.6|musl-\w+\.so\.1)|ld-linux[-\w]*\.so\.\d")
# Everything that the library takes from libc and libm, and from the memory of its loader.
IMPORTS = {
    *("memcpy", "memmove", "memset", "memcmp", "strcmp", "strncmp", "strlen", "strcpy", "strncpy"),
    *("posix_memalign", "free", "mmap", "mmap64", "munmap", "madvise"),  # the default allocator
    *("getenv", "stderr", "fputs", "fputc", "fwrite"),  # OCTET_READ_ENV, at create only
    *("rint", "rintf", "floor", "floorf", "ceil", "ceilf", "frexp", "ldexp", "getauxval"),
    *("__stack_chk_fail", "__memcpy_chk", "__memset_chk", "__strcpy_chk", "__strncpy_chk"),
}
FOREIGN = re.compile(r"_Zn[wa]|_Zd[la]|__cxa_|_Unwind_|__gxx_|__tls_get_addr|.*3hwy|.*hwy::")
# Written by the loader before any code of the library runs, and then read-only (RELRO).
# lld fills that segment up to a page.
RELOCATED = {
    ".data.rel.ro",
    ".dynamic",
    ".got",
    ".got.plt",
    ".init_array",
    ".fini_array",
    ".relro_padding",
}
LIMITS = {"x86-64": 1.5, "aarch64": 1.0}  # MiB, stripped


class Library:
    def __init__(self, path, readelf, strip):
        self.path = path
        self.readelf = readelf
        self.strip = strip

    def read(self, *options):
        command = [*self.readelf, "-W", *options, self.path]
        return subprocess.run(command, check=True, text=True, capture_output=True).stdout

    def machine(self):
        return "aarch64" if "AArch64" in self.read("--file-header") else "x86-64"

    def dynamic_symbols(self):
        """(name, binding, defined) of each entry of .dynsym, versions cut off."""
        for line in self.read("--dyn-syms").splitlines():
            words = line.split()
            if len(words) >= 8 and words[0].rstrip(":").isdigit() and words[3] != "SECTION":
                yield words[7].split("@")[0], words[4], words[6] != "UND"

    def needed(self):
        return re.findall(r"\(NEEDED\).*\[(.*)\]", self.read("--dynamic"))

    def segments(self):
        return re.findall(r"^ +([A-Z_]+) +0x", self.read("--program-headers"), re.M)

    def sections(self):
        """name -> (bytes, flags)"""
        line = re.compile(r"\] (\.\S+) +\S+ +\w+ \w+ (\w+) \w+ +([A-Za-z]*) ")
        found = line.findall(self.read("--section-headers"))
        return {name: (int(size, 16), flags) for name, size, flags in found}

    def stripped_bytes(self):
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "stripped"
            subprocess.run([*self.strip, "-o", target, self.path], check=True)
            return target.stat().st_size


def check(library, expected_symbols):
    """Sentences, one for each surprise."""
    exported = {name for name, _, defined in library.dynamic_symbols() if defined}
    yield from (f"exports {name}, which symbols.txt lacks" for name in exported - expected_symbols)
    yield from (f"does not export {name}" for name in expected_symbols - exported)

    for name, binding, defined in library.dynamic_symbols():
        if defined or not name:
            continue
        if FOREIGN.match(name):
            yield f"needs {name} of a C++ runtime or of another library"
        elif name not in IMPORTS:
            yield f"needs {name} ({binding}), which is not among the known imports"
    yield from (f"needs {name}" for name in library.needed() if not NEEDED.fullmatch(name))

    if "TLS" in library.segments():
        yield "has a thread-local segment"
    sections = library.sections()
    yield from (
        f"has {size} bytes of start-up code in {name}"
        for name, (size, _) in sections.items()
        if size
        and name in (".init", ".fini", ".init_array", ".fini_array", ".ctors", ".preinit_array")
    )
    yield from (
        f"has {size} writable bytes in {name}"
        for name, (size, flags) in sections.items()
        if size and "W" in flags and name not in RELOCATED
    )

    size, limit = library.stripped_bytes() / 2**20, LIMITS[library.machine()]
    print(f"{library.machine()}: {size:.3f} MiB stripped, of {limit} MiB")
    if size > limit:
        yield f"is {size:.3f} MiB stripped; the limit is {limit} MiB"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library")
    parser.add_argument("--symbols", required=True, type=Path)
    parser.add_argument("--readelf", required=True, type=shlex.split)
    parser.add_argument("--strip", required=True, type=shlex.split)
    parser.add_argument("--skip", default="", help="why this build is no release build")
    args = parser.parse_args()
    if args.skip:
        print(f"skipped: {args.skip}")
        sys.exit(77)
    library = Library(args.library, args.readelf, args.strip)
    surprises = sorted(check(library, set(args.symbols.read_text().split())))
    if surprises:
        sys.exit("\n".join(f"{args.library} {sentence}" for sentence in surprises))


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""Embeds Octet the two ways that hosts do: as a Meson subproject through octet_dep, and installed
through pkg-config. Each builds the README's kind of C program with a plain C compiler and runs it.

usage: embed.py MESON SOURCE_ROOT BUILD_ROOT
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

PROGRAM = r"""
#include <octet/octet.h>
#include <stdio.h>
int main(void) {
  octet_context *context = NULL;
  octet_error error = {0};
  if (octet_context_create(NULL, &context, &error)) return puts(error.text), 1;
  octet_context_destroy(context);
  return octet_version() != OCTET_VERSION;
}
"""
HOST = """
project('host', 'c')
octet_dep = dependency('octet', fallback: ['octet', 'octet_dep'])
executable('host', 'host.c', dependencies: octet_dep)
"""


def run(*command, **options):
    print("+", *command, flush=True)
    subprocess.run([str(c) for c in command], check=True, **options)


def as_subproject(meson: str, source: pathlib.Path, work: pathlib.Path) -> None:
    (work / "subprojects").mkdir(parents=True)
    (work / "subprojects" / "octet").symlink_to(source, target_is_directory=True)
    (work / "meson.build").write_text(HOST)
    (work / "host.c").write_text(PROGRAM)
    run(
        meson,
        "setup",
        work / "build",
        work,
        "--force-fallback-for=octet",
        "-Doctet:default_library=static",
    )
    run(meson, "compile", "-C", work / "build")
    run(work / "build" / "host")


def installed(meson: str, build: pathlib.Path, work: pathlib.Path) -> None:
    prefix = work / "prefix"
    run(meson, "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", prefix)
    found = sorted(prefix.rglob("octet.pc"))
    assert len(found) == 1, found
    assert list(prefix.rglob("octet.h")) and list(prefix.rglob("octet.hpp"))
    environment = {
        **os.environ,
        "PKG_CONFIG_PATH": str(found[0].parent),
        "PKG_CONFIG_SYSROOT_DIR": str(prefix),
    }
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "octet"],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    (work / "installed.c").write_text(PROGRAM)
    run("gcc", "-std=c99", work / "installed.c", "-o", work / "installed", *flags)
    library = sorted(prefix.rglob("liboctet.so*"))[0].parent
    run(work / "installed", env={**os.environ, "LD_LIBRARY_PATH": str(library)})


def main() -> None:
    meson, source, build = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    work = pathlib.Path(tempfile.mkdtemp(prefix="octet-embed-"))
    try:
        as_subproject(meson, source, work / "host")
        installed(meson, build, work)
    finally:
        shutil.rmtree(work)


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The generator: the same bytes each time, and a sentence for what it does not know."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

GENERATE = sys.argv.pop(1)


def generate(*arguments: str, seed: str = "0") -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, GENERATE, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": seed},
    )


def files(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class Generator(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def test_same_bytes_each_time(self):
        for seed in "1", "2":
            done = generate("export", str(self.folder / seed), seed=seed)
            self.assertEqual(done.returncode, 0, done.stderr)
        first = files(self.folder / "1")
        self.assertEqual(first, files(self.folder / "2"))
        self.assertIn("x86_64/gemm_avx2.cpp", first)
        self.assertIn("aarch64/registry.cpp", first)

    def test_export_is_what_a_build_generates(self):
        generate("export", str(self.folder / "all"))
        generate("gemm", "avx512vnni", "-o", str(self.folder / "one.cpp"))
        exported = self.folder / "all/x86_64/gemm_avx512vnni.cpp"
        self.assertEqual(exported.read_bytes(), (self.folder / "one.cpp").read_bytes())

    def test_registry_has_the_rows_of_its_instruction_sets_only(self):
        names = generate("names").stdout.split()
        output = self.folder / "registry.cpp"
        generate("registry", "--isa", "avx2", "-o", str(output))
        text = output.read_text()
        for name in names:
            isa = name.removesuffix("_proved").removesuffix("_columns").rsplit("_", 1)[1]
            there = isa in ("scalar", "avx2")
            self.assertEqual(f'"{name}"' in text, there, name)

    def test_unknown_instruction_set_is_refused(self):
        output = str(self.folder / "none.cpp")
        for arguments in (
            ("flags", "avx3"),
            ("gemm", "avx3", "-o", output),
            ("registry", "--isa", "avx2,avx3", "-o", output),
        ):
            done = generate(*arguments)
            self.assertEqual(done.returncode, 2)
            self.assertIn("'avx3'", done.stderr)
            self.assertTrue(done.stderr.endswith(".\n"))
            self.assertNotIn("Traceback", done.stderr)
        self.assertFalse(pathlib.Path(output).exists())

    def test_tiles_of_an_instruction_set_without_vocabulary_are_refused(self):
        done = generate("gemm", "scalar", "-o", str(self.folder / "none.cpp"))
        self.assertEqual(done.returncode, 2)
        self.assertIn("'scalar'", done.stderr)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/modelled: that it finds the inner loop of every row, and not another: modelled_test.py TOOL

A loop that was found must make as many products as its row says. Skipped where a compiler or
llvm-mca is missing.
"""

import importlib.machinery
import importlib.util
import re
import shutil
import sys
import unittest

TOOL = sys.argv.pop(1)
loader = importlib.machinery.SourceFileLoader("modelled", TOOL)
modelled = importlib.util.module_from_spec(importlib.util.spec_from_loader("modelled", loader))
sys.modules["modelled"] = modelled
loader.exec_module(modelled)

DOTS = {  # instruction: products that it makes
    r"smull2?\b": 8,
    r"sdot\b": 16,
    r"smmla\b": 32,
    r"vpmaddwd\b.*%ymm": 16,
    r"vpmaddwd\b.*%zmm": 32,
    r"({vex} )?vpdpbusd\b.*%ymm": 32,
    r"vpdpbusd\b.*%zmm": 64,
}

LOOP = """
octet_gemm_s8s8_q8_2x16c4_neondot:
	b .L3
.L2:
	sdot v0.4s, v1.16b, v2.16b
	# octet loop 4
	b .L4
.L5:
	ret
.L4:
	cmp x0, 0
.L3:
	bne .L2
	# octet loop 8
	b .L5
	.size octet_gemm_s8s8_q8_2x16c4_neondot, .
"""


def products(body: list[str]) -> int:
    return sum(made for line in body for dot, made in DOTS.items() if re.match(dot, line))


class Loops(unittest.TestCase):
    def of(self, name: str) -> list:
        arch = modelled.ARCHITECTURES[name]
        if not shutil.which(arch.compiler):
            self.skipTest(f"{arch.compiler} is missing")
        isas = dict.fromkeys(isa for has in arch.cpus.values() for isa in has)
        return [x for isa in isas for x in modelled.loops_of(isa, arch, arch.compiler)]

    def check(self, name: str):
        loops = self.of(name)
        isas = {isa for isa, kinds in modelled.generate.architecture(name) if "gemm" in kinds}
        self.assertEqual({x.row.isa for x in loops}, isas - {"amx"})
        for loop in loops:
            with self.subTest(loop.row.name):
                self.assertEqual(products(loop.body), loop.products)
                self.assertEqual(loop.k % loop.row.kr, 0)

    def test_every_row_of_aarch64(self):
        self.check("aarch64")

    def test_every_row_of_x86(self):
        self.check("x86_64")

    def test_parts_of_a_loop_may_stand_anywhere(self):
        name, lines = modelled.functions(LOOP).popitem()
        row = next(k for k in modelled.rows_of("neondot") if k.mr == 2)
        self.assertEqual(name, row.name)
        loop = modelled.marked_loop(row, lines, modelled.ARCHITECTURES["aarch64"])
        self.assertEqual(loop.k, 4)  # the other mark is in no loop
        self.assertEqual(loop.body[0], "loop:")
        self.assertCountEqual(
            loop.body[1:], ["b loop", "cmp x0, 0", "bne loop", "sdot v0.4s, v1.16b, v2.16b"]
        )

    def test_a_row_without_a_loop_is_refused(self):
        row = modelled.rows_of("neondot")[0]
        with self.assertRaisesRegex(modelled.Refused, f"no loop was found in {row.name}"):
            modelled.marked_loop(row, ["ret"], modelled.ARCHITECTURES["aarch64"])


class Model(unittest.TestCase):
    def setUp(self):
        self.mca = modelled.find_mca()
        if not self.mca or int(modelled.version_of(self.mca).split(".")[0]) < modelled.OLDEST_MCA:
            self.skipTest("llvm-mca is missing or too old")

    def test_no_row_is_faster_than_its_peak(self):
        if not shutil.which(modelled.ARCHITECTURES["aarch64"].compiler):
            self.skipTest("the compiler is missing")
        report = modelled.model(self.mca, "aarch64", ["neoverse-n2"], None)
        self.assertTrue(report["modelled"])
        self.assertEqual({row["isa"] for row in report["rows"]}, {"neon", "neondot", "neoni8mm"})
        for row in report["rows"]:
            self.assertGreater(row["pct_peak"], 20, row)
            self.assertLess(row["pct_peak"], 101, row)
        text = modelled.table(report, ["neoverse-n2"])
        self.assertIn("*Modelled*", text)

    def test_register_loops_reach_what_the_manuals_say(self):
        for cpu, isa, per_cycle in (
            ("neoverse-n1", "neondot", 32),
            ("neoverse-v1", "neoni8mm", 128),
        ):
            arch = modelled.ARCHITECTURES["aarch64"]
            made, body = modelled.PEAKS[isa]
            (turn,) = modelled.cycles(self.mca, arch, cpu, [isa], [body])
            self.assertAlmostEqual(made / turn, per_cycle, delta=1)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The program from outside: what its commands print, and how they fail.

    test_program.py PROGRAM --golden FILE [--slow] [--update]

The demo's accuracies are a function of the source alone, so one golden table serves every CPU, ISA
cap and compiler. --update writes it anew. Output is TAP.
"""

import argparse
import json
import os
import sys
import tempfile
import unittest
from pathlib import Path

from program import octet, octet_json, options, run, usable_isas

VARIANTS = [
    "float",
    "dynamic",
    "static_per_tensor",
    "static_per_channel",
    "ptq4",
    "qat4",
    "qat8",
]
ROW_KEYS = ["variant", "accuracy", "model_bytes", "us_per_image", "kernel"]


def accuracies(demo: dict) -> dict:
    return {row["variant"]: row["accuracy"] for row in demo["rows"]}


def study_golden() -> Path:
    return options.golden.with_name("study_golden.json")


class Demo(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # The study takes as long as all the rest: not where code runs slowly.
        study = [] if options.slow else ["--study"]
        cls.demo = octet_json("demo", *study, "--json", "-")
        cls.study = cls.demo.get("study")
        cls.rows = {row["variant"]: row for row in cls.demo["rows"]}
        cls.accuracy = accuracies(cls.demo)

    def test_json_has_exactly_the_documented_form(self):
        self.assertEqual(list(self.demo)[:2], ["cpu", "rows"])
        self.assertEqual(list(self.demo)[2:], ["study"] if self.study else [])
        self.assertIsInstance(self.demo["cpu"], str)
        self.assertEqual([row["variant"] for row in self.demo["rows"]], VARIANTS)
        for row in self.demo["rows"]:
            self.assertEqual(list(row), ROW_KEYS)
            self.assertIsInstance(row["model_bytes"], int)
            self.assertGreater(row["us_per_image"], 0)
            self.assertTrue(row["kernel"])

    def test_float_network_is_good(self):
        self.assertGreaterEqual(self.accuracy["float"], 0.97)

    def test_int8_stays_close_to_float(self):
        limits = {"dynamic": 6, "static_per_channel": 6, "qat8": 6, "static_per_tensor": 12}
        for variant, thousandths in limits.items():
            with self.subTest(variant):
                lost = abs(self.accuracy["float"] - self.accuracy[variant])
                self.assertLessEqual(lost, thousandths / 1000)

    def test_four_bits_gain_from_training(self):
        self.assertLessEqual(abs(self.accuracy["float"] - self.accuracy["qat4"]), 0.02)
        self.assertGreaterEqual(self.accuracy["qat4"], self.accuracy["ptq4"])

    def test_int8_models_are_small(self):
        for variant in VARIANTS[1:]:
            with self.subTest(variant):
                self.assertLessEqual(
                    self.rows[variant]["model_bytes"], self.rows["float"]["model_bytes"] / 3.3
                )

    def test_accuracies_are_the_golden_ones(self):
        self.assertEqual(self.accuracy, json.loads(options.golden.read_text()))

    def need_study(self):
        if not self.study:
            self.skipTest("no study where code runs slowly")

    def test_study_is_the_golden_one(self):
        self.need_study()
        self.assertEqual(self.study, json.loads(study_golden().read_text()))

    def test_training_wins_back_what_quantization_loses(self):
        self.need_study()
        for row in self.study["training"]:
            with self.subTest(row["bits"]):
                lost = max(0, self.study["float"] - row["ptq"])
                self.assertGreaterEqual(row["ste"], self.study["float"] - lost / 2)
                self.assertGreaterEqual(row["lsq"], self.study["float"] - lost / 2)
                self.assertGreaterEqual(row["lsq"], row["ste"] - 0.005)

    def test_fewer_bits_are_further_from_float(self):
        self.need_study()
        self.assertEqual(len(self.study["layers"]), 3)
        for layer in self.study["layers"]:
            sqnr = layer["sqnr_db"]
            self.assertEqual(sqnr, sorted(sqnr, reverse=True))
            self.assertGreater(sqnr[0], 25)

    def test_every_calibration_serves_both_schemes(self):
        self.need_study()
        names = ["min-max", "percentile", "entropy", "MSE", "L2", "PyTorch's histogram"]
        rows = {(row["calibration"], row["weights"]): row for row in self.study["methods"]}
        self.assertEqual(list(dict.fromkeys(name for name, _ in rows)), names)
        self.assertEqual(len(rows), len(self.study["methods"]))
        eight, four, two = range(3)
        self.assertEqual(self.study["bits"], [8, 4, 2])
        for name in names:
            with self.subTest(name):
                tensor = rows[name, "per tensor"]["accuracy"]
                channel = rows[name, "per channel"]["accuracy"]
                for accuracy in (tensor, channel):
                    self.assertGreaterEqual(accuracy[eight], self.study["float"] - 0.006)
                    self.assertGreaterEqual(accuracy[four], self.study["float"] - 0.02)
                self.assertGreater(channel[two], tensor[two] + 0.2)

    def test_data_helps_where_bits_are_few(self):
        self.need_study()
        two = self.study["bits"].index(2)
        best = {
            row["weights"]: row["accuracy"][two]
            for row in self.study["methods"]
            if row["calibration"] == "min-max"
        }
        self.assertGreater(best["per channel, least error"], best["per channel"] + 0.1)
        for method in ("GPTQ", "AdaRound"):
            self.assertGreater(best[method], best["per channel, least error"] + 0.05)

    def test_float_runs_float_code_and_the_others_do_not(self):
        self.assertEqual(self.rows["float"]["kernel"], "scalar float")
        for variant in VARIANTS[1:]:
            self.assertTrue(self.rows[variant]["kernel"].startswith("gemm_"), variant)

    def test_another_run_and_every_isa_give_the_same_table(self):
        if options.slow:
            self.skipTest("the golden table stands for it where code runs slowly")
        again = octet_json("demo", "--study", "--isa", "scalar", "--json", "-")
        self.assertEqual(accuracies(again), self.accuracy)
        self.assertEqual(again["study"], self.study)
        self.assertEqual(list(octet_json("demo", "--json", "-")), ["cpu", "rows"])
        for isa in usable_isas():
            with self.subTest(isa):
                demo = octet_json("demo", "--isa", isa, "--json", "-")
                self.assertEqual(accuracies(demo), self.accuracy)
                sizes = [row["model_bytes"] for row in demo["rows"]]
                self.assertEqual(sizes, [row["model_bytes"] for row in self.demo["rows"]])

    def test_table_and_file_come_from_any_folder(self):
        if options.slow:
            self.skipTest("one run of the demo is enough where code runs slowly")
        with tempfile.TemporaryDirectory() as folder:
            done = octet("demo", "--json", "table.json", cwd=folder)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(
                accuracies(json.loads(Path(folder, "table.json").read_text())), self.accuracy
            )
        for variant in VARIANTS:
            self.assertRegex(done.stdout, rf"(?m)^{variant} +0\.\d{{4}} +\d+ +[\d.]+  \S+")
        self.assertIn("CPU: ", done.stdout)
        self.assertNotIn("\r", done.stderr, "a progress bar in a file")


class Info(unittest.TestCase):
    def test_json_has_its_keys(self):
        info = octet_json("info", "--json")
        for key in ("version", "cpu", "isas", "caches", "max_isa", "kernels"):
            self.assertIn(key, info)
        for isa in info["isas"]:
            self.assertLessEqual({"name", "usable", "why"}, set(isa))
        self.assertLessEqual({"l1d", "l2", "l3"}, set(info["caches"]))
        self.assertTrue(info["kernels"])
        for kernel in info["kernels"]:
            self.assertLessEqual({"name", "family", "isa", "in", "out"}, set(kernel))
        self.assertIn("scalar", usable_isas())

    def test_table_names_every_kernel(self):
        done = octet("info")
        self.assertEqual(done.returncode, 0, done.stderr)
        for kernel in octet_json("info", "--json")["kernels"]:
            self.assertIn(kernel["name"], done.stdout)


class CommandLine(unittest.TestCase):
    def test_help_and_version(self):
        self.assertRegex(octet("--version").stdout, r"^octet \d+\.\d+\.\d+\n$")
        for args in (["--help"], ["demo", "--help"], ["bench", "gemm", "--help"]):
            done = octet(*args)
            self.assertEqual(done.returncode, 0)
            self.assertIn("Usage", done.stdout)

    def test_what_does_not_exist_is_refused_with_a_sentence(self):
        isas = octet_json("info", "--json")["isas"]
        foreign = "neon" if any(isa["name"] == "avx2" for isa in isas) else "avx2"
        cases = [
            [],
            ["frobnicate"],
            ["demo", "--frobnicate"],
            ["demo", "--isa", "nonsense"],
            ["demo", "--isa", foreign],
            ["demo", "--seed", "x"],
            ["info", "--isa", "nonsense"],
            ["bench"],
            ["bench", "gemm"],
            ["bench", "gemm", "1", "2"],
            ["bench", "gemm", "0", "1", "1"],
            ["bench", "gemm", "1", "1", "1", "--type", "u9"],
            ["bench", "gemm", "1", "1", "1", "--isa", "scalar,nonsense"],
            ["bench", "gemm", "--set", "nonsense"],
            ["bench", "gemm", "1", "1", "1", "--set", "tiny"],
            ["bench", "gemm", "1", "1", "1", "--peer", "nonsense"],
            ["bench", "gemm", "1", "1", "1", "--weights", "/nowhere/w"],
            ["bench", "gemm", "1", "1", "1", "--threads", "0"],
            ["bench", "gemm", "1", "1", "1", "--dynamic", "--type", "s8"],
            ["bench", "gemm", "1", "1", "1", "--dynamic", "--out", "s32"],
            ["bench", "gemm", "1", "1", "1", "--dynamic=column"],
            ["explain"],
            ["explain", "gemm"],
            ["explain", "gemm", "1", "1"],
            ["explain", "gemm", "1", "1", "1", "--isa", "nonsense"],
            *(["demo", "--isa", isa["name"]] for isa in isas if not isa["usable"]),
        ]
        for args in cases:
            with self.subTest(args):
                done = octet(*args)
                self.assertEqual(done.returncode, 2)
                self.assertEqual(done.stdout, "")
                self.assertRegex(done.stderr, r"^octet: [^\n]+\.\n$")

    def test_failures_at_work_have_another_status(self):
        done = octet("bench", "gemm", "1", "16", "16", "--repeat", "1", "--json", "/nowhere/x.json")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"^octet: [^\n]+\.\n$")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--golden", type=Path, required=True)
    parser.add_argument("--slow", action="store_true", help="run the demo once")
    parser.add_argument("--update", action="store_true", help="write the golden table and end")
    parser.parse_args(namespace=options)
    options.program = os.path.abspath(options.program)
    if options.update:
        demo = octet_json("demo", "--study", "--json", "-")
        options.golden.write_text(json.dumps(accuracies(demo), indent=2) + "\n")
        study_golden().write_text(json.dumps(demo["study"], indent=2) + "\n")
        return 0
    return run(__name__)


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`octet bench` and `octet explain` from outside: the form of their reports, and how they treat
drivers of other libraries that behave in every way. No figure is judged. Output is TAP.

    test_bench.py PROGRAM
"""

import argparse
import os
import sys
import tempfile
import unittest
from pathlib import Path

from program import octet, octet_json, options, run, usable_isas

DRIVER = f"{sys.executable},{Path(__file__).parent / 'fake_driver.py'}"
ROW_KEYS = [
    "set",
    "shape",
    "isa",
    "types",
    "threads",
    "kernel",
    "gops",
    "pct_peak",
    "pct_bound",
    "peers",
    "fp32",
]


# One small layer for each way that convolutions are run; the program holds each to the definition.
LAYERS = [
    "1x7x9x24 k1 o40",
    "2x9x7x16 k3 o24 p1",
    "1x13x11x3 k3 o16 s2 p0:1",
    "1x9x9x32 k3 o32 p1 gC",
    "1x9x8x16 k5 o32 s2 p2 gC",
    "1x8x8x32 k3 o48 p1 g4",
    "1x12x12x16 k3 o16 d2 p2",
    "1x5x6x16 k4 o12 s2 p1 t",
    "1x5x6x16 k3 o16 s2 p1 q1 t g2",
    "1x40x16 k5 o24 p4:0",
    "1x4x6x5x8 k3x3x1 o16 p1x1x0",
]


def bench(*args: str) -> dict:
    return octet_json("bench", "gemm", *args, "--json", "-")


def bench_conv(*args: str) -> dict:
    return octet_json("bench", "conv", *args, "--json", "-")


class Report(unittest.TestCase):
    def check(self, row: dict):
        self.assertEqual(list(row)[: len(ROW_KEYS)], ROW_KEYS)
        self.assertGreater(row["gops"], 0)
        self.assertGreater(row["pct_bound"], 0)
        self.assertGreater(row["weight_bytes"], 0)
        self.assertTrue(row["kernel"])
        self.assertLessEqual(row["us_min"], row["us"])
        self.assertLessEqual(row["us"], row["us_max"])
        # No upper bound: on a busy machine either side of the ratio may lose its core.
        if row["pct_peak"] is None:
            self.assertNotIn(row["peak"], row["peaks"])
        else:
            self.assertGreater(row["pct_peak"], 0)
            self.assertIn(row["peak"], row["peaks"])

    def test_json_has_the_documented_form(self):
        report = bench("16", "64", "64", "--repeat", "2")
        self.assertEqual(list(report)[:5], ["machine", "peaks", "rows", "geomean", "worst"])
        machine = report["machine"]
        for key in ("cpu", "caches", "isas", "octet", "compiler", "threads", "bandwidth_gbps"):
            self.assertIn(key, machine)
        (row,) = report["rows"]
        self.check(row)
        self.assertEqual(row["shape"], {"m": 16, "n": 64, "k": 64})
        self.assertEqual(row["weights"], "real")
        self.assertEqual(report["geomean"], {})
        self.assertIsNone(report["worst"])
        for speed in machine["bandwidth_gbps"][row["isa"]].values():
            self.assertGreater(speed, 0)

    def test_types(self):
        for args, types in (
            (["--type", "s8"], "s8s8_s8"),
            (["--type", "s8", "--out", "s32"], "s8s8_s32"),
            (["--out", "f32"], "u8s8_f32"),
            (["--dynamic"], "f32s8_f32 dynamic per row"),
            (["--dynamic=tensor"], "f32s8_f32 dynamic per tensor"),
        ):
            with self.subTest(types):
                (row,) = bench("4", "32", "32", "--repeat", "1", *args)["rows"]
                self.assertEqual(row["types"], types)
                self.check(row)

    def test_caps_side_by_side(self):
        isas = usable_isas()
        report = bench("8", "32", "32", "--isa", ",".join(isas), "--repeat", "2")
        self.assertEqual([row["isa"] for row in report["rows"]], isas)
        self.assertEqual(list(report["machine"]["bandwidth_gbps"]), isas)
        for row in report["rows"]:
            self.check(row)

    def test_the_options_that_change_how_it_runs(self):
        args = ["--threads", "2", "--cold", "--lean", "--weights", "heavy", "--repeat", "1"]
        (row,) = bench("8", "256", "64", *args)["rows"]
        self.check(row)
        self.assertEqual((row["threads"], row["cold"], row["weights"]), (2, True, "heavy"))
        self.assertGreater(row["speed_up"], 0)

    def test_weights_of_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "layer.s8")
            path.write_bytes(bytes(range(256)))
            (row,) = bench("2", "8", "32", "--weights", str(path), "--repeat", "1")["rows"]
            self.assertEqual(row["weights"], "layer.s8")
            short = octet("bench", "gemm", "2", "8", "33", "--weights", str(path))
            self.assertEqual(short.returncode, 2)
            self.assertIn("264", short.stderr)

    def test_the_table(self):
        done = octet("bench", "gemm", "--set", "tiny", "--repeat", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"(?m)^ *7 +5 +3 ")
        for words in ("CPU: ", "GB/s", "% bound", "weights: real"):
            self.assertIn(words, done.stdout)

    def test_sets_of_a_folder(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "mine.txt").write_text("# mine\n\n3 2 5  # odd\n1..2 4 4\n")
            Path(folder, "other.txt").write_text("6,8 4 4\n")
            rows = bench("--set", "mine,other", "--set-dir", folder, "--repeat", "1")["rows"]
            self.assertEqual(
                [(row["set"], *row["shape"].values()) for row in rows],
                [
                    ("mine", 3, 2, 5),
                    ("mine", 1, 4, 4),
                    ("mine", 2, 4, 4),
                    ("other", 6, 4, 4),
                    ("other", 8, 4, 4),
                ],
            )
            for text in ("3 2\n", "0 1 1\n", "1 1 1 1\n", "2.. 1 1\n", "1,,2 1 1\n", "9..8 1 1\n"):
                with self.subTest(text):
                    Path(folder, "bad.txt").write_text(text)
                    bad = octet("bench", "gemm", "--set", "bad", "--set-dir", folder)
                    self.assertEqual(bad.returncode, 2)
                    self.assertIn("line 1", bad.stderr)


class Convolutions(unittest.TestCase):
    def test_json_has_the_documented_form(self):
        report = bench_conv("2x9x8x16", "k3", "o16", "s2", "p1", "--repeat", "2")
        keys = ["machine", "peaks", "rows", "geomean", "worst"]
        self.assertEqual(list(report)[:5], keys)
        (row,) = report["rows"]
        self.assertEqual(list(row)[: len(ROW_KEYS)], ROW_KEYS)
        shape = row["shape"]
        self.assertEqual(shape["layer"], "2x9x8x16 k3 o16 s2 p1")
        self.assertEqual((shape["class"], shape["out"], shape["times"]), ("dense", [5, 4], 1))
        self.assertEqual(shape["product"], {"m": 2 * 5 * 4, "n": 16, "k": 9 * 16})
        for key in ("gops", "pct_bound", "weight_bytes"):
            self.assertGreater(row[key], 0)
        self.assertTrue(row["kernel"])
        self.assertTrue(row["why"])

    def test_every_class_is_exact_under_every_cap(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "small.txt").write_text("\n".join(LAYERS))
            isas = usable_isas()
            report = bench_conv("--set", "small", "--set-dir", folder, "--repeat", "1", "--isa",
                                ",".join(isas))  # fmt: skip
        self.assertEqual(len(report["rows"]), len(LAYERS) * len(isas))
        self.assertEqual(len(report["totals"]), 2 * len(isas))  # batches 1 and 2

    def test_types(self):
        for args, types in (
            (["--type", "s8"], "s8s8_s8"),
            (["--out", "f32"], "u8s8_f32"),
            (["--type", "s8", "--out", "s32"], "s8s8_s32"),
            (["--dynamic"], "f32s8_f32 dynamic per sample"),
            (["--dynamic=tensor"], "f32s8_f32 dynamic per tensor"),
        ):
            for layer in (LAYERS[1], LAYERS[3]):
                with self.subTest(f"{types} {layer}"):
                    (row,) = bench_conv(*layer.split(), "--repeat", "1", *args)["rows"]
                    self.assertEqual(row["types"], types)

    def test_threads(self):
        (row,) = bench_conv(*LAYERS[1].split(), "--repeat", "1", "--threads", "2")["rows"]
        self.assertEqual(row["threads"], 2)
        self.assertGreater(row["speed_up"], 0)

    def test_a_driver_is_asked_for_a_convolution(self):
        peer = ("--peer", "good", "--peer-driver", DRIVER)
        report = bench_conv("1x4x4x8", "k1", "o16", "--repeat", "1", *peer)
        (row,) = report["rows"]
        self.assertEqual(row["absent"], {})
        self.assertFalse(row["peers"]["good"]["wrong"])

    def test_the_table(self):
        done = octet("bench", "conv", *LAYERS[1].split(), "--repeat", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"(?m)^2x9x7x16 k3 o24 p1 +dense ")

    def test_what_is_no_layer_is_refused(self):
        for args in ([], ["1x8x8x16"], ["1x8x8x16", "o8", "k9"], ["1x8x8x16", "o8", "z1"],
                     ["--set", "nowhere"], ["1x8x8x16", "o8", "--set", "unet"]):  # fmt: skip
            with self.subTest(args):
                done = octet("bench", "conv", *args)
                self.assertEqual(done.returncode, 2)
                self.assertRegex(done.stderr, r"^octet: .+\.\n$")

    def drivers(self, name: str) -> dict:
        (row,) = bench_conv("1x3x4x16", "k1", "o8", "--peer-driver", DRIVER, "--peer", name,
                            "--repeat", "1")["rows"]  # fmt: skip
        return row["peers"][name]

    def test_drivers(self):
        self.assertFalse(self.drivers("good")["wrong"])
        self.assertTrue(self.drivers("wrong")["wrong"])


class Networks(unittest.TestCase):
    def test_a_network_by_layers(self):
        if options.slow:
            self.skipTest("a whole network takes too long here")
        report = octet_json("bench", "net", "--net", "mobilenetv2", "--alone", "--threads", "1,2",
                            "--repeat", "1", "--json", "-")  # fmt: skip
        self.assertEqual([one["threads"] for one in report["nets"]], [1, 2])
        for one in report["nets"]:
            self.assertGreater(one["ms"], 0)
            self.assertIsNone(one["peer"])
            self.assertEqual(len(one["layers"]), 54)
            for layer in one["layers"]:
                self.assertGreater(layer["us"], 0)
                self.assertTrue(layer["kernel"])

    def test_an_unknown_one_is_refused(self):
        done = octet("bench", "net", "--net", "resnet51")
        self.assertEqual(done.returncode, 2)
        self.assertIn("resnet50", done.stderr)


class Drivers(unittest.TestCase):
    def bench(self, *args: str) -> dict:
        return bench("4", "8", "16", "--peer-driver", DRIVER, "--repeat", "2", *args)

    def test_a_good_peer(self):
        isas = usable_isas()[-2:]
        report = self.bench("--peer", "good", "--isa", ",".join(isas))
        for row, isa in zip(report["rows"], isas, strict=True):
            peer = row["peers"]["good"]
            self.assertEqual(peer["isa"], isa.upper())
            self.assertFalse(peer["wrong"], peer)
            self.assertTrue(peer["child"])
            self.assertGreater(peer["gops"], 0)
            self.assertGreater(peer["ratio"], 0)
            # Every call of it takes a microsecond, an empty one too.
            self.assertGreater(peer["overhead_us"], 0.9)
        self.assertIn("good", report["geomean"])
        self.assertIn(report["worst"]["peer"], ("good", "fp32"))
        self.assertEqual(report["machine"]["peers"]["good"]["version"], "1.0")

    def test_a_peer_without_a_cap_counts_under_the_best_one_only(self):
        isas = usable_isas()
        report = self.bench("--peer", "uncapped", "--isa", f"{isas[0]},{isas[-1]}")
        others = [row["peers"]["uncapped"]["other_cap"] for row in report["rows"]]
        self.assertEqual(others, [isas[0] != isas[-1], False])
        if isas[0] != isas[-1]:
            self.assertNotIn("uncapped", report["geomeans"][isas[0]][""])
        self.assertIn("uncapped", report["geomeans"][isas[-1]][""])

    def test_float_outputs(self):
        for args in (["--out", "f32"], ["--dynamic"]):
            with self.subTest(args):
                (row,) = self.bench("--peer", "good", *args)["rows"]
                self.assertFalse(row["peers"]["good"]["wrong"], row["peers"])

    def test_what_drivers_cannot_do_is_told(self):
        (row,) = self.bench("--peer", "good", "--type", "s8")["rows"]
        self.assertEqual(row["peers"], {})
        self.assertIn("u8", row["absent"]["good"])

    def test_a_wrong_peer_is_marked(self):
        (row,) = self.bench("--peer", "wrong")["rows"]
        self.assertTrue(row["peers"]["wrong"]["wrong"])
        self.assertGreaterEqual(row["peers"]["wrong"]["difference"], 2)

    def test_the_absent_and_the_lost(self):
        report = self.bench("--peer", "absent,unready,dies,garbage,good")
        (row,) = report["rows"]
        self.assertEqual(list(row["peers"]), ["good"])
        (why,) = report["machine"]["peers"]["absent"]["absent"].values()
        self.assertEqual(why, "It was left at home.")
        self.assertEqual(row["absent"]["unready"], "This shape is not to its taste.")
        self.assertIn("status 3", row["absent"]["dies"])
        self.assertIn("Segmentation", row["absent"]["garbage"])

    def test_a_driver_that_does_not_start(self):
        report = bench("2", "8", "8", "--peer-driver", "/nowhere/driver", "--peer", "good",
                       "--repeat", "1")  # fmt: skip
        self.assertEqual(report["rows"][0]["peers"], {})
        (why,) = report["machine"]["peers"]["good"]["absent"].values()
        self.assertIn("/nowhere/driver", why)

    def test_the_table_names_them(self):
        done = octet("bench", "gemm", "4", "8", "16", "--peer-driver", DRIVER, "--peer",
                     "wrong,absent", "--repeat", "1")  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("absent is absent: It was left at home.", done.stdout)
        self.assertIn("Worst row: 4x8x16", done.stdout)
        self.assertRegex(done.stdout, r"\d\.\d\d \([-\d.]+\)!")


PASSES = {  # bytes that an element has read and written
    "quantize": (4, 1),
    "quantize_rows": (4, 1),
    "dequantize": (1, 4),
    "dequantize_rows": (1, 4),
    "fake_quant": (4, 5),
    "fake_quant_rows": (4, 5),
    "backward": (5, 4),
    "learn_backward": (8, 4),
    "step": (8, 5),
    "clip": (4, 4),
    "min_max": (4, 0),
    "histogram": (4, 0),
}


class QuantPasses(unittest.TestCase):
    def passes(self, *args: str) -> dict:
        return octet_json("bench", "quant", "--mib", "1", "--repeat", "1", *args, "--json", "-")

    def check(self, report: dict):
        self.assertEqual(list(report), ["machine", "rows"])
        for key in ("cpu", "version", "isa", "threads", "rounds", "l3", "huge_page_mib", "peer"):
            self.assertIn(key, report["machine"])
        self.assertEqual([row["pass"] for row in report["rows"]], list(PASSES))
        for row in report["rows"]:
            with self.subTest(row["pass"]):
                self.assertNotIn("absent", row)
                read, written = PASSES[row["pass"]]
                self.assertEqual(row["elements"], 1 << 18)
                self.assertEqual(row["bytes_read"], read * row["elements"])
                self.assertEqual(row["bytes_written"], written * row["elements"])
                self.assertEqual(row["bound"], "copy" if written else "read")
                self.assertLessEqual(row["us_min"], row["us"])
                self.assertLessEqual(row["us"], row["us_max"])
                moved = row["bytes_read"] + row["bytes_written"]
                share = 100 * moved / row["us"] * 1e6 / row["bound_bytes_per_second"]
                self.assertAlmostEqual(row["percent_of_bound"] / share, 1)
                self.assertGreater(row["percent_of_least"], 0.999 * row["percent_of_bound"])

    def test_json_has_the_documented_form(self):
        report = self.passes()
        self.check(report)
        self.assertEqual(report["machine"]["peer"], "")
        for row in report["rows"]:
            self.assertNotIn("peer_us", row)

    def test_caps_threads_and_pages(self):
        for isa in usable_isas():
            report = self.passes("--isa", isa)
            self.check(report)
            self.assertEqual(report["machine"]["isa"], isa)
        report = self.passes("--threads", "2", "--small-pages")
        self.check(report)
        self.assertEqual(report["machine"]["threads"], 2)
        if not options.slow:  # emulators do not pass on what pages are asked for
            self.assertEqual(report["machine"]["huge_page_mib"], 0)

    def test_a_peer(self):
        report = self.passes("--peer", "good", "--peer-driver", DRIVER)
        self.check(report)
        self.assertEqual(report["machine"]["peer"], "good 1.0")
        for row in report["rows"]:
            self.assertAlmostEqual(row["ratio"], row["peer_us"] / row["us"])
        for row in self.passes("--peer", "unready", "--peer-driver", DRIVER)["rows"]:
            self.assertEqual(row["peer_absent"], "This pass is not to its taste.")
            self.assertNotIn("ratio", row)
        done = octet("bench", "quant", "--mib", "1", "--peer", "absent", "--peer-driver", DRIVER)
        self.assertEqual(done.returncode, 1)
        self.assertIn("It was left at home.", done.stderr)

    def test_table(self):
        done = octet("bench", "quant", "--mib", "1", "--repeat", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("64 x 4096 floats, 1 MiB", done.stdout)
        for name in PASSES:
            self.assertRegex(done.stdout, rf"(?m)^{name} +\d\+\d +[\d.]+ ")

    def test_what_does_not_exist_is_refused(self):
        for args in (["--mib", "0"], ["--isa", "nonsense"], ["--threads", "0"]):
            done = octet("bench", "quant", *args)
            self.assertEqual(done.returncode, 2, args)
            self.assertRegex(done.stderr, r"^octet: [^\n]+\.\n$")


class Explain(unittest.TestCase):
    def test_json(self):
        report = octet_json("explain", "gemm", "16", "64", "128", "--isa", ",".join(usable_isas()),
                            "--json", "-")  # fmt: skip
        self.assertEqual(len(report["plans"]), len(usable_isas()))
        for plan in report["plans"]:
            for key in ("kernel", "isa", "mr", "nr", "kr", "mc", "nc", "kc", "bound", "why"):
                self.assertIn(key, plan)
            self.assertGreater(plan["weight_bytes"], 0)
            candidates = plan["candidate_plans"]
            self.assertEqual(len(candidates), plan["candidates"])
            self.assertIn(plan["kernel"], [one["kernel"] for one in candidates])
            if plan["why"] == "fewest modelled cycles":
                cheapest = min(candidates, key=lambda one: one["modelled_cycles"])
                self.assertEqual(cheapest["modelled_cycles"], plan["modelled_cycles"])

    def test_convolutions(self):
        for layer in LAYERS:
            report = octet_json("explain", "conv", *layer.split(), "--json", "-")
            (plan,) = report["plans"]
            self.assertTrue(plan["kernel"])
            self.assertTrue(plan["why"])

    def test_text(self):
        for args in ([], ["--type", "s8"], ["--dynamic"], ["--threads", "3"], ["--lean"]):
            done = octet("explain", "gemm", "1", "100", "64", *args)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, r"(?m)^kernel +gemm_")
            self.assertRegex(done.stdout, r"(?m)^why +\w")
            self.assertRegex(done.stdout, r"(?m)^ +1 +\d+ +gemm_")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--slow", action="store_true", help="leave out what takes long here")
    parser.parse_args(namespace=options)
    options.program = os.path.abspath(options.program)
    return run(__name__)


if __name__ == "__main__":
    sys.exit(main())

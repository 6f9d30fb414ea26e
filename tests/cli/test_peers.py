#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The drivers of the peer libraries and their installer, without the libraries.

    test_peers.py PROGRAM

The protocol is spoken with the driver `numpy`, which needs NumPy alone: it is looked for in this
Python, in .venv-peers and in the system's; where none has it those tests are skipped. The rest
needs nothing. Output is TAP.
"""

import contextlib
import functools
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from program import octet_json, options
from program import run as run_tests

ROOT = Path(__file__).resolve().parents[2]
DRIVER = ROOT / "bench" / "peers" / "driver.py"
sys.path.insert(0, str(DRIVER.parent))
import caps  # noqa: E402
from driver import PEERS  # noqa: E402

M, N, K = 3, 4, 5
IN_ZERO, OUT_ZERO, IN_SCALE, OUT_SCALE = 100, 10, 0.5, 64.0
WEIGHTS = [[(row * 37 + column * 11) % 255 - 127 for column in range(K)] for row in range(N)]
SCALES = [0.25, 0.5, 1.0, 0.125]
BIAS = [0.0, 8.0, -16.0, 2.0]
INPUT = [[(row * 91 + column * 53) % 256 for column in range(K)] for row in range(M)]


def exact() -> list[list[float]]:
    return [
        [
            sum((x - IN_ZERO) * w for x, w in zip(row, weights, strict=True)) * IN_SCALE * scale
            + bias
            for weights, scale, bias in zip(WEIGHTS, SCALES, BIAS, strict=True)
        ]
        for row in INPUT
    ]


def layer_file() -> bytes:
    return (
        struct.pack("<8q", M, N, K, IN_ZERO, OUT_ZERO, 0, 0, 0)
        + struct.pack("<2f", IN_SCALE, OUT_SCALE)
        + b"".join(struct.pack(f"<{K}b", *row) for row in WEIGHTS)
        + struct.pack(f"<{N}f", *SCALES)
        + struct.pack(f"<{N}f", *BIAS)
        + b"".join(bytes(row) for row in INPUT)
    )


@functools.cache
def python_with_numpy() -> str | None:
    for python in (sys.executable, str(ROOT / ".venv-peers/bin/python"), "/usr/bin/python3"):
        with contextlib.suppress(OSError):
            done = subprocess.run([python, "-c", "import numpy"], capture_output=True)
            if done.returncode == 0:
                return python
    return None


def run(*command: str, text: str = "") -> subprocess.CompletedProcess:
    return subprocess.run(command, input=text, capture_output=True, text=True)


def without_packages(*args: str) -> subprocess.CompletedProcess:
    """The driver in a Python that sees the standard library alone."""
    return run(sys.executable, "-I", "-S", "-c", BARE, str(DRIVER), *args)


BARE = """
import runpy, sys
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Protocol(unittest.TestCase):
    def setUp(self):
        if python_with_numpy() is None:
            self.skipTest("no Python here has NumPy")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.data = self.folder / "layer"
        self.data.write_bytes(layer_file())

    def talk(self, *requests: dict | str) -> tuple[dict, list[dict]]:
        lines = [r if isinstance(r, str) else json.dumps(r) for r in requests]
        done = run(python_with_numpy(), str(DRIVER), "numpy", text="\n".join(lines) + "\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        hello, *replies = map(json.loads, done.stdout.splitlines())
        return hello, replies

    def prepare(self, form: str, **more) -> dict:
        return (
            {"cmd": "prepare", "form": form, "m": M, "n": N, "k": K}
            | {"data": str(self.data)}
            | more
        )

    def output(self) -> dict:
        return {"cmd": "output", "path": str(self.folder / "output")}

    def read(self, kind: str) -> list[list[float]]:
        values = list(memoryview((self.folder / "output").read_bytes()).cast(kind))
        self.assertEqual(len(values), M * N)
        return [values[row * N : row * N + N] for row in range(M)]

    def test_it_says_who_it_is(self):
        hello, _ = self.talk({"cmd": "quit"})
        self.assertEqual(sorted(hello), ["isa", "peer", "ready", "version"])
        self.assertIs(hello["ready"], True)
        self.assertEqual((hello["peer"], hello["isa"]), ("numpy", "uncapped"))

    def test_u8_output_is_the_layers(self):
        _, replies = self.talk(self.prepare("u8"), self.output())
        self.assertEqual(replies, [{"ok": True, "note": ""}, {"ok": True}])
        expected = [
            [min(255, max(0, round(v / OUT_SCALE) + OUT_ZERO)) for v in row] for row in exact()
        ]
        self.assertGreater(len({v for row in expected for v in row}), 4)
        self.assertEqual(self.read("B"), expected)

    def test_float_outputs_are_the_layers(self):
        reach = max(abs(v) for row in exact() for v in row)
        for form, near in (("f32", 1e-6), ("fp32", 1e-6), ("dynamic", 0.05)):
            with self.subTest(form):
                _, replies = self.talk(self.prepare(form), self.output())
                self.assertEqual(replies[1], {"ok": True})
                for got, expected in zip(self.read("f"), exact(), strict=True):
                    for a, b in zip(got, expected, strict=True):
                        self.assertLessEqual(abs(a - b), near * reach)

    def test_runs_are_timed_with_any_number_of_copies(self):
        for copies in (1, 3):
            _, replies = self.talk(
                self.prepare("u8", copies=copies),
                {"cmd": "run", "iterations": 1},
                {"cmd": "run", "iterations": 50},
            )
            for reply in replies[1:]:
                self.assertGreater(reply["seconds"], 0)

    def conv(self, **more) -> dict:
        """The product as a convolution: 3 images of one pixel, the same file and output."""
        one, none = [1, 1], [0, 0]
        geometry = {
            "batch": M,
            "in": one,
            "out": one,
            "channels": K,
            "out_channels": N,
            "kernel": one,
            "stride": one,
            "dilation": one,
            "pad_lo": none,
            "pad_hi": none,
            "out_pad": none,
            "groups": 1,
            "transposed": False,
        }
        return geometry | more

    def test_a_convolution_of_one_tap_is_the_product(self):
        _, replies = self.talk(self.prepare("u8", conv=self.conv()), self.output())
        self.assertEqual(replies, [{"ok": True, "note": ""}, {"ok": True}])
        expected = [
            [min(255, max(0, round(v / OUT_SCALE) + OUT_ZERO)) for v in row] for row in exact()
        ]
        self.assertEqual(self.read("B"), expected)

    def test_padding_adds_outputs_of_the_bias_alone(self):
        padded = self.conv(pad_lo=[0, 0], pad_hi=[1, 0], out=[2, 1])
        _, replies = self.talk(self.prepare("u8", conv=padded), self.output())
        self.assertEqual(replies[1], {"ok": True})
        got = list((self.folder / "output").read_bytes())
        bias = [round(b / OUT_SCALE) + OUT_ZERO for b in BIAS]
        for row in range(M):
            self.assertEqual(got[(2 * row + 1) * N : (2 * row + 2) * N], bias)

    def test_a_form_that_convolutions_lack_is_absent(self):
        _, replies = self.talk(self.prepare("dynamic", conv=self.conv()))
        self.assertEqual(list(replies[0]), ["absent"])

    def test_what_makes_no_sense_is_an_error_and_changes_nothing(self):
        short = self.folder / "short"
        short.write_bytes(layer_file()[:-1])
        bad = [
            "not json",
            "[]",
            {"cmd": "frobnicate"},
            {},
            self.prepare("u9"),
            self.prepare("u8", copies=0),
            self.prepare("u8", m=M + 1),
            self.prepare("u8", data=str(short)),
            self.prepare("u8", data="/nowhere/layer"),
            self.prepare("u8", conv={"batch": 1}),
            self.prepare("u8", conv=self.conv(batch=M + 1)),
            {"cmd": "run", "iterations": 0},
            {"cmd": "run"},
        ]
        nothing = [{"cmd": "run", "iterations": 1}, self.output()]
        _, replies = self.talk(*nothing, self.prepare("u8"), *bad, self.output(), {"cmd": "quit"})
        for reply in replies[:2] + replies[3:-1]:
            self.assertEqual(list(reply), ["error"], reply)
            self.assertRegex(reply["error"], r"^[^\n]+\.$")
        self.assertEqual((replies[2]["ok"], replies[-1]), (True, {"ok": True}))
        self.assertEqual(len(self.read("B")), M)


class WithoutLibraries(unittest.TestCase):
    def test_every_peer_is_absent_with_a_sentence(self):
        for name in PEERS:
            with self.subTest(name):
                done = without_packages(name)
                self.assertEqual(done.returncode, 0, done.stderr)
                reply = json.loads(done.stdout)
                self.assertEqual(list(reply), ["absent"])
                self.assertRegex(reply["absent"], r"^\w+ is not installed: .+\.$")

    def test_no_peer_is_scalar(self):
        reply = json.loads(without_packages("ort", "--isa", "scalar").stdout)
        self.assertEqual(reply, {"absent": "ort has no scalar form."})

    def test_bad_arguments_are_refused(self):
        for args in (
            [],
            ["nonsense"],
            ["numpy", "ort"],
            ["numpy", "--isa", "nonsense"],
            ["numpy", "--threads", "0"],
        ):
            with self.subTest(args):
                done = without_packages(*args)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertRegex(done.stderr, r"\.\n$")

    def test_caps_are_octets(self):
        for isa in octet_json("info", "--json")["isas"]:
            self.assertIn(isa["name"], caps.CAPS)

    def test_environment_holds_caps_and_threads(self):
        for cap in caps.CAPS:
            settings = caps.environment(cap, 2)
            self.assertEqual(settings["OMP_NUM_THREADS"], "2")
            self.assertEqual("ONEDNN_MAX_CPU_ISA" in settings, cap in caps.ONEDNN)
        self.assertNotIn("VNNI", str(caps.environment("avx512bw", 1)))
        self.assertEqual(caps.effective_onednn("none"), "uncapped")


class Installer(unittest.TestCase):
    def peers(self, *args: str) -> subprocess.CompletedProcess:
        return run("bash", str(ROOT / "tools" / "peers"), *args)

    def test_list_names_every_peer_and_version(self):
        done = self.peers("--list")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for name in PEERS:
            self.assertRegex(done.stdout, rf"(?m)^\w+ +(not )?installed +.*\b{name}\b")
        versions = (ROOT / "bench/peers/requirements.txt").read_text()
        for word in done.stdout.split():
            if "==" in word:
                self.assertIn(f"\n{word}\n", versions)
        self.assertNotRegex(done.stdout, r"==(\s|$)")

    def test_unknown_names_are_refused(self):
        for args in (["--only", "nonsense"], ["--nonsense"], ["--only"]):
            done = self.peers(*args)
            self.assertEqual(done.returncode, 2)
            self.assertRegex(done.stderr, r"^peers: [^\n]+\.\n$")


def main() -> int:
    options.program = os.path.abspath(sys.argv[1])
    return run_tests(__name__)


if __name__ == "__main__":
    sys.exit(main())

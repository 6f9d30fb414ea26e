# SPDX-License-Identifier: Apache-2.0
"""Checks peers through their drivers against float64 arithmetic.

One line for each peer and form: the largest difference from the exact output, in steps (u8) or
relative to the largest output (float32), and the time of a 7x5x3 call, which is the call's own
cost. The status is 1 where a peer gives wrong outputs and its note does not say why.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from layer import FORMS, Layer, geometry_of, random_conv, random_layer

# One of each class; kernel, stride, padding and groups in every order of extents.
GEOMETRIES = [
    geometry_of([7, 9], 16, 24, [1, 1]),
    geometry_of([9, 7], 8, 16, [3, 5], pad_lo=[1, 2], pad_hi=[1, 2], batch=2),
    geometry_of([11, 10], 3, 16, [3, 3], stride=[2, 2], pad_lo=[0, 0], pad_hi=[1, 1]),
    geometry_of([9, 9], 32, 32, [3, 3], groups=32, pad_lo=[1, 1], pad_hi=[1, 1]),
    geometry_of([8, 8], 16, 32, [5, 5], groups=16, pad_lo=[2, 2], pad_hi=[2, 2], stride=[2, 2]),
    geometry_of([8, 6], 32, 64, [3, 3], groups=4, pad_lo=[1, 1], pad_hi=[1, 1]),
    geometry_of([12, 12], 16, 16, [3, 3], dilation=[2, 3], pad_lo=[2, 3], pad_hi=[2, 3]),
    geometry_of([5, 6], 16, 12, [4, 4], transposed=True, stride=[2, 2], pad_lo=[1, 1],
                pad_hi=[1, 1]),
    geometry_of([5, 6], 16, 16, [3, 3], transposed=True, stride=[2, 2], pad_lo=[1, 1],
                pad_hi=[1, 1], out_pad=[1, 1], groups=2),
    geometry_of([40], 16, 24, [5], pad_lo=[4], pad_hi=[0]),
    geometry_of([40], 16, 24, [4], transposed=True, stride=[2], pad_lo=[1], pad_hi=[1]),
    geometry_of([4, 6, 5], 8, 16, [3, 3, 1], pad_lo=[1, 1, 0], pad_hi=[1, 1, 0]),
]  # fmt: skip

SHAPES = [(7, 5, 3), (1, 256, 256), (4, 64, 130), (33, 65, 129), (128, 256, 512)]


class Child:
    """A driver as the benchmark starts it."""

    def __init__(self, name: str, cap: str, threads: int):
        driver = str(Path(__file__).with_name("driver.py"))
        command = [sys.executable, driver, name, "--isa", cap, "--threads", str(threads)]
        self.chatter = tempfile.TemporaryFile(mode="w+", errors="replace")  # noqa: SIM115
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.chatter,
            text=True,
        )
        self.hello = self.read()

    def read(self) -> dict:
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        status = self.process.wait()
        self.chatter.seek(0)
        said = [line for line in self.chatter.read().splitlines() if line.strip()]
        return {"error": f"the driver ended with {status}: {said[-1] if said else 'no word'}"}

    def ask(self, **request) -> dict:
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        return self.read()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.chatter.close()


def tolerance(form: str, layer: Layer) -> np.ndarray | float:
    """How far a float32 output may be from the exact one."""
    if form == "u8":
        return 1.0
    rounding = 2e-5 * np.abs(layer.exact).max() + layer.in_scale * layer.weight_scales.max()
    if form != "dynamic":
        return rounding
    # Each input is off by half a step at the most; the coarsest step is a symmetric s8 one.
    step = np.abs(layer.float_input).max() / 127
    reach = np.abs(layer.weights).sum(1) * layer.weight_scales.astype(np.float64)
    return rounding + 0.51 * step * reach


def check(child: Child, form: str, folder: Path, shapes: list) -> tuple[str, bool]:
    """The line about one form, and whether all is well."""
    worst, good, note, call = 0.0, True, "", 0.0
    rng = np.random.default_rng(7)
    data, out = folder / "layer", folder / "output"
    for shape in shapes:
        layer = random_layer(rng, *shape)
        layer.write(data)
        m, n, k = shape
        reply = child.ask(cmd="prepare", form=form, m=m, n=n, k=k, data=str(data))
        if "absent" in reply:
            return f"absent: {reply['absent']}", True
        if "error" in reply:
            return f"ERROR: {reply['error']}", False
        note = reply["note"]
        if shape == shapes[0]:
            child.ask(cmd="run", iterations=200)
            call = child.ask(cmd="run", iterations=2000).get("seconds", 0) / 2000 * 1e6
        child.ask(cmd="output", path=str(out))
        got = np.fromfile(out, np.uint8 if form == "u8" else np.float32)
        expected = (layer.exact_u8 if form == "u8" else layer.exact).astype(np.float64)
        if got.size != m * n or not np.isfinite(got).all():
            good, worst = False, np.inf
            continue
        off = np.abs(got.reshape(m, n).astype(np.float64) - expected)
        good &= bool((off <= tolerance(form, layer)).all())
        worst = max(worst, off.max() / (1 if form == "u8" else np.abs(expected).max()))
    word = "ok" if good else "announced" if "saturates" in note else "WRONG"
    unit = "steps" if form == "u8" else "of the largest"
    return f"{word}, off by {worst:.3g} {unit}, {call:.2f} us at 7x5x3; {note}", word != "WRONG"


def check_convs(child: Child, folder: Path) -> tuple[str, bool]:
    """The same about convolutions."""
    worst, good, silent, refused, note = 0.0, True, False, [], ""
    rng = np.random.default_rng(8)
    data, out = folder / "layer", folder / "output"
    for number, geometry in enumerate(GEOMETRIES):
        layer = random_conv(rng, geometry)
        layer.write(data)
        reply = child.ask(cmd="prepare", form="u8", data=str(data), conv=geometry.request)
        if "absent" in reply:
            refused.append(f"{number}: {reply['absent']}")
            continue
        if "error" in reply:
            return f"ERROR: {reply['error']}", False
        note = reply["note"] if "saturates" not in note else note
        child.ask(cmd="output", path=str(out))
        got = np.fromfile(out, np.uint8)
        if got.size != layer.exact_u8.size:
            return f"WRONG size of the output {number}", False
        off = np.abs(got.reshape(layer.shape).astype(int) - layer.exact_u8).max()
        good &= bool(off <= 1)
        silent |= bool(off > 1) and "saturates" not in reply["note"]
        worst = max(worst, off)
    word = "ok" if good else "WRONG" if silent else "announced"
    line = f"{word}, off by {worst:.0f} steps; {note}"
    return "; ".join([line, *refused]), word != "WRONG"


def main(names: list[str], cap: str, threads: int) -> int:
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            child = Child(name, cap, threads)
            if "ready" not in child.hello:
                failed += "absent" not in child.hello
                print(f"{name}: {child.hello.get('absent') or child.hello.get('error')}")
                child.close()
                continue
            print(f"{name} {child.hello['version']}, {child.hello['isa']}")
            for form in FORMS:
                line, good = check(child, form, Path(folder), SHAPES)
                print(f"  {form:8} {line}", flush=True)
                failed += not good
                if not good and child.process.poll() is not None:
                    break
            child.close()
            child = Child(name, cap, threads)
            line, good = check_convs(child, Path(folder))
            print(f"  {'conv u8':8} {line}", flush=True)
            failed += not good
            child.close()
    return int(failed > 0)

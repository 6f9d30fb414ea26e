#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A peer's driver without a library behind it, for the tests: fake_driver.py NAME --isa CAP ...

The name says how it behaves: good, uncapped (it knows no cap), absent, unready (prepares
nothing), dies (in the middle of a run), wrong (its output is), garbage (answers no JSON).
"""

import ast
import json
import struct
import sys
import time
from array import array
from pathlib import Path

LAYER = Path(__file__).parents[2] / "bench/peers/layer.py"


def geometry_fields() -> set[str]:
    """What real drivers take of a convolution; their module needs numpy, so it is only read."""
    for node in ast.parse(LAYER.read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name == "Geometry":
            names = {line.target.id for line in node.body if isinstance(line, ast.AnnAssign)}
            return names - {"image"} | {"in"}
    raise AssertionError("Geometry is gone")


def read(path: str):
    with open(path, "rb") as file:
        m, n, k, in_zero, out_zero, *_ = struct.unpack("<8q", file.read(64))
        in_scale, out_scale = struct.unpack("<2f", file.read(8))
        w = array("b", file.read(n * k))
        w_scale = array("f", file.read(4 * n))
        bias = array("f", file.read(4 * n))
        x = array("B", file.read(m * k))
        assert not file.read(1)
    return m, n, k, in_zero, out_zero, in_scale, out_scale, w, w_scale, bias, x


def product(form: str, path: str) -> bytes:
    m, n, k, in_zero, out_zero, in_scale, out_scale, w, w_scale, bias, x = read(path)
    y = []
    for i in range(m):
        for j in range(n):
            total = sum((x[i * k + p] - in_zero) * w[j * k + p] for p in range(k))
            real = total * in_scale * w_scale[j] + bias[j]
            if form == "u8":
                y.append(min(max(round(real / out_scale) + out_zero, 0), 255))
            else:
                y.append(real)
    return bytes(y) if form == "u8" else array("f", y).tobytes()


def main() -> int:
    name = sys.argv[1]
    cap = sys.argv[sys.argv.index("--isa") + 1]

    def say(**answer):
        print(json.dumps(answer), flush=True)

    if name == "absent":
        say(absent="It was left at home.")
        return 0
    say(ready=True, peer=name, version="1.0", isa=name if name == "uncapped" else cap.upper())
    form = path = ""
    runs = 0
    for line in sys.stdin:
        request = json.loads(line)
        if request["cmd"] == "prepare":
            form, path = request["form"], request["data"]
            if name == "unready":
                say(absent="This shape is not to its taste.")
            elif set(request.get("conv") or geometry_fields()) != geometry_fields():
                say(absent="The convolution has other fields than drivers take.")
            else:
                say(ok=True, note="")
        elif request["cmd"] == "prepare_pass":
            if name == "unready":
                say(absent="This pass is not to its taste.")
            else:
                say(ok=True, note="")
        elif request["cmd"] == "run":
            runs += 1
            if name == "dies" and runs > 40:
                return 3
            if name == "garbage":
                print("Segmentation", flush=True)
                continue
            start = time.perf_counter_ns()
            for _ in range(request["iterations"]):
                pass
            say(seconds=(time.perf_counter_ns() - start) / 1e9 + 1e-6 * request["iterations"])
        elif request["cmd"] == "output":
            y = product(form, path)
            if name == "wrong":
                y = bytes(min(v + 2, 255) for v in y)
            with open(request["path"], "wb") as file:
                file.write(y)
            say(ok=True)
        else:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())

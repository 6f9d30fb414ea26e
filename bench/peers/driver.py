#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A peer library behind a pipe, for `octet bench gemm --peer` and `octet bench conv --peer`.

    driver.py NAME [--isa CAP] [--threads N]     serves one peer
    driver.py --self-test [NAME...] [--isa CAP]  checks peers against float64 arithmetic

Requests and replies are JSON, one a line, on standard input and output; what a library prints
goes to standard error.

start-up  {"ready": true, "peer", "version", "isa"} or {"absent": sentence}, which ends it
prepare   {"cmd": "prepare", "form", "m", "n", "k", "data": path, "copies": C}
          {"ok": true, "note"} or {"absent": sentence}
          forms: u8 (u8 -> u8), f32 (u8 -> float32), dynamic (float32, quantized in each call,
          -> float32) and fp32 (the library's float layer). layer.py says what the file holds.
          A convolution has "conv" besides, an object with batch, in, out, channels,
          out_channels, kernel, stride, dilation, pad_lo, pad_hi, out_pad, groups, transposed.
          copies (1): as many packed weights, used in turn, so that none stays in a cache
prepare_pass  {"cmd": "prepare_pass", "pass", "rows", "columns"}, answered as prepare is: a pass of
          `octet bench quant` over a float matrix, with one scale or one for each row
run       {"cmd": "run", "iterations": N}    {"seconds": total}
output    {"cmd": "output", "path": path}    {"ok": true}; the raw output, u8 or float32
quit      ends it

A request that makes no sense gets {"error": sentence} and changes nothing.
"""

import argparse
import gc
import importlib
import itertools
import json
import os
import sys
from time import perf_counter_ns

import caps

# Name: module, class, what the module needs.
PEERS = {
    "numpy": ("peer_numpy", "NumpyPeer"),
    "torch-x86": ("peer_torch", "TorchPeer"),
    "torch-onednn": ("peer_torch", "TorchPeer"),
    "torch-fbgemm": ("peer_torch", "TorchPeer"),
    "zentorch": ("peer_torch", "ZentorchPeer"),
    "ort": ("peer_ort", "OrtPeer"),
    "openvino": ("peer_openvino", "OpenvinoPeer"),
    "litert": ("peer_litert", "LitertPeer"),
}


def sentence(error: BaseException) -> str:
    """An exception as one line that ends like a sentence, without the places it came through."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not line.startswith("Exception from ")]
    return (telling or [type(error).__name__])[0][:300].rstrip(".") + "."


class Driver:
    def __init__(self, name: str, peer):
        import layer

        self.name, self.peer, self.layers = name, peer, layer
        self.remarks: dict[tuple, str] = {}  # what the probes for saturation found
        self.prepared = []
        self.calls = None

    def answer(self, request: dict) -> dict:
        command = request.get("cmd")
        if command not in ("prepare", "prepare_pass", "run", "output"):
            return {"error": f"Unknown command {command!r}: give prepare, run, output or quit."}
        try:
            return getattr(self, command)(request)
        except (KeyError, TypeError, ValueError, OSError) as error:
            return {"error": f"{command}: {type(error).__name__}: {sentence(error)}"}

    def prepare(self, request: dict) -> dict:
        form, copies = request["form"], int(request.get("copies", 1))
        if form not in self.layers.FORMS:
            return {"error": f"Unknown form {form!r}: give one of {', '.join(self.layers.FORMS)}."}
        if copies < 1:
            return {"error": f"copies is {copies}: give at least 1."}
        conv = "conv" in request
        if conv:
            layer = self.layers.ConvLayer.read_conv(request["data"], request["conv"])
        else:
            layer = self.layers.Layer.read(request["data"])
        build = self.peer.prepare_conv if conv else self.peer.prepare
        for name in ("m", "n", "k"):
            if name in request and request[name] != getattr(layer, name):
                return {"error": f"{name} is {request[name]}, the file's {getattr(layer, name)}."}
        try:
            prepared = [build(form, layer) for _ in range(copies)]
            for each in prepared:
                each.call()
            remark = self.saturation(form, layer.geometry.depthwise if conv else None)
        except self.layers.Absent as absent:
            return {"absent": str(absent)}
        except Exception as error:  # whatever the library raises is its refusal
            return {"absent": f"{self.name} refused: {sentence(error)}"}
        self.prepared = prepared
        self.calls = itertools.cycle([each.call for each in prepared])
        note = "; ".join(part for part in (prepared[0].note, remark) if part)
        return {"ok": True, "note": note}

    def prepare_pass(self, request: dict) -> dict:
        name, rows, columns = request["pass"], int(request["rows"]), int(request["columns"])
        try:
            prepared = self.peer.prepare_pass(name, rows, columns)
            prepared.call()
        except self.layers.Absent as absent:
            return {"absent": str(absent)}
        except Exception as error:  # whatever the library raises is its refusal
            return {"absent": f"{self.name} refused: {sentence(error)}"}
        self.prepared = [prepared]
        self.calls = itertools.repeat(prepared.call)
        return {"ok": True, "note": prepared.note}

    def saturation(self, form: str, depthwise: bool | None) -> str:
        """Asks once whether the largest products come out whole, in a product (depthwise is None),
        a depthwise convolution or another one: libraries have kernels of their own for each."""
        if form == "fp32":
            return ""
        kind = (form, depthwise)
        if kind not in self.remarks:
            self.remarks[kind] = ""
            if depthwise is None:
                for m in (1, 16):
                    self.probe(kind, self.peer.prepare, self.layers.saturating_layer(m))
            else:
                layer = self.layers.saturating_conv(depthwise)
                self.probe(kind, self.peer.prepare_conv, layer)
        return self.remarks[kind]

    def probe(self, kind: tuple, build, layer) -> None:
        form = kind[0]
        prepared = build(form, layer)
        prepared.call()
        exact = (layer.exact_u8 if form == "u8" else layer.exact).ravel()
        largest = int(exact.argmax())  # padding has no part in it
        got, expected = float(prepared.output().ravel()[largest]), float(exact[largest])
        if abs(got - expected) > 0.02 * expected:
            self.remarks[kind] = (
                f"saturates: 255 x 127 summed {layer.k} times is {expected:.0f} "
                f"and comes out as {got:.0f}"
            )

    def run(self, request: dict) -> dict:
        iterations = int(request["iterations"])
        if iterations < 1:
            return {"error": f"iterations is {iterations}: give at least 1."}
        if self.calls is None:
            return {"error": "Nothing is prepared: send prepare first."}
        calls = itertools.islice(self.calls, iterations)
        gc.disable()
        start = perf_counter_ns()
        for call in calls:
            call()
        stop = perf_counter_ns()
        gc.enable()
        return {"seconds": (stop - start) * 1e-9}

    def output(self, request: dict) -> dict:
        if not self.prepared:
            return {"error": "Nothing is prepared: send prepare first."}
        prepared = self.prepared[0]
        prepared.call()
        prepared.output().tofile(request["path"])
        return {"ok": True}


def serve(name: str, cap: str, threads: int) -> int:
    # The replies keep the pipe; file descriptor 1 becomes standard error for everybody else.
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def reply(value: dict) -> None:
        replies.write(json.dumps(value) + "\n")

    if cap == "scalar":
        reply({"absent": f"{name} has no scalar form."})
        return 0
    caps.apply(cap, threads)
    module, kind = PEERS[name]
    try:
        peer = getattr(importlib.import_module(module), kind)(name, cap, threads)
        driver = Driver(name, peer)
    except ModuleNotFoundError as error:
        reply({"absent": f"{error.name} is not installed: ./tools/peers installs it."})
        return 0
    except Exception as error:  # a library that cannot start is absent, whatever it raises
        reply({"absent": sentence(error)})
        return 0
    reply({"ready": True, "peer": name, "version": peer.version, "isa": peer.isa})

    for line in sys.stdin:
        try:
            request = json.loads(line)
        except json.JSONDecodeError as error:
            reply({"error": f"Not JSON: {sentence(error)}"})
            continue
        if not isinstance(request, dict):
            reply({"error": "A request is a JSON object."})
            continue
        if request.get("cmd") == "quit":
            break
        reply(driver.answer(request))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Serves one peer library to octet bench, or checks them."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PEERS))
    parser.add_argument("--isa", default="none", help="a cap: " + ", ".join(caps.CAPS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--self-test", action="store_true", help="check peers and end")
    given = parser.parse_args()
    for name in given.names:
        if name not in PEERS:
            parser.error(f"unknown peer '{name}'; the peers are {', '.join(PEERS)}.")
    given.isa = given.isa or "none"
    if given.isa not in caps.CAPS:
        parser.error(f"unknown cap '{given.isa}'; the caps are {', '.join(caps.CAPS)}.")
    if given.threads < 1:
        parser.error(f"--threads is {given.threads}: give at least 1.")
    if given.self_test:
        import self_test

        return self_test.main(given.names or list(PEERS), given.isa, given.threads)
    if len(given.names) != 1:
        parser.error("give one peer to serve.")
    return serve(given.names[0], given.isa, given.threads)


if __name__ == "__main__":
    sys.exit(main())

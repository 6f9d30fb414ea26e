# SPDX-License-Identifier: Apache-2.0
"""OpenVINO's CPU plugin: a quantized graph that it folds into one int8 layer.

The FakeQuantize on the input is what makes it treat the graph as a quantized one. Its oneDNN
reads ONEDNN_MAX_CPU_ISA and cannot be asked what it uses; the note tells the kernel it chose.
"""

from functools import partial

import numpy as np
import openvino as ov
import openvino.opset15 as op
from caps import effective_onednn
from layer import Layer
from openvino._pyopenvino import InferRequest
from peer import Peer, Prepared


def _floats(values) -> ov.Node:
    return op.constant(np.asarray(values, np.float32))


class OpenvinoPeer(Peer):
    def __init__(self, name: str, cap: str, threads: int):
        self.version = ov.__version__.split("-")[0]
        self.isa = effective_onednn(cap)
        self.core = ov.Core()
        self.settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_PRECISION_HINT": "f32",
        }

    def prepare(self, form: str, layer: Layer) -> Prepared:
        x = layer.input if form in ("u8", "f32") else layer.float_input
        settings = dict(self.settings)
        if form == "dynamic":  # one group of inputs a row: quantized per row
            settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = str(layer.k)
        compiled = self.core.compile_model(self._model(form, layer), "CPU", settings)
        request = compiled.create_infer_request()
        out = np.zeros((layer.m, layer.n), np.uint8 if form == "u8" else np.float32)
        x = np.ascontiguousarray(x)
        tensors = ov.Tensor(x, shared_memory=True), ov.Tensor(out, shared_memory=True)
        request.set_input_tensor(tensors[0])
        request.set_output_tensor(tensors[1])
        # The method below InferRequest.infer, which wraps every input and output anew.
        call = partial(InferRequest.infer, request, {}, share_outputs=True, decode_strings=False)
        keep = (compiled, request, tensors, x)
        return Prepared(call, lambda: out, self._note(form, compiled), keep)

    def _model(self, form: str, layer: Layer) -> ov.Model:
        if form in ("u8", "f32"):
            source = op.parameter([layer.m, layer.k], ov.Type.u8)
            low, high = self._range(layer.in_scale, layer.in_zero)
            x = op.convert(source, "f32")
            x = op.fake_quantize(x, _floats(0), _floats(255), low, high, 256)
        else:
            source = x = op.parameter([layer.m, layer.k], ov.Type.f32)
        if form == "fp32":
            weights = _floats(layer.float_weights)
        else:
            weights = op.convert(op.constant(layer.weights), "f32")
            weights = op.multiply(weights, _floats(layer.weight_scales[:, None]))
        y = op.add(op.matmul(x, weights, False, True), _floats(layer.bias[None]))
        if form == "u8":
            low, high = self._range(layer.out_scale, layer.out_zero)
            y = op.fake_quantize(y, low, high, _floats(0), _floats(255), 256)
            y = op.convert(y, "u8")
        return ov.Model([op.result(y)], [source], "layer")

    @staticmethod
    def _range(scale: np.float32, zero: int) -> tuple[ov.Node, ov.Node]:
        return _floats(scale * np.float32(-zero)), _floats(scale * np.float32(255 - zero))

    @staticmethod
    def _note(form: str, compiled: ov.CompiledModel) -> str:
        """The kernels that run; a layer that should be int8 and is not, is told."""
        kernels, quantized = [], False
        for node in compiled.get_runtime_model().get_ordered_ops():
            info = node.get_rt_info()
            layer = info["layerType"].astype(str)
            if layer not in ("Input", "Const", "Output"):
                kernels.append(info["primitiveType"].astype(str))
                precision = info["runtimePrecision"].astype(str)
                quantized |= layer == "FullyConnected" and precision in ("u8", "i8")
        note = " + ".join(kernels)
        if form == "fp32":
            return note
        if form == "dynamic" and quantized:
            return f"{note}, quantized per row"
        return note if quantized else f"{note}, in float32"

# SPDX-License-Identifier: Apache-2.0
"""OpenVINO's CPU plugin: a quantized graph that it folds into one int8 layer.

Its convolutions have their channels first; transposes around one give and take them last, which
the plugin joins with the layer where it can.

The FakeQuantize on the input is what makes it treat the graph as a quantized one. Its oneDNN
reads ONEDNN_MAX_CPU_ISA and cannot be asked what it uses; the note tells the kernel it chose.
"""

from functools import partial

import numpy as np
import openvino as ov
import openvino.opset15 as op
from caps import effective_onednn
from layer import ConvLayer, Layer
from openvino._pyopenvino import InferRequest
from peer import Peer, Prepared, only_u8

_LAYERS = ("FullyConnected", "Convolution", "GroupConvolution", "Deconvolution")


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
        out = np.zeros((layer.m, layer.n), np.uint8 if form == "u8" else np.float32)
        return self._run(self._model(form, layer), settings, x, out, form)

    def prepare_conv(self, form: str, layer: ConvLayer) -> Prepared:
        only_u8(form)
        out = np.zeros(layer.shape, np.uint8)
        return self._run(self._conv_model(layer), self.settings, layer.input, out, form)

    def _run(
        self, model: ov.Model, settings: dict, x: np.ndarray, out: np.ndarray, form: str
    ) -> Prepared:
        compiled = self.core.compile_model(model, "CPU", settings)
        request = compiled.create_infer_request()
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
            source, x = self._source([layer.m, layer.k], layer)
        else:
            source = x = op.parameter([layer.m, layer.k], ov.Type.f32)
        if form == "fp32":
            weights = _floats(layer.float_weights)
        else:
            weights = op.convert(op.constant(layer.weights), "f32")
            weights = op.multiply(weights, _floats(layer.weight_scales[:, None]))
        y = op.add(op.matmul(x, weights, False, True), _floats(layer.bias[None]))
        if form == "u8":
            y = self._bytes(y, layer)
        return ov.Model([op.result(y)], [source], "layer")

    def _conv_model(self, layer: ConvLayer) -> ov.Model:
        g = layer.geometry
        first = [0, g.rank + 1, *range(1, g.rank + 1)]
        last = [0, *range(2, g.rank + 2), 1]
        source, x = self._source(list(layer.input.shape), layer)
        x = op.transpose(x, op.constant(np.asarray(first)))
        og = g.out_channels // g.groups
        scales = layer.weight_scales.reshape(g.groups, og)
        weights = layer.inputs_first if g.transposed else layer.channels_first
        if g.groups > 1:
            split = (g.channels if g.transposed else g.out_channels) // g.groups
            weights = weights.reshape(g.groups, split, *weights.shape[1:])
        # One scale for each output channel, wherever its dim stands.
        shape = [g.groups] * (g.groups > 1) + ([1, og] if g.transposed else [og, 1])
        scales = scales.reshape(*shape, *[1] * g.rank)
        kernel = op.multiply(op.convert(op.constant(weights), "f32"), _floats(scales))
        if g.transposed:
            name = (
                "group_convolution_backprop_data" if g.groups > 1 else "convolution_backprop_data"
            )
            y = getattr(op, name)(
                x,
                kernel,
                g.stride,
                pads_begin=g.pad_lo,
                pads_end=g.pad_hi,
                dilations=g.dilation,
                output_padding=g.out_pad,
            )
        else:
            convolve = op.group_convolution if g.groups > 1 else op.convolution
            y = convolve(x, kernel, g.stride, g.pad_lo, g.pad_hi, g.dilation)
        y = op.add(y, _floats(layer.bias.reshape(1, -1, *[1] * g.rank)))
        y = op.transpose(self._bytes(y, layer), op.constant(np.asarray(last)))
        return ov.Model([op.result(y)], [source], "layer")

    def _source(self, shape: list[int], layer: Layer) -> tuple[ov.Node, ov.Node]:
        """The bytes, and the real numbers that they stand for."""
        source = op.parameter(shape, ov.Type.u8)
        low, high = self._range(layer.in_scale, layer.in_zero)
        x = op.convert(source, "f32")
        return source, op.fake_quantize(x, _floats(0), _floats(255), low, high, 256)

    def _bytes(self, y: ov.Node, layer: Layer) -> ov.Node:
        low, high = self._range(layer.out_scale, layer.out_zero)
        y = op.fake_quantize(y, low, high, _floats(0), _floats(255), 256)
        return op.convert(y, "u8")

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
                quantized |= layer in _LAYERS and precision in ("u8", "i8")
        note = " + ".join(kernels)
        if form == "fp32":
            return note
        if form == "dynamic" and quantized:
            return f"{note}, quantized per row"
        return note if quantized else f"{note}, in float32"

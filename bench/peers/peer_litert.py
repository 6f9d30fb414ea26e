# SPDX-License-Identifier: Apache-2.0
"""LiteRT with XNNPACK: a model of one FULLY_CONNECTED, or of one convolution.

Activations are s8 here: input and output are shifted by 128, zero points with them. The dynamic
form quantizes per row. XNNPACK chooses by CPUID and has no switch: it always runs uncapped.
"""

from importlib.metadata import version

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from layer import Absent, ConvLayer, Geometry, Layer
from peer import Peer, Prepared, only_u8

_KINDS = {
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.float32): schema.TensorType.FLOAT32,
}


def _quantization(scales, zeros) -> schema.QuantizationParametersT:
    """Per tensor, or per channel along dimension 0."""
    quantization = schema.QuantizationParametersT()
    quantization.scale = np.atleast_1d(np.asarray(scales, np.float32))
    quantization.zeroPoint = np.atleast_1d(np.asarray(zeros, np.int64))
    return quantization


class _Model:
    """A model in the file format; tensors go by the numbers that they get."""

    def __init__(self):
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model = schema.ModelT()
        self.model.version, self.model.operatorCodes = 3, []
        self.model.buffers = [schema.BufferT()]  # the first is the empty one
        self.model.subgraphs = [self.graph]

    def tensor(
        self, name: str, shape, kind, quantization=None, data: np.ndarray | None = None
    ) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.type = name, _KINDS[np.dtype(kind)]
        tensor.shape = np.asarray(shape, np.int32)
        tensor.quantization = quantization
        tensor.buffer = 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def node(self, name: str, options, inputs: list[int], output: int) -> None:
        """name: as schema.BuiltinOperator has it."""
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
        code.version = 12 if name == "FULLY_CONNECTED" else 3
        layer = schema.OperatorT()
        layer.opcodeIndex = len(self.model.operatorCodes)
        layer.inputs, layer.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        layer.builtinOptionsType = getattr(
            schema.BuiltinOptions, type(options).__name__.removesuffix("T")
        )
        layer.builtinOptions = options
        self.model.operatorCodes.append(code)
        self.graph.operators.append(layer)

    def finish(self, x: int, y: int) -> bytes:
        self.graph.inputs, self.graph.outputs = np.array([x], np.int32), np.array([y], np.int32)
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


class LitertPeer(Peer):
    def __init__(self, name: str, cap: str, threads: int):
        self.version = version("ai-edge-litert")
        self.threads = threads

    def prepare(self, form: str, layer: Layer) -> Prepared:
        if form == "f32":
            raise Absent("LiteRT has no static int8 layer with a float32 output.")
        model = _Model()
        if form == "u8":
            x = (layer.input ^ 0x80).view(np.int8)
            self._static(model, layer)
        else:
            x = layer.float_input
            self._float(model, layer, dynamic=form == "dynamic")
        options = schema.FullyConnectedOptionsT()
        options.asymmetricQuantizeInputs = form == "dynamic"
        model.node("FULLY_CONNECTED", options, [0, 1, 2], 3)
        note = {"u8": "s8 activations", "dynamic": "quantized per row"}.get(form, "")
        return self._run(model.finish(0, 3), x, form, note)

    def _run(self, content: bytes, x: np.ndarray, form: str, note: str) -> Prepared:
        interpreter = Interpreter(model_content=content, num_threads=self.threads)
        interpreter.allocate_tensors()
        if all(op["op_name"] != "DELEGATE" for op in interpreter._get_ops_details()):
            raise Absent("XNNPACK did not take this layer.")
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        y = interpreter.get_output_details()[0]["index"]

        def output() -> np.ndarray:
            got = interpreter.get_tensor(y)
            return got.view(np.uint8) ^ 0x80 if form == "u8" else got

        return Prepared(interpreter._interpreter.Invoke, output, note, interpreter)

    def prepare_conv(self, form: str, layer: ConvLayer) -> Prepared:
        only_u8(form)
        g = layer.geometry
        if g.rank == 3:
            raise Absent("LiteRT has no 3-D convolution in int8.")
        model = _Model()
        x = model.tensor("x", self._flat(layer.input.shape), np.int8, self._input(layer))
        y = model.tensor("y", self._flat(layer.shape), np.int8, self._output(layer))
        inputs = [x, *self._parameters(model, layer)]
        if g.transposed:
            inputs = self._transposed(model, layer, *inputs)
            name, options = "TRANSPOSE_CONV", schema.TransposeConvOptionsT()
            options.padding = self._transposed_padding(g)
        else:
            name, options = "CONV_2D", schema.Conv2DOptionsT()
            if g.depthwise:
                name, options = "DEPTHWISE_CONV_2D", schema.DepthwiseConv2DOptionsT()
                options.depthMultiplier = g.out_channels // g.groups
            dilation = [1, *g.dilation][-2:]
            options.dilationHFactor, options.dilationWFactor = dilation
            options.padding = self._padding(g)
            if options.padding is None:
                options.padding = schema.Padding.VALID
                inputs[0] = self._padded(model, layer, inputs[0])
        options.strideH, options.strideW = [1, *g.stride][-2:]
        model.node(name, options, inputs, y)
        data = (layer.input ^ 0x80).view(np.int8).reshape(self._flat(layer.input.shape))
        return self._run(model.finish(x, y), data, form, "s8 activations")

    @staticmethod
    def _flat(shape: tuple[int, ...]) -> tuple[int, ...]:
        """As an image of two dims: one of one dim is a row."""
        return shape if len(shape) == 4 else (shape[0], 1, *shape[1:])

    @staticmethod
    def _input(layer: Layer) -> schema.QuantizationParametersT:
        return _quantization(layer.in_scale, layer.in_zero - 128)

    @staticmethod
    def _output(layer: Layer) -> schema.QuantizationParametersT:
        return _quantization(layer.out_scale, layer.out_zero - 128)

    def _parameters(self, model: _Model, layer: ConvLayer) -> list[int]:
        channels = np.zeros(layer.n, np.int64)
        units = (layer.in_scale * layer.weight_scales).astype(np.float32)
        w, weights = _quantization(layer.weight_scales, channels), layer.kernel
        weights = weights.reshape(self._flat(weights.shape))
        if layer.geometry.depthwise and not layer.geometry.transposed:  # [1, kh, kw, O]
            weights = np.ascontiguousarray(np.moveaxis(weights[..., 0], 0, -1)[None])
            w.quantizedDimension = 3
        b = _quantization(units, channels)
        return [
            model.tensor("w", weights.shape, np.int8, w, weights),
            model.tensor("b", (layer.n,), np.int32, b, layer.int_bias),
        ]

    @staticmethod
    def _same(g: Geometry) -> list[tuple[int, int]]:
        """The pads that TensorFlow calls SAME; transposed, of the convolution that it undoes."""
        pads = []
        for d in range(g.rank):
            size = g.out[d] if g.transposed else g.image[d]
            steps = -(-size // g.stride[d])
            reach = (g.kernel[d] - 1) * g.dilation[d] + 1
            total = max((steps - 1) * g.stride[d] + reach - size, 0)
            pads.append((total // 2, total - total // 2))
        return pads

    def _padding(self, g: Geometry) -> int | None:
        pads = list(zip(g.pad_lo, g.pad_hi, strict=True))
        if not any(g.pad_lo + g.pad_hi):
            return schema.Padding.VALID
        return schema.Padding.SAME if pads == self._same(g) else None

    def _transposed_padding(self, g: Geometry) -> int:
        hi = [pad - more for pad, more in zip(g.pad_hi, g.out_pad, strict=True)]
        if g.groups > 1:
            raise Absent("LiteRT has no transposed convolution with groups.")
        if not any(g.pad_lo + hi):
            return schema.Padding.VALID
        if list(zip(g.pad_lo, hi, strict=True)) == self._same(g):
            return schema.Padding.SAME
        raise Absent("LiteRT pads transposed convolutions as SAME or VALID do, in no other way.")

    def _transposed(self, model: _Model, layer: ConvLayer, x: int, w: int, b: int) -> list[int]:
        shape = np.asarray(self._flat(layer.shape), np.int32)
        return [model.tensor("shape", (4,), np.int32, None, shape), w, x, b]

    def _padded(self, model: _Model, layer: ConvLayer, x: int) -> int:
        """A PAD before it, which XNNPACK joins with the convolution."""
        g = layer.geometry
        pads = [(0, 0)] * (3 - g.rank) + list(zip(g.pad_lo, g.pad_hi, strict=True)) + [(0, 0)]
        shape = [size + sum(p) for size, p in zip(self._flat(layer.input.shape), pads, strict=True)]
        table = model.tensor("pads", (4, 2), np.int32, None, np.asarray(pads, np.int32))
        y = model.tensor("padded", shape, np.int8, self._input(layer))
        model.node("PAD", schema.PadOptionsT(), [x, table], y)
        return y

    @staticmethod
    def _static(model: _Model, layer: Layer) -> None:
        channels = np.zeros(layer.n, np.int64)
        units = (layer.in_scale * layer.weight_scales).astype(np.float32)
        x, y = LitertPeer._input(layer), LitertPeer._output(layer)
        w, b = _quantization(layer.weight_scales, channels), _quantization(units, channels)
        model.tensor("x", (layer.m, layer.k), np.int8, x)
        model.tensor("w", (layer.n, layer.k), np.int8, w, layer.weights)
        model.tensor("b", (layer.n,), np.int32, b, layer.int_bias)
        model.tensor("y", (layer.m, layer.n), np.int8, y)

    @staticmethod
    def _float(model: _Model, layer: Layer, dynamic: bool) -> None:
        model.tensor("x", (layer.m, layer.k), np.float32)
        if dynamic:
            w = _quantization(layer.weight_scales, np.zeros(layer.n, np.int64))
            model.tensor("w", (layer.n, layer.k), np.int8, w, layer.weights)
        else:
            model.tensor("w", (layer.n, layer.k), np.float32, None, layer.float_weights)
        model.tensor("b", (layer.n,), np.float32, None, layer.bias)
        model.tensor("y", (layer.m, layer.n), np.float32)

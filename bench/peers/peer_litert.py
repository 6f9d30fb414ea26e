# SPDX-License-Identifier: Apache-2.0
"""LiteRT with XNNPACK: a model of one FULLY_CONNECTED.

Activations are s8 here: input and output are shifted by 128, zero points with them. The dynamic
form quantizes per row. XNNPACK chooses by CPUID and has no switch: it always runs uncapped.
"""

from importlib.metadata import version

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from layer import Absent, Layer
from peer import Peer, Prepared

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
    """A model of one FULLY_CONNECTED in the file format: tensors 0, 1, 2 and 3 are x, w, b, y."""

    def __init__(self):
        self.graph = schema.SubGraphT()
        self.graph.tensors = []
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]  # the first is the empty one
        self.model.subgraphs = [self.graph]

    def tensor(self, name: str, shape, kind, quantization=None, data: np.ndarray | None = None):
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

    def finish(self, asymmetric: bool) -> bytes:
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
        code.version = 12
        self.model.operatorCodes = [code]
        options = schema.FullyConnectedOptionsT()
        options.asymmetricQuantizeInputs = asymmetric
        layer = schema.OperatorT()
        layer.opcodeIndex = 0
        layer.inputs, layer.outputs = np.array([0, 1, 2], np.int32), np.array([3], np.int32)
        layer.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
        layer.builtinOptions = options
        self.graph.operators = [layer]
        self.graph.inputs, self.graph.outputs = np.array([0], np.int32), np.array([3], np.int32)
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
        interpreter = Interpreter(
            model_content=model.finish(form == "dynamic"), num_threads=self.threads
        )
        interpreter.allocate_tensors()
        if all(op["op_name"] != "DELEGATE" for op in interpreter._get_ops_details()):
            raise Absent("XNNPACK did not take this layer.")
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        y = interpreter.get_output_details()[0]["index"]

        def output() -> np.ndarray:
            got = interpreter.get_tensor(y)
            return got.view(np.uint8) ^ 0x80 if form == "u8" else got

        note = {"u8": "s8 activations", "dynamic": "quantized per row"}.get(form, "")
        return Prepared(interpreter._interpreter.Invoke, output, note, interpreter)

    @staticmethod
    def _static(model: _Model, layer: Layer) -> None:
        channels = np.zeros(layer.n, np.int64)
        units = (layer.in_scale * layer.weight_scales).astype(np.float32)
        x = _quantization(layer.in_scale, layer.in_zero - 128)
        y = _quantization(layer.out_scale, layer.out_zero - 128)
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

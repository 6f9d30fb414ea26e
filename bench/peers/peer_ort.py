# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime (its MLAS kernels): a model of one node, bound to fixed buffers.

Convolutions are its QLinearConv with channels last, as its own optimizer makes them.

MLAS chooses by CPUID and has no switch: it always runs uncapped. The bias of the int8 nodes is
int32, so it is rounded to the unit of the products.
"""

from functools import partial

import numpy as np
import onnxruntime as ort
from layer import Absent, ConvLayer, Layer
from onnx import TensorProto, helper, numpy_helper
from peer import Peer, Prepared, only_u8

_KINDS = {np.dtype(np.uint8): TensorProto.UINT8, np.dtype(np.float32): TensorProto.FLOAT}


class OrtPeer(Peer):
    def __init__(self, name: str, cap: str, threads: int):
        self.version = ort.__version__
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        self.options = options

    def prepare(self, form: str, layer: Layer) -> Prepared:
        turned = np.ascontiguousarray(layer.weights.T)
        zeros = np.zeros(layer.n, np.int8)
        if form in ("u8", "f32"):
            values = {
                "x_scale": layer.in_scale,
                "x_zero": np.uint8(layer.in_zero),
                "w": turned,
                "w_scale": layer.weight_scales,
                "w_zero": zeros,
                "bias": layer.int_bias,
            }
            if form == "u8":
                values |= {"y_scale": layer.out_scale, "y_zero": np.uint8(layer.out_zero)}
            return self._bind("QGemm", "com.microsoft", layer.input, values, form)
        if form == "dynamic":
            values = {"w": turned, "w_scale": layer.weight_scales, "w_zero": zeros}
            values["bias"] = layer.bias
            return self._bind(
                "DynamicQuantizeMatMul", "com.microsoft", layer.float_input, values, form
            )
        values = {"w": np.ascontiguousarray(layer.float_weights.T), "bias": layer.bias}
        return self._bind("Gemm", "", layer.float_input, values, form)

    def prepare_conv(self, form: str, layer: ConvLayer) -> Prepared:
        only_u8(form)
        g = layer.geometry
        if g.transposed:
            raise Absent("ONNX Runtime has no transposed convolution in int8.")
        values = {
            "x_scale": layer.in_scale,
            "x_zero": np.uint8(layer.in_zero),
            "w": layer.channels_first,
            "w_scale": layer.weight_scales,
            "w_zero": np.zeros(layer.n, np.int8),
            "y_scale": layer.out_scale,
            "y_zero": np.uint8(layer.out_zero),
            "bias": layer.int_bias,
        }
        attributes = {
            "channels_last": 1,
            "kernel_shape": g.kernel,
            "strides": g.stride,
            "dilations": g.dilation,
            "pads": g.pad_lo + g.pad_hi,
            "group": g.groups,
        }
        return self._bind(
            "QLinearConv", "com.microsoft", layer.input, values, form, layer.shape, attributes
        )

    def _bind(
        self,
        node: str,
        domain: str,
        x: np.ndarray,
        values: dict,
        form: str,
        shape: tuple[int, ...] | None = None,
        attributes: dict | None = None,
    ) -> Prepared:
        shape = shape or (x.shape[0], values["w"].shape[1])
        out = np.zeros(shape, np.uint8 if form == "u8" else np.float32)
        graph = helper.make_graph(
            [helper.make_node(node, ["x", *values], ["y"], domain=domain, **(attributes or {}))],
            "layer",
            [helper.make_tensor_value_info("x", _KINDS[x.dtype], x.shape)],
            [helper.make_tensor_value_info("y", _KINDS[out.dtype], shape)],
            [numpy_helper.from_array(np.asarray(v), name) for name, v in values.items()],
        )
        versions = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=versions, ir_version=8)
        session = ort.InferenceSession(
            model.SerializeToString(), self.options, providers=["CPUExecutionProvider"]
        )
        binding = session.io_binding()
        bound_x, bound_y = (ort.OrtValue.ortvalue_from_numpy(array) for array in (x, out))
        binding.bind_ortvalue_input("x", bound_x)
        binding.bind_ortvalue_output("y", bound_y)
        call = partial(session._sess.run_with_iobinding, binding._iobinding, None)
        note = f"{node}, quantized per tensor" if form == "dynamic" else node
        return Prepared(call, bound_y.numpy, note, (session, binding, bound_x, bound_y, x, out))

# SPDX-License-Identifier: Apache-2.0
"""PyTorch's quantized engines (x86, onednn, fbgemm) and AMD's zentorch beside them.

An operator's `_op` is the bound C++ function below the Python wrappers, the shortest way in.
quantized.linear allocates its output in every call; there is no other way to call it.
"""

import ctypes
import os
import re
import warnings
from functools import partial

import numpy as np
import torch
from layer import Absent, ConvLayer, Layer
from peer import Peer, Prepared, only_u8, stdout_captured

warnings.filterwarnings("ignore")

# fbgemm's inst_set_t.
_FBGEMM_SETS = ["anyarch", "avx2", "avx512", "avx512_ymm", "avx512_vnni", "avx512_vnni_ymm"]


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.copy())


def _one(value: float, kind: torch.dtype) -> torch.Tensor:
    return torch.tensor([value], dtype=kind)


def onednn_version() -> str:
    found = re.search(r"MKL-DNN v([\d.]+)", torch.__config__.show())
    return found.group(1).rstrip(".") if found else "unknown"


def onednn_name(words: str) -> str:
    """oneDNN's sentence about an ISA as the name that ONEDNN_MAX_CPU_ISA takes."""
    if "AMX" in words:
        return "avx512_core_amx"
    if "AVX-512" in words:
        if "DL Boost" not in words:
            return "avx512_core"
        return "avx512_core_bf16" if "bfloat16" in words else "avx512_core_vnni"
    if "AVX2" in words:
        return "avx2_vnni" if "DL Boost" in words else "avx2"
    return words


def onednn_isa() -> str:
    """What PyTorch's oneDNN says it uses: the head of its verbose log, written once."""
    verbose = torch.backends.mkldnn.verbose
    with stdout_captured() as lines, verbose(torch.backends.mkldnn.VERBOSE_ON):
        weights = torch.ones(32, 32).to_mkldnn()
        torch.ops.mkldnn._linear_pointwise(torch.ones(4, 32), weights, None, "none", [], "")
    for line in lines:
        if "info,cpu,isa:" in line:
            return onednn_name(line.split("isa:", 1)[1])
    return "unknown"


def fbgemm_isa() -> str:
    library = os.path.join(os.path.dirname(torch.__file__), "lib", "libtorch_cpu.so")
    try:
        number = ctypes.CDLL(library)._ZN6fbgemm20fbgemmInstructionSetEv()
        return _FBGEMM_SETS[number]
    except (OSError, AttributeError, IndexError):
        return "unknown"


class TorchPeer(Peer):
    """One of torch.backends.quantized's engines."""

    def __init__(self, name: str, cap: str, threads: int):
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self.engine = name.removeprefix("torch-")
        if self.engine not in torch.backends.quantized.supported_engines:
            raise Absent(f"This build of PyTorch has no quantized engine {self.engine}.")
        torch.backends.quantized.engine = self.engine
        version = torch.__version__
        if self.engine == "onednn":
            self.version, self.isa = f"{version} (oneDNN {onednn_version()})", onednn_isa()
        else:
            self.version, self.isa = f"{version} (FBGEMM)", fbgemm_isa()

    def prepare(self, form: str, layer: Layer) -> Prepared:
        build = {"u8": self._u8, "f32": self._f32, "dynamic": self._dynamic, "fp32": self._fp32}
        call = build[form](layer)
        if form == "u8":
            return Prepared(call, lambda: call().int_repr().numpy())
        return Prepared(
            call, lambda: call().numpy(), "quantized per tensor" if form == "dynamic" else ""
        )

    def prepare_pass(self, name: str, rows: int, columns: int) -> Prepared:
        """The operator that does the same; most allocate their output in every call.

        What they free stays with the process, so that no call waits for the kernel to give and
        clear pages.
        """
        m_trim_threshold, m_mmap_max = -1, -4
        libc = ctypes.CDLL(None)
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, 2**31 - 1)
        aten = torch.ops.aten
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(rows, columns, generator=generator)
        scale, zero = _one(0.03, torch.float32), _one(0, torch.int32)
        scales, zeros = scale.expand(rows).clone(), zero.expand(rows).clone()
        on = torch.ones(1, dtype=torch.int64)
        low, high = _one(-4.0, torch.float32), _one(4.0, torch.float32)

        def quantized():
            return torch.quantize_per_tensor(x, 0.03, 128, torch.quint8)

        def by_rows():
            return torch.quantize_per_channel(x, scales, zeros, 0, torch.qint8)

        def mask():
            return torch.rand(rows, columns, generator=generator) < 0.9

        def histogram():
            from torch.ao.quantization import HistogramObserver

            observer = HistogramObserver()
            observer(x)
            return partial(observer, x)

        fake = aten.fake_quantize_per_tensor_affine_cachemask.default._op
        fake_rows = aten.fake_quantize_per_channel_affine_cachemask.default._op
        backward = aten.fake_quantize_per_tensor_affine_cachemask_backward.default._op
        learn = aten._fake_quantize_learnable_per_tensor_affine_backward.default._op
        fused = aten._fused_moving_avg_obs_fq_helper.default._op
        calls = {
            "quantize": lambda: partial(
                aten.quantize_per_tensor.default._op, x, 0.03, 128, torch.quint8
            ),
            "quantize_rows": lambda: partial(
                aten.quantize_per_channel.default._op, x, scales, zeros, 0, torch.qint8
            ),
            "dequantize": lambda: partial(aten.dequantize.self._op, quantized()),
            "dequantize_rows": lambda: partial(aten.dequantize.self._op, by_rows()),
            "fake_quant": lambda: partial(fake, x, 0.03, 0, -128, 127),
            "fake_quant_rows": lambda: partial(fake_rows, x, scales, zeros, 0, -128, 127),
            "backward": lambda: partial(backward, x, mask()),
            "learn_backward": lambda: partial(
                learn, x.clone(), x, scale, _one(0.0, torch.float32), -128, 127, 1.0
            ),
            "step": lambda: partial(
                fused, x, on, on, low, high, scale, zero, 0.01, -128, 127, 0, False, False
            ),
            "clip": lambda: partial(aten.clamp.default._op, x, -1.0, 1.0),
            "min_max": lambda: partial(aten.aminmax.default._op, x),
            "histogram": histogram,
        }
        if name not in calls:
            raise Absent("PyTorch has no operator for this pass.")
        return Prepared(calls[name](), lambda: np.empty(0))

    def prepare_conv(self, form: str, layer: ConvLayer) -> Prepared:
        only_u8(form)
        g = layer.geometry
        if g.transposed:
            raise Absent("PyTorch's transposed convolution has no scale for each channel.")
        x, pads, note = self._image(layer), g.pad_lo, ""
        if not g.symmetric:
            x, pads, note = self._padded(layer), [0] * g.rank, "padding is part of its input"
        prepack = getattr(torch.ops.quantized, f"conv{g.rank}d_prepack")
        packed = prepack(
            self._kernel(layer), _tensor(layer.bias), g.stride, pads, g.dilation, g.groups
        )
        op = getattr(torch.ops.quantized, f"conv{g.rank}d")
        op = (op.default if g.rank == 1 else op.new)._op
        call = partial(op, x, packed, float(layer.out_scale), layer.out_zero)

        def output() -> np.ndarray:
            return np.ascontiguousarray(np.moveaxis(call().int_repr().numpy(), 1, -1))

        return Prepared(call, output, note)

    def _image(self, layer: ConvLayer) -> torch.Tensor:
        """Channels first by its strides, last in memory."""
        x = torch._make_per_tensor_quantized_tensor(
            _tensor(layer.input), float(layer.in_scale), layer.in_zero
        )
        return x.movedim(-1, 1)

    def _padded(self, layer: ConvLayer) -> torch.Tensor:
        g = layer.geometry
        sides = [(0, 0), *zip(g.pad_lo, g.pad_hi, strict=True), (0, 0)]
        image = np.pad(layer.input, sides, constant_values=layer.in_zero)
        x = torch._make_per_tensor_quantized_tensor(
            _tensor(image), float(layer.in_scale), layer.in_zero
        )
        return x.movedim(-1, 1)

    def _kernel(self, layer: ConvLayer) -> torch.Tensor:
        return torch._make_per_channel_quantized_tensor(
            _tensor(layer.channels_first),
            _tensor(layer.weight_scales).double(),
            torch.zeros(layer.n, dtype=torch.int64),
            0,
        )

    def _weights(self, layer: Layer) -> torch.Tensor:
        return torch._make_per_channel_quantized_tensor(
            _tensor(layer.weights),
            _tensor(layer.weight_scales).double(),
            torch.zeros(layer.n, dtype=torch.int64),
            0,
        )

    def _packed(self, layer: Layer):
        # One packed weight serves one form: an engine may cache its primitive in it.
        return torch.ops.quantized.linear_prepack(self._weights(layer), _tensor(layer.bias))

    def _u8(self, layer: Layer):
        x = torch._make_per_tensor_quantized_tensor(
            _tensor(layer.input), float(layer.in_scale), layer.in_zero
        )
        linear = torch.ops.quantized.linear.default._op
        return partial(linear, x, self._packed(layer), float(layer.out_scale), layer.out_zero)

    def _f32(self, layer: Layer):
        if self.engine != "onednn":
            raise Absent(f"The engine {self.engine} has no static layer with a float32 output.")
        packed = torch.ops.onednn.qlinear_prepack(_tensor(layer.weights), None)
        return partial(
            torch.ops.onednn.qlinear_pointwise.default._op,
            _tensor(layer.input),
            float(layer.in_scale),
            layer.in_zero,
            packed,
            _tensor(layer.weight_scales),
            torch.zeros(layer.n, dtype=torch.int64),
            _tensor(layer.bias),
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )

    def _dynamic(self, layer: Layer):
        linear = torch.ops.quantized.linear_dynamic.default._op
        return partial(linear, _tensor(layer.float_input), self._packed(layer), False)

    def _fp32(self, layer: Layer):
        x, weights = _tensor(layer.float_input), _tensor(layer.float_weights)
        bias = _tensor(layer.bias)
        if self.engine != "onednn":
            return partial(torch._C._nn.linear, x, weights, bias)
        packed = torch.ops.mkldnn._reorder_linear_weight(weights, layer.m)
        linear = torch.ops.mkldnn._linear_pointwise.default._op
        return partial(linear, x, packed, bias, "none", [], "")


class ZentorchPeer(Peer):
    """zentorch's prepacked operators.

    Only copies are packed and nothing runs on plain weights: zentorch packs those in place and
    remembers them by address.
    """

    def __init__(self, name: str, cap: str, threads: int):
        if cap not in ("none", "avx512vnni", "amx"):
            raise Absent(
                f"zentorch has no int8 kernel under the cap {cap}: made to run below "
                "AVX-512-VNNI it returns memory that nothing wrote."
            )
        import zentorch

        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        self.ops = torch.ops.zentorch
        found = re.search(r"ZENDNNL v([\d.]+)", str(zentorch.__config__))
        zendnn = f"ZenDNN {found.group(1)}, " if found else ""
        self.version = f"{zentorch.__version__} ({zendnn}torch {torch.__version__})"

    def prepare(self, form: str, layer: Layer) -> Prepared:
        kind = torch.uint8 if form == "u8" else torch.float32
        out = torch.empty(layer.m, layer.n, dtype=kind)
        call = getattr(self, f"_{form}")(layer, out)
        return Prepared(call, out.numpy, "quantized per row" if form == "dynamic" else "")

    def _qlinear(self, layer: Layer, out: torch.Tensor, scale, zero):
        pack = self.ops.zentorch_weight_prepack_for_dynamic_qlinear
        return partial(
            self.ops.zentorch_qlinear.out._op,
            out,
            _tensor(layer.input),
            pack(_tensor(layer.weights), True),
            _one(layer.in_scale, torch.float32),
            _one(layer.in_zero, torch.int32),
            _tensor(layer.weight_scales),
            None,
            _tensor(layer.bias),
            scale,
            zero,
            out.dtype,
            is_weight_prepacked=True,
        )

    def _u8(self, layer: Layer, out: torch.Tensor):
        scale, zero = _one(layer.out_scale, torch.float32), _one(layer.out_zero, torch.int32)
        return self._qlinear(layer, out, scale, zero)

    def _f32(self, layer: Layer, out: torch.Tensor):
        return self._qlinear(layer, out, None, None)

    def _dynamic(self, layer: Layer, out: torch.Tensor):
        pack = self.ops.zentorch_weight_prepack_for_dynamic_qlinear
        return partial(
            self.ops.zentorch_dynamic_qlinear.out._op,
            _tensor(layer.float_input),
            pack(_tensor(layer.weights), False),
            _tensor(layer.weight_scales),
            _tensor(layer.bias),
            is_weight_prepacked=True,
            out=out,
        )

    def _fp32(self, layer: Layer, out: torch.Tensor):
        return partial(
            self.ops.zentorch_linear_unary.out._op,
            _tensor(layer.float_input),
            self.ops.zentorch_weight_prepack_for_linear(_tensor(layer.float_weights)),
            _tensor(layer.bias),
            is_weight_prepacked=True,
            out=out,
        )

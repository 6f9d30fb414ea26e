# SPDX-License-Identifier: Apache-2.0
"""NumPy, in plain arithmetic: no rival, but the protocol's partner where nothing is installed."""

import numpy as np
from layer import ConvLayer, Layer
from peer import Peer, Prepared, only_u8


class NumpyPeer(Peer):
    def __init__(self, name: str, cap: str, threads: int):
        self.version = np.__version__

    def prepare(self, form: str, layer: Layer) -> Prepared:
        out = np.empty((layer.m, layer.n), np.uint8 if form == "u8" else np.float32)
        weights = layer.weights.T.astype(np.float64)
        units = np.float64(layer.in_scale) * layer.weight_scales.astype(np.float64)
        bias, x = layer.bias.astype(np.float64), layer.input
        in_zero, out_zero = layer.in_zero, layer.out_zero
        out_scale = np.float64(layer.out_scale)

        def real() -> np.ndarray:
            return (x - np.float64(in_zero)) @ weights * units + bias

        def u8() -> None:
            out[:] = np.clip(np.rint(real() / out_scale) + out_zero, 0, 255)

        def f32() -> None:
            out[:] = real()

        def dynamic() -> None:
            values = layer.float_input
            low, high = min(0.0, values.min()), max(0.0, values.max())
            scale = (high - low) / 255 or 1.0
            zero = np.rint(-low / scale)
            steps = np.clip(np.rint(values / scale) + zero, 0, 255) - zero
            out[:] = steps @ weights * (scale * layer.weight_scales) + bias

        def fp32() -> None:
            np.matmul(layer.float_input, layer.float_weights.T, out=out)
            np.add(out, layer.bias, out=out)

        call = {"u8": u8, "f32": f32, "dynamic": dynamic, "fp32": fp32}[form]
        return Prepared(call, lambda: out)

    def prepare_conv(self, form: str, layer: ConvLayer) -> Prepared:
        only_u8(form)
        out = np.empty(layer.shape, np.uint8)
        units = np.float64(layer.in_scale) * layer.weight_scales.astype(np.float64)

        def call() -> None:
            real = layer.convolve() * units + layer.bias.astype(np.float64)
            steps = np.rint(real / np.float64(layer.out_scale)) + layer.out_zero
            out[:] = np.clip(steps, 0, 255)

        return Prepared(call, lambda: out)

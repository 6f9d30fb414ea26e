# SPDX-License-Identifier: Apache-2.0
"""One linear layer as the benchmark hands it over, and what its exact output is.

The file, little endian: 8 int64 (m, n, k, zero point of the input, of the output, 0, 0, 0),
2 float32 (scale of the input, of the output), then the weights s8 [n, k], their scales float32
[n], the bias float32 [n] and the input u8 [m, k].
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

FORMS = ("u8", "f32", "dynamic", "fp32")


class Absent(Exception):
    """What a peer cannot do; the text is a sentence for the report."""


@dataclass
class Layer:
    m: int
    n: int
    k: int
    in_zero: int
    out_zero: int
    in_scale: np.float32
    out_scale: np.float32
    weights: np.ndarray  # s8 [n, k]
    weight_scales: np.ndarray  # float32 [n]
    bias: np.ndarray  # float32 [n]
    input: np.ndarray  # u8 [m, k]

    @classmethod
    def read(cls, path: str) -> "Layer":
        with open(path, "rb") as file:

            def take(kind: str, *shape: int) -> np.ndarray:
                count = int(np.prod(shape))
                data = np.fromfile(file, kind, count)
                if data.size != count:
                    raise ValueError(f"{path} ends early: give a whole layer.")
                return data.reshape(shape)

            m, n, k, in_zero, out_zero = (int(v) for v in take("<i8", 8)[:5])
            if min(m, n, k) < 1:
                raise ValueError(f"{path} has the shape {m} {n} {k}: each must be at least 1.")
            in_scale, out_scale = take("<f4", 2)
            return cls(
                m,
                n,
                k,
                in_zero,
                out_zero,
                in_scale,
                out_scale,
                weights=take("i1", n, k),
                weight_scales=take("<f4", n),
                bias=take("<f4", n),
                input=take("u1", m, k),
            )

    def write(self, path: str) -> None:
        head = [self.m, self.n, self.k, self.in_zero, self.out_zero, 0, 0, 0]
        with open(path, "wb") as file:
            np.array(head, "<i8").tofile(file)
            np.array([self.in_scale, self.out_scale], "<f4").tofile(file)
            for array in (self.weights, self.weight_scales, self.bias, self.input):
                array.tofile(file)

    @cached_property
    def float_input(self) -> np.ndarray:
        """The input as float32: what the dynamic and the float form begin with."""
        return (self.input.astype(np.float32) - np.float32(self.in_zero)) * self.in_scale

    @cached_property
    def float_weights(self) -> np.ndarray:
        return self.weights.astype(np.float32) * self.weight_scales[:, None]

    @cached_property
    def int_bias(self) -> np.ndarray:
        """The bias in units of the products, for peers that take an int32 one."""
        units = np.float64(self.in_scale) * self.weight_scales.astype(np.float64)
        limits = np.iinfo(np.int32)
        return np.clip(np.rint(self.bias / units), limits.min, limits.max).astype(np.int32)

    @cached_property
    def exact(self) -> np.ndarray:
        """The output in real numbers, in float64, where every product and sum is exact."""
        sums = (self.input.astype(np.float64) - self.in_zero) @ self.weights.T.astype(np.float64)
        units = np.float64(self.in_scale) * self.weight_scales.astype(np.float64)
        return sums * units + self.bias.astype(np.float64)

    @cached_property
    def exact_u8(self) -> np.ndarray:
        steps = np.rint(self.exact / np.float64(self.out_scale)) + self.out_zero
        return np.clip(steps, 0, 255).astype(np.uint8)


def saturating_layer(m: int, n: int = 64, k: int = 64) -> Layer:
    """The largest input times the largest weight: two products in an int16 lane overflow it.

    Every output is 200 steps; saturated pairs give about half of it.
    """
    units = 255 * 127 * k
    return Layer(
        m,
        n,
        k,
        in_zero=0,
        out_zero=0,
        in_scale=np.float32(1),
        out_scale=np.float32(units / 200),
        weights=np.full((n, k), 127, np.int8),
        weight_scales=np.ones(n, np.float32),
        bias=np.zeros(n, np.float32),
        input=np.full((m, k), 255, np.uint8),
    )


def random_layer(rng: np.random.Generator, m: int, n: int, k: int) -> Layer:
    """A layer as trained ones look: Gaussian weights per channel, the output in its range."""
    weights = np.clip(np.rint(rng.normal(0, 38, (n, k))), -127, 127).astype(np.int8)
    layer = Layer(
        m,
        n,
        k,
        in_zero=113,
        out_zero=0,
        in_scale=np.float32(0.02),
        out_scale=np.float32(1),
        weights=weights,
        weight_scales=(0.001 + 0.01 * rng.random(n)).astype(np.float32),
        bias=rng.normal(0, 1, n).astype(np.float32),
        input=rng.integers(0, 256, (m, k)).astype(np.uint8),
    )
    low, high = min(0.0, layer.exact.min()), max(0.0, layer.exact.max())
    layer.out_scale = np.float32((high - low) / 255)
    layer.out_zero = int(np.clip(np.rint(-low / layer.out_scale), 0, 255))
    return layer

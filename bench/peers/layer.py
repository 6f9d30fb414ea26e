# SPDX-License-Identifier: Apache-2.0
"""One layer as the benchmark hands it over, and what its exact output is.

The file, little endian: 8 int64 (m, n, k, zero point of the input, of the output, elements of the
input, 0, 0), 2 float32 (scale of the input, of the output), then the weights s8 [n, k], their
scales float32 [n], the bias float32 [n] and the input u8 [m, k].

Of a convolution, m n k are those of the product with as many multiply-adds; the weights are
[O, (kd, (kh,)) kw, I / groups], the input [N, (D, (H,)) W, C]. The request says the rest.
"""

import itertools
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
    def read(cls, path: str, shape: tuple[int, ...] | None = None, **more) -> "Layer":
        """shape: of the input, where it is not [m, k]; more: what a subclass has besides."""
        with open(path, "rb") as file:

            def take(kind: str, *shape: int) -> np.ndarray:
                count = int(np.prod(shape))
                data = np.fromfile(file, kind, count)
                if data.size != count:
                    raise ValueError(f"{path} ends early: give a whole layer.")
                return data.reshape(shape)

            m, n, k, in_zero, out_zero, *_ = (int(v) for v in take("<i8", 8))
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
                input=take("u1", *(shape or (m, k))),
                **more,
            )

    def write(self, path: str) -> None:
        head = [self.m, self.n, self.k, self.in_zero, self.out_zero, self.input.size, 0, 0]
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
    def sums(self) -> np.ndarray:
        return (self.input.astype(np.float64) - self.in_zero) @ self.weights.T.astype(np.float64)

    @cached_property
    def exact(self) -> np.ndarray:
        """The output in real numbers, in float64, where every product and sum is exact."""
        units = np.float64(self.in_scale) * self.weight_scales.astype(np.float64)
        return self.sums * units + self.bias.astype(np.float64)

    @cached_property
    def exact_u8(self) -> np.ndarray:
        steps = np.rint(self.exact / np.float64(self.out_scale)) + self.out_zero
        return np.clip(steps, 0, 255).astype(np.uint8)


@dataclass
class Geometry:
    """A convolution's; lists have one entry for each spatial dim, D H W, H W or W."""

    batch: int
    channels: int
    out_channels: int
    groups: int
    transposed: bool
    kernel: list[int]
    stride: list[int]
    dilation: list[int]
    pad_lo: list[int]
    pad_hi: list[int]
    out_pad: list[int]
    out: list[int]  # extents of the output
    image: list[int]  # of the input

    @classmethod
    def of(cls, request: dict) -> "Geometry":
        fields = dict(request)
        fields["image"] = fields.pop("in")
        return cls(**fields)

    @property
    def request(self) -> dict:
        fields = dict(vars(self))
        fields["in"] = fields.pop("image")
        return fields

    @property
    def rank(self) -> int:
        return len(self.image)

    @property
    def symmetric(self) -> bool:
        return self.pad_lo == self.pad_hi

    @property
    def depthwise(self) -> bool:
        return self.groups > 1 and self.groups == self.channels


@dataclass
class ConvLayer(Layer):
    geometry: Geometry

    @classmethod
    def read_conv(cls, path: str, request: dict) -> "ConvLayer":
        g = Geometry.of(request)
        return cls.read(path, (g.batch, *g.image, g.channels), geometry=g)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the output."""
        return (self.geometry.batch, *self.geometry.out, self.geometry.out_channels)

    @property
    def kernel(self) -> np.ndarray:
        """The weights, [O, (kd, (kh,)) kw, I / groups]."""
        g = self.geometry
        return self.weights.reshape(g.out_channels, *g.kernel, g.channels // g.groups)

    @property
    def channels_first(self) -> np.ndarray:
        """The weights as PyTorch and ONNX have them: [O, I / groups, ...]."""
        return np.ascontiguousarray(np.moveaxis(self.kernel, -1, 1))

    @property
    def inputs_first(self) -> np.ndarray:
        """Those of a transposed convolution: [I, O / groups, ...]."""
        g = self.geometry
        split = self.channels_first.reshape(g.groups, g.out_channels // g.groups, -1, *g.kernel)
        swapped = np.swapaxes(split, 1, 2)
        return np.ascontiguousarray(swapped.reshape(g.channels, -1, *g.kernel))

    @cached_property
    def float_kernel(self) -> np.ndarray:
        scales = self.weight_scales.reshape(-1, *[1] * (self.geometry.rank + 1))
        return self.kernel.astype(np.float32) * scales

    @cached_property
    def sums(self) -> np.ndarray:
        return self.convolve()

    def convolve(self) -> np.ndarray:
        """Tap by tap, by the definition."""
        g = self.geometry
        x = self.input.astype(np.float64) - self.in_zero
        ig, og = g.channels // g.groups, g.out_channels // g.groups
        y = np.zeros(self.shape)
        for tap in itertools.product(*(range(k) for k in g.kernel)):
            # Along each dim, the outputs that this tap reaches and the inputs that it reads.
            pairs = [self._met(d, tap[d]) for d in range(g.rank)]
            outs, ins = (np.ix_(range(g.batch), *(p[i] for p in pairs)) for i in (0, 1))
            weights = self.kernel[(slice(None), *tap)].astype(np.float64)
            for group in range(g.groups):
                part = x[ins][..., group * ig : (group + 1) * ig]
                cols = slice(group * og, (group + 1) * og)
                y[(*outs, cols)] += part @ weights[cols].T
        return y

    def _met(self, d: int, tap: int) -> tuple[np.ndarray, np.ndarray]:
        g = self.geometry
        if g.transposed:
            ins = np.arange(g.image[d])
            outs = ins * g.stride[d] - g.pad_lo[d] + tap * g.dilation[d]
            keep = (outs >= 0) & (outs < g.out[d])
        else:
            outs = np.arange(g.out[d])
            ins = outs * g.stride[d] - g.pad_lo[d] + tap * g.dilation[d]
            keep = (ins >= 0) & (ins < g.image[d])
        return outs[keep], ins[keep]


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


def geometry_of(
    image: list[int], channels: int, out_channels: int, kernel: list[int], **more
) -> Geometry:
    """One of batch 1, without padding, in steps of 1, where more says nothing else."""
    ones, none = [1] * len(image), [0] * len(image)
    g = Geometry(
        **{
            "batch": 1,
            "channels": channels,
            "out_channels": out_channels,
            "groups": 1,
            "transposed": False,
            "kernel": kernel,
            "stride": ones,
            "dilation": ones,
            "pad_lo": none,
            "pad_hi": none,
            "out_pad": none,
            "out": [],
            "image": image,
        }
        | more
    )
    for d in range(g.rank):
        reach = (g.kernel[d] - 1) * g.dilation[d] + 1 - g.pad_lo[d] - g.pad_hi[d]
        if g.transposed:
            g.out.append((image[d] - 1) * g.stride[d] + reach + g.out_pad[d])
        else:
            g.out.append((image[d] - reach) // g.stride[d] + 1)
    return g


def saturating_conv(depthwise: bool) -> ConvLayer:
    """The same as a convolution of 3 x 3 taps; there is no padding in the middle of its output."""
    layer = saturating_layer(16, 64, 9 if depthwise else 9 * 64)
    groups, ones = 64 if depthwise else 1, [1, 1]
    geometry = geometry_of([6, 6], 64, 64, [3, 3], groups=groups, pad_lo=ones, pad_hi=ones)
    fields = vars(layer) | {"input": np.full((1, 6, 6, 64), 255, np.uint8)}
    return ConvLayer(**fields, geometry=geometry)


def random_layer(rng: np.random.Generator, m: int, n: int, k: int) -> Layer:
    """A layer as trained ones look: Gaussian weights per channel, the output in its range."""
    return _ranged(Layer(**_random_fields(rng, m, n, k, (m, k))))


def random_conv(rng: np.random.Generator, g: Geometry) -> ConvLayer:
    pixels = g.batch * int(np.prod(g.image if g.transposed else g.out))
    k = int(np.prod(g.kernel)) * g.channels // g.groups
    fields = _random_fields(rng, pixels, g.out_channels, k, (g.batch, *g.image, g.channels))
    return _ranged(ConvLayer(**fields, geometry=g))


def _random_fields(rng, m: int, n: int, k: int, shape: tuple[int, ...]) -> dict:
    return {
        "m": m,
        "n": n,
        "k": k,
        "in_zero": 113,
        "out_zero": 0,
        "in_scale": np.float32(0.02),
        "out_scale": np.float32(1),
        "weights": np.clip(np.rint(rng.normal(0, 38, (n, k))), -127, 127).astype(np.int8),
        "weight_scales": (0.001 + 0.01 * rng.random(n)).astype(np.float32),
        "bias": rng.normal(0, 1, n).astype(np.float32),
        "input": rng.integers(0, 256, shape).astype(np.uint8),
    }


def _ranged(layer: Layer) -> Layer:
    low, high = min(0.0, layer.exact.min()), max(0.0, layer.exact.max())
    layer.out_scale = np.float32((high - low) / 255)
    layer.out_zero = int(np.clip(np.rint(-low / layer.out_scale), 0, 255))
    return layer

# SPDX-License-Identifier: Apache-2.0
"""Choosers and min-max observers: bit-equal scales and equal zero points."""

import random
import struct
import unittest

import torch
from octet import Library, Observer
from torch.ao.quantization import (
    MinMaxObserver,
    PerChannelMinMaxObserver,
)

LIB = Library()
QSCHEMES = {  # (symmetric, per channel)
    (False, False): torch.per_tensor_affine,
    (True, False): torch.per_tensor_symmetric,
    (False, True): torch.per_channel_affine,
    (True, True): torch.per_channel_symmetric,
}


def ranges(count: int = 3000) -> list[tuple[float, float]]:
    """Ranges of any sign and size, and those where formulas branch."""
    rng = random.Random(7)
    found = [(0, 0), (-1, 1), (-1, 2), (0.5, 3), (-3, -0.5), (0, 1e-6), (-1e-6, 0), (-1e-6, 2e-6)]
    found += [(0, 1e-37), (-0.351, 0.4446), (-6, 6), (1e-30, 2e-30), (-0.0, 0.0), (7, 7)]
    while len(found) < count:
        ends = [rng.uniform(-1, 1) * 10 ** rng.uniform(-6, 6) for _ in range(2)]
        found.append((min(ends), max(ends)))
    as_float = struct.Struct("f")
    return [tuple(as_float.unpack(as_float.pack(v))[0] for v in pair) for pair in found]


class Choosers(unittest.TestCase):
    def same(self, got, want, note):
        self.assertTrue(torch.equal(got[0].flatten(), want[0].flatten().float()), note)
        self.assertTrue(torch.equal(got[1].flatten(), want[1].flatten().to(torch.int32)), note)

    def test_observers_choice(self):
        low, high = torch.tensor(ranges()).T.contiguous()
        for dtype, storage, symmetric, reduce in [
            (torch.quint8, torch.uint8, False, False),
            (torch.quint8, torch.uint8, False, True),
            (torch.quint8, torch.uint8, True, False),
            (torch.qint8, torch.int8, False, False),
            (torch.qint8, torch.int8, False, True),
            (torch.qint8, torch.int8, True, False),
            (torch.qint8, torch.int8, True, True),
        ]:
            o = PerChannelMinMaxObserver(
                dtype=dtype, qscheme=QSCHEMES[symmetric, True], reduce_range=reduce
            )
            flags = LIB.OCTET_SYMMETRIC * symmetric | LIB.OCTET_REDUCE_RANGE * reduce
            scheme = LIB.scheme(storage, flags=flags, chooser=LIB.OCTET_CHOOSE_TORCH_OBSERVER)
            got = LIB.choose(scheme, low, high)
            self.same(got, o._calculate_qparams(low, high), (dtype, symmetric, reduce))

    def test_observers_choice_narrow_with_eps(self):
        low, high = torch.tensor(ranges()).T.contiguous()
        o = PerChannelMinMaxObserver(
            dtype=torch.qint8,
            qscheme=torch.per_channel_symmetric,
            quant_min=-127,
            quant_max=127,
            eps=2**-12,
        )
        scheme = LIB.scheme(
            torch.int8,
            flags=LIB.OCTET_SYMMETRIC,
            chooser=LIB.OCTET_CHOOSE_TORCH_OBSERVER,
            qmin=-127,
            qmax=127,
            eps=2**-12,
        )
        self.same(LIB.choose(scheme, low, high), o._calculate_qparams(low, high), "narrow")

    def test_native_choice(self):
        for reduce in (False, True):
            scheme = LIB.scheme(
                torch.uint8,
                flags=LIB.OCTET_REDUCE_RANGE * reduce,
                chooser=LIB.OCTET_CHOOSE_TORCH_NATIVE,
            )
            for low, high in ranges():
                scale, zero = torch._choose_qparams_per_tensor(torch.tensor([low, high]), reduce)
                want = torch.tensor(scale).float(), torch.tensor(zero)
                self.same(LIB.choose(scheme, low, high), want, (low, high, reduce))

    def test_min_max_observers(self):
        torch.manual_seed(3)
        affine = LIB.scheme(torch.uint8, chooser=LIB.OCTET_CHOOSE_TORCH_OBSERVER)
        symmetric = LIB.scheme(
            torch.int8, flags=LIB.OCTET_SYMMETRIC, chooser=LIB.OCTET_CHOOSE_TORCH_OBSERVER
        )
        for trial in range(50):
            want, ours = MinMaxObserver(), Observer(LIB, LIB.OCTET_OBSERVE_MINMAX)
            axis = trial % 3
            shape = [4, 6, 5]
            channels = PerChannelMinMaxObserver(
                ch_axis=axis, dtype=torch.qint8, qscheme=torch.per_channel_symmetric
            )
            each = Observer(LIB, LIB.OCTET_OBSERVE_MINMAX, channels=shape[axis], axis=axis)
            for _ in range(4):
                x = torch.randn(shape) * 10 ** random.Random(trial).uniform(-4, 4)
                for o in (want, channels):
                    o(x)
                for o in (ours, each):
                    o.feed(x)
            self.same(ours.qparams(affine), want.calculate_qparams(), trial)
            self.same(each.qparams(symmetric), channels.calculate_qparams(), trial)


if __name__ == "__main__":
    unittest.main()

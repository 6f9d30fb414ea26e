# SPDX-License-Identifier: Apache-2.0
"""torchao's choosers, quantize and dequantize per tensor, token, channel and group: bit-equal."""

import unittest

import torch
from octet import Library

try:
    from torchao.quantization.quant_primitives import (
        MappingType,
        choose_qparams_affine,
        dequantize_affine,
        quantize_affine,
    )
except ImportError:
    MappingType = None

LIB = Library()
EPS = 2.0**-23
BLOCKS = {"tensor": (24, 64), "token": (1, 64), "channel": (24, 1), "group": (1, 16)}
RANGES = [(torch.int8, -128, 127), (torch.int8, -127, 127), (torch.uint8, 0, 255),
          (torch.int8, -8, 7), (torch.uint8, 0, 15), (torch.int8, -2, 1)]  # fmt: skip


def matrices():
    torch.manual_seed(5)
    for k in range(12):
        x = torch.randn(24, 64) * 10.0 ** (k % 5 - 2) + (k % 3 - 1) * 0.7
        if k % 4 == 3:
            x = x.abs()
        x[3] = 0
        x[5] = x[5].sign() * 0.25
        yield x


@unittest.skipUnless(MappingType, "torchao is not installed: tools/peers installs it")
class TorchAo(unittest.TestCase):
    def choose(self, x, block, mapping, kind, low, high):
        """torchao's qparams, and Octet's from the same ranges."""
        want = choose_qparams_affine(
            x, mapping, BLOCKS[block], kind, quant_min=low, quant_max=high, eps=EPS,
            scale_dtype=torch.float32, zero_point_dtype=torch.int32,
        )  # fmt: skip
        rows, columns = BLOCKS[block]
        tiles = x.reshape(24 // rows, rows, 64 // columns, columns)
        symmetric = mapping is MappingType.SYMMETRIC
        scheme = LIB.scheme(
            kind,
            flags=LIB.OCTET_SYMMETRIC * symmetric,
            chooser=LIB.OCTET_CHOOSE_TORCHAO,
            qmin=low,
            qmax=high,
            eps=EPS,
        )
        return want, LIB.choose(scheme, tiles.amin((1, 3)), tiles.amax((1, 3)))

    def test_choosers_and_integers(self):
        for x in matrices():
            for block in BLOCKS:
                for kind, low, high in RANGES:
                    for mapping in (MappingType.SYMMETRIC, MappingType.ASYMMETRIC):
                        note = (block, kind, low, high, mapping)
                        want, (scale, zero) = self.choose(x, block, mapping, kind, low, high)
                        self.assertTrue(torch.equal(scale, want[0].flatten()), note)
                        self.assertTrue(torch.equal(zero, want[1].flatten().int()), note)
                        self.integers(x, block, kind, low, high, scale, zero, want, note)

    def integers(self, x, block, kind, low, high, scale, zero, want, note):
        fields = {"axis": 1 if block == "channel" else 0}
        if block == "group":
            fields["group"] = 16
        q = LIB.qparams(scale, zero, low, high, **fields)
        ours, back = torch.empty(x.shape, dtype=kind), torch.empty_like(x)
        LIB.octet_quantize(LIB.context, LIB.tensor(x), LIB.tensor(ours, q), None)
        LIB.octet_dequantize(LIB.context, LIB.tensor(ours, q), LIB.tensor(back), None)
        theirs = quantize_affine(x, BLOCKS[block], *want, kind, low, high)
        self.assertTrue(torch.equal(ours, theirs), note)
        real = dequantize_affine(theirs, BLOCKS[block], *want, kind, low, high)
        self.assertTrue(torch.equal(back, real), note)

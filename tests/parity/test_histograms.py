# SPDX-License-Identifier: Apache-2.0
"""HistogramObserver and its L2 search, and moving averages.

Moving averages are bit-equal, but for a constant of 1, where Octet copies the batch and PyTorch
rounds run + (batch - run). Histograms: the observed range is bit-equal; the chosen range differs
by at most one bin at either end, for PyTorch sums the search's error in float32, in an order that
depends on the CPU.
"""

import math
import random
import unittest

import torch
from octet import Library, Observer
from torch.ao.quantization import (
    HistogramObserver,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
)

LIB = Library()


def streams():
    """(name, batches): shapes of activations, growing and shrinking ranges, few values."""
    torch.manual_seed(11)
    bell = torch.randn(20000)
    yield "bell", [bell]
    yield "relu", [bell.relu(), (bell * 2).relu()]
    yield "outlier", [torch.cat([bell, torch.tensor([40.0])])]
    yield "growing", [bell[i * 4000 : (i + 1) * 4000] * (i + 1) for i in range(5)]
    yield "shrinking", [bell[i * 4000 : (i + 1) * 4000] / (i + 1) for i in range(5)]
    yield "shifted", [bell[:5000] + i for i in range(4)]
    yield "uniform", [torch.rand(3000) * 7 - 2]
    yield "exponential", [torch.empty(9000).exponential_(), torch.empty(9000).exponential_()]
    yield "few", [torch.tensor([1.0, 2.0, 2.0, 5.0]), torch.tensor([3.0])]
    yield "one value", [torch.full((50,), 2.5)]
    yield "one value, then more", [torch.full((50,), 2.5), bell[:1000]]
    yield "zeros", [torch.zeros(100)]
    yield "tiny", [bell * 1e-6]
    yield "large", [bell * 1e6]
    yield "infinities", [torch.cat([bell[:1000], torch.tensor([math.inf, -math.inf])])]


class Histograms(unittest.TestCase):
    def search(self, name, batches, bins, dtype):
        want = HistogramObserver(bins=bins, dtype=dtype)
        ours = Observer(LIB, LIB.OCTET_OBSERVE_TORCH_HISTOGRAM, bins=bins)
        for x in batches:
            want(x)
            ours.feed(x)
        storage = torch.int8 if dtype == torch.qint8 else torch.uint8
        seen = ours.range(LIB.scheme(storage))
        self.assertEqual(seen[0].item(), want.min_val.item(), name)
        self.assertEqual(seen[1].item(), want.max_val.item(), name)
        low, high = ours.range(LIB.scheme(storage, range=LIB.OCTET_RANGE_L2))
        new_min, new_max = want._non_linear_param_search()
        width = (want.max_val - want.min_val).item() / bins
        slack = 1.01 * width + 1e-7 * max(abs(seen[0].item()), abs(seen[1].item()))
        self.assertLessEqual(abs(low.item() - new_min.item()), slack, name)
        self.assertLessEqual(abs(high.item() - new_max.item()), slack, name)
        return low.item() == new_min.item() and high.item() == new_max.item()

    def test_search(self):
        same = [
            self.search(name, batches, bins, dtype)
            for name, batches in streams()
            for bins, dtype in [(2048, torch.quint8), (256, torch.qint8)]
        ]
        # A bin of difference is the exception.
        self.assertGreaterEqual(sum(same), 0.8 * len(same))

    def test_qparams_follow_the_range(self):
        for name, batches in streams():
            ours = Observer(LIB, LIB.OCTET_OBSERVE_TORCH_HISTOGRAM)
            for x in batches:
                ours.feed(x)
            for symmetric in (False, True):
                scheme = LIB.scheme(
                    torch.uint8,
                    flags=LIB.OCTET_SYMMETRIC * symmetric,
                    chooser=LIB.OCTET_CHOOSE_TORCH_OBSERVER,
                    range=LIB.OCTET_RANGE_L2,
                )
                want = HistogramObserver(
                    qscheme=torch.per_tensor_symmetric if symmetric else torch.per_tensor_affine
                )
                scale, zero = want._calculate_qparams(*ours.range(scheme))
                got = ours.qparams(scheme)
                self.assertTrue(torch.equal(got[0], scale.reshape(1)), name)
                self.assertTrue(torch.equal(got[1], zero.reshape(1).to(torch.int32)), name)


class MovingAverages(unittest.TestCase):
    def test_moving_averages(self):
        torch.manual_seed(5)
        scheme = LIB.scheme(torch.uint8, chooser=LIB.OCTET_CHOOSE_TORCH_OBSERVER)
        for trial in range(40):
            momentum = random.Random(trial).choice([0.01, 0.1, 0.5])
            axis, shape = trial % 3, [3, 5, 4]
            whole = MovingAverageMinMaxObserver(averaging_constant=momentum)
            each = MovingAveragePerChannelMinMaxObserver(averaging_constant=momentum, ch_axis=axis)
            ours = Observer(LIB, LIB.OCTET_OBSERVE_MOVING, momentum=momentum)
            channels = Observer(
                LIB,
                LIB.OCTET_OBSERVE_MOVING,
                momentum=momentum,
                channels=shape[axis],
                axis=axis,
            )
            for _ in range(6):
                x = torch.randn(shape) * 10 ** random.Random(trial).uniform(-3, 3)
                for o in (whole, each):
                    o(x)
                for o in (ours, channels):
                    o.feed(x)
            for a, b in ((ours, whole), (channels, each)):
                low, high = a.range(scheme)
                self.assertTrue(torch.equal(low, b.min_val.reshape(-1)), trial)
                self.assertTrue(torch.equal(high, b.max_val.reshape(-1)), trial)
                scale, zero = a.qparams(scheme)
                want = b.calculate_qparams()
                self.assertTrue(torch.equal(scale, want[0].reshape(-1)), trial)
                self.assertTrue(torch.equal(zero, want[1].reshape(-1).to(torch.int32)), trial)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""Quantize and back, fake-quantization with its gradients, the learned form, the fused step.

Bit-equal where PyTorch defines the bits: quantized_decomposed, fake_quantize forward and backward,
the fused step's state. Its native quantize adds the zero point before it rounds, so there a step of
one is allowed; sums of the learned form have an order of their own.
"""

import unittest

import torch
import torch.ao.quantization.fx._decomposed  # registers quantized_decomposed
from octet import Library

LIB = Library()
OPS = torch.ops.quantized_decomposed
RANGES = {torch.uint8: (0, 255), torch.int8: (-128, 127), torch.int16: (-32768, 32767)}


def hostile(shape, scale: float, seed: int) -> torch.Tensor:
    """Values on and around the grid of a scale: ties, bounds, far outside, tiny, zeros."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(-600, 600, shape, generator=g) + 0.5 * torch.randint(0, 2, shape, generator=g)
    x = x * scale
    noise = torch.randn(shape, generator=g) * scale * 100
    x = torch.where(torch.rand(shape, generator=g) < 0.4, noise, x)
    special = torch.tensor([0.0, -0.0, 1e-40, -1e-40, 1e6 * scale, -1e6 * scale])
    picks = special[torch.randint(0, 6, shape, generator=g)]
    return torch.where(torch.rand(shape, generator=g) < 0.1, picks, x).float()


def bits(x: torch.Tensor) -> torch.Tensor:
    return (x + 0.0).view(torch.int32)  # a zero of either sign is one value


class Elements(unittest.TestCase):
    def equal(self, got, want, note=""):
        self.assertTrue(torch.equal(got, want), note)

    def quantize(self, x, dtype, q):
        out = torch.empty(x.shape, dtype=dtype)
        LIB.octet_quantize(LIB.context, LIB.tensor(x), LIB.tensor(out, q), None)
        return out

    def dequantize(self, q, qparams):
        out = torch.empty(q.shape)
        LIB.octet_dequantize(LIB.context, LIB.tensor(q, qparams), LIB.tensor(out), None)
        return out

    def test_per_tensor(self):
        for dtype, (low, high) in RANGES.items():
            for seed in range(20):
                scale = float(torch.rand(1, generator=torch.Generator().manual_seed(seed)) + 0.001)
                zero = (low + high + 1) // 2 + seed
                x = hostile((777,), scale, seed)
                q = LIB.qparams(scale, zero)
                got = self.quantize(x, dtype, q)
                want = OPS.quantize_per_tensor(x, q_scale(q), zero, low, high, dtype)
                self.equal(got, want, (dtype, scale, zero))
                want = OPS.dequantize_per_tensor(got, q_scale(q), zero, low, high, dtype)
                self.equal(bits(self.dequantize(got, q)), bits(want), (dtype, scale, zero))

    def test_per_channel(self):
        for axis in (0, 1, 2):
            x = hostile((5, 6, 7), 0.05, axis)
            n = x.shape[axis]
            scale = torch.rand(n) * 0.1 + 0.01
            zero = torch.randint(-100, 100, (n,), dtype=torch.int32)
            q = LIB.qparams(scale, zero, axis=axis)
            got = self.quantize(x, torch.int8, q)
            want = OPS.quantize_per_channel(x, scale, zero, axis, -128, 127, torch.int8)
            self.equal(got, want, axis)
            want = OPS.dequantize_per_channel(got, scale, zero, axis, -128, 127, torch.int8)
            self.equal(bits(self.dequantize(got, q)), bits(want), axis)

    def test_native_differs_by_ties_alone(self):
        x = hostile((20000,), 0.1, 3)
        q = LIB.qparams(0.1, 37)
        got = self.quantize(x, torch.uint8, q)
        want = torch.quantize_per_tensor(x, q_scale(q), 37, torch.quint8).int_repr()
        difference = (got.int() - want.int()).abs()
        self.assertLessEqual(int(difference.max()), 1)
        t = x.double() / q_scale(q)
        tie = ((t - t.floor()) - 0.5).abs() < 1e-4
        self.assertFalse(bool((difference.bool() & ~tie).any()))

    def test_float_zero_points(self):
        x = hostile((4, 33), 0.05, 5)
        scale, zero = torch.rand(4) * 0.1 + 0.01, torch.rand(4) * 20
        q = LIB.struct("octet_qparams", count=4, axis=0, scale=scale, zero_point_f32=zero)
        want = torch.clamp(torch.round(x * (1 / scale)[:, None] + zero[:, None]), 0, 255)
        self.equal(self.quantize(x, torch.uint8, q), want.to(torch.uint8))

    def test_halves(self):
        x = torch.cat([hostile((5000,), 3.0, 1).clamp(-65000, 65000), torch.randn(5000) * 1e-6])
        for dtype in (torch.float16, torch.bfloat16):
            out = torch.empty(x.shape, dtype=dtype)
            LIB.octet_copy(LIB.context, LIB.tensor(x), LIB.tensor(out), None)
            self.equal(out.view(torch.int16), x.to(dtype).view(torch.int16), dtype)

    def test_dynamic(self):
        scheme = LIB.scheme(
            torch.uint8,
            granularity=LIB.OCTET_PER_TENSOR,
            chooser=LIB.OCTET_CHOOSE_TORCH_NATIVE,
        )
        for seed in range(10):
            x = hostile((301,), 0.03, seed)
            q, scale = torch.empty(301, dtype=torch.uint8), torch.empty(1)
            zero = torch.empty(1, dtype=torch.int32)
            LIB.octet_quantize_dynamic(
                LIB.context, LIB.tensor(x), scheme, LIB.tensor(q), scale, zero, 1, None
            )
            want = torch.quantize_per_tensor_dynamic(x, torch.quint8, False)
            self.assertEqual(scale.item(), torch.tensor(want.q_scale()).float().item())
            self.assertEqual(zero.item(), want.q_zero_point())
            self.assertLessEqual(int((q.int() - want.int_repr().int()).abs().max()), 1)


def q_scale(q) -> float:
    return q.kept[4].item() if isinstance(q.kept[4], torch.Tensor) else float(q.kept[4])


class FakeQuant(unittest.TestCase):
    def run_octet(self, x, dy, q):
        y, dx = torch.empty_like(x), torch.empty_like(x)
        mask = torch.empty(x.shape, dtype=torch.uint8)
        LIB.octet_fake_quant(LIB.context, LIB.tensor(x), q, LIB.tensor(y), mask, None)
        LIB.octet_fake_quant_backward(LIB.context, LIB.tensor(dy), mask, LIB.tensor(dx), None)
        return y, dx

    def same(self, got, want, note):
        for a, b in zip(got, want, strict=True):
            self.assertTrue(torch.equal(bits(a), bits(b)), note)

    def test_per_tensor(self):
        for low, high in ((0, 255), (-128, 127), (-127, 127), (-8, 7), (0, 3)):
            for seed in range(10):
                scale, zero = 0.013 * (seed + 1), min(high, max(low, seed - 3))
                x = hostile((1001,), scale, seed).requires_grad_()
                dy = torch.randn(1001)
                scale = torch.tensor(scale).item()
                y = torch.fake_quantize_per_tensor_affine(x, scale, zero, low, high)
                y.backward(dy)
                got = self.run_octet(x.detach(), dy, LIB.qparams(scale, zero, low, high))
                self.same(got, (y.detach(), x.grad), (low, high, scale, zero))

    def test_per_channel(self):
        for axis in (0, 1):
            x = hostile((9, 70), 0.05, axis).requires_grad_()
            n, dy = x.shape[axis], torch.randn(9, 70)
            scale, zero = torch.rand(n) * 0.1 + 0.01, torch.randint(-100, 100, (n,))
            zero = zero.to(torch.int32)
            y = torch.fake_quantize_per_channel_affine(x, scale, zero, axis, -128, 127)
            y.backward(dy)
            got = self.run_octet(x.detach(), dy, LIB.qparams(scale, zero, -128, 127, axis))
            # PyTorch rounds x / s + z here: a tie, or what is one after the sum, may differ.
            t = x.detach().double() / (scale[:, None] if axis == 0 else scale)
            tie = ((t - t.floor()) - 0.5).abs() < 1e-4
            for a, b in zip(got, (y.detach(), x.grad), strict=True):
                self.assertTrue(torch.equal(bits(a)[~tie], bits(b)[~tie]), axis)

    def learned(self, x, dy, scale, zero, low, high, factor, axis):
        d = LIB.struct("octet_learn_desc", kind=LIB.OCTET_LEARN_LSQ, grad_factor=factor)
        n = scale.numel()
        q = LIB.struct("octet_qparams", count=n, axis=axis, qmin=low, qmax=high)
        q.scale, q.zero_point_f32 = scale.data_ptr(), zero.data_ptr()
        y, dx, ds, dz = torch.empty_like(x), torch.empty_like(x), torch.empty(n), torch.empty(n)
        LIB.octet_fake_quant_learn(LIB.context, d, LIB.tensor(x), q, LIB.tensor(y), None)
        LIB.octet_fake_quant_learn_backward(
            LIB.context, d, LIB.tensor(dy), LIB.tensor(x), q, LIB.tensor(dx), ds, dz, n, None
        )
        return y, dx, ds, dz

    def test_learnable(self):
        low, high, factor = -8, 7, 0.25
        for channels in (False, True):
            for seed in range(10):
                x = hostile((6, 400), 0.11, seed).clamp(-9, 9).requires_grad_()
                dy = torch.randn(6, 400)
                n = 6 if channels else 1
                scale = (torch.rand(n) * 0.2 + 0.05).requires_grad_()
                # PyTorch's backward truncates z + 0.5, which is no rounding where z is negative.
                zero = (torch.rand(n) * 6).requires_grad_()
                if channels:
                    y = torch._fake_quantize_learnable_per_channel_affine(
                        x, scale, zero, 0, low, high, factor
                    )
                else:
                    y = torch._fake_quantize_learnable_per_tensor_affine(
                        x, scale, zero, low, high, factor
                    )
                y.backward(dy)
                s, z = scale.detach(), zero.detach()
                got = self.learned(x.detach(), dy, s, z, low, high, factor, 0)
                # PyTorch adds z before it rounds: ties may differ, and so then do their terms.
                t = x.detach().double() / s.double().reshape(-1, 1)
                tie = ((t - t.floor()) - 0.5).abs() < 1e-4
                self.assertTrue(torch.equal(bits(got[0])[~tie], bits(y.detach())[~tie]))
                self.assertTrue(torch.equal(bits(got[1])[~tie], bits(x.grad)[~tie]))
                terms = (dy.abs() * (16 + s.reshape(-1, 1))).sum(1 if channels else (0, 1))
                slack = 1e-6 * terms + (dy.abs() * tie).sum(1 if channels else (0, 1)) * 16
                for a, b in ((got[2], scale.grad), (got[3], zero.grad)):
                    self.assertTrue(bool(((a - b).abs() <= slack * factor).all()), (a, b, slack))

    def test_fused_step(self):
        for per_row in (False, True):
            for symmetric in (False, True):
                n = 5 if per_row else 1
                run_min, run_max = torch.full((n,), torch.inf), torch.full((n,), -torch.inf)
                want_min, want_max = run_min.clone(), run_max.clone()
                scale, zero = torch.ones(n), torch.zeros(n, dtype=torch.int32)
                want_scale, want_zero = scale.clone(), zero.clone()
                dtype = torch.int8 if symmetric else torch.uint8
                low, high = RANGES[dtype]
                scheme = LIB.scheme(
                    dtype,
                    flags=LIB.OCTET_SYMMETRIC * symmetric,
                    chooser=LIB.OCTET_CHOOSE_TORCH_FBGEMM,
                    granularity=LIB.OCTET_PER_CHANNEL if per_row else LIB.OCTET_PER_TENSOR,
                )
                f = LIB.struct(
                    "octet_fake_quantizer",
                    momentum=0.01,
                    count=n,
                    scheme=scheme,
                    run_min=run_min,
                    run_max=run_max,
                    scale=scale,
                    zero_point=zero,
                )
                on = torch.ones(1, dtype=torch.int64)
                for seed in range(8):
                    x = hostile((5, 300), 0.02, seed)
                    y, mask = torch.empty_like(x), torch.empty(x.shape, dtype=torch.uint8)
                    LIB.octet_fake_quant_step(
                        LIB.context, f, LIB.tensor(x), LIB.tensor(y), mask, None
                    )
                    want = torch.fused_moving_avg_obs_fake_quant(
                        x,
                        on,
                        on,
                        want_min,
                        want_max,
                        want_scale,
                        want_zero,
                        0.01,
                        low,
                        high,
                        0,
                        per_row,
                        symmetric,
                    )
                    note = (per_row, symmetric, seed)
                    for a, b in ((run_min, want_min), (run_max, want_max), (scale, want_scale)):
                        self.assertTrue(torch.equal(a, b), (note, a, b))
                    self.assertTrue(torch.equal(zero, want_zero), note)
                    t = x.double() / scale.double().reshape(-1, 1)
                    tie = ((t - t.floor()) - 0.5).abs() < 1e-4
                    self.assertTrue(torch.equal(bits(y)[~tie], bits(want)[~tie]), note)


if __name__ == "__main__":
    unittest.main()

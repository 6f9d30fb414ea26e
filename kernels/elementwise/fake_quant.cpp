// SPDX-License-Identifier: Apache-2.0
//
// fakequant: y = dequantize(quantize(x)) in one pass, for ranges of up to 16 bits, with the mask of
// the straight-through estimator; ste: the estimator itself (docs/numerics.md, "Fake
// quantization").
#include "kernels/elementwise/affine.h"

HWY_BEFORE_NAMESPACE();
namespace octet {
namespace {

using ByteTag = hn::Rebind<uint8_t, IntTag>;

struct FakeQuant : LaneOp<float, float> {
  static constexpr bool kWritesMask = true;
  static constexpr bool kStreams = true;
  template <bool kUniform>
  static void loop(const Run& r) {
    if constexpr (kUniform) {
      if (is_plain(r))
        plain(r);
      else
        loop<false>(r);  // serves one set of parameters too
      return;
    }
    const Quantizer<false> quantize(r);
    const Param<FloatTag, false> scale(r.out_scale, r.out_step);
    const float* x = static_cast<const float*>(r.x);
    const Ints one = hn::Set(kInt, 1);
    for (size_t i = 0; i < r.n; i += kLanes) {
      const Ints low = quantize.low(i), high = quantize.high(i);
      // Rounded within a range wider by one on either side, whatever would leave the range still
      // does: the mask asks for the unclamped integer.
      const Floats t = quantize.shifted(quantize.scaled(hn::LoadU(kFloat, x + i), i), i);
      const Ints wide = quantize.round_within(t, hn::Sub(low, one), hn::Add(high, one));
      const Ints q = hn::Min(hn::Max(wide, low), high);
      if (r.mask) {
        const Ints pass = hn::IfThenElseZero(hn::Eq(q, wide), one);
        store_bytes(pass, r.mask + i);
      }
      // By way of an integer: a -0 becomes +0, as it does in dequantize.
      const Floats real = quantize.unshifted(hn::ConvertTo(kFloat, q), i);
      store(hn::Mul(real, scale(i)), r, static_cast<float*>(r.y) + i);
    }
  }

 private:
  // The same in floats: the integers are so small that each is one.
  static void plain(const Run& r) {
    const PlainQuantizer quantize(r, 1);
    const Floats low = hn::Set(kFloat, static_cast<float>(r.qmin - *r.out_zero));
    const Floats high = hn::Set(kFloat, static_cast<float>(r.qmax - *r.out_zero));
    const Floats scale = hn::Set(kFloat, *r.out_scale);
    const Ints one = hn::Set(kInt, 1);
    const float* x = static_cast<const float*>(r.x);
    float* const y = static_cast<float*>(r.y);
    const auto at = [&](size_t i) {
      const Floats wide = quantize.real(hn::LoadU(kFloat, x + i));
      const Floats q = hn::Min(hn::Max(wide, low), high);
      store(hn::Mul(q, scale), r, y + i);
      return hn::IfThenElseZero(hn::RebindMask(kInt, hn::Eq(q, wide)), one);
    };
    constexpr size_t kFour = 4 * kLanes;
    size_t i = 0;
    if (r.mask) {
      const bool stream = r.stream && reinterpret_cast<uintptr_t>(r.mask) % 64 == 0;
      for (; i + kFour <= r.n; i += kFour) store_four(at, i, r.mask, stream);
      for (; i < r.n; i += kLanes) store_bytes(at(i), r.mask + i);
    } else {
      for (; i < r.n; i += kLanes) at(i);
    }
  }
};

struct Ste : LaneOp<float, float> {
  static constexpr bool kStreams = true;
  template <bool kUniform>
  static void loop(const Run& r) {
    const float* dy = static_cast<const float*>(r.x);
    for (size_t i = 0; i < r.n; i += kLanes) {
      const Ints pass = hn::PromoteTo(kInt, hn::LoadU(ByteTag(), r.mask + i));
      const auto blocked = hn::RebindMask(kFloat, hn::Eq(pass, hn::Zero(kInt)));
      store(hn::IfThenZeroElse(blocked, hn::LoadU(kFloat, dy + i)), r,
            static_cast<float*>(r.y) + i);
    }
  }
};

}  // namespace
}  // namespace octet

using namespace octet;

OCTET_KERNEL void OCTET_ROW(fakequant_f32_f32)(const Run* r) { apply<FakeQuant>(r); }
OCTET_KERNEL void OCTET_ROW(ste_f32_f32)(const Run* r) { apply<Ste>(r); }

HWY_AFTER_NAMESPACE();

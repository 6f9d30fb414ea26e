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
    const Quantizer<kUniform> quantize(r);
    const Param<FloatTag, kUniform> scale(r.out_scale, r.out_step);
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

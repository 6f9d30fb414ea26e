// SPDX-License-Identifier: Apache-2.0
//
// quantize f32 -> u8, s8, u16, s16, s32 and back (docs/numerics.md, "Quantize and dequantize").
#include "kernels/elementwise/affine.h"

HWY_BEFORE_NAMESPACE();
namespace octet {
namespace {

template <class Out>
struct Quantize : LaneOp<float, Out> {
  static constexpr bool kStreams = true;
  template <bool kUniform>
  static void loop(const Run& r) {
    const float* x = static_cast<const float*>(r.x);
    if constexpr (!kUniform) {
      const Quantizer<false> quantize(r);
      Out* const y = static_cast<Out*>(r.y);
      for (size_t i = 0; i < r.n; i += kLanes) {
        const Floats t = quantize.scaled(hn::LoadU(kFloat, x + i), i);
        store_bytes(quantize(quantize.shifted(t, i), i), y + i);
      }
    } else if (is_plain(r)) {
      const PlainQuantizer quantize(r);
      store_all(r, [&](size_t i) { return quantize(hn::LoadU(kFloat, x + i)); });
    } else {
      loop<false>(r);  // serves one set of parameters too
    }
  }

 private:
  // at(i): the integers of a vector.
  template <class At>
  static void store_all(const Run& r, const At& at) {
    Out* const y = static_cast<Out*>(r.y);
    size_t i = 0;
    if constexpr (sizeof(Out) == 1) {
      for (; i + 4 * kLanes <= r.n; i += 4 * kLanes) store_four(at, i, y, r.stream != 0);
    } else {
      for (; r.stream && i + kLine <= r.n; i += kLine) {  // a cache line at a time
        alignas(64) Out line[kLine];
        for (size_t k = 0; k < kLine; k += kLanes) store_bytes(at(i + k), line + k);
        for (size_t k = 0; k < kLine; k += kStored)
          hn::Stream(hn::Load(kOut, line + k), kOut, y + i + k);
      }
    }
    for (; i < r.n; i += kLanes) store_bytes(at(i), y + i);
  }

  using OutTag = hn::ScalableTag<Out>;
  static constexpr OutTag kOut{};
  static constexpr size_t kLine = 64 / sizeof(Out), kStored = HWY_LANES(Out);
};

// 32 bits, whose bounds are no floats: rounded within those of the type, clamped as integers.
struct Quantize32 : LaneOp<float, int32_t> {
  template <bool kUniform>
  static void loop(const Run& r) {
    const Param<FloatTag, kUniform> inverse(r.out_inv, r.out_step);
    const Floats low = hn::Set(kFloat, -0x1p31f), high = hn::Set(kFloat, 2147483520.0f);
    const Floats beyond = hn::Set(kFloat, 0x1p31f), half = hn::Set(kFloat, 0.5f);
    const Ints qmin = hn::Set(kInt, r.qmin), qmax = hn::Set(kInt, r.qmax);
    const Ints largest = hn::Set(kInt, INT32_MAX);
    const float* x = static_cast<const float*>(r.x);
    for (size_t i = 0; i < r.n; i += kLanes) {
      const Floats v = hn::LoadU(kFloat, x + i);
      const Floats t = r.divide ? hn::Div(v, inverse(i)) : hn::Mul(v, inverse(i));
      Floats within = hn::Min(hn::Max(t, low), high);
      if (r.away) {  // exact: what has a half has bits to spare
        const Floats whole = hn::Trunc(within);
        const auto tie = hn::Ge(hn::Abs(hn::Sub(within, whole)), half);
        const Ints sign = hn::And(hn::BitCast(kInt, within), hn::Set(kInt, INT32_MIN));
        const Ints one = hn::BitCast(kInt, hn::Set(kFloat, 1.0f));
        const Floats step = hn::BitCast(kFloat, hn::Or(sign, one));
        within = hn::Add(whole, hn::IfThenElseZero(tie, step));
      }
      Ints q = hn::NearestInt(within);
      q = hn::IfThenElse(hn::RebindMask(kInt, hn::Ge(t, beyond)), largest, q);
      hn::StoreU(hn::Min(hn::Max(q, qmin), qmax), kInt, static_cast<int32_t*>(r.y) + i);
    }
  }
};

template <class In>
struct Dequantize : LaneOp<In, float> {
  static constexpr bool kStreams = true;
  template <bool kUniform>
  static void loop(const Run& r) {
    // Wider integers are rarer: one loop serves one set of parameters too.
    if constexpr (kUniform && sizeof(In) > 1) return loop<false>(r);
    const Dequantizer<In, kUniform> dequantize(r);
    for (size_t i = 0; i < r.n; i += kLanes)
      store(dequantize(load_ints(r.x, i, In()), i), r, static_cast<float*>(r.y) + i);
  }
};

}  // namespace
}  // namespace octet

using namespace octet;

OCTET_KERNEL void OCTET_ROW(quantize_f32_u8)(const Run* r) { apply<Quantize<uint8_t>>(r); }
OCTET_KERNEL void OCTET_ROW(quantize_f32_s8)(const Run* r) { apply<Quantize<int8_t>>(r); }
OCTET_KERNEL void OCTET_ROW(quantize_f32_u16)(const Run* r) { apply<Quantize<uint16_t>>(r); }
OCTET_KERNEL void OCTET_ROW(quantize_f32_s16)(const Run* r) { apply<Quantize<uint16_t>>(r); }
OCTET_KERNEL void OCTET_ROW(quantize_f32_s32)(const Run* r) { apply<Quantize32>(r); }
OCTET_KERNEL void OCTET_ROW(dequantize_u8_f32)(const Run* r) { apply<Dequantize<uint8_t>>(r); }
OCTET_KERNEL void OCTET_ROW(dequantize_s8_f32)(const Run* r) { apply<Dequantize<int8_t>>(r); }
OCTET_KERNEL void OCTET_ROW(dequantize_u16_f32)(const Run* r) { apply<Dequantize<uint16_t>>(r); }
OCTET_KERNEL void OCTET_ROW(dequantize_s16_f32)(const Run* r) { apply<Dequantize<int16_t>>(r); }
OCTET_KERNEL void OCTET_ROW(dequantize_s32_f32)(const Run* r) { apply<Dequantize<int32_t>>(r); }

HWY_AFTER_NAMESPACE();

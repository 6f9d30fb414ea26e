// SPDX-License-Identifier: Apache-2.0
//
// The two affine maps in vector form: real -> integer (docs/numerics.md, "Quantize") and integer ->
// real. All element-wise kernels that quantize are made of these, so they cannot differ in a bit.
#pragma once

#include "kernels/elementwise/simd.h"

HWY_BEFORE_NAMESPACE();
namespace octet {
namespace {

inline Ints load_ints(const void* p, size_t i, uint8_t) {
  return hn::PromoteTo(
      kInt, hn::LoadU(hn::Rebind<uint8_t, IntTag>(), static_cast<const uint8_t*>(p) + i));
}
inline Ints load_ints(const void* p, size_t i, int8_t) {
  return hn::PromoteTo(kInt,
                       hn::LoadU(hn::Rebind<int8_t, IntTag>(), static_cast<const int8_t*>(p) + i));
}
inline Ints load_ints(const void* p, size_t i, int32_t) {
  return hn::LoadU(kInt, static_cast<const int32_t*>(p) + i);
}

// Stores one byte for each lane; the values fit into Out.
template <class Out>
void store_bytes(Ints v, Out* p) {
  const hn::Rebind<Out, IntTag> bytes;
  hn::StoreU(hn::DemoteTo(bytes, v), bytes, p);
}

// Stores a byte for each lane of four vectors, one after the other; the values fit into Out.
// Packing works within blocks of 128 bits; `order` then brings groups of four bytes into theirs.
template <class Out>
void store_bytes4(Ints a, Ints b, Ints c, Ints d, Out* p) {
#if HWY_TARGET == HWY_AVX3
  const __m512i ab = _mm512_packs_epi32(a.raw, b.raw), cd = _mm512_packs_epi32(c.raw, d.raw);
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i y =
      static_cast<Out>(-1) < 0 ? _mm512_packs_epi16(ab, cd) : _mm512_packus_epi16(ab, cd);
  _mm512_storeu_si512(p, _mm512_permutexvar_epi32(order, y));
#elif HWY_TARGET == HWY_AVX2
  const __m256i ab = _mm256_packs_epi32(a.raw, b.raw), cd = _mm256_packs_epi32(c.raw, d.raw);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256i y =
      static_cast<Out>(-1) < 0 ? _mm256_packs_epi16(ab, cd) : _mm256_packus_epi16(ab, cd);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permutevar8x32_epi32(y, order));
#else
  store_bytes(a, p);
  store_bytes(b, p + kLanes);
  store_bytes(c, p + 2 * kLanes);
  store_bytes(d, p + 3 * kLanes);
#endif
}

// Nearest integer, ties to even, of |v| < 2^22: adding 1.5 * 2^23 leaves the integer in the low
// bits of the sum. One rounding, the same on every instruction set, and no fix-up for values out of
// range.
inline Ints round_to_int(Floats v) {
  const Floats magic = hn::Set(kFloat, 12582912.0f);
  return hn::Sub(hn::BitCast(kInt, hn::Add(v, magic)), hn::BitCast(kInt, magic));
}

// real = s * (q - z). From 32 bits the zero point is 0 and in_zero is not looked at.
template <class In, bool kUniform>
class Dequantizer {
 public:
  explicit Dequantizer(const Run& r)
      : scale_(r.in_scale, r.in_step), zero_(zero_of(r), r.in_step) {}
  Floats operator()(Ints q, size_t i) const {
    if constexpr (sizeof(In) == 1) q = hn::Sub(q, zero_(i));
    return hn::Mul(scale_(i), hn::ConvertTo(kFloat, q));
  }

 private:
  static constexpr int32_t kNone = 0;
  static const int32_t* zero_of(const Run& r) { return sizeof(In) == 1 ? r.in_zero : &kNone; }
  Param<FloatTag, kUniform> scale_;
  Param<IntTag, kUniform> zero_;
};

// q - z = rne(clamp(x * inv, qmin - z, qmax - z)). The bounds are integers, so clamping before
// rounding gives the integer that clamping afterwards would give, and no conversion can overflow.
template <bool kUniform>
class Quantizer {
 public:
  explicit Quantizer(const Run& r)
      : inverse_(r.out_inv, r.out_step),
        zero_(r.out_zero, r.out_step),
        qmin_(hn::Set(kInt, r.qmin)),
        qmax_(hn::Set(kInt, r.qmax)),
        low_(hn::Sub(qmin_, zero_(0))),
        high_(hn::Sub(qmax_, zero_(0))),
        divide_(r.divide != 0) {}

  Ints zero(size_t i) const { return zero_(i); }
  Ints low(size_t i) const { return kUniform ? low_ : hn::Sub(qmin_, zero_(i)); }
  Ints high(size_t i) const { return kUniform ? high_ : hn::Sub(qmax_, zero_(i)); }

  Floats scaled(Floats x, size_t i) const {
    return divide_ ? hn::Div(x, inverse_(i)) : hn::Mul(x, inverse_(i));
  }
  // A NaN (always quiet: it comes out of an operation) becomes low: every target's Max and Min give
  // their second operand for it.
  static Ints round_within(Floats t, Ints low, Ints high) {
    t = hn::Min(hn::Max(t, hn::ConvertTo(kFloat, low)), hn::ConvertTo(kFloat, high));
    return round_to_int(t);
  }
  Ints operator()(Floats t, size_t i) const {
    return hn::Add(round_within(t, low(i), high(i)), zero_(i));
  }

 private:
  Param<FloatTag, kUniform> inverse_;
  Param<IntTag, kUniform> zero_;
  Ints qmin_, qmax_, low_, high_;
  bool divide_;
};

}  // namespace
}  // namespace octet
HWY_AFTER_NAMESPACE();

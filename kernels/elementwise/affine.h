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
inline Ints load_ints(const void* p, size_t i, uint16_t) {
  return hn::PromoteTo(
      kInt, hn::LoadU(hn::Rebind<uint16_t, IntTag>(), static_cast<const uint16_t*>(p) + i));
}
inline Ints load_ints(const void* p, size_t i, int16_t) {
  return hn::PromoteTo(
      kInt, hn::LoadU(hn::Rebind<int16_t, IntTag>(), static_cast<const int16_t*>(p) + i));
}
inline Ints load_ints(const void* p, size_t i, int32_t) {
  return hn::LoadU(kInt, static_cast<const int32_t*>(p) + i);
}

// Stores one element of 8 or 16 bits for each lane; the values fit into Out. uint16_t stands for
// both signs: the low 16 bits are the same.
template <class Out>
void store_bytes(Ints v, Out* p) {
  const hn::Rebind<Out, IntTag> narrow;
  if constexpr (sizeof(Out) == 2)
    hn::StoreU(hn::TruncateTo(narrow, hn::BitCast(hn::Rebind<uint32_t, IntTag>(), v)), narrow, p);
  else
    hn::StoreU(hn::DemoteTo(narrow, v), narrow, p);
}

// Stores a byte for each lane of four vectors, one after the other; the values fit into Out.
// stream: past the caches, where the instruction set can; p is then aligned to four vectors' bytes.
// Packing works within blocks of 128 bits; `order` then brings groups of four bytes into theirs.
template <class Out>
void store_bytes4(Ints a, Ints b, Ints c, Ints d, Out* p, bool stream) {
#if HWY_TARGET == HWY_AVX3
  const __m512i ab = _mm512_packs_epi32(a.raw, b.raw), cd = _mm512_packs_epi32(c.raw, d.raw);
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i y =
      static_cast<Out>(-1) < 0 ? _mm512_packs_epi16(ab, cd) : _mm512_packus_epi16(ab, cd);
  const __m512i v = _mm512_permutexvar_epi32(order, y);
  if (stream)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(p), v);
  else
    _mm512_storeu_si512(p, v);
#elif HWY_TARGET == HWY_AVX2
  const __m256i ab = _mm256_packs_epi32(a.raw, b.raw), cd = _mm256_packs_epi32(c.raw, d.raw);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256i y =
      static_cast<Out>(-1) < 0 ? _mm256_packs_epi16(ab, cd) : _mm256_packus_epi16(ab, cd);
  const __m256i v = _mm256_permutevar8x32_epi32(y, order);
  if (stream)
    _mm256_stream_si256(reinterpret_cast<__m256i*>(p), v);
  else
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v);
#else
  store_bytes(a, p);
  store_bytes(b, p + kLanes);
  store_bytes(c, p + 2 * kLanes);
  store_bytes(d, p + 3 * kLanes);
  (void)stream;
#endif
}

// The same of at(i) and the vectors behind it, which are asked for in order: prefetchers follow
// what ascends, while arguments of a call may be evaluated from the last.
template <class Out, class At>
void store_four(const At& at, size_t i, Out* p, bool stream) {
  const Ints a = at(i), b = at(i + kLanes);
  const Ints c = at(i + 2 * kLanes), d = at(i + 3 * kLanes);
  store_bytes4(a, b, c, d, p + i, stream);
}

// Nearest integer, ties to even, of |v| < 2^22: adding 1.5 * 2^23 leaves the integer in the low
// bits of the sum. One rounding, the same on every instruction set, and no fix-up for values out of
// range.
inline Ints round_to_int(Floats v) {
  const Floats magic = hn::Set(kFloat, 12582912.0f);
  return hn::Sub(hn::BitCast(kInt, hn::Add(v, magic)), hn::BitCast(kInt, magic));
}

// A float zero point of a run that may have none.
template <bool kUniform>
class FloatZero {
 public:
  FloatZero(const float* p, int32_t step) : zero_(p ? p : &kNone, p ? step : 0), given_(p) {}
  Floats add(Floats v, size_t i) const { return given_ ? hn::Add(v, zero_(i)) : v; }
  Floats subtract(Floats v, size_t i) const { return given_ ? hn::Sub(v, zero_(i)) : v; }

 private:
  static constexpr float kNone = 0;
  Param<FloatTag, kUniform> zero_;
  bool given_;
};

// real = s * (q - z). From 32 bits the zero point is 0 and in_zero is not looked at.
template <class In, bool kUniform>
class Dequantizer {
 public:
  explicit Dequantizer(const Run& r)
      : scale_(r.in_scale, r.in_step),
        zero_(zero_of(r), r.in_step),
        float_zero_(r.in_float, r.in_step) {}
  Floats operator()(Ints q, size_t i) const {
    if constexpr (kHasZero) q = hn::Sub(q, zero_(i));
    return hn::Mul(scale_(i), float_zero_.subtract(hn::ConvertTo(kFloat, q), i));
  }

 private:
  static constexpr bool kHasZero = sizeof(In) < 4;
  static constexpr int32_t kNone = 0;
  static const int32_t* zero_of(const Run& r) { return kHasZero ? r.in_zero : &kNone; }
  Param<FloatTag, kUniform> scale_;
  Param<IntTag, kUniform> zero_;
  FloatZero<kUniform> float_zero_;
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
        float_zero_(r.out_float, r.out_step),
        divide_(r.divide != 0),
        away_(r.away != 0) {}

  Ints zero(size_t i) const { return zero_(i); }
  Ints low(size_t i) const { return kUniform ? low_ : hn::Sub(qmin_, zero_(i)); }
  Ints high(size_t i) const { return kUniform ? high_ : hn::Sub(qmax_, zero_(i)); }

  Floats scaled(Floats x, size_t i) const {
    return divide_ ? hn::Div(x, inverse_(i)) : hn::Mul(x, inverse_(i));
  }
  // With a float zero point, which is added before anything is rounded.
  Floats shifted(Floats t, size_t i) const { return float_zero_.add(t, i); }
  Floats unshifted(Floats q, size_t i) const { return float_zero_.subtract(q, i); }
  // A NaN (always quiet: it comes out of an operation) becomes low: every target's Max and Min give
  // their second operand for it.
  Ints round_within(Floats t, Ints low, Ints high) const {
    t = hn::Min(hn::Max(t, hn::ConvertTo(kFloat, low)), hn::ConvertTo(kFloat, high));
    const Ints q = round_to_int(t);
    return away_ ? away_from_zero(t, q) : q;
  }
  Ints operator()(Floats t, size_t i) const {
    return hn::Add(round_within(t, low(i), high(i)), zero_(i));
  }

 private:
  // q, the nearest integer to t with ties to even, with ties away from 0 instead.
  static Ints away_from_zero(Floats t, Ints q) {
    const Floats rest = hn::Sub(t, hn::ConvertTo(kFloat, q)), zero = hn::Zero(kFloat);
    const auto up = hn::And(hn::Eq(rest, hn::Set(kFloat, 0.5f)), hn::Gt(t, zero));
    const auto down = hn::And(hn::Eq(rest, hn::Set(kFloat, -0.5f)), hn::Lt(t, zero));
    const Ints one = hn::Set(kInt, 1);
    q = hn::Add(q, hn::IfThenElseZero(hn::RebindMask(kInt, up), one));
    return hn::Sub(q, hn::IfThenElseZero(hn::RebindMask(kInt, down), one));
  }

  Param<FloatTag, kUniform> inverse_;
  Param<IntTag, kUniform> zero_;
  Ints qmin_, qmax_, low_, high_;
  FloatZero<kUniform> float_zero_;
  bool divide_, away_;
};

// What most calls ask for: one set of qparams with an integer zero point, multiplied, ties to even.
// Loops of its own have no choice to make for each vector.
inline bool is_plain(const Run& r) {
  return !r.in_step && !r.out_step && !r.divide && !r.away && !r.out_float;
}
class PlainQuantizer {
 public:
  // beyond: how far outside qmin and qmax integers may lie.
  explicit PlainQuantizer(const Run& r, int32_t beyond = 0)
      : inverse_(hn::Set(kFloat, *r.out_inv)),
        low_(hn::Set(kFloat, static_cast<float>(r.qmin - *r.out_zero - beyond))),
        high_(hn::Set(kFloat, static_cast<float>(r.qmax - *r.out_zero + beyond))),
        magic_(hn::Set(kFloat, kMagic)),
        zero_(hn::Set(kInt, *r.out_zero - __builtin_bit_cast(int32_t, kMagic))) {}

  Ints operator()(Floats x) const { return hn::Add(hn::BitCast(kInt, shifted(x)), zero_); }
  // q - z as a float; 0 is +0.
  Floats real(Floats x) const { return hn::Sub(shifted(x), magic_); }

 private:
  static constexpr float kMagic = 12582912.0f;  // as in round_to_int
  Floats shifted(Floats x) const {
    return hn::Add(hn::Min(hn::Max(hn::Mul(x, inverse_), low_), high_), magic_);
  }
  Floats inverse_, low_, high_, magic_;
  Ints zero_;
};

}  // namespace
}  // namespace octet
HWY_AFTER_NAMESPACE();

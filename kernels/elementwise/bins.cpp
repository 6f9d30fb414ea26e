// SPDX-License-Identifier: Apache-2.0
//
// The bins of histograms: only the index of each element is computed here, a vector at a time; the
// counting, which no vector instruction makes faster, belongs to the caller.
#include "kernels/elementwise/simd.h"

HWY_BEFORE_NAMESPACE();
namespace octet {
namespace {

inline Ints magnitude(Ints bits) { return hn::And(bits, hn::Set(kInt, 0x7FFFFFFF)); }

struct Pow2 {
  Floats scale;
  Ints half, zero, outside;
  explicit Pow2(const Bins& b)
      : scale(hn::Set(kFloat, b.scale)),
        half(hn::Set(kInt, b.bins / 2)),
        zero(hn::Set(kInt, b.bins)),
        outside(hn::Set(kInt, b.bins + 1)) {}

  Ints operator()(Floats x) const {
    const Ints bits = hn::BitCast(kInt, x), m = magnitude(bits);
    const Ints i = hn::NearestInt(hn::Floor(hn::Mul(x, scale)));
    // A negative x stays below 0, also where its product was too small for a float: the bound is -1
    // for it, and the largest integer for the others.
    const Ints bound = hn::Or(hn::ShiftRight<31>(bits), hn::Set(kInt, 0x7FFFFFFF));
    const Ints bin = hn::Add(hn::Min(i, bound), half);
    const Ints some = hn::IfThenElse(hn::Eq(m, hn::Zero(kInt)), zero, bin);
    return hn::IfThenElse(hn::Lt(m, hn::Set(kInt, 0x7F800000)), some, outside);
  }
};

struct Linear {
  Floats first, last, count, span;
  Ints sign, skip, top, zero, outside;
  explicit Linear(const Bins& b)
      : first(hn::Set(kFloat, b.first)),
        last(hn::Set(kFloat, b.last)),
        count(hn::Set(kFloat, b.count)),
        span(hn::Sub(last, first)),
        sign(hn::Set(kInt, b.absolute ? 0x7FFFFFFF : -1)),
        skip(hn::Set(kInt, b.skip_zeros ? 0 : -1)),
        top(hn::Set(kInt, b.bins - 1)),
        zero(hn::Set(kInt, b.bins)),
        outside(hn::Set(kInt, b.bins + 1)) {}

  Ints operator()(Floats in) const {
    const Ints bits = hn::And(hn::BitCast(kInt, in), sign);
    const Floats x = hn::BitCast(kFloat, bits);
    const Floats at = hn::Div(hn::Mul(hn::Sub(x, first), count), span);
    const Ints bin = hn::Min(hn::NearestInt(hn::Floor(at)), top);
    const auto within = hn::And(hn::Ge(x, first), hn::Le(x, last));
    const Ints some = hn::IfThenElse(hn::RebindMask(kInt, within), bin, outside);
    return hn::IfThenElse(hn::Eq(magnitude(bits), skip), zero, some);
  }
};

template <class Index>
void fill(const float* x, size_t n, const Bins& b, int32_t* index) {
  const Index of(b);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) hn::StoreU(of(hn::LoadU(kFloat, x + i)), kInt, index + i);
  if (i == n) return;
  alignas(64) float copy[kLanes] = {};
  alignas(64) int32_t out[kLanes];
  for (size_t k = 0; i + k < n; ++k) copy[k] = x[i + k];
  hn::Store(of(hn::Load(kFloat, copy)), kInt, out);
  for (size_t k = 0; i + k < n; ++k) index[i + k] = out[k];
}

}  // namespace
}  // namespace octet

using namespace octet;

OCTET_KERNEL void OCTET_ROW(bins_f32_s32)(const float* x, size_t n, const Bins* b, int32_t* index) {
  if (b->form == kBinsPow2)
    fill<Pow2>(x, n, *b, index);
  else
    fill<Linear>(x, n, *b, index);
}

HWY_AFTER_NAMESPACE();

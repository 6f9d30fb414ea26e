// SPDX-License-Identifier: Apache-2.0
//
// The bins of histograms: the index of each element, a vector at a time, and their counts, which no
// vector instruction makes faster.
#include "kernels/elementwise/simd.h"

HWY_BEFORE_NAMESPACE();
namespace octet {
namespace {

inline Ints magnitude(Ints bits) { return hn::And(bits, hn::Set(kInt, 0x7FFFFFFF)); }

// The integer below v. What lies beyond 32 bits gives any.
inline Ints floor_to_int(Floats v) {
#if HWY_TARGET == HWY_AVX3
  return Ints{_mm512_cvt_roundps_epi32(v.raw, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)};
#elif HWY_TARGET == HWY_AVX2
  return Ints{_mm256_cvtps_epi32(_mm256_floor_ps(v.raw))};
#else
  return hn::NearestInt(hn::Floor(v));
#endif
}

// zero and outside: what takes the place of an index.
struct Pow2 {
  Floats scale;
  Ints half;
  explicit Pow2(const Bins& b) : scale(hn::Set(kFloat, b.scale)), half(hn::Set(kInt, b.bins / 2)) {}

  Ints operator()(Floats x, Ints zero, Ints outside) const {
    const Ints bits = hn::BitCast(kInt, x), m = magnitude(bits);
    const Ints i = floor_to_int(hn::Mul(x, scale));
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
  Ints sign, skip, top;
  explicit Linear(const Bins& b)
      : first(hn::Set(kFloat, b.first)),
        last(hn::Set(kFloat, b.last)),
        count(hn::Set(kFloat, b.count)),
        span(hn::Sub(last, first)),
        sign(hn::Set(kInt, b.absolute ? 0x7FFFFFFF : -1)),
        skip(hn::Set(kInt, b.skip_zeros ? 0 : -1)),
        top(hn::Set(kInt, b.bins - 1)) {}

  Ints operator()(Floats in, Ints zero, Ints outside) const {
    const Ints bits = hn::And(hn::BitCast(kInt, in), sign);
    const Floats x = hn::BitCast(kFloat, bits);
    const Floats at = hn::Div(hn::Mul(hn::Sub(x, first), count), span);
    const Ints bin = hn::Min(floor_to_int(at), top);
    const auto within = hn::And(hn::Ge(x, first), hn::Le(x, last));
    const Ints some = hn::IfThenElse(hn::RebindMask(kInt, within), bin, outside);
    return hn::IfThenElse(hn::Eq(magnitude(bits), skip), zero, some);
  }
};

constexpr int32_t kTurns[kZeroWays] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

// The indices of n elements. turns: those that count zeros begin at `bins` and go on with each
// element up to 16, then again; as kernel.h has it.
template <class Index>
void fill(const float* x, size_t n, const Bins& b, bool turns, int32_t* index) {
  constexpr size_t kVectors = kZeroWays / kLanes;
  const Index of(b);
  Ints zero[kVectors];
  for (size_t k = 0; k < kVectors; ++k)
    zero[k] = hn::Add(hn::Set(kInt, b.bins),
                      turns ? hn::LoadU(kInt, kTurns + k * kLanes) : hn::Zero(kInt));
  const Ints outside = hn::Set(kInt, b.bins + (turns ? kZeroWays : 1));
  size_t i = 0;
  for (; i + kZeroWays <= n; i += kZeroWays)
    for (size_t k = 0; k < kVectors; ++k)
      hn::StoreU(of(hn::LoadU(kFloat, x + i + k * kLanes), zero[k], outside), kInt,
                 index + i + k * kLanes);
  if (i == n) return;
  alignas(64) float copy[kZeroWays] = {};
  alignas(64) int32_t out[kZeroWays];
  for (size_t k = 0; i + k < n; ++k) copy[k] = x[i + k];
  for (size_t k = 0; k < kVectors; ++k)
    hn::Store(of(hn::Load(kFloat, copy + k * kLanes), zero[k], outside), kInt, out + k * kLanes);
  for (size_t k = 0; i + k < n; ++k) index[i + k] = out[k];
}

// So many indices that vectors and counting overlap, and that all of it stays in L1.
template <class Index>
void count(const float* x, size_t n, const Bins& b, uint16_t* ways) {
  constexpr size_t kBlock = 256;
  alignas(64) uint32_t at[kBlock];
  uint16_t* const odd = ways + static_cast<size_t>(b.bins) + kBinSpare;
  while (n) {
    const size_t size = n < kBlock ? n : kBlock;
    fill<Index>(x, size, b, true, reinterpret_cast<int32_t*>(at));
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
      ++ways[at[i]];
      ++odd[at[i + 1]];
      ++ways[at[i + 2]];
      ++odd[at[i + 3]];
      ++ways[at[i + 4]];
      ++odd[at[i + 5]];
      ++ways[at[i + 6]];
      ++odd[at[i + 7]];
    }
    for (; i < size; ++i) ++(i % 2 ? odd : ways)[at[i]];
    x += size;
    n -= size;
  }
}

template <class Index>
void run_bins(const float* x, size_t n, const Bins& b, int32_t* index, uint16_t* ways) {
  if (index)
    fill<Index>(x, n, b, false, index);
  else
    count<Index>(x, n, b, ways);
}

}  // namespace
}  // namespace octet

using namespace octet;

OCTET_KERNEL void OCTET_ROW(bins_f32_s32)(const float* x, size_t n, const Bins* b, int32_t* index,
                                          uint16_t* ways) {
  if (b->form == kBinsPow2)
    run_bins<Pow2>(x, n, *b, index, ways);
  else
    run_bins<Linear>(x, n, *b, index, ways);
}

HWY_AFTER_NAMESPACE();

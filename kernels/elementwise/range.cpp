// SPDX-License-Identifier: Apache-2.0
//
// Finite ranges: minmax over one run, minmaxcols over the columns of a matrix (channels last). NaN
// and infinities are rare, so the loops only ask whether a vector holds one; counting and leaving
// them out is the slow path. The bits depend on no order: the zeros, the one case where min and max
// have a choice, are made +0.
#include "kernels/elementwise/simd.h"

HWY_BEFORE_NAMESPACE();
namespace octet {
namespace {

inline Ints magnitude(Floats v) { return hn::And(hn::BitCast(kInt, v), hn::Set(kInt, 0x7FFFFFFF)); }
inline auto finite_lanes(Floats v) { return hn::Lt(magnitude(v), hn::Set(kInt, 0x7F800000)); }
inline auto nan_lanes(Floats v) { return hn::Gt(magnitude(v), hn::Set(kInt, 0x7F800000)); }
inline Floats low_end() { return hn::Set(kFloat, -__builtin_inff()); }
inline Floats high_end() { return hn::Set(kFloat, __builtin_inff()); }

// Joins a finite min and max (or +inf and -inf) into r; x + 0 turns -0 into +0.
inline void join(Range* r, float min, float max) {
  r->min = (min < r->min ? min : r->min) + 0.0f;
  r->max = (max > r->max ? max : r->max) + 0.0f;
}

// The loop over what is finite, by 32 bytes or less: many small loads keep prefetchers ahead.
using ShortTag = hn::CappedTag<float, 8>;
using ShortIntTag = hn::RebindToSigned<ShortTag>;
using Shorts = hn::Vec<ShortTag>;
using ShortInts = hn::Vec<ShortIntTag>;
constexpr ShortTag kShort{};
constexpr ShortIntTag kShortInt{};
constexpr size_t kShortLanes = HWY_MIN(kLanes, 8);
constexpr size_t kTurn = 2 * kShortLanes;
constexpr size_t kBlock = 512;  // elements after which it is asked whether all were finite

struct Extremes {
  Shorts min, max;
  ShortInts largest;  // magnitude, as an integer

  Extremes()
      : min(hn::Set(kShort, __builtin_inff())),
        max(hn::Set(kShort, -__builtin_inff())),
        largest(hn::Zero(kShortInt)) {}
  void add(const float* x) {
    const Shorts v = hn::LoadU(kShort, x);
    min = hn::Min(min, v);
    max = hn::Max(max, v);
    const ShortInts bits = hn::BitCast(kShortInt, v);
    largest = hn::Max(largest, hn::And(bits, hn::Set(kShortInt, 0x7FFFFFFF)));
  }
  bool finite() const {
    return hn::AllTrue(kShortInt, hn::Lt(largest, hn::Set(kShortInt, 0x7F800000)));
  }
  void join(const Extremes& e) {
    min = hn::Min(min, e.min);
    max = hn::Max(max, e.max);
    largest = hn::Max(largest, e.largest);
  }
};

// Whole vectors, of which some hold NaN or infinities.
[[gnu::noinline]] void not_all_finite(const float* x, size_t n, Range* into) {
  Floats min = high_end(), max = low_end();
  for (size_t i = 0; i < n; i += kLanes) {
    const Floats v = hn::LoadU(kFloat, x + i);
    const auto finite = finite_lanes(v);
    const size_t nans = hn::CountTrue(kInt, nan_lanes(v));
    into->nan_count += nans;
    into->inf_count += kLanes - hn::CountTrue(kInt, finite) - nans;
    const auto keep = hn::RebindMask(kFloat, finite);
    min = hn::Min(min, hn::IfThenElse(keep, v, high_end()));
    max = hn::Max(max, hn::IfThenElse(keep, v, low_end()));
  }
  join(into, hn::GetLane(hn::MinOfLanes(kFloat, min)), hn::GetLane(hn::MaxOfLanes(kFloat, max)));
}

// Columns one element at a time.
inline void narrow_columns(const float* x, size_t rows, ptrdiff_t pitch, size_t n, Range* into) {
  for (size_t i = 0; i < rows; ++i, x += pitch)
    for (size_t j = 0; j < n; ++j) {
      const float v = x[j];
      if (v - v == 0)
        join(into + j, v, v);
      else if (v != v)
        ++into[j].nan_count;
      else
        ++into[j].inf_count;
    }
}

// kLanes columns. Returns false, with nothing joined, if an element is not finite.
inline bool finite_columns(const float* x, size_t rows, ptrdiff_t pitch, Range* into) {
  Floats min = high_end(), max = low_end();
  auto sum = hn::Zero(kFloat);  // of v - v: 0 while all is finite, NaN afterwards
  for (size_t i = 0; i < rows; ++i, x += pitch) {
    const Floats v = hn::LoadU(kFloat, x);
    min = hn::Min(min, v);
    max = hn::Max(max, v);
    sum = hn::Add(sum, hn::Sub(v, v));
  }
  if (!hn::AllTrue(kFloat, hn::Eq(sum, sum))) return false;
  alignas(64) float low[kLanes], high[kLanes];
  hn::Store(min, kFloat, low);
  hn::Store(max, kFloat, high);
  for (size_t j = 0; j < kLanes; ++j) join(into + j, low[j], high[j]);
  return true;
}

}  // namespace
}  // namespace octet

using namespace octet;

OCTET_KERNEL void OCTET_ROW(minmax_f32_range)(const float* x, size_t n, Range* into) {
  Extremes all;
  size_t i = 0;
  while (i + kTurn <= n) {
    const size_t begin = i, rest = n - i, end = i + (rest < kBlock ? rest : kBlock) / kTurn * kTurn;
    Extremes even, odd;
    OCTET_ROLLED
    for (; i < end; i += kTurn) {
      even.add(x + i);
      odd.add(x + i + kShortLanes);
    }
    even.join(odd);
    if (HWY_LIKELY(even.finite()))
      all.join(even);
    else
      not_all_finite(x + begin, end - begin, into);
  }
  narrow_columns(x + i, n - i, 1, 1, into);  // the rest, as a column of its own
  join(into, hn::GetLane(hn::MinOfLanes(kShort, all.min)),
       hn::GetLane(hn::MaxOfLanes(kShort, all.max)));
}

OCTET_KERNEL void OCTET_ROW(minmaxcols_f32_range)(const float* x, size_t rows, ptrdiff_t pitch,
                                                  size_t n, Range* into) {
  size_t j = 0;
  for (; j + kLanes <= n; j += kLanes)
    if (!finite_columns(x + j, rows, pitch, into + j))
      narrow_columns(x + j, rows, pitch, kLanes, into + j);
  narrow_columns(x + j, rows, pitch, n - j, into + j);
}

HWY_AFTER_NAMESPACE();

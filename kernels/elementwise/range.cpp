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

// Lanes of min and max, with NaN and infinities counted in *r.
struct Extremes {
  Floats min = high_end(), max = low_end();

  // Four vectors, which are looked at one by one only if one of them is not finite.
  void add4(const float* x, Range* r) {
    const Floats a = hn::LoadU(kFloat, x), b = hn::LoadU(kFloat, x + kLanes);
    const Floats c = hn::LoadU(kFloat, x + 2 * kLanes), d = hn::LoadU(kFloat, x + 3 * kLanes);
    const Ints largest =
        hn::Max(hn::Max(magnitude(a), magnitude(b)), hn::Max(magnitude(c), magnitude(d)));
    if (HWY_LIKELY(hn::AllTrue(kInt, hn::Lt(largest, hn::Set(kInt, 0x7F800000))))) {
      min = hn::Min(min, hn::Min(hn::Min(a, b), hn::Min(c, d)));
      max = hn::Max(max, hn::Max(hn::Max(a, b), hn::Max(c, d)));
      return;
    }
    for (const Floats v : {a, b, c, d}) add(v, r);
  }

  void add(Floats v, Range* r) {
    const auto finite = finite_lanes(v);
    if (HWY_LIKELY(hn::AllTrue(kInt, finite))) {
      min = hn::Min(min, v);
      max = hn::Max(max, v);
      return;
    }
    const size_t nans = hn::CountTrue(kInt, nan_lanes(v));
    r->nan_count += nans;
    r->inf_count += kLanes - hn::CountTrue(kInt, finite) - nans;
    const auto keep = hn::RebindMask(kFloat, finite);
    min = hn::Min(min, hn::IfThenElse(keep, v, high_end()));
    max = hn::Max(max, hn::IfThenElse(keep, v, low_end()));
  }
};

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
  Extremes e;
  size_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) e.add4(x + i, into);
  for (; i + kLanes <= n; i += kLanes) e.add(hn::LoadU(kFloat, x + i), into);
  narrow_columns(x + i, n - i, 1, 1, into);  // the rest, as a column of its own
  join(into, hn::GetLane(hn::MinOfLanes(kFloat, e.min)),
       hn::GetLane(hn::MaxOfLanes(kFloat, e.max)));
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

// SPDX-License-Identifier: Apache-2.0
#include "sums.h"

namespace octet_cli {

void WeightedSum::into(float* __restrict y, size_t n) const {
  // Four rows at a time: y is then loaded and stored once for four terms, in the same order.
  size_t t = 0;
  for (; t + 4 <= terms_.size(); t += 4) {
    const Term* term = &terms_[t];
    const float f0 = term[0].factor, f1 = term[1].factor, f2 = term[2].factor, f3 = term[3].factor;
    const float* __restrict r0 = term[0].row;
    const float* __restrict r1 = term[1].row;
    const float* __restrict r2 = term[2].row;
    const float* __restrict r3 = term[3].row;
    for (size_t i = 0; i < n; ++i)
      y[i] = (((y[i] + f0 * r0[i]) + f1 * r1[i]) + f2 * r2[i]) + f3 * r3[i];
  }
  for (; t < terms_.size(); ++t) {
    const float factor = terms_[t].factor;
    const float* __restrict row = terms_[t].row;
    for (size_t i = 0; i < n; ++i) y[i] += factor * row[i];
  }
}

float dot(const float* a, const float* b, size_t n) {
  constexpr size_t kLanes = 16;
  float lane[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (size_t l = 0; l < kLanes; ++l) lane[l] += a[i + l] * b[i + l];
  for (size_t l = 0; i < n; ++i, ++l) lane[l] += a[i] * b[i];
  for (size_t half = kLanes / 2; half > 0; half /= 2)
    for (size_t l = 0; l < half; ++l) lane[l] += lane[l + half];
  return lane[0];
}

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
//
// Weights of a few columns in the layout kLayoutColumns (kernels/kernel.h): panels would be filler
// for the most part. Ops keep such a copy of their own; it is smaller than the panels.
#pragma once

#include "kernels/kernel.h"
#include "src/weights.h"

namespace octet {

constexpr int64_t kFewColumns = 4;

// Shorter ones than a step are faster in panels, but for a single one.
inline bool may_be_columns(const WeightsView& w) {
  return w.form.plain() && !w.conv.rank && w.k &&
         (w.n == 1 || (w.n > 1 && w.n <= kFewColumns && w.k >= kColumnTail));
}

// Bytes from a column of k weights to the next.
inline int64_t column_pitch(int64_t k) {
  return (k + kColumnStep - 1) / kColumnStep * kColumnStep + kColumnStep;
}
inline size_t column_bytes(int64_t n, int64_t k) {
  return static_cast<size_t>(n * column_pitch(k));
}

// The first n <= 16 columns of a canonical panel.
void write_columns(const int8_t* panel, int64_t n, int64_t k, int8_t* to);

}  // namespace octet

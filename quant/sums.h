// SPDX-License-Identifier: Apache-2.0
//
// Sums of floats in one order, whatever runs them (docs/numerics.md, "Float reductions"): binary64,
// chunks of 4,096 elements, 16 lanes in a chunk that are added pairwise, chunks in ascending order.
#pragma once

#include <stdint.h>

namespace octet {

constexpr int64_t kSumChunk = 4096;
constexpr int kSumLanes = 16;

// The lanes of one chunk, added pairwise.
inline double add_lanes(double* lane) {
  for (int half = kSumLanes / 2; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
  return lane[0];
}

// The sum of term(i) for i < n.
template <class Term>
double ordered_sum(int64_t n, Term term) {
  double total = 0;
  for (int64_t chunk = 0; chunk < n; chunk += kSumChunk) {
    const int64_t end = n - chunk < kSumChunk ? n : chunk + kSumChunk;
    double lane[kSumLanes] = {};
    int64_t i = chunk;
    for (; i + kSumLanes <= end; i += kSumLanes)
      for (int l = 0; l < kSumLanes; ++l) lane[l] += term(i + l);
    for (int l = 0; i < end; ++i, ++l) lane[l] += term(i);
    total += add_lanes(lane);
  }
  return total;
}

// The same, term after term.
class OrderedSum {
 public:
  void add(double term) {
    lane_[at_ % kSumLanes] += term;
    if (++at_ == kSumChunk) flush();
  }
  double total() {
    if (at_) flush();
    return total_;
  }

 private:
  void flush() {
    total_ += add_lanes(lane_);
    for (double& l : lane_) l = 0;
    at_ = 0;
  }
  double lane_[kSumLanes] = {}, total_ = 0;
  int64_t at_ = 0;
};

}  // namespace octet

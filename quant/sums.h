// SPDX-License-Identifier: Apache-2.0
//
// Sums of floats in one order, whatever runs them (docs/numerics.md, "Sums"): binary64,
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

// Terms are added one behind another.
class OrderedSum {
 public:
  // term(i) for i < n.
  template <class Term>
  void add(int64_t n, Term term) {
    int64_t i = 0;
    while (i < n) {
      if (at_ % kSumLanes == 0 && n - i >= kSumLanes) {
        for (int l = 0; l < kSumLanes; ++l) lane_[l] += term(i + l);
        i += kSumLanes;
        at_ += kSumLanes;
      } else {
        lane_[at_++ % kSumLanes] += term(i++);
      }
      if (at_ == kSumChunk) flush();
    }
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

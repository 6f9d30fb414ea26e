// SPDX-License-Identifier: Apache-2.0
//
// The two sums of training, in forms that compilers vectorize without changing a bit: a weighted
// sum of rows keeps each element's own order, a dot product has 16 named lanes.
#pragma once

#include <cstddef>
#include <vector>

namespace octet_cli {

// y += f0 * row0 + f1 * row1 + ..., added in the order of add(); rows with factor 0 are dropped.
class WeightedSum {
 public:
  void clear() { terms_.clear(); }
  void add(float factor, const float* row) {
    if (factor != 0.0f) terms_.push_back({factor, row});
  }
  void into(float* y, size_t n) const;

 private:
  struct Term {
    float factor;
    const float* row;
  };
  std::vector<Term> terms_;
};

// Element i goes into lane i mod 16; the lanes are then added pairwise.
float dot(const float* a, const float* b, size_t n);

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
//
// The two sums of training must equal their definitions bit for bit, whatever the compiler made of
// them.
#include <gtest/gtest.h>

#include <vector>

#include "portable_math.h"
#include "sums.h"

namespace octet_cli {
namespace {

std::vector<float> random_values(Rng& rng, size_t n) {
  std::vector<float> values(n);
  for (float& v : values) v = 2.0f * rng.uniform() - 1.0f;
  return values;
}

TEST(Dot, AddsSixteenLanesPairwise) {
  Rng rng(3);
  for (const size_t n : {0, 1, 10, 15, 16, 17, 128, 255}) {
    const auto a = random_values(rng, n), b = random_values(rng, n);
    volatile float lane[16] = {};  // volatile: one plain addition after the other
    for (size_t i = 0; i < n; ++i) lane[i % 16] = lane[i % 16] + a[i] * b[i];
    for (size_t half = 8; half > 0; half /= 2)
      for (size_t l = 0; l < half; ++l) lane[l] = lane[l] + lane[l + half];
    EXPECT_EQ(dot(a.data(), b.data(), n), lane[0]) << n;
  }
}

TEST(WeightedSum, AddsRowsInOrderAndDropsZeros) {
  Rng rng(4);
  constexpr size_t kColumns = 37;
  for (size_t rows = 0; rows < 12; ++rows) {
    const auto matrix = random_values(rng, rows * kColumns);
    auto factors = random_values(rng, rows);
    if (rows > 2) factors[2] = 0.0f;
    auto y = random_values(rng, kColumns);
    auto expected = y;
    WeightedSum sum;
    for (size_t r = 0; r < rows; ++r) {
      sum.add(factors[r], &matrix[r * kColumns]);
      for (size_t c = 0; c < kColumns; ++c) {
        volatile float product = factors[r] * matrix[r * kColumns + c];
        if (factors[r] != 0.0f) expected[c] = expected[c] + product;
      }
    }
    sum.into(y.data(), kColumns);
    EXPECT_EQ(y, expected) << rows;
  }
}

}  // namespace
}  // namespace octet_cli

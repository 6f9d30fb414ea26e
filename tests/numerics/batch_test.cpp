// SPDX-License-Identifier: Apache-2.0
//
// Rows belong to the call, not to the layer: any order and number of rows in any number of calls
// gives the bits of one call with all of them, and calls leave nothing behind.
#include <stdio.h>
#include <unistd.h>

#include <numeric>

#include "tests/numerics/layer.h"

namespace octet_test {
namespace {

constexpr int64_t kRows = 4096, kN = 24, kK = 40;

// Float rows of many magnitudes through one set of weights.
class Batches : public testing::Test {
 protected:
  Batches() : x_(kRows * kK), w_(kN * kK), y_(kRows * kN) {
    Rng rng(12);
    for (size_t i = 0; i < x_.size(); ++i)
      x_[i] = (rng.unit() - 0.3f) * static_cast<float>(1 + i / kK % 17);
    for (float& w : w_) w = rng.unit() - 0.5f;
    weights_ = make_weights(best_context(), octet_mat(OCTET_F32, w_.data(), kN, kK));
    exec_.reserve(4 << 20);
  }

  Op dynamic_op(int32_t granularity) {
    octet_scheme s = sized<octet_scheme>();
    s.type = OCTET_U8;
    s.granularity = granularity;
    return make_op(best_context(), weights_.get(), {OCTET_F32, 0, 0}, {OCTET_F32, 0, 0},
                   OCTET_ACT_NONE, &s);
  }

  // Rows first .. first + count of x; their rows of y.
  void run(const Op& op, int64_t first, int64_t count, float* y) {
    const octet_tensor in = octet_mat(OCTET_F32, x_.data() + first * kK, count, kK),
                       out = octet_mat(OCTET_F32, y + first * kN, count, kN);
    ASSERT_TRUE(ok(octet_op_run(op.get(), &in, 1, &out, 1, &exec_.e, &err_), err_));
  }

  std::vector<float> x_, w_, y_;
  Weights weights_;
  Exec exec_;
  Error err_;
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && !memcmp(a.data(), b.data(), a.size() * sizeof(float));
}

TEST_F(Batches, EverySplitGivesTheBitsOfTheWhole) {
  const Op op = dynamic_op(OCTET_PER_ROW);
  run(op, 0, kRows, y_.data());
  Rng rng(13);
  for (int64_t most : {1, 3, 16, 17, 100, 1000}) {
    std::vector<float> y(y_.size(), -1.0f);
    for (int64_t first = 0; first < kRows;) {
      const int64_t count = std::min(kRows - first, rng.range(0, most));
      run(op, first, count, y.data());
      first += count;
    }
    EXPECT_TRUE(same_bits(y, y_)) << "pieces of up to " << most;
  }
}

TEST_F(Batches, RowsInAnyOrder) {
  const Op op = dynamic_op(OCTET_PER_ROW);
  run(op, 0, kRows, y_.data());
  for (int64_t m : {1, 7, 0, 4096, 3, 64, 2, 1000}) {
    std::vector<float> y = y_;
    std::fill(y.begin(), y.begin() + m * kN, -1.0f);
    run(op, 0, m, y.data());
    EXPECT_TRUE(same_bits(y, y_)) << m << " rows";
  }
}

// One scale for the call is a compatibility scheme: a row's result depends on its neighbours.
TEST_F(Batches, OneScaleForTheCallGivesThatUp) {
  const Op op = dynamic_op(OCTET_PER_TENSOR);
  run(op, 0, kRows, y_.data());
  std::vector<float> y(y_.size());
  for (int64_t i = 0; i < kRows; ++i) run(op, i, 1, y.data());
  EXPECT_FALSE(same_bits(y, y_));
}

int64_t resident_pages() {
  FILE* file = fopen("/proc/self/statm", "r");
  if (!file) return 0;
  long long size = 0, resident = 0;
  EXPECT_EQ(fscanf(file, "%lld %lld", &size, &resident), 2);
  fclose(file);
  return resident;
}

TEST_F(Batches, MemoryIsFlatOverManyCalls) {
  const Op op = dynamic_op(OCTET_PER_ROW);
  Rng rng(14);
  for (int64_t i = 0; i < 100; ++i) run(op, 0, i < 50 ? i : kRows, y_.data());
  const int64_t before = resident_pages();
  for (int i = 0; i < scaled(1000000); ++i) run(op, 0, rng.range(0, 40), y_.data());
  // The kernel counts in batches; a leak of 1 byte a call would be 244 pages.
  EXPECT_LE(resident_pages() - before, 150);
}

}  // namespace
}  // namespace octet_test

// SPDX-License-Identifier: Apache-2.0
//
// Fixed-point multiplication: the scalar forms against numbers computed by others' definitions,
// every kernel against the scalar one.
#include "kernels/reference/fixed.h"

#include <gtest/gtest.h>

#include <climits>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernel.h"
#include "tests/kernels/cpu.h"
#include "tests/kernels/guarded.h"

namespace octet {
namespace {

constexpr int32_t kMin = INT32_MIN, kMax = INT32_MAX;

TEST(Fixed, HighProductRoundsAHalfUp) {
  EXPECT_EQ(rounded_high_product(kMin, kMin), kMax);
  EXPECT_EQ(rounded_high_product(kMin, kMax), -2147483647);
  EXPECT_EQ(rounded_high_product(kMax, kMax), 2147483646);
  EXPECT_EQ(rounded_high_product(1 << 30, 1), 1);
  EXPECT_EQ(rounded_high_product(-(1 << 30), 1), 0);
  EXPECT_EQ(rounded_high_product(3, 1 << 30), 2);
  EXPECT_EQ(rounded_high_product(-3, 1 << 30), -1);
  EXPECT_EQ(rounded_high_product(kMin, 1 << 30), -1073741824);
  EXPECT_EQ(rounded_high_product(1000000, 1518500250), 707107);
  EXPECT_EQ(rounded_high_product(-1000000, 1518500250), -707107);
}

TEST(Fixed, ShiftRoundsAHalfAway) {
  const int32_t cases[][3] = {{5, 1, 3},
                              {-5, 1, -3},
                              {1, 1, 1},
                              {-1, 1, -1},
                              {2, 1, 1},
                              {5, 2, 1},
                              {6, 2, 2},
                              {-5, 2, -1},
                              {-6, 2, -2},
                              {2, 2, 1},
                              {-2, 2, -1},
                              {1, 2, 0},
                              {-1, 2, 0},
                              {7, 3, 1},
                              {-7, 3, -1},
                              {3, 3, 0},
                              {kMin, 31, -1},
                              {kMax, 31, 1},
                              {kMin, 1, -1073741824}};
  for (const auto& c : cases) EXPECT_EQ(rounded_shift(c[0], c[1]), c[2]) << c[0] << " >> " << c[1];
}

// Accumulators at ties, times 0.5 and 0.25.
TEST(Fixed, TiesOfBothRoundings) {
  const int32_t acc[] = {-7, -6, -5, -3, -2, -1, 1, 2, 3, 5, 6, 7};
  const int64_t half[] = {-3, -3, -2, -1, -1, 0, 1, 1, 2, 3, 3, 4};
  const int64_t quarter_once[] = {-2, -1, -1, -1, 0, 0, 0, 1, 1, 1, 2, 2};
  const int64_t quarter_twice[] = {-2, -2, -1, -1, -1, 0, 1, 1, 1, 2, 2, 2};
  for (size_t i = 0; i < 12; ++i) {
    EXPECT_EQ(scaled(acc[i], 1 << 30, 0, kRoundTwice), half[i]) << acc[i];
    EXPECT_EQ(scaled(acc[i], 1 << 30, 0, kRoundOnce), half[i]) << acc[i];
    EXPECT_EQ(scaled(acc[i], 1 << 30, -1, kRoundTwice), quarter_twice[i]) << acc[i];
    EXPECT_EQ(scaled(acc[i], 1 << 30, -1, kRoundOnce), quarter_once[i]) << acc[i];
  }
  EXPECT_EQ(scaled(-19248, 1992177664, -7, kRoundTwice), -140);
  EXPECT_EQ(scaled(-19248, 1992177664, -7, kRoundOnce), -139);
}

FixedFn* scalar_row() {
  for (size_t r = 0; r < octet_row_count; ++r)
    if (octet_rows[r].family == kFixed && octet_rows[r].isa == kIsaScalar)
      return reinterpret_cast<FixedFn*>(octet_rows[r].fn);
  return nullptr;
}

class FixedRow : public testing::TestWithParam<const Row*> {};

TEST_P(FixedRow, EqualsTheScalarRow) {
  const Row& row = *GetParam();
  if (!(row.isa & cpu_isas())) GTEST_SKIP() << "this CPU cannot run " << row.name;
  std::mt19937 random(1);
  Guarded sums_at(256), out_at(64);
  const auto draw = [&](int32_t low, int32_t high) {
    return std::uniform_int_distribution<int32_t>(low, high)(random);
  };
  std::vector<int32_t> mult(80), exponent(80);
  for (int32_t turn = 0; turn < 20000; ++turn) {
    const int32_t n = draw(1, 64), padded = (n + 15) / 16 * 16;
    int32_t* sums = sums_at.place<int32_t>(static_cast<size_t>(padded), true);
    const int32_t kind = draw(0, 3), spread = 1 << draw(4, 30);
    for (int32_t j = 0; j < padded; ++j) {
      sums[j] = kind == 0   ? static_cast<int32_t>(random())
                : kind == 1 ? (draw(0, 1) ? kMin : kMax)
                            : draw(-spread, spread);
    }
    for (size_t j = 0; j < mult.size(); ++j) {
      mult[j] = draw(0, 7) ? draw(1 << 30, kMax) : draw(0, 1) ? 0 : 1 << 30;
      exponent[j] = kind == 2 ? draw(-12, 2) : draw(-31, 30);
    }
    Finish f = {};
    f.fixed_mult = mult.data();
    f.fixed_exp = exponent.data();
    f.fixed_rounding = draw(0, 1) ? kRoundTwice : kRoundOnce;
    const int32_t low = draw(0, 1) ? -128 : 0;
    f.zp = draw(low, low + 255);
    f.lo = draw(0, 1) ? low : draw(low, low + 255);
    f.hi = draw(f.lo, low + 255);
    uint8_t want[64];
    scalar_row()(&f, sums, 16, n, want);
    uint8_t* got = out_at.place<uint8_t>(static_cast<size_t>(n), true);
    reinterpret_cast<FixedFn*>(row.fn)(&f, sums, 16, n, got);
    ASSERT_EQ(memcmp(got, want, static_cast<size_t>(n)), 0) << "turn " << turn;
  }
}

std::vector<const Row*> simd_rows() {
  std::vector<const Row*> rows;
  for (size_t r = 0; r < octet_row_count; ++r)
    if (octet_rows[r].family == kFixed && octet_rows[r].isa != kIsaScalar)
      rows.push_back(octet_rows + r);
  return rows;
}

INSTANTIATE_TEST_SUITE_P(Rows, FixedRow, testing::ValuesIn(simd_rows()),
                         [](const auto& row) { return std::string(row.param->name); });

}  // namespace
}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
//
// Real multipliers as integers, against the numbers that TFLite's definition gives.
#include "quant/fixed_point.h"

#include <gtest/gtest.h>

#include <climits>

namespace octet {
namespace {

void expect(double d, int32_t mult, int32_t exponent) {
  const FixedPoint p = quantize_multiplier(d);
  EXPECT_EQ(p.mult, mult) << d;
  EXPECT_EQ(p.exponent, exponent) << d;
}

TEST(FixedPoint, Multipliers) {
  expect(0, 0, 0);
  expect(1, 1 << 30, 1);
  expect(0.5, 1 << 30, 0);
  expect(0.25, 1 << 30, -1);
  expect(0.001, 1099511628, -9);
  expect(1.5, 1610612736, 1);
  expect(0.9999999999, 1 << 30, 1);  // rounds up to a power of two
  expect(1.0 / 3, 1431655765, -1);
  expect(0x1p-32, 1 << 30, -31);
  expect(0x1p-33, 0, 0);
  expect(0x1p29, 1 << 30, 30);
  expect(0x1p30, INT_MAX, 30);
  expect(0x1p180, INT_MAX, 30);
}

TEST(FixedPoint, Rounding) {
  const float half = 0.5f, near = 0.49999997f;
  EXPECT_EQ(round_even(half), 0);
  EXPECT_EQ(round_even(1.5f), 2);
  EXPECT_EQ(round_even(-2.5f), -2);
  EXPECT_EQ(round_away(half), 1);
  EXPECT_EQ(round_away(-half), -1);
  EXPECT_EQ(round_away(2.5f), 3);
  EXPECT_EQ(round_away(-2.5f), -3);
  EXPECT_EQ(round_away(near), 0);
  EXPECT_EQ(round_away(-near), 0);
  for (const auto round : {round_even, round_away}) {
    EXPECT_EQ(round(8388609.0f), 8388609);  // no half left
    EXPECT_EQ(round(0x1p31f), INT_MAX);
    EXPECT_EQ(round(3e38f), INT_MAX);
    EXPECT_EQ(round(-0x1p31f), INT_MIN);
    EXPECT_EQ(round(-3e38f), INT_MIN);
  }
}

}  // namespace
}  // namespace octet

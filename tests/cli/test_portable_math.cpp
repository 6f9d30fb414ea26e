// SPDX-License-Identifier: Apache-2.0
//
// Training's own functions: exact bits where the table of the demo depends on them, and closeness
// to the real functions.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>

#include "portable_math.h"

namespace octet_cli {
namespace {

TEST(Rng, GivesTheSequenceOfSplitMix64) {
  Rng rng(1234567);  // the sequence that is published with the algorithm
  EXPECT_EQ(rng.next(), 6457827717110365317u);
  EXPECT_EQ(rng.next(), 3203168211198807973u);
  EXPECT_EQ(rng.next(), 9817491932198370423u);
  EXPECT_EQ(rng.next(), 4593380528125082431u);
  EXPECT_EQ(rng.next(), 16408922859458223821u);
}

TEST(Rng, UniformStaysBelowOneAndHasItsMean) {
  Rng rng(7);
  double sum = 0;
  for (int i = 0; i < 100000; ++i) {
    const float u = rng.uniform();
    ASSERT_GE(u, 0.0f);
    ASSERT_LT(u, 1.0f);
    sum += u;
  }
  EXPECT_NEAR(sum / 100000, 0.5, 0.005);
}

TEST(Rng, BelowReachesEveryValueAndNoOther) {
  Rng rng(7);
  int seen[5] = {};
  for (int i = 0; i < 1000; ++i) ++seen[rng.below(5)];
  for (const int count : seen) EXPECT_NEAR(count, 200, 60);
}

TEST(Exp, IsCloseToTheRealFunction) {
  for (float x = 0.0f; x > -86.9f; x -= 0.0137f) {
    const double exact = std::exp(static_cast<double>(x));
    ASSERT_NEAR(exp_nonpositive(x) / exact, 1.0, 3e-7) << x;
  }
}

TEST(Exp, KnowsItsEnds) {
  EXPECT_EQ(exp_nonpositive(0.0f), 1.0f);
  EXPECT_EQ(exp_nonpositive(-87.0f), 0.0f);
  EXPECT_EQ(exp_nonpositive(-INFINITY), 0.0f);
}

TEST(Exp, HasTheSameBitsEverywhere) {
  uint32_t hash = 2166136261u;
  for (float x = 0.0f; x > -90.0f; x -= 0.01171875f)
    hash = (hash ^ std::bit_cast<uint32_t>(exp_nonpositive(x))) * 16777619u;
  EXPECT_EQ(hash, 1513497494u);
}

TEST(Log, IsCloseToTheRealFunction) {
  for (double x = 1e-30; x < 1e6; x *= 1.173) {
    ASSERT_NEAR(log_positive(x), std::log(x), 1e-12 * std::fabs(std::log(x)) + 1e-12) << x;
  }
  EXPECT_EQ(log_positive(1.0), 0.0);
}

TEST(Log, HasTheSameBitsEverywhere) {
  uint64_t hash = 14695981039346656037u;
  for (double x = 0x1p-90; x < 1e6; x *= 1.171875)
    hash = (hash ^ std::bit_cast<uint64_t>(log_positive(x))) * 1099511628211u;
  EXPECT_EQ(hash, 5598732443950827434u);
}

}  // namespace
}  // namespace octet_cli

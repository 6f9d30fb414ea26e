// SPDX-License-Identifier: Apache-2.0
//
// octet_compare and octet_bias_error against sums taken plainly, their extremes, and the promise
// that neither threads nor strides reach a bit.
#include "tests/quant/support.h"

namespace octet_test {
namespace {

octet_difference zeroed() {
  octet_difference d = {};
  d.struct_size = sizeof d;
  return d;
}

octet_difference compare(const octet_tensor& want, const octet_tensor& got,
                         const octet_exec* e = nullptr) {
  static const Context c;
  octet_difference d = zeroed();
  octet_error err = {};
  EXPECT_EQ(octet_compare(c, &want, &got, &d, e, &err), OCTET_OK) << err.text;
  return d;
}

octet_difference compare_all(const std::vector<float>& want, const std::vector<float>& got) {
  return compare(vec(want), vec(got));
}

bool same_bits(const octet_difference& a, const octet_difference& b) {
  return memcmp(&a, &b, sizeof a) == 0;
}

std::vector<float> random_floats(size_t n, uint32_t seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(n);
  for (float& v : x) v = normal(rng);
  return x;
}

TEST(Compare, Golden) {
  const octet_difference d = compare_all({1, 2, -3, 0.5f}, {1.01f, 1.98f, -3.02f, 0.5f});
  EXPECT_NEAR(d.sqnr_db, 41.9957, 5e-5);
  EXPECT_NEAR(d.nl2, 0.00794718638, 1e-9);
  EXPECT_NEAR(d.cosine, 0.99997079, 5e-8);
  EXPECT_NEAR(d.max_abs, 0.02, 1e-7);
  EXPECT_EQ(d.count, 4u);
  EXPECT_EQ(d.clipped, 0);
  EXPECT_EQ(d.range_used, 0);
}

TEST(Compare, PlainSums) {
  for (const size_t n : {1u, 15u, 16u, 17u, 4095u, 4096u, 4097u, 200000u}) {
    const std::vector<float> want = random_floats(n, 1), got = random_floats(n, 2);
    double xx = 0, yy = 0, xy = 0, dd = 0, most = 0;
    for (size_t i = 0; i < n; ++i) {
      const double x = double{want[i]}, y = double{got[i]};
      xx += x * x;
      yy += y * y;
      xy += x * y;
      dd += (y - x) * (y - x);
      most = std::max(most, std::fabs(y - x));
    }
    const octet_difference d = compare_all(want, got);
    EXPECT_NEAR(d.xx, xx, 1e-11 * xx);
    EXPECT_NEAR(d.yy, yy, 1e-11 * yy);
    EXPECT_NEAR(d.xy, xy, 1e-9 * std::sqrt(xx * yy));
    EXPECT_NEAR(d.dd, dd, 1e-11 * dd);
    EXPECT_EQ(d.max_abs, most);
    EXPECT_NEAR(d.sqnr_db, 10 * std::log10(xx / dd), 1e-9);
    EXPECT_NEAR(d.nl2, std::sqrt(dd / xx), 1e-12);
    EXPECT_NEAR(d.cosine, xy / std::sqrt(xx * yy), 1e-9);
  }
}

// The order of docs/numerics.md, term by term.
TEST(Compare, OrderOfSums) {
  constexpr size_t kCount = 10000;
  const std::vector<float> want = random_floats(kCount, 3), got(kCount, 0.0f);
  double total = 0;
  for (size_t chunk = 0; chunk < kCount; chunk += 4096) {
    double lane[16] = {};
    for (size_t i = chunk; i < std::min(kCount, chunk + 4096); ++i)
      lane[(i - chunk) % 16] += double{want[i]} * double{want[i]};
    for (int half = 8; half; half /= 2)
      for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
    total += lane[0];
  }
  EXPECT_EQ(compare_all(want, got).xx, total);
}

TEST(Compare, ThreadsAndStridesReachNoBit) {
  constexpr int64_t kRows = 613, kColumns = 301, kPitch = 320;
  const std::vector<float> want = random_floats(kRows * kPitch, 4);
  const std::vector<float> got = random_floats(kRows * kPitch, 5);
  octet_tensor w = octet_mat(OCTET_F32, want.data(), kRows, kColumns),
               g = octet_mat(OCTET_F32, got.data(), kRows, kColumns);
  w.strides[0] = g.strides[0] = kPitch;
  w.strides[1] = g.strides[1] = 1;
  std::vector<float> dense_want, dense_got;
  for (int64_t r = 0; r < kRows; ++r)
    for (int64_t k = 0; k < kColumns; ++k) {
      dense_want.push_back(want[static_cast<size_t>(r * kPitch + k)]);
      dense_got.push_back(got[static_cast<size_t>(r * kPitch + k)]);
    }
  const octet_difference first = compare(w, g);
  EXPECT_TRUE(same_bits(first, compare_all(dense_want, dense_got)));
  for (const octet_parallel_for pool : {run_reversed, run_first_only}) {
    const octet_exec e = exec_with(pool, 3);
    EXPECT_TRUE(same_bits(first, compare(w, g, &e)));
  }
}

TEST(Compare, IntegersPerChannel) {
  const std::vector<float> want = {-1.5f, 0.26f, 3.0f, 0.5f, kNan, -70.0f};
  const int8_t q[] = {-100, 26, 127, 5, 3, -128};
  const float scale[] = {0.01f, 0.1f, 0.5f};
  const int32_t zero[] = {0, 0, 4};
  const octet_qparams params = make_qparams(scale, zero, 3, 1);
  const octet_tensor w = octet_mat(OCTET_F32, want.data(), 2, 3),
                     g = with(octet_mat(OCTET_S8, q, 2, 3), &params);
  const octet_difference d = compare(w, g);
  EXPECT_EQ(d.count, 6u);
  EXPECT_EQ(d.nan_count, 1u);
  // -1.5 lies below -128 * 0.01; 3 within 61.5; -70 below (-128 - 4) * 0.5 = -66.
  EXPECT_EQ(d.clip_count, 2u);
  EXPECT_EQ(d.clipped, 2.0 / 5);
  EXPECT_EQ(d.qlo, -128);
  EXPECT_EQ(d.qhi, 127);
  EXPECT_EQ(d.range_used, 1);
  std::vector<float> real(6);
  for (size_t i = 0; i < 6; ++i)
    real[i] = scale[i % 3] * static_cast<float>(int32_t{q[i]} - zero[i % 3]);
  EXPECT_EQ(compare_all(want, real).dd, d.dd);
}

TEST(Compare, NarrowRangeIsTheWholeRange) {
  const std::vector<float> want = {0.1f, 0.2f, 0.3f};
  const uint8_t q[] = {1, 2, 3};
  const float scale = 0.1f;
  const octet_qparams params = with_range(make_qparams(&scale, nullptr), 0, 15);
  const octet_difference d = compare(vec(want), with(octet_vec(OCTET_U8, q, 3), &params));
  EXPECT_EQ(d.range_used, 3.0 / 16);
}

TEST(Compare, Extremes) {
  const octet_difference equal = compare_all({1, -2}, {1, -2}), zeros = compare_all({0, 0}, {0, 0}),
                         noise = compare_all({0, 0}, {1, 0}), lost = compare_all({1, 0}, {0, 0}),
                         none = compare_all({}, {}), bad = compare_all({kNan, 1}, {1, kInf});
  EXPECT_EQ(equal.sqnr_db, std::numeric_limits<double>::infinity());
  EXPECT_EQ(equal.nl2, 0);
  EXPECT_EQ(zeros.sqnr_db, std::numeric_limits<double>::infinity());
  EXPECT_EQ(zeros.cosine, 1);
  EXPECT_EQ(noise.sqnr_db, -std::numeric_limits<double>::infinity());
  EXPECT_EQ(noise.nl2, std::numeric_limits<double>::infinity());
  EXPECT_EQ(noise.cosine, 0);
  EXPECT_EQ(lost.sqnr_db, 0);
  EXPECT_EQ(lost.cosine, 0);
  EXPECT_EQ(none.count, 0u);
  EXPECT_EQ(none.cosine, 1);
  EXPECT_EQ(bad.count, 2u);
  EXPECT_EQ(bad.nan_count, 2u);
  EXPECT_EQ(bad.dd, 0);
}

TEST(Compare, CallsAddUp) {
  const Context c;
  const std::vector<float> want = random_floats(3000, 6), got = random_floats(3000, 7);
  octet_difference d = zeroed();
  double dd = 0;
  for (int64_t i = 0; i < 3000; i += 1000) {
    const octet_tensor w = octet_vec(OCTET_F32, want.data() + i, 1000),
                       g = octet_vec(OCTET_F32, got.data() + i, 1000);
    ASSERT_EQ(octet_compare(c, &w, &g, &d, nullptr, nullptr), OCTET_OK);
    dd += compare(w, g).dd;
  }
  EXPECT_EQ(d.count, 3000u);
  EXPECT_EQ(d.dd, dd);
  EXPECT_NEAR(d.sqnr_db, compare_all(want, got).sqnr_db, 1e-9);
}

TEST(BiasError, MeanErrorGoesAway) {
  constexpr int64_t kRows = 500, kN = 300;
  const Context c;
  std::vector<float> want = random_floats(kRows * kN, 8), got = want;
  for (size_t i = 0; i < got.size(); ++i)
    got[i] += 0.01f * static_cast<float>(i % kN) + 0.1f * want[(i * 7) % want.size()];
  std::vector<double> sum(kN), plain(kN), split(kN);
  uint64_t rows = 0, split_rows = 0;
  const octet_tensor w = octet_mat(OCTET_F32, want.data(), kRows, kN),
                     g = octet_mat(OCTET_F32, got.data(), kRows, kN);
  const octet_exec e = exec_with(run_reversed, 4);
  ASSERT_EQ(octet_bias_error(c, &w, &g, sum.data(), &rows, &e, nullptr), OCTET_OK);
  EXPECT_EQ(rows, 500u);
  for (int64_t r = 0; r < kRows; r += 100) {  // batches give the same bits
    const octet_tensor a = octet_mat(OCTET_F32, want.data() + r * kN, 100, kN),
                       b = octet_mat(OCTET_F32, got.data() + r * kN, 100, kN);
    ASSERT_EQ(octet_bias_error(c, &a, &b, split.data(), &split_rows, nullptr, nullptr), OCTET_OK);
  }
  EXPECT_EQ(split, sum);
  for (size_t i = 0; i < want.size(); ++i) plain[i % kN] += double{got[i]} - double{want[i]};
  EXPECT_EQ(plain, sum);
  for (size_t i = 0; i < got.size(); ++i)
    got[i] -= static_cast<float>(sum[i % kN] / static_cast<double>(rows));
  std::fill(sum.begin(), sum.end(), 0.0);
  ASSERT_EQ(octet_bias_error(c, &w, &g, sum.data(), &rows, nullptr, nullptr), OCTET_OK);
  for (const double s : sum) EXPECT_NEAR(s / kRows, 0, 1e-6);
}

TEST(BiasError, Integers) {
  const Context c;
  const float want[] = {1, 2, 3, 4};
  const uint8_t q[] = {110, 130, 140, 143};
  const float scale[] = {0.1f, 0.1f};
  const int32_t zero[] = {100, 110};
  const octet_qparams params = make_qparams(scale, zero, 2, -1);
  const octet_tensor w = octet_mat(OCTET_F32, want, 2, 2),
                     g = with(octet_mat(OCTET_U8, q, 2, 2), &params);
  double sum[2] = {};
  uint64_t rows = 0;
  ASSERT_EQ(octet_bias_error(c, &w, &g, sum, &rows, nullptr, nullptr), OCTET_OK);
  EXPECT_EQ(rows, 2u);
  EXPECT_NEAR(sum[0], 0 + 1, 1e-6);
  EXPECT_NEAR(sum[1], 0 - 0.7, 1e-6);
}

TEST(BiasError, Refusals) {
  const Context c;
  const std::vector<float> want = {1, kNan}, got = {1, 2};
  double sum[2] = {5, 6};
  uint64_t rows = 3;
  octet_error err = {};
  const octet_tensor w = vec(want), g = vec(got);
  expect_refused(octet_bias_error(c, &w, &g, sum, &rows, nullptr, &err), err, OCTET_ERR_NOT_FINITE,
                 {"NaN"});
  EXPECT_EQ(sum[0], 5);
  EXPECT_EQ(rows, 3u);
  expect_refused(octet_bias_error(c, &g, &g, nullptr, &rows, nullptr, &err), err,
                 OCTET_ERR_ARGUMENT, {"sum", "NULL"});
  octet_difference d = zeroed();
  d.flags = 4;
  expect_refused(octet_compare(c, &g, &g, &d, nullptr, &err), err, OCTET_ERR_ARGUMENT,
                 {"octet_difference.flags", "4"});
  d = zeroed();
  const octet_tensor other = octet_vec(OCTET_F32, got.data(), 1);
  expect_refused(octet_compare(c, &g, &other, &d, nullptr, &err), err, OCTET_ERR_ARGUMENT,
                 {"got.dims[0]"});
  EXPECT_EQ(d.count, 0u);
}

}  // namespace
}  // namespace octet_test

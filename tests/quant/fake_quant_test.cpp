// SPDX-License-Identifier: Apache-2.0
//
// Fake-quantization: golden vectors, equality with quantize and dequantize, the estimator's
// gradient, and the QAT step whose state is the caller's.
#include "tests/quant/support.h"

namespace octet_test {
namespace {

struct Fake {
  std::vector<float> y;
  std::vector<uint8_t> mask;
};

class FakeQuant : public testing::Test {
 protected:
  Fake run(const std::vector<float>& x, const octet_qparams& q, const octet_exec* e = nullptr) {
    Fake f = {std::vector<float>(x.size()), std::vector<uint8_t>(x.size(), 0xEE)};
    const octet_tensor in = vec(x), out = vec(f.y);
    octet_error err = {};
    EXPECT_EQ(octet_fake_quant(c, &in, &q, &out, f.mask.data(), e, &err), OCTET_OK) << err.text;
    return f;
  }
  std::vector<float> hostile(size_t n, float scale) {
    std::vector<float> x(n);
    for (auto& v : x) v = hostile_float(rng, scale);
    return x;
  }
  Context c;
  std::mt19937 rng{5};
};

using Bytes = std::vector<uint8_t>;

TEST_F(FakeQuant, GoldenVectors) {
  const float s = 0.01f, one = 1, half = 0.5f;
  const int32_t z0 = 0, z1 = 1, z3 = 3;
  const Fake f =
      run({-1.3f, -1.28f, -0.6449f, -0.005f, 0, 0.005f, 0.015f, 1.27f, 1.2749f, 1.275f, 1.2751f, 2},
          with_range(make_qparams(&s, &z0), -128, 127));
  const int want[] = {-128, -128, -64, 0, 0, 0, 2, 127, 127, 127, 127, 127};
  for (size_t i = 0; i < 12; ++i)
    EXPECT_EQ(bits(f.y[i]), bits(static_cast<float>(want[i]) * s)) << i;
  EXPECT_EQ(f.mask, (Bytes{0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0}));
  EXPECT_EQ(run({0.5f, 1.5f, 2.5f, -0.5f}, with_range(make_qparams(&one, &z1), -8, 7)).y,
            (std::vector<float>{0, 2, 2, 0}));
  const Fake special =
      run({kNan, kInf, -kInf, 1e30f, -1e30f}, with_range(make_qparams(&half, &z3), 0, 255));
  EXPECT_EQ(special.y, (std::vector<float>{-1.5f, 126, -1.5f, 126, -1.5f}));
  EXPECT_EQ(special.mask, (Bytes{0, 0, 0, 0, 0}));
}

TEST_F(FakeQuant, EqualsDequantizeOfQuantize) {
#if defined(__x86_64__)
  constexpr size_t kValues = 10'000'000;
#else
  constexpr size_t kValues = 300'000;  // under emulation
#endif
  constexpr size_t kChunk = 50'000;
  std::vector<float> back(kChunk);
  std::vector<uint8_t> q(kChunk);
  for (size_t done = 0; done < kValues; done += kChunk) {
    const bool is_signed = rng() % 2;
    const float scale = random_scale(rng);
    const int32_t low = is_signed ? -128 : 0, zero = low + static_cast<int32_t>(rng() % 256);
    octet_qparams qp = make_qparams(&scale, &zero);
    if (rng() % 2) qp.flags = OCTET_DIVIDE;
    const std::vector<float> x = hostile(kChunk, scale);
    const Fake f = run(x, with_range(qp, low, low + 255));
    const octet_tensor in = vec(x), out = vec(back);
    const octet_tensor mid =
        with(octet_vec(is_signed ? OCTET_S8 : OCTET_U8, q.data(), kChunk), &qp);
    ASSERT_EQ(octet_quantize(c, &in, &mid, nullptr, nullptr), OCTET_OK);
    ASSERT_EQ(octet_dequantize(c, &mid, &out, nullptr, nullptr), OCTET_OK);
    ASSERT_EQ(memcmp(f.y.data(), back.data(), kChunk * sizeof(float)), 0);
  }
}

TEST_F(FakeQuant, WideRangesAndChannels) {
  constexpr int64_t kRows = 37, kCols = 300;
  for (const auto& range : {std::pair{-32768, 32767}, {0, 65535}, {-2, 1}, {-7, 7}, {0, 3}})
    for (int axis : {0, 1}) {
      const size_t n = axis ? kCols : kRows;
      std::vector<float> scale(n), x(kRows * kCols), y(x.size());
      std::vector<int32_t> zero(n);
      std::vector<uint8_t> mask(x.size());
      for (size_t i = 0; i < n; ++i) {
        scale[i] = random_scale(rng);
        zero[i] = range.first + static_cast<int32_t>(
                                    rng() % static_cast<uint32_t>(range.second - range.first + 1));
      }
      const auto channel = [&](size_t i) { return axis ? i % kCols : i / kCols; };
      for (size_t i = 0; i < x.size(); ++i)
        x[i] = hostile_float(rng, scale[channel(i)]) * (range.second > 300 ? 150.0f : 1.0f);
      const octet_qparams q =
          with_range(make_qparams(scale.data(), zero.data(), static_cast<int64_t>(n), axis - 2),
                     range.first, range.second);
      const octet_tensor in = octet_mat(OCTET_F32, x.data(), kRows, kCols);
      const octet_tensor out = octet_mat(OCTET_F32, y.data(), kRows, kCols);
      octet_error err = {};
      ASSERT_EQ(octet_fake_quant(c, &in, &q, &out, mask.data(), nullptr, &err), OCTET_OK)
          << err.text;
      for (size_t i = 0; i < x.size(); ++i) {
        const size_t k = channel(i);
        const float t = x[i] * (1 / scale[k]);
        const double unclamped = std::nearbyint(static_cast<double>(t)) + zero[k];
        double v = std::isnan(t) ? range.first : unclamped;
        v = std::fmin(std::fmax(v, range.first), range.second) - zero[k];
        ASSERT_EQ(bits(y[i]), bits(static_cast<float>(v + 0.0) * scale[k])) << x[i];
        ASSERT_EQ(mask[i], unclamped >= range.first && unclamped <= range.second) << x[i];
      }
    }
}

TEST_F(FakeQuant, InPlaceWithoutMaskAndOnThreads) {
  const float s = 0.03f;
  const int32_t z = 7;
  const octet_qparams q = with_range(make_qparams(&s, &z), -128, 127);
  const std::vector<float> x = hostile(200003, s);
  const Fake want = run(x, q);
  for (int32_t threads = 1; threads <= 16; ++threads) {
    const octet_exec e = exec_with(threads % 2 ? run_reversed : run_first_only, threads);
    const Fake got = run(x, q, &e);
    EXPECT_EQ(memcmp(got.y.data(), want.y.data(), x.size() * 4), 0);
    EXPECT_EQ(got.mask, want.mask);
  }
  std::vector<float> same = x;
  const octet_tensor t = vec(same);
  ASSERT_EQ(octet_fake_quant(c, &t, &q, &t, nullptr, nullptr, nullptr), OCTET_OK);
  EXPECT_EQ(memcmp(same.data(), want.y.data(), x.size() * 4), 0);
}

// The surrogate that the estimator differentiates: the rounding residue of x0 is held constant, the
// clamp is not.
double surrogate(double x, float x0, float scale, int32_t zero, int32_t qmin, int32_t qmax) {
  const double s = static_cast<double>(scale), inverse = static_cast<double>(1 / scale);
  const double rounded = std::nearbyint(static_cast<double>(x0 * (1 / scale)));
  const double residue = rounded - static_cast<double>(x0) * inverse;
  const double q = std::fmin(std::fmax(x * inverse + residue + zero, qmin), qmax);
  return (q - zero) * s;
}

TEST_F(FakeQuant, GradientIsThatOfTheSurrogate) {
  const float s = 0.04f;
  const int32_t z = 11;
  const octet_qparams q = with_range(make_qparams(&s, &z), 0, 255);
  std::vector<float> x(20000), dy(x.size()), dx(x.size());
  for (auto& v : x) v = static_cast<float>(static_cast<int>(rng() % 30000) - 10000) * 0.001f;
  for (auto& v : dy) v = static_cast<float>(static_cast<int>(rng() % 2001) - 1000) * 0.01f;
  const Fake f = run(x, q);
  const octet_tensor in = vec(dy), out = vec(dx);
  ASSERT_EQ(octet_fake_quant_backward(c, &in, f.mask.data(), &out, nullptr, nullptr), OCTET_OK);
  constexpr double h = 1e-4;
  int checked = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double at = static_cast<double>(x[i]);
    double slope =
        (surrogate(at + h, x[i], s, z, 0, 255) - surrogate(at - h, x[i], s, z, 0, 255)) / (2 * h);
    if (slope > 0.25 && slope < 0.75) slope = 1;  // on a bound: the test is inclusive
    ASSERT_NEAR(static_cast<double>(dx[i]), slope * static_cast<double>(dy[i]), 1e-6) << x[i];
    checked += slope < 0.5;
  }
  EXPECT_GT(checked, 1000);  // both cases were there
  // In place, and on threads.
  for (int32_t threads : {1, 3, 16}) {
    std::vector<float> same = dy;
    const octet_tensor t = vec(same);
    const octet_exec e = exec_with(run_reversed, threads);
    ASSERT_EQ(octet_fake_quant_backward(c, &t, f.mask.data(), &t, &e, nullptr), OCTET_OK);
    EXPECT_EQ(memcmp(same.data(), dx.data(), dx.size() * 4), 0);
  }
}

TEST_F(FakeQuant, Refusals) {
  const float s = 1;
  const int32_t z = 0, far = 128;
  const octet_qparams good = with_range(make_qparams(&s, &z), -128, 127);
  std::vector<float> x(4), y(4, -7.0f);
  const octet_tensor in = vec(x), out = vec(y);
  std::vector<uint8_t> mask(4, 9);
  octet_error err = {};
  const auto refused = [&](const octet_qparams* q, octet_status status, const char* word) {
    err = {};
    expect_refused(octet_fake_quant(c, &in, q, &out, mask.data(), nullptr, &err), err, status,
                   {word});
    EXPECT_EQ(y[0], -7);
    EXPECT_EQ(mask[0], 9);
  };
  refused(nullptr, OCTET_ERR_ARGUMENT, "q is NULL");
  octet_qparams q = with_range(good, 0, 0);
  refused(&q, OCTET_ERR_ARGUMENT, "required");
  q = with_range(good, 1, 5);
  refused(&q, OCTET_ERR_ARGUMENT, "1 and 5");
  q = with_range(good, -40000, 5);
  refused(&q, OCTET_ERR_ARGUMENT, "-40000");
  q = with_range(good, -2, 65535);
  refused(&q, OCTET_ERR_ARGUMENT, "16 bits");
  q = good;
  q.zero_point = &far;
  refused(&q, OCTET_ERR_ARGUMENT, "128");
  q = good;
  q.scale = nullptr;
  refused(&q, OCTET_ERR_ARGUMENT, "scale is NULL");
  const float zero_scale = 0, nan = kNan;
  q.scale = &zero_scale;
  refused(&q, OCTET_ERR_ARGUMENT, "2^-60");
  q.scale = &nan;
  refused(&q, OCTET_ERR_NOT_FINITE, "finite");
  q = good;
  q.group = 2;
  refused(&q, OCTET_ERR_ARGUMENT, "groups of 2");
  q = good;
  q.flags = 1;
  refused(&q, OCTET_ERR_ARGUMENT, "flags");
  q = good;
  q.zero_point_f32 = &s;
  refused(&q, OCTET_ERR_ARGUMENT, "zero_point_f32");
  q = good;
  q.count = 3;
  refused(&q, OCTET_ERR_ARGUMENT, "count is 3");
  q.axis = -2;
  refused(&q, OCTET_ERR_ARGUMENT, "axis is -2");
  uint8_t* const within = reinterpret_cast<uint8_t*>(y.data());
  expect_refused(octet_fake_quant(c, &in, &good, &out, within, nullptr, &err), err,
                 OCTET_ERR_ARGUMENT, {"mask overlaps y"});
  octet_tensor shifted = octet_vec(OCTET_F32, x.data() + 1, 3),
               start = octet_vec(OCTET_F32, x.data(), 3);
  expect_refused(octet_fake_quant(c, &start, &good, &shifted, nullptr, nullptr, &err), err,
                 OCTET_ERR_ARGUMENT, {"overlaps"});
  const octet_tensor typed = with(in, &good);
  expect_refused(octet_fake_quant(c, &typed, &good, &out, nullptr, nullptr, &err), err,
                 OCTET_ERR_ARGUMENT, {"x.q is given"});
  expect_refused(octet_fake_quant_backward(c, &in, nullptr, &out, nullptr, &err), err,
                 OCTET_ERR_ARGUMENT, {"mask is NULL"});
  expect_refused(octet_fake_quant(nullptr, &in, &good, &out, nullptr, nullptr, &err), err,
                 OCTET_ERR_ARGUMENT, {"c is NULL"});
}

}  // namespace
}  // namespace octet_test

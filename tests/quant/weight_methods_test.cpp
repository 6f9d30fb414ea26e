// SPDX-License-Identifier: Apache-2.0
//
// The weight methods against models of their own in double (plain inverse and Cholesky, libm's exp
// and pow), their properties (what stays equal, which error falls), golden values, refusals.
#include <algorithm>
#include <functional>

#include "quant/elementary.h"
#include "quant/rounding.h"
#include "tests/quant/support.h"

namespace octet_test {
namespace {

using Doubles = std::vector<double>;

struct Layer {
  int64_t n, k, rows;
  std::vector<float> w, x;
  Doubles h;
  uint64_t seen = 0;
};

// Inputs whose columns depend on each other, which is where rounding to nearest loses.
Layer make_layer(int64_t n, int64_t k, int64_t rows, uint32_t seed) {
  Layer l = {n, k, rows, {}, {}, Doubles(static_cast<size_t>(k * k))};
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < n * k; ++i) l.w.push_back(normal(rng) * 0.1f);
  for (int64_t r = 0; r < rows; ++r) {
    const float common = normal(rng);
    for (int64_t i = 0; i < k; ++i) l.x.push_back(common + 0.5f * normal(rng));
  }
  const Context c;
  const octet_tensor x = octet_mat(OCTET_F32, l.x.data(), rows, k);
  EXPECT_EQ(octet_gram(c, &x, l.h.data(), &l.seen, nullptr, nullptr), OCTET_OK);
  return l;
}

struct Rounded {
  std::vector<int8_t> q;
  std::vector<float> scale;
  std::vector<int32_t> zero;
  octet_status status = OCTET_OK;
  octet_error err = {};
};

octet_scheme weight_scheme(int bits, int64_t group = 0, int32_t range = OCTET_RANGE_OBSERVED,
                           bool affine = false) {
  octet_scheme s = make_scheme(OCTET_S8, affine ? 0 : OCTET_SYMMETRIC | OCTET_NARROW);
  s.granularity = group ? OCTET_PER_GROUP : OCTET_PER_CHANNEL;
  s.group = group;
  s.range = range;
  if (bits < 8) {
    s.flags &= ~uint32_t{OCTET_NARROW};
    s.qmin = affine ? -(1 << (bits - 1)) : 1 - (1 << (bits - 1));
    s.qmax = (1 << (bits - 1)) - 1;
  }
  return s;
}

octet_round_desc round_desc(int32_t kind, const octet_scheme* s, int32_t iterations = 0) {
  octet_round_desc d = {};
  d.struct_size = sizeof d;
  d.kind = kind;
  d.iterations = iterations;
  d.scheme = s;
  return d;
}

size_t scale_count(const Layer& l, const octet_scheme& s) {
  if (s.granularity == OCTET_PER_TENSOR) return 1;
  return static_cast<size_t>(l.n * (s.group ? l.k / s.group : 1));
}

Rounded round_layer(const Layer& l, const octet_round_desc& d, int32_t threads = 1) {
  const Context c;
  const octet_scheme& s = *d.scheme;
  Rounded r;
  r.q.resize(l.w.size());
  r.scale.resize(scale_count(l, s));
  r.zero.resize(r.scale.size());
  const octet_tensor w = octet_mat(OCTET_F32, l.w.data(), l.n, l.k),
                     q = octet_mat(OCTET_S8, r.q.data(), l.n, l.k);
  octet_exec e = exec_with(run_reversed, threads);
  const bool data = d.kind != OCTET_ROUND_NEAREST;
  const auto call = [&] {
    return octet_round_weights(c, &d, &w, data ? l.h.data() : nullptr, data ? &l.seen : nullptr, &q,
                               r.scale.data(), r.zero.data(), r.scale.size(), &e, &r.err);
  };
  std::vector<char> workspace;
  if ((r.status = call()) == OCTET_ERR_TOO_SMALL) {
    workspace.resize(static_cast<size_t>(r.err.need));
    e.workspace = workspace.data();
    e.workspace_bytes = workspace.size();
    r.status = call();
  }
  return r;
}

size_t group_of(const Layer& l, const octet_scheme& s, size_t i) {
  if (s.granularity == OCTET_PER_TENSOR) return 0;
  return i / static_cast<size_t>(s.group ? s.group : l.k);
}

Doubles real(const Layer& l, const octet_scheme& s, const Rounded& r) {
  Doubles w(l.w.size());
  for (size_t i = 0; i < w.size(); ++i) {
    const size_t g = group_of(l, s, i);
    w[i] = double{r.scale[g] * static_cast<float>(r.q[i] - r.zero[g])};
  }
  return w;
}

// The squared error of the layer's outputs over its inputs.
double output_error(const Layer& l, const octet_scheme& s, const Rounded& r) {
  const Doubles w = real(l, s, r);
  double error = 0;
  for (int64_t n = 0; n < l.n; ++n)
    for (int64_t row = 0; row < l.rows; ++row) {
      double y = 0;
      for (int64_t k = 0; k < l.k; ++k) {
        const size_t i = static_cast<size_t>(n * l.k + k);
        y += (w[i] - double{l.w[i]}) * double{l.x[static_cast<size_t>(row * l.k + k)]};
      }
      error += y * y;
    }
  return error;
}

// ---- Gram -------------------------------------------------------------------------------------

TEST(Gram, SumsInOrder) {
  constexpr int64_t kK = 83, kRows = 57;
  const Layer l = make_layer(1, kK, kRows, 1);
  Doubles plain(kK * kK);
  for (int64_t r = 0; r < kRows; ++r)
    for (int64_t i = 0; i < kK; ++i)
      for (int64_t j = 0; j < kK; ++j)
        plain[static_cast<size_t>(i * kK + j)] += double{l.x[static_cast<size_t>(r * kK + i)]} *
                                                  double{l.x[static_cast<size_t>(r * kK + j)]};
  EXPECT_EQ(l.h, plain);
  EXPECT_EQ(l.seen, 57u);
  const Context c;
  Doubles split(kK * kK);
  uint64_t rows = 0;
  const octet_exec e = exec_with(run_reversed, 5);
  for (int64_t r = 0; r < kRows; r += 19) {
    const octet_tensor x = octet_mat(OCTET_F32, l.x.data() + r * kK, 19, kK);
    ASSERT_EQ(octet_gram(c, &x, split.data(), &rows, &e, nullptr), OCTET_OK);
  }
  EXPECT_EQ(split, plain);
}

TEST(Gram, Refusals) {
  const Context c;
  const std::vector<float> x = {1, kInf, 2};
  Doubles h(9, 7.0);
  uint64_t rows = 2;
  octet_error err = {};
  const octet_tensor t = octet_mat(OCTET_F32, x.data(), 1, 3);
  expect_refused(octet_gram(c, &t, h.data(), &rows, nullptr, &err), err, OCTET_ERR_NOT_FINITE,
                 {"x holds"});
  EXPECT_EQ(h, Doubles(9, 7.0));
  EXPECT_EQ(rows, 2u);
  expect_refused(octet_gram(c, &t, nullptr, &rows, nullptr, &err), err, OCTET_ERR_ARGUMENT,
                 {"h is NULL"});
}

// ---- scales of least squared error ------------------------------------------------------------

double error_of(const float* x, int64_t n, float scale, int32_t qmax) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float q = std::clamp(std::nearbyint(x[i] * (1.0f / scale)), static_cast<float>(-qmax),
                               static_cast<float>(qmax));
    sum += std::pow(double{q * scale} - double{x[i]}, 2);
  }
  return sum;
}

TEST(LeastError, IsTheLeastOfTheCandidates) {
  const Layer l = make_layer(12, 64, 1, 2);
  for (const int bits : {2, 4, 8}) {
    const octet_scheme s = weight_scheme(bits, 0, OCTET_RANGE_MSE);
    const Rounded r = round_layer(l, round_desc(OCTET_ROUND_NEAREST, &s));
    ASSERT_EQ(r.status, OCTET_OK) << r.err.text;
    const int32_t qmax = (1 << (bits - 1)) - 1;
    for (int64_t n = 0; n < l.n; ++n) {
      const float* w = &l.w[static_cast<size_t>(n * l.k)];
      float absmax = 0;
      for (int64_t k = 0; k < l.k; ++k) absmax = std::max(absmax, std::fabs(w[k]));
      double least = 1e300;
      for (int i = 128; i >= 32; --i)
        least =
            std::min(least, error_of(w, l.k, absmax * (static_cast<float>(i) / 128) / qmax, qmax));
      EXPECT_NEAR(error_of(w, l.k, r.scale[static_cast<size_t>(n)], qmax), least, 1e-12 * least);
    }
  }
}

TEST(LeastError, FirstOfEqualsWins) {
  // Every candidate rounds zeros alike.
  Layer l = make_layer(1, 8, 1, 3);
  std::fill(l.w.begin(), l.w.end(), 0.0f);
  const octet_scheme s = weight_scheme(8, 0, OCTET_RANGE_MSE);
  const Rounded r = round_layer(l, round_desc(OCTET_ROUND_NEAREST, &s));
  ASSERT_EQ(r.status, OCTET_OK);
  EXPECT_EQ(r.scale[0], 1.0f);
}

// Packing weights is rounding them to nearest: the same blob either way, in every form.
TEST(LeastError, PackedAndRoundedWeightsAreTheSame) {
  const Context c;
  const Layer l = make_layer(37, 64, 1, 4);
  for (const int bits : {4, 8})
    for (const int64_t group : {0, 16})
      for (const bool affine : {false, true})
        for (const bool whole : {false, true})
          for (const bool strided : {false, true}) {
            if (whole && group) continue;
            octet_scheme s = weight_scheme(bits, group, OCTET_RANGE_MSE, affine);
            if (whole) s.granularity = OCTET_PER_TENSOR;
            const Rounded r = round_layer(l, round_desc(OCTET_ROUND_NEAREST, &s), 2);
            ASSERT_EQ(r.status, OCTET_OK) << r.err.text;
            octet_qparams params =
                make_qparams(r.scale.data(), r.zero.data(), static_cast<int64_t>(r.scale.size()));
            params.group = group;
            octet_tensor from = octet_mat(OCTET_S8, r.q.data(), l.n, l.k);
            from.q = &params;
            std::vector<float> transposed(l.w.size());
            for (int64_t n = 0; n < l.n; ++n)
              for (int64_t k = 0; k < l.k; ++k)
                transposed[static_cast<size_t>(k * l.n + n)] =
                    l.w[static_cast<size_t>(n * l.k + k)];
            octet_tensor reals =
                octet_mat(OCTET_F32, strided ? transposed.data() : l.w.data(), l.n, l.k);
            if (strided) {
              reals.strides[0] = 1;
              reals.strides[1] = l.n;
            }
            octet_weights_desc packed = {}, given = {};
            packed.struct_size = given.struct_size = sizeof packed;
            packed.source = &reals;
            packed.scheme = &s;
            given.source = &from;
            size_t bytes = 0, other = 0;
            ASSERT_EQ(octet_weights_bytes(c, &packed, &bytes, nullptr), OCTET_OK);
            ASSERT_EQ(octet_weights_bytes(c, &given, &other, nullptr), OCTET_OK);
            ASSERT_EQ(bytes, other);
            octet_weights *a = nullptr, *b = nullptr;
            octet_error err = {};
            ASSERT_EQ(octet_weights_create(c, &packed, nullptr, &a, &err), OCTET_OK) << err.text;
            ASSERT_EQ(octet_weights_create(c, &given, nullptr, &b, &err), OCTET_OK) << err.text;
            const void *x, *y;
            octet_weights_blob(a, &x, &bytes, nullptr);
            octet_weights_blob(b, &y, &other, nullptr);
            EXPECT_EQ(memcmp(x, y, bytes), 0)
                << bits << " bits, group " << group << (affine ? ", affine" : "");
            octet_weights_destroy(a);
            octet_weights_destroy(b);
          }
}

// ---- GPTQ -------------------------------------------------------------------------------------

Doubles inverse(Doubles a, int64_t k) {
  Doubles b(a.size());
  const auto at = [k](Doubles& m, int64_t i, int64_t j) -> double& {
    return m[static_cast<size_t>(i * k + j)];
  };
  for (int64_t i = 0; i < k; ++i) at(b, i, i) = 1;
  for (int64_t p = 0; p < k; ++p) {
    const double pivot = at(a, p, p);
    for (int64_t j = 0; j < k; ++j) {
      at(a, p, j) /= pivot;
      at(b, p, j) /= pivot;
    }
    for (int64_t i = 0; i < k; ++i) {
      const double f = at(a, i, p);
      if (i == p || f == 0) continue;
      for (int64_t j = 0; j < k; ++j) {
        at(a, i, j) -= f * at(a, p, j);
        at(b, i, j) -= f * at(b, p, j);
      }
    }
  }
  return b;
}

// Upper u with a = u' u.
Doubles upper_cholesky(const Doubles& a, int64_t k) {
  Doubles u(a.size());
  const auto at = [k](auto& m, int64_t i, int64_t j) -> auto& {
    return m[static_cast<size_t>(i * k + j)];
  };
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = i; j < k; ++j) {
      double v = at(a, i, j);
      for (int64_t p = 0; p < i; ++p) v -= at(u, p, i) * at(u, p, j);
      at(u, i, j) = i == j ? std::sqrt(v) : v / at(u, i, i);
    }
  return u;
}

std::vector<int8_t> gptq_model(const Layer& l, const octet_scheme& s, const Rounded& r) {
  Doubles h = l.h;
  double mean = 0;
  const size_t k = static_cast<size_t>(l.k);
  std::vector<bool> dead(k);
  for (size_t i = 0; i < k; ++i) {
    dead[i] = h[i * k + i] == 0;
    if (dead[i]) h[i * k + i] = 1;
    mean += h[i * k + i] / static_cast<double>(k);
  }
  for (size_t i = 0; i < k; ++i) h[i * k + i] += 0.01 * mean;
  const Doubles u = upper_cholesky(inverse(h, l.k), l.k);
  std::vector<int8_t> q(l.w.size());
  for (size_t n = 0; n < static_cast<size_t>(l.n); ++n) {
    Doubles w(l.w.begin() + static_cast<ptrdiff_t>(n * k),
              l.w.begin() + static_cast<ptrdiff_t>((n + 1) * k));
    for (size_t i = 0; i < k; ++i)
      if (dead[i]) w[i] = 0;
    for (size_t i = 0; i < k; ++i) {
      const size_t g = group_of(l, s, n * k + i);
      const float t = std::nearbyint(static_cast<float>(w[i]) * (1.0f / r.scale[g]));
      const float v = std::clamp(t + static_cast<float>(r.zero[g]), static_cast<float>(s.qmin),
                                 static_cast<float>(s.qmax));
      q[n * k + i] = static_cast<int8_t>(v);
      const double error =
          (w[i] - double{r.scale[g] * (v - static_cast<float>(r.zero[g]))}) / u[i * k + i];
      for (size_t j = i + 1; j < k; ++j) w[j] -= error * u[i * k + j];
    }
  }
  return q;
}

TEST(Gptq, EqualsItsModel) {
  for (const int64_t group : {0, 8})
    for (const bool affine : {false, true}) {
      const Layer l = make_layer(9, 24, 100, 5);
      const octet_scheme s = weight_scheme(4, group, OCTET_RANGE_OBSERVED, affine);
      const Rounded r = round_layer(l, round_desc(OCTET_ROUND_GPTQ, &s));
      ASSERT_EQ(r.status, OCTET_OK) << r.err.text;
      EXPECT_EQ(r.q, gptq_model(l, s, r)) << group << affine;
    }
}

TEST(Gptq, ColumnsWithoutDataAreZero) {
  Layer l = make_layer(4, 16, 50, 6);
  for (int64_t i = 0; i < l.k; ++i) l.h[static_cast<size_t>(3 * l.k + i)] = 0;
  for (int64_t i = 0; i < l.k; ++i) l.h[static_cast<size_t>(i * l.k + 3)] = 0;
  const octet_scheme s = weight_scheme(4);
  const Rounded r = round_layer(l, round_desc(OCTET_ROUND_GPTQ, &s));
  ASSERT_EQ(r.status, OCTET_OK) << r.err.text;
  for (int64_t n = 0; n < l.n; ++n) EXPECT_EQ(r.q[static_cast<size_t>(n * l.k + 3)], 0);
  EXPECT_EQ(r.q, gptq_model(l, s, r));
}

// Fewer rows than columns: singular without damping.
TEST(Gptq, DampingMakesSingularDataUsable) {
  const Layer l = make_layer(6, 32, 5, 7);
  const octet_scheme s = weight_scheme(4);
  const Rounded r = round_layer(l, round_desc(OCTET_ROUND_GPTQ, &s)),
                nearest = round_layer(l, round_desc(OCTET_ROUND_NEAREST, &s));
  ASSERT_EQ(r.status, OCTET_OK) << r.err.text;
  EXPECT_LT(output_error(l, s, r), output_error(l, s, nearest));
}

// ---- AdaRound ---------------------------------------------------------------------------------

std::vector<int8_t> adaround_model(const Layer& l, const octet_scheme& s, const Rounded& r,
                                   int iterations) {
  const size_t k = static_cast<size_t>(l.k);
  std::vector<int8_t> q(l.w.size());
  for (size_t n = 0; n < static_cast<size_t>(l.n); ++n) {
    Doubles base(k), v(k), m(k), a(k), delta(k), hard(k), slope(k);
    for (size_t i = 0; i < k; ++i) {
      const double x = double{l.w[n * k + i]} / double{r.scale[group_of(l, s, n * k + i)]};
      base[i] = std::floor(x);
      v[i] = -std::log(1.2 / (x - base[i] + 0.1) - 1);
    }
    for (int t = 0; t < iterations; ++t) {
      for (size_t i = 0; i < k; ++i) {
        const double sigmoid = 1 / (1 + std::exp(-v[i]));
        hard[i] = std::clamp(sigmoid * 1.2 - 0.1, 0.0, 1.0);
        slope[i] = hard[i] > 0 && hard[i] < 1 ? 1.2 * sigmoid * (1 - sigmoid) : 0;
        const double at =
            std::clamp(base[i] + hard[i], static_cast<double>(s.qmin), static_cast<double>(s.qmax));
        delta[i] = double{r.scale[group_of(l, s, n * k + i)]} * at - double{l.w[n * k + i]};
      }
      const double warm = 0.2 * iterations;
      const double beta =
          2 + 9 * (1 + std::cos(3.14159265358979312 * (t - warm) / (iterations - warm)));
      for (size_t i = 0; i < k; ++i) {
        double g = 0;
        for (size_t j = 0; j < k; ++j) g += l.h[j * k + i] * delta[j];
        g *= 2 / static_cast<double>(l.seen) * double{r.scale[group_of(l, s, n * k + i)]};
        if (base[i] + hard[i] < s.qmin || base[i] + hard[i] > s.qmax) g = 0;
        const double d = 2 * hard[i] - 1;
        if (t >= warm && d != 0)
          g -= 0.001 * 2 * beta * std::pow(std::fabs(d), beta - 1) * (d < 0 ? -1 : 1);
        g *= slope[i];
        m[i] = 0.9 * m[i] + 0.1 * g;
        a[i] = 0.999 * a[i] + 0.001 * g * g;
        v[i] -= 0.01 * (m[i] / (1 - std::pow(0.9, t + 1))) /
                (std::sqrt(a[i] / (1 - std::pow(0.999, t + 1))) + 1e-8);
      }
    }
    for (size_t i = 0; i < k; ++i)
      q[n * k + i] = static_cast<int8_t>(std::clamp(
          base[i] + (v[i] >= 0 ? 1 : 0), static_cast<double>(s.qmin), static_cast<double>(s.qmax)));
  }
  return q;
}

TEST(AdaRound, EqualsItsModel) {
  const Layer l = make_layer(6, 20, 100, 8);
  for (const int64_t group : {0, 4}) {
    const octet_scheme s = weight_scheme(3, group);
    const Rounded r = round_layer(l, round_desc(OCTET_ROUND_ADAROUND, &s, 60));
    ASSERT_EQ(r.status, OCTET_OK) << r.err.text;
    EXPECT_EQ(r.q, adaround_model(l, s, r, 60)) << group;
  }
}

TEST(AdaRound, Golden) {
  const double start[] = {0.336471885, -0.693147421, 0};
  const double x[] = {0.26, -0.37, 0.05};
  for (int i = 0; i < 3; ++i) EXPECT_NEAR(octet::adaround_start(x[i] / 0.1), start[i], 1e-6);
  EXPECT_EQ(octet::adaround_beta(200, 1000), 20);
  EXPECT_NEAR(octet::adaround_beta(600, 1000), 11, 1e-14);
  EXPECT_NEAR(octet::adaround_beta(999, 1000), 2.0000694, 1e-7);
}

// ---- what both are for ------------------------------------------------------------------------

TEST(RoundWeights, DataLowersTheOutputError) {
  for (const int bits : {2, 3, 4})
    for (const int64_t group : {0, 16}) {
      const Layer l = make_layer(16, 48, 200, 9 + static_cast<uint32_t>(bits));
      const octet_scheme s = weight_scheme(bits, group);
      const Rounded nearest = round_layer(l, round_desc(OCTET_ROUND_NEAREST, &s)),
                    gptq = round_layer(l, round_desc(OCTET_ROUND_GPTQ, &s)),
                    ada = round_layer(l, round_desc(OCTET_ROUND_ADAROUND, &s, 300));
      const double error = output_error(l, s, nearest);
      // At 2 bits much of the error is clipping, which no rounding takes back.
      const double share = bits == 2 ? 0.9 : 0.6;
      EXPECT_LT(output_error(l, s, gptq), share * error) << bits << " bits, group " << group;
      EXPECT_LT(output_error(l, s, ada), share * error) << bits << " bits, group " << group;
    }
}

TEST(RoundWeights, ThreadsReachNoBit) {
  const Layer l = make_layer(23, 32, 100, 13);
  for (const int32_t kind : {OCTET_ROUND_GPTQ, OCTET_ROUND_ADAROUND, OCTET_ROUND_NEAREST})
    for (const int64_t group : {0, 8}) {
      const octet_scheme s = weight_scheme(4, group, OCTET_RANGE_MSE);
      const octet_round_desc d = round_desc(kind, &s, kind == OCTET_ROUND_ADAROUND ? 20 : 0);
      const Rounded one = round_layer(l, d), many = round_layer(l, d, 7);
      ASSERT_EQ(one.status, OCTET_OK) << one.err.text;
      EXPECT_EQ(one.q, many.q);
      EXPECT_EQ(one.scale, many.scale);
    }
}

TEST(RoundWeights, NearestIsQuantize) {
  const Context c;
  const Layer l = make_layer(5, 40, 1, 14);
  for (const bool affine : {false, true}) {
    const octet_scheme s = weight_scheme(8, 0, OCTET_RANGE_OBSERVED, affine);
    const Rounded r = round_layer(l, round_desc(OCTET_ROUND_NEAREST, &s));
    std::vector<int8_t> q(l.w.size());
    octet_qparams params = make_qparams(r.scale.data(), r.zero.data(), l.n, 0);
    if (!affine) params = with_range(params, -127, 127);
    const octet_tensor x = octet_mat(OCTET_F32, l.w.data(), l.n, l.k),
                       y = with(octet_mat(OCTET_S8, q.data(), l.n, l.k), &params);
    octet_error err = {};
    ASSERT_EQ(octet_quantize(c, &x, &y, nullptr, &err), OCTET_OK) << err.text;
    EXPECT_EQ(q, r.q);
  }
}

// Two to a byte: the layout that octet_weights_create reads.
TEST(RoundWeights, FourBitsShareBytes) {
  const Context c;
  const Layer l = make_layer(3, 10, 1, 15);
  octet_scheme s = make_scheme(OCTET_S4, OCTET_SYMMETRIC);
  s.granularity = OCTET_PER_CHANNEL;
  const octet_round_desc d = round_desc(OCTET_ROUND_NEAREST, &s);
  std::vector<char> workspace(1 << 14);
  octet_exec e = exec_with(nullptr, 1);
  e.workspace = workspace.data();
  e.workspace_bytes = workspace.size();
  std::vector<int8_t> wide(30);
  std::vector<uint8_t> packed(18, 0xEE);
  std::vector<float> scale(3);
  octet_tensor w = octet_mat(OCTET_F32, l.w.data(), 3, 10),
               q = octet_mat(OCTET_S8, wide.data(), 3, 10),
               q4 = octet_mat(OCTET_S4, packed.data(), 3, 10);
  q4.strides[0] = 12;  // a byte between rows
  q4.strides[1] = 1;
  octet_error err = {};
  for (const octet_tensor* to : {&q, &q4})
    ASSERT_EQ(
        octet_round_weights(c, &d, &w, nullptr, nullptr, to, scale.data(), nullptr, 3, &e, &err),
        OCTET_OK)
        << err.text;
  for (size_t i = 0; i < 30; ++i) {
    const int nibble = packed[i / 10 * 6 + i % 10 / 2] >> (i % 2 * 4) & 15;
    EXPECT_EQ(nibble > 7 ? nibble - 16 : nibble, wide[i]);
  }
  for (size_t row = 0; row < 3; ++row) EXPECT_EQ(packed[row * 6 + 5], 0xEE);
}

TEST(RoundWeights, Refusals) {
  const Context c;
  const Layer l = make_layer(2, 8, 10, 16);
  const octet_scheme s = weight_scheme(4);
  octet_round_desc d = round_desc(OCTET_ROUND_GPTQ, &s);
  std::vector<float> weights = l.w;
  std::vector<int8_t> to(16, 99);
  std::vector<float> scale(2, 9.0f);
  std::vector<char> workspace(1 << 16);
  octet_exec e = exec_with(nullptr, 1);
  e.workspace = workspace.data();
  e.workspace_bytes = workspace.size();
  const octet_tensor w = octet_mat(OCTET_F32, weights.data(), 2, 8);
  octet_tensor q = octet_mat(OCTET_S8, to.data(), 2, 8);
  Doubles h = l.h;
  uint64_t rows = l.seen;
  size_t count = 2;
  const auto refused = [&](octet_status status, std::initializer_list<const char*> words) {
    octet_error err = {};
    expect_refused(
        octet_round_weights(c, &d, &w, h.data(), &rows, &q, scale.data(), nullptr, count, &e, &err),
        err, status, words);
    EXPECT_EQ(to, std::vector<int8_t>(16, 99));
    EXPECT_EQ(scale, std::vector<float>(2, 9.0f));
  };
  d.kind = 3;
  refused(OCTET_ERR_ARGUMENT, {"octet_round_desc.kind", "3", "OCTET_ROUND_GPTQ"});
  d.kind = OCTET_ROUND_NEAREST;
  refused(OCTET_ERR_ARGUMENT, {"h or rows", "NULL"});
  d.kind = OCTET_ROUND_GPTQ;
  d.iterations = 5;
  refused(OCTET_ERR_ARGUMENT, {"octet_round_desc.iterations", "5"});
  d.iterations = 0;
  d.damp = 2;
  refused(OCTET_ERR_ARGUMENT, {"octet_round_desc.damp", "2"});
  d.damp = 0;
  d.lr = 0.5f;
  refused(OCTET_ERR_ARGUMENT, {"octet_round_desc.lr", "0.5"});
  d.lr = 0;
  count = 3;
  refused(OCTET_ERR_ARGUMENT, {"count", "3", "2 scales"});
  count = 2;
  q.type = OCTET_U8;
  refused(OCTET_ERR_ARGUMENT, {"q.type", "U8", "S8"});
  q.type = OCTET_S8;
  rows = 0;
  refused(OCTET_ERR_EMPTY, {"rows is 0"});
  rows = l.seen;
  weights[11] = kNan;
  refused(OCTET_ERR_NOT_FINITE, {"w[1, 3]", "nan"});
  weights[11] = 3e38f;
  refused(OCTET_ERR_ARGUMENT, {"w[1]", "2^60"});
  weights[11] = 0;
  h[9] = -1;
  refused(OCTET_ERR_NOT_FINITE, {"h[1, 1]", "-1"});
  h[9] = l.h[9];
  h[1] = 1e9;  // no Gram matrix: far from positive definite
  refused(OCTET_ERR_NOT_FINITE, {"positive definite"});
  h[1] = l.h[1];
  e.workspace_bytes = 100;
  refused(OCTET_ERR_TOO_SMALL, {"octet_exec.workspace", "100"});
  e.workspace_bytes = workspace.size();
  q.data = weights.data();
  refused(OCTET_ERR_ARGUMENT, {"q overlaps w"});
}

// ---- equalization -----------------------------------------------------------------------------

struct Net {
  int64_t in, hidden, out;
  std::vector<float> w1, b1, w2, x;

  Doubles run(const std::vector<float>& factor, bool divide) const {
    Doubles y;
    for (size_t r = 0; r < x.size(); r += static_cast<size_t>(in)) {
      Doubles h(static_cast<size_t>(hidden));
      for (size_t j = 0; j < h.size(); ++j) {
        h[j] = double{b1[j]};
        for (size_t k = 0; k < static_cast<size_t>(in); ++k)
          h[j] += double{w1[j * static_cast<size_t>(in) + k]} * double{x[r + k]};
        h[j] = std::max(h[j], 0.0);
        if (!factor.empty()) h[j] = divide ? h[j] / double{factor[j]} : h[j] * double{factor[j]};
      }
      for (size_t o = 0; o < static_cast<size_t>(out); ++o) {
        double v = 0;
        for (size_t j = 0; j < h.size(); ++j) v += double{w2[o * h.size() + j]} * h[j];
        y.push_back(v);
      }
    }
    return y;
  }
};

Net make_net(uint32_t seed) {
  Net n = {12, 37, 7, {}, {}, {}, {}};
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal;
  for (int64_t j = 0; j < n.hidden; ++j) {
    const float size = std::exp(2 * normal(rng));  // channels of very different range
    for (int64_t k = 0; k < n.in; ++k) n.w1.push_back(normal(rng) * size);
    n.b1.push_back(normal(rng) * size);
  }
  for (int64_t i = 0; i < n.out * n.hidden; ++i) n.w2.push_back(normal(rng));
  for (int64_t i = 0; i < 9 * n.in; ++i) n.x.push_back(normal(rng));
  return n;
}

void expect_near(const Doubles& got, const Doubles& want) {
  ASSERT_EQ(got.size(), want.size());
  double most = 0;
  for (const double v : want) most = std::max(most, std::fabs(v));
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 2e-6 * most);
}

octet_equalize_desc equalize_desc(int32_t kind, float alpha = 0, const float* low = nullptr,
                                  const float* high = nullptr) {
  octet_equalize_desc d = {};
  d.struct_size = sizeof d;
  d.kind = kind;
  d.alpha = alpha;
  d.x_min = low;
  d.x_max = high;
  return d;
}

octet_status equalize(Net& n, const octet_equalize_desc& d, bool maker, std::vector<float>& t,
                      int32_t threads = 1) {
  const Context c;
  std::vector<char> workspace(1 << 14);
  octet_exec e = exec_with(run_reversed, threads);
  e.workspace = workspace.data();
  e.workspace_bytes = workspace.size();
  t.resize(static_cast<size_t>(n.hidden));
  const octet_tensor w1 = octet_mat(OCTET_F32, n.w1.data(), n.hidden, n.in), b1 = vec(n.b1),
                     w2 = octet_mat(OCTET_F32, n.w2.data(), n.out, n.hidden);
  octet_error err = {};
  const octet_status status = octet_equalize(c, &d, maker ? &w1 : nullptr, maker ? &b1 : nullptr,
                                             &w2, t.data(), t.size(), &e, &err);
  EXPECT_EQ(status, OCTET_OK) << err.text;
  return status;
}

double range(const std::vector<float>& w, size_t first, size_t step, size_t count) {
  double low = 1e300, high = -1e300;
  for (size_t i = 0; i < count; ++i) {
    low = std::min(low, double{w[first + i * step]});
    high = std::max(high, double{w[first + i * step]});
  }
  return high - low;
}

TEST(Equalize, CrossLayerKeepsTheNetworkAndEqualizesRanges) {
  Net n = make_net(20), many = n;
  const Net before = n;
  std::vector<float> t, t_many;
  equalize(n, equalize_desc(OCTET_EQUALIZE_CROSS_LAYER), true, t);
  equalize(many, equalize_desc(OCTET_EQUALIZE_CROSS_LAYER), true, t_many, 3);
  EXPECT_EQ(t, t_many);
  EXPECT_EQ(n.w1, many.w1);
  expect_near(n.run({}, false), before.run({}, false));
  const size_t hidden = static_cast<size_t>(n.hidden), in = static_cast<size_t>(n.in);
  for (size_t j = 0; j < hidden; ++j) {
    const double r1 = range(before.w1, j * in, 1, in),
                 r2 = range(before.w2, j, hidden, static_cast<size_t>(n.out));
    EXPECT_NEAR(double{t[j]}, std::sqrt(r1 / (r2 + 1e-9)), 1e-4 * double{t[j]});
    const double after = range(n.w1, j * in, 1, in);
    EXPECT_NEAR(range(n.w2, j, hidden, static_cast<size_t>(n.out)), after, 1e-5 * after);
    EXPECT_EQ(n.b1[j], before.b1[j] / t[j]);
  }
}

TEST(Equalize, ChannelsWithoutRangeStay) {
  Net n = make_net(21);
  std::fill_n(n.w1.begin() + 2 * n.in, n.in, 0.25f);  // range 0
  for (int64_t o = 0; o < n.out; ++o) n.w2[static_cast<size_t>(o * n.hidden + 5)] = 0;
  const Net before = n;
  std::vector<float> t;
  equalize(n, equalize_desc(OCTET_EQUALIZE_CROSS_LAYER), true, t);
  EXPECT_EQ(t[2], 1);
  EXPECT_EQ(t[5], 1);
  expect_near(n.run({}, false), before.run({}, false));
}

TEST(Equalize, SmoothKeepsTheProduct) {
  for (const float alpha : {0.0f, 0.25f, 0.5f, 1.0f})
    for (const bool maker : {false, true}) {
      Net n = make_net(22);
      const Net before = n;
      std::vector<float> low(37), high(37), t;
      for (size_t j = 0; j < 37; ++j) {
        low[j] = -0.1f * static_cast<float>(j);
        high[j] = 0.01f * static_cast<float>((j * j) % 50);
      }
      equalize(n, equalize_desc(OCTET_EQUALIZE_SMOOTH, alpha, low.data(), high.data()), maker, t);
      expect_near(n.run(maker ? std::vector<float>() : t, true), before.run({}, false));
      const double a = alpha == 0 ? 0.5 : double{alpha};
      for (size_t j = 0; j < 37; ++j) {
        double w = 0;
        for (size_t o = 0; o < 7; ++o) w = std::max(w, std::fabs(double{before.w2[o * 37 + j]}));
        const double x = std::max({double{-low[j]}, double{high[j]}, 1e-5});
        EXPECT_NEAR(double{t[j]}, std::pow(x, a) / std::pow(std::max(w, 1e-5), 1 - a),
                    1e-6 * double{t[j]});
      }
    }
}

TEST(Equalize, InputWeightGolden) {
  const Context c;
  const float low[] = {0, -1, 2}, high[] = {4, 1, 2};
  std::vector<float> w = {-1, -0.5f, 0, 0, 0.5f, 1}, t(3);
  const octet_tensor w2 = octet_mat(OCTET_F32, w.data(), 2, 3);
  const octet_equalize_desc d = equalize_desc(OCTET_EQUALIZE_INPUT_WEIGHT, 0, low, high);
  ASSERT_EQ(octet_equalize(c, &d, nullptr, nullptr, &w2, t.data(), 3, nullptr, nullptr), OCTET_OK);
  EXPECT_EQ(t, (std::vector<float>{0.5f, 0.707106769f, 1}));
  EXPECT_EQ(w[0], -2);
  EXPECT_EQ(w[1], -0.5f / 0.707106769f);
  EXPECT_EQ(w[5], 1);
}

TEST(Equalize, InputWeightKeepsTheProduct) {
  Net n = make_net(23);
  const Net before = n;
  std::vector<float> low(37, -1.0f), high(37, 3.0f), t;
  high[4] = -1;
  equalize(n, equalize_desc(OCTET_EQUALIZE_INPUT_WEIGHT, 0, low.data(), high.data()), false, t);
  EXPECT_EQ(t[4], 1);
  expect_near(n.run(t, false), before.run({}, false));
}

// Convolution weights OHWI in place of matrices, by any strides.
TEST(Equalize, Convolutions) {
  const Context c;
  Net n = make_net(24), flat = n;
  std::vector<float> t, t2(37);
  equalize(flat, equalize_desc(OCTET_EQUALIZE_CROSS_LAYER), true, t);
  std::vector<char> workspace(1 << 14);
  octet_exec e = exec_with(nullptr, 1);
  e.workspace = workspace.data();
  e.workspace_bytes = workspace.size();
  octet_tensor w1 = octet_nhwc(OCTET_F32, n.w1.data(), 37, 2, 3, 2),
               w2 = octet_nhwc(OCTET_F32, n.w2.data(), 1, 7, 1, 37);
  const octet_tensor b1 = vec(n.b1);
  const octet_equalize_desc d = equalize_desc(OCTET_EQUALIZE_CROSS_LAYER);
  ASSERT_EQ(octet_equalize(c, &d, &w1, &b1, &w2, t2.data(), 37, &e, nullptr), OCTET_OK);
  EXPECT_EQ(t, t2);
  EXPECT_EQ(n.w1, flat.w1);
  EXPECT_EQ(n.w2, flat.w2);
}

TEST(Equalize, Refusals) {
  const Context c;
  Net n = make_net(25);
  const Net before = n;
  std::vector<float> t(37, 5.0f), low(37), high(37, 1.0f);
  octet_tensor w1 = octet_mat(OCTET_F32, n.w1.data(), n.hidden, n.in), b1 = vec(n.b1),
               w2 = octet_mat(OCTET_F32, n.w2.data(), n.out, n.hidden);
  octet_equalize_desc d = equalize_desc(OCTET_EQUALIZE_CROSS_LAYER);
  octet_error err = {};
  const auto refused = [&](const octet_tensor* maker, octet_status status,
                           std::initializer_list<const char*> words) {
    expect_refused(
        octet_equalize(c, &d, maker, maker ? &b1 : nullptr, &w2, t.data(), 37, nullptr, &err), err,
        status, words);
    EXPECT_EQ(n.w2, before.w2);
    EXPECT_EQ(t, std::vector<float>(37, 5.0f));
  };
  refused(&w1, OCTET_ERR_TOO_SMALL, {"octet_exec.workspace"});
  EXPECT_GT(err.need, 0);
  refused(nullptr, OCTET_ERR_ARGUMENT, {"w1 is NULL"});
  d.kind = 3;
  refused(&w1, OCTET_ERR_ARGUMENT, {"octet_equalize_desc.kind", "3"});
  d = equalize_desc(OCTET_EQUALIZE_SMOOTH);
  refused(&w1, OCTET_ERR_ARGUMENT, {"x_min and x_max", "both"});
  d = equalize_desc(OCTET_EQUALIZE_SMOOTH, 1.5f, low.data(), high.data());
  refused(&w1, OCTET_ERR_ARGUMENT, {"alpha", "1.5"});
  d.alpha = 0;
  low[3] = 2;
  refused(&w1, OCTET_ERR_ARGUMENT, {"x_min of channel 3", "2"});
  low[3] = kNan;
  refused(&w1, OCTET_ERR_NOT_FINITE, {"channel 3"});
  low[3] = 0;
  n.w1[13] = kInf;
  refused(&w1, OCTET_ERR_NOT_FINITE, {"w1", "channel 1"});
  n.w1[13] = 3e38f;
  for (int64_t o = 0; o < n.out; ++o) n.w2[static_cast<size_t>(o * n.hidden + 1)] = 1e9f;
  high[1] = 1e-9f;
  octet_error found = {};
  expect_refused(octet_equalize(c, &d, &w1, &b1, &w2, t.data(), 37, nullptr, &found), found,
                 OCTET_ERR_NOT_FINITE, {"factor of channel 1"});
  n.w2 = before.w2;
  w2.strides[0] = 1;
  w2.strides[1] = 1;
  refused(&w1, OCTET_ERR_ARGUMENT, {"w2.strides", "overlap"});
}

// ---- elementary functions ---------------------------------------------------------------------

TEST(Elementary, NearTheTruth) {
  std::mt19937 rng(30);
  std::uniform_real_distribution<double> wide(-700, 700), unit(0, 1);
  for (int i = 0; i < 100000; ++i) {
    const double x = wide(rng), t = unit(rng);
    EXPECT_NEAR(octet::exp_of(x) / std::exp(x), 1, 1e-14);
    const double v = std::exp(x / 2);
    EXPECT_NEAR(octet::log_of(v), std::log(v), 1e-13 * std::max(1.0, std::fabs(std::log(v))));
    EXPECT_NEAR(octet::cos_pi(t), std::cos(3.14159265358979312 * t), 1e-14);
    EXPECT_NEAR(octet::power_of(t + 1e-9, 5) / std::pow(t + 1e-9, 5), 1, 1e-12);
  }
  EXPECT_EQ(octet::exp_of(0), 1);
  EXPECT_EQ(octet::exp_of(-1000), 0);
  EXPECT_EQ(octet::exp_of(1000), std::numeric_limits<double>::infinity());
  EXPECT_EQ(octet::log_of(1), 0);
  EXPECT_EQ(octet::cos_pi(0), 1);
  EXPECT_EQ(octet::cos_pi(1), -1);
}

}  // namespace
}  // namespace octet_test

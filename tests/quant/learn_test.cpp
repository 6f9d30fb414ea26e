// SPDX-License-Identifier: Apache-2.0
//
// Learned ranges: golden vectors, gradients against finite differences of the surrogate whose
// rounding residue is held constant, sums in their one order whatever the threads and strides,
// clipping, and quantization by the largest magnitude.
#include <functional>

#include "tests/quant/support.h"

namespace octet_test {
namespace {

template <class T>
T sized() {
  T t = {};
  t.struct_size = sizeof t;
  return t;
}

octet_learn_desc learn_desc(int32_t kind = OCTET_LEARN_LSQ, float factor = 0) {
  octet_learn_desc d = sized<octet_learn_desc>();
  d.kind = kind;
  d.grad_factor = factor;
  return d;
}

octet_qparams learned(const float* scale, const float* zero, int32_t qmin, int32_t qmax,
                      int64_t count = 1, int32_t axis = 0) {
  octet_qparams q = with_range(make_qparams(scale, nullptr, count, axis), qmin, qmax);
  q.zero_point_f32 = zero;
  return q;
}

struct Gradients {
  std::vector<float> dx, dscale, dzero;
};

class Learn : public testing::Test {
 protected:
  std::vector<float> forward(const octet_learn_desc& d, const octet_tensor& x,
                             const octet_qparams& q, size_t n) {
    std::vector<float> y(n);
    octet_tensor out = x;
    out.data = y.data();
    for (int64_t& s : out.strides) s = 0;
    octet_error err = {};
    EXPECT_EQ(octet_fake_quant_learn(c, &d, &x, &q, &out, nullptr, &err), OCTET_OK) << err.text;
    return y;
  }
  Gradients backward(const octet_learn_desc& d, const octet_tensor& dy, const octet_tensor& x,
                     const octet_qparams& q, size_t n, const octet_exec* e = nullptr) {
    const size_t results = static_cast<size_t>(q.count);
    Gradients g = {std::vector<float>(n), std::vector<float>(results), std::vector<float>(results)};
    octet_tensor dx = dy;
    dx.data = g.dx.data();
    for (int64_t& s : dx.strides) s = 0;
    octet_error err = {};
    EXPECT_EQ(octet_fake_quant_learn_backward(c, &d, &dy, &x, &q, &dx, g.dscale.data(),
                                              g.dzero.data(), results, e, &err),
              OCTET_OK)
        << err.text;
    return g;
  }
  std::vector<float> reals(size_t n, float reach) {
    std::vector<float> v(n);
    for (float& f : v) f = reach * (static_cast<float>(rng() % 20001) / 10000 - 1);
    return v;
  }
  Context c;
  std::mt19937 rng{77};
};

using Floats = std::vector<float>;

void expect_near(const Floats& got, const Floats& want, double relative = 1e-6) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(static_cast<double>(got[i]), static_cast<double>(want[i]),
                relative * std::fabs(static_cast<double>(want[i])) + 1e-9)
        << i;
}

TEST_F(Learn, GoldenVectors) {
  const Floats x = {-2, -0.34f, 0.06f, 0.4f, 1.9f}, dy = {1, 0.5f, -1, 2, -0.25f};
  const float s = 0.1f, z = 3.4f;
  const octet_qparams q = learned(&s, &z, -8, 7);
  const octet_tensor tx = vec(x), tdy = vec(dy);
  expect_near(forward(learn_desc(), tx, q, 5), {-1.1f, -0.3f, 0.1f, 0.4f, 0.4f});
  const Gradients g = backward(learn_desc(), tdy, tx, q, 5);
  EXPECT_EQ(g.dx, (Floats{0, 0.5f, -1, 2, 0}));
  expect_near(g.dscale, {-12.2f});
  expect_near(g.dzero, {-0.075f});
  const Gradients scaled =
      backward(learn_desc(OCTET_LEARN_LSQ, 1 / std::sqrt(35.0f)), tdy, tx, q, 5);
  expect_near(scaled.dscale, {-2.06217623f});
  expect_near(scaled.dzero, {-0.0126773138f});

  const Floats rows = {-2, -0.34f, 0.06f, 0.4f, 1.9f, -0.25f};
  const Floats drows = {1, 0.5f, -1, 2, -0.25f, 0.75f};
  const float scales[2] = {0.1f, 0.2f}, zeros[2] = {3.4f, -0.5f};
  const octet_qparams two = learned(scales, zeros, -8, 7, 2, 0);
  const octet_tensor mx = octet_mat(OCTET_F32, rows.data(), 2, 3);
  const octet_tensor mdy = octet_mat(OCTET_F32, drows.data(), 2, 3);
  expect_near(forward(learn_desc(), mx, two, 6), {-1.1f, -0.3f, 0.1f, 0.4f, 1.4f, -0.2f});
  const Gradients rg = backward(learn_desc(), mdy, mx, two, 6);
  expect_near(rg.dscale, {-11.2f, -1.5625f});
  expect_near(rg.dzero, {-0.1f, 0.05f});
}

// With integer zero points LSQ is fake-quantization, and so is LSQ+ with whole floats.
TEST_F(Learn, ForwardIsFakeQuant) {
  const float s = 0.05f, zf = 11.3f;
  const int32_t z = 11;
  Floats x(5000), want(x.size());
  for (float& v : x) v = hostile_float(rng, s);
  const octet_tensor in = vec(x), out = vec(want);
  octet_qparams q = with_range(make_qparams(&s, &z), 0, 255);
  ASSERT_EQ(octet_fake_quant(c, &in, &q, &out, nullptr, nullptr, nullptr), OCTET_OK);
  const Floats lsq = forward(learn_desc(), in, learned(&s, &zf, 0, 255), x.size());
  EXPECT_EQ(memcmp(lsq.data(), want.data(), x.size() * 4), 0);
  q.zero_point = nullptr;
  q.zero_point_f32 = &zf;
  ASSERT_EQ(octet_fake_quant(c, &in, &q, &out, nullptr, nullptr, nullptr), OCTET_OK);
  const Floats plus =
      forward(learn_desc(OCTET_LEARN_LSQ_PLUS), in, learned(&s, &zf, 0, 255), x.size());
  EXPECT_EQ(memcmp(plus.data(), want.data(), x.size() * 4), 0);
}

// loss = sum of dy * y, where the rounding residue of every element is the one at (s, z).
struct Surrogate {
  const Floats &x, &dy;
  double s, z;  // the point of expansion
  int32_t qmin, qmax;
  bool whole;  // z counts as the integer nearest to it, and moves on from there

  double loss(double at_s, double at_z) const {
    const double z0 = whole ? std::nearbyint(z) : z;
    const double moved = z0 + (at_z - z);
    double sum = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double v = static_cast<double>(x[i]);
      const double t = static_cast<double>(x[i] * (1.0f / static_cast<float>(s)));
      const double q0 =
          whole
              ? std::nearbyint(t) + z0
              : std::nearbyint(static_cast<double>(static_cast<float>(t) + static_cast<float>(z)));
      const double residue = q0 - (v / s + z0);
      const double q = q0 < qmin ? qmin : q0 > qmax ? qmax : v / at_s + moved + residue;
      sum += static_cast<double>(dy[i]) * (q - moved) * at_s;
    }
    return sum;
  }
};

TEST_F(Learn, GradientsAreThoseOfTheSurrogate) {
  const Floats x = reals(3000, 4), dy = reals(3000, 1);
  const float s = 0.11f, z = 2.7f;
  const octet_qparams q = learned(&s, &z, -8, 7);
  const octet_tensor tx = vec(x), tdy = vec(dy);
  for (const int32_t kind : {OCTET_LEARN_LSQ, OCTET_LEARN_LSQ_PLUS}) {
    const Gradients g = backward(learn_desc(kind), tdy, tx, q, x.size());
    const Surrogate f = {x,  dy, static_cast<double>(s), static_cast<double>(z),
                         -8, 7,  kind == OCTET_LEARN_LSQ};
    constexpr double h = 1e-5;
    const double ds = (f.loss(f.s + h, f.z) - f.loss(f.s - h, f.z)) / (2 * h);
    const double dz = (f.loss(f.s, f.z + h) - f.loss(f.s, f.z - h)) / (2 * h);
    EXPECT_NEAR(static_cast<double>(g.dscale[0]), ds, 1e-3 * std::fabs(ds) + 1e-2);
    EXPECT_NEAR(static_cast<double>(g.dzero[0]), dz, 1e-3 * std::fabs(dz) + 1e-3);
  }
}

// The definition of a sum: 16 lanes of each 4,096 elements, added by halves, chunks in order.
double ordered_sum(const std::vector<float>& terms) {
  double total = 0;
  for (size_t first = 0; first < terms.size(); first += 4096) {
    double lanes[16] = {};
    for (size_t i = first; i < terms.size() && i < first + 4096; ++i)
      lanes[(i - first) % 16] += static_cast<double>(terms[i]);
    for (int far = 8; far; far /= 2)
      for (int i = 0; i < far; ++i) lanes[i] += lanes[i + far];
    total += lanes[0];
  }
  return total;
}

// dscale and dzero_point of every scale, from the formulas, elements in row-major order.
struct Expected {
  std::vector<std::vector<float>> ds, dz;
};

TEST_F(Learn, SumsHaveOneOrderForEveryLayoutAndThreadCount) {
  struct Shape {
    int64_t a, b, k, pad, count, group;
    int32_t axis;
    std::function<size_t(size_t, size_t, size_t)> index;  // of the result
  };
  const Shape shapes[] = {
      {1, 1, 50001, 0, 1, 0, 0, [](size_t, size_t, size_t) { return size_t{0}; }},
      {3, 7, 1701, 0, 1, 0, 0, [](size_t, size_t, size_t) { return size_t{0}; }},
      {3, 7, 1701, 5, 1, 0, 0, [](size_t, size_t, size_t) { return size_t{0}; }},
      {3, 7, 1701, 5, 3, 0, 0, [](size_t a, size_t, size_t) { return a; }},
      {5, 7, 1701, 5, 7, 0, 1, [](size_t, size_t b, size_t) { return b; }},
      {91, 103, 37, 2, 37, 0, 2, [](size_t, size_t, size_t k) { return k; }},
      {4, 5, 96, 0, 60, 8, 1, [](size_t, size_t b, size_t k) { return b * 12 + k / 8; }},
      {400, 5, 6, 0, 2, 3, 2, [](size_t, size_t, size_t k) { return k / 3; }},
  };
  for (const Shape& s : shapes) {
    SCOPED_TRACE(std::to_string(s.a) + "x" + std::to_string(s.b) + "x" + std::to_string(s.k));
    const size_t pitch = static_cast<size_t>(s.k + s.pad);
    const size_t n = static_cast<size_t>(s.a * s.b) * pitch;
    const size_t dense = static_cast<size_t>(s.a * s.b * s.k),
                 results = static_cast<size_t>(s.count);
    const Floats x = reals(n, 3), dy = reals(n, 1);
    Floats scale(results), zero(results);
    for (size_t i = 0; i < results; ++i) {
      scale[i] = 0.05f + static_cast<float>(rng() % 100) / 500;
      zero[i] = static_cast<float>(rng() % 100) / 25 - 2;
    }
    octet_qparams q = learned(scale.data(), zero.data(), -8, 7, s.count, s.axis);
    q.group = s.group;
    octet_tensor tx = octet_view(OCTET_F32, x.data(), 3, s.a, s.b, s.k, 0);
    octet_tensor tdy = octet_view(OCTET_F32, dy.data(), 3, s.a, s.b, s.k, 0);
    for (octet_tensor* t : {&tx, &tdy}) {
      t->strides[0] = s.b * static_cast<int64_t>(pitch);
      t->strides[1] = static_cast<int64_t>(pitch);
      t->strides[2] = 1;
    }
    Expected e = {std::vector<std::vector<float>>(results),
                  std::vector<std::vector<float>>(results)};
    Floats dx;
    for (size_t a = 0; a < static_cast<size_t>(s.a); ++a)
      for (size_t b = 0; b < static_cast<size_t>(s.b); ++b)
        for (size_t k = 0; k < static_cast<size_t>(s.k); ++k) {
          const size_t at = (a * static_cast<size_t>(s.b) + b) * pitch + k, i = s.index(a, b, k);
          const float inv = 1.0f / scale[i], zi = std::nearbyint(zero[i]);
          const float qf = std::nearbyint(x[at] * inv) + zi;
          const bool in = qf >= -8 && qf <= 7;
          const float v = (qf < -8 ? -8 : qf > 7 ? 7 : qf) - zi;
          dx.push_back(in ? dy[at] : 0.0f);
          e.ds[i].push_back(dy[at] * (in ? (v * scale[i] - x[at]) * inv : v));
          e.dz[i].push_back(in ? 0.0f : -(dy[at] * scale[i]));
        }
    std::vector<unsigned char> workspace(16 * (dense / 4096 + 1) + 63);
    for (int32_t threads : {1, 2, 5, 16})
      for (const bool scratch : {false, true}) {
        octet_exec exec = exec_with(run_reversed, threads);
        if (scratch) {
          exec.workspace = workspace.data();
          exec.workspace_bytes = workspace.size();
        }
        const Gradients g = backward(learn_desc(), tdy, tx, q, dense, &exec);
        ASSERT_EQ(memcmp(g.dx.data(), dx.data(), dense * 4), 0);
        for (size_t i = 0; i < results; ++i) {
          ASSERT_EQ(bits(g.dscale[i]), bits(static_cast<float>(ordered_sum(e.ds[i])))) << i;
          ASSERT_EQ(bits(g.dzero[i]), bits(static_cast<float>(ordered_sum(e.dz[i])))) << i;
        }
      }
  }
}

TEST_F(Learn, ANanOfTheGradientGivesOneNan) {
  const Floats x = {1, 2, 3}, dy = {1, from_bits(0xFFC12345), 1};
  const float s = 1;
  const octet_qparams q = learned(&s, nullptr, -8, 7);
  const octet_tensor tx = vec(x), tdy = vec(dy);
  const Gradients g = backward(learn_desc(), tdy, tx, q, 3);
  EXPECT_EQ(bits(g.dscale[0]), 0x7FC00000u);
  EXPECT_EQ(bits(g.dx[1]), 0xFFC12345u);
}

TEST_F(Learn, Refusals) {
  const Floats x(4, 1.0f);
  Floats y(4, -7.0f), sums(2, -7.0f);
  const float s = 1, z = 0.5f;
  const octet_tensor in = vec(x), out = vec(y);
  octet_qparams q = learned(&s, &z, -8, 7);
  octet_learn_desc d = learn_desc();
  octet_error err = {};
  const auto refused = [&](octet_status status, std::initializer_list<const char*> words,
                           size_t count = 1) {
    err = {};
    expect_refused(octet_fake_quant_learn_backward(c, &d, &in, &in, &q, &out, sums.data(),
                                                   sums.data() + 1, count, nullptr, &err),
                   err, status, words);
    EXPECT_EQ(y[0], -7);
    EXPECT_EQ(sums[0], -7);
  };
  refused(OCTET_ERR_ARGUMENT, {"count is 2"}, 2);
  d.kind = 2;
  refused(OCTET_ERR_ARGUMENT, {"octet_learn_desc.kind", "2", "OCTET_LEARN_LSQ_PLUS"});
  d = learn_desc(0, kNan);
  refused(OCTET_ERR_NOT_FINITE, {"grad_factor"});
  d = learn_desc();
  d.flags = 1;
  refused(OCTET_ERR_ARGUMENT, {"octet_learn_desc.flags"});
  d = learn_desc();
  q.zero_point_f32 = &kNan;
  refused(OCTET_ERR_NOT_FINITE, {"zero_point_f32"});
  q = learned(&s, &z, 0, 0);
  refused(OCTET_ERR_ARGUMENT, {"required"});
  q = learned(&s, &z, -8, 7);
  expect_refused(octet_fake_quant_learn_backward(c, &d, &in, &in, &q, &in, sums.data(), nullptr, 1,
                                                 nullptr, &err),
                 err, OCTET_ERR_ARGUMENT, {"dx overlaps x"});
  expect_refused(octet_fake_quant_learn_backward(c, &d, &in, &in, &q, &out, y.data(), nullptr, 1,
                                                 nullptr, &err),
                 err, OCTET_ERR_ARGUMENT, {"dx overlaps dscale"});
  expect_refused(octet_fake_quant_learn_backward(c, &d, &in, &in, &q, &out, nullptr, nullptr, 1,
                                                 nullptr, &err),
                 err, OCTET_ERR_ARGUMENT, {"dscale is NULL"});
  expect_refused(octet_fake_quant_learn(c, nullptr, &in, &q, &out, nullptr, &err), err,
                 OCTET_ERR_ARGUMENT, {"d is NULL"});
  const float lo = 1, hi = 0;
  expect_refused(octet_clip(c, &in, &lo, &hi, &out, nullptr, &err), err, OCTET_ERR_ARGUMENT,
                 {"*lo is 1", "0"});
  expect_refused(octet_clip(c, &in, &lo, &kInf, &out, nullptr, &err), err, OCTET_ERR_NOT_FINITE,
                 {"inf"});
  expect_refused(octet_clip(c, &in, nullptr, &hi, &out, nullptr, &err), err, OCTET_ERR_ARGUMENT,
                 {"lo is NULL"});
}

class Clip : public Learn {};

TEST_F(Clip, GoldenVectors) {
  const Floats x = {-2, -1, -0.5f, 0.99f, 1, 3}, dy = {1, 2, 3, 4, 5, 6};
  Floats y(6), dx(6);
  const float lo = -1, hi = 1;
  float dlo = -7, dhi = -7;
  const octet_tensor tx = vec(x), tdy = vec(dy), ty = vec(y), tdx = vec(dx);
  ASSERT_EQ(octet_clip(c, &tx, &lo, &hi, &ty, nullptr, nullptr), OCTET_OK);
  EXPECT_EQ(y, (Floats{-1, -1, -0.5f, 0.99f, 1, 1}));
  ASSERT_EQ(octet_clip_backward(c, &tdy, &tx, &lo, &hi, &tdx, &dlo, &dhi, nullptr, nullptr),
            OCTET_OK);
  EXPECT_EQ(dx, (Floats{0, 0, 3, 4, 0, 0}));
  EXPECT_EQ(dlo, 3);
  EXPECT_EQ(dhi, 11);
  dhi = -7;
  ASSERT_EQ(octet_clip_backward(c, &tdy, &tx, &lo, &hi, &tdx, nullptr, &dhi, nullptr, nullptr),
            OCTET_OK);
  EXPECT_EQ(dhi, 11);
}

// A clip's gradients are its slopes, away from its corners.
TEST_F(Clip, GradientsAreFiniteDifferences) {
  const Floats x = reals(4001, 3), dy = reals(4001, 1);
  Floats dx(x.size());
  const float lo = -1.00003f, hi = 0.70003f;
  float dlo, dhi;
  const octet_tensor tx = vec(x), tdy = vec(dy), tdx = vec(dx);
  ASSERT_EQ(octet_clip_backward(c, &tdy, &tx, &lo, &hi, &tdx, &dlo, &dhi, nullptr, nullptr),
            OCTET_OK);
  const auto loss = [&](double l, double h) {
    double sum = 0;
    for (size_t i = 0; i < x.size(); ++i)
      sum += static_cast<double>(dy[i]) * std::fmin(std::fmax(static_cast<double>(x[i]), l), h);
    return sum;
  };
  constexpr double h = 1e-5;
  const double l = static_cast<double>(lo), r = static_cast<double>(hi);
  EXPECT_NEAR(static_cast<double>(dlo), (loss(l + h, r) - loss(l - h, r)) / (2 * h), 1e-3);
  EXPECT_NEAR(static_cast<double>(dhi), (loss(l, r + h) - loss(l, r - h)) / (2 * h), 1e-3);
}

class Amax : public Learn {
 protected:
  octet_amax_desc desc(const std::vector<float>& amax, int32_t bits, uint32_t flags = 0) {
    octet_amax_desc d = sized<octet_amax_desc>();
    d.flags = flags;
    d.bits = bits;
    d.count = amax.size();
    d.amax = amax.data();
    return d;
  }
  Floats fake(const octet_amax_desc& d, const Floats& x, std::vector<uint8_t>* mask = nullptr) {
    Floats y(x.size());
    if (mask) mask->assign(x.size(), 0xEE);
    const octet_tensor in = vec(x), out = vec(y);
    octet_error err = {};
    EXPECT_EQ(octet_amax_fake_quant(c, &d, &in, &out, mask ? mask->data() : nullptr, nullptr, &err),
              OCTET_OK)
        << err.text;
    return y;
  }
};

TEST_F(Amax, GoldenVectors) {
  const Floats x = {0.981718183f, 0.879606545f, 0.992143452f, 0.461067259f, 0.0832159519f,
                    0.178431094f, 0.367431521f, 0.567649722f, 0.337606728f, 0.211946607f};
  const Floats amax = {0.992143452f};
  std::vector<int8_t> q(10);
  float scale = 0;
  const octet_amax_desc d = desc(amax, 8);
  const octet_tensor in = vec(x), out = octet_vec(OCTET_S8, q.data(), 10);
  octet_error err = {};
  ASSERT_EQ(octet_amax_quantize(c, &d, &in, &out, &scale, nullptr, &err), OCTET_OK) << err.text;
  EXPECT_EQ(q, (std::vector<int8_t>{126, 113, 127, 59, 11, 23, 47, 73, 43, 27}));
  EXPECT_EQ(scale, 128.005676f);
  EXPECT_EQ(fake(desc(amax, 8), x),
            (Floats{0.984331369f, 0.88277334f, 0.992143512f, 0.460917056f, 0.0859336928f,
                    0.179679528f, 0.367171228f, 0.570287228f, 0.335922599f, 0.210928142f}));
}

TEST_F(Amax, Edges) {
  const Floats one = {1}, half_amax = {0.5f}, dead = {0x1p-24f}, least = {0x1p-23f};
  const Floats x = {-3, -1, -0.996f, 0.5f, 0.999f, 1, 2};
  std::vector<uint8_t> mask;
  EXPECT_EQ(fake(desc(one, 8, OCTET_NARROW), x, &mask),
            (Floats{-1, -1, -0.992125988f, 0.503937006f, 1, 1, 1}));
  EXPECT_EQ(mask, (std::vector<uint8_t>{0, 1, 1, 1, 1, 1, 0}));
  EXPECT_EQ(fake(desc(one, 8), x)[0], -1.00787401f);
  EXPECT_EQ(fake(desc(one, 8, OCTET_UNSIGNED), {0, 0.3f, 0.5f, 0.999f, 1, 2}),
            (Floats{0, 0.298039228f, 0.501960814f, 1, 1, 1}));
  EXPECT_EQ(fake(desc(dead, 8), {1, kNan, kInf}), (Floats{0, 0, 0}));
  EXPECT_EQ(fake(desc(least, 8), {1}), (Floats{0x1p-23f}));
  EXPECT_EQ(fake(desc(one, 8, OCTET_NARROW), {kNan, kInf, -kInf}, &mask), (Floats{-1, 1, -1}));
  EXPECT_EQ(mask, (std::vector<uint8_t>{0, 0, 0}));
  // amax counts times scale_amax, x times pre_scale first.
  octet_amax_desc d = desc(half_amax, 8, OCTET_NARROW);
  d.scale_amax = 2;
  EXPECT_EQ(fake(d, x), fake(desc(one, 8, OCTET_NARROW), x));
  const float half = 0.5f;
  d = desc(half_amax, 8, OCTET_NARROW);
  d.pre_scale = &half;
  d.pre_count = 1;
  EXPECT_EQ(fake(d, {0.4f}), fake(desc(half_amax, 8, OCTET_NARROW), {0.2f}));
}

TEST_F(Amax, AnyAxisTypeAndWidthAgainstTheFormulas) {
  constexpr int64_t kRows = 9, kCols = 301;
  for (const int axis : {0, 1})
    for (const auto& [bits_, type, flags] : {std::tuple{2, OCTET_S8, 0u},
                                             {4, OCTET_U8, uint32_t{OCTET_UNSIGNED}},
                                             {8, OCTET_S8, 0u},
                                             {8, OCTET_U8, uint32_t{OCTET_UNSIGNED}},
                                             {12, OCTET_S16, 0u},
                                             {16, OCTET_U16, uint32_t{OCTET_UNSIGNED}},
                                             {16, OCTET_F32, 0u}}) {
      Floats amax(static_cast<size_t>(axis ? kCols : kRows)), x(kRows * kCols);
      for (float& a : amax) a = rng() % 16 ? random_scale(rng) : 0;
      for (size_t i = 0; i < x.size(); ++i) {
        const float a = amax[axis ? i % kCols : i / kCols];
        x[i] = a * (static_cast<float>(rng() % 3000) / 1000 - (flags ? 0.0f : 1.5f));
      }
      octet_amax_desc d = desc(amax, bits_, flags);
      d.axis = axis;
      const size_t item = type == OCTET_F32 ? 4 : type == OCTET_U16 || type == OCTET_S16 ? 2 : 1;
      std::vector<unsigned char> q(x.size() * item);
      Floats scale(amax.size());
      const octet_tensor in = octet_mat(OCTET_F32, x.data(), kRows, kCols);
      const octet_tensor out = octet_mat(type, q.data(), kRows, kCols);
      octet_error err = {};
      ASSERT_EQ(octet_amax_quantize(c, &d, &in, &out, scale.data(), nullptr, &err), OCTET_OK)
          << err.text;
      const int bound = (1 << (bits_ - (flags ? 0 : 1))) - 1;
      for (size_t i = 0; i < x.size(); ++i) {
        const size_t k = axis ? i % kCols : i / kCols;
        const float s = amax[k] <= 0x1p-24f ? 1 : static_cast<float>(bound) / amax[k];
        ASSERT_EQ(bits(scale[k]), bits(s));
        double want = amax[k] <= 0x1p-24f ? 0 : std::nearbyint(static_cast<double>(x[i] * s));
        want = std::fmin(std::fmax(want, flags ? 0 : -bound), bound);
        double got = 0;
        if (type == OCTET_F32) {
          float f;
          memcpy(&f, &q[i * 4], 4);
          got = static_cast<double>(f);
        } else {
          uint16_t u = q[i * item];
          if (item == 2) memcpy(&u, &q[i * 2], 2);
          got = type == OCTET_S8    ? static_cast<int8_t>(u)
                : type == OCTET_S16 ? static_cast<int16_t>(u)
                                    : static_cast<double>(u);
        }
        ASSERT_EQ(got, want) << x[i] << " of " << amax[k];
      }
    }
}

TEST_F(Amax, Refusals) {
  const Floats one = {1}, negative = {-1}, nan = {kNan}, two = {1, 2};
  Floats x = {1, -0.5f, 0.25f}, y(3, -7.0f);
  std::vector<int8_t> q(3, -7);
  const octet_tensor in = vec(x), out = vec(y), ints = octet_vec(OCTET_S8, q.data(), 3);
  octet_error err = {};
  const auto refused = [&](const octet_amax_desc& d, octet_status status,
                           std::initializer_list<const char*> words) {
    err = {};
    expect_refused(octet_amax_fake_quant(c, &d, &in, &out, nullptr, nullptr, &err), err, status,
                   words);
    EXPECT_EQ(y[0], -7);
  };
  refused(desc(one, 1), OCTET_ERR_ARGUMENT, {"bits is 1"});
  refused(desc(one, 17), OCTET_ERR_ARGUMENT, {"bits is 17"});
  refused(desc(negative, 8), OCTET_ERR_ARGUMENT, {"amax[0] is -1"});
  refused(desc(nan, 8), OCTET_ERR_NOT_FINITE, {"amax[0]"});
  refused(desc(one, 8, OCTET_UNSIGNED), OCTET_ERR_ARGUMENT, {"minimum -0.5", "OCTET_UNSIGNED"});
  x[1] = -kInf;
  refused(desc(one, 8, OCTET_UNSIGNED), OCTET_ERR_ARGUMENT, {"minimum -inf"});
  refused(desc(two, 8), OCTET_ERR_ARGUMENT, {"count is 2"});
  octet_amax_desc d = desc(one, 8);
  d.scale_amax = -1;
  refused(d, OCTET_ERR_ARGUMENT, {"scale_amax is -1"});
  d = desc(one, 8);
  d.reserved = 1;
  refused(d, OCTET_ERR_ARGUMENT, {"reserved"});
  d = desc(one, 8);
  d.pre_count = 2;
  refused(d, OCTET_ERR_ARGUMENT, {"pre_count is 2"});
  d = desc(one, 9);
  expect_refused(octet_amax_quantize(c, &d, &in, &ints, nullptr, nullptr, &err), err,
                 OCTET_ERR_ARGUMENT, {"q.type is S8", "-255 to 255"});
  EXPECT_EQ(q[0], -7);
}

}  // namespace
}  // namespace octet_test

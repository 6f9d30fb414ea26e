// SPDX-License-Identifier: Apache-2.0
//
// octet_quantize, _dequantize and _requantize: golden vectors, qparams along every axis of strided
// tensors against a loop over the elements, threads, aliases and refusals.
#include "tests/quant/support.h"

namespace octet_test {
namespace {

class Elementwise : public testing::Test {
 protected:
  template <class T>
  std::vector<int> quantize(const std::vector<float>& x, octet_type type, float scale, int32_t zero,
                            uint32_t flags = 0) {
    std::vector<T> y(x.size());
    octet_qparams q = make_qparams(&scale, &zero);
    q.flags = flags;
    const octet_tensor in = octet_vec(OCTET_F32, x.data(), static_cast<int64_t>(x.size()));
    const octet_tensor out = with(octet_vec(type, y.data(), static_cast<int64_t>(x.size())), &q);
    octet_error err = {};
    EXPECT_EQ(octet_quantize(c, &in, &out, nullptr, &err), OCTET_OK) << err.text;
    return {y.begin(), y.end()};
  }
  std::vector<int> u8(const std::vector<float>& x, float s, int32_t z, uint32_t flags = 0) {
    return quantize<uint8_t>(x, OCTET_U8, s, z, flags);
  }
  std::vector<int> s8(const std::vector<float>& x, float s, int32_t z, uint32_t flags = 0) {
    return quantize<int8_t>(x, OCTET_S8, s, z, flags);
  }
  template <class T>
  float dequantize(octet_type type, T value, float scale, int32_t zero) {
    const octet_qparams q = make_qparams(&scale, &zero);
    float y = -1;
    const octet_tensor in = with(octet_vec(type, &value, 1), &q), out = octet_vec(OCTET_F32, &y, 1);
    octet_error err = {};
    EXPECT_EQ(octet_dequantize(c, &in, &out, nullptr, &err), OCTET_OK) << err.text;
    return y;
  }

  Context c;
  std::mt19937 rng{99};
};

using Ints = std::vector<int>;

TEST_F(Elementwise, TiesRoundToEvenAndTheZeroPointComesAfter) {
  const std::vector<float> x = {-3.5f, -2.5f, -1.5f, -0.5f, 0.5f, 1.5f, 2.5f, 3.5f};
  EXPECT_EQ(s8(x, 1, 0), (Ints{-4, -2, -2, 0, 0, 2, 2, 4}));
  EXPECT_EQ(s8(x, 1, 1), (Ints{-3, -1, -1, 1, 1, 3, 3, 5}));
  EXPECT_EQ(s8(x, 1, 0, OCTET_ROUND_AWAY | OCTET_DIVIDE), (Ints{-4, -3, -2, -1, 1, 2, 3, 4}));
  EXPECT_EQ(s8({0.49999997f, -0.49999997f}, 1, 0, OCTET_ROUND_AWAY), (Ints{0, 0}));
}

TEST_F(Elementwise, MultiplyingAndDividingDiffer) {
  const struct {
    uint32_t scale, x;
    int multiplied, divided;
  } cases[] = {{0x3B0CCEAA, 0x3E8C41DB, 128, 127}, {0x3DCCCCCD, 0x3FC66666, 16, 15},
               {0x3DCCCCCD, 0x3FF99999, 20, 19},   {0x3C010204, 0x3D3162C5, 5, 6},
               {0x3B808081, 0x3BC0C0C1, 1, 2},     {0x3B808081, 0x3F7F7F81, 254, 255}};
  for (const auto& k : cases) {
    EXPECT_EQ(u8({from_bits(k.x)}, from_bits(k.scale), 0), Ints{k.multiplied});
    EXPECT_EQ(u8({from_bits(k.x)}, from_bits(k.scale), 0, OCTET_DIVIDE), Ints{k.divided});
  }
}

TEST_F(Elementwise, SpecialValuesSaturateAndNanIsTheLowest) {
  const float denormal = from_bits(1);
  const std::vector<float> x = {kNan, kInf,  -kInf,    1e30f,     -1e30f,
                                3e9f, -3e9f, denormal, -denormal, -0.0f};
  EXPECT_EQ(u8(x, 0.5f, 0), (Ints{0, 255, 0, 255, 0, 255, 0, 0, 0, 0}));
  EXPECT_EQ(u8(x, 0.5f, 127), (Ints{0, 255, 0, 255, 0, 255, 0, 127, 127, 127}));
  EXPECT_EQ(u8(x, 0.5f, 128), (Ints{0, 255, 0, 255, 0, 255, 0, 128, 128, 128}));
  EXPECT_EQ(s8(x, 0.5f, 0), (Ints{-128, 127, -128, 127, -128, 127, -128, 0, 0, 0}));
  EXPECT_EQ(s8(x, 0.5f, -5), (Ints{-128, 127, -128, 127, -128, 127, -128, -5, -5, -5}));
}

TEST_F(Elementwise, DequantizeSubtractsBeforeItMultiplies) {
  EXPECT_EQ(bits(dequantize<uint8_t>(OCTET_U8, 1, 0.1f, 3)), 0xBE4CCCCDu);
  EXPECT_EQ(bits(dequantize<uint8_t>(OCTET_U8, 4, 0.1f, 40)), 0xC0666667u);
  EXPECT_EQ(bits(dequantize<uint8_t>(OCTET_U8, 6, 0.1f, 77)), 0xC0E33333u);
  EXPECT_EQ(bits(dequantize<uint8_t>(OCTET_U8, 9, 0.1f, 0)), 0x3F666667u);
  EXPECT_EQ(bits(dequantize<uint8_t>(OCTET_U8, 13, 0.1f, 0)), 0x3FA66667u);
  EXPECT_EQ(bits(dequantize<uint8_t>(OCTET_U8, 18, 0.1f, 0)), 0x3FE66667u);
  EXPECT_EQ(dequantize<int32_t>(OCTET_S32, 16777217, 1, 0), 16777216.0f);
  EXPECT_EQ(dequantize<int32_t>(OCTET_S32, INT32_MIN, 0.5f, 0), -0x1p30f);
}

TEST_F(Elementwise, OnnxVectors) {
  const struct {
    std::vector<float> x;
    Ints y;
  } cases[] = {{{0, 2, -3, -2.5f, 1.34f, 0.5f}, {153, 255, 0, 26, 221, 179}},
               {{-1, -2.1f, -1.3f, -2.5f, -3.34f, -4}, {191, 121, 172, 96, 42, 0}},
               {{1, 2.1f, 1.3f, 2.5f, 3.34f, 4, 1.5f, 2.6f, 3.9f, 4, 3, 2.345f},
                {64, 134, 83, 159, 213, 255, 96, 166, 249, 255, 191, 149}}};
  const octet_scheme onnx = make_scheme(OCTET_U8, 0, OCTET_CHOOSE_ONNX);
  for (const auto& k : cases) {
    float min = kInf, max = -kInf, scale;
    for (float v : k.x) min = std::fmin(min, v), max = std::fmax(max, v);
    int32_t zero;
    ASSERT_EQ(octet_choose_qparams(&onnx, &min, &max, 1, &scale, &zero, nullptr), OCTET_OK);
    EXPECT_EQ(u8(k.x, scale, zero, OCTET_DIVIDE), k.y);
  }
  EXPECT_EQ(u8({-2.5f}, from_bits(0x3CA0A0A1), 153), Ints{25});
  EXPECT_EQ(u8({0, 2, 3, 1000, -254, -1000}, 2, 128, OCTET_DIVIDE),
            (Ints{128, 129, 130, 255, 1, 0}));
  const int want[] = {-256, -250, 0, 254}, q[] = {0, 3, 128, 255};
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(dequantize<uint8_t>(OCTET_U8, static_cast<uint8_t>(q[i]), 2, 128), want[i]);
}

// ---- shapes, strides, axes ----

// A tensor with its own memory, padded between rows, and its elements in row-major order.
struct Strided {
  std::vector<char> memory;
  octet_tensor t = {};
  std::vector<int64_t> offsets;

  Strided(octet_type type, size_t item, const std::vector<int64_t>& dims, std::mt19937& rng) {
    t.type = type;
    t.rank = static_cast<int32_t>(dims.size());
    int64_t step = 1;
    const bool dense = rng() % 3 == 0;
    for (int i = t.rank - 1; i >= 0; --i) {
      t.dims[i] = dims[static_cast<size_t>(i)];
      t.strides[i] = step;
      step *= t.dims[i];
      if (!dense && rng() % 2) step += static_cast<int64_t>(rng() % 4);
    }
    memory.resize(static_cast<size_t>(step) * item + 16, 0x5A);
    t.data = memory.data();
    if (dense && rng() % 2)
      for (auto& s : t.strides) s = 0;
    offsets = {0};
    int64_t inner = 1;
    std::vector<int64_t> strides(dims.size());
    for (size_t i = dims.size(); i-- > 0; inner *= dims[i])
      strides[i] = dense ? inner : t.strides[i];
    for (size_t i = 0; i < dims.size(); ++i) {
      std::vector<int64_t> next;
      for (int64_t o : offsets)
        for (int64_t k = 0; k < dims[i]; ++k) next.push_back(o + k * strides[i]);
      offsets = next;
    }
  }
  template <class T>
  T& at(size_t i) {
    return reinterpret_cast<T*>(memory.data())[offsets[i]];
  }
};

// The index along `axis` of element i in row-major order.
size_t index_of(const octet_tensor& t, int axis, size_t i) {
  for (int d = t.rank - 1; d > axis; --d) i /= static_cast<size_t>(t.dims[d]);
  return i % static_cast<size_t>(t.dims[axis]);
}

const std::vector<std::vector<int64_t>> kShapes = {
    {},       {1},        {7},       {300},         {3, 5},       {5, 300},
    {300, 5}, {2, 3, 4},  {2, 1, 9}, {1, 1, 1, 1},  {2, 3, 5, 7}, {3, 2, 2, 3, 2, 2},
    {4, 1},   {1, 40000}, {70, 600}, {2, 40, 3, 3}, {0},          {3, 0, 2}};

int quantize_one(float x, float scale, int32_t zero, int32_t qmin, int32_t qmax, bool divide) {
  const float t = divide ? x / scale : x * (1.0f / scale);
  if (std::isnan(t)) return qmin;
  const double q = std::nearbyint(static_cast<double>(t)) + zero;
  return static_cast<int>(std::fmin(std::fmax(q, qmin), qmax));
}

TEST_F(Elementwise, AnyShapeAnyAxis) {
  for (const auto& dims : kShapes)
    for (int axis = -1; axis < static_cast<int>(dims.size()); ++axis)
      for (int variant = 0; variant < 4; ++variant) {
        SCOPED_TRACE(testing::PrintToString(dims) + " axis " + std::to_string(axis));
        Strided x(OCTET_F32, 4, dims, rng), q(variant % 2 ? OCTET_S8 : OCTET_U8, 1, dims, rng);
        Strided y(OCTET_F32, 4, dims, rng);
        const bool negative = variant / 2;  // the axis, counted from the end
        const size_t n = axis < 0 ? 1 : static_cast<size_t>(dims[static_cast<size_t>(axis)]);
        const int low = variant % 2 ? -128 : 0;
        std::vector<float> scale(n + 1);  // never NULL
        std::vector<int32_t> zero(n + 1);
        for (size_t i = 0; i < n; ++i) {
          scale[i] = random_scale(rng);
          zero[i] = low + static_cast<int32_t>(rng() % 256);
        }
        octet_qparams qp =
            make_qparams(scale.data(), variant == 3 ? nullptr : zero.data(),
                         axis < 0 ? 1 : static_cast<int64_t>(n),
                         negative && axis >= 0 ? axis - static_cast<int>(dims.size()) : axis);
        if (axis < 0) qp.axis = 0;
        if (variant == 2) qp.flags = OCTET_DIVIDE, qp.qmin = low + 1, qp.qmax = low + 254;
        if (variant == 2)
          for (auto& z : zero) z = std::min(std::max(z, low + 1), low + 254);
        if (low + (variant == 2) > 0) qp.qmin = qp.qmax = 0;  // the range must hold 0
        if (variant == 2 && qp.qmin > 0) continue;
        q.t.q = &qp;
        const size_t count = x.offsets.size();
        for (size_t i = 0; i < count; ++i)
          x.at<float>(i) = hostile_float(rng, axis < 0 ? scale[0] : scale[index_of(x.t, axis, i)]);
        const octet_exec e = exec_with(variant == 1 ? run_reversed : nullptr, 5);
        octet_error err = {};
        ASSERT_EQ(octet_quantize(c, &x.t, &q.t, &e, &err), OCTET_OK) << err.text;
        ASSERT_EQ(octet_dequantize(c, &q.t, &y.t, &e, &err), OCTET_OK) << err.text;
        const int qmin = qp.qmin || qp.qmax ? qp.qmin : low,
                  qmax = qp.qmin || qp.qmax ? qp.qmax : low + 255;
        for (size_t i = 0; i < count; ++i) {
          const size_t k = axis < 0 ? 0 : index_of(x.t, axis, i);
          const int32_t z = variant == 3 ? 0 : zero[k];
          const int want = quantize_one(x.at<float>(i), scale[k], z, qmin, qmax, variant == 2);
          const int got = variant % 2 ? q.at<int8_t>(i) : q.at<uint8_t>(i);
          ASSERT_EQ(got, want) << i;
          ASSERT_EQ(bits(y.at<float>(i)), bits(scale[k] * static_cast<float>(got - z))) << i;
        }
      }
}

TEST_F(Elementwise, RequantizeIsQuantizeOfDequantizeAlongAnyTwoAxes) {
  for (const auto& dims : kShapes) {
    const int rank = static_cast<int>(dims.size());
    for (int in_axis = -1; in_axis < rank; ++in_axis)
      for (int out_axis = -1; out_axis < rank; ++out_axis)
        for (octet_type in : {OCTET_U8, OCTET_S8, OCTET_S32}) {
          SCOPED_TRACE(testing::PrintToString(dims) + " axes " + std::to_string(in_axis) + " " +
                       std::to_string(out_axis));
          const bool wide = in == OCTET_S32;
          Strided q(in, wide ? 4 : 1, dims, rng), y(OCTET_U8, 1, dims, rng);
          const auto make = [&](int axis, std::vector<float>* scale, std::vector<int32_t>* zero,
                                int low) {
            const size_t n = axis < 0 ? 1 : static_cast<size_t>(dims[static_cast<size_t>(axis)]);
            for (size_t i = 0; i <= n; ++i) {  // never NULL
              scale->push_back(random_scale(rng));
              zero->push_back(low + static_cast<int32_t>(rng() % 256));
            }
            return make_qparams(scale->data(), zero->data(), static_cast<int64_t>(axis < 0 ? 1 : n),
                                axis < 0 ? 0 : axis);
          };
          std::vector<float> s1, s2;
          std::vector<int32_t> z1, z2;
          octet_qparams q1 = make(in_axis, &s1, &z1, in == OCTET_S8 ? -128 : 0);
          const octet_qparams q2 = make(out_axis, &s2, &z2, 0);
          if (wide) q1.zero_point = nullptr;
          q.t.q = &q1;
          y.t.q = &q2;
          for (size_t i = 0; i < q.offsets.size(); ++i) {
            if (wide)
              q.at<int32_t>(i) = static_cast<int32_t>(rng()) >> rng() % 32;
            else
              q.at<uint8_t>(i) = static_cast<uint8_t>(rng());
          }
          octet_error err = {};
          ASSERT_EQ(octet_requantize(c, &q.t, &y.t, nullptr, &err), OCTET_OK) << err.text;
          for (size_t i = 0; i < q.offsets.size(); ++i) {
            const size_t a = in_axis < 0 ? 0 : index_of(q.t, in_axis, i);
            const size_t b = out_axis < 0 ? 0 : index_of(q.t, out_axis, i);
            int want;
            if (wide) {
              const float multiplier = s1[a] / s2[b];
              want = quantize_one(static_cast<float>(q.at<int32_t>(i)) * multiplier, 1, z2[b], 0,
                                  255, false);
            } else {
              const int v = in == OCTET_S8 ? q.at<int8_t>(i) : q.at<uint8_t>(i);
              want =
                  quantize_one(s1[a] * static_cast<float>(v - z1[a]), s2[b], z2[b], 0, 255, false);
            }
            ASSERT_EQ(y.at<uint8_t>(i), want) << i;
          }
        }
  }
}

TEST_F(Elementwise, RequantizeWorksInPlace) {
  const float s1 = 0.02f, s2 = 0.05f;
  const int32_t z1 = 3, z2 = -7;
  const octet_qparams q1 = make_qparams(&s1, &z1), q2 = make_qparams(&s2, &z2);
  std::vector<uint8_t> a(1001), b(1001);
  for (auto& v : a) v = static_cast<uint8_t>(rng());
  const octet_tensor in = with(octet_vec(OCTET_U8, a.data(), 1001), &q1);
  const octet_tensor apart = with(octet_vec(OCTET_S8, b.data(), 1001), &q2);
  const octet_tensor same = with(octet_vec(OCTET_S8, a.data(), 1001), &q2);
  ASSERT_EQ(octet_requantize(c, &in, &apart, nullptr, nullptr), OCTET_OK);
  ASSERT_EQ(octet_requantize(c, &in, &same, nullptr, nullptr), OCTET_OK);
  EXPECT_EQ(a, b);
}

TEST_F(Elementwise, ThreadsAndCapsGiveTheSameBits) {
  constexpr int64_t kRows = 700, kCols = 333;
  std::vector<float> x(kRows * kCols), scale(kCols);
  std::vector<int32_t> zero(kCols);
  for (auto& v : scale) v = random_scale(rng);
  for (auto& v : zero) v = static_cast<int32_t>(rng() % 256);
  for (size_t i = 0; i < x.size(); ++i) x[i] = hostile_float(rng, scale[i % kCols]);
  const octet_qparams q = make_qparams(scale.data(), zero.data(), kCols, 1);
  std::vector<uint8_t> want(x.size()), got(x.size());
  const octet_tensor in = octet_mat(OCTET_F32, x.data(), kRows, kCols);
  const octet_tensor first = with(octet_mat(OCTET_U8, want.data(), kRows, kCols), &q);
  const octet_tensor out = with(octet_mat(OCTET_U8, got.data(), kRows, kCols), &q);
  const Context scalar("scalar");
  ASSERT_EQ(octet_quantize(scalar, &in, &first, nullptr, nullptr), OCTET_OK);
  for (int32_t threads = 1; threads <= 16; ++threads)
    for (octet_parallel_for f : {run_reversed, run_first_only}) {
      got.assign(got.size(), 0xEE);
      const octet_exec e = exec_with(f, threads);
      ASSERT_EQ(octet_quantize(c, &in, &out, &e, nullptr), OCTET_OK);
      ASSERT_EQ(got, want) << threads;
    }
  const octet_exec e = exec_with(run_none_and_cancel, 4);
  octet_error err = {};
  expect_refused(octet_quantize(c, &in, &out, &e, &err), err, OCTET_ERR_CANCELLED, {"7"});
}

TEST_F(Elementwise, RefusesBeforeTheFirstWrite) {
  float scale = 0.5f;
  int32_t zero = 0;
  const octet_qparams good = make_qparams(&scale, &zero);
  float x[12] = {};
  uint8_t q[12];
  memset(q, 0x77, sizeof q);
  const octet_tensor in = octet_mat(OCTET_F32, x, 3, 4),
                     out = with(octet_mat(OCTET_U8, q, 3, 4), &good);
  octet_error err = {};
  const auto refused = [&](const octet_tensor& a, const octet_tensor& b, octet_status status,
                           std::initializer_list<const char*> words) {
    err = {};
    expect_refused(octet_quantize(c, &a, &b, nullptr, &err), err, status, words);
    for (uint8_t v : q) EXPECT_EQ(v, 0x77);
  };
  expect_refused(octet_quantize(nullptr, &in, &out, nullptr, &err), err, OCTET_ERR_ARGUMENT,
                 {"c is NULL"});
  expect_refused(octet_quantize(c, nullptr, &out, nullptr, &err), err, OCTET_ERR_ARGUMENT,
                 {"x is NULL"});
  expect_refused(octet_quantize(c, &in, nullptr, nullptr, &err), err, OCTET_ERR_ARGUMENT,
                 {"q is NULL"});
  refused(with(in, &good), out, OCTET_ERR_ARGUMENT, {"x.q is given"});
  refused(in, with(out, nullptr), OCTET_ERR_ARGUMENT, {"q.q is NULL"});
  octet_tensor t = out;
  t.type = OCTET_F32;
  t.data = x;
  refused(in, t, OCTET_ERR_ARGUMENT, {"F32"});
  t = in;
  t.dims[1] = 3;
  refused(t, out, OCTET_ERR_ARGUMENT, {"dims[1]"});
  t = in;
  t.rank = 7;
  refused(t, out, OCTET_ERR_ARGUMENT, {"rank is 7"});
  t = in;
  t.strides[0] = 1, t.strides[1] = 3;
  refused(t, out, OCTET_ERR_ARGUMENT, {"innermost"});
  t = out;
  t.strides[0] = 2, t.strides[1] = 1;
  refused(in, t, OCTET_ERR_ARGUMENT, {"overlap"});
  t = out;
  t.data = x;
  refused(in, t, OCTET_ERR_ARGUMENT, {"overlaps x"});
  t = in;
  t.data = reinterpret_cast<char*>(x) + 1;
  refused(t, out, OCTET_ERR_ARGUMENT, {"aligned"});
  t = in;
  t.data = nullptr;
  refused(t, out, OCTET_ERR_ARGUMENT, {"x.data is NULL"});

  const auto refused_q = [&](octet_qparams bad, octet_status status,
                             std::initializer_list<const char*> words) {
    refused(in, with(out, &bad), status, words);
  };
  octet_qparams bad = good;
  for (float s : {0.0f, -1.0f, 0x1p-61f, 0x1p61f}) {
    bad.scale = &s;
    refused_q(bad, OCTET_ERR_ARGUMENT, {"2^-60"});
  }
  for (float s : {kNan, kInf}) {
    bad.scale = &s;
    refused_q(bad, OCTET_ERR_NOT_FINITE, {"finite"});
  }
  bad.scale = nullptr;
  refused_q(bad, OCTET_ERR_ARGUMENT, {"scale is NULL"});
  bad = good;
  const int32_t far = 256;
  bad.zero_point = &far;
  refused_q(bad, OCTET_ERR_ARGUMENT, {"256", "[0, 255]"});
  bad = good;
  bad.count = 2;
  refused_q(bad, OCTET_ERR_ARGUMENT, {"count is 2"});
  bad.axis = 2;
  refused_q(bad, OCTET_ERR_ARGUMENT, {"axis is 2"});
  bad = good;
  bad.group = 4;
  refused_q(bad, OCTET_ERR_ARGUMENT, {"groups of 4", "must be 3"});
  bad = good;
  bad.flags = 1;
  refused_q(bad, OCTET_ERR_ARGUMENT, {"flags"});
  bad = good;
  bad.zero_point_f32 = &scale;
  refused_q(bad, OCTET_ERR_ARGUMENT, {"zero_point_f32", "one of them"});
  bad.zero_point = nullptr;
  bad.zero_point_f32 = &kNan;
  refused_q(bad, OCTET_ERR_NOT_FINITE, {"zero_point_f32[0] is nan"});
  bad = good;
  bad.qmin = -1, bad.qmax = 5;
  refused_q(bad, OCTET_ERR_ARGUMENT, {"[-1, 5]"});
}

TEST_F(Elementwise, S32HasNoZeroPoint) {
  const float scale = 1;
  const int32_t zero = 1, q = 5;
  const octet_qparams qp = make_qparams(&scale, &zero);
  float y = -1;
  const octet_tensor in = with(octet_vec(OCTET_S32, &q, 1), &qp), out = octet_vec(OCTET_F32, &y, 1);
  octet_error err = {};
  expect_refused(octet_dequantize(c, &in, &out, nullptr, &err), err, OCTET_ERR_ARGUMENT,
                 {"zero_point[0] is 1"});
  EXPECT_EQ(y, -1);
}

}  // namespace
}  // namespace octet_test

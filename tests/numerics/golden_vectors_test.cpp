// SPDX-License-Identifier: Apache-2.0
//
// Numbers that other implementations print: PyTorch 1.13 (linear layers, static and dynamic, and a
// small network end to end) and the ONNX backend tests (integer matrix products).
#include <math.h>

#include "tests/numerics/layer.h"

namespace octet_test {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;

template <class T>
std::vector<T> run_as(const octet_context* c, const Layer& l) {
  const Bytes bytes = LayerOp(c, l).run({});
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!bytes.empty()) memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

Bytes bytes_of(const std::vector<int32_t>& values) {
  Bytes b;
  for (int32_t v : values) b.push_back(static_cast<uint8_t>(v));
  return b;
}

// PyTorch: two rows, three channels with their own scales and zero points.
Layer torch_linear() {
  Layer l;
  l.m = 2;
  l.n = 3;
  l.k = 4;
  l.in_scale = {0.05f};
  l.in_zero = {100};
  l.x = {10, 0, 255, 128, 3, 77, 200, 64};
  l.w = {12, -7, 127, -128, 0, 5, -3, 100, -128, 127, 1, -1};
  l.w_scale = {0.01f, 0.02f, 0.005f};
  l.w_zero = {0, 3, -2};
  l.bias_type = OCTET_F32;
  l.bias_f = {0.5f, -1.25f, 0.03f};
  l.out = {OCTET_U8, 0.1f, 120};
  return l;
}

class Golden : public testing::TestWithParam<CappedContext> {
 protected:
  const octet_context* context() const { return GetParam().context; }
};

TEST_P(Golden, TorchLinearPerChannelWithZeroPoints) {
  Layer l = torch_linear();
  EXPECT_THAT(run_as<uint8_t>(context(), l), ElementsAre(204, 126, 118, 207, 69, 144));
  l.act = OCTET_RELU;
  EXPECT_THAT(run_as<uint8_t>(context(), l), ElementsAre(204, 126, 120, 207, 120, 144));
  l.act = OCTET_ACT_NONE;
  l.w_zero = {0, 0, 0};
  EXPECT_THAT(run_as<uint8_t>(context(), l), ElementsAre(204, 126, 118, 207, 67, 144));
}

TEST_P(Golden, TorchLinearAccumulators) {
  Layer l = torch_linear();
  l.bias_type = 0;
  l.out = {OCTET_S32, 0, 0};
  EXPECT_THAT(run_as<int32_t>(context(), l), ElementsAre(15721, 1856, -1067, 16305, -3847, 9519));
  l.w_zero = {0, 0, 0};
  l.in_zero = {0};
  EXPECT_THAT(run_as<int32_t>(context(), l), ElementsAre(16121, 12035, -1153, 16705, 6185, 9531));
}

// 3 * 1 in units of 0.25, and a bias of 0.4 units: 6.8 output units, or 6 if the bias is rounded.
TEST_P(Golden, TorchBiasStaysFloat) {
  Layer l;
  l.m = l.n = l.k = 1;
  l.in_scale = {0.5f};
  l.x = {3};
  l.w = {1};
  l.w_scale = {0.5f};
  l.out = {OCTET_U8, 0.125f, 0};
  l.bias_type = OCTET_F32;
  l.bias_f = {0.1f};
  EXPECT_THAT(run_as<uint8_t>(context(), l), ElementsAre(7));
  l.bias_type = OCTET_S32;
  l.bias_i = {0};
  EXPECT_THAT(run_as<uint8_t>(context(), l), ElementsAre(6));
}

// QNNPACK rounds the bias to an integer.
TEST_P(Golden, QnnpackBiasIsAnInteger) {
  Layer l;
  l.m = l.n = l.k = 1;
  l.in_scale = {0.5f};
  l.x = {3};
  l.w = {1};
  l.w_scale = {0.5f};
  l.out = {OCTET_U8, 0.125f, 0};
  l.bias_type = OCTET_F32;
  l.bias_f = {0.1f};
  l.numerics = OCTET_NUMERICS_QNNPACK;
  EXPECT_THAT(run_as<uint8_t>(context(), l), ElementsAre(6));
}

// Accumulators at ties. gemmlowp rounds the product and then the shift: 1 / 4 becomes 1.
TEST_P(Golden, TfliteTies) {
  const std::vector<int32_t> acc = {-7, -6, -5, -3, -2, -1, 1, 2, 3, 5, 6, 7};
  Layer l;
  l.m = l.k = 1;
  l.n = static_cast<int64_t>(acc.size());
  l.x = {1};
  for (int32_t v : acc) l.w.push_back(static_cast<int8_t>(v));
  const auto expect = [&](int32_t numerics, float scale, const std::vector<int32_t>& want) {
    l.numerics = numerics;
    l.out = {OCTET_S8, scale, 0};
    EXPECT_THAT(run_as<int8_t>(context(), l), ElementsAreArray(want)) << numerics << " " << scale;
  };
  expect(OCTET_NUMERICS_TFLITE, 2, {-3, -3, -2, -1, -1, 0, 1, 1, 2, 3, 3, 4});
  expect(OCTET_NUMERICS_TFLITE_SINGLE, 2, {-3, -3, -2, -1, -1, 0, 1, 1, 2, 3, 3, 4});
  expect(OCTET_NUMERICS_TFLITE, 4, {-2, -2, -1, -1, -1, 0, 1, 1, 1, 2, 2, 2});
  expect(OCTET_NUMERICS_TFLITE_SINGLE, 4, {-2, -1, -1, -1, 0, 0, 0, 1, 1, 1, 2, 2});
  expect(OCTET_NUMERICS_QNNPACK, 2, {-4, -3, -2, -2, -1, 0, 0, 1, 2, 2, 3, 4});
  expect(OCTET_NUMERICS_ONNX, 4, {-2, -2, -1, -1, 0, 0, 0, 0, 1, 1, 2, 2});
}

// One scale for the whole input, chosen as ATen does.
TEST_P(Golden, TorchDynamicLinear) {
  Layer l = torch_linear();
  l.mode = Mode::kDynamicTensor;
  l.xf = {-1, 0.5f, 2, 0.25f, 0.1f, -0.2f, 0.3f, -0.4f};
  l.w_scale = {0.01f};
  l.w_zero = {0};
  l.out = {OCTET_F32, 0, 0};
  l.scheme.type = OCTET_U8;
  l.scheme.granularity = OCTET_PER_TENSOR;
  l.scheme.chooser = OCTET_CHOOSE_TORCH_NATIVE;
  const auto expect = [&](const std::vector<int32_t>& acc, float scale,
                          const std::vector<float>& printed) {
    const std::vector<float> y = run_as<float>(context(), l);
    ASSERT_EQ(y.size(), 6u);
    for (size_t i = 0; i < 6; ++i) {
      const float unit = scale * 0.01f;
      const float product = static_cast<float>(acc[i]) * unit;
      EXPECT_EQ(y[i], product + l.bias_f[i % 3]);
      EXPECT_FLOAT_EQ(y[i], printed[i]);  // PyTorch orders the two products otherwise
    }
  };
  expect({17588, 1800, 16363, 7869, -3563, -3123}, 0.011764705882352941f,
         {2.56917644f, -1.03823531f, 1.95505881f, 1.4257648f, -1.66917646f, -0.337411761f});
  l.scheme.flags = OCTET_REDUCE_RANGE;
  const std::vector<float> y = run_as<float>(context(), l);
  const std::vector<float> printed = {2.56362224f, -1.02559054f, 1.94740176f,
                                      1.42858279f, -1.67023623f, -0.323858291f};
  for (size_t i = 0; i < 6; ++i) EXPECT_FLOAT_EQ(y[i], printed[i]);
}

// ONNX QLinearMatMul, int8: b is [K,N] and has a zero point.
TEST_P(Golden, OnnxQLinearMatMul) {
  const Bytes a = bytes_of({81, 109, -127, 111, -124, 87, -128, -98});
  const Bytes b = bytes_of({25, -76, 117, -67, -101, -128, -127, 0, 119, 0, 127, 120});
  const float a_scale = 0.0066f, b_scale = 0.00705f, y_scale = 0.0107f;
  const int32_t a_zero = -14, b_zero = -13, y_zero = -9;
  const auto qparams = [](const float* scale, const int32_t* zero) {
    octet_qparams q = {};
    q.count = 1;
    q.scale = scale;
    q.zero_point = zero;
    return q;
  };
  const octet_qparams qa = qparams(&a_scale, &a_zero), qb = qparams(&b_scale, &b_zero),
                      qy = qparams(&y_scale, &y_zero);
  octet_tensor ta = octet_mat(OCTET_S8, a.data(), 2, 4), tb = octet_mat(OCTET_S8, b.data(), 3, 4);
  tb.strides[0] = 1;
  tb.strides[1] = 3;
  int8_t y[6];
  octet_tensor ty = octet_mat(OCTET_S8, y, 2, 3);
  ta.q = &qa;
  tb.q = &qb;
  ty.q = &qy;
  Exec exec;
  exec.reserve(1 << 16);
  Error err;
  ASSERT_TRUE(ok(octet_gemm(context(), nullptr, &ta, &tb, nullptr, &ty, &exec.e, &err), err));
  EXPECT_THAT(y, ElementsAre(41, -12, -9, 1, -75, -128));
}

TEST_P(Golden, OnnxMatMulInteger) {
  Layer l;
  l.m = 4;
  l.n = 2;
  l.k = 3;
  l.in_zero = {12};
  l.x = {11, 7, 3, 10, 6, 2, 9, 5, 1, 8, 4, 0};
  l.w = {1, 2, 3, 4, 5, 6};
  EXPECT_THAT(run_as<int32_t>(context(), l), ElementsAre(-38, -83, -44, -98, -50, -113, -56, -128));
}

// ---- PyTorch: Linear(2, 3), ReLU, Linear(3, 1), calibrated by min and max and converted --------

struct FloatLinear {
  int64_t n, k;
  std::vector<float> w, b;
  std::vector<float> operator()(const std::vector<float>& x) const {
    std::vector<float> y;
    for (size_t i = 0; i < x.size(); i += static_cast<size_t>(k))
      for (size_t j = 0; j < static_cast<size_t>(n); ++j) {
        float sum = b[j];
        for (size_t c = 0; c < static_cast<size_t>(k); ++c)
          sum += x[i + c] * w[j * static_cast<size_t>(k) + c];
        y.push_back(sum);
      }
    return y;
  }
};

class TorchNetwork : public Golden {
 protected:
  // What a MinMaxObserver answers for these values.
  octet_qtype calibrate(const std::vector<float>& x) {
    octet_observer_desc d = sized<octet_observer_desc>();
    octet_observer* o = nullptr;
    EXPECT_TRUE(ok(octet_observer_create(context(), &d, &o, &err_), err_));
    const octet_tensor t = octet_vec(OCTET_F32, x.data(), static_cast<int64_t>(x.size()));
    EXPECT_TRUE(ok(octet_observer_feed(o, &t, nullptr, &err_), err_));
    octet_scheme s = sized<octet_scheme>();
    s.type = OCTET_U8;
    s.chooser = OCTET_CHOOSE_TORCH_OBSERVER;
    octet_qtype q = {OCTET_U8, 0, 0};
    EXPECT_TRUE(ok(octet_observer_qparams(o, &s, &q.scale, &q.zero_point, 1, &err_), err_));
    octet_observer_destroy(o);
    return q;
  }

  Bytes layer(const FloatLinear& f, const Bytes& x, octet_qtype in, octet_qtype out, int32_t act) {
    octet_scheme s = sized<octet_scheme>();
    s.type = OCTET_S8;
    s.granularity = OCTET_PER_CHANNEL;
    s.flags = OCTET_SYMMETRIC;
    s.chooser = OCTET_CHOOSE_TORCH_OBSERVER;
    const octet_tensor source = octet_mat(OCTET_F32, f.w.data(), f.n, f.k),
                       bias = octet_vec(OCTET_F32, f.b.data(), f.n);
    const Weights w = make_weights(context(), source, &bias, &s);
    const Op op = make_op(context(), w.get(), in, out, act);
    const int64_t m = static_cast<int64_t>(x.size()) / f.k;
    Bytes y(static_cast<size_t>(m * f.n));
    Exec exec;
    EXPECT_TRUE(ok(run(op.get(), octet_mat(OCTET_U8, x.data(), m, f.k),
                       octet_mat(OCTET_U8, y.data(), m, f.n), &exec, &err_),
                   err_));
    return y;
  }

  Error err_;
};

TEST_P(TorchNetwork, EndToEnd) {
  const FloatLinear first = {3, 2, {0.5f, -1, 0.25f, 0.75f, -0.6f, 0.3f}, {0.1f, -0.2f, 0.3f}};
  const FloatLinear second = {1, 3, {1, -0.5f, 0.8f}, {0.05f}};
  const std::vector<float> x = {1, 2, -1, 0.5f, 0.3f, -2, 2, 1};
  std::vector<float> h = first(x);
  for (float& v : h) v = v > 0 ? v : 0;
  const std::vector<float> y = second(h);

  const octet_qtype qx = calibrate(x), qh = calibrate(h), qy = calibrate(y);
  EXPECT_FLOAT_EQ(qx.scale, 0.0156862754f);
  EXPECT_EQ(qx.zero_point, 127);
  EXPECT_FLOAT_EQ(qh.scale, 0.00882352982f);
  EXPECT_EQ(qh.zero_point, 0);
  EXPECT_FLOAT_EQ(qy.scale, 0.0109215677f);
  EXPECT_EQ(qy.zero_point, 44);

  Bytes xq(8);
  octet_qparams q = {};
  q.count = 1;
  q.scale = &qx.scale;
  q.zero_point = &qx.zero_point;
  const octet_tensor tx = octet_vec(OCTET_F32, x.data(), 8);
  octet_tensor tq = octet_vec(OCTET_U8, xq.data(), 8);
  tq.q = &q;
  ASSERT_TRUE(ok(octet_quantize(context(), &tx, &tq, nullptr, &err_), err_));
  EXPECT_THAT(xq, ElementsAre(191, 254, 63, 159, 146, 0, 254, 191));

  const Bytes hq = layer(first, xq, qx, qh, OCTET_RELU);
  EXPECT_THAT(hq, ElementsAre(0, 174, 34, 0, 0, 119, 253, 0, 0, 11, 118, 0));
  const Bytes yq = layer(second, hq, qh, qy, OCTET_ACT_NONE);
  EXPECT_THAT(yq, ElementsAre(0, 125, 252, 10));

  std::vector<float> real(4);
  q.scale = &qy.scale;
  q.zero_point = &qy.zero_point;
  tq = octet_vec(OCTET_U8, yq.data(), 4);
  tq.q = &q;
  const octet_tensor ty = octet_vec(OCTET_F32, real.data(), 4);
  ASSERT_TRUE(ok(octet_dequantize(context(), &tq, &ty, nullptr, &err_), err_));
  const std::vector<float> printed = {-0.480548978f, 0.884647012f, 2.27168608f, -0.371333301f};
  for (size_t i = 0; i < 4; ++i) EXPECT_FLOAT_EQ(real[i], printed[i]);
}

std::string isa_of(const testing::TestParamInfo<CappedContext>& info) { return info.param.isa; }
INSTANTIATE_TEST_SUITE_P(Isa, Golden, testing::ValuesIn(contexts()), isa_of);
INSTANTIATE_TEST_SUITE_P(Isa, TorchNetwork, testing::ValuesIn(contexts()), isa_of);

}  // namespace
}  // namespace octet_test

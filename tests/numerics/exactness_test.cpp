// SPDX-License-Identifier: Apache-2.0
//
// How long K may be. An int32 accumulator holds every sum up to a K that follows from the types;
// there the worst data is exact, one more is refused, and never is an answer wrong.
#include "tests/numerics/layer.h"

namespace octet_test {
namespace {

constexpr int64_t kU8 = 65793;          // 255 * 128 a step
constexpr int64_t kS8 = 131071;         // 128 * 128
constexpr int64_t kWeightZero = 33025;  // 255 * 255

// One row and one column of constants.
struct Worst {
  octet_type in = OCTET_U8;
  uint8_t x = 255;
  int32_t x_zero = 0;
  int8_t w = -128;
  int32_t w_zero = 0;
  octet_type w_type = OCTET_S8;
  int32_t bias = 0;
};

Layer worst_layer(const Worst& w, int64_t k) {
  Layer l;
  l.m = l.n = 1;
  l.k = k;
  l.in = w.in;
  l.x.assign(static_cast<size_t>(k), w.x);
  l.w.assign(static_cast<size_t>(k), w.w);
  l.w_type = w.w_type;
  l.in_zero = {w.x_zero};
  l.w_zero = {w.w_zero};
  if (w.bias) {
    l.bias_type = OCTET_S32;
    l.bias_i = {w.bias};
  }
  return l;
}

void expect_exact(const Worst& w, int64_t k) {
  const Layer l = worst_layer(w, k);
  const Bytes want = model(l);
  for (const CappedContext& c : contexts()) {
    EXPECT_TRUE(equal(LayerOp(c.context, l).run({}), want)) << c.isa;
    EXPECT_TRUE(equal(run_gemm(c.context, l, 1, nullptr), want)) << c.isa << ", gemm";
  }
}

void expect_refused(const Worst& w, int64_t k, int64_t limit) {
  const Layer l = worst_layer(w, k);
  octet_qparams q;
  const octet_tensor source = source_tensor(l, &q), bias = bias_tensor(l);
  const Weights weights = make_weights(best_context(), source, l.bias_type ? &bias : nullptr);
  octet_linear_desc d = sized<octet_linear_desc>();
  d.weights = weights.get();
  d.in = {l.in, 1, w.x_zero};
  d.out.type = OCTET_S32;
  octet_op* op = nullptr;
  Error err;
  EXPECT_EQ(octet_linear_create(best_context(), &d, &op, &err), OCTET_ERR_INEXACT);
  EXPECT_EQ(op, nullptr);
  EXPECT_THAT(err.text, testing::HasSubstr("up to K = " + std::to_string(limit)));

  octet_tensor a = octet_mat(l.in, l.x.data(), 1, k);
  const octet_qparams qa = call_qparams(l);
  a.q = &qa;
  int32_t y = 77;
  const octet_tensor ty = octet_mat(OCTET_S32, &y, 1, 1);
  Exec exec;
  exec.reserve(static_cast<size_t>(k) * 32 + 4096);
  EXPECT_EQ(octet_gemm(best_context(), nullptr, &a, &source, l.bias_type ? &bias : nullptr, &ty,
                       &exec.e, &err),
            OCTET_ERR_INEXACT);
  EXPECT_EQ(y, 77);
}

TEST(Exactness, UnsignedActivations) {
  const Worst w;
  expect_exact(w, kU8);
  expect_refused(w, kU8 + 1, kU8);
}

TEST(Exactness, SignedActivations) {
  Worst w;
  w.in = OCTET_S8;
  w.x = 0x80;
  expect_exact(w, kS8);
  expect_refused(w, kS8 + 1, kS8);
}

TEST(Exactness, SignedActivationsWithZeroPoint) {
  Worst w;
  w.in = OCTET_S8;
  w.x = 0x80;
  w.x_zero = 127;
  expect_exact(w, kU8);
  expect_refused(w, kU8 + 1, kU8);
}

TEST(Exactness, WeightsWithZeroPoint) {
  Worst w;
  w.w_zero = 127;
  expect_exact(w, kWeightZero);
  expect_refused(w, kWeightZero + 1, kWeightZero);
  w.in = OCTET_S8;
  w.x = 0x7F;
  w.x_zero = -128;
  w.w = 127;
  w.w_zero = -128;
  expect_exact(w, kWeightZero);
  expect_refused(w, kWeightZero + 1, kWeightZero);
}

// u8 weights whose zero points are 128 reach as far as s8 ones without; others count as 255.
TEST(Exactness, UnsignedWeights) {
  Worst w;
  w.w_type = OCTET_U8;
  w.w = 0;
  w.w_zero = 128;
  expect_exact(w, kU8);
  expect_refused(w, kU8 + 1, kU8);
  w.w_zero = 255;
  expect_exact(w, kWeightZero);
  expect_refused(w, kWeightZero + 1, kWeightZero);
  w.w = -1;  // 255
  w.w_zero = 0;
  expect_exact(w, kWeightZero);
  expect_refused(w, kWeightZero + 1, kWeightZero);
}

// 65,793 steps of 255 * 128 leave 127 to INT32_MAX.
TEST(Exactness, BiasCounts) {
  Worst w;
  w.bias = -127;
  expect_exact(w, kU8);
  w.bias = -128;
  expect_refused(w, kU8, kU8 - 1);
  expect_exact(w, kU8 - 1);
  w.bias = INT32_MIN;
  expect_refused(w, 1, 0);
  w.bias = INT32_MIN + 1;
  expect_refused(w, 1, 0);
  w.bias = INT32_MIN + 1 + 255 * 128;
  expect_exact(w, 1);
  expect_refused(w, 2, 1);
}

// Zero points that only a call or the data will tell count at their worst.
TEST(Exactness, ZeroPointsKnownOnlyAtRunTime) {
  for (const octet_type type : {OCTET_F32 + 0, OCTET_S8 + 0, OCTET_U8 + 0}) {
    for (int64_t k : {kU8, kU8 + 1}) {
      octet_tensor source = octet_mat(OCTET_S8, nullptr, 1, k);
      const float one = 1;
      octet_qparams q = {};
      q.count = 1;
      q.scale = &one;
      source.q = &q;
      octet_weights_desc wd = sized<octet_weights_desc>();
      wd.source = &source;
      wd.flags = OCTET_SHAPE_ONLY;
      octet_weights* w = nullptr;
      Error err;
      ASSERT_TRUE(ok(octet_weights_create(best_context(), &wd, nullptr, &w, &err), err));
      octet_linear_desc d = sized<octet_linear_desc>();
      d.weights = w;
      d.in.type = type;
      d.out.type = OCTET_F32;
      octet_op* op = nullptr;
      EXPECT_EQ(octet_linear_create(best_context(), &d, &op, &err),
                k == kU8 ? OCTET_OK : OCTET_ERR_INEXACT);
      octet_op_destroy(op);
      octet_weights_destroy(w);
    }
  }
}

}  // namespace
}  // namespace octet_test

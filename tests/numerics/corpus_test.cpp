// SPDX-License-Identifier: Apache-2.0
//
// Data and shapes on which int8 libraries have been wrong: pair sums that saturate 16 bits, signed
// activations as second-class citizens, empty and degenerate layers, tall and narrow matrices.
#include <math.h>

#include "tests/numerics/layer.h"

namespace octet_test {
namespace {

// Sums of one row and one column, under every instruction set.
void expect_sum(octet_type in, const std::vector<int32_t>& x, const std::vector<int32_t>& w,
                int32_t sum) {
  Layer l;
  l.m = l.n = 1;
  l.k = static_cast<int64_t>(x.size());
  l.in = in;
  for (int32_t v : x) l.x.push_back(static_cast<uint8_t>(v));
  for (int32_t v : w) l.w.push_back(static_cast<int8_t>(v));
  for (const CappedContext& c : contexts()) {
    const Bytes y = LayerOp(c.context, l).run({});
    int32_t got = 0;
    ASSERT_EQ(y.size(), sizeof got);
    memcpy(&got, y.data(), sizeof got);
    EXPECT_EQ(got, sum) << c.isa;
  }
}

// What vpmaddubsw makes of these: 32767, -32768, 32767, and a saturated pair.
TEST(Corpus, PairSumsBeyond16Bits) {
  expect_sum(OCTET_U8, {255, 255}, {127, 127}, 64770);
  expect_sum(OCTET_U8, {255, 255}, {-128, -128}, -65280);
  expect_sum(OCTET_U8, {127, 127}, {-128, -128}, -32512);
  expect_sum(OCTET_U8, {211, 171}, {71, 107}, 33278);
  expect_sum(OCTET_U8, {210, 198, 234}, {-81, -80, 127}, -3132);
  expect_sum(OCTET_S8, {-128, -128}, {-128, -128}, 32768);
  expect_sum(OCTET_S8, {-128, -128, -128, -128}, {-128, -128, -128, -128}, 65536);
}

// A pointwise convolution, as one position of it.
TEST(Corpus, SignedInputOfFiftyAndWeightsNearTheBound) {
  std::vector<int32_t> x(64, 50), w(64, -128);
  w[0] = -87;
  expect_sum(OCTET_S8, x, w, 50 * (63 * -128 - 87));
}

// Constant rows at the bounds of their type against constant columns at theirs, for every K.
TEST(Corpus, ExtremesOverAllLengths) {
  constexpr int64_t kMost = 4096, kRows = 15;
  const std::vector<int8_t> columns = {127, -127, -128};
  std::vector<int8_t> b(columns.size() * kMost);
  for (size_t j = 0; j < columns.size(); ++j)
    std::fill_n(b.begin() + static_cast<int64_t>(j) * kMost, kMost, columns[j]);
  struct Constant {
    octet_type type;
    int32_t x;
  };
  for (const Constant& a : {Constant{OCTET_U8, 255}, {OCTET_S8, -128}, {OCTET_S8, 127}}) {
    const Bytes rows(kRows * kMost, static_cast<uint8_t>(a.x));
    for (const CappedContext& c : contexts()) {
      Exec exec;
      exec.reserve(1 << 20);
      const int64_t step = c.isa == "scalar" ? 61 : effort() < 100 ? 37 : 1;
      for (int64_t k = 1; k <= kMost; k += step) {
        octet_tensor ta = octet_mat(a.type, rows.data(), kRows, k);
        octet_tensor tb = octet_mat(OCTET_S8, b.data(), 3, k);
        tb.strides[0] = kMost;
        tb.strides[1] = 1;
        int32_t y[kRows * 3];
        const octet_tensor ty = octet_mat(OCTET_S32, y, kRows, 3);
        Error err;
        ASSERT_TRUE(ok(octet_gemm(c.context, nullptr, &ta, &tb, nullptr, &ty, &exec.e, &err), err));
        for (int64_t i = 0; i < kRows * 3; ++i)
          ASSERT_EQ(y[i], a.x * columns[static_cast<size_t>(i % 3)] * static_cast<int32_t>(k))
              << c.isa << ", K = " << k;
      }
    }
  }
}

// s8 activations are u8 activations with another zero point, to the last bit.
TEST(Corpus, SignedAndUnsignedActivationsAreEquals) {
  Rng rng(4);
  for (int i = 0; i < scaled(100); ++i) {
    Layer l = random_layer(&rng);
    if (is_dynamic(l.mode)) continue;
    for (const CappedContext& c : contexts()) {
      const Bytes y = LayerOp(c.context, l).run({});
      Layer other = l;
      other.in = l.in == OCTET_U8 ? OCTET_S8 : OCTET_U8;
      for (uint8_t& x : other.x) x ^= 0x80;
      for (int32_t& z : other.in_zero) z += l.in == OCTET_U8 ? -128 : 128;
      ASSERT_TRUE(equal(LayerOp(c.context, other).run({}), y)) << c.isa << ": " << describe(l);
    }
  }
}

// u8 weights are s8 weights with another zero point, to the last bit; 128 is s8's 0.
TEST(Corpus, SignedAndUnsignedWeightsAreEquals) {
  Rng rng(14);
  for (int i = 0; i < scaled(150); ++i) {
    const Layer l = random_u8_layer(&rng), other = with_other_weights(l);
    const Bytes want = model(l);
    for (const CappedContext& c : contexts()) {
      ASSERT_TRUE(equal(LayerOp(c.context, l).run({}), want)) << c.isa << ": " << describe(l);
      ASSERT_TRUE(equal(LayerOp(c.context, other).run({}), want)) << c.isa << ": " << describe(l);
      if (is_dynamic(l.mode)) continue;
      ASSERT_TRUE(equal(run_gemm(c.context, l, 2, &rng), want)) << c.isa << ": " << describe(l);
    }
  }
}

// No qparams: u8 of scale 1 and zero point 0, whose weights count up to 255.
TEST(Corpus, PlainUnsignedProducts) {
  const std::vector<uint8_t> x = {255, 254, 3, 0, 77}, w = {255, 255, 1, 200, 128};
  const octet_tensor a = octet_mat(OCTET_U8, x.data(), 1, 5),
                     b = octet_mat(OCTET_U8, w.data(), 1, 5);
  for (const CappedContext& c : contexts()) {
    int32_t sum = 0;
    const octet_tensor y = octet_mat(OCTET_S32, &sum, 1, 1);
    Exec exec;
    exec.reserve(1 << 14);
    Error err;
    ASSERT_TRUE(ok(octet_gemm(c.context, nullptr, &a, &b, nullptr, &y, &exec.e, &err), err));
    EXPECT_EQ(sum, 255 * 255 + 254 * 255 + 3 + 77 * 128) << c.isa;
  }
}

struct Shape {
  int64_t m, n, k;
};

// Each row is checked for itself: some against the model, all against the other instruction sets.
TEST(Corpus, ShapesFromReports) {
  Rng rng(5);
  for (const Shape& s : {Shape{16, 768, 768},
                         {1024, 768, 768},
                         {1, 1024, 4096},
                         {2, 1024, 4096},
                         {4, 1024, 4096},
                         {2048, 13, 512},
                         {4096, 256, 256},
                         {5000, 256, 256}}) {
    Layer l;
    l.m = effort() < 100 && s.m > 40 ? 40 : s.m;
    l.n = s.n;
    l.k = s.k;
    l.in_scale = {0.02f};
    l.in_zero = {128};
    l.w_scale = {0.01f};
    l.out = {OCTET_U8, 0.02f * 0.01f * 5000 / 40 * sqrtf(static_cast<float>(s.k)), 100};
    for (int64_t i = 0; i < l.m * l.k; ++i) l.x.push_back(static_cast<uint8_t>(rng.next()));
    for (int64_t i = 0; i < l.n * l.k; ++i) l.w.push_back(static_cast<int8_t>(rng.next()));
    Layer few = l;
    const int64_t stride = l.m > 8 ? l.m / 8 + 1 : 1;
    few.x.clear();
    few.m = 0;
    for (int64_t i = 0; i < l.m; i += stride, ++few.m)
      few.x.insert(few.x.end(), l.x.begin() + i * l.k, l.x.begin() + (i + 1) * l.k);
    const Bytes want = model(few);
    uint64_t hash = 0;
    for (const CappedContext& c : contexts()) {
      SCOPED_TRACE(c.isa + ": " + describe(l));
      const Bytes y = LayerOp(c.context, l).run(on_threads(2));
      Bytes sample;
      for (int64_t i = 0; i < l.m; i += stride)
        sample.insert(sample.end(), y.begin() + i * l.n, y.begin() + (i + 1) * l.n);
      ASSERT_TRUE(equal(sample, want));
      const uint64_t h = hash_bytes(y.data(), y.size());
      ASSERT_TRUE(!hash || h == hash);
      hash = h;
    }
  }
}

// No rows, no columns, no K, in every combination and mode: no fault, and with K = 0 the bias.
TEST(Corpus, EmptyLayers) {
  for (const CappedContext& c : contexts())
    for (int64_t m : {0, 3})
      for (int64_t n : {0, 5})
        for (int64_t k : {0, 7})
          for (Mode mode : {Mode::kStatic, Mode::kCall, Mode::kDynamicRow, Mode::kDynamicTensor}) {
            Layer l;
            l.m = m;
            l.n = n;
            l.k = k;
            l.mode = mode;
            l.scheme.type = OCTET_U8;
            l.scheme.granularity = mode == Mode::kDynamicTensor ? OCTET_PER_TENSOR : OCTET_PER_ROW;
            l.out = {OCTET_F32, 0, 0};
            l.bias_type = OCTET_F32;
            l.bias_f.assign(static_cast<size_t>(n), 0.25f);
            l.x.assign(static_cast<size_t>(m * k), 3);
            l.xf.assign(static_cast<size_t>(m * k), 3.0f);
            l.w.assign(static_cast<size_t>(n * k), -5);
            const Bytes y = LayerOp(c.context, l).run(on_threads(3));
            EXPECT_TRUE(equal(y, model(l))) << describe(l);
            if (is_dynamic(mode)) continue;
            EXPECT_TRUE(equal(run_gemm(c.context, l, 1, nullptr), y));
          }
}

// All-zero channels and rows have scale 1, and the answer is the bias.
TEST(Corpus, AllZeroWeightsAndActivations) {
  const std::vector<float> w(3 * 5, 0.0f), x(2 * 5, 0.0f), b = {1, -2, 0.5f};
  const octet_tensor source = octet_mat(OCTET_F32, w.data(), 3, 5),
                     bias = octet_vec(OCTET_F32, b.data(), 3);
  for (const CappedContext& c : contexts()) {
    const Weights weights = make_weights(c.context, source, &bias);
    for (int32_t granularity : {OCTET_PER_ROW, OCTET_PER_TENSOR}) {
      octet_scheme s = sized<octet_scheme>();
      s.type = OCTET_U8;
      s.granularity = granularity;
      const Op op = make_op(c.context, weights.get(), {OCTET_F32, 0, 0}, {OCTET_F32, 0, 0},
                            OCTET_ACT_NONE, &s);
      float y[6];
      Exec exec;
      Error err;
      ASSERT_TRUE(ok(run(op.get(), octet_mat(OCTET_F32, x.data(), 2, 5),
                         octet_mat(OCTET_F32, y, 2, 3), &exec, &err),
                     err));
      EXPECT_THAT(y, testing::ElementsAre(1, -2, 0.5f, 1, -2, 0.5f));
    }
  }
}

// A NaN or an infinity is a row of one NaN, whatever follows, and touches no other row.
TEST(Corpus, NonFiniteRows) {
  Layer l;
  l.m = 5;
  l.n = 70;
  l.k = 33;
  l.mode = Mode::kDynamicRow;
  l.scheme.type = OCTET_U8;
  l.scheme.granularity = OCTET_PER_ROW;
  l.out = {OCTET_F32, 0, 0};
  l.act = OCTET_RELU6;
  Rng rng(6);
  for (int64_t i = 0; i < l.m * l.k; ++i) l.xf.push_back(rng.unit() - 0.5f);
  for (int64_t i = 0; i < l.n * l.k; ++i) l.w.push_back(static_cast<int8_t>(rng.next()));
  l.xf[1 * 33 + 32] = -__builtin_nanf("5");
  l.xf[2 * 33 + 0] = __builtin_inff();
  l.xf[4 * 33 + 7] = -__builtin_inff();
  for (const CappedContext& c : contexts()) {
    const Bytes y = LayerOp(c.context, l).run({});
    EXPECT_TRUE(equal(y, model(l))) << c.isa;
    Layer tensor = l;
    tensor.mode = Mode::kDynamicTensor;
    tensor.scheme.granularity = OCTET_PER_TENSOR;
    const Bytes all = LayerOp(c.context, tensor).run({});
    for (size_t i = 0; i < all.size(); i += 4) {
      uint32_t bits;
      memcpy(&bits, all.data() + i, 4);
      ASSERT_EQ(bits, 0x7FC00000u) << c.isa;
    }
  }
}

}  // namespace
}  // namespace octet_test

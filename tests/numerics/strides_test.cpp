// SPDX-License-Identifier: Apache-2.0
//
// Memory layouts of the caller: weights are read through any strides and packed to the bytes of
// their dense copy; activations may have gaps between rows, but not between channels.
#include "tests/numerics/layer.h"

namespace octet_test {
namespace {

Bytes pack(const octet_tensor& source, const octet_tensor* bias = nullptr) {
  octet_weights_desc d = sized<octet_weights_desc>();
  d.source = &source;
  d.bias = bias;
  Error err;
  size_t bytes = 0;
  EXPECT_TRUE(ok(octet_weights_bytes(best_context(), &d, &bytes, &err), err));
  void* blob = aligned_alloc(64, (bytes + 63) / 64 * 64);
  EXPECT_TRUE(ok(octet_weights_pack(best_context(), &d, blob, bytes, nullptr, &err), err));
  const uint8_t* p = static_cast<const uint8_t*>(blob);
  const Bytes copy(p, p + bytes);
  free(blob);
  return copy;
}

constexpr int64_t kN = 37, kK = 53;

template <class T>
struct Source {
  std::vector<T> dense = std::vector<T>(kN * kK);
  std::vector<T> memory;
  octet_tensor tensor = {};

  // Element [n, k] lies at `first` + n * sn + k * sk of a buffer of `size`.
  Source(octet_type type, int64_t size, int64_t first, int64_t sn, int64_t sk) {
    Rng rng(20);
    for (T& v : dense)
      v = type == OCTET_F32 ? static_cast<T>(rng.unit() - 0.5f) : static_cast<T>(rng.next());
    memory.assign(static_cast<size_t>(size), static_cast<T>(99));
    for (int64_t n = 0; n < kN; ++n)
      for (int64_t k = 0; k < kK; ++k)
        memory[static_cast<size_t>(first + n * sn + k * sk)] =
            dense[static_cast<size_t>(n * kK + k)];
    tensor = octet_mat(type, memory.data() + first, kN, kK);
    tensor.strides[0] = sn;
    tensor.strides[1] = sk;
  }
};

template <class T>
void expect_equal_bytes(octet_type type) {
  static const float scale = 0.02f;
  octet_qparams q = {};
  q.count = 1;
  q.scale = &scale;
  struct Layout {
    const char* name;
    int64_t size, first, sn, sk;
  };
  const Layout layouts[] = {
      {"[K,N]", kN * kK, 0, 1, kN},
      {"columns of a wider matrix", kN * (kK + 9), 4, kK + 9, 1},
      {"every third row", kN * 3 * kK, kK, 3 * kK, 1},
      {"every second element", kN * kK * 2, 1, 2 * kK, 2},
      {"rows backwards", kN * kK, (kN - 1) * kK, -kK, 1},
      {"k backwards", kN * kK, kK - 1, kK, -1},
      {"both backwards, transposed", kN * kK, kN * kK - 1, -1, -kN},
  };
  for (const Layout& l : layouts) {
    Source<T> s(type, l.size, l.first, l.sn, l.sk);
    octet_tensor dense = octet_mat(type, s.dense.data(), kN, kK);
    if (type == OCTET_S8) s.tensor.q = dense.q = &q;
    EXPECT_TRUE(equal(pack(s.tensor), pack(dense))) << l.name;
  }
}

TEST(Strides, WeightsPackToTheBytesOfADenseCopy) {
  expect_equal_bytes<float>(OCTET_F32);
  expect_equal_bytes<int8_t>(OCTET_S8);
}

TEST(Strides, BiasOfAnyStride) {
  const Source<float> s(OCTET_F32, kN * kK, 0, kK, 1);
  std::vector<float> dense(kN), apart(kN * 3);
  for (size_t i = 0; i < kN; ++i) dense[i] = apart[(kN - 1 - i) * 3] = static_cast<float>(i) - 3.5f;
  const octet_tensor plain = octet_vec(OCTET_F32, dense.data(), kN);
  octet_tensor backwards = octet_vec(OCTET_F32, apart.data() + (kN - 1) * 3, kN);
  backwards.strides[0] = -3;
  EXPECT_TRUE(equal(pack(s.tensor, &backwards), pack(s.tensor, &plain)));
}

class StridedActivations : public testing::Test {
 protected:
  StridedActivations() : w_(8 * 6, 0.5f), x_(1000), y_(1000, 0xEE) {
    weights_ = make_weights(best_context(), octet_mat(OCTET_F32, w_.data(), 8, 6));
    op_ = make_op(best_context(), weights_.get(), {OCTET_U8, 0.1f, 3}, {OCTET_U8, 0.1f, 5});
  }
  void expect_refused(const octet_tensor& x, const octet_tensor& y, const char* sentence) {
    Exec exec;
    exec.reserve(1 << 16);
    Error err;
    EXPECT_EQ(octet_op_run(op_.get(), &x, 1, &y, 1, &exec.e, &err), OCTET_ERR_ARGUMENT);
    EXPECT_THAT(err.text, testing::HasSubstr(sentence));
    EXPECT_EQ(y_, Bytes(1000, 0xEE)) << "refused, but written";
  }
  std::vector<float> w_;
  Bytes x_, y_;
  Weights weights_;
  Op op_;
};

TEST_F(StridedActivations, ChannelsMustBeInnermost) {
  octet_tensor x = octet_nhwc(OCTET_U8, x_.data(), 1, 2, 3, 6);
  const octet_tensor y = octet_nhwc(OCTET_U8, y_.data(), 1, 2, 3, 8);
  x.strides[0] = 36;  // NCHW
  x.strides[1] = 3;
  x.strides[2] = 1;
  x.strides[3] = 6;
  expect_refused(x, y, "the innermost stride must be 1 (channels last, NHWC)");
}

TEST_F(StridedActivations, OutputRowsMustNotOverlap) {
  const octet_tensor x = octet_mat(OCTET_U8, x_.data(), 3, 6);
  octet_tensor y = octet_mat(OCTET_U8, y_.data(), 3, 8);
  y.strides[0] = 7;
  y.strides[1] = 1;
  expect_refused(x, y, "rows overlap");
}

TEST_F(StridedActivations, NegativeStridesAreForWeights) {
  octet_tensor x = octet_mat(OCTET_U8, x_.data() + 100, 3, 6);
  x.strides[0] = -6;
  x.strides[1] = 1;
  expect_refused(x, octet_mat(OCTET_U8, y_.data(), 3, 8), "must not be negative");
}

// Rows of an input may share memory: a sliding window, and one row for all.
TEST_F(StridedActivations, InputRowsMayOverlap) {
  Rng rng(21);
  for (uint8_t& x : x_) x = static_cast<uint8_t>(rng.next());
  for (int64_t step : {0, 1, 2}) {
    octet_tensor window = octet_mat(OCTET_U8, x_.data(), 40, 6);
    window.strides[0] = step;
    window.strides[1] = 1;
    Bytes rows;
    for (int64_t i = 0; i < 40; ++i)
      rows.insert(rows.end(), x_.begin() + i * step, x_.begin() + i * step + 6);
    Bytes got(40 * 8), want(40 * 8);
    Exec exec;
    Error err;
    ASSERT_TRUE(
        ok(run(op_.get(), window, octet_mat(OCTET_U8, got.data(), 40, 8), &exec, &err), err));
    ASSERT_TRUE(ok(run(op_.get(), octet_mat(OCTET_U8, rows.data(), 40, 6),
                       octet_mat(OCTET_U8, want.data(), 40, 8), &exec, &err),
                   err));
    EXPECT_TRUE(equal(got, want)) << "step " << step;
  }
}

}  // namespace
}  // namespace octet_test

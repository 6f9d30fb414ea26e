// SPDX-License-Identifier: Apache-2.0
//
// Folding of batch normalization: the golden vector, the order of operations bit for bit, weights
// of every order of dims, and what is refused before anything is written.
#include "tests/quant/support.h"

namespace octet_test {
namespace {

// The parameters of `channels` channels, every one different.
struct Norm {
  std::vector<float> gamma, beta, mean, var;
  octet_tensor g, b, m, v;
  octet_norm_desc desc = {};

  explicit Norm(int64_t channels) {
    std::mt19937 rng(7);
    std::uniform_real_distribution<float> any(-2, 2);
    for (int64_t i = 0; i < channels; ++i) {
      gamma.push_back(any(rng));
      beta.push_back(any(rng));
      mean.push_back(any(rng));
      var.push_back(std::abs(any(rng)));
    }
    g = octet_vec(OCTET_F32, gamma.data(), channels);
    b = octet_vec(OCTET_F32, beta.data(), channels);
    m = octet_vec(OCTET_F32, mean.data(), channels);
    v = octet_vec(OCTET_F32, var.data(), channels);
    desc.struct_size = sizeof desc;
    desc.kind = OCTET_NORM_BATCH;
    desc.gamma = &g;
    desc.beta = &b;
    desc.mean = &m;
    desc.var = &v;
  }
  // The formula, written a second time.
  float weight(size_t c, float w) const {
    const float shifted = var[c] + 1e-5f;
    const float root = std::sqrt(shifted);
    const float rate = 1.0f / root;
    const float factor = gamma[c] * rate;
    return w * factor;
  }
  float bias(size_t c, float old) const {
    const float shifted = var[c] + 1e-5f;
    const float rate = 1.0f / std::sqrt(shifted);
    const float centred = old - mean[c];
    const float scaled = centred * rate;
    const float stretched = scaled * gamma[c];
    return stretched + beta[c];
  }
};

std::vector<float> ramp(size_t n, float first) {
  std::vector<float> v(n);
  for (size_t i = 0; i < n; ++i) v[i] = first + 0.37f * static_cast<float>(i);
  return v;
}

TEST(Fold, GoldenVector) {
  float w[] = {0.5f, -1}, bias[] = {0.1f};
  Norm n(1);
  n.gamma = {1.5f};
  n.beta = {0.2f};
  n.mean = {0.3f};
  n.var = {0.25f};
  n.g.data = n.gamma.data();
  n.b.data = n.beta.data();
  n.m.data = n.mean.data();
  n.v.data = n.var.data();
  n.desc.eps = 1e-5f;
  const octet_tensor weight = octet_mat(OCTET_F32, w, 1, 2), b = octet_vec(OCTET_F32, bias, 1);
  octet_error err = {};
  ASSERT_EQ(octet_fold_batchnorm(&n.desc, &weight, &b, &err), OCTET_OK) << err.text;
  EXPECT_EQ(bits(w[0]), bits(1.49996996f));
  EXPECT_EQ(bits(w[1]), bits(-2.99993992f));
  EXPECT_EQ(bits(bias[0]), bits(-0.399988055f));
}

// Channels on axis 0 in any order of dims: what lies where follows from the strides alone.
TEST(Fold, ConvolutionInAnyOrder) {
  constexpr int64_t kO = 5, kH = 3, kW = 2, kI = 4;
  const int64_t orders[][4] = {{kH * kW * kI, kW * kI, kI, 1},   // OHWI
                               {kI * kH * kW, kW, 1, kH * kW},   // OIHW
                               {1, kW * kI * kO, kI * kO, kO}};  // HWIO
  for (const auto& strides : orders) {
    Norm n(kO);
    std::vector<float> w = ramp(kO * kH * kW * kI, -3), bias = ramp(kO, 1);
    const std::vector<float> old = w, old_bias = bias;
    octet_tensor weight = octet_nhwc(OCTET_F32, w.data(), kO, kH, kW, kI);
    for (int i = 0; i < 4; ++i) weight.strides[i] = strides[i];
    const octet_tensor b = octet_vec(OCTET_F32, bias.data(), kO);
    octet_error err = {};
    ASSERT_EQ(octet_fold_batchnorm(&n.desc, &weight, &b, &err), OCTET_OK) << err.text;
    for (int64_t o = 0; o < kO; ++o) {
      const size_t c = static_cast<size_t>(o);
      EXPECT_EQ(bits(bias[c]), bits(n.bias(c, old_bias[c])));
      for (int64_t i = 0; i < kH * kW * kI; ++i) {
        const size_t at = static_cast<size_t>(o * strides[0] + i / (kW * kI) * strides[1] +
                                              i / kI % kW * strides[2] + i % kI * strides[3]);
        EXPECT_EQ(bits(w[at]), bits(n.weight(c, old[at])));
      }
    }
  }
}

// Transposed convolution: [I, O / groups, k], where part g of I belongs to channels g * O / groups
// on.
TEST(Fold, TransposedConvolutionWithGroups) {
  constexpr int64_t kI = 6, kPer = 3, kTaps = 4;
  for (const int32_t groups : {0, 1, 2, 3, 6}) {
    const int64_t parts = groups ? groups : 1;
    Norm n(kPer * parts);
    n.desc.axis = groups == 2 ? -2 : 1;
    n.desc.groups = groups;
    std::vector<float> w = ramp(kI * kPer * kTaps, -9);
    std::vector<float> bias = ramp(static_cast<size_t>(kPer * parts), 0);
    const std::vector<float> old = w;
    octet_tensor weight = octet_view(OCTET_F32, w.data(), 3, kI, kPer, kTaps, 0);
    const octet_tensor b = octet_vec(OCTET_F32, bias.data(), kPer * parts);
    octet_error err = {};
    ASSERT_EQ(octet_fold_batchnorm(&n.desc, &weight, &b, &err), OCTET_OK) << err.text;
    for (int64_t i = 0; i < kI * kPer * kTaps; ++i) {
      const int64_t in = i / (kPer * kTaps), out = i / kTaps % kPer;
      const size_t c = static_cast<size_t>(in / (kI / parts) * kPer + out);
      const size_t at = static_cast<size_t>(i);
      EXPECT_EQ(bits(w[at]), bits(n.weight(c, old[at]))) << groups << " groups, " << i;
    }
  }
}

TEST(Fold, GammaAndBetaMayBeAbsent) {
  Norm n(3);
  n.desc.gamma = n.desc.beta = nullptr;
  std::vector<float> w = ramp(6, 1), bias = ramp(3, -1);
  const std::vector<float> old = bias;
  const octet_tensor weight = octet_mat(OCTET_F32, w.data(), 3, 2),
                     b = octet_vec(OCTET_F32, bias.data(), 3);
  ASSERT_EQ(octet_fold_batchnorm(&n.desc, &weight, &b, nullptr), OCTET_OK);
  n.gamma.assign(3, 1);
  n.beta.assign(3, 0);
  for (size_t c = 0; c < 3; ++c) EXPECT_EQ(bits(bias[c]), bits(n.bias(c, old[c])));
}

TEST(Fold, NoChannelIsNothing) {
  Norm n(0);
  octet_tensor none = octet_mat(OCTET_F32, nullptr, 0, 4), b = octet_vec(OCTET_F32, nullptr, 0);
  EXPECT_EQ(octet_fold_batchnorm(&n.desc, &none, &b, nullptr), OCTET_OK);
}

class FoldRefusal : public testing::Test {
 protected:
  Norm n{4};
  std::vector<float> w = ramp(12, -2), bias = ramp(4, 1);
  octet_tensor weight = octet_mat(OCTET_F32, w.data(), 4, 3);
  octet_tensor b = octet_vec(OCTET_F32, bias.data(), 4);

  // Refused with this status, a sentence that has `part`, and nothing written.
  void refuse(octet_status status, const std::string& part) {
    const std::vector<float> old_w = w, old_bias = bias;
    octet_error err = {};
    EXPECT_EQ(octet_fold_batchnorm(&n.desc, &weight, &b, &err), status) << err.text;
    EXPECT_NE(std::string(err.text).find(part), std::string::npos) << err.text;
    EXPECT_EQ(memcmp(w.data(), old_w.data(), 12 * sizeof(float)), 0);
    EXPECT_EQ(memcmp(bias.data(), old_bias.data(), 4 * sizeof(float)), 0);
    EXPECT_EQ(octet_fold_batchnorm(&n.desc, &weight, &b, nullptr), status);
  }
};

TEST_F(FoldRefusal, Descriptors) {
  octet_error err = {};
  EXPECT_EQ(octet_fold_batchnorm(nullptr, &weight, &b, &err), OCTET_ERR_ARGUMENT);
  n.desc.kind = OCTET_NORM_LAYER;
  refuse(OCTET_ERR_ARGUMENT, "kind is 1");
  n.desc.kind = OCTET_NORM_BATCH;
  n.desc.flags = 1;
  refuse(OCTET_ERR_ARGUMENT, "octet_norm_desc.flags");
  n.desc.flags = 0;
  n.desc.out.type = OCTET_U8;
  refuse(OCTET_ERR_ARGUMENT, "out must be all 0");
  n.desc.out.type = 0;
  for (const float eps : {-1.0f, kNan, kInf}) {
    n.desc.eps = eps;
    refuse(OCTET_ERR_ARGUMENT, "eps");
  }
  n.desc.eps = 0;
  n.desc.groups = 2;
  refuse(OCTET_ERR_ARGUMENT, "groups is 2");
  n.desc.groups = -1;
  refuse(OCTET_ERR_ARGUMENT, "groups is -1");
  n.desc.groups = 0;
  n.desc.axis = 2;
  refuse(OCTET_ERR_ARGUMENT, "axis is 2");
  n.desc.axis = 1;
  n.desc.groups = 3;
  refuse(OCTET_ERR_ARGUMENT, "dims[0] = 4");
}

TEST_F(FoldRefusal, Shapes) {
  b.dims[0] = 3;
  refuse(OCTET_ERR_ARGUMENT, "bias must be [4]");
  b.dims[0] = 4;
  n.v.dims[0] = 5;
  refuse(OCTET_ERR_ARGUMENT, "octet_norm_desc.var must be [4]");
  n.v.dims[0] = 4;
  n.desc.mean = nullptr;
  refuse(OCTET_ERR_ARGUMENT, "octet_norm_desc.mean is NULL");
  n.desc.mean = &n.m;
  weight.strides[0] = 2;
  weight.strides[1] = 1;
  refuse(OCTET_ERR_ARGUMENT, "elements overlap");
  weight.strides[0] = 0;
  refuse(OCTET_ERR_ARGUMENT, "elements overlap");
  weight = octet_vec(OCTET_F32, w.data(), 4);
  refuse(OCTET_ERR_ARGUMENT, "weight.rank is 1");
  weight = octet_mat(OCTET_S8, w.data(), 4, 3);
  refuse(OCTET_ERR_ARGUMENT, "weight.type");
}

TEST_F(FoldRefusal, Overlaps) {
  b.data = w.data();
  refuse(OCTET_ERR_ARGUMENT, "weight overlaps bias");
  b.data = n.mean.data();
  refuse(OCTET_ERR_ARGUMENT, "bias overlaps octet_norm_desc.mean");
}

TEST_F(FoldRefusal, Values) {
  n.var[2] = -0.5f;
  refuse(OCTET_ERR_ARGUMENT, "var[2] is -0.5");
  n.var[2] = kNan;
  refuse(OCTET_ERR_NOT_FINITE, "var[2]");
  n.var[2] = 1;
  n.gamma[3] = kInf;
  refuse(OCTET_ERR_NOT_FINITE, "gamma[3]");
  n.gamma[3] = 1;
  bias[1] = kInf;
  refuse(OCTET_ERR_NOT_FINITE, "bias[1]");
  bias[1] = 0;
  w[11] = kNan;
  refuse(OCTET_ERR_NOT_FINITE, "channel 3");
  w[11] = 3e38f;
  n.gamma[3] = 2;
  refuse(OCTET_ERR_NOT_FINITE, "channel 3");
}

}  // namespace
}  // namespace octet_test

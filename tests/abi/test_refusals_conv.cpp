// SPDX-License-Identifier: Apache-2.0
//
// Refusals of convolution ops: create, and the verbs that take images.
#include "support.h"

namespace contract {
namespace {

// Weights [8, 3, 3, 4] of two groups: 8 channels of images [n, h, w, 8].
class ConvOps : public testing::Test {
 protected:
  ConvOps() {
    g_.rank = g_.groups = 2;
    for (int i = 0; i < 2; ++i) g_.stride[i] = g_.dilation[i] = g_.pad_lo[i] = g_.pad_hi[i] = 1;
    weights_ = pack(g_);
    d_.weights = weights_.get();
    d_.in = {OCTET_U8, 0.1f, 3};
    d_.out = {OCTET_U8, 0.2f, 5};
    x_ = octet_nhwc(OCTET_U8, in_, 1, 5, 5, 8);
    y_ = octet_nhwc(OCTET_U8, out_, 1, 5, 5, 8);
    exec_.workspace = space_;
    exec_.workspace_bytes = sizeof space_;
  }
  Weights pack(const octet_geometry& g) {
    std::vector<float> values(8 * 3 * 3 * 4, 0.5f);
    octet_tensor source = octet_nhwc(OCTET_F32, values.data(), 8, 3, 3, 4);
    octet_weights_desc wd = sized<octet_weights_desc>();
    wd.source = &source;
    wd.geometry = &g;
    octet_weights* w = nullptr;
    octet_error e{};
    EXPECT_EQ(octet_weights_create(context_.get(), &wd, nullptr, &w, &e), OCTET_OK) << e.text;
    return Weights(w);
  }
  octet_status create(octet_error* err) {
    octet_op* op = nullptr;
    const octet_status status = octet_conv_create(context_.get(), &d_, &g_, &op, err);
    EXPECT_EQ(status == OCTET_OK, op != nullptr);
    op_.reset(op);
    return status;
  }
  octet_status run(octet_error* err) {
    return octet_op_run(op_.get(), &x_, 1, &y_, 1, &exec_, err);
  }

  Context context_ = make_context();
  octet_geometry g_ = sized<octet_geometry>();
  Weights weights_;
  octet_linear_desc d_ = sized<octet_linear_desc>();
  Op op_;
  unsigned char in_[4096] = {}, out_[4096] = {};
  alignas(64) unsigned char space_[1 << 20] = {};
  octet_tensor x_, y_;
  octet_exec exec_ = sized<octet_exec>();
};

// Windows that the depthwise kernels could not number.
TEST_F(ConvOps, DepthwiseReach) {
  std::vector<float> values(8 * 3 * 3, 0.5f);
  octet_tensor source = octet_nhwc(OCTET_F32, values.data(), 8, 3, 3, 1);
  octet_weights_desc wd = sized<octet_weights_desc>();
  g_.groups = 8;
  wd.source = &source;
  wd.geometry = &g_;
  octet_weights* w = nullptr;
  octet_error e{};
  ASSERT_EQ(octet_weights_create(context_.get(), &wd, nullptr, &w, &e), OCTET_OK) << e.text;
  const Weights owner(w);
  d_.weights = w;
  g_.pad_lo[1] = g_.pad_hi[1] = INT32_MAX;
  EXPECT_ACCEPTED(create(err));
  g_.dilation[1] = INT32_MAX;
  EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, create(err), "octet_geometry.dilation[1] is 2147483647");
}

TEST_F(ConvOps, Create) {
  EXPECT_ACCEPTED(create(err));
  octet_op* op = nullptr;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_conv_create(nullptr, &d_, &g_, &op, err), "c is NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_conv_create(context_.get(), nullptr, &g_, &op, err),
                 "d is NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_conv_create(context_.get(), &d_, nullptr, &op, err),
                 "g is NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_conv_create(context_.get(), &d_, &g_, nullptr, err),
                 "out is NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_linear_create(context_.get(), &d_, &op, err),
                 "octet_conv_create");
}

TEST_F(ConvOps, GeometryUnlikeTheWeights) {
  const octet_geometry good = g_;
  g_.rank = 1;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, create(err), "octet_geometry.rank is 1", "packed for 2");
  g_ = good;
  g_.groups = 4;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, create(err), "octet_geometry.groups is 4", "packed for 2");
  g_ = good;
  g_.flags = OCTET_TRANSPOSED;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, create(err), "octet_geometry.flags is 1", "packed for 0");
  g_ = good;
  g_.flags = 2;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, create(err), "octet_geometry.flags");
  g_ = good;
  g_.stride[0] = 0;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, create(err), "octet_geometry.stride[0] is 0");
  g_ = good;
  g_.flags = OCTET_TRANSPOSED;
  weights_ = pack(g_);
  d_.weights = weights_.get();
  g_.stride[1] = 2;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, create(err), "octet_geometry.stride[1] is 2", "packed for 1");
  g_.stride[1] = 1;
  g_.dilation[0] = 3;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, create(err), "octet_geometry.dilation[0] is 3");
}

TEST_F(ConvOps, MatrixWeights) {
  float w[8] = {};
  octet_tensor source = octet_mat(OCTET_F32, w, 2, 4);
  octet_weights_desc wd = sized<octet_weights_desc>();
  wd.source = &source;
  const Weights matrix = make_weights(context_.get(), wd);
  d_.weights = matrix.get();
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, create(err), "weights are a matrix", "octet_linear_create");
}

TEST_F(ConvOps, Desc) {
  unsigned char table[256] = {};
  d_.lut = table;
  EXPECT_ACCEPTED(create(err));
  d_.out = {OCTET_F32, 0, 0};
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, create(err), "octet_linear_desc.lut", "out.type is F32");
  d_.lut = nullptr;
  d_.in = {OCTET_F32, 0, 0};
  octet_scheme s = sized<octet_scheme>();
  s.type = OCTET_U8;
  d_.dynamic = &s;
  s.granularity = OCTET_PER_SAMPLE;
  EXPECT_ACCEPTED(create(err));
  for (const int32_t granularity : {OCTET_PER_ROW, OCTET_PER_CHANNEL, OCTET_PER_GROUP}) {
    s.granularity = granularity;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, create(err), "octet_scheme.granularity is",
                   "OCTET_PER_SAMPLE or OCTET_PER_TENSOR");
  }
}

TEST_F(ConvOps, Tensors) {
  EXPECT_ACCEPTED(create(err));
  EXPECT_ACCEPTED(run(err));
  const octet_tensor x = x_, y = y_;
  x_.rank = 3;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, run(err), "in[0].rank is 3", "rank 4");
  x_ = x;
  x_.dims[3] = 9;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, run(err), "in[0] has 9 channels", "have 8");
  x_ = x;
  y_.dims[1] = 6;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, run(err), "out[0].dims[1] is 6", "must be 5");
  y_ = y;
  y_.rank = 5;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, run(err), "out[0].rank is 5");
  y_ = y;
  y_.data = in_ + 8;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, run(err), "out[0]", "in[0]");
  y_ = y;
  exec_.workspace_bytes = 10;
  EXPECT_REFUSED(OCTET_ERR_TOO_SMALL, run(err), "octet_exec.workspace");
  exec_.workspace_bytes = sizeof space_;
  exec_.plan = 999;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, run(err), "octet_exec.plan is 999", "candidates");
}

TEST_F(ConvOps, ImagesTooSmall) {
  for (int i = 0; i < 2; ++i) g_.pad_lo[i] = g_.pad_hi[i] = 0;
  EXPECT_ACCEPTED(create(err));
  x_.dims[1] = 2;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, run(err), "covers 3 along dim 0", "has 2 there");
  x_.dims[0] = 0;  // nothing to do comes first
  y_.dims[0] = y_.dims[1] = 0;
  y_.dims[2] = 3;
  EXPECT_ACCEPTED(run(err));
}

TEST_F(ConvOps, TransposedExtents) {
  g_.flags = OCTET_TRANSPOSED;
  for (int i = 0; i < 2; ++i) g_.pad_lo[i] = g_.pad_hi[i] = 2;
  weights_ = pack(g_);
  d_.weights = weights_.get();
  EXPECT_ACCEPTED(create(err));
  x_.dims[1] = 1;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, run(err), "The output would have -1 indices along dim 0");
}

}  // namespace
}  // namespace contract

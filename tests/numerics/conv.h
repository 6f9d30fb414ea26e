// SPDX-License-Identifier: Apache-2.0
//
// A convolution in the words of docs/numerics.md and nothing else: for each output (transposed: for
// each input) one loop over taps and channels, int64 for integers, one rounding for each float
// operation. It shares no code with the library.
#pragma once

#include "tests/numerics/model.h"

namespace octet_test {

struct ConvLayer {
  // Image and kernel: `rank` entries count.
  int32_t rank = 2;
  int64_t batch = 1, image[3] = {}, channels = 1, outputs = 1;
  int32_t groups = 1, kernel[3] = {};
  bool transposed = false;
  int32_t stride[3] = {}, dilation[3] = {}, pad_lo[3] = {}, pad_hi[3] = {}, out_pad[3] = {};
  // Activations: integers with one scale, or one for each sample that comes with the call; or
  // floats that are quantized, with one scale for each sample or for all.
  octet_type in = OCTET_U8;
  bool call = false, dynamic = false, per_tensor = false;
  octet_scheme scheme = sized<octet_scheme>();
  std::vector<float> in_scale = {1};
  std::vector<int32_t> in_zero = {0};
  std::vector<uint8_t> x;
  std::vector<float> xf;
  // Weights [outputs][taps][channels / groups], one scale for all or for each output.
  octet_type w_type = OCTET_S8;
  std::vector<int8_t> w;
  std::vector<float> w_scale = {1};
  std::vector<int32_t> w_zero = {0};
  octet_type bias_type = 0;
  std::vector<float> bias_f;
  std::vector<int32_t> bias_i;
  octet_qtype residual = {};
  std::vector<uint8_t> r;
  // Result.
  octet_qtype out = {OCTET_S32, 0, 0};
  int32_t numerics = OCTET_NUMERICS_TORCH, act = OCTET_ACT_NONE;
  float lo = 0, hi = 0;
  std::vector<uint8_t> lut;  // empty, or 256

  int64_t taps() const;
  int64_t pixels() const;  // of an input sample
  int64_t out_extent(int dim) const;
  int64_t out_pixels() const;
  octet_geometry geometry() const;
};

// The output's elements as bytes.
Bytes conv_model(const ConvLayer& l);

enum class ConvKind { kAny, kPlain, kGrouped, kDepthwise, kTransposed, kPointwise, kSmallGroups };
ConvLayer random_conv(Rng* rng, ConvKind kind = ConvKind::kAny);
// Fills x, w, bias, residual and their qparams for the shapes that are set.
void fill_conv(Rng* rng, ConvLayer* l);
std::string describe(const ConvLayer& l);

struct ConvHow {
  int32_t threads = 1, plan = 0;
  Rng* gaps = nullptr;    // strided image, output and residual
  bool in_place = false;  // the residual, if any, is the output
  bool guarded = false;   // image and output end on a protected page
};

// An op with its weights.
class ConvOp {
 public:
  // views: the weights' source in the order [groups, outputs, ...] or with the channels first.
  ConvOp(const octet_context* c, const ConvLayer& l, Rng* views = nullptr);
  const octet_op* get() const { return op_.get(); }
  int32_t candidates() const;
  Bytes run(const ConvHow& how) const;
  std::string describe() const;

 private:
  std::vector<int64_t> image() const;
  const ConvLayer& l_;
  Weights weights_;
  Op op_;
};

}  // namespace octet_test

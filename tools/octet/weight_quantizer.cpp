// SPDX-License-Identifier: Apache-2.0
#include "weight_quantizer.h"

#include <limits>

namespace octet_cli {
namespace {

octet_tensor as_stored(octet_type type, const void* data, const Layer& layer) {
  return octet_mat(type, data, static_cast<int64_t>(layer.inputs),
                   static_cast<int64_t>(layer.outputs));
}

}  // namespace

WeightQuantizer::WeightQuantizer(size_t outputs, int bits)
    : bits_(bits),
      limit_((1 << (bits - 1)) - 1),
      min_(outputs, std::numeric_limits<float>::infinity()),
      max_(outputs, -std::numeric_limits<float>::infinity()),
      scale_(outputs),
      zero_point_(outputs) {}

void WeightQuantizer::fake_quantize(const octet_context* context, const Layer& layer,
                                    float* rounded, uint8_t* mask) {
  auto scheme = sized<octet_scheme>();
  scheme.type = OCTET_S8;
  scheme.flags = OCTET_SYMMETRIC | OCTET_NARROW;
  scheme.granularity = OCTET_PER_CHANNEL;
  scheme.axis = 1;
  auto quantizer = sized<octet_fake_quantizer>();
  quantizer.bits = bits_;
  quantizer.momentum = 1;  // the range of these weights, not of earlier ones
  quantizer.count = scale_.size();
  quantizer.scheme = &scheme;
  quantizer.run_min = min_.data();
  quantizer.run_max = max_.data();
  quantizer.scale = scale_.data();
  quantizer.zero_point = zero_point_.data();
  const octet_tensor x = as_stored(OCTET_F32, layer.weights.data(), layer);
  const octet_tensor y = as_stored(OCTET_F32, rounded, layer);
  call(octet_fake_quant_step, context, &quantizer, &x, &y, mask, nullptr);
}

std::vector<int8_t> WeightQuantizer::integers(const octet_context* context, const Layer& layer) {
  std::vector<float> rounded(layer.weights.size());
  fake_quantize(context, layer, rounded.data(), nullptr);

  std::vector<int8_t> q(layer.weights.size());
  octet_qparams params = {};
  params.count = static_cast<int64_t>(layer.outputs);
  params.axis = 1;
  params.qmin = -limit_;
  params.qmax = limit_;
  params.scale = scale_.data();
  const octet_tensor x = as_stored(OCTET_F32, layer.weights.data(), layer);
  octet_tensor y = as_stored(OCTET_S8, q.data(), layer);
  y.q = &params;
  call(octet_quantize, context, &x, &y, nullptr);
  return q;
}

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
#include "qat.h"

#include <limits>

namespace octet_cli {

Qat::Qat(const octet_context* context, int weight_bits, int activation_bits)
    : context_(context), activation_bits_(activation_bits) {
  for (size_t i = 0; i < kLayers; ++i) {
    const size_t size = kWidths[i] * kWidths[i + 1];
    weights_.emplace_back(kWidths[i + 1], weight_bits);
    rounded_[i].resize(size);
    weight_mask_[i].resize(size);
    inputs_[i].min = std::numeric_limits<float>::infinity();
    inputs_[i].max = -std::numeric_limits<float>::infinity();
  }
}

void Qat::begin_epoch(size_t epoch, size_t epochs) {
  // The last epoch trains with the very scales that will be deployed.
  frozen_ = epochs > 1 && epoch + 1 == epochs;
}

const float* Qat::weights(size_t layer, const Layer& l) {
  weights_[layer].fake_quantize(context_, l, rounded_[layer].data(), weight_mask_[layer].data());
  return rounded_[layer].data();
}

void Qat::activations(size_t layer, size_t rows, float* x) {
  Input& input = inputs_[layer];
  input.mask.resize(rows * kWidths[layer]);
  auto quantizer = sized<octet_fake_quantizer>();
  quantizer.flags = frozen_ ? OCTET_NO_OBSERVE : 0;
  quantizer.momentum = 0.05f;
  quantizer.bits = activation_bits_;
  quantizer.count = 1;
  quantizer.run_min = &input.min;
  quantizer.run_max = &input.max;
  quantizer.scale = &input.scale;
  quantizer.zero_point = &input.zero_point;
  const octet_tensor tensor =
      octet_mat(OCTET_F32, x, static_cast<int64_t>(rows), static_cast<int64_t>(kWidths[layer]));
  call(octet_fake_quant_step, context_, &quantizer, &tensor, &tensor, input.mask.data(), nullptr);
}

void Qat::weight_gradient(size_t layer, float* gradient) {
  const octet_tensor tensor = octet_mat(OCTET_F32, gradient, static_cast<int64_t>(kWidths[layer]),
                                        static_cast<int64_t>(kWidths[layer + 1]));
  call(octet_fake_quant_backward, context_, &tensor, weight_mask_[layer].data(), &tensor, nullptr);
}

void Qat::activation_gradient(size_t layer, size_t rows, float* gradient) {
  const octet_tensor tensor = octet_mat(OCTET_F32, gradient, static_cast<int64_t>(rows),
                                        static_cast<int64_t>(kWidths[layer]));
  call(octet_fake_quant_backward, context_, &tensor, inputs_[layer].mask.data(), &tensor, nullptr);
}

Activations Qat::learned() const {
  Activations activations;
  for (size_t i = 0; i < kLayers; ++i)
    activations[i] = {OCTET_U8, inputs_[i].scale, inputs_[i].zero_point};
  return activations;
}

}  // namespace octet_cli

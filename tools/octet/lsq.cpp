// SPDX-License-Identifier: Apache-2.0
#include "lsq.h"

#include <algorithm>
#include <cmath>

namespace octet_cli {
namespace {

constexpr float kRate = 0.005f;  // of the scales; a quarter of that of the weights

octet_learn_desc learn_desc(size_t elements, int32_t qmax) {
  auto desc = sized<octet_learn_desc>();
  desc.kind = OCTET_LEARN_LSQ;
  desc.grad_factor = 1.0f / std::sqrt(static_cast<float>(elements) * static_cast<float>(qmax));
  return desc;
}

octet_tensor stored(const float* data, size_t rows, size_t columns) {
  return octet_mat(OCTET_F32, data, static_cast<int64_t>(rows), static_cast<int64_t>(columns));
}

}  // namespace

Lsq::Lsq(const octet_context* context, const Mlp& mlp, const Activations& inputs, int bits)
    : context_(context),
      weight_limit_((1 << (bits - 1)) - 1),
      input_limit_((1 << bits) - 1),
      inputs_(inputs) {
  for (size_t i = 0; i < kLayers; ++i) {
    const Layer& l = mlp[i];
    rounded_[i].resize(l.weights.size());
    scale_[i].assign(l.outputs, 0.0f);
    for (size_t e = 0; e < l.weights.size(); ++e)
      scale_[i][e % l.outputs] += std::fabs(l.weights[e]);
    const float share =
        2.0f / (static_cast<float>(l.inputs) * std::sqrt(static_cast<float>(weight_limit_)));
    for (float& s : scale_[i]) s *= share;
  }
}

octet_qparams Lsq::weight_params(size_t layer) const {
  octet_qparams q = {};
  q.count = static_cast<int64_t>(kWidths[layer + 1]);
  q.axis = 1;
  q.qmin = -weight_limit_;
  q.qmax = weight_limit_;
  q.scale = scale_[layer].data();
  return q;
}

octet_qparams Lsq::input_params(size_t layer) const {
  octet_qparams q = {};
  q.count = 1;
  q.qmax = input_limit_;
  q.scale = &inputs_[layer].scale;
  q.zero_point = &inputs_[layer].zero_point;
  return q;
}

void Lsq::begin_epoch(size_t epoch, size_t epochs) {
  // Falls as that of the weights does; the last epoch trains with the scales that are deployed.
  rate_ = epoch + 1 == epochs
              ? 0.0f
              : kRate * (1.0f - static_cast<float>(epoch) / static_cast<float>(epochs));
}

const float* Lsq::weights(size_t layer, const Layer& l) {
  layer_[layer] = &l;
  const octet_learn_desc desc = learn_desc(l.weights.size(), weight_limit_);
  const octet_qparams q = weight_params(layer);
  const octet_tensor x = stored(l.weights.data(), l.inputs, l.outputs),
                     y = stored(rounded_[layer].data(), l.inputs, l.outputs);
  call(octet_fake_quant_learn, context_, &desc, &x, &q, &y, nullptr);
  return rounded_[layer].data();
}

void Lsq::activations(size_t layer, size_t rows, float* x) {
  const size_t columns = kWidths[layer];
  seen_[layer].assign(x, x + rows * columns);
  const octet_learn_desc desc = learn_desc(rows * columns, input_limit_);
  const octet_qparams q = input_params(layer);
  const octet_tensor tensor = stored(x, rows, columns);
  call(octet_fake_quant_learn, context_, &desc, &tensor, &q, &tensor, nullptr);
}

// A step keeps at least half of a scale, so that it stays positive.
void Lsq::learn(const std::vector<float>& gradient, float* scale) const {
  for (size_t i = 0; i < gradient.size(); ++i)
    scale[i] = std::max(scale[i] - rate_ * gradient[i], scale[i] / 2);
}

void Lsq::weight_gradient(size_t layer, float* gradient) {
  const Layer& l = *layer_[layer];
  const octet_learn_desc desc = learn_desc(l.weights.size(), weight_limit_);
  const octet_qparams q = weight_params(layer);
  const octet_tensor dy = stored(gradient, l.inputs, l.outputs),
                     x = stored(l.weights.data(), l.inputs, l.outputs);
  std::vector<float> change(l.outputs);
  call(octet_fake_quant_learn_backward, context_, &desc, &dy, &x, &q, &dy, change.data(), nullptr,
       change.size(), nullptr);
  learn(change, scale_[layer].data());
}

void Lsq::activation_gradient(size_t layer, size_t rows, float* gradient) {
  const size_t columns = kWidths[layer];
  const octet_learn_desc desc = learn_desc(rows * columns, input_limit_);
  const octet_qparams q = input_params(layer);
  const octet_tensor dy = stored(gradient, rows, columns),
                     x = stored(seen_[layer].data(), rows, columns);
  std::vector<float> change(1);
  call(octet_fake_quant_learn_backward, context_, &desc, &dy, &x, &q, &dy, change.data(), nullptr,
       size_t{1}, nullptr);
  learn(change, &inputs_[layer].scale);
}

LayerWeights Lsq::pack(const Mlp& mlp) const {
  LayerWeights packed;
  for (size_t i = 0; i < kLayers; ++i) {
    const Layer& l = mlp[i];
    std::vector<int8_t> q(l.weights.size());
    const octet_qparams params = weight_params(i);
    const octet_tensor x = stored(l.weights.data(), l.inputs, l.outputs);
    octet_tensor to = octet_mat(OCTET_S8, q.data(), x.dims[0], x.dims[1]);
    to.q = &params;
    call(octet_quantize, context_, &x, &to, nullptr);
    packed[i] = pack_stored(context_, l, q.data(), scale_[i].data());
  }
  return packed;
}

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
//
// Training with learned step sizes (LSQ) through the library: the scales of weights, one for each
// output, and of the layers' inputs take part in gradient descent.
#pragma once

#include <array>
#include <vector>

#include "int8_net.h"
#include "mlp.h"

namespace octet_cli {

class Lsq : public FakeQuantization {
 public:
  // Scales begin at 2 mean|w| / sqrt(qmax) for weights and as calibrated for inputs.
  Lsq(const octet_context* context, const Mlp& mlp, const Activations& inputs, int bits);

  const float* weights(size_t layer, const Layer& l) override;
  void activations(size_t layer, size_t rows, float* x) override;
  void weight_gradient(size_t layer, float* gradient) override;
  void activation_gradient(size_t layer, size_t rows, float* gradient) override;
  void begin_epoch(size_t epoch, size_t epochs) override;

  LayerWeights pack(const Mlp& mlp) const;
  Activations learned() const { return inputs_; }

 private:
  octet_qparams weight_params(size_t layer) const;
  octet_qparams input_params(size_t layer) const;
  void learn(const std::vector<float>& gradient, float* scale) const;

  const octet_context* context_;
  int32_t weight_limit_, input_limit_;
  Activations inputs_;
  std::array<std::vector<float>, kLayers> scale_, rounded_, seen_;  // seen_: inputs as they came
  std::array<const Layer*, kLayers> layer_{};
  float rate_ = 0;
};

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
//
// Quantization-aware training through the library: before each layer its weights and its input are
// fake-quantized, on the way back the straight-through estimator masks both gradients.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "int8_net.h"
#include "mlp.h"
#include "weight_quantizer.h"

namespace octet_cli {

class Qat : public FakeQuantization {
 public:
  Qat(const octet_context* context, int weight_bits, int activation_bits = 8);

  const float* weights(size_t layer, const Layer& l) override;
  void activations(size_t layer, size_t rows, float* x) override;
  void weight_gradient(size_t layer, float* gradient) override;
  void activation_gradient(size_t layer, size_t rows, float* gradient) override;
  void begin_epoch(size_t epoch, size_t epochs) override;

  // The scales that the layers' inputs were trained with.
  Activations learned() const;

 private:
  // Running range and scale of one layer's input, u8 affine.
  struct Input {
    float min, max, scale;
    int32_t zero_point;
    std::vector<uint8_t> mask;
  };

  const octet_context* context_;
  const int activation_bits_;
  std::vector<WeightQuantizer> weights_;
  std::array<Input, kLayers> inputs_;
  std::array<std::vector<float>, kLayers> rounded_;
  std::array<std::vector<uint8_t>, kLayers> weight_mask_;
  bool frozen_ = false;
};

}  // namespace octet_cli

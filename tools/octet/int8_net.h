// SPDX-License-Identifier: Apache-2.0
//
// The demo's network on the int8 kernels: three linear ops in a row, with the ReLU fused into the
// first two. Dynamic: float in, float out, each row quantized as it comes. Static: the images are
// quantized once, integers flow from layer to layer, the last one answers in float.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "api.h"
#include "mlp.h"

namespace octet_cli {

using LayerWeights = std::array<Weights, kLayers>;
using Activations = std::array<octet_qtype, kLayers>;  // what each layer reads

class Int8Net {
 public:
  static Int8Net make_dynamic(const octet_context* context, LayerWeights weights);
  static Int8Net make_static(const octet_context* context, LayerWeights weights,
                             const Activations& activations);

  void run(const float* x, size_t rows, float* logits);
  size_t model_bytes() const;             // of the packed weights, biases and scales included
  std::string kernel(size_t rows) const;  // of the first layer

 private:
  Int8Net(const octet_context* context, LayerWeights weights, const Activations& activations);
  void reserve(size_t rows);

  const octet_context* context_;
  LayerWeights weights_;
  Activations in_;  // F32: dynamic
  std::array<Op, kLayers> ops_;
  std::array<std::vector<unsigned char>, kLayers> buffer_;  // inputs of the layers
  Runner runner_;
  size_t reserved_rows_ = 0;
};

// Packed from the float layer: s8, symmetric, one scale for the tensor or one for each output.
Weights pack_weights(const octet_context* context, const Layer& layer, int32_t granularity);

// Rounded to 4 or 8 bits (-7..7, -127..127), symmetric, one scale for each output, by the same
// fake-quantizer that training uses; stored as s8.
Weights pack_fake_quantized(const octet_context* context, const Layer& layer, int bits);

// Calibration: the range of what each layer reads when the float network sees the images.
Activations calibrate(const octet_context* context, const Mlp& mlp, const Images& images);

}  // namespace octet_cli

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
using Bits = std::array<int, kLayers>;
inline constexpr Bits kEightBits = {8, 8, 8};

class Int8Net {
 public:
  static Int8Net make_dynamic(const octet_context* context, LayerWeights weights);
  // bits: of each layer's input, 2 to 8: integers 0..2^bits - 1.
  static Int8Net make_static(const octet_context* context, LayerWeights weights,
                             const Activations& activations, const Bits& bits = kEightBits);

  void run(const float* x, size_t rows, float* logits);
  // After a run of a static network: the integers that layer 1.. reads, with their qparams.
  octet_tensor input_of(size_t layer, size_t rows, octet_qparams* q) const;
  size_t model_bytes() const;             // of the packed weights, biases and scales included
  std::string kernel(size_t rows) const;  // of the first layer

 private:
  Int8Net(const octet_context* context, LayerWeights weights, const Activations& activations,
          const Bits& bits);
  void reserve(size_t rows);

  const octet_context* context_;
  LayerWeights weights_;
  Activations in_;  // F32: dynamic
  Bits bits_;
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

// From integers [outputs][inputs] of the caller's own rounding, and one scale or one for each
// output.
Weights pack_integers(const octet_context* context, const Layer& layer, const int8_t* q,
                      const std::vector<float>& scale);

// The same from integers [inputs][outputs], as layers store weights, and a scale for each output.
Weights pack_stored(const octet_context* context, const Layer& layer, const int8_t* q,
                    const float* scale);

// A layer's weights as the library's [outputs, inputs]: a transposed view, no copy.
octet_tensor weights_view(const Layer& layer);

// Calibration: the range of what each layer reads when the float network sees the images.
Activations calibrate(const octet_context* context, const Mlp& mlp, const Images& images);

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
//
// A layer's weights under the library's fake-quantizer: symmetric, one scale for each output,
// taken anew from the weights at each call. Training rounds through it and deployment takes its
// integers, so what was trained is what runs.
#pragma once

#include <cstdint>
#include <vector>

#include "api.h"
#include "mlp.h"

namespace octet_cli {

class WeightQuantizer {
 public:
  WeightQuantizer(size_t outputs, int bits);  // bits: 2 to 8

  // rounded = dequantize(quantize(weights)); mask[i] is 1 where the gradient passes.
  void fake_quantize(const octet_context* context, const Layer& layer, float* rounded,
                     uint8_t* mask);

  // The integers behind it, one a byte, as [inputs][outputs]; scale() is then theirs.
  std::vector<int8_t> integers(const octet_context* context, const Layer& layer);
  const float* scale() const { return scale_.data(); }

 private:
  int32_t bits_, limit_;
  std::vector<float> min_, max_, scale_;
  std::vector<int32_t> zero_point_;
};

}  // namespace octet_cli

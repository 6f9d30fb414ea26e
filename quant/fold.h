// SPDX-License-Identifier: Apache-2.0
//
// Batch normalization folded into the weights and bias of the layer before it
// (docs/numerics.md, "Folding"): binary32, one rounding an operation, never fused.
#pragma once

namespace octet {

// One output channel: w' = w * weight, b' = bias(b).
struct ChannelFold {
  float rate;   // 1 / sqrt(var + eps)
  float gamma;  // 1 where there is none
  float beta;   // 0 where there is none
  float mean;
  float weight;  // gamma * rate

  float bias(float b) const;
};

ChannelFold fold_channel(float gamma, float beta, float mean, float var, float eps);

}  // namespace octet

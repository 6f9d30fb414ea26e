// SPDX-License-Identifier: Apache-2.0
#include "quant/fold.h"

namespace octet {

ChannelFold fold_channel(float gamma, float beta, float mean, float var, float eps) {
  ChannelFold f = {};
  f.rate = 1.0f / __builtin_sqrtf(var + eps);
  f.gamma = gamma;
  f.beta = beta;
  f.mean = mean;
  f.weight = gamma * f.rate;
  return f;
}

float ChannelFold::bias(float b) const { return (b - mean) * rate * gamma + beta; }

}  // namespace octet

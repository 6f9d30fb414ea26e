// SPDX-License-Identifier: Apache-2.0
#include "mlp.h"

#include <algorithm>
#include <cmath>

#include "portable_math.h"
#include "sums.h"

namespace octet_cli {

Mlp make_mlp(uint64_t seed) {
  Rng rng(seed);
  Mlp mlp;
  for (size_t i = 0; i < kLayers; ++i) {
    Layer& layer = mlp[i];
    layer.inputs = kWidths[i];
    layer.outputs = kWidths[i + 1];
    layer.bias.assign(layer.outputs, 0.0f);
    layer.weights.resize(layer.inputs * layer.outputs);
    const float bound = std::sqrt(6.0f / static_cast<float>(layer.inputs));
    for (float& w : layer.weights) w = (2.0f * rng.uniform() - 1.0f) * bound;
  }
  return mlp;
}

void linear(const float* x, size_t rows, const Layer& layer, const float* weights, float* y) {
  WeightedSum sum;
  for (size_t r = 0; r < rows; ++r) {
    sum.clear();
    for (size_t k = 0; k < layer.inputs; ++k)
      sum.add(x[r * layer.inputs + k], weights + k * layer.outputs);
    std::copy(layer.bias.begin(), layer.bias.end(), y + r * layer.outputs);
    sum.into(y + r * layer.outputs, layer.outputs);
  }
}

void relu(float* x, size_t n) {
  for (size_t i = 0; i < n; ++i) x[i] = x[i] > 0.0f ? x[i] : 0.0f;
}

void FloatNet::run(const float* x, size_t rows, float* logits) {
  for (size_t i = 0; i < kLayers; ++i) {
    const Layer& layer = mlp_[i];
    const bool last = i + 1 == kLayers;
    if (!last) hidden_[i].resize(rows * layer.outputs);
    float* y = last ? logits : hidden_[i].data();
    linear(x, rows, layer, layer.weights.data(), y);
    if (!last) relu(y, rows * layer.outputs);
    x = y;
  }
}

double accuracy(const std::vector<float>& logits, const Images& images) {
  size_t right = 0;
  for (size_t i = 0; i < images.count(); ++i) {
    const float* row = logits.data() + i * kClasses;
    right += static_cast<size_t>(std::max_element(row, row + kClasses) - row) == images.labels[i];
  }
  return static_cast<double>(right) / static_cast<double>(images.count());
}

}  // namespace octet_cli

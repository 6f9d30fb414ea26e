// SPDX-License-Identifier: Apache-2.0
//
// The demo's network, 64-256-128-10 with ReLU, and its training in plain float code. Everything
// here has the same bits on every machine: each sum runs in one fixed order over elements or over
// 16 named lanes, nothing is fused, and there is no libm in it. Terms whose factor is 0 are left
// out, which halves the work: pixels and ReLU outputs are 0 more often than not.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "digits.h"

namespace octet_cli {

inline constexpr size_t kLayers = 3;
inline constexpr std::array<size_t, kLayers + 1> kWidths = {kPixels, 256, 128, kClasses};

// Weights stand as [inputs][outputs]: a row is what one input adds to all outputs.
struct Layer {
  size_t inputs = 0, outputs = 0;
  std::vector<float> weights, bias;
};

using Mlp = std::array<Layer, kLayers>;

// Uniform weights with He's variance, biases 0.
Mlp make_mlp(uint64_t seed);

// y[rows][outputs] = x[rows][inputs] * weights + bias.
void linear(const float* x, size_t rows, const Layer& layer, const float* weights, float* y);
void relu(float* x, size_t n);

// The float network: logits[rows][10] and, where hidden is given, the two hidden activations.
class FloatNet {
 public:
  explicit FloatNet(const Mlp& mlp) : mlp_(mlp) {}
  void run(const float* x, size_t rows, float* logits);
  // After run: the input of a layer 1.. (the output of the ReLU before it).
  const std::vector<float>& input_of(size_t layer) const { return hidden_[layer - 1]; }

 private:
  const Mlp& mlp_;
  std::array<std::vector<float>, kLayers - 1> hidden_;
};

// Where quantization-aware training enters the loop. Activations are changed in place, before the
// layer that reads them; the two gradients pass the straight-through estimator on their way back.
class FakeQuantization {
 public:
  virtual ~FakeQuantization() = default;
  virtual const float* weights(size_t layer, const Layer& l) = 0;
  virtual void activations(size_t layer, size_t rows, float* x) = 0;
  virtual void weight_gradient(size_t layer, float* gradient) = 0;
  virtual void activation_gradient(size_t layer, size_t rows, float* gradient) = 0;
  virtual void begin_epoch(size_t epoch, size_t epochs) = 0;
};

struct TrainOptions {
  size_t epochs = 1, batch = 32;
  float rate = 0.1f;  // falls linearly to 0
  float momentum = 0.9f;
  float decay = 0.001f;                           // of every parameter, towards 0
  uint64_t seed = 1;                              // order and shifts of the images
  FakeQuantization* fake_quantization = nullptr;  // null: plain float training
  std::function<void(double loss)> after_epoch;   // mean cross-entropy of the epoch
};

// Stochastic gradient descent with momentum on softmax cross-entropy.
void train(Mlp& mlp, const Images& images, const TrainOptions& options);

// Share of the images whose largest logit (the first of equals) is their label.
double accuracy(const std::vector<float>& logits, const Images& images);

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
//
// Backpropagation for mlp.h: one batch forward, one back, one step of momentum. Half of the images
// of a batch are shifted by a pixel, which is worth a percent of accuracy on the held-out images.
#include <algorithm>
#include <numeric>

#include "mlp.h"
#include "portable_math.h"
#include "sums.h"

namespace octet_cli {
namespace {

// Softmax of each row in place, turned into the gradient of the mean cross-entropy. Returns the
// summed loss.
double softmax_gradient(float* logits, const std::vector<uint8_t>& labels) {
  const float share = 1.0f / static_cast<float>(labels.size());
  double loss = 0;
  for (size_t r = 0; r < labels.size(); ++r) {
    float* row = logits + r * kClasses;
    const float top = *std::max_element(row, row + kClasses);
    float sum = 0;
    for (size_t c = 0; c < kClasses; ++c) sum += row[c] = exp_nonpositive(row[c] - top);
    loss -= log_positive(std::max(static_cast<double>(row[labels[r]] / sum), 1e-30));
    for (size_t c = 0; c < kClasses; ++c)
      row[c] = (row[c] / sum - (c == labels[r] ? 1.0f : 0.0f)) * share;
  }
  return loss;
}

// The image as it is, or (for half of the draws) one pixel further up, down, left or right.
void draw_image(const float* image, Rng& rng, float* to) {
  constexpr int kShift[8][2] = {{-1, 0}, {1, 0}, {0, -1}, {0, 1}, {0, 0}, {0, 0}, {0, 0}, {0, 0}};
  const int* shift = kShift[rng.below(8)];
  for (int y = 0; y < 8; ++y) {
    for (int x = 0; x < 8; ++x) {
      const int from_y = y + shift[0], from_x = x + shift[1];
      const bool inside = from_y >= 0 && from_y < 8 && from_x >= 0 && from_x < 8;
      to[y * 8 + x] = inside ? image[from_y * 8 + from_x] : 0.0f;
    }
  }
}

class Trainer {
 public:
  Trainer(Mlp& mlp, const Images& images, const TrainOptions& options)
      : mlp_(mlp), images_(images), options_(options), rng_(options.seed) {
    for (size_t i = 0; i < kLayers; ++i) {
      const Layer& layer = mlp[i];
      input_[i].resize(options.batch * layer.inputs);
      gate_[i].resize(options.batch * layer.inputs);
      input_gradient_[i].resize(options.batch * layer.inputs);
      gradient_[i].weights.resize(layer.weights.size());
      gradient_[i].bias.resize(layer.outputs);
      speed_[i].weights.resize(layer.weights.size());
      speed_[i].bias.resize(layer.outputs);
    }
    logits_.resize(options.batch * kClasses);
  }

  void run() {
    std::vector<size_t> order(images_.count());
    std::iota(order.begin(), order.end(), size_t{0});
    const size_t batches = images_.count() / options_.batch;
    const auto steps = static_cast<float>(options_.epochs * batches);
    size_t step = 0;
    for (size_t epoch = 0; epoch < options_.epochs; ++epoch) {
      if (options_.fake_quantization)
        options_.fake_quantization->begin_epoch(epoch, options_.epochs);
      for (size_t i = order.size() - 1; i > 0; --i) std::swap(order[i], order[rng_.below(i + 1)]);
      double loss = 0;
      for (size_t b = 0; b < batches; ++b, ++step) {
        gather(&order[b * options_.batch]);
        forward();
        loss += softmax_gradient(logits_.data(), labels_);
        backward();
        update(options_.rate * (1.0f - static_cast<float>(step) / steps));
      }
      if (options_.after_epoch)
        options_.after_epoch(loss / static_cast<double>(batches * options_.batch));
    }
  }

 private:
  struct Parameters {
    std::vector<float> weights, bias;
  };

  void gather(const size_t* index) {
    labels_.resize(options_.batch);
    for (size_t r = 0; r < options_.batch; ++r) {
      draw_image(images_.image(index[r]), rng_, &input_[0][r * kPixels]);
      labels_[r] = images_.labels[index[r]];
    }
  }

  void forward() {
    for (size_t i = 0; i < kLayers; ++i) {
      FakeQuantization* fake = options_.fake_quantization;
      const Layer& layer = mlp_[i];
      used_weights_[i] = fake ? fake->weights(i, layer) : layer.weights.data();
      if (fake) fake->activations(i, options_.batch, input_[i].data());
      const bool last = i + 1 == kLayers;
      float* y = last ? logits_.data() : input_[i + 1].data();
      linear(input_[i].data(), options_.batch, layer, used_weights_[i], y);
      if (last) continue;
      // The gate is ReLU's derivative; it is taken before fake-quantization rounds small values to
      // 0.
      for (size_t e = 0; e < input_[i + 1].size(); ++e) gate_[i + 1][e] = y[e] > 0.0f;
      relu(y, input_[i + 1].size());
    }
  }

  void backward() {
    const float* dy = logits_.data();
    for (size_t i = kLayers; i-- > 0;) {
      parameter_gradients(i, dy);
      if (i == 0) break;
      input_gradients(i, dy);
      dy = input_gradient_[i].data();
    }
  }

  void parameter_gradients(size_t i, const float* dy) {
    const Layer& layer = mlp_[i];
    Parameters& gradient = gradient_[i];
    std::fill(gradient.weights.begin(), gradient.weights.end(), 0.0f);
    std::fill(gradient.bias.begin(), gradient.bias.end(), 0.0f);
    for (size_t k = 0; k < layer.inputs; ++k) {
      sum_.clear();
      for (size_t r = 0; r < options_.batch; ++r)
        sum_.add(input_[i][r * layer.inputs + k], dy + r * layer.outputs);
      sum_.into(&gradient.weights[k * layer.outputs], layer.outputs);
    }
    sum_.clear();
    for (size_t r = 0; r < options_.batch; ++r) sum_.add(1.0f, dy + r * layer.outputs);
    sum_.into(gradient.bias.data(), layer.outputs);
    if (options_.fake_quantization)
      options_.fake_quantization->weight_gradient(i, gradient.weights.data());
  }

  void input_gradients(size_t i, const float* dy) {
    const Layer& layer = mlp_[i];
    for (size_t r = 0; r < options_.batch; ++r) {
      for (size_t k = 0; k < layer.inputs; ++k) {
        const size_t e = r * layer.inputs + k;
        input_gradient_[i][e] = gate_[i][e] ? dot(used_weights_[i] + k * layer.outputs,
                                                  dy + r * layer.outputs, layer.outputs)
                                            : 0.0f;
      }
    }
    if (options_.fake_quantization)
      options_.fake_quantization->activation_gradient(i, options_.batch, input_gradient_[i].data());
  }

  void update(float rate) {
    const auto step = [&](std::vector<float>& value, std::vector<float>& speed,
                          const std::vector<float>& gradient) {
      for (size_t e = 0; e < value.size(); ++e) {
        speed[e] = options_.momentum * speed[e] + (gradient[e] + options_.decay * value[e]);
        value[e] -= rate * speed[e];
      }
    };
    for (size_t i = 0; i < kLayers; ++i) {
      step(mlp_[i].weights, speed_[i].weights, gradient_[i].weights);
      step(mlp_[i].bias, speed_[i].bias, gradient_[i].bias);
    }
  }

  Mlp& mlp_;
  const Images& images_;
  const TrainOptions& options_;
  Rng rng_;
  std::array<std::vector<float>, kLayers> input_, input_gradient_;
  std::array<std::vector<uint8_t>, kLayers> gate_;
  std::array<const float*, kLayers> used_weights_{};
  std::array<Parameters, kLayers> gradient_, speed_;
  std::vector<float> logits_;
  std::vector<uint8_t> labels_;
  WeightedSum sum_;
};

}  // namespace

void train(Mlp& mlp, const Images& images, const TrainOptions& options) {
  Trainer(mlp, images, options).run();
}

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
#include "variants.h"

#include <memory>
#include <utility>

#include "int8_net.h"
#include "mlp.h"
#include "output.h"
#include "progress.h"
#include "qat.h"

namespace octet_cli {
namespace {

// Two or three seconds of training, and still no more than two minutes where a processor is
// emulated.
constexpr size_t kFloatEpochs = 40;
constexpr size_t kQatEpochs = 25;

Variant float_variant(const Mlp& mlp) {
  // The variant owns its copy of the network.
  struct Owner {
    explicit Owner(const Mlp& m) : mlp(m), net(mlp) {}
    Mlp mlp;
    FloatNet net;
  };
  auto owner = std::make_shared<Owner>(mlp);
  size_t parameters = 0;
  for (const Layer& layer : mlp) parameters += layer.weights.size() + layer.bias.size();
  return {"float", "scalar float", parameters * sizeof(float),
          [owner](const float* x, size_t rows, float* y) { owner->net.run(x, rows, y); }};
}

Variant int8_variant(std::string name, Int8Net int8, size_t rows) {
  auto net = std::make_shared<Int8Net>(std::move(int8));
  return {std::move(name), net->kernel(rows), net->model_bytes(),
          [net](const float* x, size_t n, float* y) { net->run(x, n, y); }};
}

LayerWeights pack_all(const octet_context* context, const Mlp& mlp, int32_t granularity) {
  LayerWeights weights;
  for (size_t i = 0; i < kLayers; ++i) weights[i] = pack_weights(context, mlp[i], granularity);
  return weights;
}

LayerWeights fake_quantize_all(const octet_context* context, const Mlp& mlp, int bits) {
  LayerWeights weights;
  for (size_t i = 0; i < kLayers; ++i) weights[i] = pack_fake_quantized(context, mlp[i], bits);
  return weights;
}

}  // namespace

void train_with_progress(const char* what, Mlp& mlp, const Images& images, TrainOptions options) {
  Progress progress(what, options.epochs);
  options.after_epoch = [&](double loss) { progress.step(format("loss %.4f", loss)); };
  train(mlp, images, options);
}

Mlp train_float(const Images& images, uint64_t seed) {
  Mlp mlp = make_mlp(seed);
  TrainOptions options;
  options.epochs = kFloatEpochs;
  options.seed = seed;
  train_with_progress("train float", mlp, images, options);
  return mlp;
}

std::vector<Variant> make_variants(const octet_context* context, const Mlp& mlp,
                                   const Images& images, size_t rows, uint64_t seed) {
  std::vector<Variant> variants;
  variants.push_back(float_variant(mlp));
  const auto add = [&](const char* name, Int8Net net) {
    variants.push_back(int8_variant(name, std::move(net), rows));
  };

  add("dynamic", Int8Net::make_dynamic(context, pack_all(context, mlp, OCTET_PER_CHANNEL)));
  const Activations observed = calibrate(context, mlp, images);
  add("static_per_tensor",
      Int8Net::make_static(context, pack_all(context, mlp, OCTET_PER_TENSOR), observed));
  add("static_per_channel",
      Int8Net::make_static(context, pack_all(context, mlp, OCTET_PER_CHANNEL), observed));
  add("ptq4", Int8Net::make_static(context, fake_quantize_all(context, mlp, 4), observed));

  for (const int bits : {4, 8}) {
    Mlp tuned = mlp;
    Qat qat(context, bits);
    TrainOptions options;
    options.seed = seed;
    options.epochs = kQatEpochs;
    options.rate = 0.02f;
    options.fake_quantization = &qat;
    train_with_progress(bits == 4 ? "train 4-bit weights" : "train 8-bit weights", tuned, images,
                        options);
    add(bits == 4 ? "qat4" : "qat8",
        Int8Net::make_static(context, fake_quantize_all(context, tuned, bits), qat.learned()));
  }
  return variants;
}

}  // namespace octet_cli

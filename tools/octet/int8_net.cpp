// SPDX-License-Identifier: Apache-2.0
#include "int8_net.h"

#include "weight_quantizer.h"

namespace octet_cli {
namespace {

size_t element_bytes(octet_type type) { return type == OCTET_F32 ? sizeof(float) : 1; }

// A layer's weights as the library's [outputs, inputs]: a transposed view, no copy.
octet_tensor transposed(octet_type type, const void* data, const Layer& layer) {
  octet_tensor t = octet_mat(type, data, static_cast<int64_t>(layer.outputs),
                             static_cast<int64_t>(layer.inputs));
  t.strides[0] = 1;
  t.strides[1] = static_cast<int64_t>(layer.outputs);
  return t;
}

Weights pack(const octet_context* context, const Layer& layer, const octet_tensor& source,
             const octet_scheme* scheme) {
  const octet_tensor bias =
      octet_vec(OCTET_F32, layer.bias.data(), static_cast<int64_t>(layer.outputs));
  auto desc = sized<octet_weights_desc>();
  desc.source = &source;
  desc.scheme = scheme;
  desc.bias = &bias;
  return make_weights(context, desc);
}

}  // namespace

Int8Net::Int8Net(const octet_context* context, LayerWeights weights, const Activations& in,
                 const Bits& bits)
    : context_(context), weights_(std::move(weights)), in_(in), bits_(bits) {
  for (size_t i = 0; i < kLayers; ++i) {
    const bool last = i + 1 == kLayers;
    auto desc = sized<octet_linear_desc>();
    desc.weights = weights_[i].get();
    desc.in = in_[i];
    desc.out = last ? octet_qtype{OCTET_F32, 0, 0} : in_[i + 1];
    desc.act = last ? OCTET_ACT_NONE : OCTET_RELU;
    if (!last && bits[i + 1] < 8) {  // the largest integer of fewer bits is a bound of its own
      desc.act = OCTET_CLAMP;
      desc.hi = desc.out.scale * static_cast<float>((1 << bits[i + 1]) - 1 - desc.out.zero_point);
    }
    ops_[i] = make_linear(context, desc);
  }
}

Int8Net Int8Net::make_dynamic(const octet_context* context, LayerWeights weights) {
  Activations in;
  in.fill({OCTET_F32, 0, 0});
  return Int8Net(context, std::move(weights), in, kEightBits);
}

Int8Net Int8Net::make_static(const octet_context* context, LayerWeights weights,
                             const Activations& activations, const Bits& bits) {
  return Int8Net(context, std::move(weights), activations, bits);
}

void Int8Net::reserve(size_t rows) {
  for (size_t i = 0; i < kLayers; ++i) {
    buffer_[i].resize(rows * kWidths[i] * element_bytes(in_[i].type));
    runner_.reserve(ops_[i].get(),
                    octet_mat(in_[i].type, buffer_[i].data(), static_cast<int64_t>(rows),
                              static_cast<int64_t>(kWidths[i])));
  }
  reserved_rows_ = rows;
}

void Int8Net::run(const float* x, size_t rows, float* logits) {
  const auto m = static_cast<int64_t>(rows);
  if (rows > reserved_rows_) reserve(rows);

  octet_tensor in = octet_mat(OCTET_F32, x, m, kPixels);
  if (in_[0].type != OCTET_F32) {
    octet_qparams params = {};
    params.count = 1;
    params.scale = &in_[0].scale;
    params.zero_point = &in_[0].zero_point;
    params.qmax = bits_[0] < 8 ? (1 << bits_[0]) - 1 : 0;
    octet_tensor q = octet_mat(in_[0].type, buffer_[0].data(), m, kPixels);
    q.q = &params;
    call(octet_quantize, context_, &in, &q, nullptr);
    in = q;
    in.q = nullptr;  // the op knows
  }
  for (size_t i = 0; i < kLayers; ++i) {
    const bool last = i + 1 == kLayers;
    const octet_tensor out = octet_mat(last ? OCTET_F32 : in_[i + 1].type,
                                       last ? static_cast<void*>(logits) : buffer_[i + 1].data(), m,
                                       static_cast<int64_t>(kWidths[i + 1]));
    runner_.run(ops_[i].get(), in, out);
    in = out;
  }
}

octet_tensor Int8Net::input_of(size_t layer, size_t rows, octet_qparams* q) const {
  octet_tensor t = octet_mat(in_[layer].type, buffer_[layer].data(), static_cast<int64_t>(rows),
                             static_cast<int64_t>(kWidths[layer]));
  *q = {};
  q->count = 1;
  q->qmax = bits_[layer] < 8 ? (1 << bits_[layer]) - 1 : 0;
  q->scale = &in_[layer].scale;
  q->zero_point = &in_[layer].zero_point;
  t.q = q;
  return t;
}

size_t Int8Net::model_bytes() const {
  size_t sum = 0;
  for (const Weights& weights : weights_) {
    const void* data = nullptr;
    size_t bytes = 0;
    call(octet_weights_blob, weights.get(), &data, &bytes);
    sum += bytes;
  }
  return sum;
}

std::string Int8Net::kernel(size_t rows) const {
  return plan(ops_[0].get(), octet_mat(in_[0].type, nullptr, static_cast<int64_t>(rows), kPixels))
      .kernel;
}

Weights pack_weights(const octet_context* context, const Layer& layer, int32_t granularity) {
  auto scheme = sized<octet_scheme>();
  scheme.type = OCTET_S8;
  scheme.flags = OCTET_SYMMETRIC | OCTET_NARROW;
  scheme.granularity = granularity;
  return pack(context, layer, transposed(OCTET_F32, layer.weights.data(), layer), &scheme);
}

Weights pack_fake_quantized(const octet_context* context, const Layer& layer, int bits) {
  WeightQuantizer quantizer(layer.outputs, bits);
  const std::vector<int8_t> q = quantizer.integers(context, layer);
  return pack_stored(context, layer, q.data(), quantizer.scale());
}

Weights pack_stored(const octet_context* context, const Layer& layer, const int8_t* q,
                    const float* scale) {
  octet_qparams params = {};
  params.count = static_cast<int64_t>(layer.outputs);
  params.scale = scale;
  octet_tensor source = transposed(OCTET_S8, q, layer);
  source.q = &params;
  return pack(context, layer, source, nullptr);
}

octet_tensor weights_view(const Layer& layer) {
  return transposed(OCTET_F32, layer.weights.data(), layer);
}

Weights pack_integers(const octet_context* context, const Layer& layer, const int8_t* q,
                      const std::vector<float>& scale) {
  octet_qparams params = {};
  params.count = static_cast<int64_t>(scale.size());
  params.scale = scale.data();
  octet_tensor source = octet_mat(OCTET_S8, q, static_cast<int64_t>(layer.outputs),
                                  static_cast<int64_t>(layer.inputs));
  source.q = &params;
  return pack(context, layer, source, nullptr);
}

Activations calibrate(const octet_context* context, const Mlp& mlp, const Images& images) {
  FloatNet net(mlp);
  std::vector<float> logits(images.count() * kClasses);
  net.run(images.pixels.data(), images.count(), logits.data());

  Activations activations;
  for (size_t i = 0; i < kLayers; ++i) {
    auto desc = sized<octet_observer_desc>();
    desc.kind = OCTET_OBSERVE_MINMAX;
    octet_observer* raw = nullptr;
    call(octet_observer_create, context, &desc, &raw);
    const Observer observer(raw);
    const float* x = i == 0 ? images.pixels.data() : net.input_of(i).data();
    const octet_tensor tensor = octet_mat(OCTET_F32, x, static_cast<int64_t>(images.count()),
                                          static_cast<int64_t>(kWidths[i]));
    call(octet_observer_feed, observer.get(), &tensor, nullptr);
    activations[i].type = OCTET_U8;
    call(octet_observer_qparams, observer.get(), nullptr, &activations[i].scale,
         &activations[i].zero_point, size_t{1});
  }
  return activations;
}

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
//
// The chain as its best user would write it. Memory between layers is in the order that primitives
// ask for, with a reorder where two disagree; residuals are added in place; rectifying is the clamp
// of u8, no operation of its own. Zero points of layers without padding are folded into the bias,
// and those of residuals too; what is left is the image's, which the first layer gets passed.
#include "onednn_net.h"

#include <chrono>
#include <cstring>
#include <unordered_map>

namespace octet_cli {
namespace {

using dnnl::memory;
using Type = memory::data_type;
using Tag = memory::format_tag;
using Kind = NetLayer::Kind;

constexpr auto kInference = dnnl::prop_kind::forward_inference;

class Chain : public PreparedNet {
 public:
  Chain(const dnnl::engine& engine, const dnnl::stream& stream, const Net& net)
      : engine_(engine), stream_(stream), net_(net), activations_(net.activations.size()) {
    const Activation& image = net.activations[0];
    activations_[0] = memory(
        {{image.batch, image.channels, image.height, image.width}, Type::u8, Tag::nhwc}, engine);
    std::memcpy(activations_[0].get_data_handle(), net.image.data(), net.image.size());
    for (const NetLayer& layer : net.layers) add(layer);
  }

  double run(size_t iterations) override {
    return timed(iterations, [this] {
      for (Step& step : steps_) execute(step);
    });
  }

  double run(size_t layer, size_t iterations) override {
    return timed(iterations, [this, layer] {
      for (Step& step : steps_)
        if (step.layer == layer) execute(step);
    });
  }

  const float* logits() override { return static_cast<const float*>(logits_.get_data_handle()); }

 private:
  struct Step {
    size_t layer;
    dnnl::primitive primitive;
    std::vector<memory> held;
    std::vector<dnnl_exec_arg_t> arguments;

    void argument(int name, const memory& m) {
      held.push_back(m);
      arguments.push_back({name, m.get()});
    }
  };

  template <typename Work>
  double timed(size_t iterations, Work work) {
    const auto start = std::chrono::steady_clock::now();
    for (; iterations > 0; --iterations) {
      work();
      stream_.wait();
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  void execute(Step& step) {
    dnnl_primitive_execute(step.primitive.get(), stream_.get(),
                           static_cast<int>(step.arguments.size()), step.arguments.data());
  }

  const Activation& about(int activation) const {
    return net_.activations[static_cast<size_t>(activation)];
  }
  memory& held(int activation) { return activations_[static_cast<size_t>(activation)]; }
  memory::dims dims(int activation) const {
    const Activation& a = about(activation);
    return {a.batch, a.channels, a.height, a.width};
  }

  void add(const NetLayer& layer) {
    switch (layer.kind) {
      case Kind::kConv:
        return convolution(layer);
      case Kind::kMaxPool:
      case Kind::kGlobalAverage:
        return pool(layer);
      case Kind::kClassifier:
        return classifier(layer);
    }
  }

  size_t number(const NetLayer& layer) const {
    return static_cast<size_t>(&layer - net_.layers.data());
  }

  // What a primitive reads, in the order that it asks for.
  memory source(const NetLayer& layer, const memory::desc& wanted) {
    const memory& from = held(layer.in);
    if (from.get_desc() == wanted) return from;
    memory to(wanted, engine_);
    Step step = {number(layer), dnnl::reorder(from, to), {}, {}};
    step.argument(DNNL_ARG_FROM, from);
    step.argument(DNNL_ARG_TO, to);
    steps_.push_back(std::move(step));
    return to;
  }

  template <typename Value>
  memory array(Type type, const std::vector<Value>& values) {
    memory m({{static_cast<memory::dim>(values.size())}, type, Tag::a}, engine_);
    std::memcpy(m.get_data_handle(), values.data(), values.size() * sizeof(Value));
    return m;
  }

  memory packed(const memory::desc& given, const void* data, const memory::desc& wanted) {
    memory from(given, engine_, const_cast<void*>(data)), to(wanted, engine_);
    dnnl::reorder(from, to).execute(stream_, from, to);
    stream_.wait();
    return to;
  }

  // The layer's, and what stands for zero points that oneDNN does not get.
  std::vector<float> bias(const NetLayer& layer, bool fold) const {
    std::vector<float> values = layer.bias;
    const Activation& x = about(layer.in);
    const size_t k = layer.w.size() / values.size();
    for (size_t j = 0; j < values.size(); ++j) {
      int32_t sum = 0;
      for (size_t i = 0; fold && i < k; ++i) sum += layer.w[j * k + i];
      values[j] -= x.scale * layer.w_scale[j] * static_cast<float>(x.zero * sum);
      if (layer.residual >= 0) {
        const Activation& r = about(layer.residual);
        values[j] -= r.scale * static_cast<float>(r.zero);
      }
    }
    return values;
  }

  void convolution(const NetLayer& layer) {
    const ConvShape& c = layer.shape;
    const Activation &x = about(layer.in), &y = about(layer.out);
    const bool fold = x.zero == 0 || !c.padded();
    dnnl::primitive_attr attr;
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    attr.set_scales_mask(DNNL_ARG_SRC, 0);
    attr.set_scales_mask(DNNL_ARG_WEIGHTS, c.groups > 1 ? 3 : 1);
    attr.set_scales_mask(DNNL_ARG_DST, 0);
    if (!fold) attr.set_zero_points_mask(DNNL_ARG_SRC, 0);
    if (y.zero != 0) attr.set_zero_points_mask(DNNL_ARG_DST, 0);
    memory::desc dst(dims(layer.out), Type::u8, Tag::any);
    if (layer.residual >= 0) {
      dnnl::post_ops sum;
      sum.append_sum(about(layer.residual).scale);
      attr.set_post_ops(sum);
      dst = held(layer.residual).get_desc();
    }
    const bool groups = c.groups > 1;
    memory::dims w = {c.out_channels, c.group_in(), c.kernel[0], c.kernel[1]};
    if (groups) w = {c.groups, c.group_out(), c.group_in(), c.kernel[0], c.kernel[1]};
    const dnnl::convolution_forward::primitive_desc desc(
        engine_, kInference, dnnl::algorithm::convolution_direct,
        {dims(layer.in), Type::u8, layer.in == 0 ? Tag::nhwc : Tag::any}, {w, Type::s8, Tag::any},
        {{c.out_channels}, Type::f32, Tag::a}, dst, {c.stride[0], c.stride[1]}, {0, 0},
        {c.pad_lo[0], c.pad_lo[1]}, {c.pad_hi[0], c.pad_hi[1]}, attr);
    const memory src = source(layer, desc.src_desc());
    Step step = {number(layer), dnnl::convolution_forward(desc), {}, {}};
    held(layer.out) = layer.residual >= 0 ? held(layer.residual) : memory(desc.dst_desc(), engine_);
    step.argument(DNNL_ARG_SRC, src);
    step.argument(DNNL_ARG_DST, held(layer.out));
    step.argument(DNNL_ARG_WEIGHTS, packed({w, Type::s8, groups ? Tag::abdec : Tag::acdb},
                                           layer.w.data(), desc.weights_desc()));
    step.argument(DNNL_ARG_BIAS, array(Type::f32, bias(layer, fold)));
    step.argument(DNNL_ARG_SCRATCHPAD, memory(desc.scratchpad_desc(), engine_));
    step.argument(DNNL_ARG_ATTR_SCALES | DNNL_ARG_SRC, array(Type::f32, std::vector{x.scale}));
    step.argument(DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS, array(Type::f32, layer.w_scale));
    step.argument(DNNL_ARG_ATTR_SCALES | DNNL_ARG_DST, array(Type::f32, std::vector{y.scale}));
    if (!fold)
      step.argument(DNNL_ARG_ATTR_ZERO_POINTS | DNNL_ARG_SRC,
                    array(Type::s32, std::vector{x.zero}));
    if (y.zero != 0)
      step.argument(DNNL_ARG_ATTR_ZERO_POINTS | DNNL_ARG_DST,
                    array(Type::s32, std::vector{y.zero}));
    steps_.push_back(std::move(step));
  }

  void pool(const NetLayer& layer) {
    const ConvShape& c = layer.shape;
    const auto algorithm = layer.kind == Kind::kMaxPool
                               ? dnnl::algorithm::pooling_max
                               : dnnl::algorithm::pooling_avg_exclude_padding;
    dnnl::primitive_attr attr;
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const dnnl::pooling_forward::primitive_desc desc(
        engine_, kInference, algorithm, held(layer.in).get_desc(),
        {dims(layer.out), Type::u8, Tag::any}, {c.stride[0], c.stride[1]},
        {c.kernel[0], c.kernel[1]}, {0, 0}, {c.pad_lo[0], c.pad_lo[1]}, {c.pad_hi[0], c.pad_hi[1]},
        attr);
    held(layer.out) = memory(desc.dst_desc(), engine_);
    Step step = {number(layer), dnnl::pooling_forward(desc), {}, {}};
    step.argument(DNNL_ARG_SRC, held(layer.in));
    step.argument(DNNL_ARG_DST, held(layer.out));
    step.argument(DNNL_ARG_SCRATCHPAD, memory(desc.scratchpad_desc(), engine_));
    steps_.push_back(std::move(step));
  }

  // Folded, as all without padding.
  void classifier(const NetLayer& layer) {
    const ConvShape& c = layer.shape;
    const Activation& x = about(layer.in);
    dnnl::primitive_attr attr;
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    attr.set_scales_mask(DNNL_ARG_SRC, 0);
    attr.set_scales_mask(DNNL_ARG_WEIGHTS, 1 << 1);
    const memory::dims w = {c.channels, c.out_channels};
    const memory::desc rows({c.batch, c.channels}, Type::u8, Tag::ab);
    const dnnl::matmul::primitive_desc desc(engine_, rows, {w, Type::s8, Tag::any},
                                            {{1, c.out_channels}, Type::f32, Tag::ab},
                                            {{c.batch, c.out_channels}, Type::f32, Tag::ab}, attr);
    const memory pixels = source(layer, {dims(layer.in), Type::u8, Tag::nhwc});
    logits_ = memory(desc.dst_desc(), engine_);
    Step step = {number(layer), dnnl::matmul(desc), {}, {}};
    step.argument(DNNL_ARG_SRC, memory(rows, engine_, pixels.get_data_handle()));
    step.held.push_back(pixels);
    step.argument(DNNL_ARG_DST, logits_);
    step.argument(DNNL_ARG_WEIGHTS,
                  packed({w, Type::s8, Tag::ba}, layer.w.data(), desc.weights_desc()));
    const std::vector<float> values = bias(layer, true);
    memory row({{1, c.out_channels}, Type::f32, Tag::ab}, engine_);
    std::memcpy(row.get_data_handle(), values.data(), values.size() * sizeof(float));
    step.argument(DNNL_ARG_BIAS, row);
    step.argument(DNNL_ARG_SCRATCHPAD, memory(desc.scratchpad_desc(), engine_));
    step.argument(DNNL_ARG_ATTR_SCALES | DNNL_ARG_SRC, array(Type::f32, std::vector{x.scale}));
    step.argument(DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS, array(Type::f32, layer.w_scale));
    steps_.push_back(std::move(step));
  }

  dnnl::engine engine_;
  dnnl::stream stream_;
  const Net& net_;
  std::vector<memory> activations_;
  memory logits_;
  std::vector<Step> steps_;
};

}  // namespace

std::unique_ptr<PreparedNet> onednn_net(const dnnl::engine& engine, const dnnl::stream& stream,
                                        const Net& net) {
  return std::make_unique<Chain>(engine, stream, net);
}

}  // namespace octet_cli

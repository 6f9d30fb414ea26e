// SPDX-License-Identifier: Apache-2.0
#include "bench/net.h"

#include <cmath>

#include "api.h"
#include "bench/distribution.h"
#include "portable_math.h"

namespace octet_cli {
namespace {

using Act = NetLayer::Act;
using Kind = NetLayer::Kind;

constexpr float kScale = 0.05f;

class Builder {
 public:
  Builder(const std::string& name, int64_t batch) {
    net_.name = name;
    net_.activations.push_back({batch, 224, 224, 3, kScale, 114});
    Rng rng(3);
    net_.image.resize(net_.activations[0].elements());
    for (uint8_t& v : net_.image) v = static_cast<uint8_t>(rng.below(256));
    power_.push_back(74);
  }

  struct How {
    int64_t kernel = 1, stride = 1, groups = 1;
    Act act = Act::kRelu;
    int residual = -1;
  };

  int conv(const std::string& name, int in, int64_t out_channels, const How& how) {
    NetLayer layer = of(Kind::kConv, name, in);
    ConvShape& c = layer.shape;
    c.kernel = {how.kernel, how.kernel, 1};
    c.stride = {how.stride, how.stride, 1};
    c.pad_lo = c.pad_hi = {how.kernel / 2, how.kernel / 2, 0};
    c.groups = how.groups;
    c.out_channels = out_channels;
    layer.act = how.act;
    layer.residual = how.residual;
    const float scale = how.act == Act::kRelu6 ? 6.0f / 255 : kScale;
    // Standard deviation of the output before the clamp, in steps of it.
    const double sigma = how.act == Act::kNone ? 40 : 70;
    fill(layer, sigma * static_cast<double>(scale));
    return add(std::move(layer), scale, how.act == Act::kNone ? 128 : 0,
               how.act == Act::kNone ? sigma : sigma / std::sqrt(2.0));
  }

  int max_pool(const std::string& name, int in) {
    NetLayer layer = of(Kind::kMaxPool, name, in);
    layer.shape.kernel = {3, 3, 1};
    layer.shape.stride = {2, 2, 1};
    layer.shape.pad_lo = layer.shape.pad_hi = {1, 1, 0};
    return pool(std::move(layer), 1.5);
  }

  int global_average(const std::string& name, int in) {
    NetLayer layer = of(Kind::kGlobalAverage, name, in);
    layer.shape.kernel = layer.shape.in;
    return pool(std::move(layer), 0.6);
  }

  Net classifier(const std::string& name, int in, int64_t classes) {
    NetLayer layer = of(Kind::kClassifier, name, in);
    layer.shape.out_channels = net_.classes = classes;
    fill(layer, 1);
    layer.out = -1;
    net_.layers.push_back(std::move(layer));
    return std::move(net_);
  }

 private:
  NetLayer of(Kind kind, const std::string& name, int in) const {
    const Activation& x = net_.activations[static_cast<size_t>(in)];
    NetLayer layer;
    layer.kind = kind;
    layer.name = name;
    layer.in = in;
    layer.shape.rank = 2;
    layer.shape.batch = x.batch;
    layer.shape.in = {x.height, x.width, 1};
    layer.shape.channels = layer.shape.out_channels = x.channels;
    return layer;
  }

  int pool(NetLayer layer, double power) {
    const auto in = static_cast<size_t>(layer.in);
    return add(std::move(layer), net_.activations[in].scale, net_.activations[in].zero,
               power * power_[in]);
  }

  int add(NetLayer layer, float scale, int32_t zero, double power) {
    const ConvShape& c = layer.shape;
    net_.activations.push_back({c.batch, c.out(0), c.out(1), c.out_channels, scale, zero});
    power_.push_back(power);
    layer.out = static_cast<int>(net_.activations.size()) - 1;
    net_.layers.push_back(std::move(layer));
    return net_.layers.back().out;
  }

  // Weights whose sums have the standard deviation sigma, as a real number.
  void fill(NetLayer& layer, double sigma) {
    const auto n = static_cast<size_t>(layer.shape.out_channels);
    const auto k = static_cast<size_t>(layer.shape.product().k);
    const auto in = static_cast<size_t>(layer.in);
    layer.w = draw_weights("real", n, k);
    const double steps = power_[in] * root_mean_square(layer.w) * std::sqrt(static_cast<double>(k));
    const double scale = sigma / (steps * static_cast<double>(net_.activations[in].scale));
    Rng rng(net_.layers.size() + 10);
    layer.w_scale.resize(n);
    layer.bias.resize(n);
    for (float& v : layer.w_scale) v = static_cast<float>(scale) * (0.75f + 0.5f * rng.uniform());
    for (float& v : layer.bias) v = static_cast<float>(sigma) * 0.5f * (rng.uniform() - 0.5f);
  }

  Net net_;
  std::vector<double> power_;  // root of the mean square of q - zero, of each activation
};

Net resnet50(int64_t batch) {
  Builder b("resnet50", batch);
  int x = b.max_pool("pool", b.conv("conv1", 0, 64, {7, 2}));
  const int blocks[] = {3, 4, 6, 3};
  for (int stage = 0; stage < 4; ++stage) {
    const int64_t planes = int64_t{64} << stage;
    for (int block = 0; block < blocks[stage]; ++block) {
      const std::string name =
          "layer" + std::to_string(stage + 1) + "." + std::to_string(block) + ".";
      const int64_t stride = block == 0 && stage > 0 ? 2 : 1;
      int shortcut = x;
      if (block == 0)
        shortcut = b.conv(name + "downsample", x, 4 * planes, {1, stride, 1, Act::kNone});
      const int narrow = b.conv(name + "conv1", x, planes, {});
      const int middle = b.conv(name + "conv2", narrow, planes, {3, stride});
      x = b.conv(name + "conv3", middle, 4 * planes, {1, 1, 1, Act::kRelu, shortcut});
    }
  }
  return b.classifier("fc", b.global_average("average", x), 1000);
}

Net mobilenetv2(int64_t batch) {
  Builder b("mobilenetv2", batch);
  struct Stage {
    int64_t expand, channels;
    int blocks;
    int64_t stride;
  };
  int x = b.conv("stem", 0, 32, {3, 2, 1, Act::kRelu6});
  int64_t channels = 32;
  int number = 0;
  for (const Stage& s : {Stage{1, 16, 1, 1},
                         {6, 24, 2, 2},
                         {6, 32, 3, 2},
                         {6, 64, 4, 2},
                         {6, 96, 3, 1},
                         {6, 160, 3, 2},
                         {6, 320, 1, 1}}) {
    for (int block = 0; block < s.blocks; ++block) {
      const std::string name = "block" + std::to_string(++number) + ".";
      const int64_t wide = channels * s.expand, stride = block == 0 ? s.stride : 1;
      int y = x;
      if (s.expand > 1) y = b.conv(name + "expand", x, wide, {1, 1, 1, Act::kRelu6});
      y = b.conv(name + "depthwise", y, wide, {3, stride, wide, Act::kRelu6});
      x = b.conv(name + "project", y, s.channels, {1, 1, 1, Act::kNone, block > 0 ? x : -1});
      channels = s.channels;
    }
  }
  x = b.conv("head", x, 1280, {1, 1, 1, Act::kRelu6});
  return b.classifier("classifier", b.global_average("average", x), 1000);
}

}  // namespace

double NetLayer::operations() const {
  if (kind == Kind::kMaxPool || kind == Kind::kGlobalAverage) return 0;
  const Shape p = shape.product();
  return 2.0 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k);
}

std::string NetLayer::text() const {
  switch (kind) {
    case Kind::kMaxPool:
      return shape.text() + " max";
    case Kind::kGlobalAverage:
      return shape.text() + " average";
    default:
      return shape.text() + (residual >= 0 ? " + residual" : "");
  }
}

std::vector<std::string> net_names() { return {"resnet50", "mobilenetv2"}; }

Net make_net(const std::string& name, int64_t batch) {
  if (name == "resnet50") return resnet50(batch);
  if (name == "mobilenetv2") return mobilenetv2(batch);
  throw UsageError("There is no network " + name + "; known are resnet50 and mobilenetv2.");
}

}  // namespace octet_cli

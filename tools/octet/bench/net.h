// SPDX-License-Identifier: Apache-2.0
//
// A whole network as a chain of quantized layers, which Octet and a peer run alike: the shapes of a
// known one, random weights, scales under which activations neither vanish nor saturate. Its
// outputs mean nothing; its time is that of the real one, because no time here depends on values.
//
// Peers' modules use it too: they call no function of it that is not in this header.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "conv_shape.h"

namespace octet_cli {

// u8, real = scale * (q - zero)
struct Activation {
  int64_t batch, height, width, channels;
  float scale;
  int32_t zero;
  size_t elements() const { return static_cast<size_t>(batch * height * width * channels); }
};

struct NetLayer {
  enum class Kind {
    kConv,
    kMaxPool,
    kGlobalAverage,
    kClassifier  // a product with float output
  };
  Kind kind = Kind::kConv;
  std::string name;
  int in = 0, out = 0, residual = -1;  // activations; residual is added before the clamp
  ConvShape shape;                     // pools: kernel, stride and padding; classifier: 1 x 1
  // Rectified outputs have the zero point 0, so that their clamp is that of u8. 6 is the largest
  // value that relu6 can have, and its scale 6/255.
  enum class Act { kNone, kRelu, kRelu6 } act = Act::kNone;
  std::vector<int8_t> w;             // [O][kh][kw][I / groups]
  std::vector<float> w_scale, bias;  // [O]

  double operations() const;
  std::string text() const;
};

struct Net {
  std::string name;
  std::vector<Activation> activations;  // 0 is the image
  std::vector<NetLayer> layers;         // in order; the last gives floats [batch][classes]
  std::vector<uint8_t> image;
  int64_t classes = 0;
};

std::vector<std::string> net_names();

// Throws UsageError: there is no such network.
Net make_net(const std::string& name, int64_t batch);

}  // namespace octet_cli

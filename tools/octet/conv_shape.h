// SPDX-License-Identifier: Apache-2.0
//
// A convolution layer in one line, on the command line of `octet bench conv` and in the sets of
// bench/conv:
//
//   1x56x56x64 k3 o128 s2 p1      batch, image, channels; the kernel; output channels; ...
//
//   k3, k3x5     kernel, one extent for all dims or one each (D H W, H W or W)
//   o128         output channels
//   s2, s2x1     stride (1)
//   d2           dilation (1)
//   p1, p1x2     padding on both sides (0); p2:0 before and behind, p0:1x0:1 for each dim
//   g32          groups (1); gC, as many as the image has channels, is depthwise
//   t            transposed; q1, q1x0 its output padding (0)
//   *3           sets only: how many layers of the network have this form (1)
//
// In a set the batch may be a list, 1,8, and # begins a comment.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "shapes.h"

namespace octet_cli {

// Peers' modules use it too, and no symbol of the program: all that they need is here.
struct ConvShape {
  using Dims =
      std::array<int64_t, 3>;  // the first `rank` of them: D H W, H W or W; others as below

  int rank = 0;  // 1 to 3
  int64_t batch = 1, channels = 0, out_channels = 0, groups = 1;
  Dims in = {1, 1, 1}, kernel = {1, 1, 1}, stride = {1, 1, 1}, dilation = {1, 1, 1};
  Dims pad_lo = {0, 0, 0}, pad_hi = {0, 0, 0}, out_pad = {0, 0, 0};
  bool transposed = false;
  int64_t times = 1;  // layers of this form in the network

  bool operator==(const ConvShape&) const = default;

  // The extent of the output along a dim; below 1: the kernel is larger than the padded image.
  int64_t out(int dim) const {
    const auto d = static_cast<size_t>(dim);
    const int64_t reach = dilation[d] * (kernel[d] - 1) + 1, pads = pad_lo[d] + pad_hi[d];
    if (transposed) return (in[d] - 1) * stride[d] + reach - pads + out_pad[d];
    const int64_t room = in[d] + pads - reach;
    return room < 0 ? 0 : room / stride[d] + 1;
  }
  int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  int64_t in_pixels() const { return batch * in[0] * in[1] * in[2]; }
  int64_t out_pixels() const { return batch * out(0) * out(1) * out(2); }
  int64_t group_in() const { return channels / groups; }
  int64_t group_out() const { return out_channels / groups; }
  bool depthwise() const { return group_in() == 1 && groups > 1; }
  bool padded() const { return pad_lo != Dims{} || pad_hi != Dims{}; }
  // The product with as many multiply-adds: M pixels (of the input if transposed), N output
  // channels, K taps of a group's input channels.
  Shape product() const;
  std::string text() const;  // the line that gives it, without its times
};

// "1x1", "first", "depthwise", "grouped", "transposed", "dilated", "1-D", "3-D" or "dense": what
// the targets and the ladder tell apart. The first that fits of transposed, depthwise, grouped,
// 1-D, 3-D, dilated, first (at most 4 channels), 1x1.
const char* class_of(const ConvShape& shape);

// Throws UsageError with the word that is no part of a layer, or what does not fit together.
ConvShape read_conv(const std::vector<std::string>& words);

// Every layer of folder/name.txt. Throws UsageError as read_shapes does.
std::vector<ConvShape> read_conv_set(const std::string& folder, const std::string& name);

}  // namespace octet_cli

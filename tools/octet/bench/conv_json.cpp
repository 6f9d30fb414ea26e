// SPDX-License-Identifier: Apache-2.0
#include "bench/conv_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

namespace octet_cli {

using Json = nlohmann::ordered_json;

Json conv_json(const ConvShape& c) {
  const auto dims = [&c](const ConvShape::Dims& d) {
    return std::vector<int64_t>(d.begin(), d.begin() + c.rank);
  };
  return {{"batch", c.batch},
          {"in", dims(c.in)},
          {"out", dims({c.out(0), c.out(1), c.out(2)})},
          {"channels", c.channels},
          {"out_channels", c.out_channels},
          {"kernel", dims(c.kernel)},
          {"stride", dims(c.stride)},
          {"dilation", dims(c.dilation)},
          {"pad_lo", dims(c.pad_lo)},
          {"pad_hi", dims(c.pad_hi)},
          {"out_pad", dims(c.out_pad)},
          {"groups", c.groups},
          {"transposed", c.transposed}};
}

ConvShape read_conv_json(const Json& json) {
  ConvShape c;
  auto dims = [&json](const char* name, ConvShape::Dims& to) {
    const std::vector<int64_t> from = json.at(name);
    std::copy_n(from.begin(), std::min(from.size(), to.size()), to.begin());
    return static_cast<int>(from.size());
  };
  c.rank = dims("in", c.in);
  c.batch = json.at("batch");
  c.channels = json.at("channels");
  c.out_channels = json.at("out_channels");
  dims("kernel", c.kernel);
  dims("stride", c.stride);
  dims("dilation", c.dilation);
  dims("pad_lo", c.pad_lo);
  dims("pad_hi", c.pad_hi);
  dims("out_pad", c.out_pad);
  c.groups = json.at("groups");
  c.transposed = json.at("transposed");
  return c;
}

}  // namespace octet_cli

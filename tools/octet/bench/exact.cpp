// SPDX-License-Identifier: Apache-2.0
#include "bench/exact.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace octet_cli {
namespace {

using Dims = std::array<int64_t, 3>;

// The input index that tap t of output o meets along a dim; -1: none, or it is padding.
int64_t met(const ConvShape& c, size_t d, int64_t o, int64_t t) {
  int64_t at = c.transposed ? o + c.pad_lo[d] - t * c.dilation[d]
                            : o * c.stride[d] - c.pad_lo[d] + t * c.dilation[d];
  if (c.transposed) {
    if (at < 0 || at % c.stride[d] != 0) return -1;
    at /= c.stride[d];
  }
  return at < c.in[d] ? std::max<int64_t>(at, -1) : -1;
}

int64_t sum_of(const Problem& p, int64_t sample, const Dims& o, int64_t channel) {
  const ConvShape& c = *p.conv;
  const int64_t ig = c.group_in(), first = channel / c.group_out() * ig;
  const int8_t* w = p.w.data() + channel * p.shape.k;
  int64_t sum = 0;
  for (int64_t a = 0; a < c.kernel[0]; ++a) {
    for (int64_t b = 0; b < c.kernel[1]; ++b) {
      for (int64_t t = 0; t < c.kernel[2]; ++t, w += ig) {
        const Dims i = {met(c, 0, o[0], a), met(c, 1, o[1], b), met(c, 2, o[2], t)};
        if (i[0] < 0 || i[1] < 0 || i[2] < 0) continue;
        const int64_t pixel = ((sample * c.in[0] + i[0]) * c.in[1] + i[1]) * c.in[2] + i[2];
        const uint8_t* x = p.x.data() + pixel * c.channels + first;
        for (int64_t k = 0; k < ig; ++k)
          sum += ((p.act_signed ? static_cast<int8_t>(x[k]) : x[k]) - p.in_zero) * w[k];
      }
    }
  }
  return sum;
}

// 0, count - 1 and others between, at most `most`, ascending. The step is odd in most cases, so
// that rows and columns both vary.
std::vector<int64_t> spread(int64_t count, int64_t most) {
  std::vector<int64_t> indices;
  const int64_t step = std::max<int64_t>((count + most - 2) / (most - 1), 1);
  for (int64_t i = 0; i < count - 1; i += step) indices.push_back(i);
  indices.push_back(count - 1);
  return indices;
}

template <typename Value>
double element(const std::vector<uint8_t>& y, size_t at) {
  Value value;
  std::memcpy(&value, y.data() + at * sizeof value, sizeof value);
  return static_cast<double>(value);
}

}  // namespace

std::vector<ExactOutput> exact_outputs(const Problem& p) {
  const ConvShape& c = *p.conv;
  const Dims out = {c.out(0), c.out(1), c.out(2)};
  std::vector<ExactOutput> outputs;
  for (const int64_t pixel : spread(c.out_pixels(), 200)) {
    const Dims o = {pixel / (out[1] * out[2]) % out[0], pixel / out[2] % out[1], pixel % out[2]};
    const int64_t sample = pixel / (out[0] * out[1] * out[2]);
    for (const int64_t channel : spread(c.out_channels, 32)) {
      const auto j = static_cast<size_t>(channel);
      ExactOutput one = {static_cast<size_t>(pixel * c.out_channels + channel),
                         sum_of(p, sample, o, channel)};
      one.value = static_cast<double>(one.sum) * static_cast<double>(p.in_scale) *
                      static_cast<double>(p.w_scale[j]) +
                  static_cast<double>(p.bias[j]);
      outputs.push_back(one);
    }
  }
  return outputs;
}

double distance(const Problem& p, const ExactOutput& exact, const std::vector<uint8_t>& y) {
  if (p.form == Form::kS32)
    return std::fabs(element<int32_t>(y, exact.at) - static_cast<double>(exact.sum));
  if (p.form != Form::kQ8) return std::fabs(element<float>(y, exact.at) - exact.value);
  const double low = p.act_signed ? -128 : 0;
  const double got = p.act_signed ? element<int8_t>(y, exact.at) : element<uint8_t>(y, exact.at);
  const double step = std::rint(exact.value / static_cast<double>(p.out_scale)) + p.out_zero;
  return std::fabs(got - std::clamp(step, low, low + 255));
}

double tolerance(const Problem& p) {
  if (p.form == Form::kQ8) return 1;
  if (p.form == Form::kS32) return 0;
  // out_scale is 3/128 of the output's standard deviation.
  return static_cast<double>(p.out_scale) * (p.form == Form::kDynamic ? 8 : 0.1);
}

}  // namespace octet_cli

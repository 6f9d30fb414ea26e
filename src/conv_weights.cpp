// SPDX-License-Identifier: Apache-2.0
#include "src/conv_weights.h"

#include "src/weights.h"

namespace octet {

namespace {

int64_t gcd(int64_t a, int64_t b) {
  while (b) {
    const int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

// Taps of a dim that belong to coordinates below this one.
int64_t taps_before(const ConvForm& f, int dim, int64_t coordinate) {
  int64_t n = 0;
  for (int64_t t = 0; t < f.kernel[dim]; ++t) n += t * f.dilation[dim] % f.stride[dim] < coordinate;
  return n;
}

}  // namespace

int64_t ConvForm::slot(int64_t out_channel) const {
  const int64_t unit_channels = unit_groups * group_out();
  return out_channel / unit_channels * unit_slots() + out_channel % unit_channels;
}

int64_t ConvForm::channel(int64_t slot) const {
  const int64_t unit = slot / unit_slots(), at = slot % unit_slots();
  return at < unit_out(unit) ? first_out(unit) + at : -1;
}

int64_t ConvForm::coordinate(int dim, int64_t phase) const {
  for (int i = kMaxSpatial - 1; i > dim; --i) phase /= stride[i];
  return phase % stride[dim];
}

Taps ConvForm::taps_along(int dim, int64_t coordinate) const {
  const int64_t common = gcd(stride[dim], dilation[dim]);
  Taps taps = {0, stride[dim] / common, 0};
  if (coordinate % common) return taps;
  while (taps.first * dilation[dim] % stride[dim] != coordinate) ++taps.first;
  if (taps.first < kernel[dim]) taps.count = (kernel[dim] - 1 - taps.first) / taps.step + 1;
  return taps;
}

int64_t ConvForm::taps(int64_t phase) const {
  if (!transposed) return kernel_taps();
  int64_t n = 1;
  for (int i = 0; i < kMaxSpatial; ++i) n *= taps_along(i, coordinate(i, phase)).count;
  return n;
}

int64_t ConvForm::phase_k(int64_t phase, int64_t unit) const {
  if (!transposed) return 0;
  int64_t before = 0, among = 1;  // taps of earlier phases with the same leading coordinates
  for (int i = 0; i < kMaxSpatial; ++i) {
    const int64_t c = coordinate(i, phase);
    before = before * kernel[i] + among * taps_before(*this, i, c);
    among *= taps_along(i, c).count;
  }
  return before * padded_run(unit);
}

int64_t ConvForm::phase_of(const int64_t tap[kMaxSpatial]) const {
  int64_t phase = 0;
  for (int i = 0; i < kMaxSpatial; ++i)
    phase = phase * stride[i] + tap[i] * dilation[i] % stride[i];
  return phase;
}

int64_t ConvForm::tap_k(const int64_t tap[kMaxSpatial], int64_t unit) const {
  if (!transposed) {
    const int64_t index = (tap[0] * kernel[1] + tap[1]) * kernel[2] + tap[2];
    return index / run_taps() * padded_run(unit) + index % run_taps() * unit_in(unit);
  }
  const int64_t phase = phase_of(tap);
  int64_t index = 0;
  for (int i = 0; i < kMaxSpatial; ++i) {
    const Taps taps = taps_along(i, coordinate(i, phase));
    index = index * taps.count + tap[i] / taps.step;
  }
  return phase_k(phase, unit) + index * padded_run(unit);
}

ConvForm make_conv_form(int32_t rank, int32_t groups, bool transposed, const int32_t* kernel,
                        const int32_t* stride, const int32_t* dilation, int64_t in_channels,
                        int64_t out_channels) {
  ConvForm f;
  f.rank = rank;
  f.groups = groups;
  f.transposed = transposed;
  for (int i = 0; i < rank; ++i) {
    const int dim = kMaxSpatial - rank + i;
    f.kernel[dim] = kernel[i];
    if (!transposed) continue;
    f.stride[dim] = stride[i];
    f.dilation[dim] = dilation[i];
  }
  f.in_channels = in_channels;
  f.out_channels = out_channels;
  const int64_t out = f.group_out();
  // One group of one channel is no depthwise convolution: its columns would read the same bytes.
  f.depthwise = groups > 1 && f.group_in() == 1 && !transposed;
  if (f.depthwise)
    f.unit_groups = groups;
  else if (out < 16)
    f.unit_groups = out && groups > 16 / out ? 16 / out : groups;
  f.units = (groups + f.unit_groups - 1) / f.unit_groups;
  f.unit_panels = (f.unit_groups * out + 15) / 16;
  return f;
}

WeightsView unit_view(const WeightsView& w, int64_t phase, int64_t unit) {
  const ConvForm& f = w.conv;
  WeightsView v = w;
  v.conv = {};
  v.n = f.unit_out(unit);
  v.k = f.packed_k(phase, unit);
  if (!w.panels) return v;
  const int64_t panel = unit * f.unit_panels, slot = unit * f.unit_slots();
  v.panels += panel * w.panel_stride + f.phase_k(phase, unit) * 16;
  v.sums += phase * f.slots() + slot;
  v.scale += slot;
  v.zero += slot;
  v.bias = static_cast<const char*>(w.bias) + slot * 4;
  if (w.proved) v.proved += phase * w.panel_count() + panel;
  return v;
}

}  // namespace octet

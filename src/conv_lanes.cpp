// SPDX-License-Identifier: Apache-2.0
#include "src/conv_lanes.h"

#include "kernels/lanes.h"

namespace octet {

namespace {

// The weights of one tap of a panel. Canonical ones have all 16 channels of the panel for each
// column, those of other groups being 0.
template <class Weight>
void move_tap(const int8_t* from, int32_t kr, Weight* to) {
  constexpr bool wide = sizeof(Weight) == 2;
  constexpr int32_t step = wide ? 2 : 4, slots = wide ? 8 : 16;
  for (int32_t vector = 0; vector < (wide ? kr : kr / 4); ++vector)
    for (int32_t slot = 0; slot < slots; ++slot) {
      const int32_t column = lane_column(kr, wide, vector, slot);
      const int32_t first = lane_channel(wide, slot);
      for (int32_t k = first; k < first + step; ++k) *to++ = from[k / 4 * 64 + column * 4 + k % 4];
    }
}

}  // namespace

int32_t lane_channels(const Conv& v) {
  const ConvForm& f = v.form();
  const int64_t n = f.group_in();
  if (f.groups < 2 || f.depthwise || v.w.has_zero || n != f.group_out()) return 0;
  if (f.in_channels % 16) return 0;  // whole panels alone
  // Two groups of 2 channels are one of 4, half of whose weights are 0.
  return n == 2 ? 4 : n == 4 || n == 8 ? static_cast<int32_t>(n) : 0;
}

size_t lanes_bytes(const Conv& v) {
  return v.lane ? static_cast<size_t>(v.form().slots() / 16 * lane_panel_bytes(v)) : 0;
}

void fill_lanes(const Conv& v, int8_t* to) {
  const bool wide = v.direct_table.rows[0]->weight == OCTET_S16;
  for (int64_t panel = 0; panel < v.form().slots() / 16; ++panel) {
    const int8_t* from = v.w.panels + panel * v.w.panel_stride;
    for (int64_t tap = 0; tap < v.form().kernel_taps(); ++tap, from += 256) {
      if (wide)
        move_tap(from, v.lane, reinterpret_cast<int16_t*>(to));
      else
        move_tap(from, v.lane, to);
      to += lane_tap_bytes(v);
    }
  }
}

}  // namespace octet

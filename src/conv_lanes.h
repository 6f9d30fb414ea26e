// SPDX-License-Identifier: Apache-2.0
//
// Small groups. Panels that several groups share are block-diagonal: with 4 channels a group three
// quarters of their products are filler. Tiles of the family gemmlane (kernels/kernel.h) make none:
// each column reads its own group's channels. They want the weights in an order of their own, of
// which the op keeps a copy.
#pragma once

#include "src/conv.h"

namespace octet {

// The channels of a group as the tiles count them, 4 or 8; 0: they do not take this layer.
int32_t lane_channels(const Conv& v);

// The copy, 64-byte aligned: v.lane and v.direct_table are set.
size_t lanes_bytes(const Conv& v);
void fill_lanes(const Conv& v, int8_t* to);

// Bytes from a panel of the copy to the next, and from a panel's beginning to a phase's.
inline int64_t lane_tap_bytes(const Conv& v) {
  return v.lane * 16 * (v.direct_table.rows[0]->weight == OCTET_S16 ? 2 : 1);
}
inline int64_t lane_panel_bytes(const Conv& v) {
  return v.form().kernel_taps() * lane_tap_bytes(v);
}
inline int64_t lane_phase_bytes(const Conv& v, int64_t phase) {
  return v.form().phase_k(phase, 0) / 16 * lane_tap_bytes(v);
}

}  // namespace octet

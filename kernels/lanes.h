// SPDX-License-Identifier: Apache-2.0
//
// The order of the weights of gemmlane tiles (kernels/kernel.h): which column a slot adds to, and
// what it reads. It is the order in which the fewest instructions bring sums of slots into that of
// columns, in 256 bits and in 512.
#pragma once

#include <stdint.h>

namespace octet {

// The column of a panel that slot `slot` of vector `vector` of each tap belongs to; kr: channels of
// a group. wide: weights are S16.
[[maybe_unused]] static int32_t lane_column(int32_t kr, bool wide, int32_t vector, int32_t slot) {
  if (wide) return slot / (kr / 2) * kr + vector;
  const int32_t quad = slot % 4, low = slot / 4 % 2, high = slot / 8;
  if (kr == 4) return quad * 4 + low * 2 + high;
  return quad / 2 * 8 + low * 4 + high * 2 + vector;
}

// The first of the channels, of the 16 under the panel, that the slot reads: 4, or 2 where wide.
[[maybe_unused]] static int32_t lane_channel(bool wide, int32_t slot) {
  if (wide) return slot * 2;
  return slot % 4 * 4;
}

}  // namespace octet

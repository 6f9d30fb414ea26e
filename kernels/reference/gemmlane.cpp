// SPDX-License-Identifier: Apache-2.0
//
// The tile of small groups, one element at a time: the specification that every SIMD tile must
// equal bit for bit. Integers are added in uint32, which wraps where int32 would be undefined.
#include "kernels/kernel.h"
#include "kernels/lanes.h"
#include "kernels/reference/finish.h"

namespace octet {
namespace {

constexpr int32_t kMr = 4, kPanel = 16;

// Sum over the taps of row i and column j.
template <class Weight>
uint32_t dot(const Tile& t, int32_t i, int32_t j) {
  constexpr bool wide = sizeof(Weight) == 2;
  const int32_t kr = t.kc;
  constexpr int32_t step = wide ? 2 : 4;  // channels of a slot
  constexpr int32_t slots = wide ? 8 : 16;
  const int32_t vectors = wide ? kr : kr / 4;
  uint32_t sum = 0;
  const Weight* w = reinterpret_cast<const Weight*>(t.b + j / kPanel * t.panel);
  for (int32_t tap = 0; tap < t.taps; ++tap) {
    const uint8_t* a =
        static_cast<const uint8_t*>(t.a) + t.rows[tap * kMr + i] + j / kPanel * kPanel;
    for (int32_t v = 0; v < vectors; ++v)
      for (int32_t s = 0; s < slots; ++s, w += step) {
        if (lane_column(kr, wide, v, s) != j % kPanel) continue;
        const uint8_t* x = a + lane_channel(wide, s);
        for (int32_t k = 0; k < step; ++k) sum += static_cast<uint32_t>(x[k] * w[k]);
      }
  }
  return sum;
}

template <class Weight>
void tile(const Tile& t) {
  for (int32_t i = 0; i < t.m; ++i) {
    char* row = static_cast<char*>(t.c) + i * t.ldc;
    for (int32_t j = 0; j < t.n; ++j) {
      const uint32_t sum = dot<Weight>(t, i, j);
      const int32_t r = t.row0 + i, c = t.col0 + j;
      store<Out::kQ8>(corrected(sum, *t.finish, r, c), *t.finish, r, c, row, j);
    }
  }
}

}  // namespace
}  // namespace octet

using namespace octet;

#define OCTET_LANE(weight, kr, Weight)                                                 \
  OCTET_KERNEL void octet_gemmlane_u8##weight##_q8_4x16c##kr##_scalar(const Tile* t) { \
    tile<Weight>(*t);                                                                  \
  }

OCTET_LANE(s8, 4, int8_t)
OCTET_LANE(s8, 8, int8_t)
OCTET_LANE(s16, 4, int16_t)
OCTET_LANE(s16, 8, int16_t)

// SPDX-License-Identifier: Apache-2.0
//
// The strip of a depthwise convolution, one element at a time: the specification that every SIMD
// strip must equal bit for bit. Integers are added in uint32, which wraps where int32 would be
// undefined; the finish is that of the GEMM tile.
#include "kernels/kernel.h"
#include "kernels/reference/finish.h"

namespace octet {
namespace {

constexpr int32_t kPanel = 16;

// An element of the image as the dot product takes it.
template <class Act>
int32_t element(const Depthwise& d, int32_t row, int32_t column, int32_t channel) {
  int32_t byte = d.pad;
  if (d.rows[row] && column >= d.left && column < d.columns - d.right)
    byte = d.rows[row][(column - d.left) * d.pitch + channel];
  return static_cast<Act>(byte ^ d.flip);
}

template <class Act, class Weight>
uint32_t dot(const Depthwise& d, const DepthwiseOut& out, int32_t pixel, int32_t j) {
  constexpr int32_t kr = 4 / sizeof(Weight);
  const int32_t channel = (d.phase + j) / d.multiplier;
  const int8_t* block = out.weights + ptrdiff_t{j / kPanel} * out.steps * 64;
  uint32_t sum = 0;
  for (int32_t s = 0; s < out.steps; ++s) {
    const int32_t unit = out.unit + out.at[s] % d.units;
    const int32_t column = out.at[s] / d.units + pixel * d.stride;
    const Weight* w = reinterpret_cast<const Weight*>(block + s * 64) + j % kPanel * kr;
    for (int32_t i = 0; i < kr; ++i)
      sum += static_cast<uint32_t>(element<Act>(d, unit * kr + i, column, channel) * w[i]);
  }
  return sum;
}

template <class Act, class Weight, Out kOut>
void strip(const Depthwise& d) {
  for (int32_t r = 0; r < d.outputs; ++r) {
    const DepthwiseOut& out = d.out[r];
    for (int32_t p = 0; p < d.pixels; ++p)
      for (int32_t j = 0; j < d.channels; ++j)
        store<kOut>(corrected(dot<Act, Weight>(d, out, p, j), *out.finish, p, j), *out.finish, p, j,
                    static_cast<char*>(out.c) + p * d.ldc, j);
  }
}

}  // namespace
}  // namespace octet

using namespace octet;

#define OCTET_DEPTHWISE(act, weight, kr, Act, Weight)                                            \
  OCTET_KERNEL void octet_depthwise_##act##weight##_q8_1x16c##kr##_scalar(const Depthwise* d) {  \
    strip<Act, Weight, Out::kQ8>(*d);                                                            \
  }                                                                                              \
  OCTET_KERNEL void octet_depthwise_##act##weight##_f32_1x16c##kr##_scalar(const Depthwise* d) { \
    strip<Act, Weight, Out::kF32>(*d);                                                           \
  }                                                                                              \
  OCTET_KERNEL void octet_depthwise_##act##weight##_s32_1x16c##kr##_scalar(const Depthwise* d) { \
    strip<Act, Weight, Out::kS32>(*d);                                                           \
  }

OCTET_DEPTHWISE(u8, s8, 4, uint8_t, int8_t)
OCTET_DEPTHWISE(s8, s8, 4, int8_t, int8_t)
OCTET_DEPTHWISE(u8, s16, 2, uint8_t, int16_t)

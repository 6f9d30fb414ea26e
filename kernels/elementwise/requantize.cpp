// SPDX-License-Identifier: Apache-2.0
//
// requantize u8, s8, s32 -> u8, s8 (docs/numerics.md, "Requantize"): from 8 bits it is quantize of
// dequantize; from 32 bits the quotient of both scales arrives as one multiplier.
#include "kernels/elementwise/affine.h"

HWY_BEFORE_NAMESPACE();
namespace octet {
namespace {

template <class In, class Out>
struct Requantize : LaneOp<In, Out> {
  template <bool kUniform>
  static void loop(const Run& r) {
    const Dequantizer<In, kUniform> dequantize(r);
    const Quantizer<kUniform> quantize(r);
    for (size_t i = 0; i < r.n; i += kLanes) {
      Floats t = dequantize(load_ints(r.x, i, In()), i);
      if constexpr (sizeof(In) == 1) t = quantize.scaled(t, i);
      store_bytes(quantize(t, i), static_cast<Out*>(r.y) + i);
    }
  }
};

}  // namespace
}  // namespace octet

using namespace octet;

OCTET_KERNEL void OCTET_ROW(requantize_u8_u8)(const Run* r) {
  apply<Requantize<uint8_t, uint8_t>>(r);
}
OCTET_KERNEL void OCTET_ROW(requantize_u8_s8)(const Run* r) {
  apply<Requantize<uint8_t, int8_t>>(r);
}
OCTET_KERNEL void OCTET_ROW(requantize_s8_u8)(const Run* r) {
  apply<Requantize<int8_t, uint8_t>>(r);
}
OCTET_KERNEL void OCTET_ROW(requantize_s8_s8)(const Run* r) {
  apply<Requantize<int8_t, int8_t>>(r);
}
OCTET_KERNEL void OCTET_ROW(requantize_s32_u8)(const Run* r) {
  apply<Requantize<int32_t, uint8_t>>(r);
}
OCTET_KERNEL void OCTET_ROW(requantize_s32_s8)(const Run* r) {
  apply<Requantize<int32_t, int8_t>>(r);
}

HWY_AFTER_NAMESPACE();

// SPDX-License-Identifier: Apache-2.0
//
// quantize f32 -> u8, s8 and dequantize u8, s8, s32 -> f32 (docs/numerics.md, "Quantize",
// "Dequantize").
#include "kernels/elementwise/affine.h"

HWY_BEFORE_NAMESPACE();
namespace octet {
namespace {

template <class Out>
struct Quantize : LaneOp<float, Out> {
  template <bool kUniform>
  static void loop(const Run& r) {
    const Quantizer<kUniform> quantize(r);
    const auto at = [&](size_t i) {
      return quantize(quantize.scaled(hn::LoadU(kFloat, static_cast<const float*>(r.x) + i), i), i);
    };
    Out* y = static_cast<Out*>(r.y);
    size_t i = 0;
    for (; i + 4 * kLanes <= r.n; i += 4 * kLanes)
      store_bytes4(at(i), at(i + kLanes), at(i + 2 * kLanes), at(i + 3 * kLanes), y + i);
    for (; i < r.n; i += kLanes) store_bytes(at(i), y + i);
  }
};

template <class In>
struct Dequantize : LaneOp<In, float> {
  template <bool kUniform>
  static void loop(const Run& r) {
    const Dequantizer<In, kUniform> dequantize(r);
    for (size_t i = 0; i < r.n; i += kLanes)
      hn::StoreU(dequantize(load_ints(r.x, i, In()), i), kFloat, static_cast<float*>(r.y) + i);
  }
};

}  // namespace
}  // namespace octet

using namespace octet;

OCTET_KERNEL void OCTET_ROW(quantize_f32_u8)(const Run* r) { apply<Quantize<uint8_t>>(r); }
OCTET_KERNEL void OCTET_ROW(quantize_f32_s8)(const Run* r) { apply<Quantize<int8_t>>(r); }
OCTET_KERNEL void OCTET_ROW(dequantize_u8_f32)(const Run* r) { apply<Dequantize<uint8_t>>(r); }
OCTET_KERNEL void OCTET_ROW(dequantize_s8_f32)(const Run* r) { apply<Dequantize<int8_t>>(r); }
OCTET_KERNEL void OCTET_ROW(dequantize_s32_f32)(const Run* r) { apply<Dequantize<int32_t>>(r); }

HWY_AFTER_NAMESPACE();

// SPDX-License-Identifier: Apache-2.0
//
// What every tile does below its accumulators (docs/numerics.md, "Accumulator" and "Outputs"),
// scalar: it defines the bits. Floats are binary32, one rounding for each operation, none fused. In
// a namespace without a name: this header is for the reference alone.
#pragma once

#include <math.h>

#include "kernels/reference/fixed.h"

namespace octet {
namespace {

// The accumulator with the zero points of both operands taken out and the integer bias added.
inline int32_t corrected(uint32_t sum, const Finish& f, int32_t row, int32_t col) {
  if (f.row_a) sum -= static_cast<uint32_t>(f.row_a[row]) * static_cast<uint32_t>(f.col_a[col]);
  if (f.row_b) sum -= static_cast<uint32_t>(f.row_b[row]) * static_cast<uint32_t>(f.col_b[col]);
  return static_cast<int32_t>(sum + static_cast<uint32_t>(f.ibias[col]));
}

// An element of the residual.
template <class T>
T residual(const Finish& f, int32_t row, int32_t col) {
  return reinterpret_cast<const T*>(static_cast<const char*>(f.residual) + row * f.ldr)[col];
}

// f32 out. Which NaN a sum gives depends on the CPU, so there is only one. The bounds are compared
// so that a NaN passes with its bits.
inline float to_f32(int32_t acc, const Finish& f, int32_t row, int32_t col) {
  const float scale = f.row_scale ? f.row_scale[row] * f.mult[col] : f.mult[col];
  float y = static_cast<float>(acc) * scale + f.fbias[col];
  if (f.residual) {
    y += residual<float>(f, row, col);
    if (y != y) y = __builtin_nanf("");
  }
  y = y < f.flo ? f.flo : y;
  return y > f.fhi ? f.fhi : y;
}

// q8 out. The clamp comes before the rounding; its bounds are integers, so the order does not
// change the result, but no conversion overflows. A NaN gives lo.
inline uint8_t to_q8(int32_t acc, const Finish& f, int32_t row, int32_t col) {
  float y = static_cast<float>(acc);
  if (f.row_scale)
    y = (y * (f.row_scale[row] * f.mult[col]) + f.fbias[col]) * f.inv_out;
  else
    y = (y + f.fbias[col]) * f.mult[col];
  if (f.residual) {
    const int32_t r = residual<uint8_t>(f, row, col) ^ f.residual_flip;
    y += f.residual_scale * static_cast<float>(r - f.residual_zero);
  }
  const float lo = static_cast<float>(f.lo - f.zp), hi = static_cast<float>(f.hi - f.zp);
  y = y > lo ? (y < hi ? y : hi) : lo;
  return static_cast<uint8_t>(static_cast<int32_t>(rintf(y)) + f.zp);
}

enum class Out { kQ8, kF32, kS32 };

// Finishes a corrected sum and stores it as element j of a row of C.
template <Out kOut>
void store(int32_t acc, const Finish& f, int32_t row, int32_t col, void* c, int32_t j) {
  if constexpr (kOut == Out::kQ8)
    static_cast<uint8_t*>(c)[j] = f.fixed ? fixed_q8(acc, f, col) : to_q8(acc, f, row, col);
  else if constexpr (kOut == Out::kF32)
    static_cast<float*>(c)[j] = to_f32(acc, f, row, col);
  else
    static_cast<int32_t*>(c)[j] = acc;
}

}  // namespace
}  // namespace octet

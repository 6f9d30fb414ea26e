// SPDX-License-Identifier: Apache-2.0
//
// The GEMM tile, one element at a time: the specification that every SIMD tile must equal bit for
// bit (docs/numerics.md, "Accumulator" and "Outputs"). Integers are added in uint32, which wraps
// where int32 would be undefined; floats are binary32, one rounding for each operation, none fused.
#include <math.h>

#include "kernels/kernel.h"
#include "kernels/reference/fixed.h"

namespace octet {
namespace {

constexpr int32_t kMr = 4, kPanel = 16;

// Sum over taps and K of row i of A and column j of B, on top of what earlier K blocks left.
template <class Act>
uint32_t dot(const Tile& t, int32_t i, int32_t j) {
  uint32_t sum = t.init ? static_cast<uint32_t>(t.init[i * t.ldi + j]) : 0;
  const int8_t* b = t.b + j / kPanel * t.panel;
  for (int32_t tap = 0; tap < t.taps; ++tap) {
    const Act* a =
        reinterpret_cast<const Act*>(static_cast<const char*>(t.a) + t.rows[tap * kMr + i]);
    for (int32_t k = 0; k < t.kc; ++k) {
      const int32_t w = b[k / 4 * 64 + j % kPanel * 4 + k % 4];
      sum += static_cast<uint32_t>(a[k] * w);
    }
    b += (t.kc + 3) / 4 * 64;
  }
  return sum;
}

// The accumulator with the zero points of both operands taken out and the integer bias added.
int32_t corrected(uint32_t sum, const Finish& f, int32_t row, int32_t col) {
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
float to_f32(int32_t acc, const Finish& f, int32_t row, int32_t col) {
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
uint8_t to_q8(int32_t acc, const Finish& f, int32_t row, int32_t col) {
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

template <class Act, Out kOut>
void tile(const Tile& t) {
  for (int32_t i = 0; i < t.m; ++i) {
    char* row = static_cast<char*>(t.c) + i * t.ldc;
    for (int32_t j = 0; j < t.n; ++j) {
      const uint32_t sum = dot<Act>(t, i, j);
      if (!t.finish) {
        reinterpret_cast<int32_t*>(row)[j] = static_cast<int32_t>(sum);
        continue;
      }
      const int32_t r = t.row0 + i, c = t.col0 + j;
      const int32_t acc = corrected(sum, *t.finish, r, c);
      if constexpr (kOut == Out::kQ8)
        reinterpret_cast<uint8_t*>(row)[j] =
            t.finish->fixed ? fixed_q8(acc, *t.finish, c) : to_q8(acc, *t.finish, r, c);
      else if constexpr (kOut == Out::kF32)
        reinterpret_cast<float*>(row)[j] = to_f32(acc, *t.finish, r, c);
      else
        reinterpret_cast<int32_t*>(row)[j] = acc;
    }
  }
}

}  // namespace
}  // namespace octet

using namespace octet;

OCTET_KERNEL void octet_gemm_u8s8_q8_4x16c4_scalar(const Tile* t) { tile<uint8_t, Out::kQ8>(*t); }
OCTET_KERNEL void octet_gemm_u8s8_f32_4x16c4_scalar(const Tile* t) { tile<uint8_t, Out::kF32>(*t); }
OCTET_KERNEL void octet_gemm_u8s8_s32_4x16c4_scalar(const Tile* t) { tile<uint8_t, Out::kS32>(*t); }
OCTET_KERNEL void octet_gemm_s8s8_q8_4x16c4_scalar(const Tile* t) { tile<int8_t, Out::kQ8>(*t); }
OCTET_KERNEL void octet_gemm_s8s8_f32_4x16c4_scalar(const Tile* t) { tile<int8_t, Out::kF32>(*t); }
OCTET_KERNEL void octet_gemm_s8s8_s32_4x16c4_scalar(const Tile* t) { tile<int8_t, Out::kS32>(*t); }

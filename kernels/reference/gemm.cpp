// SPDX-License-Identifier: Apache-2.0
//
// The GEMM tile, one element at a time: the specification that every SIMD tile must equal bit for
// bit (docs/numerics.md, "Accumulator" and "Outputs"). Integers are added in uint32, which wraps
// where int32 would be undefined; floats are binary32, one rounding for each operation, none fused.
#include "kernels/kernel.h"
#include "kernels/reference/finish.h"

namespace octet {
namespace {

constexpr int32_t kMr = 4, kPanel = 16;

// The weight of k and column j in a panel at b.
struct Bytes {
  static constexpr int32_t kStep = 4;  // k in 64 bytes
  static int32_t at(const int8_t* b, int32_t k, int32_t j) { return b[k / 4 * 64 + j * 4 + k % 4]; }
};
struct Nibbles {
  static constexpr int32_t kStep = 8;
  static int32_t at(const int8_t* b, int32_t k, int32_t j) {
    const uint8_t pair = static_cast<uint8_t>(b[k / 8 * 64 + j * 4 + k % 4]);
    return k / 4 % 2 ? pair >> 4 : pair & 15;
  }
};

// Sum over taps and K of row i of A and column j of B, on top of what earlier K blocks left.
template <class Act, class Weight>
uint32_t dot(const Tile& t, int32_t i, int32_t j) {
  uint32_t sum = t.init ? static_cast<uint32_t>(t.init[i * t.ldi + j]) : 0;
  const int8_t* b = t.b + j / kPanel * t.panel;
  for (int32_t tap = 0; tap < t.taps; ++tap) {
    const Act* a =
        reinterpret_cast<const Act*>(static_cast<const char*>(t.a) + t.rows[tap * kMr + i]);
    for (int32_t k = 0; k < t.kc; ++k) {
      sum += static_cast<uint32_t>(a[k] * Weight::at(b, k, j % kPanel));
    }
    b += (t.kc + Weight::kStep - 1) / Weight::kStep * 64;
  }
  return sum;
}

template <class Act, Out kOut, class Weight = Bytes>
void tile(const Tile& t) {
  for (int32_t i = 0; i < t.m; ++i) {
    char* row = static_cast<char*>(t.c) + i * t.ldc;
    for (int32_t j = 0; j < t.n; ++j) {
      const uint32_t sum = dot<Act, Weight>(t, i, j);
      if (!t.finish) {
        reinterpret_cast<int32_t*>(row)[j] = static_cast<int32_t>(sum);
        continue;
      }
      const int32_t r = t.row0 + i, c = t.col0 + j;
      store<kOut>(corrected(sum, *t.finish, r, c), *t.finish, r, c, row, j);
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
OCTET_KERNEL void octet_gemm_u8u4_q8_4x16c8_scalar(const Tile* t) {
  tile<uint8_t, Out::kQ8, Nibbles>(*t);
}
OCTET_KERNEL void octet_gemm_u8u4_f32_4x16c8_scalar(const Tile* t) {
  tile<uint8_t, Out::kF32, Nibbles>(*t);
}
OCTET_KERNEL void octet_gemm_u8u4_s32_4x16c8_scalar(const Tile* t) {
  tile<uint8_t, Out::kS32, Nibbles>(*t);
}
OCTET_KERNEL void octet_gemm_s8u4_q8_4x16c8_scalar(const Tile* t) {
  tile<int8_t, Out::kQ8, Nibbles>(*t);
}
OCTET_KERNEL void octet_gemm_s8u4_f32_4x16c8_scalar(const Tile* t) {
  tile<int8_t, Out::kF32, Nibbles>(*t);
}
OCTET_KERNEL void octet_gemm_s8u4_s32_4x16c8_scalar(const Tile* t) {
  tile<int8_t, Out::kS32, Nibbles>(*t);
}

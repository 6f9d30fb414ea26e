// SPDX-License-Identifier: Apache-2.0
//
// The tile of group-wise weights, one element at a time: the specification that every SIMD tile
// must equal bit for bit (docs/numerics.md, "Group-wise scales"). Integers are added in uint32,
// which wraps where int32 would be undefined; floats are binary32, one rounding for each operation,
// none fused.
#include <math.h>

#include "kernels/kernel.h"

namespace octet {
namespace {

constexpr int32_t kPanel = 16;

// The record of a group in the panel of a column: 64-byte rows of its k, its blocks' pairs, scales.
struct Record {
  int32_t k_rows, blocks;
  int32_t bytes() const { return (k_rows + blocks + 1) * 64; }
};

// The weight of k and column j in a record at b.
struct Bytes {
  static constexpr int32_t kStep = 4;
  static int32_t at(const int8_t* b, int32_t k, int32_t j) { return b[k / 4 * 64 + j * 4 + k % 4]; }
};
struct Nibbles {
  static constexpr int32_t kStep = 8;
  static int32_t at(const int8_t* b, int32_t k, int32_t j) {
    const uint8_t pair = static_cast<uint8_t>(b[k / 8 * 64 + j * 4 + k % 4]);
    return k / 4 % 2 ? pair >> 4 : pair & 15;
  }
};

uint32_t product(int32_t x, int32_t y) {
  return static_cast<uint32_t>(x) * static_cast<uint32_t>(y);
}

// What a group's blocks take out of column j for one row: -zero point x column sum
// - corrected row sum x zero point.
uint32_t zero_points(const int8_t* columns, const int32_t* rows, ptrdiff_t pitch, int32_t blocks,
                     int32_t j) {
  uint32_t sum = 0;
  for (int32_t block = 0; block < blocks; ++block) {
    int16_t column[2], row[2];
    __builtin_memcpy(column, columns + block * 64 + j * 4, 4);
    __builtin_memcpy(row, rows + block * pitch, 4);
    sum += product(row[0], column[0]) + product(row[1], column[1]);
  }
  return sum;
}

// Sum over groups of float(acc) * scale, for row i and column j.
template <class Act, class Weight>
float total(const GroupTile& t, int32_t i, int32_t j) {
  const Record record = {t.group / Weight::kStep, (t.group - 1) / kPairBlock + 1};
  const Act* a = reinterpret_cast<const Act*>(static_cast<const char*>(t.a) + t.rows[i]);
  const int8_t* b = t.b + j / kPanel * t.panel;
  const int32_t* pairs = t.pairs + t.row0 + i;
  const int32_t column = j % kPanel;
  float sum = 0;
  for (int32_t k0 = 0; k0 < t.kc; k0 += t.group) {
    uint32_t acc = 0;
    for (int32_t k = 0; k < t.group; ++k) acc += product(a[k0 + k], Weight::at(b, k, column));
    const int8_t* columns = b + record.k_rows * 64;
    acc += zero_points(columns, pairs, t.pitch, record.blocks, column);
    float scale;
    __builtin_memcpy(&scale, columns + record.blocks * 64 + column * 4, 4);
    sum = sum + static_cast<float>(static_cast<int32_t>(acc)) * scale;
    b += record.bytes();
    pairs += record.blocks * t.pitch;
  }
  return sum;
}

// The bounds are compared so that a NaN passes with its bits.
float to_f32(float y, const Finish& f) {
  y = y < f.flo ? f.flo : y;
  return y > f.fhi ? f.fhi : y;
}

// The clamp comes before the rounding; its bounds are integers, so the order does not change the
// result, but no conversion overflows. A NaN gives lo.
uint8_t to_q8(float y, const Finish& f) {
  y = y * f.inv_out;
  const float lo = static_cast<float>(f.lo - f.zp), hi = static_cast<float>(f.hi - f.zp);
  y = y > lo ? (y < hi ? y : hi) : lo;
  return static_cast<uint8_t>(static_cast<int32_t>(rintf(y)) + f.zp);
}

enum class Out { kQ8, kF32 };

template <class Act, class Weight, Out kOut>
void tile(const GroupTile& t) {
  const Finish& f = *t.finish;
  for (int32_t i = 0; i < t.m; ++i) {
    char* row = static_cast<char*>(t.c) + i * t.ldc;
    const float scale = f.row_scale ? f.row_scale[t.row0 + i] : t.scale;
    for (int32_t j = 0; j < t.n; ++j) {
      const float y = total<Act, Weight>(t, i, j) * scale + f.fbias[t.col0 + j];
      if constexpr (kOut == Out::kQ8)
        reinterpret_cast<uint8_t*>(row)[j] = to_q8(y, f);
      else
        reinterpret_cast<float*>(row)[j] = to_f32(y, f);
    }
  }
}

}  // namespace
}  // namespace octet

using namespace octet;

OCTET_KERNEL void octet_gemmgroup_u8s8_q8_4x16c4_scalar(const GroupTile* t) {
  tile<uint8_t, Bytes, Out::kQ8>(*t);
}
OCTET_KERNEL void octet_gemmgroup_u8s8_f32_4x16c4_scalar(const GroupTile* t) {
  tile<uint8_t, Bytes, Out::kF32>(*t);
}
OCTET_KERNEL void octet_gemmgroup_u8u4_q8_4x16c8_scalar(const GroupTile* t) {
  tile<uint8_t, Nibbles, Out::kQ8>(*t);
}
OCTET_KERNEL void octet_gemmgroup_u8u4_f32_4x16c8_scalar(const GroupTile* t) {
  tile<uint8_t, Nibbles, Out::kF32>(*t);
}
OCTET_KERNEL void octet_gemmgroup_s8s8_q8_4x16c4_scalar(const GroupTile* t) {
  tile<int8_t, Bytes, Out::kQ8>(*t);
}
OCTET_KERNEL void octet_gemmgroup_s8s8_f32_4x16c4_scalar(const GroupTile* t) {
  tile<int8_t, Bytes, Out::kF32>(*t);
}
OCTET_KERNEL void octet_gemmgroup_s8u4_q8_4x16c8_scalar(const GroupTile* t) {
  tile<int8_t, Nibbles, Out::kQ8>(*t);
}
OCTET_KERNEL void octet_gemmgroup_s8u4_f32_4x16c8_scalar(const GroupTile* t) {
  tile<int8_t, Nibbles, Out::kF32>(*t);
}

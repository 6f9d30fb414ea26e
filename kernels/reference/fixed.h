// SPDX-License-Identifier: Apache-2.0
//
// The fixed-point multiplication of gemmlowp and TFLite (docs/numerics.md, "Numerics by name"),
// scalar: it defines the bits. In a namespace without a name: this header is for the reference and
// its tests.
#pragma once

#include "kernels/kernel.h"

namespace octet {
namespace {

// SRDHM: the high half of 2 * a * b, a half rounded up. Saturates where both are INT32_MIN.
inline int32_t rounded_high_product(int32_t a, int32_t b) {
  if (a == INT32_MIN && b == INT32_MIN) return INT32_MAX;
  const int64_t product = int64_t{a} * b;
  const int64_t nudge = product >= 0 ? int64_t{1} << 30 : 1 - (int64_t{1} << 30);
  return static_cast<int32_t>((product + nudge) / (int64_t{1} << 31));
}

// RDivPOT: x / 2^exponent, a half rounded away from 0; 0 <= exponent <= 31.
inline int32_t rounded_shift(int32_t x, int32_t exponent) {
  const int32_t mask = static_cast<int32_t>((uint32_t{1} << exponent) - 1);
  const int32_t threshold = (mask >> 1) + (x < 0);
  return (x >> exponent) + ((x & mask) > threshold);
}

// x * 2^shift, saturated.
inline int32_t saturated_shift(int32_t x, int32_t shift) {
  const int64_t y = int64_t{x} * (int64_t{1} << shift);
  return y > INT32_MAX ? INT32_MAX : y < INT32_MIN ? INT32_MIN : static_cast<int32_t>(y);
}

// acc * mult / 2^31 * 2^exponent. Rounded twice: at the product, then at the shift to the right. Or
// once, a half up, at the end.
inline int64_t scaled(int32_t acc, int32_t mult, int32_t exponent, int32_t rounding) {
  if (rounding == kRoundTwice)
    return rounded_shift(
        rounded_high_product(saturated_shift(acc, exponent > 0 ? exponent : 0), mult),
        exponent < 0 ? -exponent : 0);
  return (int64_t{acc} * mult + (int64_t{1} << (30 - exponent))) >> (31 - exponent);
}

inline uint8_t fixed_q8(int32_t acc, const Finish& f, int32_t col) {
  const int64_t y = scaled(acc, f.fixed_mult[col], f.fixed_exp[col], f.fixed_rounding);
  const int64_t lo = int64_t{f.lo} - f.zp, hi = int64_t{f.hi} - f.zp;
  return static_cast<uint8_t>((y < lo ? lo : y > hi ? hi : y) + f.zp);
}

}  // namespace
}  // namespace octet

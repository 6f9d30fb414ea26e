// SPDX-License-Identifier: Apache-2.0
#include "quant/fixed_point.h"

#include <math.h>

namespace octet {

FixedPoint quantize_multiplier(double d) {
  if (d == 0) return {0, 0};
  int exponent;
  const double half_to_one = frexp(d, &exponent);
  int64_t mult = static_cast<int64_t>(half_to_one * 0x1p31 + 0.5);
  if (mult == int64_t{1} << 31) {
    mult /= 2;
    ++exponent;
  }
  if (exponent < -31) return {0, 0};
  if (exponent > 30) return {INT32_MAX, 30};
  return {static_cast<int32_t>(mult), exponent};
}

int32_t round_even(float v) {
  if (v >= 0x1p31f) return INT32_MAX;
  if (v < -0x1p31f) return INT32_MIN;
  return static_cast<int32_t>(rintf(v));
}

int32_t round_away(float v) {
  if (v >= 0x1p31f) return INT32_MAX;
  if (v < -0x1p31f) return INT32_MIN;
  const double half = v < 0 ? -0.5 : 0.5;
  return static_cast<int32_t>(double{v} + half);  // towards 0
}

}  // namespace octet

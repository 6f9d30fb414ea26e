// SPDX-License-Identifier: Apache-2.0
//
// Real multipliers as integers with a power of two, as gemmlowp and TFLite write them
// (docs/numerics.md, "Numerics by name").
#pragma once

#include <stdint.h>

namespace octet {

// mult / 2^31 * 2^exponent; mult in [2^30, 2^31), or 0; exponent in [-31, 30].
struct FixedPoint {
  int32_t mult, exponent;
};

// The nearest to d >= 0, a half rounded up. Below 2^-32 it is 0. From 2^30 on it is the largest
// there is: times any other integer than 0 it leaves every 8-bit range, as d does.
FixedPoint quantize_multiplier(double d);

// The nearest integers to v, ties to even and away from 0, within int32. v is not NaN.
int32_t round_even(float v);
int32_t round_away(float v);

}  // namespace octet

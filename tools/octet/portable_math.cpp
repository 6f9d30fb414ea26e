// SPDX-License-Identifier: Apache-2.0
#include "portable_math.h"

#include <cmath>

namespace octet_cli {

float exp_nonpositive(float x) {
  if (!(x > -87.0f)) return 0.0f;
  // x = n ln 2 + r with |r| <= ln 2 / 2; ln 2 in two parts, the first of them with few bits, so
  // that n * part is exact.
  const float n = std::rint(x * 1.44269504f);
  const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  return std::ldexp(p, static_cast<int>(n));
}

double log_positive(double x) {
  int exponent = 0;
  double m = std::frexp(x, &exponent);  // in [0.5, 1)
  if (m < 0.70710678118654752) {
    m *= 2;
    --exponent;
  }
  // log m = 2 atanh(t) = 2 (t + t^3/3 + t^5/5 + ...), |t| <= 0.172.
  const double t = (m - 1) / (m + 1);
  const double t2 = t * t;
  double sum = 0;
  for (int k = 15; k >= 1; k -= 2) sum = sum * t2 + 1.0 / k;
  return 2 * t * sum + exponent * 0.69314718055994531;
}

}  // namespace octet_cli

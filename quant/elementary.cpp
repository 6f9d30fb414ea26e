// SPDX-License-Identifier: Apache-2.0
#include "quant/elementary.h"

#include <math.h>

namespace octet {
namespace {

constexpr double kLog2 = 0.69314718055994531;
// ln 2 in two parts; the first ends in 20 zero bits, so that n times it is exact.
constexpr double kLog2High = 0x1.62e42feep-1, kLog2Low = 0x1.a39ef35793c76p-33;

struct InverseFactorials {
  double of[15];
};
constexpr InverseFactorials inverse_factorials() {
  InverseFactorials f = {};
  double factorial = 1;  // exact
  for (int k = 0; k < 15; ++k) {
    if (k) factorial *= k;
    f.of[k] = 1 / factorial;
  }
  return f;
}
constexpr InverseFactorials kInverseFactorial = inverse_factorials();

}  // namespace

double exp_of(double x) {
  if (x != x) return x;
  if (x < -745) return 0;
  if (x > 709.5) return __builtin_inf();
  const double n = rint(x * 1.4426950408889634);
  const double r = (x - n * kLog2High) - n * kLog2Low;  // |r| <= 0.35
  // Taylor's series, r^14 / 14! being under 1e-17.
  double p = kInverseFactorial.of[14];
  for (int k = 13; k >= 0; --k) p = p * r + kInverseFactorial.of[k];
  return ldexp(p, static_cast<int>(n));
}

double log_of(double x) {
  int exponent = 0;
  double m = frexp(x, &exponent);  // in [0.5, 1)
  if (m < 0.70710678118654752) {
    m *= 2;
    --exponent;
  }
  // log m = 2 atanh(t) = 2 (t + t^3/3 + t^5/5 + ...), |t| <= 0.172.
  const double t = (m - 1) / (m + 1), square = t * t;
  double sum = 0;
  for (int k = 21; k >= 1; k -= 2) sum = sum * square + 1.0 / k;
  return 2 * t * sum + exponent * kLog2;
}

double power_of(double x, double y) { return exp_of(y * log_of(x)); }

double cos_pi(double t) {
  // Folded to [0, 1/4] turns of pi, where the series of cos and sin converge at once.
  const bool negative = t > 0.5;
  if (negative) t = 1 - t;
  const bool sine = t > 0.25;
  const double x = (sine ? 0.5 - t : t) * 3.14159265358979312, square = x * x;
  double p = 1;
  for (int k = sine ? 19 : 18; k >= 2; k -= 2) p = 1 - p * square / (k * (k - 1));
  if (sine) p *= x;
  return negative ? -p : p;
}

}  // namespace octet

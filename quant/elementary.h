// SPDX-License-Identifier: Apache-2.0
//
// exp, log and cos with the same bits everywhere: + - * / and powers of two alone, each rounded
// once in binary64 (docs/numerics.md, "No libm function whose bits vary"). Relative errors stay
// below 1e-14, which is far finer than anything that is kept as binary32.
#pragma once

namespace octet {

// e^x; 0 below -745, +inf above 709.
double exp_of(double x);

// Natural logarithm of a finite x > 0.
double log_of(double x);

// x^y for a finite x > 0: e^(y log x).
double power_of(double x, double y);

// cos(pi * t) for t in [0, 1].
double cos_pi(double t);

}  // namespace octet

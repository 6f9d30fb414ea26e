// SPDX-License-Identifier: Apache-2.0
//
// Some outputs of a convolution by its definition (docs/numerics.md, "Windows"), in plain loops:
// what Octet's own output is held to before it is taken as the measure of the peers'.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bench/problem.h"

namespace octet_cli {

struct ExactOutput {
  size_t at;         // element of the output
  int64_t sum;       // of (x - in_zero) * w
  double value = 0;  // the real number: sum * scales + bias
};

// All channels, at most 32 of them, spread, of all pixels, at most 200: the first, the last, and
// such as lie spread over image, borders and batch.
std::vector<ExactOutput> exact_outputs(const Problem& problem);

// How far a value of the output, as its form has it, is from what the exact one becomes: in steps
// (q8), units (s32), else as real numbers.
double distance(const Problem& problem, const ExactOutput& exact, const std::vector<uint8_t>& y);

// The largest distance that rounding explains. Dynamic forms quantize the input again, each
// library in its own way.
double tolerance(const Problem& problem);

}  // namespace octet_cli

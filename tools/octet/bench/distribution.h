// SPDX-License-Identifier: Apache-2.0
//
// Weights to measure with. Speed may depend on them (packing proves more where they are small), so
// each figure names the distribution that they were drawn from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "portable_math.h"

namespace octet_cli {

// A sample of the standard normal distribution, by Marsaglia's polar method.
double normal(Rng& rng);

// A sample of Student's t with 6 degrees of freedom.
double student_t6(Rng& rng);

// n x k int8 weights, row-major:
//   real     each channel is normal and scaled to a largest magnitude of 127: standard deviation
//            about 38 at K = 768, as layers look that were trained
//   heavy    the same with Student's t of 6 degrees of freedom: standard deviation about 27
//   uniform  -127..127
//   else     the name of a file of int8 values, of which the first n * k are taken
// The bits follow from the name and the shape alone. Throws UsageError: the file is missing or too
// short.
std::vector<int8_t> draw_weights(const std::string& distribution, size_t n, size_t k);

// Root of the mean of the squares; 0 where there are none.
double root_mean_square(const std::vector<int8_t>& w);

}  // namespace octet_cli

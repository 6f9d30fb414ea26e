// SPDX-License-Identifier: Apache-2.0
//
// From a distribution to the range that is quantized (docs/numerics.md, "Observers"): percentiles,
// the least divergence (entropy), the least squared error. Counts are exact integers until they
// meet binary64; no allocation, no libm function whose bits vary.
#pragma once

#include <stdint.h>

#include "quant/qparams.h"

namespace octet {

// Octet's histogram: bin i holds counts[i] elements of [(i - bins/2) w, (i + 1 - bins/2) w) with
// w = 2^exponent, but no zeros, which are apart (0 where they are to be left out).
struct Pow2Histogram {
  const uint64_t* counts;
  int32_t bins, exponent;
  uint64_t zeros;
  float min, max;  // of everything seen; it is not empty
};

// NVIDIA's: magnitudes, `bins` counts between bins + 1 edges.
struct AmaxHistogram {
  const uint64_t* counts;
  int64_t bins;
  double first, width;  // edge k is first + k width as a float, but while `whole` holds
  float last;           // whole: edges are a linspace from 0 to `last`
  bool whole;
  float amax;  // the largest magnitude seen

  float edge(int64_t k) const;
};

// PyTorch's: masses of equal parts of [min, max].
struct TorchHistogram {
  const float* masses;
  int32_t bins;
  float min, max;
};

struct Interval {
  float min, max;
};

// What the searches ask of a scheme.
struct Search {
  const Chooser* chooser;
  bool is_signed, symmetric;
  float percentile;           // (0, 100]
  int32_t start_bin, stride;  // at least 1
};

Interval percentile_range(const Pow2Histogram& h, const Search& s);
Interval entropy_range(const Pow2Histogram& h, const Search& s);
Interval mse_range(const Pow2Histogram& h, const Search& s);
// scratch: `bins` values. steps: integers of the quantized type.
Interval l2_range(const Pow2Histogram& h, int32_t steps, double* scratch);
Interval l2_range(const TorchHistogram& h, int32_t steps, double* scratch);

float percentile_amax(const AmaxHistogram& h, const Search& s);
float entropy_amax(const AmaxHistogram& h, const Search& s);
float mse_amax(const AmaxHistogram& h, const Search& s);

// Point k of `steps` + 1 ones that share [first, last] evenly, from whichever end is nearer.
float linspace(float first, float last, int64_t steps, int64_t k);

}  // namespace octet

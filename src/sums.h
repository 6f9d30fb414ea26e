// SPDX-License-Identifier: Apache-2.0
//
// Gradients that are sums over a tensor or over each of its channels: the pass over x and dy that
// writes dx and adds two terms of every element in binary64, in an order that depends on nothing
// but the logical tensor (docs/numerics.md, "Sums").
#pragma once

#include "src/sides.h"

namespace octet {

struct Gradient {
  GradFn* kernel;
  SumFn *sum, *sum_columns;
  bool sums_at_once;  // the kernel can add the terms itself
  View x, dy, dx;     // same dims
  Side side;          // whose scales the results belong to
  Range32 range;
  bool round_zero;  // the float zero points count as the integers nearest to them
  float lo, hi;     // clip
  double factor;    // of the sums
  size_t cache;     // bytes of the last cache; 0: unknown. A larger dx is stored past it
  float *d0, *d1;   // a result for each scale; d1 may be NULL
};

octet_status run_gradient(octet_error* err, const Exec& exec, const Gradient& g);

}  // namespace octet

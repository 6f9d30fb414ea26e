// SPDX-License-Identifier: Apache-2.0
//
// One element-wise call: tensors in, tensors out, qparams along any axis, on the caller's threads.
// What the kernels see are runs with one set of qparams or with one for each element.
#pragma once

#include "src/parallel.h"
#include "src/tensor.h"

namespace octet {

// The qparams of one side. axis -1: one scale for all. zero NULL: all 0. scale NULL: none.
struct Side {
  const float* scale;
  const int32_t* zero;
  int32_t axis;
};

struct Elementwise {
  RunFn* kernel;
  View x, y;      // same dims
  uint8_t* mask;  // dense, or NULL
  Side in, out;
  int32_t qmin, qmax;
  bool divide;
  bool fold;  // from S32: the kernel takes fl(in scale / out scale) as its input scale
};

octet_status run_elementwise(octet_error* err, const Exec& exec, const Elementwise& e);

// A dense view of U8 with the dims of x: how masks are walked and checked.
View mask_view(const View& x, const uint8_t* mask);

}  // namespace octet

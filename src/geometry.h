// SPDX-License-Identifier: Apache-2.0
//
// Windows that slide over an image (docs/numerics.md, "Windows"): kernel size, stride, dilation and
// padding of each spatial dim, the size of the output, and which taps of a window exist.
#pragma once

#include "src/tensor.h"

namespace octet {

constexpr int kMaxSpatial = 3;

// The window of one output index along one dim: `count` taps that exist, the first at input index
// `first`, `step` apart.
struct Window {
  int64_t first, count;
  int64_t extent;  // taps that exist or lie in the padding: what averages divide by
};

// One spatial dim. A dim that a tensor does not have has one index and one tap.
struct Axis {
  int64_t in = 1, out = 1;
  int64_t kernel = 1, stride = 1, dilation = 1, pad_lo = 0, pad_hi = 0;
  bool adaptive = false;  // out windows share the input evenly; the fields above do not count

  Window window(int64_t o) const;
  // Outputs [*begin, *end) whose windows lie inside the image as a whole.
  void interior(int64_t* begin, int64_t* end) const;
};

// Checks everything about g that does not depend on the image. flags: those it may have. kernel:
// the kernel's size along each of g->rank dims. On success *axes holds the dims last, D H W.
octet_status read_geometry(octet_error* err, const octet_geometry* g, uint32_t flags,
                           const int32_t* kernel, octet_geometry* given, Axis axes[kMaxSpatial]);

// Completes an axis with an input extent: floor((in + pads - reach) / stride) + 1 outputs, or
// rounded up, without a window that begins behind the image. No output where `in` is 0. ARGUMENT: a
// kernel larger than the padded image, unless the tensor is empty, which has no output then; `dim`
// names it in the sentence.
octet_status size_axis(octet_error* err, int dim, int64_t in, bool empty, bool ceil, Axis* axis);

}  // namespace octet

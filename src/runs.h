// SPDX-License-Identifier: Apache-2.0
//
// One element-wise call: tensors in, tensors out, qparams along any axis, on the caller's threads.
// What the kernels see are runs with one set of qparams or with one for each element.
#pragma once

#include "src/parallel.h"
#include "src/tensor.h"

namespace octet {

// The qparams of one side. axis -1: one scale for all, but for groups. zero NULL: all 0. scale
// NULL: none.
struct Side {
  const float* scale;
  const int32_t* zero;
  int32_t axis;
  const float* zero_f32;  // float zero points, or NULL
  int64_t group;          // elements of the last dim that share a scale, 0: all
};

// One step of a chain: a kernel and the bytes of the elements that it writes.
struct Link {
  RunFn* kernel;
  size_t item;
};
constexpr int kMaxLinks = 4;

constexpr size_t kUsualCache = size_t{8} << 20;  // bytes of the last cache, where it is unknown

struct Elementwise {
  RunFn* kernel;
  View x, y;      // same dims
  uint8_t* mask;  // dense, or NULL
  Side in, out;
  int32_t qmin, qmax;
  bool divide, away;
  bool fold;        // from S32: the kernel takes fl(in scale / out scale) as its input scale
  bool round_zero;  // the integers nearest to out.zero_f32 are the zero points
  // Not 0: out.scale holds magnitudes, which count times `amplify`; the kernel takes them and
  // fl(bound / magnitude), 0 where that is at most 2^-24. What follows in a chain takes integers.
  float bound, amplify;
  // Instead of the kernel: several one behind the other, what is between them staying in the cache.
  Link chain[kMaxLinks];
  int32_t links;

  size_t cache;  // bytes of the last cache; 0: unknown. Larger outputs are stored past it

  void add(RunFn* next, size_t item_out) { chain[links++] = {next, item_out}; }
};

// After stores past the caches, before another thread may read them.
inline void fence_streams() {
#if defined(__x86_64__)
  __builtin_ia32_sfence();
#endif
}

// The integer nearest to a float zero point, within the range.
int32_t nearest_zero(float zero, int32_t qmin, int32_t qmax);

// fl(bound / amax), or 0 where amax is too small to be told from 0.
float amax_scale(float bound, float amax);

octet_status run_elementwise(octet_error* err, const Exec& exec, const Elementwise& e);

// The last dim as two: groups and what is in each.
View split_groups(const View& v, int64_t group);

// A dense view of U8 with the dims of x: how masks are walked and checked.
View mask_view(const View& x, const uint8_t* mask);

}  // namespace octet

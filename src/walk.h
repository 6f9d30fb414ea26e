// SPDX-License-Identifier: Apache-2.0
//
// Tensors of equal dims, side by side, as contiguous runs: the innermost dims that are dense in all
// of them make one run, the others are levels around it. A dim that is "kept" (a channel axis) is
// merged with no other, so that it stays visible: as a level of its own or as the run itself.
#pragma once

#include "src/tensor.h"

namespace octet {

constexpr int kMaxWalked = 3;  // tensors side by side

struct Walk {
  struct Level {
    int64_t size;
    int64_t step[kMaxWalked];  // elements, in each tensor
    int32_t dim;               // the kept dim that this level is, or -1
  };
  int64_t inner = 1;       // elements of a run
  int32_t inner_dim = -1;  // the kept dim that the run is, or -1
  int64_t outer = 1;       // runs: the product of the levels' sizes
  int32_t levels = 0;
  Level level[7];  // the fastest first
};

// keep: mask of dims. All views have the dims of views[0]. For tensors with at least one element.
Walk make_walk(const View* const* views, int count, uint32_t keep);

// Takes a level out of the walk: what is left are the runs at one index of it.
Walk::Level take_level(Walk* w, int32_t i);

// A position among the runs of a walk: the index in each level and the offset in each tensor.
class Cursor {
 public:
  Cursor(const Walk& walk, int64_t run);
  void next();
  int64_t offset(int tensor) const { return offset_[tensor]; }
  // The index along a kept dim that is no run; 0 for a dim of one element.
  int64_t index(int32_t dim) const {
    for (int i = 0; i < walk_.levels; ++i)
      if (walk_.level[i].dim == dim) return at_[i];
    return 0;
  }

 private:
  const Walk& walk_;
  int64_t at_[7] = {}, offset_[kMaxWalked] = {};
};

}  // namespace octet

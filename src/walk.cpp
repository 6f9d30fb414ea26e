// SPDX-License-Identifier: Apache-2.0
#include "src/walk.h"

namespace octet {

Walk make_walk(const View* const* views, int count, uint32_t keep) {
  Walk w;
  const View& first = *views[0];
  // The group of dims being merged: at the start a run of one element.
  Walk::Level group = {1, {1, 1, 1}, -1};
  bool in_run = true;
  const auto close = [&] {
    if (in_run) {
      w.inner = group.size;
      w.inner_dim = group.dim;
    } else {
      w.outer *= group.size;
      w.level[w.levels++] = group;
    }
    in_run = false;
  };
  for (int i = first.rank - 1; i >= 0; --i) {
    if (first.dims[i] == 1) continue;
    const bool kept = keep >> i & 1;
    bool dense = true;  // the dim continues the group in every tensor
    for (int t = 0; t < count; ++t) dense &= views[t]->strides[i] == group.step[t] * group.size;
    // A group of one element can become anything.
    if (!dense || (group.size > 1 && (kept || group.dim >= 0))) {
      close();
      group.size = 1;
      for (int t = 0; t < count; ++t) group.step[t] = views[t]->strides[i];
    }
    group.size *= first.dims[i];
    group.dim = kept ? i : -1;
  }
  close();
  return w;
}

Walk::Level take_level(Walk* w, int32_t i) {
  const Walk::Level taken = w->level[i];
  w->outer /= taken.size;
  --w->levels;
  for (; i < w->levels; ++i) w->level[i] = w->level[i + 1];
  return taken;
}

Cursor::Cursor(const Walk& walk, int64_t run) : walk_(walk) {
  for (int i = 0; i < walk.levels; ++i) {
    const Walk::Level& l = walk.level[i];
    at_[i] = run % l.size;
    run /= l.size;
    for (int t = 0; t < kMaxWalked; ++t) offset_[t] += at_[i] * l.step[t];
  }
}

void Cursor::next() {
  for (int i = 0; i < walk_.levels; ++i) {
    const Walk::Level& l = walk_.level[i];
    const bool carry = ++at_[i] == l.size;
    if (carry) at_[i] = 0;
    for (int t = 0; t < kMaxWalked; ++t)
      offset_[t] += carry ? -(l.size - 1) * l.step[t] : l.step[t];
    if (!carry) return;
  }
}

}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
#include "src/ranges.h"

#include "src/walk.h"

namespace octet {
namespace {

constexpr int64_t kTask = 32768;   // elements that are worth a task
constexpr int64_t kMaxParts = 64;  // tasks of one range: their parts are on the stack
constexpr int64_t kColumns = 16;   // columns of a task

int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// One range over everything: each task takes a share of the elements of all runs, counted in run
// order, and has a part of its own.
struct Whole {
  RangeFn* kernel;
  const float* x;
  Walk walk;
  int64_t share, count;  // count: without repetitions
  Range parts[kMaxParts];

  static void work(void* arg, size_t task) {
    Whole& w = *static_cast<Whole*>(arg);
    Range& part = w.parts[task];
    int64_t i = static_cast<int64_t>(task) * w.share;
    const int64_t end = min(i + w.share, w.count);
    if (i >= end) return;
    Cursor at(w.walk, i / w.walk.inner);
    for (int64_t in_run = i % w.walk.inner; i < end; in_run = 0, at.next()) {
      const int64_t n = min(w.walk.inner - in_run, end - i);
      w.kernel(w.x + at.offset(0) + in_run, static_cast<size_t>(n), &part);
      i += n;
    }
  }
};

// Channels outside the runs: each is a walk over the other dims.
struct Outer {
  RangeFn* kernel;
  const float* x;
  Walk walk;  // without the channels' own level
  int64_t step, count, per_task;
  Range* into;

  static void work(void* arg, size_t task) {
    const Outer& o = *static_cast<const Outer*>(arg);
    const int64_t begin = static_cast<int64_t>(task) * o.per_task;
    for (int64_t c = begin; c < min(begin + o.per_task, o.count); ++c) {
      Cursor at(o.walk, 0);
      for (int64_t i = 0; i < o.walk.outer; ++i, at.next())
        o.kernel(o.x + c * o.step + at.offset(0), static_cast<size_t>(o.walk.inner), o.into + c);
    }
  }
};

// Channels along the runs: columns of the matrices that the two fastest dims make.
struct Columns {
  RangeColsFn* kernel;
  const float* x;
  Walk walk;  // without the level of the rows
  int64_t rows, pitch, count;
  Range* into;

  static void work(void* arg, size_t task) {
    const Columns& k = *static_cast<const Columns*>(arg);
    const int64_t first = static_cast<int64_t>(task) * kColumns;
    Cursor at(k.walk, 0);
    for (int64_t i = 0; i < k.walk.outer; ++i, at.next())
      k.kernel(k.x + at.offset(0) + first, static_cast<size_t>(k.rows), k.pitch,
               static_cast<size_t>(min(kColumns, k.count - first)), k.into + first);
  }
};

}  // namespace

void join(const Range& from, Range* into) {
  if (from.min < into->min) into->min = from.min;
  if (from.max > into->max) into->max = from.max;
  into->nan_count += from.nan_count;
  into->inf_count += from.inf_count;
}

octet_status observe(octet_error* err, const octet_context& c, const Exec& exec, const View& x,
                     int32_t axis, int64_t first, int64_t count, Range* into) {
  if (!x.count) return OCTET_OK;
  const View* const views[] = {&x};
  Walk walk = make_walk(views, 1, axis < 0 ? 0 : 1u << axis);
  const float* data = reinterpret_cast<const float*>(x.data);
  RangeFn* const minmax = kernel<RangeFn>(c, kMinMax, OCTET_F32, 0);

  if (axis < 0 || x.dims[axis] == 1) {
    // A dim of stride 0 repeats what it holds.
    uint64_t repeats = 1;
    for (int32_t i = walk.levels - 1; i >= 0; --i)
      if (!walk.level[i].step[0]) repeats *= static_cast<uint64_t>(take_level(&walk, i).size);
    Whole w = {minmax, data, walk, 0, walk.inner * walk.outer, {}};
    const int64_t parts = min(kMaxParts, ceil_div(w.count, kTask));
    w.share = ceil_div(w.count, parts);
    for (int64_t i = 0; i < parts; ++i) w.parts[i] = kEmptyRange;
    OCTET_TRY(run_tasks(err, exec, static_cast<size_t>(parts), Whole::work, &w));
    for (int64_t i = 0; i < parts; ++i) {
      w.parts[i].nan_count *= repeats;
      w.parts[i].inf_count *= repeats;
      join(w.parts[i], into);
    }
    return OCTET_OK;
  }
  if (walk.inner_dim == axis) {
    RangeColsFn* const minmaxcols = kernel<RangeColsFn>(c, kMinMaxCols, OCTET_F32, 0);
    Columns k = {minmaxcols, data + first, walk, 1, 0, count, into};
    if (k.walk.levels) {
      const Walk::Level rows = take_level(&k.walk, 0);
      k.rows = rows.size;
      k.pitch = rows.step[0];
    }
    return run_tasks(err, exec, static_cast<size_t>(ceil_div(count, kColumns)), Columns::work, &k);
  }
  int32_t level = 0;
  while (walk.level[level].dim != axis) ++level;
  const int64_t step = take_level(&walk, level).step[0];
  const int64_t per_task = max(1, kTask / (walk.inner * walk.outer));
  Outer o = {minmax, data + first * step, walk, step, count, per_task, into};
  return run_tasks(err, exec, static_cast<size_t>(ceil_div(count, per_task)), Outer::work, &o);
}

octet_status observe_groups(octet_error* err, const octet_context& c, const Exec& exec,
                            const View& x, int32_t axis, int64_t first, int64_t count,
                            Range* into) {
  const int32_t group_dim = x.rank - 2;
  const int64_t groups = x.dims[group_dim];
  while (count) {
    const int64_t at = first % groups, n = min(count, groups - at);
    View channel = x;
    if (axis >= 0) {
      channel.data += first / groups * x.strides[axis] * static_cast<int64_t>(x.item);
      channel.count /= x.dims[axis];
      channel.dims[axis] = 1;
    }
    OCTET_TRY(observe(err, c, exec, channel, group_dim, at, n, into));
    first += n;
    count -= n;
    into += n;
  }
  return OCTET_OK;
}

}  // namespace octet

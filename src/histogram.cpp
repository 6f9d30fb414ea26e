// SPDX-License-Identifier: Apache-2.0
//
// Feeding histograms. Kernels count short pieces in 16 bits; here these counts are added up. Counts
// are integers, so no order of pieces or tasks shows. Without channels a call may use several
// threads, each with tables of its own in the caller's workspace; with channels each task has
// channels of its own. Where bins depend on all of the data, its range is found first; Octet's
// histogram grows as it goes, and reads everything once.
#include <math.h>
#include <string.h>

#include "quant/calibrate.h"
#include "src/observer.h"
#include "src/walk.h"

namespace octet {
namespace {

constexpr int64_t kPiece = 1024;         // elements at once: they stay in L1 between two kernels
constexpr int64_t kIndexed = 512;        // elements whose bins are on the stack at once
constexpr int64_t kTask = 65536;         // elements that are worth a task
constexpr int64_t kSegment = 1ll << 30;  // elements that a task counts in 32 bits
constexpr int64_t kMaxTasks = 64;

int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }

// Where the elements of a channel are: runs of `inner` elements `step` apart.
struct Source {
  const float* x;
  Walk walk;  // without the level of the channels
  int64_t inner, step;
  int64_t channel_step;
  int64_t repeats;  // levels that repeat the same elements, taken out
  int64_t count() const { return walk.outer * inner; }
};

Source make_source(const View& x, int32_t axis) {
  const View* const views[] = {&x};
  Source s = {reinterpret_cast<const float*>(x.data),
              make_walk(views, 1, axis < 0 ? 0 : 1u << axis),
              1,
              1,
              0,
              1};
  s.inner = s.walk.inner;
  if (axis >= 0 && x.dims[axis] > 1) {
    if (s.walk.inner_dim == axis) {  // one element of each run belongs to a channel
      s.inner = 1;
      s.channel_step = 1;
    } else {
      int32_t level = 0;
      while (s.walk.level[level].dim != axis) ++level;
      s.channel_step = take_level(&s.walk, level).step[0];
    }
  }
  for (int32_t i = s.walk.levels - 1; i >= 0; --i)
    if (!s.walk.level[i].step[0]) s.repeats *= take_level(&s.walk, i).size;
  // Single elements of one level are a run.
  if (s.inner == 1 && s.walk.levels == 1) {
    const Walk::Level only = take_level(&s.walk, 0);
    s.inner = only.size;
    s.step = only.step[0];
  }
  return s;
}

// Hands elements begin .. end - 1 of a channel to use(x, n), at most kSize at once. Not inlined:
// the buffers of several would add up on one stack.
template <int64_t kSize = kIndexed, class Use>
[[gnu::noinline]] void pieces(const Source& s, int64_t channel, int64_t begin, int64_t end,
                              const Use& use) {
  float copy[kSize];
  if (begin >= end) return;
  Cursor at(s.walk, begin / s.inner);
  const float* const x = s.x + channel * s.channel_step;
  if (s.inner == 1) {  // gathered over several runs
    while (begin < end) {
      const int64_t n = min(kSize, end - begin);
      for (int64_t i = 0; i < n; ++i, at.next()) copy[i] = x[at.offset(0)];
      use(copy, n);
      begin += n;
    }
    return;
  }
  int64_t in_run = begin % s.inner;
  while (begin < end) {
    const int64_t n = min(min(kSize, s.inner - in_run), end - begin);
    const float* const from = x + at.offset(0) + in_run * s.step;
    if (s.step != 1)
      for (int64_t i = 0; i < n; ++i) copy[i] = from[i * s.step];
    use(s.step == 1 ? from : copy, n);
    begin += n;
    in_run += n;
    if (in_run < s.inner) continue;
    in_run = 0;
    at.next();
  }
}

// ---- one tensor -------------------------------------------------------------------------------

// A task's table, which counts in 32 bits, behind it the kernel's two ways of 16 bits.
class Table {
 public:
  Table(void* memory, int32_t bins)
      : bins_(bins),
        sums_(static_cast<uint32_t*>(memory)),
        ways_(reinterpret_cast<uint16_t*>(sums_ + bin_room(bins))) {}

  void clear() { memset(sums_, 0, table_bytes(bins_)); }
  void add(BinsFn* kernel, const Bins& b, const float* x, int64_t n) {
    const int64_t most = (n + 1) / kBinWays;  // of a bin in a way
    if (counted_ + most > UINT16_MAX) flush();
    counted_ += most;
    kernel(x, static_cast<size_t>(n), &b, nullptr, ways_);
  }
  void flush() {
    const size_t room = bin_room(bins_);
    for (size_t i = 0; i < room; ++i) sums_[i] += ways_[i] + uint32_t{ways_[room + i]};
    memset(ways_, 0, kBinWays * room * sizeof *ways_);
    counted_ = 0;
  }
  uint32_t* sums() { return sums_; }
  uint64_t zeros() const {
    uint64_t sum = 0;
    for (int32_t i = 0; i < kZeroWays; ++i) sum += sums_[bins_ + i];
    return sum;
  }

 private:
  int32_t bins_;
  int64_t counted_ = 0;
  uint32_t* sums_;
  uint16_t* ways_;
};

// Elements begin .. end - 1 in tasks with tables.
struct Tasks {
  BinsFn* kernel;
  const Source* source;
  int32_t bins;
  int64_t begin, end, share, tasks;
  char* tables;

  Table table(size_t task) const { return {tables + task * table_bytes(bins), bins}; }
  int64_t first(size_t task) const { return begin + static_cast<int64_t>(task) * share; }
  int64_t last(size_t task) const { return min(first(task) + share, end); }
  // The next elements; false after the last.
  bool next() {
    begin = end;
    end = min(source->count(), begin + tasks * kSegment);
    share = (end - begin + tasks - 1) / tasks;
    return begin < end;
  }
};

// Tasks and their tables: as many as the workspace has room for, else one on the observer's own.
Tasks make_tasks(const octet_observer& o, const Exec& exec, const Source& s, int32_t bins) {
  BinsFn* const kernel = octet::kernel<BinsFn>(*o.context, kBins, OCTET_F32, OCTET_S32);
  Tasks t = {kernel, &s, bins, 0, 0, 0, 1, static_cast<char*>(o.tables)};
  const size_t bytes = table_bytes(bins);
  const size_t slack = (64 - reinterpret_cast<uintptr_t>(exec.e.workspace) % 64) % 64;
  if (!exec.e.workspace || exec.e.workspace_bytes < slack + 2 * bytes || exec.e.max_threads < 2)
    return t;
  const int64_t room = static_cast<int64_t>((exec.e.workspace_bytes - slack) / bytes);
  const int64_t tasks = min(min(room, exec.e.max_threads), min(kMaxTasks, s.count() / kTask));
  if (tasks < 2) return t;
  t.tasks = tasks;
  t.tables = static_cast<char*>(exec.e.workspace) + slack;
  return t;
}

struct Tally {
  Tasks tasks;
  Bins bins;

  static void work(void* arg, size_t task) {
    const Tally& t = *static_cast<const Tally*>(arg);
    const Tasks& k = t.tasks;
    Table table = k.table(task);
    table.clear();
    pieces<kPiece>(*k.source, 0, k.first(task), k.last(task),
                   [&](const float* x, int64_t n) { table.add(k.kernel, t.bins, x, n); });
    table.flush();
  }
};

// Counts everything; each bin's counts go to add(bin, count), but zeros and what has no bin.
template <class Add>
octet_status tally(octet_error* err, const octet_observer& o, const Exec& exec, const Source& s,
                   const Bins& bins, const Add& add) {
  const uint64_t repeats = static_cast<uint64_t>(s.repeats);
  const size_t last = static_cast<size_t>(bins.bins);
  Tally t = {make_tasks(o, exec, s, bins.bins), bins};
  if (s.count() < bins.bins) {  // too few to gain by tables
    pieces(s, 0, 0, s.count(), [&](const float* x, int64_t n) {
      int32_t index[kIndexed];
      t.tasks.kernel(x, static_cast<size_t>(n), &bins, index, nullptr);
      for (int64_t i = 0; i < n; ++i)
        if (index[i] < bins.bins) add(static_cast<size_t>(index[i]), repeats);
    });
    return OCTET_OK;
  }
  while (t.tasks.next()) {
    const size_t tasks = static_cast<size_t>(t.tasks.tasks);
    OCTET_TRY(run_tasks(err, exec, tasks, Tally::work, &t));
    for (size_t b = 0; b < last; ++b) {
      uint64_t sum = 0;
      for (size_t k = 0; k < tasks; ++k) sum += t.tasks.table(k).sums()[b];
      if (sum) add(b, sum * repeats);
    }
  }
  return OCTET_OK;
}

// ---- Octet's ----------------------------------------------------------------------------------

// Neighbours become one bin, `shift` times: what was at i is at floor(i / 2^shift), counted from
// the middle. From the middle outwards nothing is overwritten before it is read.
template <class Count>
void widen(Count* counts, int32_t bins, int64_t shift) {
  const int64_t half = bins / 2;
  shift = min(shift, 32);
  Count* const positive = counts + half;
  Count* const negative = counts + half - 1;  // downwards
  for (int side = 0; side < 2; ++side) {
    Count* const at = side ? negative : positive;
    const int64_t step = side ? -1 : 1;
    for (int64_t i = 0; i < half; ++i) {
      const Count c = at[i * step];
      at[i * step] = 0;
      at[(i >> shift) * step] += c;
    }
  }
}

Bins pow2_bins(const octet_observer& o, int32_t exponent) {
  Bins b = {};
  b.form = kBinsPow2;
  b.bins = o.bins;
  b.scale = static_cast<float>(ldexp(1, -exponent));
  return b;
}

void hold_batch(octet_observer* o, size_t c) {
  const Range& r = o->batch[c];
  Channel& channel = o->channel[c];
  if (is_empty(r)) return;
  const int32_t e = exponent_for(r.min, r.max, o->bins);
  if (e <= channel.exponent) return;
  widen(o->counts + c * o->room(), o->bins, e - channel.exponent);
  channel.exponent = e;
}

// Counts elements one by one, where tables would cost more than they gain.
void count_few(const octet_observer& o, BinsFn* kernel, const Source& s, size_t c) {
  Channel& channel = o.channel[c];
  uint64_t* const counts = o.counts + c * o.room();
  const Bins bins = pow2_bins(o, channel.exponent);
  const uint64_t repeats = static_cast<uint64_t>(s.repeats);
  pieces(s, static_cast<int64_t>(c), 0, s.count(), [&](const float* x, int64_t n) {
    int32_t index[kIndexed];
    kernel(x, static_cast<size_t>(n), &bins, index, nullptr);
    for (int64_t i = 0; i < n; ++i) {
      if (index[i] < bins.bins)
        counts[index[i]] += repeats;
      else if (index[i] == bins.bins)
        channel.zeros += repeats;
    }
  });
}

struct ByChannel {
  octet_observer* o;
  BinsFn* kernel;
  const Source* source;
  int64_t per_task;

  static void work(void* arg, size_t task) {
    const ByChannel& b = *static_cast<const ByChannel*>(arg);
    const int64_t count = static_cast<int64_t>(b.o->count());
    const int64_t begin = static_cast<int64_t>(task) * b.per_task;
    for (int64_t c = begin; c < min(begin + b.per_task, count); ++c) {
      hold_batch(b.o, static_cast<size_t>(c));
      count_few(*b.o, b.kernel, *b.source, static_cast<size_t>(c));
    }
  }
};

octet_status feed_channels(octet_error* err, octet_observer* o, const Exec& exec, const Source& s) {
  const int64_t per_task = max(1, kTask / max(1, s.count()));
  ByChannel b = {o, kernel<BinsFn>(*o->context, kBins, OCTET_F32, OCTET_S32), &s, per_task};
  const int64_t tasks = (static_cast<int64_t>(o->count()) + per_task - 1) / per_task;
  return run_tasks(err, exec, static_cast<size_t>(tasks), ByChannel::work, &b);
}

// What follows x comes nearer while x is counted. An address that is not ours does no harm.
void prefetch_behind(const float* x, int64_t n) {
  constexpr int64_t kLine = 64 / sizeof(float);
  const auto end = reinterpret_cast<uintptr_t>(x + n);
  for (int64_t i = 0; i < n; i += kLine)
    __builtin_prefetch(reinterpret_cast<const void*>(end + static_cast<uintptr_t>(i) * 4), 0, 2);
}

// One pass: each piece is looked at, then counted while it is in L1. A task's table has bins of its
// own width, which grows with what the task sees.
struct Growing {
  struct Part {
    Range range;
    int32_t exponent;
  };
  Tasks tasks;
  const octet_observer* o;
  RangeFn* minmax;
  Part parts[kMaxTasks];

  static void work(void* arg, size_t task) {
    Growing& g = *static_cast<Growing*>(arg);
    g.count(g.tasks.table(task), g.tasks.first(task), g.tasks.last(task), &g.parts[task]);
  }

  void count(Table table, int64_t first, int64_t last, Part* part) const {
    Bins bins = pow2_bins(*o, part->exponent);
    table.clear();
    pieces<kPiece>(*tasks.source, 0, first, last, [&](const float* x, int64_t n) {
      Range range = kEmptyRange;
      minmax(x, static_cast<size_t>(n), &range);
      if (range.min < part->range.min || range.max > part->range.max) {
        const int32_t e = is_empty(range) ? -126 : exponent_for(range.min, range.max, o->bins);
        if (e > part->exponent) {
          table.flush();
          widen(table.sums(), o->bins, e - part->exponent);
          part->exponent = e;
          bins = pow2_bins(*o, e);
        }
      }
      join(range, &part->range);
      prefetch_behind(x, n);
      table.add(tasks.kernel, bins, x, n);
    });
    table.flush();
  }

  // The state is as it was until all tasks have ended.
  void take(octet_observer* into) {
    const uint64_t repeats = static_cast<uint64_t>(tasks.source->repeats);
    Channel* const channel = into->channel;
    int32_t e = channel->exponent;
    for (int64_t t = 0; t < tasks.tasks; ++t) e = parts[t].exponent > e ? parts[t].exponent : e;
    if (e > channel->exponent) widen(into->counts, into->bins, e - channel->exponent);
    channel->exponent = e;
    for (int64_t t = 0; t < tasks.tasks; ++t) {
      Table table = tasks.table(static_cast<size_t>(t));
      widen(table.sums(), into->bins, e - parts[t].exponent);
      for (int32_t b = 0; b < into->bins; ++b) into->counts[b] += table.sums()[b] * repeats;
      channel->zeros += table.zeros() * repeats;
      parts[t].range.nan_count *= repeats;
      parts[t].range.inf_count *= repeats;
      join(parts[t].range, into->batch);
    }
  }
};

octet_status feed_growing(octet_error* err, octet_observer* o, const Exec& exec, const Source& s) {
  Growing g = {
      make_tasks(*o, exec, s, o->bins), o, kernel<RangeFn>(*o->context, kMinMax, OCTET_F32, 0), {}};
  while (g.tasks.next()) {
    for (Growing::Part& part : g.parts) part = {kEmptyRange, o->channel->exponent};
    OCTET_TRY(run_tasks(err, exec, static_cast<size_t>(g.tasks.tasks), Growing::work, &g));
    g.take(o);
  }
  return OCTET_OK;
}

// ---- PyTorch's --------------------------------------------------------------------------------

// The bin of a value by torch.histc's formula.
int32_t part_of(float x, float first, float last, int32_t bins) {
  if (first == last) return bins / 2;
  const int32_t i = static_cast<int32_t>((x - first) * static_cast<float>(bins) / (last - first));
  return i < bins ? i : bins - 1;
}

// The masses of [from.min, from.max] brought to the bins of `to`: each bin is cut into 16 parts,
// which go where their midpoints lie.
void spread(const float* masses, int32_t bins, Range from, Range to, float* out) {
  constexpr int32_t kParts = 16;
  memset(out, 0, static_cast<size_t>(bins) * sizeof *out);
  if (from.min == from.max) {
    float sum = 0;
    for (int32_t i = 0; i < bins; ++i) sum += masses[i];
    out[part_of(from.min, to.min, to.max, bins)] = sum;
    return;
  }
  const int64_t parts = int64_t{kParts} * bins;
  const float half = 0.5f * ((from.max - from.min) / static_cast<float>(parts));
  int32_t at = 0;
  for (int64_t k = 0; k < parts; ++k) {
    const float middle = linspace(from.min, from.max, parts, k) + half;
    while (at + 1 < bins && linspace(to.min, to.max, bins, at + 1) <= middle) ++at;
    while (at > 0 && linspace(to.min, to.max, bins, at) > middle) --at;
    out[at] += masses[k / kParts] / kParts;
  }
}

octet_status feed_torch(octet_error* err, octet_observer* o, const Exec& exec, const Source& s) {
  const size_t bins = static_cast<size_t>(o->bins);
  const Range old = *o->ranges;
  Range now = old;
  join(*o->batch, &now);
  memset(o->counts, 0, bins * sizeof *o->counts);
  if (now.min == now.max) {
    o->counts[bins / 2] =
        static_cast<uint64_t>(s.count() * s.repeats) - o->batch->nan_count - o->batch->inf_count;
  } else {
    Bins b = {};
    b.form = kBinsLinear;
    b.bins = o->bins;
    b.first = now.min;
    b.last = now.max;
    b.count = static_cast<float>(o->bins);
    OCTET_TRY(tally(err, *o, exec, s, b, [&](size_t i, uint64_t n) {
      if (i < bins) o->counts[i] += n;
    }));
  }
  float* kept = o->masses;
  if (!is_empty(old) && (old.min != now.min || old.max != now.max)) {
    kept = o->masses + bins;
    spread(o->masses, o->bins, old, now, kept);
  }
  for (size_t i = 0; i < bins; ++i) o->masses[i] = static_cast<float>(o->counts[i]) + kept[i];
  return OCTET_OK;
}

// ---- NVIDIA's ---------------------------------------------------------------------------------

float magnitude(const Range& r) { return -r.min > r.max ? -r.min : r.max; }

// Edges that hold magnitudes up to amax. smallest: of this batch, for the first edge of numpy's.
Edges edges_for(const octet_observer& o, float amax, float smallest) {
  Edges e = o.edges;
  const bool numpy = o.flags & OCTET_NUMPY_EDGES;
  const double top = static_cast<double>(amax);
  if (!e.bins) {
    if (amax == 0) return e;
    const double low = numpy && !o.channel->zeros ? static_cast<double>(smallest) : 0;
    e.bins = o.bins;
    e.whole = !numpy;
    e.last = amax;
    e.first = low == top ? low - 0.5 : low;
    e.width = (low == top ? 1 : top - low) / e.bins;
    return e;
  }
  const AmaxHistogram h = {nullptr, e.bins, e.first, e.width, e.last, e.whole, 0};
  if (amax <= h.edge(e.bins)) return e;
  if (numpy) {
    const double last = e.first + static_cast<double>(e.bins) * e.width;
    const double more = ceil((top - last) / e.width);
    // Beyond every limit is refused by the caller, whatever its number.
    e.bins += more < 1e12 ? static_cast<int64_t>(more) : int64_t{1} << 40;
    return e;
  }
  if (e.whole) e.width = static_cast<double>(h.edge(1));
  e.whole = false;
  const double bins = ceil(static_cast<double>(amax / static_cast<float>(e.width)));
  e.bins = bins < 1e12 ? static_cast<int64_t>(bins) : int64_t{1} << 40;
  // A quotient that was rounded down must not lose the largest value.
  if (static_cast<float>(static_cast<double>(e.bins) * e.width) < amax) ++e.bins;
  return e;
}

// numpy.histogram: a value belongs to the bin whose edges are around it.
void count_numpy(octet_observer* o, const Source& s, const Edges& e) {
  const auto edge = [&](int64_t k) { return e.first + static_cast<double>(k) * e.width; };
  const uint64_t repeats = static_cast<uint64_t>(s.repeats);
  pieces(s, 0, 0, s.count(), [&](const float* x, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      const float m = fabsf(x[i]);
      const double v = static_cast<double>(m);
      if (!(v >= e.first) || m - m != 0) continue;
      if (v == 0 && o->flags & OCTET_SKIP_ZEROS) continue;
      int64_t k = min(static_cast<int64_t>((v - e.first) / e.width), e.bins - 1);
      while (k > 0 && v < edge(k)) --k;
      while (k + 1 < e.bins && v >= edge(k + 1)) ++k;
      o->counts[k] += repeats;
    }
  });
}

float smallest_magnitude(const octet_observer& o, const Source& s) {
  float least = __builtin_inff();
  pieces(s, 0, 0, s.count(), [&](const float* x, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      const float m = fabsf(x[i]);
      if (m < least && !(m == 0 && o.flags & OCTET_SKIP_ZEROS)) least = m;
    }
  });
  return least;
}

octet_status feed_nvidia(octet_error* err, octet_observer* o, const Exec& exec, const Source& s) {
  const bool numpy = o->flags & OCTET_NUMPY_EDGES, skip = o->flags & OCTET_SKIP_ZEROS;
  const float amax = magnitude(*o->batch);
  const float smallest = numpy && !o->edges.bins ? smallest_magnitude(*o, s) : 0;
  const Edges e = edges_for(*o, amax, smallest);
  if (e.bins > static_cast<int64_t>(o->max_bins)) {
    const octet_status status =
        fail(err, OCTET_ERR_TOO_SMALL,
             "The histogram would need %lld bins to hold %g, but octet_observer_desc.max_bins is "
             "%zu; make one with more, or feed a batch of the whole range first.",
             static_cast<long long>(e.bins), static_cast<double>(amax), o->max_bins);
    if (err) err->need = e.bins * static_cast<int64_t>(sizeof *o->counts);
    return status;
  }
  const AmaxHistogram h = {nullptr, e.bins, e.first, e.width, e.last, e.whole, 0};
  if (e.bins && !(h.edge(e.bins) * static_cast<float>(e.bins) <= 3.4e38f))
    return fail(err, OCTET_ERR_NOT_FINITE,
                "The values up to %g are too large for bins in float; scale the data first.",
                static_cast<double>(amax));
  if (!e.bins) {  // nothing but zeros so far: they wait for the first edges
    if (!skip)
      o->channel->zeros +=
          static_cast<uint64_t>(s.count() * s.repeats) - o->batch->nan_count - o->batch->inf_count;
    return OCTET_OK;
  }
  const bool first = !o->edges.bins;
  if (numpy) {
    count_numpy(o, s, e);
  } else {
    Bins b = {};
    b.form = kBinsLinear;
    b.bins = static_cast<int32_t>(e.bins);
    b.last = h.edge(e.bins);
    b.count = static_cast<float>(e.bins);
    b.absolute = 1;
    b.skip_zeros = skip;
    OCTET_TRY(tally(err, *o, exec, s, b, [&](size_t i, uint64_t n) {
      if (i < static_cast<size_t>(e.bins)) o->counts[i] += n;
    }));
  }
  o->edges = e;
  if (first) o->counts[0] += o->channel->zeros;
  o->channel->zeros = 0;
  return OCTET_OK;
}

}  // namespace

int32_t exponent_for(float low, float high, int32_t bins) {
  // The least e with -half 2^e <= low and high < half 2^e, all of it exact.
  const double half = bins / 2;
  int32_t e = -126;
  const auto held = [&](int32_t with) {
    const double end = ldexp(half, with);
    return -end <= static_cast<double>(low) && static_cast<double>(high) < end;
  };
  if (low == 0 && high == 0) return e;
  int exponent;
  frexp(static_cast<double>(-low > high ? -low : high) / half, &exponent);
  if (exponent - 2 > e) e = exponent - 2;
  while (!held(e)) ++e;
  return e;
}

void merge_bins(const Channel& from, const uint64_t* from_counts, int32_t bins, Channel* into,
                uint64_t* into_counts) {
  if (from.exponent > into->exponent) {
    widen(into_counts, bins, from.exponent - into->exponent);
    into->exponent = from.exponent;
  }
  const int64_t half = bins / 2, shift = min(into->exponent - from.exponent, 32);
  for (int64_t i = 0; i < bins; ++i)
    if (from_counts[i]) into_counts[half + ((i - half) >> shift)] += from_counts[i];
  into->zeros += from.zeros;
}

octet_status feed_bins(octet_error* err, octet_observer* o, const Exec& exec, const View& x,
                       int32_t axis) {
  const Source s = make_source(x, axis);
  const bool pow2 = o->kind == OCTET_OBSERVE_HISTOGRAM;
  const int64_t channels = static_cast<int64_t>(o->count());
  for (int64_t i = 0; i < channels; ++i) o->batch[i] = kEmptyRange;
  if (pow2 && channels == 1 && s.count() >= o->bins) return feed_growing(err, o, exec, s);
  OCTET_TRY(observe(err, *o->context, exec, x, axis, 0, channels, o->batch));
  if (pow2) return feed_channels(err, o, exec, s);
  if (is_empty(*o->batch)) return OCTET_OK;
  if (o->kind == OCTET_OBSERVE_NVIDIA_HISTOGRAM) return feed_nvidia(err, o, exec, s);
  Range all = *o->ranges;
  join(*o->batch, &all);
  if (!((all.max - all.min) * static_cast<float>(o->bins) <= 3.4e38f))
    return fail(err, OCTET_ERR_NOT_FINITE,
                "The range [%g, %g] is too wide for bins in float; scale the data first, or use "
                "OCTET_OBSERVE_HISTOGRAM.",
                static_cast<double>(all.min), static_cast<double>(all.max));
  return feed_torch(err, o, exec, s);
}

}  // namespace octet

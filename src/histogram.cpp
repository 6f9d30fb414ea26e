// SPDX-License-Identifier: Apache-2.0
//
// Feeding histograms. Kernels find the bins of short pieces; here their elements are counted.
// Counts are integers, so no order of pieces or tasks shows. Without channels a call may use
// several threads, each with tables of its own in the caller's workspace; with channels each task
// has channels of its own.
#include <math.h>
#include <string.h>

#include "quant/calibrate.h"
#include "src/observer.h"
#include "src/walk.h"

namespace octet {
namespace {

constexpr int64_t kPiece = 512;          // elements whose bins are on the stack at once
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

// Hands elements begin .. end - 1 of a channel to use(x, n), at most kPiece at once.
template <class Use>
void pieces(const Source& s, int64_t channel, int64_t begin, int64_t end, const Use& use) {
  float copy[kPiece];
  if (begin >= end) return;
  Cursor at(s.walk, begin / s.inner);
  const float* const x = s.x + channel * s.channel_step;
  if (s.inner == 1) {  // gathered over several runs
    while (begin < end) {
      const int64_t n = min(kPiece, end - begin);
      for (int64_t i = 0; i < n; ++i, at.next()) copy[i] = x[at.offset(0)];
      use(copy, n);
      begin += n;
    }
    return;
  }
  int64_t in_run = begin % s.inner;
  while (begin < end) {
    const int64_t n = min(min(kPiece, s.inner - in_run), end - begin);
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

struct Tally {
  BinsFn* kernel;
  const Source* source;
  Bins bins;
  int64_t begin, end, share;
  uint32_t* tables;  // a set for each task
  size_t set;        // entries of a set

  static void work(void* arg, size_t task) {
    const Tally& t = *static_cast<const Tally*>(arg);
    const int64_t begin = t.begin + static_cast<int64_t>(task) * t.share;
    uint32_t* const table = t.tables + task * t.set;
    static_assert(kBinWays == 4);
    const size_t way = t.set / kBinWays;
    uint32_t *const second = table + way, *const third = second + way, *const fourth = third + way;
    memset(table, 0, t.set * sizeof *table);
    pieces(*t.source, 0, begin, min(begin + t.share, t.end), [&](const float* x, int64_t n) {
      int32_t index[kPiece];
      t.kernel(x, static_cast<size_t>(n), &t.bins, index);
      int64_t i = 0;
      for (; i + kBinWays <= n; i += kBinWays) {
        ++table[static_cast<uint32_t>(index[i])];
        ++second[static_cast<uint32_t>(index[i + 1])];
        ++third[static_cast<uint32_t>(index[i + 2])];
        ++fourth[static_cast<uint32_t>(index[i + 3])];
      }
      for (; i < n; ++i) ++table[index[i]];
    });
  }
};

// Tasks and their tables: as many as the workspace has room for, else one on the observer's own.
int64_t place_tables(const octet_observer& o, const Exec& exec, int64_t count, Tally* t) {
  const size_t bytes = t->set * sizeof(uint32_t);
  const size_t slack = (64 - reinterpret_cast<uintptr_t>(exec.e.workspace) % 64) % 64;
  t->tables = o.tables;
  if (!exec.e.workspace || exec.e.workspace_bytes < slack + 2 * bytes || exec.e.max_threads < 2)
    return 1;
  const int64_t room = static_cast<int64_t>((exec.e.workspace_bytes - slack) / bytes);
  const int64_t tasks = min(min(room, exec.e.max_threads), min(kMaxTasks, count / kTask));
  if (tasks < 2) return 1;
  t->tables = reinterpret_cast<uint32_t*>(static_cast<char*>(exec.e.workspace) + slack);
  return tasks;
}

// Counts everything; each bin's counts go to add(bin, count), bin `bins` being that of the zeros.
template <class Add>
octet_status tally(octet_error* err, const octet_observer& o, const Exec& exec, const Source& s,
                   const Bins& bins, const Add& add) {
  const size_t slots = static_cast<size_t>(bins.bins) + 2;
  const uint64_t repeats = static_cast<uint64_t>(s.repeats);
  BinsFn* const kernel = octet::kernel<BinsFn>(*o.context, kBins, OCTET_F32, OCTET_S32);
  if (s.count() < bins.bins) {  // too few to gain by tables
    pieces(s, 0, 0, s.count(), [&](const float* x, int64_t n) {
      int32_t index[kPiece];
      kernel(x, static_cast<size_t>(n), &bins, index);
      for (int64_t i = 0; i < n; ++i)
        if (index[i] <= bins.bins) add(static_cast<size_t>(index[i]), repeats);
    });
    return OCTET_OK;
  }
  Tally t = {kernel, &s, bins, 0, 0, 0, nullptr, slots * kBinWays};
  const int64_t tasks = place_tables(o, exec, s.count(), &t);
  for (; t.begin < s.count(); t.begin = t.end) {
    t.end = min(s.count(), t.begin + tasks * kSegment);
    t.share = (t.end - t.begin + tasks - 1) / tasks;
    OCTET_TRY(run_tasks(err, exec, static_cast<size_t>(tasks), Tally::work, &t));
    for (size_t b = 0; b + 1 < slots; ++b) {
      uint64_t sum = 0;
      for (int64_t k = 0; k < tasks * kBinWays; ++k)
        sum += t.tables[static_cast<size_t>(k) * slots + b];
      if (sum) add(b, sum * repeats);
    }
  }
  return OCTET_OK;
}

// ---- Octet's ----------------------------------------------------------------------------------

// Neighbours become one bin, `shift` times: what was at i is at floor(i / 2^shift), counted from
// the middle. From the middle outwards nothing is overwritten before it is read.
void widen(uint64_t* counts, int32_t bins, int64_t shift) {
  const int64_t half = bins / 2;
  shift = min(shift, 32);
  uint64_t* const positive = counts + half;
  uint64_t* const negative = counts + half - 1;  // downwards
  for (int side = 0; side < 2; ++side) {
    uint64_t* const at = side ? negative : positive;
    const int64_t step = side ? -1 : 1;
    for (int64_t i = 0; i < half; ++i) {
      const uint64_t c = at[i * step];
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
      const size_t at = static_cast<size_t>(c);
      hold_batch(b.o, at);
      Channel& channel = b.o->channel[c];
      uint64_t* const counts = b.o->counts + at * b.o->room();
      const Bins bins = pow2_bins(*b.o, channel.exponent);
      const uint64_t repeats = static_cast<uint64_t>(b.source->repeats);
      pieces(*b.source, c, 0, b.source->count(), [&](const float* x, int64_t n) {
        int32_t index[kPiece];
        b.kernel(x, static_cast<size_t>(n), &bins, index);
        for (int64_t i = 0; i < n; ++i) {
          if (index[i] < bins.bins)
            counts[index[i]] += repeats;
          else if (index[i] == bins.bins)
            channel.zeros += repeats;
        }
      });
    }
  }
};

octet_status feed_pow2(octet_error* err, octet_observer* o, const Exec& exec, const Source& s,
                       bool by_channel) {
  if (by_channel) {
    const int64_t per_task = max(1, kTask / max(1, s.count()));
    ByChannel b = {o, kernel<BinsFn>(*o->context, kBins, OCTET_F32, OCTET_S32), &s, per_task};
    const int64_t tasks = (static_cast<int64_t>(o->count()) + per_task - 1) / per_task;
    return run_tasks(err, exec, static_cast<size_t>(tasks), ByChannel::work, &b);
  }
  hold_batch(o, 0);
  const size_t zeros = static_cast<size_t>(o->bins);
  return tally(err, *o, exec, s, pow2_bins(*o, o->channel->exponent),
               [&](size_t b, uint64_t n) { (b == zeros ? o->channel->zeros : o->counts[b]) += n; });
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
  if (o->kind == OCTET_OBSERVE_HISTOGRAM)
    return feed_pow2(err, o, exec, s, axis >= 0 && o->count() > 1);
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

// SPDX-License-Identifier: Apache-2.0
#include "src/sums.h"

#include <string.h>

#include "src/walk.h"

namespace octet {
namespace {

constexpr int64_t kChunk = 4096;  // elements whose 16 lanes become one number
constexpr int64_t kTurn = 16;     // elements, one for each lane
constexpr int64_t kTerms = 1024;  // terms on the stack: a quarter of a chunk
constexpr int64_t kTask = 32768;  // elements that are worth a task
constexpr size_t kLine = 64;      // bytes of a cache line
constexpr int64_t kColumns = 16;  // results that are summed side by side

int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The 16 lanes of a chunk, `step` doubles apart: i with i + 8, + 4, + 2, + 1.
[[gnu::noinline]] double add_lanes(double* lanes, int64_t step) {
  for (int64_t far = 8; far; far /= 2)
    for (int64_t i = 0; i < far; ++i) lanes[i * step] += lanes[(i + far) * step];
  return lanes[0];
}

float result(double sum, double factor) {
  const float v = static_cast<float>(sum * factor);
  return v == v ? v : __builtin_bit_cast(float, 0x7FC00000u);
}

// The parameters of one result.
struct One {
  float scale, inv, float_zero;
  int32_t zero;

  One(const Gradient& g, int64_t i) {
    const bool floats = g.side.zero_f32 && !g.round_zero;
    scale = g.side.scale ? g.side.scale[i] : 1;
    inv = g.range.divide ? scale : 1.0f / scale;
    float_zero = floats ? g.side.zero_f32[i] : 0;
    zero = g.side.zero ? g.side.zero[i]
           : g.side.zero_f32 && g.round_zero
               ? nearest_zero(g.side.zero_f32[i], g.range.qmin, g.range.qmax)
               : 0;
  }
};

Grad start(const Gradient& g) {
  Grad k = {};
  k.qmin = g.range.qmin;
  k.qmax = g.range.qmax;
  k.divide = g.range.divide;
  k.away = g.range.away;
  k.lo = g.lo;
  k.hi = g.hi;
  return k;
}

const float* reals(const View& v, int64_t offset) {
  return reinterpret_cast<const float*>(v.data) + offset;
}

// One sum of terms that come in order.
class Lanes {
 public:
  void add(const Gradient& g, const float* terms, int64_t n) {
    g.sum(terms, static_cast<size_t>(n), lanes_);
  }
  double* data() { return lanes_; }
  double take() {
    const double sum = add_lanes(lanes_, 1);
    memset(lanes_, 0, sizeof lanes_);
    return sum;
  }

 private:
  double lanes_[16] = {};
};

// dx does not fit into the caches, and is not there already.
bool streams(const Gradient& g) {
  const size_t bytes = static_cast<size_t>(g.dx.count) * sizeof(float);
  return g.dx.data != g.dy.data && bytes > (g.cache ? g.cache : kUsualCache);
}

// Runs of one result in their order. Chunks end where they do whatever the runs; their sums go to
// `partial`, two for each chunk, or are added up.
class Adder {
 public:
  Adder(const Gradient& g, int64_t i, double* partial)
      : g_(g),
        one_(g, i),
        kernel_(start(g)),
        partial_(partial),
        stream_(streams(g)),
        at_once_(g.sums_at_once && !g.range.divide && !g.range.away &&
                 (!g.side.zero_f32 || g.round_zero)) {
    kernel_.scale = &one_.scale;
    kernel_.inv = &one_.inv;
    kernel_.zero = &one_.zero;
    if (g.side.zero_f32 && !g.round_zero) kernel_.float_zero = &one_.float_zero;
  }

  [[gnu::noinline]] void run(int64_t x, int64_t dy, int64_t dx, int64_t n) {
    while (n) {
      // Whole turns of the lanes without a detour through memory; else what completes one.
      const bool at_once = at_once_ && !filled_ && n >= kTurn;
      int64_t part = min(n, kTerms - filled_);
      if (at_once)
        part = min(n, kChunk - in_chunk_) / kTurn * kTurn;
      else if (at_once_)
        part = min(n, kTurn - filled_);
      kernel_.lanes0 = at_once ? lanes0_.data() : nullptr;
      kernel_.lanes1 = at_once ? lanes1_.data() : nullptr;
      kernel_.x = reals(g_.x, x);
      kernel_.dy = reals(g_.dy, dy);
      kernel_.dx = const_cast<float*>(reals(g_.dx, dx));
      kernel_.t0 = terms0_ + filled_;
      kernel_.t1 = terms1_ + filled_;
      kernel_.n = static_cast<size_t>(part);
      kernel_.stream = stream_ && reinterpret_cast<uintptr_t>(kernel_.dx) % kLine == 0;
      g_.kernel(&kernel_);
      x += part, dy += part, dx += part, n -= part;
      if (at_once) {
        in_chunk_ += part;
        if (in_chunk_ == kChunk) close_chunk();
        continue;
      }
      filled_ += part;
      if (filled_ == (at_once_ ? kTurn : kTerms)) flush();
    }
  }

  [[gnu::noinline]] void finish() {
    if (stream_) fence_streams();
    if (filled_) flush();
    if (in_chunk_) close_chunk();
  }
  double sum0() const { return sum0_; }
  double sum1() const { return sum1_; }

 private:
  [[gnu::noinline]] void flush() {
    lanes0_.add(g_, terms0_, filled_);
    lanes1_.add(g_, terms1_, filled_);
    in_chunk_ += filled_;
    filled_ = 0;
    if (in_chunk_ == kChunk) close_chunk();
  }
  void close_chunk() {
    const double s0 = lanes0_.take(), s1 = lanes1_.take();
    in_chunk_ = 0;
    if (partial_) {
      *partial_++ = s0;
      *partial_++ = s1;
    } else {
      sum0_ += s0;
      sum1_ += s1;
    }
  }

  const Gradient& g_;
  const One one_;
  Grad kernel_;
  double* partial_;
  const bool stream_, at_once_;
  int64_t filled_ = 0, in_chunk_ = 0;
  double sum0_ = 0, sum1_ = 0;
  Lanes lanes0_, lanes1_;
  float terms0_[kTerms], terms1_[kTerms];
};

void store(const Gradient& g, int64_t i, double s0, double s1) {
  g.d0[i] = result(s0, g.factor);
  if (g.d1) g.d1[i] = result(s1, g.factor);
}

// ---- one result: tasks are chunks ---------------------------------------------------------------

struct Whole {
  const Gradient* g;
  Walk walk;
  int64_t count, per_task;  // elements
  double* partial;

  static void work(void* arg, size_t task) {
    const Whole& w = *static_cast<const Whole*>(arg);
    int64_t i = static_cast<int64_t>(task) * w.per_task;
    const int64_t end = min(i + w.per_task, w.count);
    Adder adder(*w.g, 0, w.partial + i / kChunk * 2);
    w.add(&adder, i, end);
  }
  void add(Adder* adder, int64_t i, int64_t end) const {
    Cursor at(walk, i / walk.inner);
    for (int64_t in_run = i % walk.inner; i < end; in_run = 0, at.next()) {
      const int64_t n = min(walk.inner - in_run, end - i);
      adder->run(at.offset(0) + in_run, at.offset(1) + in_run, at.offset(2) + in_run, n);
      i += n;
    }
    adder->finish();
  }
};

[[gnu::noinline]] void add_serially(const Whole& w) {
  Adder adder(*w.g, 0, nullptr);
  w.add(&adder, 0, w.count);
  store(*w.g, 0, adder.sum0(), adder.sum1());
}

octet_status one_result(octet_error* err, const Exec& exec, const Gradient& g, const Walk& walk) {
  Whole w = {&g, walk, g.x.count, kTask, nullptr};
  const int64_t chunks = ceil_div(w.count, kChunk), tasks = ceil_div(w.count, kTask);
  Carver carver(exec.e.workspace);
  w.partial = carver.take<double>(static_cast<size_t>(chunks) * 2);
  const bool room = exec.e.workspace && carver.bytes() <= exec.e.workspace_bytes;
  if (!room || !exec.e.parallel_for || tasks < 2) {
    add_serially(w);
    return OCTET_OK;
  }
  OCTET_TRY(run_tasks(err, exec, static_cast<size_t>(tasks), Whole::work, &w));
  double s0 = 0, s1 = 0;
  for (int64_t i = 0; i < chunks; ++i) {
    s0 += w.partial[2 * i];
    s1 += w.partial[2 * i + 1];
  }
  store(g, 0, s0, s1);
  return OCTET_OK;
}

// ---- results outside the runs: each is a walk over the other dims
// --------------------------------

struct Outer {
  const Gradient* g;
  Walk walk;
  int64_t count, groups, per_task;
  int32_t axis, group_dim;  // or -1

  static void work(void* arg, size_t task) {
    const Outer& o = *static_cast<const Outer*>(arg);
    const int64_t begin = static_cast<int64_t>(task) * o.per_task;
    for (int64_t i = begin; i < min(begin + o.per_task, o.count); ++i) o.add(i);
  }
  int64_t offset(const View& v, int64_t i) const {
    int64_t at = axis < 0 ? 0 : i / groups * v.strides[axis];
    if (group_dim >= 0) at += i % groups * v.strides[group_dim];
    return at;
  }
  void add(int64_t i) const {
    Adder adder(*g, i, nullptr);
    const int64_t x = offset(g->x, i), dy = offset(g->dy, i), dx = offset(g->dx, i);
    Cursor at(walk, 0);
    for (int64_t k = 0; k < walk.outer; ++k, at.next())
      adder.run(x + at.offset(0), dy + at.offset(1), dx + at.offset(2), walk.inner);
    adder.finish();
    store(*g, i, adder.sum0(), adder.sum1());
  }
};

// ---- results along the runs: columns -----------------------------------------------------------

struct Columns {
  const Gradient* g;
  Walk walk;
  int64_t count;

  struct Params {
    float scale[kColumns], inv[kColumns], float_zero[kColumns];
    int32_t zero[kColumns];
  };

  static void work(void* arg, size_t task) {
    const Columns& c = *static_cast<const Columns*>(arg);
    const int64_t first = static_cast<int64_t>(task) * kColumns;
    c.add(first, min(kColumns, c.count - first));
  }
  void add(int64_t first, int64_t n) const {
    Params p;
    for (int64_t i = 0; i < n; ++i) {
      const One one(*g, first + i);
      p.scale[i] = one.scale;
      p.inv[i] = one.inv;
      p.float_zero[i] = one.float_zero;
      p.zero[i] = one.zero;
    }
    Grad k = start(*g);
    k.scale = p.scale;
    k.inv = p.inv;
    k.zero = p.zero;
    if (g->side.zero_f32 && !g->round_zero) k.float_zero = p.float_zero;
    k.step = 1;
    k.n = static_cast<size_t>(n);
    double lanes0[16 * kColumns] = {}, lanes1[16 * kColumns] = {};
    double sum0[kColumns] = {}, sum1[kColumns] = {};
    float terms0[kColumns], terms1[kColumns];
    k.t0 = terms0;
    k.t1 = terms1;
    Cursor at(walk, 0);
    for (int64_t row = 0; row < walk.outer; ++row, at.next()) {
      k.x = reals(g->x, at.offset(0) + first);
      k.dy = reals(g->dy, at.offset(1) + first);
      k.dx = const_cast<float*>(reals(g->dx, at.offset(2) + first));
      g->kernel(&k);
      const int64_t lane = row % 16 * kColumns;
      g->sum_columns(terms0, k.n, lanes0 + lane);
      g->sum_columns(terms1, k.n, lanes1 + lane);
      if ((row + 1) % kChunk && row + 1 < walk.outer) continue;
      for (int64_t i = 0; i < n; ++i) {
        sum0[i] += add_lanes(lanes0 + i, kColumns);
        sum1[i] += add_lanes(lanes1 + i, kColumns);
      }
      memset(lanes0, 0, sizeof lanes0);
      memset(lanes1, 0, sizeof lanes1);
    }
    for (int64_t i = 0; i < n; ++i) store(*g, first + i, sum0[i], sum1[i]);
  }
};

octet_status many_results(octet_error* err, const Exec& exec, const Gradient& g,
                          int32_t group_dim) {
  const int32_t axis = g.side.axis;
  const View* const views[] = {&g.x, &g.dy, &g.dx};
  uint32_t keep = 0;
  if (axis >= 0) keep |= 1u << axis;
  if (group_dim >= 0) keep |= 1u << group_dim;
  const Walk all = make_walk(views, 3, keep);
  if (all.inner_dim >= 0 && all.inner_dim == axis) {
    Columns c = {&g, all, g.x.dims[axis]};
    return run_tasks(err, exec, static_cast<size_t>(ceil_div(c.count, kColumns)), Columns::work,
                     &c);
  }
  View one[3] = {g.x, g.dy, g.dx};
  const View* const parts[] = {&one[0], &one[1], &one[2]};
  for (View& v : one)
    for (const int32_t dim : {axis, group_dim})
      if (dim >= 0) v.dims[dim] = 1;
  Outer o = {&g, make_walk(parts, 3, 0), 1, 1, 1, axis, group_dim};
  if (group_dim >= 0) o.groups = g.x.dims[group_dim];
  o.count = (axis >= 0 ? g.x.dims[axis] : 1) * o.groups;
  o.per_task = max(1, kTask / max(1, o.walk.inner * o.walk.outer));
  return run_tasks(err, exec, static_cast<size_t>(ceil_div(o.count, o.per_task)), Outer::work, &o);
}

}  // namespace

octet_status run_gradient(octet_error* err, const Exec& exec, const Gradient& given) {
  Gradient g = given;
  int32_t group_dim = -1;
  if (g.side.group) {
    for (View* v : {&g.x, &g.dy, &g.dx}) *v = split_groups(*v, g.side.group);
    group_dim = g.x.rank - 2;
  }
  if (!g.x.count) {  // sums of nothing
    int64_t results = g.side.axis >= 0 ? g.x.dims[g.side.axis] : 1;
    if (group_dim >= 0) results *= g.x.dims[group_dim];
    for (int64_t i = 0; i < results; ++i) store(g, i, 0, 0);
    return OCTET_OK;
  }
  if (g.side.axis >= 0 || group_dim >= 0) return many_results(err, exec, g, group_dim);
  const View* const views[] = {&g.x, &g.dy, &g.dx};
  return one_result(err, exec, g, make_walk(views, 3, 0));
}

}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
#include "src/runs.h"

#include <math.h>

#include "src/walk.h"

namespace octet {
namespace {

constexpr int64_t kRun = 16384;  // elements of a run at most: what threads share out
constexpr int64_t kChannelRun =
    256;                          // of a run with qparams for each element: derived on the stack
constexpr int64_t kTask = 32768;  // elements that are worth a task
constexpr int64_t kStreamTask = 262144;    // the same with a fence at the end
constexpr int64_t kWorthStreaming = 1024;  // elements of a run
constexpr int64_t kPiece = 512;            // of a chain: what is between two links is on the stack

struct Job {
  const Elementwise* e;
  Walk walk;
  int64_t run, strips, units, units_per_task;
  int32_t group_dim;  // the dim whose indices are groups, or -1
  int64_t groups;
  bool stream;
};

// Qparams of one run in the form that kernels take: pointers into the caller's arrays where these
// serve as they are, else to what is derived here.
class RunParams {
 public:
  explicit RunParams(const Job& job) : job_(job), e_(*job.e), walk_(job.walk) {}

  [[gnu::noinline]] void set(const Cursor& at, int64_t first, int64_t count, Run* r) {
    const bool in_each = has_each(e_.in), out_each = has_each(e_.out);
    const int64_t i = index(e_.in, at, in_each ? first : 0);
    const int64_t o = index(e_.out, at, out_each ? first : 0);
    r->in_step = in_each || (e_.fold && out_each);
    r->out_step = out_each;
    if (e_.in.scale) {
      r->in_scale = e_.in.scale + i;
      r->in_zero = zeros(e_.in, i);
      if (e_.in.zero_f32) r->in_float = e_.in.zero_f32 + i;
    }
    if (e_.out.scale) {
      const int64_t n = out_each ? count : 1;
      r->out_scale = e_.out.scale + o;
      r->out_zero = zeros(e_.out, o);
      if (e_.out.zero_f32) set_float_zero(e_.out.zero_f32 + o, n, r);
      r->out_inv = e_.divide && e_.bound == 0 ? r->out_scale : inverse_;
      if (e_.bound != 0)
        set_magnitudes(n, r);
      else if (!e_.divide)
        for (int64_t k = 0; k < n; ++k) inverse_[k] = e_.fold ? 1.0f : 1.0f / r->out_scale[k];
    }
    if (e_.fold) {
      for (int64_t k = 0; k < (r->in_step ? count : 1); ++k)
        folded_[k] = e_.in.scale[i + (in_each ? k : 0)] / e_.out.scale[o + (out_each ? k : 0)];
      r->in_scale = folded_;
    }
  }

 private:
  // A scale for each element of the run: its dim is that of the channels, or of groups of one.
  bool has_each(const Side& s) const {
    if (walk_.inner_dim < 0) return false;
    return s.axis == walk_.inner_dim || (s.group && job_.group_dim == walk_.inner_dim);
  }
  // Where the run's scales begin; `first`: elements of the run before it.
  int64_t index(const Side& s, const Cursor& at, int64_t first) const {
    int64_t i = s.axis < 0 ? 0 : at.index(s.axis);
    if (s.group) i = i * job_.groups + at.index(job_.group_dim);
    return i + first;
  }
  const int32_t* zeros(const Side& s, int64_t i) const { return s.zero ? s.zero + i : zeros_; }

  void set_float_zero(const float* zero, int64_t n, Run* r) {
    if (!e_.round_zero) {
      r->out_float = zero;
      return;
    }
    for (int64_t k = 0; k < n; ++k) rounded_[k] = nearest_zero(zero[k], e_.qmin, e_.qmax);
    r->out_zero = rounded_;
  }
  void set_magnitudes(int64_t n, Run* r) {
    for (int64_t k = 0; k < n; ++k) {
      folded_[k] = r->out_scale[k] * e_.amplify;
      inverse_[k] = amax_scale(e_.bound, folded_[k]);
    }
    r->out_scale = folded_;
  }

  const Job& job_;
  const Elementwise& e_;
  const Walk& walk_;
  float inverse_[kChannelRun], folded_[kChannelRun];
  int32_t zeros_[kChannelRun] = {}, rounded_[kChannelRun];
};

int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

// Bytes of n elements, the first of which begins one.
int64_t bytes_of(const View& v, int64_t n) {
  return n * static_cast<int64_t>(v.item) / per_byte(v.type);
}

constexpr float kOne = 1;
constexpr int32_t kNone = 0;

// The links of a chain over a whole run, piece by piece.
void run_chain(const Elementwise& e, const Run& whole) {
  alignas(64) float buffers[2][kPiece];
  const auto along = [](auto* p, int32_t step, int64_t i) { return p && step ? p + i : p; };
  const int64_t n = static_cast<int64_t>(whole.n);
  for (int64_t i = 0; i < n; i += kPiece) {
    Run r = whole;
    r.n = static_cast<size_t>(min(kPiece, n - i));
    r.in_scale = along(r.in_scale, r.in_step, i);
    r.in_zero = along(r.in_zero, r.in_step, i);
    r.in_float = along(r.in_float, r.in_step, i);
    r.out_inv = along(r.out_inv, r.out_step, i);
    r.out_scale = along(r.out_scale, r.out_step, i);
    r.out_zero = along(r.out_zero, r.out_step, i);
    r.out_float = along(r.out_float, r.out_step, i);
    r.x = static_cast<const char*>(whole.x) + bytes_of(e.x, i);
    for (int32_t k = 0; k < e.links; ++k) {
      const bool last = k + 1 == e.links;
      r.y = last ? static_cast<char*>(whole.y) + bytes_of(e.y, i)
                 : static_cast<void*>(buffers[k % 2]);
      e.chain[k].kernel(&r);
      r.x = r.y;
      if (e.bound != 0) {
        r.out_inv = &kOne;
        r.out_zero = &kNone;
        r.out_step = r.divide = 0;
      }
    }
  }
}

// Units are numbered strip by strip, so that qparams along the run stay the same for many units.
void work(void* arg, size_t task) {
  const Job& job = *static_cast<const Job*>(arg);
  const Elementwise& e = *job.e;
  RunParams params(job);
  Run r = {};
  r.qmin = e.qmin;
  r.qmax = e.qmax;
  r.divide = e.divide;
  r.away = e.away;
  r.stream = job.stream;
  int64_t unit = static_cast<int64_t>(task) * job.units_per_task;
  const int64_t end = min(unit + job.units_per_task, job.units);
  while (unit < end) {
    const int64_t strip = unit / job.walk.outer, first = strip * job.run;
    const int64_t n = min(job.run, job.walk.inner - first);
    const int64_t strip_end = min(end, (strip + 1) * job.walk.outer);
    Cursor at(job.walk, unit % job.walk.outer);
    for (; unit < strip_end; ++unit, at.next()) {
      params.set(at, first, n, &r);
      r.n = static_cast<size_t>(n);
      r.x = e.x.data + bytes_of(e.x, at.offset(0) + first);
      r.y = e.y.data + bytes_of(e.y, at.offset(1) + first);
      r.mask = e.mask ? e.mask + at.offset(2) + first : nullptr;
      if (e.links)
        run_chain(e, r);
      else
        e.kernel(&r);
    }
  }
  // What went past the caches is there for other threads. Once a task: a fence waits for memory.
  if (job.stream) fence_streams();
}

}  // namespace

int32_t nearest_zero(float zero, int32_t qmin, int32_t qmax) {
  const float low = static_cast<float>(qmin), high = static_cast<float>(qmax);
  return static_cast<int32_t>(rintf(zero > low ? (zero < high ? zero : high) : low));
}

float amax_scale(float bound, float amax) { return amax <= 0x1p-24f ? 0.0f : bound / amax; }

View mask_view(const View& x, const uint8_t* mask) {
  View m = x;
  m.data = reinterpret_cast<char*>(const_cast<uint8_t*>(mask));
  m.type = OCTET_U8;
  m.item = 1;
  int64_t step = 1;
  for (int i = x.rank - 1; i >= 0; --i) {
    m.strides[i] = step;
    step *= x.dims[i];
  }
  return m;
}

View split_groups(const View& v, int64_t group) {
  View s = v;
  const int32_t last = s.rank++ - 1;
  s.dims[last] /= group;
  s.dims[last + 1] = group;
  s.strides[last + 1] = s.strides[last];
  s.strides[last] *= group;
  return s;
}

octet_status run_elementwise(octet_error* err, const Exec& exec, const Elementwise& e) {
  if (!e.x.count) return OCTET_OK;
  const int64_t group = e.in.group ? e.in.group : e.out.group;
  const View x = group ? split_groups(e.x, group) : e.x;
  const View y = group ? split_groups(e.y, group) : e.y;
  const View mask = mask_view(x, e.mask);
  const View* const views[] = {&x, &y, &mask};
  const int32_t group_dim = group ? x.rank - 2 : -1;
  uint32_t keep = group ? 1u << group_dim : 0;
  if (e.in.axis >= 0) keep |= 1u << e.in.axis;
  if (e.out.axis >= 0) keep |= 1u << e.out.axis;
  Job job = {&e, make_walk(views, e.mask ? 3 : 2, keep), 0, 0, 0, 0, group_dim, 1, false};
  if (group) job.groups = x.dims[group_dim];
  const Walk& w = job.walk;
  job.run = min(w.inner, w.inner_dim >= 0 ? kChannelRun : kRun);
  job.strips = (w.inner + job.run - 1) / job.run;
  job.units = job.strips * w.outer;
  // What does not fit into the last cache is not worth a place in any, unless it is there already.
  const size_t out = static_cast<size_t>(bytes_of(y, y.count));
  job.stream = !e.links && job.run >= kWorthStreaming && y.data != x.data &&
               out > (e.cache ? e.cache : kUsualCache);
  job.units_per_task = ((job.stream ? kStreamTask : kTask) + job.run - 1) / job.run;
  const int64_t tasks = (job.units + job.units_per_task - 1) / job.units_per_task;
  return run_tasks(err, exec, static_cast<size_t>(tasks), work, &job);
}

}  // namespace octet

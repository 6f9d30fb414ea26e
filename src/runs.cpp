// SPDX-License-Identifier: Apache-2.0
#include "src/runs.h"

#include "src/walk.h"

namespace octet {
namespace {

constexpr int64_t kRun = 16384;  // elements of a run at most: what threads share out
constexpr int64_t kChannelRun =
    256;                          // of a run with qparams for each element: derived on the stack
constexpr int64_t kTask = 32768;  // elements that are worth a task

struct Job {
  const Elementwise* e;
  Walk walk;
  int64_t run, strips, units, units_per_task;
};

// Qparams of one run in the form that kernels take: pointers into the caller's arrays where these
// serve as they are, else to what is derived here.
class RunParams {
 public:
  explicit RunParams(const Job& job) : e_(*job.e), walk_(job.walk) {}

  void set(const Cursor& at, int64_t first, int64_t count, Run* r) {
    const bool in_each = has_each(e_.in), out_each = has_each(e_.out);
    const int64_t i = in_each ? first : channel(e_.in, at),
                  o = out_each ? first : channel(e_.out, at);
    r->in_step = in_each || (e_.fold && out_each);
    r->out_step = out_each;
    if (e_.in.scale) {
      r->in_scale = e_.in.scale + i;
      r->in_zero = zeros(e_.in, i);
    }
    if (e_.out.scale) {
      const int64_t n = out_each ? count : 1;
      r->out_scale = e_.out.scale + o;
      r->out_zero = zeros(e_.out, o);
      r->out_inv = e_.divide ? r->out_scale : inverse_;
      if (!e_.divide)
        for (int64_t k = 0; k < n; ++k) inverse_[k] = 1.0f / r->out_scale[k];
    }
    if (e_.fold) {
      for (int64_t k = 0; k < (r->in_step ? count : 1); ++k)
        folded_[k] = e_.in.scale[i + (in_each ? k : 0)] / e_.out.scale[o + (out_each ? k : 0)];
      r->in_scale = folded_;
    }
  }

 private:
  bool has_each(const Side& s) const { return s.axis >= 0 && s.axis == walk_.inner_dim; }
  static int64_t channel(const Side& s, const Cursor& at) {
    return s.axis < 0 ? 0 : at.index(s.axis);
  }
  const int32_t* zeros(const Side& s, int64_t i) const { return s.zero ? s.zero + i : zeros_; }

  const Elementwise& e_;
  const Walk& walk_;
  float inverse_[kChannelRun], folded_[kChannelRun];
  int32_t zeros_[kChannelRun] = {};
};

int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }

// Units are numbered strip by strip, so that qparams along the run stay the same for many units.
void work(void* arg, size_t task) {
  const Job& job = *static_cast<const Job*>(arg);
  const Elementwise& e = *job.e;
  RunParams params(job);
  Run r = {};
  r.qmin = e.qmin;
  r.qmax = e.qmax;
  r.divide = e.divide;
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
      r.x = e.x.data + (at.offset(0) + first) * static_cast<int64_t>(e.x.item);
      r.y = e.y.data + (at.offset(1) + first) * static_cast<int64_t>(e.y.item);
      r.mask = e.mask ? e.mask + at.offset(2) + first : nullptr;
      e.kernel(&r);
    }
  }
}

}  // namespace

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

octet_status run_elementwise(octet_error* err, const Exec& exec, const Elementwise& e) {
  if (!e.x.count) return OCTET_OK;
  const View mask = mask_view(e.x, e.mask);
  const View* const views[] = {&e.x, &e.y, &mask};
  uint32_t keep = 0;
  if (e.in.axis >= 0) keep |= 1u << e.in.axis;
  if (e.out.axis >= 0) keep |= 1u << e.out.axis;
  Job job = {&e, make_walk(views, e.mask ? 3 : 2, keep), 0, 0, 0, 0};
  const Walk& w = job.walk;
  job.run = min(w.inner, w.inner_dim >= 0 ? kChannelRun : kRun);
  job.strips = (w.inner + job.run - 1) / job.run;
  job.units = job.strips * w.outer;
  job.units_per_task = (kTask + job.run - 1) / job.run;
  const int64_t tasks = (job.units + job.units_per_task - 1) / job.units_per_task;
  return run_tasks(err, exec, static_cast<size_t>(tasks), work, &job);
}

}  // namespace octet

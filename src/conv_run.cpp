// SPDX-License-Identifier: Apache-2.0
//
// A call of a convolution: its samples together, or one after the other where each has a scale of
// its own or must be rewritten first; of each its phases. Nothing is allocated.
#include "src/conv_tiles.h"
#include "src/ranges.h"

namespace octet {

namespace {

constexpr float kNan = __builtin_nanf("");  // 0x7FC00000
constexpr int64_t kSpan = 512;              // elements quantized at a time on the stack
constexpr int64_t kRangeTasks = 64;         // each with a range in the workspace

int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

// Elements of a sample.
int64_t sample_size(const ConvCall& call) {
  int64_t n = 1;
  for (int i = 1; i < call.x.rank; ++i) n *= call.x.dims[i];
  return n;
}

bool fills_columns(const Conv& v) { return v.linear.input != Input::kStatic; }

// The image is rewritten before the tiles or the gathering read it.
bool rewrites(const Conv& v, bool direct) {
  return v.linear.dynamic() || (direct && v.linear.form != static_cast<int32_t>(v.linear.q_type));
}

struct Scratch {
  char* columns;
  Range* ranges;
  char* pad;
  char* image;
  char* slots;
  size_t slot_bytes, bytes;

  Scratch(const octet_context& c, const Conv& v, const ConvCall& call, bool direct,
          const Exec& exec, void* base) {
    Carver carve(base);
    const ConvForm& f = v.form();
    const size_t item = direct && v.linear.form == OCTET_S16 ? 2 : 1;
    columns = carve.take<char>(fills_columns(v) ? conv_columns_bytes(v.w) : 0);
    ranges = carve.take<Range>(v.linear.dynamic() ? kRangeTasks : 0);
    pad = carve.take<char>(direct ? pad_elements(f) * item : 0);
    image =
        carve.take<char>(rewrites(v, direct) ? static_cast<size_t>(sample_size(call)) * item : 0);
    if (v.rung == Rung::kDepthwise) {
      slot_bytes = depthwise_bytes(v, call, exec);
      slots = carve.take<char>(slot_bytes);
    } else {
      // Whole cache lines: slots begin at multiples of 64.
      slot_bytes =
          (ConvScratch(c, v, direct, call.batch * call.pixels(), nullptr).bytes + 63) / 64 * 64;
      slots = carve.take<char>(slot_bytes * slot_count(exec));
    }
    bytes = carve.bytes();
  }

  // For samples one by one and all together, with the workers that there may be.
  static size_t depthwise_bytes(const Conv& v, const ConvCall& call, const Exec& exec) {
    Exec e = exec;
    if (e.e.max_threads > 1) e.e.parallel_for = [](void*, size_t, octet_task, void*) { return 0; };
    const size_t one = depthwise_workspace(v.depthwise, call.axes, 1, e);
    if (call.batch == 1) return one;
    const size_t all = depthwise_workspace(v.depthwise, call.axes, call.batch, e);
    return one < all ? all : one;
  }

  static size_t pad_elements(const ConvForm& f) {
    return static_cast<size_t>(f.in_channels * (f.row_runs() ? f.kernel[2] : 1)) + 3;
  }
};

// ---- activations ------------------------------------------------------------------------------

// Lines along the last spatial dim of some samples.
struct Lines {
  const Conv& v;
  const View& x;
  const char* data;  // the first sample
  Steps steps;       // bytes
  int64_t samples, depth, height, width, channels;
  int64_t count, per_task;

  Lines(const Conv& conv, const ConvCall& call, int64_t first, int64_t n)
      : v(conv),
        x(call.x),
        steps(steps_of(call.x)),
        samples(n),
        depth(call.axes[0].in),
        height(call.axes[1].in),
        width(call.axes[2].in),
        channels(conv.form().in_channels) {
    data = x.data + first * steps.n;
    count = samples * depth * height;
    per_task =
        max64(1, max64(32768 / (width * channels + 1), (count + kRangeTasks - 1) / kRangeTasks));
  }
  int64_t tasks() const { return (count + per_task - 1) / per_task; }
  // visit(bytes of the caller, index of the first element, elements) for the stretches of a line.
  template <class Visit>
  void walk(int64_t line, Visit visit) const {
    const int64_t h = line % height, d = line / height % depth, n = line / height / depth;
    const char* from = data + n * steps.n + d * steps.d[0] + h * steps.d[1];
    const int64_t first = line * width * channels;
    if (steps.d[2] == channels * static_cast<int64_t>(x.item)) {
      visit(from, first, width * channels);
      return;
    }
    for (int64_t w = 0; w < width; ++w, from += steps.d[2])
      visit(from, first + w * channels, channels);
  }
};

struct RangeJob {
  const Lines& lines;
  Range* ranges;
};

void range_task(void* arg, size_t task) {
  const RangeJob& j = *static_cast<const RangeJob*>(arg);
  const int64_t first = static_cast<int64_t>(task) * j.lines.per_task;
  Range r = kEmptyRange;
  for (int64_t line = first; line < min64(j.lines.count, first + j.lines.per_task); ++line)
    j.lines.walk(line, [&](const char* x, int64_t, int64_t n) {
      j.lines.v.linear.minmax(reinterpret_cast<const float*>(x), static_cast<size_t>(n), &r);
    });
  j.ranges[task] = r;
}

struct Scale {
  float scale;
  int32_t zero;
  bool finite;  // else every output is a NaN
};

octet_status choose_scale(octet_error* err, const Exec& exec, const Lines& lines, Range* ranges,
                          Scale* out) {
  RangeJob job = {lines, ranges};
  const size_t tasks = static_cast<size_t>(lines.tasks());
  OCTET_TRY(run_tasks(err, exec, tasks, range_task, &job));
  Range all = {0, 0, 0, 0};  // the range always holds 0
  for (size_t i = 0; i < tasks; ++i) join(ranges[i], &all);
  *out = {1, 0, false};
  if (all.nan_count || all.inf_count) return OCTET_OK;
  Scale s = {1, 0, true};
  choose(lines.v.linear.scheme.chooser, all.min, all.max, &s.scale, &s.zero);
  if (scale_in_domain(s.scale)) *out = s;
  return OCTET_OK;
}

struct RewriteJob {
  const Lines& lines;
  char* to;
  bool wide;
  float inverse;
  int32_t zero;  // of the operands
};

void rewrite(const RewriteJob& j, const char* x, char* to, int64_t count) {
  const Linear& l = j.lines.v.linear;
  Run run = {};
  run.n = static_cast<size_t>(count);
  if (!l.dynamic()) {
    run.x = x;
    run.y = to;
    (j.wide ? l.widen : l.flip)(&run);
    return;
  }
  run.out_inv = &j.inverse;
  run.out_zero = &j.zero;
  run.qmin = l.scheme.chooser.qmin + l.shift;
  run.qmax = l.scheme.chooser.qmax + l.shift;
  run.divide = l.scheme.divide;
  if (!j.wide) {
    run.x = x;
    run.y = to;
    l.quantize(&run);
    return;
  }
  alignas(64) uint8_t bytes[kSpan];
  Run widen = {};
  widen.x = bytes;
  for (int64_t i = 0; i < count; i += kSpan) {
    run.n = widen.n = static_cast<size_t>(min64(kSpan, count - i));
    run.x = reinterpret_cast<const float*>(x) + i;
    run.y = bytes;
    l.quantize(&run);
    widen.y = to + 2 * i;
    l.widen(&widen);
  }
}

void rewrite_task(void* arg, size_t task) {
  const RewriteJob& j = *static_cast<const RewriteJob*>(arg);
  const int64_t first = static_cast<int64_t>(task) * j.lines.per_task;
  for (int64_t line = first; line < min64(j.lines.count, first + j.lines.per_task); ++line)
    j.lines.walk(line, [&](const char* x, int64_t at, int64_t n) {
      rewrite(j, x, j.to + at * (j.wide ? 2 : 1), n);
    });
}

// ---- the call ---------------------------------------------------------------------------------

// Outputs of a phase without taps: the finish of sums of 0. Some rows of gathered layers need K;
// the reference does not, and has a tile for each class.
const Row* tapless_row(int32_t out) {
  for (size_t i = 0; i < octet_row_count; ++i) {
    const Row& r = octet_rows[i];
    if (r.family == kGemm && r.isa == kIsaScalar && r.in == OCTET_U8 && r.weight == OCTET_S8 &&
        r.out == out)
      return &r;
  }
  return nullptr;
}

struct Call {
  const octet_context& ctx;
  const Conv& v;
  const ConvCall& call;
  const Exec& exec;
  const Scratch& s;
  bool direct;
  const Row* chosen;  // the main row that octet_exec.plan asks for, or nullptr
};

Steps times(const Steps& s, const Slide* slides) {
  return {s.n,
          {s.d[0] * slides[0].out_step, s.d[1] * slides[1].out_step, s.d[2] * slides[2].out_step}};
}

int64_t start_of(const Steps& s, const Slide* slides) {
  return s.d[0] * slides[0].out_first + s.d[1] * slides[1].out_first + s.d[2] * slides[2].out_first;
}

// The plan that phases share whose outputs lie in runs of so many pixels.
struct PhasePlan {
  int64_t pixels = 0;
  GemmPlan plan = {};
};

// One phase of samples first .. first + j->samples.
octet_status run_phase(octet_error* err, const Call& c, ConvJob* j, int64_t first,
                       PhasePlan* kept) {
  const Conv& v = c.v;
  const ConvForm& f = v.form();
  for (int i = 0; i < kMaxSpatial; ++i)
    j->slides[i] =
        f.transposed ? phase_slide(f, i, j->phase, c.call.axes[i]) : plain_slide(c.call.axes[i]);
  if (!j->pixels()) return OCTET_OK;
  const Steps out = steps_of(c.call.y);
  j->out = times(out, j->slides);
  j->y = c.call.y.data + first * out.n + start_of(out, j->slides);
  j->r = nullptr;
  j->residual = {};
  if (c.call.has_residual) {
    const Steps residual = steps_of(c.call.r);
    j->residual = times(residual, j->slides);
    j->r = c.call.r.data + first * residual.n + start_of(residual, j->slides);
  }
  find_runs(j);
  j->unit = unit_view(v.w, j->phase, 0);
  if (v.joined_k && !c.direct) {
    j->unit.k = v.joined_k;
    j->unit.panels = v.joined;
    j->unit.panel_stride = v.joined_k * 16;
  }
  j->runs = f.runs(j->phase);
  j->taps_before = f.transposed ? f.phase_k(j->phase, 0) / max64(1, f.padded_run(0)) : 0;
  // Rows of zeros add nothing: no sums of their own are needed then.
  if (c.direct && v.omits.any() && (v.omits.ibias || !j->operand_zero)) {
    j->omits = &v.omits;
    j->line = j->slides[2].out * (v.omits.dim ? 1 : j->slides[1].out);
  }
  j->finish.ibias = j->ibias + j->phase * f.slots();
  const GemmTable& table = c.direct ? v.direct_table : v.linear.table;
  GemmPlan none = {};
  if (!c.direct && !j->runs) {
    none.main = none.full[1] = none.edge[1] = tapless_row(table.rows[0]->out);
    j->plan = &none;
  } else {
    if (kept->pixels != j->run && c.chosen)
      replan_gemm(c.ctx, table, j->run, c.exec.e.max_threads, c.chosen, &kept->plan);
    else if (kept->pixels != j->run)
      OCTET_TRY(select_gemm(err, c.ctx, table, j->run, c.exec.e.max_threads, 0, &kept->plan));
    kept->pixels = j->run;
    j->plan = &kept->plan;
  }
  const int64_t tasks = cut_conv(j, c.exec.e.max_threads);
  return run_tasks(err, c.exec, static_cast<size_t>(tasks), conv_task, j);
}

// Samples first .. first + j.samples of a depthwise layer.
octet_status run_channels(octet_error* err, const Call& c, const ConvJob& j, int64_t first) {
  const Steps out = steps_of(c.call.y);
  DepthwiseCall d = {};
  d.x = reinterpret_cast<const uint8_t*>(j.image);
  d.y = c.call.y.data + first * out.n;
  d.batch = j.samples;
  const auto steps = [](const Steps& s, int64_t* to) {
    to[0] = s.n;
    for (int i = 0; i < kMaxSpatial; ++i) to[1 + i] = s.d[i];
  };
  steps(j.in, d.step_x);
  steps(out, d.step_y);
  if (c.call.has_residual) {
    const Steps residual = steps_of(c.call.r);
    d.r = c.call.r.data + first * residual.n;
    steps(residual, d.step_r);
  }
  for (int i = 0; i < kMaxSpatial; ++i) d.axes[i] = c.call.axes[i];
  d.flip = j.operands || !c.v.linear.shift ? 0 : 128;
  d.pad = j.zero & 255;
  d.zero = j.operand_zero;
  d.finish = j.finish;
  d.lut = c.v.has_lut ? c.v.lut : nullptr;
  d.lookup = c.v.lookup;
  return run_depthwise(err, c.v.depthwise, d, c.exec, c.s.slots);
}

// Samples first .. first + count, which share a scale.
octet_status run_samples(octet_error* err, const Call& c, int64_t first, int64_t count,
                         const Columns& columns, const Scale& scale) {
  const Conv& v = c.v;
  const Linear& l = v.linear;
  const ConvForm& f = v.form();
  const bool again = rewrites(v, c.direct), wide = c.direct && l.form == OCTET_S16;
  ConvJob j = {.v = v,
               .plan = nullptr,
               .direct = c.direct,
               .phase = 0,
               .slides = {},
               .samples = count,
               .image = nullptr,
               .in = steps_of(c.call.x),
               .item = wide ? 2 : 1,
               .operands = again,
               .pad = c.s.pad,
               .zero = again ? scale.zero + l.shift : scale.zero,
               .operand_zero = scale.zero + l.shift,
               .y = nullptr,
               .r = nullptr,
               .out = {},
               .residual = {},
               .unit = {},
               .runs = 0,
               .taps_before = 0,
               .ibias = columns.ibias,
               .finish = output_finish(l),
               .run = 0,
               .pitch_y = 0,
               .pitch_r = 0,
               .parts = 0,
               .runs_per_task = 0,
               .pixels_per_task = 0,
               .tasks_m = 0,
               .units_per_task = 0,
               .columns_per_task = 0,
               .ctx = c.ctx,
               .most = c.call.batch * c.call.pixels(),
               .slots = c.s.slots,
               .slot_bytes = c.s.slot_bytes,
               .omits = nullptr,
               .line = 0};
  set_columns(&j.finish, columns);
  j.image = c.call.x.count ? c.call.x.data + first * j.in.n : c.call.y.data;
  if (again) {
    const Lines lines(v, c.call, first, count);
    RewriteJob rewriting = {lines, c.s.image, wide, l.scheme.divide ? scale.scale : 1 / scale.scale,
                            j.operand_zero};
    OCTET_TRY(run_tasks(err, c.exec, static_cast<size_t>(lines.tasks()), rewrite_task, &rewriting));
    j.image = c.s.image;
    const int64_t pixel = f.in_channels * j.item;
    j.in = {0, {lines.height * lines.width * pixel, lines.width * pixel, pixel}};
  }
  if (c.direct) {
    const size_t n = Scratch::pad_elements(f);
    if (wide) {
      const int16_t zero = static_cast<int16_t>(j.operand_zero);
      for (size_t i = 0; i < n; ++i) memcpy(c.s.pad + 2 * i, &zero, 2);
    } else {
      memset(c.s.pad, j.operand_zero, n);
    }
  }
  if (v.rung == Rung::kDepthwise) return run_channels(err, c, j, first);
  PhasePlan plan;
  for (; j.phase < f.phases(); ++j.phase) OCTET_TRY(run_phase(err, c, &j, first, &plan));
  return OCTET_OK;
}

// The pixels that the 1x1 windows of in[0] are, as a view of its own.
View pointwise_input(const ConvCall& call) {
  View x = call.x;
  x.count = x.dims[0] * x.inner();
  for (int i = 1; i + 1 < x.rank; ++i) {
    const Axis& a = call.axes[kMaxSpatial - (x.rank - 2) + i - 1];
    x.dims[i] = a.out;
    x.strides[i] *= a.stride;
    x.count *= a.out;
  }
  return x;
}

View sample_of(const View& v, int64_t n) {
  View s = v;
  s.data += n * v.strides[0] * static_cast<int64_t>(v.item);
  s.count = v.dims[0] ? v.count / v.dims[0] : 0;
  s.dims[0] = 1;
  return s;
}

// A table over a whole output, a few rows a task.
struct TableJob {
  const Conv& v;
  const View& y;
  const RowPairs rows = pair_rows(y, y);
  const int64_t step = max64(1, (16 << 10) / max64(1, y.inner()));
  const int64_t pieces = (rows.rows + step - 1) / step;  // of a group

  static void run(void* arg, size_t task) {
    const TableJob& j = *static_cast<const TableJob*>(arg);
    const int64_t t = static_cast<int64_t>(task), first = t % j.pieces * j.step;
    int64_t at, b, c;
    j.rows.start(t / j.pieces, &at, &b, &c);
    look_up(j.v, j.y.data + at + first * j.rows.pitch_a, min64(j.step, j.rows.rows - first),
            j.rows.pitch_a, j.y.inner());
  }
};

octet_status look_up_all(octet_error* err, const Conv& v, const View& y, const Exec& exec) {
  if (!v.has_lut || !y.count) return OCTET_OK;
  TableJob job = {v, y};
  return run_tasks(err, exec, static_cast<size_t>(job.rows.outer * job.pieces), TableJob::run,
                   &job);
}

bool sample_by_sample(const Conv& v, const ConvCall& call) {
  return v.per_sample || (v.linear.input == Input::kCall && call.x.q && call.x.q->count != 1);
}

// Refuses scales that come with the call before anything is written. The workspace is free as yet.
octet_status check_samples(octet_error* err, const Conv& v, const octet_qparams& q,
                           void* workspace) {
  Carver carve(workspace);
  const Columns columns = conv_columns_at(v.w, carve.take<char>(conv_columns_bytes(v.w)));
  for (int64_t n = 0; n < q.count; ++n)
    OCTET_TRY(fill_conv_columns(err, v, q.scale[n], q.zero_point ? q.zero_point[n] : 0, columns));
  return OCTET_OK;
}

octet_status run_pointwise(octet_error* err, const octet_context& c, const Conv& v,
                           const ConvCall& call, const Exec& exec, void* workspace) {
  View x = pointwise_input(call);
  const View* r = call.has_residual ? &call.r : nullptr;
  if (!sample_by_sample(v, call)) {
    OCTET_TRY(run_linear(err, c, v.linear, x, call.y, r, exec, workspace));
  } else {
    octet_qparams q = {};
    if (x.q) {
      q = *x.q;
      q.count = 1;
      OCTET_TRY(check_samples(err, v, *x.q, workspace));
    }
    for (int64_t n = 0; n < call.batch; ++n) {
      View sample = sample_of(x, n), residual = {};
      if (r) residual = sample_of(*r, n);
      if (x.q) {
        q.scale = x.q->scale + n;
        q.zero_point = x.q->zero_point ? x.q->zero_point + n : nullptr;
        sample.q = &q;
      }
      OCTET_TRY(run_linear(err, c, v.linear, sample, sample_of(call.y, n), r ? &residual : nullptr,
                           exec, workspace));
    }
  }
  return look_up_all(err, v, call.y, exec);
}

// What nobody asks for is the layer's own rung: no plan is needed to know it.
bool runs_direct(const octet_context& c, const Conv& v, const ConvCall& call, const Exec& exec) {
  ConvPlan plan;
  if (!exec.e.plan) return v.direct();
  return plan_conv(nullptr, c, v, planned_pixels(v, call), exec.e.plan, &plan) == OCTET_OK
             ? plan.direct
             : v.direct();
}

}  // namespace

Steps steps_of(const View& v) {
  Steps s = {};
  const int64_t item = static_cast<int64_t>(v.item);
  s.n = v.strides[0] * item;
  for (int i = 1; i + 1 < v.rank; ++i)
    s.d[kMaxSpatial - (v.rank - 2) + i - 1] = v.strides[i] * item;
  return s;
}

int64_t planned_pixels(const Conv& v, const ConvCall& call) {
  if (!v.form().transposed) return call.batch * call.pixels();
  const Axis& a = call.axes[2];
  return (a.out + a.stride - 1) / a.stride;
}

octet_status plan_conv(octet_error* err, const octet_context& c, const Conv& v, int64_t pixels,
                       int32_t choice, ConvPlan* out) {
  const bool direct = v.direct();
  if (v.rung == Rung::kDepthwise) {
    *out = {{}, false, 1};
    out->gemm.main = v.depthwise.row;
    if (choice <= 1) return OCTET_OK;
    return fail(err, OCTET_ERR_ARGUMENT, "octet_exec.plan is %d, but this call has 1 candidate.",
                choice);
  }
  const GemmTable& own = direct ? v.direct_table : v.linear.table;
  const GemmTable& other = direct ? v.linear.table : v.direct_table;
  const int32_t first = count_candidates(own, pixels);
  const int32_t more =
      v.rung == Rung::kPointwise || v.lane || !other.count ? 0 : count_candidates(other, pixels);
  *out = {{}, direct, first + more};
  if (choice > first + more)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "octet_exec.plan is %d, but this call has %d candidates; see octet_plan.candidates.",
        choice, first + more);
  if (choice <= first) return select_gemm(err, c, own, pixels, 1, choice, &out->gemm);
  out->direct = !direct;
  return select_gemm(err, c, other, pixels, 1, choice - first, &out->gemm);
}

size_t conv_workspace(const octet_context& c, const Conv& v, const ConvCall& call,
                      const Exec& exec) {
  if (call.empty() || !v.form().out_channels) return 0;
  if (v.rung == Rung::kPointwise) return linear_workspace(v.linear, call.batch * call.pixels());
  return Scratch(c, v, call, runs_direct(c, v, call, exec), exec, nullptr).bytes;
}

octet_status run_conv(octet_error* err, const octet_context& ctx, const Conv& v,
                      const ConvCall& call, const Exec& exec, void* workspace) {
  if (v.rung == Rung::kPointwise) return run_pointwise(err, ctx, v, call, exec, workspace);
  ConvPlan plan = {{}, v.direct(), 0};
  if (exec.e.plan) OCTET_TRY(plan_conv(err, ctx, v, planned_pixels(v, call), exec.e.plan, &plan));
  const Scratch s(ctx, v, call, plan.direct, exec, workspace);
  const Linear& l = v.linear;
  const Call c = {ctx, v, call, exec, s, plan.direct, exec.e.plan ? plan.gemm.main : nullptr};
  const bool each = sample_by_sample(v, call);
  Columns columns = v.columns;
  Scale scale = {l.in.scale, l.in.zero_point, true};
  if (fills_columns(v)) columns = conv_columns_at(v.w, s.columns);
  if (l.input == Input::kCall && each) OCTET_TRY(check_samples(err, v, *call.x.q, s.columns));
  const int64_t together = each || rewrites(v, plan.direct) ? 1 : call.batch;
  for (int64_t n = 0; n < call.batch; n += together) {
    if (fills_columns(v) && (each || !n)) {
      if (l.dynamic()) {
        const Lines lines(v, call, n, each ? 1 : call.batch);
        OCTET_TRY(choose_scale(err, exec, lines, s.ranges, &scale));
      } else {
        scale = {call.x.q->scale[n], call.x.q->zero_point ? call.x.q->zero_point[n] : 0, true};
      }
      OCTET_TRY(fill_conv_columns(err, v, scale.scale, scale.zero, columns));
      for (int64_t i = 0; !scale.finite && i < v.form().slots(); ++i) columns.mult[i] = kNan;
    }
    OCTET_TRY(run_samples(err, c, n, together, columns, scale));
  }
  return OCTET_OK;
}

}  // namespace octet

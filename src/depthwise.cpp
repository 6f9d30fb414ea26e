// SPDX-License-Identifier: Apache-2.0
#include "src/depthwise.h"

#include "src/conv_weights.h"
#include "src/select.h"

namespace octet {

namespace {

int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
int64_t ceil_div(int64_t x, int64_t y) { return (x + y - 1) / y; }

// ---- the form of a strip ----------------------------------------------------------------------

// Modelled cycles for each pixel of 64 channels: what interleaving a unit's columns takes, shared
// by the rows of a strip, and what the steps of an average row do.
double strip_cycles(const StripForm& f, int32_t column_stride) {
  const double interleave = f.kr == 4 ? 12 : 8, step = f.kr == 4 ? 5 : 8;
  const double columns = f.dilation[1] > 1 ? 1 : min64(column_stride, f.kernel[1]);
  double steps = 0;
  for (int32_t r = 0; r < f.rows; ++r) steps += static_cast<double>(f.units_of(f.shift_of(r)));
  return f.planes * (interleave * f.units * columns + steps * f.kernel[1] * f.parts * step) /
         f.rows;
}

StripForm strip_form(const Axis axes[kMaxSpatial], int32_t kr, int32_t parts) {
  StripForm f = {};
  f.planes = static_cast<int32_t>(axes[0].kernel);
  for (int i = 0; i < 2; ++i) {
    f.kernel[i] = static_cast<int32_t>(axes[1 + i].kernel);
    f.dilation[i] = static_cast<int32_t>(axes[1 + i].dilation);
  }
  f.kr = kr;
  f.parts = parts;
  f.rows = 1;
  f.units = (f.kernel[0] + kr - 1) / kr;
  // Rows of the image that a dilated window skips belong to no unit: no row is shared.
  if (f.dilation[0] > 1 || axes[1].stride >= f.kernel[0]) return f;
  StripForm best = f;
  const int32_t least = f.units;
  f.stride = static_cast<int32_t>(axes[1].stride);
  const int32_t column_stride = static_cast<int32_t>(min64(axes[2].stride, INT32_MAX));
  double cycles = 0;
  for (f.units = least; f.units <= least + 2; ++f.units) {
    f.rows = (f.units * kr - f.kernel[0]) / f.stride + 1;
    if (f.rows > kMaxStripRows) break;
    const double now = strip_cycles(f, column_stride);
    if (f.units > least && now > 0.97 * cycles) continue;
    best = f;
    cycles = now;
  }
  return best;
}

// ---- weights ----------------------------------------------------------------------------------

// The weight of an output channel and tap, less its zero point.
int32_t weight_of(const WeightsView& w, int64_t channel, int64_t tap) {
  const int8_t* panel = w.panels + channel / 16 * w.panel_stride;
  return panel[tap / 4 * 64 + channel % 16 * 4 + tap % 4] - w.zero[channel];
}

// The summand of an integer that part p of it is, all but the last of them as large as s8 holds.
int32_t part_of(int32_t value, int32_t p) {
  for (;; --p) {
    const int32_t part = value < -128 ? -128 : value > 127 ? 127 : value;
    if (!p) return part;
    value -= part;
  }
}

// How many parts the weights need.
int32_t count_parts(const WeightsView& w, int64_t taps) {
  if (!w.has_zero) return 1;
  int32_t parts = 1;
  for (int64_t c = 0; c < w.conv.out_channels; ++c)
    for (int64_t t = 0; t < taps; ++t)
      while (parts < 3 && part_of(weight_of(w, c, t), parts)) ++parts;
  return parts;
}

// 64 bytes: the weights of 16 channels for one step, unit u of plane z and a kernel column.
void fill_step(const WeightsView& w, const DepthwiseLayer& l, int64_t first, int32_t z, int32_t row,
               int32_t kw, int32_t part, int8_t* to) {
  const StripForm& f = l.form;
  for (int32_t j = 0; j < 16; ++j)
    for (int32_t i = 0; i < f.kr; ++i) {
      const int32_t kh = row + i;
      int32_t value = 0;
      if (first + j < l.channels && kh >= 0 && kh < f.kernel[0])
        value = weight_of(w, first + j, (int64_t{z} * f.kernel[0] + kh) * f.kernel[1] + kw);
      if (l.row->weight == OCTET_S16)
        reinterpret_cast<int16_t*>(to)[j * f.kr + i] = static_cast<int16_t>(value);
      else
        to[j * f.kr + i] = static_cast<int8_t>(part_of(value, part));
    }
}

// The copy for one shift, group by group as kernels take the channels:
// [planes][units][parts][kw][channels of the group][kr].
void fill_shift(const WeightsView& w, const DepthwiseLayer& l, int32_t shift, int8_t* to) {
  const StripForm& f = l.form;
  int64_t group = l.row->nr;
  for (int64_t first = 0; first < l.channels; first += group) {
    while (group > 16 && l.channels - first <= group - 16) group /= 2;
    for (int32_t z = 0; z < f.planes; ++z)
      for (int32_t u = 0; u < f.units_of(shift); ++u)
        for (int32_t p = 0; p < f.parts; ++p)
          for (int32_t kw = 0; kw < f.kernel[1]; ++kw)
            for (int64_t c = first; c < first + group; c += 16, to += 64)
              fill_step(w, l, c, z, u * f.kr - shift, kw, p, to);
  }
}

void fill_at(const StripForm& f, int32_t shift, int32_t* at) {
  const int32_t all = f.planes * f.units;
  for (int32_t z = 0; z < f.planes; ++z)
    for (int32_t u = 0; u < f.units_of(shift); ++u)
      for (int32_t p = 0; p < f.parts; ++p)
        for (int32_t kw = 0; kw < f.kernel[1]; ++kw)
          *at++ = kw * f.dilation[1] * all + z * f.units + u;
}

// The block: for each shift that occurs its weights, then where their steps are.
size_t lay_out(void* block, DepthwiseLayer* l) {
  Carver carver(block);
  const StripForm& f = l->form;
  for (int32_t r = 0; r < f.rows; ++r) {
    const int32_t shift = f.shift_of(r);
    bool seen = false;
    for (int32_t before = 0; before < r; ++before) seen |= f.shift_of(before) == shift;
    if (seen) continue;
    const size_t steps = static_cast<size_t>(f.steps_of(shift));
    l->weights[shift] =
        carver.take<int8_t>(static_cast<size_t>(ceil_div(l->channels, 16)) * steps * 64);
    l->at[shift] = carver.take<int32_t>(steps);
  }
  return carver.bytes();
}

}  // namespace

const Row* depthwise_row(const octet_context& c, int32_t out) {
  if (c.forced && c.forced->family == kDepthwise && c.forced->out == out) return c.forced;
  const Row* best = nullptr;
  for (size_t i = 0; i < octet_row_count; ++i) {
    const Row& r = octet_rows[i];
    if (r.family != kDepthwise || r.out != out || !(r.isa & c.isas)) continue;
    if (!best || prefers(r.isa, best->isa)) best = &r;
  }
  return best;
}

size_t size_depthwise(const WeightsView& w, const Row& row, const Axis axes[kMaxSpatial],
                      DepthwiseLayer* layer) {
  DepthwiseLayer& l = *layer;
  l = {};
  l.row = &row;
  l.channels = w.conv.out_channels;
  l.multiplier = w.conv.group_out();
  l.taps = w.conv.kernel_taps();
  const int32_t parts = row.weight == OCTET_S16 || !w.panels ? 1 : count_parts(w, l.taps);
  l.form = strip_form(axes, row.kr, parts);
  return lay_out(nullptr, layer);
}

void fill_depthwise(const WeightsView& w, void* block, DepthwiseLayer* layer) {
  lay_out(block, layer);
  for (int32_t shift = 0; shift < 4; ++shift) {
    if (!layer->weights[shift]) continue;
    fill_shift(w, *layer, shift, const_cast<int8_t*>(layer->weights[shift]));
    fill_at(layer->form, shift, const_cast<int32_t*>(layer->at[shift]));
  }
  layer->zero = w.has_zero ? w.zero : nullptr;
}

namespace {

// ---- a call -----------------------------------------------------------------------------------

// How a call is cut: strips of rows x pixels in every plane of the output, and ranges of channels
// where there are few strips.
struct Cut {
  int64_t rows, pixels, columns;  // of a strip, at most
  int64_t in_h, in_w, in_c;       // strips along H and W, ranges of channels
  int64_t channels;               // of a range
  int64_t strips;                 // in all
  int64_t tasks;
  size_t scratch, task_bytes;
};

constexpr int64_t kScratch = 20 << 10;  // with the lines of the image it passes by, within L1

Cut cut_call(const DepthwiseLayer& l, const Axis axes[kMaxSpatial], int64_t batch,
             const Exec& exec) {
  const StripForm& f = l.form;
  const Axis& w = axes[2];
  Cut cut = {};
  const int64_t group = min64(l.row->nr, ceil_div(l.channels, 16) * 16);
  const int64_t units = int64_t{f.planes} * f.units, column = units * group * 4;
  const int64_t reach = (w.kernel - 1) * w.dilation + 1;
  // Columns that two strips share are interleaved twice: let them be a fifth at most.
  const int64_t most = max64(kScratch / column, 5 * reach);
  const int64_t fit = max64(1, (most - reach) / w.stride + 1);
  cut.in_w = ceil_div(w.out, min64(fit, w.out));
  cut.pixels = min64(w.out, ceil_div(ceil_div(w.out, cut.in_w), l.row->mr) * l.row->mr);
  cut.in_w = ceil_div(w.out, cut.pixels);
  cut.columns = (cut.pixels - 1) * w.stride + reach;
  cut.rows = min64(f.rows, axes[1].out);
  cut.in_h = ceil_div(axes[1].out, cut.rows);
  const int64_t threads = exec.e.parallel_for ? exec.e.max_threads : 1;
  const int64_t planes = batch * axes[0].out * cut.in_h * cut.in_w;
  const int64_t groups = ceil_div(l.channels, group);
  cut.in_c = threads > 1 ? min64(groups, ceil_div(4 * threads, planes)) : 1;
  cut.channels = ceil_div(groups, cut.in_c) * group;
  cut.in_c = ceil_div(l.channels, cut.channels);
  cut.strips = planes * cut.in_c;
  cut.tasks = min64(cut.strips, threads > 1 ? 4 * threads : 1);
  cut.scratch = static_cast<size_t>(cut.columns * column);
  const size_t pointers = static_cast<size_t>(units * f.kr) * sizeof(void*);
  cut.task_bytes = (cut.scratch + pointers + 63) / 64 * 64;
  return cut;
}

struct Job {
  const DepthwiseLayer* l;
  const DepthwiseCall* call;
  Cut cut;
  Finish finish;
  char* tasks;
};

// The rows of the image under a strip, those of the padding nullptr,
// and those that no output of it needs as well.
void find_rows(const DepthwiseLayer& l, const DepthwiseCall& call, const uint8_t* x, int64_t od,
               int64_t oh, int32_t outputs, const uint8_t** rows) {
  const StripForm& f = l.form;
  const Axis &d = call.axes[0], &h = call.axes[1];
  const int32_t needed = (outputs - 1) * f.stride + f.kernel[0];
  for (int32_t z = 0; z < f.planes; ++z) {
    const int64_t id = od * d.stride - d.pad_lo + z * d.dilation;
    const bool plane = id >= 0 && id < d.in;
    for (int32_t i = 0; i < f.units * f.kr; ++i) {
      const int64_t ih = oh * h.stride - h.pad_lo + i * h.dilation;
      const bool there = plane && i < needed && ih >= 0 && ih < h.in;
      *rows++ = there ? x + id * call.step_x[1] + ih * call.step_x[2] : nullptr;
    }
  }
}

void apply_lut(const DepthwiseCall& call, const Depthwise& d) {
  Lookup rows = {};
  rows.table = call.lut;
  rows.rows = static_cast<size_t>(d.pixels);
  rows.n = static_cast<size_t>(d.channels);
  rows.ldx = rows.ldy = d.ldc;
  for (int32_t r = 0; r < d.outputs; ++r) {
    rows.x = rows.y = d.out[r].c;
    call.lookup(&rows);
  }
}

// Columns from `channel` on.
Finish finish_from(const Finish& finish, int64_t channel) {
  Finish f = finish;
  f.ibias += channel;
  if (f.fbias) f.fbias += channel;
  if (f.mult) f.mult += channel;
  if (f.fixed_mult) f.fixed_mult += channel;
  if (f.fixed_exp) f.fixed_exp += channel;
  return f;
}

void run_strip(const Job& job, int64_t index, char* memory) {
  const DepthwiseLayer& l = *job.l;
  const DepthwiseCall& call = *job.call;
  const Cut& cut = job.cut;
  const Axis &h = call.axes[1], &w = call.axes[2];
  const int64_t channel = index % cut.in_c * cut.channels;
  index /= cut.in_c;
  const int64_t ow = index % cut.in_w * cut.pixels;
  index /= cut.in_w;
  const int64_t oh = index % cut.in_h * cut.rows;
  index /= cut.in_h;
  const int64_t od = index % call.axes[0].out, n = index / call.axes[0].out;

  Depthwise d = {};
  d.outputs = static_cast<int32_t>(min64(cut.rows, h.out - oh));
  d.pixels = static_cast<int32_t>(min64(cut.pixels, w.out - ow));
  d.channels = static_cast<int32_t>(min64(cut.channels, l.channels - channel));
  d.multiplier = static_cast<int32_t>(l.multiplier);
  d.phase = static_cast<int32_t>(channel % l.multiplier);
  d.units = l.form.planes * l.form.units;
  d.stride = static_cast<int32_t>(w.stride);
  d.columns = static_cast<int32_t>((d.pixels - 1) * w.stride + (w.kernel - 1) * w.dilation + 1);
  const int64_t first = ow * w.stride - w.pad_lo;
  d.left = static_cast<int32_t>(min64(d.columns, max64(0, -first)));
  d.right = static_cast<int32_t>(min64(d.columns - d.left, max64(0, first + d.columns - w.in)));
  d.pitch = call.step_x[3];
  d.pad = call.pad;
  d.flip = call.flip;
  d.scratch = memory;
  const uint8_t** rows = reinterpret_cast<const uint8_t**>(memory + cut.scratch);
  const uint8_t* x = call.x + n * call.step_x[0] + channel / l.multiplier;
  // Of rows without a column inside the image nothing is read.
  find_rows(l, call, x + (d.left + d.right < d.columns ? (first + d.left) * d.pitch : 0), od, oh,
            d.outputs, rows);
  d.rows = rows;
  d.ldc = call.step_y[3];
  DepthwiseOut out[kMaxStripRows];
  Finish finish[kMaxStripRows];
  const int64_t item = l.row->out == kOutQ8 ? 1 : 4;
  for (int32_t r = 0; r < d.outputs; ++r) {
    const int32_t shift = l.form.shift_of(r);
    DepthwiseOut& o = out[r];
    o.steps = static_cast<int32_t>(l.form.steps_of(shift));
    o.weights = l.weights[shift] + channel / 16 * o.steps * 64;
    o.at = l.at[shift];
    o.unit = l.form.unit_of(r);
    o.c = call.y + n * call.step_y[0] + od * call.step_y[1] + (oh + r) * call.step_y[2] +
          ow * call.step_y[3] + channel * item;
    o.finish = finish + r;
    finish[r] = finish_from(job.finish, channel);
    if (!call.r) continue;
    finish[r].residual = call.r + n * call.step_r[0] + od * call.step_r[1] +
                         (oh + r) * call.step_r[2] + ow * call.step_r[3] + channel * item;
    finish[r].ldr = call.step_r[3];
  }
  d.out = out;
  reinterpret_cast<DepthwiseFn*>(l.row->fn)(&d);
  if (call.lut) apply_lut(call, d);
}

void run_strips(void* arg, size_t task) {
  const Job& job = *static_cast<const Job*>(arg);
  const int64_t t = static_cast<int64_t>(task), strips = job.cut.strips, tasks = job.cut.tasks;
  char* memory = job.tasks + task * job.cut.task_bytes;
  for (int64_t s = t * strips / tasks; s < (t + 1) * strips / tasks; ++s) run_strip(job, s, memory);
}

struct Parts {
  int32_t* ibias;
  char* tasks;
};
size_t carve(const DepthwiseLayer& l, const Cut& cut, void* workspace, Parts* parts) {
  Carver carver(workspace);
  parts->ibias =
      l.zero ? carver.take<int32_t>(static_cast<size_t>(ceil_div(l.channels, 16) * 16)) : nullptr;
  parts->tasks = carver.take<char>(static_cast<size_t>(cut.tasks) * cut.task_bytes);
  return carver.bytes();
}

}  // namespace

size_t depthwise_workspace(const DepthwiseLayer& l, const Axis axes[kMaxSpatial], int64_t batch,
                           const Exec& exec) {
  if (!batch || !axes[0].out || !axes[1].out || !axes[2].out || !l.channels) return 0;
  Parts parts;
  return carve(l, cut_call(l, axes, batch, exec), nullptr, &parts);
}

octet_status run_depthwise(octet_error* err, const DepthwiseLayer& l, const DepthwiseCall& call,
                           const Exec& exec, void* workspace) {
  const Axis* axes = call.axes;
  if (!call.batch || !axes[0].out || !axes[1].out || !axes[2].out || !l.channels) return OCTET_OK;
  Job job = {&l, &call, cut_call(l, axes, call.batch, exec), call.finish, nullptr};
  Parts parts;
  carve(l, job.cut, workspace, &parts);
  job.tasks = parts.tasks;
  if (parts.ibias) {
    // The columns took sum(w) times the zero point out; of w less its own zero point it is less.
    for (int64_t j = 0; j < ceil_div(l.channels, 16) * 16; ++j)
      parts.ibias[j] =
          static_cast<int32_t>(static_cast<uint32_t>(call.finish.ibias[j]) +
                               static_cast<uint32_t>(l.taps) * static_cast<uint32_t>(call.zero) *
                                   static_cast<uint32_t>(l.zero[j]));
    job.finish.ibias = parts.ibias;
  }
  return run_tasks(err, exec, static_cast<size_t>(job.cut.tasks), run_strips, &job);
}

}  // namespace octet

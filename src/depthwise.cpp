// SPDX-License-Identifier: Apache-2.0
#include "src/depthwise.h"

#include <numeric>

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

// As many rows as pay, of those that share units.
void share_rows(int32_t column_stride, StripForm* f) {
  StripForm best = *f;
  const int32_t least = f->units;
  double cycles = 0;
  for (f->units = least; f->units <= least + 2; ++f->units) {
    f->rows = (f->units * f->kr - f->kernel[0]) / f->stride + 1;
    if (f->rows > kMaxStripRows) break;
    const double now = strip_cycles(*f, column_stride);
    if (f->units > least && now > 0.97 * cycles) continue;
    best = *f;
    cycles = now;
  }
  *f = best;
}

StripForm strip_form(const Axis axes[kMaxSpatial], int32_t kr, int32_t parts) {
  StripForm f = {};
  f.along = axes[1].kernel == 1 && axes[2].kernel > 1;
  const Axis& down = axes[f.along ? 2 : 1];
  f.planes = static_cast<int32_t>(axes[0].kernel);
  f.kernel[0] = static_cast<int32_t>(down.kernel);
  f.dilation[0] = static_cast<int32_t>(down.dilation);
  f.kernel[1] = f.along ? 1 : static_cast<int32_t>(axes[2].kernel);
  f.dilation[1] = f.along ? 1 : static_cast<int32_t>(axes[2].dilation);
  f.kr = kr;
  f.parts = parts;
  f.rows = 1;
  f.units = (f.kernel[0] + kr - 1) / kr;
  f.spread = 1;
  int64_t stride = down.stride;
  if (f.along) {
    // Outputs whose windows begin a multiple of the dilation apart have taps in common.
    const int64_t common = std::gcd(down.dilation, stride);
    f.spread = static_cast<int32_t>(down.dilation / common);
    stride /= common;
  } else if (f.dilation[0] > 1) {
    return f;  // rows of the image that a dilated window skips belong to no unit
  }
  if (stride > f.kernel[0]) return f;  // no unit is shared
  f.stride = static_cast<int32_t>(stride);
  share_rows(f.along ? 1 : static_cast<int32_t>(min64(axes[2].stride, INT32_MAX)), &f);
  return f;
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
  // Strips along W start at any of in_s columns of the output, start_step apart. Their pixels,
  // `all` of them, follow one another down a column (pixel_step 0) or pixel_step apart along W.
  int64_t in_s, start_step, pixel_step, all;
  int64_t channels;  // of a range
  int64_t strips;    // in all
  int64_t tasks;
  size_t scratch, task_bytes;
};

constexpr int64_t kScratch = 20 << 10;  // with the lines of the image it passes by, within L1

// The pixels of strips along W: whichever are the most.
void choose_pixels(const StripForm& f, const Axis axes[kMaxSpatial], Cut* cut) {
  const Axis &h = axes[1], &w = axes[2];
  const int64_t block = int64_t{f.rows} * f.spread, blocks = ceil_div(w.out, block);
  const int64_t phases = min64(f.spread, w.out);
  if (h.out >= blocks && h.out >= phases) {  // a column
    cut->in_s = blocks * f.spread;
    cut->start_step = 0;  // block by block, phase by phase
    cut->pixel_step = 0;
    cut->all = h.out;
    cut->in_h = 1;
  } else if (blocks >= phases) {  // one of each block
    cut->in_s = phases;
    cut->start_step = 1;
    cut->pixel_step = block;
    cut->all = blocks;
    cut->in_h = h.out;
  } else {  // the phases of a block
    cut->in_s = blocks;
    cut->start_step = block;
    cut->pixel_step = 1;
    cut->all = phases;
    cut->in_h = h.out;
  }
}

Cut cut_call(const DepthwiseLayer& l, const Axis axes[kMaxSpatial], int64_t batch,
             const Exec& exec) {
  const StripForm& f = l.form;
  const Axis& w = axes[2];
  Cut cut = {};
  cut.in_s = 1;
  cut.all = w.out;
  cut.rows = min64(f.rows, axes[1].out);
  cut.in_h = ceil_div(axes[1].out, cut.rows);
  if (f.along) choose_pixels(f, axes, &cut);
  const int64_t stride = f.along ? 1 : w.stride;
  const int64_t reach = f.along ? 1 : (w.kernel - 1) * w.dilation + 1;
  const int64_t group = min64(l.row->nr, ceil_div(l.channels, 16) * 16);
  const int64_t units = int64_t{f.planes} * f.units, column = units * group * 4;
  // Columns that two strips share are interleaved twice: let them be a fifth at most.
  const int64_t most = max64(kScratch / column, 5 * reach);
  const int64_t fit = max64(1, (most - reach) / stride + 1);
  cut.in_w = ceil_div(cut.all, min64(fit, cut.all));
  cut.pixels = min64(cut.all, ceil_div(ceil_div(cut.all, cut.in_w), l.row->mr) * l.row->mr);
  cut.in_w = ceil_div(cut.all, cut.pixels);
  cut.columns = (cut.pixels - 1) * stride + reach;
  const int64_t threads = exec.e.parallel_for ? exec.e.max_threads : 1;
  const int64_t planes = batch * axes[0].out * cut.in_h * cut.in_s * cut.in_w;
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

bool inside(const Axis& axis, int64_t at) { return at >= 0 && at < axis.in; }

// The rows of the image under a strip whose first lies at `first` of an axis with so many bytes
// from one to the next, those of the padding nullptr, and those that no output of it needs as well.
void find_rows(const DepthwiseLayer& l, const DepthwiseCall& call, const uint8_t* x, int64_t od,
               int64_t first, int32_t outputs, const uint8_t** rows) {
  const StripForm& f = l.form;
  const Axis &d = call.axes[0], &down = call.axes[f.along ? 2 : 1];
  const int64_t step = call.step_x[f.along ? 3 : 2];
  const int32_t needed = (outputs - 1) * f.stride + f.kernel[0];
  for (int32_t z = 0; z < f.planes; ++z) {
    const int64_t id = od * d.stride - d.pad_lo + z * d.dilation;
    for (int32_t i = 0; i < f.units * f.kr; ++i) {
      const int64_t at = first + i * down.dilation;
      const bool there = inside(d, id) && i < needed && inside(down, at);
      *rows++ = there ? x + id * call.step_x[1] + at * step : nullptr;
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

// Where a strip is: `outputs` rows of `pixels` from an output on.
struct Place {
  int64_t channel, n, od, oh, ow;
  int64_t row_h, row_w;      // from a row of the strip to the next, in outputs
  int64_t pixel_h, pixel_w;  // from a pixel to the next
  int32_t outputs, pixels;
};

int64_t bytes_to(const Place& p, const int64_t step[4], int32_t row) {
  return p.n * step[0] + p.od * step[1] + (p.oh + row * p.row_h) * step[2] +
         (p.ow + row * p.row_w) * step[3];
}
int64_t pixel_bytes(const Place& p, const int64_t step[4]) {
  return p.pixel_h * step[2] + p.pixel_w * step[3];
}

// Runs a strip whose input is in *d.
// Of the columns inside the image those behind whose channels, up to a multiple of 16, lie others
// of its pixels: all but the last ones of a sample without gaps.
int32_t whole_columns(const Job& job, const Place& p, const Depthwise& d) {
  const DepthwiseCall& call = *job.call;
  const Axis* axes = call.axes;
  const int64_t* step = call.step_x;
  const int64_t inside = d.columns - d.left - d.right, n = job.l->channels;
  const int64_t line = axes[2].in * n, plane = axes[1].in * line;
  if (d.multiplier > 1 || step[3] != n || step[2] != line || (axes[0].in > 1 && step[1] != plane))
    return 0;
  const uint8_t* last = nullptr;
  for (int32_t i = 0; i < d.units * job.l->form.kr; ++i)
    if (d.rows[i] > last) last = d.rows[i];
  if (!last) return static_cast<int32_t>(inside);
  const uint8_t* end = call.x + p.n * step[0] + axes[0].in * plane;
  const int64_t room = end - last - (d.channels + 15) / 16 * 16;
  if (room >= (inside - 1) * d.pitch) return static_cast<int32_t>(inside);
  return room < 0 ? 0 : static_cast<int32_t>(room / d.pitch + 1);
}

void run_at(const Job& job, const Place& p, Depthwise* d) {
  const DepthwiseLayer& l = *job.l;
  const DepthwiseCall& call = *job.call;
  d->outputs = p.outputs;
  d->pixels = p.pixels;
  d->channels = static_cast<int32_t>(min64(job.cut.channels, l.channels - p.channel));
  d->multiplier = static_cast<int32_t>(l.multiplier);
  d->phase = static_cast<int32_t>(p.channel % l.multiplier);
  d->units = l.form.planes * l.form.units;
  d->whole = whole_columns(job, p, *d);
  d->pad = call.pad;
  d->flip = call.flip;
  d->ldc = p.pixels > 1 ? pixel_bytes(p, call.step_y) : 0;
  DepthwiseOut out[kMaxStripRows];
  Finish finish[kMaxStripRows];
  const int64_t item = l.row->out == kOutQ8 ? 1 : 4;
  for (int32_t r = 0; r < p.outputs; ++r) {
    const int32_t shift = l.form.shift_of(r);
    DepthwiseOut& o = out[r];
    o.steps = static_cast<int32_t>(l.form.steps_of(shift));
    o.weights = l.weights[shift] + p.channel / 16 * o.steps * 64;
    o.at = l.at[shift];
    o.unit = l.form.unit_of(r);
    o.c = call.y + bytes_to(p, call.step_y, r) + p.channel * item;
    o.finish = finish + r;
    finish[r] = finish_from(job.finish, p.channel);
    if (!call.r) continue;
    finish[r].residual = call.r + bytes_to(p, call.step_r, r) + p.channel * item;
    finish[r].ldr = p.pixels > 1 ? pixel_bytes(p, call.step_r) : 0;
  }
  d->out = out;
  reinterpret_cast<DepthwiseFn*>(l.row->fn)(d);
  if (call.lut) apply_lut(call, *d);
}

// The columns of pixels that one follow another on an axis, of them the first and last ones in the
// padding. Returns where on the axis the first one inside is, or 0 where there is none.
int64_t find_columns(const Axis& axis, int64_t first, int64_t columns, int64_t step, Depthwise* d) {
  d->columns = static_cast<int32_t>(columns);
  const int64_t before = first < 0 ? ceil_div(-first, step) : 0;
  d->left = static_cast<int32_t>(min64(columns, before));
  const int64_t end = first < axis.in ? ceil_div(axis.in - first, step) : 0;  // the first behind
  d->right = static_cast<int32_t>(min64(columns - d->left, max64(0, columns - end)));
  return d->left + d->right < columns ? first + d->left * step : 0;
}

// From pixel p on: how many of at most `most` see the same of their rows inside the image, and have
// as many outputs.
int64_t alike(const StripForm& f, const Axis& w, int64_t ow, int64_t step, int32_t outputs,
              int64_t most) {
  const int64_t needed = int64_t{outputs - 1} * f.stride + f.kernel[0], move = step * w.stride;
  for (int64_t i = 0; i < needed; ++i) {
    const int64_t at = ow * w.stride - w.pad_lo + i * w.dilation;
    if (at < w.in) most = min64(most, ceil_div(at < 0 ? -at : w.in - at, move));
  }
  return min64(most, ceil_div(w.out - ow - int64_t{outputs - 1} * f.spread, step));
}

// A strip along W: pixels first .. last from output ow of row oh on.
void run_along(const Job& job, Place p, int64_t first, int64_t last, const uint8_t* x,
               const uint8_t** rows, Depthwise* d) {
  const StripForm& f = job.l->form;
  const DepthwiseCall& call = *job.call;
  const Axis &h = call.axes[1], &w = call.axes[2];
  const int64_t step = job.cut.pixel_step, start = p.ow;
  p.row_w = f.spread;
  p.pixel_h = step ? 0 : 1;
  p.pixel_w = step;
  d->stride = 1;
  for (int64_t pixel = first, count; pixel < last; pixel += count) {
    count = last - pixel;
    p.ow = start + pixel * step;
    if (p.ow >= w.out) return;
    p.outputs = static_cast<int32_t>(min64(f.rows, ceil_div(w.out - p.ow, f.spread)));
    const uint8_t* row = x;
    if (step) {
      count = alike(f, w, p.ow, step, p.outputs, count);
      // Of one pixel it may be beyond 64 bits, and counts for nothing.
      d->pitch = count > 1 ? step * w.stride * call.step_x[3] : 0;
      const int64_t ih = p.oh * h.stride - h.pad_lo;
      d->columns = static_cast<int32_t>(count);
      d->left = inside(h, ih) ? 0 : d->columns;
      d->right = 0;
      if (!d->left) row += ih * call.step_x[2];
    } else {
      p.oh = pixel;
      d->pitch = count > 1 ? h.stride * call.step_x[2] : 0;
      row += find_columns(h, pixel * h.stride - h.pad_lo, count, h.stride, d) * call.step_x[2];
    }
    p.pixels = static_cast<int32_t>(count);
    find_rows(*job.l, call, row, p.od, p.ow * w.stride - w.pad_lo, p.outputs, rows);
    run_at(job, p, d);
  }
}

void run_down(const Job& job, Place p, const uint8_t* x, const uint8_t** rows, Depthwise* d) {
  const DepthwiseCall& call = *job.call;
  const Axis &h = call.axes[1], &w = call.axes[2];
  p.row_h = 1;
  p.pixel_w = 1;
  p.outputs = static_cast<int32_t>(min64(job.cut.rows, h.out - p.oh));
  p.pixels = static_cast<int32_t>(min64(job.cut.pixels, w.out - p.ow));
  d->stride = static_cast<int32_t>(w.stride);
  d->pitch = call.step_x[3];
  const int64_t columns = (p.pixels - 1) * w.stride + (w.kernel - 1) * w.dilation + 1;
  // Of rows without a column inside the image nothing is read.
  const int64_t at = find_columns(w, p.ow * w.stride - w.pad_lo, columns, 1, d);
  find_rows(*job.l, call, x + at * d->pitch, p.od, p.oh * h.stride - h.pad_lo, p.outputs, rows);
  run_at(job, p, d);
}

void run_strip(const Job& job, int64_t index, char* memory) {
  const DepthwiseLayer& l = *job.l;
  const DepthwiseCall& call = *job.call;
  const Cut& cut = job.cut;
  const auto next = [&index](int64_t of) {
    const int64_t at = index % of;
    index /= of;
    return at;
  };
  Place p = {};
  p.channel = next(cut.in_c) * cut.channels;
  const int64_t first = next(cut.in_w) * cut.pixels, start = next(cut.in_s);
  p.oh = next(cut.in_h) * (l.form.along ? 1 : cut.rows);
  p.od = next(call.axes[0].out);
  p.n = index;
  Depthwise d = {};
  d.scratch = memory;
  const uint8_t** rows = reinterpret_cast<const uint8_t**>(memory + cut.scratch);
  d.rows = rows;
  const uint8_t* x = call.x + p.n * call.step_x[0] + p.channel / l.multiplier;
  if (!l.form.along) {
    p.ow = first;
    run_down(job, p, x, rows, &d);
    return;
  }
  const int64_t spread = l.form.spread;
  p.ow = cut.start_step ? start * cut.start_step
                        : start / spread * spread * l.form.rows + start % spread;
  run_along(job, p, first, min64(cut.all, first + cut.pixels), x, rows, &d);
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

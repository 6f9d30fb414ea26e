// SPDX-License-Identifier: Apache-2.0
#include "src/pool.h"

namespace octet {

namespace {

int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

octet_status check_qtype(octet_error* err, const char* name, const octet_qtype& q) {
  OCTET_TRY(check_type(err, name, q.type, kQ8Types));
  char field[64];
  Text text(field, sizeof field);
  text.add("%s.scale", name);
  text.finish();
  OCTET_TRY(check_scale(err, field, 0, q.scale));
  if (q.zero_point < type_min(q.type) || q.zero_point > type_max(q.type))
    return fail(err, OCTET_ERR_ARGUMENT, "%s.zero_point is %d; it must lie within [%d, %d].", name,
                q.zero_point, type_min(q.type), type_max(q.type));
  return OCTET_OK;
}

bool same_qparams(const octet_qtype& a, const octet_qtype& b) {
  return a.type == b.type && a.scale == b.scale && a.zero_point == b.zero_point;
}

octet_status check_numerics(octet_error* err, const octet_pool_desc& d, Pooling* p) {
  const char* name = "octet_pool_desc.numerics";
  if (d.numerics < OCTET_NUMERICS_TORCH || d.numerics > OCTET_NUMERICS_TFLITE_SINGLE)
    return fail(err, OCTET_ERR_ARGUMENT,
                "%s is %d, which is no known value; use OCTET_NUMERICS_TORCH or _TFLITE.", name,
                d.numerics);
  if (d.numerics == OCTET_NUMERICS_TORCH) return OCTET_OK;
  if (d.numerics != OCTET_NUMERICS_TFLITE && d.numerics != OCTET_NUMERICS_TFLITE_SINGLE)
    return fail(err, OCTET_ERR_UNSUPPORTED,
                "%s is %d; pooling of this release has OCTET_NUMERICS_TORCH, _TFLITE and "
                "_TFLITE_SINGLE.",
                name, d.numerics);
  if (!same_qparams(p->in, p->out))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_pool_desc.in and out differ, but TFLite pools within one type, scale and "
                "zero point.");
  if (d.divisor)
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_pool_desc.divisor is %d; TFLite divides by the taps that exist: leave it 0.",
                d.divisor);
  p->integer = !p->maximum;
  return OCTET_OK;
}

// Adaptive and global pooling: the window follows from the image.
octet_status read_image_sized(octet_error* err, const octet_pool_desc& d, const octet_geometry* g,
                              Pooling* p) {
  if (p->adaptive && p->global)
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_pool_desc.flags has both OCTET_ADAPTIVE and OCTET_GLOBAL; choose one.");
  if (g)
    return fail(err, OCTET_ERR_ARGUMENT,
                "g is given, but adaptive and global windows follow from the image; pass NULL.");
  if (p->ceil || p->exclude_pad)
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_pool_desc.flags is %u; OCTET_CEIL and OCTET_EXCLUDE_PAD need a geometry.",
                d.flags);
  for (int i = 0; i < kMaxSpatial; ++i) {
    if (d.kernel[i])
      return fail(err, OCTET_ERR_ARGUMENT,
                  "octet_pool_desc.kernel[%d] is %d; adaptive and global pooling have none.", i,
                  d.kernel[i]);
    if (d.out_size[i] < 0 || (p->global && d.out_size[i]) || (!i && p->adaptive && !d.out_size[i]))
      return fail(err, OCTET_ERR_ARGUMENT,
                  "octet_pool_desc.out_size[%d] is %d; adaptive pooling needs a size above 0 for "
                  "each dim, global pooling has none.",
                  i, d.out_size[i]);
    p->axes[i].adaptive = true;
    p->axes[i].out = p->global ? 1 : d.out_size[i];
  }
  return OCTET_OK;
}

octet_status read_windows(octet_error* err, const octet_pool_desc& d, const octet_geometry* g,
                          Pooling* p) {
  octet_geometry given;
  OCTET_TRY(read_geometry(err, g, 0, d.kernel, &given, p->axes));
  p->rank = given.rank;
  if (given.groups != 1)
    return fail(err, OCTET_ERR_ARGUMENT, "octet_geometry.groups is %d; pooling has 1.",
                given.groups);
  for (int i = 0; i < kMaxSpatial; ++i) {
    if (d.out_size[i])
      return fail(err, OCTET_ERR_ARGUMENT,
                  "octet_pool_desc.out_size[%d] is %d; it goes with OCTET_ADAPTIVE only.", i,
                  d.out_size[i]);
    if (i >= given.rank) continue;
    const int64_t half = d.kernel[i] / 2;
    if (given.pad_lo[i] > half || given.pad_hi[i] > half)
      return fail(
          err, OCTET_ERR_ARGUMENT,
          "octet_geometry.pad_lo[%d] and pad_hi are %d and %d; pooling pads at most half of "
          "the kernel, %lld.",
          i, given.pad_lo[i], given.pad_hi[i], static_cast<long long>(half));
    if (!p->maximum && given.dilation[i] != 1)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "octet_geometry.dilation[%d] is %d; averages have dense windows, 1.", i,
                  given.dilation[i]);
  }
  return OCTET_OK;
}

octet_status choose_rows(octet_error* err, const octet_context& c, Pooling* p) {
  const octet_type in = p->in.type, out = p->out.type;
  p->row = p->maximum   ? best_row(c, kPoolMax, in, in)
           : p->integer ? best_row(c, kPoolAvgInt, in, in)
                        : best_row(c, kPoolAvg, in, out);
  if (p->maximum && !same_qparams(p->in, p->out)) p->requantize = best_row(c, kRequantize, in, out);
  const bool asked =
      (c.flags & OCTET_ALLOW_SLOW) || (c.cap && !strcmp(c.cap, "scalar")) || c.forced == p->row;
  if (p->row->isa != kIsaScalar || asked) return OCTET_OK;
  return fail(err, OCTET_ERR_SLOW_ONLY,
              "Only reference code can do this under the instruction sets of this context; set "
              "OCTET_ALLOW_SLOW or max_isa \"scalar\" to allow it.");
}

}  // namespace

octet_status read_pooling(octet_error* err, const octet_context& c, const octet_pool_desc* desc,
                          const octet_geometry* g, Pooling* out) {
  octet_pool_desc d;
  OCTET_TRY(read_struct(err, "octet_pool_desc", desc, sizeof d, &d));
  const uint32_t known = OCTET_CEIL | OCTET_EXCLUDE_PAD | OCTET_ADAPTIVE | OCTET_GLOBAL;
  if (d.flags & ~known)
    return fail_flags(err, "octet_pool_desc.flags", d.flags & ~known,
                      "OCTET_CEIL, OCTET_EXCLUDE_PAD, OCTET_ADAPTIVE, OCTET_GLOBAL");
  if (d.reserved)
    return fail(err, OCTET_ERR_ARGUMENT, "octet_pool_desc.reserved is %d; it must be 0.",
                d.reserved);
  if (d.kind != OCTET_POOL_MAX && d.kind != OCTET_POOL_AVERAGE)
    return fail_enum(err, "octet_pool_desc.kind", d.kind, "OCTET_POOL_MAX, OCTET_POOL_AVERAGE");
  Pooling p = {};
  p.in = d.in;
  p.out = d.out;
  p.maximum = d.kind == OCTET_POOL_MAX;
  p.ceil = d.flags & OCTET_CEIL;
  p.exclude_pad = d.flags & OCTET_EXCLUDE_PAD;
  p.adaptive = d.flags & OCTET_ADAPTIVE;
  p.global = d.flags & OCTET_GLOBAL;
  p.divisor = d.divisor;
  OCTET_TRY(check_qtype(err, "octet_pool_desc.in", p.in));
  OCTET_TRY(check_qtype(err, "octet_pool_desc.out", p.out));
  if (p.divisor < 0 || (p.divisor && p.maximum))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_pool_desc.divisor is %d; averages take one above 0, or 0 for the window's "
                "own.",
                p.divisor);
  if (p.maximum && p.exclude_pad)
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_pool_desc.flags has OCTET_EXCLUDE_PAD, but maxima have no divisor.");
  OCTET_TRY(check_numerics(err, d, &p));
  OCTET_TRY(p.adaptive || p.global ? read_image_sized(err, d, g, &p) : read_windows(err, d, g, &p));
  OCTET_TRY(choose_rows(err, c, &p));
  *out = p;
  return OCTET_OK;
}

octet_status read_pool_image(octet_error* err, const Pooling& p, const octet_tensor* in,
                             size_t n_in, uint32_t options, PoolImage* out) {
  if (!in || n_in != 1)
    return fail(err, OCTET_ERR_ARGUMENT, "in has %zu tensors; a pooling op takes 1.",
                in ? n_in : 0);
  PoolImage m = {};
  OCTET_TRY(read_tensor(err, "in[0]", in, type_bit(p.in.type), options, &m.x));
  if (!(options & kShapeOnly) && m.x.q)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "in[0].q is given, but this op has its input's qparams from create; leave it NULL.");
  m.spatial = m.x.rank - 2;
  const bool fits = p.rank ? m.spatial == p.rank : m.spatial >= 1 && m.spatial <= kMaxSpatial;
  if (!fits)
    return fail(err, OCTET_ERR_ARGUMENT,
                "in[0].rank is %d; this op takes [batch, spatial dims, channels], %s.", m.x.rank,
                p.rank == 1   ? "rank 3"
                : p.rank == 2 ? "rank 4"
                : p.rank == 3 ? "rank 5"
                              : "rank 3, 4 or 5");
  m.batch = m.x.dims[0];
  m.channels = m.x.inner();
  bool empty = !m.batch;
  for (int i = 0; i < m.spatial; ++i) empty |= !m.x.dims[1 + i];
  for (int i = 0; i < m.spatial; ++i) {
    const int at = kMaxSpatial - m.spatial + i;
    const int64_t extent = m.x.dims[1 + i];
    Axis& a = m.axes[at];
    if (p.rank) {
      a = p.axes[at];
      OCTET_TRY(size_axis(err, i, extent, empty, p.ceil, &a));
      continue;
    }
    a = p.axes[i];
    a.in = extent;
    if (!a.out)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "octet_pool_desc.out_size[%d] is 0, but in[0] has %d spatial dims.", i,
                  m.spatial);
    if (!extent) a.out = 0;
  }
  for (int i = m.spatial; p.adaptive && i < kMaxSpatial; ++i)
    if (p.axes[i].out)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "octet_pool_desc.out_size[%d] is %lld, but in[0] has %d spatial dims.", i,
                  static_cast<long long>(p.axes[i].out), m.spatial);
  if (!p.maximum) {
    // A sum of this many bytes could leave int32.
    int64_t taps = 1;
    for (const Axis& a : m.axes) {
      const int64_t widest = a.adaptive && a.out ? (a.in + a.out - 1) / a.out + 1 : a.kernel;
      taps *= widest < a.in ? widest : a.in;
      if (taps >= int64_t{1} << 23)
        return fail(err, OCTET_ERR_INEXACT,
                    "The window has 2^23 taps or more, so that their sum could wrap; pool in two "
                    "steps.");
    }
  }
  *out = m;
  return OCTET_OK;
}

namespace {

// A line is a row of outputs along the last spatial dim.
struct Job {
  const Pooling& p;
  const PoolImage& m;
  const View& y;
  int64_t lines_per_task, lines;
  int64_t step_x[kMaxSpatial], step_y[kMaxSpatial];  // bytes along each axis
};

int64_t divisor_of(const Pooling& p, const Window& d, const Window& h, const Window& w) {
  if (p.divisor) return p.divisor;
  const bool exist = p.exclude_pad || p.integer;
  return exist ? d.count * h.count * w.count : d.extent * h.extent * w.extent;
}

// `pixels` outputs from o on, which share the form of their windows.
void run_span(const Job& j, const char* x, char* y, const Window& d, const Window& h, int64_t o,
              int64_t pixels) {
  const Pooling& p = j.p;
  const Axis& axis = j.m.axes[2];
  const Window w = axis.window(o);
  Pool r = {};
  r.x = x + w.first * j.step_x[2];
  r.y = y + o * j.step_y[2];
  r.pixels = pixels;
  r.step_x = axis.stride * j.step_x[2];
  r.step_y = j.step_y[2];
  r.n = static_cast<size_t>(j.m.channels);
  const Window* const windows[] = {&d, &h, &w};
  for (int i = 0; i < kMaxSpatial; ++i) {
    r.size[i] = windows[i]->count;
    r.step[i] = j.m.axes[i].dilation * j.step_x[i];
  }
  const int64_t taps = d.count * h.count * w.count;
  if (!taps) {  // dilated maxima of padding alone
    for (int64_t i = 0; i < pixels; ++i)
      memset(static_cast<char*>(r.y) + i * r.step_y, type_min(p.in.type), r.n);
    return;
  }
  if (!p.maximum) {
    const int64_t divisor = divisor_of(p, d, h, w);
    r.divisor = static_cast<int32_t>(divisor);
    r.zero = p.out.zero_point;
    r.qmin = type_min(p.out.type);
    r.qmax = type_max(p.out.type);
    r.mult = p.in.scale / p.out.scale / static_cast<float>(divisor);
    r.bias = p.integer ? 0 : static_cast<int32_t>(taps * p.in.zero_point);
  }
  reinterpret_cast<PoolFn*>(p.row->fn)(&r);
}

void requantize_line(const Job& j, char* y) {
  const Pooling& p = j.p;
  const float inverse = 1.0f / p.out.scale;
  Run r = {};
  r.in_scale = &p.in.scale;
  r.in_zero = &p.in.zero_point;
  r.out_inv = &inverse;
  r.out_zero = &p.out.zero_point;
  r.qmin = type_min(p.out.type);
  r.qmax = type_max(p.out.type);
  const int64_t pixels = j.m.axes[2].out;
  const bool dense = j.step_y[2] == j.m.channels;
  r.n = static_cast<size_t>(dense ? pixels * j.m.channels : j.m.channels);
  for (int64_t i = 0; i < (dense ? 1 : pixels); ++i) {
    r.x = r.y = y + i * j.step_y[2];
    reinterpret_cast<RunFn*>(p.requantize->fn)(&r);
  }
}

void run_line(const Job& j, int64_t line) {
  const Axis *d = &j.m.axes[0], *h = &j.m.axes[1], *w = &j.m.axes[2];
  const int64_t oh = line % h->out, od = line / h->out % d->out, n = line / h->out / d->out;
  const Window wd = d->window(od), wh = h->window(oh);
  const char* x =
      j.m.x.data + n * j.m.x.strides[0] + wd.first * j.step_x[0] + wh.first * j.step_x[1];
  char* y = j.y.data + n * j.y.strides[0] + od * j.step_y[0] + oh * j.step_y[1];
  int64_t begin, end;
  w->interior(&begin, &end);
  for (int64_t o = 0; o < w->out;) {
    const int64_t pixels = o == begin && end > begin ? end - begin : 1;
    run_span(j, x, y, wd, wh, o, pixels);
    o += pixels;
  }
  if (j.p.requantize) requantize_line(j, y);
}

void line_task(void* arg, size_t task) {
  const Job& j = *static_cast<const Job*>(arg);
  const int64_t first = static_cast<int64_t>(task) * j.lines_per_task;
  const int64_t end = min64(j.lines, first + j.lines_per_task);
  for (int64_t line = first; line < end; ++line) run_line(j, line);
}

}  // namespace

octet_status run_pooling(octet_error* err, const Pooling& p, const PoolImage& m, const View& y,
                         const Exec& exec) {
  if (!y.count || !m.x.count) return OCTET_OK;
  Job j = {p, m, y, 1, m.batch * m.axes[0].out * m.axes[1].out, {}, {}};
  for (int i = 0; i < m.spatial; ++i) {
    const int at = kMaxSpatial - m.spatial + i;
    j.step_x[at] = m.x.strides[1 + i];
    j.step_y[at] = y.strides[1 + i];
  }
  // Tasks of some 64 KiB of input.
  const int64_t bytes = m.x.count / j.lines + 1;
  if (bytes < 65536) j.lines_per_task = 65536 / bytes;
  const int64_t tasks = (j.lines + j.lines_per_task - 1) / j.lines_per_task;
  return run_tasks(err, exec, static_cast<size_t>(tasks), line_task, &j);
}

}  // namespace octet

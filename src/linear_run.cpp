// SPDX-License-Identifier: Apache-2.0
//
// The run path. Rows go through in chunks: each chunk's activations are first brought into the form
// that the tiles read (quantized, shifted or widened, with row sums where the weights have zero
// points), then tiles cover the chunk's outputs. Static layers whose activations have that form
// already skip the first step and take all rows at once. Nothing is allocated.
#include <math.h>

#include "src/linear.h"

namespace octet {

namespace {

constexpr float kNan = __builtin_nanf("");  // 0x7FC00000
constexpr int64_t kSpan = 512;              // activations handled at a time on the stack
constexpr int64_t kRangeSpan = 16384;       // elements of one min/max task
constexpr int64_t kChunkBytes = 2 << 20;    // prepared activations at a time: about an L2
constexpr int64_t kChunkStep = 168;         // a multiple of the mr of every tile

int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

// Bytes from a prepared row to the next: whole cache lines, never a multiple of 4 KiB.
int64_t prepared_pitch(const Linear& l) {
  const int64_t k4 = (l.w.k + 3) / 4 * 4;
  int64_t pitch = (k4 * (l.form == OCTET_S16 ? 2 : 1) + 63) / 64 * 64;
  if (pitch % 4096 == 0) pitch += 64;
  return pitch;
}

// Rows in flight; everything indexed by row in the workspace has this many entries at most.
int64_t chunk_rows(const Linear& l, int64_t rows) {
  if (!l.packs_a() && !l.w.has_zero && l.input == Input::kStatic) return rows;
  const int64_t steps = kChunkBytes / prepared_pitch(l) / kChunkStep;
  return min64(rows, (steps ? steps : 1) * kChunkStep);
}

// The workspace of one call.
struct Scratch {
  void* columns;     // kCall and kDynamicTensor with one scale
  int32_t* zeros;    // kCall and kDynamicRow with a scale for each row: a start of 0
  int32_t* row_a;    // operand zero points
  int32_t* row_b;    // corrected row sums
  float* row_scale;  // kDynamicRow
  char* a;           // prepared activations
  Range* ranges;     // kDynamicTensor: one for each min/max task
  size_t bytes;

  Scratch(const Linear& l, int64_t rows, void* base) {
    Carver carve(base);
    const size_t chunk = static_cast<size_t>(chunk_rows(l, rows));
    const size_t n16 = static_cast<size_t>(l.w.n16());
    const bool per_row = l.input == Input::kDynamicRow || l.input == Input::kCall;
    const bool one_scale = l.input == Input::kDynamicTensor || l.input == Input::kCall;
    columns = carve.take<char>(one_scale ? columns_bytes(l.w) : 0);
    zeros = carve.take<int32_t>(per_row ? n16 : 0);
    row_a = carve.take<int32_t>(per_row ? chunk : 0);
    row_b = carve.take<int32_t>(l.w.has_zero ? chunk : 0);
    row_scale = carve.take<float>(l.input == Input::kDynamicRow ? chunk : 0);
    a = carve.take<char>(l.packs_a() ? chunk * static_cast<size_t>(prepared_pitch(l)) : 0);
    const size_t spans = static_cast<size_t>((l.w.k + kRangeSpan - 1) / kRangeSpan);
    ranges =
        carve.take<Range>(l.input == Input::kDynamicTensor ? static_cast<size_t>(rows) * spans : 0);
    bytes = carve.bytes();
  }
};

// One chunk: rows r0 .. r0 + m of the group that starts at x and y.
struct Chunk {
  const Linear& l;
  const Scratch& s;
  const char* x = nullptr;  // first row of the chunk
  int64_t pitch_x = 0;      // bytes
  char* y = nullptr;
  int64_t pitch_y = 0;  // bytes
  int64_t m = 0;
  // Activations: one scale for all (tensor_*), or row arrays of the call.
  bool per_row = false;
  float tensor_scale = 1;
  int32_t tensor_zero = 0;
  const int32_t* call_zero = nullptr;  // kCall, one for each row of the chunk; nullptr: all 0
  // Tiles.
  const char* a = nullptr;
  int64_t pitch_a = 0;
  Finish finish = {};
  GemmPlan plan = {};
  int64_t planned_m = 0;
  int64_t tasks_m = 0, tasks_n = 0;
  int64_t rows_per_task = 0;
};

// Quantizes k floats of one row into the tiles' form; the sum of the activation integers.
uint32_t quantize_row(const Linear& l, const float* x, char* to, float scale, int32_t zero,
                      bool want_sum) {
  const float inverse = l.scheme.divide ? scale : 1.0f / scale;
  const int32_t moved = zero + l.shift;
  Run run = {};
  run.out_inv = &inverse;
  run.out_zero = &moved;
  run.qmin = l.scheme.chooser.qmin + l.shift;
  run.qmax = l.scheme.chooser.qmax + l.shift;
  run.divide = l.scheme.divide;
  uint32_t sum = 0;
  if (l.form != OCTET_S16) {
    run.x = x;
    run.y = to;
    run.n = static_cast<size_t>(l.w.k);
    l.quantize(&run);
    if (want_sum) sum = static_cast<uint32_t>(l.rowsum(to, run.n));
    return sum;
  }
  alignas(64) uint8_t bytes[kSpan];
  Run widen = {};
  widen.x = bytes;
  for (int64_t k = 0; k < l.w.k; k += kSpan) {
    run.x = x + k;
    run.y = bytes;
    run.n = widen.n = static_cast<size_t>(min64(kSpan, l.w.k - k));
    l.quantize(&run);
    widen.y = to + 2 * k;
    l.widen(&widen);
    if (want_sum) sum += static_cast<uint32_t>(l.rowsum(bytes, run.n));
  }
  return sum;
}

// Scale and zero point of a range; false, with harmless ones, if its row holds a NaN or an infinity
// or would need a scale beyond the domain.
bool choose_finite(const Linear& l, const Range& r, float* scale, int32_t* zero) {
  const bool empty = r.min > r.max;
  if (!r.nan_count && !r.inf_count)
    choose(l.scheme.chooser, empty ? 0 : r.min, empty ? 0 : r.max, scale, zero);
  if (!r.nan_count && !r.inf_count && scale_in_domain(*scale)) return true;
  *scale = 1;
  *zero = 0;
  return false;
}

void prepare_row(Chunk& c, int64_t i) {
  const Linear& l = c.l;
  const char* x = c.x + i * c.pitch_x;
  char* to = c.s.a + i * c.pitch_a;
  const bool sums = l.w.has_zero;
  uint32_t sum = 0;  // of the operand integers
  int32_t zero = c.tensor_zero;
  if (l.dynamic()) {
    const float* row = reinterpret_cast<const float*>(x);
    float scale = c.tensor_scale;
    if (c.per_row) {
      Range r = {__builtin_inff(), -__builtin_inff(), 0, 0};
      l.minmax(row, static_cast<size_t>(l.w.k), &r);
      c.s.row_scale[i] = choose_finite(l, r, &scale, &zero) ? scale : kNan;
    }
    sum = quantize_row(l, row, to, scale, zero, sums);
  } else {
    if (c.per_row) zero = c.call_zero ? c.call_zero[i] : 0;
    const size_t k = static_cast<size_t>(l.w.k);
    if (l.packs_a()) {
      Run run = {};
      run.x = x;
      run.y = to;
      run.n = k;
      (l.form == OCTET_S16 ? l.widen : l.flip)(&run);
    }
    if (sums)
      sum = static_cast<uint32_t>(l.rowsum(x, k)) +
            static_cast<uint32_t>(l.shift) * static_cast<uint32_t>(l.w.k);
  }
  const uint32_t za = static_cast<uint32_t>(zero + l.shift);
  if (c.per_row) c.s.row_a[i] = static_cast<int32_t>(za);
  if (sums) c.s.row_b[i] = static_cast<int32_t>(sum - static_cast<uint32_t>(l.w.k) * za);
}

void prepare_task(void* arg, size_t task) {
  Chunk& c = *static_cast<Chunk*>(arg);
  const int64_t first = static_cast<int64_t>(task) * c.rows_per_task;
  for (int64_t i = first; i < min64(c.m, first + c.rows_per_task); ++i) prepare_row(c, i);
}

// Covers rows m0 .. m1 of one column block with `full` and then `edge`.
void cover(const Chunk& c, Tile& t, const Row& full, const Row& edge, int64_t m0, int64_t m1) {
  const ptrdiff_t no_tap = 0;
  int32_t offsets[16];
  for (int64_t i = m0; i < m1;) {
    const Row& row = m1 - i >= full.mr ? full : edge;
    t.m = static_cast<int32_t>(min64(row.mr, m1 - i));
    t.a = c.a + i * c.pitch_a;
    t.c = c.y + i * c.pitch_y + t.col0 * static_cast<int64_t>(type_bytes(c.l.out.type));
    t.row0 = static_cast<int32_t>(i);
    if (row.rows == kRowsIndexed) {
      for (int32_t r = 0; r < row.mr; ++r)
        offsets[r] = static_cast<int32_t>((r < t.m ? r : t.m - 1) * c.pitch_a);
      t.rows = offsets;
      t.tap = nullptr;
    } else {
      t.rows = nullptr;
      t.lda = c.pitch_a;
      t.tap = &no_tap;
    }
    reinterpret_cast<TileFn*>(row.fn)(&t);
    i += t.m;
  }
}

// Covers rows m0 .. m1 and columns n0 .. n1 with the plan's rows of scope block.
void cover_block(const Chunk& c, int64_t m0, int64_t m1, int64_t n0, int64_t n1) {
  const Row &full = *c.plan.main, &edge = *c.plan.edge[full.nr / 16];
  const WeightsView& w = c.l.w;
  Block b = {};
  b.lda = c.pitch_a;
  b.kc = static_cast<int32_t>(w.k);
  b.b = w.panels + n0 / 16 * w.panel_stride;
  b.panel = w.panel_stride;
  b.ldc = c.pitch_y;
  b.n = static_cast<int32_t>(n1 - n0);
  b.col0 = static_cast<int32_t>(n0);
  b.columns_outer = c.plan.columns_outer;
  b.finish = &c.finish;
  const int64_t rest = &edge == &full ? 0 : (m1 - m0) % full.mr;
  const auto run = [&](const Row& row, int64_t from, int64_t to) {
    if (from == to) return;
    b.a = c.a + from * c.pitch_a;
    b.c = c.y + from * c.pitch_y + n0 * static_cast<int64_t>(type_bytes(c.l.out.type));
    b.m = static_cast<int32_t>(to - from);
    b.row0 = static_cast<int32_t>(from);
    reinterpret_cast<BlockFn*>(row.fn)(&b);
  };
  run(full, m0, m1 - rest);
  run(edge, m1 - rest, m1);
}

void tile_task(void* arg, size_t task) {
  const Chunk& c = *static_cast<const Chunk*>(arg);
  const WeightsView& w = c.l.w;
  const int64_t at_m = static_cast<int64_t>(task) % c.tasks_m,
                at_n = static_cast<int64_t>(task) / c.tasks_m;
  const int64_t m0 = at_m * c.plan.mc, m1 = min64(c.m, m0 + c.plan.mc);
  const int64_t n0 = at_n * c.plan.nc, n1 = min64(w.n, n0 + c.plan.nc);
  if (c.plan.main->scope == kScopeBlock) {
    cover_block(c, m0, m1, n0, n1);
    return;
  }
  Tile t = {};
  t.taps = 1;
  t.kc = static_cast<int32_t>(w.k);
  t.panel = w.panel_stride;
  t.ldc = c.pitch_y;
  t.finish = &c.finish;
  const int64_t width = c.plan.main->nr / 16;
  for (int64_t n = n0; n < n1;) {
    int64_t panels = min64((n1 - n + 15) / 16, width);
    while (!c.plan.full[panels]) --panels;
    t.b = w.panels + n / 16 * w.panel_stride;
    t.col0 = static_cast<int32_t>(n);
    t.n = static_cast<int32_t>(min64(panels * 16, n1 - n));
    cover(c, t, *c.plan.full[panels], *c.plan.edge[panels], m0, m1);
    n += panels * 16;
  }
}

Finish make_finish(const Linear& l, const Chunk& c, const Columns& one_scale,
                   const float* call_scale) {
  const WeightsView& w = l.w;
  Finish f = {};
  if (c.per_row) {
    // The bias area of the weights is float zeros where there is no bias.
    f.ibias = c.s.zeros;
    f.fbias = static_cast<const float*>(w.bias);
    f.mult = w.scale;
    f.row_a = c.s.row_a;
    f.col_a = w.sums;
    f.row_scale = l.input == Input::kDynamicRow ? c.s.row_scale : call_scale;
  } else {
    f.ibias = one_scale.ibias;
    f.fbias = one_scale.fbias;
    f.mult = one_scale.mult;
  }
  if (w.has_zero) {
    f.row_b = c.s.row_b;
    f.col_b = w.zero;
  }
  f.flo = l.flo;
  f.fhi = l.fhi;
  if (is_q8(l.out.type)) {
    f.inv_out = 1.0f / l.out.scale;
    f.zp = l.out.zero_point;
    f.lo = l.lo;
    f.hi = l.hi;
    f.flip = l.out.type == OCTET_S8 ? 128 : 0;
  }
  return f;
}

// Min/max of every row in spans, joined in order: min, max and counts do not depend on it.
struct RangeJob {
  const Linear& l;
  const View& x;
  const RowPairs& rows;
  Range* ranges;
  int64_t spans;
};

void range_task(void* arg, size_t task) {
  const RangeJob& j = *static_cast<const RangeJob*>(arg);
  const int64_t row = static_cast<int64_t>(task) / j.spans,
                span = static_cast<int64_t>(task) % j.spans;
  int64_t a, b;
  j.rows.start(row / j.rows.rows, &a, &b);
  const float* x = reinterpret_cast<const float*>(j.x.data) + a +
                   row % j.rows.rows * j.rows.pitch_a + span * kRangeSpan;
  Range r = {__builtin_inff(), -__builtin_inff(), 0, 0};
  j.l.minmax(x, static_cast<size_t>(min64(kRangeSpan, j.l.w.k - span * kRangeSpan)), &r);
  j.ranges[task] = r;
}

// kDynamicTensor: one scale for the call, or NaN where any input is not finite.
octet_status choose_tensor(octet_error* err, const Linear& l, const View& x, const RowPairs& rows,
                           const Exec& exec, const Scratch& s, Chunk* c) {
  const int64_t spans = (l.w.k + kRangeSpan - 1) / kRangeSpan;
  const int64_t tasks = rows.outer * rows.rows * spans;
  RangeJob job = {l, x, rows, s.ranges, spans};
  OCTET_TRY(run_tasks(err, exec, static_cast<size_t>(tasks), range_task, &job));
  Range all = {0, 0, 0, 0};  // the range always holds 0
  for (int64_t i = 0; i < tasks; ++i) {
    const Range& r = s.ranges[i];
    if (r.min < all.min) all.min = r.min;
    if (r.max > all.max) all.max = r.max;
    all.nan_count += r.nan_count;
    all.inf_count += r.inf_count;
  }
  const bool finite = choose_finite(l, all, &c->tensor_scale, &c->tensor_zero);
  const Columns columns = columns_at(l.w, s.columns);
  OCTET_TRY(fill_columns(err, l, c->tensor_scale, c->tensor_zero, columns));
  if (!finite)
    for (int64_t n = 0; n < l.w.n16(); ++n) columns.mult[n] = kNan;
  return OCTET_OK;
}

octet_status run_chunk(octet_error* err, const octet_context& ctx, Chunk* c, const Exec& exec) {
  const Linear& l = c->l;
  if (l.packs_a()) {
    c->a = c->s.a;
    c->pitch_a = prepared_pitch(l);
  } else {
    c->a = c->x;
    c->pitch_a = c->pitch_x;
  }
  if (l.packs_a() || l.w.has_zero || c->per_row) {
    const int64_t per_task = 32768 / (l.w.k + 1);
    c->rows_per_task = per_task ? per_task : 1;
    const int64_t tasks = (c->m + c->rows_per_task - 1) / c->rows_per_task;
    OCTET_TRY(run_tasks(err, exec, static_cast<size_t>(tasks), prepare_task, c));
  }
  if (c->m != c->planned_m) {  // a group, a chunk or the last rows
    replan_gemm(ctx, l.table, c->m, exec.e.max_threads, c->plan.main, &c->plan);
    c->planned_m = c->m;
  }
  c->tasks_m = (c->m + c->plan.mc - 1) / c->plan.mc;
  c->tasks_n = (l.w.n + c->plan.nc - 1) / c->plan.nc;
  return run_tasks(err, exec, static_cast<size_t>(c->tasks_m * c->tasks_n), tile_task, c);
}

}  // namespace

size_t linear_workspace(const Linear& l, int64_t rows) { return Scratch(l, rows, nullptr).bytes; }

octet_status run_linear(octet_error* err, const octet_context& ctx, const Linear& l, const View& x,
                        const View& y, const Exec& exec, void* workspace) {
  const RowPairs rows = pair_rows(x, y);
  const int64_t total = rows.outer * rows.rows;
  if (!total || !l.w.n) return OCTET_OK;
  const Scratch s(l, total, workspace);
  Chunk c{l, s};
  // K = 0: there are rows, but nothing of x to point to, and its data may be NULL.
  const char* const x_data = x.count ? x.data : y.data;
  c.pitch_x = x.count ? rows.pitch_a * static_cast<int64_t>(x.item) : 0;
  c.pitch_y = rows.pitch_b * static_cast<int64_t>(y.item);
  // Tiles reach their rows by 32-bit offsets; refused before anything is written.
  if (!l.packs_a() && c.pitch_x > INT32_MAX / 16)
    return fail(err, OCTET_ERR_ARGUMENT,
                "in[0] has a row pitch of %lld bytes; it must be at most 2^27.",
                static_cast<long long>(c.pitch_x));
  const int64_t chunk = chunk_rows(l, total);
  // Planned once, for all rows as octet_op_plan does, however memory groups them: its candidates
  // are the ones that run, and an impossible exec.plan or forced kernel is refused before anything
  // is written.
  c.planned_m = total;
  OCTET_TRY(select_gemm(err, ctx, l.table, c.planned_m, exec.e.max_threads, exec.e.plan, &c.plan));
  c.per_row = l.input == Input::kDynamicRow || (l.input == Input::kCall && x.q->count != 1);
  Columns columns = {};
  if (l.input == Input::kStatic) {
    columns = *l.fixed;
    c.tensor_zero = l.in.zero_point;
  } else if (c.per_row) {
    memset(s.zeros, 0, static_cast<size_t>(l.w.n16()) * sizeof(int32_t));
  } else {
    columns = columns_at(l.w, s.columns);
    if (l.input == Input::kDynamicTensor) {
      OCTET_TRY(choose_tensor(err, l, x, rows, exec, s, &c));
    } else {
      c.tensor_zero = x.q->zero_point ? x.q->zero_point[0] : 0;
      OCTET_TRY(fill_columns(err, l, x.q->scale[0], c.tensor_zero, columns));
    }
  }
  for (int64_t group = 0; group < rows.outer; ++group) {
    int64_t at_x, at_y;
    rows.start(group, &at_x, &at_y);
    for (int64_t first = 0; first < rows.rows; first += chunk) {
      c.m = min64(chunk, rows.rows - first);
      if (!x.count) at_x = 0;
      c.x = x_data + at_x * static_cast<int64_t>(x.item) + first * c.pitch_x;
      c.y = y.data + at_y * static_cast<int64_t>(y.item) + first * c.pitch_y;
      const float* call_scale = nullptr;
      if (l.input == Input::kCall && c.per_row) {
        const int64_t at = group * rows.rows + first;
        call_scale = x.q->scale + at;
        c.call_zero = x.q->zero_point ? x.q->zero_point + at : nullptr;
      }
      c.finish = make_finish(l, c, columns, call_scale);
      OCTET_TRY(run_chunk(err, ctx, &c, exec));
    }
  }
  return OCTET_OK;
}

}  // namespace octet

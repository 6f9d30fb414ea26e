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
constexpr int64_t kShortRow = 512;
constexpr int64_t kChunkStep = 168;      // a multiple of the mr of every tile
constexpr int64_t kBlockChunkStep = 64;  // and of that of every block

int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

// Rows in flight; everything indexed by row in the workspace has this many entries at most.
int64_t chunk_rows(const Linear& l, int64_t rows) {
  return l.in_place() ? rows : min64(rows, l.chunk);
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
    a = carve.take<char>(l.packs_a() ? chunk * static_cast<size_t>(l.prepared_pitch) : 0);
    const size_t spans = static_cast<size_t>((l.w.k + kRangeSpan - 1) / kRangeSpan);
    ranges =
        carve.take<Range>(l.input == Input::kDynamicTensor ? static_cast<size_t>(rows) * spans : 0);
    bytes = carve.bytes();
  }
};

// Rows as the tiles see them: activations in their form, outputs and the plan. Nothing is set by
// default: small calls would spend a good part of their time on it.
struct Region {
  const Linear& l;
  const char* a;    // the first row
  int64_t pitch_a;  // bytes
  char* y;
  int64_t pitch_y;  // bytes
  int64_t m;
  const Finish* finish;
  GemmPlan plan;
  int64_t tasks_m, tasks_n;

  explicit Region(const Linear& linear) : l(linear) {}
};

// One chunk: rows r0 .. r0 + m of the group that starts at x and y.
struct Chunk : Region {
  const Scratch& s;
  const char* x = nullptr;  // first row of the chunk
  int64_t pitch_x = 0;      // bytes
  // Activations: one scale for all (tensor_*), or row arrays of the call.
  bool per_row = false;
  float tensor_scale = 1;
  int32_t tensor_zero = 0;
  const int32_t* call_zero = nullptr;  // kCall, one for each row of the chunk; nullptr: all 0
  int64_t planned_m = 0;
  int64_t rows_per_task = 0;

  Chunk(const Linear& linear, const Scratch& scratch) : Region(linear), s(scratch) {}
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

// Scale and zero point of one row, its own or those of the call.
struct RowScale {
  float scale;
  int32_t zero;
};

// kDynamicRow: chosen from the range of row i.
RowScale choose_row(Chunk& c, int64_t i) {
  const Linear& l = c.l;
  Range r = {__builtin_inff(), -__builtin_inff(), 0, 0};
  l.minmax(reinterpret_cast<const float*>(c.x + i * c.pitch_x), static_cast<size_t>(l.w.k), &r);
  RowScale chosen;
  c.s.row_scale[i] = choose_finite(l, r, &chosen.scale, &chosen.zero) ? chosen.scale : kNan;
  return chosen;
}

// Bytes from one row to the next in the caller's tensor and in the workspace are those of a row:
// all rows are rewritten as if they were one. Widening keeps its order across rows of whole fours.
bool rewritten_at_once(const Chunk& c) {
  const Linear& l = c.l;
  const int64_t item = l.form == OCTET_S16 ? 2 : 1;
  return l.packs_a() && !l.dynamic() && c.pitch_x == l.w.k && c.pitch_a == l.w.k * item &&
         (item == 1 || l.w.k % 4 == 0);
}

// n bytes from x on, which are no floats, in the form of the tiles.
void rewrite(const Linear& l, const void* x, void* to, size_t n, Run& run) {
  run.x = x;
  run.y = to;
  run.n = n;
  if (l.form == OCTET_S16 || l.shift)
    (l.form == OCTET_S16 ? l.widen : l.flip)(&run);
  else
    memcpy(to, x, n);
}

// with: of a dynamic row. run: for rows that are rewritten as they are, or null where they have
// been.
void prepare_row(Chunk& c, int64_t i, const RowScale& with, Run* run) {
  const Linear& l = c.l;
  const char* x = c.x + i * c.pitch_x;
  char* to = c.s.a + i * c.pitch_a;
  const bool sums = l.w.has_zero;
  uint32_t sum = 0;  // of the operand integers
  int32_t zero = with.zero;
  if (l.dynamic()) {
    sum = quantize_row(l, reinterpret_cast<const float*>(x), to, with.scale, zero, sums);
  } else {
    if (c.per_row) zero = c.call_zero ? c.call_zero[i] : 0;
    const size_t k = static_cast<size_t>(l.w.k);
    if (l.packs_a() && run) rewrite(l, x, to, k, *run);
    if (sums)
      sum = static_cast<uint32_t>(l.rowsum(x, k)) +
            static_cast<uint32_t>(l.shift) * static_cast<uint32_t>(l.w.k);
  }
  const uint32_t za = static_cast<uint32_t>(zero + l.shift);
  if (c.per_row) c.s.row_a[i] = static_cast<int32_t>(za);
  if (sums) c.s.row_b[i] = static_cast<int32_t>(sum - static_cast<uint32_t>(l.w.k) * za);
}

// The scales of a few rows are chosen before those rows, still in L1, are quantized: choosing is a
// long chain of few operations, which runs beside the range of the next row.
constexpr int64_t kChosenRows = 8, kChosenBytes = 24 << 10;

void prepare_task(void* arg, size_t task) {
  Chunk& c = *static_cast<Chunk*>(arg);
  const int64_t first = static_cast<int64_t>(task) * c.rows_per_task;
  const int64_t last = min64(c.m, first + c.rows_per_task);
  Run run = {.x = c.x,  // every field by name, as of Tile in cover_tiles
             .y = c.s.a,
             .mask = nullptr,
             .n = 0,
             .in_scale = nullptr,
             .in_zero = nullptr,
             .out_inv = nullptr,
             .out_scale = nullptr,
             .out_zero = nullptr,
             .in_step = 0,
             .out_step = 0,
             .qmin = 0,
             .qmax = 0,
             .divide = 0,
             .away = 0,
             .in_float = nullptr,
             .out_float = nullptr,
             .stream = 0};
  if (c.l.input != Input::kDynamicRow) {
    const RowScale all = {c.tensor_scale, c.tensor_zero};
    const bool at_once = rewritten_at_once(c);
    if (at_once)
      rewrite(c.l, c.x + first * c.pitch_x, c.s.a + first * c.pitch_a,
              static_cast<size_t>((last - first) * c.l.w.k), run);
    const bool plain = !c.l.dynamic() && !c.l.w.has_zero && !c.per_row;
    if (at_once && plain) return;
    if (plain && c.l.packs_a()) {  // rows of a few bytes each, of which nothing else is asked
      for (int64_t i = first; i < last; ++i)
        rewrite(c.l, c.x + i * c.pitch_x, c.s.a + i * c.pitch_a, static_cast<size_t>(c.l.w.k), run);
      return;
    }
    for (int64_t i = first; i < last; ++i) prepare_row(c, i, all, at_once ? nullptr : &run);
    return;
  }
  const int64_t fit = kChosenBytes / (c.l.w.k * 4 + 1) + 1;
  const int64_t step = fit < kChosenRows ? fit : kChosenRows;
  RowScale chosen[kChosenRows];
  for (int64_t i = first; i < last; i += step) {
    const int64_t end = min64(last, i + step);
    for (int64_t j = i; j < end; ++j) chosen[j - i] = choose_row(c, j);
    for (int64_t j = i; j < end; ++j) prepare_row(c, j, chosen[j - i], &run);
  }
}

// Where the rows of a tile begin.
struct Offsets {
  alignas(16) ptrdiff_t at[kMaxMr];

  explicit Offsets(int64_t pitch) {
    typedef ptrdiff_t Two __attribute__((vector_size(2 * sizeof(ptrdiff_t))));
    Two next = {0, pitch};
    for (int32_t r = 0; r < kMaxMr; r += 2, next += 2 * pitch)
      __builtin_memcpy(at + r, &next, sizeof next);
  }
  // The first `real` rows of all, the last of them repeated.
  Offsets(const Offsets& all, int32_t real, int32_t mr) {
    for (int32_t r = 0; r < mr; ++r) at[r] = all.at[r < real ? r : real - 1];
  }
};

constexpr ptrdiff_t kNoTap = 0;

// Covers rows m0 .. m1 of one column block with `full` and then `edge`. all: offsets of kMaxMr
// rows.
[[gnu::always_inline]] inline void cover(const Region& c, Tile& t, const Offsets& all,
                                         const Row& full, const Row& edge, int64_t m0, int64_t m1) {
  t.a = c.a + m0 * c.pitch_a;
  t.c = c.y + m0 * c.pitch_y + t.col0 * c.l.out_bytes;
  for (int64_t i = m0; i < m1;) {
    const Row& row = m1 - i >= full.mr ? full : edge;
    t.m = static_cast<int32_t>(min64(row.mr, m1 - i));
    t.row0 = static_cast<int32_t>(i);
    t.rows = row.rows == kRowsIndexed ? all.at : nullptr;
    const auto run = reinterpret_cast<TileFn*>(row.fn);
    if (t.m < row.mr) {
      const Offsets some(all, t.m, row.mr);
      t.rows = some.at;
      run(&t);
      return;
    }
    run(&t);
    i += t.m;
    t.a = static_cast<const char*>(t.a) + t.m * c.pitch_a;
    t.c = static_cast<char*>(t.c) + t.m * c.pitch_y;
  }
}

// Covers rows m0 .. m1 and all columns, of which there are few.
void cover_columns(const Region& c, const Row& row, int64_t m0, int64_t m1) {
  const Block b = {.a = c.a + m0 * c.pitch_a,
                   .lda = c.pitch_a,
                   .kc = static_cast<int32_t>(c.l.w.k),
                   .b = c.l.columns,
                   .panel = column_pitch(c.l.w.k),
                   .c = c.y + m0 * c.pitch_y,
                   .ldc = c.pitch_y,
                   .m = static_cast<int32_t>(m1 - m0),
                   .n = static_cast<int32_t>(c.l.w.n),
                   .row0 = static_cast<int32_t>(m0),
                   .col0 = 0,
                   .columns_outer = 0,
                   .prefetch = 0,
                   .finish = c.finish,
                   .tap = nullptr,
                   .taps = 0,
                   .height = 0,
                   .strip = nullptr,
                   .at = nullptr};
  reinterpret_cast<BlockFn*>(row.fn)(&b);
}

// Covers rows m0 .. m1 and columns n0 .. n1 with the plan's rows of scope block.
void cover_block(const Region& c, int64_t m0, int64_t m1, int64_t n0, int64_t n1) {
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
  b.prefetch = c.plan.prefetch;
  b.finish = c.finish;
  const int64_t rest = &edge == &full ? 0 : (m1 - m0) % full.mr;
  const auto run = [&](const Row& row, int64_t from, int64_t to) {
    if (from == to) return;
    b.a = c.a + from * c.pitch_a;
    b.c = c.y + from * c.pitch_y + n0 * c.l.out_bytes;
    b.m = static_cast<int32_t>(to - from);
    b.row0 = static_cast<int32_t>(from);
    reinterpret_cast<BlockFn*>(row.fn)(&b);
  };
  run(full, m0, m1 - rest);
  run(edge, m1 - rest, m1);
}

// Covers rows m0 .. m1 and columns n0 .. n1 with the tiles of a GemmPlan or a SmallPlan.
template <class Plan>
void cover_tiles(const Region& c, const Plan& plan, int64_t m0, int64_t m1, int64_t n0,
                 int64_t n1) {
  const WeightsView& w = c.l.w;
  const GemmTable& table = c.l.table;
  const Offsets all(c.pitch_a);
  // Every field by name: compilers clear what is left out with an instruction that is slow to
  // start.
  Tile t = {.a = c.a,
            .rows = all.at,
            .lda = c.pitch_a,
            .tap = &kNoTap,
            .taps = 1,
            .kc = static_cast<int32_t>(w.k),
            .b = w.panels,
            .panel = w.panel_stride,
            .init = nullptr,
            .ldi = 0,
            .c = c.y,
            .ldc = c.pitch_y,
            .m = 0,
            .n = 0,
            .row0 = 0,
            .col0 = 0,
            .finish = c.finish};
  const int64_t width = plan.main_row(table)->nr / 16;
  const bool proved = plan.main_row(table)->layout == kLayoutProved;
  for (int64_t n = n0; n < n1;) {
    int64_t panels = min64((n1 - n + 15) / 16, width);
    const Row* full;
    while (!(full = plan.full_row(table, panels))) --panels;
    t.b = proved ? w.proved_panel(n / 16) : w.panels + n / 16 * w.panel_stride;
    t.col0 = static_cast<int32_t>(n);
    t.n = static_cast<int32_t>(min64(panels * 16, n1 - n));
    cover(c, t, all, *full, *plan.edge_row(table, panels), m0, m1);
    n += panels * 16;
  }
}

void cover_region(const Region& c, int64_t m0, int64_t m1, int64_t n0, int64_t n1) {
  if (c.plan.main->layout == kLayoutColumns)
    cover_columns(c, *c.plan.main, m0, m1);
  else if (c.plan.main->scope == kScopeBlock)
    cover_block(c, m0, m1, n0, n1);
  else
    cover_tiles(c, c.plan, m0, m1, n0, n1);
}

void tile_task(void* arg, size_t task) {
  const Region& c = *static_cast<const Region*>(arg);
  const int64_t at_m = static_cast<int64_t>(task) % c.tasks_m,
                at_n = static_cast<int64_t>(task) / c.tasks_m;
  const int64_t m0 = at_m * c.plan.mc, n0 = at_n * c.plan.nc;
  cover_region(c, m0, min64(c.m, m0 + c.plan.mc), n0, min64(c.l.w.n, n0 + c.plan.nc));
}

octet_status run_region(octet_error* err, Region* c, const Exec& exec) {
  if (c->plan.mc >= c->m && c->plan.nc >= c->l.w.n) {
    cover_region(*c, 0, c->m, 0, c->l.w.n);
    return OCTET_OK;
  }
  c->tasks_m = (c->m + c->plan.mc - 1) / c->plan.mc;
  c->tasks_n = (c->l.w.n + c->plan.nc - 1) / c->plan.nc;
  return run_tasks(err, exec, static_cast<size_t>(c->tasks_m * c->tasks_n), tile_task, c);
}

Finish make_finish(const Linear& l, const Chunk& c, const Columns& one_scale,
                   const float* call_scale) {
  const WeightsView& w = l.w;
  Finish f = l.fixed_finish ? *l.fixed_finish : output_finish(l);
  if (c.per_row) {
    // The bias area of the weights is float zeros where there is no bias.
    f.ibias = c.s.zeros;
    f.fbias = static_cast<const float*>(w.bias);
    f.mult = w.scale;
    f.row_a = c.s.row_a;
    f.col_a = w.sums;
    f.row_scale = l.input == Input::kDynamicRow ? c.s.row_scale : call_scale;
  } else {
    set_columns(&f, one_scale);
  }
  if (w.has_zero) {
    f.row_b = c.s.row_b;
    f.col_b = w.zero;
  }
  return f;
}

// Min/max of every row in spans, joined in order: min, max and counts do not depend on it.
struct RangeJob {
  const Linear& l;
  const LinearCall& call;
  Range* ranges;
  int64_t spans;
};

void range_task(void* arg, size_t task) {
  const RangeJob& j = *static_cast<const RangeJob*>(arg);
  const int64_t row = static_cast<int64_t>(task) / j.spans,
                span = static_cast<int64_t>(task) % j.spans;
  const char *group, *residual;
  char* y;
  j.call.start(row / j.call.rows, &group, &y, &residual);
  const float* x = reinterpret_cast<const float*>(group + row % j.call.rows * j.call.pitch_x) +
                   span * kRangeSpan;
  Range r = {__builtin_inff(), -__builtin_inff(), 0, 0};
  j.l.minmax(x, static_cast<size_t>(min64(kRangeSpan, j.l.w.k - span * kRangeSpan)), &r);
  j.ranges[task] = r;
}

// kDynamicTensor: one scale for the call, or NaN where any input is not finite.
octet_status choose_tensor(octet_error* err, const Linear& l, const LinearCall& call,
                           const Exec& exec, const Scratch& s, Chunk* c) {
  const int64_t spans = (l.w.k + kRangeSpan - 1) / kRangeSpan;
  const int64_t tasks = call.groups * call.rows * spans;
  RangeJob job = {l, call, s.ranges, spans};
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
    c->pitch_a = l.prepared_pitch;
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
  return run_region(err, c, exec);
}

// Layers that need nothing but tiles.
octet_status run_in_place(octet_error* err, const octet_context& ctx, const Linear& l,
                          const LinearCall& call, const Exec& exec) {
  Region r(l);
  r.pitch_a = call.pitch_x;
  r.pitch_y = call.pitch_y;
  r.m = call.rows;
  // Groups have the same rows: one plan, made for all of them, serves each.
  OCTET_TRY(select_gemm(err, ctx, l.table, call.groups * call.rows, exec.e.max_threads, exec.e.plan,
                        &r.plan));
  Finish finish;
  r.finish = l.fixed_finish;
  if (!r.finish || call.r) {
    finish = fixed_finish(l);
    finish.ldr = call.pitch_r;
    r.finish = &finish;
  }
  if (call.groups > 1) replan_gemm(ctx, l.table, r.m, exec.e.max_threads, r.plan.main, &r.plan);
  for (int64_t group = 0; group < call.groups; ++group) {
    const char* residual;
    call.start(group, &r.a, &r.y, &residual);
    if (residual) finish.residual = residual;
    OCTET_TRY(run_region(err, &r, exec));
  }
  return OCTET_OK;
}

octet_status run_prepared(octet_error* err, const octet_context& ctx, const Linear& l,
                          const LinearCall& call, const Exec& exec, void* workspace) {
  const int64_t total = call.groups * call.rows;
  const Scratch s(l, total, workspace);
  Chunk c(l, s);
  c.pitch_x = call.pitch_x;
  c.pitch_y = call.pitch_y;
  // Planned once, for all rows as octet_op_plan does, however memory groups them: its candidates
  // are the ones that run, and an impossible exec.plan or forced kernel is refused before anything
  // is written.
  c.planned_m = total;
  OCTET_TRY(select_gemm(err, ctx, l.table, c.planned_m, exec.e.max_threads, exec.e.plan, &c.plan));
  const int64_t chunk = rows_at_a_time(ctx, l, total, exec.e.max_threads, c.plan);
  c.per_row = l.input == Input::kDynamicRow || (l.input == Input::kCall && call.q->count != 1);
  Columns columns = {};
  if (l.input == Input::kStatic) {
    columns = *l.fixed;
    c.tensor_zero = l.in.zero_point;
  } else if (c.per_row) {
    memset(s.zeros, 0, static_cast<size_t>(l.w.n16()) * sizeof(int32_t));
  } else {
    columns = columns_at(l.w, s.columns);
    if (l.input == Input::kDynamicTensor) {
      OCTET_TRY(choose_tensor(err, l, call, exec, s, &c));
    } else {
      c.tensor_zero = call.q->zero_point ? call.q->zero_point[0] : 0;
      OCTET_TRY(fill_columns(err, l, call.q->scale[0], c.tensor_zero, columns));
    }
  }
  for (int64_t group = 0; group < call.groups; ++group) {
    const char *x, *residual;
    char* y;
    call.start(group, &x, &y, &residual);
    for (int64_t first = 0; first < call.rows; first += chunk) {
      c.m = min64(chunk, call.rows - first);
      c.x = x + first * c.pitch_x;
      c.y = y + first * c.pitch_y;
      const float* call_scale = nullptr;
      if (l.input == Input::kCall && c.per_row) {
        const int64_t at = group * call.rows + first;
        call_scale = call.q->scale + at;
        c.call_zero = call.q->zero_point ? call.q->zero_point + at : nullptr;
      }
      Finish finish = make_finish(l, c, columns, call_scale);
      if (residual) finish.residual = residual + first * call.pitch_r;
      finish.ldr = call.pitch_r;
      c.finish = &finish;
      OCTET_TRY(run_chunk(err, ctx, &c, exec));
    }
  }
  return OCTET_OK;
}

}  // namespace

Finish output_finish(const Linear& l) {
  Finish f = {};
  f.flo = l.flo;
  f.fhi = l.fhi;
  if (is_q8(l.out.type)) {
    f.inv_out = 1.0f / l.out.scale;
    f.zp = l.out.zero_point;
    f.lo = l.lo;
    f.hi = l.hi;
    f.flip = l.out.type == OCTET_S8 ? 128 : 0;
  }
  f.fixed = l.finish_fixed;
  f.fixed_rounding = l.numerics == OCTET_NUMERICS_TFLITE ? kRoundTwice : kRoundOnce;
  if (is_q8(l.residual.type)) {
    f.residual_scale = l.residual.scale / l.out.scale;
    f.residual_flip = l.residual.type == OCTET_S8 ? 128 : 0;
    f.residual_zero = l.residual.zero_point + f.residual_flip;
  }
  return f;
}

void size_chunks(Linear* l) {
  // Whole cache lines, never a multiple of 4 KiB. Short widened rows follow one another, so that
  // all of them are widened in one run; tiles read them in words that lie in one line anyhow.
  const int64_t k4 = (l->w.k + 3) / 4 * 4;
  const bool widened = l->form == OCTET_S16;
  l->prepared_pitch = k4 * (widened ? 2 : 1);
  if (!widened || k4 > kShortRow) l->prepared_pitch = (l->prepared_pitch + 63) / 64 * 64;
  if (l->prepared_pitch % 4096 == 0) l->prepared_pitch += 64;
  const int64_t step = has_blocks(l->table) ? kBlockChunkStep : kChunkStep;
  const int64_t steps = kChunkBytes / l->prepared_pitch / step;
  l->chunk = (steps ? steps : 1) * step;
}

Finish fixed_finish(const Linear& l) {
  Finish f = output_finish(l);
  set_columns(&f, *l.fixed);
  return f;
}

int64_t rows_at_a_time(const octet_context& ctx, const Linear& l, int64_t rows, int32_t threads,
                       const GemmPlan& plan) {
  const int64_t chunk = chunk_rows(l, rows);
  // So few rows are always taken at once.
  if (threads > 1 || !l.packs_a() || chunk <= 4 * plan.main->mr) return chunk;
  return min64(chunk, hot_rows(ctx, l.table, l.prepared_pitch, *plan.main));
}

size_t linear_workspace(const Linear& l, int64_t rows) {
  if (l.w.form.group) return group_workspace(l, rows);
  return l.in_place() ? 0 : Scratch(l, rows, nullptr).bytes;
}

void run_small(const Linear& l, const char* x, int64_t pitch_x, char* y, int64_t pitch_y,
               int64_t rows) {
  Region r(l);
  r.a = x;
  r.pitch_a = pitch_x;
  r.y = y;
  r.pitch_y = pitch_y;
  r.finish = l.fixed_finish;
  const SmallPlan& plan = l.table.small[rows];
  const Row& main = *plan.main_row(l.table);
  if (main.layout == kLayoutColumns)
    cover_columns(r, main, 0, rows);
  else
    cover_tiles(r, plan, 0, rows, 0, l.w.n);
}

octet_status run_linear(octet_error* err, const octet_context& ctx, const Linear& l,
                        const LinearCall& call, const Exec& exec, void* workspace) {
  if (l.w.form.group) return run_group(err, ctx, l, call, exec, workspace);
  if (l.in_place()) return run_in_place(err, ctx, l, call, exec);
  return run_prepared(err, ctx, l, call, exec, workspace);
}

octet_status run_linear(octet_error* err, const octet_context& ctx, const Linear& l, const View& x,
                        const View& y, const View* r, const Exec& exec, void* workspace) {
  const RowPairs pairs = pair_rows(x, y, r);
  if (!pairs.outer || !pairs.rows || !l.w.n) return OCTET_OK;
  LinearCall call;
  call.q = x.q;
  call.groups = pairs.outer;
  call.rows = pairs.rows;
  call.pairs = &pairs;
  call.y = y.data;
  call.item_y = static_cast<int64_t>(y.item);
  call.pitch_y = pairs.pitch_b * call.item_y;
  call.r = r ? r->data : nullptr;
  call.pitch_r = pairs.pitch_c * call.item_y;
  // K = 0: there are rows, but nothing of x to point to, and its data may be NULL.
  call.x = x.count ? x.data : y.data;
  call.item_x = x.count ? static_cast<int64_t>(x.item) : 0;
  call.pitch_x = pairs.pitch_a * call.item_x;
  return run_linear(err, ctx, l, call, exec, workspace);
}

}  // namespace octet

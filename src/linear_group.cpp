// SPDX-License-Identifier: Apache-2.0
//
// The run path of weights with a scale for each group of K. Rows go through in chunks: activations
// are brought into the form that the tiles read, where they do not have it, and for each row and
// block of k a pair is made of its zero point and corrected sum, with which the tiles take the zero
// points out of each group. Then tiles cover the chunk's outputs. Nothing is allocated.
#include "src/linear.h"
#include "src/ranges.h"

namespace octet {

namespace {

constexpr float kNan = __builtin_nanf("");  // 0x7FC00000

int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

// Rows in flight.
int64_t chunk_rows(const Linear& l, int64_t rows) { return min64(rows, l.chunk); }

// K = 0 has none; one keeps pointers to them valid.
int64_t pair_count(const Linear& l) {
  const int64_t count = l.w.groups() * l.w.form.blocks();
  return count ? count : 1;
}
// A tile reads the pairs of all its rows, those that are not there included.
int64_t pair_pitch(const Linear& l, int64_t rows) { return chunk_rows(l, rows) + kMaxMr; }

// The workspace of one call.
struct Scratch {
  int32_t* pairs;    // [pair_count][pair_pitch]
  float* row_scale;  // kDynamicRow
  Range* ranges;     // kDynamicTensor: one for each row
  char* a;           // prepared activations
  size_t bytes;

  Scratch(const Linear& l, int64_t rows, void* base) {
    Carver carve(base);
    const int64_t chunk = chunk_rows(l, rows);
    const auto size = [](int64_t count) { return static_cast<size_t>(count); };
    pairs = carve.take<int32_t>(size(pair_count(l) * pair_pitch(l, rows)));
    row_scale = carve.take<float>(l.input == Input::kDynamicRow ? size(chunk) : 0);
    ranges = carve.take<Range>(l.input == Input::kDynamicTensor ? size(rows) : 0);
    a = carve.take<char>(l.packs_a() ? size(chunk * l.prepared_pitch) : 0);
    bytes = carve.bytes();
  }
};

// One chunk: rows r0 .. r0 + m of the memory group that starts at x and y.
struct Chunk {
  const Linear& l;
  const Scratch& s;
  int64_t pitch_pairs;
  const char* x = nullptr;
  int64_t pitch_x = 0;  // bytes
  char* y = nullptr;
  int64_t pitch_y = 0;
  int64_t m = 0;
  bool per_row = false;  // scale and zero point of each row, else those of the tensor
  float tensor_scale = 1;
  int32_t tensor_zero = 0;
  const int32_t* call_zero = nullptr;  // kCall: one for each row of the chunk; nullptr: all 0
  const char* a = nullptr;             // what the tiles read
  int64_t pitch_a = 0;
  Finish finish = {};
  GemmPlan plan = {};
  int64_t planned_m = 0, tasks_m = 0, rows_per_task = 0;
};

// Scale and zero point of a range; false, with harmless ones, if it holds a NaN or an infinity or
// would need a scale beyond the domain.
bool choose_finite(const Linear& l, const Range& r, float* scale, int32_t* zero) {
  const bool none = is_empty(r);
  if (!r.nan_count && !r.inf_count)
    choose(l.scheme.chooser, none ? 0 : r.min, none ? 0 : r.max, scale, zero);
  if (!r.nan_count && !r.inf_count && scale_in_domain(*scale)) return true;
  *scale = 1;
  *zero = 0;
  return false;
}

// ---- activations ------------------------------------------------------------------------------

// One row's way into the tiles' form, in parts of any length.
struct RowForm {
  const Linear& l;
  const char* x;
  char* to;
  float inverse = 1;     // dynamic: what x is multiplied with, or divided by
  int32_t operand_zero;  // zero point of the integers that the tiles read

  // Elements k0 .. k0 + count; their sum as operand integers.
  uint32_t take(int64_t k0, int64_t count) const {
    alignas(64) uint8_t bytes[kPairBlock];
    const size_t n = static_cast<size_t>(count);
    const bool wide = l.form == OCTET_S16;
    Run run = {};
    run.n = n;
    const void* summed = x + k0;  // bytes, of the type that l.rowsum takes
    uint32_t shifted = static_cast<uint32_t>(l.shift) * static_cast<uint32_t>(count);
    if (l.dynamic()) {
      run.x = reinterpret_cast<const float*>(x) + k0;
      run.y = wide ? bytes : reinterpret_cast<uint8_t*>(to + k0);
      run.out_inv = &inverse;
      run.out_zero = &operand_zero;
      run.qmin = l.scheme.chooser.qmin + l.shift;
      run.qmax = l.scheme.chooser.qmax + l.shift;
      run.divide = l.scheme.divide;
      l.quantize(&run);
      summed = run.y;
      shifted = 0;  // they are quantized as operands
    }
    if (wide || (l.packs_a() && !l.dynamic())) {
      run.x = summed;
      run.y = to + k0 * (wide ? 2 : 1);
      (wide ? l.widen : l.flip)(&run);
    }
    return l.w.has_zero ? static_cast<uint32_t>(l.rowsum(summed, n)) + shifted : 0;
  }
};

// What takes the zero points out of a block: the row's own, and its sum, corrected for that.
int32_t make_pair(int32_t zero, uint32_t corrected) {
  const uint32_t low = (0u - static_cast<uint32_t>(zero)) & 0xFFFF;
  return static_cast<int32_t>(low | (0u - corrected) << 16);
}

void prepare_row(Chunk& c, int64_t i) {
  const Linear& l = c.l;
  float scale = c.tensor_scale;
  int32_t zero = c.tensor_zero;
  RowForm row = {l, c.x + i * c.pitch_x, l.packs_a() ? c.s.a + i * c.pitch_a : nullptr, 1, 0};
  if (l.input == Input::kDynamicRow) {
    Range r = kEmptyRange;
    l.minmax(reinterpret_cast<const float*>(row.x), static_cast<size_t>(l.w.k), &r);
    c.s.row_scale[i] = choose_finite(l, r, &scale, &zero) ? scale : kNan;
  } else if (c.per_row) {
    zero = c.call_zero ? c.call_zero[i] : 0;
  }
  row.operand_zero = zero + l.shift;
  if (l.dynamic()) row.inverse = l.scheme.divide ? scale : 1.0f / scale;
  int32_t* pair = c.s.pairs + i;
  const int64_t group = l.w.form.group;
  for (int64_t k = 0; k < l.w.k; k += group)
    for (int64_t done = 0; done < group; done += kPairBlock) {
      const int64_t count = min64(group - done, kPairBlock);
      const uint32_t sum = row.take(k + done, count);
      const uint32_t zeros = static_cast<uint32_t>(count) * static_cast<uint32_t>(row.operand_zero);
      *pair = make_pair(row.operand_zero, l.w.has_zero ? sum - zeros : 0);
      pair += c.pitch_pairs;
    }
}

void prepare_task(void* arg, size_t task) {
  Chunk& c = *static_cast<Chunk*>(arg);
  const int64_t first = static_cast<int64_t>(task) * c.rows_per_task;
  for (int64_t i = first; i < min64(c.m, first + c.rows_per_task); ++i) prepare_row(c, i);
}

// The range of every row of a kDynamicTensor call.
struct RangeJob {
  const Linear& l;
  const LinearCall& call;
  Range* ranges;
};

void range_task(void* arg, size_t task) {
  const RangeJob& j = *static_cast<const RangeJob*>(arg);
  const int64_t row = static_cast<int64_t>(task);
  const char *x, *residual;
  char* y;
  j.call.start(row / j.call.rows, &x, &y, &residual);
  x += row % j.call.rows * j.call.pitch_x;
  j.ranges[row] = kEmptyRange;
  j.l.minmax(reinterpret_cast<const float*>(x), static_cast<size_t>(j.l.w.k), j.ranges + row);
}

// ---- tiles ------------------------------------------------------------------------------------

// Covers rows m0 .. m1 of one column block with `full` and then `edge`.
void cover(const Chunk& c, GroupTile& t, ptrdiff_t* offsets, const Row& full, const Row& edge,
           int64_t m0, int64_t m1) {
  for (int64_t i = m0; i < m1; i += t.m) {
    const Row& row = m1 - i >= full.mr ? full : edge;
    t.m = static_cast<int32_t>(min64(row.mr, m1 - i));
    t.a = c.a + i * c.pitch_a;
    t.c = c.y + i * c.pitch_y + t.col0 * static_cast<int64_t>(type_bytes(c.l.out.type));
    t.row0 = static_cast<int32_t>(i);
    for (int32_t r = 0; r < row.mr; ++r) offsets[r] = (r < t.m ? r : t.m - 1) * c.pitch_a;
    reinterpret_cast<GroupTileFn*>(row.fn)(&t);
  }
}

void tile_task(void* arg, size_t task) {
  const Chunk& c = *static_cast<const Chunk*>(arg);
  const WeightsView& w = c.l.w;
  const int64_t at_m = static_cast<int64_t>(task) % c.tasks_m,
                at_n = static_cast<int64_t>(task) / c.tasks_m;
  const int64_t m0 = at_m * c.plan.mc, m1 = min64(c.m, m0 + c.plan.mc);
  const int64_t n0 = at_n * c.plan.nc, n1 = min64(w.n, n0 + c.plan.nc);
  ptrdiff_t offsets[kMaxMr];
  GroupTile t = {};
  t.rows = offsets;
  t.kc = static_cast<int32_t>(w.k);
  t.group = static_cast<int32_t>(w.form.group);
  t.panel = w.panel_stride;
  t.pairs = c.s.pairs;
  t.pitch = c.pitch_pairs;
  t.scale = c.tensor_scale;
  t.ldc = c.pitch_y;
  t.finish = &c.finish;
  const int64_t width = c.plan.main->nr / 16;
  for (int64_t n = n0; n < n1;) {
    int64_t panels = min64((n1 - n + 15) / 16, width);
    while (!c.plan.full[panels]) --panels;
    t.b = w.panels + n / 16 * w.panel_stride;
    t.col0 = static_cast<int32_t>(n);
    t.n = static_cast<int32_t>(min64(panels * 16, n1 - n));
    cover(c, t, offsets, *c.plan.full[panels], *c.plan.edge[panels], m0, m1);
    n += panels * 16;
  }
}

Finish make_finish(const Linear& l, const float* row_scale) {
  Finish f = output_finish(l);
  f.fbias = static_cast<const float*>(l.w.bias);  // zeros where there is no bias
  f.row_scale = row_scale;
  return f;
}

// ---- the call ---------------------------------------------------------------------------------

// The one scale and zero point of a call that has them.
octet_status read_tensor_scale(octet_error* err, const LinearCall& call, const Exec& exec,
                               Chunk* c) {
  const Linear& l = c->l;
  if (l.input == Input::kStatic) {
    c->tensor_scale = l.in.scale;
    c->tensor_zero = l.in.zero_point;
  } else if (l.input == Input::kCall) {
    c->tensor_scale = call.q->scale[0];
    c->tensor_zero = call.q->zero_point ? call.q->zero_point[0] : 0;
  } else {
    const int64_t count = call.groups * call.rows;
    RangeJob job = {l, call, c->s.ranges};
    OCTET_TRY(run_tasks(err, exec, static_cast<size_t>(count), range_task, &job));
    Range all = kEmptyRange;
    for (int64_t i = 0; i < count; ++i) join(c->s.ranges[i], &all);
    // Quantized with harmless ones if not finite; every output is then a NaN.
    if (!choose_finite(l, all, &c->tensor_scale, &c->tensor_zero)) c->tensor_scale = kNan;
  }
  return OCTET_OK;
}

octet_status run_chunk(octet_error* err, const octet_context& ctx, Chunk* c, const Exec& exec) {
  const Linear& l = c->l;
  c->a = l.packs_a() ? c->s.a : c->x;
  c->pitch_a = l.packs_a() ? l.prepared_pitch : c->pitch_x;
  const int64_t per_task = 32768 / (l.w.k + 1);
  c->rows_per_task = per_task ? per_task : 1;
  const int64_t tasks = (c->m + c->rows_per_task - 1) / c->rows_per_task;
  OCTET_TRY(run_tasks(err, exec, static_cast<size_t>(tasks), prepare_task, c));
  if (c->m != c->planned_m) {
    replan_gemm(ctx, l.table, c->m, exec.e.max_threads, c->plan.main, &c->plan);
    c->planned_m = c->m;
  }
  c->tasks_m = (c->m + c->plan.mc - 1) / c->plan.mc;
  const int64_t tasks_n = (l.w.n + c->plan.nc - 1) / c->plan.nc;
  return run_tasks(err, exec, static_cast<size_t>(c->tasks_m * tasks_n), tile_task, c);
}

}  // namespace

size_t group_workspace(const Linear& l, int64_t rows) { return Scratch(l, rows, nullptr).bytes; }

octet_status run_group(octet_error* err, const octet_context& ctx, const Linear& l,
                       const LinearCall& call, const Exec& exec, void* workspace) {
  const int64_t total = call.groups * call.rows;
  const Scratch s(l, total, workspace);
  Chunk c{l, s, pair_pitch(l, total)};
  c.pitch_x = call.pitch_x;
  c.pitch_y = call.pitch_y;
  c.planned_m = total;
  OCTET_TRY(select_gemm(err, ctx, l.table, total, exec.e.max_threads, exec.e.plan, &c.plan));
  c.per_row = l.input == Input::kDynamicRow || (l.input == Input::kCall && call.q->count != 1);
  if (!c.per_row) OCTET_TRY(read_tensor_scale(err, call, exec, &c));
  const int64_t chunk = chunk_rows(l, total);
  for (int64_t outer = 0; outer < call.groups; ++outer) {
    const char *x, *residual;  // there is none
    char* y;
    call.start(outer, &x, &y, &residual);
    for (int64_t first = 0; first < call.rows; first += chunk) {
      c.m = min64(chunk, call.rows - first);
      c.x = x + first * c.pitch_x;
      c.y = y + first * c.pitch_y;
      const float* row_scale = l.input == Input::kDynamicRow ? s.row_scale : nullptr;
      if (l.input == Input::kCall && c.per_row) {
        const int64_t at = outer * call.rows + first;
        row_scale = call.q->scale + at;
        c.call_zero = call.q->zero_point ? call.q->zero_point + at : nullptr;
      }
      c.finish = make_finish(l, row_scale);
      OCTET_TRY(run_chunk(err, ctx, &c, exec));
    }
  }
  return OCTET_OK;
}

}  // namespace octet

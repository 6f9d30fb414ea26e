// SPDX-License-Identifier: Apache-2.0
#include "src/select.h"

namespace octet {

namespace {

int32_t panels_of(const Row& r) { return r.nr / 16; }

// Modelled cycles of one tile.
double tile_cycles(const Row& r, int64_t k) {
  return static_cast<double>(r.cycles_fixed) +
         static_cast<double>(r.cycles_k4) * static_cast<double>((k + 3) / 4);
}

// Cycles to cover `rows` rows of one column block with full tiles of `full` and edges of `edge`.
double cover_cycles(const Row& full, const Row* edge, int64_t rows, int64_t k) {
  const int64_t rest = rows % full.mr;
  double cycles = static_cast<double>(rows / full.mr) * tile_cycles(full, k);
  if (rest) cycles += static_cast<double>((rest + edge->mr - 1) / edge->mr) * tile_cycles(*edge, k);
  return cycles;
}

// The cheapest indexed row of this width for `rest` rows that no full tile covers.
const Row* best_edge(const GemmRows& rows, int32_t panels, int64_t rest, int64_t k) {
  const Row* best = nullptr;
  double best_cycles = 0;
  for (int32_t i = 0; i < rows.count; ++i) {
    const Row& r = *rows.rows[i];
    if (panels_of(r) != panels || r.rows != kRowsIndexed) continue;
    const double cycles = static_cast<double>((rest + r.mr - 1) / r.mr) * tile_cycles(r, k);
    if (!best || cycles < best_cycles) {
      best = &r;
      best_cycles = cycles;
    }
  }
  return best;
}

// Fills full[panels] and edge[panels] with the cheapest pair; the full row may be given (main).
double fill_width(const GemmRows& rows, int32_t panels, const GemmShape& s, const Row* main,
                  GemmPlan* plan) {
  double best = -1;
  for (int32_t i = 0; i < rows.count; ++i) {
    const Row& r = *rows.rows[i];
    if (panels_of(r) != panels || (main && &r != main)) continue;
    // A matrix lower than the main row is that row's own edge: then it does run.
    const int64_t rest = s.m % r.mr;
    const Row* edge = main && s.m < r.mr && r.rows == kRowsIndexed
                          ? main
                          : best_edge(rows, panels, rest ? rest : 1, s.k);
    if (!edge) continue;
    const double cycles = cover_cycles(r, edge, s.m, s.k);
    if (best >= 0 && cycles >= best) continue;
    best = cycles;
    plan->full[panels] = &r;
    plan->edge[panels] = edge;
  }
  return best;
}

// The plan with this main row. False if the matrix is narrower than its width; a matrix lower than
// a strided row is covered by edges, which only a later chunk of rows may need.
bool build(const GemmRows& rows, const Row& main, const GemmShape& s, GemmPlan* plan) {
  *plan = GemmPlan{};
  const int64_t panels = (s.n + 15) / 16;
  const int32_t width = panels_of(main);
  if (width > panels) return false;
  plan->main = &main;
  double cycles = fill_width(rows, width, s, &main, plan);
  if (cycles < 0) return false;
  plan->cycles = cycles * static_cast<double>(panels / width);
  for (int64_t left = panels % width; left;) {
    // The widest narrower row that still fits.
    int32_t take = static_cast<int32_t>(left);
    while (take && !plan->full[take] && (cycles = fill_width(rows, take, s, nullptr, plan)) < 0)
      --take;
    if (!take) return false;
    plan->cycles += cycles;
    left -= take;
  }
  return true;
}

// A row that may be the main one: the forced one if there is, and no higher than the matrix where
// it cannot do with fewer rows.
bool candidate(const octet_context& c, const Row& r, const GemmShape& s) {
  if (c.forced && c.forced->family == kGemm && &r != c.forced) return false;
  return r.rows == kRowsIndexed || s.m >= r.mr;
}

int64_t round_up(int64_t x, int64_t step) { return (x + step - 1) / step * step; }

// Tasks: a block of A that stays in half of L2 while every panel of B passes by; enough of them for
// the threads.
void cut(const octet_context& c, const GemmShape& s, GemmPlan* plan) {
  const int64_t mr = plan->main->mr, nr = plan->main->nr;
  const int64_t l2 = c.cpu.l2 ? static_cast<int64_t>(c.cpu.l2) : 512 << 10;
  const int64_t row_bytes = (s.k + 1) * (plan->main->in == OCTET_S16 ? 2 : 1);
  int64_t mc = l2 / 2 / row_bytes / mr * mr;
  if (mc < 4 * mr) mc = 4 * mr;
  if (mc > round_up(s.m, mr)) mc = round_up(s.m, mr);
  int64_t nc = round_up(s.n, nr);
  const int64_t wanted = s.threads > 1 ? 4 * int64_t{s.threads} : 1;
  while ((s.m + mc - 1) / mc * ((s.n + nc - 1) / nc) < wanted) {
    // Halve the longer side; stop when a task is one tile.
    if (nc > nr && (nc >= mc || mc <= mr))
      nc = round_up((nc + 1) / 2, nr);
    else if (mc > mr)
      mc = round_up((mc + 1) / 2, mr);
    else
      break;
  }
  plan->mc = mc;
  plan->nc = nc;
}

}  // namespace

octet_status find_gemm_rows(octet_error* err, const octet_context& c, octet_type in_type,
                            int32_t out, GemmRows* rows) {
  const Row* best = nullptr;
  for (size_t i = 0; i < octet_row_count; ++i) {
    const Row& r = octet_rows[i];
    if (r.family != kGemm || !(r.isa & c.isas) || r.out != out || r.weight != OCTET_S8) continue;
    // The newest ISA; within it the form that needs no rewriting of the activations.
    if (!best || r.isa > best->isa ||
        (r.isa == best->isa && r.in == in_type && best->in != in_type))
      best = &r;
  }
  if (c.forced && c.forced->family == kGemm) {
    if (c.forced->out != out)
      return fail(err, OCTET_ERR_UNSUPPORTED,
                  "The forced kernel %s does not produce this output type; force another or none.",
                  c.forced->name);
    best = c.forced;
  } else if (best && best->isa == kIsaScalar) {
    const bool asked = (c.flags & OCTET_ALLOW_SLOW) || (c.cap && !strcmp(c.cap, "scalar"));
    if (!asked)
      return fail(err, OCTET_ERR_SLOW_ONLY,
                  "Only reference code can do this under the instruction sets of this context; set "
                  "OCTET_ALLOW_SLOW or max_isa \"scalar\" to allow it.");
  }
  if (!best) return fail(err, OCTET_ERR_INTERNAL, "This build has no GEMM kernel at all.");
  rows->count = 0;
  for (size_t i = 0; i < octet_row_count && rows->count < 32; ++i) {
    const Row& r = octet_rows[i];
    if (r.family == kGemm && r.isa == best->isa && r.in == best->in && r.out == out &&
        r.weight == OCTET_S8)
      rows->rows[rows->count++] = &r;
  }
  return OCTET_OK;
}

void replan_gemm(const octet_context& c, const GemmRows& rows, const GemmShape& shape,
                 const Row* main, GemmPlan* plan) {
  build(rows, *main, shape, plan);
  cut(c, shape, plan);
}

int32_t count_candidates(const octet_context& c, const GemmRows& rows, const GemmShape& shape) {
  int32_t n = 0;
  GemmPlan plan;
  for (int32_t i = 0; i < rows.count; ++i)
    n += candidate(c, *rows.rows[i], shape) && build(rows, *rows.rows[i], shape, &plan);
  return n;
}

octet_status select_gemm(octet_error* err, const octet_context& c, const GemmRows& rows,
                         const GemmShape& shape, int32_t choice, GemmPlan* plan) {
  int32_t fitting = 0;
  plan->main = nullptr;
  for (int32_t i = 0; i < rows.count; ++i) {
    const Row& r = *rows.rows[i];
    GemmPlan p;
    if (!candidate(c, r, shape) || !build(rows, r, shape, &p)) continue;
    ++fitting;
    if (choice ? fitting == choice : !plan->main || p.cycles < plan->cycles) *plan = p;
  }
  if (choice > fitting)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "octet_exec.plan is %d, but this call has %d candidates; see octet_plan.candidates.",
        choice, fitting);
  if (!plan->main)
    return fail(err, OCTET_ERR_UNSUPPORTED,
                "The forced kernel %s does not fit a shape of %lld x %lld x %lld; force another or "
                "none.",
                c.forced ? c.forced->name : "", static_cast<long long>(shape.m),
                static_cast<long long>(shape.n), static_cast<long long>(shape.k));
  cut(c, shape, plan);
  return OCTET_OK;
}

}  // namespace octet

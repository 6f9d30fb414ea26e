// SPDX-License-Identifier: Apache-2.0
#include "src/select.h"

namespace octet {

namespace {

// Instruction sets in the order in which tiles are taken, the best first. AVX-VNNI stands before
// AVX-512 without VNNI: its one vpdpbusd of 256 bits makes as many products as vpmaddwd and vpaddd
// of 512, and reads activations as they are.
constexpr Isa kPreference[] = {kIsaAmx,      kIsaAvx512Vnni, kIsaAvxVnni, kIsaAvx512Bw, kIsaAvx2,
                               kIsaNeonI8mm, kIsaNeonDot,    kIsaNeon,    kIsaScalar};

int32_t rank(uint32_t isa) {
  int32_t i = 0;
  while (kPreference[i] != isa) ++i;
  return i;
}

int32_t panels_of(const Row& r) { return r.nr / 16; }
bool is_block(const Row& r) { return r.scope == kScopeBlock; }
bool of_columns(const Row& r) { return r.layout == kLayoutColumns; }
int64_t ceil_div(int64_t x, int64_t y) { return (x + y - 1) / y; }

// What is left of m rows by full tiles of mr rows; *full gets how many of them there are.
int32_t split(int64_t m, int32_t mr, int64_t* full) {
  if (m <= INT32_MAX) {  // a 32-bit division takes a third of the time
    const uint32_t small = static_cast<uint32_t>(m), height = static_cast<uint32_t>(mr);
    *full = small / height;
    return static_cast<int32_t>(small % height);
  }
  *full = m / mr;
  return static_cast<int32_t>(m % mr);
}

// So many tiles, one below the other, share columns of B without much of a gain.
constexpr int64_t kFewTiles = 4;

// Modelled cycles to cover m rows of one column block with row i, edges included; negative if edges
// are needed and there is no row for them. own_edge: the row covers its edge itself.
float cover_cycles(const GemmTable& t, int32_t i, int64_t m, bool own_edge) {
  int64_t full;
  const Row& r = *t.rows[i];
  const int32_t rest = split(m, r.mr, &full);
  float cycles = static_cast<float>(full) * t.cycles[i];
  if (full > kFewTiles) cycles *= t.far[i];
  if (!rest) return cycles;
  if (own_edge) return cycles + t.cycles[i];
  const float edge = t.edge_cycles[panels_of(r)][rest];
  return edge < 0 ? edge : cycles + edge;
}

// A main row that is higher than the matrix covers it alone if it can: then it does run.
bool covers_alone(const Row& r, int64_t m) { return m < r.mr && r.rows == kRowsIndexed; }

// A row that may be the main one: no wider than the matrix, and no higher where it cannot do with
// fewer rows.
bool candidate(const GemmTable& t, int32_t i, int64_t m) {
  const Row& r = *t.rows[i];
  if (t.forced && i) return false;
  if (is_block(r)) return t.k > 0;
  return panels_of(r) <= (t.n + 15) / 16 && (r.rows == kRowsIndexed || m >= r.mr);
}

// The cheapest row of a width, free to choose; -1 if there is none.
int32_t cheapest(const GemmTable& t, int32_t panels, int64_t m, float* cycles) {
  int32_t best = -1;
  for (int32_t i = 0; i < t.count; ++i) {
    if (panels_of(*t.rows[i]) != panels || is_block(*t.rows[i])) continue;
    const float c = cover_cycles(t, i, m, false);
    if (c < 0 || (best >= 0 && c >= *cycles)) continue;
    best = i;
    *cycles = c;
  }
  return best;
}

// The same for each width, looked up once for m rows: candidates ask again and again.
class Cheapest {
 public:
  Cheapest(const GemmTable& t, int64_t m) : t_(t), m_(m) {}
  int32_t operator()(int32_t panels, float* cycles) {
    if (!(known_ >> panels & 1)) {
      row_[panels] = cheapest(t_, panels, m_, &cycles_[panels]);
      known_ |= 1u << panels;
    }
    *cycles = cycles_[panels];
    return row_[panels];
  }

 private:
  const GemmTable& t_;
  int64_t m_;
  uint32_t known_ = 0;
  int32_t row_[kMaxPanels + 1];
  float cycles_[kMaxPanels + 1] = {};
};

void place(const GemmTable& t, int32_t i, int64_t m, bool own_edge, GemmPlan* plan) {
  const Row& r = *t.rows[i];
  const int32_t width = panels_of(r);
  int64_t full;
  const int32_t rest = split(m, r.mr, &full);
  plan->full[width] = &r;
  const int8_t edge = t.edge[width][rest ? rest : 1];
  plan->edge[width] = own_edge || edge < 0 ? &r : t.rows[edge];
}

// Modelled cycles of one block of m rows and all columns.
double block_cycles(const GemmTable& t, int32_t i, int64_t m) {
  const Row& r = *t.rows[i];
  return static_cast<double>(ceil_div(m, r.mr) * ceil_div(t.n, r.nr)) *
             static_cast<double>(t.cycles[i]) +
         static_cast<double>(r.cycles_call);
}

// The plan with a main row of scope block: alone, or with another for the rows beyond its last
// whole step.
void build_block(const GemmTable& t, int32_t main, int64_t m, GemmPlan* plan) {
  const Row& r = *t.rows[main];
  const int32_t width = panels_of(r);
  plan->main = plan->full[width] = plan->edge[width] = &r;
  plan->cycles = block_cycles(t, main, m);
  const int64_t rest = m % r.mr;
  if (!rest || rest == m) return;
  const double whole = block_cycles(t, main, m - rest);
  for (int32_t i = 0; i < t.count; ++i) {
    if (!is_block(*t.rows[i]) || i == main) continue;
    const double cycles = whole + block_cycles(t, i, rest);
    if (cycles >= plan->cycles) continue;
    plan->cycles = cycles;
    plan->edge[width] = t.rows[i];
  }
}

// Goes through the tiles of the plan with this main row: place_row(row, covers its edge itself),
// the main row first. False if there is no row for its edges or the columns it leaves.
template <class PlaceRow>
bool lay_tiles(const GemmTable& t, int32_t main, int64_t m, Cheapest& sides, double* cycles,
               PlaceRow place_row) {
  const Row& r = *t.rows[main];
  const bool alone = covers_alone(r, m);
  const float block = cover_cycles(t, main, m, alone);
  if (block < 0) return false;
  place_row(main, alone);
  const int64_t panels = (t.n + 15) / 16;
  const int32_t width = panels_of(r);
  int32_t left = static_cast<int32_t>(panels % width);
  *cycles = static_cast<double>(block) * static_cast<double>(panels / width);
  while (left) {  // the widest narrower rows that still fit
    int32_t take = left, row = -1;
    float side = 0;
    while (take && (row = sides(take, &side)) < 0) --take;
    if (!take) return false;
    place_row(row, false);
    *cycles += static_cast<double>(side);
    left -= take;
  }
  return true;
}

// The plan with this main row; false if there is none.
bool build(const GemmTable& t, int32_t main, int64_t m, GemmPlan* plan) {
  *plan = GemmPlan{};
  if (is_block(*t.rows[main])) {
    build_block(t, main, m, plan);
    return true;
  }
  plan->main = t.rows[main];
  Cheapest sides(t, m);
  return lay_tiles(t, main, m, sides, &plan->cycles,
                   [&](int32_t row, bool own_edge) { place(t, row, m, own_edge, plan); });
}

// Its modelled cycles alone.
bool cost(const GemmTable& t, int32_t main, int64_t m, Cheapest& sides, double* cycles) {
  if (!is_block(*t.rows[main])) return lay_tiles(t, main, m, sides, cycles, [](int32_t, bool) {});
  GemmPlan plan = {};
  build_block(t, main, m, &plan);
  *cycles = plan.cycles;
  return true;
}

// The cheapest candidate, or the choice-th of them; -1 if there is none.
int32_t best_candidate(const GemmTable& t, int64_t m, int32_t choice, int32_t* fitting) {
  int32_t best = -1;
  double fewest = 0, cycles = 0;
  *fitting = 0;
  Cheapest sides(t, m);
  for (int32_t i = 0; i < t.count; ++i) {
    if (!candidate(t, i, m) || !cost(t, i, m, sides, &cycles)) continue;
    ++*fitting;
    if (choice ? *fitting == choice : best < 0 || cycles < fewest) {
      best = i;
      fewest = cycles;
    }
  }
  return best;
}

int64_t round_up(int64_t x, int64_t step) { return (x + step - 1) / step * step; }

int64_t l2_bytes(const octet_context& c) {
  return static_cast<int64_t>(c.cpu.l2 ? c.cpu.l2 : 512 << 10);
}

int64_t l1_bytes(const octet_context& c) {
  return static_cast<int64_t>(c.cpu.l1d ? c.cpu.l1d : 32 << 10);
}

// Rows of which L1 holds so many are short.
constexpr int64_t kShortRows = 64;

// A block of AMX shares L2 with panels of B that are fetched ahead.
int64_t l2_for_a(const octet_context& c, const Row& main) {
  return l2_bytes(c) / (is_block(main) ? 4 : 2);
}

// How much longer tiles take whose rows of A, at a pitch of 4 KiB, L1 keeps in too few places.
float crowded(const Row& r, int64_t k) {
  constexpr int32_t kWays = 8;
  return r.in != OCTET_S16 && r.mr > kWays && k && k % 4096 == 0 ? 1.4f : 1.0f;
}

// The same for many tiles one below the other, where L2 loses the columns of B that they share.
float apart(const octet_context& c, const Row& r, int64_t k) {
  return (r.mr + r.nr) * k > l2_bytes(c) / 8 * 5 ? 1.06f : 1.0f;
}

// The rows of A that have a place in L2 are so few that every panel of B would pass by them often.
// Then better all rows pass by one block of columns after the other.
bool long_rows(int64_t bytes, int64_t pitch, const Row& main) {
  return !is_block(main) && bytes / pitch * 2 < 3 * main.nr;
}

// Whole tiles' rows of A within this many bytes, but a few tiles at the least.
int64_t rows_within(int64_t bytes, int64_t pitch, int64_t mr) {
  const int64_t rows = bytes / pitch / mr * mr;
  return rows < 4 * mr ? 4 * mr : rows;
}

constexpr int64_t kTasks = 4, kMoreTasks = 16;     // for each thread; more of them if large
constexpr int64_t kLargeTask = int64_t{24} << 20;  // products: 100 us and more

// Tasks: a block of A that stays in its part of L2 while every panel of B passes by; enough of them
// for the threads, so that the last to end keeps the others waiting for little.
void cut(const octet_context& c, const GemmTable& t, int64_t m, int32_t threads, GemmPlan* plan) {
  const int64_t mr = plan->main->mr, nr = round_up(plan->main->nr, 16);
  plan->nc = t.n;
  plan->mc = m;
  plan->columns_outer = plan->prefetch = false;
  const int64_t l2 = l2_bytes(c);
  if (is_block(*plan->main)) {
    // While B streams by, mr rows of A stay in L1; they should fit, and B into L2.
    const int64_t l1 = l1_bytes(c);
    plan->prefetch = t.n * t.k > l2 / 4 * 3;
    plan->columns_outer = mr * t.k > l1 / 3 * 2 || plan->prefetch;
  }
  const int64_t row_bytes = (t.k + 1) * (plan->main->in == OCTET_S16 ? 2 : 1);
  int64_t hot = l2_for_a(c, *plan->main);
  // Where B stays in L2 by itself, A and C pass by it once, in blocks that leave it there.
  const bool far = is_block(*plan->main) || t.n * t.k > l2 / 4 * 3;
  if (!far) hot = l2 / 16;
  const bool all_rows = far && long_rows(hot, row_bytes, *plan->main);
  if (threads == 1 && (all_rows || m <= 4 * mr || m * row_bytes <= hot)) return;
  int64_t mc = rows_within(hot, row_bytes, mr);
  if (all_rows || mc > round_up(m, mr)) mc = round_up(m, mr);
  int64_t nc = round_up(t.n, nr);
  const auto too_few = [&] {
    const int64_t tasks = ceil_div(m, mc) * ceil_div(t.n, nc);
    return tasks < kTasks * threads ||
           (tasks < kMoreTasks * threads && mc * nc > kLargeTask / (t.k + 1));
  };
  while (threads > 1 && too_few()) {
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

// A plan by indices, and back.
int8_t index_of(const GemmTable& t, const Row* r) {
  for (int32_t i = 0; r && i < t.count; ++i)
    if (t.rows[i] == r) return static_cast<int8_t>(i);
  return -1;
}

void keep(const GemmTable& t, const GemmPlan& plan, SmallPlan* to) {
  to->main = index_of(t, plan.main);
  for (int32_t i = 0; i <= kMaxPanels; ++i) {
    to->full[i] = index_of(t, plan.full[i]);
    to->edge[i] = index_of(t, plan.edge[i]);
  }
}

void recall(const GemmTable& t, const SmallPlan& from, GemmPlan* plan) {
  plan->main = from.main_row(t);
  for (int32_t i = 0; i <= kMaxPanels; ++i) {
    plan->full[i] = from.full_row(t, i);
    plan->edge[i] = from.edge_row(t, i);
  }
}

void fill_edges(GemmTable* t) {
  for (int32_t panels = 1; panels <= kMaxPanels; ++panels)
    for (int32_t rest = 1; rest < kMaxMr; ++rest) {
      t->edge[panels][rest] = -1;
      t->edge_cycles[panels][rest] = -1;
      for (int32_t i = 0; i < t->count; ++i) {
        const Row& r = *t->rows[i];
        if (panels_of(r) != panels || r.rows != kRowsIndexed) continue;  // no block is indexed
        const float cycles = static_cast<float>((rest + r.mr - 1) / r.mr) * t->cycles[i];
        if (t->edge[panels][rest] >= 0 && cycles >= t->edge_cycles[panels][rest]) continue;
        t->edge[panels][rest] = static_cast<int8_t>(i);
        t->edge_cycles[panels][rest] = cycles;
      }
    }
}

void add_row(const octet_context& c, const Row& r, const GemmWeights& w, GemmTable* t) {
  if (t->count == kMaxRows) return;
  const float load = r.layout == kLayoutProved ? w.proved_load : 1;
  t->cycles[t->count] = r.cycles_fixed + r.cycles_k4 * load * static_cast<float>((t->k + 3) / 4);
  if (w.group) t->cycles[t->count] += r.cycles_group * static_cast<float>(t->k / w.group);
  t->cycles[t->count] *= crowded(r, t->k);
  t->far[t->count] = apart(c, r, t->k);
  t->rows[t->count++] = &r;
}

// The rows of scope block that read activations of type `in`.
void add_blocks(const octet_context& c, int32_t in, int32_t out, GemmTable* t) {
  for (size_t i = 0; i < octet_row_count; ++i) {
    const Row& r = octet_rows[i];
    if (r.family == kGemm && is_block(r) && !of_columns(r) && (r.isa & c.isas) && r.in == in &&
        r.out == out && r.weight == OCTET_S8)
      add_row(c, r, {}, t);
  }
}

double cheapest_cycles(const GemmTable& t, int64_t m) {
  int32_t fitting;
  const int32_t best = best_candidate(t, m, 0, &fitting);
  GemmPlan plan;
  if (best < 0 || !build(t, best, m, &plan)) return __builtin_inf();
  return plan.cycles;
}

// Joins rows of scope block to a table of tiles. One table has one form of the activations: where
// the tiles want them rewritten and blocks do not, the blocks have a table to themselves, but for
// layers so small that the tiles are faster at all their rows.
void join_blocks(const octet_context& c, octet_type in_type, int32_t out, GemmTable* t) {
  const int32_t form = t->rows[0]->in;
  if (form != in_type && t->n) {
    GemmTable blocks = {};
    blocks.n = t->n;
    blocks.k = t->k;
    add_blocks(c, in_type, out, &blocks);
    if (cheapest_cycles(blocks, kMaxMr) < cheapest_cycles(*t, kMaxMr)) {
      *t = blocks;
      return;
    }
  }
  add_blocks(c, form, out, t);
}

// Joins the row for matrices of a few columns: the best that this context may use, of whatever
// instruction set. It reads bytes; tiles that do not have no part in the table then.
void join_columns(const octet_context& c, int32_t out, GemmTable* t) {
  const Row* best = nullptr;
  for (size_t i = 0; i < octet_row_count; ++i) {
    const Row& r = octet_rows[i];
    if (r.family == kGemm && of_columns(r) && (r.isa & c.isas) && r.out == out &&
        (!best || prefers(r.isa, best->isa)))
      best = &r;
  }
  if (!best) return;
  if (t->rows[0]->in != best->in) {
    t->count = 0;
    fill_edges(t);
  }
  add_row(c, *best, {}, t);
}

// Weights that this context's tiles may read in the layout of the row.
bool has_layout(const GemmWeights& weights, const Row& r) {
  return r.layout == kLayoutC16K4 || (of_columns(r) ? weights.columns : weights.proved_load > 0);
}

}  // namespace

octet_status make_gemm_table(octet_error* err, const octet_context& c, octet_type in_type,
                             int32_t out, int64_t n, int64_t k, const GemmWeights& weights,
                             GemmTable* table) {
  const Row* best = nullptr;
  for (size_t i = 0; i < octet_row_count; ++i) {
    const Row& r = octet_rows[i];
    if (!weights.read_by(r) || !(r.isa & c.isas) || r.out != out) continue;
    if (is_block(r)) continue;  // they join the tiles below
    if (!has_layout(weights, r)) continue;
    // The best ISA; within it the private layout, then the form that needs no rewriting of the
    // activations.
    const auto form = [&](const Row& x) { return 2 * x.layout + (x.in == in_type); };
    if (!best || rank(r.isa) < rank(best->isa) || (r.isa == best->isa && form(r) > form(*best)))
      best = &r;
  }
  GemmTable t = {};
  t.n = n;
  t.k = k;
  t.forced = c.forced && (c.forced->family == kGemm || c.forced->family == kGemmGroup ||
                          (weights.lane && c.forced->family == kGemmLane));
  if (t.forced) {
    if (c.forced->out != out)
      return fail(err, OCTET_ERR_UNSUPPORTED,
                  "The forced kernel %s does not produce this output type; force another or none.",
                  c.forced->name);
    if (!weights.read_by(*c.forced))
      return fail(err, OCTET_ERR_UNSUPPORTED,
                  "The forced kernel %s does not read weights of this form; force another or none.",
                  c.forced->name);
    if (!has_layout(weights, *c.forced))
      return fail(err, OCTET_ERR_UNSUPPORTED,
                  "The forced kernel %s reads a private layout, which these weights do not have; "
                  "force another or none.",
                  c.forced->name);
    best = c.forced;
    add_row(c, *best, weights, &t);
  } else if (best && best->isa == kIsaScalar) {
    const bool asked = (c.flags & OCTET_ALLOW_SLOW) || (c.cap && !strcmp(c.cap, "scalar"));
    if (!asked)
      return fail(err, OCTET_ERR_SLOW_ONLY,
                  "Only reference code can do this under the instruction sets of this context; set "
                  "OCTET_ALLOW_SLOW or max_isa \"scalar\" to allow it.");
  }
  if (!best) return fail(err, OCTET_ERR_INTERNAL, "This build has no GEMM kernel at all.");
  for (size_t i = 0; i < octet_row_count; ++i) {
    const Row& r = octet_rows[i];
    if (weights.read_by(r) && r.isa == best->isa && r.in == best->in && r.out == out &&
        r.weight == best->weight && r.layout == best->layout && !(t.forced && &r == best))
      add_row(c, r, weights, &t);
  }
  fill_edges(&t);
  // AMX reads bytes of one scale; beside other weights its rows have no place.
  if (!t.forced && weights.type == OCTET_S8 && !weights.group && !weights.by_offsets)
    join_blocks(c, in_type, out, &t);
  if (!t.forced && weights.columns) join_columns(c, out, &t);
  *table = t;
  return OCTET_OK;
}

bool prefers(uint32_t a, uint32_t b) { return rank(a) < rank(b); }

bool reads_proved(const octet_context& c) {
  if (c.forced && c.forced->family == kGemm) return c.forced->layout == kLayoutProved;
  const Row* best = nullptr;
  for (size_t i = 0; i < octet_row_count; ++i) {
    const Row& r = octet_rows[i];
    if (r.family != kGemm || of_columns(r) || !(r.isa & c.isas)) continue;
    if (!best || rank(r.isa) < rank(best->isa) || (r.isa == best->isa && r.layout > best->layout))
      best = &r;
  }
  return best && best->layout == kLayoutProved;
}

void plan_small_calls(const octet_context& c, GemmTable* table) {
  if (!table->n) return;
  for (int32_t m = 1; m <= kSmallM; ++m) {
    int32_t fitting;
    GemmPlan plan;
    const int32_t best = best_candidate(*table, m, 0, &fitting);
    if (best < 0 || !build(*table, best, m, &plan)) return;
    if (is_block(*plan.main) && !of_columns(*plan.main)) return;
    cut(c, *table, m, 1, &plan);
    if (plan.mc < m || plan.nc < table->n) return;
    keep(*table, plan, &table->small[m]);
    table->small_m = m;
  }
}

void replan_gemm(const octet_context& c, const GemmTable& table, int64_t m, int32_t threads,
                 const Row* main, GemmPlan* plan) {
  for (int32_t i = 0; i < table.count; ++i)
    if (table.rows[i] == main) build(table, i, m, plan);
  cut(c, table, m, threads, plan);
}

bool has_blocks(const GemmTable& table) {
  for (int32_t i = 0; i < table.count; ++i)
    if (is_block(*table.rows[i])) return true;
  return false;
}

bool reads_columns(const GemmTable& table) {
  for (int32_t i = 0; i < table.count; ++i)
    if (of_columns(*table.rows[i])) return true;
  return false;
}

int64_t hot_rows(const octet_context& c, const GemmTable& t, int64_t pitch, const Row& main) {
  // Short rows against few weights: every pass over them would read L2 for few products.
  const int64_t l1 = l1_bytes(c);
  if (!is_block(main) && pitch * kShortRows <= l1 && t.n * t.k <= l2_bytes(c) / 8)
    return rows_within(l1 / 4 * 3, pitch, main.mr);
  const int64_t room = l2_for_a(c, main);
  if (t.n * t.k > l2_bytes(c) / 4 * 3 && long_rows(room, pitch, main)) return INT64_MAX;
  return rows_within(room, pitch, main.mr);
}

int32_t count_candidates(const GemmTable& table, int64_t m) {
  int32_t fitting;
  best_candidate(table, m, 0, &fitting);
  return fitting;
}

octet_status select_gemm(octet_error* err, const octet_context& c, const GemmTable& table,
                         int64_t m, int32_t threads, int32_t choice, GemmPlan* plan) {
  if (!choice && m <= table.small_m) {
    recall(table, table.small[m], plan);
    cut(c, table, m, threads, plan);
    return OCTET_OK;
  }
  int32_t fitting = 0;
  const int32_t best = best_candidate(table, m, choice, &fitting);
  if (best >= 0) {
    build(table, best, m, plan);
    cut(c, table, m, threads, plan);
    return OCTET_OK;
  }
  if (choice)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "octet_exec.plan is %d, but this call has %d candidates; see octet_plan.candidates.",
        choice, fitting);
  return fail(err, OCTET_ERR_UNSUPPORTED,
              "The forced kernel %s does not fit a shape of %lld x %lld x %lld; force another or "
              "none.",
              table.rows[0]->name, static_cast<long long>(m), static_cast<long long>(table.n),
              static_cast<long long>(table.k));
}

}  // namespace octet

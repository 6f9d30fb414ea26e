// SPDX-License-Identifier: Apache-2.0
//
// From a shape to a plan: which tile rows cover the matrix and how it is cut into tasks. The cost
// model is the rows' own cycles; no choice changes a bit of the result. What does not depend on the
// number of rows of a call is worked out once, in GemmTable, because M belongs to the call and
// planning is on the run path.
#pragma once

#include "src/context.h"

namespace octet {

constexpr int32_t kMaxRows = 32;   // candidate rows of one ISA, operand form and output
constexpr int32_t kMaxMr = 16;     // rows of a tile
constexpr int32_t kMaxPanels = 4;  // columns of a tile, in panels of 16
constexpr int32_t kSmallM = 64;    // calls of so few rows find their plan made

// Columns are covered by blocks of the main row's width; what is left by narrower rows. Rows are
// covered by blocks of full->mr; what is left by `edge`, an indexed row, repeated. A main row of
// scope block takes all columns of a task, and all its rows, or those up to a multiple of mr if
// `edge` is another row of that scope.
struct GemmTable;

struct GemmPlan {
  const Row* main;
  const Row* full[kMaxPanels + 1];  // by width in panels; [0] unused
  const Row* edge[kMaxPanels + 1];
  int64_t mc, nc;                // rows and columns of one task
  bool columns_outer, prefetch;  // blocks: those of Block
  double cycles;                 // modelled; not known of plans that were kept

  const Row* main_row(const GemmTable&) const { return main; }
  const Row* full_row(const GemmTable&, int64_t panels) const { return full[panels]; }
  const Row* edge_row(const GemmTable&, int64_t panels) const { return edge[panels]; }
};

// A plan of tiles in one task, by indices into the table's rows; -1: none.
struct SmallPlan {
  int8_t main, full[kMaxPanels + 1], edge[kMaxPanels + 1];

  inline const Row* main_row(const GemmTable& t) const;
  inline const Row* full_row(const GemmTable& t, int64_t panels) const;
  inline const Row* edge_row(const GemmTable& t, int64_t panels) const;
};

struct GemmTable {
  int64_t n, k;
  const Row* rows[kMaxRows];
  float cycles[kMaxRows];  // of one tile over this k
  float far[kMaxRows];     // what they grow by where many stand one below the other
  int32_t count;
  bool forced;  // rows[0] is the only candidate for the main row
  // The cheapest indexed row of a width for rows that no full tile covers, and what they cost.
  int8_t edge[kMaxPanels + 1][kMaxMr];
  float edge_cycles[kMaxPanels + 1][kMaxMr];
  // The plans for calls of small_m rows at most: 0 until plan_small_calls has been here.
  SmallPlan small[kSmallM + 1];
  int32_t small_m;
};

inline const Row* SmallPlan::main_row(const GemmTable& t) const { return t.rows[main]; }
inline const Row* SmallPlan::full_row(const GemmTable& t, int64_t panels) const {
  return full[panels] < 0 ? nullptr : t.rows[full[panels]];
}
inline const Row* SmallPlan::edge_row(const GemmTable& t, int64_t panels) const {
  return edge[panels] < 0 ? nullptr : t.rows[edge[panels]];
}

// What rows must read: S8 or U4, and the k of a group, 0 where the weights have none.
struct GemmWeights {
  int32_t type = OCTET_S8;
  int64_t group = 0;
  float proved_load = 0;    // WeightsView's; 0: not held in the layout kLayoutProved
  bool by_offsets = false;  // tiles that find each row by an offset, on canonical panels
  bool columns = false;     // held in the layout kLayoutColumns too
  int32_t lane = 0;         // small groups of so many channels, in an order of their own; else 0
  bool read_by(const Row& r) const {
    if (lane) return r.family == kGemmLane && r.kr == lane;
    if (by_offsets && (r.rows != kRowsIndexed || r.layout != kLayoutC16K4)) return false;
    return r.family == (group ? kGemmGroup : kGemm) && r.weight == type;
  }
};

// The rows for activations of in_type (U8, S8) on this context: the best ISA's, or the forced
// row's ISA with that row first. SLOW_ONLY: only reference code, and it was not allowed.
// Rows of the layout kLayoutProved are taken where the weights are held in it, and no others then.
octet_status make_gemm_table(octet_error* err, const octet_context& c, octet_type in_type,
                             int32_t out, int64_t n, int64_t k, const GemmWeights& weights,
                             GemmTable* table);

// Whether kernels of instruction set `a` go before those of `b`, one bit each.
bool prefers(uint32_t a, uint32_t b);

// Whether the rows that this context takes have a form that reads the layout kLayoutProved.
bool reads_proved(const octet_context& c);

// Works out the plans for small calls, which are one task of tiles: for tables that are kept.
void plan_small_calls(const octet_context& c, GemmTable* table);

// The plan for m >= 1 rows, n >= 1. choice: 0 the cheapest, i >= 1 candidate i, ARGUMENT if there
// are fewer; UNSUPPORTED if the forced row does not fit.
octet_status select_gemm(octet_error* err, const octet_context& c, const GemmTable& table,
                         int64_t m, int32_t threads, int32_t choice, GemmPlan* plan);

// The plan for another number of rows of the same call, with the main row that was chosen for it.
void replan_gemm(const octet_context& c, const GemmTable& table, int64_t m, int32_t threads,
                 const Row* main, GemmPlan* plan);

// A row of scope block is among the candidates.
bool has_blocks(const GemmTable& table);

// A row of the layout kLayoutColumns is among them.
bool reads_columns(const GemmTable& table);

// Rows of activations, `pitch` bytes apart, that stay in their part of L2, or of L1 where they are
// short, while every panel of B passes by: a multiple of main.mr. All of them, INT64_MAX, where few
// would stay.
int64_t hot_rows(const octet_context& c, const GemmTable& table, int64_t pitch, const Row& main);

// Candidates that fit m rows.
int32_t count_candidates(const GemmTable& table, int64_t m);

}  // namespace octet

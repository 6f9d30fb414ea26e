// SPDX-License-Identifier: Apache-2.0
//
// From a shape to a plan: which tile rows cover the matrix and how it is cut into tasks. The cost
// model is the rows' own cycles; no choice changes a bit of the result.
#pragma once

#include "src/context.h"

namespace octet {

struct GemmShape {
  int64_t m, n, k;
  int32_t threads;
};

// Columns are covered by blocks of the main row's width; what is left by narrower rows, 4 panels of
// 16 at most. Rows are covered by blocks of mr; what is left by `edge`, an indexed row, repeated.
struct GemmPlan {
  const Row* main;
  const Row* full[5];  // by width in panels of 16 columns; [0] unused
  const Row* edge[5];
  int64_t mc, nc;  // rows and columns of one task
  double cycles;   // modelled
};

// The candidates: rows of one ISA, operand form and output.
struct GemmRows {
  const Row* rows[32];
  int32_t count = 0;
};

// The form that tiles read for activations of in_type (U8, S8) on this context: fills rows with the
// newest ISA's, or with the forced row's. SLOW_ONLY: only reference code, and it was not allowed.
octet_status find_gemm_rows(octet_error* err, const octet_context& c, octet_type in_type,
                            int32_t out, GemmRows* rows);

// choice: 0 the cheapest, i >= 1 candidate i, ARGUMENT if there are fewer.
octet_status select_gemm(octet_error* err, const octet_context& c, const GemmRows& rows,
                         const GemmShape& shape, int32_t choice, GemmPlan* plan);

// The plan for another number of rows of the same call, with the main row that was chosen for it.
void replan_gemm(const octet_context& c, const GemmRows& rows, const GemmShape& shape,
                 const Row* main, GemmPlan* plan);

// Candidates that fit this shape.
int32_t count_candidates(const octet_context& c, const GemmRows& rows, const GemmShape& shape);

}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
//
// octet_gram: H += the sum of x * x' over the rows of x, which is what GPTQ and AdaRound know of
// the data. Each element is one sum over the rows in order; tasks share the rows of H.
#include "src/fpenv.h"
#include "src/parallel.h"
#include "src/tensor.h"

namespace octet {
namespace {

constexpr int64_t kTaskRows = 8;  // rows of H in a task
constexpr int64_t kTile = 64;     // columns of H that are summed at a time, on the stack

struct Gram {
  View x;
  RowPairs rows;
  int64_t k;
  double* h;
  std::atomic<bool> bad{false};

  template <class Visit>
  void for_each_row(Visit visit) const {
    for (int64_t g = 0; g < rows.outer; ++g) {
      int64_t a, b, c;
      rows.start(g, &a, &b, &c);
      const float* row = reinterpret_cast<const float*>(x.data) + a;
      for (int64_t r = 0; r < rows.rows; ++r, row += rows.pitch_a) visit(row);
    }
  }

  static void check(void* arg, size_t task) {
    Gram& g = *static_cast<Gram*>(arg);
    const int64_t first = static_cast<int64_t>(task) * kTaskRows;
    const int64_t end = first + kTaskRows < g.k ? first + kTaskRows : g.k;
    bool good = true;
    g.for_each_row([&](const float* row) {
      for (int64_t i = first; i < end; ++i) good &= row[i] - row[i] == 0;
    });
    if (!good) g.bad.store(true, std::memory_order_relaxed);
  }

  // Rows of H from `first` on, their columns on and right of the diagonal's first tile.
  static void add(void* arg, size_t task) {
    const Gram& g = *static_cast<const Gram*>(arg);
    const int64_t first = static_cast<int64_t>(task) * kTaskRows;
    const int64_t count = g.k - first < kTaskRows ? g.k - first : kTaskRows;
    for (int64_t j = first; j < g.k; j += kTile) {
      const int64_t n = g.k - j < kTile ? g.k - j : kTile;
      double sum[kTaskRows][kTile] = {};
      for (int64_t i = 0; i < count; ++i)
        for (int64_t l = 0; l < n; ++l) sum[i][l] = g.h[(first + i) * g.k + j + l];
      g.for_each_row([&](const float* row) {
        double tile[kTile] = {};
        for (int64_t l = 0; l < n; ++l) tile[l] = double{row[j + l]};
        for (int64_t i = 0; i < count; ++i) {
          const double factor = double{row[first + i]};
          for (int64_t l = 0; l < kTile; ++l) sum[i][l] += factor * tile[l];
        }
      });
      for (int64_t i = 0; i < count; ++i)
        for (int64_t l = 0; l < n; ++l) g.h[(first + i) * g.k + j + l] = sum[i][l];
    }
  }

  // The lower triangle is the upper one.
  static void mirror(void* arg, size_t task) {
    const Gram& g = *static_cast<const Gram*>(arg);
    const int64_t first = static_cast<int64_t>(task) * kTaskRows;
    const int64_t end = first + kTaskRows < g.k ? first + kTaskRows : g.k;
    for (int64_t i = first; i < end; ++i)
      for (int64_t j = 0; j < i; ++j) g.h[i * g.k + j] = g.h[j * g.k + i];
  }
};

[[gnu::noinline]] octet_status gram(const octet_tensor* x, double* h, uint64_t* rows,
                                    const octet_exec* exec, octet_error* err) {
  Exec ex;
  Gram g;
  OCTET_TRY(read_exec(err, exec, &ex));
  OCTET_TRY(read_tensor(err, "x", x, type_bit(OCTET_F32), 0, &g.x));
  OCTET_TRY(check_no_qparams(err, "x", g.x));
  if (g.x.rank < 1)
    return fail(err, OCTET_ERR_ARGUMENT, "x.rank is 0; rows [..., K] have rank 1 to 6.");
  g.k = g.x.inner();
  if (g.k > 1 << 16)
    return fail(err, OCTET_ERR_ARGUMENT,
                "x.dims[%d] is %lld; a Gram matrix has at most 65,536 columns.", g.x.rank - 1,
                static_cast<long long>(g.k));
  if (!h || !rows)
    return fail(err, OCTET_ERR_ARGUMENT, "%s is NULL; pass the running %s.", h ? "rows" : "h",
                h ? "count" : "sums, K * K doubles");
  View sums = array_view(h, g.k * g.k);
  sums.item = 8;
  OCTET_TRY(check_overlap(err, "h", sums, "x", g.x, false));
  if (!g.x.count) return OCTET_OK;
  g.rows = pair_rows(g.x, g.x);
  g.h = h;
  const size_t tasks = static_cast<size_t>((g.k + kTaskRows - 1) / kTaskRows);
  OCTET_TRY(run_tasks(err, ex, tasks, Gram::check, &g));
  if (g.bad.load(std::memory_order_relaxed))
    return fail(err, OCTET_ERR_NOT_FINITE,
                "x holds a NaN or an infinity, which would be all of h; leave that batch out.");
  OCTET_TRY(run_tasks(err, ex, tasks, Gram::add, &g));
  OCTET_TRY(run_tasks(err, ex, tasks, Gram::mirror, &g));
  *rows += static_cast<uint64_t>(g.x.count / g.k);
  return OCTET_OK;
}

}  // namespace
}  // namespace octet

octet_status octet_gram(const octet_context* c, const octet_tensor* x, double* h, uint64_t* rows,
                        const octet_exec* e, octet_error* err) {
  if (!c) return octet::fail(err, OCTET_ERR_ARGUMENT, "c is NULL; pass a context.");
  const octet::FpGuard guard;
  return octet::gram(x, h, rows, e, err);
}

// SPDX-License-Identifier: Apache-2.0
//
// octet_compare and octet_bias_error: how far a quantized result is from the real one.
#include <math.h>

#include "quant/elementary.h"
#include "quant/sums.h"
#include "src/fpenv.h"
#include "src/parallel.h"
#include "src/tensor.h"
#include "src/walk.h"

namespace octet {
namespace {

constexpr int64_t kParts = 32;   // chunks in flight: their parts are on the stack
constexpr int64_t kBlock = 256;  // elements brought into one form at a time, a multiple of 16
static_assert(kSumChunk % kBlock == 0 && kBlock % kSumLanes == 0);

// What is kept of one chunk.
struct Part {
  double xx, yy, xy, dd, max_abs;
  uint64_t bad, clipped;
  int32_t low, high;  // integers of got
};

// The real values of `got` are those of its integers; for F32 they are what is there.
struct Got {
  View view;
  int32_t axis, qmin, qmax;  // axis -1: one scale

  bool real() const { return view.type == OCTET_F32; }
  int32_t integer(int64_t offset) const {
    return view.type == OCTET_U8 ? reinterpret_cast<const uint8_t*>(view.data)[offset]
                                 : reinterpret_cast<const int8_t*>(view.data)[offset];
  }
  float scale(int64_t channel) const { return view.q->scale[channel]; }
  int32_t zero(int64_t channel) const {
    return view.q->zero_point ? view.q->zero_point[channel] : 0;
  }
};

octet_status read_got(octet_error* err, const octet_tensor* t, Got* got) {
  OCTET_TRY(read_tensor(err, "got", t, type_bit(OCTET_F32) | kQ8Types, 0, &got->view));
  got->axis = -1;
  if (got->real()) return check_no_qparams(err, "got", got->view);
  return check_qparams(err, "got", got->view.q, got->view.type, got->view.rank, got->view.dims,
                       &got->axis, &got->qmin, &got->qmax);
}

octet_status read_want(octet_error* err, const octet_tensor* t, View* want) {
  OCTET_TRY(read_tensor(err, "want", t, type_bit(OCTET_F32), 0, want));
  return check_no_qparams(err, "want", *want);
}

bool finite(float x) { return x - x == 0; }

class Comparison {
 public:
  Comparison(const View& want, const Got& got) : want_(want), got_(got) {
    const View* const views[] = {&want_, &got_.view};
    walk_ = make_walk(views, 2, got.axis < 0 ? 0 : 1u << got.axis);
  }

  octet_status run(octet_error* err, const Exec& exec, octet_difference* d) {
    const int64_t chunks = (want_.count + kSumChunk - 1) / kSumChunk;
    octet_difference sum = {};
    bool seen = d->count > d->nan_count;  // else qlo and qhi are nothing's
    for (first_ = 0; first_ < chunks; first_ += kParts) {
      const int64_t n = chunks - first_ < kParts ? chunks - first_ : kParts;
      OCTET_TRY(run_tasks(err, exec, static_cast<size_t>(n), work, this));
      for (int64_t i = 0; i < n; ++i) add(parts_[i], d, &sum, &seen);
    }
    d->xx += sum.xx;
    d->yy += sum.yy;
    d->xy += sum.xy;
    d->dd += sum.dd;
    return OCTET_OK;
  }

 private:
  static void work(void* arg, size_t task) {
    Comparison& c = *static_cast<Comparison*>(arg);
    c.compare_chunk(c.first_ + static_cast<int64_t>(task), &c.parts_[task]);
  }

  // Sums are added chunk by chunk into `sum`, everything else straight into the caller's struct.
  void add(const Part& p, octet_difference* d, octet_difference* sum, bool* seen) const {
    sum->xx += p.xx;
    sum->yy += p.yy;
    sum->xy += p.xy;
    sum->dd += p.dd;
    if (p.max_abs > d->max_abs) d->max_abs = p.max_abs;
    d->nan_count += p.bad;
    d->clip_count += p.clipped;
    if (got_.real() || p.low > p.high) return;
    if (!*seen || p.low < d->qlo) d->qlo = p.low;
    if (!*seen || p.high > d->qhi) d->qhi = p.high;
    *seen = true;
  }

  void compare_chunk(int64_t chunk, Part* part) {
    *part = {};
    part->low = INT32_MAX;
    part->high = INT32_MIN;
    int64_t i = chunk * kSumChunk;
    const int64_t end = want_.count - i < kSumChunk ? want_.count : i + kSumChunk;
    double lane[4][kSumLanes] = {};
    Cursor at(walk_, i / walk_.inner);
    int64_t in_run = i % walk_.inner;
    while (i < end) {
      float x[kBlock], y[kBlock];
      const int64_t n = end - i < kBlock ? end - i : kBlock;
      for (int64_t filled = 0; filled < n;) {
        const int64_t left = walk_.inner - in_run, room = n - filled;
        const int64_t take = left < room ? left : room;
        fill(at, in_run, take, x + filled, y + filled, part);
        filled += take;
        in_run += take;
        if (in_run == walk_.inner) {
          in_run = 0;
          at.next();
        }
      }
      accumulate(x, y, n, lane, part);
      i += n;
    }
    part->xx = add_lanes(lane[0]);
    part->yy = add_lanes(lane[1]);
    part->xy = add_lanes(lane[2]);
    part->dd = add_lanes(lane[3]);
  }

  // n elements of a run, as floats; pairs that are not finite become (0, 0).
  void fill(const Cursor& at, int64_t in_run, int64_t n, float* x, float* y, Part* part) const {
    const float* want = reinterpret_cast<const float*>(want_.data) + at.offset(0) + in_run;
    const int64_t offset = at.offset(1) + in_run;
    const bool along = got_.axis >= 0 && walk_.inner_dim == got_.axis;
    const int64_t fixed = got_.axis < 0 || along ? 0 : at.index(got_.axis);
    for (int64_t i = 0; i < n; ++i) {
      float w = want[i], g = 0;
      if (got_.real()) {
        g = reinterpret_cast<const float*>(got_.view.data)[offset + i];
      } else if (finite(w)) {
        const int64_t channel = along ? in_run + i : fixed;
        const int32_t q = got_.integer(offset + i), z = got_.zero(channel);
        const float s = got_.scale(channel);
        g = s * static_cast<float>(q - z);
        part->clipped +=
            w < s * static_cast<float>(got_.qmin - z) || w > s * static_cast<float>(got_.qmax - z);
        if (q < part->low) part->low = q;
        if (q > part->high) part->high = q;
      }
      if (!finite(w) || !finite(g)) {
        ++part->bad;
        w = g = 0;
      }
      x[i] = w;
      y[i] = g;
    }
  }

  static void accumulate(const float* x, const float* y, int64_t n, double lane[4][kSumLanes],
                         Part* part) {
    for (int64_t i = 0; i < n; ++i) {
      const int64_t l = i % kSumLanes;
      const double a = double{x[i]}, b = double{y[i]}, d = b - a;
      lane[0][l] += a * a;
      lane[1][l] += b * b;
      lane[2][l] += a * b;
      lane[3][l] += d * d;
      const double size = d < 0 ? -d : d;
      if (size > part->max_abs) part->max_abs = size;
    }
  }

  const View want_;
  const Got got_;
  Walk walk_;
  int64_t first_ = 0;
  Part parts_[kParts];
};

// What the sums say (docs/numerics.md, "Differences").
void derive(const Got& got, octet_difference* d) {
  const double inf = __builtin_inf();
  d->sqnr_db = d->dd == 0   ? inf
               : d->xx == 0 ? -inf
                            : 10 * (log_of(d->xx / d->dd) / 2.3025850929940457);
  d->nl2 = d->dd == 0 ? 0 : d->xx == 0 ? inf : __builtin_sqrt(d->dd / d->xx);
  const bool x = d->xx != 0, y = d->yy != 0;
  d->cosine = x && y ? d->xy / (__builtin_sqrt(d->xx) * __builtin_sqrt(d->yy)) : x == y ? 1 : 0;
  d->clipped = d->range_used = 0;
  const uint64_t pairs = d->count - d->nan_count;
  if (got.real() || !pairs) return;
  d->clipped = static_cast<double>(d->clip_count) / static_cast<double>(pairs);
  d->range_used = (d->qhi - d->qlo + 1) / (static_cast<double>(got.qmax - got.qmin) + 1);
}

octet_status read_difference(octet_error* err, octet_difference* d, octet_difference* out) {
  if (!d) return fail(err, OCTET_ERR_ARGUMENT, "d is NULL; pass an octet_difference, zeroed.");
  OCTET_TRY(read_struct(err, "octet_difference", d, sizeof *out, out));
  if (d->flags) return fail_flags(err, "octet_difference.flags", d->flags, "none");
  if (d->nan_count > d->count)
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_difference.nan_count is above count; zero the struct before its first "
                "comparison.");
  return OCTET_OK;
}

[[gnu::noinline]] octet_status compare(const octet_tensor* want, const octet_tensor* got,
                                       octet_difference* d, const octet_exec* exec,
                                       octet_error* err) {
  Exec ex;
  View w;
  Got g = {};
  octet_difference next;
  OCTET_TRY(read_exec(err, exec, &ex));
  OCTET_TRY(read_want(err, want, &w));
  OCTET_TRY(read_got(err, got, &g));
  OCTET_TRY(check_same_dims(err, "want", w, "got", g.view));
  OCTET_TRY(read_difference(err, d, &next));
  if (w.count) {
    Comparison comparison(w, g);
    OCTET_TRY(comparison.run(err, ex, &next));
    next.count += static_cast<uint64_t>(w.count);
  }
  derive(g, &next);
  next.struct_size = d->struct_size;
  memcpy(d, &next, sizeof next);
  return OCTET_OK;
}

// ---- bias error -------------------------------------------------------------------------------

constexpr int64_t kColumns = 256;  // columns of a task

struct BiasError {
  View want;
  Got got;
  RowPairs rows;
  int64_t columns;
  double* sum;
  std::atomic<bool> bad{false};

  float got_at(int64_t row, int64_t column) const {
    if (got.real()) return reinterpret_cast<const float*>(got.view.data)[row + column];
    const int64_t channel = got.axis < 0 ? 0 : column;
    return got.scale(channel) * static_cast<float>(got.integer(row + column) - got.zero(channel));
  }

  template <class Visit>
  void for_each_row(Visit visit) const {
    for (int64_t g = 0; g < rows.outer; ++g) {
      int64_t a, b, c;
      rows.start(g, &a, &b, &c);
      for (int64_t r = 0; r < rows.rows; ++r, a += rows.pitch_a, b += rows.pitch_b) visit(a, b);
    }
  }

  static void check(void* arg, size_t task) {
    BiasError& e = *static_cast<BiasError*>(arg);
    const int64_t first = static_cast<int64_t>(task) * kColumns;
    const int64_t end = first + kColumns < e.columns ? first + kColumns : e.columns;
    bool good = true;
    e.for_each_row([&](int64_t a, int64_t b) {
      const float* x = reinterpret_cast<const float*>(e.want.data) + a;
      for (int64_t n = first; n < end; ++n) good &= finite(x[n]) && finite(e.got_at(b, n));
    });
    if (!good) e.bad.store(true, std::memory_order_relaxed);
  }

  static void add(void* arg, size_t task) {
    BiasError& e = *static_cast<BiasError*>(arg);
    const int64_t first = static_cast<int64_t>(task) * kColumns;
    const int64_t end = first + kColumns < e.columns ? first + kColumns : e.columns;
    e.for_each_row([&](int64_t a, int64_t b) {
      const float* x = reinterpret_cast<const float*>(e.want.data) + a;
      for (int64_t n = first; n < end; ++n) e.sum[n] += double{e.got_at(b, n)} - double{x[n]};
    });
  }
};

[[gnu::noinline]] octet_status bias_error(const octet_tensor* want, const octet_tensor* got,
                                          double* sum, uint64_t* rows, const octet_exec* exec,
                                          octet_error* err) {
  Exec ex;
  BiasError e;
  OCTET_TRY(read_exec(err, exec, &ex));
  OCTET_TRY(read_want(err, want, &e.want));
  OCTET_TRY(read_got(err, got, &e.got));
  OCTET_TRY(check_same_dims(err, "want", e.want, "got", e.got.view));
  if (e.want.rank < 1)
    return fail(err, OCTET_ERR_ARGUMENT, "want.rank is 0; its last dim is that of the bias.");
  if (e.got.axis >= 0 && e.got.axis != e.want.rank - 1)
    return fail(err, OCTET_ERR_ARGUMENT,
                "got.q->axis is %d; here scales are one for the tensor or belong to the last dim.",
                e.got.axis);
  if (!sum || !rows)
    return fail(err, OCTET_ERR_ARGUMENT, "%s is NULL; pass the running %s.", sum ? "rows" : "sum",
                sum ? "count" : "sums");
  e.columns = e.want.inner();
  e.sum = sum;
  View sums = array_view(sum, e.columns);
  sums.item = 8;
  OCTET_TRY(check_overlap(err, "sum", sums, "want", e.want, false));
  OCTET_TRY(check_overlap(err, "sum", sums, "got", e.got.view, false));
  if (!e.want.count) return OCTET_OK;
  e.rows = pair_rows(e.want, e.got.view);
  const size_t tasks = static_cast<size_t>((e.columns + kColumns - 1) / kColumns);
  OCTET_TRY(run_tasks(err, ex, tasks, BiasError::check, &e));
  if (e.bad.load(std::memory_order_relaxed))
    return fail(err, OCTET_ERR_NOT_FINITE,
                "want or got holds a NaN or an infinity, which no bias corrects; leave that batch "
                "out.");
  OCTET_TRY(run_tasks(err, ex, tasks, BiasError::add, &e));
  *rows += static_cast<uint64_t>(e.want.count / e.columns);
  return OCTET_OK;
}

}  // namespace
}  // namespace octet

using namespace octet;

octet_status octet_compare(const octet_context* c, const octet_tensor* want,
                           const octet_tensor* got, octet_difference* d, const octet_exec* e,
                           octet_error* err) {
  if (!c) return fail(err, OCTET_ERR_ARGUMENT, "c is NULL; pass a context.");
  const FpGuard guard;
  return compare(want, got, d, e, err);
}

octet_status octet_bias_error(const octet_context* c, const octet_tensor* want,
                              const octet_tensor* got, double* sum, uint64_t* rows,
                              const octet_exec* e, octet_error* err) {
  if (!c) return fail(err, OCTET_ERR_ARGUMENT, "c is NULL; pass a context.");
  const FpGuard guard;
  return bias_error(want, got, sum, rows, e, err);
}

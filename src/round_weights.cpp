// SPDX-License-Identifier: Apache-2.0
//
// octet_round_weights: integers of weights by rounding to nearest, by GPTQ or by AdaRound. The
// mathematics are in quant/rounding.h; here is what is read, refused and shared among tasks.
#include "quant/rounding.h"
#include "src/fpenv.h"
#include "src/op.h"
#include "src/parallel.h"
#include "src/scheme.h"
#include "src/tensor.h"

namespace octet {
namespace {

constexpr int32_t kMaxIterations = 1000000;

// Scratch of one task.
struct Scratch {
  float* weights;     // [block][k]
  int32_t* integers;  // [block][k]
  Rounder* rounders;  // [block][groups]
  double* doubles;    // GPTQ: the row; AdaRound: adaround_scratch(k)
  float* scale;       // GPTQ with groups: [groups], before they are known to be good
  int32_t* zero;
};

class Rounding {
 public:
  octet_status read(octet_error* err, const octet_round_desc* desc, const octet_tensor* w,
                    const double* h, const uint64_t* rows, const octet_tensor* q, float* scale,
                    int32_t* zero_point, size_t count, const octet_exec* exec);
  octet_status run(octet_error* err);

 private:
  octet_status read_desc(octet_error* err, const octet_round_desc* desc);
  octet_status read_scheme(octet_error* err, const octet_scheme* scheme);
  octet_status read_gram(octet_error* err, const double* h, const uint64_t* rows);
  octet_status read_results(octet_error* err, const octet_tensor* q, float* scale,
                            int32_t* zero_point, size_t count);
  octet_status read_workspace(octet_error* err);
  octet_status check_ranges(octet_error* err);

  bool gptq() const { return desc_.kind == OCTET_ROUND_GPTQ; }
  bool adaround() const { return desc_.kind == OCTET_ROUND_ADAROUND; }
  bool per_tensor() const { return scheme_.granularity == OCTET_PER_TENSOR; }
  bool grouped() const { return scheme_.group != 0; }
  int64_t groups() const { return k_ / group_; }

  // Weights that share a scale: row n, group g, or all of them.
  Reals reals(int64_t n, int64_t g) const {
    const auto read = [](const void* self, int64_t row, int64_t column, int64_t count,
                         float* to) -> const float* {
      const View& w = static_cast<const Rounding*>(self)->w_;
      const float* x = reinterpret_cast<const float*>(w.data) + row * w.strides[0];
      if (w.strides[1] == 1) return x + column;
      for (int64_t i = 0; i < count; ++i) to[i] = x[(column + i) * w.strides[1]];
      return to;
    };
    if (per_tensor()) return {read, this, 0, n_, 0, k_};
    return {read, this, n, 1, g * group_, group_};
  }
  float weight(int64_t n, int64_t k) const {
    return reinterpret_cast<const float*>(w_.data)[n * w_.strides[0] + k * w_.strides[1]];
  }
  // False, with the place, where a weight is not finite.
  bool range(const Reals& r, float* min, float* max, int64_t* row, int64_t* column) const;
  Rounder choose_rounder(int64_t n, int64_t g) const;

  void carve(Carver* carver);
  void round_block(int64_t first, int64_t count, const Scratch& s, bool dry);
  void store(int64_t n, const int32_t* q) const;
  static void work(void* arg, size_t task);

  octet_round_desc desc_;
  ResolvedScheme scheme_;
  Exec exec_;
  View w_, q_;
  const double* h_ = nullptr;
  double rows_ = 0;
  int64_t n_ = 0, k_ = 0, group_ = 0, tasks_ = 1, block_ = 1;
  float* scale_ = nullptr;
  int32_t* zero_ = nullptr;
  Rounder whole_;
  double *u_ = nullptr, *column_ = nullptr;  // GPTQ
  Carver carver_{nullptr};
  Scratch scratch_[64];
  bool dry_ = false;
  std::atomic<int64_t> bad_{INT64_MAX};  // first channel whose groups need too large a scale
};

octet_status Rounding::read_desc(octet_error* err, const octet_round_desc* desc) {
  if (!desc) return fail(err, OCTET_ERR_ARGUMENT, "d is NULL; pass an octet_round_desc.");
  OCTET_TRY(read_struct(err, "octet_round_desc", desc, sizeof desc_, &desc_));
  octet_round_desc& d = desc_;
  if (d.flags) return fail_flags(err, "octet_round_desc.flags", d.flags, "none");
  if (d.kind < 0 || d.kind > OCTET_ROUND_NEAREST)
    return fail_enum(err, "octet_round_desc.kind", d.kind,
                     "OCTET_ROUND_GPTQ, OCTET_ROUND_ADAROUND, OCTET_ROUND_NEAREST");
  if (d.iterations < 0 || d.iterations > kMaxIterations || (d.iterations && !adaround()))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_round_desc.iterations is %d; AdaRound takes 0 (1,000) to 1,000,000, the "
                "others 0.",
                d.iterations);
  if (!(d.damp >= 0 && d.damp <= 1) || (d.damp != 0 && !gptq()))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_round_desc.damp is %g; GPTQ takes 0 (0.01) to 1, the others 0.",
                static_cast<double>(d.damp));
  if (!(d.lr >= 0 && d.lr <= 1) || (d.lr != 0 && !adaround()))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_round_desc.lr is %g; AdaRound takes 0 (0.01) to 1, the others 0.",
                static_cast<double>(d.lr));
  return OCTET_OK;
}

octet_status Rounding::read_scheme(octet_error* err, const octet_scheme* scheme) {
  OCTET_TRY(resolve_scheme(err, scheme, Place::kWeights, 0, &scheme_));
  if (!per_tensor() && scheme_.axis != 0 && scheme_.axis != -2)
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_scheme.axis is %d; weights [N,K] have their channels on axis 0.",
                scheme_.axis);
  group_ = grouped() ? scheme_.group : k_;
  if (grouped() && (group_ <= 0 || k_ % group_))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_scheme.group is %lld; a group must divide K = %lld.",
                static_cast<long long>(group_), static_cast<long long>(k_));
  return OCTET_OK;
}

octet_status Rounding::read_gram(octet_error* err, const double* h, const uint64_t* rows) {
  if (!gptq() && !adaround()) {
    if (!h && !rows) return OCTET_OK;
    return fail(err, OCTET_ERR_ARGUMENT,
                "h or rows is given, but OCTET_ROUND_NEAREST has no use for data; pass NULL.");
  }
  if (!h || !rows)
    return fail(err, OCTET_ERR_ARGUMENT, "%s is NULL; pass what octet_gram has summed.",
                h ? "rows" : "h");
  if (!*rows)
    return fail(err, OCTET_ERR_EMPTY, "rows is 0: h has seen no data; call octet_gram first.");
  h_ = h;
  rows_ = static_cast<double>(*rows);
  for (int64_t i = 0; i < k_ * k_; ++i) {
    const bool diagonal = i % (k_ + 1) == 0;
    if (h[i] - h[i] == 0 && !(diagonal && h[i] < 0)) continue;
    return fail(err, OCTET_ERR_NOT_FINITE,
                "h[%lld, %lld] is %g; a Gram matrix is finite, and not negative on its diagonal.",
                static_cast<long long>(i / k_), static_cast<long long>(i % k_), h[i]);
  }
  return OCTET_OK;
}

octet_status Rounding::read_results(octet_error* err, const octet_tensor* q, float* scale,
                                    int32_t* zero_point, size_t count) {
  OCTET_TRY(read_tensor(err, "q", q, kQ8Types | kQ4Types, kOutput, &q_));
  OCTET_TRY(check_no_qparams(err, "q", q_));
  OCTET_TRY(check_same_dims(err, "w", w_, "q", q_));
  const octet_type wide = type_min(scheme_.type) < 0 ? OCTET_S8 : OCTET_U8;
  if (q_.type != scheme_.type && q_.type != wide)
    return fail(err, OCTET_ERR_ARGUMENT,
                "q.type is %s, but the scheme rounds to %s; use that type or %s.",
                type_name(q_.type), type_name(scheme_.type), type_name(wide));
  const int64_t want = per_tensor() ? 1 : n_ * groups();
  if (static_cast<int64_t>(count) != want)
    return fail(err, OCTET_ERR_ARGUMENT, "count is %zu; this scheme has %lld scales.", count,
                static_cast<long long>(want));
  if (!scale) return fail(err, OCTET_ERR_ARGUMENT, "scale is NULL; pass %zu values.", count);
  const Chooser& c = scheme_.chooser;
  const bool always_zero = c.symmetric && c.symmetric_zero == 0 &&
                           c.formula != OCTET_CHOOSE_TORCH_NATIVE &&
                           c.formula != OCTET_CHOOSE_TORCH_FBGEMM;
  if (!zero_point && !always_zero)
    return fail(err, OCTET_ERR_ARGUMENT,
                "zero_point is NULL, but this scheme may have zero points other than 0; pass an "
                "array, or a symmetric scheme of a signed type.");
  const View scales = array_view(scale, want),
             zeros = array_view(zero_point, zero_point ? want : 0);
  OCTET_TRY(check_overlap(err, "q", q_, "w", w_, false));
  OCTET_TRY(check_overlap(err, "scale", scales, "w", w_, false));
  OCTET_TRY(check_overlap(err, "scale", scales, "q", q_, false));
  OCTET_TRY(check_overlap(err, "zero_point", zeros, "w", w_, false));
  OCTET_TRY(check_overlap(err, "zero_point", zeros, "q", q_, false));
  OCTET_TRY(check_overlap(err, "zero_point", zeros, "scale", scales, false));
  View gram = array_view(h_, h_ ? k_ * k_ : 0);
  gram.item = 8;
  OCTET_TRY(check_overlap(err, "q", q_, "h", gram, false));
  OCTET_TRY(check_overlap(err, "scale", scales, "h", gram, false));
  OCTET_TRY(check_overlap(err, "zero_point", zeros, "h", gram, false));
  scale_ = scale;
  zero_ = zero_point;
  return OCTET_OK;
}

void Rounding::carve(Carver* carver) {
  const size_t k = static_cast<size_t>(k_), block = static_cast<size_t>(block_);
  if (gptq()) {
    u_ = carver->take<double>(k * k);
    column_ = carver->take<double>(k);
  }
  for (int64_t t = 0; t < tasks_; ++t) {
    Scratch& s = scratch_[t];
    s.weights = carver->take<float>(block * k);
    s.integers = carver->take<int32_t>(block * k);
    s.rounders = carver->take<Rounder>(block * static_cast<size_t>(groups()));
    s.doubles = carver->take<double>(adaround() ? static_cast<size_t>(adaround_scratch(k_)) : k);
    s.scale = carver->take<float>(static_cast<size_t>(groups()));
    s.zero = carver->take<int32_t>(static_cast<size_t>(groups()));
  }
}

octet_status Rounding::read_workspace(octet_error* err) {
  block_ = adaround() ? kAdaRows : 1;
  const int64_t blocks = (n_ + block_ - 1) / block_;
  tasks_ = exec_.e.max_threads < 64 ? exec_.e.max_threads : 64;
  if (tasks_ > blocks) tasks_ = blocks;
  Carver sizes(nullptr);
  carve(&sizes);
  OCTET_TRY(check_workspace(err, exec_, sizes.bytes(), w_, q_));
  const View scales = array_view(scale_, per_tensor() ? 1 : n_ * groups());
  View gram = array_view(h_, h_ ? k_ * k_ : 0);
  gram.item = 8;
  OCTET_TRY(check_workspace(err, exec_, sizes.bytes(), scales, gram));
  const View zeros = array_view(zero_, zero_ ? scales.count : 0);
  OCTET_TRY(check_workspace(err, exec_, sizes.bytes(), zeros, zeros));
  Carver carver(exec_.e.workspace);
  carve(&carver);
  return OCTET_OK;
}

octet_status Rounding::read(octet_error* err, const octet_round_desc* desc, const octet_tensor* w,
                            const double* h, const uint64_t* rows, const octet_tensor* q,
                            float* scale, int32_t* zero_point, size_t count,
                            const octet_exec* exec) {
  OCTET_TRY(read_exec(err, exec, &exec_));
  OCTET_TRY(read_desc(err, desc));
  OCTET_TRY(read_tensor(err, "w", w, type_bit(OCTET_F32), kAnyStrides, &w_));
  OCTET_TRY(check_no_qparams(err, "w", w_));
  if (w_.rank != 2 || !w_.dims[1] || w_.dims[1] > 1 << 16)
    return fail(err, OCTET_ERR_ARGUMENT,
                "w has rank %d and %lld columns; weights are [N,K] with K from 1 to 65,536.",
                w_.rank, static_cast<long long>(w_.rank == 2 ? w_.dims[1] : 0));
  n_ = w_.dims[0];
  k_ = w_.dims[1];
  OCTET_TRY(read_scheme(err, desc_.scheme));
  OCTET_TRY(read_gram(err, h, rows));
  return read_results(err, q, scale, zero_point, count);
}

bool Rounding::range(const Reals& r, float* min, float* max, int64_t* row, int64_t* column) const {
  *min = *max = weight(r.first_row, r.first_column);
  for (int64_t n = r.first_row; n < r.first_row + r.rows; ++n)
    for (int64_t k = r.first_column; k < r.first_column + r.columns; ++k) {
      const float x = weight(n, k);
      if (x - x != 0) {
        *row = n;
        *column = k;
        return false;
      }
      if (x < *min) *min = x;
      if (x > *max) *max = x;
    }
  return true;
}

// Everything about the weights that is refused.
octet_status Rounding::check_ranges(octet_error* err) {
  for (int64_t n = 0; n < (per_tensor() ? 1 : n_); ++n)
    for (int64_t g = 0; g < groups(); ++g) {
      float min, max;
      int64_t row, column;
      if (!range(reals(n, g), &min, &max, &row, &column))
        return fail(err, OCTET_ERR_NOT_FINITE, "w[%lld, %lld] is %g; weights must be finite.",
                    static_cast<long long>(row), static_cast<long long>(column),
                    static_cast<double>(weight(row, column)));
      if (!searched_scales_in_domain(scheme_.chooser, min, max))
        return fail(err, OCTET_ERR_ARGUMENT,
                    "w[%lld] from column %lld on spans [%g, %g], which needs a scale outside "
                    "[2^-60, 2^60]; scale the weights first.",
                    static_cast<long long>(n), static_cast<long long>(g * group_),
                    static_cast<double>(min), static_cast<double>(max));
    }
  return OCTET_OK;
}

Rounder Rounding::choose_rounder(int64_t n, int64_t g) const {
  const Chooser& c = scheme_.chooser;
  const Reals r = reals(n, g);
  float min, max, scale;
  int64_t row, column;
  int32_t zero;
  range(r, &min, &max, &row, &column);
  if (scheme_.least_error) least_error_range(c, scheme_.divide, r, &min, &max);
  choose(c, min, max, &scale, &zero);
  return Rounder(scale, zero, c.qmin, c.qmax, scheme_.divide);
}

void Rounding::store(int64_t n, const int32_t* q) const {
  char* row = q_.data + (is_q4(q_.type) ? n * q_.strides[0] / 2 : n * q_.strides[0]);
  for (int64_t k = 0; k < k_; ++k) {
    if (!is_q4(q_.type)) {
      row[k] = static_cast<char>(q[k]);
      continue;
    }
    const int old = static_cast<unsigned char>(row[k / 2]), nibble = q[k] & 15;
    row[k / 2] = static_cast<char>(k % 2 ? (old & 0x0F) | nibble << 4 : (old & 0xF0) | nibble);
  }
}

void Rounding::round_block(int64_t first, int64_t count, const Scratch& s, bool dry) {
  const bool late = gptq() && grouped();  // scales are chosen while rounding
  for (int64_t i = 0; i < count; ++i) {
    const float* row = reinterpret_cast<const float*>(w_.data) + (first + i) * w_.strides[0];
    for (int64_t k = 0; k < k_; ++k) s.weights[i * k_ + k] = row[k * w_.strides[1]];
    for (int64_t g = 0; g < groups() && !late; ++g)
      s.rounders[i * groups() + g] = per_tensor() ? whole_ : choose_rounder(first + i, g);
  }
  if (gptq()) {
    for (int64_t k = 0; k < k_; ++k) s.doubles[k] = double{s.weights[k]};
    GptqRow row = {};
    row.h = h_;
    row.u = u_;
    row.k = k_;
    row.group = group_;
    row.chooser = &scheme_.chooser;
    row.divide = scheme_.divide;
    row.mse = scheme_.least_error;
    row.per_group = late;
    row.w = s.doubles;
    row.scratch = s.weights;
    if (!late) row.whole = s.rounders[0];
    if (!gptq_row(row, s.integers, s.scale, s.zero)) {
      int64_t seen = bad_.load(std::memory_order_relaxed);
      while (first < seen && !bad_.compare_exchange_weak(seen, first)) {
      }
      return;
    }
    for (int64_t g = 0; g < groups() && late; ++g)
      s.rounders[g] = Rounder(s.scale[g], s.zero[g], 0, 0, false);
  } else if (adaround()) {
    const AdaRound a = {h_,
                        rows_,
                        k_,
                        group_,
                        desc_.iterations ? desc_.iterations : 1000,
                        desc_.lr != 0 ? double{desc_.lr} : 0.01,
                        s.doubles};
    adaround_rows(a, static_cast<int>(count), s.weights, s.rounders, s.integers);
  } else {
    for (int64_t k = 0; k < k_; ++k) s.integers[k] = s.rounders[k / group_].quantize(s.weights[k]);
  }
  if (dry) return;
  for (int64_t i = 0; i < count; ++i) {
    store(first + i, s.integers + i * k_);
    for (int64_t g = 0; g < groups() && !per_tensor(); ++g) {
      const Rounder& r = s.rounders[i * groups() + g];
      scale_[(first + i) * groups() + g] = r.scale;
      if (zero_) zero_[(first + i) * groups() + g] = r.zero;
    }
  }
}

// Each task has its own share of the blocks and its own scratch.
void Rounding::work(void* arg, size_t task) {
  Rounding& r = *static_cast<Rounding*>(arg);
  const int64_t blocks = (r.n_ + r.block_ - 1) / r.block_, t = static_cast<int64_t>(task);
  for (int64_t b = blocks * t / r.tasks_; b < blocks * (t + 1) / r.tasks_; ++b) {
    const int64_t first = b * r.block_, left = r.n_ - first;
    r.round_block(first, left < r.block_ ? left : r.block_, r.scratch_[t], r.dry_);
  }
}

octet_status Rounding::run(octet_error* err) {
  if (!n_) return OCTET_OK;
  OCTET_TRY(check_ranges(err));
  OCTET_TRY(read_workspace(err));
  if (gptq()) {
    double damp = desc_.damp != 0 ? double{desc_.damp} : 0.01;
    int tries = 0;
    while (!inverse_factor(h_, k_, damp, u_, column_)) {
      if (++tries == 4)
        return fail(err, OCTET_ERR_NOT_FINITE,
                    "h is not positive definite, even with a damping of %g; feed octet_gram more "
                    "data or give more damp.",
                    damp);
      damp *= 10;
    }
  }
  if (per_tensor()) whole_ = choose_rounder(0, 0);
  const size_t tasks = static_cast<size_t>(tasks_);
  if (gptq() && grouped()) {  // scales that are chosen late are refused late: nothing is stored yet
    dry_ = true;
    OCTET_TRY(run_tasks(err, exec_, tasks, work, this));
    dry_ = false;
    const int64_t bad = bad_.load(std::memory_order_relaxed);
    if (bad != INT64_MAX)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "w[%lld] needs a scale outside [2^-60, 2^60] once the errors of earlier columns "
                  "are added; give more damp.",
                  static_cast<long long>(bad));
  }
  OCTET_TRY(run_tasks(err, exec_, tasks, work, this));
  if (per_tensor()) {
    *scale_ = whole_.scale;
    if (zero_) *zero_ = whole_.zero;
  }
  return OCTET_OK;
}

[[gnu::noinline]] octet_status round_weights(const octet_round_desc* d, const octet_tensor* w,
                                             const double* h, const uint64_t* rows,
                                             const octet_tensor* q, float* scale,
                                             int32_t* zero_point, size_t count, const octet_exec* e,
                                             octet_error* err) {
  Rounding r;
  OCTET_TRY(r.read(err, d, w, h, rows, q, scale, zero_point, count, e));
  return r.run(err);
}

}  // namespace
}  // namespace octet

octet_status octet_round_weights(const octet_context* c, const octet_round_desc* d,
                                 const octet_tensor* w, const double* h, const uint64_t* rows,
                                 const octet_tensor* q, float* scale, int32_t* zero_point,
                                 size_t count, const octet_exec* e, octet_error* err) {
  if (!c) return octet::fail(err, OCTET_ERR_ARGUMENT, "c is NULL; pass a context.");
  const octet::FpGuard guard;
  return octet::round_weights(d, w, h, rows, q, scale, zero_point, count, e, err);
}

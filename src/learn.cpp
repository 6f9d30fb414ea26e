// SPDX-License-Identifier: Apache-2.0
//
// Fake-quantization with learned scales and zero points, and clipping with learned bounds.
#include "src/fpenv.h"
#include "src/sums.h"

namespace octet {
namespace {

octet_status read_desc(octet_error* err, const octet_learn_desc* in, octet_learn_desc* d) {
  if (!in) return fail(err, OCTET_ERR_ARGUMENT, "d is NULL; pass an octet_learn_desc.");
  OCTET_TRY(read_struct(err, "octet_learn_desc", in, sizeof *in, d));
  if (d->flags) return fail_flags(err, "octet_learn_desc.flags", d->flags, "none");
  if (d->kind != OCTET_LEARN_LSQ && d->kind != OCTET_LEARN_LSQ_PLUS)
    return fail_enum(err, "octet_learn_desc.kind", d->kind,
                     "OCTET_LEARN_LSQ, OCTET_LEARN_LSQ_PLUS");
  if (!(d->grad_factor - d->grad_factor == 0))
    return fail(err, OCTET_ERR_NOT_FINITE, "octet_learn_desc.grad_factor is %g; it must be finite.",
                static_cast<double>(d->grad_factor));
  if (d->grad_factor == 0) d->grad_factor = 1;
  return OCTET_OK;
}

octet_status read_reals(octet_error* err, const char* name, const octet_tensor* t, uint32_t options,
                        View* v) {
  OCTET_TRY(read_tensor(err, name, t, type_bit(OCTET_F32), options, v));
  return check_no_qparams(err, name, *v);
}

octet_status read_backward(octet_error* err, const octet_tensor* dy, const octet_tensor* x,
                           const octet_tensor* dx, Gradient* g) {
  OCTET_TRY(read_reals(err, "dy", dy, 0, &g->dy));
  OCTET_TRY(read_reals(err, "x", x, 0, &g->x));
  OCTET_TRY(read_reals(err, "dx", dx, kOutput, &g->dx));
  OCTET_TRY(check_same_dims(err, "dy", g->dy, "x", g->x));
  OCTET_TRY(check_same_dims(err, "dy", g->dy, "dx", g->dx));
  OCTET_TRY(check_overlap(err, "dx", g->dx, "dy", g->dy, true));
  OCTET_TRY(check_overlap(err, "dx", g->dx, "x", g->x, false));
  g->side.axis = -1;
  return OCTET_OK;
}

// An array of results lies in no tensor.
octet_status check_apart(octet_error* err, const char* name, const float* data, int64_t count,
                         const Gradient& g) {
  const View v = array_view(data, count);
  OCTET_TRY(check_overlap(err, name, v, "dy", g.dy, false));
  OCTET_TRY(check_overlap(err, name, v, "x", g.x, false));
  return check_overlap(err, "dx", g.dx, name, v, false);
}

void set_kernels(const octet_context& c, Family family, Gradient* g) {
  g->cache = c.cpu.l3;
  g->kernel = kernel<GradFn>(c, family, OCTET_F32, OCTET_F32);
  g->sums_at_once = family == kLearn;
  g->sum = kernel<SumFn>(c, kSum, OCTET_F32, 0);
  g->sum_columns = kernel<SumFn>(c, kSumCols, OCTET_F32, 0);
}

[[gnu::noinline]] octet_status learn(const octet_context& c, const octet_learn_desc* d,
                                     const octet_tensor* x, const octet_qparams* q,
                                     const octet_tensor* y, const octet_exec* exec,
                                     octet_error* err) {
  Exec ex;
  Elementwise e = {};
  octet_learn_desc desc;
  Range32 range;
  OCTET_TRY(read_exec(err, exec, &ex));
  OCTET_TRY(read_desc(err, d, &desc));
  OCTET_TRY(read_operands(err, "x", x, "y", y, nullptr, &e));
  OCTET_TRY(read_side(err, "q", q, 0, e.x, &e.out, &range));
  e.qmin = range.qmin;
  e.qmax = range.qmax;
  e.divide = range.divide;
  e.away = range.away;
  e.round_zero = desc.kind == OCTET_LEARN_LSQ;
  e.cache = c.cpu.l3;
  e.kernel = kernel<RunFn>(c, kFakeQuant, OCTET_F32, OCTET_F32);
  return run_elementwise(err, ex, e);
}

[[gnu::noinline]] octet_status learn_backward(const octet_context& c, const octet_learn_desc* d,
                                              const octet_tensor* dy, const octet_tensor* x,
                                              const octet_qparams* q, const octet_tensor* dx,
                                              float* dscale, float* dzero_point, size_t count,
                                              const octet_exec* exec, octet_error* err) {
  Exec ex;
  Gradient g = {};
  octet_learn_desc desc;
  OCTET_TRY(read_exec(err, exec, &ex));
  OCTET_TRY(read_desc(err, d, &desc));
  OCTET_TRY(read_backward(err, dy, x, dx, &g));
  OCTET_TRY(read_side(err, "q", q, 0, g.x, &g.side, &g.range));
  if (count != static_cast<size_t>(q->count))
    return fail(err, OCTET_ERR_ARGUMENT, "count is %zu; it must be q->count = %lld.", count,
                static_cast<long long>(q->count));
  if (!dscale && count)
    return fail(err, OCTET_ERR_ARGUMENT, "dscale is NULL; pass memory for %zu values.", count);
  const int64_t n = q->count;
  OCTET_TRY(check_apart(err, "dscale", dscale, n, g));
  if (dzero_point) {
    OCTET_TRY(check_apart(err, "dzero_point", dzero_point, n, g));
    OCTET_TRY(check_overlap(err, "dzero_point", array_view(dzero_point, n), "dscale",
                            array_view(dscale, n), false));
  }
  g.round_zero = desc.kind == OCTET_LEARN_LSQ;
  g.factor = static_cast<double>(desc.grad_factor);
  g.d0 = dscale;
  g.d1 = dzero_point;
  set_kernels(c, kLearn, &g);
  return run_gradient(err, ex, g);
}

octet_status check_bounds(octet_error* err, const float* lo, const float* hi) {
  if (!lo || !hi)
    return fail(err, OCTET_ERR_ARGUMENT, "%s is NULL; pass a bound.", lo ? "hi" : "lo");
  if (!(*lo - *lo == 0) || !(*hi - *hi == 0))
    return fail(err, OCTET_ERR_NOT_FINITE, "*lo and *hi are %g and %g; they must be finite.",
                static_cast<double>(*lo), static_cast<double>(*hi));
  if (*lo > *hi)
    return fail(err, OCTET_ERR_ARGUMENT, "*lo is %g, which is more than *hi, %g.",
                static_cast<double>(*lo), static_cast<double>(*hi));
  return OCTET_OK;
}

[[gnu::noinline]] octet_status clip(const octet_context& c, const octet_tensor* x, const float* lo,
                                    const float* hi, const octet_tensor* y, const octet_exec* exec,
                                    octet_error* err) {
  Exec ex;
  Elementwise e = {};
  OCTET_TRY(read_exec(err, exec, &ex));
  OCTET_TRY(read_operands(err, "x", x, "y", y, nullptr, &e));
  OCTET_TRY(check_bounds(err, lo, hi));
  const float bounds[2] = {*lo, *hi};  // y may be where the caller has them
  e.in.scale = &bounds[0];
  e.out.scale = &bounds[1];
  e.cache = c.cpu.l3;
  e.kernel = kernel<RunFn>(c, kClamp, OCTET_F32, OCTET_F32);
  return run_elementwise(err, ex, e);
}

[[gnu::noinline]] octet_status clip_backward(const octet_context& c, const octet_tensor* dy,
                                             const octet_tensor* x, const float* lo,
                                             const float* hi, const octet_tensor* dx, float* dlo,
                                             float* dhi, const octet_exec* exec, octet_error* err) {
  Exec ex;
  Gradient g = {};
  float lo_unused;  // a fixed bound's gradient
  OCTET_TRY(read_exec(err, exec, &ex));
  OCTET_TRY(read_backward(err, dy, x, dx, &g));
  OCTET_TRY(check_bounds(err, lo, hi));
  if (dlo) OCTET_TRY(check_apart(err, "dlo", dlo, 1, g));
  if (dhi) OCTET_TRY(check_apart(err, "dhi", dhi, 1, g));
  if (dlo && dhi)
    OCTET_TRY(check_overlap(err, "dhi", array_view(dhi, 1), "dlo", array_view(dlo, 1), false));
  g.lo = *lo;
  g.hi = *hi;
  g.factor = 1;
  g.d0 = dlo ? dlo : &lo_unused;
  g.d1 = dhi;
  set_kernels(c, kClip, &g);
  return run_gradient(err, ex, g);
}

octet_status fail_no_context(octet_error* err) {
  return fail(err, OCTET_ERR_ARGUMENT, "c is NULL; pass a context.");
}

}  // namespace
}  // namespace octet

using namespace octet;

octet_status octet_fake_quant_learn(const octet_context* c, const octet_learn_desc* d,
                                    const octet_tensor* x, const octet_qparams* q,
                                    const octet_tensor* y, const octet_exec* e, octet_error* err) {
  if (!c) return fail_no_context(err);
  const FpGuard guard;
  return learn(*c, d, x, q, y, e, err);
}

octet_status octet_fake_quant_learn_backward(const octet_context* c, const octet_learn_desc* d,
                                             const octet_tensor* dy, const octet_tensor* x,
                                             const octet_qparams* q, const octet_tensor* dx,
                                             float* dscale, float* dzero_point, size_t count,
                                             const octet_exec* e, octet_error* err) {
  if (!c) return fail_no_context(err);
  const FpGuard guard;
  return learn_backward(*c, d, dy, x, q, dx, dscale, dzero_point, count, e, err);
}

octet_status octet_clip(const octet_context* c, const octet_tensor* x, const float* lo,
                        const float* hi, const octet_tensor* y, const octet_exec* e,
                        octet_error* err) {
  if (!c) return fail_no_context(err);
  const FpGuard guard;
  return clip(*c, x, lo, hi, y, e, err);
}

octet_status octet_clip_backward(const octet_context* c, const octet_tensor* dy,
                                 const octet_tensor* x, const float* lo, const float* hi,
                                 const octet_tensor* dx, float* dlo, float* dhi,
                                 const octet_exec* e, octet_error* err) {
  if (!c) return fail_no_context(err);
  const FpGuard guard;
  return clip_backward(*c, dy, x, lo, hi, dx, dlo, dhi, e, err);
}

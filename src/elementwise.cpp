// SPDX-License-Identifier: Apache-2.0
//
// octet_quantize, octet_dequantize, octet_requantize: check everything, then run.
#include "src/fpenv.h"
#include "src/runs.h"

namespace octet {
namespace {

constexpr uint32_t kDequantizable = kQ8Types | type_bit(OCTET_S32);

struct Names {
  const char *x, *y;
};

octet_status read_pair(octet_error* err, const Names& names, const octet_tensor* x,
                       uint32_t x_types, const octet_tensor* y, uint32_t y_types, bool in_place,
                       Elementwise* e) {
  OCTET_TRY(read_tensor(err, names.x, x, x_types, 0, &e->x));
  OCTET_TRY(read_tensor(err, names.y, y, y_types, kOutput, &e->y));
  OCTET_TRY(check_same_dims(err, names.x, e->x, names.y, e->y));
  return check_overlap(err, names.y, e->y, names.x, e->x, in_place);
}

octet_status read_side(octet_error* err, const char* name, const View& v, Side* side, int32_t* qmin,
                       int32_t* qmax) {
  OCTET_TRY(check_qparams(err, name, v.q, v.type, v.rank, v.dims, &side->axis, qmin, qmax));
  side->scale = v.q->scale;
  side->zero = v.q->zero_point;
  return OCTET_OK;
}

octet_status read_out(octet_error* err, const char* name, Elementwise* e) {
  OCTET_TRY(read_side(err, name, e->y, &e->out, &e->qmin, &e->qmax));
  e->divide = e->y.q->flags & OCTET_DIVIDE;
  return OCTET_OK;
}

[[gnu::noinline]] octet_status quantize(const octet_context* c, const octet_tensor* x,
                                        const octet_tensor* q, const octet_exec* exec,
                                        octet_error* err) {
  Exec ex;
  Elementwise e = {};
  e.in.axis = -1;
  OCTET_TRY(read_exec(err, exec, &ex));
  OCTET_TRY(read_pair(err, {"x", "q"}, x, type_bit(OCTET_F32), q, kQ8Types, false, &e));
  OCTET_TRY(check_no_qparams(err, "x", e.x));
  OCTET_TRY(read_out(err, "q", &e));
  e.kernel = kernel<RunFn>(*c, kQuantize, OCTET_F32, e.y.type);
  return run_elementwise(err, ex, e);
}

[[gnu::noinline]] octet_status dequantize(const octet_context* c, const octet_tensor* q,
                                          const octet_tensor* y, const octet_exec* exec,
                                          octet_error* err) {
  Exec ex;
  Elementwise e = {};
  e.out.axis = -1;
  int32_t qmin, qmax;
  OCTET_TRY(read_exec(err, exec, &ex));
  OCTET_TRY(read_pair(err, {"q", "y"}, q, kDequantizable, y, type_bit(OCTET_F32), false, &e));
  OCTET_TRY(check_no_qparams(err, "y", e.y));
  OCTET_TRY(read_side(err, "q", e.x, &e.in, &qmin, &qmax));
  e.kernel = kernel<RunFn>(*c, kDequantize, e.x.type, OCTET_F32);
  return run_elementwise(err, ex, e);
}

[[gnu::noinline]] octet_status requantize(const octet_context* c, const octet_tensor* q,
                                          const octet_tensor* y, const octet_exec* exec,
                                          octet_error* err) {
  Exec ex;
  Elementwise e = {};
  int32_t qmin, qmax;
  OCTET_TRY(read_exec(err, exec, &ex));
  OCTET_TRY(read_pair(err, {"q", "y"}, q, kDequantizable, y, kQ8Types, true, &e));
  OCTET_TRY(read_side(err, "q", e.x, &e.in, &qmin, &qmax));
  OCTET_TRY(read_out(err, "y", &e));
  e.fold = e.x.type == OCTET_S32;
  if (e.fold) e.divide = false;  // one multiplier holds both scales
  e.kernel = kernel<RunFn>(*c, kRequantize, e.x.type, e.y.type);
  return run_elementwise(err, ex, e);
}

}  // namespace
}  // namespace octet

using namespace octet;

octet_status octet_quantize(const octet_context* c, const octet_tensor* x, const octet_tensor* q,
                            const octet_exec* e, octet_error* err) {
  if (!c) return fail(err, OCTET_ERR_ARGUMENT, "c is NULL; pass a context.");
  const FpGuard guard;
  return quantize(c, x, q, e, err);
}

octet_status octet_dequantize(const octet_context* c, const octet_tensor* q, const octet_tensor* y,
                              const octet_exec* e, octet_error* err) {
  if (!c) return fail(err, OCTET_ERR_ARGUMENT, "c is NULL; pass a context.");
  const FpGuard guard;
  return dequantize(c, q, y, e, err);
}

octet_status octet_requantize(const octet_context* c, const octet_tensor* q, const octet_tensor* y,
                              const octet_exec* e, octet_error* err) {
  if (!c) return fail(err, OCTET_ERR_ARGUMENT, "c is NULL; pass a context.");
  const FpGuard guard;
  return requantize(c, q, y, e, err);
}

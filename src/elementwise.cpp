// SPDX-License-Identifier: Apache-2.0
//
// octet_quantize, octet_dequantize, octet_requantize: check everything, then run.
#include <string.h>

#include "src/fpenv.h"
#include "src/sides.h"

namespace octet {
namespace {

constexpr uint32_t kQTypes = kQ8Types | kQ16Types | kQ4Types | kQ2Types | type_bit(OCTET_S32);

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

octet_status read_in(octet_error* err, const char* name, Elementwise* e) {
  Range32 unused;
  return read_side(err, name, e->x.q, e->x.type, e->x, &e->in, &unused);
}

octet_status read_out(octet_error* err, const char* name, Elementwise* e) {
  Range32 range;
  OCTET_TRY(read_side(err, name, e->y.q, e->y.type, e->y, &e->out, &range));
  e->qmin = range.qmin;
  e->qmax = range.qmax;
  e->divide = range.divide;
  e->away = range.away;
  return OCTET_OK;
}

// ---- the links of a chain ----

void add_to_f32(const octet_context& c, octet_type from, Elementwise* e) {
  if (from != OCTET_F32) e->add(kernel<RunFn>(c, kConvert, from, OCTET_F32), sizeof(float));
}

void add_dequantize(const octet_context& c, octet_type from, Elementwise* e) {
  const octet_type whole = unpacked(from);
  if (whole != from) e->add(kernel<RunFn>(c, kUnpack, from, whole), 1);
  e->add(kernel<RunFn>(c, kDequantize, whole, OCTET_F32), sizeof(float));
}

[[gnu::noinline]] octet_status quantize(const octet_context* c, const octet_tensor* x,
                                        const octet_tensor* q, const octet_exec* exec,
                                        octet_error* err) {
  Exec ex;
  Elementwise e = {};
  e.in.axis = -1;
  OCTET_TRY(read_exec(err, exec, &ex));
  OCTET_TRY(read_pair(err, {"x", "q"}, x, kRealTypes, q, kQTypes, false, &e));
  OCTET_TRY(check_no_qparams(err, "x", e.x));
  OCTET_TRY(read_out(err, "q.q", &e));
  add_to_f32(*c, e.x.type, &e);
  add_quantize(*c, e.y.type, &e);
  settle(*c, &e);
  return run_elementwise(err, ex, e);
}

[[gnu::noinline]] octet_status dequantize(const octet_context* c, const octet_tensor* q,
                                          const octet_tensor* y, const octet_exec* exec,
                                          octet_error* err) {
  Exec ex;
  Elementwise e = {};
  e.out.axis = -1;
  OCTET_TRY(read_exec(err, exec, &ex));
  OCTET_TRY(read_pair(err, {"q", "y"}, q, kQTypes, y, kRealTypes, false, &e));
  OCTET_TRY(check_no_qparams(err, "y", e.y));
  OCTET_TRY(read_in(err, "q.q", &e));
  add_dequantize(*c, e.x.type, &e);
  if (e.y.type != OCTET_F32) e.add(kernel<RunFn>(*c, kConvert, OCTET_F32, e.y.type), e.y.item);
  settle(*c, &e);
  return run_elementwise(err, ex, e);
}

// Groups of both sides are walked together.
octet_status check_groups(octet_error* err, const Elementwise& e) {
  const Side &in = e.in, &out = e.out;
  const int32_t last = e.x.rank - 1;
  const bool along = (in.group && out.axis == last) || (out.group && in.axis == last);
  if ((!in.group || !out.group || in.group == out.group) && !along) return OCTET_OK;
  return fail(err, OCTET_ERR_UNSUPPORTED,
              "q.q->group is %lld and y.q->group is %lld; both must be equal, or one of them 0 "
              "without a scale for each index of the last dim: dequantize and quantize instead.",
              static_cast<long long>(in.group), static_cast<long long>(out.group));
}

[[gnu::noinline]] octet_status requantize(const octet_context* c, const octet_tensor* q,
                                          const octet_tensor* y, const octet_exec* exec,
                                          octet_error* err) {
  Exec ex;
  Elementwise e = {};
  OCTET_TRY(read_exec(err, exec, &ex));
  OCTET_TRY(read_pair(err, {"q", "y"}, q, kQTypes, y, kQTypes, true, &e));
  OCTET_TRY(read_in(err, "q.q", &e));
  OCTET_TRY(read_out(err, "y.q", &e));
  OCTET_TRY(check_groups(err, e));
  e.fold = e.x.type == OCTET_S32;
  if (e.fold) e.divide = false;  // one multiplier holds both scales
  const bool floats = e.in.zero_f32 || e.out.zero_f32;
  if (const Row* direct = best_row(*c, kRequantize, e.x.type, e.y.type); direct && !floats) {
    e.kernel = reinterpret_cast<RunFn*>(direct->fn);
    return run_elementwise(err, ex, e);
  }
  add_dequantize(*c, e.x.type, &e);
  add_quantize(*c, e.y.type, &e);
  return run_elementwise(err, ex, e);
}

// Elements as they are. n counts elements of one byte or more, or bytes.
template <size_t kItem>
void copy_run(const Run* r) {
  memcpy(r->y, r->x, r->n * kItem);
}

[[gnu::noinline]] octet_status copy(const octet_context* c, const octet_tensor* from,
                                    const octet_tensor* to, const octet_exec* exec,
                                    octet_error* err) {
  constexpr uint32_t kTypes =
      kQ8Types | kQ16Types | type_bit(OCTET_S32) | type_bit(OCTET_S64) | kRealTypes;
  Exec ex;
  Elementwise e = {};
  e.in.axis = e.out.axis = -1;
  OCTET_TRY(read_exec(err, exec, &ex));
  OCTET_TRY(read_pair(err, {"from", "to"}, from, kTypes, to, kTypes, false, &e));
  const octet_type x = e.x.type, y = e.y.type;
  if (x != y) {
    if (!(kRealTypes >> x & 1) || !(kRealTypes >> y & 1))
      return fail(err, OCTET_ERR_ARGUMENT,
                  "from.type is %s and to.type is %s; both must be equal or among F32, F16, BF16: "
                  "octet_requantize converts integers.",
                  type_name(x), type_name(y));
    add_to_f32(*c, x, &e);
    if (y != OCTET_F32) e.add(kernel<RunFn>(*c, kConvert, OCTET_F32, y), e.y.item);
    settle(*c, &e);
    return run_elementwise(err, ex, e);
  }
  e.kernel = e.x.item == 1   ? copy_run<1>
             : e.x.item == 2 ? copy_run<2>
             : e.x.item == 4 ? copy_run<4>
                             : copy_run<8>;
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

octet_status octet_copy(const octet_context* c, const octet_tensor* from, const octet_tensor* to,
                        const octet_exec* e, octet_error* err) {
  if (!c) return fail(err, OCTET_ERR_ARGUMENT, "c is NULL; pass a context.");
  const FpGuard guard;
  return copy(c, from, to, e, err);
}

// SPDX-License-Identifier: Apache-2.0
//
// Quantization by the largest magnitude, as NVIDIA's tensor_quant and fake_tensor_quant.
#include "src/fpenv.h"
#include "src/ranges.h"
#include "src/sides.h"
#include "src/walk.h"

namespace octet {
namespace {

constexpr uint32_t kIntegers = kQ8Types | kQ16Types;

struct Amax {
  octet_amax_desc d;
  int32_t bound;
  bool is_unsigned;
};

octet_status read_desc(octet_error* err, const octet_amax_desc* in, Amax* a) {
  if (!in) return fail(err, OCTET_ERR_ARGUMENT, "d is NULL; pass an octet_amax_desc.");
  octet_amax_desc& d = a->d;
  OCTET_TRY(read_struct(err, "octet_amax_desc", in, sizeof *in, &d));
  const uint32_t unknown = d.flags & ~(uint32_t{OCTET_UNSIGNED} | uint32_t{OCTET_NARROW});
  if (unknown)
    return fail_flags(err, "octet_amax_desc.flags", unknown, "OCTET_UNSIGNED, OCTET_NARROW");
  if (d.bits < 2 || d.bits > 16)
    return fail(err, OCTET_ERR_ARGUMENT, "octet_amax_desc.bits is %d; it must be 2 to 16.", d.bits);
  if (d.reserved)
    return fail(err, OCTET_ERR_ARGUMENT, "octet_amax_desc.reserved is %d; it must be 0.",
                d.reserved);
  if (!d.amax && d.count)
    return fail(err, OCTET_ERR_ARGUMENT, "octet_amax_desc.amax is NULL; pass %zu values.", d.count);
  if (d.scale_amax == 0) d.scale_amax = 1;
  if (!(d.scale_amax - d.scale_amax == 0))
    return fail(err, OCTET_ERR_NOT_FINITE, "octet_amax_desc.scale_amax is %g; it must be finite.",
                static_cast<double>(d.scale_amax));
  if (d.scale_amax < 0)
    return fail(err, OCTET_ERR_ARGUMENT, "octet_amax_desc.scale_amax is %g; it must be positive.",
                static_cast<double>(d.scale_amax));
  for (size_t i = 0; i < d.count; ++i) {
    const float v = d.amax[i], scaled = v * d.scale_amax;
    if (!(scaled - scaled == 0))
      return fail(err, OCTET_ERR_NOT_FINITE,
                  "octet_amax_desc.amax[%zu] is %g; it must be finite, also times scale_amax.", i,
                  static_cast<double>(v));
    if (v < 0)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "octet_amax_desc.amax[%zu] is %g; a magnitude is not negative.", i,
                  static_cast<double>(v));
  }
  a->is_unsigned = d.flags & OCTET_UNSIGNED;
  a->bound = (1 << (d.bits - (a->is_unsigned ? 0 : 1))) - 1;
  return OCTET_OK;
}

octet_status read_pre_scale(octet_error* err, const octet_amax_desc& d, const View& x, Side* side) {
  side->axis = -1;
  if (!d.pre_scale && !d.pre_count) return OCTET_OK;
  const int64_t last = x.inner(), n = static_cast<int64_t>(d.pre_count);
  if (!d.pre_scale || (n != 1 && n != last))
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "octet_amax_desc.pre_count is %zu and pre_scale is %s; there must be 1 or, for each "
        "index of the last dim, %lld of them.",
        d.pre_count, d.pre_scale ? "given" : "NULL", static_cast<long long>(last));
  for (int64_t i = 0; i < n; ++i)
    OCTET_TRY(check_scale(err, "octet_amax_desc.pre_scale", i, d.pre_scale[i]));
  side->scale = d.pre_scale;
  if (n != 1) side->axis = x.rank - 1;
  return OCTET_OK;
}

octet_status read_call(octet_error* err, const octet_context& c, const Amax& a, Elementwise* e) {
  const octet_amax_desc& d = a.d;
  OCTET_TRY(read_pre_scale(err, d, e->x, &e->in));
  e->out.axis = -1;
  e->out.scale = d.amax;
  if (d.count != 1)
    OCTET_TRY(find_scales(err, "octet_amax_desc.", static_cast<int64_t>(d.count), 0, d.axis, e->x,
                          &e->out));
  e->bound = static_cast<float>(a.bound);
  e->amplify = d.scale_amax;
  e->qmin = a.is_unsigned ? 0 : -a.bound;
  e->qmax = a.bound;
  e->cache = c.cpu.l3;
  e->kernel = kernel<RunFn>(c, kAmax, OCTET_F32, OCTET_F32);
  return OCTET_OK;
}

bool has_negative_infinity(const View& x) {
  const View* const views[] = {&x};
  const Walk walk = make_walk(views, 1, 0);
  Cursor at(walk, 0);
  const float* data = reinterpret_cast<const float*>(x.data);
  for (int64_t i = 0; i < walk.outer; ++i, at.next())
    for (int64_t k = 0; k < walk.inner; ++k)
      if (data[at.offset(0) + k] == kEmptyRange.max) return true;
  return false;
}

octet_status check_unsigned(octet_error* err, const octet_context& c, const Exec& exec,
                            const Amax& a, const View& x) {
  if (!a.is_unsigned) return OCTET_OK;
  Range range = kEmptyRange;
  OCTET_TRY(observe(err, c, exec, x, -1, 0, 1, &range));
  if (range.inf_count && has_negative_infinity(x)) range.min = kEmptyRange.max;
  if (!(range.min < 0)) return OCTET_OK;
  return fail(err, OCTET_ERR_ARGUMENT,
              "x has the minimum %g; with OCTET_UNSIGNED no element may be negative.",
              static_cast<double>(range.min));
}

octet_status read_x(octet_error* err, const octet_tensor* x, View* v) {
  OCTET_TRY(read_tensor(err, "x", x, type_bit(OCTET_F32), 0, v));
  return check_no_qparams(err, "x", *v);
}

octet_status check_holds(octet_error* err, octet_type type, const Elementwise& e) {
  if (type == OCTET_F32 || (type_min(type) <= e.qmin && type_max(type) >= e.qmax)) return OCTET_OK;
  return fail(err, OCTET_ERR_ARGUMENT,
              "q.type is %s, which does not hold %d to %d; take a wider type, or F32.",
              type_name(type), e.qmin, e.qmax);
}

[[gnu::noinline]] octet_status quantize(const octet_context& c, const octet_amax_desc* d,
                                        const octet_tensor* x, const octet_tensor* q, float* scale,
                                        const octet_exec* exec, octet_error* err) {
  Exec ex;
  Elementwise e = {};
  Amax a;
  OCTET_TRY(read_exec(err, exec, &ex));
  OCTET_TRY(read_desc(err, d, &a));
  OCTET_TRY(read_x(err, x, &e.x));
  OCTET_TRY(read_tensor(err, "q", q, kIntegers | type_bit(OCTET_F32), kOutput, &e.y));
  OCTET_TRY(check_no_qparams(err, "q", e.y));
  OCTET_TRY(check_same_dims(err, "x", e.x, "q", e.y));
  OCTET_TRY(check_overlap(err, "q", e.y, "x", e.x, e.y.type == OCTET_F32));
  OCTET_TRY(read_call(err, c, a, &e));
  OCTET_TRY(check_holds(err, e.y.type, e));
  if (scale) {
    const View s = array_view(scale, static_cast<int64_t>(a.d.count));
    OCTET_TRY(check_overlap(err, "scale", s, "x", e.x, false));
    OCTET_TRY(check_overlap(err, "q", e.y, "scale", s, false));
    OCTET_TRY(check_overlap(err, "scale", s, "octet_amax_desc.amax",
                            array_view(a.d.amax, static_cast<int64_t>(a.d.count)), false));
  }
  OCTET_TRY(check_unsigned(err, c, ex, a, e.x));
  if (e.y.type != OCTET_F32) {
    e.add(e.kernel, sizeof(float));
    e.add(kernel<RunFn>(c, kQuantize, OCTET_F32, e.y.type), e.y.item);
  }
  OCTET_TRY(run_elementwise(err, ex, e));
  for (size_t i = 0; scale && i < a.d.count; ++i) {
    const float s = amax_scale(e.bound, a.d.amax[i] * a.d.scale_amax);
    scale[i] = s == 0 ? 1 : s;
  }
  return OCTET_OK;
}

[[gnu::noinline]] octet_status fake_quant(const octet_context& c, const octet_amax_desc* d,
                                          const octet_tensor* x, const octet_tensor* y,
                                          uint8_t* mask, const octet_exec* exec, octet_error* err) {
  Exec ex;
  Elementwise e = {};
  Amax a;
  OCTET_TRY(read_exec(err, exec, &ex));
  OCTET_TRY(read_desc(err, d, &a));
  OCTET_TRY(read_operands(err, "x", x, "y", y, mask, &e));
  OCTET_TRY(read_call(err, c, a, &e));
  OCTET_TRY(check_unsigned(err, c, ex, a, e.x));
  if (!a.is_unsigned && !(a.d.flags & OCTET_NARROW)) --e.qmin;
  e.divide = true;
  return run_elementwise(err, ex, e);
}

octet_status fail_no_context(octet_error* err) {
  return fail(err, OCTET_ERR_ARGUMENT, "c is NULL; pass a context.");
}

}  // namespace
}  // namespace octet

using namespace octet;

octet_status octet_amax_quantize(const octet_context* c, const octet_amax_desc* d,
                                 const octet_tensor* x, const octet_tensor* q, float* scale,
                                 const octet_exec* e, octet_error* err) {
  if (!c) return fail_no_context(err);
  const FpGuard guard;
  return quantize(*c, d, x, q, scale, e, err);
}

octet_status octet_amax_fake_quant(const octet_context* c, const octet_amax_desc* d,
                                   const octet_tensor* x, const octet_tensor* y, uint8_t* mask,
                                   const octet_exec* e, octet_error* err) {
  if (!c) return fail_no_context(err);
  const FpGuard guard;
  return fake_quant(*c, d, x, y, mask, e, err);
}

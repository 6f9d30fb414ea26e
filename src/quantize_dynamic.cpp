// SPDX-License-Identifier: Apache-2.0
//
// octet_quantize_dynamic: observe, choose and quantize in one call.
#include "src/fpenv.h"
#include "src/ranges.h"
#include "src/scheme.h"
#include "src/sides.h"

namespace octet {
namespace {

constexpr uint32_t kTypes = kQ8Types | kQ16Types | kQ4Types | kQ2Types;
constexpr int64_t kStaged = 64;  // scales that are on the stack at once

struct Dynamic {
  Elementwise e;
  ResolvedScheme scheme;
  float* scale;
  int32_t* zero_point;
  int64_t count;
};

// All dims but the last as one.
octet_status merge_rows(octet_error* err, const char* name, View* v) {
  View m = *v;
  m.rank = 2;
  m.dims[0] = 1;
  m.dims[1] = v->inner();
  m.strides[0] = m.dims[1];
  m.strides[1] = 1;
  bool first = true;
  for (int i = v->rank - 2; i >= 0; --i) {
    if (v->dims[i] == 1) continue;
    if (first) m.strides[0] = v->strides[i];
    if (v->count && v->strides[i] != m.strides[0] * m.dims[0])
      return fail(
          err, OCTET_ERR_ARGUMENT,
          "%s.strides[%d] is %lld; with OCTET_PER_ROW all rows must be equally far from one "
          "another, here %lld.",
          name, i, static_cast<long long>(v->strides[i]),
          static_cast<long long>(m.strides[0] * m.dims[0]));
    m.dims[0] *= v->dims[i];
    first = false;
  }
  *v = m;
  return OCTET_OK;
}

octet_status find_count(octet_error* err, Dynamic* d) {
  Elementwise& e = d->e;
  const ResolvedScheme& s = d->scheme;
  const int64_t count = d->count;
  e.out = {d->scale, d->zero_point, -1, nullptr, 0};
  if (s.granularity == OCTET_PER_CHANNEL || s.granularity == OCTET_PER_GROUP)
    return find_scales(err, "octet_scheme.", count, s.group, s.axis, e.y, &e.out);
  int64_t want = 1;
  if (s.granularity == OCTET_PER_ROW && e.x.rank > 1) {
    OCTET_TRY(merge_rows(err, "x", &e.x));
    OCTET_TRY(merge_rows(err, "q", &e.y));
    want = e.x.dims[0];
    e.out.axis = 0;
  }
  if (count == want) return OCTET_OK;
  return fail(err, OCTET_ERR_ARGUMENT, "count is %lld; this scheme has %lld for this tensor.",
              static_cast<long long>(count), static_cast<long long>(want));
}

octet_status choose_some(octet_error* err, const octet_context& c, const Exec& exec,
                         const Dynamic& d, int64_t first, int64_t count, float* scale,
                         int32_t* zero) {
  const Elementwise& e = d.e;
  Range range[kStaged];
  for (int64_t i = 0; i < count; ++i) range[i] = kEmptyRange;
  if (e.x.count && e.out.group)
    OCTET_TRY(observe_groups(err, c, exec, split_groups(e.x, e.out.group), e.out.axis, first, count,
                             range));
  else if (e.x.count)
    OCTET_TRY(observe(err, c, exec, e.x, e.out.axis, first, count, range));
  for (int64_t i = 0; i < count; ++i) {
    const bool empty = is_empty(range[i]);
    OCTET_TRY(choose_checked(err, d.scheme.chooser, first + i, empty ? 0 : range[i].min,
                             empty ? 0 : range[i].max, scale + i, zero + i));
    OCTET_TRY(check_scale(err, "The scale", first + i, scale[i]));
  }
  return OCTET_OK;
}

// Refusals come before the first write: unless all fit on the stack, scales are chosen twice.
octet_status choose_all(octet_error* err, const octet_context& c, const Exec& exec,
                        const Dynamic& d) {
  float scale[kStaged];
  int32_t zero[kStaged];
  for (int pass = d.count > kStaged ? 0 : 1; pass < 2; ++pass)
    for (int64_t first = 0; first < d.count; first += kStaged) {
      const int64_t n = d.count - first < kStaged ? d.count - first : kStaged;
      OCTET_TRY(choose_some(err, c, exec, d, first, n, scale, zero));
      for (int64_t i = 0; pass && i < n; ++i) {
        d.scale[first + i] = scale[i];
        d.zero_point[first + i] = zero[i];
      }
    }
  return OCTET_OK;
}

octet_status check_arrays(octet_error* err, const Dynamic& d) {
  if (d.count && (!d.scale || !d.zero_point))
    return fail(err, OCTET_ERR_ARGUMENT, "%s is NULL; pass memory for %lld values.",
                d.scale ? "zero_point" : "scale", static_cast<long long>(d.count));
  const View scale = array_view(d.scale, d.count), zero = array_view(d.zero_point, d.count);
  OCTET_TRY(check_overlap(err, "zero_point", zero, "scale", scale, false));
  OCTET_TRY(check_overlap(err, "scale", scale, "x", d.e.x, false));
  OCTET_TRY(check_overlap(err, "q", d.e.y, "scale", scale, false));
  OCTET_TRY(check_overlap(err, "zero_point", zero, "x", d.e.x, false));
  return check_overlap(err, "q", d.e.y, "zero_point", zero, false);
}

[[gnu::noinline]] octet_status quantize(const octet_context& c, const octet_tensor* x,
                                        const octet_scheme* s, const octet_tensor* q, float* scale,
                                        int32_t* zero_point, size_t count, const octet_exec* exec,
                                        octet_error* err) {
  Exec ex;
  Dynamic d = {};
  Elementwise& e = d.e;
  e.in.axis = -1;
  d.scale = scale;
  d.zero_point = zero_point;
  d.count = static_cast<int64_t>(count);
  OCTET_TRY(read_exec(err, exec, &ex));
  OCTET_TRY(read_tensor(err, "x", x, type_bit(OCTET_F32), 0, &e.x));
  OCTET_TRY(read_tensor(err, "q", q, kTypes, kOutput, &e.y));
  OCTET_TRY(check_same_dims(err, "x", e.x, "q", e.y));
  OCTET_TRY(check_overlap(err, "q", e.y, "x", e.x, false));
  OCTET_TRY(check_no_qparams(err, "x", e.x));
  if (e.y.q)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "q.q is given, but the scales are chosen here and written to scale; leave it NULL.");
  OCTET_TRY(resolve_scheme(err, s, Place::kQuantize, 0, &d.scheme));
  if (d.scheme.type != e.y.type)
    return fail(err, OCTET_ERR_ARGUMENT, "q.type is %s, but octet_scheme.type is %s.",
                type_name(e.y.type), type_name(d.scheme.type));
  OCTET_TRY(find_count(err, &d));
  OCTET_TRY(check_arrays(err, d));
  OCTET_TRY(choose_all(err, c, ex, d));
  e.qmin = d.scheme.chooser.qmin;
  e.qmax = d.scheme.chooser.qmax;
  e.divide = d.scheme.divide;
  e.away = d.scheme.away;
  add_quantize(c, e.y.type, &e);
  settle(c, &e);
  return run_elementwise(err, ex, e);
}

}  // namespace
}  // namespace octet

using namespace octet;

octet_status octet_quantize_dynamic(const octet_context* c, const octet_tensor* x,
                                    const octet_scheme* s, const octet_tensor* q, float* scale,
                                    int32_t* zero_point, size_t count, const octet_exec* e,
                                    octet_error* err) {
  if (!c) return fail(err, OCTET_ERR_ARGUMENT, "c is NULL; pass a context.");
  const FpGuard guard;
  return quantize(*c, x, s, q, scale, zero_point, count, e, err);
}

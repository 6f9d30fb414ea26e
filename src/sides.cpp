// SPDX-License-Identifier: Apache-2.0
#include "src/sides.h"

namespace octet {
namespace {

constexpr uint32_t kFlags = OCTET_DIVIDE | OCTET_ROUND_AWAY;

long long wide(int64_t v) { return static_cast<long long>(v); }

octet_status find_range(octet_error* err, const char* name, const octet_qparams& q, octet_type type,
                        Range32* range) {
  const bool given = q.qmin || q.qmax;
  if (!type) {
    if (q.qmin > 0 || q.qmin < -32768 || q.qmax < 0 || q.qmax > 65535 || q.qmin >= q.qmax ||
        q.qmax - q.qmin > 65535)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "%s->qmin and %s->qmax are %d and %d; both are required here, with qmin <= 0 <= "
                  "qmax, qmin < qmax and at most 16 bits, such as -128 and 127.",
                  name, name, q.qmin, q.qmax);
    range->qmin = q.qmin;
    range->qmax = q.qmax;
    return OCTET_OK;
  }
  const bool s32 = type == OCTET_S32;
  range->qmin = s32 ? INT32_MIN : type_min(type);
  range->qmax = s32 ? INT32_MAX : type_max(type);
  if (!given) return OCTET_OK;
  if (q.qmin > 0 || q.qmax < 0 || q.qmin >= q.qmax || q.qmin < range->qmin || q.qmax > range->qmax)
    return fail(err, OCTET_ERR_ARGUMENT,
                "%s has the range [%d, %d]; it must hold 0 and lie within [%d, %d] of %s.", name,
                q.qmin, q.qmax, range->qmin, range->qmax, type_name(type));
  range->qmin = q.qmin;
  range->qmax = q.qmax;
  return OCTET_OK;
}

// A field of q for a sentence.
class Field {
 public:
  Field(const char* name, const char* field) {
    Text text(text_, sizeof text_);
    text.add("%s->%s", name, field);
    text.finish();
  }
  operator const char*() const { return text_; }

 private:
  char text_[64];
};

octet_status check_zero_point(octet_error* err, const char* name, const octet_qparams& q,
                              octet_type type, const Range32& range, int64_t i) {
  if (q.zero_point_f32) {
    const float z = q.zero_point_f32[i];
    if (z - z == 0) return OCTET_OK;
    return fail(err, OCTET_ERR_NOT_FINITE, "%s->zero_point_f32[%lld] is %g; it must be finite.",
                name, wide(i), static_cast<double>(z));
  }
  const int32_t z = q.zero_point ? q.zero_point[i] : 0;
  const bool s32 = type == OCTET_S32;  // has none
  const int32_t low = s32 ? 0 : range.qmin, high = s32 ? 0 : range.qmax;
  if (z >= low && z <= high) return OCTET_OK;
  return fail(err, OCTET_ERR_ARGUMENT, "%s->zero_point[%lld] is %d; it must lie within [%d, %d].",
              name, wide(i), z, low, high);
}

}  // namespace

octet_status find_scales(octet_error* err, const char* owner, int64_t count, int64_t group,
                         int32_t axis, const View& v, Side* side) {
  side->axis = -1;
  side->group = group;
  const int32_t at = axis < 0 ? axis + v.rank : axis;
  if (at < 0 || at >= v.rank)
    return fail(err, OCTET_ERR_ARGUMENT, "%saxis is %d, but the tensor has rank %d.", owner, axis,
                v.rank);
  if (!group) {
    if (count != v.dims[at])
      return fail(err, OCTET_ERR_ARGUMENT, "%scount is %lld; it must be 1 or dims[%d] = %lld.",
                  owner, wide(count), at, wide(v.dims[at]));
    side->axis = at;
    return OCTET_OK;
  }
  const int64_t last = v.inner();
  if (group < 0 || last % group || group % per_byte(v.type))
    return fail(err, OCTET_ERR_ARGUMENT,
                "%sgroup is %lld; it must divide the last dim, %lld, and hold whole bytes.", owner,
                wide(group), wide(last));
  const int64_t groups = last / group, channels = at == v.rank - 1 ? 1 : v.dims[at];
  if (count != channels * groups)
    return fail(err, OCTET_ERR_ARGUMENT,
                "%scount is %lld; with groups of %lld it must be %lld: %lld for each of %lld "
                "channels.",
                owner, wide(count), wide(group), wide(channels * groups), wide(groups),
                wide(channels));
  if (at != v.rank - 1) side->axis = at;
  return OCTET_OK;
}

octet_status read_side(octet_error* err, const char* name, const octet_qparams* q, octet_type type,
                       const View& v, Side* side, Range32* range) {
  if (!q)
    return fail(err, OCTET_ERR_ARGUMENT, "%s is NULL; this tensor needs scales and zero points.",
                name);
  const uint32_t unknown = q->flags & ~kFlags;
  if (unknown)
    return fail_flags(err, Field(name, "flags"), unknown, "OCTET_DIVIDE, OCTET_ROUND_AWAY");
  if (q->reserved)
    return fail(err, OCTET_ERR_UNSUPPORTED, "%s->reserved must be NULL in this release.", name);
  if (q->zero_point_f32 && (q->zero_point || type == OCTET_S32))
    return fail(err, OCTET_ERR_ARGUMENT, "%s->zero_point_f32 is given, but %s.", name,
                q->zero_point ? "zero_point is too; pass one of them"
                              : "S32 has no zero point; leave it NULL");
  if (!q->scale && q->count)  // an empty batch has no scale
    return fail(err, OCTET_ERR_ARGUMENT, "%s->scale is NULL; pass %lld values.", name,
                wide(q->count));
  side->axis = -1;
  side->group = 0;
  if (q->group || q->count != 1)
    OCTET_TRY(find_scales(err, Field(name, ""), q->count, q->group, q->axis, v, side));
  OCTET_TRY(find_range(err, name, *q, type, range));
  for (int64_t i = 0; i < q->count; ++i) {
    if (!scale_in_domain(q->scale[i]))
      return check_scale(err, Field(name, "scale"), i, q->scale[i]);
    OCTET_TRY(check_zero_point(err, name, *q, type, *range, i));
  }
  side->scale = q->scale;
  side->zero = q->zero_point;
  side->zero_f32 = q->zero_point_f32;
  range->divide = q->flags & OCTET_DIVIDE;
  range->away = q->flags & OCTET_ROUND_AWAY;
  return OCTET_OK;
}

octet_status read_operands(octet_error* err, const char* x_name, const octet_tensor* x,
                           const char* y_name, const octet_tensor* y, const uint8_t* mask,
                           Elementwise* e) {
  OCTET_TRY(read_tensor(err, x_name, x, type_bit(OCTET_F32), 0, &e->x));
  OCTET_TRY(read_tensor(err, y_name, y, type_bit(OCTET_F32), kOutput, &e->y));
  OCTET_TRY(check_no_qparams(err, x_name, e->x));
  OCTET_TRY(check_no_qparams(err, y_name, e->y));
  OCTET_TRY(check_same_dims(err, x_name, e->x, y_name, e->y));
  OCTET_TRY(check_overlap(err, y_name, e->y, x_name, e->x, true));
  e->mask = const_cast<uint8_t*>(mask);
  e->in.axis = e->out.axis = -1;
  if (!mask) return OCTET_OK;
  const View m = mask_view(e->x, mask);
  OCTET_TRY(check_overlap(err, "mask", m, x_name, e->x, false));
  return check_overlap(err, "mask", m, y_name, e->y, false);
}

octet_type unpacked(octet_type t) {
  return t == OCTET_U4 || t == OCTET_U2 ? OCTET_U8 : t == OCTET_S4 || t == OCTET_S2 ? OCTET_S8 : t;
}

void add_quantize(const octet_context& c, octet_type to, Elementwise* e) {
  const octet_type whole = unpacked(to);
  e->add(kernel<RunFn>(c, kQuantize, OCTET_F32, whole), type_bytes(whole));
  if (whole != to) e->add(kernel<RunFn>(c, kPack, OCTET_U8, is_q4(to) ? OCTET_U4 : OCTET_U2), 1);
}

void settle(const octet_context& c, Elementwise* e) {
  e->cache = c.cpu.l3;
  if (e->links != 1) return;
  e->kernel = e->chain[0].kernel;
  e->links = 0;
}

}  // namespace octet

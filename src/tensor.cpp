// SPDX-License-Identifier: Apache-2.0
#include "src/tensor.h"

namespace octet {

size_t type_bytes(octet_type t) {
  switch (t) {
    case OCTET_U8:
    case OCTET_S8:
    case OCTET_U4:
    case OCTET_S4:
    case OCTET_U2:
    case OCTET_S2:
      return 1;
    case OCTET_F16:
    case OCTET_BF16:
    case OCTET_S16:
    case OCTET_U16:
      return 2;
    case OCTET_S32:
    case OCTET_F32:
      return 4;
    case OCTET_S64:
      return 8;
    default:
      return 0;
  }
}

const char* type_name(octet_type t) {
  static const char* const names[] = {"0",   "U8",  "S8",   "S32", "F32", "U4", "S4",
                                      "S64", "F16", "BF16", "S16", "U16", "U2", "S2"};
  return t >= 0 && t <= OCTET_S2 ? names[t] : "unknown";
}

octet_status check_type(octet_error* err, const char* name, octet_type type, uint32_t types) {
  const bool known = type >= OCTET_U8 && type <= OCTET_S2;
  if (known && (types >> type & 1)) return OCTET_OK;
  char allowed[64];
  Text text(allowed, sizeof allowed);
  const char* separator = "";
  for (octet_type t = OCTET_U8; t <= OCTET_S2; ++t)
    if (types >> t & 1) {
      text.add("%s%s", separator, type_name(t));
      separator = ", ";
    }
  text.finish();
  if (!known)
    return fail(err, OCTET_ERR_ARGUMENT,
                "%s.type is %d, which is no known type; here it must be one of %s.", name, type,
                allowed);
  // The types that every kind of tensor has are a mistake elsewhere, the others a missing feature.
  constexpr uint32_t kEverywhere = kQ8Types | type_bit(OCTET_S32) | type_bit(OCTET_F32);
  const bool mistake = kEverywhere >> type & 1;
  return fail(err, mistake ? OCTET_ERR_ARGUMENT : OCTET_ERR_UNSUPPORTED,
              "%s.type is %s, but here it must be one of %s.", name, type_name(type), allowed);
}

namespace {

// Byte range [*first, *last) that the elements touch; an empty tensor touches nothing.
void extent(const View& v, const char** first, const char** last) {
  int64_t low = 0, high = 0;
  for (int i = 0; i < v.rank; ++i) {
    const int64_t far = (v.dims[i] - 1) * v.strides[i];
    (far < 0 ? low : high) += far;
  }
  low /= per_byte(v.type);  // rows begin at whole bytes
  high /= per_byte(v.type);
  const int64_t item = static_cast<int64_t>(v.item);
  *first = v.data + low * item;
  *last = v.data + high * item + item;
}

// Rows that interleave in one matrix (column slices of the same rows) do not overlap even though
// their ranges do: same pitch, and spans disjoint modulo the pitch.
bool interleaved(const View& a, const View& b) {
  if (per_byte(a.type) != 1 || per_byte(b.type) != 1) return false;
  const RowPairs p = pair_rows(a, a), q = pair_rows(b, b);
  if (p.outer != 1 || q.outer != 1) return false;
  const int64_t a_item = static_cast<int64_t>(a.item), b_item = static_cast<int64_t>(b.item);
  const int64_t pitch = p.pitch_a * a_item;
  const int64_t a_span = a.inner() * a_item, b_span = b.inner() * b_item;
  if (p.rows < 2 || q.rows < 2 || pitch != q.pitch_a * b_item || a_span > pitch || b_span > pitch)
    return false;
  int64_t offset = static_cast<int64_t>(reinterpret_cast<intptr_t>(b.data) -
                                        reinterpret_cast<intptr_t>(a.data)) %
                   pitch;
  if (offset < 0) offset += pitch;
  return offset >= a_span && offset + b_span <= pitch;
}

// Elements of 4 or 2 bits: neighbours share a byte, and each row begins at one.
octet_status check_packed(octet_error* err, const char* name, const View& v) {
  const int32_t each = per_byte(v.type);
  for (int i = 0; i < v.rank; ++i) {
    if (v.dims[i] <= 1) continue;
    const bool inner = i == v.rank - 1;
    if (inner ? v.strides[i] != 1 : v.strides[i] % each != 0)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "%s.strides[%d] is %lld, but %s of %d-bit elements must be %s.", name, i,
                  static_cast<long long>(v.strides[i]),
                  inner ? "the innermost stride" : "the strides between rows", 8 / each,
                  inner       ? "1"
                  : each == 2 ? "even, so that each row begins at a byte; pad the rows"
                              : "a multiple of 4, so that each row begins at a byte; pad the rows");
  }
  return OCTET_OK;
}

}  // namespace

octet_status read_tensor(octet_error* err, const char* name, const octet_tensor* t, uint32_t types,
                         uint32_t options, View* out) {
  if (!t) return fail(err, OCTET_ERR_ARGUMENT, "%s is NULL; pass a tensor.", name);
  OCTET_TRY(check_type(err, name, t->type, types));
  if (t->flags)
    return fail(err, OCTET_ERR_ARGUMENT, "%s.flags is %u; it must be 0 in this release.", name,
                t->flags);
  if (t->reserved)
    return fail(err, OCTET_ERR_ARGUMENT, "%s.reserved is %d; it must be 0.", name, t->reserved);
  if (t->rank < 0 || t->rank > 6)
    return fail(err, OCTET_ERR_ARGUMENT, "%s.rank is %d; it must be 0 to 6.", name, t->rank);
  View v = {};
  v.data = static_cast<char*>(t->data);
  v.type = t->type;
  v.rank = t->rank;
  v.q = t->q;
  v.item = type_bytes(t->type);
  v.count = 1;
  bool given = false;
  for (int i = 0; i < t->rank; ++i) {
    if (t->dims[i] < 0)
      return fail(err, OCTET_ERR_ARGUMENT, "%s.dims[%d] is %lld; a size must be 0 or more.", name,
                  i, static_cast<long long>(t->dims[i]));
    v.dims[i] = t->dims[i];
    v.strides[i] = t->strides[i];
    given |= t->strides[i] != 0;
  }
  // Sizes in bytes must fit in int64_t with room to spare; zero extents do not excuse huge others.
  constexpr int64_t kLimit = int64_t{1} << 56;
  int64_t volume = 1;
  for (int i = 0; i < v.rank; ++i) {
    if (__builtin_mul_overflow(volume, v.dims[i] ? v.dims[i] : 1, &volume) || volume > kLimit)
      return fail(err, OCTET_ERR_ARGUMENT, "%s has more than 2^56 elements at dims[%d] = %lld.",
                  name, i, static_cast<long long>(v.dims[i]));
    v.count *= v.dims[i];
  }
  if (!given) {
    int64_t step = 1;
    for (int i = v.rank - 1; i >= 0; --i) {
      v.strides[i] = step;
      step *= v.dims[i] ? v.dims[i] : 1;
    }
  }
  for (int i = 0; i < v.rank; ++i) {
    const int64_t s = v.strides[i];
    int64_t far;
    if (__builtin_mul_overflow(s, v.dims[i], &far) || far > kLimit || far < -kLimit)
      return fail(err, OCTET_ERR_ARGUMENT, "%s.strides[%d] is %lld, which reaches beyond memory.",
                  name, i, static_cast<long long>(s));
    if (s < 0 && !(options & kAnyStrides))
      return fail(err, OCTET_ERR_ARGUMENT,
                  "%s.strides[%d] is %lld; strides of activations must not be negative.", name, i,
                  static_cast<long long>(s));
  }
  if (per_byte(v.type) != 1) OCTET_TRY(check_packed(err, name, v));
  if (!(options & kAnyStrides) && v.rank) {
    if (v.dims[v.rank - 1] > 1 && v.strides[v.rank - 1] != 1)
      return fail(
          err, OCTET_ERR_ARGUMENT,
          "%s.strides[%d] is %lld, but the innermost stride must be 1 (channels last, NHWC); "
          "copy the tensor into that order first.",
          name, v.rank - 1, static_cast<long long>(v.strides[v.rank - 1]));
    v.strides[v.rank - 1] = 1;
  }
  if (options & kOutput) {
    // Each dim must step over all that the inner ones cover. A dim of 1 steps nowhere.
    int64_t cover = 1;
    for (int i = v.rank - 1; i >= 0 && v.count; --i) {
      if (v.dims[i] == 1) continue;
      if (v.strides[i] < cover)
        return fail(
            err, OCTET_ERR_ARGUMENT,
            "%s.strides[%d] is %lld, so that its rows overlap; an output needs at least %lld.",
            name, i, static_cast<long long>(v.strides[i]), static_cast<long long>(cover));
      cover = v.strides[i] * v.dims[i];
    }
  }
  if (!(options & kShapeOnly) && v.count) {
    if (!v.data)
      return fail(err, OCTET_ERR_ARGUMENT, "%s.data is NULL, but the tensor has %lld elements.",
                  name, static_cast<long long>(v.count));
    if (reinterpret_cast<uintptr_t>(v.data) % v.item)
      return fail(err, OCTET_ERR_ARGUMENT, "%s.data is not aligned to its %zu-byte elements.", name,
                  v.item);
  }
  *out = v;
  return OCTET_OK;
}

octet_status check_overlap(octet_error* err, const char* out_name, const View& out,
                           const char* in_name, const View& in, bool in_place_allowed) {
  if (!out.count || !in.count) return OCTET_OK;
  const char *a, *a_end, *b, *b_end;
  extent(out, &a, &a_end);
  extent(in, &b, &b_end);
  if (a >= b_end || b >= a_end) return OCTET_OK;
  if (in_place_allowed && out.data == in.data && out.item == in.item && out.rank == in.rank &&
      per_byte(out.type) == per_byte(in.type)) {
    bool same = true;
    for (int i = 0; i < out.rank; ++i)
      same &= out.dims[i] == in.dims[i] && (out.strides[i] == in.strides[i] || out.dims[i] <= 1);
    if (same) return OCTET_OK;
  }
  if (interleaved(out, in) || interleaved(in, out)) return OCTET_OK;
  return fail(err, OCTET_ERR_ARGUMENT, "%s overlaps %s; %s.", out_name, in_name,
              in_place_allowed ? "they must be apart, or the same data with the same strides"
                               : "they must be apart");
}

octet_status check_distinct(octet_error* err, const char* name, const View& v) {
  bool done[6] = {};
  int64_t cover = 1;
  for (int step = 0; step < v.rank && v.count; ++step) {
    int least = -1;
    for (int i = 0; i < v.rank; ++i)
      if (!done[i] && v.dims[i] > 1 &&
          (least < 0 || __builtin_llabs(v.strides[i]) < __builtin_llabs(v.strides[least])))
        least = i;
    if (least < 0) break;
    done[least] = true;
    const int64_t stride = __builtin_llabs(v.strides[least]);
    if (stride < cover)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "%s.strides[%d] is %lld, so that elements overlap; %s is written in place and "
                  "needs at least %lld.",
                  name, least, static_cast<long long>(v.strides[least]), name,
                  static_cast<long long>(cover));
    cover = stride * v.dims[least];
  }
  return OCTET_OK;
}

View array_view(const void* data, int64_t count) {
  View v = {};
  v.data = static_cast<char*>(const_cast<void*>(data));
  v.rank = 1;
  v.dims[0] = v.count = count;
  v.strides[0] = 1;
  v.item = 4;
  return v;
}

octet_status check_no_qparams(octet_error* err, const char* name, const View& v) {
  if (!v.q) return OCTET_OK;
  return fail(err, OCTET_ERR_ARGUMENT,
              "%s.q is given, but %s is %s here and has no scale; leave it NULL.", name, name,
              type_name(v.type));
}

octet_status check_same_dims(octet_error* err, const char* a_name, const View& a,
                             const char* b_name, const View& b) {
  if (a.rank != b.rank)
    return fail(err, OCTET_ERR_ARGUMENT, "%s.rank is %d, but %s.rank is %d; both must be equal.",
                b_name, b.rank, a_name, a.rank);
  for (int i = 0; i < a.rank; ++i)
    if (a.dims[i] != b.dims[i])
      return fail(err, OCTET_ERR_ARGUMENT, "%s.dims[%d] is %lld, but %s has %lld there.", b_name, i,
                  static_cast<long long>(b.dims[i]), a_name, static_cast<long long>(a.dims[i]));
  return OCTET_OK;
}

RowPairs pair_rows(const View& a, const View& b, const View* c) {
  RowPairs r = {};
  r.outer = r.rows = 1;
  bool merging = true, first = true;
  for (int i = a.rank - 2; i >= 0; --i) {
    const int64_t d = a.dims[i];
    if (d == 1) continue;
    const int64_t stride_c = c ? c->strides[i] : 0;
    if (first) {
      first = false;
      r.rows = d;
      r.pitch_a = a.strides[i];
      r.pitch_b = b.strides[i];
      r.pitch_c = stride_c;
    } else if (merging && a.strides[i] == r.pitch_a * r.rows &&
               b.strides[i] == r.pitch_b * r.rows && stride_c == r.pitch_c * r.rows) {
      r.rows *= d;
    } else {
      merging = false;
      r.outer *= d;
      r.size[r.levels] = d;
      r.step_a[r.levels] = a.strides[i];
      r.step_b[r.levels] = b.strides[i];
      r.step_c[r.levels++] = stride_c;
    }
  }
  return r;
}

void RowPairs::start(int64_t group, int64_t* a, int64_t* b, int64_t* c) const {
  *a = *b = *c = 0;
  for (int i = 0; i < levels; ++i) {
    const int64_t at = group % size[i];
    group /= size[i];
    *a += at * step_a[i];
    *b += at * step_b[i];
    *c += at * step_c[i];
  }
}

octet_status check_scale(octet_error* err, const char* name, int64_t index, float scale) {
  if (!(scale - scale == 0))
    return fail(err, OCTET_ERR_NOT_FINITE, "%s of index %lld is %g; a scale must be finite.", name,
                static_cast<long long>(index), static_cast<double>(scale));
  if (!scale_in_domain(scale))
    return fail(err, OCTET_ERR_ARGUMENT,
                "%s of index %lld is %g; a scale must be between 2^-60 and 2^60.", name,
                static_cast<long long>(index), static_cast<double>(scale));
  return OCTET_OK;
}

octet_status check_qparams(octet_error* err, const char* name, const octet_qparams* q,
                           octet_type type, int32_t rank, const int64_t* dims, int32_t* axis,
                           int32_t* qmin, int32_t* qmax) {
  if (!q)
    return fail(err, OCTET_ERR_ARGUMENT, "%s.q is NULL; this tensor needs scale and zero point.",
                name);
  char field[64];
  const auto field_name = [&](const char* suffix) {
    Text text(field, sizeof field);
    text.add("%s.q->%s", name, suffix);
    text.finish();
    return field;
  };
  if (q->flags & ~static_cast<uint32_t>(OCTET_DIVIDE))
    return fail_flags(err, field_name("flags"), q->flags & ~static_cast<uint32_t>(OCTET_DIVIDE),
                      "OCTET_DIVIDE");
  if (q->group)
    return fail(err, OCTET_ERR_UNSUPPORTED,
                "%s.q->group is %lld; only packed weights have groups: leave it 0.", name,
                static_cast<long long>(q->group));
  if (q->zero_point_f32 || q->reserved)
    return fail(err, OCTET_ERR_UNSUPPORTED,
                "%s.q->zero_point_f32 and reserved must be NULL in this release.", name);
  if (!q->scale && q->count)  // an empty batch has no scale
    return fail(err, OCTET_ERR_ARGUMENT, "%s.q->scale is NULL; pass %lld values.", name,
                static_cast<long long>(q->count));
  *axis = -1;
  if (q->count != 1) {
    const int32_t at = q->axis < 0 ? q->axis + rank : q->axis;
    if (at < 0 || at >= rank)
      return fail(err, OCTET_ERR_ARGUMENT, "%s.q->axis is %d, but the tensor has rank %d.", name,
                  q->axis, rank);
    if (q->count != dims[at])
      return fail(err, OCTET_ERR_ARGUMENT, "%s.q->count is %lld; it must be 1 or dims[%d] = %lld.",
                  name, static_cast<long long>(q->count), at, static_cast<long long>(dims[at]));
    *axis = at;
  }
  const bool s32 = type == OCTET_S32;
  const int32_t low = s32 ? INT32_MIN : type_min(type), high = s32 ? INT32_MAX : type_max(type);
  *qmin = low;
  *qmax = high;
  if (q->qmin || q->qmax) {
    if (q->qmin > 0 || q->qmax < 0 || q->qmin >= q->qmax || q->qmin < low || q->qmax > high)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "%s.q has the range [%d, %d]; it must hold 0 and lie within [%d, %d] of %s.",
                  name, q->qmin, q->qmax, low, high, type_name(type));
    *qmin = q->qmin;
    *qmax = q->qmax;
  }
  for (int64_t i = 0; i < q->count; ++i) {
    if (!scale_in_domain(q->scale[i])) return check_scale(err, field_name("scale"), i, q->scale[i]);
    const int32_t z = q->zero_point ? q->zero_point[i] : 0;
    if (s32 ? z != 0 : z < *qmin || z > *qmax)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "%s.q->zero_point[%lld] is %d; it must lie within [%d, %d].", name,
                  static_cast<long long>(i), z, s32 ? 0 : *qmin, s32 ? 0 : *qmax);
  }
  return OCTET_OK;
}

}  // namespace octet

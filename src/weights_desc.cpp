// SPDX-License-Identifier: Apache-2.0
//
// An octet_weights_desc, checked: matrices, and convolution weights with a geometry.
#include "src/pack.h"

namespace octet {

octet_status check_finite_bias(octet_error* err, const char* name, const View& bias) {
  if (bias.type != OCTET_F32) return OCTET_OK;
  const float* b = reinterpret_cast<const float*>(bias.data);
  for (int64_t i = 0; i < bias.dims[0]; ++i) {
    const float x = b[i * bias.strides[0]];
    if (!(x - x == 0))
      return fail(err, OCTET_ERR_NOT_FINITE, "%s[%lld] is %g; a bias must be finite.", name,
                  static_cast<long long>(i), static_cast<double>(x));
  }
  return OCTET_OK;
}

namespace {

octet_status check_group(octet_error* err, const char* name, const WeightsSource& s) {
  if (legal_group(s.weight_type(), s.k, s.group)) return OCTET_OK;
  return fail(err, OCTET_ERR_ARGUMENT,
              "%s is %lld; a group of %s weights must be a multiple of %d that divides K = %lld.",
              name, static_cast<long long>(s.group), type_name(s.weight_type()),
              is_q4(s.weight_type()) ? 8 : 4, static_cast<long long>(s.k));
}

// The qparams that come with integers: per tensor, per channel, or [n][k/group].
octet_status read_matrix_qparams(octet_error* err, const char* name, WeightsSource* s) {
  const octet_qparams* q = s->q = s->source.q;
  int32_t axis, qmin, qmax;
  if (!q || !q->group) {
    OCTET_TRY(check_qparams(err, name, q, s->source.type, 2, s->source.dims, &axis, &qmin, &qmax));
    s->per_channel = axis == 0;
  } else {
    s->group = q->group;
    OCTET_TRY(check_group(err, "octet_weights_desc.source.q->group", *s));
    const int64_t count = s->n * (s->k / s->group);
    if (q->count != count)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "%s.q->count is %lld; groups of %lld need N * K / group = %lld scales.", name,
                  static_cast<long long>(q->count), static_cast<long long>(s->group),
                  static_cast<long long>(count));
    axis = q->axis == 0 || q->axis == -2 ? 0 : 1;
    octet_qparams flat = *q;
    flat.axis = 0;
    flat.group = 0;
    int32_t unused;
    OCTET_TRY(check_qparams(err, name, &flat, s->source.type, 1, &count, &unused, &qmin, &qmax));
  }
  if (axis == 1)
    return fail(err, OCTET_ERR_ARGUMENT,
                "%s.q->axis is %d; weights [N,K] have their channels on axis 0.", name, q->axis);
  return OCTET_OK;
}

octet_status read_matrix(octet_error* err, const char* name, WeightsSource* s) {
  if (s->source.rank != 2)
    return fail(err, OCTET_ERR_ARGUMENT, "%s.rank is %d; a matrix [N,K] has rank 2.", name,
                s->source.rank);
  s->n = s->source.dims[0];
  s->k = s->source.dims[1];
  if (s->n > kMaxExtent || s->k > kMaxExtent)
    return fail(err, OCTET_ERR_ARGUMENT, "%s is [%lld, %lld]; each extent must be below 2^31 - 64.",
                name, static_cast<long long>(s->n), static_cast<long long>(s->k));
  return OCTET_OK;
}

// ---- convolution ----

octet_status check_conv_type(octet_error* err, const char* name, octet_type type) {
  if (!is_q4(type)) return OCTET_OK;
  return fail(err, OCTET_ERR_UNSUPPORTED,
              "%s is %s; weights of a convolution have 8 bits in this release: use S8 or U8.", name,
              type_name(type));
}

octet_status refuse_conv_group(octet_error* err, const char* name, int64_t group) {
  return fail(err, OCTET_ERR_UNSUPPORTED,
              "%s is %lld; weights of a convolution have a scale for each output channel or one "
              "for all: leave it 0.",
              name, static_cast<long long>(group));
}

octet_status refuse_conv_axis(octet_error* err, const char* name, int32_t axis) {
  return fail(err, OCTET_ERR_ARGUMENT,
              "%s is %d; weights of a convolution have their output channels on axis 0.", name,
              axis);
}

bool is_conv_axis(int32_t axis, const WeightsSource& s) {
  return axis == 0 || axis == -s.source.rank;
}

octet_status read_conv_qparams(octet_error* err, const char* name, WeightsSource* s) {
  const octet_qparams* q = s->q = s->source.q;
  int32_t axis = -1, qmin, qmax;
  octet_qparams flat = {};
  if (q) {
    if (q->group) return refuse_conv_group(err, "octet_weights_desc.source.q->group", q->group);
    if (q->count != 1 && !is_conv_axis(q->axis, *s))
      return refuse_conv_axis(err, "octet_weights_desc.source.q->axis", q->axis);
    flat = *q;
    flat.axis = 0;
  }
  OCTET_TRY(
      check_qparams(err, name, q ? &flat : nullptr, s->source.type, 1, &s->n, &axis, &qmin, &qmax));
  s->per_channel = axis == 0;
  return OCTET_OK;
}

octet_status refuse_conv_rank(octet_error* err, const char* name, int32_t source_rank, int32_t rank,
                              bool grouped) {
  static const char* const dims[] = {"W", "H,W", "D,H,W"};
  return fail(err, OCTET_ERR_ARGUMENT,
              "%s.rank is %d; weights with an octet_geometry of rank %d are [O,%s,I/groups]%s%s%s.",
              name, source_rank, rank, dims[rank - 1], grouped ? " or [groups,O/groups," : "",
              grouped ? dims[rank - 1] : "", grouped ? ",I/groups]" : "");
}

// [O,(D,H,)W,I/groups], or [groups,O/groups,(D,H,)W,I/groups].
octet_status read_conv(octet_error* err, const octet_geometry* geometry, const char* name,
                       WeightsSource* s) {
  const View& v = s->source;
  octet_geometry g;
  OCTET_TRY(read_struct(err, "octet_geometry", geometry, sizeof g, &g));
  int32_t kernel[kMaxSpatial] = {};
  const bool known_rank = g.rank >= 1 && g.rank <= kMaxSpatial;
  const int lead = known_rank ? v.rank - g.rank - 1 : 1;
  if (lead != 1 && !(lead == 2 && g.groups > 1))
    return refuse_conv_rank(err, name, v.rank, g.rank, g.groups > 1);
  for (int i = 0; known_rank && i < g.rank; ++i) {
    if (v.dims[lead + i] < 1 || v.dims[lead + i] > kMaxExtent)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "%s.dims[%d] is %lld; a kernel has from 1 to 2^31 - 64 taps along each dim.",
                  name, lead + i, static_cast<long long>(v.dims[lead + i]));
    kernel[i] = static_cast<int32_t>(v.dims[lead + i]);
  }
  Axis axes[kMaxSpatial];
  OCTET_TRY(read_geometry(err, geometry, OCTET_TRANSPOSED, kernel, &g, axes));
  if (lead == 2 && v.dims[0] != g.groups)
    return fail(err, OCTET_ERR_ARGUMENT,
                "%s.dims[0] is %lld; it must be octet_geometry.groups, %d.", name,
                static_cast<long long>(v.dims[0]), g.groups);
  if (v.dims[0] % g.groups)
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_geometry.groups is %d, but %s.dims[0] is %lld; groups must divide the "
                "output channels.",
                g.groups, name, static_cast<long long>(v.dims[0]));
  const int64_t group_in = v.inner(), taps = axes[0].kernel * axes[1].kernel * axes[2].kernel;
  const int64_t out = lead == 2 ? v.dims[0] * v.dims[1] : v.dims[0];
  if (out > kMaxExtent || group_in > kMaxExtent / g.groups || taps * group_in > kMaxExtent)
    return fail(err, OCTET_ERR_ARGUMENT,
                "%s has %lld output channels, %lld input channels a group and %lld taps; both "
                "counts of channels, and taps * input channels, must be below 2^31 - 64.",
                name, static_cast<long long>(out), static_cast<long long>(group_in),
                static_cast<long long>(taps));
  const bool transposed = (g.flags & OCTET_TRANSPOSED) != 0;
  int64_t phases = 1;
  for (int i = 0; transposed && i < g.rank; ++i) {
    if (g.stride[i] > kMaxPhases / phases)
      return fail(err, OCTET_ERR_UNSUPPORTED,
                  "octet_geometry.stride[%d] is %d; strides of a transposed convolution whose "
                  "product is above 65536 are not in this release.",
                  i, g.stride[i]);
    phases *= g.stride[i];
  }
  s->conv = make_conv_form(g.rank, g.groups, transposed, kernel, g.stride, g.dilation,
                           group_in * g.groups, out);
  s->n = out;
  s->k = s->conv.logical_k();
  return OCTET_OK;
}

// ---- scales and bias ----

octet_status read_scheme(octet_error* err, const octet_scheme* scheme, const char* name,
                         WeightsSource* s) {
  if (s->source.q)
    return fail(err, OCTET_ERR_ARGUMENT,
                "%s.q must be NULL for an F32 source; its scales are chosen by the scheme.", name);
  OCTET_TRY(resolve_scheme(err, scheme, Place::kWeights, 0, &s->scheme));
  s->per_channel = s->scheme.granularity == OCTET_PER_CHANNEL;
  s->group = s->scheme.group;
  if (s->conv.rank) {
    OCTET_TRY(check_conv_type(err, "octet_scheme.type", s->scheme.type));
    if (s->group) return refuse_conv_group(err, "octet_scheme.group", s->group);
    if (s->per_channel && !is_conv_axis(s->scheme.axis, *s))
      return refuse_conv_axis(err, "octet_scheme.axis", s->scheme.axis);
    return OCTET_OK;
  }
  if (s->scheme.granularity == OCTET_PER_GROUP)
    OCTET_TRY(check_group(err, "octet_scheme.group", *s));
  if ((s->per_channel || s->group) && s->scheme.axis != 0 && s->scheme.axis != -2)
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_scheme.axis is %d; weights [N,K] have their channels on axis 0.",
                s->scheme.axis);
  return OCTET_OK;
}

octet_status read_bias(octet_error* err, const octet_tensor* tensor, bool no_data,
                       WeightsSource* s) {
  const char* name = "octet_weights_desc.bias";
  OCTET_TRY(read_tensor(err, name, tensor, type_bit(OCTET_F32) | type_bit(OCTET_S32),
                        kAnyStrides | (no_data ? kShapeOnly : 0u), &s->bias));
  OCTET_TRY(check_no_qparams(err, name, s->bias));
  if (s->bias.rank != 1 || s->bias.dims[0] != s->n)
    return fail(err, OCTET_ERR_ARGUMENT, "%s must be [%lld], one for each output channel.", name,
                static_cast<long long>(s->n));
  if (s->group && s->bias.type == OCTET_S32)
    return fail(err, OCTET_ERR_ARGUMENT,
                "%s.type is S32, whose unit would be the one scale of a channel, but these "
                "weights have one for each group; use an F32 bias.",
                name);
  s->has_bias = true;
  return no_data ? octet_status{OCTET_OK} : check_finite_bias(err, name, s->bias);
}

}  // namespace

octet_status read_weights_desc(octet_error* err, const octet_weights_desc* desc, uint32_t options,
                               WeightsSource* out) {
  if (!desc) return fail(err, OCTET_ERR_ARGUMENT, "d is NULL; pass an octet_weights_desc.");
  octet_weights_desc d;
  OCTET_TRY(read_struct(err, "octet_weights_desc", desc, sizeof d, &d));
  const uint32_t known = OCTET_SHAPE_ONLY | OCTET_LEAN;
  if (d.flags & ~known)
    return fail_flags(err, "octet_weights_desc.flags", d.flags & ~known,
                      "OCTET_SHAPE_ONLY, OCTET_LEAN");
  WeightsSource s = {};
  s.shape_only = (d.flags & OCTET_SHAPE_ONLY) != 0;
  s.lean = (d.flags & OCTET_LEAN) != 0;
  if (s.shape_only && !(options & kAllowShapeOnly))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_weights_desc.flags has OCTET_SHAPE_ONLY, but packing needs data.");
  const bool no_data = s.shape_only || (options & kShapeSuffices);
  const char* name = "octet_weights_desc.source";
  OCTET_TRY(read_tensor(err, name, d.source, type_bit(OCTET_F32) | kQ8Types | kQ4Types,
                        kAnyStrides | (no_data ? kShapeOnly : 0u), &s.source));
  if (d.geometry) {
    OCTET_TRY(check_conv_type(err, "octet_weights_desc.source.type", s.source.type));
    OCTET_TRY(read_conv(err, d.geometry, name, &s));
  } else {
    OCTET_TRY(read_matrix(err, name, &s));
  }
  if (s.source.type == OCTET_F32) {
    OCTET_TRY(read_scheme(err, d.scheme, name, &s));
  } else {
    if (d.scheme)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "octet_weights_desc.scheme must be NULL for an %s source; give its qparams in "
                  "source.q.",
                  type_name(s.source.type));
    OCTET_TRY(s.conv.rank ? read_conv_qparams(err, name, &s) : read_matrix_qparams(err, name, &s));
  }
  if (d.bias) OCTET_TRY(read_bias(err, d.bias, no_data, &s));
  *out = s;
  return OCTET_OK;
}

}  // namespace octet

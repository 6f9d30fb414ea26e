// SPDX-License-Identifier: Apache-2.0
#include "src/scheme.h"

#include "src/tensor.h"

namespace octet {
namespace {

constexpr uint32_t kKnownFlags = OCTET_SYMMETRIC | OCTET_NARROW | OCTET_REDUCE_RANGE | OCTET_POW2 |
                                 OCTET_DIVIDE | OCTET_ROUND_AWAY;

octet_scheme recommended(Place place) {
  octet_scheme s = {};
  s.struct_size = sizeof s;
  s.type = OCTET_U8;
  if (place == Place::kWeights) {
    s.type = OCTET_S8;
    s.flags = OCTET_SYMMETRIC | OCTET_NARROW;
  }
  return s;
}

// Where layers take the scheme, which have fewer types and round ties to even.
bool is_layer(Place place) {
  return place == Place::kWeights || place == Place::kDynamic || place == Place::kDynamicConv;
}

// Where tensors may have a scale for each group.
bool has_groups(Place place) {
  return place == Place::kWeights || place == Place::kFakeQuant || place == Place::kQuantize;
}

octet_status check_type(octet_error* err, Place place, octet_type type) {
  if (type <= 0 || type > OCTET_S2)
    return fail_enum(err, "octet_scheme.type", type, "OCTET_U8, OCTET_S8");
  const bool layer = is_layer(place), q4 = place == Place::kWeights;
  const uint32_t types = kQ8Types | (layer ? (q4 ? kQ4Types : 0) : kQ16Types | kQ4Types | kQ2Types);
  if (types >> type & 1) return OCTET_OK;
  return fail_unsupported(err, "octet_scheme.type", type,
                          !layer
                              ? "OCTET_U8 (1), OCTET_S8 (2) or an integer type of 16, 4 or 2 bits"
                          : q4 ? "OCTET_U8 (1), OCTET_S8 (2), OCTET_U4 (5) or OCTET_S4 (6)"
                               : "OCTET_U8 (1) or OCTET_S8 (2)");
}

octet_status check_granularity(octet_error* err, Place place, int32_t* granularity) {
  const int32_t g = *granularity;
  if (g < 0 || g > OCTET_PER_SAMPLE)
    return fail_enum(err, "octet_scheme.granularity", g,
                     "OCTET_PER_TENSOR, OCTET_PER_CHANNEL, OCTET_PER_ROW");
  if (g == OCTET_PER_GROUP && has_groups(place)) return OCTET_OK;
  if (place == Place::kDynamicConv) {
    if (g == OCTET_PER_CHANNEL || g == OCTET_PER_ROW || g == OCTET_PER_GROUP)
      return fail(
          err, OCTET_ERR_ARGUMENT,
          "octet_scheme.granularity is %d, but a dynamic convolution has one scale for each "
          "sample or one for the call; use OCTET_PER_SAMPLE or OCTET_PER_TENSOR.",
          g);
    if (g == OCTET_GRANULARITY_DEFAULT) *granularity = OCTET_PER_SAMPLE;
    return OCTET_OK;
  }
  if (g == OCTET_PER_GROUP || g == OCTET_PER_SAMPLE)
    return fail_unsupported(err, "octet_scheme.granularity", g,
                            "OCTET_PER_TENSOR, OCTET_PER_CHANNEL or OCTET_PER_ROW");
  if (place == Place::kRanges || place == Place::kFloatZero)
    return OCTET_OK;  // a range is a range, whatever it was taken over
  const int32_t refused = place == Place::kDynamic ? OCTET_PER_CHANNEL : OCTET_PER_ROW;
  if (g == refused && place != Place::kQuantize)
    return fail(err, OCTET_ERR_ARGUMENT, "octet_scheme.granularity is %s here; use %s.",
                g == OCTET_PER_ROW ? "OCTET_PER_ROW, which belongs to dynamic layers,"
                                   : "OCTET_PER_CHANNEL, which belongs to weights,",
                g == OCTET_PER_ROW ? "OCTET_PER_TENSOR or OCTET_PER_CHANNEL"
                                   : "OCTET_PER_ROW or OCTET_PER_TENSOR");
  if (g == OCTET_GRANULARITY_DEFAULT && place != Place::kObserver)
    *granularity = place == Place::kWeights                                ? OCTET_PER_CHANNEL
                   : place == Place::kDynamic || place == Place::kQuantize ? OCTET_PER_ROW
                                                                           : OCTET_PER_TENSOR;
  return OCTET_OK;
}

// The range method and its parameters, which belong to observers.
octet_status check_range_method(octet_error* err, const octet_scheme& s, Place place) {
  if (s.range < 0 || s.range > OCTET_RANGE_L2)
    return fail_enum(err, "octet_scheme.range", s.range,
                     "OCTET_RANGE_OBSERVED, _PERCENTILE, _ENTROPY, _MSE, _L2");
  const bool least_error = s.range == OCTET_RANGE_MSE && place == Place::kWeights;
  if (s.range != OCTET_RANGE_OBSERVED && place != Place::kObserver && !least_error)
    return fail_unsupported(err, "octet_scheme.range", s.range,
                            "OCTET_RANGE_OBSERVED (0), except for observers");
  const bool percentile = s.range == OCTET_RANGE_PERCENTILE;
  const bool search =
      (s.range == OCTET_RANGE_ENTROPY || s.range == OCTET_RANGE_MSE) && !least_error;
  if ((s.percentile != 0 && !percentile) || ((s.start_bin || s.stride) && !search))
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "octet_scheme.percentile, start_bin and stride are %g, %d and %d; the first belongs "
        "to OCTET_RANGE_PERCENTILE, the others to _ENTROPY and _MSE, and range is %d.",
        static_cast<double>(s.percentile), s.start_bin, s.stride, s.range);
  if (!(s.percentile >= 0 && s.percentile <= 100))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_scheme.percentile is %g; it must be within (0, 100], or 0 for 99.99.",
                static_cast<double>(s.percentile));
  if (s.start_bin < 0 || s.stride < 0)
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_scheme.start_bin and stride are %d and %d; they must be 1 or more, or 0 for "
                "128 and 1.",
                s.start_bin, s.stride);
  return OCTET_OK;
}

// What is of a later release, of another chooser or out of bounds, but for type and granularity.
octet_status check_rest(octet_error* err, const octet_scheme& s, Place place) {
  if ((s.flags & OCTET_ROUND_AWAY) && is_layer(place))
    return fail(
        err, OCTET_ERR_UNSUPPORTED,
        "octet_scheme.flags has OCTET_ROUND_AWAY, which layers do not have; leave it out to "
        "round ties to even.");
  if (s.flags & ~kKnownFlags)
    return fail_flags(
        err, "octet_scheme.flags", s.flags & ~kKnownFlags,
        "OCTET_SYMMETRIC, OCTET_NARROW, OCTET_REDUCE_RANGE, OCTET_POW2, OCTET_DIVIDE, "
        "OCTET_ROUND_AWAY");
  if (s.group && !has_groups(place))
    return fail(err, OCTET_ERR_UNSUPPORTED,
                "octet_scheme.group is %lld; there are no groups here: leave it 0.",
                static_cast<long long>(s.group));
  if ((s.group != 0) != (s.granularity == OCTET_PER_GROUP))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_scheme.group is %lld with granularity %d; a group is given with "
                "OCTET_PER_GROUP, and with nothing else.",
                static_cast<long long>(s.group), s.granularity);
  if (s.chooser < 0 || s.chooser > OCTET_CHOOSE_TORCH_FLOAT)
    return fail_enum(err, "octet_scheme.chooser", s.chooser,
                     "OCTET_CHOOSE_OCTET, _TORCH_OBSERVER, _TORCH_NATIVE, _TORCH_FBGEMM, _ONNX, "
                     "_TFLITE, _NVIDIA, _XNNPACK, _TORCHAO, _TORCH_FLOAT");
  if (s.chooser == OCTET_CHOOSE_TORCH_FLOAT && place != Place::kFloatZero)
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_scheme.chooser is OCTET_CHOOSE_TORCH_FLOAT, whose zero points are not "
                "integers; use octet_choose_qparams_f32, or another chooser.");
  OCTET_TRY(check_range_method(err, s, place));
  if (s.reserved)
    return fail(err, OCTET_ERR_ARGUMENT, "octet_scheme.reserved is %d; it must be 0.", s.reserved);
  if (s.eps != s.eps || s.eps - s.eps != 0)
    return fail(err, OCTET_ERR_NOT_FINITE,
                "octet_scheme.eps is %g; it must be 0 or within [2^-60, 2^60].",
                static_cast<double>(s.eps));
  if (s.eps != 0 && !scale_in_domain(s.eps))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_scheme.eps is %g; it must be 0 or within [2^-60, 2^60].",
                static_cast<double>(s.eps));
  const bool has_eps = s.chooser == OCTET_CHOOSE_OCTET ||
                       s.chooser == OCTET_CHOOSE_TORCH_OBSERVER ||
                       s.chooser == OCTET_CHOOSE_TORCHAO || s.chooser == OCTET_CHOOSE_TORCH_FLOAT;
  if (s.eps != 0 && !has_eps)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "octet_scheme.eps is %g, but chooser %d has a smallest scale of its own; leave it 0.",
        static_cast<double>(s.eps), s.chooser);
  const bool has_pow2 = s.chooser == OCTET_CHOOSE_OCTET || s.chooser == OCTET_CHOOSE_TORCH_NATIVE ||
                        s.chooser == OCTET_CHOOSE_TORCH_FBGEMM;
  if ((s.flags & OCTET_POW2) && !has_pow2)
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_scheme.flags has OCTET_POW2, which chooser %d does not know; use "
                "OCTET_CHOOSE_OCTET, _TORCH_NATIVE or _TORCH_FBGEMM.",
                s.chooser);
  return OCTET_OK;
}

// Without eps. TORCHAO's is the smallest normal float, which no consumer takes.
float smallest_scale(int32_t chooser) {
  if (chooser == OCTET_CHOOSE_TORCH_OBSERVER || chooser == OCTET_CHOOSE_TORCH_FLOAT)
    return 0x1p-23f;
  return chooser == OCTET_CHOOSE_TORCHAO ? 0x1p-126f : 0x1p-60f;
}

int32_t halve(int32_t v, bool truncate) { return truncate ? v / 2 : v >> 1; }

// The integers in force: the type's (or bits'), the caller's, NARROW and REDUCE_RANGE, in this
// order.
octet_status resolve_integers(octet_error* err, const octet_scheme& s, int32_t bits, Chooser* c) {
  const bool is_signed = type_min(s.type) < 0;
  if (!bits) bits = type_bytes(s.type) == 2 ? 16 : 8 / per_byte(s.type);
  const int32_t low = is_signed ? -(1 << (bits - 1)) : 0, high = low + (1 << bits) - 1;
  c->qmin = low;
  c->qmax = high;
  if (s.qmin || s.qmax) {
    if (s.qmin > 0 || s.qmax < 0 || s.qmin >= s.qmax || s.qmin < low || s.qmax > high)
      return fail(
          err, OCTET_ERR_ARGUMENT,
          "octet_scheme.qmin and qmax are %d and %d; they must hold 0, differ and lie within "
          "[%d, %d]; both 0 mean that whole range.",
          s.qmin, s.qmax, low, high);
    c->qmin = s.qmin;
    c->qmax = s.qmax;
  }
  if (s.flags & OCTET_NARROW) {
    if (!is_signed)
      return fail(
          err, OCTET_ERR_ARGUMENT,
          "octet_scheme.flags has OCTET_NARROW, but the type is unsigned, and without 0 its "
          "range would not hold 0; use a signed type or leave it out.");
    if (c->qmin == low) ++c->qmin;
  }
  if (s.flags & OCTET_REDUCE_RANGE) {
    const bool truncate =
        s.chooser == OCTET_CHOOSE_TORCH_NATIVE || s.chooser == OCTET_CHOOSE_TORCH_FBGEMM;
    c->qmin = halve(c->qmin, truncate);
    c->qmax = halve(c->qmax, truncate);
  }
  const bool whole = c->qmax - c->qmin == 255 && !c->symmetric;
  if (s.chooser == OCTET_CHOOSE_ONNX && (s.type != OCTET_U8 || !whole))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_scheme.chooser is OCTET_CHOOSE_ONNX, which is defined for OCTET_U8, affine, "
                "with all of 0..255, but the scheme asks for type %d, flags %u and [%d, %d].",
                s.type, s.flags, c->qmin, c->qmax);
  if (s.chooser == OCTET_CHOOSE_XNNPACK && (s.type != OCTET_S8 || !whole))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_scheme.chooser is OCTET_CHOOSE_XNNPACK, which is defined for OCTET_S8, "
                "affine, with all of -128..127, but the scheme asks for type %d, flags %u and [%d, "
                "%d].",
                s.type, s.flags, c->qmin, c->qmax);
  if (s.chooser == OCTET_CHOOSE_TORCH_FLOAT && c->symmetric)
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_scheme.flags has OCTET_SYMMETRIC, but OCTET_CHOOSE_TORCH_FLOAT has float "
                "zero points, not symmetric ones; leave it out.");
  if (s.chooser == OCTET_CHOOSE_NVIDIA && c->qmax == 0)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "octet_scheme.qmax is 0, but OCTET_CHOOSE_NVIDIA divides amax by it; give it room.");
  if (c->qmin >= c->qmax || !finish_chooser(is_signed, c))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_scheme.qmin and qmax leave [%d, %d], which has no integers on both sides of "
                "its zero point; give it more room or leave OCTET_SYMMETRIC out.",
                c->qmin, c->qmax);
  return OCTET_OK;
}

}  // namespace

octet_status resolve_scheme(octet_error* err, const octet_scheme* scheme, Place place, int32_t bits,
                            ResolvedScheme* out) {
  octet_scheme s = recommended(place);
  if (scheme) OCTET_TRY(read_struct(err, "octet_scheme", scheme, sizeof(octet_scheme), &s));
  OCTET_TRY(check_type(err, place, s.type));
  OCTET_TRY(check_granularity(err, place, &s.granularity));
  OCTET_TRY(check_rest(err, s, place));
  ResolvedScheme r = {};
  r.type = s.type;
  r.granularity = s.granularity;
  r.axis = s.axis;
  r.is_signed = type_min(s.type) < 0;
  r.least_error = s.range == OCTET_RANGE_MSE;
  r.group = s.group;
  r.away = s.flags & OCTET_ROUND_AWAY;
  // DynamicQuantizeLinear divides, in the choice of its zero point and when it quantizes.
  r.divide = (s.flags & OCTET_DIVIDE) || s.chooser == OCTET_CHOOSE_ONNX;
  r.chooser.formula = s.chooser;
  r.chooser.symmetric = s.flags & OCTET_SYMMETRIC;
  r.chooser.pow2 = s.flags & OCTET_POW2;
  r.chooser.floor = s.eps != 0 ? s.eps : smallest_scale(s.chooser);
  r.range = s.range;
  r.percentile = s.percentile != 0 ? s.percentile : 99.99f;
  r.start_bin = s.start_bin ? s.start_bin : 128;
  r.stride = s.stride ? s.stride : 1;
  OCTET_TRY(resolve_integers(err, s, bits, &r.chooser));
  *out = r;
  return OCTET_OK;
}

namespace {

octet_status check_chosen(octet_error* err, int64_t index, float min, float max, float scale) {
  if (scale <= 0x1p60f) return OCTET_OK;
  return fail(
      err, OCTET_ERR_ARGUMENT,
      "The range [%g, %g] of index %lld needs the scale %g, but scales must not exceed 2^60; "
      "scale the data first.",
      static_cast<double>(min), static_cast<double>(max), static_cast<long long>(index),
      static_cast<double>(scale));
}

}  // namespace

octet_status choose_checked(octet_error* err, const Chooser& c, int64_t index, float min, float max,
                            float* scale, int32_t* zero_point) {
  float s;
  int32_t z;
  choose(c, min, max, &s, &z);
  OCTET_TRY(check_chosen(err, index, min, max, s));
  *scale = s;
  *zero_point = z;
  return OCTET_OK;
}

octet_status choose_float_checked(octet_error* err, const Chooser& c, int64_t index, float min,
                                  float max, float* scale, float* zero_point) {
  float s, z;
  choose_float(c, min, max, &s, &z);
  OCTET_TRY(check_chosen(err, index, min, max, s));
  *scale = s;
  *zero_point = z;
  return OCTET_OK;
}

octet_status check_no_zero_point(octet_error* err, const int32_t* zero_points, int64_t index,
                                 int32_t zero_point) {
  if (zero_points || zero_point == 0) return OCTET_OK;
  return fail(
      err, OCTET_ERR_ARGUMENT,
      "zero_point is NULL, but that of index %lld is %d; pass an array, or a symmetric scheme "
      "of a signed type.",
      static_cast<long long>(index), zero_point);
}

}  // namespace octet

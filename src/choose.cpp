// SPDX-License-Identifier: Apache-2.0
//
// octet_choose_qparams: ranges of the caller's own to scales and zero points.
#include "src/fpenv.h"
#include "src/scheme.h"
#include "src/tensor.h"

namespace octet {
namespace {

octet_status check_one(octet_error* err, const float* min, const float* max, size_t i) {
  const long long index = static_cast<long long>(i);
  const double low = static_cast<double>(min[i]), high = static_cast<double>(max[i]);
  if (low - low != 0 || high - high != 0)
    return fail(err, OCTET_ERR_NOT_FINITE,
                "min[%lld] and max[%lld] are %g and %g; a range must be finite.", index, index, low,
                high);
  if (low > high)
    return fail(err, OCTET_ERR_ARGUMENT,
                "min[%lld] is %g, which is more than max[%lld], %g; exchange them.", index, low,
                index, high);
  return OCTET_OK;
}

octet_status choose_one(octet_error* err, const Chooser& c, const float* min, const float* max,
                        int64_t i, float* scale, int32_t* zero_point) {
  return choose_checked(err, c, i, min[i], max[i], scale, zero_point);
}
octet_status choose_one(octet_error* err, const Chooser& c, const float* min, const float* max,
                        int64_t i, float* scale, float* zero_point) {
  return choose_float_checked(err, c, i, min[i], max[i], scale, zero_point);
}

// Where there is no array of zero points.
octet_status check_left_out(octet_error* err, const int32_t* zero_points, int64_t i, int32_t zero) {
  return check_no_zero_point(err, zero_points, i, zero);
}
octet_status check_left_out(octet_error*, const float*, int64_t, float) { return OCTET_OK; }

// Zero is int32_t, or float where the place allows zero points that are no integers.
template <class Zero>
[[gnu::noinline]] octet_status choose_all(const octet_scheme* scheme, Place place, const float* min,
                                          const float* max, size_t count, float* scale,
                                          Zero* zero_point, octet_error* err) {
  ResolvedScheme s;
  OCTET_TRY(resolve_scheme(err, scheme, place, 0, &s));
  if (!count) return OCTET_OK;
  if (count > size_t{1} << 40)  // such as a -1 of the caller
    return fail(err, OCTET_ERR_ARGUMENT, "count is %zu; it must be at most 2^40.", count);
  const bool zeros_missing = place == Place::kFloatZero && !zero_point;
  if (!min || !max || !scale || zeros_missing)
    return fail(err, OCTET_ERR_ARGUMENT, "%s is NULL; pass %zu values.",
                !min     ? "min"
                : !max   ? "max"
                : !scale ? "scale"
                         : "zero_point",
                count);
  const int64_t values = static_cast<int64_t>(count);
  const View scales = array_view(scale, values);
  const View zeros = array_view(zero_point, zero_point ? values : 0);
  const View mins = array_view(min, values), maxs = array_view(max, values);
  OCTET_TRY(check_overlap(err, "scale", scales, "min", mins, false));
  OCTET_TRY(check_overlap(err, "scale", scales, "max", maxs, false));
  OCTET_TRY(check_overlap(err, "zero_point", zeros, "min", mins, false));
  OCTET_TRY(check_overlap(err, "zero_point", zeros, "max", maxs, false));
  OCTET_TRY(check_overlap(err, "zero_point", zeros, "scale", scales, false));
  // Everything is chosen twice, so that a refusal comes before the first write.
  for (int pass = 0; pass < 2; ++pass)
    for (size_t i = 0; i < count; ++i) {
      const int64_t index = static_cast<int64_t>(i);
      float one;
      Zero zero;
      if (!pass) OCTET_TRY(check_one(err, min, max, i));
      OCTET_TRY(choose_one(err, s.chooser, min, max, index, &one, &zero));
      if (!pass) OCTET_TRY(check_left_out(err, zero_point, index, zero));
      if (!pass) continue;
      scale[i] = one;
      if (zero_point) zero_point[i] = zero;
    }
  return OCTET_OK;
}

}  // namespace
}  // namespace octet

octet_status octet_choose_qparams(const octet_scheme* s, const float* min, const float* max,
                                  size_t count, float* scale, int32_t* zero_point,
                                  octet_error* err) {
  const octet::FpGuard guard;
  return octet::choose_all(s, octet::Place::kRanges, min, max, count, scale, zero_point, err);
}

octet_status octet_choose_qparams_f32(const octet_scheme* s, const float* min, const float* max,
                                      size_t count, float* scale, float* zero_point,
                                      octet_error* err) {
  const octet::FpGuard guard;
  return octet::choose_all(s, octet::Place::kFloatZero, min, max, count, scale, zero_point, err);
}

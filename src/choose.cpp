// SPDX-License-Identifier: Apache-2.0
//
// octet_choose_qparams: ranges of the caller's own to scales and zero points.
#include "src/fpenv.h"
#include "src/scheme.h"
#include "src/tensor.h"

namespace octet {
namespace {

octet_status choose_one(octet_error* err, const Chooser& c, const float* min, const float* max,
                        size_t i, float* scale, int32_t* zero_point) {
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
  return choose_checked(err, c, index, min[i], max[i], scale, zero_point);
}

[[gnu::noinline]] octet_status choose_all(const octet_scheme* scheme, const float* min,
                                          const float* max, size_t count, float* scale,
                                          int32_t* zero_point, octet_error* err) {
  ResolvedScheme s;
  OCTET_TRY(resolve_scheme(err, scheme, Place::kRanges, 0, &s));
  if (!count) return OCTET_OK;
  if (count > size_t{1} << 40)  // such as a -1 of the caller
    return fail(err, OCTET_ERR_ARGUMENT, "count is %zu; it must be at most 2^40.", count);
  if (!min || !max || !scale)
    return fail(err, OCTET_ERR_ARGUMENT, "%s is NULL; pass %zu values.",
                !min   ? "min"
                : !max ? "max"
                       : "scale",
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
      float one;
      int32_t zero;
      OCTET_TRY(choose_one(err, s.chooser, min, max, i, &one, &zero));
      if (!pass) OCTET_TRY(check_no_zero_point(err, zero_point, static_cast<int64_t>(i), zero));
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
  return octet::choose_all(s, min, max, count, scale, zero_point, err);
}

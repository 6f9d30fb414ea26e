// SPDX-License-Identifier: Apache-2.0
//
// octet_scheme checked and completed: which type, granularity and integers, and the Chooser that
// the mathematics in quant/ works with. Each place has its own defaults and limits.
#pragma once

#include "quant/qparams.h"
#include "src/context.h"

namespace octet {

enum class Place {
  kRanges,      // octet_choose_qparams: u8 affine; ranges have no granularity of their own
  kFloatZero,   // octet_choose_qparams_f32: the same, and the choosers with a float zero point
  kObserver,    // u8 affine; the observer's channels say the granularity
  kFakeQuant,   // u8 affine per tensor; also 16, 4 and 2 bits, and scales per group
  kQuantize,    // u8 affine per row; the same
  kWeights,     // s8 symmetric per channel, -127..127; also 4 bits, and scales per group
  kDynamic,     // u8 affine per row
  kDynamicConv  // u8 affine per sample
};

struct ResolvedScheme {
  octet_type type;
  int32_t granularity;  // never OCTET_GRANULARITY_DEFAULT, except at kRanges and kObserver
  int32_t axis;         // as given: may be negative
  bool divide;          // quantize with x / s
  bool away;            // ties away from 0: kFakeQuant, kQuantize
  bool is_signed;       // the type is
  bool least_error;     // kWeights: OCTET_RANGE_MSE
  int64_t group;        // elements of K, or of the last dim, that share a scale, 0: all
  Chooser chooser;
  int32_t range;  // kObserver: OCTET_RANGE_...; else OBSERVED
  float percentile;
  int32_t start_bin, stride;  // at least 1
};

// s NULL: the place's recommended scheme. bits: 0, or 2..16 instead of the type's own (kFakeQuant).
octet_status resolve_scheme(octet_error* err, const octet_scheme* s, Place place, int32_t bits,
                            ResolvedScheme* out);

// choose() for a range of a caller or an observer: refused with ARGUMENT where the scale would
// leave the domain of scales; `index` names the range.
octet_status choose_checked(octet_error* err, const Chooser& c, int64_t index, float min, float max,
                            float* scale, int32_t* zero_point);

// The same with a float zero point.
octet_status choose_float_checked(octet_error* err, const Chooser& c, int64_t index, float min,
                                  float max, float* scale, float* zero_point);

// Where a caller gave no array of zero points, each must be 0.
octet_status check_no_zero_point(octet_error* err, const int32_t* zero_points, int64_t index,
                                 int32_t zero_point);

}  // namespace octet

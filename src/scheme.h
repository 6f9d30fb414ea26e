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
  kObserver,    // u8 affine; the observer's channels say the granularity
  kFakeQuant,   // u8 affine per tensor; also 4 bits
  kWeights,     // s8 symmetric per channel, -127..127; also 4 bits, and scales per group
  kDynamic,     // u8 affine per row
  kDynamicConv  // u8 affine per sample
};

struct ResolvedScheme {
  octet_type type;
  int32_t granularity;  // never OCTET_GRANULARITY_DEFAULT, except at kRanges and kObserver
  int32_t axis;         // as given: may be negative
  bool divide;          // quantize with x / s
  bool least_error;     // kWeights: OCTET_RANGE_MSE
  int64_t group;        // kWeights: elements of K that share a scale, 0: all
  Chooser chooser;
};

// s NULL: the place's recommended scheme. bits: 0, or 2..16 instead of the type's own (kFakeQuant).
octet_status resolve_scheme(octet_error* err, const octet_scheme* s, Place place, int32_t bits,
                            ResolvedScheme* out);

// choose() for a range of a caller or an observer: refused with ARGUMENT where the scale would
// leave the domain of scales; `index` names the range.
octet_status choose_checked(octet_error* err, const Chooser& c, int64_t index, float min, float max,
                            float* scale, int32_t* zero_point);

// Where a caller gave no array of zero points, each must be 0.
octet_status check_no_zero_point(octet_error* err, const int32_t* zero_points, int64_t index,
                                 int32_t zero_point);

}  // namespace octet

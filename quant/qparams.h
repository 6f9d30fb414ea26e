// SPDX-License-Identifier: Apache-2.0
//
// From a range to scale and zero point (docs/numerics.md, "Choosing qparams"). A Chooser is a
// scheme with everything derived that does not depend on the data, so that choose() is cheap enough
// for every row of a dynamic layer: plain arithmetic, no allocation, no libm function whose bits
// vary. Schemes of callers are checked in src/scheme.h; here all arguments are right.
#pragma once

#include <octet/octet.h>

namespace octet {

// A given or chosen scale is within these bounds, so that a product of two is normal. False for
// NaN.
inline bool scale_in_domain(float s) { return s >= 0x1p-60f && s <= 0x1p60f; }

struct Chooser {
  int32_t formula;         // OCTET_CHOOSE_...; TORCH_FLOAT for choose_float() alone
  int32_t qmin, qmax;      // qmin <= 0 <= qmax, qmin < qmax, at most 16 bits apart
  int32_t symmetric_zero;  // the zero point of a symmetric scheme
  float half;              // symmetric: the integers on the shorter side of symmetric_zero
  float floor;             // smallest scale; OCTET, TORCH_OBSERVER, TORCHAO and TORCH_FLOAT only
  bool symmetric, pow2;
};

// Derives symmetric_zero and half from the other fields; is_signed is that of the type. False when
// a symmetric range has no integer on one side of its zero point.
bool finish_chooser(bool is_signed, Chooser* c);

// Scale and zero point for a finite range min <= max. The zero point always lies within qmin..qmax;
// the scale may leave the domain (the caller refuses it), but is never 0 or NaN.
void choose(const Chooser& c, float min, float max, float* scale, int32_t* zero_point);

// The same with a float zero point, which may lie anywhere with TORCH_FLOAT (embedding tables:
// the range need not hold 0) and is an integer with every other formula.
void choose_float(const Chooser& c, float min, float max, float* scale, float* zero_point);

// The running range of a moving average: +inf and -inf at first. Joins a batch with a finite range;
// the first one, and any with momentum 1, is copied.
void move_range(float momentum, float batch_min, float batch_max, float* run_min, float* run_max);

}  // namespace octet

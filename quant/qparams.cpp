// SPDX-License-Identifier: Apache-2.0
#include "quant/qparams.h"

#include <math.h>

namespace octet {
namespace {

int32_t clamp(int32_t v, int32_t low, int32_t high) { return v < low ? low : v > high ? high : v; }

// 2^ceil(log2 s), exactly.
double ceil_to_pow2(double s) {
  int exponent;
  return frexp(s, &exponent) == 0.5 ? s : ldexp(1.0, exponent);
}

// Ends at zero where the range does not contain it; a -0 becomes +0.
float low_end(float min) { return min < 0 ? min : 0.0f; }
float high_end(float max) { return max > 0 ? max : 0.0f; }

// The zero point that maps the low end n <= 0 to qmin.
int32_t zero_from_low(const Chooser& c, float n, float scale) {
  return clamp(c.qmin - static_cast<int32_t>(rintf(n / scale)), c.qmin, c.qmax);
}

// Symmetric scales let absmax meet the shorter side; affine ones spread max - min, taken in double,
// over all integers. An empty range gets scale 1, so that its zeros survive any requantization.
void choose_octet(const Chooser& c, float min, float max, float* scale, int32_t* zero_point) {
  const float n = low_end(min), p = high_end(max);
  if (n == p) {
    *scale = 1.0f;
    *zero_point = c.symmetric ? c.symmetric_zero : 0;
    return;
  }
  float s = c.symmetric ? (-n > p ? -n : p) / c.half
                        : static_cast<float>((double{p} - double{n}) / (c.qmax - c.qmin));
  if (s < c.floor) s = c.floor;
  if (c.pow2) s = static_cast<float>(ceil_to_pow2(double{s}));
  *scale = s;
  *zero_point = c.symmetric ? c.symmetric_zero : zero_from_low(c, n, s);
}

// torch.ao.quantization's observers and torchao's choose_qparams_affine: binary32 throughout.
void choose_torch_observer(const Chooser& c, float min, float max, float* scale,
                           int32_t* zero_point) {
  const float n = low_end(min), p = high_end(max);
  float s =
      c.symmetric ? (-n > p ? -n : p) / c.half : (p - n) / static_cast<float>(c.qmax - c.qmin);
  if (s < c.floor) s = c.floor;
  *scale = s;
  *zero_point = c.symmetric ? c.symmetric_zero : zero_from_low(c, n, s);
}

// ATen's ChooseQuantizationParams (Scale = double) and FBGEMM's (Scale = float): where the scale is
// rounded decides some zero points. Two traits are kept as they are: one-sided data is not
// symmetrised, and ATen's error terms carry a minus where FBGEMM's have a plus.
template <class Scale>
void choose_torch_native(const Chooser& c, float min, float max, float* scale,
                         int32_t* zero_point) {
  constexpr float kSmall = 6.1e-5f;
  constexpr bool kFbgemm = sizeof(Scale) == sizeof(float);
  const int32_t steps = c.qmax - c.qmin;
  if (c.symmetric && min < 0 && max > 0) {
    const int32_t low = -(steps / 2 + 1), high = steps / 2;
    const double by_min = fabsf(min / static_cast<float>(low));
    const double by_max = fabsf(max / static_cast<float>(high));
    const double most = by_min > by_max ? by_min : by_max;
    min = static_cast<float>(most * low);
    max = static_cast<float>(most * high);
  }
  min = low_end(min);
  max = high_end(max);
  Scale s = static_cast<Scale>((double{max} - double{min}) / steps);
  if (!(s <= 0x1p60f)) {  // out of the domain: no zero point means anything
    *scale = static_cast<float>(s);
    *zero_point = 0;
    return;
  }
  if (static_cast<float>(s) == 0 || isinf(1.0f / static_cast<float>(s)))
    s = static_cast<Scale>(0.1);
  if (c.pow2) {
    // Below 1 it is 1 over the power of two at or under 1 / s.
    int exponent;
    frexp(1.0 / double{s}, &exponent);
    s = static_cast<Scale>(s < 1 ? ldexp(1.0, 1 - exponent) : ceil_to_pow2(double{s}));
  }
  if (s < kSmall) {
    const float small = static_cast<float>(s);
    s = kSmall;
    if (min == 0) {
      max = kSmall * static_cast<float>(steps);
    } else if (max == 0) {
      min = -kSmall * static_cast<float>(steps);
    } else {
      const float amplifier = kSmall / small;
      min *= amplifier;
      max *= amplifier;
    }
  }
  const double low = double{min} / double{s}, high = double{max} / double{s};
  const double qmin = c.qmin, qmax = c.qmax;
  const double sign = kFbgemm ? 1 : -1;
  double z =
      fabs(qmin) + sign * fabs(low) < fabs(qmax) + sign * fabs(high) ? qmin - low : qmax - high;
  if (c.symmetric && min < 0 && max > 0) z = (qmin + qmax) / 2;
  *scale = static_cast<float>(s);
  *zero_point = z < qmin ? c.qmin : z > qmax ? c.qmax : static_cast<int32_t>(rint(z));
}

// DynamicQuantizeLinear; its body divides 0 by 0 for all-zero input, here that is scale 1.
void choose_onnx(float min, float max, float* scale, int32_t* zero_point) {
  const float n = low_end(min), p = high_end(max);
  const float s = (p - n) / 255.0f;
  if (s == 0) {
    *scale = 1.0f;
    *zero_point = 0;
    return;
  }
  const float z = 0.0f - n / s;
  *scale = s;
  *zero_point = static_cast<int32_t>(rintf(z < 255.0f ? z : 255.0f));
}

// TFLite: affine scales are kept in double for the zero point, which is rounded away from zero and
// taken from the end where it has the smaller error.
void choose_tflite(const Chooser& c, float min, float max, float* scale, int32_t* zero_point) {
  const float n = low_end(min), p = high_end(max);
  const double s = c.symmetric ? double{(-n > p ? -n : p) / c.half}
                               : (double{p} - double{n}) / (c.qmax - c.qmin);
  *scale = static_cast<float>(s);
  *zero_point = c.symmetric ? c.symmetric_zero : 0;
  if (*scale == 0) *scale = 1.0f;
  if (c.symmetric || n == p || !(s <= 0x1p60)) return;
  const double qmin = c.qmin, qmax = c.qmax;
  const double low = double{n} / s, high = double{p} / s;
  const double from_min = qmin - low, from_max = qmax - high;
  const double z = fabs(qmin) + fabs(low) < fabs(qmax) + fabs(high) ? from_min : from_max;
  const double whole = floor(fabs(z));
  const int32_t away = static_cast<int32_t>(whole) + (fabs(z) - whole >= 0.5);
  *zero_point = clamp(z < 0 ? -away : away, c.qmin, c.qmax);
}

// NVIDIA's amax over the largest integer; up to 2^-24 its quantizers give 0, and the scale is 1.
void choose_nvidia(const Chooser& c, float min, float max, float* scale, int32_t* zero_point) {
  const float n = low_end(min), p = high_end(max);
  const float amax = -n > p ? -n : p;
  *scale = amax <= 0x1p-24f ? 1.0f : amax / static_cast<float>(c.qmax);
  *zero_point = 0;
}

// XNNPACK's dynamic s8: 1 / scale comes first, and the zero point from it.
void choose_xnnpack(const Chooser& c, float min, float max, float* scale, int32_t* zero_point) {
  const float n = low_end(min), p = high_end(max);
  const float low = static_cast<float>(c.qmin), high = static_cast<float>(c.qmax);
  float inverse = (high - low) / (p - n);
  if (!(inverse <= 0x1p126f)) inverse = 1.0f;  // no range, or one too small for it
  *scale = 1.0f / inverse;
  *zero_point = 0;
  if (!(*scale <= 0x1p60f)) return;
  const float low_error = low + n * inverse, high_error = high + p * inverse;
  const float z = low_error + high_error > 0 ? low - n * inverse : high - p * inverse;
  *zero_point = static_cast<int32_t>(rintf(z < low ? low : z > high ? high : z));
}

}  // namespace

void choose_float(const Chooser& c, float min, float max, float* scale, float* zero_point) {
  if (c.formula != OCTET_CHOOSE_TORCH_FLOAT) {
    int32_t z;
    choose(c, min, max, scale, &z);
    *zero_point = static_cast<float>(z);
    return;
  }
  const float s = (max - min) / static_cast<float>(c.qmax - c.qmin);
  *scale = s > c.floor ? s : 1.0f;
  *zero_point = -min / *scale;
}

bool finish_chooser(bool is_signed, Chooser* c) {
  const int32_t steps = c->qmax - c->qmin;
  if (c->formula == OCTET_CHOOSE_TORCH_OBSERVER) {
    const bool whole = c->qmax == 255 || c->qmax == 65535;  // of u8, u16: rounded up
    c->symmetric_zero = is_signed ? 0 : (c->qmin + c->qmax + whole) / 2;
    c->half = static_cast<float>(steps) / 2;
    return true;
  }
  c->symmetric_zero = is_signed ? 0 : (c->qmin + c->qmax + 1) / 2;
  if (c->formula == OCTET_CHOOSE_TORCHAO) {
    c->half = static_cast<float>(steps) / 2;
    return true;
  }
  const int32_t below = c->symmetric_zero - c->qmin, above = c->qmax - c->symmetric_zero;
  const int32_t side = below < above ? below : above;
  c->half = static_cast<float>(side);
  return !c->symmetric || (c->formula != OCTET_CHOOSE_OCTET && c->formula != OCTET_CHOOSE_TFLITE) ||
         side > 0;
}

void choose(const Chooser& c, float min, float max, float* scale, int32_t* zero_point) {
  switch (c.formula) {
    case OCTET_CHOOSE_TORCH_OBSERVER:
      return choose_torch_observer(c, min, max, scale, zero_point);
    case OCTET_CHOOSE_TORCH_NATIVE:
      return choose_torch_native<double>(c, min, max, scale, zero_point);
    case OCTET_CHOOSE_TORCH_FBGEMM:
      return choose_torch_native<float>(c, min, max, scale, zero_point);
    case OCTET_CHOOSE_ONNX:
      return choose_onnx(min, max, scale, zero_point);
    case OCTET_CHOOSE_TFLITE:
      return choose_tflite(c, min, max, scale, zero_point);
    case OCTET_CHOOSE_NVIDIA:
      return choose_nvidia(c, min, max, scale, zero_point);
    case OCTET_CHOOSE_XNNPACK:
      return choose_xnnpack(c, min, max, scale, zero_point);
    case OCTET_CHOOSE_TORCHAO:
      return choose_torch_observer(c, min, max, scale, zero_point);
    default:
      return choose_octet(c, min, max, scale, zero_point);
  }
}

void move_range(float momentum, float batch_min, float batch_max, float* run_min, float* run_max) {
  if (momentum == 1.0f || isinf(*run_min) || isinf(*run_max)) {
    *run_min = batch_min;
    *run_max = batch_max;
    return;
  }
  *run_min += momentum * (batch_min - *run_min);
  *run_max += momentum * (batch_max - *run_max);
}

}  // namespace octet

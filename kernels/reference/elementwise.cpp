// SPDX-License-Identifier: Apache-2.0
//
// The element-wise kernels, one element at a time: the specification that every SIMD row must equal
// bit for bit (docs/numerics.md). Floats are binary32, one rounding for each operation, none fused.
#include <math.h>

#include "kernels/kernel.h"

namespace octet {
namespace {

// The parameters of element i: every array has one value (step 0) or one for each element (step 1).
template <class T>
T at(const T* p, int32_t step, size_t i) {
  return p[step ? i : 0];
}

// x / s, as the caller wants it: multiplied by fl(1 / s), or divided.
float scaled(float x, const Run& r, size_t i) {
  const float s = at(r.out_inv, r.out_step, i);
  return r.divide ? x / s : x * s;
}

// rne(clamp(t, low, high)): a NaN gives low, infinities saturate.
int32_t round_within(float t, int32_t low, int32_t high) {
  const float l = static_cast<float>(low), h = static_cast<float>(high);
  return static_cast<int32_t>(rintf(t > l ? (t < h ? t : h) : l));
}

// real -> integer: rne(clamp(x / s, qmin - z, qmax - z)) + z. The bounds are integers, so that it
// does not matter whether the clamp or the rounding comes first.
template <class Out>
void store_quantized(float t, const Run& r, size_t i) {
  const int32_t zero = at(r.out_zero, r.out_step, i);
  static_cast<Out*>(r.y)[i] =
      static_cast<Out>(round_within(t, r.qmin - zero, r.qmax - zero) + zero);
}

// integer -> real: s * (q - z), where the zero point of 32 bits is 0.
template <class In>
float dequantized(const Run& r, size_t i) {
  int32_t q = static_cast<const In*>(r.x)[i];
  if (sizeof(In) == 1) q -= at(r.in_zero, r.in_step, i);
  return at(r.in_scale, r.in_step, i) * static_cast<float>(q);
}

template <class Out>
void quantize(const Run& r) {
  for (size_t i = 0; i < r.n; ++i)
    store_quantized<Out>(scaled(static_cast<const float*>(r.x)[i], r, i), r, i);
}

template <class In>
void dequantize(const Run& r) {
  for (size_t i = 0; i < r.n; ++i) static_cast<float*>(r.y)[i] = dequantized<In>(r, i);
}

// From 8 bits: quantize(dequantize(q)). From 32 bits in_scale is fl(s1 / s2) already.
template <class In, class Out>
void requantize(const Run& r) {
  for (size_t i = 0; i < r.n; ++i) {
    const float x = dequantized<In>(r, i);
    store_quantized<Out>(sizeof(In) == 1 ? scaled(x, r, i) : x, r, i);
  }
}

// Sum of n bytes, modulo 2^32.
template <class T>
int32_t sum(const void* a, size_t n) {
  uint32_t s = 0;
  for (size_t i = 0; i < n; ++i) s += static_cast<uint32_t>(int32_t{static_cast<const T*>(a)[i]});
  return static_cast<int32_t>(s);
}

template <class In>
void widen(const Run& r) {
  static constexpr size_t kOrder[4] = {0, 2, 1, 3};
  int16_t* y = static_cast<int16_t*>(r.y);
  for (size_t i = 0; i < (r.n + 3) / 4 * 4; ++i) {
    const size_t k = i / 4 * 4 + kOrder[i % 4];
    y[i] = k < r.n ? static_cast<const In*>(r.x)[k] : int16_t{0};
  }
}

// min and max of the finite elements; a zero of either sign counts as +0.
void join(float v, Range* into) {
  if (v != v) {
    ++into->nan_count;
  } else if (v - v != 0) {
    ++into->inf_count;
  } else {
    if (v < into->min) into->min = v + 0.0f;
    if (v > into->max) into->max = v + 0.0f;
  }
}

}  // namespace
}  // namespace octet

using namespace octet;

OCTET_KERNEL void octet_quantize_f32_u8_scalar(const Run* r) { quantize<uint8_t>(*r); }
OCTET_KERNEL void octet_quantize_f32_s8_scalar(const Run* r) { quantize<int8_t>(*r); }

OCTET_KERNEL void octet_dequantize_u8_f32_scalar(const Run* r) { dequantize<uint8_t>(*r); }
OCTET_KERNEL void octet_dequantize_s8_f32_scalar(const Run* r) { dequantize<int8_t>(*r); }
OCTET_KERNEL void octet_dequantize_s32_f32_scalar(const Run* r) { dequantize<int32_t>(*r); }

OCTET_KERNEL void octet_requantize_u8_u8_scalar(const Run* r) { requantize<uint8_t, uint8_t>(*r); }
OCTET_KERNEL void octet_requantize_u8_s8_scalar(const Run* r) { requantize<uint8_t, int8_t>(*r); }
OCTET_KERNEL void octet_requantize_s8_u8_scalar(const Run* r) { requantize<int8_t, uint8_t>(*r); }
OCTET_KERNEL void octet_requantize_s8_s8_scalar(const Run* r) { requantize<int8_t, int8_t>(*r); }
OCTET_KERNEL void octet_requantize_s32_u8_scalar(const Run* r) { requantize<int32_t, uint8_t>(*r); }
OCTET_KERNEL void octet_requantize_s32_s8_scalar(const Run* r) { requantize<int32_t, int8_t>(*r); }

// y = dequantize(quantize(x)); mask: the integer before the clamp lies within qmin..qmax.
OCTET_KERNEL void octet_fakequant_f32_f32_scalar(const Run* r) {
  for (size_t i = 0; i < r->n; ++i) {
    const int32_t zero = at(r->out_zero, r->out_step, i);
    const int32_t low = r->qmin - zero, high = r->qmax - zero;
    const float t = scaled(static_cast<const float*>(r->x)[i], *r, i);
    const int32_t q = round_within(t, low, high);
    // A range wider by one on either side tells what the clamp has changed.
    if (r->mask) r->mask[i] = q == round_within(t, low - 1, high + 1);
    static_cast<float*>(r->y)[i] = static_cast<float>(q) * at(r->out_scale, r->out_step, i);
  }
}

OCTET_KERNEL void octet_ste_f32_f32_scalar(const Run* r) {
  for (size_t i = 0; i < r->n; ++i)
    static_cast<float*>(r->y)[i] = r->mask[i] ? static_cast<const float*>(r->x)[i] : 0.0f;
}

OCTET_KERNEL void octet_flip_x8_x8_scalar(const Run* r) {
  for (size_t i = 0; i < r->n; ++i)
    static_cast<uint8_t*>(r->y)[i] = static_cast<const uint8_t*>(r->x)[i] ^ 0x80;
}

OCTET_KERNEL void octet_lut_x8_x8_scalar(const Lookup* r) {
  const uint8_t* x = static_cast<const uint8_t*>(r->x);
  uint8_t* y = static_cast<uint8_t*>(r->y);
  for (size_t i = 0; i < r->rows; ++i, x += r->ldx, y += r->ldy)
    for (size_t j = 0; j < r->n; ++j) y[j] = r->table[x[j]];
}

OCTET_KERNEL void octet_widen_u8_s16_scalar(const Run* r) { widen<uint8_t>(*r); }
OCTET_KERNEL void octet_widen_s8_s16_scalar(const Run* r) { widen<int8_t>(*r); }

OCTET_KERNEL void octet_minmax_f32_range_scalar(const float* x, size_t n, Range* into) {
  for (size_t i = 0; i < n; ++i) join(x[i], into);
}

OCTET_KERNEL void octet_minmaxcols_f32_range_scalar(const float* x, size_t rows, ptrdiff_t pitch,
                                                    size_t n, Range* into) {
  for (size_t i = 0; i < rows; ++i, x += pitch)
    for (size_t j = 0; j < n; ++j) join(x[j], into + j);
}

OCTET_KERNEL int32_t octet_rowsum_u8_s32_scalar(const void* a, size_t n) {
  return sum<uint8_t>(a, n);
}
OCTET_KERNEL int32_t octet_rowsum_s8_s32_scalar(const void* a, size_t n) {
  return sum<int8_t>(a, n);
}

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

// A float zero point is added before anything is rounded.
float shifted(float t, const Run& r, size_t i) {
  return r.out_float ? t + at(r.out_float, r.out_step, i) : t;
}

// rne(clamp(t, low, high)), or with ties away from 0: a NaN gives low, infinities saturate.
int32_t round_within(float t, const Run& r, int32_t low, int32_t high) {
  const float l = static_cast<float>(low), h = static_cast<float>(high);
  const float within = t > l ? (t < h ? t : h) : l;
  const float even = rintf(within), rest = within - even;  // exact
  if (r.away && rest == 0.5f && within > 0) return static_cast<int32_t>(even) + 1;
  if (r.away && rest == -0.5f && within < 0) return static_cast<int32_t>(even) - 1;
  return static_cast<int32_t>(even);
}

// real -> integer: rne(clamp(x / s, qmin - z, qmax - z)) + z. The bounds are integers, so that it
// does not matter whether the clamp or the rounding comes first.
template <class Out>
void store_quantized(float t, const Run& r, size_t i) {
  const int32_t zero = at(r.out_zero, r.out_step, i);
  static_cast<Out*>(r.y)[i] =
      static_cast<Out>(round_within(t, r, r.qmin - zero, r.qmax - zero) + zero);
}

// integer -> real: s * (q - z), where the zero point of 32 bits is 0.
template <class In>
float dequantized(const Run& r, size_t i) {
  int32_t q = static_cast<const In*>(r.x)[i];
  if (sizeof(In) < 4) q -= at(r.in_zero, r.in_step, i);
  float f = static_cast<float>(q);
  if (r.in_float) f -= at(r.in_float, r.in_step, i);
  return at(r.in_scale, r.in_step, i) * f;
}

template <class Out>
void quantize(const Run& r) {
  for (size_t i = 0; i < r.n; ++i)
    store_quantized<Out>(shifted(scaled(static_cast<const float*>(r.x)[i], r, i), r, i), r, i);
}

// 32 bits, whose bounds are no floats: rounded within those of the type, clamped as integers.
void quantize32(const Run& r) {
  for (size_t i = 0; i < r.n; ++i) {
    const float t = scaled(static_cast<const float*>(r.x)[i], r, i);
    int32_t q = t >= 0x1p31f ? INT32_MAX : round_within(t, r, INT32_MIN, 2147483520);
    q = q < r.qmin ? r.qmin : q > r.qmax ? r.qmax : q;
    static_cast<int32_t*>(r.y)[i] = q;
  }
}

uint32_t bits(float v) { return __builtin_bit_cast(uint32_t, v); }
float from_bits(uint32_t v) { return __builtin_bit_cast(float, v); }

// Nearest, ties to even; a NaN is 0x7E00, what is beyond the largest number becomes that.
uint16_t to_f16(float x) {
  if (x != x) return 0x7E00;
  const uint32_t sign = bits(x) >> 31 << 15;
  float a = from_bits(bits(x) & 0x7FFFFFFF);
  if (a > 65504.0f) a = 65504.0f;
  if (a < 0x1p-14f)  // a multiple of 2^-24
    return static_cast<uint16_t>(sign | static_cast<uint32_t>(rintf(a * 0x1p24f)));
  const uint32_t u = bits(a);
  return static_cast<uint16_t>(sign | (u + 0xFFF + (u >> 13 & 1) - 0x38000000) >> 13);
}

float from_f16(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h >> 15) << 31, exponent = h >> 10 & 31;
  const uint32_t mantissa = h & 0x3FF;
  if (exponent == 31 && mantissa) return from_bits(sign | 0x7FC00000 | mantissa << 13);
  if (exponent == 31) return from_bits(sign | 0x7F800000);
  if (exponent == 0) return from_bits(sign | bits(static_cast<float>(mantissa) * 0x1p-24f));
  return from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

// Nearest, ties to even; a NaN is 0x7FC0.
uint16_t to_bf16(float x) {
  if (x != x) return 0x7FC0;
  const uint32_t u = bits(x);
  return static_cast<uint16_t>((u + 0x7FFF + (u >> 16 & 1)) >> 16);
}

float from_bf16(uint16_t h) { return from_bits(static_cast<uint32_t>(h) << 16); }

template <uint16_t convert(float)>
void narrow(const Run& r) {
  for (size_t i = 0; i < r.n; ++i)
    static_cast<uint16_t*>(r.y)[i] = convert(static_cast<const float*>(r.x)[i]);
}
template <float convert(uint16_t)>
void widen_real(const Run& r) {
  for (size_t i = 0; i < r.n; ++i)
    static_cast<float*>(r.y)[i] = convert(static_cast<const uint16_t*>(r.x)[i]);
}

template <unsigned kBits>
void pack(const Run& r) {
  constexpr unsigned kEach = 8 / kBits, kMask = (1u << kBits) - 1;
  for (size_t i = 0; i < r.n; i += kEach) {
    unsigned byte = 0;
    for (unsigned k = 0; k < kEach && i + k < r.n; ++k)
      byte |= (static_cast<const uint8_t*>(r.x)[i + k] & kMask) << k * kBits;
    static_cast<uint8_t*>(r.y)[i / kEach] = static_cast<uint8_t>(byte);
  }
}

template <unsigned kBits, bool kSigned>
void unpack(const Run& r) {
  constexpr unsigned kEach = 8 / kBits, kMask = (1u << kBits) - 1;
  constexpr unsigned kSign = kSigned ? 1u << (kBits - 1) : 0;
  for (size_t i = 0; i < r.n; ++i) {
    const unsigned u = static_cast<const uint8_t*>(r.x)[i / kEach] >> i % kEach * kBits & kMask;
    static_cast<uint8_t*>(r.y)[i] = static_cast<uint8_t>((u ^ kSign) - kSign);
  }
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

int32_t pow2_bin(float x, const Bins& b) {
  if (x == 0) return b.bins;
  if (x - x != 0) return b.bins + 1;
  const float v = x * b.scale;
  int32_t i = static_cast<int32_t>(v);
  if (static_cast<float>(i) > v) --i;  // towards -inf
  if (x < 0 && i >= 0) i = -1;         // the product was too small for a float
  return i + b.bins / 2;
}

int32_t linear_bin(float x, const Bins& b) {
  if (b.absolute) x = fabsf(x);
  if (b.skip_zeros && x == 0) return b.bins;
  if (!(x >= b.first && x <= b.last)) return b.bins + 1;
  const int32_t i = static_cast<int32_t>((x - b.first) * b.count / (b.last - b.first));
  return i < b.bins ? i : b.bins - 1;
}

}  // namespace
}  // namespace octet

using namespace octet;

OCTET_KERNEL void octet_quantize_f32_u8_scalar(const Run* r) { quantize<uint8_t>(*r); }
OCTET_KERNEL void octet_quantize_f32_s8_scalar(const Run* r) { quantize<int8_t>(*r); }

OCTET_KERNEL void octet_quantize_f32_u16_scalar(const Run* r) { quantize<uint16_t>(*r); }
OCTET_KERNEL void octet_quantize_f32_s16_scalar(const Run* r) { quantize<int16_t>(*r); }
OCTET_KERNEL void octet_quantize_f32_s32_scalar(const Run* r) { quantize32(*r); }

OCTET_KERNEL void octet_dequantize_u8_f32_scalar(const Run* r) { dequantize<uint8_t>(*r); }
OCTET_KERNEL void octet_dequantize_s8_f32_scalar(const Run* r) { dequantize<int8_t>(*r); }
OCTET_KERNEL void octet_dequantize_u16_f32_scalar(const Run* r) { dequantize<uint16_t>(*r); }
OCTET_KERNEL void octet_dequantize_s16_f32_scalar(const Run* r) { dequantize<int16_t>(*r); }
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
    const float t = shifted(scaled(static_cast<const float*>(r->x)[i], *r, i), *r, i);
    const int32_t q = round_within(t, *r, low, high);
    // A range wider by one on either side tells what the clamp has changed.
    if (r->mask) r->mask[i] = q == round_within(t, *r, low - 1, high + 1);
    float f = static_cast<float>(q);
    if (r->out_float) f -= at(r->out_float, r->out_step, i);
    static_cast<float*>(r->y)[i] = f * at(r->out_scale, r->out_step, i);
  }
}

OCTET_KERNEL void octet_ste_f32_f32_scalar(const Run* r) {
  for (size_t i = 0; i < r->n; ++i)
    static_cast<float*>(r->y)[i] = r->mask[i] ? static_cast<const float*>(r->x)[i] : 0.0f;
}

// y = q, or q / (bound / amax), with the mask of |x| <= amax on the real value.
OCTET_KERNEL void octet_amax_f32_f32_scalar(const Run* r) {
  for (size_t i = 0; i < r->n; ++i) {
    float t = static_cast<const float*>(r->x)[i];
    if (r->in_scale) t *= at(r->in_scale, r->in_step, i);
    const float inv = at(r->out_inv, r->out_step, i);
    const int32_t q = inv == 0 ? 0 : round_within(t * inv, *r, r->qmin, r->qmax);
    if (r->mask) r->mask[i] = fabsf(t) <= at(r->out_scale, r->out_step, i);
    const float f = static_cast<float>(q);
    static_cast<float*>(r->y)[i] = r->divide && inv != 0 ? f / inv : f;
  }
}

OCTET_KERNEL void octet_learn_f32_f32_scalar(const Grad* g) {
  Run r = {};  // for scaled and round_within
  r.out_inv = g->inv;
  r.out_float = g->float_zero;
  r.out_step = g->step;
  r.divide = g->divide;
  r.away = g->away;
  for (size_t i = 0; i < g->n; ++i) {
    const float x = g->x[i], dy = g->dy[i], s = at(g->scale, g->step, i);
    const int32_t zero = at(g->zero, g->step, i);
    const int32_t low = g->qmin - zero, high = g->qmax - zero;
    const float t = shifted(scaled(x, r, i), r, i);
    const int32_t q = round_within(t, r, low, high);
    const bool pass = q == round_within(t, r, low - 1, high + 1);
    float f = static_cast<float>(q);  // q - z
    if (g->float_zero) f -= at(g->float_zero, g->step, i);
    const float residue = (f * s - x) * (1.0f / s);
    const float t0 = dy * (pass ? residue : f), t1 = pass ? 0.0f : -(dy * s);
    g->dx[i] = pass ? dy : 0.0f;
    if (g->lanes0) {
      g->lanes0[i % 16] += static_cast<double>(t0);
      g->lanes1[i % 16] += static_cast<double>(t1);
    } else {
      g->t0[i] = t0;
      g->t1[i] = t1;
    }
  }
}

// A NaN passes with its bits.
OCTET_KERNEL void octet_clamp_f32_f32_scalar(const Run* r) {
  const float lo = *r->in_scale, hi = *r->out_scale;
  for (size_t i = 0; i < r->n; ++i) {
    const float x = static_cast<const float*>(r->x)[i];
    static_cast<float*>(r->y)[i] = x > hi ? hi : x < lo ? lo : x;
  }
}

OCTET_KERNEL void octet_clip_f32_f32_scalar(const Grad* g) {
  for (size_t i = 0; i < g->n; ++i) {
    const float x = g->x[i], dy = g->dy[i];
    g->dx[i] = x > g->lo && x < g->hi ? dy : 0.0f;
    g->t0[i] = x <= g->lo ? dy : 0.0f;
    g->t1[i] = x >= g->hi ? dy : 0.0f;
  }
}

OCTET_KERNEL void octet_sum_f32_sums_scalar(const float* x, size_t n, double* lanes) {
  for (size_t i = 0; i < n; ++i) lanes[i % 16] += static_cast<double>(x[i]);
}
OCTET_KERNEL void octet_sumcols_f32_sums_scalar(const float* x, size_t n, double* into) {
  for (size_t i = 0; i < n; ++i) into[i] += static_cast<double>(x[i]);
}

OCTET_KERNEL void octet_convert_f32_f16_scalar(const Run* r) { narrow<to_f16>(*r); }
OCTET_KERNEL void octet_convert_f32_bf16_scalar(const Run* r) { narrow<to_bf16>(*r); }
OCTET_KERNEL void octet_convert_f16_f32_scalar(const Run* r) { widen_real<from_f16>(*r); }
OCTET_KERNEL void octet_convert_bf16_f32_scalar(const Run* r) { widen_real<from_bf16>(*r); }

OCTET_KERNEL void octet_pack_u8_u4_scalar(const Run* r) { pack<4>(*r); }
OCTET_KERNEL void octet_pack_u8_u2_scalar(const Run* r) { pack<2>(*r); }
OCTET_KERNEL void octet_unpack_u4_u8_scalar(const Run* r) { unpack<4, false>(*r); }
OCTET_KERNEL void octet_unpack_s4_s8_scalar(const Run* r) { unpack<4, true>(*r); }
OCTET_KERNEL void octet_unpack_u2_u8_scalar(const Run* r) { unpack<2, false>(*r); }
OCTET_KERNEL void octet_unpack_s2_s8_scalar(const Run* r) { unpack<2, true>(*r); }

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

OCTET_KERNEL void octet_bins_f32_s32_scalar(const float* x, size_t n, const Bins* b, int32_t* index,
                                            uint16_t* ways) {
  for (size_t i = 0; i < n; ++i) {
    const int32_t bin = b->form == kBinsPow2 ? pow2_bin(x[i], *b) : linear_bin(x[i], *b);
    if (index) {
      index[i] = bin;
      continue;
    }
    const int32_t turn = static_cast<int32_t>(i % kZeroWays);
    const int32_t place = bin < b->bins ? bin : b->bins + (bin == b->bins ? turn : kZeroWays);
    const size_t way = i % kBinWays * (static_cast<size_t>(b->bins) + kBinSpare);
    ++ways[way + static_cast<size_t>(place)];
  }
}

OCTET_KERNEL int32_t octet_rowsum_u8_s32_scalar(const void* a, size_t n) {
  return sum<uint8_t>(a, n);
}
OCTET_KERNEL int32_t octet_rowsum_s8_s32_scalar(const void* a, size_t n) {
  return sum<int8_t>(a, n);
}

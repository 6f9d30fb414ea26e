// SPDX-License-Identifier: Apache-2.0
#include "tests/numerics/model.h"

#include <math.h>

#include <algorithm>

namespace octet_test {

int32_t quantize(float x, float scale, int32_t zero, int32_t qmin, int32_t qmax, bool divide) {
  const float inverse = 1.0f / scale;
  float t = divide ? x / scale : x * inverse;
  if (t != t) return qmin;
  t = std::clamp(t, -1e6f, 1e6f);  // exact beyond every bound
  return std::clamp(static_cast<int32_t>(nearbyintf(t)) + zero, qmin, qmax);
}

ScaleZero choose(float min, float max, int32_t qmin, int32_t qmax, bool symmetric) {
  const float n = std::min(min, 0.0f), p = std::max(max, 0.0f);
  const bool is_signed = qmin < 0;
  const int32_t middle = is_signed ? 0 : (qmin + qmax + 1) / 2;
  if (n == 0 && p == 0) return {1.0f, symmetric ? middle : 0};
  if (symmetric) {
    const float half = static_cast<float>(std::min(middle - qmin, qmax - middle));
    return {std::max(std::max(-n, p) / half, 0x1p-60f), middle};
  }
  const double step = (static_cast<double>(p) - static_cast<double>(n)) / (qmax - qmin);
  const float scale = std::max(static_cast<float>(step), 0x1p-60f);
  return {scale, std::clamp(qmin - static_cast<int32_t>(nearbyintf(n / scale)), qmin, qmax)};
}

namespace {

// Activations as integers with the scale of their row.
struct Activations {
  std::vector<int32_t> q;
  std::vector<float> scale;
  std::vector<int32_t> zero;
  std::vector<bool> finite;
};

void quantize_rows(const Layer& l, int64_t first, int64_t rows, Activations* a) {
  const int32_t qmin = l.scheme.qmin || l.scheme.qmax ? l.scheme.qmin : type_min(l.in);
  const int32_t qmax = l.scheme.qmin || l.scheme.qmax ? l.scheme.qmax : type_max(l.in);
  const float* x = l.xf.data() + first * l.k;
  float min = 0, max = 0;
  bool finite = true;
  for (int64_t i = 0; i < rows * l.k; ++i) {
    finite &= isfinite(x[i]) != 0;
    min = std::min(min, x[i]);
    max = std::max(max, x[i]);
  }
  ScaleZero s = {1, 0};
  if (finite) s = choose(min, max, qmin, qmax, l.scheme.flags & OCTET_SYMMETRIC);
  if (s.scale > 0x1p60f) finite = false;
  for (int64_t i = 0; i < rows; ++i) {
    a->scale.push_back(s.scale);
    a->zero.push_back(s.zero);
    a->finite.push_back(finite);
  }
  for (int64_t i = 0; i < rows * l.k; ++i)
    a->q.push_back(
        finite ? quantize(x[i], s.scale, s.zero, qmin, qmax, (l.scheme.flags & OCTET_DIVIDE) != 0)
               : 0);
}

Activations activations(const Layer& l) {
  Activations a;
  if (l.mode == Mode::kDynamicRow)
    for (int64_t i = 0; i < l.m; ++i) quantize_rows(l, i, 1, &a);
  if (l.mode == Mode::kDynamicTensor) quantize_rows(l, 0, l.m, &a);
  if (is_dynamic(l.mode)) return a;
  for (uint8_t b : l.x) a.q.push_back(l.in == OCTET_S8 ? static_cast<int8_t>(b) : b);
  for (size_t i = 0; i < static_cast<size_t>(l.m); ++i) {
    a.scale.push_back(l.in_scale[l.in_scale.size() == 1 ? 0 : i]);
    a.zero.push_back(l.in_zero[l.in_zero.size() == 1 ? 0 : i]);
    a.finite.push_back(true);
  }
  return a;
}

float activate(const Layer& l, float y) {
  if (l.act == OCTET_RELU || l.act == OCTET_RELU6) y = std::max(y, 0.0f);
  if (l.act == OCTET_RELU6) y = std::min(y, 6.0f);
  if (l.act == OCTET_CLAMP) y = std::min(std::max(y, l.lo), l.hi);
  return y;
}

// One element of a q8 output from its real value over the output scale.
int32_t to_q8(const Layer& l, float v) {
  const int32_t qmin = type_min(l.out.type), qmax = type_max(l.out.type);
  int32_t lo = qmin, hi = qmax;
  const auto bound = [&](float x) {
    return quantize(x, l.out.scale, l.out.zero_point, qmin, qmax);
  };
  if (l.act == OCTET_RELU || l.act == OCTET_RELU6) lo = bound(0);
  if (l.act == OCTET_RELU6) hi = bound(6);
  if (l.act == OCTET_CLAMP) {
    lo = bound(l.lo);
    hi = bound(l.hi);
  }
  v = std::max(v, static_cast<float>(lo - l.out.zero_point));
  v = std::min(v, static_cast<float>(hi - l.out.zero_point));
  return static_cast<int32_t>(nearbyintf(v)) + l.out.zero_point;
}

// ---- the numerics of other frameworks ----------------------------------------------------------

bool is_tflite(const Layer& l) {
  return l.numerics == OCTET_NUMERICS_TFLITE || l.numerics == OCTET_NUMERICS_TFLITE_SINGLE;
}

int64_t away_from_zero(double v) {
  return static_cast<int64_t>(v < 0 ? -floor(0.5 - v) : floor(v + 0.5));
}

// x / s + z within the type, rounded as the framework does.
int32_t quantize_named(const Layer& l, float x) {
  const int32_t qmin = type_min(l.out.type), qmax = type_max(l.out.type);
  if (!is_tflite(l))
    return quantize(x, l.out.scale, l.out.zero_point, qmin, qmax,
                    l.numerics == OCTET_NUMERICS_ONNX);
  const float t = x / l.out.scale;
  const int64_t q = away_from_zero(static_cast<double>(std::clamp(t, -1e6f, 1e6f)));
  return static_cast<int32_t>(std::clamp<int64_t>(q + l.out.zero_point, qmin, qmax));
}

int64_t bias_named(const Layer& l, size_t col, float unit) {
  if (l.bias_type == OCTET_S32) return l.bias_i[col];
  if (l.bias_type != OCTET_F32) return 0;
  const float b = l.bias_f[col];
  if (is_tflite(l)) return away_from_zero(static_cast<double>(b / unit));
  const float inverse = 1.0f / unit;
  return static_cast<int64_t>(
      nearbyintf(l.numerics == OCTET_NUMERICS_QNNPACK ? b * inverse : b / unit));
}

// floor(x / 2^bits)
int64_t down(int64_t x, int bits) { return x >> bits; }

// acc times the real multiplier d, in 32-bit fixed point.
int64_t multiply_fixed(int64_t acc, double d, bool single) {
  int exponent;
  const double q = frexp(d, &exponent);
  int64_t m = away_from_zero(ldexp(q, 31));
  if (m == int64_t{1} << 31) {
    m >>= 1;
    ++exponent;
  }
  if (exponent < -31) return 0;
  if (exponent > 30) {
    exponent = 30;
    m = (int64_t{1} << 31) - 1;
  }
  if (single) return down(acc * m + (int64_t{1} << (30 - exponent)), 31 - exponent);
  const int64_t shifted = exponent > 0 ? acc * (int64_t{1} << exponent) : acc;
  const int64_t x = std::clamp<int64_t>(shifted, INT32_MIN, INT32_MAX);
  const int64_t high = down(x * m + (int64_t{1} << 30), 31);
  if (exponent >= 0) return high;
  const int64_t half = int64_t{1} << (-exponent - 1);
  return high < 0 ? -down(half - high, -exponent) : down(high + half, -exponent);
}

// Elements of the residual: s * (r - z) in units of the output scale, or a float.
float residual_q8(const Layer& l, size_t at) {
  const int32_t q = l.residual.type == OCTET_S8 ? static_cast<int8_t>(l.r[at]) : l.r[at];
  const float unit = l.residual.scale / l.out.scale;
  return unit * static_cast<float>(q - l.residual.zero_point);
}
float residual_f32(const Layer& l, size_t at) {
  float r;
  memcpy(&r, l.r.data() + at * 4, 4);
  return r;
}

template <class T>
void append(std::vector<uint8_t>* bytes, T value) {
  const uint8_t* p = reinterpret_cast<const uint8_t*>(&value);
  bytes->insert(bytes->end(), p, p + sizeof value);
}

// A scale for each group of K: exact integers within a group, a float sum over groups.
std::vector<uint8_t> group_model(const Layer& l, const Activations& a) {
  std::vector<uint8_t> y;
  const int64_t groups = l.k / l.group;
  for (int64_t i = 0; i < l.m; ++i)
    for (int64_t j = 0; j < l.n; ++j) {
      const size_t row = static_cast<size_t>(i), col = static_cast<size_t>(j);
      float f = 0;
      for (int64_t g = 0; g < groups; ++g) {
        const size_t at = static_cast<size_t>(j * groups + g);
        int64_t acc = 0;
        for (int64_t k = g * l.group; k < (g + 1) * l.group; ++k)
          acc += int64_t{a.q[static_cast<size_t>(i * l.k + k)] - a.zero[row]} *
                 (weight(l, static_cast<size_t>(j * l.k + k)) - l.w_zero[at]);
        if (acc != static_cast<int32_t>(acc)) ADD_FAILURE() << "this layer is not exact";
        const float product = static_cast<float>(static_cast<int32_t>(acc)) * l.w_scale[at];
        f = f + product;
      }
      float v = f * a.scale[row];
      if (l.bias_type) v = v + l.bias_f[col];
      if (l.out.type == OCTET_F32) {
        append(&y, a.finite[row] ? activate(l, v) : __builtin_nanf(""));
      } else {
        const float inverse = 1.0f / l.out.scale;
        append(&y, static_cast<uint8_t>(to_q8(l, v * inverse)));
      }
    }
  return y;
}

}  // namespace

uint8_t named_q8(const Layer& l, int64_t sum, size_t col, float sx, float sw) {
  const float unit = sx * sw;
  const int64_t acc = sum + bias_named(l, col, unit);
  if (static_cast<int32_t>(acc) != acc) ADD_FAILURE() << "this layer is not exact";
  int64_t y;
  if (is_tflite(l)) {
    const double d =
        static_cast<double>(sx) * static_cast<double>(sw) / static_cast<double>(l.out.scale);
    y = multiply_fixed(acc, d, l.numerics == OCTET_NUMERICS_TFLITE_SINGLE);
  } else {
    const float mult = unit / l.out.scale;
    const float v = static_cast<float>(acc) * mult;
    y = static_cast<int64_t>(nearbyintf(std::clamp(v, -1e6f, 1e6f)));
  }
  int64_t lo = type_min(l.out.type), hi = type_max(l.out.type);
  if (l.act == OCTET_RELU || l.act == OCTET_RELU6) lo = quantize_named(l, 0);
  if (l.act == OCTET_RELU6) hi = quantize_named(l, 6);
  if (l.act == OCTET_CLAMP) {
    lo = quantize_named(l, l.lo);
    hi = quantize_named(l, l.hi);
  }
  return static_cast<uint8_t>(std::clamp<int64_t>(y + l.out.zero_point, lo, hi));
}

std::vector<uint8_t> model(const Layer& l) {
  const Activations a = activations(l);
  const bool per_row = l.in_scale.size() != 1 || l.mode == Mode::kDynamicRow;
  if (l.group) return group_model(l, a);
  std::vector<uint8_t> y;
  for (int64_t i = 0; i < l.m; ++i)
    for (int64_t j = 0; j < l.n; ++j) {
      const size_t row = static_cast<size_t>(i), col = static_cast<size_t>(j);
      const size_t at = static_cast<size_t>(i * l.n + j);
      const float sw = l.w_scale[l.w_scale.size() == 1 ? 0 : col];
      const int32_t zw = l.w_zero[l.w_zero.size() == 1 ? 0 : col];
      const bool named = l.numerics != OCTET_NUMERICS_TORCH;
      int64_t sum = l.bias_type == OCTET_S32 && !named ? l.bias_i[col] : 0;
      for (int64_t k = 0; k < l.k; ++k)
        sum += int64_t{a.q[static_cast<size_t>(i * l.k + k)] - a.zero[row]} *
               (weight(l, static_cast<size_t>(j * l.k + k)) - zw);
      if (named) {
        y.push_back(named_q8(l, sum, col, a.scale[row], sw));
        continue;
      }
      const int32_t acc = static_cast<int32_t>(sum);
      if (acc != sum) ADD_FAILURE() << "this layer is not exact";
      const float f = static_cast<float>(acc);
      const float p = a.scale[row] * sw;
      const bool has_bias = l.bias_type == OCTET_F32;
      const float b = has_bias ? l.bias_f[col] : 0;
      if (l.out.type == OCTET_S32) {
        append(&y, acc);
      } else if (l.out.type == OCTET_F32) {
        float v = f * p;
        if (has_bias) v = v + b;
        if (l.residual.type) v = v + residual_f32(l, at);
        append(&y, a.finite[row] && !isnan(v) ? activate(l, v) : __builtin_nanf(""));
      } else if (per_row) {
        float v = f * p;
        if (has_bias) v = v + b;
        const float inverse = 1.0f / l.out.scale;
        v = v * inverse;
        if (l.residual.type) v = v + residual_q8(l, at);
        append(&y, static_cast<uint8_t>(to_q8(l, v)));
      } else {
        const float mult = p / l.out.scale;
        float v = (has_bias ? f + b / p : f) * mult;
        if (l.residual.type) v = v + residual_q8(l, at);
        append(&y, static_cast<uint8_t>(to_q8(l, v)));
      }
    }
  return y;
}

}  // namespace octet_test

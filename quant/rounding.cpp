// SPDX-License-Identifier: Apache-2.0
#include "quant/rounding.h"

#include <math.h>

#include "quant/elementary.h"
#include "quant/sums.h"

namespace octet {
namespace {

// y[i] -= a * x[i]. In blocks of a fixed size, which compilers turn into vectors.
void subtract_scaled(double* y, const double* x, double a, int64_t n) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int l = 0; l < 8; ++l) y[i + l] -= a * x[i + l];
  for (; i < n; ++i) y[i] -= a * x[i];
}

void add_scaled(double* y, const double* x, double a, int64_t n) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int l = 0; l < 8; ++l) y[i + l] += a * x[i + l];
  for (; i < n; ++i) y[i] += a * x[i];
}

float clamp_float(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

void copy(double* to, const double* from, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = from[i];
}

}  // namespace

namespace {

// The squared error of rounding all of w.
double squared_error(const Rounder& r, const Reals& w) {
  OrderedSum sum;
  float buffer[kRealsBlock];
  for (int64_t n = w.first_row; n < w.first_row + w.rows; ++n)
    for (int64_t k = 0; k < w.columns; k += kRealsBlock) {
      const int64_t count = w.columns - k < kRealsBlock ? w.columns - k : kRealsBlock;
      const float* x = w.read(w.self, n, w.first_column + k, count, buffer);
      sum.add(count, [&](int64_t i) {
        const double d = double{r.dequantize(r.quantize(x[i]))} - double{x[i]};
        return d * d;
      });
    }
  return sum.total();
}

}  // namespace

void least_error_range(const Chooser& c, bool divide, const Reals& w, float* min, float* max) {
  const float low = *min, high = *max;
  const float absmax = -low > high ? -low : high;
  double least = __builtin_inf();
  for (int i = 128; i >= 32; --i) {
    const float end = absmax * (static_cast<float>(i) / 128);
    const float from = clamp_float(low, -end, end), to = clamp_float(high, -end, end);
    float scale;
    int32_t zero;
    choose(c, from, to, &scale, &zero);
    const double error = squared_error(Rounder(scale, zero, c.qmin, c.qmax, divide), w);
    if (error < least) {
      least = error;
      *min = from;
      *max = to;
    }
  }
}

bool searched_scales_in_domain(const Chooser& c, float min, float max) {
  float whole, quarter;
  int32_t zero;
  choose(c, min, max, &whole, &zero);
  choose(c, min / 4, max / 4, &quarter, &zero);
  return scale_in_domain(whole) && scale_in_domain(quarter);
}

bool inverse_factor(const double* h, int64_t k, double damp, double* u, double* column) {
  double mean = 0;
  for (int64_t i = 0; i < k; ++i) mean += h[i * k + i] == 0 ? 1 : h[i * k + i];
  mean /= static_cast<double>(k);
  for (int64_t i = 0; i < k; ++i) {
    copy(u + i * k + i, h + i * k + i, k - i);
    double& diagonal = u[i * k + i];
    diagonal = (diagonal == 0 ? 1 : diagonal) + damp * mean;
  }
  // h = m m' with m upper triangular, from the last column to the first: m then is the inverse of
  // the factor that is asked for.
  for (int64_t j = k - 1; j >= 0; --j) {
    const double square = u[j * k + j];
    if (!(square > 0) || square - square != 0) return false;
    const double pivot = __builtin_sqrt(square);
    for (int64_t i = 0; i < j; ++i) column[i] = u[i * k + j] / pivot;
    for (int64_t i = 0; i < j; ++i) {
      subtract_scaled(u + i * k + i, column + i, column[i], j - i);
      u[i * k + j] = column[i];
    }
    u[j * k + j] = pivot;
  }
  // Rows of the inverse from the last to the first: row i = (e_i - sum of m_ij row j) / m_ii.
  for (int64_t i = k - 1; i >= 0; --i) {
    copy(column + i, u + i * k + i, k - i);
    double* row = u + i * k;
    for (int64_t j = i; j < k; ++j) row[j] = 0;
    row[i] = 1;
    for (int64_t j = i + 1; j < k; ++j) subtract_scaled(row + j, u + j * k + j, column[j], k - j);
    for (int64_t j = i; j < k; ++j) row[j] /= column[i];
    if (!(row[i] - row[i] == 0)) return false;
  }
  return true;
}

namespace {

// The rounder for the group that begins at k0, from the weights as they are.
bool group_rounder(const GptqRow& row, int64_t k0, Rounder* out) {
  float min = static_cast<float>(row.w[k0]), max = min;
  for (int64_t i = 0; i < row.group; ++i) {
    const float x = row.scratch[i] = static_cast<float>(row.w[k0 + i]);
    if (!(x - x == 0)) return false;
    min = x < min ? x : min;
    max = x > max ? x : max;
  }
  const Chooser& c = *row.chooser;
  if (row.mse) {
    const auto read = [](const void* self, int64_t, int64_t column, int64_t, float*) {
      return static_cast<const float*>(self) + column;
    };
    least_error_range(c, row.divide, {read, row.scratch, 0, 1, 0, row.group}, &min, &max);
  }
  float scale;
  int32_t zero;
  choose(c, min, max, &scale, &zero);
  *out = Rounder(scale, zero, c.qmin, c.qmax, row.divide);
  return scale_in_domain(scale);
}

}  // namespace

bool gptq_row(const GptqRow& row, int32_t* q, float* scale, int32_t* zero) {
  const int64_t k = row.k;
  for (int64_t i = 0; i < k; ++i)
    if (row.h[i * k + i] == 0) row.w[i] = 0;
  Rounder r = row.whole;
  for (int64_t i = 0; i < k; ++i) {
    if (row.per_group && i % row.group == 0) {
      if (!group_rounder(row, i, &r)) return false;
      scale[i / row.group] = r.scale;
      zero[i / row.group] = r.zero;
    }
    q[i] = r.quantize(static_cast<float>(row.w[i]));
    const double* u = row.u + i * k;
    const double error = (row.w[i] - double{r.dequantize(q[i])}) / u[i];
    subtract_scaled(row.w + i + 1, u + i + 1, error, k - i - 1);
  }
  return true;
}

double adaround_start(double v) { return -log_of(1.2 / (v - floor(v) + 0.1) - 1); }

double adaround_beta(int32_t i, int32_t n) {
  const double warm = 0.2 * n;
  return 2 + 9 * (1 + cos_pi((i - warm) / (n - warm)));
}

namespace {

double sigmoid(double v) { return 1 / (1 + exp_of(-v)); }

// How much of a step the weight with parameter v is rounded up, and the derivative of that.
void soften(double v, double* h, double* slope) {
  const double s = sigmoid(v), stretched = s * 1.2 - 0.1;
  *h = stretched < 0 ? 0 : stretched > 1 ? 1 : stretched;
  *slope = stretched > 0 && stretched < 1 ? 1.2 * s * (1 - s) : 0;
}

// One channel's arrays of k doubles.
struct Channel {
  double *base, *v, *m, *s, *h, *slope, *delta, *gradient;
};

// The derivative of 0.001 * (1 - |2h - 1|^beta) with respect to h.
double regularizer(double h, double beta) {
  const double d = 2 * h - 1, size = d < 0 ? -d : d;
  if (size == 0) return 0;
  const double slope = 2 * beta * power_of(size, beta - 1);
  return 0.001 * (d < 0 ? slope : -slope);
}

}  // namespace

void adaround_rows(const AdaRound& a, int count, const float* w, const Rounder* rounders,
                   int32_t* q) {
  const int64_t k = a.k, groups = k / a.group;
  Channel channel[kAdaRows] = {};
  for (int c = 0; c < count; ++c) {
    double* p = a.scratch + c * 8 * k;
    channel[c] = {p, p + k, p + 2 * k, p + 3 * k, p + 4 * k, p + 5 * k, p + 6 * k, p + 7 * k};
    for (int64_t i = 0; i < k; ++i) {
      const Rounder& r = rounders[c * groups + i / a.group];
      const double v = double{w[c * k + i]} / double{r.scale};
      channel[c].base[i] = floor(v);
      channel[c].v[i] = adaround_start(v);
      channel[c].m[i] = channel[c].s[i] = 0;
    }
  }
  double decay1 = 1, decay2 = 1;  // powers of Adam's two rates
  for (int32_t step = 0; step < a.iterations; ++step) {
    decay1 *= 0.9;
    decay2 *= 0.999;
    const bool regular = step >= 0.2 * a.iterations;
    const double beta = regular ? adaround_beta(step, a.iterations) : 0;
    for (int c = 0; c < count; ++c) {
      const Channel& ch = channel[c];
      for (int64_t i = 0; i < k; ++i) {
        const Rounder& r = rounders[c * groups + i / a.group];
        const double low = r.qmin - r.zero, high = r.qmax - r.zero;
        soften(ch.v[i], ch.h + i, ch.slope + i);
        double at = ch.base[i] + ch.h[i];
        at = at < low ? low : at > high ? high : at;
        ch.delta[i] = double{r.scale} * at - double{w[c * k + i]};
        ch.gradient[i] = 0;
      }
    }
    for (int64_t j = 0; j < k; ++j)
      for (int c = 0; c < count; ++c)
        add_scaled(channel[c].gradient, a.h + j * k, channel[c].delta[j], k);
    for (int c = 0; c < count; ++c) {
      const Channel& ch = channel[c];
      for (int64_t i = 0; i < k; ++i) {
        const Rounder& r = rounders[c * groups + i / a.group];
        const double low = r.qmin - r.zero, high = r.qmax - r.zero;
        const double at = ch.base[i] + ch.h[i];
        double g = at >= low && at <= high ? 2 * ch.gradient[i] / a.rows * double{r.scale} : 0;
        if (regular) g += regularizer(ch.h[i], beta);
        g *= ch.slope[i];
        ch.m[i] = 0.9 * ch.m[i] + (1 - 0.9) * g;
        ch.s[i] = 0.999 * ch.s[i] + (1 - 0.999) * (g * g);
        ch.v[i] -=
            a.lr * (ch.m[i] / (1 - decay1)) / (__builtin_sqrt(ch.s[i] / (1 - decay2)) + 1e-8);
      }
    }
  }
  for (int c = 0; c < count; ++c)
    for (int64_t i = 0; i < k; ++i) {
      const Rounder& r = rounders[c * groups + i / a.group];
      const double low = r.qmin - r.zero, high = r.qmax - r.zero;
      double at = channel[c].base[i] + (channel[c].v[i] >= 0 ? 1 : 0);
      at = at < low ? low : at > high ? high : at;
      q[c * k + i] = static_cast<int32_t>(at) + r.zero;
    }
}

}  // namespace octet

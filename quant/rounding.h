// SPDX-License-Identifier: Apache-2.0
//
// Scale and integers of weights outside of the packed form: rounding to nearest, the scale of least
// squared error, GPTQ and AdaRound (docs/numerics.md, "Weight methods"). Plain arrays, no
// allocation: the caller brings the scratch. Everything is binary64 in one order, so that the
// integers are the same on every machine and for any number of threads.
#pragma once

#include <stdint.h>

#include "quant/qparams.h"

namespace octet {

// How real weights become integers.
struct Rounder {
  float scale;
  float multiplier;  // fl(1 / scale), or the scale itself where `divide`
  int32_t zero, qmin, qmax;
  bool divide;

  Rounder() = default;
  Rounder(float s, int32_t z, int32_t low, int32_t high, bool by_division)
      : scale(s),
        multiplier(by_division ? s : 1.0f / s),
        zero(z),
        qmin(low),
        qmax(high),
        divide(by_division) {}

  // quantize of docs/numerics.md; x is finite.
  int32_t quantize(float x) const {
    float t = divide ? x / multiplier : x * multiplier;
    const float low = static_cast<float>(qmin - zero), high = static_cast<float>(qmax - zero);
    t = t > low ? t : low;
    t = t < high ? t : high;
    // Adding 1.5 * 2^23 leaves no room for a fraction: |t| is at most 2^17, so this is rne.
    return static_cast<int32_t>((t + 12582912.0f) - 12582912.0f) + zero;
  }
  float dequantize(int32_t q) const { return scale * static_cast<float>(q - zero); }
};

// Finite weights that share a scale, read in blocks of one row.
constexpr int64_t kRealsBlock = 512;
struct Reals {
  // `count` weights, at most kRealsBlock, of a row from `column` on: in place or in buffer.
  typedef const float* Read(const void* self, int64_t row, int64_t column, int64_t count,
                            float* buffer);
  Read* read;
  const void* self;
  int64_t first_row, rows, first_column, columns;
};

// OCTET_RANGE_MSE on weights: their range is cut to +-fl(absmax * i / 128), i = 128 down to 32, and
// the first cut with the least squared error wins. [*min, *max]: what the weights span, then the
// range chosen. qmin and qmax are the chooser's.
void least_error_range(const Chooser& c, bool divide, const Reals& w, float* min, float* max);
// The scales of that search lie between those of the whole range and of a quarter of it: true when
// both are in the domain of scales.
bool searched_scales_in_domain(const Chooser& c, float min, float max);

// ---- GPTQ ----

// From a Gram matrix h [k][k] (its upper triangle is read) to the upper Cholesky factor u of the
// inverse of h + damp * mean(diag) * I, ready for gptq_row. False: not positive definite, u is
// garbage. column: k doubles of scratch.
bool inverse_factor(const double* h, int64_t k, double damp, double* u, double* column);

// Rounds one output channel. w: its k weights, changed on the way. h: for its zero diagonal
// elements, whose weights become 0. group: elements that share a scale, a divisor of k; the scale
// of group g is taken from w as it is then, unless per_group is false: then `whole` serves all.
struct GptqRow {
  const double *h, *u;
  int64_t k, group;
  const Chooser* chooser;
  bool divide, mse;  // mse: the range of each group is searched by least_error_range
  bool per_group;
  Rounder whole;
  double* w;       // k
  float* scratch;  // group, where per_group
};
// False: a group needs a scale outside the domain. scale, zero: k / group, where per_group.
bool gptq_row(const GptqRow& row, int32_t* q, float* scale, int32_t* zero);

// ---- AdaRound ----

constexpr int kAdaRows = 4;  // channels that are learned together, so that h is read once for all

struct AdaRound {
  const double* h;
  double rows;  // that h is the sum of
  int64_t k, group;
  int32_t iterations;
  double lr;
  double* scratch;  // adaround_scratch(k) doubles
};
inline int64_t adaround_scratch(int64_t k) { return 8 * kAdaRows * k; }

// Rounds `count` (1..kAdaRows) channels up or down. w: [count][k]; rounders: [count][k / group];
// q: [count][k].
void adaround_rows(const AdaRound& a, int count, const float* w, const Rounder* rounders,
                   int32_t* q);

// The start of AdaRound for x / scale = v: the h that keeps v where it is.
double adaround_start(double v);
// The exponent of its regularizer in iteration i of n, after the first fifth.
double adaround_beta(int32_t i, int32_t n);

}  // namespace octet

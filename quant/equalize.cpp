// SPDX-License-Identifier: Apache-2.0
#include "quant/equalize.h"

#include "quant/elementary.h"

namespace octet {
namespace {

constexpr int kRounds = 20;
constexpr double kStill = 1e-4;

}  // namespace

void cross_layer_factors(const ChannelRanges* channels, long long count, double* t) {
  for (long long c = 0; c < count; ++c) t[c] = 1;
  for (int round = 0; round < kRounds; ++round) {
    double change1 = 0, change2 = 0;
    for (long long c = 0; c < count; ++c) {
      const ChannelRanges& r = channels[c];
      if (r.range1 == 0 || r.range2 == 0) continue;
      const double next = t[c] * __builtin_sqrt((r.range1 / t[c]) / (r.range2 * t[c] + 1e-9));
      const double moved1 = 1 / next - 1 / t[c], moved2 = next - t[c];
      change1 += r.square1 * (moved1 * moved1);
      change2 += r.square2 * (moved2 * moved2);
      t[c] = next;
    }
    if (__builtin_sqrt(change1) + __builtin_sqrt(change2) < kStill) return;
  }
}

double smooth_factor(double x_absmax, double w_absmax, double alpha) {
  const double x = x_absmax > 1e-5 ? x_absmax : 1e-5, w = w_absmax > 1e-5 ? w_absmax : 1e-5;
  if (alpha == 0.5) return __builtin_sqrt(x / w);
  return exp_of(alpha * log_of(x) - (1 - alpha) * log_of(w));
}

double input_weight_factor(double x_range, double w_range) {
  const double t = __builtin_sqrt(w_range / x_range);
  return t > 0 && t - t == 0 ? t : 1;
}

}  // namespace octet

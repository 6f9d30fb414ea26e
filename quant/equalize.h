// SPDX-License-Identifier: Apache-2.0
//
// Factors that move range between neighbours without changing what they compute together
// (docs/numerics.md, "Weight methods"): from one layer to the next, or from activations to weights.
#pragma once

namespace octet {

// What cross-layer equalization knows of one channel: of the weights that make it (1) and of those
// that read it (2).
struct ChannelRanges {
  double range1, range2;    // max - min
  double square1, square2;  // sums of squares
};

// Weights 1 and the bias are divided by t, weights 2 multiplied. Rounds until the summed norms of
// the weights' changes fall under 1e-4, at most 20. t: count doubles, written.
void cross_layer_factors(const ChannelRanges* channels, long long count, double* t);

// SmoothQuant: x is divided by t, the weights multiplied. alpha in (0, 1].
double smooth_factor(double x_absmax, double w_absmax, double alpha);

// Input-weight equalization: x is multiplied by t, the weights divided.
double input_weight_factor(double x_range, double w_range);

}  // namespace octet

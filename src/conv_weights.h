// SPDX-License-Identifier: Apache-2.0
//
// The form of packed convolution weights: panels of 16 output channels as a matrix has them, and
// what their columns and their K mean.
//
// Columns. Groups that share panels are a unit. A unit is one group, or where a group has fewer
// than 16 output channels as many groups as fit into one panel: block-diagonal, the weights of a
// column for the channels of other groups are the column's zero point, so that they add nothing and
// corrections over all of the unit's K are exact. Side arrays have a slot for each column of each
// unit's panels.
//
// K. A run is a stretch of taps and channels that lies contiguously in a dense image: a row of the
// kernel where a unit has all channels, else one tap. Each run is padded with zero weights to a
// multiple of 4 as a whole.
//
// Transposed convolution is one convolution for each phase: each remainder of output indices by the
// strides. Tap t of a dim belongs to phase (t * dilation) mod stride. A panel holds its taps phase
// by phase, and column sums are [phases][slots].
//
// Depthwise (one input channel a group): columns in plain order of output channels, K the taps.
#pragma once

#include "src/geometry.h"

namespace octet {

// Taps of one dim: first, first + step, ...
struct Taps {
  int64_t first, step, count;
};

struct ConvForm {
  int32_t rank = 0;  // spatial dims; 0: a matrix, or a unit of a convolution seen as one
  int32_t groups = 1;
  bool transposed = false, depthwise = false;
  // D H W; 1 where the tensor lacks the dim. Stride and dilation of transposed convolution only,
  // else 1: those of a plain one are its op's.
  int32_t kernel[kMaxSpatial] = {1, 1, 1};
  int32_t stride[kMaxSpatial] = {1, 1, 1}, dilation[kMaxSpatial] = {1, 1, 1};
  int64_t in_channels = 0, out_channels = 0;  // of all groups

  // ---- columns ----
  int64_t unit_groups = 1, units = 1, unit_panels = 0;  // the last unit may have fewer groups

  int64_t group_in() const { return in_channels / groups; }
  int64_t group_out() const { return out_channels / groups; }
  int64_t groups_of(int64_t unit) const {
    const int64_t left = groups - unit * unit_groups;
    return left < unit_groups ? left : unit_groups;
  }
  // A unit's first channel and how many it has. Depthwise is one unit of all output channels, whose
  // columns have one input channel each: first_in and unit_in do not tell which.
  int64_t first_in(int64_t unit) const { return unit * unit_groups * group_in(); }
  int64_t first_out(int64_t unit) const { return unit * unit_groups * group_out(); }
  int64_t unit_in(int64_t unit) const { return depthwise ? 1 : groups_of(unit) * group_in(); }
  int64_t unit_out(int64_t unit) const { return groups_of(unit) * group_out(); }
  int64_t unit_slots() const { return unit_panels * 16; }
  int64_t slots() const { return units * unit_slots(); }
  int64_t slot(int64_t out_channel) const;  // where it stands in the side arrays
  int64_t channel(int64_t slot) const;      // -1: none, the slot fills up a panel

  // ---- K ----
  int64_t kernel_taps() const { return int64_t{kernel[0]} * kernel[1] * kernel[2]; }
  // 1 unless transposed.
  int64_t phases() const { return int64_t{stride[0]} * stride[1] * stride[2]; }
  int64_t coordinate(int dim, int64_t phase) const;  // of a phase, in 0 .. stride[dim] - 1
  // Taps of a dim that belong to a coordinate; those of a phase are their product, D H W order.
  Taps taps_along(int dim, int64_t coordinate) const;
  int64_t taps(int64_t phase) const;
  // Kernel rows are one run: kernel[2] taps of unit_in bytes.
  bool row_runs() const { return units == 1 && !transposed && !depthwise; }
  int64_t run_taps() const { return depthwise ? kernel_taps() : row_runs() ? kernel[2] : 1; }
  int64_t run_bytes(int64_t unit) const { return run_taps() * unit_in(unit); }
  int64_t padded_run(int64_t unit) const { return (run_bytes(unit) + 3) / 4 * 4; }
  int64_t runs(int64_t phase) const { return taps(phase) / run_taps(); }
  // K of a phase as a tile has it: all runs, padded.
  int64_t packed_k(int64_t phase, int64_t unit) const { return runs(phase) * padded_run(unit); }
  // Where a phase begins in the K of a panel, and where the channels of tap (d, h, w) do.
  int64_t phase_k(int64_t phase, int64_t unit) const;
  int64_t tap_k(const int64_t tap[kMaxSpatial], int64_t unit) const;
  int64_t phase_of(const int64_t tap[kMaxSpatial]) const;
  // K of a whole panel.
  int64_t panel_k(int64_t unit) const { return kernel_taps() / run_taps() * padded_run(unit); }
  // Of one output channel, unpadded: what the bound on exact sums counts.
  int64_t logical_k() const { return kernel_taps() * group_in(); }
};

// Phases beyond this are refused: a column sum is kept for each.
constexpr int64_t kMaxPhases = 1 << 16;

// The form of weights whose fields are legal: kernel, stride and dilation are `rank` values, D H W,
// H W or W; of a plain convolution stride and dilation are not looked at. groups divides both
// channel counts. rank 0: a matrix, whose panels are those of a 1x1 convolution.
ConvForm make_conv_form(int32_t rank, int32_t groups, bool transposed, const int32_t* kernel,
                        const int32_t* stride, const int32_t* dilation, int64_t in_channels,
                        int64_t out_channels);

struct WeightsView;
// The panels of one unit and phase as a matrix: n = unit_out, k = packed_k, side arrays of the
// unit's slots. K 0 where the phase has no taps.
WeightsView unit_view(const WeightsView& w, int64_t phase, int64_t unit);

}  // namespace octet

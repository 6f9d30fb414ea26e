// SPDX-License-Identifier: Apache-2.0
//
// Convolution layers. A layer is a Linear (types, bounds, numerics, kernels) whose rows of
// activations are found in an image: the windows of its output pixels. How they are found is the
// rung of a ladder, chosen at create and told by plan and describe:
//   depthwise  one input channel for each output channel: kernels of their own
//   pointwise  1x1 without padding: the linear layer on a view of the image
//   gathered   the windows of a block of pixels are copied into rows of the workspace: few input
//              channels (of joined weights: rows of the kernel one behind the other without
//              padding), layouts that want a row in one piece, weights with zero points
//              (AMX's blocks read strips of pixels in place, where those fill their tiles)
//   direct     tiles read the image in place, tap by tap; taps outside read a row of zero points
//   lanes      the same with tiles of small groups, all of which they take together
// Other groups are units of panels that take turns on the same rows; a transposed convolution is
// one plain convolution for each of its phases. Nothing of it changes a bit of the result.
#pragma once

#include "src/depthwise.h"
#include "src/linear.h"

namespace octet {

enum class Rung : int32_t { kDepthwise, kPointwise, kGathered, kDirect, kLanes };

// Rows of the kernel along a dim that tiles may leave out where they lie in the padding
// (src/conv_padding.h): how many at most at each end, and what sums begin with then.
struct Omits {
  int32_t dim;             // D where the kernel has several planes, else H
  int32_t before, behind;  // 0: none
  int32_t left, right;     // columns of the kernel, likewise: of dilated layers, whose dim is H
  const int32_t* ibias;    // [arrays() - 1][slots]; null: not kept

  bool columns() const { return left || right; }
  bool any() const { return before || behind || columns(); }
  int64_t arrays() const { return int64_t{before + 1} * (behind + 1) * (left + 1) * (right + 1); }
};

struct alignas(64) Conv {  // column arrays follow it
  WeightsView w;
  Linear linear;  // its w: that of the whole, or of kPointwise the matrix; its table: of one unit
  GemmTable direct_table;  // indexed tiles on canonical panels; count 0: the direct rung is closed
  int32_t rank;
  Axis axes[kMaxSpatial];  // of each call without extents; D H W
  int32_t out_pad[kMaxSpatial];
  bool per_sample;  // a dynamic layer's scale: one for each index of dims[0], else one for all
  bool has_lut;
  uint8_t lut[256];
  LookupFn* lookup;
  Rung rung;
  const char* why;
  DepthwiseLayer depthwise;  // kDepthwise
  size_t depthwise_bytes;    // of the block that it reads
  Columns columns;           // kStatic: of all slots; ibias: [phases][slots]
  Finish finish;             // kPointwise and kStatic: for linear.fixed_finish
  Omits omits;               // kDirect, kLanes
  int32_t lane;              // kLanes: channels of a group as its tiles count them; else 0
  const int8_t* lanes;       // and their copy of the weights (src/conv_lanes.h)
  int64_t widest_k;          // packed K of the longest phase, of the first unit
  // kGathered, few channels: K without the padding of each row of the kernel, and the op's own
  // panels of that K; 0: none.
  int64_t joined_k;
  const int8_t* joined;

  const ConvForm& form() const { return w.conv; }
  bool direct() const { return rung == Rung::kDirect || rung == Rung::kLanes; }
  // Units that take turns, and the columns of the first.
  int64_t units() const { return lane ? 1 : form().units; }
  int64_t unit_out() const { return lane ? form().out_channels : form().unit_out(0); }
  // Channels are no multiple of 4: rows of the kernel can be read in place, single taps not.
  bool ragged() const { return form().in_channels % 4 && form().units == 1; }
};

// The panels of joined weights.
inline size_t joined_bytes(const Conv& v) {
  return static_cast<size_t>(v.joined_k * v.form().slots());
}
void fill_joined(const Conv& v, int8_t* to);

// The tensors of a call with the axes sized to them: [batch, spatial..., channels].
struct ConvCall {
  View x, y, r;
  bool has_residual;
  int64_t batch;
  Axis axes[kMaxSpatial];

  bool empty() const { return !batch || !axes[0].out || !axes[1].out || !axes[2].out; }
  int64_t pixels() const { return axes[0].out * axes[1].out * axes[2].out; }  // of a sample
};

// Bytes from an index to the next of a view [batch, spatial..., channels]: N D H W, 0 where the
// tensor lacks the dim.
struct Steps {
  int64_t n, d[kMaxSpatial];
};
Steps steps_of(const View& v);

// One dim of a convolution, or of a phase of a transposed one: output index q, of `out`, lies at
// out_first + q * out_step of the tensor and reads input indices first + q * stride + t * step.
struct Slide {
  int64_t in, out, taps;
  int64_t first, stride, step;
  int64_t out_first, out_step;
};
Slide plain_slide(const Axis& a);
Slide phase_slide(const ConvForm& f, int dim, int64_t phase, const Axis& a);

// Columns of convolution weights: ibias has those of each phase.
size_t conv_columns_bytes(const WeightsView& w);
Columns conv_columns_at(const WeightsView& w, void* block);
octet_status fill_conv_columns(octet_error* err, const Conv& v, float scale, int32_t zero,
                               const Columns& to);

// Replaces `rows` finished rows of n bytes, `pitch` apart, by what the layer's table says.
void look_up(const Conv& v, char* y, int64_t rows, int64_t pitch, int64_t n);

// A desc that is read and right, and g. `weights` are those of a convolution.
octet_status prepare_conv(octet_error* err, const octet_context& c, const octet_linear_desc& d,
                          const octet_geometry* g, Conv* out);

// What would run for this number of output pixels in a row of equal distances. choice: as
// octet_exec.plan; candidates: those of the layer's own rung, then those of the other one.
struct ConvPlan {
  GemmPlan gemm;
  bool direct;
  int32_t candidates;
};
// Pixels at equal distances in a dense output: what plans are chosen for.
int64_t planned_pixels(const Conv& v, const ConvCall& call);
octet_status plan_conv(octet_error* err, const octet_context& c, const Conv& v, int64_t pixels,
                       int32_t choice, ConvPlan* out);

size_t conv_workspace(const octet_context& c, const Conv& v, const ConvCall& call,
                      const Exec& exec);

// All checked; the workspace holds conv_workspace bytes.
octet_status run_conv(octet_error* err, const octet_context& c, const Conv& v, const ConvCall& call,
                      const Exec& exec, void* workspace);

}  // namespace octet

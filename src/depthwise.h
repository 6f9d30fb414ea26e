// SPDX-License-Identifier: Apache-2.0
//
// Depthwise convolution: every output channel has one input channel. The image is taken in strips:
// a few rows of the output, as many pixels of them as keep the interleaved rows of the image in L1
// (kernels/kernel.h, Depthwise). The padding exists in that copy alone.
//
// A kernel of one row has nothing to interleave across the rows of an image. There the strip lies
// along W: its rows are columns of the image, and its pixels a column of the output, or every n-th
// pixel of a row.
//
// Kernels multiply units of kr rows. A row of the output whose window begins `shift` rows into a
// unit has weights of its own, moved down by so many zeros: one copy for each shift that occurs, in
// the op's memory. Weights with zero points are taken less their zero point; where the difference
// is no s8 it is split into sums of several, and each step occurs that often.
#pragma once

#include "src/geometry.h"
#include "src/weights.h"

namespace octet {

constexpr int32_t kMaxStripRows = 8;  // of the output

// How the rows of a strip lie in its units. Plain data; depends on the kernel's size alone.
struct StripForm {
  int32_t units;                   // for each plane of the kernel
  int32_t rows;                    // of the output, at most
  int32_t planes;                  // of the kernel
  int32_t kernel[2], dilation[2];  // H W; along W: W, and 1
  int32_t stride;                  // rows of the image from a row of the output to the next
  int32_t kr, parts;               // parts: how often each step occurs
  bool along;                      // rows of the strip are columns of image and output,
  int32_t spread;                  // so many of the output apart

  int32_t unit_of(int32_t row) const { return row * stride / kr; }
  int32_t shift_of(int32_t row) const { return row * stride % kr; }
  int32_t units_of(int32_t shift) const { return (shift + kernel[0] + kr - 1) / kr; }
  int64_t steps_of(int32_t shift) const {
    return int64_t{planes} * units_of(shift) * kernel[1] * parts;
  }
};

// A depthwise layer: which kernel, and what it reads.
struct DepthwiseLayer {
  const Row* row;
  StripForm form;
  int64_t channels, multiplier;  // channels: of the output
  const int8_t* weights[4];      // by shift; nullptr: does not occur
  const int32_t* at[4];          // by shift
  const int32_t* zero;           // weights with zero points: theirs, else nullptr
  int64_t taps;
};

// The kernel of this context, or the forced one. out: kOutQ8, OCTET_F32 or OCTET_S32. Its `in`, U8
// or S8, is the form of the activations that the layer's columns must be made for.
const Row* depthwise_row(const octet_context& c, int32_t out);

// Fills *layer but for its pointers into `block`, and gives the block's size.
size_t size_depthwise(const WeightsView& w, const Row& row, const Axis axes[kMaxSpatial],
                      DepthwiseLayer* layer);
// Fills the block, 64-byte aligned, and the rest of *layer.
void fill_depthwise(const WeightsView& w, void* block, DepthwiseLayer* layer);

struct DepthwiseCall {
  const uint8_t* x;  // [n, d, h, w, channels / multiplier]
  char* y;           // [n, d, h, w, channels]
  const char* r;     // the residual, or nullptr
  int64_t batch;
  Axis axes[kMaxSpatial];                   // sized
  int64_t step_x[4], step_y[4], step_r[4];  // bytes, N D H W
  int32_t flip;                             // what makes bytes of x the kernel's form: 0 or 128
  int32_t pad;                              // the byte of the zero point in x, before flip
  int32_t zero;                             // the zero point after flip, as the columns have it
  Finish finish;       // columns in channel order; residual and ldr are set here
  const uint8_t* lut;  // applied last to q8 outputs, or nullptr
  LookupFn* lookup;    // with lut
};

size_t depthwise_workspace(const DepthwiseLayer& l, const Axis axes[kMaxSpatial], int64_t batch,
                           const Exec& exec);
// The workspace holds depthwise_workspace bytes.
octet_status run_depthwise(octet_error* err, const DepthwiseLayer& l, const DepthwiseCall& call,
                           const Exec& exec, void* workspace);

}  // namespace octet

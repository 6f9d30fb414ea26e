// SPDX-License-Identifier: Apache-2.0
//
// The tiles of a convolution: what the tasks of one stretch of samples and one phase share, and the
// memory that each has to itself.
#pragma once

#include "src/conv.h"

namespace octet {

struct Spot;

// Memory of a slot, and how much of everything it holds.
struct ConvScratch {
  int64_t pixels;   // of a block at most
  int64_t entries;  // offsets of all spots together, for each tap
  int64_t pitch;    // gathered: bytes from a row to the next
  Spot* spots;
  ptrdiff_t* offsets;
  char* rows;        // gathered rows, in the tiles' form
  char* raw;         // one row of bytes that is widened
  char* strips;      // gathered: lines of the image at its sides
  int32_t* sums;     // corrected sums of rows
  int32_t* partial;  // of a tile that takes its K in parts
  // Blocks that read the image in place: their strips, rows and taps (kernels/kernel.h, Block).
  ptrdiff_t *block_strips, *block_taps;
  int32_t* block_at;
  size_t bytes;

  // most: output pixels of the call.
  ConvScratch(const octet_context& c, const Conv& v, bool direct, int64_t most, void* base);
};

struct ConvJob {
  const Conv& v;
  const GemmPlan* plan;
  bool direct;
  int64_t phase;
  Slide slides[kMaxSpatial];
  int64_t samples;
  // The image: the caller's, or what was made of it.
  const char* image;
  Steps in;
  int64_t item;     // bytes of an element
  bool operands;    // elements are what the tiles read, else the caller's bytes
  const char* pad;  // direct: elements of the zero point
  int32_t zero;     // zero point of the elements
  int32_t operand_zero;
  // Output and residual, which begin at the phase's first pixel; from an output of it to the next.
  char* y;
  const char* r;
  Steps out, residual;
  WeightsView unit;     // of the phase, the first unit's; k: what gathered rows hold
  int64_t runs;         // of the phase
  int64_t taps_before;  // of earlier phases
  const int32_t* ibias;
  Finish finish;  // of the first unit
  // Outputs in runs of equal distances, cut into tasks.
  int64_t run, pitch_y, pitch_r;
  int64_t parts, runs_per_task, pixels_per_task;  // of a run, or whole ones
  int64_t tasks_m, units_per_task, columns_per_task;
  // Memory of the slots, for calls of `most` pixels.
  const octet_context& ctx;
  int64_t most;
  char* slots;
  size_t slot_bytes;
  // Rows of the kernel that tiles leave out, and pixels of a line; null: none.
  const Omits* omits;
  int64_t line;

  int64_t pixels() const { return samples * slides[0].out * slides[1].out * slides[2].out; }
};

// Sets run and the pitches from the steps.
void find_runs(ConvJob* j);
// Cuts into tasks; returns how many.
int64_t cut_conv(ConvJob* j, int32_t threads);
void conv_task(void* job, size_t task, size_t slot);

}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
//
// Packed weights: one canonical form that every kernel reads. Panels of 16 output channels with K
// in groups of 4, so that 64 bytes hold [16 channels][4 k]; side arrays (column sums, scales, zero
// points, bias as given) padded to 16 channels; a header with checksums. The size follows from the
// shape alone and the bytes from the source alone, so one file serves every CPU.
#pragma once

#include "src/parallel.h"
#include "src/tensor.h"

namespace octet {

// What kernels and ops need of packed weights, wherever they lie.
struct WeightsView {
  int64_t n, k;
  const int8_t* panels;  // panel p at panels + p * panel_stride: [ceil(k/4)][16][4]
  int64_t panel_stride;
  const int32_t* sums;   // [n16] sum over k of each channel's stored integers, which are s8
  const float* scale;    // [n16]; padding 1
  const int32_t* zero;   // [n16] zero points of the stored integers; padding 0
  const void* bias;      // [n16] of bias_type; padding 0
  octet_type bias_type;  // 0: none
  octet_type type;       // S8 or U8: of the integers as the caller gave or asked for them
  bool has_zero;         // some zero point is not 0
  // A second copy in the layout kLayoutProved, or null: bytes from here to each panel, the panels.
  const uint64_t* proved;
  float proved_load;  // its modelled cycles as a part of those with depth 2 throughout; 0: none

  const int8_t* proved_panel(int64_t p) const {
    return reinterpret_cast<const int8_t*>(proved) + proved[p];
  }

  int64_t n16() const { return (n + 15) / 16 * 16; }
  int64_t panel_count() const { return (n + 15) / 16; }
};

// Where the parts of a blob lie; a function of the shape alone.
struct BlobLayout {
  size_t panel_stride, panels, sums, scale, zero, bias, total;
};
BlobLayout blob_layout(int64_t n, int64_t k);

constexpr int64_t kMaxExtent = (int64_t{1} << 31) - 64;

}  // namespace octet

struct octet_weights {
  mutable std::atomic<uint32_t> refs{1};
  const octet_context* context = nullptr;
  octet::WeightsView view{};
  bool shape_only = false;
  const void* data = nullptr;  // the blob; nullptr for shape_only
  size_t bytes = 0;            // its own size
  size_t owned = 0;            // bytes allocated for it; 0: the caller's memory
  void* proved = nullptr;      // memory of view.proved
  size_t proved_bytes = 0;
  octet_blob source{};  // release callback of the caller's memory
};

namespace octet {

void retain(const octet_weights* w);

}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
//
// Packed weights: one canonical form that every kernel reads. Panels of 16 output channels with K
// in groups of 4, so that 64 bytes hold [16 channels][4 k]; side arrays (column sums, scales, zero
// points, bias as given) padded to 16 channels; a header with checksums. The size follows from the
// shape alone and the bytes from the source alone, so one file serves every CPU.
//
// 4-bit weights: 64 bytes are [16 channels][4 bytes] of 8 k; byte i holds k = i in its low and
// k = 4 + i in its high half, so that a mask and a shift give two rows of the canonical form.
// Stored is the unsigned u: q, and q + 8 of S4.
//
// Group-wise scales: a panel is a run of records, one for each group of K: the group's rows, then
// 64 bytes [16 channels](column sum, zero point) as int16 for each block of up to 128 k, then the
// 16 scales. A kernel reads one stream.
#pragma once

#include "src/conv_weights.h"
#include "src/parallel.h"
#include "src/tensor.h"

namespace octet {

// How weights of a shape are packed.
struct WeightsForm {
  octet_type type = OCTET_S8;  // as given or asked for: U8, S8, U4, S4
  int64_t group = 0;           // elements of K that share a scale; 0: no groups

  bool nibbles() const { return is_q4(type); }
  bool plain() const { return !nibbles() && !group; }
  // What is stored is q - offset: u8 weights as s8, S4 as u4.
  int32_t offset() const { return type == OCTET_U8 ? 128 : type == OCTET_S4 ? -8 : 0; }
  int64_t step() const { return nibbles() ? 8 : 4; }  // k in a row of 64 bytes
  int64_t blocks() const { return (group + kPairBlock - 1) / kPairBlock; }  // of a group
  int64_t record_bytes() const { return (group / step() + blocks() + 1) * 64; }
};

// What kernels and ops need of packed weights, wherever they lie.
struct WeightsView {
  int64_t n, k;  // convolution: conv.slots(), conv.logical_k(), and unit_view() for what tiles read
  const int8_t* panels;  // panel p at panels + p * panel_stride: [ceil(k/4)][16][4], or above
  int64_t panel_stride;
  // Null with groups, whose records have their own:
  const int32_t* sums;   // [n16] sum over k of each channel's stored integers; [phases][n16]
  const float* scale;    // [n16]; padding 1
  const int32_t* zero;   // [n16] zero points of the stored integers; padding 0
  const void* bias;      // [n16] of bias_type; padding 0
  octet_type bias_type;  // 0: none
  WeightsForm form;
  bool has_zero;  // some zero point of the stored integers is not 0
  // A second copy in the layout kLayoutProved, or null: for each panel, and for each phase before
  // that, the bytes from its own entry to the panel; then the panels.
  const uint64_t* proved;
  float proved_load;  // its modelled cycles as a part of those with depth 2 throughout; 0: none

  ConvForm conv;  // rank 0: a matrix

  const int8_t* proved_panel(int64_t p) const {
    return reinterpret_cast<const int8_t*>(proved + p) + proved[p];
  }

  int64_t n16() const { return (n + 15) / 16 * 16; }
  int64_t panel_count() const { return (n + 15) / 16; }
  int64_t groups() const { return form.group ? k / form.group : 0; }
  // Of a group-wise blob: what lies in the record of group g for 16 channels.
  const char* record(int64_t panel, int64_t g) const {
    return reinterpret_cast<const char*>(panels + panel * panel_stride + g * form.record_bytes());
  }
  float group_scale(int64_t channel, int64_t g) const {
    float s;
    memcpy(&s, record(channel / 16, g) + form.record_bytes() - 64 + channel % 16 * 4, 4);
    return s;
  }
};

// Where the parts of a blob lie; a function of shape and form alone. With groups there are no side
// arrays but the bias: sums, scale and zero are 0.
struct BlobLayout {
  size_t panel_stride, panels, sums, scale, zero, bias, total;
};
BlobLayout blob_layout(int64_t n, int64_t k, const WeightsForm& form);
BlobLayout blob_layout(const ConvForm& conv);

// Groups of `group` elements that weights of this type and K can have; the rule for the sentence.
inline bool legal_group(octet_type type, int64_t k, int64_t group) {
  return group > 0 && group % (is_q4(type) ? 8 : 4) == 0 && k % group == 0;
}

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

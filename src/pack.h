// SPDX-License-Identifier: Apache-2.0
//
// From a caller's weights to packed ones: check everything, then write. Packing is a pure function
// of the source; a failure leaves the target as it was.
#pragma once

#include "quant/rounding.h"
#include "src/scheme.h"
#include "src/weights.h"

namespace octet {

struct WeightsSource {
  View source;  // [n,k], F32, S8 or U8, any strides; S4 or U4, rows at whole bytes
  int64_t n, k;
  ConvForm conv;  // rank above 0: source is [n,(D,H,)W,I/groups], or [groups,n/groups,(D,H,)W,...],
                  // 8 bits without groups of K; k = conv.logical_k()
  bool shape_only;
  bool lean;
  ResolvedScheme scheme;   // F32 source
  bool per_channel;        // F32 source: a scale for each row; else: q has n scales
  int64_t group;           // elements of K that share a scale; 0: no groups
  const octet_qparams* q;  // source of integers; with groups [n][k/group] scales
  bool has_bias;
  View bias;

  // The type of the integers as the caller sees them: given, or chosen by the scheme.
  octet_type weight_type() const { return source.type == OCTET_F32 ? scheme.type : source.type; }
  // Packed weights are s8 or u4. A u8 weight is stored as its byte xor 0x80, which is w - 128, and
  // its zero point as z - 128, an S4 one as w + 8 and z + 8: the same real numbers.
  WeightsForm form() const { return {weight_type(), group}; }
  int32_t offset() const { return form().offset(); }
  // OCTET_RANGE_MSE: the range r of `rows` channels from n and `columns` of K from k on becomes
  // that of least squared error; else it stays. read(n, k, count, buffer) gives at most kRealsBlock
  // weights.
  template <class Read>
  void search_range(int64_t first, int64_t rows, int64_t k_from, int64_t columns, const Read& read,
                    Range* r) const {
    if (!scheme.least_error || !(r->min <= r->max) || r->nan_count || r->inf_count) return;
    const auto call = [](const void* self, int64_t row, int64_t column, int64_t count, float* to) {
      return (*static_cast<const Read*>(self))(row, column, count, to);
    };
    least_error_range(scheme.chooser, scheme.divide, {call, &read, first, rows, k_from, columns},
                      &r->min, &r->max);
  }
  // Whether the scale of r, and each that search_range may lead to, is in the domain of scales.
  bool range_in_domain(const Range& r, float scale) const {
    if (!scheme.least_error || !(r.min <= r.max)) return scale_in_domain(scale);
    return searched_scales_in_domain(scheme.chooser, r.min, r.max);
  }
  BlobLayout layout() const { return conv.rank ? blob_layout(conv) : blob_layout(n, k, form()); }

  // The shape with nothing behind it, for planning.
  WeightsView shape_view() const;
};

octet_status check_finite_bias(octet_error* err, const char* name, const View& bias);

enum { kAllowShapeOnly = 1, kShapeSuffices = 2 };
octet_status read_weights_desc(octet_error* err, const octet_weights_desc* desc, uint32_t options,
                               WeightsSource* out);

// blob: blob_layout().total bytes, 64-byte aligned. seal: with checksums, to be kept.
octet_status pack_blob(octet_error* err, const octet_context& c, const WeightsSource& s, void* blob,
                       const Exec& exec, bool seal);

// The part of pack_blob for 4-bit and group-wise weights: panels and side arrays. *has_zero: some
// stored zero point is not 0.
octet_status pack_groups(octet_error* err, const octet_context& c, const WeightsSource& s,
                         void* blob, const Exec& exec, bool* has_zero);

}  // namespace octet

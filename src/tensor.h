// SPDX-License-Identifier: Apache-2.0
//
// Tensors of callers, checked once and brought into one form: explicit strides, known sizes.
#pragma once

#include "quant/qparams.h"
#include "src/context.h"

namespace octet {

constexpr uint32_t type_bit(octet_type t) { return 1u << t; }
constexpr uint32_t kQ8Types = type_bit(OCTET_U8) | type_bit(OCTET_S8);

constexpr uint32_t kQ4Types = type_bit(OCTET_U4) | type_bit(OCTET_S4);

constexpr uint32_t kQ2Types = type_bit(OCTET_U2) | type_bit(OCTET_S2);
constexpr uint32_t kQ16Types = type_bit(OCTET_U16) | type_bit(OCTET_S16);
constexpr uint32_t kRealTypes = type_bit(OCTET_F32) | type_bit(OCTET_F16) | type_bit(OCTET_BF16);

// Bytes of an element; 1 where several share a byte, 0 for types that no tensor has.
size_t type_bytes(octet_type t);
const char* type_name(octet_type t);
// ARGUMENT for an unknown type and one that has no place here, UNSUPPORTED for one of a later
// release.
octet_status check_type(octet_error* err, const char* name, octet_type type, uint32_t types);
inline bool is_q8(octet_type t) { return t == OCTET_U8 || t == OCTET_S8; }
// Two elements in a byte, the first in its low half.
inline bool is_q4(octet_type t) { return t == OCTET_U4 || t == OCTET_S4; }
// Four elements in a byte, the first lowest.
inline bool is_q2(octet_type t) { return t == OCTET_U2 || t == OCTET_S2; }
inline int32_t per_byte(octet_type t) { return is_q4(t) ? 2 : is_q2(t) ? 4 : 1; }
// The range of an integer type but for S32.
inline int32_t type_min(octet_type t) {
  return t == OCTET_S8    ? -128
         : t == OCTET_S16 ? -32768
         : t == OCTET_S4  ? -8
         : t == OCTET_S2  ? -2
                          : 0;
}
inline int32_t type_max(octet_type t) {
  return t == OCTET_S8    ? 127
         : t == OCTET_S16 ? 32767
         : t == OCTET_U16 ? 65535
         : t == OCTET_U4  ? 15
         : t == OCTET_S4  ? 7
         : t == OCTET_U2  ? 3
         : t == OCTET_S2  ? 1
                          : 255;
}

struct View {
  char* data;
  octet_type type;
  int32_t rank;
  int64_t dims[7], strides[7];  // elements; a tensor has 6 dims, and one more with groups
  int64_t count;                // elements in all
  size_t item;                  // bytes of an element; 1 where several share a byte
  const octet_qparams* q;

  int64_t inner() const { return rank ? dims[rank - 1] : 1; }
};

enum ViewOption : uint32_t {
  kAnyStrides = 1,  // weight sources: the innermost stride is free, strides may be negative
  kShapeOnly = 2,   // data is not looked at
  kOutput = 4       // rows may not overlap each other
};

// types: mask of type_bit. name: "x", "in[0]", … for the sentence.
octet_status read_tensor(octet_error* err, const char* name, const octet_tensor* t, uint32_t types,
                         uint32_t options, View* out);

// Refused when a byte of `out` is also one of `in`, unless both are the very same view.
octet_status check_overlap(octet_error* err, const char* out_name, const View& out,
                           const char* in_name, const View& in, bool in_place_allowed);

// A tensor that is written in place may have any strides, but no two elements in one place.
octet_status check_distinct(octet_error* err, const char* name, const View& v);

// An array of `count` 4-byte values, for check_overlap.
View array_view(const void* data, int64_t count);

// A tensor whose scale would have no meaning has none.
octet_status check_no_qparams(octet_error* err, const char* name, const View& v);

// Both tensors have the same rank and dims.
octet_status check_same_dims(octet_error* err, const char* a_name, const View& a,
                             const char* b_name, const View& b);

// The rows of two or three tensors side by side: all dims but the innermost, with as many as
// possible merged into one pitch. `outer` groups of `rows` rows; group g starts at element offsets
// a(g), b(g), c(g).
struct RowPairs {
  int64_t outer, rows;
  int64_t pitch_a, pitch_b, pitch_c;  // elements from a row to the next within a group
  int32_t levels;
  int64_t size[6], step_a[6], step_b[6], step_c[6];

  void start(int64_t group, int64_t* a, int64_t* b, int64_t* c) const;
};
RowPairs pair_rows(const View& a, const View& b, const View* c = nullptr);

// ---- qparams ----------------------------------------------------------------------------------

// A scale of the caller: finite (else NOT_FINITE) and within [2^-60, 2^60] (else ARGUMENT).
octet_status check_scale(octet_error* err, const char* name, int64_t index, float scale);

// A whole octet_qparams for a tensor of this type and shape. On success *axis is the normalised
// axis
// (-1: one scale), *qmin and *qmax the range in force.
octet_status check_qparams(octet_error* err, const char* name, const octet_qparams* q,
                           octet_type type, int32_t rank, const int64_t* dims, int32_t* axis,
                           int32_t* qmin, int32_t* qmax);

}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
//
// octet_qparams as element-wise calls take them: one scale, one for each index of any dim, and in
// both cases one for each group of the last dim; integer or float zero points.
#pragma once

#include "src/runs.h"

namespace octet {

// What a Side does not hold: the range in force and how to round.
struct Range32 {
  int32_t qmin, qmax;
  bool divide, away;
};

// Checks q, which is called `name` ("q", "y.q") in sentences, for a tensor like v. type: that of
// the integers; 0 where they stay reals: the range is required then and may have up to 16 bits.
octet_status read_side(octet_error* err, const char* name, const octet_qparams* q, octet_type type,
                       const View& v, Side* side, Range32* range);

// Which scale belongs to which element: side->axis and side->group, from a count of scales, a group
// (0: none) and an axis (negative ones count from the end). owner: what the sentence puts before
// their names, such as "q->".
octet_status find_scales(octet_error* err, const char* owner, int64_t count, int64_t group,
                         int32_t axis, const View& v, Side* side);

// x and y of F32 (y may be x), which sentences call by these names, and the dense mask or NULL,
// with all that can be wrong about them. No qparams as yet.
octet_status read_operands(octet_error* err, const char* x_name, const octet_tensor* x,
                           const char* y_name, const octet_tensor* y, const uint8_t* mask,
                           Elementwise* e);

// The type in which kernels hold the integers of a type: packed ones are bytes there.
octet_type unpacked(octet_type t);

// The links that quantize f32 to a type.
void add_quantize(const octet_context& c, octet_type to, Elementwise* e);

// Ends a chain: one of a single link is a kernel.
void settle(const octet_context& c, Elementwise* e);

}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
//
// The finite range of a tensor, or of each of its channels: what observers keep and fake-quantizers
// follow. min, max and counts depend on no order, so neither do the bits on threads or batches.
#pragma once

#include "src/parallel.h"
#include "src/tensor.h"

namespace octet {

constexpr Range kEmptyRange = {__builtin_inff(), -__builtin_inff(), 0, 0};
inline bool is_empty(const Range& r) { return r.min > r.max; }
void join(const Range& from, Range* into);

// Joins the ranges of channels first .. first + count - 1 along axis into into[0..count). axis -1:
// the whole tensor is one channel.
octet_status observe(octet_error* err, const octet_context& c, const Exec& exec, const View& x,
                     int32_t axis, int64_t first, int64_t count, Range* into);

// The same for ranges first .. first + count - 1 of those of each group along the last dim of x,
// which split_groups made, within each channel along axis (-1: one).
octet_status observe_groups(octet_error* err, const octet_context& c, const Exec& exec,
                            const View& x, int32_t axis, int64_t first, int64_t count, Range* into);

}  // namespace octet

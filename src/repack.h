// SPDX-License-Identifier: Apache-2.0
//
// Private layouts: a second copy of packed weights in a form that a context's kernels read faster
// than the canonical one. Only the proved form of AVX2 exists (kernels/proved.h).
#pragma once

#include "src/weights.h"

namespace octet {

// Adds to w (with its canonical bytes) the copy by which this context's kernels gain, if there is
// one, or the one that its forced kernel reads. The copy depends on the weights alone. On failure w
// is as it was.
octet_status repack(octet_error* err, const octet_context& c, const Exec& exec, octet_weights* w);

// For a shape without weights: planned with the copy only where a forced kernel wants it, because
// the weights decide whether there is a gain.
void plan_repack(const octet_context& c, octet_weights* w);

}  // namespace octet

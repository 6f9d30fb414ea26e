// SPDX-License-Identifier: Apache-2.0
//
// Packed weights as bytes: packing a layer's weights, opening them, and running the layer on what
// was opened.
#pragma once

#include "tests/numerics/layer.h"

namespace octet_test {

// A small layer with every side array in use: two panels, tails in n and k, a scale and a zero
// point for each channel, and a bias.
Layer packed_layer(octet_type bias_type);

// The same shape with K = 32, of 4-bit or group-wise weights.
Layer packed_group_layer(octet_type type, int64_t group);

size_t packed_size(const octet_context* c, const Layer& l);
Bytes packed_bytes(const octet_context* c, const Layer& l, const octet_exec* exec = nullptr);

// nullptr, with *err, when the bytes are refused.
Weights open_bytes(const octet_context* c, const void* data, size_t bytes, uint32_t flags,
                   Error* err);

// The layer's output with these weights; empty when the op or the run is refused.
Bytes run_with(const octet_context* c, const octet_weights* w, const Layer& l);

}  // namespace octet_test

// SPDX-License-Identifier: Apache-2.0
//
// A whole network as a chain of oneDNN's primitives.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include "bench/peer.h"

namespace octet_cli {

std::unique_ptr<PreparedNet> onednn_net(const dnnl::engine& engine, const dnnl::stream& stream,
                                        const Net& net);

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
//
// An op: a layer of fixed types and scales on shared weights. Immutable; the shapes of a call are
// the call's. Linear is the only kind of this release.
#pragma once

#include "src/linear.h"

struct octet_op {
  mutable std::atomic<uint32_t> refs{1};
  const octet_context* context = nullptr;
  const octet_weights* weights = nullptr;
  octet::Linear linear{};
  octet::Columns columns{};
  octet::Finish finish{};
  bool may_be_plain = false;  // src/plain.h
  void* block = nullptr;      // memory of columns
  size_t block_bytes = 0;
};

namespace octet {

// [exec.workspace, + bytes) is large enough and touches neither tensor.
octet_status check_workspace(octet_error* err, const Exec& exec, size_t need, const View& x,
                             const View& y);

}  // namespace octet

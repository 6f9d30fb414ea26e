// SPDX-License-Identifier: Apache-2.0
//
// An op: a layer of fixed types and scales on shared weights. Immutable; the shapes of a call are
// the call's. Linear layers, convolution and pooling.
#pragma once

#include "src/conv.h"
#include "src/pool.h"

namespace octet {

// The verbs of a kind of layer; their arguments but o are the caller's, unread. Outputs of the call
// itself (bytes, p, need) are checked.
struct OpKind {
  octet_status (*infer)(octet_error* err, const octet_op& o, const octet_tensor* in, size_t n_in,
                        octet_tensor* out, size_t n_out);
  octet_status (*workspace)(octet_error* err, const octet_op& o, const octet_tensor* in,
                            size_t n_in, const octet_exec* exec, size_t* bytes);
  octet_status (*run)(octet_error* err, const octet_op& o, const octet_tensor* in, size_t n_in,
                      const octet_tensor* out, size_t n_out, const octet_exec* exec);
  octet_status (*plan)(octet_error* err, const octet_op& o, const octet_tensor* in, size_t n_in,
                       const octet_exec* exec, octet_plan* p);
  octet_status (*describe)(octet_error* err, const octet_op& o, const octet_tensor* in, size_t n_in,
                           const octet_exec* exec, char* json, size_t cap, size_t* need);
};

}  // namespace octet

struct octet_op {
  mutable std::atomic<uint32_t> refs{1};
  const octet_context* context = nullptr;
  const octet_weights* weights = nullptr;
  const octet::OpKind* kind = nullptr;      // nullptr: linear, by the fields below
  const octet::Pooling* pooling = nullptr;  // in block
  const octet::Conv* conv = nullptr;        // in block
  octet::Linear linear{};
  octet::Columns columns{};
  octet::Finish finish{};
  bool may_be_plain = false;  // src/plain.h
  void* block = nullptr;      // memory of columns
  size_t block_bytes = 0;
};

namespace octet {

// A desc that is whole, with its weights; tables and the weights' kind are the layer's to judge.
octet_status read_linear_desc(octet_error* err, const octet_linear_desc* desc,
                              octet_linear_desc* out);

// [exec.workspace, + bytes) is large enough and touches neither tensor.
octet_status check_workspace(octet_error* err, const Exec& exec, size_t need, const View& x,
                             const View& y);

}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
//
// The usual form of a call, read with few branches: two matrices, on the calling thread, nothing
// out of the way in any field. A call of a few rows is over in the time that reading it in general
// takes. Nothing is refused here: what is not plain goes the general way, and that decides. So
// plain calls are a part of those that the general way accepts, with the same rows.
#pragma once

#include "src/op.h"

namespace octet {

// How plain calls run.
constexpr Exec kSerial = {{sizeof(octet_exec), 0, nullptr, 0, nullptr, nullptr, 1, 0}};

constexpr int64_t kMaxPlainRows = int64_t{1} << 24;   // no product below overflows
constexpr int64_t kMaxPlainPitch = int64_t{1} << 25;  // elements

// A matrix of `columns` columns whose rows do not overlap. Strides of 0 are dense ones.
inline bool plain_matrix(const octet_tensor& t, octet_type type, int64_t columns, uintptr_t item,
                         int64_t* pitch) {
  const int64_t row = t.strides[0], step = t.strides[1];
  const bool spaced = step == 1 && row >= columns && row <= kMaxPlainPitch;
  *pitch = (spaced ? row : columns) * static_cast<int64_t>(item);
  return t.type == type && t.rank == 2 && !(t.flags | static_cast<uint32_t>(t.reserved)) && !t.q &&
         t.dims[1] == columns && t.data && !(reinterpret_cast<uintptr_t>(t.data) & (item - 1)) &&
         (spaced || !(row | step));
}

inline bool plain_exec(const octet_exec* e) {
  return !e || (e->struct_size == sizeof *e && !e->flags && !e->plan &&
                static_cast<uint32_t>(e->max_threads) < 2);
}

// Bytes that lie one after the other, apart from others.
struct Bytes {
  uintptr_t first, last;

  Bytes(const void* p, uintptr_t bytes)
      : first(reinterpret_cast<uintptr_t>(p)), last(first + bytes) {}
  bool apart(const Bytes& o) const { return last <= o.first || o.last <= first; }
};

// Ops whose calls may be plain.
inline bool may_be_plain(const octet_op& o) {
  return !o.weights->shape_only && o.linear.input != Input::kCall && !o.linear.residual.type &&
         o.linear.w.n && o.linear.w.k;
}

// True for a plain call of an op that may have them: *call gets its rows, and exec (if any) holds
// the workspace that linear_workspace asks for.
inline bool read_plain(const octet_op& o, const octet_tensor* in, size_t n_in,
                       const octet_tensor* out, size_t n_out, const octet_exec* exec,
                       LinearCall* call) {
  const Linear& l = o.linear;
  if (!o.may_be_plain || !in || !out || n_in != 1 || n_out != 1 || !plain_exec(exec)) return false;
  const int64_t rows = in->dims[0];
  if (rows < 1 || rows > kMaxPlainRows || out->dims[0] != rows) return false;
  const uintptr_t item_x = static_cast<uintptr_t>(l.in_bytes),
                  item_y = static_cast<uintptr_t>(l.out_bytes);
  if (!plain_matrix(*in, l.in.type, l.w.k, item_x, &call->pitch_x) ||
      !plain_matrix(*out, l.out.type, l.w.n, item_y, &call->pitch_y))
    return false;
  call->x = static_cast<const char*>(in->data);
  call->y = static_cast<char*>(out->data);
  call->r = nullptr;
  call->q = nullptr;
  call->groups = 1;
  call->rows = rows;
  call->pairs = nullptr;
  const Bytes x(call->x, static_cast<uintptr_t>((rows - 1) * call->pitch_x) +
                             static_cast<uintptr_t>(l.w.k) * item_x);
  const Bytes y(call->y, static_cast<uintptr_t>((rows - 1) * call->pitch_y) +
                             static_cast<uintptr_t>(l.w.n) * item_y);
  if (!x.apart(y)) return false;
  if (l.in_place()) return true;  // no workspace
  const size_t need = linear_workspace(l, rows);
  if (!exec || !exec->workspace || exec->workspace_bytes < need) return false;
  const Bytes w(exec->workspace, need);
  return w.apart(x) && w.apart(y);
}

}  // namespace octet

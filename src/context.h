// SPDX-License-Identifier: Apache-2.0
//
// The context: CPU, ISA cap, allocator and the best kernel row for each element-wise task.
// Immutable after create; every other handle holds a reference, so destroy order is free.
#pragma once

#include <string.h>

#include <atomic>
#include <new>

#include "src/cpu.h"
#include "src/error.h"

struct octet_context {
  mutable std::atomic<uint32_t> refs{1};
  octet_allocator allocator{};
  octet::Cpu cpu{};
  uint32_t isas = 0;  // usable: the CPU's, under the cap
  uint32_t flags = 0;
  const char* cap = nullptr;           // the cap's static name, nullptr: none
  const octet::Row* forced = nullptr;  // OCTET_FORCE_KERNEL
  // Best row for each family and pair of types without tiles (octet_type, or 0 for rows without
  // such an operand): its index in octet_rows plus 1, or 0.
  uint16_t best[octet::kFamilies][14][14] = {};
};

namespace octet {

// Where a row's type stands in octet_context.best.
int type_index(int32_t type);

// The row for a task without tiles, or nullptr.
inline const Row* best_row(const octet_context& c, Family family, int32_t in, int32_t out) {
  const uint16_t at = c.best[family][type_index(in)][type_index(out)];
  return at ? &octet_rows[at - 1] : nullptr;
}

// The kernel for a task without tiles; every task has at least a scalar row.
template <class Fn>
Fn* kernel(const octet_context& c, Family family, int32_t in, int32_t out) {
  return reinterpret_cast<Fn*>(best_row(c, family, in, out)->fn);
}

// ---- memory: the context's allocator; nullptr when it has none left ---------------------------

constexpr size_t kAlign = 64;
void* allocate(const octet_context& c, size_t bytes);
void release(const octet_context& c, void* p, size_t bytes);

void retain(const octet_context* c);

template <class Handle>
Handle* make_handle(const octet_context& c) {
  void* p = allocate(c, sizeof(Handle));
  return p ? new (p) Handle() : nullptr;
}

inline octet_status fail_memory(octet_error* err, size_t bytes) {
  return fail(err, OCTET_ERR_MEMORY, "The allocator returned no memory for %zu bytes.", bytes);
}

// ---- growable structs -------------------------------------------------------------------------

// Copies a caller's struct of struct_size bytes into *out (this library's form): missing fields are
// 0, an unknown tail must be 0. T starts with uint32_t struct_size. `first_release` is the smallest
// size ever published; name is "d" of the call's documentation, such as "octet_exec".
template <class T>
octet_status read_struct(octet_error* err, const char* name, const T* in, size_t first_release,
                         T* out) {
  const size_t size = in->struct_size;
  if (size < first_release)
    return fail(err, OCTET_ERR_ARGUMENT,
                "%s.struct_size is %zu, but the struct has at least %zu bytes; set it to sizeof.",
                name, size, first_release);
  if (size > 1 << 16)
    return fail(err, OCTET_ERR_ARGUMENT,
                "%s.struct_size is %zu, which no release has; set it to "
                "sizeof.",
                name, size);
  const unsigned char* bytes = reinterpret_cast<const unsigned char*>(in);
  for (size_t i = sizeof(T); i < size; ++i)
    if (bytes[i])
      return fail(
          err, OCTET_ERR_VERSION,
          "%s.struct_size is %zu and byte %zu is set, but this library knows %zu bytes; use "
          "a newer Octet or leave new fields 0.",
          name, size, i, sizeof(T));
  memset(static_cast<void*>(out), 0, sizeof(T));
  memcpy(static_cast<void*>(out), in, size < sizeof(T) ? size : sizeof(T));
  return OCTET_OK;
}

#define OCTET_TRY(call)                                            \
  do {                                                             \
    if (const octet_status octet_try_ = (call)) return octet_try_; \
  } while (0)

}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
//
// Work on the caller's threads. Octet starts none: the caller's parallel_for runs up to max_threads
// workers, and each claims tasks from one counter, so that a serial, a nested or a partly-run pool
// gives the same result. Tasks never wait for one another.
#pragma once

#include "src/context.h"

namespace octet {

struct Exec {
  octet_exec e{};  // defaults filled in: max_threads >= 1
};

// NULL gives the serial default.
octet_status read_exec(octet_error* err, const octet_exec* in, Exec* out);

typedef void Work(void* arg, size_t task);

// Runs work(arg, t) for t < tasks. CANCELLED when the caller's parallel_for says so.
octet_status run_tasks(octet_error* err, const Exec& exec, size_t tasks, Work* work, void* arg);

// The same for tasks that need memory of their own: no two that run at once have the same slot,
// which is below slot_count(exec): that counts workers also where there is no parallel_for as yet,
// when a workspace is asked for.
typedef void SlotWork(void* arg, size_t task, size_t slot);
octet_status run_tasks(octet_error* err, const Exec& exec, size_t tasks, SlotWork* work, void* arg);
inline size_t slot_count(const Exec& exec) { return static_cast<size_t>(exec.e.max_threads); }

// Memory in the caller's workspace: sizes first, then addresses, with the same calls.
class Carver {
 public:
  explicit Carver(void* base) : base_(static_cast<char*>(base)) {}
  template <class T>
  T* take(size_t count, size_t align = 64) {
    // The base may have any alignment: addresses are rounded up, sizes count the slack once.
    used_ = (used_ + align - 1) / align * align;
    char* p = base_ ? aligned_base() + used_ : nullptr;
    used_ += count * sizeof(T);
    return reinterpret_cast<T*>(p);
  }
  // Bytes that suffice at any alignment; 0 if nothing was taken.
  size_t bytes() const { return used_ ? used_ + 63 : 0; }

 private:
  char* aligned_base() const { return base_ + (64 - reinterpret_cast<uintptr_t>(base_) % 64) % 64; }
  char* base_;
  size_t used_ = 0;
};

}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
//
// Memory between two protected pages: a buffer placed at its end (or at its start) makes one byte
// read or written too far a fault, also where sanitizers do not look (assembly, masked loads).
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

namespace octet {

class Guarded {
 public:
  explicit Guarded(size_t capacity) : page_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
    capacity_ = (capacity + page_ - 1) / page_ * page_;
    base_ = static_cast<char*>(
        mmap(nullptr, capacity_ + 2 * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED || mprotect(base_ + page_, capacity_, PROT_READ | PROT_WRITE)) abort();
  }
  ~Guarded() { munmap(base_, capacity_ + 2 * page_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  // count elements that end on the protected page, or begin right after the other one.
  template <class T>
  T* place(size_t count, bool at_end) {
    const size_t bytes = count * sizeof(T);
    if (bytes > capacity_) abort();
    return reinterpret_cast<T*>(base_ + page_ + (at_end ? capacity_ - bytes : 0));
  }

 private:
  size_t page_, capacity_;
  char* base_;
};

}  // namespace octet

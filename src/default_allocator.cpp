// SPDX-License-Identifier: Apache-2.0
//
// The C library's memory; on Linux blocks of 2 MiB and more, which packed weights of large layers
// are, have a mapping of their own, at a multiple of 2 MiB and advised to use huge pages: reading
// weights once takes an address translation for each 4 KiB otherwise. The advice ends with the
// mapping, and one that is not taken changes nothing.
#include "src/default_allocator.h"

#include <stdint.h>
#include <stdlib.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

namespace octet {

namespace {

#ifdef __linux__

constexpr size_t kHuge = size_t{2} << 20;

bool is_mapped(size_t bytes) { return bytes >= kHuge; }

// Whole pages of any size that Linux has as its usual one.
size_t mapped_bytes(size_t bytes) { return (bytes + 0xFFFF) & ~size_t{0xFFFF}; }

void* map(size_t bytes) {
  bytes = mapped_bytes(bytes);
  if (bytes < kHuge) return nullptr;  // wrapped around
  const size_t reserved = bytes + kHuge;
  if (reserved < bytes) return nullptr;
  void* const p =
      mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  char* const first = static_cast<char*>(p);
  const size_t before = (kHuge - reinterpret_cast<uintptr_t>(p) % kHuge) % kHuge;
  if (before) munmap(first, before);
  if (before < kHuge) munmap(first + before + bytes, kHuge - before);
  madvise(first + before, bytes, MADV_HUGEPAGE);
  return first + before;
}

void unmap(void* p, size_t bytes) { munmap(p, mapped_bytes(bytes)); }

#else

bool is_mapped(size_t) { return false; }
void* map(size_t) { return nullptr; }
void unmap(void*, size_t) {}

#endif

void* allocate_block(void*, size_t bytes, size_t align) {
  if (is_mapped(bytes)) return map(bytes);
  void* p = nullptr;
  return posix_memalign(&p, align, bytes) ? nullptr : p;
}

void free_block(void*, void* p, size_t bytes) {
  if (is_mapped(bytes))
    unmap(p, bytes);
  else
    free(p);
}

}  // namespace

constinit const octet_allocator kDefaultAllocator = {nullptr, allocate_block, free_block};

}  // namespace octet

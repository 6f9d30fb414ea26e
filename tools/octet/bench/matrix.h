// SPDX-License-Identifier: Apache-2.0
//
// Memory for matrices, at the start of a cache line, as the allocators of frameworks give it:
// malloc gives large blocks 16 bytes behind one, and each store of 64 bytes would fall on two
// lines.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace octet_cli {

template <typename Value>
struct CacheLines {
  using value_type = Value;
  static constexpr std::align_val_t kLine{64};

  CacheLines() = default;
  template <typename Other>
  explicit CacheLines(const CacheLines<Other>&) {}
  Value* allocate(size_t n) {
    return static_cast<Value*>(::operator new(n * sizeof(Value), kLine));
  }
  void deallocate(Value* p, size_t) { ::operator delete(p, kLine); }
  friend bool operator==(const CacheLines&, const CacheLines&) { return true; }
};

template <typename Value>
using Matrix = std::vector<Value, CacheLines<Value>>;

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
//
// Memory that begins at a cache line, as every library's own memory does.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace octet_cli {

class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t bytes) { resize(bytes); }

  // Zeros, whatever it held.
  void resize(size_t bytes) {
    constexpr size_t kLine = 64;
    const size_t rounded = (bytes + kLine) / kLine * kLine;
    data_.reset(static_cast<uint8_t*>(std::aligned_alloc(kLine, rounded)));
    if (!data_) throw std::bad_alloc();
    std::memset(data_.get(), 0, rounded);
    size_ = bytes;
  }

  void assign(const void* from, size_t bytes) {
    resize(bytes);
    if (bytes > 0) std::memcpy(data_.get(), from, bytes);
  }

  uint8_t* data() const { return data_.get(); }
  size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(uint8_t* p) const { std::free(p); }
  };
  std::unique_ptr<uint8_t, Free> data_;
  size_t size_ = 0;
};

}  // namespace octet_cli

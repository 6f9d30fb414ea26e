// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the contract share: handles that destroy themselves, memory with inaccessible
// pages on both sides, and two ways to look at a call: EXPECT_ACCEPTED and EXPECT_REFUSED. Both
// name the error struct `err` inside the call, and check what holds for every function: status and
// text agree, NULL works, and success does not touch the struct.
#pragma once

#include <gtest/gtest.h>
#include <octet/octet.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CONTRACT_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define CONTRACT_SANITIZED 1
#endif
#endif
#ifndef CONTRACT_SANITIZED
#define CONTRACT_SANITIZED 0
#endif

namespace contract {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// ---- handles ----------------------------------------------------------------------------------

struct Destroy {
  void operator()(octet_context* c) const { octet_context_destroy(c); }
  void operator()(octet_weights* w) const { octet_weights_destroy(w); }
  void operator()(octet_op* o) const { octet_op_destroy(o); }
  void operator()(octet_observer* o) const { octet_observer_destroy(o); }
};
template <class T>
using Handle = std::unique_ptr<T, Destroy>;
using Context = Handle<octet_context>;
using Weights = Handle<octet_weights>;
using Op = Handle<octet_op>;
using Observer = Handle<octet_observer>;

// A growable struct, all 0 but its size.
template <class T>
T sized() {
  T t{};
  t.struct_size = sizeof t;
  return t;
}

// These fail the running test, with the library's sentence, and give NULL when refused.
Context make_context(const char* max_isa = nullptr, const octet_allocator* allocator = nullptr);
Weights make_weights(const octet_context* c, const octet_weights_desc& d);
Op make_op(const octet_context* c, const octet_linear_desc& d);
Observer make_observer(const octet_context* c, size_t channels, int32_t axis,
                       int32_t kind = OCTET_OBSERVE_MINMAX);

std::string describe(const octet_context* c);
// The flat objects of a JSON array such as "isas", as the texts between their braces.
std::vector<std::string> json_objects(const std::string& json, const std::string& array);
// The value of a key, without quotes; "" if the key is missing.
std::string json_value(const std::string& object, const std::string& key);

// Names of the instruction sets that this CPU and build can use, in ascending order.
std::vector<std::string> usable_isas();

// ---- data -------------------------------------------------------------------------------------

// The same sequence on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 2 + 1) {}
  uint64_t next() {  // xorshift64*
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545F4914F6CDD1Du;
  }
  uint64_t below(uint64_t n) { return (next() >> 16) % n; }
  float real(float scale) {  // in [-scale, scale), 2^20 values
    return (static_cast<float>(below(1 << 20)) / 524288.0f - 1.0f) * scale;
  }
  std::vector<float> reals(size_t n, float scale);
  std::vector<int8_t> bytes(size_t n);

 private:
  uint64_t state_;
};

// `bytes` of memory whose last byte touches an inaccessible page; the page before is inaccessible
// too. at_start: the first byte touches the page before instead.
class Guarded {
 public:
  explicit Guarded(size_t bytes, bool at_start = false);
  ~Guarded();
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  unsigned char* data() const { return data_; }
  size_t size() const { return size_; }
  std::span<unsigned char> span() const { return {data_, size_}; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }
  // Bytes of the accessible pages around data, set at construction, that have changed since.
  size_t spilled() const;

 private:
  void* map_;
  size_t map_bytes_;
  unsigned char *pages_, *data_;
  size_t page_bytes_, size_;
};

// A copy of some bytes, to see that a call left them alone.
class Snapshot {
 public:
  Snapshot(const void* p, size_t n)
      : p_(p),
        copy_(static_cast<const unsigned char*>(p), static_cast<const unsigned char*>(p) + n) {}
  bool same() const {
    return std::equal(copy_.begin(), copy_.end(), static_cast<const unsigned char*>(p_));
  }

 private:
  const void* p_;
  std::vector<unsigned char> copy_;
};

// ---- calls ------------------------------------------------------------------------------------

using Call = std::function<octet_status(octet_error*)>;
using Words = std::initializer_list<std::string>;

void expect_accepted(const Call& call, const char* text, const char* file, int line);
// The error has this status and a sentence with all words; with NULL the status is the same.
void expect_refused(octet_status want, const Call& call, const Words& words, const char* text,
                    const char* file, int line);

#define EXPECT_ACCEPTED(call) \
  ::contract::expect_accepted([&](octet_error* err) { return call; }, #call, __FILE__, __LINE__)
#define EXPECT_REFUSED(status, call, ...) \
  ::contract::expect_refused(             \
      status, [&](octet_error* err) { return call; }, {__VA_ARGS__}, #call, __FILE__, __LINE__)

}  // namespace contract

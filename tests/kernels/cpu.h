// SPDX-License-Identifier: Apache-2.0
//
// Which kernels this CPU can run, asked of the compiler's runtime where that knows: the tests of
// the kernels do not depend on the library's own detection.
#pragma once

#include <stdint.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include "kernels/kernel.h"

namespace octet {

#if defined(__x86_64__)
// AMX-INT8 (leaf 7), and Linux lets this process use it: arch_prctl(ARCH_REQ_XCOMP_PERM, tile
// data).
inline bool cpu_has_amx() {
#if defined(OCTET_TILE_MODEL)
  return true;  // the kernels run on a model of the tiles
#else
  uint32_t a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  return (d >> 24 & 1) && (d >> 25 & 1) && syscall(SYS_arch_prctl, 0x1023, 18) == 0;
#endif
}
#endif

inline uint32_t cpu_isas() {
  uint32_t isas = kIsaScalar;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
                    __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
  const bool avx512bw = avx2 && __builtin_cpu_supports("avx512f") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd");
  if (avx2) isas |= kIsaAvx2;
#if defined(OCTET_EMULATE_AVXVNNI)
  if (avx2) isas |= kIsaAvxVnni;
#else
  uint32_t a = 0, b, c, d;  // g++ 12 has no name for it
  if (avx2 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1)) isas |= kIsaAvxVnni;
#endif
  if (avx512bw) isas |= kIsaAvx512Bw;
  const bool avx512vnni = avx512bw && __builtin_cpu_supports("avx512vnni");
  if (avx512vnni) isas |= kIsaAvx512Vnni;
  if (avx512vnni && cpu_has_amx()) isas |= kIsaAmx;
#elif defined(__aarch64__)
  isas |= kIsaNeon;
  if (getauxval(AT_HWCAP) >> 20 & 1) isas |= kIsaNeonDot;
  if (getauxval(AT_HWCAP2) >> 13 & 1) isas |= kIsaNeonI8mm;
#endif
  return isas;
}

}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
//
// Which kernels this CPU can run, asked of the compiler's runtime where that knows: the tests of
// the kernels do not depend on the library's own detection.
#pragma once

#include <stdint.h>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include "kernels/kernel.h"

namespace octet {

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
  if (avx512bw && __builtin_cpu_supports("avx512vnni")) isas |= kIsaAvx512Vnni;
#elif defined(__aarch64__)
  isas |= kIsaNeon;
  if (getauxval(AT_HWCAP) >> 20 & 1) isas |= kIsaNeonDot;
  if (getauxval(AT_HWCAP2) >> 13 & 1) isas |= kIsaNeonI8mm;
#endif
  return isas;
}

}  // namespace octet

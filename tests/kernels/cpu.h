// SPDX-License-Identifier: Apache-2.0
//
// Which kernels this CPU can run, asked of the compiler's runtime: the tests of the kernels do not
// depend on the library's own detection.
#pragma once

#include <stdint.h>

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
  if (avx512bw) isas |= kIsaAvx512Bw;
  if (avx512bw && __builtin_cpu_supports("avx512vnni")) isas |= kIsaAvx512Vnni;
#elif defined(__aarch64__)
  isas |= kIsaNeon;
#endif
  return isas;
}

}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
#include "src/amx.h"

#include <stddef.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace octet {

const char* judge_amx(const AmxFacts& f) {
  constexpr uint64_t kTileState = 3u << 17;  // configuration and data
  if (!f.tiles || !f.int8) return "the CPU lacks it";
  if ((f.xcr0 & kTileState) != kTileState)
    return "the operating system does not save its registers";
  if (f.palettes < 1 || f.tile_count < 8 || f.rows < 16 || f.row_bytes < 64 || f.tile_bytes < 1024)
    return "the CPU does not offer eight tiles of 16 rows of 64 bytes";
  return nullptr;
}

#if defined(__x86_64__)

AmxFacts read_amx() {
  AmxFacts f = {};
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return f;
  if (c >> 27 & 1) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    f.xcr0 = static_cast<uint64_t>(high) << 32 | low;
  }
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return f;
  f.tiles = d >> 24 & 1;
  f.int8 = d >> 25 & 1;
  if (!f.tiles || !__get_cpuid_count(0x1D, 0, &a, &b, &c, &d)) return f;
  f.palettes = a;
  if (!f.palettes || !__get_cpuid_count(0x1D, 1, &a, &b, &c, &d)) return f;
  f.tile_bytes = a >> 16;
  f.row_bytes = b & 0xFFFF;
  f.tile_count = b >> 16;
  f.rows = c & 0xFFFF;
  return f;
}

namespace {

// arch_prctl of Linux, without libc's wrapper, which would touch errno: 0 or -errno.
long arch_prctl(long code, long argument) {
  long result = 158;
  __asm__ volatile("syscall" : "+a"(result) : "D"(code), "S"(argument) : "rcx", "r11", "memory");
  return result;
}

}  // namespace

// 1 * 5 + 2 * 6 + 200 * -7 + 4 * 8. Whatever is wrong with the tiles shows here, at create, rather
// than in a layer's answer.
bool probe_amx() {
  struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  } config = {};
  config.palette = 1;
  for (int t = 0; t < 3; ++t) {
    config.row_bytes[t] = 4;
    config.rows[t] = 1;
  }
  const uint8_t a[4] = {1, 2, 200, 4};
  const int8_t b[4] = {5, 6, -7, 8};
  int32_t sum = 0;
  __asm__ volatile(
      "ldtilecfg %1\n"
      "tilezero %%tmm0\n"
      "tileloadd (%2,%4,1), %%tmm1\n"
      "tileloaddt1 (%3,%4,1), %%tmm2\n"
      "tdpbusd %%tmm2, %%tmm1, %%tmm0\n"
      "tilestored %%tmm0, (%5,%4,1)\n"
      "tilerelease\n"
      : "+m"(sum)
      : "m"(config), "r"(a), "r"(b), "r"(ptrdiff_t{4}), "r"(&sum), "m"(a), "m"(b));
  return sum == 5 + 12 - 1400 + 32;
}

const char* permit_amx() {
  constexpr long kAsk = 0x1023, kGranted = 0x1022, kTileData = 18, kNoSpace = -28;
  const long refused = arch_prctl(kAsk, kTileData);
  if (refused == kNoSpace)
    return "an alternate signal stack of this process is too small for its registers";
  if (refused) return "the operating system does not let this process use it";
  uint64_t granted = 0;
  if (arch_prctl(kGranted, reinterpret_cast<long>(&granted)) || !(granted >> kTileData & 1))
    return "the operating system does not let this process use it";
  return probe_amx() ? nullptr : "a product of tiles came out wrong";
}

#else

AmxFacts read_amx() { return {}; }
const char* permit_amx() { return "the CPU lacks it"; }
bool probe_amx() { return false; }

#endif

}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
#include "src/cpu.h"

#include <string.h>

#include "src/amx.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include "src/error.h"

namespace octet {

namespace {

constexpr uint32_t kUpToAvx2 = kIsaScalar | kIsaAvx2;
constexpr uint32_t kUpToAvx512Bw = kUpToAvx2 | kIsaAvx512Bw;
constexpr uint32_t kUpToAvx512Vnni = kUpToAvx512Bw | kIsaAvx512Vnni;

constexpr IsaInfo kX86[] = {
    {"scalar", kIsaScalar, kIsaScalar},
    {"avx2", kIsaAvx2, kUpToAvx2},
    {"avxvnni", kIsaAvxVnni, kUpToAvx2 | kIsaAvxVnni},
    {"avx512bw", kIsaAvx512Bw, kUpToAvx512Bw},
    {"avx512vnni", kIsaAvx512Vnni, kUpToAvx512Vnni},
    {"amx", kIsaAmx, kUpToAvx512Vnni | kIsaAvxVnni | kIsaAmx},
};
constexpr IsaInfo kArm[] = {
    {"scalar", kIsaScalar, kIsaScalar},
    {"neon", kIsaNeon, kIsaScalar | kIsaNeon},
    {"neondot", kIsaNeonDot, kIsaScalar | kIsaNeon | kIsaNeonDot},
    {"neoni8mm", kIsaNeonI8mm, kIsaScalar | kIsaNeon | kIsaNeonDot | kIsaNeonI8mm},
};

template <size_t n>
const IsaInfo* find_in(const IsaInfo (&isas)[n], const char* name) {
  for (const IsaInfo& isa : isas)
    if (!strcmp(isa.name, name)) return &isa;
  return nullptr;
}

#if defined(__x86_64__)

uint64_t xcr0() {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}

// Leaf 4 (Intel) and 0x8000001D (AMD) describe the caches in the same format.
void find_caches(Cpu* cpu, uint32_t leaf) {
  for (uint32_t i = 0; i < 16; ++i) {
    uint32_t a, b, c, d;
    if (!__get_cpuid_count(leaf, i, &a, &b, &c, &d) || (a & 31) == 0) return;
    const uint32_t level = a >> 5 & 7, type = a & 31;
    const size_t bytes =
        (size_t{b >> 22} + 1) * ((b >> 12 & 1023) + 1) * ((b & 4095) + 1) * (size_t{c} + 1);
    if (level == 1 && type == 1) cpu->l1d = bytes;
    if (level == 2) cpu->l2 = bytes;
    if (level == 3) cpu->l3 = bytes;
  }
}

#endif

}  // namespace

#if defined(__x86_64__)
constinit const IsaInfo kIsas[] = {kX86[0], kX86[1], kX86[2], kX86[3], kX86[4], kX86[5]};
const int kIsaCount = 6;
#else
constinit const IsaInfo kIsas[] = {kArm[0], kArm[1], kArm[2], kArm[3]};
const int kIsaCount = 4;
#endif

const IsaInfo* find_isa(const char* name, bool* foreign) {
  const IsaInfo* x86 = find_in(kX86, name);
  const IsaInfo* arm = find_in(kArm, name);
#if defined(__x86_64__)
  *foreign = !x86 && arm;
  return x86 ? x86 : arm;
#else
  *foreign = !arm && x86;
  return arm ? arm : x86;
#endif
}

const char* isa_name(uint32_t bit) {
  for (int i = 0; i < kIsaCount; ++i)
    if (kIsas[i].bit == bit) return kIsas[i].name;
  return "unknown";
}

#if defined(__x86_64__)

void detect_cpu(Cpu* cpu, bool no_amx) {
  *cpu = Cpu{};
  cpu->isas = kIsaScalar;
  strcpy(cpu->name, "x86-64");
  uint32_t a, b, c, d;
  uint32_t brand[13] = {};
  if (__get_cpuid(0x80000000u, &a, &b, &c, &d) && a >= 0x80000004u) {
    for (uint32_t i = 0; i < 3; ++i)
      __get_cpuid(0x80000002u + i, brand + 4 * i, brand + 4 * i + 1, brand + 4 * i + 2,
                  brand + 4 * i + 3);
    const char* text = reinterpret_cast<const char*>(brand);
    while (*text == ' ') ++text;
    if (*text) strncpy(cpu->name, text, sizeof cpu->name - 1);
    for (size_t n = strlen(cpu->name); n && cpu->name[n - 1] == ' ';) cpu->name[--n] = 0;
  }
  if (__get_cpuid(1, &a, &b, &c, &d)) {  // brands of virtual machines say little
    uint32_t family = a >> 8 & 15, model = a >> 4 & 15;
    if (family == 6 || family == 15) model += (a >> 16 & 15) << 4;
    if (family == 15) family += a >> 20 & 255;
    const size_t used = strlen(cpu->name);
    Text text(cpu->name + used, sizeof cpu->name - used);
    text.add(" (family %u, model %u)", family, model);
    text.finish();
  }
  find_caches(cpu, 4);
  if (!cpu->l1d) find_caches(cpu, 0x8000001Du);

  const char* no_cpuid = "the CPU lacks it";
  const char* no_os = "the operating system does not save its registers";
  for (int i = 1; i < kIsaCount; ++i) cpu->why[i] = no_cpuid;
  uint32_t c1 = 0, b7 = 0, c7 = 0, a71 = 0;
  if (!__get_cpuid(1, &a, &b, &c1, &d) || !(c1 >> 27 & 1)) return;
  if (__get_cpuid_count(7, 0, &a, &b7, &c7, &d) && a >= 1)
    __get_cpuid_count(7, 1, &a71, &b, &c, &d);
  const uint64_t saved = xcr0();
  const auto has = [](uint32_t word, int bit) { return (word >> bit & 1) != 0; };
  // fma 12, pclmul 1, aes 25, avx 28, f16c 29; bmi1 3, avx2 5, bmi2 8
  const bool avx2 = has(c1, 12) && has(c1, 1) && has(c1, 25) && has(c1, 28) && has(c1, 29) &&
                    has(b7, 3) && has(b7, 5) && has(b7, 8);
  const bool os_avx = (saved & 6) == 6, os_avx512 = (saved & 0xE6) == 0xE6;
  // f 16, dq 17, cd 28, bw 30, vl 31
  const bool avx512 =
      avx2 && has(b7, 16) && has(b7, 17) && has(b7, 28) && has(b7, 30) && has(b7, 31);
  const auto give = [&](int index, bool cpu_has, bool os_has) {
    if (cpu_has && os_has) {
      cpu->isas |= kIsas[index].bit;
      cpu->why[index] = nullptr;
    } else if (cpu_has) {
      cpu->why[index] = no_os;
    }
  };
  give(1, avx2, os_avx);
  give(2, avx2 && has(a71, 4), os_avx);
  give(3, avx512, os_avx512);
  give(4, avx512 && has(c7, 11), os_avx512);
  const char*& why = cpu->why[5];
  why = judge_amx(read_amx());
  if (!why && !(cpu->isas & kIsaAvx512Vnni)) why = "its kernels need avx512vnni as well";
  if (!why && no_amx) why = "OCTET_NO_AMX was given";
  if (!why) cpu->isas |= kIsaAmx;
}

void refuse_amx(Cpu* cpu, const char* why) {
  cpu->isas &= ~uint32_t{kIsaAmx};
  cpu->why[5] = why;
}

#elif defined(__aarch64__)

void detect_cpu(Cpu* cpu, bool) {
  *cpu = Cpu{};
  cpu->isas = kIsaScalar | kIsaNeon;
  strcpy(cpu->name, "aarch64");
  const unsigned long hwcap = getauxval(AT_HWCAP), hwcap2 = getauxval(AT_HWCAP2);
  const char* no_hwcap = "the CPU lacks it";
  if (hwcap >> 20 & 1)
    cpu->isas |= kIsaNeonDot;
  else
    cpu->why[2] = no_hwcap;
  if (hwcap2 >> 13 & 1)
    cpu->isas |= kIsaNeonI8mm;
  else
    cpu->why[3] = no_hwcap;
}

void refuse_amx(Cpu*, const char*) {}

#endif

}  // namespace octet

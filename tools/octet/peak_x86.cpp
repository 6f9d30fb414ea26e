// SPDX-License-Identifier: Apache-2.0
//
// The loops for x86-64. They are assembly, so this file is compiled for the baseline and only who
// calls a loop needs its instructions. The compiler knows no zmm16..31 here and need not be told
// that they change.
#include "peak.h"

namespace octet_cli {
namespace {

#define OCTET_CLOBBERS                                                                         \
  "rax", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", \
      "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

// vpdpbusd: 64 multiply-adds each, 16 accumulators.
void avx512vnni(size_t n) {
  asm volatile(
      "movl $0x5A3C7E11, %%eax\n"
      "vpbroadcastd %%eax, %%zmm30\n"
      "vpbroadcastd %%eax, %%zmm31\n"
      "1:\n"
      ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
      "vpdpbusd %%zmm30, %%zmm31, %%zmm\\i\n"
      ".endr\n"
      "dec %0\n"
      "jnz 1b\n"
      "vzeroupper\n"
      : "+r"(n)
      :
      : OCTET_CLOBBERS);
}

// VEX vpdpbusd in ymm: 32 multiply-adds each, 12 accumulators.
void avxvnni(size_t n) {
  asm volatile(
      "movl $0x5A3C7E11, %%eax\n"
      "vmovd %%eax, %%xmm14\n"
      "vpbroadcastd %%xmm14, %%ymm14\n"
      "vmovdqa %%ymm14, %%ymm15\n"
      "1:\n"
      ".irp i,0,1,2,3,4,5,6,7,8,9,10,11\n"
      "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm\\i\n"
      ".endr\n"
      "dec %0\n"
      "jnz 1b\n"
      "vzeroupper\n"
      : "+r"(n)
      :
      : OCTET_CLOBBERS);
}

// tdpbusd: 16 x 16 sums of 64 products each, in six tiles. Only a context that has been given AMX
// names it, so the process has the permission that ldtilecfg needs.
void amx(size_t n) {
  struct {
    unsigned char palette, start_row, reserved[14];
    unsigned short row_bytes[16];
    unsigned char rows[16];
  } config = {};
  config.palette = 1;
  for (int t = 0; t < 8; ++t) {
    config.row_bytes[t] = 64;
    config.rows[t] = 16;
  }
  asm volatile(
      "ldtilecfg %1\n"
      "1:\n"
      ".irp i,0,1,2,3,4,5\n"
      "tdpbusd %%tmm7, %%tmm6, %%tmm\\i\n"
      ".endr\n"
      "dec %0\n"
      "jnz 1b\n"
      "tilerelease\n"
      : "+r"(n)
      : "m"(config)
      : "cc");
}

// vpmaddwd on values widened to 16 bits: 16 multiply-adds in two instructions. This is what an
// exact AVX2 kernel can reach. Four products before the sums of the four before them: on Zen 4 that
// is 3 % faster than each product followed by its sum.
void avx2_widened(size_t n) {
  asm volatile(
      "movl $0x005A003C, %%eax\n"
      "vmovd %%eax, %%xmm14\n"
      "vpbroadcastd %%xmm14, %%ymm14\n"
      "vmovdqa %%ymm14, %%ymm15\n"
      ".p2align 6\n"
      "1:\n"
      ".rept 2\n"
      ".irp i,6,7,8,9\n"
      "vpmaddwd %%ymm14, %%ymm15, %%ymm\\i\n"
      ".endr\n"
      ".irp i,0,1,2,3\n"
      "vpaddd %%ymm1\\i, %%ymm\\i, %%ymm\\i\n"
      ".endr\n"
      ".irp i,10,11,12,13\n"
      "vpmaddwd %%ymm14, %%ymm15, %%ymm\\i\n"
      ".endr\n"
      "vpaddd %%ymm6, %%ymm0, %%ymm0\n"
      "vpaddd %%ymm7, %%ymm1, %%ymm1\n"
      "vpaddd %%ymm8, %%ymm2, %%ymm2\n"
      "vpaddd %%ymm9, %%ymm3, %%ymm3\n"
      ".endr\n"
      "dec %0\n"
      "jnz 1b\n"
      "vzeroupper\n"
      : "+r"(n)
      :
      : OCTET_CLOBBERS);
}

// The same in zmm: 32 multiply-adds in two instructions. Six products before the sums of the six
// before them: on Zen 4 that is a quarter faster than each product followed by its sum.
void avx512bw(size_t n) {
  asm volatile(
      "movl $0x005A003C, %%eax\n"
      "vpbroadcastd %%eax, %%zmm30\n"
      "vmovdqa64 %%zmm30, %%zmm31\n"
      ".p2align 6\n"
      "1:\n"
      ".irp i,0,1,2,3,4,5\n"
      "vpmaddwd %%zmm30, %%zmm31, %%zmm1\\i\n"
      ".endr\n"
      ".irp i,0,1,2,3,4,5\n"
      "vpaddd %%zmm2\\i, %%zmm\\i, %%zmm\\i\n"
      ".endr\n"
      ".irp i,0,1,2,3,4,5\n"
      "vpmaddwd %%zmm30, %%zmm31, %%zmm2\\i\n"
      ".endr\n"
      ".irp i,0,1,2,3,4,5\n"
      "vpaddd %%zmm1\\i, %%zmm\\i, %%zmm\\i\n"
      ".endr\n"
      "dec %0\n"
      "jnz 1b\n"
      "vzeroupper\n"
      : "+r"(n)
      :
      : OCTET_CLOBBERS);
}

// vpmaddubsw, whose 16-bit sums saturate: 32 multiply-adds in three instructions, exact only where
// the weights are known to be small.
void avx2(size_t n) {
  asm volatile(
      "movl $0x5A3C7E11, %%eax\n"
      "vmovd %%eax, %%xmm14\n"
      "vpbroadcastd %%xmm14, %%ymm14\n"
      "vmovdqa %%ymm14, %%ymm15\n"
      "vpcmpeqw %%ymm13, %%ymm13, %%ymm13\n"
      "1:\n"
      ".irp i,0,1,2,3,4,5,6,7,8,9\n"
      "vpmaddubsw %%ymm14, %%ymm15, %%ymm12\n"
      "vpmaddwd %%ymm12, %%ymm13, %%ymm12\n"
      "vpaddd %%ymm12, %%ymm\\i, %%ymm\\i\n"
      ".endr\n"
      "dec %0\n"
      "jnz 1b\n"
      "vzeroupper\n"
      : "+r"(n)
      :
      : OCTET_CLOBBERS);
}

// Two vpmaddubsw whose 16-bit results are added before one vpmaddwd: 64 multiply-adds in five
// instructions, where the weights allow the deeper sum.
void avx2_depth2(size_t n) {
  asm volatile(
      "movl $0x5A3C7E11, %%eax\n"
      "vmovd %%eax, %%xmm14\n"
      "vpbroadcastd %%xmm14, %%ymm14\n"
      "vmovdqa %%ymm14, %%ymm15\n"
      "vpcmpeqw %%ymm13, %%ymm13, %%ymm13\n"
      ".p2align 6\n"
      "1:\n"
      ".irp i,0,1,2,3,4,5,6,7,8,9\n"
      "vpmaddubsw %%ymm14, %%ymm15, %%ymm12\n"
      "vpmaddubsw %%ymm15, %%ymm14, %%ymm11\n"
      "vpaddw %%ymm11, %%ymm12, %%ymm12\n"
      "vpmaddwd %%ymm12, %%ymm13, %%ymm12\n"
      "vpaddd %%ymm12, %%ymm\\i, %%ymm\\i\n"
      ".endr\n"
      "dec %0\n"
      "jnz 1b\n"
      "vzeroupper\n"
      : "+r"(n)
      :
      : OCTET_CLOBBERS);
}

constexpr Peak kAmx[] = {{"amx", 6 * 16 * 16 * 64 * 2, amx}};
constexpr Peak kAvx512Vnni[] = {{"avx512vnni", 16 * 64 * 2, avx512vnni}};
constexpr Peak kAvxVnni[] = {{"avxvnni", 12 * 32 * 2, avxvnni}};
constexpr Peak kAvx512Bw[] = {{"avx512bw", 12 * 32 * 2, avx512bw}};
constexpr Peak kAvx2[] = {{"avx2", 10 * 32 * 2, avx2},
                          {"avx2_widened", 16 * 16 * 2, avx2_widened},
                          {"avx2_depth2", 10 * 64 * 2, avx2_depth2}};

}  // namespace

std::span<const Peak> peaks_of(std::string_view isa) {
  if (isa == "amx") return kAmx;
  if (isa == "avx512vnni") return kAvx512Vnni;
  if (isa == "avx512bw") return kAvx512Bw;
  if (isa == "avxvnni") return kAvxVnni;
  if (isa == "avx2") return kAvx2;
  return {};
}

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
//
// The loops for AArch64. They are assembly, so this file is compiled for the baseline and only who
// calls a loop needs its instructions.
#include "peak.h"

namespace octet_cli {
namespace {

#define OCTET_CLOBBERS                                                                          \
  "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", \
      "v14", "v15", "v28", "v30", "v31"

// smull and sadalp: 8 multiply-adds in two instructions, 12 accumulators.
void neon(size_t n) {
  asm volatile(
      "movi v30.16b, #0x5a\n"
      "movi v31.16b, #0x3c\n"
      "1:\n"
      ".irp i,0,1,2,3,4,5,6,7,8,9,10,11\n"
      "smull v28.8h, v30.8b, v31.8b\n"
      "sadalp v\\i\\().4s, v28.8h\n"
      ".endr\n"
      "subs %0, %0, #1\n"
      "b.ne 1b\n"
      : "+r"(n)
      :
      : OCTET_CLOBBERS);
}

// sdot: 16 multiply-adds each, 16 accumulators.
void neondot(size_t n) {
  asm volatile(
      ".arch armv8.2-a+dotprod\n"
      "movi v30.16b, #0x5a\n"
      "movi v31.16b, #0x3c\n"
      "1:\n"
      ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
      "sdot v\\i\\().4s, v30.16b, v31.16b\n"
      ".endr\n"
      "subs %0, %0, #1\n"
      "b.ne 1b\n"
      ".arch armv8-a\n"
      : "+r"(n)
      :
      : OCTET_CLOBBERS);
}

// smmla: 32 multiply-adds each, 16 accumulators.
void neoni8mm(size_t n) {
  asm volatile(
      ".arch armv8.2-a+i8mm\n"
      "movi v30.16b, #0x5a\n"
      "movi v31.16b, #0x3c\n"
      "1:\n"
      ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
      "smmla v\\i\\().4s, v30.16b, v31.16b\n"
      ".endr\n"
      "subs %0, %0, #1\n"
      "b.ne 1b\n"
      ".arch armv8-a\n"
      : "+r"(n)
      :
      : OCTET_CLOBBERS);
}

constexpr Peak kNeon[] = {{"neon", 12 * 8 * 2, neon}};
constexpr Peak kNeonDot[] = {{"neondot", 16 * 16 * 2, neondot}};
constexpr Peak kNeonI8mm[] = {{"neoni8mm", 16 * 32 * 2, neoni8mm}};

}  // namespace

std::span<const Peak> peaks_of(std::string_view isa) {
  if (isa == "neon") return kNeon;
  if (isa == "neondot") return kNeonDot;
  if (isa == "neoni8mm") return kNeonI8mm;
  return {};
}

}  // namespace octet_cli

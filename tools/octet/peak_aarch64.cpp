// SPDX-License-Identifier: Apache-2.0
//
// The loop for AArch64 without the dot-product extension.
#include "peak.h"

namespace octet_cli {
namespace {

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
      : "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v28",
        "v30", "v31");
}

constexpr Peak kNeon[] = {{"neon", 12 * 8 * 2, neon}};

}  // namespace

std::span<const Peak> peaks_of(std::string_view isa) {
  if (isa == "neon") return kNeon;
  return {};
}

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
//
// What an instruction set can do at most: loops of its int8 dot instructions on registers alone,
// with enough independent accumulators to hide their latency. A kernel's share of that, measured in
// the same run, compares across machines and clock rates.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace octet_cli {

struct Peak {
  const char* name;
  double ops;                      // of one iteration; a multiply-add is two
  void (*run)(size_t iterations);  // needs the instruction set
};

// The loops of an ISA, by the name the library gives it, one for each sequence of instructions that
// kernels of that ISA are made of. Empty where there is none, as for scalar code.
std::span<const Peak> peaks_of(std::string_view isa);

// Which of them a kernel is held to: the one of its own instructions. AVX2's kernels that widen
// their operands to 16 bits run another loop than those that multiply bytes.
inline std::string_view peak_name(std::string_view kernel, std::string_view isa) {
  if (isa == "avx2" && kernel.find("_s16") != std::string_view::npos) return "avx2_widened";
  return isa;
}

}  // namespace octet_cli

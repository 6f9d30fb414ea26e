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

// The loops of an ISA, by the name the library gives it; the first is what kernels are held to.
// Empty where there is none, as for scalar code.
std::span<const Peak> peaks_of(std::string_view isa);

}  // namespace octet_cli

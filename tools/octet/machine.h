// SPDX-License-Identifier: Apache-2.0
//
// What octet_context_describe says, read from its JSON.
#pragma once

#include <octet/octet.h>

#include <cstdint>
#include <string>
#include <vector>

namespace octet_cli {

struct Machine {
  struct Isa {
    std::string name, why;
    bool usable = false;
  };
  struct Kernel {
    std::string name, family, isa, tile;  // tile: "6x64c4", empty where there is none
  };
  std::string version, cpu;
  std::string max_isa;  // the context's cap, "none" where there is none
  std::vector<Isa> isas;
  int64_t l1d = 0, l2 = 0, l3 = 0;  // bytes; 0: unknown
  std::vector<Kernel> kernels;
};

Machine read_machine(const octet_context* context);

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
//
// What this CPU can run, from CPUID and XGETBV or from the auxiliary vector: no file is read.
#pragma once

#include <octet/octet.h>

#include "kernels/kernel.h"

namespace octet {

struct IsaInfo {
  const char* name;
  uint32_t bit;
  uint32_t parents;  // every ISA that a cap of this name admits, itself included
};

// All ISAs of this architecture, in ascending order; the first is scalar.
extern const IsaInfo kIsas[];
extern const int kIsaCount;

// An ISA of any architecture by name: nullptr if the name is unknown; *foreign tells whether it
// belongs to another architecture (then bit and parents do not apply).
const IsaInfo* find_isa(const char* name, bool* foreign);
const char* isa_name(uint32_t bit);

struct Cpu {
  // What the CPU and the operating system can run; AMX counts before it is asked for (src/amx.h).
  uint32_t isas;
  char name[96];       // brand string, or the architecture's name
  size_t l1d, l2, l3;  // bytes seen by one core; 0 if unknown
  const char* why[9];  // for kIsas[i] that is missing: the reason, else nullptr
};

// no_amx: as if the CPU had none.
void detect_cpu(Cpu* cpu, bool no_amx);
// AMX turns out not to be usable.
void refuse_amx(Cpu* cpu, const char* why);

}  // namespace octet

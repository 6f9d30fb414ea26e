// SPDX-License-Identifier: Apache-2.0
//
// The AMX kernels as they ship, on a CPU without AMX: each tile instruction is an illegal one
// there, and this handler of SIGILL decodes it and does it on the model of the tiles. So the
// machine code itself is tested, with the operands the compiler gave to the assembly and the order
// in which it left loads and stores around it. Linked in front of the tests of the kernels, it
// needs no call.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdint.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "src/amx.h"
#include "tests/kernels/tile_model.h"

namespace octet_tiles {
namespace {

// General registers in the order of their numbers.
constexpr int kRegisters[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                REG_R12, REG_R13, REG_R14, REG_R15};

enum Prefix { kNone, k66, kF3, kF2 };  // VEX.pp

// A VEX instruction of opcode map 0F38 with one ModRM byte, which all of AMX is.
struct Instruction {
  uint8_t opcode;
  Prefix prefix;
  int reg, rm, vvvv;  // tiles or registers
  bool memory;
  char* address;  // without the index where there is a stride
  ptrdiff_t index;
  int bytes;
};

[[noreturn]] void unknown(const uint8_t* at) {
  std::fprintf(stderr, "illegal instruction %02x %02x %02x %02x %02x\n", at[0], at[1], at[2], at[3],
               at[4]);
  std::abort();
}

Instruction decode(const uint8_t* at, const greg_t* registers) {
  // C4, R X B inverted and the map, W and vvvv inverted and L and pp
  if (at[0] != 0xC4 || (at[1] & 31) != 2 || (at[2] & 0x84)) unknown(at);
  const auto extended = [&](int bit) { return at[1] >> bit & 1 ? 0 : 8; };
  const auto value = [&](int number) { return registers[kRegisters[number]]; };
  Instruction i = {};
  i.prefix = static_cast<Prefix>(at[2] & 3);
  i.vvvv = ~at[2] >> 3 & 15;
  i.opcode = at[3];
  const int mod = at[4] >> 6, rm = at[4] & 7;
  i.reg = (at[4] >> 3 & 7) + extended(7);
  i.memory = mod != 3;
  i.bytes = 5;
  if (!i.memory) {
    i.rm = rm + extended(5);
    return i;
  }
  int64_t address = 0;
  bool far = mod == 2;
  if (rm == 4) {  // SIB
    const int sib = at[i.bytes++], index = (sib >> 3 & 7) + extended(6), base = sib & 7;
    if (index != 4) i.index = value(index) << (sib >> 6);
    if (base == 5 && mod == 0)
      far = true;
    else
      address = value(base + extended(5));
  } else {
    if (rm == 5 && mod == 0)
      unknown(at);  // relative to the instruction: the kernels have no constants
    address = value(rm + extended(5));
  }
  if (far) {
    int32_t offset;
    std::memcpy(&offset, at + i.bytes, 4);
    address += offset;
    i.bytes += 4;
  } else if (mod == 1) {
    address += static_cast<int8_t>(at[i.bytes++]);
  }
  i.address = reinterpret_cast<char*>(address);
  return i;
}

bool perform(const Instruction& i) {
  if (i.opcode == 0x49 && i.memory && i.prefix == kNone && i.reg == 0)
    ldtilecfg(i.address + i.index);
  else if (i.opcode == 0x49 && !i.memory && i.prefix == kNone && i.reg == 0 && i.rm == 0)
    tilerelease();
  else if (i.opcode == 0x49 && !i.memory && i.prefix == kF2 && i.rm == 0)
    tilezero(i.reg);
  else if (i.opcode == 0x4B && i.memory && (i.prefix == kF2 || i.prefix == k66))
    tileload(i.reg, i.address, i.index);
  else if (i.opcode == 0x4B && i.memory && i.prefix == kF3)
    tilestore(i.reg, i.address, i.index);
  else if (i.opcode == 0x5E && !i.memory)
    (i.prefix == kNone ? tdpbuud
     : i.prefix == k66 ? tdpbusd
     : i.prefix == kF3 ? tdpbsud
                       : tdpbssd)(i.reg, i.rm, i.vvvv);
  else
    return false;
  return true;
}

void handle(int, siginfo_t*, void* context) {
  greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const uint8_t* at = reinterpret_cast<const uint8_t*>(registers[REG_RIP]);
  const Instruction i = decode(at, registers);
  if (!perform(i)) unknown(at);
  registers[REG_RIP] += i.bytes;
}

[[maybe_unused]] const bool installed = [] {
  struct sigaction action = {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO;
  return sigaction(SIGILL, &action, nullptr) == 0;
}();

TEST(AmxTrap, DoesTheProbeOfTheContext) {
  EXPECT_TRUE(octet::probe_amx());
  EXPECT_FALSE(in_use());
}

}  // namespace
}  // namespace octet_tiles

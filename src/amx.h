// SPDX-License-Identifier: Apache-2.0
//
// May this process use AMX? CPUs advertise it where a hypervisor or the operating system has it
// switched off, and Linux gives its registers, 8 KiB a thread, only to a process that asks. So AMX
// is used after five answers: CPUID, XCR0, the palette of tiles, Linux, and one product.
#pragma once

#include <stdint.h>

namespace octet {

// What the CPU says, without asking anyone for anything.
struct AmxFacts {
  bool tiles, int8;     // leaf 7: AMX-TILE, AMX-INT8
  uint64_t xcr0;        // 0 without XGETBV
  uint32_t palettes;    // leaf 0x1D: the highest palette
  uint32_t tile_bytes;  // of palette 1: of a tile, of a row; numbers of tiles and of rows
  uint32_t row_bytes, tile_count, rows;
};
AmxFacts read_amx();

// Why AMX cannot be used, as far as the facts tell; nullptr if they speak for it.
const char* judge_amx(const AmxFacts& facts);

// Asks Linux for the tiles, for the whole process and for good, and probes them. Only after
// judge_amx() found nothing. Why AMX cannot be used, or nullptr.
const char* permit_amx();

// Multiplies a row by a column with tiles; false if the product is wrong.
bool probe_amx();

}  // namespace octet

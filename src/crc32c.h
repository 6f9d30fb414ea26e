// SPDX-License-Identifier: Apache-2.0
//
// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78): guards packed weights and saved observers.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace octet {

// crc: 0 for the first piece, the last result for each further one.
uint32_t crc32c(uint32_t crc, const void* data, size_t bytes);

}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
#include "src/crc32c.h"

#include <string.h>

namespace octet {

namespace {

// table[k][b]: the CRC of byte b followed by k zero bytes, so that eight bytes go in one step.
struct Tables {
  uint32_t table[8][256];
  constexpr Tables() : table() {
    for (uint32_t b = 0; b < 256; ++b) {
      uint32_t crc = b;
      for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
      table[0][b] = crc;
    }
    for (int k = 1; k < 8; ++k)
      for (uint32_t b = 0; b < 256; ++b)
        table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 255];
  }
};
constexpr Tables kTables;

}  // namespace

uint32_t crc32c(uint32_t crc, const void* data, size_t bytes) {
  const unsigned char* p = static_cast<const unsigned char*>(data);
  const auto& t = kTables.table;
  crc = ~crc;
  for (; bytes >= 8; bytes -= 8, p += 8) {
    uint32_t low, high;
    memcpy(&low, p, 4);
    memcpy(&high, p + 4, 4);
    low ^= crc;
    crc = t[7][low & 255] ^ t[6][low >> 8 & 255] ^ t[5][low >> 16 & 255] ^ t[4][low >> 24] ^
          t[3][high & 255] ^ t[2][high >> 8 & 255] ^ t[1][high >> 16 & 255] ^ t[0][high >> 24];
  }
  for (; bytes; --bytes, ++p) crc = crc >> 8 ^ t[0][(crc ^ *p) & 255];
  return ~crc;
}

}  // namespace octet

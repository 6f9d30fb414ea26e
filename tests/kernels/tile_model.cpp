// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/tile_model.h"

#include <stdint.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace octet_tiles {
namespace {

constexpr int kTiles = 8, kRows = 16, kRowBytes = 64;

// The operand of ldtilecfg.
struct Config {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
static_assert(sizeof(Config) == 64);

struct Tile {
  int rows, row_bytes;  // both 0: not configured
  uint8_t data[kRows][kRowBytes];
};

thread_local Tile tiles[kTiles];
thread_local bool configured = false;
thread_local std::vector<const void*>* prefetches = nullptr;
const char* watched = nullptr;
size_t watched_bytes = 0;
std::atomic<long> loads = 0;

void require(bool holds, const char* instruction, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s: %s\n", instruction, what);
  std::abort();
}

Tile& tile(int t, const char* instruction) {
  require(configured, instruction, "no configuration is loaded");
  require(t >= 0 && t < kTiles, instruction, "there is no such tile");
  require(tiles[t].rows != 0, instruction, "the tile is not configured");
  return tiles[t];
}

// Byte k of each 4 of a row of a times byte k of the 4 of a column of b.
template <class A, class B>
void dot(const char* instruction, int c, int a, int b) {
  require(c != a && c != b && a != b, instruction, "two operands are one tile");
  Tile& to = tile(c, instruction);
  const Tile &x = tile(a, instruction), &y = tile(b, instruction);
  require(to.row_bytes % 4 == 0 && x.row_bytes % 4 == 0 && y.row_bytes % 4 == 0, instruction,
          "the bytes of a row are no multiple of 4");
  require(to.rows == x.rows, instruction, "c and a differ in rows");
  require(to.row_bytes == y.row_bytes, instruction, "c and b differ in columns");
  require(x.row_bytes / 4 == y.rows, instruction, "a and b differ in k");
  for (int m = 0; m < to.rows; ++m)
    for (int n = 0; n < to.row_bytes / 4; ++n) {
      uint32_t sum;
      std::memcpy(&sum, to.data[m] + 4 * n, 4);
      for (int k = 0; k < x.row_bytes; ++k)
        sum += static_cast<uint32_t>(static_cast<A>(x.data[m][k]) *
                                     static_cast<B>(y.data[k / 4][4 * n + k % 4]));
      std::memcpy(to.data[m] + 4 * n, &sum, 4);
    }
}

}  // namespace

void ldtilecfg(const void* config) {
  Config given;
  std::memcpy(&given, config, sizeof given);
  tilerelease();
  if (given.palette == 0) return;
  const char* name = "ldtilecfg";
  require(given.palette == 1, name, "the palette is neither 0 nor 1");
  for (const uint8_t byte : given.reserved) require(byte == 0, name, "a reserved byte is set");
  for (int t = 0; t < 16; ++t) {
    const int rows = given.rows[t], bytes = given.row_bytes[t];
    require(t < kTiles || (!rows && !bytes), name, "a tile beyond the eighth is configured");
    require(rows <= kRows, name, "a tile has more than 16 rows");
    require(bytes <= kRowBytes, name, "a row has more than 64 bytes");
    require((rows != 0) == (bytes != 0), name,
            "a tile has rows without bytes or bytes without rows");
    if (t >= kTiles) continue;
    tiles[t].rows = rows;
    tiles[t].row_bytes = bytes;
  }
  require(given.start_row == 0, name, "an interrupted load is to be continued");
  configured = true;
}

void tilerelease() {
  std::memset(tiles, 0, sizeof tiles);
  configured = false;
}

void tilezero(int t) {
  Tile& to = tile(t, "tilezero");
  std::memset(to.data, 0, sizeof to.data);
}

void watch_loads(const void* p, size_t bytes) {
  watched = static_cast<const char*>(p);
  watched_bytes = bytes;
  loads = 0;
}
long loads_seen() { return loads; }

void tileload(int t, const void* p, ptrdiff_t stride) {
  const auto offset = static_cast<size_t>(static_cast<const char*>(p) - watched);
  if (watched && offset < watched_bytes) ++loads;
  Tile& to = tile(t, "tileload");
  std::memset(to.data, 0, sizeof to.data);
  for (int i = 0; i < to.rows; ++i)
    std::memcpy(to.data[i], static_cast<const char*>(p) + i * stride,
                static_cast<size_t>(to.row_bytes));
}

void tilestore(int t, void* p, ptrdiff_t stride) {
  const Tile& from = tile(t, "tilestore");
  for (int i = 0; i < from.rows; ++i)
    std::memcpy(static_cast<char*>(p) + i * stride, from.data[i],
                static_cast<size_t>(from.row_bytes));
}

void tdpbssd(int c, int a, int b) { dot<int8_t, int8_t>("tdpbssd", c, a, b); }
void tdpbsud(int c, int a, int b) { dot<int8_t, uint8_t>("tdpbsud", c, a, b); }
void tdpbusd(int c, int a, int b) { dot<uint8_t, int8_t>("tdpbusd", c, a, b); }
void tdpbuud(int c, int a, int b) { dot<uint8_t, uint8_t>("tdpbuud", c, a, b); }

void prefetch(const void* p) {
  if (prefetches) prefetches->push_back(p);
}

void collect_prefetches(std::vector<const void*>* lines) { prefetches = lines; }

bool in_use() { return configured; }

}  // namespace octet_tiles

// SPDX-License-Identifier: Apache-2.0
//
// The model of AMX's tiles itself: small products that can be checked by eye, and the faults it
// must not let pass.
#include "tests/kernels/tile_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/kernel.h"
#include "octet/octet.h"

namespace octet_tiles {
namespace {

struct Config {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};

  void shape(int t, int tile_rows, int bytes) {
    rows[t] = static_cast<uint8_t>(tile_rows);
    row_bytes[t] = static_cast<uint16_t>(bytes);
  }
};

class TileModel : public testing::Test {
 protected:
  void TearDown() override { tilerelease(); }

  // One row of one group of 4: 0xFF 1 2 3 times 0xFE 10 20 30.
  int32_t product(void (*dot)(int, int, int)) {
    Config config;
    config.shape(0, 1, 4);
    config.shape(1, 1, 4);
    config.shape(2, 1, 4);
    ldtilecfg(&config);
    const uint8_t a[4] = {0xFF, 1, 2, 3}, b[4] = {0xFE, 10, 20, 30};
    tileload(1, a, 4);
    tileload(2, b, 4);
    dot(0, 1, 2);
    int32_t sum;
    tilestore(0, &sum, 4);
    return sum;
  }
};

TEST_F(TileModel, MultipliesByTheSignsOfItsOperands) {
  EXPECT_EQ(product(tdpbuud), 255 * 254 + 140);
  EXPECT_EQ(product(tdpbusd), 255 * -2 + 140);
  EXPECT_EQ(product(tdpbsud), -1 * 254 + 140);
  EXPECT_EQ(product(tdpbssd), -1 * -2 + 140);
}

TEST_F(TileModel, TouchesTheBytesOfItsShapeOnly) {
  Config config;
  config.shape(3, 2, 8);
  ldtilecfg(&config);
  const char from[] = "abcdefgh..ijklmnop";
  char to[] = "--------------------";
  tileload(3, from, 10);
  tilestore(3, to, 9);
  EXPECT_STREQ(to, "abcdefgh-ijklmnop---");
  tilezero(3);
  tilestore(3, to, 9);
  EXPECT_EQ(to[0], 0);
  EXPECT_EQ(to[8], '-');
}

TEST_F(TileModel, AConfigurationEmptiesTheTiles) {
  EXPECT_NE(product(tdpbuud), 0);
  Config config;
  config.shape(0, 1, 4);
  ldtilecfg(&config);
  int32_t sum = 1;
  tilestore(0, &sum, 4);
  EXPECT_EQ(sum, 0);
}

// A block of 1s, walked with the columns outside: the lines of B that it has fetched into L2.
std::vector<ptrdiff_t> lines_fetched(const octet::Row& row, int32_t m, int32_t n, int32_t k,
                                     bool columns_outer, bool prefetch) {
  const ptrdiff_t panel = (k + 3) / 4 * 64 + 64, panels = (n + 15) / 16;
  const auto bytes = static_cast<size_t>(panels * panel);
  const std::vector<char> a(static_cast<size_t>(m * k), 1);
  const std::unique_ptr<int8_t, void (*)(void*)> b(
      static_cast<int8_t*>(std::aligned_alloc(64, bytes)), std::free);
  std::memset(b.get(), 1, bytes);
  const std::vector<int32_t> ibias(static_cast<size_t>(panels * 16));
  std::vector<int32_t> c(static_cast<size_t>(m * n));
  octet::Finish finish = {};
  finish.ibias = ibias.data();
  octet::Block block = {};
  block.a = a.data();
  block.lda = block.kc = k;
  block.b = b.get();
  block.panel = panel;
  block.c = c.data();
  block.ldc = n * 4;
  block.m = m;
  block.n = n;
  block.columns_outer = columns_outer;
  block.prefetch = prefetch;
  block.finish = &finish;
  std::vector<const void*> lines;
  collect_prefetches(&lines);
  reinterpret_cast<octet::BlockFn*>(row.fn)(&block);
  collect_prefetches(nullptr);
  EXPECT_EQ(c, std::vector<int32_t>(c.size(), k)) << row.name;
  std::vector<ptrdiff_t> offsets;
  for (const void* line : lines) offsets.push_back(static_cast<const int8_t*>(line) - b.get());
  std::sort(offsets.begin(), offsets.end());
  return offsets;
}

TEST(TilePrefetch, FetchesEachLineOfTheNextPanelsOnce) {
  if (!__builtin_cpu_supports("avx512vnni")) GTEST_SKIP() << "epilogues need AVX-512-VNNI";
  for (size_t r = 0; r < octet::octet_row_count; ++r) {
    const octet::Row& row = octet::octet_rows[r];
    if (row.isa != octet::kIsaAmx || row.out != OCTET_S32) continue;
    const int32_t n = 2 * row.nr + 17, k = 200;  // the last step of columns has two panels
    for (const int32_t groups : {1, 3, 40}) {
      std::vector<ptrdiff_t> want;
      for (ptrdiff_t at = row.nr / 16; at < (n + 15) / 16; ++at)
        for (ptrdiff_t line = 0; line < k / 64 * 16; ++line)
          want.push_back(at * (200 * 16 + 64) + line * 64);
      EXPECT_EQ(lines_fetched(row, groups * row.mr, n, k, true, true), want) << row.name;
    }
    EXPECT_THAT(lines_fetched(row, row.mr, n, k, true, false), testing::IsEmpty());
    EXPECT_THAT(lines_fetched(row, row.mr, n, k, false, true), testing::IsEmpty());
    EXPECT_THAT(lines_fetched(row, row.mr, n, 60, true, true), testing::IsEmpty());
    EXPECT_THAT(lines_fetched(row, row.mr, row.nr, k, true, true), testing::IsEmpty());
  }
}

using TileModelDeathTest = TileModel;

TEST_F(TileModelDeathTest, RefusesWhatTheCpuRefuses) {
  EXPECT_DEATH(tilezero(0), "no configuration");
  Config config;
  config.palette = 2;
  EXPECT_DEATH(ldtilecfg(&config), "palette");
  config.palette = 1;
  config.shape(0, 17, 64);
  EXPECT_DEATH(ldtilecfg(&config), "16 rows");
  config.shape(0, 16, 68);
  EXPECT_DEATH(ldtilecfg(&config), "64 bytes");
  config.shape(0, 16, 0);
  EXPECT_DEATH(ldtilecfg(&config), "rows without bytes");
  config.shape(0, 16, 64);
  config.shape(8, 1, 4);
  EXPECT_DEATH(ldtilecfg(&config), "beyond the eighth");
  config.shape(8, 0, 0);
  config.shape(1, 8, 64);
  config.shape(2, 16, 64);
  config.shape(3, 16, 60);
  config.shape(4, 16, 62);
  ldtilecfg(&config);
  EXPECT_DEATH(tilezero(5), "not configured");
  EXPECT_DEATH(tilezero(8), "no such tile");
  EXPECT_DEATH(tdpbusd(0, 0, 2), "one tile");
  EXPECT_DEATH(tdpbusd(0, 1, 2), "rows");
  EXPECT_DEATH(tdpbusd(0, 2, 3), "columns");
  EXPECT_DEATH(tdpbusd(0, 3, 2), "differ in k");
  EXPECT_DEATH(tdpbusd(0, 4, 2), "multiple of 4");
}

}  // namespace
}  // namespace octet_tiles

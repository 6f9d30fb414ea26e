// SPDX-License-Identifier: Apache-2.0
//
// The model of AMX's tiles itself: small products that can be checked by eye, and the faults it
// must not let pass.
#include "tests/kernels/tile_model.h"

#include <gtest/gtest.h>

#include <cstring>

#include "kernels/kernel.h"

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

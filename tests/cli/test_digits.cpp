// SPDX-License-Identifier: Apache-2.0
//
// The embedded digits: complete, unharmed, split as documented; damaged bytes are refused.
#include <gtest/gtest.h>

#include <array>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "digits.h"

extern const unsigned char octet_digits[];
extern const std::size_t octet_digits_size;

namespace octet_cli {
namespace {

std::vector<unsigned char> file() { return {octet_digits, octet_digits + octet_digits_size}; }

TEST(Crc32, HasTheCheckValueOfItsPolynomial) {
  constexpr unsigned char kCheck[] = {'1', '2', '3', '4', '5', '6', '7', '8', '9'};
  EXPECT_EQ(crc32(kCheck), 0xCBF43926u);
  EXPECT_EQ(crc32({}), 0u);
}

TEST(Digits, AreAllThere) {
  const Images images = load_images();
  EXPECT_EQ(images.count(), 1797u);
  EXPECT_EQ(images.pixels.size(), 1797u * kPixels);
  std::array<int, kClasses> seen = {};
  for (const uint8_t label : images.labels) ++seen[label];
  EXPECT_EQ(seen, (std::array<int, kClasses>{178, 182, 177, 183, 181, 182, 181, 179, 174, 180}));
}

TEST(Digits, HaveSixteenthsAsPixels) {
  const Images images = load_images();
  for (const float p : images.pixels) {
    ASSERT_EQ(p * 16.0f, static_cast<float>(static_cast<int>(p * 16.0f)));
    ASSERT_LE(p, 1.0f);
  }
  // The first row of the first image, a zero.
  constexpr int kRow[8] = {0, 0, 5, 13, 9, 1, 0, 0};
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(images.pixels[i] * 16.0f, static_cast<float>(kRow[i]));
  EXPECT_EQ(images.labels[0], 0);
}

TEST(Digits, HoldOutEveryFifth) {
  const Images all = load_images();
  const Digits digits = split_digits(all);
  EXPECT_EQ(digits.train.count(), 1438u);
  EXPECT_EQ(digits.held_out.count(), 359u);
  EXPECT_EQ(digits.held_out.labels[0], all.labels[4]);
  EXPECT_EQ(digits.held_out.labels[1], all.labels[9]);
  EXPECT_EQ(digits.train.labels[4], all.labels[5]);
}

TEST(Digits, AreRefusedWhenDamaged) {
  for (const size_t at : {size_t{0}, size_t{5}, size_t{9}, size_t{13}, size_t{16}, size_t{40000}}) {
    auto bytes = file();
    bytes[at] ^= 0x10;
    EXPECT_THROW(parse_digits(bytes), std::runtime_error) << at;
  }
}

TEST(Digits, AreRefusedWhenCutShort) {
  const auto bytes = file();
  for (const size_t length : {size_t{0}, size_t{15}, size_t{16}, bytes.size() - 1})
    EXPECT_THROW(parse_digits({bytes.data(), length}), std::runtime_error) << length;
}

}  // namespace
}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
//
// The handwritten digits that the program carries (tools/data/README.md has source and format).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace octet_cli {

inline constexpr size_t kPixels = 64;
inline constexpr size_t kClasses = 10;

// Images as rows of 64 floats in [0, 1] (pixel / 16, exact), and their labels.
struct Images {
  std::vector<float> pixels;
  std::vector<uint8_t> labels;

  size_t count() const { return labels.size(); }
  const float* image(size_t i) const { return pixels.data() + i * kPixels; }
};

struct Digits {
  Images train, held_out;
};

uint32_t crc32(std::span<const unsigned char> bytes);

// Reads the packed form; throws std::runtime_error where the bytes fail their checks.
Images parse_digits(std::span<const unsigned char> file);

// All images of the embedded file.
Images load_images();

// Every fifth image (index mod 5 = 4) is held out, the rest trains.
Digits split_digits(const Images& all);

}  // namespace octet_cli

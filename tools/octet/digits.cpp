// SPDX-License-Identifier: Apache-2.0
#include "digits.h"

#include <cstring>
#include <stdexcept>

extern const unsigned char octet_digits[];
extern const std::size_t octet_digits_size;

namespace octet_cli {
namespace {

uint64_t little_endian(const unsigned char* p, int bytes) {
  uint64_t value = 0;
  for (int i = bytes - 1; i >= 0; --i) value = value << 8 | p[i];
  return value;
}

// Hands out the bytes of the payload in order and refuses to go past its end.
class Reader {
 public:
  explicit Reader(std::span<const unsigned char> bytes) : bytes_(bytes) {}

  const unsigned char* take(size_t n) {
    if (bytes_.size() < n) throw std::runtime_error("The digits end in the middle of an image.");
    const unsigned char* p = bytes_.data();
    bytes_ = bytes_.subspan(n);
    return p;
  }
  bool empty() const { return bytes_.empty(); }

 private:
  std::span<const unsigned char> bytes_;
};

void append(Images& to, const Images& from, size_t i) {
  to.pixels.insert(to.pixels.end(), from.image(i), from.image(i) + kPixels);
  to.labels.push_back(from.labels[i]);
}

}  // namespace

uint32_t crc32(std::span<const unsigned char> bytes) {
  uint32_t crc = 0xFFFFFFFFu;
  for (const unsigned char byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0xEDB88320u : 0u);
  }
  return ~crc;
}

Images parse_digits(std::span<const unsigned char> file) {
  if (file.size() < 16 || std::memcmp(file.data(), "ODG1", 4) != 0)
    throw std::runtime_error("The digits do not begin with their magic.");
  const auto count = static_cast<size_t>(little_endian(file.data() + 4, 4));
  const auto payload = file.subspan(16);
  if (payload.size() != little_endian(file.data() + 8, 4) ||
      crc32(payload) != little_endian(file.data() + 12, 4))
    throw std::runtime_error("The digits fail their checksum.");

  Images images;
  Reader reader(payload);
  for (size_t i = 0; i < count; ++i) {
    const unsigned char* head = reader.take(9);
    const uint64_t bitmap = little_endian(head + 1, 8);
    if (head[0] >= kClasses) throw std::runtime_error("A digit has a label above 9.");
    images.labels.push_back(head[0]);
    const unsigned char* nibbles =
        reader.take((static_cast<size_t>(__builtin_popcountll(bitmap)) + 1) / 2);
    size_t at = 0;
    for (size_t pixel = 0; pixel < kPixels; ++pixel) {
      int value = 0;
      if (bitmap >> pixel & 1) {
        value = (nibbles[at / 2] >> (at % 2 * 4) & 15) + 1;
        ++at;
      }
      images.pixels.push_back(static_cast<float>(value) / 16.0f);
    }
  }
  if (!reader.empty()) throw std::runtime_error("The digits go on after the last image.");
  return images;
}

Images load_images() { return parse_digits({octet_digits, octet_digits_size}); }

Digits split_digits(const Images& all) {
  Digits digits;
  for (size_t i = 0; i < all.count(); ++i)
    append(i % 5 == 4 ? digits.held_out : digits.train, all, i);
  return digits;
}

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
//
// Every tile of group-wise weights that this CPU can run against the scalar reference, bit for bit:
// all sizes of a tile, groups of one step up to several blocks, extreme data, all options of the
// finish; all operands between protected pages, and every byte of C compared.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernel.h"
#include "octet/octet.h"
#include "tests/kernels/cpu.h"
#include "tests/kernels/guarded.h"

namespace octet {
namespace {

constexpr int32_t kReferenceMr = 4, kPanel = 16;

GroupTileFn* function(const Row& row) { return reinterpret_cast<GroupTileFn*>(row.fn); }

const Row& reference_of(const Row& row, bool is_signed) {
  for (size_t r = 0; r < octet_row_count; ++r) {
    const Row& candidate = octet_rows[r];
    if (candidate.family == kGemmGroup && candidate.isa == kIsaScalar && candidate.out == row.out &&
        candidate.weight == row.weight && candidate.in == (is_signed ? OCTET_S8 : OCTET_U8))
      return candidate;
  }
  ADD_FAILURE() << "no reference for " << row.name;
  return row;
}

struct Case {
  int32_t m, n, group, groups;
};

class Comparison {
 public:
  Comparison(const Row& row, uint32_t seed) : row_(row), random_(seed) {}

  // False where a byte of C differs.
  bool run(const Case& c) {
    case_ = c;
    at_end_ = chance(4, 5);
    tile_ = {};
    tile_.m = c.m;
    tile_.n = c.n;
    tile_.group = c.group;
    tile_.kc = c.group * c.groups;
    tile_.row0 = draw(0, 3);
    tile_.col0 = draw(0, 2) * kPanel;
    draw_a();
    draw_b();
    draw_pairs();
    draw_finish();
    const size_t element = row_.out == kOutQ8 ? 1 : 4;
    const size_t used = static_cast<size_t>(c.n) * element;
    tile_.ldc = static_cast<ptrdiff_t>(used + element * draw(0, 9));
    const size_t bytes = static_cast<size_t>(tile_.ldc) * static_cast<size_t>(c.m - 1) + used;
    std::vector<uint8_t> want(bytes, 0xA5);
    run_reference(want.data());
    uint8_t* got = c_.place<uint8_t>(bytes, at_end_);
    memset(got, 0xA5, bytes);
    tile_.c = got;
    function(row_)(&tile_);
    return memcmp(got, want.data(), bytes) == 0;
  }

 private:
  int32_t draw(int32_t low, int32_t high) {
    return std::uniform_int_distribution<int32_t>(low, high)(random_);
  }
  bool chance(int32_t part, int32_t of) { return draw(1, of) <= part; }

  void draw_a() {
    is_signed_ = row_.in == OCTET_S8 || (row_.in == OCTET_S16 && chance(1, 2));
    const bool wide = row_.in == OCTET_S16;
    const int32_t length = tile_.kc * (wide ? 2 : 1);
    const int32_t stride = length + draw(0, 5) * (wide ? 2 : 1);
    char* a = a_.place<char>(static_cast<size_t>((row_.mr - 1) * stride + length), at_end_);
    bytes_.resize(static_cast<size_t>(row_.mr * tile_.kc));
    offsets_.assign(static_cast<size_t>(row_.mr), 0);
    std::vector<int32_t> order(static_cast<size_t>(row_.mr));
    for (int32_t r = 0; r < row_.mr; ++r) order[static_cast<size_t>(r)] = r;
    std::shuffle(order.begin(), order.end(), random_);
    const int32_t kind = draw(0, 3);
    for (int32_t r = 0; r < row_.mr; ++r) {
      const int32_t offset = order[static_cast<size_t>(r)] * stride;
      offsets_[static_cast<size_t>(r)] = offset;
      uint8_t* row = bytes_.data() + r * tile_.kc;
      for (int32_t k = 0; k < tile_.kc; ++k) row[k] = draw_byte(kind);
      if (wide)
        widen(row, a + offset);
      else
        memcpy(a + offset, row, static_cast<size_t>(tile_.kc));
    }
    // Rows beyond m repeat a valid one.
    for (int32_t i = case_.m; i < row_.mr; ++i)
      offsets_[static_cast<size_t>(i)] = offsets_[static_cast<size_t>(case_.m - 1)];
    tile_.a = a;
    tile_.rows = offsets_.data();
  }

  uint8_t draw_byte(int32_t kind) {
    const uint8_t low = is_signed_ ? 0x80 : 0, high = is_signed_ ? 0x7F : 0xFF;
    if (kind == 0) return chance(1, 2) ? low : high;
    if (kind == 1) return high;
    if (kind == 2) return low;
    return static_cast<uint8_t>(random_());
  }

  void widen(const uint8_t* bytes, char* to) {
    static constexpr int32_t kOrder[4] = {0, 2, 1, 3};
    for (int32_t k = 0; k < tile_.kc; ++k) {
      const uint8_t byte = bytes[k / 4 * 4 + kOrder[k % 4]];
      const int16_t value = is_signed_ ? static_cast<int8_t>(byte) : int16_t{byte};
      memcpy(to + 2 * k, &value, 2);
    }
  }

  int32_t blocks() const { return (case_.group - 1) / kPairBlock + 1; }

  // Records of random bytes, with scales of any kind in their place.
  void draw_b() {
    const int32_t k_bytes = case_.group / (row_.weight == OCTET_U4 ? 8 : 4) * 64;
    const int32_t record = k_bytes + (blocks() + 1) * 64, bytes = record * case_.groups;
    const int32_t panels = row_.nr / kPanel;
    tile_.panel = bytes + 64 * draw(0, 2);
    const size_t size = static_cast<size_t>((panels - 1) * tile_.panel + bytes);
    int8_t* b = b_.place<int8_t>(size, at_end_);
    const int32_t kind = draw(0, 2), scales = draw(0, 2);
    for (size_t i = 0; i < size; ++i)
      b[i] = kind == 0 ? int8_t{-128} : kind == 1 ? int8_t{127} : static_cast<int8_t>(random_());
    for (int32_t p = 0; p < panels; ++p)
      for (int32_t g = 0; g < case_.groups; ++g)
        for (int32_t j = 0; j < kPanel; ++j) {
          const float s = scales == 0   ? 0.5f
                          : scales == 1 ? (chance(1, 2) ? 0x1p60f : 0x1p-60f)
                                        : 0.002f * static_cast<float>(draw(1, 1000));
          memcpy(b + p * tile_.panel + (g + 1) * record - 64 + j * 4, &s, 4);
        }
    tile_.b = b;
  }

  // Any bits: sums modulo 2^32.
  void draw_pairs() {
    const int32_t count = case_.groups * blocks();
    tile_.pitch = tile_.row0 + row_.mr + draw(0, 5);
    const size_t size = static_cast<size_t>((count - 1) * tile_.pitch + tile_.row0 + row_.mr);
    int32_t* pairs = pairs_.place<int32_t>(count ? size : 1, at_end_);
    const bool worst = chance(1, 4);
    for (size_t i = 0; i < size && count; ++i)
      pairs[i] = worst ? static_cast<int32_t>(0x80008000u) : static_cast<int32_t>(random_());
    tile_.pairs = pairs;
  }

  void draw_finish() {
    const size_t rows = static_cast<size_t>(tile_.row0 + case_.m);
    const size_t columns = static_cast<size_t>(tile_.col0 + row_.nr);
    finish_ = {};
    tile_.finish = &finish_;
    const auto scale = [&] {
      return chance(1, 4) ? 0x1p-20f : static_cast<float>(draw(1, 1000)) / 7000.0f;
    };
    tile_.scale = scale();
    finish_.fbias =
        floats(fbias_, columns, [&] { return static_cast<float>(draw(-99, 99)) * 0.5f; });
    if (chance(1, 2)) {
      const bool nan = chance(1, 3);
      finish_.row_scale = floats(row_scale_, rows, [&] {
        return nan && chance(1, 2) ? std::numeric_limits<float>::quiet_NaN() : scale();
      });
    }
    finish_.inv_out = scale();
    const float infinity = std::numeric_limits<float>::infinity();
    finish_.flo = chance(1, 2) ? -infinity : -3.5f;
    finish_.fhi = chance(1, 2) ? infinity : 6.0f;
    const bool s8 = chance(1, 2);
    const int32_t low = s8 ? -128 : 0, high = low + 255;
    finish_.flip = s8 ? 128 : 0;
    finish_.zp = draw(low, high);
    finish_.lo = chance(1, 2) ? low : draw(low, high);
    finish_.hi = chance(1, 2) ? high : draw(finish_.lo, high);
  }

  template <class Draw>
  const float* floats(Guarded& memory, size_t count, Draw draw_one) {
    float* p = memory.place<float>(count, at_end_);
    for (size_t i = 0; i < count; ++i) p[i] = draw_one();
    return p;
  }

  // The reference is a tile as well: 4 x 16 at a time.
  void run_reference(uint8_t* c) {
    const ptrdiff_t element = row_.out == kOutQ8 ? 1 : 4;
    for (int32_t i = 0; i < case_.m; i += kReferenceMr) {
      std::vector<ptrdiff_t> offsets;
      for (int32_t r = 0; r < kReferenceMr; ++r)
        offsets.push_back(std::min(i + r, case_.m - 1) * tile_.kc);
      for (int32_t j = 0; j < case_.n; j += kPanel) {
        GroupTile t = tile_;
        t.a = bytes_.data();
        t.rows = offsets.data();
        t.b += j / kPanel * t.panel;
        t.c = c + i * t.ldc + j * element;
        t.m = std::min(case_.m - i, kReferenceMr);
        t.n = std::min(case_.n - j, kPanel);
        t.row0 += i;
        t.col0 += j;
        function(reference_of(row_, is_signed_))(&t);
      }
    }
  }

  static constexpr size_t kBytes = 1 << 18, kArray = 4096;
  const Row& row_;
  std::mt19937 random_;
  Case case_{};
  bool at_end_ = true, is_signed_ = false;
  std::vector<uint8_t> bytes_;
  std::vector<ptrdiff_t> offsets_;
  Guarded a_{kBytes}, b_{kBytes}, c_{kBytes}, pairs_{kBytes}, fbias_{kArray}, row_scale_{kArray};
  Finish finish_{};
  GroupTile tile_{};
};

class GemmGroup : public testing::TestWithParam<const Row*> {
 protected:
  void SetUp() override {
    if (!(row().isa & cpu_isas())) GTEST_SKIP() << "this CPU cannot run " << row().name;
  }
  const Row& row() const { return *GetParam(); }
  int32_t step() const { return row().weight == OCTET_U4 ? 8 : 4; }
  static std::string text(const Case& c) {
    return "m " + std::to_string(c.m) + ", n " + std::to_string(c.n) + ", " +
           std::to_string(c.groups) + " groups of " + std::to_string(c.group);
  }
};

TEST_P(GemmGroup, EverySize) {
  Comparison comparison(row(), 1);
  std::mt19937 random(2);
  for (int32_t m = 1; m <= row().mr; ++m)
    for (int32_t n = 1; n <= row().nr; ++n) {
      const int32_t group = step() * static_cast<int32_t>(random() % 4 + 1);
      const Case c{m, n, group, static_cast<int32_t>(random() % 4)};
      ASSERT_TRUE(comparison.run(c)) << text(c);
    }
}

TEST_P(GemmGroup, EveryGroup) {
  Comparison comparison(row(), 3);
  std::mt19937 random(4);
  for (int32_t group = step(); group <= 400; group += group < 140 ? step() : 3 * step())
    for (int32_t groups : {1, 2}) {
      const int32_t m = static_cast<int32_t>(random() % static_cast<uint32_t>(row().mr)) + 1;
      const Case c{m, row().nr, group, groups};
      ASSERT_TRUE(comparison.run(c)) << text(c);
    }
}

std::vector<const Row*> simd_rows() {
  std::vector<const Row*> rows;
  for (size_t r = 0; r < octet_row_count; ++r)
    if (octet_rows[r].family == kGemmGroup && octet_rows[r].isa != kIsaScalar)
      rows.push_back(octet_rows + r);
  return rows;
}

INSTANTIATE_TEST_SUITE_P(Rows, GemmGroup, testing::ValuesIn(simd_rows()),
                         [](const auto& row) { return std::string(row.param->name); });

// The reference itself, on sums that can be checked by eye: one row and column, two groups of 8.
TEST(GemmGroupReference, AddsGroupsAndTakesZeroPointsOut) {
  alignas(64) int8_t b[2 * 192] = {};
  const uint8_t a[16] = {10, 20, 0, 0, 30, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
  b[0] = 0x32;  // k 0: 2, k 4: 3
  b[1] = 0x01;  // k 1: 1
  for (int i = 0; i < 4; ++i) b[192 + i] = 0x11;
  const int16_t columns[2] = {6, 8};                                // sum and zero point of group 0
  const int32_t pairs[2] = {static_cast<int32_t>(0xFFFDFFFEu), 0};  // -2 and -3
  const float scales[2] = {0.5f, 2};
  memcpy(b + 64, columns, 4);
  memcpy(b + 128, scales, 4);
  memcpy(b + 192 + 128, scales + 1, 4);
  const float bias = 100;
  Finish f = {};
  f.fbias = &bias;
  f.flo = -1e9f;
  f.fhi = 1e9f;
  const ptrdiff_t rows[4] = {};
  float y = 0;
  GroupTile t = {};
  t.a = a;
  t.rows = rows;
  t.kc = 16;
  t.group = 8;
  t.b = b;
  t.pairs = pairs;
  t.pitch = 1;
  t.scale = 10;
  t.c = &y;
  t.m = t.n = 1;
  t.finish = &f;
  for (size_t r = 0; r < octet_row_count; ++r)
    if (!strcmp(octet_rows[r].name, "gemmgroup_u8u4_f32_4x16c8_scalar"))
      function(octet_rows[r])(&t);
  // Group 0: 10 * 2 + 20 + 30 * 3 - 2 * 6 - 3 * 8 = 94, half of it; group 1: 8, doubled.
  EXPECT_EQ(y, (47.0f + 16) * 10 + 100);
}

}  // namespace
}  // namespace octet

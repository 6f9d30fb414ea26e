// SPDX-License-Identifier: Apache-2.0
//
// Every strip of depthwise convolution that this CPU can run against the scalar reference, bit for
// bit: all numbers of channels and pixels, padding on every side, multipliers, extreme data, all
// options of the finish; all operands between protected pages, and every byte of C compared.
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

DepthwiseFn* function(const Row& row) { return reinterpret_cast<DepthwiseFn*>(row.fn); }

const Row& reference_of(const Row& row) {
  for (size_t r = 0; r < octet_row_count; ++r) {
    const Row& candidate = octet_rows[r];
    if (candidate.family == kDepthwise && candidate.isa == kIsaScalar && candidate.in == row.in &&
        candidate.weight == row.weight && candidate.out == row.out)
      return candidate;
  }
  ADD_FAILURE() << "no reference for " << row.name;
  return row;
}

struct Case {
  int32_t channels, pixels, outputs, multiplier;
};

class Comparison {
 public:
  Comparison(const Row& row, uint32_t seed) : row_(row), random_(seed) {}

  // False where a byte of C differs.
  bool run(const Case& c) {
    case_ = c;
    at_end_ = chance(4, 5);
    strip_ = {};
    strip_.channels = c.channels;
    strip_.multiplier = c.multiplier;
    strip_.phase = draw(0, c.multiplier - 1);
    strip_.pixels = c.pixels;
    strip_.outputs = c.outputs;
    strip_.stride = draw(1, 3);
    strip_.units = draw(1, 4);
    const int32_t reach = draw(1, 6);
    strip_.columns = (c.pixels - 1) * strip_.stride + reach;
    strip_.left = std::min(draw(0, 3), strip_.columns);
    strip_.right = std::min(draw(0, 3), strip_.columns - strip_.left);
    if (chance(1, 12)) strip_.right = strip_.columns - strip_.left;
    strip_.flip = chance(1, 2) ? 128 : 0;
    strip_.pad = draw(0, 255);
    draw_image();
    draw_outputs(reach);
    const size_t element = row_.out == kOutQ8 ? 1 : 4;
    const size_t used = static_cast<size_t>(c.channels) * element;
    strip_.ldc = static_cast<ptrdiff_t>(used + element * static_cast<size_t>(draw(0, 9)));
    const size_t one = static_cast<size_t>(strip_.ldc) * static_cast<size_t>(c.pixels - 1) + used;
    const size_t bytes = one * static_cast<size_t>(c.outputs);
    std::vector<uint8_t> want(bytes, 0xA5);
    scratch_.resize(static_cast<size_t>(strip_.units * strip_.columns) * 256 + 64);
    char* scratch = scratch_.data();
    strip_.scratch = scratch + (64 - reinterpret_cast<uintptr_t>(scratch) % 64) % 64;
    draw_residual(used, element);
    store_at(want.data(), one);
    use(reference_of(row_));
    uint8_t* got = c_.place<uint8_t>(bytes, at_end_);
    memset(got, 0xA5, bytes);
    store_at(got, one);
    use(row_);
    return memcmp(got, want.data(), bytes) == 0;
  }

 private:
  // Runs a row on the weights in its order: channels in groups.
  void use(const Row& row) {
    for (DepthwiseOut& out : outs_) {
      int8_t* to = weights_.place<int8_t>(drawn_.size(), at_end_);
      out.weights = to;
      int32_t group = row.nr / 16;
      const int32_t blocks = (case_.channels + 15) / 16;
      for (int32_t first = 0; first < blocks; first += group) {
        while (blocks - first < group) group /= 2;
        for (int32_t s = 0; s < steps_; ++s)
          for (int32_t b = first; b < first + group; ++b, to += 64)
            memcpy(to, drawn_.data() + (b * steps_ + s) * 64, 64);
      }
    }
    function(row)(&strip_);
  }
  int32_t draw(int32_t low, int32_t high) {
    return std::uniform_int_distribution<int32_t>(low, high)(random_);
  }
  bool chance(int32_t part, int32_t of) { return draw(1, of) <= part; }

  // The image ends with the last channel of the last column of its last row, at a protected page.
  void draw_image() {
    const int32_t count = strip_.units * row_.kr;
    const int32_t inside = strip_.columns - strip_.left - strip_.right;
    const int32_t read = (strip_.phase + case_.channels - 1) / case_.multiplier + 1;
    const int32_t pitch = read + (chance(1, 2) ? 0 : draw(0, 40));
    const size_t row = static_cast<size_t>(std::max(inside - 1, 0) * pitch + (inside ? read : 0));
    uint8_t* x = image_.place<uint8_t>(row * static_cast<size_t>(count), at_end_);
    const int32_t kind = draw(0, 3);
    for (size_t i = 0; i < row * static_cast<size_t>(count); ++i)
      x[i] = kind == 0   ? (chance(1, 2) ? 0 : 255)
             : kind == 1 ? (strip_.flip ? 127 : 255)
                         : static_cast<uint8_t>(random_());
    strip_.pitch = pitch;
    rows_.assign(static_cast<size_t>(count), nullptr);
    for (size_t i = 0; i < rows_.size(); ++i)
      if (!chance(1, 6)) rows_[i] = x + i * row;
    std::shuffle(rows_.begin(), rows_.end(), random_);
    strip_.rows = rows_.data();
  }

  void draw_outputs(int32_t reach) {
    const size_t outputs = static_cast<size_t>(case_.outputs);
    outs_.assign(outputs, {});
    finishes_.assign(outputs, {});
    at_.assign(outputs, {});
    steps_ = draw(1, 12);
    for (size_t r = 0; r < outputs; ++r) {
      DepthwiseOut& out = outs_[r];
      out.unit = draw(0, strip_.units - 1);
      out.steps = steps_;
      for (int32_t s = 0; s < out.steps; ++s)
        at_[r].push_back(draw(0, reach - 1) * strip_.units + draw(0, strip_.units - 1 - out.unit));
      out.at = at_[r].data();
      out.finish = &finishes_[r];
    }
    const int32_t blocks = (case_.channels + 15) / 16;
    const size_t bytes = static_cast<size_t>(blocks * steps_) * 64;
    drawn_.resize(bytes);
    int8_t* weights = drawn_.data();
    const int32_t kind = draw(0, 3);
    for (size_t i = 0; i < bytes; ++i)
      weights[i] = kind == 0   ? int8_t{-128}
                   : kind == 1 ? int8_t{127}
                               : static_cast<int8_t>(random_());
    if (row_.weight == OCTET_S16) {
      int16_t* wide = reinterpret_cast<int16_t*>(weights);
      for (size_t i = 0; i < bytes / 2; ++i)
        wide[i] = static_cast<int16_t>(kind == 0 ? -255 : kind == 1 ? 255 : draw(-255, 255));
    }
    for (Finish& f : finishes_) draw_finish(&f);
  }

  void draw_finish(Finish* f) {
    const size_t columns = static_cast<size_t>((case_.channels + 15) / 16 * 16);
    if (f == finishes_.data()) {
      int32_t* ibias = ibias_.place<int32_t>(columns, at_end_);
      const bool huge = chance(1, 4);
      for (size_t i = 0; i < columns; ++i)
        ibias[i] = huge ? static_cast<int32_t>(random_()) : draw(-3000, 3000);
      float* fbias = fbias_.place<float>(columns, at_end_);
      float* mult = mult_.place<float>(columns, at_end_);
      for (size_t i = 0; i < columns; ++i) {
        fbias[i] = static_cast<float>(draw(-99, 99)) * 0.5f;
        mult[i] = chance(1, 4) ? 0x1p-8f : static_cast<float>(draw(1, 1000)) / 70000.0f;
      }
      f->ibias = ibias;
      f->fbias = fbias;
      f->mult = mult;
    } else {
      *f = finishes_[0];
    }
    const float infinity = std::numeric_limits<float>::infinity();
    f->flo = chance(1, 2) ? -infinity : -3.5f;
    f->fhi = chance(1, 2) ? infinity : 6.0f;
    const bool s8 = chance(1, 2);
    const int32_t low = s8 ? -128 : 0, high = low + 255;
    f->flip = s8 ? 128 : 0;
    f->zp = draw(low, high);
    f->lo = chance(1, 2) ? low : draw(low, high);
    f->hi = chance(1, 2) ? high : draw(f->lo, high);
    f->fixed = nullptr;
    if (row_.out == kOutQ8 && chance(1, 4)) draw_fixed(f, columns);
  }

  void draw_fixed(Finish* f, size_t columns) {
    for (size_t r = 0; r < octet_row_count; ++r)
      if (octet_rows[r].family == kFixed && octet_rows[r].isa == kIsaScalar)
        f->fixed = reinterpret_cast<FixedFn*>(octet_rows[r].fn);
    int32_t* mult = fixed_mult_.place<int32_t>(columns, at_end_);
    int32_t* exponent = fixed_exp_.place<int32_t>(columns, at_end_);
    for (size_t j = 0; j < columns; ++j) {
      mult[j] = draw(1 << 30, INT32_MAX);
      exponent[j] = draw(-14, -4);
    }
    f->fixed_mult = mult;
    f->fixed_exp = exponent;
  }

  // Each row of the output has one of its own, or is added to what stands there.
  void draw_residual(size_t used, size_t element) {
    in_place_ = false;
    with_residual_ = row_.out != OCTET_S32 && chance(1, 3);
    if (!with_residual_) return;
    in_place_ = chance(1, 3);
    const size_t ldr = in_place_ ? static_cast<size_t>(strip_.ldc) : used + 8 * element;
    const size_t bytes = ldr * static_cast<size_t>(case_.pixels - 1) + used;
    uint8_t* r = residual_.place<uint8_t>(bytes, at_end_);
    for (size_t i = 0; i < bytes; ++i) r[i] = static_cast<uint8_t>(random_());
    for (Finish& f : finishes_) {
      if (f.fixed) continue;
      f.residual = r;
      f.ldr = static_cast<ptrdiff_t>(ldr);
      f.residual_scale = static_cast<float>(draw(1, 999)) / 300;
      f.residual_flip = chance(1, 2) ? 128 : 0;
      f.residual_zero = draw(0, 255);
    }
  }

  void store_at(uint8_t* c, size_t one) {
    for (size_t r = 0; r < outs_.size(); ++r) {
      outs_[r].c = c + r * one;
      if (in_place_ && finishes_[r].residual) finishes_[r].residual = outs_[r].c;
    }
    strip_.out = outs_.data();
  }

  static constexpr size_t kBytes = 1 << 19, kArray = 4096;
  const Row& row_;
  std::mt19937 random_;
  Case case_{};
  bool at_end_ = true, in_place_ = false, with_residual_ = false;
  std::vector<const uint8_t*> rows_;
  std::vector<DepthwiseOut> outs_;
  std::vector<Finish> finishes_;
  std::vector<std::vector<int32_t>> at_;
  std::vector<int8_t> drawn_;  // [blocks of 16 channels][steps][16][kr]
  int32_t steps_ = 0;          // steps
  std::vector<char> scratch_;
  Guarded image_{kBytes}, weights_{kBytes}, c_{kBytes}, residual_{kBytes};
  Guarded ibias_{kArray}, fbias_{kArray}, mult_{kArray}, fixed_mult_{kArray}, fixed_exp_{kArray};
  Depthwise strip_{};
};

class DepthwiseRows : public testing::TestWithParam<const Row*> {
 protected:
  void SetUp() override {
    if (!(row().isa & cpu_isas())) GTEST_SKIP() << "this CPU cannot run " << row().name;
  }
  const Row& row() const { return *GetParam(); }
  static std::string text(const Case& c) {
    return std::to_string(c.channels) + " channels, " + std::to_string(c.pixels) + " pixels, " +
           std::to_string(c.outputs) + " rows, multiplier " + std::to_string(c.multiplier);
  }
};

TEST_P(DepthwiseRows, EveryNumberOfChannels) {
  Comparison comparison(row(), 1);
  for (int32_t channels = 1; channels <= 2 * row().nr + 18; ++channels)
    for (int32_t repeat = 0; repeat < 2; ++repeat) {
      const Case c{channels, 1 + (channels + repeat) % 7, 1 + repeat % 2, 1};
      ASSERT_TRUE(comparison.run(c)) << text(c);
    }
}

TEST_P(DepthwiseRows, EveryNumberOfPixels) {
  Comparison comparison(row(), 2);
  for (int32_t pixels = 1; pixels <= 3 * row().mr + 2; ++pixels)
    for (int32_t channels : {16, 32, 48, 64, 67})
      for (int32_t outputs = 1; outputs <= 3; ++outputs) {
        const Case c{channels, pixels, outputs, 1};
        ASSERT_TRUE(comparison.run(c)) << text(c);
      }
}

TEST_P(DepthwiseRows, EveryMultiplier) {
  Comparison comparison(row(), 3);
  for (int32_t multiplier : {1, 2, 3, 5, 8, 16, 20})
    for (int32_t channels : {1, 15, 17, 37, 64, 100}) {
      const Case c{channels, 5, 2, multiplier};
      ASSERT_TRUE(comparison.run(c)) << text(c);
    }
}

std::vector<const Row*> simd_rows() {
  std::vector<const Row*> rows;
  for (size_t r = 0; r < octet_row_count; ++r)
    if (octet_rows[r].family == kDepthwise && octet_rows[r].isa != kIsaScalar)
      rows.push_back(octet_rows + r);
  return rows;
}

INSTANTIATE_TEST_SUITE_P(Rows, DepthwiseRows, testing::ValuesIn(simd_rows()),
                         [](const auto& row) { return std::string(row.param->name); });

// The reference itself, on sums that can be checked by eye: one channel, two rows and two columns.
TEST(DepthwiseReference, AddsTapsAndPadding) {
  alignas(64) int8_t weights[128] = {1, 2};  // column 0: rows 0 and 1
  weights[64] = 3;                           // column 1: row 0
  const uint8_t x[2][2] = {{10, 20}, {30, 40}};
  const uint8_t* rows[4] = {x[0], x[1], nullptr, nullptr};
  const int32_t at[2] = {0, 1}, ibias = 5;
  Finish f = {};
  f.ibias = &ibias;
  int32_t y[2] = {};
  DepthwiseOut out = {weights, at, 2, 0, y, &f};
  Depthwise d = {};
  d.rows = rows;
  d.pitch = 1;
  d.units = 1;
  d.columns = 3;
  d.right = 1;
  d.pad = 7;
  d.channels = d.multiplier = d.outputs = d.stride = 1;
  d.pixels = 2;
  d.out = &out;
  d.ldc = 4;
  for (size_t r = 0; r < octet_row_count; ++r)
    if (!strcmp(octet_rows[r].name, "depthwise_u8s8_s32_1x16c4_scalar"))
      function(octet_rows[r])(&d);
  EXPECT_EQ(y[0], 10 + 2 * 30 + 3 * 20 + 5);
  EXPECT_EQ(y[1], 20 + 2 * 40 + 3 * 7 + 5);
}

}  // namespace
}  // namespace octet

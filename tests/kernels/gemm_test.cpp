// SPDX-License-Identifier: Apache-2.0
//
// Every GEMM tile this CPU can run against the scalar reference, bit for bit: all sizes of a tile,
// all tails of K, taps, every option of the epilogue, extreme data; all operands between protected
// pages, and every byte of C compared, gaps between its rows included. The same for kernels of
// blocks, whose sizes have no end. Rows of the proved layout read what the packing makes of
// weights, small and large ones and such that lie exactly on the bound; rows of the layout of
// columns are given the copy that ops make.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernel.h"
#include "octet/octet.h"
#include "src/columns.h"
#include "src/prove.h"
#include "tests/kernels/cpu.h"
#include "tests/kernels/guarded.h"

namespace octet {
namespace {

constexpr int32_t kReferenceMr = 4, kPanel = 16;

int32_t ceil4(int32_t k) { return (k + 3) / 4; }

bool is_block(const Row& row) { return row.scope == kScopeBlock; }
bool is_proved(const Row& row) { return row.layout == kLayoutProved; }
bool is_lane(const Row& row) { return row.family == kGemmLane; }
bool is_columns(const Row& row) { return row.layout == kLayoutColumns; }

TileFn* function(const Row& row) { return reinterpret_cast<TileFn*>(row.fn); }

const Row& reference_of(const Row& row, bool is_signed) {
  for (size_t r = 0; r < octet_row_count; ++r) {
    const Row& candidate = octet_rows[r];
    if (candidate.family == row.family && candidate.isa == kIsaScalar && candidate.out == row.out &&
        candidate.weight == row.weight && (!is_lane(row) || candidate.kr == row.kr) &&
        candidate.in == (is_signed ? OCTET_S8 : OCTET_U8))
      return candidate;
  }
  ADD_FAILURE() << "no reference for " << row.name;
  return row;
}

// What one comparison is about; the rest is drawn from the random engine.
struct Case {
  int32_t m, n, taps, kc;
};

// Runs one row and its reference over the same random call.
class Comparison {
 public:
  Comparison(const Row& row, uint32_t seed) : row_(row), random_(seed) {}

  // False where a byte of C differs.
  bool run(const Case& c) {
    case_ = c;
    if (is_proved(row_)) {  // all of K at once, a window at least
      case_.taps = 1;
      case_.kc += kProvedWindow;
    }
    at_end_ = chance(4, 5);
    draw_a();
    draw_b();
    draw_call();
    draw_finish();

    const size_t element = tile_.finish && row_.out == kOutQ8 ? 1 : 4;
    const size_t used = static_cast<size_t>(c.n) * element;
    tile_.ldc = static_cast<ptrdiff_t>(used + element * draw(0, 9));
    const size_t bytes = static_cast<size_t>(tile_.ldc) * static_cast<size_t>(c.m - 1) + used;
    std::vector<uint8_t> want(bytes, 0xA5);
    draw_residual(element);
    if (in_place_)
      for (uint8_t& byte : want) byte = static_cast<uint8_t>(random_());
    uint8_t* got = c_.place<uint8_t>(bytes, at_end_);
    memcpy(got, want.data(), bytes);
    if (in_place_) residual_at(want.data(), element);
    run_reference(want.data());

    if (in_place_) residual_at(got, element);
    tile_.c = got;
    if (is_block(row_))
      run_block();
    else
      function(row_)(&tile_);
    return memcmp(got, want.data(), bytes) == 0;
  }

 private:
  template <class T>
  static T pick(std::mt19937& random, std::initializer_list<T> values) {
    return values.begin()[random() % values.size()];
  }
  static const Row* pick(std::mt19937& random, const std::vector<const Row*>& rows) {
    return rows[random() % rows.size()];
  }
  int32_t draw(int32_t low, int32_t high) {
    return std::uniform_int_distribution<int32_t>(low, high)(random_);
  }
  bool chance(int32_t part, int32_t of) { return draw(1, of) <= part; }
  int32_t any_int() { return static_cast<int32_t>(random_()); }

  // Bytes of a row of A: tiles of small groups have all channels in it.
  int32_t row_bytes() const { return is_lane(row_) ? row_.nr : case_.kc; }
  // Rows of A and columns of B that exist.
  int32_t height() const { return is_block(row_) ? case_.m : row_.mr; }
  int32_t width() const {
    return is_block(row_) ? (case_.n + kPanel - 1) / kPanel * kPanel : row_.nr;
  }

  // A: bytes for the reference, and for the tile the same bytes or what `widen` makes of them, each
  // row at an offset of its own with gaps between them.
  void draw_a() {
    is_signed_ = row_.in == OCTET_S8 || (row_.in == OCTET_S16 && chance(1, 2));
    const bool wide = row_.in == OCTET_S16, strided = row_.rows == kRowsStrided;
    const int32_t rows = height() * case_.taps;
    const int32_t length = wide ? ceil4(case_.kc) * 8 : row_bytes();
    const int32_t stride = length + draw(0, 5) * (wide ? 2 : 1);

    std::vector<int32_t> order(static_cast<size_t>(rows));
    for (int32_t r = 0; r < rows; ++r) order[static_cast<size_t>(r)] = r;
    if (!strided) std::shuffle(order.begin(), order.end(), random_);

    const size_t bytes = static_cast<size_t>((rows - 1) * stride + length);
    char* a = a_.place<char>(bytes, at_end_);
    byte_rows_.assign(static_cast<size_t>(rows * row_bytes()), 0);
    offsets_.assign(static_cast<size_t>(rows), 0);
    taps_.assign(static_cast<size_t>(case_.taps), 0);
    const int32_t kind = draw(0, 3);
    for (int32_t r = 0; r < rows; ++r) {
      const int32_t offset = order[static_cast<size_t>(r)] * stride;
      offsets_[static_cast<size_t>(r)] = offset;
      uint8_t* bytes_of_row = byte_rows_.data() + r * row_bytes();
      for (int32_t k = 0; k < row_bytes(); ++k) bytes_of_row[k] = draw_byte(kind);
      if (wide)
        widen(bytes_of_row, reinterpret_cast<int16_t*>(a + offset));
      else if (length)
        memcpy(a + offset, bytes_of_row, static_cast<size_t>(length));
    }
    for (int32_t t = 0; t < case_.taps; ++t) {
      taps_[static_cast<size_t>(t)] = t * height() * stride;
      // Rows beyond m repeat a valid one.
      for (int32_t i = case_.m; i < height(); ++i)
        offsets_[static_cast<size_t>(t * height() + i)] =
            offsets_[static_cast<size_t>(t * height() + case_.m - 1)];
    }
    tile_ = {};
    tile_.a = a;
    tile_.rows = strided ? nullptr : offsets_.data();
    tile_.lda = stride;
    tile_.tap = strided ? taps_.data() : nullptr;
    tile_.taps = case_.taps;
    tile_.kc = case_.kc;
  }

  // Anything, or the ends of the range.
  uint8_t draw_byte(int32_t kind) {
    const uint8_t low = is_signed_ ? 0x80 : 0, high = is_signed_ ? 0x7F : 0xFF;
    switch (kind) {
      case 0:
        return chance(1, 2) ? low : high;
      case 1:
        return high;
      case 2:
        return low;
      default:
        return static_cast<uint8_t>(random_());
    }
  }

  void widen(const uint8_t* bytes, int16_t* to) {
    static constexpr int32_t kOrder[4] = {0, 2, 1, 3};
    for (int32_t k = 0; k < ceil4(case_.kc) * 4; ++k) {
      const int32_t from = k / 4 * 4 + kOrder[k % 4];
      int16_t value = 0;
      if (from < case_.kc)
        value = is_signed_ ? static_cast<int8_t>(bytes[from]) : int16_t{bytes[from]};
      memcpy(to + k, &value, 2);
    }
  }

  // One panel in both layouts: weights of one size on both sides of the bound, or of all sizes.
  void draw_proved_b() {
    const int32_t k = case_.kc;
    canonical_.assign(static_cast<size_t>(ceil4(k)) * 64, 0);
    const int32_t size = pick(random_, {16, 17, 21, 22, 32, 33, 64, 65, 128});
    const int32_t kind = draw(0, 3), spread = draw(1, 90);
    std::normal_distribution<float> normal(0, static_cast<float>(spread));
    for (int32_t i = 0; i < k; ++i)
      for (int32_t c = 0; c < kPanel; ++c) {
        const bool negative = kind == 0 ? c % 2 : kind == 1 ? i % 2 : chance(1, 2);
        const int32_t w = kind == 3  ? static_cast<int32_t>(normal(random_))
                          : negative ? -size
                                     : size;
        canonical_[static_cast<size_t>(i / 4 * 64 + c * 4 + i % 4)] =
            static_cast<int8_t>(std::clamp(w, -128, 127));
      }
    std::vector<ProvedWindow> windows(static_cast<size_t>(proved_windows(k)));
    prove_panel(canonical_.data(), k, windows.data());
    int8_t* b = b_.place<int8_t>(proved_panel_bytes(windows.data(), k), at_end_);
    write_proved_panel(canonical_.data(), k, windows.data(), b);
    tile_.b = b;
  }

  // B: random also in the padding of K, which no product may reach.
  void draw_b() {
    if (is_proved(row_)) return draw_proved_b();
    const int32_t rows = row_.weight == OCTET_U4 ? (case_.kc + 7) / 8 : ceil4(case_.kc);
    const int32_t tap = !is_lane(row_) ? rows * 64 : row_.kr * (row_.weight == OCTET_S16 ? 32 : 16);
    const int32_t panels = width() / kPanel, bytes = tap * case_.taps;
    tile_.panel = bytes + 64 * draw(0, 2);
    const size_t size = static_cast<size_t>((panels - 1) * tile_.panel + bytes);
    int8_t* b = b_.place<int8_t>(size, at_end_);
    const int32_t kind = draw(0, 3);
    for (size_t i = 0; i < size; ++i)
      b[i] = kind == 0   ? pick<int8_t>(random_, {-128, -127, 127})
             : kind == 1 ? int8_t{-128}
             : kind == 2 ? int8_t{127}
                         : static_cast<int8_t>(random_());
    tile_.b = b;
    if (is_columns(row_)) copy_columns();
  }

  // The panels drawn, in the layout of columns.
  void copy_columns() {
    const int32_t k = case_.kc, n = case_.n;
    canonical_.assign(tile_.b, tile_.b + (width() / kPanel - 1) * tile_.panel + ceil4(k) * 64);
    int8_t* b = b_.place<int8_t>(column_bytes(n, k), at_end_);
    for (int32_t j = 0; j < n; j += kPanel)
      write_columns(canonical_.data() + j / kPanel * tile_.panel, std::min(n - j, kPanel), k,
                    b + j * column_pitch(k));
    columns_ = b;
  }

  void draw_call() {
    tile_.m = case_.m;
    tile_.n = case_.n;
    tile_.row0 = draw(0, 3);
    tile_.col0 = draw(0, 2) * kPanel;
    if (!is_block(row_) && !is_lane(row_) && chance(1, 3)) {
      tile_.ldi = case_.n + draw(0, 3);
      const size_t count = static_cast<size_t>((case_.m - 1) * tile_.ldi + case_.n);
      int32_t* init = init_.place<int32_t>(count, at_end_);
      const bool huge = chance(1, 3);
      for (size_t i = 0; i < count; ++i) init[i] = huge ? any_int() : draw(-99999, 99999);
      tile_.init = init;
    }
  }

  void draw_finish() {
    if (!is_block(row_) && !is_lane(row_) && chance(1, 8)) return;  // raw sums
    const size_t rows = static_cast<size_t>(tile_.row0 + case_.m);
    const size_t columns = static_cast<size_t>(tile_.col0 + width());
    finish_ = {};
    tile_.finish = &finish_;
    finish_.ibias = ints(ibias_, columns);
    if (!is_lane(row_) && chance(1, 2)) {
      finish_.row_a = ints(row_a_, rows);
      finish_.col_a = ints(col_a_, columns);
    }
    if (!is_lane(row_) && chance(1, 2)) {
      finish_.row_b = ints(row_b_, rows);
      finish_.col_b = ints(col_b_, columns);
    }
    if (row_.out == OCTET_S32) return;

    // Scales of real layers; halves, for ties; the ends of their domain, where products overflow.
    const int32_t kind = draw(0, 3);
    finish_.fbias = floats(fbias_, columns, [&] {
      return chance(1, 4) ? 0.0f : static_cast<float>(draw(-400, 400)) * (kind == 1 ? 0.5f : 0.37f);
    });
    const auto scale = [&](float usual) {
      if (kind == 1) return 0.5f;
      if (kind == 2) return chance(1, 2) ? 0x1p60f : 0x1p-60f;
      return usual * static_cast<float>(draw(1, 1000)) / 700.0f;
    };
    finish_.mult = floats(mult_, columns, [&] { return scale(0.002f); });
    if (!is_lane(row_) && chance(1, 2)) {
      const bool nan = chance(1, 3);
      finish_.row_scale = floats(row_scale_, rows, [&] {
        if (nan && chance(1, 2)) return std::numeric_limits<float>::quiet_NaN();
        return scale(1.3f);
      });
      finish_.inv_out = scale(1.0f);
    }
    finish_.flo =
        chance(1, 2) ? -std::numeric_limits<float>::infinity() : pick(random_, {0.0f, -3.5f});
    finish_.fhi =
        chance(1, 2) ? std::numeric_limits<float>::infinity() : pick(random_, {6.0f, 1e6f});

    const bool s8 = chance(1, 2);
    const int32_t low = s8 ? -128 : 0, high = low + 255;
    finish_.flip = s8 ? 128 : 0;
    finish_.zp = chance(1, 3) ? pick(random_, {low, high}) : draw(low, high);
    finish_.lo = chance(1, 2) ? low : chance(1, 2) ? finish_.zp : draw(low, high);
    finish_.hi = chance(1, 2) ? high : draw(finish_.lo, high);
    if (row_.out == kOutQ8 && !is_columns(row_) && !finish_.row_scale && chance(1, 3))
      draw_fixed(columns);
  }

  void draw_fixed(size_t columns) {
    finish_.fixed = reinterpret_cast<FixedFn*>(pick(random_, fixed_rows())->fn);
    finish_.fixed_rounding = chance(1, 2) ? kRoundTwice : kRoundOnce;
    int32_t* mult = fixed_mult_.place<int32_t>(columns, at_end_);
    int32_t* exponent = fixed_exp_.place<int32_t>(columns, at_end_);
    const int32_t kind = draw(0, 3);
    for (size_t j = 0; j < columns; ++j) {
      mult[j] = chance(1, 4) ? pick(random_, {1 << 30, INT32_MAX, 0}) : draw(1 << 30, INT32_MAX);
      exponent[j] = kind == 0 ? draw(-31, 30) : kind == 1 ? draw(-3, 3) : draw(-14, -4);
    }
    finish_.fixed_mult = mult;
    finish_.fixed_exp = exponent;
  }

  // The kernels that this CPU has for finishing in fixed point.
  static const std::vector<const Row*>& fixed_rows() {
    static const std::vector<const Row*> rows = [] {
      std::vector<const Row*> found;
      for (size_t r = 0; r < octet_row_count; ++r)
        if (octet_rows[r].family == kFixed && (octet_rows[r].isa & (cpu_isas() | kIsaScalar)))
          found.push_back(octet_rows + r);
      return found;
    }();
    return rows;
  }

  // Elements of C's kind, in rows of their own or in those of C itself.
  void draw_residual(size_t element) {
    in_place_ = false;
    if (!tile_.finish || row_.out == OCTET_S32 || is_columns(row_) || finish_.fixed ||
        !chance(1, 3))
      return;
    const bool q8 = row_.out == kOutQ8;
    const bool s8 = chance(1, 2);
    finish_.residual_flip = s8 ? 128 : 0;
    finish_.residual_zero = draw(0, 255);
    finish_.residual_scale = chance(1, 8) ? pick(random_, {0x1p120f, 0x1p-120f, 0.5f})
                                          : static_cast<float>(draw(1, 999)) / 300;
    finish_.ldr = tile_.ldc;
    in_place_ = chance(1, 3);
    if (in_place_) return;
    const size_t columns = static_cast<size_t>(tile_.col0 + case_.n);
    const size_t rows = static_cast<size_t>(tile_.row0 + case_.m);
    finish_.ldr = static_cast<ptrdiff_t>((columns + static_cast<size_t>(draw(0, 9))) * element);
    const size_t bytes = static_cast<size_t>(finish_.ldr) * (rows - 1) + columns * element;
    uint8_t* r = residual_.place<uint8_t>(bytes, at_end_);
    for (size_t i = 0; i < bytes; ++i) r[i] = static_cast<uint8_t>(random_());
    if (!q8)
      for (size_t row = 0; row < rows; ++row)
        for (size_t j = 0; j < columns; ++j) {
          const float infinity = std::numeric_limits<float>::infinity();
          const float value =
              chance(1, 40)
                  ? pick(random_, {infinity, -infinity, -std::nanf("7"), std::nanf("99"), 0x1p127f})
                  : static_cast<float>(draw(-900, 900)) * 0.37f;
          memcpy(r + row * static_cast<size_t>(finish_.ldr) + j * 4, &value, 4);
        }
    finish_.residual = r;
  }
  // The residual is C: its row row0 and column col0 begin at c.
  void residual_at(uint8_t* c, size_t element) {
    finish_.residual = c - tile_.row0 * finish_.ldr - tile_.col0 * static_cast<ptrdiff_t>(element);
  }

  const int32_t* ints(Guarded& memory, size_t count) {
    int32_t* p = memory.place<int32_t>(count, at_end_);
    const bool huge = chance(1, 4);
    for (size_t i = 0; i < count; ++i) p[i] = huge ? any_int() : draw(-300, 300);
    return p;
  }
  template <class Draw>
  const float* floats(Guarded& memory, size_t count, Draw draw_one) {
    float* p = memory.place<float>(count, at_end_);
    for (size_t i = 0; i < count; ++i) p[i] = draw_one();
    return p;
  }

  void run_block() {
    Block b = {};
    b.a = tile_.a;
    b.lda = tile_.lda;
    b.kc = tile_.kc;
    b.b = tile_.b;
    b.panel = tile_.panel;
    b.c = tile_.c;
    b.ldc = tile_.ldc;
    b.m = tile_.m;
    b.n = tile_.n;
    b.row0 = tile_.row0;
    b.col0 = tile_.col0;
    if (is_columns(row_)) {
      b.b = columns_;
      b.panel = column_pitch(tile_.kc);
    }
    b.columns_outer = chance(1, 2);
    b.prefetch = chance(1, 2);
    b.finish = tile_.finish;
    if (!is_columns(row_) && (case_.taps > 1 || chance(1, 2))) {
      b.taps = case_.taps;
      b.tap = tile_.tap;
    }
    if (!is_columns(row_) && chance(1, 2)) draw_strips(&b);
    reinterpret_cast<BlockFn*>(row_.fn)(&b);
  }

  // The same rows as strips in any order, the last one of which may have rows of the one before.
  void draw_strips(Block* b) {
    b->height = draw(1, std::min(16, case_.m));
    std::vector<int32_t> first;
    for (int32_t i = 0; i < case_.m; i += b->height)
      first.push_back(std::min(i, case_.m - b->height));
    std::shuffle(first.begin(), first.end(), random_);
    const size_t rows = first.size() * static_cast<size_t>(b->height);
    ptrdiff_t* strip = strip_.place<ptrdiff_t>(first.size(), true);
    int32_t* at = at_.place<int32_t>(rows, true);
    std::vector<bool> made(static_cast<size_t>(case_.m));
    b->m = static_cast<int32_t>(rows);
    b->strip = strip;
    b->at = at;
    for (const int32_t i : first) {
      *strip++ = i * b->lda;
      for (int32_t row = i; row < i + b->height; ++row) {
        const auto r = static_cast<size_t>(row);
        *at++ = made[r] ? -1 : row;
        made[r] = true;
      }
    }
  }

  // The reference is a tile as well: 4 x 16 at a time.
  void run_reference(uint8_t* c) {
    const Row& reference = reference_of(row_, is_signed_);
    const ptrdiff_t element = tile_.finish && row_.out == kOutQ8 ? 1 : 4;
    for (int32_t i = 0; i < case_.m; i += kReferenceMr) {
      std::vector<ptrdiff_t> offsets;
      for (int32_t t = 0; t < case_.taps; ++t)
        for (int32_t r = 0; r < kReferenceMr; ++r)
          offsets.push_back((t * height() + std::min(i + r, case_.m - 1)) * row_bytes());
      for (int32_t j = 0; j < case_.n; j += kPanel) {
        Tile t = tile_;
        if (is_proved(row_) || is_columns(row_)) t.b = canonical_.data();
        t.a = byte_rows_.data() + (is_lane(row_) ? j : 0);
        t.rows = offsets.data();
        t.b += j / kPanel * t.panel;
        if (t.init) t.init += i * t.ldi + j;
        t.c = c + i * t.ldc + j * element;
        t.m = std::min(case_.m - i, kReferenceMr);
        t.n = std::min(case_.n - j, kPanel);
        t.row0 += i;
        t.col0 += j;
        function(reference)(&t);
      }
    }
  }

  static constexpr size_t kBytes = 1 << 17, kArray = 4096;
  const Row& row_;
  std::mt19937 random_;
  Case case_{};
  bool at_end_ = true, is_signed_ = false, in_place_ = false;
  std::vector<uint8_t> byte_rows_;
  std::vector<ptrdiff_t> offsets_;
  std::vector<ptrdiff_t> taps_;
  std::vector<int8_t> canonical_;
  const int8_t* columns_ = nullptr;
  Guarded a_{kBytes}, b_{kBytes}, c_{kBytes}, init_{kBytes}, ibias_{kArray}, fbias_{kArray};
  Guarded mult_{kArray}, row_a_{kArray}, col_a_{kArray}, row_b_{kArray}, col_b_{kArray};
  Guarded strip_{kArray}, at_{kArray};
  Guarded row_scale_{kArray}, fixed_mult_{kArray}, fixed_exp_{kArray}, residual_{kBytes};
  Finish finish_{};
  Tile tile_{};
};

class Gemm : public testing::TestWithParam<const Row*> {
 protected:
  void SetUp() override {
    if (!(row().isa & cpu_isas())) GTEST_SKIP() << "this CPU cannot run " << row().name;
  }
  const Row& row() const { return *GetParam(); }
  static std::string text(const Case& c) {
    return "m " + std::to_string(c.m) + ", n " + std::to_string(c.n) + ", taps " +
           std::to_string(c.taps) + ", kc " + std::to_string(c.kc);
  }
};

class GemmTile : public Gemm {
 protected:
  int32_t least_m() const { return row().rows == kRowsStrided ? row().mr : 1; }
};

TEST_P(GemmTile, EverySize) {
  Comparison comparison(row(), 1);
  std::mt19937 random(2);
  for (int32_t m = least_m(); m <= row().mr; ++m)
    for (int32_t n = 1; n <= row().nr; ++n)
      for (int32_t repeat = 0; repeat < 3; ++repeat) {
        const Case c{m, n, 1, static_cast<int32_t>(random() % 40)};
        ASSERT_TRUE(comparison.run(c)) << text(c);
      }
}

TEST_P(GemmTile, EveryTailOfKAndTaps) {
  Comparison comparison(row(), 3);
  std::mt19937 random(4);
  for (int32_t kc = 0; kc <= 72; ++kc)
    for (int32_t taps = 1; taps <= 3; ++taps)
      for (int32_t repeat = 0; repeat < 2; ++repeat) {
        const int32_t m = std::max(least_m(), static_cast<int32_t>(random() % row().mr) + 1);
        const int32_t n =
            repeat ? row().nr
                   : static_cast<int32_t>(random() % static_cast<uint32_t>(row().nr)) + 1;
        const Case c{m, n, taps, kc};
        ASSERT_TRUE(comparison.run(c)) << text(c);
      }
}

TEST_P(GemmTile, DeepK) {
  Comparison comparison(row(), 5);
  for (const int32_t kc : {127, 256, 257, 383, 500})
    for (int32_t repeat = 0; repeat < 4; ++repeat) {
      const Case c{row().mr, row().nr, 1, kc};
      ASSERT_TRUE(comparison.run(c)) << text(c);
    }
}

class GemmLane : public Gemm {};

TEST_P(GemmLane, EveryNumberOfRowsAndTaps) {
  Comparison comparison(row(), 12);
  for (int32_t m = 1; m <= row().mr; ++m)
    for (int32_t taps = 1; taps <= 11; ++taps)
      for (int32_t repeat = 0; repeat < 8; ++repeat) {
        const Case c{m, row().nr, taps, row().kr};
        ASSERT_TRUE(comparison.run(c)) << text(c);
      }
}

class GemmBlock : public Gemm {
 protected:
  // Anything from 1 to two steps and a bit.
  int32_t any(int32_t step) { return static_cast<int32_t>(random_() % (2u * step + 20)) + 1; }
  int32_t any_k() { return static_cast<int32_t>(random_() % 200) + 1; }
  std::mt19937 random_{7};
};

TEST_P(GemmBlock, EveryNumberOfRows) {
  Comparison comparison(row(), 8);
  for (int32_t m = 1; m <= 2 * row().mr + 17; ++m)
    for (int32_t repeat = 0; repeat < 4; ++repeat) {
      const Case c{m, any(row().nr), 1, any_k()};
      ASSERT_TRUE(comparison.run(c)) << text(c);
    }
}

TEST_P(GemmBlock, EveryNumberOfColumns) {
  Comparison comparison(row(), 9);
  for (int32_t n = 1; n <= 2 * row().nr + 17; ++n)
    for (int32_t repeat = 0; repeat < 2; ++repeat) {
      const Case c{any(row().mr), n, 1, any_k()};
      ASSERT_TRUE(comparison.run(c)) << text(c);
    }
}

TEST_P(GemmBlock, EveryTailOfK) {
  Comparison comparison(row(), 10);
  for (int32_t kc = 1; kc <= 260; ++kc) {
    const Case c{any(row().mr), any(row().nr), 1, kc};
    ASSERT_TRUE(comparison.run(c)) << text(c);
  }
}

TEST_P(GemmBlock, EveryNumberOfTaps) {
  Comparison comparison(row(), 12);
  for (const int32_t taps : {1, 2, 3, 9})
    for (const int32_t kc : {3, 64, 96, 130}) {
      if (is_columns(row()) && taps > 1) continue;  // rows in one piece
      const Case c{any(row().mr) / 2 + 1, any(row().nr) / 2 + 1, taps, kc};
      ASSERT_TRUE(comparison.run(c)) << text(c);
    }
}

TEST_P(GemmBlock, ManySteps) {
  Comparison comparison(row(), 11);
  for (const int32_t kc : {64, 100})
    for (const Case& c :
         {Case{5 * row().mr + 1, 2 * row().nr, 1, kc}, Case{2 * row().mr, 4 * row().nr + 1, 1, kc}})
      ASSERT_TRUE(comparison.run(c)) << text(c);
}

std::vector<const Row*> simd_rows(Scope scope, Family family = kGemm) {
  std::vector<const Row*> rows;
  for (size_t r = 0; r < octet_row_count; ++r)
    if (octet_rows[r].family == family && octet_rows[r].isa != kIsaScalar &&
        octet_rows[r].scope == scope)
      rows.push_back(octet_rows + r);
  return rows;
}

const auto name_of = [](const auto& row) { return std::string(row.param->name); };
INSTANTIATE_TEST_SUITE_P(Rows, GemmTile, testing::ValuesIn(simd_rows(kScopeTile)), name_of);
INSTANTIATE_TEST_SUITE_P(Rows, GemmBlock, testing::ValuesIn(simd_rows(kScopeBlock)), name_of);
INSTANTIATE_TEST_SUITE_P(Rows, GemmLane, testing::ValuesIn(simd_rows(kScopeTile, kGemmLane)),
                         name_of);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GemmBlock);  // aarch64 has none
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GemmLane);

// The reference itself, on sums that can be checked by eye.
class GemmReference : public testing::Test {
 protected:
  // One row, one column, K = 3: 10 * 1 + 20 * 2 - 30 * 1 = 20, then the finish.
  template <class Out>
  Out run(const char* name, const Finish& f) {
    alignas(64) int8_t b[64] = {1, 2, -1, 99};
    const uint8_t a[3] = {10, 20, 30};
    const ptrdiff_t rows[4] = {0, 0, 0, 0};
    Out c{};
    Tile t = {};
    t.a = a;
    t.rows = rows;
    t.taps = t.m = t.n = 1;
    t.kc = 3;
    t.b = b;
    t.c = &c;
    t.finish = &f;
    for (size_t r = 0; r < octet_row_count; ++r)
      if (!strcmp(octet_rows[r].name, name)) function(octet_rows[r])(&t);
    return c;
  }

  Finish finish() {
    Finish f = {};
    f.ibias = &ibias_;
    f.fbias = &fbias_;
    f.mult = &mult_;
    f.flo = -std::numeric_limits<float>::infinity();
    f.fhi = -f.flo;
    f.hi = 255;
    return f;
  }
  int32_t ibias_ = 5;
  float fbias_ = 0, mult_ = 1;
};

TEST_F(GemmReference, AddsBiasAndTakesZeroPointsOut) {
  Finish f = finish();
  const int32_t row = 3, column = 4;
  f.row_a = &row;
  f.col_a = &column;
  EXPECT_EQ(run<int32_t>("gemm_u8s8_s32_4x16c4_scalar", f), 20 + 5 - 12);
}

TEST_F(GemmReference, RoundsTiesToEvenAfterTheZeroPointIsTakenOut) {
  Finish f = finish();
  mult_ = 0.5f;  // 25 -> 12.5 -> 12, and only then the zero point
  f.zp = 3;
  EXPECT_EQ(run<uint8_t>("gemm_u8s8_q8_4x16c4_scalar", f), 15);
}

TEST_F(GemmReference, SaturatesWhereInt32Ends) {
  Finish f = finish();
  mult_ = 0x1p60f;
  f.zp = 7;
  EXPECT_EQ(run<uint8_t>("gemm_u8s8_q8_4x16c4_scalar", f), 255);
}

TEST_F(GemmReference, HandsOnTheNanOfARow) {
  Finish f = finish();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  f.row_scale = &nan;
  f.flo = 0;
  const float y = run<float>("gemm_u8s8_f32_4x16c4_scalar", f);
  uint32_t bits;
  memcpy(&bits, &y, 4);
  EXPECT_EQ(bits, 0x7FC00000u);
}

}  // namespace
}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
//
// Every element-wise registry row that this CPU can run against the scalar row of the same task,
// bit for bit: all lengths, misaligned, with every buffer ending and starting at a protected page.
#include <deque>

#include "kernels/kernel.h"
#include "src/cpu.h"
#include "tests/quant/support.h"

namespace octet {
namespace {

using octet_test::Guarded;
using octet_test::hostile_float;
using octet_test::random_scale;

// Bytes of an element; rows for either sign of bytes have no type.
size_t item(int32_t type) {
  switch (type) {
    case OCTET_S32:
    case OCTET_F32:
      return 4;
    case OCTET_S16:
    case OCTET_U16:
    case OCTET_F16:
    case OCTET_BF16:
      return 2;
    default:
      return 1;
  }
}

const Row* scalar_of(const Row& r) {
  for (size_t i = 0; i < octet_row_count; ++i) {
    const Row& s = octet_rows[i];
    if (s.isa == kIsaScalar && s.family == r.family && s.in == r.in && s.out == r.out) return &s;
  }
  return nullptr;
}

std::vector<const Row*> elementwise_rows() {
  Cpu cpu = {};
  detect_cpu(&cpu, true);
  std::vector<const Row*> rows;
  for (size_t i = 0; i < octet_row_count; ++i)
    if (!octet_rows[i].mr && octet_rows[i].family != kFixed &&  // tests/kernels
        octet_rows[i].isa != kIsaScalar && (octet_rows[i].isa & cpu.isas))
      rows.push_back(&octet_rows[i]);
  return rows;
}

template <class Fn>
Fn* as(const Row* r) {
  return reinterpret_cast<Fn*>(r->fn);
}

class Rows : public testing::TestWithParam<const Row*> {
 protected:
  std::mt19937 rng{12345};
};

// The lengths: all up to 200, some beyond.
std::vector<size_t> lengths() {
  std::vector<size_t> n;
  for (size_t i = 0; i <= 200; ++i) n.push_back(i);
  n.insert(n.end(), {511, 1000, 4099});
  return n;
}

// Where an array of n elements lies: it ends at a protected page, or begins at one, `skew` elements
// (or bytes) further.
template <class T>
T* place(Guarded& g, size_t n, int where) {
  switch (where) {
    case 0:
      return g.at_end<T>(n);
    case 1:
      return g.at_begin<T>();
    default:
      return g.at_begin<T>(sizeof(T) * static_cast<size_t>(where));
  }
}

constexpr size_t kRoom = 4104 * 4;

// The whole range of an output type.
void set_range(int32_t type, octet::Run* r) {
  r->qmin = type == OCTET_S8    ? -128
            : type == OCTET_S16 ? -32768
            : type == OCTET_S32 ? INT32_MIN
                                : 0;
  r->qmax = type == OCTET_S8    ? 127
            : type == OCTET_S16 ? 32767
            : type == OCTET_S32 ? INT32_MAX
            : type == OCTET_U16 ? 65535
                                : 255;
}

void run_row_test(const Row& row, std::mt19937& rng) {
  const Row* const scalar = scalar_of(row);
  ASSERT_NE(scalar, nullptr);
  const bool mask_in = row.family == kSte;
  const bool mask_out = row.family == kFakeQuant || row.family == kAmax;
  const bool wide = row.family == kWiden;
  const bool in_place = item(row.in) == item(row.out) && !wide;
  const bool q_out = row.family == kQuantize || row.family == kRequantize;
  Guarded gx(kRoom), gy(kRoom), gm(kRoom), gi(kRoom), gz(kRoom), go(kRoom), gs(kRoom), gp(kRoom);
  std::vector<uint8_t> want(kRoom), want_mask(kRoom), before(kRoom);

  for (size_t n : lengths()) {
    for (int variant = 0; variant < 6; ++variant) {
      const int where = variant % 3 == 2 ? 1 + static_cast<int>(rng() % 3) : variant % 3;
      SCOPED_TRACE("n " + std::to_string(n) + " variant " + std::to_string(variant));
      Run r = {};
      r.n = n;
      r.in_step = rng() % 3 == 0;
      r.out_step = rng() % 3 == 0;
      r.divide = rng() % 3 == 0 && row.in != OCTET_S32;
      r.away = rng() % 3 == 0;
      // Kernels between bytes have integer zero points alone, so have 32 bits.
      const bool floats = rng() % 3 == 0 && row.family != kRequantize && row.out != OCTET_S32;
      if (row.family == kAmax) r.away = 0;
      if (row.family == kClamp) r.in_step = r.out_step = 0;
      // Bounds of the output: whole, narrow, clipped by an activation, up to 16 bits wide.
      set_range(row.out, &r);
      if (mask_out) {
        static const int32_t kRanges[][2] = {{0, 255},   {-128, 127},     {-127, 127}, {-8, 7},
                                             {0, 65535}, {-32768, 32767}, {0, 1}};
        const auto& range = kRanges[rng() % 7];
        r.qmin = range[0];
        r.qmax = range[1];
      } else if (q_out && rng() % 3 == 0) {
        r.qmin += static_cast<int32_t>(rng() % 30);
        r.qmax -= static_cast<int32_t>(rng() % 30);
      }
      const size_t ni = r.in_step ? n : 1, no = r.out_step ? n : 1;
      float* const in_scale = place<float>(gi, ni, where);
      int32_t* const in_zero = place<int32_t>(gz, ni, where);
      float* const out_inv = place<float>(go, no, where);
      float* const out_scale = place<float>(gs, no, where);
      std::vector<float> in_float(ni), out_float(no);
      int32_t* const out_zero = place<int32_t>(gp, no, where);
      for (size_t i = 0; i < ni; ++i) {
        in_scale[i] = random_scale(rng);
        in_zero[i] = static_cast<int32_t>(rng() % 256) - (row.in == OCTET_S8 ? 128 : 0);
        in_float[i] = static_cast<float>(rng() % 4096) / 16;
        if (floats) in_zero[i] = 0;
      }
      for (size_t i = 0; i < no; ++i) {
        out_scale[i] = random_scale(rng);
        out_inv[i] = r.divide ? out_scale[i] : 1.0f / out_scale[i];
        if (row.family == kAmax && rng() % 8 == 0) out_inv[i] = 0;
        const uint32_t width = static_cast<uint32_t>(r.qmax) - static_cast<uint32_t>(r.qmin) + 1;
        const uint32_t zero =
            static_cast<uint32_t>(r.qmin) + (width ? static_cast<uint32_t>(rng() % width) : 0);
        out_zero[i] = floats || !width ? 0 : static_cast<int32_t>(zero);
        out_float[i] = static_cast<float>(rng() % 4096) / 16;
      }
      if (floats && row.family == kDequantize) r.in_float = in_float.data();
      if (floats && (row.family == kQuantize || row.family == kFakeQuant))
        r.out_float = out_float.data();
      r.in_scale = row.family == kAmax && rng() % 2 ? nullptr : in_scale;
      r.in_zero = row.in == OCTET_S32 ? nullptr : in_zero;
      r.out_inv = out_inv;
      r.out_scale = mask_out || row.family == kClamp ? out_scale : nullptr;
      r.out_zero = out_zero;

      char* x = nullptr;
      switch (item(row.in)) {
        case 1:
          x = place<char>(gx, n, where);
          break;
        case 2:
          x = reinterpret_cast<char*>(place<uint16_t>(gx, n, where));
          break;
        default:
          x = reinterpret_cast<char*>(place<uint32_t>(gx, n, where));
          break;
      }
      for (size_t i = 0; i < n; ++i) {
        if (row.in == OCTET_F32) {
          const float v = hostile_float(rng, out_scale[r.out_step ? i : 0]);
          memcpy(x + 4 * i, &v, 4);
        } else if (row.in == OCTET_S32) {
          const uint32_t v = static_cast<uint32_t>(rng()) >> rng() % 32;
          memcpy(x + 4 * i, &v, 4);
        } else if (item(row.in) == 2) {
          const uint16_t v = static_cast<uint16_t>(rng());
          memcpy(x + 2 * i, &v, 2);
        } else {
          x[i] = static_cast<char>(rng());
        }
      }
      uint8_t* mask = nullptr;
      if (mask_in || (mask_out && variant % 2 == 0)) mask = place<uint8_t>(gm, n, where);
      for (size_t i = 0; mask && i < n; ++i) mask[i] = mask_in ? rng() % 2 * (rng() % 255) : 0xEE;

      const size_t written = wide ? (n + 3) / 4 * 4 : n;
      const bool alias = in_place && variant >= 3;
      char* y = x;
      if (!alias) {
        gy.fill(0xA5);
        y = item(row.out) == 1   ? place<char>(gy, written, where)
            : item(row.out) == 2 ? reinterpret_cast<char*>(place<int16_t>(gy, written, where))
                                 : reinterpret_cast<char*>(place<float>(gy, written, where));
      }
      r.stream = !alias && rng() % 2;
      // The reference first, out of place.
      r.x = x;
      r.y = want.data();
      r.mask = mask_in ? mask : mask ? want_mask.data() : nullptr;
      as<RunFn>(scalar)(&r);
      memcpy(before.data(), gy.data(), alias ? 0 : gy.size() < kRoom ? gy.size() : kRoom);
      r.y = y;
      r.mask = mask;
      as<RunFn> (&row)(&r);
      ASSERT_EQ(memcmp(y, want.data(), written * item(row.out)), 0);
      if (mask && mask_out) {
        ASSERT_EQ(memcmp(mask, want_mask.data(), n), 0);
      }
      if (!alias) {  // nothing around the run has changed
        const char* const end = y + written * item(row.out);
        for (const char* p = gy.data(); p < y; ++p) ASSERT_EQ(static_cast<uint8_t>(*p), 0xA5);
        for (const char* p = end; p < gy.data() + gy.size(); ++p)
          ASSERT_EQ(static_cast<uint8_t>(*p), 0xA5);
      }
    }
  }
}

// A gradient and the terms of its sums; dx may be dy.
void grad_row_test(const Row& row, std::mt19937& rng) {
  const Row* const scalar = scalar_of(row);
  std::deque<Guarded> g;
  for (int i = 0; i < 9; ++i) g.emplace_back(kRoom);
  std::vector<float> want[3];
  for (std::vector<float>& w : want) w.resize(kRoom / 4);
  for (size_t n : lengths())
    for (int variant = 0; variant < 6; ++variant) {
      const int where = variant % 3;
      Grad k = {};
      k.n = n;
      k.step = row.family == kLearn && rng() % 2;
      k.divide = rng() % 3 == 0;
      k.away = rng() % 3 == 0;
      k.qmin = rng() % 2 ? -8 : -128;
      k.qmax = -k.qmin - 1;
      k.lo = -1;
      k.hi = static_cast<float>(rng() % 3);
      const bool floats = rng() % 3 == 0;
      const size_t m = k.step ? n : 1;
      float* const x = place<float>(g[0], n, where);
      float* const dy = place<float>(g[1], n, where);
      float* const scale = place<float>(g[2], m, where);
      float* const inv = place<float>(g[3], m, where);
      int32_t* const zero = place<int32_t>(g[4], m, where);
      float* const float_zero = place<float>(g[5], m, where);
      for (size_t i = 0; i < m; ++i) {
        scale[i] = random_scale(rng);
        inv[i] = k.divide ? scale[i] : 1 / scale[i];
        zero[i] = floats ? 0 : k.qmin + static_cast<int32_t>(rng() % 16);
        float_zero[i] = static_cast<float>(rng() % 100) / 8;
      }
      for (size_t i = 0; i < n; ++i) {
        x[i] = hostile_float(rng, row.family == kClip ? 0.5f : scale[k.step ? i : 0]);
        dy[i] = static_cast<float>(static_cast<int>(rng() % 4001) - 2000) / 256;
      }
      k.x = x;
      k.dy = dy;
      k.scale = scale;
      k.inv = inv;
      k.zero = zero;
      k.float_zero = floats ? float_zero : nullptr;
      k.dx = want[0].data();
      k.t0 = want[1].data();
      k.t1 = want[2].data();
      as<GradFn>(scalar)(&k);
      k.dx = variant < 3 ? place<float>(g[6], n, where) : dy;
      k.stream = variant < 3 && reinterpret_cast<uintptr_t>(k.dx) % 64 == 0;
      k.t0 = place<float>(g[7], n, where);
      k.t1 = place<float>(g[8], n, where);
      as<GradFn> (&row)(&k);
      const float* const got[3] = {k.dx, k.t0, k.t1};
      for (int j = 0; j < 3; ++j)
        for (size_t i = 0; i < n; ++i)  // a NaN of a term ends as the one NaN of its sum
          ASSERT_TRUE(octet_test::bits(got[j][i]) == octet_test::bits(want[j][i]) ||
                      (j && std::isnan(got[j][i]) && std::isnan(want[j][i])))
              << j << ": " << got[j][i] << ", not " << want[j][i] << " of " << x[i];
      if (row.family != kLearn || k.step || k.divide || k.away || floats) continue;
      // The terms of whole turns, added as they come.
      k.n = n / 16 * 16;
      double lanes[2][2][16];
      for (int side = 0; side < 2; ++side) {
        std::fill_n(&lanes[side][0][0], 32, 0.1);
        k.lanes0 = lanes[side][0];
        k.lanes1 = lanes[side][1];
        k.dx = side ? want[1].data() : want[0].data();
        k.dy = want[2].data();
        k.stream = 0;
        as<GradFn>(side ? &row : scalar)(&k);
      }
      for (int j = 0; j < 32; ++j) {
        const double a = lanes[0][j / 16][j % 16], b = lanes[1][j / 16][j % 16];
        ASSERT_TRUE(a == b || (std::isnan(a) && std::isnan(b))) << j << ": " << b << ", not " << a;
      }
      ASSERT_EQ(memcmp(want[0].data(), want[1].data(), k.n * sizeof(float)), 0);
    }
}

void sum_row_test(const Row& row, std::mt19937& rng) {
  const Row* const scalar = scalar_of(row);
  Guarded gx(kRoom), gs(kRoom * 2);
  for (size_t n : lengths()) {
    const size_t sums = row.family == kSum ? 16 : n;
    float* const x = place<float>(gx, n, static_cast<int>(n % 3));
    double* const got = place<double>(gs, sums, static_cast<int>(n % 3));
    for (size_t i = 0; i < n; ++i) x[i] = std::ldexp(1.0f + 0x1p-23f, static_cast<int>(rng() % 80));
    std::vector<double> want(sums, 0.1);
    std::fill_n(got, sums, 0.1);
    as<SumFn>(scalar)(x, n, want.data());
    as<SumFn> (&row)(x, n, got);
    ASSERT_TRUE(!sums || !memcmp(got, want.data(), sums * sizeof(double))) << n;
  }
}

// Elements of 4 and 2 bits: n of them from and to bytes, nothing beyond.
void pack_row_test(const Row& row, std::mt19937& rng) {
  const Row* const scalar = scalar_of(row);
  const auto bytes = [](int32_t type, size_t n) {
    const size_t each = type == OCTET_U4 || type == OCTET_S4   ? 2
                        : type == OCTET_U2 || type == OCTET_S2 ? 4
                                                               : 1;
    return (n + each - 1) / each;
  };
  Guarded gx(kRoom), gy(kRoom);
  std::vector<uint8_t> want(kRoom);
  for (size_t n : lengths())
    for (int where = 0; where < 4; ++where) {
      const size_t in = bytes(row.in, n), out = bytes(row.out, n);
      uint8_t* const x = place<uint8_t>(gx, in, where);
      for (size_t i = 0; i < in; ++i) x[i] = static_cast<uint8_t>(rng());
      gy.fill(0xA5);
      uint8_t* const y = place<uint8_t>(gy, out, where);
      octet::Run r = {};
      r.n = n;
      r.x = x;
      r.y = want.data();
      as<RunFn>(scalar)(&r);
      r.y = y;
      as<RunFn> (&row)(&r);
      ASSERT_EQ(memcmp(y, want.data(), out), 0) << n;
      const uint8_t* const end = reinterpret_cast<const uint8_t*>(gy.data() + gy.size());
      for (const uint8_t* p = reinterpret_cast<const uint8_t*>(gy.data()); p < end; ++p)
        ASSERT_TRUE((p >= y && p < y + out) || *p == 0xA5);
    }
}

void expect_same(const Range& a, const Range& b) {
  ASSERT_EQ(octet_test::bits(a.min), octet_test::bits(b.min));
  ASSERT_EQ(octet_test::bits(a.max), octet_test::bits(b.max));
  ASSERT_EQ(a.nan_count, b.nan_count);
  ASSERT_EQ(a.inf_count, b.inf_count);
}

constexpr Range kStart = {octet_test::kInf, -octet_test::kInf, 0, 0};

// Mostly finite, so that the paths without and with special values both run.
float sample(std::mt19937& rng, int variant) {
  if (variant % 3 == 0) return hostile_float(rng, 0.25f);
  if (variant % 3 == 1)
    return octet_test::from_bits(static_cast<uint32_t>(rng() % 2) << 31);  // zeros
  return static_cast<float>(static_cast<int>(rng() % 2000) - 1000) * 0.125f;
}

void minmax_row_test(const Row& row, std::mt19937& rng) {
  const Row* const scalar = scalar_of(row);
  Guarded gx(kRoom);
  for (size_t n : lengths())
    for (int variant = 0; variant < 9; ++variant) {
      SCOPED_TRACE("n " + std::to_string(n) + " variant " + std::to_string(variant));
      float* const x = place<float>(gx, n, variant / 3);
      for (size_t i = 0; i < n; ++i) x[i] = sample(rng, variant);
      Range want = kStart, got = kStart;
      if (variant == 8) want = got = {-2.0f, 3.0f, 5, 6};
      as<RangeFn>(scalar)(x, n, &want);
      as<RangeFn> (&row)(x, n, &got);
      expect_same(got, want);
    }
}

void minmaxcols_row_test(const Row& row, std::mt19937& rng) {
  const Row* const scalar = scalar_of(row);
  Guarded gx(70 * 90 * 4);
  for (size_t n = 0; n <= 70; ++n)
    for (size_t rows : {size_t{0}, size_t{1}, size_t{2}, size_t{7}, size_t{33}})
      for (int variant = 0; variant < 6; ++variant) {
        const size_t pitch = n + rng() % 3, all = rows ? (rows - 1) * pitch + n : 0;
        float* const x = place<float>(gx, all, variant / 3);
        for (size_t i = 0; i < all; ++i) x[i] = sample(rng, variant);
        std::vector<Range> want(n, kStart), got(n, kStart);
        as<RangeColsFn>(scalar)(x, rows, static_cast<ptrdiff_t>(pitch), n, want.data());
        as<RangeColsFn> (&row)(x, rows, static_cast<ptrdiff_t>(pitch), n, got.data());
        for (size_t i = 0; i < n; ++i) expect_same(got[i], want[i]);
      }
}

void rowsum_row_test(const Row& row, std::mt19937& rng) {
  const Row* const scalar = scalar_of(row);
  Guarded gx(kRoom * 64);
  std::vector<size_t> all = lengths();
  all.push_back(1 << 20);  // of 255: far beyond 16 and 24 bits
  for (size_t n : all)
    for (int variant = 0; variant < 4; ++variant) {
      uint8_t* const x = place<uint8_t>(gx, n, variant);
      for (size_t i = 0; i < n; ++i)
        x[i] = variant == 3 ? 0xFF : variant == 2 ? 0x80 : static_cast<uint8_t>(rng());
      ASSERT_EQ(as<RowSumFn>(&row)(x, n), as<RowSumFn>(scalar)(x, n)) << n;
    }
}

// A histogram for which x has a bin if it is finite, of either form.
octet::Bins some_bins(std::mt19937& rng, int variant) {
  octet::Bins b = {};
  b.bins = 2 << rng() % 12;
  b.form = variant % 2 ? octet::kBinsLinear : octet::kBinsPow2;
  b.count = static_cast<float>(b.bins);
  const int largest = 129 - std::ilogb(b.count);  // its bins hold every float
  b.scale = std::ldexp(1.0f, -(variant % 3 ? largest : static_cast<int>(rng() % 40) - 20));
  b.first = static_cast<float>(static_cast<int>(rng() % 200) - 100) * 0.37f;
  b.last = b.first + static_cast<float>(1 + rng() % 100) * (variant % 3 ? 0.81f : 1e-6f);
  if (!(b.last > b.first)) b.last = b.first + 1;
  b.absolute = variant / 2 % 2;
  b.skip_zeros = variant / 4 % 2;
  return b;
}

void bins_row_test(const Row& row, std::mt19937& rng) {
  const Row* const scalar = scalar_of(row);
  Guarded gx(kRoom), gy(kRoom), gz(kRoom);
  for (size_t n : lengths())
    for (int variant = 0; variant < 12; ++variant) {
      const octet::Bins b = some_bins(rng, variant);
      const float bound = b.count / 2 / b.scale;
      float* const x = place<float>(gx, n, variant);
      for (size_t i = 0; i < n; ++i) {
        x[i] = hostile_float(rng, 0.25f);
        if (rng() % 8 == 0) x[i] = rng() % 2 ? b.first : b.last;
        if (b.form == octet::kBinsPow2 && !(x[i] < bound && x[i] >= -bound) && x[i] - x[i] == 0)
          x[i] = rng() % 2 ? -bound : std::nextafter(bound, 0.0f);
      }
      gy.fill(0x5A);
      gz.fill(0x5A);
      as<octet::BinsFn>(scalar)(x, n, &b, place<int32_t>(gy, n, variant), nullptr);
      as<octet::BinsFn> (&row)(x, n, &b, place<int32_t>(gz, n, variant), nullptr);
      ASSERT_EQ(memcmp(gy.data(), gz.data(), gy.size()), 0) << n << " variant " << variant;
      const int32_t* const index = place<int32_t>(gy, n, variant);
      for (size_t i = 0; i < n; ++i) {
        ASSERT_GE(index[i], 0);
        ASSERT_LE(index[i], b.bins + 1) << x[i];
      }
      std::vector<uint16_t> want(octet::kBinWays * (static_cast<size_t>(b.bins) + octet::kBinSpare),
                                 7),
          got = want;
      as<octet::BinsFn>(scalar)(x, n, &b, nullptr, want.data());
      as<octet::BinsFn> (&row)(x, n, &b, nullptr, got.data());
      ASSERT_EQ(got, want) << n << " variant " << variant;
    }
}

// Windows of up to three dims inside an image whose last byte ends at a protected page.
void pool_row_test(const Row& row, std::mt19937& rng) {
  const Row* const scalar = scalar_of(row);
  Guarded gx(1 << 20), gy(1 << 16), gz(1 << 16);
  for (size_t n : {1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 129, 200})
    for (int variant = 0; variant < 12; ++variant) {
      octet::Pool r = {};
      r.n = n;
      r.pixels = static_cast<int64_t>(1 + rng() % 4);
      int64_t pitch = static_cast<int64_t>(n + rng() % 3), reach = 0;
      for (int i = 2; i >= 0; --i) {
        r.size[i] = static_cast<int64_t>(1 + rng() % 4);
        if (variant == 11 && i == 2 && n < 40) r.size[i] = 300;  // more than 16 bits hold
        r.step[i] = pitch;
        reach += (r.size[i] - 1) * pitch;
        pitch = pitch * r.size[i] + static_cast<int64_t>(rng() % 5);
      }
      r.step_x = static_cast<int64_t>(rng() % 9);
      r.step_y = static_cast<int64_t>(n + rng() % 3);
      const size_t in = static_cast<size_t>(reach + (r.pixels - 1) * r.step_x) + n;
      const size_t out = static_cast<size_t>((r.pixels - 1) * r.step_y) + n;
      uint8_t* const x = place<uint8_t>(gx, in, variant);
      for (size_t i = 0; i < in; ++i)
        x[i] = variant < 3 ? 0xFF : variant < 6 ? 0x80 : static_cast<uint8_t>(rng());
      const int32_t taps = static_cast<int32_t>(r.size[0] * r.size[1] * r.size[2]);
      const int32_t lowest = row.out == OCTET_S8 ? -128 : 0;
      r.zero = lowest + static_cast<int32_t>(rng() % 256);
      r.qmin = lowest + static_cast<int32_t>(rng() % 20);
      r.qmax = lowest + 255 - static_cast<int32_t>(rng() % 20);
      if (r.zero < r.qmin || r.zero > r.qmax) r.zero = r.qmin;
      r.divisor = variant % 2 ? taps : 1 + static_cast<int32_t>(rng() % 50);
      r.mult = random_scale(rng) / static_cast<float>(r.divisor);
      r.bias = row.family == kPoolAvg
                   ? taps * (static_cast<int32_t>(rng() % 256) - (row.in == OCTET_S8 ? 128 : 0))
                   : 0;
      r.x = x;
      gy.fill(0x5A);
      gz.fill(0x5A);
      uint8_t* const want = place<uint8_t>(gy, out, variant);
      uint8_t* const got = place<uint8_t>(gz, out, variant);
      r.y = want;
      as<PoolFn>(scalar)(&r);
      r.y = got;
      as<PoolFn> (&row)(&r);
      ASSERT_EQ(memcmp(gy.data(), gz.data(), gy.size()), 0)
          << n << " channels, variant " << variant;
    }
}

void lookup_row_test(const Row& row, std::mt19937& rng) {
  const Row* const scalar = scalar_of(row);
  Guarded gt(256), gx(kRoom), gy(kRoom), gz(kRoom);
  uint8_t* const table = gt.at_end<uint8_t>(256);
  for (size_t n : lengths())
    for (int variant = 0; variant < 6; ++variant) {
      for (int i = 0; i < 256; ++i) table[i] = static_cast<uint8_t>(rng());
      Lookup r = {};
      r.table = table;
      r.n = n;
      r.rows = n > 1000 ? 1 : rng() % 4;
      const size_t gap = rng() % 3, all = r.rows ? (r.rows - 1) * (n + gap) + n : 0;
      r.ldx = r.ldy = static_cast<ptrdiff_t>(n + gap);
      uint8_t* const x = place<uint8_t>(gx, all, variant);
      for (size_t i = 0; i < all; ++i) x[i] = static_cast<uint8_t>(variant % 2 ? i : rng());
      gy.fill(0x5A);
      gz.fill(0x5A);
      uint8_t* const want = place<uint8_t>(gy, all, variant);
      uint8_t* const got = place<uint8_t>(gz, all, variant);
      r.x = x;
      r.y = want;
      as<LookupFn>(scalar)(&r);
      for (size_t i = 0; i < r.rows; ++i)
        for (size_t j = 0; j < n; ++j) {
          const size_t at = i * (n + gap) + j;
          ASSERT_EQ(want[at], table[x[at]]);
        }
      const bool in_place = variant >= 3;
      if (in_place && all) memcpy(got, x, all);
      r.x = in_place ? got : x;
      r.y = got;
      as<LookupFn> (&row)(&r);
      for (size_t i = 0; i < all; ++i)
        ASSERT_EQ(got[i], i % (n + gap) < n ? want[i] : in_place ? x[i] : 0x5A) << n << ", " << i;
    }
}

TEST_P(Rows, EqualTheScalarRow) {
  const Row& row = *GetParam();
  switch (row.family) {
    case kMinMax:
      return minmax_row_test(row, rng);
    case kMinMaxCols:
      return minmaxcols_row_test(row, rng);
    case kBins:
      return bins_row_test(row, rng);
    case kRowSum:
      return rowsum_row_test(row, rng);
    case kLearn:
    case kClip:
      return grad_row_test(row, rng);
    case kSum:
    case kSumCols:
      return sum_row_test(row, rng);
    case kPack:
    case kUnpack:
      return pack_row_test(row, rng);
    case kLut:
      return lookup_row_test(row, rng);
    case kPoolMax:
    case kPoolAvg:
    case kPoolAvgInt:
      return pool_row_test(row, rng);
    default:
      return run_row_test(row, rng);
  }
}

INSTANTIATE_TEST_SUITE_P(Registry, Rows, testing::ValuesIn(elementwise_rows()),
                         [](const auto& p) { return std::string(p.param->name); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Rows);

// The scalar row says what the bits are, so it is held against the formulas themselves, in other
// words: the clamp after the rounding, the zero point after both, everything in double where exact.
TEST(ScalarRows, SayWhatTheFormulasSay) {
  std::mt19937 rng(7);
  Row wanted = {};
  wanted.family = kQuantize;
  wanted.in = OCTET_F32;
  for (octet_type type : {OCTET_U8, OCTET_S8}) {
    wanted.out = type;
    const Row* const row = scalar_of(wanted);
    ASSERT_NE(row, nullptr);
    for (int i = 0; i < 200000; ++i) {
      const float scale = random_scale(rng), inverse = 1.0f / scale;
      const float x = hostile_float(rng, scale);
      octet::Run r = {};
      r.qmin = type == OCTET_S8 ? -128 : 0;
      r.qmax = r.qmin + 255;
      const int32_t zero = r.qmin + static_cast<int32_t>(rng() % 256);
      uint8_t y = 0;
      r.x = &x;
      r.y = &y;
      r.n = 1;
      r.out_inv = &inverse;
      r.out_zero = &zero;
      as<RunFn>(row)(&r);
      const float t = x * inverse;
      double q = std::isnan(t) ? r.qmin : std::nearbyint(static_cast<double>(t)) + zero;
      q = std::fmin(std::fmax(q, r.qmin), r.qmax);
      const int got = type == OCTET_S8 ? static_cast<int8_t>(y) : y;
      ASSERT_EQ(got, static_cast<int>(q)) << x << " / " << scale << " + " << zero;
    }
  }
}

TEST(ScalarRows, BinsAreFloorsAndPartsOfARange) {
  Row wanted = {};
  wanted.family = kBins;
  wanted.in = OCTET_F32;
  wanted.out = OCTET_S32;
  const auto bin = [&](const octet::Bins& b, float x) {
    int32_t i = -1;
    as<octet::BinsFn>(scalar_of(wanted))(&x, 1, &b, &i, nullptr);
    return i;
  };
  octet::Bins pow2 = {};
  pow2.bins = 8;
  pow2.scale = 2;  // bins of 0.5 from -2 on
  const float kX[] = {-2, -1.6f, -0.5f, -0.4f, -1e-45f, 1e-45f, 0.49f, 0.5f, 1.99f};
  const int32_t kWant[] = {0, 0, 3, 3, 3, 4, 4, 5, 7};
  for (size_t i = 0; i < std::size(kX); ++i) EXPECT_EQ(bin(pow2, kX[i]), kWant[i]) << kX[i];
  EXPECT_EQ(bin(pow2, -0.0f), 8);
  EXPECT_EQ(bin(pow2, octet_test::kNan), 9);
  EXPECT_EQ(bin(pow2, -octet_test::kInf), 9);
  pow2.scale = 0x1p-126f;  // the product is too small for a float
  EXPECT_EQ(bin(pow2, -1e-45f), 3);
  octet::Bins linear = {};
  linear.form = octet::kBinsLinear;
  linear.bins = 8;
  linear.count = 8;
  linear.first = -1;
  linear.last = 3;
  EXPECT_EQ(bin(linear, -1), 0);
  EXPECT_EQ(bin(linear, 0), 2);
  EXPECT_EQ(bin(linear, 2.9f), 7);
  EXPECT_EQ(bin(linear, 3), 7);
  EXPECT_EQ(bin(linear, 3.1f), 9);
  EXPECT_EQ(bin(linear, octet_test::kNan), 9);
  linear.absolute = linear.skip_zeros = 1;
  EXPECT_EQ(bin(linear, -1), 4);
  EXPECT_EQ(bin(linear, 0), 8);
}

// The order that tiles without a byte product read: k0 k2 k1 k3 of each four.
TEST(ScalarRows, WidenReordersEachFour) {
  Row wanted = {};
  wanted.family = kWiden;
  wanted.in = OCTET_S8;
  wanted.out = OCTET_S16;
  const int8_t x[6] = {1, 2, 3, 4, -5, 6};
  int16_t y[8];
  octet::Run r = {};
  r.x = x;
  r.y = y;
  r.n = 6;
  as<RunFn>(scalar_of(wanted))(&r);
  const int16_t want[8] = {1, 3, 2, 4, -5, 0, 6, 0};
  EXPECT_EQ(memcmp(y, want, sizeof y), 0);
}

}  // namespace
}  // namespace octet

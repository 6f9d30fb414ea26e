// SPDX-License-Identifier: Apache-2.0
//
// octet_quantize_dynamic against its three steps, octet_copy, and fake-quantizer steps with scales
// for groups.
#include <algorithm>

#include "tests/quant/support.h"

namespace octet_test {
namespace {

class Dynamic : public testing::Test {
 protected:
  std::vector<float> reals(size_t n) {
    std::vector<float> v(n);
    for (float& f : v) f = static_cast<float>(static_cast<int>(rng() % 2001) - 700) / 64;
    return v;
  }
  Context c;
  std::mt19937 rng{9};
};

// What min, max and the chooser make of the elements that belong to scale i.
struct Chosen {
  std::vector<float> scale;
  std::vector<int32_t> zero;
};
template <class Index>
Chosen choose(const std::vector<float>& x, const octet_scheme& s, size_t count, Index index) {
  std::vector<float> low(count, 0), high(count, 0);
  for (size_t i = 0; i < x.size(); ++i) {
    if (!std::isfinite(x[i])) continue;
    low[index(i)] = std::fmin(low[index(i)], x[i]);
    high[index(i)] = std::fmax(high[index(i)], x[i]);
  }
  Chosen k = {std::vector<float>(count), std::vector<int32_t>(count)};
  EXPECT_EQ(octet_choose_qparams(&s, low.data(), high.data(), count, k.scale.data(), k.zero.data(),
                                 nullptr),
            OCTET_OK);
  return k;
}

TEST_F(Dynamic, IsObserveChooseAndQuantize) {
  constexpr int64_t kA = 5, kB = 31, kK = 24;  // more rows than are staged at once
  std::vector<float> x = reals(kA * kB * kK);
  x[7] = kNan;
  x[100] = -kInf;
  std::fill_n(x.begin() + 48, 24, 0.0f);
  struct Case {
    octet_type type;
    int32_t granularity, axis;
    int64_t group;
    size_t count;
    size_t (*index)(size_t);
  };
  const Case cases[] = {
      {OCTET_U8, OCTET_GRANULARITY_DEFAULT, 0, 0, 155, [](size_t i) { return i / 24; }},
      {OCTET_S8, OCTET_PER_ROW, 0, 0, 155, [](size_t i) { return i / 24; }},
      {OCTET_S16, OCTET_PER_TENSOR, 0, 0, 1, [](size_t) { return size_t{0}; }},
      {OCTET_U8, OCTET_PER_CHANNEL, 1, 0, 31, [](size_t i) { return i / 24 % 31; }},
      {OCTET_S4, OCTET_PER_CHANNEL, -1, 0, 24, [](size_t i) { return i % 24; }},
      {OCTET_U4, OCTET_PER_GROUP, 1, 8, 93, [](size_t i) { return i / 24 % 31 * 3 + i % 24 / 8; }},
      {OCTET_U2, OCTET_PER_GROUP, 2, 12, 2, [](size_t i) { return i % 24 / 12; }}};
  for (const Case& k : cases) {
    SCOPED_TRACE(std::to_string(k.type) + " " + std::to_string(k.granularity));
    octet_scheme s = make_scheme(k.type);
    s.granularity = k.granularity;
    s.axis = k.axis;
    s.group = k.group;
    octet_scheme ranges = make_scheme(k.type);
    const Chosen want = choose(x, ranges, k.count, k.index);
    std::vector<float> scale(k.count);
    std::vector<int32_t> zero(k.count);
    std::vector<unsigned char> q(x.size() * 2), same(q.size());
    const octet_tensor in = octet_view(OCTET_F32, x.data(), 3, kA, kB, kK, 0);
    octet_tensor out = octet_view(k.type, q.data(), 3, kA, kB, kK, 0);
    for (int32_t threads : {1, 4}) {
      const octet_exec e = exec_with(run_reversed, threads);
      octet_error err = {};
      ASSERT_EQ(
          octet_quantize_dynamic(c, &in, &s, &out, scale.data(), zero.data(), k.count, &e, &err),
          OCTET_OK)
          << err.text;
      for (size_t i = 0; i < k.count; ++i) {
        ASSERT_EQ(bits(scale[i]), bits(want.scale[i])) << i;
        ASSERT_EQ(zero[i], want.zero[i]) << i;
      }
    }
    const bool rows = k.count == 155;
    octet_qparams p =
        make_qparams(scale.data(), zero.data(), static_cast<int64_t>(k.count), rows ? 0 : k.axis);
    p.group = k.group;
    octet_tensor flat_in = rows ? octet_mat(OCTET_F32, x.data(), kA * kB, kK) : in;
    octet_tensor flat = rows ? octet_mat(k.type, same.data(), kA * kB, kK) : out;
    flat.data = same.data();
    flat.q = &p;
    ASSERT_EQ(octet_quantize(c, &flat_in, &flat, nullptr, nullptr), OCTET_OK);
    EXPECT_EQ(q, same);
  }
}

TEST_F(Dynamic, Refusals) {
  std::vector<float> x = reals(12);
  std::vector<unsigned char> q(12, 7);
  std::vector<float> scale(4, -7);
  std::vector<int32_t> zero(4, -7);
  octet_tensor in = octet_mat(OCTET_F32, x.data(), 3, 4), out = octet_mat(OCTET_U8, q.data(), 3, 4);
  octet_error err = {};
  const auto refused = [&](const octet_scheme* s, size_t count,
                           std::initializer_list<const char*> words) {
    err = {};
    expect_refused(
        octet_quantize_dynamic(c, &in, s, &out, scale.data(), zero.data(), count, nullptr, &err),
        err, OCTET_ERR_ARGUMENT, words);
    EXPECT_EQ(q[0], 7);
    EXPECT_EQ(scale[0], -7);
  };
  refused(nullptr, 2, {"count is 2", "3"});
  octet_scheme s = make_scheme(OCTET_S8);
  refused(&s, 3, {"q.type is U8", "octet_scheme.type is S8"});
  x[5] = 3e38f;
  x[6] = -3e38f;
  refused(nullptr, 3, {"2^60"});
  x[5] = x[6] = 0;
  const octet_qparams p = make_qparams(scale.data(), zero.data());
  out.q = &p;
  refused(nullptr, 3, {"q.q is given"});
  out.q = nullptr;
  expect_refused(
      octet_quantize_dynamic(c, &in, nullptr, &out, nullptr, zero.data(), 3, nullptr, &err), err,
      OCTET_ERR_ARGUMENT, {"scale is NULL"});
}

// A zero_point of a symmetric 16-bit scheme, as observers choose it.
TEST_F(Dynamic, SchemesOfEveryType) {
  const float low = -1, high = 3;
  for (const auto& [type, steps, half] : {std::tuple{OCTET_S16, 65535.0, 32767.0f},
                                          {OCTET_U16, 65535.0, 32767.0f},
                                          {OCTET_S4, 15.0, 7.0f},
                                          {OCTET_U4, 15.0, 7.0f},
                                          {OCTET_S2, 3.0, 1.0f},
                                          {OCTET_U2, 3.0, 1.0f}}) {
    float scale = 0;
    int32_t zero = 0;
    octet_scheme s = make_scheme(type);
    ASSERT_EQ(octet_choose_qparams(&s, &low, &high, 1, &scale, &zero, nullptr), OCTET_OK);
    EXPECT_EQ(scale, static_cast<float>(4 / steps));
    s.flags = OCTET_SYMMETRIC;
    ASSERT_EQ(octet_choose_qparams(&s, &low, &high, 1, &scale, &zero, nullptr), OCTET_OK);
    EXPECT_EQ(scale, 3 / half);
  }
}

TEST_F(Dynamic, CopyKeepsElementsAndConvertsReals) {
  std::vector<float> x = {1,     -2.5f,   65504, 65519,    65520,   kInf,  -kInf,  kNan,
                          6e-8f, 2.9e-8f, 0.1f,  1.00049f, 2048.5f, -0.0f, 6.1e-5f};
  const uint16_t half[] = {0x3C00, 0xC100, 0x7BFF, 0x7BFF, 0x7BFF, 0x7BFF, 0xFBFF, 0x7E00,
                           0x0001, 0x0000, 0x2E66, 0x3C01, 0x6800, 0x8000, 0x03FF};
  const uint16_t bfloat[] = {0x3F80, 0xC020, 0x4780, 0x4780, 0x4780, 0x7F80, 0xFF80, 0x7FC0,
                             0x3381, 0x32F9, 0x3DCD, 0x3F80, 0x4500, 0x8000, 0x3880};
  const auto n = static_cast<int64_t>(x.size());
  std::vector<uint16_t> h(x.size()), b(x.size());
  const octet_tensor in = vec(x), th = octet_vec(OCTET_F16, h.data(), n),
                     tb = octet_vec(OCTET_BF16, b.data(), n);
  ASSERT_EQ(octet_copy(c, &in, &th, nullptr, nullptr), OCTET_OK);
  ASSERT_EQ(octet_copy(c, &in, &tb, nullptr, nullptr), OCTET_OK);
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(h[i], half[i]) << x[i];
    EXPECT_EQ(b[i], bfloat[i]) << x[i];
  }
  // From f16 and back again nothing is lost, NaN included.
  std::vector<uint16_t> all(65536), back(65536);
  std::vector<float> wide(65536);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  const octet_tensor from = octet_vec(OCTET_F16, all.data(), 65536), mid = vec(wide),
                     to = octet_vec(OCTET_F16, back.data(), 65536);
  ASSERT_EQ(octet_copy(c, &from, &mid, nullptr, nullptr), OCTET_OK);
  ASSERT_EQ(octet_copy(c, &mid, &to, nullptr, nullptr), OCTET_OK);
  for (size_t i = 0; i < all.size(); ++i) {
    const bool nan = (i & 0x7C00) == 0x7C00 && (i & 0x3FF), inf = (i & 0x7FFF) == 0x7C00;
    ASSERT_EQ(back[i], nan ? 0x7E00 : inf ? i - 1 : i);
    ASSERT_EQ(std::isnan(wide[i]), nan);
  }
  std::vector<int64_t> words = {1, 2, 3, 4, 5, 6}, rows(8, -1);
  octet_tensor a = octet_mat(OCTET_S64, words.data(), 2, 3),
               r = octet_mat(OCTET_S64, rows.data(), 2, 3);
  r.strides[0] = 4;
  r.strides[1] = 1;
  ASSERT_EQ(octet_copy(c, &a, &r, nullptr, nullptr), OCTET_OK);
  EXPECT_EQ(rows, (std::vector<int64_t>{1, 2, 3, -1, 4, 5, 6, -1}));
  octet_error err = {};
  expect_refused(octet_copy(c, &a, &in, nullptr, &err), err, OCTET_ERR_ARGUMENT, {"rank"});
  octet_tensor ints = octet_vec(OCTET_S32, wide.data(), n);
  expect_refused(octet_copy(c, &in, &ints, nullptr, &err), err, OCTET_ERR_ARGUMENT,
                 {"F32", "S32", "octet_requantize"});
}

// Each group of each channel has a running range of its own.
TEST_F(Dynamic, StepsWithGroups) {
  constexpr int64_t kN = 20, kK = 32, kGroup = 8;
  constexpr size_t kCount = 80;  // more than are staged at once
  octet_scheme s = make_scheme(OCTET_S4, OCTET_SYMMETRIC);
  s.granularity = OCTET_PER_GROUP;
  s.group = kGroup;
  std::vector<float> run_min(kCount, kInf), run_max(kCount, -kInf), scale(kCount);
  std::vector<int32_t> zero(kCount);
  octet_fake_quantizer f = {};
  f.struct_size = sizeof f;
  f.scheme = &s;
  f.count = kCount;
  f.run_min = run_min.data();
  f.run_max = run_max.data();
  f.scale = scale.data();
  f.zero_point = zero.data();
  std::vector<float> low(kCount), high(kCount), y(kN * kK), want(kN * kK);
  for (int step = 0; step < 3; ++step) {
    const std::vector<float> x = reals(kN * kK);
    for (size_t g = 0; g < kCount; ++g) {
      const auto [min, max] =
          std::minmax_element(x.begin() + static_cast<ptrdiff_t>(g * kGroup),
                              x.begin() + static_cast<ptrdiff_t>((g + 1) * kGroup));
      low[g] = step ? low[g] + 0.01f * (*min - low[g]) : *min;
      high[g] = step ? high[g] + 0.01f * (*max - high[g]) : *max;
    }
    const octet_tensor in = octet_mat(OCTET_F32, x.data(), kN, kK);
    const octet_tensor out = octet_mat(OCTET_F32, y.data(), kN, kK);
    octet_error err = {};
    ASSERT_EQ(octet_fake_quant_step(c, &f, &in, &out, nullptr, nullptr, &err), OCTET_OK)
        << err.text;
    for (size_t g = 0; g < kCount; ++g) {
      ASSERT_EQ(bits(run_min[g]), bits(low[g] + 0.0f));
      ASSERT_EQ(bits(run_max[g]), bits(high[g] + 0.0f));
    }
    octet_qparams q = with_range(make_qparams(scale.data(), zero.data(), kCount), -8, 7);
    q.group = kGroup;
    const octet_tensor expected = octet_mat(OCTET_F32, want.data(), kN, kK);
    ASSERT_EQ(octet_fake_quant(c, &in, &q, &expected, nullptr, nullptr, nullptr), OCTET_OK);
    ASSERT_EQ(memcmp(y.data(), want.data(), y.size() * 4), 0);
  }
}

// Both switches off: an unfed quantizer passes everything, as at the start of a schedule.
TEST_F(Dynamic, StepWithBothSwitchesOffNeedsNoRange) {
  float min = kInf, max = -kInf, scale = -7;
  int32_t zero = -7;
  octet_fake_quantizer f = {};
  f.struct_size = sizeof f;
  f.flags = OCTET_NO_OBSERVE | OCTET_NO_QUANTIZE;
  f.count = 1;
  f.run_min = &min;
  f.run_max = &max;
  f.scale = &scale;
  f.zero_point = &zero;
  const std::vector<float> x = reals(50);
  std::vector<float> y(50);
  std::vector<uint8_t> mask(50);
  const octet_tensor in = vec(x), out = vec(y);
  ASSERT_EQ(octet_fake_quant_step(c, &f, &in, &out, mask.data(), nullptr, nullptr), OCTET_OK);
  EXPECT_EQ(x, y);
  EXPECT_EQ(mask, std::vector<uint8_t>(50, 1));
  EXPECT_EQ(scale, -7);
}

}  // namespace
}  // namespace octet_test

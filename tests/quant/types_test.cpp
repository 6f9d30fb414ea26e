// SPDX-License-Identifier: Apache-2.0
//
// quantize, dequantize and requantize of every type, with scales for tensors, channels and groups,
// integer and float zero points, and both ways to round, against arithmetic in double.
#include <functional>

#include "tests/quant/support.h"

namespace octet_test {
namespace {

struct TypeOf {
  octet_type type;
  const char* name;
  int bits;
  int64_t low, high;
};
constexpr TypeOf kTypes[] = {{OCTET_U8, "U8", 8, 0, 255},
                             {OCTET_S8, "S8", 8, -128, 127},
                             {OCTET_U16, "U16", 16, 0, 65535},
                             {OCTET_S16, "S16", 16, -32768, 32767},
                             {OCTET_U4, "U4", 4, 0, 15},
                             {OCTET_S4, "S4", 4, -8, 7},
                             {OCTET_U2, "U2", 2, 0, 3},
                             {OCTET_S2, "S2", 2, -2, 1},
                             {OCTET_S32, "S32", 32, INT32_MIN, INT32_MAX}};

// The integer of element i, whatever its type.
int64_t element(const TypeOf& t, const std::vector<uint8_t>& memory, size_t i) {
  uint64_t u = 0;
  if (t.bits >= 8)
    memcpy(&u, memory.data() + i * static_cast<size_t>(t.bits / 8),
           static_cast<size_t>(t.bits / 8));
  else
    u = memory[i * static_cast<size_t>(t.bits) / 8] >> i * static_cast<size_t>(t.bits) % 8 &
        ((1u << t.bits) - 1);
  const int64_t v = static_cast<int64_t>(u);
  return v > t.high ? v - (int64_t{1} << t.bits) : v;
}

size_t bytes_of(const TypeOf& t, size_t n) { return (n * static_cast<size_t>(t.bits) + 7) / 8; }

// How the scales of a [3, 5, 24] tensor are laid out, and which one an element has.
struct Layout {
  const char* name;
  int64_t count, group;
  int32_t axis;
  std::function<size_t(size_t)> index;
};
constexpr int64_t kDims[3] = {3, 5, 24};
constexpr size_t kCount = 3 * 5 * 24;

std::vector<Layout> layouts() {
  return {{"tensor", 1, 0, 0, [](size_t) { return size_t{0}; }},
          {"axis 0", 3, 0, 0, [](size_t i) { return i / 120; }},
          {"axis 1", 5, 0, 1, [](size_t i) { return i / 24 % 5; }},
          {"axis 2", 24, 0, -1, [](size_t i) { return i % 24; }},
          {"axis 1, groups of 8", 15, 8, 1, [](size_t i) { return i / 24 % 5 * 3 + i % 24 / 8; }},
          {"axis 0, groups of 24", 3, 24, 0, [](size_t i) { return i / 120; }},
          {"groups of 4 alone", 6, 4, 2, [](size_t i) { return i % 24 / 4; }}};
}

struct Params {
  std::vector<float> scale, zero_f32;
  std::vector<int32_t> zero;
  octet_qparams q = {};
};

class Types : public testing::TestWithParam<TypeOf> {
 protected:
  // Scales of a layout; float zero points on request, none for 32 bits.
  Params draw(const TypeOf& t, const Layout& l) {
    Params p;
    for (int64_t i = 0; i < l.count; ++i) {
      p.scale.push_back(random_scale(rng));
      p.zero.push_back(
          t.bits == 32
              ? 0
              : static_cast<int32_t>(
                    t.low + static_cast<int64_t>(rng() % static_cast<uint64_t>(t.high - t.low))));
      p.zero_f32.push_back(static_cast<float>(rng() % 1000) / 64);
    }
    return p;
  }
  static void point(Params* p, const Layout& l, bool floats, uint32_t flags) {
    p->q = make_qparams(p->scale.data(), floats ? nullptr : p->zero.data(), l.count, l.axis);
    p->q.group = l.group;
    p->q.flags = flags;
    if (floats) p->q.zero_point_f32 = p->zero_f32.data();
  }

  octet_tensor tensor(octet_type type, const void* data, const octet_qparams* q) {
    return with(octet_view(type, data, 3, kDims[0], kDims[1], kDims[2], 0), q);
  }
  std::vector<uint8_t> quantize(const TypeOf& t, const std::vector<float>& x, const Params& p,
                                octet_context* context) {
    std::vector<uint8_t> memory(bytes_of(t, kCount), 0xEE);
    const octet_tensor in = tensor(OCTET_F32, x.data(), nullptr);
    const octet_tensor out = tensor(t.type, memory.data(), &p.q);
    octet_error err = {};
    EXPECT_EQ(octet_quantize(context, &in, &out, nullptr, &err), OCTET_OK) << err.text;
    return memory;
  }
  std::vector<float> dequantize(const TypeOf& t, const std::vector<uint8_t>& memory,
                                const Params& p, octet_context* context) {
    std::vector<float> y(kCount);
    const octet_tensor in = tensor(t.type, memory.data(), &p.q);
    const octet_tensor out = tensor(OCTET_F32, y.data(), nullptr);
    octet_error err = {};
    EXPECT_EQ(octet_dequantize(context, &in, &out, nullptr, &err), OCTET_OK) << err.text;
    return y;
  }

  Context native, scalar{"scalar"};
  std::mt19937 rng{321};
};

// The definition, in double where that is exact.
int64_t model(const TypeOf& t, float x, float scale, int32_t zero, const float* zero_f32,
              uint32_t flags) {
  float v = flags & OCTET_DIVIDE ? x / scale : x * (1.0f / scale);
  if (zero_f32) v += *zero_f32;
  if (std::isnan(v)) return t.low;
  const double d = static_cast<double>(v);
  const double rounded = flags & OCTET_ROUND_AWAY ? std::round(d) : std::nearbyint(d);
  const double q = rounded + (zero_f32 ? 0 : zero);
  return static_cast<int64_t>(
      std::fmin(std::fmax(q, static_cast<double>(t.low)), static_cast<double>(t.high)));
}

TEST_P(Types, QuantizeAndBack) {
  const TypeOf t = GetParam();
  for (const Layout& l : layouts())
    for (uint32_t flags : {0u, uint32_t{OCTET_DIVIDE}, uint32_t{OCTET_ROUND_AWAY}})
      for (bool floats : {false, true}) {
        if (floats && t.bits == 32) continue;
        SCOPED_TRACE(std::string(l.name) + ", flags " + std::to_string(flags));
        Params p = draw(t, l);
        point(&p, l, floats, flags);
        std::vector<float> x(kCount);
        const float reach = t.bits == 16 ? 150 : t.bits == 32 ? 1e7f : 1;
        for (size_t i = 0; i < kCount; ++i) x[i] = hostile_float(rng, p.scale[l.index(i)]) * reach;
        const auto memory = quantize(t, x, p, native);
        ASSERT_EQ(memory, quantize(t, x, p, scalar));
        for (size_t i = 0; i < kCount; ++i) {
          const size_t k = l.index(i);
          ASSERT_EQ(element(t, memory, i),
                    model(t, x[i], p.scale[k], p.zero[k], floats ? &p.zero_f32[k] : nullptr, flags))
              << x[i] << " / " << p.scale[k];
        }
        const auto y = dequantize(t, memory, p, native);
        const auto same = dequantize(t, memory, p, scalar);
        for (size_t i = 0; i < kCount; ++i) {
          const size_t k = l.index(i);
          const int64_t q = element(t, memory, i) - (floats ? 0 : p.zero[k]);
          float f = static_cast<float>(q);
          if (floats) f -= p.zero_f32[k];
          ASSERT_EQ(bits(y[i]), bits(p.scale[k] * f));
          ASSERT_EQ(bits(y[i]), bits(same[i]));
        }
      }
}

TEST_P(Types, RequantizeIsQuantizeOfDequantize) {
  const TypeOf t = GetParam();
  for (const TypeOf& to : kTypes)
    for (const Layout& l : layouts()) {
      SCOPED_TRACE(std::string(to.name) + ", " + l.name);
      Params p = draw(t, l), r = draw(to, layouts()[0]);
      point(&p, l, false, 0);
      point(&r, layouts()[0], false, 0);
      std::vector<uint8_t> q(bytes_of(t, kCount)), got(bytes_of(to, kCount));
      for (auto& b : q) b = static_cast<uint8_t>(rng());
      const octet_tensor in = tensor(t.type, q.data(), &p.q);
      const octet_tensor out = tensor(to.type, got.data(), &r.q);
      octet_error err = {};
      ASSERT_EQ(octet_requantize(native, &in, &out, nullptr, &err), OCTET_OK) << err.text;
      std::vector<float> real = dequantize(t, q, p, native);
      if (t.bits == 32)  // both scales are one multiplier
        for (size_t i = 0; i < kCount; ++i)
          real[i] = static_cast<float>(element(t, q, i)) * (p.scale[l.index(i)] / r.scale[0]);
      for (size_t i = 0; i < kCount; ++i)
        ASSERT_EQ(element(to, got, i),
                  model(to, real[i], t.bits == 32 ? 1 : r.scale[0], r.zero[0], nullptr, 0));
    }
}

INSTANTIATE_TEST_SUITE_P(All, Types, testing::ValuesIn(kTypes),
                         [](const auto& p) { return std::string(p.param.name); });

class Packed : public testing::Test {
 protected:
  Context c;
  std::mt19937 rng{17};
};

// A row of 5 in memory for 8: what is beyond is not touched, what is left of a byte becomes 0.
TEST_F(Packed, TheFirstElementIsLowestAndRowsEndWithZeros) {
  const float s = 1;
  const int32_t z = 0;
  const octet_qparams q = make_qparams(&s, &z);
  const std::vector<float> x = {1, 2, 3, -4, 5, -1, -2, -3, 4, -5};
  std::vector<uint8_t> y(8, 0xEE);
  const octet_tensor in = octet_mat(OCTET_F32, x.data(), 2, 5);
  octet_tensor out = with(octet_mat(OCTET_S4, y.data(), 2, 5), &q);
  out.strides[0] = 8;
  out.strides[1] = 1;
  ASSERT_EQ(octet_quantize(c, &in, &out, nullptr, nullptr), OCTET_OK);
  EXPECT_EQ(y, (std::vector<uint8_t>{0x21, 0xC3, 0x05, 0xEE, 0xEF, 0x4D, 0x0B, 0xEE}))
      << "rows of 3 bytes, one of padding";
  std::vector<float> back(10);
  const octet_tensor real = octet_mat(OCTET_F32, back.data(), 2, 5);
  ASSERT_EQ(octet_dequantize(c, &out, &real, nullptr, nullptr), OCTET_OK);
  EXPECT_EQ(back, x);
  const std::vector<float> two = {0, 1, 2, 3, 3, 9};
  std::vector<uint8_t> b(2);
  const octet_tensor in2 = vec(two);
  octet_tensor out2 = with(octet_vec(OCTET_U2, b.data(), 6), &q);
  ASSERT_EQ(octet_quantize(c, &in2, &out2, nullptr, nullptr), OCTET_OK);
  EXPECT_EQ(b, (std::vector<uint8_t>{0xE4, 0x0F}));
}

TEST_F(Packed, RowsThatBeginInsideAByteAreRefused) {
  const float s = 1;
  const int32_t z = 0;
  octet_qparams q = make_qparams(&s, &z);
  std::vector<float> x(10);
  std::vector<uint8_t> y(8);
  const octet_tensor in = octet_mat(OCTET_F32, x.data(), 2, 5);
  octet_tensor out = with(octet_mat(OCTET_S4, y.data(), 2, 5), &q);
  octet_error err = {};
  expect_refused(octet_quantize(c, &in, &out, nullptr, &err), err, OCTET_ERR_ARGUMENT,
                 {"q.strides[0]", "5", "even"});
  out.type = OCTET_U2;
  out.strides[0] = 6;
  out.strides[1] = 1;
  expect_refused(octet_quantize(c, &in, &out, nullptr, &err), err, OCTET_ERR_ARGUMENT,
                 {"q.strides[0]", "6", "multiple of 4"});
  // Groups hold whole bytes.
  const std::vector<float> scales(6, 1.0f);
  octet_tensor row = octet_vec(OCTET_F32, x.data(), 6), packed = octet_vec(OCTET_U4, y.data(), 6);
  q = make_qparams(scales.data(), nullptr, 2);
  q.group = 3;
  packed.q = &q;
  expect_refused(octet_quantize(c, &row, &packed, nullptr, &err), err, OCTET_ERR_ARGUMENT,
                 {"group is 3", "whole bytes"});
}

// As torchao packs a group of four with symmetric int4 scales.
TEST_F(Packed, AGroupOfFour) {
  const float s = 0.1f;
  const int32_t z = 0;
  const octet_qparams q = make_qparams(&s, &z);
  const std::vector<float> x = {0.7f, -0.75f, 0.1f, 0.05f};
  std::vector<uint8_t> y(2);
  const octet_tensor in = vec(x), out = with(octet_vec(OCTET_S4, y.data(), 4), &q);
  ASSERT_EQ(octet_quantize(c, &in, &out, nullptr, nullptr), OCTET_OK);
  EXPECT_EQ(y, (std::vector<uint8_t>{0x87, 0x01}));  // 7 -8 1 0
}

TEST_F(Packed, ThirtyTwoBitsSaturate) {
  const float s = 1;
  const octet_qparams q = make_qparams(&s, nullptr);
  const std::vector<float> x = {1e20f, -1e20f, kNan, kInf, -kInf, 2147483520.0f, 0.5f, 1.5f, -2.5f};
  std::vector<int32_t> y(x.size());
  const octet_tensor in = vec(x);
  const octet_tensor out = with(octet_vec(OCTET_S32, y.data(), static_cast<int64_t>(y.size())), &q);
  ASSERT_EQ(octet_quantize(c, &in, &out, nullptr, nullptr), OCTET_OK);
  EXPECT_EQ(y, (std::vector<int32_t>{INT32_MAX, INT32_MIN, INT32_MIN, INT32_MAX, INT32_MIN,
                                     2147483520, 0, 2, -2}));
}

// What a half of these bits is worth; all 65,536 go through quantize, which converts them first.
double half_value(uint16_t h) {
  const int exponent = h >> 10 & 31, mantissa = h & 0x3FF;
  const double sign = h >> 15 ? -1 : 1;
  if (exponent == 31) return mantissa ? std::nan("") : sign * HUGE_VAL;
  return sign * (exponent ? std::ldexp(1024 + mantissa, exponent - 25) : std::ldexp(mantissa, -24));
}
double bfloat_value(uint16_t h) {
  return static_cast<double>(from_bits(static_cast<uint32_t>(h) << 16));
}

TEST_F(Packed, RealsOf16BitsAreQuantizedAsTheirValues) {
  std::vector<uint16_t> x(65536);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<uint16_t>(i);
  const float s = 0x1p-10f;
  const octet_qparams q = make_qparams(&s, nullptr);
  for (const bool half : {true, false}) {
    std::vector<int16_t> y(x.size());
    const octet_tensor in = octet_vec(half ? OCTET_F16 : OCTET_BF16, x.data(), 65536);
    const octet_tensor out = with(octet_vec(OCTET_S16, y.data(), 65536), &q);
    ASSERT_EQ(octet_quantize(c, &in, &out, nullptr, nullptr), OCTET_OK);
    for (size_t i = 0; i < x.size(); ++i) {
      const double v = half ? half_value(x[i]) : bfloat_value(x[i]);
      const double want = std::isnan(v) ? -32768 : std::fmin(std::fmax(v * 1024, -32768), 32767);
      ASSERT_EQ(y[i], static_cast<int>(std::nearbyint(want))) << i;
    }
  }
}

// To the nearest half, ties to the even one, never beyond the largest; bfloat16 likewise.
TEST_F(Packed, DequantizeToRealsOf16BitsRoundsOnce) {
  std::vector<int32_t> q;
  for (int i = 0; i < 100000; ++i) q.push_back(static_cast<int32_t>(rng() >> rng() % 32));
  for (int32_t special : {0, -1, 1, INT32_MAX, INT32_MIN, 65504, 65519, 65520, 2049, 2051})
    q.push_back(special);
  const auto n = static_cast<int64_t>(q.size());
  std::vector<uint16_t> halves(q.size()), bfloats(q.size());
  for (const float s : {1.0f, 0x1p-24f, 0x1p-30f, 0.1f}) {
    const octet_qparams p = make_qparams(&s, nullptr);
    const octet_tensor in = with(octet_vec(OCTET_S32, q.data(), n), &p);
    const octet_tensor half = octet_vec(OCTET_F16, halves.data(), n);
    const octet_tensor bfloat = octet_vec(OCTET_BF16, bfloats.data(), n);
    ASSERT_EQ(octet_dequantize(c, &in, &half, nullptr, nullptr), OCTET_OK);
    ASSERT_EQ(octet_dequantize(c, &in, &bfloat, nullptr, nullptr), OCTET_OK);
    for (size_t i = 0; i < q.size(); ++i) {
      const double v = static_cast<double>(s * static_cast<float>(q[i]));
      const auto nearest = [&](uint16_t h, double (*value)(uint16_t), double most) {
        const double at = std::fmin(std::fmax(v, -most), most);
        const auto off = [&](int step) {
          return std::fabs(value(static_cast<uint16_t>(h + step)) - at);
        };
        const double d = off(0);
        const auto better = [&](int step) {  // a NaN, behind infinity, is not
          return off(step) < d || (off(step) == d && h % 2 && (h & 0x7FFF) != 0);
        };
        return (h & 0x7FFF) == 0 ? d <= off(1) : !better(1) && !better(-1);
      };
      ASSERT_TRUE(nearest(halves[i], half_value, 65504)) << v << " " << halves[i];
      ASSERT_TRUE(nearest(bfloats[i], bfloat_value, 1e300)) << v << " " << bfloats[i];
    }
  }
}

}  // namespace
}  // namespace octet_test

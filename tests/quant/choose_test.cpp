// SPDX-License-Identifier: Apache-2.0
//
// Choosers: golden vectors of each formula (docs/numerics.md), the domain of scales, and every
// scheme that is refused.
#include <cfloat>

#include "tests/quant/support.h"

namespace octet_test {
namespace {

struct Chosen {
  float scale;
  int32_t zero;
};

Chosen choose(const octet_scheme& s, float min, float max) {
  Chosen c = {-1, -1};
  octet_error err = {};
  EXPECT_EQ(octet_choose_qparams(&s, &min, &max, 1, &c.scale, &c.zero, &err), OCTET_OK) << err.text;
  return c;
}

void expect_chosen(const octet_scheme& s, float min, float max, float scale, int32_t zero) {
  const Chosen c = choose(s, min, max);
  EXPECT_EQ(bits(c.scale), bits(scale)) << "[" << min << ", " << max << "] " << c.scale;
  EXPECT_EQ(c.zero, zero) << "[" << min << ", " << max << "]";
}

octet_scheme with_range(octet_scheme s, int32_t qmin, int32_t qmax) {
  s.qmin = qmin;
  s.qmax = qmax;
  return s;
}

TEST(ChooseOctet, SymmetricMeetsTheShorterSide) {
  const octet_scheme s8 = make_scheme(OCTET_S8, OCTET_SYMMETRIC);
  const octet_scheme narrow = make_scheme(OCTET_S8, OCTET_SYMMETRIC | OCTET_NARROW);
  const octet_scheme u8 = make_scheme(OCTET_U8, OCTET_SYMMETRIC);
  for (const octet_scheme& s : {s8, narrow}) {
    expect_chosen(s, -1, 2, 2.0f / 127.0f, 0);
    expect_chosen(s, -3, 2, 3.0f / 127.0f, 0);
    expect_chosen(s, 0.5f, 2, 2.0f / 127.0f, 0);
    expect_chosen(s, 0, 0, 1, 0);
  }
  expect_chosen(u8, -1, 2, 2.0f / 127.0f, 128);
  expect_chosen(u8, -0.0f, 0.0f, 1, 128);
  expect_chosen(make_scheme(OCTET_S8, OCTET_SYMMETRIC | OCTET_REDUCE_RANGE), -1, 2, 2.0f / 63.0f,
                0);
  expect_chosen(make_scheme(OCTET_U8, OCTET_SYMMETRIC | OCTET_REDUCE_RANGE), -1, 2, 2.0f / 63.0f,
                64);
  expect_chosen(with_range(s8, -8, 7), -1, 2, 2.0f / 7.0f, 0);
}

TEST(ChooseOctet, AffineSpreadsTheRangeAndHoldsZero) {
  const octet_scheme u8 = make_scheme(OCTET_U8), s8 = make_scheme(OCTET_S8);
  expect_chosen(u8, -1, 2, 0.0117647061f, 85);
  expect_chosen(s8, -1, 2, 0.0117647061f, -43);
  expect_chosen(u8, 0.5f, 3, 0.0117647061f, 0);
  expect_chosen(u8, -3, -0.5f, 0.0117647061f, 255);
  expect_chosen(u8, 0, 0, 1, 0);
  expect_chosen(s8, 0, 0, 1, 0);
  expect_chosen(make_scheme(OCTET_U8, OCTET_REDUCE_RANGE), -1, 2, 0.0236220472f, 42);
  expect_chosen(with_range(u8, 0, 15), 0, 3, 0.2f, 0);
  // The largest scales that are still in the domain.
  expect_chosen(u8, -0x1p66f, 0x1p66f, static_cast<float>(0x1p67 / 255), 127);
}

TEST(ChooseOctet, TinyRangesKeepTheFloor) {
  expect_chosen(make_scheme(OCTET_U8), 0, 1e-40f, 0x1p-60f, 0);
  expect_chosen(make_scheme(OCTET_S8, OCTET_SYMMETRIC), -1e-40f, 0, 0x1p-60f, 0);
  octet_scheme s = make_scheme(OCTET_U8);
  s.eps = 0.25f;
  expect_chosen(s, -1, 2, 0.25f, 4);
}

TEST(ChooseOctet, Pow2RoundsUpBeforeTheZeroPoint) {
  const octet_scheme s = make_scheme(OCTET_U8, OCTET_POW2);
  expect_chosen(s, -1, 2, 0x1p-6f, 64);
  expect_chosen(s, 0, 255 * 0x1p-6f, 0x1p-6f, 0);  // already a power of two
  expect_chosen(s, 0, 256 * 0x1p-6f, 0x1p-5f, 0);
  expect_chosen(s, 0, 1e-40f, 0x1p-60f, 0);
  expect_chosen(make_scheme(OCTET_S8, OCTET_POW2 | OCTET_SYMMETRIC), -1, 2, 0x1p-5f, 0);
}

TEST(ChooseTorchNative, GoldenVectors) {
  const octet_scheme u8 = make_scheme(OCTET_U8, 0, OCTET_CHOOSE_TORCH_NATIVE);
  const octet_scheme reduced = make_scheme(OCTET_U8, OCTET_REDUCE_RANGE, OCTET_CHOOSE_TORCH_NATIVE);
  const float third = static_cast<float>(0.011764705882352941);
  const float small = static_cast<float>(6.0999998822808266e-05);
  expect_chosen(u8, -1, 2, third, 85);
  expect_chosen(reduced, -1, 2, static_cast<float>(0.023622047244094488), 42);
  expect_chosen(u8, 0.5f, 3, third, 0);
  expect_chosen(u8, -3, -0.5f, third, 255);
  expect_chosen(reduced, -3, -0.5f, static_cast<float>(0.023622047244094488), 127);
  expect_chosen(u8, 0, 0, 0.1f, 0);
  expect_chosen(u8, 0, 1e-6f, small, 0);
  expect_chosen(u8, -1e-6f, 0, small, 255);
  expect_chosen(reduced, -1e-6f, 0, small, 127);
  expect_chosen(u8, -1e-6f, 2e-6f, small, 85);
  expect_chosen(reduced, -1e-6f, 2e-6f, small, 42);
  expect_chosen(u8, 0, 1e-37f, 0.1f, 0);
  expect_chosen(u8, -1, 1, static_cast<float>(0.00784313725490196), 128);
  expect_chosen(reduced, -1, 1, static_cast<float>(2.0 / 127), 64);
  expect_chosen(u8, from_bits(0xBEB3B646), from_bits(0x3EE3A29D),
                static_cast<float>(0.0031200001052781646), 112);
}

TEST(ChooseTorchNative, FbgemmRoundsTheScaleFirst) {
  const octet_scheme u8 = make_scheme(OCTET_U8, 0, OCTET_CHOOSE_TORCH_FBGEMM);
  expect_chosen(u8, -1, 1, static_cast<float>(0.00784313725490196), 127);
  expect_chosen(u8, from_bits(0xBEB3B646), from_bits(0x3EE3A29D),
                static_cast<float>(0.0031200001052781646), 113);
}

TEST(ChooseTorchNative, SymmetricOnlyForTwoSidedData) {
  for (int32_t chooser : {OCTET_CHOOSE_TORCH_NATIVE, OCTET_CHOOSE_TORCH_FBGEMM}) {
    const octet_scheme s8 = make_scheme(OCTET_S8, OCTET_SYMMETRIC, chooser);
    const octet_scheme u8 = make_scheme(OCTET_U8, OCTET_SYMMETRIC, chooser);
    expect_chosen(s8, -1, 2, from_bits(0x3C810204), 0);
    expect_chosen(s8, -2, 1, 0.015625f, 0);
    expect_chosen(u8, -1, 2, 0.0157480314f, 128);
    expect_chosen(s8, 0.5f, 2, 0.00784313772f, -128);
    const octet_scheme both = make_scheme(OCTET_S8, OCTET_SYMMETRIC | OCTET_REDUCE_RANGE, chooser);
    EXPECT_EQ(bits(choose(both, -6, 6).scale), bits(0.095238097f));
  }
}

TEST(ChooseTorchNative, Pow2) {
  const octet_scheme s = make_scheme(OCTET_U8, OCTET_POW2, OCTET_CHOOSE_TORCH_NATIVE);
  EXPECT_EQ(choose(s, -1, 2).scale, 0x1p-6f);
  EXPECT_EQ(choose(s, 0, 255).scale, 1.0f);
  EXPECT_EQ(choose(s, 0, 300).scale, 2.0f);
  EXPECT_EQ(choose(s, 0, 255 * 0x1p-3f).scale, 0x1p-3f);
}

TEST(ChooseTorchObserver, GoldenVectors) {
  const int32_t c = OCTET_CHOOSE_TORCH_OBSERVER;
  const octet_scheme u8 = make_scheme(OCTET_U8, 0, c), s8 = make_scheme(OCTET_S8, 0, c);
  const octet_scheme s8s = make_scheme(OCTET_S8, OCTET_SYMMETRIC, c);
  const octet_scheme u8s = make_scheme(OCTET_U8, OCTET_SYMMETRIC, c);
  octet_scheme narrow = make_scheme(OCTET_S8, OCTET_SYMMETRIC | OCTET_NARROW, c);
  narrow.eps = 0x1p-12f;
  expect_chosen(u8, -1, 2, 0.0117647061f, 85);
  expect_chosen(make_scheme(OCTET_U8, OCTET_REDUCE_RANGE, c), -1, 2, 0.0236220472f, 42);
  expect_chosen(s8s, -1, 2, 0.0156862754f, 0);
  expect_chosen(narrow, -1, 2, 0.0157480314f, 0);
  expect_chosen(u8s, -1, 2, 0.0156862754f, 128);
  expect_chosen(s8, -1, 2, 0.0117647061f, -43);
  expect_chosen(with_range(u8, 0, 15), -1, 2, 0.2f, 5);
  expect_chosen(u8, 0, 0, 1.1920929e-07f, 0);
  expect_chosen(s8, 0, 0, 1.1920929e-07f, -128);
  expect_chosen(s8s, 0, 0, 1.1920929e-07f, 0);
  expect_chosen(narrow, 0, 0, 0.000244140625f, 0);
  expect_chosen(s8s, 0.5f, 3, 0.0235294122f, 0);
  expect_chosen(s8, 0.5f, 3, 0.0117647061f, -128);
  expect_chosen(s8, -3, -0.5f, 0.0117647061f, 127);
  expect_chosen(u8, -1, 1, 0.00784313772f, 127);
  expect_chosen(u8s, -1, 1, 0.00784313772f, 128);
  // Per channel rows {1, -2, .5}, {0, 0, 0}, {.1, .2, .3}.
  expect_chosen(s8s, -2, 1, 0.0156862754f, 0);
  expect_chosen(s8s, 0.1f, 0.3f, 0.00235294132f, 0);
  // A custom unsigned range takes its own middle.
  expect_chosen(with_range(u8s, 0, 100), -1, 1, 1.0f / 50, 50);
}

TEST(ChooseOnnx, GoldenVectors) {
  const octet_scheme s = make_scheme(OCTET_U8, 0, OCTET_CHOOSE_ONNX);
  expect_chosen(s, -3, 2, from_bits(0x3CA0A0A1), 153);
  expect_chosen(s, -4, -1, 0.0156862754f, 255);
  expect_chosen(s, 1, 4, 0.0156862754f, 0);
  expect_chosen(s, 0, 0, 1, 0);
  expect_chosen(s, 0, from_bits(1), 1, 0);  // the scale would be 0
  // No floor: the value itself, for the consumer to refuse.
  EXPECT_LT(choose(s, 0, 1e-30f).scale, 0x1p-60f);
}

TEST(ChooseTflite, RoundsZeroPointsAwayFromZero) {
  const octet_scheme u8 = make_scheme(OCTET_U8, 0, OCTET_CHOOSE_TFLITE);
  const octet_scheme s8 = make_scheme(OCTET_S8, 0, OCTET_CHOOSE_TFLITE);
  expect_chosen(s8, -1, 1, static_cast<float>(2.0 / 255), -1);  // from -0.5
  expect_chosen(u8, -1, 1, static_cast<float>(2.0 / 255), 128);
  expect_chosen(u8, -1, 2, static_cast<float>(3.0 / 255), 85);
  expect_chosen(u8, 0, 0, 1, 0);
  expect_chosen(s8, 0.5f, 3, static_cast<float>(3.0 / 255), -128);
  // Weights: symmetric over -127..127.
  expect_chosen(make_scheme(OCTET_S8, OCTET_SYMMETRIC | OCTET_NARROW, OCTET_CHOOSE_TFLITE), -2, 1,
                2.0f / 127, 0);
}

TEST(ChooseNvidia, AmaxOverTheLargestInteger) {
  const octet_scheme s8 = make_scheme(OCTET_S8, 0, OCTET_CHOOSE_NVIDIA);
  const octet_scheme u8 = make_scheme(OCTET_U8, 0, OCTET_CHOOSE_NVIDIA);
  expect_chosen(s8, -0.25f, 0.992143452f, 0.992143452f / 127, 0);
  expect_chosen(s8, -3, 1, 3.0f / 127, 0);
  expect_chosen(u8, 0, 1, 1.0f / 255, 0);
  expect_chosen(s8, 0, 0, 1, 0);
  expect_chosen(s8, 0, 0x1p-24f, 1, 0);
  EXPECT_EQ(choose(s8, 0, 0x1p-23f).scale, 0x1p-23f / 127);
}

TEST(ChooseXnnpack, ScaleIsTheInverseOfAnInverse) {
  const octet_scheme s8 = make_scheme(OCTET_S8, 0, OCTET_CHOOSE_XNNPACK);
  expect_chosen(s8, -1, 2, 1.0f / 85, -43);
  expect_chosen(s8, 0.5f, 3, 1.0f / 85, -128);
  expect_chosen(s8, -3, -0.5f, 1.0f / 85, 127);
  expect_chosen(s8, 0, 0, 1, 127);
  expect_chosen(s8, 0, from_bits(1), 1, 127);
}

TEST(ChooseTorchao, GoldenVectors) {
  octet_scheme affine = make_scheme(OCTET_S8, 0, OCTET_CHOOSE_TORCHAO);
  affine.eps = 0x1p-23f;
  expect_chosen(affine, -1, 2, 0.0117647061f, -43);
  expect_chosen(affine, -0.4f, 0.3f, 0.0027450982f, 18);
  expect_chosen(affine, 0, 0, 1.1920929e-07f, -128);
  const octet_scheme symmetric = make_scheme(OCTET_S8, OCTET_SYMMETRIC, OCTET_CHOOSE_TORCHAO);
  expect_chosen(symmetric, -1, 2, 0.0156862754f, 0);
  expect_chosen(symmetric, -0.4f, 0.3f, 0.00313725485f, 0);
  expect_chosen(symmetric, 0, 0, 0x1p-126f, 0);
  const octet_scheme narrow =
      make_scheme(OCTET_S8, OCTET_SYMMETRIC | OCTET_NARROW, OCTET_CHOOSE_TORCHAO);
  expect_chosen(narrow, -1, 2, 0.0157480314f, 0);
  expect_chosen(narrow, -0.4f, 0.3f, 0.00314960629f, 0);
  expect_chosen(with_range(symmetric, -8, 7), -0.75f, 0.7f, 0.1f, 0);
}

TEST(ChooseTorchFloat, ZeroPointsAreFloats) {
  const octet_scheme s = make_scheme(OCTET_U8, 0, OCTET_CHOOSE_TORCH_FLOAT);
  const float min[] = {-2, 0, 0.1f}, max[] = {1, 0, 0.3f};
  float scale[3], zero[3];
  octet_error err = {};
  ASSERT_EQ(octet_choose_qparams_f32(&s, min, max, 3, scale, zero, &err), OCTET_OK) << err.text;
  EXPECT_EQ(bits(scale[0]), bits(0.0117647061f));
  EXPECT_EQ(zero[0], 170);
  EXPECT_EQ(scale[1], 1);
  EXPECT_EQ(bits(zero[1]), bits(-0.0f));
  EXPECT_EQ(bits(scale[2]), bits(7.84313772e-4f));
  EXPECT_EQ(bits(zero[2]), bits(-127.499992f));
  // Every other formula gives its integers.
  ASSERT_EQ(octet_choose_qparams_f32(nullptr, min, max, 3, scale, zero, &err), OCTET_OK);
  EXPECT_EQ(zero[0], 170);
  EXPECT_EQ(zero[2], 0);
  scale[0] = -7;
  expect_refused(octet_choose_qparams_f32(&s, min, max, 3, scale, nullptr, &err), err,
                 OCTET_ERR_ARGUMENT, {"zero_point is NULL"});
  const octet_scheme symmetric = make_scheme(OCTET_U8, OCTET_SYMMETRIC, OCTET_CHOOSE_TORCH_FLOAT);
  expect_refused(octet_choose_qparams_f32(&symmetric, min, max, 3, scale, zero, &err), err,
                 OCTET_ERR_ARGUMENT, {"OCTET_SYMMETRIC"});
  const float bad[] = {2, 0, kNan};
  expect_refused(octet_choose_qparams_f32(&s, bad, max, 3, scale, zero, &err), err,
                 OCTET_ERR_ARGUMENT, {"more than max[0]"});
  EXPECT_EQ(scale[0], -7);
}

TEST(Choose, EveryFormulaStaysWithinItsIntegers) {
  std::mt19937 rng(3);
  for (int i = 0; i < 200000; ++i) {
    octet_scheme s = make_scheme(rng() % 2 ? OCTET_U8 : OCTET_S8, 0, static_cast<int>(rng() % 9));
    const bool fixed = s.chooser == OCTET_CHOOSE_ONNX || s.chooser == OCTET_CHOOSE_XNNPACK;
    if (fixed) s.type = s.chooser == OCTET_CHOOSE_ONNX ? OCTET_U8 : OCTET_S8;
    if (!fixed && rng() % 2) s.flags |= OCTET_SYMMETRIC;
    if (!fixed && rng() % 2) s.flags |= OCTET_REDUCE_RANGE;
    if ((s.chooser == OCTET_CHOOSE_TORCH_NATIVE || s.chooser == OCTET_CHOOSE_TORCH_FBGEMM) &&
        rng() % 2)
      s.flags |= OCTET_POW2;
    float a = from_bits(static_cast<uint32_t>(rng())), b = from_bits(static_cast<uint32_t>(rng()));
    if (!std::isfinite(a) || !std::isfinite(b)) continue;
    if (a > b) std::swap(a, b);
    float scale = -1;
    int32_t zero = 1 << 20;
    octet_error err = {};
    const octet_status status = octet_choose_qparams(&s, &a, &b, 1, &scale, &zero, &err);
    if (status) {
      EXPECT_EQ(status, OCTET_ERR_ARGUMENT) << err.text;
      EXPECT_GT(std::fmax(std::fabs(a), std::fabs(b)), 0x1p60f);
      continue;
    }
    const int shift = s.flags & OCTET_REDUCE_RANGE ? 1 : 0, low = s.type == OCTET_S8 ? -128 : 0;
    EXPECT_GE(zero, low >> shift);
    EXPECT_LE(zero, (low + 255) >> shift);
    EXPECT_GT(scale, 0);
    EXPECT_LE(scale, 0x1p60f);
  }
}

TEST(Choose, NullSchemeIsAffineU8) {
  const float min[2] = {-1, -3}, max[2] = {2, -0.5f};
  float scale[2];
  int32_t zero[2];
  ASSERT_EQ(octet_choose_qparams(nullptr, min, max, 2, scale, zero, nullptr), OCTET_OK);
  EXPECT_EQ(zero[0], 85);
  EXPECT_EQ(zero[1], 255);
}

TEST(Choose, RefusesRangesByIndexBeforeTheFirstWrite) {
  const octet_scheme s = make_scheme(OCTET_U8);
  struct {
    float min, max;
    octet_status status;
    const char* word;
  } const cases[] = {{kNan, 1, OCTET_ERR_NOT_FINITE, "min[1] and max[1] are nan"},
                     {0, kInf, OCTET_ERR_NOT_FINITE, "inf"},
                     {2, 1, OCTET_ERR_ARGUMENT, "more than max[1]"},
                     {-FLT_MAX, FLT_MAX, OCTET_ERR_ARGUMENT, "index 1"}};
  for (const auto& c : cases) {
    const float min[2] = {-1, c.min}, max[2] = {1, c.max};
    float scale[2] = {-7, -7};
    int32_t zero[2] = {-7, -7};
    octet_error err = {};
    expect_refused(octet_choose_qparams(&s, min, max, 2, scale, zero, &err), err, c.status,
                   {c.word});
    EXPECT_EQ(scale[0], -7);
    EXPECT_EQ(zero[0], -7);
  }
}

TEST(Choose, ZeroPointMayBeLeftOutWhereAllAreZero) {
  const float min = -1, max = 1;
  float scale = -7;
  octet_error err = {};
  const octet_scheme symmetric = make_scheme(OCTET_S8, OCTET_SYMMETRIC), u8 = make_scheme(OCTET_U8);
  EXPECT_EQ(octet_choose_qparams(&symmetric, &min, &max, 1, &scale, nullptr, &err), OCTET_OK);
  scale = -7;
  expect_refused(octet_choose_qparams(&u8, &min, &max, 1, &scale, nullptr, &err), err,
                 OCTET_ERR_ARGUMENT, {"zero_point is NULL", "127"});
  EXPECT_EQ(scale, -7);
  expect_refused(octet_choose_qparams(&symmetric, nullptr, &max, 1, &scale, nullptr, &err), err,
                 OCTET_ERR_ARGUMENT, {"min is NULL"});
  EXPECT_EQ(octet_choose_qparams(&symmetric, nullptr, nullptr, 0, nullptr, nullptr, &err),
            OCTET_OK);
}

struct Refusal {
  const char* name;
  void (*spoil)(octet_scheme*);
  octet_status status;
  const char* word;
};

const Refusal kRefusals[] = {
    {"Size", [](octet_scheme* s) { s->struct_size = 8; }, OCTET_ERR_ARGUMENT, "struct_size"},
    {"Flag", [](octet_scheme* s) { s->flags = 64; }, OCTET_ERR_ARGUMENT, "octet_scheme.flags"},
    {"Group", [](octet_scheme* s) { s->group = 32; }, OCTET_ERR_UNSUPPORTED, "group is 32"},
    {"Type0", [](octet_scheme* s) { s->type = 0; }, OCTET_ERR_ARGUMENT, "type is 0"},
    {"Type99", [](octet_scheme* s) { s->type = 99; }, OCTET_ERR_ARGUMENT, "type is 99"},
    {"TypeS32", [](octet_scheme* s) { s->type = OCTET_S32; }, OCTET_ERR_UNSUPPORTED,
     "OCTET_U8 (1)"},
    {"TypeF32", [](octet_scheme* s) { s->type = OCTET_F32; }, OCTET_ERR_UNSUPPORTED, "type is 4"},
    {"Granularity", [](octet_scheme* s) { s->granularity = 9; }, OCTET_ERR_ARGUMENT, "granularity"},
    {"PerGroup", [](octet_scheme* s) { s->granularity = OCTET_PER_GROUP; }, OCTET_ERR_UNSUPPORTED,
     "granularity is 4"},
    {"PerSample", [](octet_scheme* s) { s->granularity = OCTET_PER_SAMPLE; }, OCTET_ERR_UNSUPPORTED,
     "granularity is 5"},
    {"Chooser", [](octet_scheme* s) { s->chooser = -1; }, OCTET_ERR_ARGUMENT, "chooser is -1"},
    {"ChooserAbove", [](octet_scheme* s) { s->chooser = 10; }, OCTET_ERR_ARGUMENT, "_TORCH_FLOAT"},
    {"TorchFloat", [](octet_scheme* s) { s->chooser = OCTET_CHOOSE_TORCH_FLOAT; },
     OCTET_ERR_ARGUMENT, "octet_choose_qparams_f32"},
    {"XnnpackUnsigned", [](octet_scheme* s) { s->chooser = OCTET_CHOOSE_XNNPACK; },
     OCTET_ERR_ARGUMENT, "OCTET_CHOOSE_XNNPACK"},
    {"NvidiaNoRoom",
     [](octet_scheme* s) {
       s->type = OCTET_S8;
       s->chooser = OCTET_CHOOSE_NVIDIA;
       s->qmin = -8;
     },
     OCTET_ERR_ARGUMENT, "divides amax"},
    {"Pow2Tflite",
     [](octet_scheme* s) {
       s->flags = OCTET_POW2;
       s->chooser = OCTET_CHOOSE_TFLITE;
     },
     OCTET_ERR_ARGUMENT, "OCTET_POW2"},
    {"Range", [](octet_scheme* s) { s->range = 17; }, OCTET_ERR_ARGUMENT, "range is 17"},
    {"Percentile", [](octet_scheme* s) { s->range = OCTET_RANGE_PERCENTILE; },
     OCTET_ERR_UNSUPPORTED, "range is 1"},
    {"L2", [](octet_scheme* s) { s->range = OCTET_RANGE_L2; }, OCTET_ERR_UNSUPPORTED, "range is 4"},
    {"PercentileValue", [](octet_scheme* s) { s->percentile = 99.9f; }, OCTET_ERR_ARGUMENT, "99.9"},
    {"StartBin", [](octet_scheme* s) { s->start_bin = 128; }, OCTET_ERR_ARGUMENT, "128"},
    {"Stride", [](octet_scheme* s) { s->stride = 2; }, OCTET_ERR_ARGUMENT, "stride"},
    {"Reserved", [](octet_scheme* s) { s->reserved = 1; }, OCTET_ERR_ARGUMENT, "reserved is 1"},
    {"EpsNan", [](octet_scheme* s) { s->eps = kNan; }, OCTET_ERR_NOT_FINITE, "eps is nan"},
    {"EpsSmall", [](octet_scheme* s) { s->eps = 0x1p-61f; }, OCTET_ERR_ARGUMENT, "eps is"},
    {"EpsNegative", [](octet_scheme* s) { s->eps = -1; }, OCTET_ERR_ARGUMENT, "eps is -1"},
    {"EpsNative",
     [](octet_scheme* s) {
       s->eps = 1;
       s->chooser = OCTET_CHOOSE_TORCH_NATIVE;
     },
     OCTET_ERR_ARGUMENT, "of its own"},
    {"Pow2Observer",
     [](octet_scheme* s) {
       s->flags = OCTET_POW2;
       s->chooser = OCTET_CHOOSE_TORCH_OBSERVER;
     },
     OCTET_ERR_ARGUMENT, "OCTET_POW2"},
    {"QminPositive", [](octet_scheme* s) { s->qmin = 1, s->qmax = 9; }, OCTET_ERR_ARGUMENT,
     "1 and 9"},
    {"QmaxLarge", [](octet_scheme* s) { s->qmax = 256; }, OCTET_ERR_ARGUMENT, "0 and 256"},
    {"QminLow", [](octet_scheme* s) { s->qmin = -1; }, OCTET_ERR_ARGUMENT, "-1 and 0"},
    {"NarrowUnsigned", [](octet_scheme* s) { s->flags = OCTET_NARROW; }, OCTET_ERR_ARGUMENT,
     "OCTET_NARROW"},
    {"OneSided",
     [](octet_scheme* s) {
       s->type = OCTET_S8;
       s->flags = OCTET_SYMMETRIC;
       s->qmax = 127;
     },
     OCTET_ERR_ARGUMENT, "both sides"},
    {"Nothing", [](octet_scheme* s) { s->flags = OCTET_REDUCE_RANGE, s->qmax = 1; },
     OCTET_ERR_ARGUMENT, "[0, 0]"},
    {"OnnxSigned",
     [](octet_scheme* s) {
       s->type = OCTET_S8;
       s->chooser = OCTET_CHOOSE_ONNX;
     },
     OCTET_ERR_ARGUMENT, "OCTET_CHOOSE_ONNX"},
    {"OnnxSymmetric",
     [](octet_scheme* s) {
       s->flags = OCTET_SYMMETRIC;
       s->chooser = OCTET_CHOOSE_ONNX;
     },
     OCTET_ERR_ARGUMENT, "OCTET_CHOOSE_ONNX"},
};

class SchemeRefusal : public testing::TestWithParam<Refusal> {};

TEST_P(SchemeRefusal, NamesTheFieldAndItsValue) {
  octet_scheme s = make_scheme(OCTET_U8);
  GetParam().spoil(&s);
  const float min = -1, max = 1;
  float scale = -7;
  int32_t zero = -7;
  octet_error err = {};
  expect_refused(octet_choose_qparams(&s, &min, &max, 1, &scale, &zero, &err), err,
                 GetParam().status, {GetParam().word});
  EXPECT_EQ(scale, -7);
  EXPECT_EQ(zero, -7);
  EXPECT_EQ(octet_choose_qparams(&s, &min, &max, 1, &scale, &zero, nullptr), GetParam().status);
}

INSTANTIATE_TEST_SUITE_P(Each, SchemeRefusal, testing::ValuesIn(kRefusals),
                         [](const auto& p) { return std::string(p.param.name); });

}  // namespace
}  // namespace octet_test

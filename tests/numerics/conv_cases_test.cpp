// SPDX-License-Identifier: Apache-2.0
//
// Convolutions with answers from elsewhere (PyTorch, ONNX), empty images, causal windows, scales
// that come with the call, and the ladder.
#include <numeric>

#include "tests/numerics/conv.h"

namespace octet_test {
namespace {

void expect_bytes(const ConvLayer& l, const Bytes& want) {
  EXPECT_TRUE(equal(conv_model(l), want)) << "the model";
  for (const CappedContext& c : contexts()) {
    const ConvOp op(c.context, l);
    for (int32_t plan = 0; plan <= op.candidates(); ++plan) {
      ConvHow how;
      how.plan = plan;
      EXPECT_TRUE(equal(op.run(how), want)) << c.isa << " plan " << plan;
    }
  }
}

ConvLayer layer_2d(int64_t h, int64_t w, int32_t kernel, int32_t pad) {
  ConvLayer l;
  for (int i = 0; i < 2; ++i) {
    l.kernel[i] = kernel;
    l.stride[i] = l.dilation[i] = 1;
    l.pad_lo[i] = l.pad_hi[i] = pad;
  }
  l.image[0] = h;
  l.image[1] = w;
  return l;
}

Bytes ints(const std::vector<int32_t>& v) {
  Bytes b(v.size() * 4);
  memcpy(b.data(), v.data(), b.size());
  return b;
}

ConvLayer torch_layer() {
  ConvLayer l = layer_2d(3, 3, 2, 1);
  l.in_scale = {0.1f};
  l.in_zero = {20};
  l.x = {10, 20, 30, 40, 50, 60, 70, 80, 90};
  l.w = {1, -2, 3, 4};
  l.w_scale = {0.02f};
  l.bias_type = OCTET_F32;
  l.bias_f = {0.1f};
  l.out = {OCTET_U8, 0.05f, 64};
  return l;
}

TEST(ConvCases, PyTorch) {
  expect_bytes(torch_layer(), {64, 65, 68, 67, 70, 73, 75, 71, 72, 80, 82, 76, 62, 63, 63, 69});
}

TEST(ConvCases, PyTorchTransposed) {
  ConvLayer l = torch_layer();
  l.transposed = true;
  l.x = {10, 20, 40, 50};
  for (int i = 0; i < 2; ++i) {
    l.image[i] = l.stride[i] = 2;
    l.pad_lo[i] = l.pad_hi[i] = 0;
  }
  expect_bytes(l, {66, 67, 66, 66, 65, 64, 66, 66, 67, 64, 67, 64, 68, 69, 70, 71});
}

TEST(ConvCases, OnnxConvInteger) {
  ConvLayer l = layer_2d(3, 3, 2, 0);
  l.x = {2, 3, 4, 5, 6, 7, 8, 9, 10};
  l.in_zero = {1};
  l.w = {1, 1, 1, 1};
  expect_bytes(l, ints({12, 16, 24, 28}));
  l.pad_lo[0] = l.pad_lo[1] = l.pad_hi[0] = l.pad_hi[1] = 1;
  expect_bytes(l, ints({1, 3, 5, 3, 5, 12, 16, 9, 11, 24, 28, 15, 7, 15, 17, 9}));
}

TEST(ConvCases, OnnxQLinearConv) {
  ConvLayer l = layer_2d(16, 16, 1, 0);
  l.x.resize(256);
  std::iota(l.x.begin(), l.x.end(), uint8_t{0});
  l.in_scale = {0.00369204697f};
  l.in_zero = {132};
  l.w_type = OCTET_U8;
  l.w = {0};
  l.w_scale = {0.00172794575f};
  l.w_zero = {255};
  l.out = {OCTET_U8, 0.00162681262f, 123};
  expect_bytes(l, Bytes(l.x.rbegin(), l.x.rend()));
}

// An output depends on nothing behind it.
TEST(ConvCases, Causal) {
  ConvLayer l;
  l.rank = 1;
  l.image[0] = 6;
  l.kernel[0] = 3;
  l.stride[0] = 1;
  l.dilation[0] = 2;
  l.pad_lo[0] = 4;
  l.x = {1, 2, 3, 4, 5, 6};
  l.w = {100, 10, 1};
  expect_bytes(l, ints({1, 2, 13, 24, 135, 246}));
}

// The scale of a dynamic layer is that of the whole sample, also of pixels that no window reads.
TEST(ConvCases, DynamicScalesAreThoseOfSamples) {
  ConvLayer l = layer_2d(1, 3, 1, 0);
  l.batch = 2;
  l.stride[1] = 2;
  l.dynamic = true;
  l.scheme.type = OCTET_U8;
  l.out = {OCTET_F32, 0, 0};
  l.xf = {1, 255, 2, 1, 1, 1};
  l.w = {1};
  for (const CappedContext& c : contexts()) {
    const ConvOp op(c.context, l);
    float y[4];
    const Bytes bytes = op.run({});
    ASSERT_EQ(bytes.size(), sizeof y);
    memcpy(y, bytes.data(), sizeof y);
    EXPECT_EQ(y[0], 1.0f);
    EXPECT_EQ(y[1], 2.0f);
    EXPECT_EQ(y[2], y[3]);
  }
  expect_bytes(l, conv_model(l));
  l.xf[1] = __builtin_nanf("");  // no window reads it
  expect_bytes(l, conv_model(l));
}

TEST(ConvCases, EmptyImages) {
  for (const CappedContext& c : contexts()) {
    for (const bool transposed : {false, true}) {
      ConvLayer l = layer_2d(0, 5, 3, 0);
      l.transposed = transposed;
      l.channels = 8;
      l.outputs = 16;
      l.w.resize(16 * 9 * 8, 1);
      EXPECT_EQ(ConvOp(c.context, l).run({}).size(), 0u);
      l.image[0] = 2;  // smaller than the kernel
      l.batch = 0;
      EXPECT_EQ(ConvOp(c.context, l).run({}).size(), 0u);
    }
  }
}

// All plans of some layers of every class, on one and several threads.
TEST(ConvCases, EveryPlan) {
  const ConvKind kinds[] = {ConvKind::kPlain, ConvKind::kGrouped, ConvKind::kTransposed,
                            ConvKind::kPointwise};
  for (const CappedContext& c : contexts())
    for (int i = 0; i < scaled(24); ++i) {
      Rng rng(700 + static_cast<uint64_t>(i));
      const ConvLayer l = random_conv(&rng, kinds[i % 4]);
      SCOPED_TRACE(c.isa + " " + std::to_string(i) + ": " + describe(l));
      const Bytes want = conv_model(l);
      const ConvOp op(c.context, l);
      for (int32_t plan = 0; plan <= op.candidates(); ++plan) {
        ConvHow how;
        how.plan = plan;
        how.threads = 1 + plan % 3;
        ASSERT_TRUE(equal(op.run(how), want)) << "plan " << plan;
      }
    }
}

// Large enough for many blocks and tasks, and for tiles that cross the image's ends.
TEST(ConvCases, ManyTasks) {
  for (const CappedContext& c : contexts()) {
    if (c.isa == "scalar" || effort() < 30) continue;
    for (const int64_t channels : {3, 32}) {
      Rng rng(31);
      ConvLayer l = layer_2d(29, 31, 3, 1);
      l.batch = 2;
      l.channels = channels;
      l.outputs = 90;
      l.stride[0] = l.stride[1] = channels == 3 ? 2 : 1;
      l.out.type = OCTET_S8;
      fill_conv(&rng, &l);
      const Bytes want = conv_model(l);
      const ConvOp op(c.context, l);
      for (int32_t threads = 1; threads <= 4; ++threads) {
        ConvHow how;
        how.threads = threads;
        how.gaps = threads == 2 ? &rng : nullptr;
        EXPECT_TRUE(equal(op.run(how), want)) << c.isa << " " << threads << op.describe();
      }
    }
  }
}

// Layers whose tiles leave out rows of the kernel in the padding: every plan, with zero points.
struct Padded {
  const char* name;
  int64_t image[3], channels, outputs;  // rank 2 where image[2] is 0
  int32_t groups, kernel, stride, dilation, pad_lo, pad_hi;
  int64_t batch;
};

ConvLayer padded_layer(const Padded& p) {
  ConvLayer l;
  l.rank = p.image[2] ? 3 : 2;
  for (int i = 0; i < l.rank; ++i) {
    l.image[i] = p.image[i];
    l.kernel[i] = p.kernel;
    l.stride[i] = p.stride;
    l.dilation[i] = p.dilation;
    l.pad_lo[i] = p.pad_lo;
    l.pad_hi[i] = p.pad_hi;
  }
  l.batch = p.batch;
  l.channels = p.channels;
  l.outputs = p.outputs;
  l.groups = p.groups;
  return l;
}

TEST(ConvCases, RowsInThePadding) {
  const Padded cases[] = {
      {"7x7", {7, 7}, 32, 40, 1, 3, 1, 1, 1, 1, 1},
      {"images side by side", {7, 7}, 32, 40, 1, 3, 1, 1, 1, 1, 3},
      {"many tiny images", {2, 2}, 16, 20, 1, 3, 1, 1, 1, 1, 20},
      {"dilated", {14, 13}, 16, 40, 1, 3, 1, 6, 6, 6, 1},
      {"no pixel has all rows", {9, 9}, 16, 40, 1, 3, 1, 7, 7, 7, 1},
      {"more rows than are kept", {6, 11}, 16, 24, 1, 7, 1, 2, 9, 10, 1},
      {"windows outside", {5, 8}, 16, 24, 1, 3, 2, 1, 9, 8, 2},
      {"one side", {8, 9}, 20, 70, 1, 4, 1, 2, 6, 0, 1},
      {"groups", {7, 7}, 36, 51, 3, 3, 1, 2, 2, 2, 1},
      {"small groups", {7, 7}, 32, 32, 8, 3, 1, 2, 2, 2, 1},
      {"groups of 8", {9, 7}, 80, 80, 10, 3, 1, 2, 2, 2, 1},
      {"ragged rows", {12, 12}, 3, 40, 1, 3, 1, 3, 3, 3, 1},
      {"depth", {4, 5, 6}, 16, 24, 1, 3, 1, 2, 2, 2, 2},
      {"columns", {9, 23}, 64, 40, 1, 3, 1, 4, 4, 4, 2},
      {"no pixel has all columns", {7, 10}, 64, 70, 1, 3, 1, 6, 6, 6, 1},
      {"columns at one side", {12, 17}, 68, 20, 1, 2, 1, 5, 5, 0, 1},
      {"windows beside the image", {5, 9}, 64, 24, 1, 3, 1, 4, 11, 12, 1},
      {"more columns than are kept", {11, 21}, 64, 17, 1, 4, 1, 4, 14, 13, 1},
  };
  for (const CappedContext& c : contexts())
    for (const Padded& p : cases)
      for (const octet_type type : {OCTET_U8, OCTET_S8}) {
        SCOPED_TRACE(c.isa + " " + p.name + (type == OCTET_S8 ? " s8" : " u8"));
        ConvLayer l = padded_layer(p);
        Rng rng(77 + p.outputs);
        l.in = type;
        l.bias_type = OCTET_S32;
        fill_conv(&rng, &l);
        l.in_zero = {type == OCTET_S8 ? -37 : 91};
        l.w_zero.assign(l.w_scale.size(), 0);
        const Bytes want = conv_model(l);
        const ConvOp op(c.context, l, &rng);
        const std::string text = op.describe();
        const bool direct = text.find("\"rung\":\"direct\"") != std::string::npos ||
                            text.find("\"rung\":\"lanes\"") != std::string::npos;
        EXPECT_EQ(text.find("\"omits_padding\":true") != std::string::npos, direct) << text;
        EXPECT_TRUE(direct || c.isa != "avx512vnni") << text;
        for (int32_t plan = 0; plan <= op.candidates(); ++plan) {
          ConvHow how;
          how.plan = plan;
          how.threads = 1 + plan % 3;
          how.gaps = plan % 4 == 1 ? &rng : nullptr;
          ASSERT_TRUE(equal(op.run(how), want)) << "plan " << plan;
        }
        l.in_zero = {type == OCTET_S8 ? -128 : 0};  // u8 operands of zero point 0
        EXPECT_TRUE(equal(ConvOp(c.context, l).run({}), conv_model(l))) << "zero point 0";
      }
}

TEST(ConvCases, Ladder) {
  const auto rung = [](ConvLayer l) {
    Rng rng(5);
    l.out.type = OCTET_U8;
    fill_conv(&rng, &l);
    l.w_zero.assign(l.w_scale.size(), 0);
    l.w_type = OCTET_S8;
    const std::string text = ConvOp(contexts().front().context, l).describe();
    const size_t at = text.find("\"rung\":\"") + 8;
    return text.substr(at, text.find('"', at) - at);
  };
  ConvLayer l = layer_2d(8, 8, 3, 1);
  l.channels = 32;
  l.outputs = 32;
  EXPECT_EQ(rung(l), "direct");
  l.groups = 2;
  EXPECT_EQ(rung(l), "direct");
  l.groups = 4;
  EXPECT_EQ(rung(l), "lanes");  // of the reference, which is everywhere
  l.groups = 32;
  EXPECT_EQ(rung(l), "depthwise");
  l.groups = 1;
  l.transposed = true;
  EXPECT_EQ(rung(l), "direct");
  l = layer_2d(8, 8, 3, 1);
  l.channels = 3;
  l.outputs = 32;
  EXPECT_EQ(rung(l), "gathered");
  l = layer_2d(8, 8, 1, 0);
  l.channels = 5;
  EXPECT_EQ(rung(l), "pointwise");
  l.pad_lo[0] = 1;
  EXPECT_EQ(rung(l), "direct");
}

}  // namespace
}  // namespace octet_test

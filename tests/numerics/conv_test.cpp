// SPDX-License-Identifier: Apache-2.0
//
// Convolutions against naive arithmetic: every instruction set, plan, thread count and layout of
// memory gives the same bytes.
#include "tests/numerics/conv.h"

namespace octet_test {
namespace {

class Conv : public testing::TestWithParam<CappedContext> {};

void expect_model(const octet_context* c, const ConvLayer& l, Rng* rng) {
  const Bytes want = conv_model(l);
  const ConvOp op(c, l, rng);
  ASSERT_TRUE(op.get());
  ConvHow how;
  EXPECT_TRUE(equal(op.run(how), want)) << op.describe();
  how.gaps = rng;
  how.threads = static_cast<int32_t>(rng->range(1, 3));
  how.in_place = l.residual.type == l.out.type && rng->chance(50);
  EXPECT_TRUE(equal(op.run(how), want)) << "with gaps";
  how = {};
  how.guarded = !l.residual.type;
  how.plan = static_cast<int32_t>(rng->range(0, op.candidates()));
  EXPECT_TRUE(equal(op.run(how), want)) << "plan " << how.plan << " of " << op.candidates();
}

void expect_models(const CappedContext& c, ConvKind kind, uint64_t seed, int count) {
  for (int i = 0; i < scaled(count) && !testing::Test::HasFailure(); ++i) {
    Rng rng(seed + static_cast<uint64_t>(i));
    const ConvLayer l = random_conv(&rng, kind);
    SCOPED_TRACE(std::to_string(i) + ": " + describe(l));
    expect_model(c.context, l, &rng);
  }
}

TEST_P(Conv, PlainEqualsTheModel) { expect_models(GetParam(), ConvKind::kPlain, 1000, 120); }
TEST_P(Conv, GroupedEqualsTheModel) { expect_models(GetParam(), ConvKind::kGrouped, 2000, 80); }
TEST_P(Conv, TransposedEqualsTheModel) {
  expect_models(GetParam(), ConvKind::kTransposed, 3000, 80);
}
TEST_P(Conv, DepthwiseEqualsTheModel) { expect_models(GetParam(), ConvKind::kDepthwise, 5000, 80); }
TEST_P(Conv, PointwiseEqualsTheModel) { expect_models(GetParam(), ConvKind::kPointwise, 4000, 40); }

// Groups of 2, 4 and 8 channels, mostly without zero points of the weights: tiles for them.
TEST_P(Conv, SmallGroupsEqualTheModel) {
  for (int i = 0; i < scaled(80) && !HasFailure(); ++i) {
    Rng rng(7000 + static_cast<uint64_t>(i));
    ConvLayer l = random_conv(&rng, ConvKind::kSmallGroups);
    if (!rng.chance(10)) l.w_zero.assign(l.w_scale.size(), l.w_type == OCTET_U8 ? 128 : 0);
    SCOPED_TRACE(std::to_string(i) + ": " + describe(l));
    expect_model(GetParam().context, l, &rng);
  }
}

// Few channels and rows of several tiles: inside the image, at its sides, and across its rows.
TEST_P(Conv, FirstLayersEqualTheModel) {
  for (int i = 0; i < scaled(60) && !HasFailure(); ++i) {
    Rng rng(6000 + static_cast<uint64_t>(i));
    ConvLayer l;
    l.batch = rng.range(1, 2);
    l.channels = rng.pick<int64_t>({1, 2, 3, 3, 3, 4, 5, 7});
    l.outputs = rng.pick<int64_t>({8, 16, 24, 32, 48, 64, 96});
    for (int dim = 0; dim < 2; ++dim) {
      l.kernel[dim] = rng.pick<int32_t>({2, 3, 3, 4, 5, 6, 7});
      l.stride[dim] = rng.pick<int32_t>({1, 2, 2, 3, 4});
      l.dilation[dim] = rng.chance(10) ? 2 : 1;
      l.pad_lo[dim] = static_cast<int32_t>(rng.range(0, l.kernel[dim] - 1));
      l.pad_hi[dim] = static_cast<int32_t>(rng.range(0, l.kernel[dim] - 1));
      l.image[dim] = dim ? rng.range(14, 60) : rng.range(14, 20);
    }
    l.in = rng.pick<octet_type>({OCTET_U8, OCTET_U8, OCTET_S8});
    l.out.type = rng.pick<octet_type>({OCTET_U8, OCTET_S8, OCTET_S32});
    fill_conv(&rng, &l);
    l.w_type = OCTET_S8;
    l.w_zero.assign(l.w_scale.size(), 0);
    SCOPED_TRACE(std::to_string(i) + ": " + describe(l));
    expect_model(GetParam().context, l, &rng);
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, Conv, testing::ValuesIn(contexts()),
                         [](const auto& p) { return p.param.isa; });

}  // namespace
}  // namespace octet_test

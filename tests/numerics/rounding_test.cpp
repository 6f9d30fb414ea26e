// SPDX-License-Identifier: Apache-2.0
//
// Results that lie on ties between two integers, where the last bit of every float operation
// decides: a reciprocal instead of a division, another order of products or a fused multiply-add
// would change them.
#include "tests/numerics/layer.h"

namespace octet_test {
namespace {

constexpr int64_t kChannels = 600;

// Small sums, and biases of (i + 1/2) output steps.
Layer on_ties(Mode mode, octet_type out, Rng* rng) {
  Layer l;
  l.m = 4;
  l.n = kChannels;
  l.k = 1;
  l.mode = mode;
  l.in_zero = {9};
  l.x = {9, 10, 8, 30};
  l.w.assign(kChannels, 3);
  l.in_scale = {(1 + rng->unit()) / 64};
  l.w_scale.clear();
  l.w_zero.clear();
  l.bias_type = OCTET_F32;
  l.out = {out, (1 + rng->unit()) / 4096, out == OCTET_U8 ? 128 : 0};
  if (mode == Mode::kCallRows)
    for (int i = 1; i < 4; ++i) {
      l.in_scale.push_back((1 + rng->unit()) / 64);
      l.in_zero.push_back(9);
    }
  for (int64_t j = 0; j < kChannels; ++j) {
    l.w_scale.push_back((1 + rng->unit()) / 64);
    l.w_zero.push_back(0);
    const float step = mode == Mode::kStatic ? l.in_scale[0] * l.w_scale.back() : l.out.scale;
    l.bias_f.push_back(step * (static_cast<float>(rng->range(-40, 40)) + 0.5f));
  }
  return l;
}

TEST(Rounding, TiesOfEveryKind) {
  Rng rng(60);
  for (int i = 0; i < scaled(20); ++i)
    for (Mode mode : {Mode::kStatic, Mode::kCall, Mode::kCallRows})
      for (octet_type out : {OCTET_U8 + 0, OCTET_S8 + 0}) {
        Layer l = on_ties(mode, out, &rng);
        // Output steps of exactly one unit of the sums, for a good part of the channels.
        if (mode == Mode::kStatic) l.out.scale = l.in_scale[0] * l.w_scale[0];
        const Bytes want = model(l);
        for (const CappedContext& c : contexts()) {
          ASSERT_TRUE(equal(LayerOp(c.context, l).run({}), want)) << c.isa << ": " << describe(l);
          ASSERT_TRUE(equal(run_gemm(c.context, l, 1, nullptr), want)) << c.isa << ", gemm";
        }
      }
}

// Every channel has an output step of one unit: v is exactly i + 1/2 or its neighbour.
TEST(Rounding, BiasIsDividedByItsScale) {
  Rng rng(61);
  for (int i = 0; i < scaled(200); ++i) {
    Layer l = on_ties(Mode::kStatic, OCTET_S8, &rng);
    l.w_scale.assign(kChannels, l.w_scale[0]);
    l.out.scale = l.in_scale[0] * l.w_scale[0];
    for (size_t j = 0; j < static_cast<size_t>(kChannels); ++j)
      l.bias_f[j] = l.out.scale * (static_cast<float>(rng.range(-100, 100)) + 0.5f);
    const Bytes want = model(l);
    for (const CappedContext& c : contexts())
      ASSERT_TRUE(equal(LayerOp(c.context, l).run({}), want)) << c.isa << ": " << describe(l);
  }
}

}  // namespace
}  // namespace octet_test

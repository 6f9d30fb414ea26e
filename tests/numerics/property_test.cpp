// SPDX-License-Identifier: Apache-2.0
//
// The promise of the whole library: the bits of a layer follow from its numbers alone. Random
// layers equal a naive model under every instruction set, thread count, plan, memory layout, and
// as a raw GEMM.
#include <numeric>

#include "tests/numerics/layer.h"

namespace octet_test {
namespace {

// m as a product of one to four dims.
std::vector<int64_t> split_rows(Rng* rng, int64_t m) {
  std::vector<int64_t> dims;
  for (int64_t left = m; dims.size() < 3 && left > 1;) {
    const int64_t d = std::gcd(left, rng->pick<int64_t>({1, 2, 3, 4, 5, 7}));
    dims.push_back(d);
    left /= d;
  }
  const int64_t product =
      std::accumulate(dims.begin(), dims.end(), int64_t{1}, std::multiplies<>());
  dims.push_back(m / product);
  return dims;
}

class LayerBits : public testing::TestWithParam<int> {};

TEST_P(LayerBits, EqualTheModelHoweverTheyAreComputed) {
  Rng rng(static_cast<uint64_t>(GetParam()));
  for (int i = 0; i < scaled(250); ++i) {
    const Layer l = random_layer(&rng);
    const std::vector<uint8_t> want = model(l);
    for (const CappedContext& c : contexts()) {
      SCOPED_TRACE(c.isa + ": " + describe(l));
      const LayerOp op(c.context, l);
      ASSERT_TRUE(equal(op.run({}), want));
      const int32_t candidates = op.candidates();
      for (int32_t plan = 1; plan <= candidates; ++plan) {
        How how;
        how.threads = rng.pick<int32_t>({1, 1, 2, 3, 7, 16});
        how.plan = plan;
        how.leading = split_rows(&rng, l.m);
        if (rng.chance(60)) how.gaps = &rng;
        ASSERT_TRUE(equal(op.run(how), want)) << "plan " << plan << ", " << how.threads
                                              << " threads, " << how.leading.size() + 1 << " dims";
      }
      if (is_dynamic(l.mode)) continue;
      ASSERT_TRUE(equal(run_gemm(c.context, l, rng.pick<int32_t>({1, 3}), &rng), want)) << "gemm";
    }
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Random, LayerBits, testing::Range(1, 9));

TEST(LayerBitsAgain, ResidualsHoweverTheyAreComputed) {
  Rng rng(78);
  for (int i = 0; i < scaled(400); ++i) {
    const Layer l = random_residual_layer(&rng);
    const std::vector<uint8_t> want = model(l);
    for (const CappedContext& c : contexts()) {
      SCOPED_TRACE(c.isa + ": " + describe(l));
      const LayerOp op(c.context, l);
      const int32_t candidates = op.candidates();
      for (int32_t plan = 0; plan <= candidates; ++plan) {
        How how;
        how.threads = rng.pick<int32_t>({1, 1, 3});
        how.plan = plan;
        how.leading = split_rows(&rng, l.m);
        how.in_place = rng.chance(40);
        if (rng.chance(60)) how.gaps = &rng;
        ASSERT_TRUE(equal(op.run(how), want))
            << "plan " << plan << ", " << how.threads << " threads, " << how.leading.size() + 1
            << " dims" << (how.in_place ? ", in place" : "");
      }
    }
  }
}

TEST(LayerBitsAgain, NamedNumericsHoweverTheyAreComputed) {
  Rng rng(79);
  for (int i = 0; i < scaled(500); ++i) {
    const Layer l = random_named_layer(&rng);
    const std::vector<uint8_t> want = model(l);
    for (const CappedContext& c : contexts()) {
      SCOPED_TRACE(c.isa + ": " + describe(l));
      const LayerOp op(c.context, l);
      const int32_t candidates = op.candidates();
      for (int32_t plan = 0; plan <= candidates; ++plan) {
        How how;
        how.threads = rng.pick<int32_t>({1, 1, 3});
        how.plan = plan;
        if (rng.chance(60)) how.gaps = &rng;
        ASSERT_TRUE(equal(op.run(how), want)) << "plan " << plan;
      }
      ASSERT_TRUE(equal(run_gemm(c.context, l, 2, &rng), want)) << "gemm";
    }
  }
}

TEST(LayerBitsAgain, EqualOnEveryThreadCount) {
  Rng rng(77);
  for (int i = 0; i < scaled(20); ++i) {
    const Layer l = random_layer(&rng);
    const std::vector<uint8_t> want = model(l);
    const LayerOp op(best_context(), l);
    for (int32_t threads : {1, 2, 3, 7, 16}) {
      ASSERT_TRUE(equal(op.run(on_threads(threads)), want))
          << describe(l) << " on " << threads << " threads";
    }
  }
}

// Layers of many chunks, tasks and column blocks.
TEST(LayerBitsAgain, EqualForLargeLayers) {
  Rng rng(78);
  for (Mode mode : {Mode::kStatic, Mode::kCallRows, Mode::kDynamicRow, Mode::kDynamicTensor}) {
    Layer l;
    do l = random_layer(&rng);
    while (l.mode != mode || l.n < 100 || l.k < 100 || l.m < 10);
    // The same rows again and again, with other rows in between.
    const int64_t copies = scaled(60), rows = l.m;
    const auto repeat = [&](auto* v, int64_t one) {
      if (static_cast<int64_t>(v->size()) != rows * one) return;
      const auto first = *v;
      for (int64_t i = 1; i < copies; ++i) v->insert(v->end(), first.begin(), first.end());
    };
    repeat(&l.x, l.k);
    repeat(&l.xf, l.k);
    if (mode == Mode::kCallRows) repeat(&l.in_scale, 1);
    if (mode == Mode::kCallRows) repeat(&l.in_zero, 1);
    l.m *= copies;
    const std::vector<uint8_t> want = model(l);
    for (const CappedContext& c : contexts()) {
      const LayerOp op(c.context, l);
      for (int32_t threads : {1, 3}) {
        ASSERT_TRUE(equal(op.run(on_threads(threads)), want)) << c.isa << ": " << describe(l);
      }
    }
  }
}

}  // namespace
}  // namespace octet_test

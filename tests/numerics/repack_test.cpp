// SPDX-License-Identifier: Apache-2.0
//
// The private copy of weights for AVX2: kept by default, not when lean, for an opened blob only on
// request; counted and shown; and never seen in a bit of any output, whoever made the weights and
// whoever uses them.
#include <cmath>

#include "tests/numerics/layer.h"
#include "tests/numerics/packed.h"

namespace octet_test {
namespace {

// Weights as trained layers have them: a sum of uniform ones, clamped.
void draw_normal(Rng* rng, float sigma, std::vector<int8_t>* w) {
  for (int8_t& x : *w) {
    float sum = 0;
    for (int i = 0; i < 12; ++i) sum += rng->unit();
    x = static_cast<int8_t>(std::lround(std::fmax(-127, std::fmin(127, sigma * (sum - 6)))));
  }
}

// A layer that gains by the copy.
Layer gaining_layer(octet_type out = OCTET_U8) {
  Rng rng(60);
  Layer l;
  l.m = 11;
  l.n = 37;
  l.k = 150;
  l.in_scale = {0.02f};
  l.in_zero = {128};
  for (int64_t i = 0; i < l.m * l.k; ++i) l.x.push_back(static_cast<uint8_t>(rng.next()));
  l.w.resize(static_cast<size_t>(l.n * l.k));
  draw_normal(&rng, 25, &l.w);
  l.w_scale = {0.01f};
  l.w_zero = {0};
  l.out = {out, out == OCTET_U8 ? 0.1f : 0.0f, out == OCTET_U8 ? 100 : 0};
  return l;
}

Weights create(const octet_context* c, const Layer& l, uint32_t flags,
               const octet_exec* exec = nullptr) {
  octet_qparams q;
  const octet_tensor source = source_tensor(l, &q);
  octet_weights_desc d = sized<octet_weights_desc>();
  d.flags = flags;
  d.source = &source;
  octet_weights* w = nullptr;
  Error err;
  EXPECT_TRUE(ok(octet_weights_create(c, &d, exec, &w, &err), err));
  return Weights(w);
}

octet_plan plan_of(const octet_context* c, const octet_weights* w, const Layer& l) {
  const Op op = make_op(c, w, {l.in, l.in_scale[0], l.in_zero[0]}, l.out);
  const octet_tensor x = octet_mat(l.in, nullptr, l.m, l.k);
  octet_plan p = sized<octet_plan>();
  Error err;
  EXPECT_TRUE(ok(octet_op_plan(op.get(), &x, 1, nullptr, &p, &err), err));
  return p;
}

bool repacked(const octet_plan& p) { return p.flags & OCTET_PLAN_REPACKED; }

class Repack : public testing::Test {
 protected:
  void SetUp() override {
    for (const CappedContext& c : contexts())
      if (c.isa == "avx2") avx2_ = c.context;
    if (!avx2_) GTEST_SKIP() << "no AVX2";
  }
  const octet_context* avx2_ = nullptr;
};

TEST_F(Repack, ByDefaultAndNotWhenLean) {
  const Layer l = gaining_layer();
  const Bytes want = model(l);
  const Weights kept = create(avx2_, l, 0), lean = create(avx2_, l, OCTET_LEAN);
  const octet_plan with = plan_of(avx2_, kept.get(), l), without = plan_of(avx2_, lean.get(), l);
  EXPECT_TRUE(repacked(with));
  EXPECT_NE(std::string(with.kernel).find("_proved"), std::string::npos) << with.kernel;
  EXPECT_FALSE(repacked(without));
  EXPECT_EQ(std::string(without.kernel).find("_proved"), std::string::npos) << without.kernel;
  EXPECT_EQ(without.weight_bytes, packed_size(avx2_, l));
  EXPECT_GT(with.weight_bytes, 2 * without.weight_bytes * 9 / 10);
  EXPECT_LT(with.weight_bytes, 3 * without.weight_bytes);
  EXPECT_TRUE(equal(run_with(avx2_, kept.get(), l), want));
  EXPECT_TRUE(equal(run_with(avx2_, lean.get(), l), want));
}

TEST_F(Repack, TheCanonicalBytesDoNotKnowOfIt) {
  const Layer l = gaining_layer();
  const Weights w = create(avx2_, l, 0);
  const void* data = nullptr;
  size_t bytes = 0;
  Error err;
  ASSERT_TRUE(ok(octet_weights_blob(w.get(), &data, &bytes, &err), err));
  const uint8_t* p = static_cast<const uint8_t*>(data);
  EXPECT_TRUE(equal(Bytes(p, p + bytes), packed_bytes(best_context(), l)));
}

TEST_F(Repack, OpenedWeightsOnlyOnRequest) {
  const Layer l = gaining_layer();
  const Bytes want = model(l), blob = packed_bytes(avx2_, l);
  const ReadOnlyPages pages(blob);
  for (const uint32_t copy : {uint32_t{0}, uint32_t{OCTET_BLOB_COPY}})
    for (const uint32_t may : {uint32_t{0}, uint32_t{OCTET_BLOB_MAY_REPACK}}) {
      // Pages end with the blob, so its address is not aligned; a copy is.
      Bytes aligned(blob.size() + 64);
      uint8_t* at = aligned.data() + (64 - reinterpret_cast<uintptr_t>(aligned.data()) % 64);
      memcpy(at, blob.data(), blob.size());
      Error err;
      const Weights w = open_bytes(avx2_, copy ? pages.data() : at, blob.size(), copy | may, &err);
      ASSERT_TRUE(w) << err.text;
      EXPECT_EQ(repacked(plan_of(avx2_, w.get(), l)), may != 0);
      EXPECT_TRUE(equal(run_with(avx2_, w.get(), l), want));
    }
}

TEST_F(Repack, OpsOfOtherContextsReadTheCanonicalBytes) {
  const Layer l = gaining_layer();
  const Bytes want = model(l);
  const Weights ours = create(avx2_, l, 0);
  for (const CappedContext& c : contexts()) {
    SCOPED_TRACE(c.isa);
    EXPECT_EQ(repacked(plan_of(c.context, ours.get(), l)), c.context == avx2_);
    EXPECT_TRUE(equal(run_with(c.context, ours.get(), l), want));
    if (c.context == avx2_) continue;
    const Weights theirs = create(c.context, l, 0);
    EXPECT_FALSE(repacked(plan_of(avx2_, theirs.get(), l)));
    EXPECT_TRUE(equal(run_with(avx2_, theirs.get(), l), want));
  }
}

TEST_F(Repack, NotWhereNothingIsGained) {
  Layer l = gaining_layer();
  Rng rng(61);
  for (int8_t& w : l.w) w = static_cast<int8_t>(rng.range(-127, 127));
  EXPECT_FALSE(repacked(plan_of(avx2_, create(avx2_, l, 0).get(), l)));
  l = gaining_layer();
  l.k = 31;  // less than a window
  EXPECT_FALSE(repacked(plan_of(avx2_, create(avx2_, l, 0).get(), l)));
}

TEST_F(Repack, TheSameOnEveryThreadCount) {
  const Layer l = gaining_layer();
  const Bytes want = model(l);
  const size_t bytes = plan_of(avx2_, create(avx2_, l, 0).get(), l).weight_bytes;
  for (const int32_t threads : {2, 5}) {
    const Exec exec(threads);
    const Weights w = create(avx2_, l, 0, &exec.e);
    EXPECT_EQ(plan_of(avx2_, w.get(), l).weight_bytes, bytes);
    EXPECT_TRUE(equal(run_with(avx2_, w.get(), l), want));
  }
}

TEST_F(Repack, DescribeSaysSo) {
  const Layer l = gaining_layer();
  for (const bool lean : {false, true}) {
    const Weights w = create(avx2_, l, lean ? OCTET_LEAN : 0);
    const Op op = make_op(avx2_, w.get(), {l.in, l.in_scale[0], l.in_zero[0]}, l.out);
    const octet_tensor x = octet_mat(l.in, nullptr, l.m, l.k);
    char json[4096];
    size_t need = 0;
    Error err;
    ASSERT_TRUE(
        ok(octet_op_describe(op.get(), &x, 1, nullptr, json, sizeof json, &need, &err), err));
    EXPECT_NE(strstr(json, lean ? "\"repacked\":false" : "\"repacked\":true"), nullptr) << json;
  }
}

TEST_F(Repack, AForcedKernelThatReadsItIsRefusedWithoutIt) {
  octet_context_desc d = sized<octet_context_desc>();
  d.force_kernel = "gemm_u8s8_q8_5x16c4_avx2_proved";
  octet_context* c = nullptr;
  Error err;
  ASSERT_TRUE(ok(octet_context_create(&d, &c, &err), err));
  const Context owner(c);
  const Layer l = gaining_layer();
  octet_linear_desc ld = sized<octet_linear_desc>();
  ld.in = {l.in, l.in_scale[0], l.in_zero[0]};
  ld.out = l.out;
  const Weights lean = create(c, l, OCTET_LEAN), kept = create(c, l, 0);
  ld.weights = lean.get();
  octet_op* op = nullptr;
  EXPECT_EQ(octet_linear_create(c, &ld, &op, &err), OCTET_ERR_UNSUPPORTED);
  EXPECT_NE(strstr(err.text, d.force_kernel), nullptr) << err.text;
  EXPECT_NE(strstr(err.text, "private layout"), nullptr) << err.text;
  EXPECT_EQ(op, nullptr);
  EXPECT_TRUE(equal(run_with(c, kept.get(), l), model(l)));
}

// Layers of all kinds whose weights are small enough to be repacked.
TEST_F(Repack, RandomLayersEqualTheModel) {
  Rng rng(62);
  int repacks = 0;
  for (int i = 0; i < scaled(400); ++i) {
    Layer l = random_layer(&rng);
    if (l.k < 32 || !l.m || !l.n || !l.wf.empty() || l.w_type != OCTET_S8) continue;
    draw_normal(&rng, rng.pick<float>({2, 15, 25, 38}), &l.w);
    SCOPED_TRACE(describe(l));
    const LayerOp op(avx2_, l);
    How how;
    how.threads = rng.pick<int32_t>({1, 1, 3});
    if (rng.chance(60)) how.gaps = &rng;
    ASSERT_TRUE(equal(op.run(how), model(l)));
    ++repacks;
  }
  EXPECT_GT(repacks, scaled(50));
}

}  // namespace
}  // namespace octet_test

// SPDX-License-Identifier: Apache-2.0
//
// Layers of a few columns: ops keep their weights column by column where this context has a kernel
// for it, count and show it, and give the model's bits for every number of rows, with a plan made
// beforehand or not.
#include "tests/numerics/layer.h"
#include "tests/numerics/packed.h"

namespace octet_test {
namespace {

Layer narrow_layer(int64_t m, int64_t n, int64_t k) {
  Rng rng(80);
  Layer l;
  l.m = m;
  l.n = n;
  l.k = k;
  l.in_scale = {0.02f};
  l.in_zero = {128};
  for (int64_t i = 0; i < m * k; ++i) l.x.push_back(static_cast<uint8_t>(rng.next()));
  for (int64_t i = 0; i < n * k; ++i) l.w.push_back(static_cast<int8_t>(rng.range(-128, 127)));
  l.w_scale = {0.01f};
  l.w_zero = {0};
  l.out = {OCTET_U8, 0.5f, 100};
  return l;
}

octet_plan plan_of(const octet_context* c, const Layer& l, const octet_qtype& out,
                   std::string* json) {
  octet_qparams q;
  const octet_tensor source = source_tensor(l, &q);
  octet_weights_desc d = sized<octet_weights_desc>();
  d.source = &source;
  octet_weights* w = nullptr;
  Error err;
  EXPECT_TRUE(ok(octet_weights_create(c, &d, nullptr, &w, &err), err));
  const Weights owner(w);
  const Op op = make_op(c, w, {l.in, l.in_scale[0], l.in_zero[0]}, out);
  const octet_tensor x = octet_mat(l.in, nullptr, l.m, l.k);
  octet_plan p = sized<octet_plan>();
  EXPECT_TRUE(ok(octet_op_plan(op.get(), &x, 1, nullptr, &p, &err), err));
  char text[4096];
  size_t need = 0;
  EXPECT_TRUE(ok(octet_op_describe(op.get(), &x, 1, nullptr, text, sizeof text, &need, &err), err));
  *json = text;
  return p;
}

bool of_columns(const octet_plan& p) {
  return std::string(p.kernel).find("_columns") != std::string::npos;
}

// A cap below which there is a kernel of columns.
bool has_kernel(const CappedContext& c) { return c.isa.starts_with("av"); }

TEST(Columns, AreTakenWhereThereAreFew) {
  for (const CappedContext& c : contexts()) {
    if (!has_kernel(c)) continue;
    SCOPED_TRACE(c.isa);
    std::string json;
    for (const int64_t n : {1, 4, 5}) {
      const Layer l = narrow_layer(128, n, 256);
      const octet_plan p = plan_of(c.context, l, l.out, &json);
      EXPECT_EQ(of_columns(p), n < 5) << p.kernel;
      if (n == 5) continue;
      EXPECT_TRUE(p.flags & OCTET_PLAN_REPACKED);
      EXPECT_NE(json.find("\"repacked\":true"), std::string::npos) << json;
      EXPECT_NE(json.find(std::string("\"kernels\":[\"") + p.kernel + "\"]"), std::string::npos)
          << json;
      EXPECT_EQ(p.nr, 1);
      const octet_plan wide = plan_of(c.context, l, {OCTET_S32, 0, 0}, &json);
      EXPECT_FALSE(of_columns(wide)) << wide.kernel;
      EXPECT_GE(p.state_bytes, wide.state_bytes + static_cast<size_t>(n * l.k));
    }
  }
}

TEST(Columns, EqualTheModel) {
  for (const CappedContext& c : contexts()) {
    SCOPED_TRACE(c.isa);
    for (const int64_t n : {1, 2, 3, 4})
      for (const int64_t k : {1, 15, 16, 17, 63, 64, 65, 200})
        for (const int64_t m : {1, 7, 8, 9, 16, 33, 65, 130}) {
          const Layer l = narrow_layer(m, n, k);
          const LayerOp op(c.context, l);
          How how;
          how.threads = m == 130 ? 3 : 1;
          ASSERT_TRUE(equal(op.run(how), model(l))) << m << " " << n << " " << k;
        }
  }
}

TEST(Columns, AForcedKernelIsRefusedWhereThereAreMany) {
  for (const CappedContext& c : contexts()) {
    if (!has_kernel(c)) continue;
    octet_context_desc d = sized<octet_context_desc>();
    d.force_kernel = "gemm_u8s8_q8_8x1c16_avx2_columns";
    octet_context* forced = nullptr;
    Error err;
    ASSERT_TRUE(ok(octet_context_create(&d, &forced, &err), err));
    const Context owner(forced);
    const Layer few = narrow_layer(3, 4, 40), many = narrow_layer(3, 5, 40);
    EXPECT_TRUE(equal(LayerOp(forced, few).run({}), model(few)));
    octet_qparams q;
    const octet_tensor source = source_tensor(many, &q);
    octet_weights_desc wd = sized<octet_weights_desc>();
    wd.source = &source;
    octet_weights* w = nullptr;
    ASSERT_TRUE(ok(octet_weights_create(forced, &wd, nullptr, &w, &err), err));
    const Weights weights(w);
    octet_linear_desc ld = sized<octet_linear_desc>();
    ld.in = {many.in, many.in_scale[0], many.in_zero[0]};
    ld.out = many.out;
    ld.weights = w;
    octet_op* op = nullptr;
    EXPECT_EQ(octet_linear_create(forced, &ld, &op, &err), OCTET_ERR_UNSUPPORTED);
    EXPECT_NE(strstr(err.text, "private layout"), nullptr) << err.text;
    EXPECT_EQ(op, nullptr);
    return;
  }
  GTEST_SKIP() << "no kernel of columns";
}

}  // namespace
}  // namespace octet_test

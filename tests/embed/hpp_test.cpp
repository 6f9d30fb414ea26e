// SPDX-License-Identifier: Apache-2.0
//
// octet.hpp: the wrapper's handles, results and pool adapter around one small calibrated layer.
#include <gtest/gtest.h>

#include <cstring>
#include <octet/octet.hpp>
#include <thread>
#include <type_traits>
#include <vector>

namespace {

using octet::make;
using octet::view;

static_assert(!std::is_copy_constructible_v<octet::Op> && std::is_move_constructible_v<octet::Op>);
static_assert(sizeof(octet::Context) == sizeof(void*));

TEST(Hpp, CalibratesSavesAndRunsALayerOnAPool) {
  const std::vector<float> w = {1, -2, 0.5f, 0.25f, 3, -1}, bias = {0.5f, -1},
                           x = {1, 2, 3, -1, 0, 1};
  auto context = octet::Context::create();
  ASSERT_TRUE(context) << context.text();
  EXPECT_NE(context->describe()->find("\"isas\""), std::string::npos);

  auto observer = octet::Observer::create(*context);
  ASSERT_TRUE(observer);
  EXPECT_EQ(observer->qtype(OCTET_U8).code(), OCTET_ERR_EMPTY);
  ASSERT_TRUE(observer->feed(view(x.data(), 2, 3)));
  const std::string state = *observer->save();
  auto loaded = octet::Observer::load(*context, std::as_bytes(std::span(state)));
  ASSERT_TRUE(loaded);
  EXPECT_EQ(observer->qtype(OCTET_U8)->scale, loaded->qtype(OCTET_U8)->scale);

  const octet_tensor source = view(w.data(), 2, 3), b = view(bias.data(), 2);
  auto weights_desc = make<octet_weights_desc>();
  weights_desc.source = &source;
  weights_desc.bias = &b;
  auto weights = octet::Weights::create(*context, weights_desc);
  ASSERT_TRUE(weights);
  EXPECT_GT(weights->blob()->size(), 0u);

  auto desc = make<octet_linear_desc>();
  desc.weights = weights->get();
  desc.in.type = desc.out.type = OCTET_F32;
  auto op = octet::Op::linear(*context, desc);
  ASSERT_TRUE(op) << op.text();
  std::vector<float> y(4), serial(4);
  const octet_tensor in = view(x.data(), 2, 3);
  octet_tensor out = view(y.data(), 0, 0);
  ASSERT_TRUE(op->infer({&in, 1}, {&out, 1}));
  EXPECT_EQ(out.dims[1], 2);

  auto exec = make<octet_exec>();
  std::vector<std::byte> workspace(*op->workspace({&in, 1}, &exec));
  EXPECT_EQ(op->run({&in, 1}, {&out, 1}, &exec).code(), OCTET_ERR_TOO_SMALL);
  exec.workspace = workspace.data();
  exec.workspace_bytes = workspace.size();
  ASSERT_TRUE(op->run({&in, 1}, {&out, 1}, &exec));
  serial = y;
  auto pool = [](std::size_t n, auto task) {
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < n; ++i) threads.emplace_back([&task, i] { task(i); });
    for (auto& t : threads) t.join();
  };
  octet::use_pool(exec, pool, 3);
  ASSERT_TRUE(op->run({&in, 1}, {&out, 1}, &exec));
  EXPECT_EQ(std::memcmp(serial.data(), y.data(), sizeof(float) * 4), 0);
  EXPECT_NEAR(y[0], 1 - 4 + 1.5 + 0.5, 0.05);
  EXPECT_STRNE(op->plan({&in, 1}, &exec)->kernel, "");
}

TEST(Hpp, AFailureCarriesItsSentence) {
  auto desc = make<octet_context_desc>();
  desc.max_isa = "mmx";
  const auto context = octet::Context::create(&desc);
  ASSERT_FALSE(context);
  EXPECT_EQ(context.code(), OCTET_ERR_ARGUMENT);
  EXPECT_NE(std::string(context.text()).find("mmx"), std::string::npos);
}

}  // namespace

// SPDX-License-Identifier: Apache-2.0
//
// One context, one set of weights and one op, used by many threads at once, and one call that is
// split over a pool of the caller: the same bytes as a serial run. The thread sanitizer watches.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "api.h"
#include "portable_math.h"

namespace octet_cli {
namespace {

constexpr int64_t kRows = 70, kOutputs = 96, kInputs = 130;
constexpr size_t kThreads = 4;

// The simplest pool there is: threads that count indices down between them.
int32_t spawn(void*, size_t n, octet_task task, void* arg) {
  std::atomic<size_t> next = 0;
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (size_t i = next++; i < n; i = next++) task(arg, i);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return 0;
}

class Threads : public testing::Test {
 protected:
  Threads() : context_(make_context("")), x_(kRows * kInputs), w_(kOutputs * kInputs) {
    Rng rng(1);
    for (uint8_t& v : x_) v = static_cast<uint8_t>(rng.below(256));
    for (float& v : w_) v = rng.uniform() - 0.5f;
    const octet_tensor source = octet_mat(OCTET_F32, w_.data(), kOutputs, kInputs);
    auto wd = sized<octet_weights_desc>();
    wd.source = &source;
    weights_ = make_weights(context_.get(), wd);
    auto ld = sized<octet_linear_desc>();
    ld.weights = weights_.get();
    ld.in = {OCTET_U8, 0.02f, 128};
    ld.out = {OCTET_U8, 0.1f, 128};
    op_ = make_linear(context_.get(), ld);
    serial_ = run(nullptr);
  }

  // With a null pool: on the calling thread.
  std::vector<uint8_t> run(octet_parallel_for pool) const {
    std::vector<uint8_t> y(kRows * kOutputs);
    const octet_tensor in = octet_mat(OCTET_U8, x_.data(), kRows, kInputs);
    const octet_tensor out = octet_mat(OCTET_U8, y.data(), kRows, kOutputs);
    auto exec = sized<octet_exec>();
    exec.parallel_for = pool;
    exec.max_threads = pool ? static_cast<int32_t>(kThreads) : 0;
    size_t bytes = 0;
    call(octet_op_workspace, op_.get(), &in, size_t{1}, &exec, &bytes);
    std::vector<unsigned char> workspace(bytes);
    exec.workspace = workspace.data();
    exec.workspace_bytes = bytes;
    call(octet_op_run, op_.get(), &in, size_t{1}, &out, size_t{1}, &exec);
    return y;
  }

  Context context_;
  std::vector<uint8_t> x_;
  std::vector<float> w_;
  Weights weights_;
  Op op_;
  std::vector<uint8_t> serial_;
};

TEST_F(Threads, ShareAnOp) {
  std::vector<std::vector<uint8_t>> results(kThreads);
  std::vector<std::thread> threads;
  for (auto& result : results) threads.emplace_back([&] { result = run(nullptr); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result, serial_);
}

TEST_F(Threads, SplitOneCall) { EXPECT_EQ(run(spawn), serial_); }

TEST_F(Threads, ShareAnOpAndSplitEachCall) {
  std::vector<std::vector<uint8_t>> results(kThreads);
  std::vector<std::thread> threads;
  for (auto& result : results) threads.emplace_back([&] { result = run(spawn); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result, serial_);
}

TEST_F(Threads, DestroyWhatOthersStillUse) {
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      // Each op holds its own reference to the weights, counted from many threads.
      auto ld = sized<octet_linear_desc>();
      ld.weights = weights_.get();
      ld.in = {OCTET_U8, 0.02f, 128};
      ld.out = {OCTET_S32, 0, 0};
      for (int i = 0; i < 20; ++i) make_linear(context_.get(), ld);
    });
  }
  for (std::thread& thread : threads) thread.join();
  weights_.reset();
  EXPECT_EQ(run(nullptr), serial_);
}

}  // namespace
}  // namespace octet_cli

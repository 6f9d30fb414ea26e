// SPDX-License-Identifier: Apache-2.0
//
// What a const handle promises: any number of threads at once. An executable of its own, because it
// also runs under a thread sanitizer.
#include <atomic>
#include <thread>

#include "jobs.h"

namespace contract {
namespace {

void in_parallel(int threads, const std::function<void(int)>& f) {
  std::vector<std::thread> all;
  for (int i = 0; i < threads; ++i) all.emplace_back(f, i);
  for (std::thread& t : all) t.join();
}

// A layer on its own context and weights, both already destroyed: the op holds what it needs.
struct Orphan {
  Op op;
  std::vector<float> x;

  Orphan(const octet_context* shared, int64_t n, int64_t k) : x(static_cast<size_t>(5 * k), 0.5f) {
    const Context own = shared ? nullptr : make_context();
    const octet_context* c = shared ? shared : own.get();
    Random random(3);
    const std::vector<float> w = random.reals(static_cast<size_t>(n * k), 1);
    const octet_tensor source = octet_mat(OCTET_F32, w.data(), n, k);
    octet_weights_desc wd = sized<octet_weights_desc>();
    wd.source = &source;
    const Weights weights = make_weights(c, wd);
    octet_linear_desc ld = sized<octet_linear_desc>();
    ld.weights = weights.get();
    ld.in.type = ld.out.type = OCTET_F32;
    op = make_op(c, ld);
    n_ = n;
    k_ = k;
  }

  std::vector<float> run() const {
    std::vector<float> y(static_cast<size_t>(5 * n_), -1.0f);
    const octet_tensor in = octet_mat(OCTET_F32, x.data(), 5, k_);
    const octet_tensor out = octet_mat(OCTET_F32, y.data(), 5, n_);
    octet_exec e = sized<octet_exec>();
    octet_error err{};
    EXPECT_EQ(octet_op_workspace(op.get(), &in, 1, &e, &e.workspace_bytes, &err), OCTET_OK)
        << err.text;
    std::vector<char> workspace(e.workspace_bytes);
    e.workspace = workspace.data();
    EXPECT_EQ(octet_op_run(op.get(), &in, 1, &out, 1, &e, &err), OCTET_OK) << err.text;
    return y;
  }

 private:
  int64_t n_ = 0, k_ = 0;
};

TEST(Threads, OneOpSixteenThreads) {
  const Orphan layer(nullptr, 70, 90);
  const std::vector<float> want = layer.run();
  std::atomic<int> wrong{0};
  in_parallel(16, [&](int) {
    for (int i = 0; i < 20; ++i) wrong += layer.run() != want;
  });
  EXPECT_EQ(wrong, 0);
}

// Jobs have outputs of their own, but share one context.
TEST(Threads, EveryFunctionOnOneContext) {
  const Context context = make_context();
  std::vector<std::vector<Job>> jobs;
  for (int i = 0; i < 4; ++i) jobs.push_back(all_jobs(context.get()));
  std::vector<std::vector<unsigned char>> want;
  for (const Job& job : jobs[0]) want.push_back(bits_of(job));
  std::atomic<int> wrong{0};
  in_parallel(4, [&](int t) {
    for (size_t i = 0; i < want.size(); ++i)
      wrong += bits_of(jobs[static_cast<size_t>(t)][i]) != want[i];
  });
  EXPECT_EQ(wrong, 0);
}

TEST(Threads, CreateRunDestroyRace) {
  const Context context = make_context();
  const Orphan first(context.get(), 33, 17);
  const std::vector<float> want = first.run();
  std::atomic<int> wrong{0};
  in_parallel(8, [&](int) {
    for (int i = 0; i < 25; ++i) wrong += Orphan(context.get(), 33, 17).run() != want;
  });
  EXPECT_EQ(wrong, 0);
}

// The last reference to one context and to one weights object falls on any thread.
TEST(Threads, TheLastReferenceFallsAnywhere) {
  for (int round = 0; round < 20; ++round) {
    Context context = make_context();
    Random random(1);
    const std::vector<float> w = random.reals(20 * 10, 1);
    const octet_tensor source = octet_mat(OCTET_F32, w.data(), 20, 10);
    octet_weights_desc wd = sized<octet_weights_desc>();
    wd.source = &source;
    Weights weights = make_weights(context.get(), wd);
    octet_linear_desc ld = sized<octet_linear_desc>();
    ld.weights = weights.get();
    ld.in.type = ld.out.type = OCTET_F32;
    std::vector<Op> ops;
    for (int i = 0; i < 8; ++i) ops.push_back(make_op(context.get(), ld));
    context.reset();
    weights.reset();
    in_parallel(8, [&](int i) { ops[static_cast<size_t>(i)].reset(); });
  }
}

// release is called once, by whichever op lets go last.
TEST(Threads, AMappedBlobIsReleasedOnce) {
  const Context context = make_context();
  Random random(1);
  const std::vector<float> w = random.reals(20 * 10, 1);
  const octet_tensor source = octet_mat(OCTET_F32, w.data(), 20, 10);
  octet_weights_desc wd = sized<octet_weights_desc>();
  wd.source = &source;
  const Weights packed = make_weights(context.get(), wd);
  const void* data = nullptr;
  size_t bytes = 0;
  EXPECT_ACCEPTED(octet_weights_blob(packed.get(), &data, &bytes, err));
  std::atomic<int> released{0};
  octet_blob blob = sized<octet_blob>();
  blob.data = data;
  blob.bytes = bytes;
  blob.user = &released;
  blob.release = [](void* user, const void*, size_t) { ++*static_cast<std::atomic<int>*>(user); };
  octet_weights* opened = nullptr;
  EXPECT_ACCEPTED(octet_weights_open(context.get(), &blob, &opened, err));
  octet_linear_desc ld = sized<octet_linear_desc>();
  ld.weights = opened;
  ld.in.type = ld.out.type = OCTET_F32;
  std::vector<Op> ops;
  for (int i = 0; i < 8; ++i) ops.push_back(make_op(context.get(), ld));
  octet_weights_destroy(opened);
  EXPECT_EQ(released, 0);
  in_parallel(8, [&](int i) { ops[static_cast<size_t>(i)].reset(); });
  EXPECT_EQ(released, 1);
}

TEST(Threads, ManyReadOneObserver) {
  const Context context = make_context();
  const Observer source = make_observer(context.get(), 0, 0);
  const float data[] = {-2, 5, 1};
  const octet_tensor x = octet_vec(OCTET_F32, data, 3);
  EXPECT_ACCEPTED(octet_observer_feed(source.get(), &x, nullptr, err));
  std::atomic<int> wrong{0};
  in_parallel(8, [&](int) {
    const Observer into = make_observer(context.get(), 0, 0);
    float scale = 0, merged = 1;
    int32_t zero = 0;
    for (int i = 0; i < 50; ++i) {
      wrong += octet_observer_merge(into.get(), source.get(), nullptr) != OCTET_OK;
      wrong += octet_observer_qparams(source.get(), nullptr, &scale, &zero, 1, nullptr) != OCTET_OK;
      wrong += octet_observer_qparams(into.get(), nullptr, &merged, &zero, 1, nullptr) != OCTET_OK;
      wrong += scale != merged;
    }
  });
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace contract

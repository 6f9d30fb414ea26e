// SPDX-License-Identifier: Apache-2.0
//
// The workspace: exactly as many bytes as were asked for, at any address, with anything in them;
// its size never falls when rows or threads are added, so that a host plans once, for the maximum.
#include <algorithm>

#include "jobs.h"
#include "pools.h"

namespace contract {
namespace {

class Workspace : public testing::Test {
 protected:
  static octet_exec exec_at(void* p, size_t bytes) {
    octet_exec e = sized<octet_exec>();
    e.workspace = p;
    e.workspace_bytes = bytes;
    return e;
  }
  const Context context_ = make_context();
  const std::vector<Job> jobs_ = layer_jobs(context_.get(), kJobM, kJobN, kJobK);
};

TEST_F(Workspace, AnyContentGivesTheSameBits) {
  for (const Job& job : jobs_) {
    const auto want = bits_of(job);
    const size_t bytes = job.workspace(1);
    for (const int poison : {0x00, 0xFF, 0x7F, 0x80, 0xA5}) {
      const Guarded memory(bytes);
      std::memset(memory.data(), poison, bytes);
      const octet_exec e = exec_at(memory.data(), bytes);
      EXPECT_EQ(bits_of(job, &e), want) << job.name << ", filled with " << poison;
      EXPECT_EQ(memory.spilled(), 0u) << job.name;
    }
  }
}

TEST_F(Workspace, AnyAlignmentBetweenGuardPages) {
  for (const Job& job : jobs_) {
    const auto want = bits_of(job);
    const size_t bytes = job.workspace(1);
    for (size_t offset = 0; offset < 64; ++offset) {
      // The end of memory is page-aligned: with so many bytes behind it, the start has this offset.
      const size_t behind = (64 - (offset + bytes) % 64) % 64;
      const Guarded memory(bytes + behind);
      std::memset(memory.data(), 0xA5, memory.size());
      ASSERT_EQ(reinterpret_cast<uintptr_t>(memory.data()) % 64, offset);
      const Snapshot slack(memory.data() + bytes, behind);
      const octet_exec e = exec_at(memory.data(), bytes);
      EXPECT_EQ(bits_of(job, &e), want) << job.name << ", offset " << offset;
      EXPECT_TRUE(slack.same()) << job.name;
      EXPECT_EQ(memory.spilled(), 0u) << job.name;
    }
    const Guarded at_start(bytes, true);
    const octet_exec e = exec_at(at_start.data(), bytes);
    EXPECT_EQ(bits_of(job, &e), want) << job.name;
    EXPECT_EQ(at_start.spilled(), 0u) << job.name;
  }
}

TEST_F(Workspace, IsReusedByAnotherOp) {
  size_t most = 0;
  std::vector<std::vector<unsigned char>> want;
  for (const Job& job : jobs_) {
    most = std::max(most, job.workspace(1));
    want.push_back(bits_of(job));
  }
  const Guarded memory(most);
  const octet_exec e = exec_at(memory.data(), most);
  for (size_t before = 0; before < jobs_.size(); ++before)
    for (size_t i = 0; i < jobs_.size(); ++i) {
      jobs_[before].run(&e, nullptr);
      EXPECT_EQ(bits_of(jobs_[i], &e), want[i]) << jobs_[i].name << " after " << jobs_[before].name;
    }
}

TEST_F(Workspace, OfTheLargestCallServesEverySmallerOne) {
  std::vector<int64_t> rows = {2000, 4095, 4096, 4097};
  for (int64_t m = 0; m < 40; ++m) rows.push_back(m);
  for (const int64_t m : {64, 100, 127, 128, 129, 167, 168, 169, 256, 336, 337, 511, 1000, 1025})
    rows.push_back(m);
  std::sort(rows.begin(), rows.end());
  constexpr int64_t kN = 24, kK = 20;
  std::vector<std::vector<size_t>> least(jobs_.size(), std::vector<size_t>(17, 0));
  for (const int64_t m : rows) {
    const std::vector<Job> jobs = layer_jobs(context_.get(), m, kN, kK);
    for (size_t i = 0; i < jobs.size(); ++i)
      for (int32_t threads = 1; threads <= 16; ++threads) {
        // least[threads]: the most that fewer rows and at most as many threads asked for.
        const size_t bytes = jobs[i].workspace(threads);
        size_t& at = least[i][static_cast<size_t>(threads)];
        at = std::max(at, least[i][static_cast<size_t>(threads) - 1]);
        EXPECT_GE(bytes, at) << jobs[i].name << ", M " << m << ", threads " << threads;
        at = std::max(at, bytes);
      }
  }
}

TEST_F(Workspace, SizeFromTheLargestCallIsEnoughToRun) {
  const std::vector<Job> largest = layer_jobs(context_.get(), 300, 40, 50);
  for (const int64_t m : {0, 1, 2, 13, 167, 299}) {
    const std::vector<Job> jobs = layer_jobs(context_.get(), m, 40, 50);
    for (size_t i = 0; i < jobs.size(); ++i)
      for (const int32_t threads : {1, 3, 16}) {
        const size_t bytes = largest[i].workspace(16);
        const Guarded memory(bytes);
        octet_exec e = exec_at(memory.data(), bytes);
        e.max_threads = threads;
        Pool pool(Pool::kThreads);
        pool.serve(&e);
        EXPECT_EQ(bits_of(jobs[i], &e), bits_of(jobs[i])) << jobs[i].name << ", M " << m;
      }
  }
}

// All leading dims are rows.
TEST_F(Workspace, LeadingDimsCountAsRows) {
  octet_tensor w = octet_mat(OCTET_F32, nullptr, 8, 16);
  octet_weights_desc wd = sized<octet_weights_desc>();
  wd.flags = OCTET_SHAPE_ONLY;
  wd.source = &w;
  const Weights weights = make_weights(context_.get(), wd);
  octet_linear_desc ld = sized<octet_linear_desc>();
  ld.weights = weights.get();
  ld.in.type = ld.out.type = OCTET_F32;
  const Op op = make_op(context_.get(), ld);
  const octet_tensor flat = octet_mat(OCTET_F32, nullptr, 2 * 3 * 5, 16);
  const octet_tensor deep = octet_view(OCTET_F32, nullptr, 4, 2, 3, 5, 16);
  size_t flat_bytes = 0, deep_bytes = 1;
  EXPECT_ACCEPTED(octet_op_workspace(op.get(), &flat, 1, nullptr, &flat_bytes, err));
  EXPECT_ACCEPTED(octet_op_workspace(op.get(), &deep, 1, nullptr, &deep_bytes, err));
  EXPECT_EQ(flat_bytes, deep_bytes);
}

}  // namespace
}  // namespace contract

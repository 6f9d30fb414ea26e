// SPDX-License-Identifier: Apache-2.0
//
// Any pool that keeps the contract of octet_parallel_for gives the same bits, whatever it does with
// the indices; a pool that cancels makes the call say so and writes nothing outside the outputs.
#include "jobs.h"
#include "pools.h"

namespace contract {
namespace {

class ParallelFor : public testing::Test {
 protected:
  const Context context_ = make_context();
  const std::vector<Job> jobs_ = all_jobs(context_.get());
};

TEST_F(ParallelFor, AnyPoolGivesTheSameBits) {
  for (const Job& job : jobs_) {
    const auto want = bits_of(job);
    for (const Pool::Kind kind : Pool::kComplete)
      for (const int32_t threads : {1, 2, 7, 16}) {
        Pool pool(kind);
        JobExec e(job, threads);
        pool.serve(&e.exec);
        EXPECT_EQ(bits_of(job, &e.exec), want)
            << job.name << ", " << Pool::name(kind) << ", " << threads << " threads";
        EXPECT_LE(pool.most(), static_cast<size_t>(threads)) << job.name;
        EXPECT_TRUE(!job.large || threads == 1 || pool.calls() >= 1) << job.name;
      }
  }
}

// Rows long enough that preparing the activations is split, too, and several chunks of them.
TEST_F(ParallelFor, PreparationOfActivationsIsSplitToo) {
  for (const Job& job : layer_jobs(context_.get(), 90, 18, 2500)) {
    const auto want = bits_of(job);
    for (const Pool::Kind kind : Pool::kComplete) {
      Pool pool(kind);
      JobExec e(job, 5);
      pool.serve(&e.exec);
      EXPECT_EQ(bits_of(job, &e.exec), want) << job.name << ", " << Pool::name(kind);
    }
  }
}

TEST_F(ParallelFor, CancellingIsReportedAndWritesOutputsOnly) {
  for (const Job& job : jobs_)
    for (const Pool::Kind kind : {Pool::kCancelNone, Pool::kCancelSome}) {
      SCOPED_TRACE(job.name + ", " + Pool::name(kind));
      Pool pool(kind);
      JobExec e(job, 8);
      pool.serve(&e.exec);
      octet_error err{};
      const octet_status status = job.run(&e.exec, &err);
      EXPECT_EQ(job.out->spilled(), 0u);
      if (!job.large && pool.calls() == 0) {
        EXPECT_EQ(status, OCTET_OK) << err.text;
        continue;
      }
      ASSERT_EQ(status, OCTET_ERR_CANCELLED);
      EXPECT_EQ(err.status, OCTET_ERR_CANCELLED);
      EXPECT_NE(std::string(err.text).find(kind == Pool::kCancelNone ? "1" : "-7"),
                std::string::npos)
          << err.text;
      EXPECT_EQ(job.run(&e.exec, nullptr), OCTET_ERR_CANCELLED);
    }
}

// After a cancelled call the same handles give the right bits again.
TEST_F(ParallelFor, CancellingLeavesTheHandlesWhole) {
  for (const Job& job : jobs_) {
    const auto want = bits_of(job);
    Pool pool(Pool::kCancelSome);
    JobExec e(job, 8);
    pool.serve(&e.exec);
    job.run(&e.exec, nullptr);
    EXPECT_EQ(bits_of(job), want) << job.name;
  }
}

// Three host threads, each within a parallel region of the host, that call with a nested pool.
TEST_F(ParallelFor, NestedInARegionOfTheHost) {
  struct Region {
    std::vector<std::vector<Job>> jobs;
    std::vector<std::vector<std::vector<unsigned char>>> bits;
  } region;
  for (int i = 0; i < 3; ++i) region.jobs.push_back(all_jobs(context_.get()));
  region.bits.resize(3);
  const octet_task run_all = [](void* arg, size_t i) {
    Region& r = *static_cast<Region*>(arg);
    for (const Job& job : r.jobs[i]) {
      Pool inner(Pool::kThreads);
      JobExec e(job, 3);
      inner.serve(&e.exec);
      r.bits[i].push_back(bits_of(job, &e.exec));
    }
  };
  Pool outer(Pool::kThreads);
  octet_exec host = sized<octet_exec>();
  outer.serve(&host);
  ASSERT_EQ(host.parallel_for(host.pool, 3, run_all, &region), 0);
  EXPECT_EQ(region.bits[0], region.bits[1]);
  EXPECT_EQ(region.bits[0], region.bits[2]);
}

}  // namespace
}  // namespace contract

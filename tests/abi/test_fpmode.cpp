// SPDX-License-Identifier: Apache-2.0
//
// The host's floating-point environment reaches no bit of any result, and no bit of the environment
// differs after a call: neither modes nor sticky flags, on the calling thread and on the pool's.
#include "fpmode.h"
#include "jobs.h"
#include "pools.h"

namespace contract {
namespace {

class FloatingPoint : public testing::Test {
 protected:
  const Context context_ = make_context();
  const std::vector<Job> jobs_ = all_jobs(context_.get());
};

// Contexts of every cap, because each has vector code of its own.
TEST_F(FloatingPoint, ModesReachNoBitAndAreRestored) {
  for (const std::string& isa : usable_isas()) {
    const Context context = make_context(isa.c_str());
    for (const Job& job : all_jobs(context.get())) {
      const auto want = bits_of(job);
      for (const FpMode& mode : kFpModes) {
        SCOPED_TRACE(job.name + ", " + isa + ", " + mode.name);
        std::memset(job.out->data(), 0xCD, job.out->size());
        const JobExec e(job);
        octet_status status = OCTET_ERR_INTERNAL;
        FpState before{};
        const FpState after = run_in(mode, [&] {
          before = FpState::get();  // what this CPU made of the mode
          status = job.run(&e.exec, nullptr);
        });
        EXPECT_EQ(status, OCTET_OK);
        EXPECT_TRUE(after == before);
        EXPECT_TRUE(std::equal(want.begin(), want.end(), job.out->data()));
      }
    }
  }
}

TEST_F(FloatingPoint, RestoredAfterRefusals) {
  for (const Job& job : jobs_)
    for (const FpMode& mode : kFpModes) {
      octet_exec e = sized<octet_exec>();
      e.max_threads = -1;
      octet_status status = OCTET_OK;
      FpState before{};
      const FpState after = run_in(mode, [&] {
        before = FpState::get();
        status = job.run(&e, nullptr);
      });
      EXPECT_EQ(status, job.takes_exec ? OCTET_ERR_ARGUMENT : OCTET_OK) << job.name;
      EXPECT_TRUE(after == before) << job.name << ", " << mode.name;
    }
}

// A pool whose threads are all in one mode.
struct ModePool {
  const FpMode* mode;
  int wrong = 0;

  static int32_t run(void* self, size_t n, octet_task task, void* arg) {
    ModePool& pool = *static_cast<ModePool*>(self);
    on_thread([&] {
      for (size_t i = 0; i < n; ++i) {
        FpState before{};
        const FpState after = run_in(*pool.mode, [&] {
          before = FpState::get();
          task(arg, i);
        });
        pool.wrong += !(after == before);
      }
    });
    return 0;
  }
};

TEST_F(FloatingPoint, ModesOfThePoolsThreadsReachNoBit) {
  for (const Job& job : jobs_) {
    const auto want = bits_of(job);
    for (const FpMode& mode : kFpModes) {
      ModePool pool{&mode};
      JobExec e(job, 4);
      e.exec.parallel_for = ModePool::run;
      e.exec.pool = &pool;
      EXPECT_EQ(bits_of(job, &e.exec), want) << job.name << ", " << mode.name;
      EXPECT_EQ(pool.wrong, 0) << job.name << ", " << mode.name;
    }
  }
}

#if defined(__x86_64__)

// Values on the x87 stack and in the upper halves of the vector registers are the host's business.
TEST_F(FloatingPoint, DirtyRegistersReachNoBit) {
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "this CPU has no upper halves";
  for (const Job& job : jobs_) {
    const auto want = bits_of(job);
    const JobExec e(job);
    std::memset(job.out->data(), 0xCD, job.out->size());
    __asm__ volatile(
        "fldpi\n\tfldpi\n\t"
        "vpcmpeqd %%ymm0, %%ymm0, %%ymm0\n\t"
        "vpcmpeqd %%ymm15, %%ymm15, %%ymm15" ::
            : "xmm0", "xmm15", "memory");
    const octet_status status = job.run(&e.exec, nullptr);
    double top = 0, below = 0;
    __asm__ volatile("fstpl %0\n\tfstpl %1" : "=m"(top), "=m"(below));
    __asm__ volatile("vzeroupper" ::: "memory");
    EXPECT_EQ(status, OCTET_OK) << job.name;
    EXPECT_TRUE(std::equal(want.begin(), want.end(), job.out->data())) << job.name;
    EXPECT_EQ(top, below) << job.name;
    EXPECT_NEAR(top, 3.14159265358979, 1e-14) << job.name;
  }
}

#endif

}  // namespace
}  // namespace contract

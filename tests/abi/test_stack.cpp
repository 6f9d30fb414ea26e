// SPDX-License-Identifier: Apache-2.0
//
// Hosts run layers on threads with little stack: no call of the run path needs more than 16 KiB,
// on the calling thread or on the pool's. Measured by painting.
#include <algorithm>

#include "jobs.h"
#include "pools.h"

namespace contract {
namespace {

constexpr size_t kLimit = size_t{16} << 10, kPainted = size_t{40} << 10;
constexpr unsigned char kPaint = 0xC6;

// Bytes of stack below this frame that f changed.
[[gnu::noinline]] size_t stack_of(const std::function<void()>& f) {
  unsigned char* const here = static_cast<unsigned char*>(__builtin_frame_address(0));
  // Below the frame of this function and of the call itself; volatile, for it is nobody's memory.
  volatile unsigned char* const low = here - kPainted;
  for (volatile unsigned char* p = low; p < here - 512; ++p) *p = kPaint;
  f();
  const volatile unsigned char* p = low;
  while (p < here && *p == kPaint) ++p;
  return static_cast<size_t>(here - p);
}

TEST(Stack, EveryCallNeedsAtMost16KiB) {
#if CONTRACT_SANITIZED || !defined(__OPTIMIZE__)
  GTEST_SKIP() << "frames of this build are larger than those of a release";
#endif
  size_t most = 0;
  for (const std::string& isa : usable_isas()) {
    const Context context = make_context(isa.c_str());
    for (const Job& job : all_jobs(context.get())) {
      bits_of(job);  // the loader's lazy binding has been here
      const JobExec e(job);
      octet_status status = OCTET_ERR_INTERNAL;
      size_t used = 0;
      on_thread([&] { used = stack_of([&] { status = job.run(&e.exec, nullptr); }); });
      EXPECT_EQ(status, OCTET_OK) << job.name;
      EXPECT_LE(used, kLimit) << job.name << ", " << isa;
      most = std::max(most, used);
    }
  }
  RecordProperty("most", static_cast<int>(most));
  std::printf("at most %zu bytes\n", most);
}

// The same for the tasks of a pool, whose frames start where the host's thread calls them.
TEST(Stack, EveryTaskNeedsAtMost16KiB) {
#if CONTRACT_SANITIZED || !defined(__OPTIMIZE__)
  GTEST_SKIP() << "frames of this build are larger than those of a release";
#endif
  struct Painter {
    size_t most = 0;
    static int32_t run(void* self, size_t n, octet_task task, void* arg) {
      Painter& painter = *static_cast<Painter*>(self);
      on_thread([&] {
        for (size_t i = 0; i < n; ++i)
          painter.most = std::max(painter.most, stack_of([&] { task(arg, i); }));
      });
      return 0;
    }
  };
  for (const std::string& isa : usable_isas()) {
    const Context context = make_context(isa.c_str());
    for (const Job& job : all_jobs(context.get())) {
      bits_of(job);
      Painter painter;
      JobExec e(job, 3);
      e.exec.parallel_for = Painter::run;
      e.exec.pool = &painter;
      EXPECT_EQ(job.run(&e.exec, nullptr), OCTET_OK) << job.name;
      EXPECT_LE(painter.most, kLimit) << job.name << ", " << isa;
    }
  }
}

}  // namespace
}  // namespace contract

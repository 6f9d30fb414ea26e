// SPDX-License-Identifier: Apache-2.0
#include "pools.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <numeric>

namespace contract {

namespace {

using Start = void*(void*);

pthread_t start(Start* f, void* arg, size_t stack_bytes) {
  const long least = sysconf(_SC_THREAD_STACK_MIN);
  if (least > 0) stack_bytes = std::max(stack_bytes, static_cast<size_t>(least));
  if (CONTRACT_SANITIZED) stack_bytes = std::max(stack_bytes, size_t{2} << 20);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  EXPECT_EQ(pthread_attr_setstacksize(&attributes, stack_bytes), 0);
  pthread_t thread;
  EXPECT_EQ(pthread_create(&thread, &attributes, f, arg), 0);
  pthread_attr_destroy(&attributes);
  return thread;
}

struct OneTask {
  octet_task task;
  void* arg;
  size_t index;
};

}  // namespace

void on_thread(const std::function<void()>& f, size_t stack_bytes) {
  Start* const call = [](void* p) -> void* {
    (*static_cast<const std::function<void()>*>(p))();
    return nullptr;
  };
  pthread_join(start(call, const_cast<std::function<void()>*>(&f), stack_bytes), nullptr);
}

const char* Pool::name(Kind kind) {
  static const char* const names[] = {"serial",        "reversed",          "shuffled",
                                      "one worker",    "only index 0",      "none",
                                      "small threads", "cancelled at once", "cancelled halfway"};
  return names[kind];
}

int32_t Pool::run(void* self, size_t n, octet_task task, void* arg) {
  Pool& pool = *static_cast<Pool*>(self);
  ++pool.calls_;
  pool.most_ = std::max(pool.most_, n);
  EXPECT_GE(n, 1u);
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  const auto run_all = [&] {
    for (const size_t i : order) task(arg, i);
  };
  switch (pool.kind_) {
    case kSerial:
      run_all();
      return 0;
    case kReversed:
      std::reverse(order.begin(), order.end());
      run_all();
      return 0;
    case kShuffled: {
      Random random(n + static_cast<size_t>(pool.calls_));
      for (size_t i = n; i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
      run_all();
      return 0;
    }
    case kOneWorker:
      on_thread(run_all, kSmallStack);
      return 0;
    case kOnlyFirst:
      task(arg, 0);
      return 0;
    case kNone:
      return 0;
    case kThreads: {
      std::vector<OneTask> tasks(n);
      std::vector<pthread_t> threads(n);
      for (const size_t i : order) {
        tasks[i] = {task, arg, i};
        threads[i] = start(
            [](void* p) -> void* {
              const OneTask& one = *static_cast<OneTask*>(p);
              one.task(one.arg, one.index);
              return nullptr;
            },
            &tasks[i], kSmallStack);
      }
      for (const pthread_t thread : threads) pthread_join(thread, nullptr);
      return 0;
    }
    case kCancelNone:
      return 1;
    case kCancelSome:
      order.resize(n / 2);
      run_all();
      return -7;
  }
  return 0;
}

}  // namespace contract

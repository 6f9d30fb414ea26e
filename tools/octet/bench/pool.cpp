// SPDX-License-Identifier: Apache-2.0
#include "bench/pool.h"

#include <sched.h>

namespace octet_cli {
namespace {

// How often a waiting thread looks before it sleeps: some 20 microseconds. Longer would take the
// core from a peer's threads, whose turn it is next.
constexpr int kLooks = 10000;

template <typename Ready>
void spin(Ready ready) {
  for (int i = 0; i < kLooks && !ready(); ++i) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
}

}  // namespace

std::vector<int> usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return {};
  const int here = sched_getcpu();
  std::vector<int> cores;
  if (here >= 0) cores.push_back(here);
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (core != here && CPU_ISSET(static_cast<size_t>(core), &set)) cores.push_back(core);
  return cores;
}

bool pin(const std::vector<int>& cores) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int core : cores) CPU_SET(static_cast<size_t>(core), &set);
  return !cores.empty() && sched_setaffinity(0, sizeof set, &set) == 0;
}

Pool::Pool(const std::vector<int>& cores) {
  for (size_t i = 1; i < cores.size(); ++i)
    workers_.emplace_back([this, i, core = cores[i]] { worker(i, core); });
}

Pool::~Pool() {
  stop_ = true;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Pool::worker(size_t thread, int core) {
  if (core >= 0) pin({core});
  for (uint32_t seen = 0;;) {
    spin([&] { return round_.load(std::memory_order_relaxed) != seen; });
    round_.wait(seen, std::memory_order_acquire);
    seen = round_.load(std::memory_order_acquire);
    if (stop_) return;
    call_(work_, thread);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
  }
}

void Pool::start(void (*call)(void*, size_t), void* work) {
  call_ = call;
  work_ = work;
  busy_.store(static_cast<uint32_t>(workers_.size()), std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  call(work, 0);
  spin([&] { return busy_.load(std::memory_order_relaxed) == 0; });
  for (uint32_t left; (left = busy_.load(std::memory_order_acquire)) != 0;) busy_.wait(left);
}

void Pool::everywhere(const std::function<void(size_t)>& work) {
  auto call = [](void* function, size_t thread) {
    (*static_cast<const std::function<void(size_t)>*>(function))(thread);
  };
  start(call, const_cast<std::function<void(size_t)>*>(&work));
}

int32_t Pool::parallel_for(void* pool, size_t n, octet_task task, void* arg) {
  struct Job {
    octet_task task;
    void* arg;
    size_t n;
    std::atomic<size_t> next{0};
  } job{task, arg, n};
  auto call = [](void* work, size_t) {
    Job& todo = *static_cast<Job*>(work);
    for (size_t i; (i = todo.next.fetch_add(1, std::memory_order_relaxed)) < todo.n;)
      todo.task(todo.arg, i);
  };
  static_cast<Pool*>(pool)->start(call, &job);
  return 0;
}

}  // namespace octet_cli

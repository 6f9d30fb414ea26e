// SPDX-License-Identifier: Apache-2.0
//
// Threads for the benchmark: the library has none, so the program brings its own parallel_for. One
// worker a core, pinned; the caller works too.
#pragma once

#include <octet/octet.h>

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

namespace octet_cli {

// The cores that this process may use, the one where it runs first.
std::vector<int> usable_cores();

// Keeps the calling thread on these cores; false where the system refuses.
bool pin(const std::vector<int>& cores);

class Pool {
 public:
  // cores.size() threads, the caller among them. No worker is started for one core.
  explicit Pool(const std::vector<int>& cores);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  size_t threads() const { return workers_.size() + 1; }

  // work(thread) once on each thread; returns when all have ended.
  void everywhere(const std::function<void(size_t thread)>& work);

  // For octet_exec: pool is the Pool. Indices are claimed one by one.
  static int32_t parallel_for(void* pool, size_t n, octet_task task, void* arg);

 private:
  void worker(size_t thread, int core);
  void start(void (*call)(void* work, size_t thread), void* work);

  std::vector<std::thread> workers_;
  std::atomic<uint32_t> round_{0}, busy_{0};
  bool stop_ = false;  // written before round_ moves
  void (*call_)(void* work, size_t thread) = nullptr;
  void* work_ = nullptr;
};

}  // namespace octet_cli

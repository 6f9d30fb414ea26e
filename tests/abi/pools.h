// SPDX-License-Identifier: Apache-2.0
//
// Doubles of a host's thread pool: each a legal parallel_for, most of them unlike anything that a
// sensible pool does.
#pragma once

#include "support.h"

namespace contract {

class Pool {
 public:
  enum Kind {
    kSerial,      // in order, on the calling thread
    kReversed,    // last index first
    kShuffled,    // any order
    kOneWorker,   // all indices on one other thread
    kOnlyFirst,   // index 0 alone, yet it answers 0: the rest is skipped
    kNone,        // no index at all, yet it answers 0
    kThreads,     // a thread with a small stack for each index
    kCancelNone,  // cancels before any index
    kCancelSome,  // runs half of the indices, then cancels
  };
  static constexpr Kind kComplete[] = {kSerial,    kReversed, kShuffled, kOneWorker,
                                       kOnlyFirst, kNone,     kThreads};
  static const char* name(Kind kind);

  explicit Pool(Kind kind) : kind_(kind) {}
  // An exec that runs here.
  void serve(octet_exec* e) {
    e->parallel_for = run;
    e->pool = this;
  }
  int calls() const { return calls_; }
  size_t most() const { return most_; }  // indices asked for in one call

 private:
  static int32_t run(void* pool, size_t n, octet_task task, void* arg);
  Kind kind_;
  int calls_ = 0;
  size_t most_ = 0;
};

// Runs f on a thread of its own with a stack of so many bytes, or the least that this system
// allows (more under a sanitizer).
constexpr size_t kSmallStack = size_t{64} << 10;
void on_thread(const std::function<void()>& f, size_t stack_bytes = kSmallStack);

}  // namespace contract

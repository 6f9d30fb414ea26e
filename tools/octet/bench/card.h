// SPDX-License-Identifier: Apache-2.0
//
// Where a benchmark runs: its cores, and the machine as reports tell of it.
#pragma once

#include <vector>

#include "bench/report.h"
#include "machine.h"

namespace octet_cli {

// Where threads run. The process keeps to as many cores as it has threads; while Octet runs, the
// calling thread stays on the first of them, as its workers do on theirs.
struct Cores {
  explicit Cores(size_t threads);
  std::vector<int> all;  // -1 where there are not enough
  bool pinned = false;
};

class OnFirstCore {
 public:
  explicit OnFirstCore(const Cores& cores);
  ~OnFirstCore();
  OnFirstCore(const OnFirstCore&) = delete;
  OnFirstCore& operator=(const OnFirstCore&) = delete;

 private:
  const Cores& cores_;
  bool moved_;
};

// What the machine tells; threads, memory and rounds are the benchmark's.
Card make_card(const Machine& machine);

// The best instruction set that can be used, its own cap considered.
std::string best_isa(const Machine& machine);

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
//
// Comparisons that survive a machine whose clock rate wanders and whose cores are shared: all
// candidates run in turn, round after round, and the median of each counts.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

namespace octet_cli {

struct Candidate {
  std::function<void(size_t iterations)> run;
  double seconds = 0;  // written: median of one iteration
};

// Each round gives every candidate about a millisecond, or one iteration where that takes longer.
void time_interleaved(std::vector<Candidate>& candidates, size_t rounds);

// Keeps this thread on the core where it runs; false where the system refuses.
bool pin_to_core();

}  // namespace octet_cli

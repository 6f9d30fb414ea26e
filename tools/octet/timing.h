// SPDX-License-Identifier: Apache-2.0
//
// Comparisons that survive a machine whose clock rate wanders and whose cores are shared: all
// candidates run in turn, round after round, slices that lost their core are taken again, and the
// median of each counts.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

namespace octet_cli {

struct Candidate {
  // Runs and returns the seconds that the iterations took; NaN: it cannot go on and is left out.
  std::function<double(size_t iterations)> run;
  // How often what runs had to leave its core; empty: this process. Work of another process is
  // asked there, or it would be the only one whose disturbed slices count.
  std::function<long()> switches;
  bool cold = false;  // its calls are timed one by one, each after Timing::evict

  // Written: seconds of one iteration. lost: a run ended with NaN.
  double seconds = 0, min = 0, max = 0;
  bool lost = false;
};

// A candidate that is timed from outside.
Candidate timed(std::function<void(size_t iterations)> run);

struct Timing {
  size_t rounds = 15;
  double slice = 1e-3;          // seconds that a candidate gets in each round, or one iteration
  std::function<void()> evict;  // empties the caches; only cold candidates need it
};

void time_interleaved(std::vector<Candidate>& candidates, const Timing& timing);

}  // namespace octet_cli

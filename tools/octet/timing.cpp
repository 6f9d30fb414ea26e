// SPDX-License-Identifier: Apache-2.0
#include "timing.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <utility>

#include "output.h"

namespace octet_cli {
namespace {

// Calls of a cold candidate in each round: emptying the caches takes longer than most calls.
constexpr size_t kColdCalls = 3;

// A slice in which the system gave the core to another process says nothing. It is taken again, if
// it is so short that it can hope to stay alone.
constexpr double kLongestAgain = 5e-3;
constexpr int kTries = 4;

// How often its threads had to leave their core.
long switches(const Candidate& candidate) {
  if (candidate.switches) return candidate.switches();
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nivcsw;
}

double run(Candidate& candidate, size_t iterations, const Timing& timing) {
  if (candidate.lost) return 0;
  double seconds = 0;
  if (candidate.cold) {
    for (size_t i = 0; i < iterations; ++i) {
      timing.evict();
      seconds += candidate.run(1);
    }
  } else {
    seconds = candidate.run(iterations);
  }
  candidate.lost = std::isnan(seconds);
  return seconds;
}

// The shortest of the tries, the first that is undisturbed the last of them.
double run_undisturbed(Candidate& candidate, size_t iterations, const Timing& timing) {
  double shortest = 0;
  for (int i = 0; i < kTries && !candidate.lost; ++i) {
    const long before = switches(candidate);
    const double seconds = run(candidate, iterations, timing);
    if (i == 0 || seconds < shortest) shortest = seconds;
    if (switches(candidate) == before) break;
    if (i == 1 && shortest > kLongestAgain) break;
  }
  return shortest;
}

// How many iterations fill the slice. The first call of all is not counted: it may be the first
// touch of its memory. What follows is measured twice: a disturbance must not pass for a slow call,
// or all rounds would have too few.
size_t calibrate(Candidate& candidate, const Timing& timing) {
  run(candidate, 1, timing);
  size_t iterations = 1;
  while (!candidate.lost && iterations < size_t{1} << 40) {
    if (candidate.cold && iterations >= kColdCalls) break;
    if (run_undisturbed(candidate, iterations, timing) >= timing.slice &&
        run_undisturbed(candidate, iterations, timing) >= timing.slice)
      break;
    iterations *= 2;
  }
  return iterations;
}

}  // namespace

Candidate timed(std::function<void(size_t)> work) {
  Candidate candidate;
  candidate.run = [work = std::move(work)](size_t iterations) {
    const auto start = std::chrono::steady_clock::now();
    work(iterations);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  return candidate;
}

void time_interleaved(std::vector<Candidate>& candidates, const Timing& timing) {
  std::vector<size_t> iterations;
  for (Candidate& candidate : candidates) iterations.push_back(calibrate(candidate, timing));
  std::vector<std::vector<double>> seconds(candidates.size());
  for (size_t round = 0; round < timing.rounds; ++round) {
    for (size_t c = 0; c < candidates.size(); ++c) {
      // Untimed first: the candidate before this one may have left another clock rate behind.
      if (iterations[c] > 1 && !candidates[c].cold)
        run(candidates[c], std::max<size_t>(iterations[c] / 4, 1), timing);
      seconds[c].push_back(run_undisturbed(candidates[c], iterations[c], timing) /
                           static_cast<double>(iterations[c]));
    }
  }
  for (size_t c = 0; c < candidates.size(); ++c) {
    if (candidates[c].lost || seconds[c].empty()) continue;
    candidates[c].seconds = median(seconds[c]);
    candidates[c].min = *std::min_element(seconds[c].begin(), seconds[c].end());
    candidates[c].max = *std::max_element(seconds[c].begin(), seconds[c].end());
  }
}

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
#include "timing.h"

#include <sched.h>

#include <algorithm>
#include <chrono>

#include "output.h"

namespace octet_cli {
namespace {

constexpr double kSlice = 1e-3;

double seconds_of(const Candidate& candidate, size_t iterations) {
  const auto start = std::chrono::steady_clock::now();
  candidate.run(iterations);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// How many iterations fill the slice.
size_t calibrate(const Candidate& candidate) {
  size_t iterations = 1;
  while (seconds_of(candidate, iterations) < kSlice) iterations *= 2;
  return iterations;
}

}  // namespace

void time_interleaved(std::vector<Candidate>& candidates, size_t rounds) {
  std::vector<size_t> iterations;
  for (const Candidate& candidate : candidates) iterations.push_back(calibrate(candidate));
  std::vector<std::vector<double>> seconds(candidates.size());
  for (size_t round = 0; round < rounds; ++round) {
    for (size_t c = 0; c < candidates.size(); ++c) {
      // Untimed first: the candidate before this one may have left another clock rate behind.
      if (iterations[c] > 1) candidates[c].run(std::max<size_t>(iterations[c] / 4, 1));
      seconds[c].push_back(seconds_of(candidates[c], iterations[c]) /
                           static_cast<double>(iterations[c]));
    }
  }
  for (size_t c = 0; c < candidates.size(); ++c) candidates[c].seconds = median(seconds[c]);
}

bool pin_to_core() {
  const int core = sched_getcpu();
  if (core < 0) return false;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(core), &set);
  return sched_setaffinity(0, sizeof set, &set) == 0;
}

}  // namespace octet_cli

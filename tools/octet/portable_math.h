// SPDX-License-Identifier: Apache-2.0
//
// The few functions of training whose bits must be the same on every machine: random numbers, exp
// and log. libm's exp and log differ between versions and architectures, and one last bit changes
// which images a trained network gets right; these are made of + - * / alone, each rounded once.
#pragma once

#include <cstddef>
#include <cstdint>

namespace octet_cli {

// SplitMix64: a counter and a mixer. Small, and every bit follows from the seed.
class Rng {
 public:
  explicit Rng(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }

  // Uniform in [0, 1), a multiple of 2^-24: exact in binary32.
  float uniform() { return static_cast<float>(next() >> 40) * 0x1p-24f; }

  // Uniform in [0, n), n < 2^32, by the high half of a product.
  size_t below(size_t n) { return static_cast<size_t>(((next() >> 32) * uint64_t{n}) >> 32); }

 private:
  uint64_t state_;
};

// e^x for x <= 0, the only side that a softmax needs; 0 below -87. Relative error < 2e-7.
float exp_nonpositive(float x);

// Natural logarithm of a finite x > 0. Absolute error < 1e-12 near 1, relative < 1e-12 elsewhere.
double log_positive(double x);

}  // namespace octet_cli

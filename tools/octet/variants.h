// SPDX-License-Identifier: Apache-2.0
//
// The rows of the demo's table: one network, seven ways to run it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "api.h"
#include "digits.h"

namespace octet_cli {

struct Variant {
  std::string name;
  std::string kernel;  // of the first layer
  size_t model_bytes;
  std::function<void(const float* x, size_t rows, float* logits)> run;
};

// Trains the float network, quantizes it and trains it on with fake-quantization. The order is
// that of the table; rows is how many images a run will have.
std::vector<Variant> make_variants(const octet_context* context, const Images& train, size_t rows,
                                   uint64_t seed);

}  // namespace octet_cli

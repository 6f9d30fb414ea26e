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
#include "mlp.h"

namespace octet_cli {

struct Variant {
  std::string name;
  std::string kernel;  // of the first layer
  size_t model_bytes;
  std::function<void(const float* x, size_t rows, float* logits)> run;
};

// A bar on the terminal while it trains.
void train_with_progress(const char* what, Mlp& mlp, const Images& images, TrainOptions options);
Mlp train_float(const Images& images, uint64_t seed);

// Quantizes the float network and trains it on with fake-quantization. The order is that of the
// table; rows is how many images a run will have.
std::vector<Variant> make_variants(const octet_context* context, const Mlp& mlp,
                                   const Images& train, size_t rows, uint64_t seed);

}  // namespace octet_cli

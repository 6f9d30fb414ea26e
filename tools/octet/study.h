// SPDX-License-Identifier: Apache-2.0
//
// The demo's study: what each method of calibration, weight rounding and training is worth on the
// digits at 8, 4 and 2 bits, for weights and activations alike, and what each layer loses. All of
// it through the library's C interface; all figures but none of the times, so that they are the
// same on every machine.
#pragma once

#include <array>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "api.h"
#include "digits.h"
#include "mlp.h"

namespace octet_cli {

inline constexpr std::array<int, 3> kStudyBits = {8, 4, 2};

// Accuracy on the held-out images with one way of calibrating and one of rounding weights.
struct MethodRow {
  std::string calibration, weights;
  std::array<double, kStudyBits.size()> accuracy;
};

// One layer of the network with everything at the same bits: how far its output is from the float
// network's, in dB; and the accuracy when this layer alone has 2 bits, the others 8.
struct LayerRow {
  std::string name;
  std::array<double, kStudyBits.size()> sqnr_db;
  double range_used, alone_at_2_bits;
};

// Before and after training with fake-quantized weights and activations.
struct TrainingRow {
  int bits;
  double ptq, ste, lsq;
};

struct Study {
  double float_accuracy;
  std::vector<MethodRow> methods;
  std::vector<LayerRow> layers;
  std::vector<TrainingRow> training;
};

Study make_study(const octet_context* context, const Mlp& mlp, const Digits& digits, uint64_t seed);
void print_study(const Study& study);
nlohmann::ordered_json study_json(const Study& study);

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
//
// The study as tables and as JSON.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "output.h"
#include "study.h"

namespace octet_cli {

void print_study(const Study& study) {
  std::printf("\nAccuracy with weights and activations of so many bits (float: %.4f)\n\n",
              study.float_accuracy);
  Table methods({"calibration", "weights", "8", "4", "2"}, {false, false, true, true, true});
  for (const MethodRow& row : study.methods)
    methods.add({row.calibration, row.weights, format("%.4f", row.accuracy[0]),
                 format("%.4f", row.accuracy[1]), format("%.4f", row.accuracy[2])});
  methods.print();

  std::printf(
      "\nSQNR of each layer's output, dB; its use of 8 bits; accuracy if it alone has 2\n\n");
  Table layers({"layer", "8", "4", "2", "range used", "alone"},
               {false, true, true, true, true, true});
  for (const LayerRow& row : study.layers)
    layers.add({row.name, format("%.1f", row.sqnr_db[0]), format("%.1f", row.sqnr_db[1]),
                format("%.1f", row.sqnr_db[2]), format("%.2f", row.range_used),
                format("%.4f", row.alone_at_2_bits)});
  layers.print();

  std::printf("\nAccuracy after training with fake-quantized weights and activations\n\n");
  Table training({"bits", "not trained", "STE", "LSQ"}, {true, true, true, true});
  for (const TrainingRow& row : study.training)
    training.add({std::to_string(row.bits), format("%.4f", row.ptq), format("%.4f", row.ste),
                  format("%.4f", row.lsq)});
  training.print();
}

nlohmann::ordered_json study_json(const Study& study) {
  using Json = nlohmann::ordered_json;
  Json json;
  json["float"] = study.float_accuracy;
  json["bits"] = kStudyBits;
  for (const MethodRow& row : study.methods)
    json["methods"].push_back(Json{
        {"calibration", row.calibration}, {"weights", row.weights}, {"accuracy", row.accuracy}});
  for (const LayerRow& row : study.layers)
    json["layers"].push_back(Json{{"layer", row.name},
                                  {"sqnr_db", row.sqnr_db},
                                  {"range_used", row.range_used},
                                  {"alone_at_2_bits", row.alone_at_2_bits}});
  for (const TrainingRow& row : study.training)
    json["training"].push_back(
        Json{{"bits", row.bits}, {"ptq", row.ptq}, {"ste", row.ste}, {"lsq", row.lsq}});
  return json;
}

}  // namespace octet_cli

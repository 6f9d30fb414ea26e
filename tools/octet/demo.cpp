// SPDX-License-Identifier: Apache-2.0
//
// `octet demo`: the main job on real data. A float network is trained on handwritten digits, runs
// in each int8 form, and one table says what that costs in accuracy and gains in size and time.
// With --study, more tables: methods of calibration, rounding and training at 8, 4 and 2 bits.
// Accuracies are the same on every machine; times are this machine's.
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "api.h"
#include "commands.h"
#include "digits.h"
#include "machine.h"
#include "mlp.h"
#include "output.h"
#include "study.h"
#include "variants.h"

namespace octet_cli {
namespace {

struct Result {
  double accuracy = 0, us_per_image = 0;
};

// Times the variants in turn, round after round, so that a change of clock rate meets all alike.
std::vector<Result> measure(const std::vector<Variant>& variants, const Images& images) {
  using Clock = std::chrono::steady_clock;
  constexpr size_t kRounds = 31, kFewest = 3;
  constexpr double kSeconds = 2;  // for all; an emulated processor ends here

  const size_t rows = images.count();
  std::vector<float> logits(rows * kClasses);
  std::vector<Result> results(variants.size());
  std::vector<std::vector<double>> seconds(variants.size());
  const auto start = Clock::now();
  for (size_t round = 0; round < kRounds; ++round) {
    const double spent = std::chrono::duration<double>(Clock::now() - start).count();
    if (round >= kFewest && spent > kSeconds) break;
    for (size_t v = 0; v < variants.size(); ++v) {
      if (round == 0) {  // warms up, and is the run that is judged
        variants[v].run(images.pixels.data(), rows, logits.data());
        results[v].accuracy = accuracy(logits, images);
      }
      const auto from = Clock::now();
      variants[v].run(images.pixels.data(), rows, logits.data());
      seconds[v].push_back(std::chrono::duration<double>(Clock::now() - from).count());
    }
  }
  for (size_t v = 0; v < variants.size(); ++v)
    results[v].us_per_image = median(seconds[v]) * 1e6 / static_cast<double>(rows);
  return results;
}

void print_table(const std::vector<Variant>& variants, const std::vector<Result>& results,
                 const Machine& machine, const Digits& digits) {
  std::printf(
      "Handwritten digits, 64-256-128-10: trained on %zu images, judged on %zu that were held\n"
      "out. Times: one thread, one batch of %zu images.\n\n",
      digits.train.count(), digits.held_out.count(), digits.held_out.count());
  Table table({"variant", "accuracy", "model bytes", "us/image", "kernel"},
              {false, true, true, true, false});
  for (size_t v = 0; v < variants.size(); ++v)
    table.add({variants[v].name, format("%.4f", results[v].accuracy),
               std::to_string(variants[v].model_bytes), format("%.2f", results[v].us_per_image),
               variants[v].kernel});
  table.print();
  std::printf("\nCPU: %s, ISA cap %s\n", machine.cpu.c_str(), machine.max_isa.c_str());
}

nlohmann::ordered_json to_json(const std::vector<Variant>& variants,
                               const std::vector<Result>& results, const Machine& machine) {
  nlohmann::ordered_json json;
  json["cpu"] = machine.cpu;
  json["rows"] = nlohmann::ordered_json::array();
  for (size_t v = 0; v < variants.size(); ++v) {
    nlohmann::ordered_json row;
    row["variant"] = variants[v].name;
    row["accuracy"] = results[v].accuracy;
    row["model_bytes"] = variants[v].model_bytes;
    row["us_per_image"] = results[v].us_per_image;
    row["kernel"] = variants[v].kernel;
    json["rows"].push_back(row);
  }
  return json;
}

}  // namespace

void run_demo(const DemoOptions& options) {
  const Context context = make_context(options.isa);
  const Machine machine = read_machine(context.get());
  const Digits digits = split_digits(load_images());
  const Mlp mlp = train_float(digits.train, options.seed);
  const auto variants =
      make_variants(context.get(), mlp, digits.train, digits.held_out.count(), options.seed);
  const auto results = measure(variants, digits.held_out);
  if (options.json != "-") print_table(variants, results, machine, digits);
  nlohmann::ordered_json json = to_json(variants, results, machine);
  if (options.study) {
    const Study study = make_study(context.get(), mlp, digits, options.seed);
    if (options.json != "-") print_study(study);
    json["study"] = study_json(study);
  }
  if (!options.json.empty()) write_text(options.json, json.dump());
}

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
//
// `octet explain gemm` and `octet explain conv`: the plan of a layer and why it is that plan, as
// octet_op_describe tells, and the candidates that were not taken.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "api.h"
#include "bench/octet_case.h"
#include "commands.h"
#include "output.h"

namespace octet_cli {
namespace {

using Json = nlohmann::ordered_json;

// One line for each candidate, in the order of octet_exec.plan.
Json candidates_of(OctetCase& one, int count) {
  Json candidates = Json::array();
  for (int choice = 1; choice <= count; ++choice) {
    one.choose(choice);
    const Json plan = Json::parse(one.describe());
    candidates.push_back({{"plan", choice},
                          {"kernel", plan.value("kernel", "")},
                          {"modelled_cycles", plan.value("modelled_cycles", 0.0)}});
  }
  one.choose(0);
  return candidates;
}

std::string text_of(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return value.dump();
  std::string list;
  for (const Json& item : value) list += (list.empty() ? "" : ", ") + text_of(item);
  return list;
}

void print_plan(const Json& plan) {
  for (const auto& [key, value] : plan.items())
    if (key != "candidate_plans") std::printf("%-16s %s\n", key.c_str(), text_of(value).c_str());
  std::printf("\n");
  Table table({"plan", "modelled cycles", "candidate"}, {true, true, false});
  for (const Json& one : plan["candidate_plans"])
    table.add({one["plan"].dump(), format("%.0f", one["modelled_cycles"].get<double>()),
               one["kernel"].get<std::string>()});
  table.print();
}

void explain(const BenchOptions& options, const Problem& problem) {
  const std::vector<std::string> caps =
      options.isas.empty() ? std::vector<std::string>{""} : options.isas;
  const std::vector<int> cores(options.threads, -1);
  Json plans = Json::array();
  for (const std::string& cap : caps) {
    const Context context = make_context(cap);
    OctetCase one(context.get(), problem, {options.lean, options.dynamic == "tensor"});
    Pool pool(cores);
    one.use(pool);
    Json plan = Json::parse(one.describe());
    plan["candidate_plans"] = candidates_of(one, plan.value("candidates", 0));
    plans.push_back(plan);
  }
  if (options.json != "-") {
    for (const Json& plan : plans) print_plan(plan);
  }
  if (!options.json.empty()) write_text(options.json, Json{{"plans", plans}}.dump());
}

}  // namespace

void run_explain_gemm(const BenchOptions& options) {
  check_types(options);
  const Shape shape = {options.shape[0], options.shape[1], options.shape[2]};
  explain(options, make_problem(shape, form_of(options), options.type == "s8", options.weights));
}

void run_explain_conv(const BenchOptions& options) {
  check_types(options);
  explain(options, make_problem(read_conv(options.layer), form_of(options), options.type == "s8",
                                options.weights));
}

}  // namespace octet_cli

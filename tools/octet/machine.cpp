// SPDX-License-Identifier: Apache-2.0
#include "machine.h"

#include <nlohmann/json.hpp>

#include "api.h"

namespace octet_cli {
namespace {

// The value as a word: names are strings, an absent or null one is "".
std::string word(const nlohmann::json& object, const char* key) {
  const auto at = object.find(key);
  if (at == object.end() || at->is_null()) return "";
  return at->is_string() ? at->get<std::string>() : at->dump();
}

std::string tile(const nlohmann::json& kernel) {
  if (kernel.value("mr", 0) == 0) return "";
  return word(kernel, "mr") + "x" + word(kernel, "nr") + "c" + word(kernel, "kr");
}

}  // namespace

Machine read_machine(const octet_context* context) {
  // Keys may be added to the JSON, but those read here stay.
  const nlohmann::json json = nlohmann::json::parse(describe(context));
  Machine machine;
  machine.version = word(json, "version");
  machine.cpu = word(json, "cpu");
  machine.max_isa = word(json, "max_isa");
  if (machine.max_isa.empty()) machine.max_isa = "none";
  for (const auto& isa : json.at("isas"))
    machine.isas.push_back({word(isa, "name"), word(isa, "why"), isa.at("usable").get<bool>()});
  const auto& caches = json.at("caches");
  machine.l1d = caches.value("l1d", int64_t{0});
  machine.l2 = caches.value("l2", int64_t{0});
  machine.l3 = caches.value("l3", int64_t{0});
  for (const auto& kernel : json.at("kernels"))
    machine.kernels.push_back(
        {word(kernel, "name"), word(kernel, "family"), word(kernel, "isa"), tile(kernel)});
  return machine;
}

}  // namespace octet_cli

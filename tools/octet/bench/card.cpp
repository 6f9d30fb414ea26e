// SPDX-License-Identifier: Apache-2.0
#include "bench/card.h"

#include <algorithm>

#include "bench/pool.h"

namespace octet_cli {
namespace {

std::string compiler() {
#if defined(__clang__)
  return std::string("clang ") + __clang_version__;
#else
  return std::string("g++ ") + __VERSION__;
#endif
}

}  // namespace

Cores::Cores(size_t threads) : all(usable_cores()) {
  const bool enough = all.size() >= threads;
  all.resize(threads, -1);
  pinned = enough && pin(all);
  if (!enough) std::fill(all.begin(), all.end(), -1);
}

OnFirstCore::OnFirstCore(const Cores& cores)
    : cores_(cores), moved_(cores.pinned && cores.all.size() > 1) {
  if (moved_) pin({cores_.all.front()});
}

OnFirstCore::~OnFirstCore() {
  if (moved_) pin(cores_.all);
}

Card make_card(const Machine& machine) {
  Card card;
  card.cpu = machine.cpu;
  card.version = machine.version;
  card.compiler = compiler();
  card.caches = {machine.l1d, machine.l2, machine.l3};
  for (const Machine::Isa& isa : machine.isas)
    if (isa.usable) card.isas.push_back(isa.name);
  return card;
}

std::string best_isa(const Machine& machine) {
  std::string best = machine.max_isa;
  for (const Machine::Isa& isa : machine.isas)
    if (machine.max_isa == "none" && isa.usable) best = isa.name;
  return best;
}

}  // namespace octet_cli

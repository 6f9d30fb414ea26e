// SPDX-License-Identifier: Apache-2.0
//
// `octet bench net`: whole networks as chains of layers, Octet's beside oneDNN's, in turn in one
// process for each cap and number of threads; then each layer of both by itself.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "api.h"
#include "bench/card.h"
#include "bench/child.h"
#include "bench/octet_net.h"
#include "bench/peers.h"
#include "commands.h"
#include "output.h"
#include "timing.h"

namespace octet_cli {
namespace {

using Json = nlohmann::ordered_json;

// Both round each activation to a step of its own scale, but not always to the same one. Of the
// logits that adds up to 1 % at the most; saturated sums give 10 % and more.
constexpr double kMostRounding = 0.05;

struct Run {
  const NetOptions& options;
  std::string net, isa;
  size_t threads;
};

// Of the differences, by that of the logits.
double relative_difference(const float* ours, const float* theirs, size_t count) {
  double differences = 0, squares = 0;
  for (size_t i = 0; i < count; ++i) {
    const auto a = static_cast<double>(ours[i]), b = static_cast<double>(theirs[i]);
    differences += (a - b) * (a - b);
    squares += a * a;
  }
  return std::sqrt(differences / std::max(squares, 1e-30));
}

// What is timed, and where the figures of the layers begin.
struct Sides {
  OctetNet& octet;
  PreparedNet* peer;
  const Cores& cores;

  Candidate whole(bool ours) const {
    Candidate c;
    if (ours)
      c = timed([this](size_t n) {
        for (; n > 0; --n) octet.run();
      });
    else
      c.run = [this](size_t n) { return peer->run(n); };
    return ours ? here(std::move(c)) : c;
  }

  Candidate layer(bool ours, size_t at) const {
    Candidate c;
    if (ours)
      c = timed([this, at](size_t n) {
        for (; n > 0; --n) octet.run(at);
      });
    else
      c.run = [this, at](size_t n) { return peer->run(at, n); };
    return ours ? here(std::move(c)) : c;
  }

 private:
  Candidate here(Candidate c) const {
    c.run = [this, run = c.run](size_t n) {
      const OnFirstCore stay(cores);
      return run(n);
    };
    return c;
  }
};

Json milliseconds(const Candidate& c, int64_t batch) {
  const double unit = 1e3 / static_cast<double>(batch);
  return {{"ms", c.seconds * unit}, {"ms_min", c.min * unit}, {"ms_max", c.max * unit}};
}

Json measure(const Run& run) {
  const Net net = make_net(run.net, run.options.batch);
  const Context context = make_context(run.isa);
  const std::string isa = run.isa.empty() ? best_isa(read_machine(context.get())) : run.isa;
  const Cores cores(run.threads);
  Pool pool(cores.all);
  OctetNet octet(context.get(), net, pool);

  std::string why = "It was not asked for.";
  Peers peers;
  std::unique_ptr<PreparedNet> peer;
  const Peer* about = nullptr;
  if (!run.options.alone) {
    cap_peers(run.isa, run.threads);
    peers = open_peers({"onednn"}, run.isa, run.threads, {});
    for (const AbsentPeer& absent : peers.absent)
      if (absent.name == "onednn") why = absent.why;
    for (const auto& one : peers.present) {
      about = one.get();
      peer = about ? one->prepare_net(net, why) : nullptr;
    }
  }

  Timing timing;
  timing.rounds = run.options.repeat;
  if (run.threads > 1) timing.slice *= 3;
  const Sides sides = {octet, peer.get(), cores};
  std::vector<Candidate> whole = {sides.whole(true)};
  if (peer) whole.push_back(sides.whole(false));
  time_interleaved(whole, timing);

  Json json = {
      {"net", net.name}, {"isa", isa}, {"threads", run.threads}, {"batch", run.options.batch}};
  json.update(milliseconds(whole[0], run.options.batch));
  if (peer) {
    const auto count = static_cast<size_t>(run.options.batch * net.classes);
    octet.run();
    peer->run(1);
    const double off = relative_difference(octet.logits(), peer->logits(), count);
    Json one = {{"name", "onednn"}, {"version", about->version}, {"isa", about->isa}};
    one.update(milliseconds(whole[1], run.options.batch));
    one["ratio"] = whole[1].seconds / whole[0].seconds;
    one["difference"] = off;
    one["wrong"] = !(off <= kMostRounding);
    json["peer"] = one;
  } else {
    json["peer"] = nullptr;
    json["absent"] = why;
  }

  json["layers"] = Json::array();
  for (size_t i = 0; i < net.layers.size(); ++i) {
    std::vector<Candidate> both = {sides.layer(true, i)};
    if (peer) both.push_back(sides.layer(false, i));
    time_interleaved(both, timing);
    const octet_plan plan = octet.plan(i);
    Json layer = {{"name", net.layers[i].name},
                  {"layer", net.layers[i].text()},
                  {"us", both[0].seconds * 1e6},
                  {"gops", net.layers[i].operations() / both[0].seconds / 1e9},
                  {"kernel", plan.kernel ? plan.kernel : ""},
                  {"why", plan.why ? plan.why : ""}};
    if (peer) {
      layer["peer_us"] = both[1].seconds * 1e6;
      layer["ratio"] = both[1].seconds / both[0].seconds;
    }
    json["layers"].push_back(layer);
  }
  return json;
}

void print(const Json& run) {
  const bool peer = !run["peer"].is_null();
  Table table({"layer", "", "us", "GOPS", "onednn us", "ratio", "kernel", "why"},
              {false, false, true, true, true, true, false, false});
  for (const Json& one : run["layers"])
    table.add({one["name"].get<std::string>(), one["layer"].get<std::string>(),
               format("%.2f", one["us"].get<double>()), format("%.0f", one["gops"].get<double>()),
               peer ? format("%.2f", one["peer_us"].get<double>()) : "-",
               peer ? format("%.2f", one["ratio"].get<double>()) : "-",
               one["kernel"].get<std::string>(), one["why"].get<std::string>()});
  table.print();
  std::printf("%s at %s, batch %d, threads %d: %.3f ms an image",
              run["net"].get<std::string>().c_str(), run["isa"].get<std::string>().c_str(),
              run["batch"].get<int>(), run["threads"].get<int>(), run["ms"].get<double>());
  if (peer)
    std::printf("; oneDNN %s (%s): %.3f ms, ratio %.3f%s\n\n",
                run["peer"]["version"].get<std::string>().c_str(),
                run["peer"]["isa"].get<std::string>().c_str(), run["peer"]["ms"].get<double>(),
                run["peer"]["ratio"].get<double>(), run["peer"]["wrong"].get<bool>() ? "!" : "");
  else
    std::printf("; oneDNN is absent: %s\n\n", run["absent"].get<std::string>().c_str());
}

}  // namespace

void run_bench_net(const NetOptions& options) {
  std::vector<std::string> caps = options.isas;
  if (caps.empty()) caps.push_back("");
  for (const std::string& cap : caps) make_context(cap);
  for (const std::string& net : options.nets) {
    const std::vector<std::string> known = net_names();
    if (std::find(known.begin(), known.end(), net) == known.end()) make_net(net, 1);  // throws
  }
  Report report;
  const Machine machine = read_machine(make_context("").get());
  report.card = make_card(machine);
  report.card.threads = *std::max_element(options.threads.begin(), options.threads.end());
  report.card.pinned = usable_cores().size() >= report.card.threads;
  report.card.memory = "warm";
  report.card.rounds = options.repeat;
  if (options.json != "-") print_card(report);
  Json runs = Json::array();
  for (const std::string& net : options.nets) {
    for (const std::string& cap : caps) {
      for (const size_t threads : options.threads) {
        runs.push_back(in_child([&] { return measure({options, net, cap, threads}); }));
        if (options.json != "-") print(runs.back());
      }
    }
  }
  if (!options.json.empty())
    write_text(options.json,
               Json{{"machine", to_json(report).at("machine")}, {"nets", runs}}.dump());
}

}  // namespace octet_cli

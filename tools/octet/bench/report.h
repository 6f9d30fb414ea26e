// SPDX-License-Identifier: Apache-2.0
//
// What `octet bench gemm` and `octet bench conv` found: their rows, the arithmetic over them, and
// both forms of the report. Ratios are a peer's time by Octet's: above 1, Octet is faster.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bench/roofline.h"
#include "conv_shape.h"
#include "shapes.h"

namespace octet_cli {

struct Spread {
  double median = 0, min = 0, max = 0;  // seconds of a call
};

struct PeerFigure {
  std::string name, isa, variant, note;
  Spread seconds;
  double ratio = 0;
  bool child = false;      // through a driver
  bool other_cap = false;  // it has no cap, and runs more instructions than the row's cap allows
  double overhead = 0;     // seconds; drivers only
  double net_ratio =
      0;               // overhead taken off; 0: it is nearly all of the call, or none was measured
  bool wrong = false;  // its output differs by more than rounding
  double difference = 0;                   // the largest, in units of the output
  std::map<std::string, double> variants;  // seconds of each

  // What counts: the overhead of a driver is no work of the peer.
  double counted() const { return net_ratio > 0 ? net_ratio : ratio; }
};

// ratio and net_ratio of a peer that took these seconds, from Octet's.
void fill_ratios(PeerFigure& peer, double octet_seconds);

struct Row {
  std::string set, isa, types, weights, kernel, kernel_isa, peak_name;
  std::string why;  // of the kernel: octet_plan.why
  Shape shape{};
  std::optional<ConvShape> conv;  // shape is then its product
  size_t threads = 1;
  bool cold = false;
  Spread seconds;
  double peak = 0;                      // operations per second of the loop it is held to; 0: none
  std::map<std::string, double> peaks;  // of all loops of its ISA
  Bound bound;
  size_t weight_bytes = 0;
  double one_thread = 0;  // seconds, where threads > 1
  std::vector<PeerFigure> peers;
  std::map<std::string, std::string> absent;  // peers that do not do this row, and why
  std::optional<PeerFigure> fp32;

  double operations() const;
  double gops() const { return operations() / seconds.median / 1e9; }
  double percent_of_peak() const;  // 0: no peak
  double percent_of_bound() const { return 100 * bound.seconds() / seconds.median; }
  // A peer under the same cap, or the float product, is faster than Octet.
  bool loses() const;
  // The ratio to the fastest peer under the same cap, float left out; 0: there is none.
  double ratio_to_best() const;
  std::string text() const;  // its layer, or MxNxK
};

// A peer as one cap's process met it.
struct PeerCard {
  std::string name, version, isa, absent;  // absent: why, else empty
};

// What one cap gave.
struct CapReport {
  std::string isa;
  Bandwidth bandwidth;
  std::vector<PeerCard> peers;
  std::vector<Row> rows;
};

struct Card {
  std::string cpu, version, compiler, memory;  // memory: "warm" or "cold" weights
  Caches caches;                               // of one core, 0: unknown
  std::vector<std::string> isas;               // usable
  size_t threads = 1, rounds = 0;
  bool pinned = false;
};

struct Report {
  Card card;
  std::vector<CapReport> caps;

  std::vector<const Row*> rows() const;  // shape by shape, the caps of each side by side
};

// What the layers of a network take together, each as often as it has it, in one batch and cap.
struct Total {
  std::string set, isa;
  int64_t batch = 0;
  double octet = 0;                     // seconds
  std::map<std::string, double> peers;  // seconds of those that did every layer, overhead taken off
};
std::vector<Total> totals(const std::vector<const Row*>& rows);

// Geometric mean of the ratios; 0 where there are none.
double geometric_mean(const std::vector<double>& ratios);

// By peer, over all rows that pass and where it is under the same cap; "best" is the fastest peer
// of each row.
template <typename Pass>
std::map<std::string, double> geometric_means(const std::vector<const Row*>& rows, Pass pass) {
  std::map<std::string, std::vector<double>> ratios;
  for (const Row* row : rows) {
    if (!pass(*row)) continue;
    for (const PeerFigure& peer : row->peers)
      if (!peer.other_cap) ratios[peer.name].push_back(peer.counted());
    if (row->fp32) ratios["fp32"].push_back(row->fp32->ratio);
    if (row->conv && row->ratio_to_best() > 0) ratios["best"].push_back(row->ratio_to_best());
  }
  std::map<std::string, double> means;
  for (const auto& [name, values] : ratios) means[name] = geometric_mean(values);
  return means;
}

struct Worst {
  std::string peer;
  const Row* row = nullptr;  // NULL: there is no peer
  double ratio = 0;
};
Worst worst_row(const std::vector<const Row*>& rows);

// One row more of the same product, and the share of the bound falls off.
struct Cliff {
  const Row *before, *row;
  double step;  // its share by the share of the row before
};
inline constexpr double kCliff = 0.87;

// The steps between rows that differ in M by one, smallest first.
std::vector<Cliff> cliffs(const std::vector<const Row*>& rows);

nlohmann::ordered_json to_json(const Report& report);
void print_card(const Report& report);
void print(const Report& report);

// Between the process of a cap and the one that joins them.
nlohmann::ordered_json to_json(const CapReport& cap);
CapReport cap_report(const nlohmann::ordered_json& json);

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
#include "bench/report.h"

#include <algorithm>
#include <cmath>

#include "output.h"

namespace octet_cli {

// Below this share of a driver's call, what is left beside the overhead is noise.
constexpr double kLeastNet = 0.2;

void fill_ratios(PeerFigure& peer, double octet_seconds) {
  peer.ratio = peer.seconds.median / octet_seconds;
  const double net = peer.seconds.median - peer.overhead;
  const bool meaningful = peer.overhead > 0 && net >= kLeastNet * peer.seconds.median;
  peer.net_ratio = meaningful ? net / octet_seconds : 0;
}

double Row::operations() const {
  return 2.0 * static_cast<double>(shape.m) * static_cast<double>(shape.n) *
         static_cast<double>(shape.k);
}

double Row::percent_of_peak() const {
  return peak > 0 ? 100 * operations() / seconds.median / peak : 0;
}

bool Row::loses() const {
  return std::any_of(
             peers.begin(), peers.end(),
             [](const PeerFigure& peer) { return !peer.other_cap && peer.counted() < 1; }) ||
         (fp32 && fp32->ratio < 1);
}

double Row::ratio_to_best() const {
  double least = 0;
  for (const PeerFigure& peer : peers)
    if (!peer.other_cap && (least == 0 || peer.counted() < least)) least = peer.counted();
  return least;
}

std::string Row::text() const {
  if (conv) return conv->text();
  return format("%lldx%lldx%lld", static_cast<long long>(shape.m), static_cast<long long>(shape.n),
                static_cast<long long>(shape.k));
}

std::vector<Total> totals(const std::vector<const Row*>& rows) {
  std::vector<Total> sums;
  std::vector<size_t> counts;  // rows of each
  std::map<std::pair<size_t, std::string>, size_t> done;
  for (const Row* row : rows) {
    if (!row->conv || row->set.empty()) continue;
    const auto same = [row](const Total& t) {
      return t.set == row->set && t.isa == row->isa && t.batch == row->conv->batch;
    };
    const auto at =
        static_cast<size_t>(std::find_if(sums.begin(), sums.end(), same) - sums.begin());
    if (at == sums.size()) {
      sums.push_back({row->set, row->isa, row->conv->batch, 0, {}});
      counts.push_back(0);
    }
    const double ours = row->seconds.median * static_cast<double>(row->conv->times);
    sums[at].octet += ours;
    ++counts[at];
    auto add = [&](const std::string& name, double ratio) {
      sums[at].peers[name] += ours * ratio;
      ++done[{at, name}];
    };
    for (const PeerFigure& peer : row->peers) add(peer.name, peer.counted());
    if (row->fp32) add("fp32", row->fp32->ratio);
  }
  for (size_t i = 0; i < sums.size(); ++i)
    std::erase_if(sums[i].peers, [&](const auto& p) { return done[{i, p.first}] != counts[i]; });
  return sums;
}

std::vector<const Row*> Report::rows() const {
  std::vector<const Row*> rows;
  for (size_t i = 0; !caps.empty() && i < caps.front().rows.size(); ++i)
    for (const CapReport& cap : caps) rows.push_back(&cap.rows.at(i));
  return rows;
}

double geometric_mean(const std::vector<double>& ratios) {
  double sum = 0;
  for (const double ratio : ratios) sum += std::log(ratio);
  return ratios.empty() ? 0 : std::exp(sum / static_cast<double>(ratios.size()));
}

Worst worst_row(const std::vector<const Row*>& rows) {
  Worst worst;
  auto consider = [&worst](const Row* row, const std::string& peer, double ratio) {
    if (!worst.row || ratio < worst.ratio) worst = {peer, row, ratio};
  };
  for (const Row* row : rows) {
    for (const PeerFigure& peer : row->peers)
      if (!peer.other_cap) consider(row, peer.name, peer.counted());
    if (row->fp32) consider(row, "fp32", row->fp32->ratio);
  }
  return worst;
}

std::vector<Cliff> cliffs(const std::vector<const Row*>& rows) {
  std::vector<Cliff> steps;
  // More than all of a bound says that the bandwidth was read while others used it.
  const auto share = [](const Row& row) { return std::min(row.percent_of_bound(), 100.0); };
  for (const Row* before : rows) {
    if (before->conv) continue;
    for (const Row* row : rows) {
      if (row->shape.m != before->shape.m + 1 || row->shape.n != before->shape.n ||
          row->shape.k != before->shape.k || row->isa != before->isa || row->set != before->set)
        continue;
      steps.push_back({before, row, share(*row) / share(*before)});
      break;
    }
  }
  std::sort(steps.begin(), steps.end(),
            [](const Cliff& a, const Cliff& b) { return a.step < b.step; });
  return steps;
}

}  // namespace octet_cli

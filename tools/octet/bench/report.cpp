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
  for (const Row* before : rows) {
    for (const Row* row : rows) {
      if (row->shape.m != before->shape.m + 1 || row->shape.n != before->shape.n ||
          row->shape.k != before->shape.k || row->isa != before->isa || row->set != before->set)
        continue;
      steps.push_back({before, row, row->percent_of_bound() / before->percent_of_bound()});
      break;
    }
  }
  std::sort(steps.begin(), steps.end(),
            [](const Cliff& a, const Cliff& b) { return a.step < b.step; });
  return steps;
}

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>

#include "bench/report.h"
#include "output.h"

namespace octet_cli {
namespace {

std::string bytes_text(int64_t bytes) {
  if (bytes <= 0) return "unknown";
  if (bytes % (1 << 20) == 0) return format("%lld MiB", static_cast<long long>(bytes >> 20));
  return format("%lld KiB", static_cast<long long>(bytes >> 10));
}

void print_peers(const CapReport& cap) {
  for (const PeerCard& peer : cap.peers) {
    if (peer.absent.empty())
      std::printf("  %s %s, its cap: %s\n", peer.name.c_str(), peer.version.c_str(),
                  peer.isa.c_str());
    else
      std::printf("  %s is absent: %s\n", peer.name.c_str(), peer.absent.c_str());
  }
}

std::string ratio_text(const PeerFigure* peer) {
  if (!peer) return "-";
  std::string text = format("%.2f", peer->ratio);
  if (peer->child) text += peer->net_ratio > 0 ? format(" (%.2f)", peer->net_ratio) : " (-)";
  if (peer->other_cap) text += "*";
  if (peer->wrong) text += "!";
  return text;
}

// Names in the order of their first row.
std::vector<std::string> peers_of(const std::vector<const Row*>& rows) {
  std::vector<std::string> names;
  for (const Row* row : rows)
    for (const PeerFigure& peer : row->peers)
      if (std::find(names.begin(), names.end(), peer.name) == names.end())
        names.push_back(peer.name);
  return names;
}

const PeerFigure* find_peer(const Row& row, const std::string& name) {
  for (const PeerFigure& peer : row.peers)
    if (peer.name == name) return &peer;
  return nullptr;
}

void print_rows(const std::vector<const Row*>& rows) {
  const std::vector<std::string> peers = peers_of(rows);
  const bool fp32 =
      std::any_of(rows.begin(), rows.end(), [](const Row* row) { return row->fp32.has_value(); });
  const bool threads =
      std::any_of(rows.begin(), rows.end(), [](const Row* row) { return row->one_thread > 0; });
  const bool conv = rows.front()->conv.has_value();
  std::vector<std::string> heading = conv ? std::vector<std::string>{"layer", "class", "times"}
                                          : std::vector<std::string>{"M", "N", "K"};
  heading.insert(heading.end(),
                 {"cap", "us", "GOPS", "peak", "% peak", "% bound", "bound by", "weights"});
  if (threads) heading.push_back("speed-up");
  for (const std::string& name : peers) heading.push_back(name);
  if (fp32) heading.push_back("fp32");
  heading.insert(heading.end(), {"", "kernel"});
  if (conv) heading.push_back("why");
  std::vector<bool> right(heading.size(), true);
  right[3] = right[9] = false;
  if (conv) right[0] = right[1] = false;
  std::fill(right.end() - (conv ? 3 : 2), right.end(), false);
  Table table(heading, right);
  for (const Row* r : rows) {
    const bool known = r->peak > 0;
    std::vector<std::string> cells;
    if (conv)
      cells = {r->conv->text(), class_of(*r->conv), std::to_string(r->conv->times)};
    else
      cells = {std::to_string(r->shape.m), std::to_string(r->shape.n), std::to_string(r->shape.k)};
    cells.insert(
        cells.end(),
        {r->isa, format("%.2f", r->seconds.median * 1e6), format("%.1f", r->gops()),
         known ? format("%.1f", r->peak / 1e9) : "-",
         known ? format("%.1f", r->percent_of_peak()) : "-", format("%.1f", r->percent_of_bound()),
         r->bound.by(), std::to_string(r->weight_bytes)});
    if (threads)
      cells.push_back(r->one_thread > 0 ? format("%.2f", r->one_thread / r->seconds.median) : "-");
    for (const std::string& name : peers) cells.push_back(ratio_text(find_peer(*r, name)));
    if (fp32) cells.push_back(ratio_text(r->fp32 ? &*r->fp32 : nullptr));
    cells.insert(cells.end(), {r->loses() ? "loses" : "", r->kernel});
    if (conv) cells.push_back(r->why);
    table.add(cells);
  }
  table.print();
}

void print_mean(const std::string& of, const std::map<std::string, double>& means) {
  if (means.empty()) return;
  std::string line = "Geometric mean, " + of + ":";
  for (const auto& [name, mean] : means) line += format(" %s %.3f", name.c_str(), mean);
  std::printf("%s\n", line.c_str());
}

// Of convolutions: by class, and what the layers of a network take together.
void print_classes(const std::vector<const Row*>& rows) {
  std::vector<std::pair<std::string, std::string>> groups;  // cap and class
  for (const Row* row : rows) {
    if (!row->conv) return;
    const std::pair<std::string, std::string> group(row->isa, class_of(*row->conv));
    if (std::find(groups.begin(), groups.end(), group) == groups.end()) groups.push_back(group);
  }
  for (const auto& group : groups)
    print_mean(group.second + ", " + group.first, geometric_means(rows, [&group](const Row& row) {
                 return row.isa == group.first && class_of(*row.conv) == group.second;
               }));
  for (const Total& total : totals(rows)) {
    std::printf("Sum of the layers, %s, batch %lld, %s: %.0f us", total.set.c_str(),
                static_cast<long long>(total.batch), total.isa.c_str(), total.octet * 1e6);
    for (const auto& [name, seconds] : total.peers)
      std::printf(", %s %.0f", name.c_str(), seconds * 1e6);
    std::printf("\n");
  }
}

void print_means(const std::vector<const Row*>& rows) {
  std::vector<std::pair<std::string, std::string>> groups;  // set and cap
  for (const Row* row : rows)
    if (std::find(groups.begin(), groups.end(), std::pair(row->set, row->isa)) == groups.end())
      groups.emplace_back(row->set, row->isa);
  for (const auto& group : groups) {
    const auto means = geometric_means(rows, [&group](const Row& row) {
      return row.set == group.first && row.isa == group.second;
    });
    print_mean((group.first.empty() ? "" : group.first + ", ") + group.second, means);
  }
  print_classes(rows);
  if (const Worst worst = worst_row(rows); worst.row)
    std::printf("Worst row: %s at %s, %.3f of %s\n", worst.row->text().c_str(),
                worst.row->isa.c_str(), worst.ratio, worst.peer.c_str());
}

void print_cliffs(const std::vector<const Row*>& rows) {
  const std::vector<Cliff> steps = cliffs(rows);
  if (steps.empty()) return;
  size_t below = 0;
  for (const Cliff& cliff : steps) {
    if (cliff.step >= kCliff) break;
    ++below;
    std::printf("Cliff: %s at %s has %.2f of the share of M = %lld\n", cliff.row->text().c_str(),
                cliff.row->isa.c_str(), cliff.step, static_cast<long long>(cliff.before->shape.m));
  }
  std::printf("One row more: %zu of %zu steps below %.2f, the steepest %.2f (%s)\n", below,
              steps.size(), kCliff, steps.front().step, steps.front().row->text().c_str());
}

}  // namespace

void print_card(const Report& report) {
  const Card& card = report.card;
  std::string isas;
  for (const std::string& isa : card.isas) isas += " " + isa;
  std::printf("CPU: %s; L1d %s, L2 %s, L3 %s; usable:%s\n", card.cpu.c_str(),
              bytes_text(card.caches.l1).c_str(), bytes_text(card.caches.l2).c_str(),
              bytes_text(card.caches.l3).c_str(), isas.c_str());
  std::printf("Octet %s, %s; %zu thread%s, %s; %s weights; %zu rounds\n", card.version.c_str(),
              card.compiler.c_str(), card.threads, card.threads > 1 ? "s" : "",
              card.pinned ? "pinned" : "not pinned", card.memory.c_str(), card.rounds);
  for (const CapReport& cap : report.caps) {
    std::printf("%s: read L1 %.0f, L2 %.0f, L3 %.0f, DRAM %.0f GB/s\n", cap.isa.c_str(),
                cap.bandwidth.l1 / 1e9, cap.bandwidth.l2 / 1e9, cap.bandwidth.l3 / 1e9,
                cap.bandwidth.dram / 1e9);
    print_peers(cap);
  }
  std::printf("\n");
}

void print(const Report& report) {
  const std::vector<const Row*> rows = report.rows();
  print_card(report);
  print_rows(rows);
  std::printf("\n");
  if (!rows.empty())
    std::printf(
        "%s, weights: %s. peak: register loop of the kernel's instructions, same run; "
        "bound: the larger of compute and memory.\n",
        rows.front()->types.c_str(), rows.front()->weights.c_str());
  if (!peers_of(rows).empty())
    std::printf(
        "Peers: their time by Octet's; in brackets net of the call overhead of a driver; ! "
        "its output is wrong; * it has no cap and does not count.\n");
  print_means(rows);
  print_cliffs(rows);
}

}  // namespace octet_cli

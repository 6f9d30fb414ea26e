// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "bench/conv_json.h"
#include "bench/report.h"
#include "output.h"

namespace octet_cli {
namespace {

using Json = nlohmann::ordered_json;

Json shape_json(const Row& row) {
  const Shape& shape = row.shape;
  Json product = {{"m", shape.m}, {"n", shape.n}, {"k", shape.k}};
  if (!row.conv) return product;
  Json json = {{"layer", row.conv->text()}, {"class", class_of(*row.conv)}};
  json.update(conv_json(*row.conv));
  json["times"] = row.conv->times;
  json["product"] = product;
  return json;
}

void read_shape(const Json& json, Row& row) {
  const bool conv = json.contains("layer");
  const Json& product = conv ? json.at("product") : json;
  row.shape = {product.at("m"), product.at("n"), product.at("k")};
  if (!conv) return;
  row.conv = read_conv_json(json);
  row.conv->times = json.at("times");
}

// A figure that may be unknown.
Json known(double value) { return value > 0 ? Json(value) : Json(nullptr); }

void put(Json& json, const Spread& seconds) {
  json["us"] = seconds.median * 1e6;
  json["us_min"] = seconds.min * 1e6;
  json["us_max"] = seconds.max * 1e6;
}

Spread spread(const Json& json) {
  return {json.at("us").get<double>() / 1e6, json.at("us_min").get<double>() / 1e6,
          json.at("us_max").get<double>() / 1e6};
}

Json peer_json(const PeerFigure& peer, double operations) {
  Json json = {{"gops", operations / peer.seconds.median / 1e9}, {"ratio", peer.ratio}};
  put(json, peer.seconds);
  json["isa"] = peer.isa;
  json["variant"] = peer.variant;
  json["variants"] = Json::object();
  for (const auto& [name, seconds] : peer.variants)
    json["variants"][name] = {{"us", seconds * 1e6}, {"gops", operations / seconds / 1e9}};
  json["note"] = peer.note;
  json["wrong"] = peer.wrong;
  json["difference"] = peer.difference;
  json["child"] = peer.child;
  json["other_cap"] = peer.other_cap;
  if (peer.child) {
    json["overhead_us"] = peer.overhead * 1e6;
    json["ratio_net"] = known(peer.net_ratio);
    json["gops_net"] = peer.net_ratio > 0
                           ? Json(operations / (peer.seconds.median - peer.overhead) / 1e9)
                           : Json(nullptr);
  }
  return json;
}

PeerFigure peer_figure(const std::string& name, const Json& json) {
  PeerFigure peer;
  peer.name = name;
  peer.isa = json.at("isa");
  peer.variant = json.at("variant");
  peer.note = json.at("note");
  peer.seconds = spread(json);
  peer.ratio = json.at("ratio");
  peer.wrong = json.at("wrong");
  peer.difference = json.at("difference");
  peer.child = json.at("child");
  peer.other_cap = json.at("other_cap");
  for (const auto& [variant, figure] : json.at("variants").items())
    peer.variants[variant] = figure.at("us").get<double>() / 1e6;
  if (peer.child) {
    peer.overhead = json.at("overhead_us").get<double>() / 1e6;
    if (!json.at("ratio_net").is_null()) peer.net_ratio = json.at("ratio_net");
  }
  return peer;
}

Json row_json(const Row& row) {
  Json json = {{"set", row.set},
               {"shape", shape_json(row)},
               {"isa", row.isa},
               {"types", row.types},
               {"threads", row.threads},
               {"kernel", row.kernel},
               {"gops", row.gops()},
               {"pct_peak", known(row.percent_of_peak())},
               {"pct_bound", row.percent_of_bound()}};
  json["peers"] = Json::object();
  for (const PeerFigure& peer : row.peers)
    json["peers"][peer.name] = peer_json(peer, row.operations());
  json["fp32"] = nullptr;
  if (row.fp32) {
    json["fp32"] = peer_json(*row.fp32, row.operations());
    json["fp32"]["name"] = row.fp32->name;
  }
  put(json, row.seconds);
  json["why"] = row.why;
  json["kernel_isa"] = row.kernel_isa;
  json["peak"] = row.peak_name;
  json["peak_gops"] = known(row.peak / 1e9);
  json["peaks"] = Json::object();
  for (const auto& [name, speed] : row.peaks) json["peaks"][name] = speed / 1e9;
  json["bound"] = {{"by", row.bound.by()},
                   {"us", row.bound.seconds() * 1e6},
                   {"compute_us", row.bound.compute * 1e6},
                   {"memory_us", row.bound.memory * 1e6},
                   {"weights_in", level_name(row.bound.level)},
                   {"level", static_cast<int>(row.bound.level)}};
  json["weights"] = row.weights;
  json["weight_bytes"] = row.weight_bytes;
  json["cold"] = row.cold;
  if (row.one_thread > 0) {
    json["one_thread_us"] = row.one_thread * 1e6;
    json["speed_up"] = row.one_thread / row.seconds.median;
  }
  json["absent"] = Json::object();
  for (const auto& [name, why] : row.absent) json["absent"][name] = why;
  return json;
}

Row row_of(const Json& json) {
  Row row;
  row.set = json.at("set");
  read_shape(json.at("shape"), row);
  row.isa = json.at("isa");
  row.types = json.at("types");
  row.threads = json.at("threads");
  row.kernel = json.at("kernel");
  row.seconds = spread(json);
  row.why = json.at("why");
  row.kernel_isa = json.at("kernel_isa");
  row.peak_name = json.at("peak");
  if (!json.at("peak_gops").is_null()) row.peak = json.at("peak_gops").get<double>() * 1e9;
  for (const auto& [name, gops] : json.at("peaks").items())
    row.peaks[name] = gops.get<double>() * 1e9;
  const Json& bound = json.at("bound");
  row.bound = {bound.at("compute_us").get<double>() / 1e6,
               bound.at("memory_us").get<double>() / 1e6,
               static_cast<Level>(bound.at("level").get<int>())};
  row.weights = json.at("weights");
  row.weight_bytes = json.at("weight_bytes");
  row.cold = json.at("cold");
  if (json.contains("one_thread_us")) row.one_thread = json.at("one_thread_us").get<double>() / 1e6;
  for (const auto& [name, peer] : json.at("peers").items())
    row.peers.push_back(peer_figure(name, peer));
  if (!json.at("fp32").is_null())
    row.fp32 = peer_figure(json.at("fp32").at("name"), json.at("fp32"));
  for (const auto& [name, why] : json.at("absent").items()) row.absent[name] = why;
  return row;
}

Json bandwidth_json(const Bandwidth& b) {
  return {{"l1", b.l1 / 1e9}, {"l2", b.l2 / 1e9}, {"l3", b.l3 / 1e9}, {"dram", b.dram / 1e9}};
}

// The caps see the same peer, each under a cap of its own.
Json peers_json(const Report& report) {
  Json peers = Json::object();
  for (const CapReport& cap : report.caps) {
    for (const PeerCard& card : cap.peers) {
      Json& peer = peers[card.name];
      if (card.absent.empty()) {
        peer["version"] = card.version;
        peer["isa"][cap.isa] = card.isa;
      } else {
        peer["absent"][cap.isa] = card.absent;
      }
    }
  }
  return peers;
}

Json machine_json(const Report& report) {
  const Card& card = report.card;
  Json json = {
      {"cpu", card.cpu},
      {"caches", {{"l1d", card.caches.l1}, {"l2", card.caches.l2}, {"l3", card.caches.l3}}},
      {"isas", card.isas},
      {"octet", card.version},
      {"compiler", card.compiler},
      {"threads", card.threads},
      {"pinned", card.pinned},
      {"rounds", card.rounds},
      {"weights_are", card.memory}};
  json["bandwidth_gbps"] = Json::object();
  for (const CapReport& cap : report.caps)
    json["bandwidth_gbps"][cap.isa] = bandwidth_json(cap.bandwidth);
  json["peers"] = peers_json(report);
  return json;
}

// The median over the rows: each has its own, of the same moments as its other figures.
Json peaks_json(const std::vector<const Row*>& rows) {
  std::map<std::string, std::vector<double>> speeds;
  for (const Row* row : rows)
    for (const auto& [name, speed] : row->peaks) speeds[name].push_back(speed / 1e9);
  Json json = Json::object();
  for (const auto& [name, values] : speeds) json[name] = median(values);
  return json;
}

}  // namespace

Json to_json(const Report& report) {
  const std::vector<const Row*> rows = report.rows();
  Json json = {{"machine", machine_json(report)}, {"peaks", peaks_json(rows)}};
  json["rows"] = Json::array();
  for (const Row* row : rows) json["rows"].push_back(row_json(*row));
  json["geomean"] = geometric_means(rows, [](const Row&) { return true; });
  const Worst worst = worst_row(rows);
  json["worst"] = nullptr;
  if (worst.row) {
    json["worst"] = {{"peer", worst.peer},
                     {"ratio", worst.ratio},
                     {"shape", shape_json(*worst.row)},
                     {"isa", worst.row->isa},
                     {"set", worst.row->set}};
  }
  json["geomeans"] = Json::object();
  for (const Row* row : rows) {
    Json& means = json["geomeans"][row->isa];
    if (means.contains(row->set)) continue;
    means[row->set] = geometric_means(
        rows, [row](const Row& r) { return r.isa == row->isa && r.set == row->set; });
  }
  json["cliffs"] = Json::array();
  for (const Cliff& cliff : cliffs(rows)) {
    if (cliff.step >= kCliff) break;
    json["cliffs"].push_back(
        {{"isa", cliff.row->isa}, {"shape", shape_json(*cliff.row)}, {"step", cliff.step}});
  }
  if (rows.empty() || !rows.front()->conv) return json;
  for (const Row* row : rows) {
    Json& means = json["classes"][row->isa];
    const std::string name = class_of(*row->conv);
    if (means.contains(name)) continue;
    means[name] = geometric_means(
        rows, [&](const Row& r) { return r.isa == row->isa && class_of(*r.conv) == name; });
  }
  json["totals"] = Json::array();
  for (const Total& total : totals(rows)) {
    Json one = {{"set", total.set},
                {"isa", total.isa},
                {"batch", total.batch},
                {"octet_us", total.octet * 1e6}};
    one["peers"] = Json::object();
    for (const auto& [name, seconds] : total.peers) one["peers"][name] = seconds * 1e6;
    json["totals"].push_back(one);
  }
  return json;
}

Json to_json(const CapReport& cap) {
  Json json = {{"isa", cap.isa}, {"bandwidth", bandwidth_json(cap.bandwidth)}};
  json["peers"] = Json::array();
  for (const PeerCard& p : cap.peers) json["peers"].push_back({p.name, p.version, p.isa, p.absent});
  json["rows"] = Json::array();
  for (const Row& row : cap.rows) json["rows"].push_back(row_json(row));
  return json;
}

CapReport cap_report(const Json& json) {
  CapReport cap;
  cap.isa = json.at("isa");
  const Json& b = json.at("bandwidth");
  cap.bandwidth = {b.at("l1").get<double>() * 1e9, b.at("l2").get<double>() * 1e9,
                   b.at("l3").get<double>() * 1e9, b.at("dram").get<double>() * 1e9};
  for (const Json& p : json.at("peers")) cap.peers.push_back({p.at(0), p.at(1), p.at(2), p.at(3)});
  for (const Json& row : json.at("rows")) cap.rows.push_back(row_of(row));
  return cap;
}

}  // namespace octet_cli

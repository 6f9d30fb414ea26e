// SPDX-License-Identifier: Apache-2.0
//
// `octet bench gemm` and `octet bench conv`: whole calls of linear and convolution ops beside three
// things of the same moments: the peak of the kernel's instructions, the bound that peak and read
// bandwidth set for the shape, and other libraries under the same ISA cap.
//
// Everything that a row compares runs in turn in one process, drivers of Python peers batch by
// batch beside it. Libraries read their ISA cap once, so with peers each cap has a process of its
// own, which sends its rows to this one.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "api.h"
#include "bench/bandwidth.h"
#include "bench/card.h"
#include "bench/child.h"
#include "bench/driver.h"
#include "bench/exact.h"
#include "bench/octet_case.h"
#include "bench/peers.h"
#include "bench/pool.h"
#include "bench/report.h"
#include "commands.h"
#include "machine.h"
#include "output.h"
#include "peak.h"
#include "progress.h"
#include "timing.h"

namespace octet_cli {
namespace {

struct Work {
  std::string set;
  Shape shape;
  std::optional<ConvShape> conv;  // instead of shape
};

// ---- one cap -----------------------------------------------------------------------------------

// A folder of its own for the files that drivers exchange.
class Scratch {
 public:
  Scratch() {
    std::string pattern = std::filesystem::temp_directory_path() / "octet-bench-XXXXXX";
    if (!mkdtemp(pattern.data()))
      throw std::runtime_error("No folder could be made at " + pattern + ".");
    path_ = pattern;
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// The largest difference between two outputs, and whether more than rounding explains it.
struct Difference {
  double largest = 0;
  bool wrong = false;
};

template <typename Value>
double largest_difference(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b) {
  double largest = 0;
  for (size_t at = 0; at + sizeof(Value) <= a.size(); at += sizeof(Value)) {
    Value x, y;
    std::memcpy(&x, &a[at], sizeof x);
    std::memcpy(&y, &b[at], sizeof y);
    const double difference = std::fabs(static_cast<double>(x) - static_cast<double>(y));
    if (!(difference <= largest)) largest = difference;  // a NaN stays
  }
  return largest;
}

Difference compare(const Problem& p, const std::vector<uint8_t>& ours,
                   const std::vector<uint8_t>& theirs) {
  Difference d;
  if (p.form == Form::kQ8) {
    d.largest = p.act_signed ? largest_difference<int8_t>(ours, theirs)
                             : largest_difference<uint8_t>(ours, theirs);
  } else if (p.form == Form::kS32) {
    d.largest = largest_difference<int32_t>(ours, theirs);
  } else {
    d.largest = largest_difference<float>(ours, theirs);
  }
  d.wrong = !(d.largest <= tolerance(p));
  return d;
}

// The peers are held to Octet's output, so that is held to the definition first.
void check_exact(const Problem& problem, OctetCase& octet) {
  octet.run(1);
  const std::vector<uint8_t> y = octet.output();
  for (const ExactOutput& exact : exact_outputs(problem)) {
    const double off = distance(problem, exact, y);
    if (off <= tolerance(problem)) continue;
    throw std::runtime_error(
        format("Octet's output of %s is wrong: element %zu is %g from the exact one.",
               problem.conv->text().c_str(), exact.at, off));
  }
}

class CapBench {
 public:
  CapBench(const BenchOptions& options, const std::string& cap, const Cores& cores)
      : options_(options), context_(make_context(cap)), cores_(cores), pool_(cores.all) {
    const Machine machine = read_machine(context_.get());
    report_.isa = cap.empty() ? best_isa(machine) : cap;
    core_caches_ = usual_caches({machine.l1d, machine.l2, machine.l3});
    best_isa_ = best_isa(read_machine(make_context("").get()));
    const auto threads = static_cast<int64_t>(options.threads);
    caches_ = {core_caches_.l1 * threads, core_caches_.l2 * threads, core_caches_.l3};
  }

  CapReport run(const std::vector<Work>& work) {
    {
      const OnFirstCore here(cores_);
      report_.bandwidth = measure_bandwidth(report_.isa, core_caches_, pool_, options_.repeat);
    }
    if (options_.cold) evictor_.emplace(core_caches_);
    if (!options_.peers.empty()) open();
    std::optional<Progress> progress;
    if (work.size() > 1) progress.emplace("bench " + report_.isa, work.size());
    for (const Work& one : work) {
      report_.rows.push_back(row(one));
      const Row& row = report_.rows.back();
      if (progress) progress->step(format("%.0f GOPS", row.gops()));
    }
    return std::move(report_);
  }

 private:
  // Variants of one peer among the candidates.
  struct Entry {
    std::string name, isa;
    bool child, is_float;
    std::vector<std::unique_ptr<PreparedPeer>> variants;
    size_t first;  // candidate
  };

  void open() {
    scratch_.emplace();
    cap_peers(report_.isa, options_.threads);
    peers_ = open_peers(options_.peers, report_.isa, options_.threads,
                        {options_.peer_driver, scratch_->path()});
    for (const auto& peer : peers_.floats)
      report_.peers.push_back({peer->name, peer->version, peer->isa, ""});
    for (const auto& peer : peers_.present)
      if (peer->child) report_.peers.push_back({peer->name, peer->version, peer->isa, ""});
    for (const AbsentPeer& peer : peers_.absent)
      report_.peers.push_back({peer.name, "", "", peer.why});
  }

  Candidate octet(OctetCase& one) {
    Candidate candidate = timed([&one](size_t n) { one.run(n); });
    candidate.cold = options_.cold;
    candidate.run = [this, run = candidate.run](size_t n) {
      const OnFirstCore here(cores_);
      return run(n);
    };
    return candidate;
  }

  Candidate peak(const Peak& peak) {
    Candidate candidate = timed([this, &peak](size_t n) {
      if (pool_.threads() == 1) return peak.run(n);
      pool_.everywhere([&peak, n](size_t) { peak.run(n); });
    });
    candidate.run = [this, run = candidate.run](size_t n) {
      const OnFirstCore here(cores_);
      return run(n);
    };
    return candidate;
  }

  void add(const std::unique_ptr<Peer>& peer, Offer offer, bool is_float, Row& row,
           std::vector<Entry>& entries, std::vector<Candidate>& candidates) {
    if (offer.variants.empty()) {
      if (!is_float) row.absent[peer->name] = offer.absent;
      return;
    }
    entries.push_back({peer->name, peer->isa, peer->child, is_float, std::move(offer.variants),
                       candidates.size()});
    for (const auto& variant : entries.back().variants) {
      Candidate candidate;
      candidate.run = [one = variant.get()](size_t n) { return one->run(n); };
      if (const int process = variant->process())
        candidate.switches = [process] { return switches_of(process); };
      candidate.cold = options_.cold;
      candidates.push_back(std::move(candidate));
    }
  }

  std::vector<Entry> prepare(Problem& problem, Row& row, std::vector<Candidate>& candidates) {
    std::vector<Entry> entries;
    const bool drivers = std::any_of(peers_.present.begin(), peers_.present.end(),
                                     [](const auto& peer) { return peer->child; });
    if (drivers) {
      problem.file = scratch_->path() + "/problem";
      write_problem(problem, problem.file);
    }
    for (const auto& peer : peers_.present)
      add(peer, peer->prepare(problem), false, row, entries, candidates);
    for (const auto& peer : peers_.floats)
      add(peer, peer->prepare_float(problem), true, row, entries, candidates);
    return entries;
  }

  // The fastest variant; none where all were lost.
  std::optional<PeerFigure> figure(const Entry& entry, const std::vector<Candidate>& candidates,
                                   const Problem& problem, const OctetCase& octet, Row& row) {
    PeerFigure figure;
    figure.name = entry.name;
    figure.isa = entry.isa;
    figure.child = entry.child;
    figure.other_cap = entry.isa == kUncapped && report_.isa != best_isa_;
    PreparedPeer* fastest = nullptr;
    for (size_t v = 0; v < entry.variants.size(); ++v) {
      const Candidate& c = candidates[entry.first + v];
      PreparedPeer& peer = *entry.variants[v];
      if (c.lost) {
        row.absent[entry.name] = peer.note;
        continue;
      }
      if (!peer.variant.empty()) figure.variants[peer.variant] = c.seconds;
      if (fastest && figure.seconds.median <= c.seconds) continue;
      fastest = &peer;
      figure.seconds = {c.seconds, c.min, c.max};
    }
    if (!fastest) return std::nullopt;
    figure.variant = fastest->variant;
    figure.note = fastest->note;
    figure.overhead = fastest->overhead;
    fill_ratios(figure, row.seconds.median);
    if (!entry.is_float) check(figure, *fastest, problem, octet);
    return figure;
  }

  static void check(PeerFigure& figure, PreparedPeer& peer, const Problem& problem,
                    const OctetCase& octet) {
    std::vector<uint8_t> y(octet.output().size());
    if (!peer.output(y.data(), y.size())) {
      figure.note += figure.note.empty() ? "no output to compare" : "; no output to compare";
      figure.wrong = true;
      return;
    }
    const Difference d = compare(problem, octet.output(), y);
    figure.difference = d.largest;
    figure.wrong = d.wrong;
  }

  Row row(const Work& work) {
    const bool act_signed = options_.type == "s8";
    Problem problem =
        work.conv ? make_problem(*work.conv, form_of(options_), act_signed, options_.weights)
                  : make_problem(work.shape, form_of(options_), act_signed, options_.weights);
    const OctetOptions how{options_.lean, options_.dynamic == "tensor"};
    OctetCase octet_case(context_.get(), problem, how);
    octet_case.use(pool_);
    if (work.conv) check_exact(problem, octet_case);
    const octet_plan plan = octet_case.plan();
    std::optional<OctetCase> alone;
    if (pool_.threads() > 1) alone.emplace(context_.get(), problem, how);

    Row row;
    row.set = work.set;
    row.shape = problem.shape;
    row.conv = work.conv;
    row.why = plan.why ? plan.why : "";
    row.isa = report_.isa;
    row.types = types_of(options_);
    row.weights = std::filesystem::path(options_.weights).filename();
    row.kernel = plan.kernel;
    row.kernel_isa = plan.isa;
    row.threads = pool_.threads();
    row.cold = options_.cold;
    row.weight_bytes = plan.weight_bytes;

    std::vector<Candidate> candidates = {octet(octet_case)};
    if (alone) candidates.push_back(octet(*alone));
    const std::span<const Peak> peaks = peaks_of(plan.isa);
    const size_t first_peak = candidates.size();
    for (const Peak& one : peaks) candidates.push_back(peak(one));
    const std::vector<Entry> entries = prepare(problem, row, candidates);

    Timing timing;
    timing.rounds = options_.repeat;
    if (pool_.threads() > 1) timing.slice *= 3;  // other libraries' threads wait for a while
    if (evictor_) timing.evict = [this] { (*evictor_)(pool_); };
    time_interleaved(candidates, timing);

    row.seconds = {candidates[0].seconds, candidates[0].min, candidates[0].max};
    if (alone) row.one_thread = candidates[1].seconds;
    row.peak_name = peak_name(plan.kernel, plan.isa);
    for (size_t i = 0; i < peaks.size(); ++i)
      row.peaks[peaks[i].name] =
          peaks[i].ops * static_cast<double>(pool_.threads()) / candidates[first_peak + i].seconds;
    if (const auto held = row.peaks.find(row.peak_name); held != row.peaks.end())
      row.peak = held->second;
    row.bound = bound(problem, plan, row.peak);
    for (const Entry& entry : entries) {
      auto one = figure(entry, candidates, problem, octet_case, row);
      if (!one) continue;
      if (!entry.is_float)
        row.peers.push_back(std::move(*one));
      else if (!row.fp32 || one->ratio < row.fp32->ratio)
        row.fp32 = std::move(*one);
    }
    return row;
  }

  Bound bound(const Problem& p, const octet_plan& plan, double peak) const {
    const Granule granule = granule_of(plan.isa, plan.nr, plan.kr);
    const auto padded = [&](int64_t size) {
      return (size + granule.n - 1) / granule.n * granule.n;
    };
    Traffic traffic;
    // A byte a weight, and twelve a column: sum, scale and bias.
    traffic.weights = padded(p.shape.n) * ((p.shape.k + 3) / 4 * 4 + 12);
    traffic.in = static_cast<int64_t>(p.x.size()) * (p.form == Form::kDynamic ? 4 : 1);
    traffic.out = static_cast<int64_t>(p.outputs() * p.out_size());
    traffic.cold = options_.cold;
    return bound_of(p.shape, granule, peak, traffic, caches_, report_.bandwidth);
  }

  const BenchOptions& options_;
  Context context_;
  const Cores& cores_;
  Pool pool_;
  std::string best_isa_;  // of this CPU
  Caches core_caches_, caches_;
  std::optional<Evictor> evictor_;
  std::optional<Scratch> scratch_;
  Peers peers_;
  CapReport report_;
};

// ---- all caps ----------------------------------------------------------------------------------

std::vector<Work> read_gemms(const BenchOptions& options) {
  if (options.shape.empty() && options.sets.empty())
    throw UsageError("bench gemm needs a shape, M N K, or --set NAME.");
  std::vector<Work> work;
  if (!options.shape.empty())
    work.push_back({"", {options.shape[0], options.shape[1], options.shape[2]}, {}});
  const std::string folder = options.set_dir.empty() ? OCTET_SHAPE_DIR : options.set_dir;
  for (const std::string& set : options.sets)
    for (const Shape& shape : read_shapes(folder, set)) work.push_back({set, shape, {}});
  return work;
}

std::vector<Work> read_convs(const BenchOptions& options) {
  if (options.layer.empty() && options.sets.empty())
    throw UsageError("bench conv needs a layer, as 1x56x56x64 k3 o128 p1, or --set NAME.");
  std::vector<Work> work;
  if (!options.layer.empty()) work.push_back({"", {}, read_conv(options.layer)});
  const std::string folder =
      options.set_dir.empty() ? std::string(OCTET_SHAPE_DIR) + "/conv" : options.set_dir;
  for (const std::string& set : options.sets)
    for (const ConvShape& shape : read_conv_set(folder, set)) work.push_back({set, {}, shape});
  return work;
}

// The names, "all" spelled out, each once.
std::vector<std::string> read_peers(const BenchOptions& options) {
  const std::vector<std::string> known = peer_names();
  std::vector<std::string> peers;
  auto add = [&peers](const std::string& name) {
    if (std::find(peers.begin(), peers.end(), name) == peers.end()) peers.push_back(name);
  };
  for (const std::string& name : options.peers) {
    if (name == "all") {
      for (const std::string& one : known) add(one);
      continue;
    }
    // A driver of the user's own may know more names.
    if (options.peer_driver.empty() && std::find(known.begin(), known.end(), name) == known.end()) {
      std::string list;
      for (const std::string& one : known) list += one + ", ";
      throw UsageError("There is no peer " + name + "; known are " + list + "and all.");
    }
    add(name);
  }
  return peers;
}

void run(const BenchOptions& given, const std::vector<Work>& work) {
  BenchOptions options = given;
  options.peers = read_peers(options);
  check_types(options);
  std::vector<std::string> caps = options.isas;
  if (caps.empty()) caps.push_back("");
  // Before hours of measuring: that each cap exists here.
  for (const std::string& cap : caps) make_context(cap);

  Report report;
  const Machine machine = read_machine(make_context("").get());
  const Cores cores(options.threads);
  report.card = make_card(machine);
  report.card.threads = options.threads;
  report.card.pinned = cores.pinned;
  report.card.memory = options.cold ? "cold" : "warm";
  report.card.rounds = options.repeat;
  for (const std::string& cap : caps) {
    const auto measure = [&] { return CapBench(options, cap, cores).run(work); };
    report.caps.push_back(options.peers.empty()
                              ? measure()
                              : cap_report(in_child([&] { return to_json(measure()); })));
  }
  if (options.json != "-") print(report);
  if (!options.json.empty()) write_text(options.json, to_json(report).dump());
}

}  // namespace

void run_bench_gemm(const BenchOptions& options) { run(options, read_gemms(options)); }
void run_bench_conv(const BenchOptions& options) { run(options, read_convs(options)); }

}  // namespace octet_cli

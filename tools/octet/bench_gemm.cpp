// SPDX-License-Identifier: Apache-2.0
//
// `octet bench gemm`: linear ops against the peak of the instruction set that their kernel uses,
// both measured in the same interleaved run. The op is a whole call through the C interface: zero
// points on both sides, a scale for each channel, bias, requantization.
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "api.h"
#include "commands.h"
#include "machine.h"
#include "output.h"
#include "peak.h"
#include "portable_math.h"
#include "shapes.h"
#include "timing.h"

namespace octet_cli {
namespace {

octet_type parse_out(const BenchOptions& options, octet_type activations) {
  if (options.out == "f32") return OCTET_F32;
  if (options.out == "s32") return OCTET_S32;
  return activations;
}

// One linear op with data of its own.
class Case {
 public:
  Case(const octet_context* context, const Shape& shape, octet_type type, octet_type out)
      : shape_(shape), type_(type), out_(out) {
    const auto n = static_cast<size_t>(shape.n), k = static_cast<size_t>(shape.k);
    Rng rng(1);
    std::vector<int8_t> w(n * k);
    for (int8_t& v : w) v = static_cast<int8_t>(static_cast<int>(rng.below(255)) - 127);
    std::vector<float> scale(n), bias(n);
    for (float& v : scale) v = 0.005f + 0.005f * rng.uniform();
    for (float& v : bias) v = rng.uniform();
    x_.resize(static_cast<size_t>(shape.m) * k);
    for (uint8_t& v : x_) v = static_cast<uint8_t>(rng.below(256));
    y_.resize(static_cast<size_t>(shape.m) * n * (out == type ? 1 : 4));

    octet_qparams params = {};
    params.count = shape.n;
    params.scale = scale.data();
    octet_tensor source = octet_mat(OCTET_S8, w.data(), shape.n, shape.k);
    source.q = &params;
    const octet_tensor b = octet_vec(OCTET_F32, bias.data(), shape.n);
    auto wd = sized<octet_weights_desc>();
    wd.source = &source;
    if (out != OCTET_S32) wd.bias = &b;  // raw accumulators have no unit for a float bias
    weights_ = make_weights(context, wd);

    auto ld = sized<octet_linear_desc>();
    ld.weights = weights_.get();
    ld.in = {type, 0.02f, type == OCTET_U8 ? 128 : 3};
    ld.out = {out, 0, 0};
    // About three standard deviations of the result fit into the output type.
    if (out == type)
      ld.out = {type, 0.02f * std::sqrt(static_cast<float>(shape.k)), type == OCTET_U8 ? 128 : 0};
    op_ = make_linear(context, ld);
    runner_.reserve(op_.get(), in());
  }

  octet_tensor in() const { return octet_mat(type_, x_.data(), shape_.m, shape_.k); }
  octet_plan plan() const { return octet_cli::plan(op_.get(), in()); }
  void run(size_t iterations) {
    const octet_tensor x = in(), y = octet_mat(out_, y_.data(), shape_.m, shape_.n);
    for (; iterations > 0; --iterations) runner_.run(op_.get(), x, y);
  }

 private:
  Shape shape_;
  octet_type type_, out_;
  std::vector<uint8_t> x_, y_;
  Weights weights_;
  Op op_;
  Runner runner_;
};

struct PeakFigure {
  std::string name;
  double gops;
};

struct Figure {
  Shape shape;
  std::string cap, kernel, isa;
  double seconds, gops;
  std::vector<PeakFigure> peaks;  // the first is what the kernel is held to

  double percent() const { return 100 * gops / peaks.front().gops; }
};

// A context under each cap, and its cap's name.
struct Capped {
  std::string cap;
  Context context;
};

std::vector<Figure> measure(const std::vector<Capped>& contexts, const Shape& shape,
                            const BenchOptions& options) {
  const octet_type type = options.type == "s8" ? OCTET_S8 : OCTET_U8;
  std::vector<std::unique_ptr<Case>> cases;
  std::vector<Candidate> candidates;
  for (const Capped& capped : contexts) {
    cases.push_back(
        std::make_unique<Case>(capped.context.get(), shape, type, parse_out(options, type)));
    Case* one = cases.back().get();
    candidates.push_back({[one](size_t n) { one->run(n); }});
    for (const Peak& peak : peaks_of(one->plan().isa)) candidates.push_back({peak.run});
  }
  time_interleaved(candidates, options.repeat);

  std::vector<Figure> figures;
  size_t next = 0;
  for (size_t i = 0; i < contexts.size(); ++i) {
    const octet_plan plan = cases[i]->plan();
    const double seconds = candidates[next++].seconds;
    const double ops = 2.0 * static_cast<double>(shape.m) * static_cast<double>(shape.n) *
                       static_cast<double>(shape.k);
    Figure figure{shape, contexts[i].cap, plan.kernel, plan.isa, seconds, ops / seconds / 1e9, {}};
    for (const Peak& peak : peaks_of(plan.isa))
      figure.peaks.push_back({peak.name, peak.ops / candidates[next++].seconds / 1e9});
    figures.push_back(std::move(figure));
  }
  return figures;
}

void print_table(const std::vector<Figure>& figures, const Machine& machine, bool pinned) {
  Table table({"M", "N", "K", "us", "GOPS", "peak", "% of peak", "kernel"},
              {true, true, true, true, true, true, true, false});
  for (const Figure& f : figures) {
    const bool known = !f.peaks.empty();
    table.add({std::to_string(f.shape.m), std::to_string(f.shape.n), std::to_string(f.shape.k),
               format("%.2f", f.seconds * 1e6), format("%.1f", f.gops),
               known ? format("%.1f", f.peaks.front().gops) : "-",
               known ? format("%.1f", f.percent()) : "-", f.kernel});
  }
  table.print();
  std::printf("\nOne thread%s; peak: register loop of the kernel's ISA, same run. CPU: %s\n",
              pinned ? ", pinned" : "", machine.cpu.c_str());
}

std::string to_json(const std::vector<Figure>& figures, const Machine& machine,
                    const BenchOptions& options) {
  nlohmann::ordered_json json;
  json["cpu"] = machine.cpu;
  json["version"] = machine.version;
  json["type"] = options.type;
  json["out"] = options.out;
  json["rounds"] = options.repeat;
  json["rows"] = nlohmann::ordered_json::array();
  for (const Figure& f : figures) {
    nlohmann::ordered_json row = {{"m", f.shape.m},
                                  {"n", f.shape.n},
                                  {"k", f.shape.k},
                                  {"cap", f.cap},
                                  {"kernel", f.kernel},
                                  {"isa", f.isa},
                                  {"us", f.seconds * 1e6},
                                  {"gops", f.gops},
                                  {"peak_gops", nullptr},
                                  {"percent_of_peak", nullptr},
                                  {"peaks", nlohmann::ordered_json::object()}};
    if (!f.peaks.empty()) {
      row["peak_gops"] = f.peaks.front().gops;
      row["percent_of_peak"] = f.percent();
    }
    for (const PeakFigure& peak : f.peaks) row["peaks"][peak.name] = peak.gops;
    json["rows"].push_back(row);
  }
  return json.dump();
}

}  // namespace

void run_bench_gemm(const BenchOptions& options) {
  if (options.shape.empty() && options.set.empty())
    throw UsageError("bench gemm needs a shape, M N K, or --set NAME.");
  std::vector<Shape> shapes;
  if (options.set.empty())
    shapes.push_back({options.shape[0], options.shape[1], options.shape[2]});
  else
    shapes = read_shapes(options.set_dir.empty() ? OCTET_SHAPE_DIR : options.set_dir, options.set);

  std::vector<Capped> contexts;
  for (const std::string& isa : options.isas) contexts.push_back({isa, make_context(isa)});
  if (contexts.empty()) contexts.push_back({"", make_context("")});
  const Machine machine = read_machine(contexts.front().context.get());
  const bool pinned = pin_to_core();

  std::vector<Figure> figures;
  for (const Shape& shape : shapes)
    for (Figure& figure : measure(contexts, shape, options)) figures.push_back(std::move(figure));
  if (options.json != "-") print_table(figures, machine, pinned);
  if (!options.json.empty()) write_text(options.json, to_json(figures, machine, options));
}

}  // namespace octet_cli

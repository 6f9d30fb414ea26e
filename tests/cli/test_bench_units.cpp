// SPDX-License-Identifier: Apache-2.0
//
// The arithmetic of the benchmark: bounds, means, cliffs, distributions, sets of shapes and layers,
// exact convolutions, threads, and that a report survives the way between two processes.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "api.h"
#include "bench/distribution.h"
#include "bench/exact.h"
#include "bench/net.h"
#include "bench/pool.h"
#include "bench/report.h"
#include "bench/roofline.h"
#include "peak.h"
#include "timing.h"

namespace octet_cli {
namespace {

constexpr Caches kCaches = {1000, 10000, 100000};
constexpr Bandwidth kBandwidth = {1000, 100, 10, 1};

TEST(Roofline, ComputeCountsWholeGranules) {
  EXPECT_DOUBLE_EQ(compute_seconds({2, 16, 8}, {1, 16, 4}, 100), 2 * 2 * 16 * 8 / 100.0);
  EXPECT_DOUBLE_EQ(compute_seconds({2, 5, 3}, {1, 16, 4}, 100), 2 * 2 * 16 * 4 / 100.0);
  EXPECT_DOUBLE_EQ(compute_seconds({9, 17, 65}, granule_of("amx", 32, 64), 100),
                   2 * 16 * 32 * 128 / 100.0);
  EXPECT_DOUBLE_EQ(compute_seconds({9, 3, 65}, granule_of("avx2", 1, 16), 100),
                   2 * 9 * 3 * 80 / 100.0);
  EXPECT_EQ(compute_seconds({2, 5, 3}, {}, 0), 0);
}

TEST(Roofline, SmallMatricesAreNearest) {
  // 100 and then 900 more fit into L1; the weights, the largest, only into L2.
  const Bound b = bound_of({1, 16, 4}, {}, 0, {5000, 900, 100, false}, kCaches, kBandwidth);
  EXPECT_DOUBLE_EQ(b.memory, 100 / 1000.0 + 900 / 1000.0 + 5000 / 100.0);
  EXPECT_EQ(b.level, Level::kL2);
  EXPECT_EQ(b.by(), "L2");
  EXPECT_DOUBLE_EQ(b.seconds(), b.memory);
}

TEST(Roofline, LevelsBeginWhereACacheIsFull) {
  auto level = [](int64_t weights) {
    return bound_of({1, 16, 4}, {}, 0, {weights, 0, 0, false}, kCaches, kBandwidth).level;
  };
  EXPECT_EQ(level(1000), Level::kL1);
  EXPECT_EQ(level(1001), Level::kL2);
  EXPECT_EQ(level(10001), Level::kL3);
  EXPECT_EQ(level(100001), Level::kDram);
}

TEST(Roofline, ColdWeightsComeFromDramAndLeaveTheCachesToTheRest) {
  const Bound b = bound_of({1, 16, 4}, {}, 0, {500, 600, 400, true}, kCaches, kBandwidth);
  EXPECT_DOUBLE_EQ(b.memory, 500 / 1.0 + 1000 / 1000.0);
  EXPECT_EQ(b.by(), "DRAM");
}

TEST(Roofline, TheLargerBoundCounts) {
  const Bound b = bound_of({1, 16, 4}, {}, 1, {100, 0, 0, false}, kCaches, kBandwidth);
  EXPECT_DOUBLE_EQ(b.seconds(), 128);
  EXPECT_EQ(b.by(), "compute");
}

TEST(Peak, KernelsAreHeldToTheirOwnInstructions) {
  EXPECT_EQ(peak_name("gemm_s16s8_q8_6x16c4_avx2", "avx2"), "avx2_widened");
  EXPECT_EQ(peak_name("gemm_u8s8_q8_5x16c4_avx2", "avx2"), "avx2");
  EXPECT_EQ(peak_name("gemm_s16s8_q8_8x32c4_avx512bw", "avx512bw"), "avx512bw");
  EXPECT_EQ(peak_name("gemm_u8s8_q8_6x64c4_avx512vnni", "avx512vnni"), "avx512vnni");
}

Row row(const Shape& shape, double us, double bound_us) {
  Row r;
  r.set = "some";
  r.isa = "avx2";
  r.kernel = "gemm_u8s8_q8_6x64c4_avx512vnni";
  r.kernel_isa = "avx512vnni";
  r.peak_name = "avx512vnni";
  r.types = "u8s8_u8";
  r.weights = "real";
  r.shape = shape;
  r.seconds = {us / 1e6, us / 2e6, us / 0.5e6};
  r.bound.compute = bound_us / 1e6;
  return r;
}

PeerFigure peer(const std::string& name, double ratio) {
  PeerFigure p;
  p.name = name;
  p.seconds = {ratio / 1e6, ratio / 1e6, ratio / 1e6};
  fill_ratios(p, 1e-6);
  return p;
}

TEST(Report, GeometricMean) {
  EXPECT_EQ(geometric_mean({}), 0);
  EXPECT_DOUBLE_EQ(geometric_mean({2, 8}), 4);
  EXPECT_DOUBLE_EQ(geometric_mean({0.5, 1, 2}), 1);
}

TEST(Report, MeansAndWorstRowCountEveryPeerAndTheFloatProduct) {
  Row a = row({1, 2, 3}, 1, 1), b = row({4, 5, 6}, 1, 1);
  a.peers = {peer("x", 2), peer("y", 0.9)};
  b.peers = {peer("x", 8)};
  b.fp32 = peer("openblas", 0.8);
  const std::vector<const Row*> rows = {&a, &b};
  const auto means = geometric_means(rows, [](const Row&) { return true; });
  EXPECT_EQ(means.size(), 3u);
  EXPECT_DOUBLE_EQ(means.at("x"), 4);
  EXPECT_DOUBLE_EQ(means.at("y"), 0.9);
  EXPECT_DOUBLE_EQ(means.at("fp32"), 0.8);
  const Worst worst = worst_row(rows);
  EXPECT_EQ(worst.row, &b);
  EXPECT_EQ(worst.peer, "fp32");
  EXPECT_TRUE(a.loses());
  EXPECT_TRUE(b.loses());
  a.peers.pop_back();
  EXPECT_FALSE(a.loses());
}

TEST(Report, OverheadOfADriverDoesNotCount) {
  PeerFigure p;
  p.child = true;
  p.seconds.median = 10e-6;
  p.overhead = 4e-6;
  fill_ratios(p, 5e-6);
  EXPECT_DOUBLE_EQ(p.ratio, 2);
  EXPECT_DOUBLE_EQ(p.net_ratio, 1.2);
  EXPECT_DOUBLE_EQ(p.counted(), 1.2);
  // What is left would be noise: the raw figure stands.
  p.overhead = 9.5e-6;
  fill_ratios(p, 5e-6);
  EXPECT_EQ(p.net_ratio, 0);
  EXPECT_DOUBLE_EQ(p.counted(), 2);
}

TEST(Report, CliffsAreStepsOfOneRow) {
  const Row one = row({1, 8, 8}, 10, 9), two = row({2, 8, 8}, 10, 6), three = row({3, 8, 8}, 10, 9);
  const Row other = row({2, 9, 8}, 10, 1), far = row({5, 8, 8}, 10, 1);
  const auto steps = cliffs({&one, &two, &three, &other, &far});
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(steps[0].row, &two);
  EXPECT_DOUBLE_EQ(steps[0].step, 6.0 / 9);
  EXPECT_LT(steps[0].step, kCliff);
  EXPECT_DOUBLE_EQ(steps[1].step, 1.5);
}

TEST(Report, RowsAreTheSameBehindThePipe) {
  CapReport cap;
  cap.isa = "avx2";
  cap.bandwidth = {4e9, 3e9, 2e9, 1e9};
  cap.peers = {{"x", "1.0", "AVX2", ""}, {"y", "", "", "It is not here."}};
  Row r = row({1, 2, 3}, 10, 9);
  r.peak = 100e9;
  r.peaks = {{"avx512vnni", 100e9}};
  r.bound.memory = 12e-6;
  r.bound.level = Level::kL3;
  r.weight_bytes = 77;
  r.threads = 2;
  r.one_thread = 18e-6;
  r.peers = {peer("x", 2)};
  r.peers[0].variants = {{"folded", 2e-6}, {"zero point", 3e-6}};
  r.peers[0].variant = "folded";
  r.peers[0].wrong = true;
  r.peers[0].difference = 3;
  PeerFigure child = peer("z", 3);
  child.child = true;
  child.overhead = 1e-6;
  fill_ratios(child, 1e-6);
  r.peers.push_back(child);
  r.fp32 = peer("openblas", 4);
  r.absent = {{"y", "It does not do this."}};
  cap.rows = {r, row({4, 5, 6}, 1, 1)};

  const auto json = to_json(cap);
  const CapReport back = cap_report(nlohmann::ordered_json::parse(json.dump()));
  EXPECT_EQ(to_json(back).dump(), json.dump());
  EXPECT_EQ(back.rows.at(0).bound.by(), "L3");
  EXPECT_EQ(back.rows.at(0).fp32->name, "openblas");
  EXPECT_EQ(back.peers.at(1).absent, "It is not here.");

  Report report;
  report.caps = {cap, back};
  const auto all = to_json(report);
  EXPECT_EQ(all["rows"].size(), 4u);
  EXPECT_EQ(all["rows"][1]["shape"], all["rows"][0]["shape"]);
  EXPECT_DOUBLE_EQ(all["geomean"]["x"].get<double>(), 2);
  EXPECT_DOUBLE_EQ(all["peaks"]["avx512vnni"].get<double>(), 100);
}

TEST(Report, ConvolutionsAreTheSameBehindThePipe) {
  CapReport cap;
  cap.isa = "avx2";
  for (const char* image : {"2x9x8x16", "1x9x8x16"}) {
    Row r = row({}, 10, 9);
    r.conv = read_conv({image, "k3x5", "o32", "s2x1", "p1:0x2", "d1x2", "g4"});
    r.conv->times = 3;
    r.shape = r.conv->product();
    r.why = "in groups";
    r.peers = {peer("x", 2), peer("y", 0.5)};
    r.peers[1].other_cap = true;
    cap.rows.push_back(r);
  }
  cap.rows[1].peers.pop_back();
  const auto json = to_json(cap);
  const CapReport back = cap_report(nlohmann::ordered_json::parse(json.dump()));
  EXPECT_EQ(to_json(back).dump(), json.dump());
  EXPECT_EQ(back.rows.at(0).conv, cap.rows[0].conv);

  Report report;
  report.caps = {back};
  const auto all = to_json(report);
  const auto& shape = all["rows"][0]["shape"];
  EXPECT_EQ(shape["layer"], "2x9x8x16 k3x5 o32 s2x1 d1x2 p1:0x2:2 g4");
  EXPECT_EQ(shape["class"], "grouped");
  EXPECT_EQ(shape["out"], nlohmann::ordered_json({4, 4}));
  // The fastest peer is that of the same cap.
  EXPECT_DOUBLE_EQ(all["classes"]["avx2"]["grouped"]["best"].get<double>(), 2);
  // Three layers of the network; y did not do all of them.
  ASSERT_EQ(all["totals"].size(), 2u);
  EXPECT_EQ(all["totals"][1]["batch"], 1);
  EXPECT_NEAR(all["totals"][1]["octet_us"].get<double>(), 30, 1e-9);
  EXPECT_NEAR(all["totals"][1]["peers"]["x"].get<double>(), 60, 1e-9);
  EXPECT_FALSE(all["totals"][1]["peers"].contains("y"));
}

struct Moments {
  double sigma;
  int largest;
};

Moments moments(const std::vector<int8_t>& w) {
  int largest = 0;
  for (const int8_t v : w) largest = std::max(largest, std::abs(static_cast<int>(v)));
  return {root_mean_square(w), largest};
}

TEST(Distribution, RealAndHeavyLookLikeTrainedLayers) {
  const Moments real = moments(draw_weights("real", 64, 768));
  EXPECT_NEAR(real.sigma, 39, 2);
  EXPECT_EQ(real.largest, 127);
  const Moments heavy = moments(draw_weights("heavy", 64, 768));
  EXPECT_NEAR(heavy.sigma, 25, 4);
  EXPECT_EQ(heavy.largest, 127);
  const Moments uniform = moments(draw_weights("uniform", 64, 768));
  EXPECT_NEAR(uniform.sigma, 73.3, 1);
  EXPECT_THROW(draw_weights("/nowhere/w", 2, 2), UsageError);
}

TEST(Distribution, EveryChannelReaches127) {
  const auto w = draw_weights("real", 16, 100);
  for (size_t j = 0; j < 16; ++j)
    EXPECT_EQ(moments({w.begin() + static_cast<std::ptrdiff_t>(j * 100),
                       w.begin() + static_cast<std::ptrdiff_t>(j * 100 + 100)})
                  .largest,
              127);
}

TEST(Distribution, SamplesHaveTheirVariance) {
  Rng rng(5);
  double normal_sum = 0, student_sum = 0;
  constexpr int kSamples = 100000;
  for (int i = 0; i < kSamples; ++i) {
    normal_sum += std::pow(normal(rng), 2);
    student_sum += std::pow(student_t6(rng), 2);
  }
  EXPECT_NEAR(normal_sum / kSamples, 1, 0.02);
  EXPECT_NEAR(student_sum / kSamples, 1.5, 0.06);
}

TEST(Shapes, EverySetOfTheProjectCanBeRead) {
  std::set<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(OCTET_SHAPE_DIR))
    if (file.path().extension() == ".txt") names.insert(file.path().stem());
  for (const char* name : {"square", "resnet50", "mobilenetv2", "bert-base", "llm", "dlrm", "tiny",
                           "sweep-m", "corpus"})
    EXPECT_EQ(names.count(name), 1u) << name;
  for (const std::string& name : names) EXPECT_FALSE(read_shapes(OCTET_SHAPE_DIR, name).empty());
  EXPECT_EQ(read_shapes(OCTET_SHAPE_DIR, "sweep-m").size(), 5u * 64);
  EXPECT_EQ(read_shapes(OCTET_SHAPE_DIR, "llm").size(), 4u * 6);
  EXPECT_EQ(read_shapes(OCTET_SHAPE_DIR, "square").back(), (Shape{4096, 4096, 4096}));
}

TEST(ConvShape, WordsAreRead) {
  const ConvShape c = read_conv({"2x10x12x8", "k3x5", "o16", "s2", "p1:0x2", "d1x2", "g2"});
  EXPECT_EQ(c.rank, 2);
  EXPECT_EQ(c.batch, 2);
  EXPECT_EQ(c.in, (ConvShape::Dims{10, 12, 1}));
  EXPECT_EQ(c.kernel, (ConvShape::Dims{3, 5, 1}));
  EXPECT_EQ(c.stride, (ConvShape::Dims{2, 2, 1}));
  EXPECT_EQ(c.dilation, (ConvShape::Dims{1, 2, 1}));
  EXPECT_EQ(c.pad_lo, (ConvShape::Dims{1, 2, 0}));
  EXPECT_EQ(c.pad_hi, (ConvShape::Dims{0, 2, 0}));
  EXPECT_EQ(c.out(0), (10 + 1 - 3) / 2 + 1);
  EXPECT_EQ(c.out(1), (12 + 4 - 9) / 2 + 1);
  EXPECT_EQ(c.product(), (Shape{2 * 5 * 4, 16, 15 * 4}));

  const ConvShape up = read_conv({"1x7x16", "k4", "o8", "s2", "p1", "q1", "t"});
  EXPECT_EQ(up.out(0), 6 * 2 + 4 - 2 + 1);
  EXPECT_EQ(up.product(), (Shape{7, 8, 4 * 16}));
}

TEST(ConvShape, TheTextReadsBack) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"1x56x56x64", "k3", "o128", "s2", "p1"},
           {"8x9x7x32", "k3x1", "o32", "p1x0", "gC"},
           {"1x100x64", "k9", "o64", "d4", "p32:0"},
           {"2x4x8x8x16", "k2x2x1", "o8", "s2x2x1", "t", "q1x0x0", "g2"}}) {
    const ConvShape c = read_conv(words);
    std::istringstream text(c.text());
    std::vector<std::string> back;
    for (std::string word; text >> word;) back.push_back(word);
    EXPECT_EQ(read_conv(back), c) << c.text();
  }
}

TEST(ConvShape, Classes) {
  auto name = [](const std::vector<std::string>& words) {
    return std::string(class_of(read_conv(words)));
  };
  EXPECT_EQ(name({"1x9x9x64", "k1", "o8"}), "1x1");
  EXPECT_EQ(name({"1x9x9x64", "k3", "o8"}), "dense");
  EXPECT_EQ(name({"1x9x9x3", "k3", "o8"}), "first");
  EXPECT_EQ(name({"1x9x9x8", "k3", "o16", "gC"}), "depthwise");
  EXPECT_EQ(name({"1x9x9x8", "k3", "o8", "g2"}), "grouped");
  EXPECT_EQ(name({"1x9x9x8", "k3", "o8", "g8", "t"}), "transposed");
  EXPECT_EQ(name({"1x9x9x8", "k3", "o8", "d2"}), "dilated");
  EXPECT_EQ(name({"1x9x8", "k3", "o8"}), "1-D");
  EXPECT_EQ(name({"1x9x9x9x8", "k1", "o8"}), "3-D");
}

TEST(ConvShape, WhatIsNoLayerIsRefused) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {},
           {"k3"},
           {"1x8", "o8"},
           {"1x2x2x2x2x8", "o8"},
           {"0x4x4x8", "o8"},
           {"1x4x4x8"},
           {"1x4x4x8", "o0"},
           {"1x4x4x8", "o8", "k0"},
           {"1x4x4x8", "o8", "s0"},
           {"1x4x4x8", "o8", "d-1"},
           {"1x4x4x8", "o8", "k3x3x3"},
           {"1x4x4x8", "o8", "k5"},
           {"1x4x4x8", "o8", "g3"},
           {"1x4x4x8", "o8", "p1:2:3"},
           {"1x4x4x8", "o8", "q1"},
           {"1x4x4x8", "o8", "z1"},
           {"1x4x4x8", "o8", "k"},
           {"1x4x4x1048577", "o8"},
           {"1048576x1048576x1048576x1048576x1048576", "o1048576"}}) {
    std::string text;
    for (const std::string& word : words) text += word + " ";
    EXPECT_THROW(read_conv(words), UsageError) << text;
  }
}

TEST(ConvShape, EverySetOfTheProjectCanBeRead) {
  const std::string folder = std::string(OCTET_SHAPE_DIR) + "/conv";
  std::set<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(folder))
    names.insert(file.path().stem());
  for (const char* name :
       {"resnet50", "mobilenetv2", "efficientnet-lite0", "inception-v3", "resnext101",
        "shufflenetv2", "unet", "conv1d-audio", "video3d", "corpus"})
    EXPECT_EQ(names.count(name), 1u) << name;
  std::set<std::string> classes;
  for (const std::string& name : names)
    for (const ConvShape& c : read_conv_set(folder, name)) classes.insert(class_of(c));
  EXPECT_EQ(classes.size(), 9u);
  // Multiply-adds of one image, as the networks' papers have them, classifiers left out.
  auto work = [&](const char* name) {
    double sum = 0;
    for (const ConvShape& c : read_conv_set(folder, name)) {
      const Shape p = c.product();
      if (c.batch == 1) sum += static_cast<double>(p.m * p.n * p.k * c.times);
    }
    return sum / 1e6;
  };
  EXPECT_NEAR(work("resnet50"), 4087, 10);
  EXPECT_NEAR(work("mobilenetv2"), 299.5, 5);
  EXPECT_NEAR(work("efficientnet-lite0"), 400, 20);
  EXPECT_NEAR(work("resnext101"), 16412, 100);
  EXPECT_NEAR(work("inception-v3"), 5711, 60);
  EXPECT_NEAR(work("shufflenetv2"), 145, 4);
}

TEST(ConvShape, SetsHaveBatchesAndCounts) {
  const std::string folder = std::filesystem::temp_directory_path();
  const std::string path = folder + "/octet_conv_set.txt";
  auto write = [&path](const char* text) { std::ofstream(path) << text; };
  write("# mine\n\n1,8x4x4x8 k1 o8 *3 # odd\n1x4x8 o8\n");
  const auto shapes = read_conv_set(folder, "octet_conv_set");
  ASSERT_EQ(shapes.size(), 3u);
  EXPECT_EQ(shapes[1].batch, 8);
  EXPECT_EQ(shapes[1].times, 3);
  EXPECT_EQ(shapes[2].times, 1);
  for (const char* bad : {"", "1x4x4x8 o8 *0\n", "*3\n", "1,x4x4x8 o8\n", "1x4x4x8 k9 o8\n"}) {
    write(bad);
    EXPECT_THROW(read_conv_set(folder, "octet_conv_set"), UsageError) << bad;
  }
  std::filesystem::remove(path);
  EXPECT_THROW(read_conv_set(folder, "octet_conv_set"), UsageError);
}

TEST(Net, ActivationsFitTogether) {
  for (const std::string& name : net_names()) {
    const Net net = make_net(name, 2);
    EXPECT_EQ(net.image.size(), net.activations[0].elements());
    double operations = 0;
    for (const NetLayer& layer : net.layers) {
      const ConvShape& c = layer.shape;
      const Activation& x = net.activations.at(static_cast<size_t>(layer.in));
      EXPECT_EQ(x.elements(), static_cast<size_t>(c.in_pixels() * c.channels)) << layer.name;
      operations += layer.operations();
      if (layer.kind == NetLayer::Kind::kClassifier) continue;
      const Activation& y = net.activations.at(static_cast<size_t>(layer.out));
      EXPECT_EQ(y.elements(), static_cast<size_t>(c.out_pixels() * c.out_channels)) << layer.name;
      EXPECT_TRUE(layer.act == NetLayer::Act::kNone || y.zero == 0);
      if (layer.residual < 0) continue;
      // A peer may add it in place: nothing reads it later.
      EXPECT_EQ(net.activations.at(static_cast<size_t>(layer.residual)).elements(), y.elements());
      for (const NetLayer* later = &layer + 1; later <= &net.layers.back(); ++later) {
        EXPECT_NE(later->in, layer.residual);
        EXPECT_NE(later->residual, layer.residual);
      }
    }
    // Multiply-adds of an image, the classifier's among them.
    EXPECT_NEAR(operations / 4e6, name == "resnet50" ? 4089 : 301, 10) << name;
  }
}

Problem problem_of(const std::vector<std::string>& words, const std::vector<int>& x,
                   const std::vector<int>& w) {
  Problem p = make_problem(read_conv(words), Form::kS32, false, "uniform");
  p.in_zero = 10;
  EXPECT_EQ(x.size(), p.x.size());
  EXPECT_EQ(w.size(), p.w.size());
  std::copy(x.begin(), x.end(), p.x.begin());
  std::copy(w.begin(), w.end(), p.w.begin());
  return p;
}

std::vector<int64_t> sums_of(const Problem& p) {
  std::vector<int64_t> sums;
  for (const ExactOutput& one : exact_outputs(p)) {
    EXPECT_EQ(one.at, sums.size());
    sums.push_back(one.sum);
  }
  return sums;
}

TEST(Exact, ConvolutionsByHand) {
  // x - 10 is 1 2 3 4.
  EXPECT_EQ(sums_of(problem_of({"1x4x1", "k3", "o1", "p1"}, {11, 12, 13, 14}, {1, 2, 5})),
            (std::vector<int64_t>{12, 20, 28, 11}));
  EXPECT_EQ(
      sums_of(problem_of({"1x4x1", "k2", "o1", "d2", "s2", "p2:0"}, {11, 12, 13, 14}, {3, 1})),
      (std::vector<int64_t>{1, 6}));
  // Taps are not flipped: each input spreads 3 1 over two outputs, two apart.
  EXPECT_EQ(sums_of(problem_of({"1x2x1", "k2", "o1", "s2", "t"}, {11, 12}, {3, 1})),
            (std::vector<int64_t>{3, 1, 6, 2}));
  EXPECT_EQ(sums_of(problem_of({"1x2x1", "k3", "o1", "s2", "p1", "q1", "t"}, {11, 12}, {3, 1, 4})),
            (std::vector<int64_t>{1, 4 + 6, 2, 8}));
  // Two groups: output channels 0 1 read input channel 0, 2 3 input channel 1.
  EXPECT_EQ(sums_of(problem_of({"1x1x2", "k1", "o4", "g2"}, {11, 12}, {1, 2, 3, 4})),
            (std::vector<int64_t>{1, 2, 6, 8}));
  // Height and width, two samples.
  EXPECT_EQ(sums_of(problem_of({"2x1x2x1", "k1x2", "o1"}, {11, 12, 13, 14}, {1, 10})),
            (std::vector<int64_t>{21, 43}));
}

TEST(Exact, DistanceIsOfTheFormsUnits) {
  Problem p = make_problem(read_conv({"1x2x2", "k1", "o1"}), Form::kQ8, false, "uniform");
  p.out_scale = 0.5f;
  p.out_zero = 7;
  EXPECT_EQ(distance(p, {1, 0, 1.3}, {0, 10}), 0);
  EXPECT_EQ(distance(p, {0, 0, 1e6}, {250, 0}), 5);
  p.form = Form::kF32;
  std::vector<uint8_t> y(8);
  const float value = 2.5f;
  std::memcpy(&y[4], &value, sizeof value);
  EXPECT_EQ(distance(p, {1, 0, 3.0}, y), 0.5);
  EXPECT_GT(tolerance(p), 0);
}

TEST(Timing, LostCandidatesAreLeftOutAndColdOnesAreEvictedBeforeEachCall) {
  std::vector<Candidate> candidates(3);
  int evictions = 0, cold_calls = 0;
  bool evicted = false;
  candidates[0].run = [](size_t n) { return 1e-3 * static_cast<double>(n); };
  int left = 5;
  candidates[1].run = [&left](size_t) { return --left > 0 ? 1e-3 : std::nan(""); };
  candidates[2].cold = true;
  candidates[2].run = [&](size_t n) {
    EXPECT_EQ(n, 1u);
    EXPECT_TRUE(evicted);
    evicted = false;
    ++cold_calls;
    return 2e-3;
  };
  Timing timing;
  timing.rounds = 4;
  timing.evict = [&] {
    evicted = true;
    ++evictions;
  };
  time_interleaved(candidates, timing);
  EXPECT_DOUBLE_EQ(candidates[0].seconds, 1e-3);
  EXPECT_FALSE(candidates[0].lost);
  EXPECT_TRUE(candidates[1].lost);
  EXPECT_DOUBLE_EQ(candidates[2].seconds, 2e-3);
  EXPECT_EQ(evictions, cold_calls);
}

TEST(Timing, DisturbedSlicesAreTakenAgain) {
  std::vector<Candidate> candidates(1);
  long calls = 0, switches = 0;
  // Every second call is disturbed and takes a thousand times as long.
  candidates[0].run = [&](size_t) {
    const bool disturbed = calls++ % 2 == 0;
    switches += disturbed;
    return disturbed ? 2.0 : 2e-3;
  };
  candidates[0].switches = [&] { return switches; };
  Timing timing;
  timing.rounds = 5;
  time_interleaved(candidates, timing);
  EXPECT_DOUBLE_EQ(candidates[0].seconds, 2e-3);
  EXPECT_DOUBLE_EQ(candidates[0].max, 2e-3);
}

TEST(Pool, EachIndexRunsOnceAndEachThreadWorks) {
  Pool pool({-1, -1, -1});
  ASSERT_EQ(pool.threads(), 3u);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::atomic<int>> hits(37);
    auto task = [](void* arg, size_t i) {
      (*static_cast<std::vector<std::atomic<int>>*>(arg))[i].fetch_add(1);
    };
    EXPECT_EQ(Pool::parallel_for(&pool, hits.size(), task, &hits), 0);
    for (const auto& hit : hits) EXPECT_EQ(hit.load(), 1);
    std::vector<int> threads(3, 0);
    pool.everywhere([&threads](size_t thread) { ++threads[thread]; });
    EXPECT_EQ(threads, (std::vector<int>{1, 1, 1}));
  }
}

}  // namespace
}  // namespace octet_cli

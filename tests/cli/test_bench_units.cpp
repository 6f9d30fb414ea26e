// SPDX-License-Identifier: Apache-2.0
//
// The arithmetic of the benchmark: bounds, means, cliffs, distributions, shape sets, threads, and
// that a report survives the way between two processes.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "api.h"
#include "bench/distribution.h"
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
  EXPECT_DOUBLE_EQ(compute_seconds({9, 17, 65}, granule_of("amx", 64), 100),
                   2 * 16 * 32 * 128 / 100.0);
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

// SPDX-License-Identifier: Apache-2.0
//
// Histograms: golden vectors of every kind and search, Octet's independence of batches, order,
// merges and threads, the documented dependence of the others, growth and its limits.
#include <algorithm>
#include <memory>
#include <numeric>

#include "tests/quant/observers.h"

namespace octet_test {
namespace {

using Interval = Observer::Interval;

// A fixed permutation of a curve with long tails, in [-10, 10].
std::vector<float> curve() {
  std::vector<float> x;
  for (int64_t i = 0; i < 10007; ++i) {
    const double t = 2 * (static_cast<double>(7919 * i % 10007) / 10006) - 1;
    x.push_back(static_cast<float>(t / std::sqrt(1.01 - t * t)));
  }
  return x;
}

template <class F>
std::vector<float> each(std::vector<float> x, F f) {
  for (float& v : x) v = f(v);
  return x;
}

std::vector<float> absolute(std::vector<float> x) {
  return each(std::move(x), [](float v) { return std::fabs(v); });
}
std::vector<float> wider(std::vector<float> x) {
  return each(std::move(x), [](float v) { return 1.5f * v + 0.25f; });
}

class Histograms : public Observers {
 protected:
  octet_observer_desc desc(int32_t kind, int32_t bins = 0, uint32_t flags = 0) {
    octet_observer_desc d = observer_desc(kind);
    d.bins = bins;
    d.flags = flags;
    return d;
  }
  void expect_chosen(const Observer& o, octet_type type, uint32_t flags, float scale,
                     int32_t zero) {
    octet_scheme s = range_scheme(OCTET_RANGE_L2, type, flags);
    s.chooser = OCTET_CHOOSE_TORCH_OBSERVER;
    float got = -1;
    int32_t z = -1;
    octet_error err = {};
    ASSERT_EQ(octet_observer_qparams(o, &s, &got, &z, 1, &err), OCTET_OK) << err.text;
    EXPECT_EQ(bits(got), bits(scale)) << got;
    EXPECT_EQ(z, zero);
  }
  // The masses of torch's kind, or the counts of the others, as saved.
  std::vector<double> saved_bins(const Observer& o, int32_t kind) {
    const auto bytes = o.save();
    std::vector<double> bins;
    const bool floats = kind == OCTET_OBSERVE_TORCH_HISTOGRAM;
    const size_t head = 48 + 24 + 56 + (floats ? 0 : kind == OCTET_OBSERVE_HISTOGRAM ? 16 : 8);
    for (size_t i = head; i < bytes.size(); i += floats ? 4 : 8) {
      float f;
      uint64_t n;
      if (floats)
        memcpy(&f, bytes.data() + i, 4), bins.push_back(static_cast<double>(f));
      else
        memcpy(&n, bytes.data() + i, 8), bins.push_back(static_cast<double>(n));
    }
    return bins;
  }
};

// ---- PyTorch's --------------------------------------------------------------------------------

TEST_F(Histograms, TorchSearchGoldenVectors) {
  const octet_scheme l2 = range_scheme(OCTET_RANGE_L2, OCTET_U8, 0);
  const auto fed = [&](const std::vector<float>& x) {
    auto o = std::make_unique<Observer>(c, desc(OCTET_OBSERVE_TORCH_HISTOGRAM));
    o->feed(vec(x));
    return o;
  };
  const auto whole = fed(curve());
  EXPECT_EQ(whole->range(l2), (Interval{-10, 9.794921875f}));
  expect_chosen(*whole, OCTET_U8, 0, from_bits(0x3D9EFAFB), 129);
  expect_chosen(*whole, OCTET_U8, OCTET_REDUCE_RANGE, 0.15586552f, 64);
  expect_chosen(*whole, OCTET_S8, OCTET_SYMMETRIC, 0.0784313753f, 0);
  const auto magnitudes = fed(absolute(curve()));
  EXPECT_EQ(magnitudes->range(l2), (Interval{0, 9.9951171875f}));
  expect_chosen(*magnitudes, OCTET_U8, 0, 0.0391965397f, 0);
  const auto relu = fed(each(curve(), [](float v) { return std::fmax(v, 0.0f); }));
  EXPECT_EQ(relu->range(l2), (Interval{0, 9.7998046875f}));
  expect_chosen(*relu, OCTET_U8, 0, 0.0384306051f, 0);
  whole->feed(vec(wider(curve())));
  EXPECT_EQ(whole->range(range_scheme(OCTET_RANGE_OBSERVED)), (Interval{-14.75f, 15.25f}));
  EXPECT_EQ(whole->range(l2), (Interval{-14.75f, 14.6640625f}));
  expect_chosen(*whole, OCTET_U8, 0, 0.115349263f, 128);
}

TEST_F(Histograms, TorchMassesSpreadWhenTheRangeGrows) {
  const int32_t kind = OCTET_OBSERVE_TORCH_HISTOGRAM;
  using V = std::vector<double>;
  Observer o(c, desc(kind, 8));
  o.feed(vec({0, 1, 2, 3, 4}));
  EXPECT_EQ(saved_bins(o, kind), (V{1, 0, 1, 0, 1, 0, 1, 1}));
  o.feed(vec({-1, 5.5f}));
  EXPECT_EQ(saved_bins(o, kind), (V{1, 1, .875, .625, .625, 1.625, .25, 1}));
  o.feed(vec({.5f, .5f, .75f}));
  EXPECT_EQ(saved_bins(o, kind), (V{1, 3, 1.875, .625, .625, 1.625, .25, 1}));
  o.feed(vec({-1.5f, 9, kNan, kInf}));
  EXPECT_EQ(saved_bins(o, kind), (V{2, 4.171875, 1.484375, 1.890625, .890625, .5625, 0, 1}));
  Observer same(c, desc(kind, 8));
  same.feed(vec({2, 2, 2}));
  EXPECT_EQ(saved_bins(same, kind), (V{0, 0, 0, 0, 3, 0, 0, 0}));
  same.feed(vec({0, 4}));
  EXPECT_EQ(saved_bins(same, kind), (V{1, 0, 0, 0, 3, 0, 0, 1}));
}

// ---- NVIDIA's ---------------------------------------------------------------------------------

octet_scheme nvidia(int32_t range, octet_type type = OCTET_S8) {
  octet_scheme s = range_scheme(range, type, 0);
  s.chooser = OCTET_CHOOSE_NVIDIA;
  return s;
}
octet_scheme four_bits(octet_scheme s) {
  s.qmin = -8;
  s.qmax = 7;
  return s;
}
octet_scheme percentile(octet_scheme s, float p) {
  s.range = OCTET_RANGE_PERCENTILE;
  s.percentile = p;
  return s;
}

TEST_F(Histograms, NvidiaGoldenVectors) {
  Observer o(c, desc(OCTET_OBSERVE_NVIDIA_HISTOGRAM));
  o.feed(vec(curve()));
  const octet_scheme entropy = nvidia(OCTET_RANGE_ENTROPY), mse = nvidia(OCTET_RANGE_MSE);
  EXPECT_EQ(o.range(entropy), (Interval{-10, 10}));
  EXPECT_EQ(o.amax(mse), 9.74853515625f);
  EXPECT_EQ(o.amax(percentile(entropy, 90)), 2.01171875f);
  EXPECT_EQ(o.amax(percentile(entropy, 99)), 5.72265625f);
  EXPECT_EQ(o.amax(percentile(entropy, 99.9f)), 9.1162109375f);
  EXPECT_EQ(o.amax(percentile(entropy, 0)), 9.9951171875f);  // 99.99
  EXPECT_EQ(o.amax(four_bits(entropy)), 6.8359375f);
  EXPECT_EQ(o.amax(four_bits(mse)), 6.35986328125f);
  Observer positive(c, desc(OCTET_OBSERVE_NVIDIA_HISTOGRAM));
  positive.feed(vec(absolute(curve())));
  EXPECT_EQ(positive.range(nvidia(OCTET_RANGE_MSE, OCTET_U8)), (Interval{0, 9.95849609375f}));

  o.feed(vec(wider(curve())));
  EXPECT_EQ(saved_bins(o, OCTET_OBSERVE_NVIDIA_HISTOGRAM).size(), 3124u);
  EXPECT_EQ(o.amax(entropy), 14.7509765625f);
  EXPECT_EQ(o.amax(mse), 14.48974609375f);
  octet_scheme coarse = entropy;
  coarse.stride = 8;
  coarse.start_bin = 256;
  EXPECT_EQ(o.amax(coarse), 14.1796875f);
}

TEST_F(Histograms, NvidiaSmallHistogram) {
  Observer o(c, desc(OCTET_OBSERVE_NVIDIA_HISTOGRAM, 8));
  std::vector<float> x = {8};  // the last bin has its upper edge
  const int counts[] = {8, 8, 4, 4, 2, 1};
  for (size_t k = 0; k < 6; ++k)
    for (int i = 0; i < counts[k]; ++i)
      x.push_back((static_cast<float>(k) + 0.5f) * (i % 2 ? -1.0f : 1.0f));
  o.feed(vec(x));
  EXPECT_EQ(saved_bins(o, OCTET_OBSERVE_NVIDIA_HISTOGRAM),
            (std::vector<double>{8, 8, 4, 4, 2, 1, 0, 1}));
  octet_scheme s = nvidia(OCTET_RANGE_ENTROPY);
  s.start_bin = 4;
  s.qmin = -2;
  s.qmax = 1;
  EXPECT_EQ(o.amax(s), 5);
  s.qmin = -4;
  s.qmax = 3;
  EXPECT_EQ(o.amax(s), 8);
  s = four_bits(nvidia(OCTET_RANGE_MSE));
  s.start_bin = 3;
  EXPECT_EQ(o.amax(s), 6.5f);
  // Asking changes nothing: NVIDIA's numpy path overwrites its first bin here.
  EXPECT_EQ(o.amax(percentile(nvidia(0), 30)), 1);

  // With fewer bins than a search starts with, all that was seen.
  s.start_bin = 9;
  EXPECT_EQ(o.amax(s), 8);
}

TEST_F(Histograms, NumpyEdgesBeginAtTheSmallestMagnitude) {
  Observer o(c, desc(OCTET_OBSERVE_NVIDIA_HISTOGRAM, 10, OCTET_NUMPY_EDGES));
  std::vector<float> x;
  for (int i = 0; i < 100; ++i) x.push_back(static_cast<float>(i));
  o.feed(vec(x));
  // Counted in integers, the ninth bin has 90 %; a float sum of tenths misses it.
  EXPECT_EQ(o.amax(percentile(nvidia(0), 90)), 79.1999969f);
  EXPECT_EQ(o.amax(percentile(nvidia(0), 90.01f)), 89.0999985f);
  o.feed(vec({-120}));
  EXPECT_EQ(saved_bins(o, OCTET_OBSERVE_NVIDIA_HISTOGRAM),
            (std::vector<double>{10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 0, 0, 1}));
  Observer late(c, desc(OCTET_OBSERVE_NVIDIA_HISTOGRAM, 4, OCTET_NUMPY_EDGES));
  late.feed(vec({2, -4}));
  late.feed(vec({1, 3}));  // 1 lies below the first edge
  EXPECT_EQ(saved_bins(late, OCTET_OBSERVE_NVIDIA_HISTOGRAM), (std::vector<double>{1, 0, 1, 1}));
}

TEST_F(Histograms, NvidiaZerosWaitForEdges) {
  for (uint32_t flags : {0u, uint32_t{OCTET_SKIP_ZEROS}}) {
    Observer o(c, desc(OCTET_OBSERVE_NVIDIA_HISTOGRAM, 4, flags));
    o.feed(vec({0, -0.0f, 0}));
    EXPECT_EQ(o.range(nvidia(OCTET_RANGE_ENTROPY)), (Interval{0, 0}));
    o.feed(vec({4, 0, 1}));
    const double zeros = flags ? 0 : 4;
    EXPECT_EQ(saved_bins(o, OCTET_OBSERVE_NVIDIA_HISTOGRAM), (std::vector<double>{zeros, 1, 0, 1}));
  }
}

TEST_F(Histograms, NvidiaGrowthEndsAtMaxBins) {
  octet_observer_desc d = desc(OCTET_OBSERVE_NVIDIA_HISTOGRAM, 4);
  d.max_bins = 8;
  Observer o(c, d);
  o.feed(vec({4}));
  o.feed(vec({8}));
  const auto before = o.save();
  octet_error err = {};
  const float beyond[] = {1, 8.5f};
  const octet_tensor x = octet_vec(OCTET_F32, beyond, 2);
  expect_refused(octet_observer_feed(o, &x, nullptr, &err), err, OCTET_ERR_TOO_SMALL,
                 {"9 bins", "max_bins is 8"});
  EXPECT_EQ(err.need, 72);
  EXPECT_EQ(o.save(), before);
}

// ---- Octet's ----------------------------------------------------------------------------------

TEST_F(Histograms, BatchesOrderThreadsAndMergesDoNotShow) {
  std::vector<float> x = data(50000);
  for (float& v : x)
    if (std::fabs(v) > 1e30f) v = 3;  // else all but a few bins are empty
  for (uint32_t flags : {0u, uint32_t{OCTET_SKIP_ZEROS}})
    expect_one_state(desc(OCTET_OBSERVE_HISTOGRAM, 512, flags), x);
}

// The range outgrows the bins within a feed, on one thread and in tasks of several; the first value
// fills 16 bits.
TEST_F(Histograms, GrowsWhileItCounts) {
  std::vector<float> x(300000, 0.3f);
  for (size_t i = 200000; i < x.size(); ++i)
    x[i] = std::ldexp(i % 2 ? 1.0f : -1.7f, static_cast<int>(i / 3000) - 80);
  const int32_t kind = OCTET_OBSERVE_HISTOGRAM;
  Observer at_once(c, desc(kind, 64)), backwards(c, desc(kind, 64)), pieces(c, desc(kind, 64));
  at_once.feed(vec(x));
  std::vector<char> workspace(3 * 8 * (64 + 32) + 63);
  octet_exec e = exec_with(run_reversed, 3);
  e.workspace = workspace.data();
  e.workspace_bytes = workspace.size();
  backwards.feed(vec({x.rbegin(), x.rend()}), &e);
  for (size_t i = 0; i < x.size(); i += 10)  // too few for tables
    pieces.feed(octet_vec(OCTET_F32, x.data() + i, 10));
  EXPECT_EQ(at_once.save(), pieces.save());
  EXPECT_EQ(backwards.save(), pieces.save());
  const std::vector<double> bins = saved_bins(at_once, kind);
  EXPECT_EQ(std::accumulate(bins.begin(), bins.end(), 0.0), 300000);
}

TEST_F(Histograms, ThreadsWithAWorkspaceGiveTheSameBits) {
  std::vector<float> x = data(300000);
  for (float& v : x) v = std::fmax(std::fmin(v, 1e6f), -1e6f);  // NaN becomes -1e6
  for (int32_t kind :
       {OCTET_OBSERVE_HISTOGRAM, OCTET_OBSERVE_TORCH_HISTOGRAM, OCTET_OBSERVE_NVIDIA_HISTOGRAM}) {
    Observer whole(c, desc(kind));
    whole.feed(vec(x));
    for (int32_t threads : {1, 2, 3, 16}) {
      std::vector<char> workspace(static_cast<size_t>(threads) * 16 * 4098 + 64, 0x5A);
      octet_exec e = exec_with(threads % 2 ? run_first_only : run_reversed, threads);
      e.workspace = workspace.data() + 1;
      e.workspace_bytes = workspace.size() - 1;
      Observer o(c, desc(kind));
      o.feed(vec(x), &e);
      EXPECT_EQ(o.save(), whole.save()) << kind << " with " << threads;
      if (threads == 1) continue;
      e.parallel_for = run_none_and_cancel;
      octet_error err = {};
      const octet_tensor t = vec(x);
      EXPECT_EQ(octet_observer_feed(o, &t, &e, &err), OCTET_ERR_CANCELLED);
    }
  }
}

TEST_F(Histograms, ChannelsEqualObserversOfTheirOwn) {
  std::vector<float> x = data(6 * 7 * 10);
  x[5] = 1e20f;
  const octet_tensor t = octet_view(OCTET_F32, x.data(), 3, 6, 7, 10, 0);
  for (int32_t axis = 0; axis < 3; ++axis) {
    const size_t channels = static_cast<size_t>(t.dims[axis]);
    octet_observer_desc d = observer_desc(OCTET_OBSERVE_HISTOGRAM, channels, axis);
    d.bins = 64;
    Observer each(c, d), all(c, desc(OCTET_OBSERVE_HISTOGRAM, 64));
    const octet_exec e = exec_with(run_reversed, 3);
    each.feed(t, &e);
    all.feed(t);
    const auto saved = each.save();
    for (size_t k = 0; k < channels; ++k) {
      std::vector<float> mine;
      for (int64_t i = 0; i < 420; ++i) {
        const int64_t at[] = {i / 70, i / 10 % 7, i % 10};
        if (at[axis] == static_cast<int64_t>(k)) mine.push_back(x[static_cast<size_t>(i)]);
      }
      Observer one(c, desc(OCTET_OBSERVE_HISTOGRAM, 64));
      one.feed(vec(mine));
      const auto want = one.save();
      const size_t record = 16 + 64 * 8, at = 48 + 24 * channels + 56 + k * record;
      EXPECT_EQ(memcmp(saved.data() + at, want.data() + 48 + 24 + 56, record), 0) << k;
    }
    // count 1: the histogram of everything.
    for (int32_t range : {OCTET_RANGE_PERCENTILE, OCTET_RANGE_L2}) {
      octet_scheme s = range_scheme(range, OCTET_U8, 0);
      if (range == OCTET_RANGE_PERCENTILE) s.percentile = 90;
      EXPECT_EQ(each.range(s), all.range(s));
    }
  }
}

TEST_F(Histograms, BinsFollowTheLargestValue) {
  const auto exponent = [&](std::vector<float> x) {
    Observer o(c, desc(OCTET_OBSERVE_HISTOGRAM, 8));  // four on each side
    o.feed(vec(x));
    int32_t e;
    memcpy(&e, o.save().data() + 48 + 24 + 56, 4);
    return e;
  };
  EXPECT_EQ(exponent({3.99f}), 0);
  EXPECT_EQ(exponent({4}), 1);
  EXPECT_EQ(exponent({-4}), 0);  // the lowest edge itself
  EXPECT_EQ(exponent({-4.001f}), 1);
  EXPECT_EQ(exponent({0}), -126);
  EXPECT_EQ(exponent({from_bits(1), -from_bits(1)}), -126);
  EXPECT_EQ(exponent({from_bits(0x7F7FFFFF)}), 126);
  Observer o(c, desc(OCTET_OBSERVE_HISTOGRAM, 8));
  o.feed(vec({0.1f, -0.1f, 0, 3.5f, -4}));
  const int32_t kind = OCTET_OBSERVE_HISTOGRAM;
  EXPECT_EQ(saved_bins(o, kind), (std::vector<double>{1, 0, 0, 1, 1, 0, 0, 1}));
  o.feed(vec({7}));
  EXPECT_EQ(saved_bins(o, kind), (std::vector<double>{0, 0, 1, 1, 1, 1, 0, 1}));
  o.feed(vec({1e30f}));
  EXPECT_EQ(saved_bins(o, kind), (std::vector<double>{0, 0, 0, 2, 3, 0, 0, 1}));
}

TEST_F(Histograms, PercentilesAreExactQuantilesOfTheBins) {
  Observer o(c, desc(OCTET_OBSERVE_HISTOGRAM));
  std::vector<float> x;
  for (int i = -500; i <= 500; ++i) x.push_back(static_cast<float>(i));
  o.feed(vec(x));  // bins of 1/4... 500 needs 2048 * 2^-2
  octet_scheme affine = range_scheme(OCTET_RANGE_PERCENTILE, OCTET_U8, 0);
  affine.percentile = 90;
  // 1,001 values: 5 % are 50.05, so the 51st from either end.
  EXPECT_EQ(o.range(affine), (Interval{-450, 450.25f}));
  affine.percentile = 100;
  EXPECT_EQ(o.range(affine), (Interval{-500, 500}));
  octet_scheme symmetric = range_scheme(OCTET_RANGE_PERCENTILE);
  symmetric.percentile = 50;  // 0, and 250 of either sign
  EXPECT_EQ(o.range(symmetric), (Interval{-250.25f, 250.25f}));
  // Mostly zeros: they count, unless they are left out.
  std::vector<float> sparse(1000, 0.0f);
  sparse[1] = 8;
  sparse[2] = 2;
  Observer with(c, desc(OCTET_OBSERVE_HISTOGRAM));
  Observer without(c, desc(OCTET_OBSERVE_HISTOGRAM, 0, OCTET_SKIP_ZEROS));
  with.feed(vec(sparse));
  without.feed(vec(sparse));
  EXPECT_EQ(with.range(affine), (Interval{0, 8}));
  affine.percentile = 90;
  EXPECT_EQ(with.range(affine), (Interval{0, 0}));
  EXPECT_EQ(with.range(symmetric), (Interval{0, 0}));
  EXPECT_EQ(without.range(symmetric), (Interval{0, 2.0078125f}));
}

TEST_F(Histograms, SearchesCutTails) {
  // A bell with one outlier: every search must leave the outlier out at 4 bits, and none may go
  // beyond what was seen.
  std::vector<float> x;
  for (int i = 0; i < 40000; ++i) {
    float sum = 0;
    for (int k = 0; k < 12; ++k) sum += static_cast<float>(rng() % 4096) / 4096;
    x.push_back(sum - 6);
  }
  x[77] = 31;
  Observer o(c, desc(OCTET_OBSERVE_HISTOGRAM));
  o.feed(vec(x));
  for (uint32_t flags : {0u, uint32_t{OCTET_SYMMETRIC}})
    for (int32_t range :
         {OCTET_RANGE_PERCENTILE, OCTET_RANGE_ENTROPY, OCTET_RANGE_MSE, OCTET_RANGE_L2}) {
      SCOPED_TRACE(std::to_string(range) + " flags " + std::to_string(flags));
      octet_scheme s = four_bits(range_scheme(range, OCTET_S8, flags));
      const Interval r = o.range(s), seen = o.range(range_scheme(OCTET_RANGE_OBSERVED));
      EXPECT_GE(r.min, seen.min);
      EXPECT_LT(r.max, 10);
      EXPECT_GT(r.max, 1);
      EXPECT_LT(r.min, -1);
    }
  // MSE is what it says: no other candidate has a smaller error.
  octet_scheme s = four_bits(range_scheme(OCTET_RANGE_MSE));
  const auto error = [&](float t) {
    const float low = -t, high = t;
    octet_scheme plain = s;
    plain.range = 0;
    float scale, inverse;
    EXPECT_EQ(octet_choose_qparams(&plain, &low, &high, 1, &scale, nullptr, nullptr), OCTET_OK);
    inverse = 1 / scale;
    double sum = 0;
    for (float v : x) {
      const double q = std::fmin(std::fmax(std::nearbyint(v * inverse), -8.0), 7.0);
      sum += (q * scale - v) * (q * scale - v);
    }
    return sum;
  };
  const double best = error(o.range(s).max);
  for (float t : {1.0f, 1.5f, 2.0f, 2.5f, 3.0f, 3.5f, 4.0f, 5.0f, 6.0f})
    EXPECT_GE(error(t), best * 0.99);
}

TEST_F(Histograms, FewerBinsThanASearchStartsWithKeepEverything) {
  Observer o(c, desc(OCTET_OBSERVE_HISTOGRAM, 64));
  o.feed(vec({-1, 0.5f, 3}));
  for (int32_t range : {OCTET_RANGE_ENTROPY, OCTET_RANGE_MSE})
    EXPECT_EQ(o.range(range_scheme(range)), (Interval{-1, 3}));
  EXPECT_EQ(o.range(range_scheme(OCTET_RANGE_L2)), (Interval{-1, 3}));
}

// ---- what depends on order, and what cannot be answered ---------------------------------------

TEST_F(Histograms, TheOthersDependOnOrderAndDoNotMerge) {
  const std::vector<float> x = curve(), y = wider(curve());
  for (int32_t kind :
       {OCTET_OBSERVE_TORCH_HISTOGRAM, OCTET_OBSERVE_NVIDIA_HISTOGRAM, OCTET_OBSERVE_MOVING}) {
    Observer forth(c, observer_desc(kind)), back(c, observer_desc(kind));
    forth.feed(vec(x));
    forth.feed(vec(y));
    back.feed(vec(y));
    back.feed(vec(x));
    EXPECT_NE(forth.save(), back.save()) << kind;
    const auto before = forth.save();
    octet_error err = {};
    expect_refused(octet_observer_merge(forth, back, &err), err, OCTET_ERR_UNSUPPORTED, {"order"});
    EXPECT_EQ(forth.save(), before);
  }
}

TEST_F(Histograms, MethodsThatAKindLacks) {
  const struct {
    int32_t kind;
    std::vector<int32_t> ranges;
  } cases[] = {
      {OCTET_OBSERVE_MINMAX, {1, 2, 3, 4}},  {OCTET_OBSERVE_MOVING, {1, 2, 3, 4}},
      {OCTET_OBSERVE_ABSMAX, {1, 2, 3, 4}},  {OCTET_OBSERVE_TORCH_HISTOGRAM, {1, 2, 3}},
      {OCTET_OBSERVE_NVIDIA_HISTOGRAM, {4}},
  };
  for (const auto& k : cases) {
    Observer o(c, observer_desc(k.kind));
    o.feed(vec({1, 2}));
    for (int32_t range : k.ranges) {
      const octet_scheme s = range_scheme(range);
      float min = -7, max = -7;
      octet_error err = {};
      expect_refused(octet_observer_range(o, &s, &min, &max, 1, &err), err, OCTET_ERR_ARGUMENT,
                     {"octet_scheme.range", "OCTET_OBSERVE_HISTOGRAM"});
      EXPECT_EQ(min, -7);
    }
  }
}

TEST_F(Histograms, RangesTooWideForFloatAreRefused) {
  octet_error err = {};
  const float ends[] = {-3e38f, 3e38f};
  const octet_tensor x = octet_vec(OCTET_F32, ends, 2);
  for (int32_t kind : {OCTET_OBSERVE_TORCH_HISTOGRAM, OCTET_OBSERVE_NVIDIA_HISTOGRAM}) {
    Observer o(c, desc(kind));
    const auto before = o.save();
    expect_refused(octet_observer_feed(o, &x, nullptr, &err), err, OCTET_ERR_NOT_FINITE, {"scale"});
    EXPECT_EQ(o.save(), before);
  }
  Observer o(c, desc(OCTET_OBSERVE_HISTOGRAM));
  o.feed(x);  // every finite float has a bin
  EXPECT_EQ(o.range(range_scheme(OCTET_RANGE_OBSERVED)), (Interval{-3e38f, 3e38f}));
}

}  // namespace
}  // namespace octet_test

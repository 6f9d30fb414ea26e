// SPDX-License-Identifier: Apache-2.0
//
// The proved layout, read here as kernels/proved.h describes it and by nothing that wrote it: every
// k of every window is there once with its weights, no sum of vpmaddubsw can saturate, and weights
// that lie exactly on the bound get the kind they fit.
#include "src/prove.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

namespace octet {
namespace {

using Draw = std::function<int32_t(int64_t k, int32_t column)>;

std::vector<int8_t> panel_of(int64_t k, const Draw& draw) {
  std::vector<int8_t> panel(static_cast<size_t>((k + 3) / 4 * 64));
  for (int64_t i = 0; i < k; ++i)
    for (int32_t c = 0; c < 16; ++c)
      panel[static_cast<size_t>(i / 4 * 64 + c * 4 + i % 4)] =
          static_cast<int8_t>(std::clamp(draw(i, c), -128, 127));
  return panel;
}

int32_t weight_of(const std::vector<int8_t>& panel, int64_t k, int32_t c) {
  return panel[static_cast<size_t>(k / 4 * 64 + c * 4 + k % 4)];
}

struct Packed {
  std::vector<ProvedWindow> windows;
  std::vector<uint64_t> words;  // aligned enough to be read here
  const char* data() const { return reinterpret_cast<const char*>(words.data()); }

  Packed(const std::vector<int8_t>& panel, int64_t k)
      : windows(static_cast<size_t>(proved_windows(k))) {
    prove_panel(panel.data(), k, windows.data());
    const size_t bytes = proved_panel_bytes(windows.data(), k);
    EXPECT_EQ(bytes % 64, 0u);
    words.assign(bytes / 8, 0xEEEEEEEEEEEEEEEE);
    write_proved_panel(panel.data(), k, windows.data(), words.data());
  }
};

// Reads a packed panel as a tile does, and collects what each weight is multiplied with.
class Reader {
 public:
  Reader(const std::vector<int8_t>& panel, int64_t k, const Packed& packed)
      : panel_(panel), k_(k), seen_(static_cast<size_t>(k) * 16) {
    const char* base = packed.data();
    ProvedPanel head;
    memcpy(&head, base, sizeof head);
    move_ = base + head.moves;
    weights_ = reinterpret_cast<const int8_t*>(base + head.weights);
    const char* run_at = base + sizeof head;
    int64_t windows = 0;
    for (int32_t r = 0; r < head.runs; ++r, run_at += sizeof(ProvedRun)) {
      ProvedRun run;
      memcpy(&run, run_at, sizeof run);
      EXPECT_GE(run.kind, last_kind_);
      last_kind_ = run.kind;
      windows += run.windows;
      for (int32_t w = 0; w < run.windows; ++w) window(run);
    }
    EXPECT_EQ(windows, proved_windows(k));
    EXPECT_EQ(reinterpret_cast<const char*>(weights_), base + packed.words.size() * 8);
    for (int64_t i = 0; i < k; ++i)
      for (int32_t c = 0; c < 16; ++c)
        EXPECT_EQ(seen_[static_cast<size_t>(i * 16 + c)], weight_of(panel, i, c) != 0)
            << "k " << i << ", column " << c;
  }

 private:
  // Where each byte of a moved window comes from; -1: a zero.
  std::vector<int64_t> move() {
    ProvedMove m;
    memcpy(&m, move_, sizeof m);
    move_ += sizeof m;
    EXPECT_GE(m.from, 0);
    EXPECT_LE(m.from + 32, k_) << "reads behind the row";
    std::vector<int64_t> from(32, -1);
    for (int32_t i = 0; i < 32; ++i) {
      if (m.index[i] & 0x80) continue;
      EXPECT_LT(m.index[i], 16);
      from[static_cast<size_t>(i)] = m.from + i / 16 * 16 + m.index[i];
    }
    return from;
  }

  // A product of k (or of a zero) and the next weight of column c.
  int32_t meet(int64_t k, int32_t c, int32_t w) {
    if (!w) return 0;
    EXPECT_GE(k, 0) << "a weight without an activation";
    if (k < 0) return 0;
    EXPECT_EQ(w, weight_of(panel_, k, c));
    EXPECT_EQ(seen_[static_cast<size_t>(k * 16 + c)], 0) << "k " << k << " counts twice";
    seen_[static_cast<size_t>(k * 16 + c)] = 1;
    return w;
  }

  void sum(const std::vector<int64_t>& from, std::initializer_list<int32_t> words) {
    int32_t plus[16][2] = {}, minus[16][2] = {};
    for (const int32_t word : words)
      for (int32_t c = 0; c < 16; ++c)
        for (int32_t j = 0; j < 4; ++j) {
          const int32_t w = meet(from[static_cast<size_t>(4 * word + j)], c, *weights_++);
          (w > 0 ? plus : minus)[c][j / 2] += w;
        }
    // u8 activations of 255 for one sign and 0 for the other: nothing can be further out.
    for (int32_t c = 0; c < 16; ++c)
      for (int32_t j = 0; j < 2; ++j) {
        EXPECT_LE(255 * plus[c][j], INT16_MAX);
        EXPECT_GE(255 * minus[c][j], INT16_MIN);
      }
  }

  void widened() {
    for (int32_t m = 0; m < 2; ++m) {
      const std::vector<int64_t> from = move();
      for (int32_t word = 0; word < 8; ++word)
        for (int32_t c = 0; c < 16; ++c)
          for (int32_t j = 0; j < 2; ++j) {
            EXPECT_EQ(from[static_cast<size_t>(4 * word + 2 * j + 1)], -1) << "no int16";
            meet(from[static_cast<size_t>(4 * word + 2 * j)], c, *weights_++);
          }
    }
  }

  void window(const ProvedRun& run) {
    if (run.kind == kProvedWidened) return widened();
    const std::vector<int64_t> from = move();
    if (run.kind == kProvedTriples) {
      sum(from, {0, 1, 4});
      sum(from, {2, 5, 6});
      sum(from, {3, 7});
    } else if (run.kind == kProvedQuads) {
      sum(from, {0, 1, 4, 5});
      sum(from, {2, 3, 6, 7});
    } else {
      ASSERT_EQ(run.kind, kProvedPairs);
      ASSERT_EQ(run.doubles + run.singles, 4);
      for (int32_t g = 0; g < 4; ++g) {
        if (g < run.doubles) {
          sum(from, {g, g + 4});
        } else {
          sum(from, {g});
          sum(from, {g + 4});
        }
      }
    }
  }

  const std::vector<int8_t>& panel_;
  int64_t k_;
  std::vector<char> seen_;
  const char* move_;
  const int8_t* weights_;
  int32_t last_kind_ = 0;
};

Draw normal(std::mt19937* random, float sigma) {
  return [random, sigma](int64_t, int32_t) {
    return static_cast<int32_t>(std::normal_distribution<float>(0, sigma)(*random));
  };
}

void check(int64_t k, const Draw& draw) {
  const std::vector<int8_t> panel = panel_of(k, draw);
  const Packed packed(panel, k);
  for (int64_t i = 0; i < proved_windows(k); ++i)
    EXPECT_TRUE(proof_holds(panel.data(), k, i, packed.windows[static_cast<size_t>(i)]));
  const Reader reader(panel, k, packed);
}

TEST(Prove, WeightsOfEverySpreadAndEveryTail) {
  std::mt19937 random(1);
  for (int64_t k = 32; k < 130; ++k)
    for (const float sigma : {3.0f, 14.0f, 20.0f, 27.0f, 38.0f, 52.0f, 75.0f}) {
      SCOPED_TRACE(testing::Message() << "k " << k << ", sigma " << sigma);
      check(k, normal(&random, sigma));
    }
}

TEST(Prove, ManyWindows) {
  std::mt19937 random(2);
  for (const float sigma : {18.0f, 25.0f, 38.0f}) check(1024, normal(&random, sigma));
}

TEST(Prove, WeightsOfOneSize) {
  std::mt19937 random(3);
  for (const int32_t size : {1, 15, 16, 17, 21, 22, 32, 33, 64, 65, 127, 128})
    for (const int32_t kind : {0, 1, 2}) {
      SCOPED_TRACE(testing::Message() << "size " << size << ", kind " << kind);
      check(75, [&](int64_t k, int32_t c) {
        const bool negative = kind == 0 ? c % 2 : kind == 1 ? k % 2 : random() % 2;
        return negative ? -size : size;
      });
    }
}

// All weights of one sign and size: the sums are the bound itself, and one more is too much.
TEST(Prove, TheBoundItselfIsReached) {
  const auto kind_of = [](int32_t w) {
    const std::vector<int8_t> panel = panel_of(32, [&](int64_t, int32_t) { return w; });
    ProvedWindow window;
    prove_panel(panel.data(), 32, &window);
    EXPECT_TRUE(proof_holds(panel.data(), 32, 0, window));
    return window;
  };
  for (const int32_t sign : {1, -1}) {
    EXPECT_EQ(kind_of(16 * sign).kind, kProvedQuads);  // 8 * 16 = 128
    EXPECT_EQ(kind_of(32 * sign).kind, kProvedPairs);  // 4 * 32 = 128
    EXPECT_EQ(kind_of(32 * sign).doubles, 4);
    EXPECT_EQ(kind_of(33 * sign).kind, kProvedPairs);
    EXPECT_EQ(kind_of(33 * sign).doubles, 0);
    EXPECT_EQ(kind_of(64 * sign).kind, kProvedPairs);  // 2 * 64 = 128
    EXPECT_EQ(kind_of(64 * sign).doubles, 0);
    EXPECT_EQ(kind_of(65 * sign).kind, kProvedWidened);
  }
  EXPECT_EQ(kind_of(17).kind == kProvedQuads, false);
  EXPECT_EQ(kind_of(-128).kind, kProvedWidened);
}

// A window must not be believed: each of these breaks one thing in a good one.
TEST(Prove, AProofThatDoesNotHoldIsSeen) {
  const std::vector<int8_t> panel =
      panel_of(32, [](int64_t k, int32_t) { return k % 2 ? 128 - 1 : 1; });
  ProvedWindow good;
  prove_panel(panel.data(), 32, &good);
  ASSERT_EQ(good.kind, kProvedPairs);
  ASSERT_TRUE(proof_holds(panel.data(), 32, 0, good));
  ProvedWindow bad = good;
  bad.doubles = 4;
  EXPECT_FALSE(proof_holds(panel.data(), 32, 0, bad));
  bad = good;
  bad.kind = kProvedQuads;
  EXPECT_FALSE(proof_holds(panel.data(), 32, 0, bad));
  bad = good;
  bad.at[3] = bad.at[4];  // one k twice, one not at all
  EXPECT_FALSE(proof_holds(panel.data(), 32, 0, bad));
  bad = good;
  std::swap(bad.at[0], bad.at[16]);  // across the halves
  EXPECT_FALSE(proof_holds(panel.data(), 32, 0, bad));
  bad = good;
  // Two large ones into a pair.
  const auto large = [&](int32_t slot) { return bad.at[slot] % 2 == 1; };
  int32_t other = 2;
  while (large(other) == large(0)) ++other;
  std::swap(bad.at[large(0) ? 1 : 0], bad.at[other]);
  EXPECT_FALSE(proof_holds(panel.data(), 32, 0, bad));
}

// What the search is worth: weights as trained layers have them gain a fifth or more over widening.
TEST(Prove, WeightsOfTrainedLayersGain) {
  std::mt19937 random(4);
  const auto load = [&](float sigma) {
    const std::vector<int8_t> panel = panel_of(1024, normal(&random, sigma));
    std::vector<ProvedWindow> windows(static_cast<size_t>(proved_windows(1024)));
    prove_panel(panel.data(), 1024, windows.data());
    return proved_cycles(windows.data(), 1024) / widened_cycles(1024);
  };
  EXPECT_LT(load(38), 0.85);
  EXPECT_LT(load(27), 0.78);
  EXPECT_LT(load(2), 0.75);
  EXPECT_GT(load(90), 1.0);
}

}  // namespace
}  // namespace octet

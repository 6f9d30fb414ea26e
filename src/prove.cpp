// SPDX-License-Identifier: Apache-2.0
//
// A window is a puzzle: 32 k, each with its 16 weights, go into bins (the sums of a kind) such that
// in every bin and column the positive parts add up to at most 128, and the negative ones too; each
// half of the window has its own places, because a move does not cross halves. It is solved by
// local search: while some bin is too full, one of its k changes places with the one that lowers
// the total excess most, now and then with one that raises it. Kinds are tried from the fastest on.
#include "src/prove.h"

#include <string.h>

namespace octet {

namespace {

constexpr int32_t kSlots = kProvedWindow, kHalf = kSlots / 2, kMaxBins = 16;

typedef int16_t Lanes __attribute__((vector_size(16)));

// 16 positive parts, then 16 negative ones without their sign; in a bin, less the bound.
struct Parts {
  Lanes v[4];
};

Parts operator+(const Parts& x, const Parts& y) {
  return {{x.v[0] + y.v[0], x.v[1] + y.v[1], x.v[2] + y.v[2], x.v[3] + y.v[3]}};
}
Parts operator-(const Parts& x, const Parts& y) {
  return {{x.v[0] - y.v[0], x.v[1] - y.v[1], x.v[2] - y.v[2], x.v[3] - y.v[3]}};
}

// How far a bin is above the bound, over all columns and signs.
int32_t excess_of(const Parts& bin) {
  Lanes sum = {};
  for (const Lanes& x : bin.v) sum += x & (x > 0);
  // At most 4 * (8 * 128): 16 bits hold four such lanes, added in words of 64.
  uint64_t words[2];
  memcpy(words, &sum, sizeof words);
  return static_cast<int32_t>((words[0] + words[1]) * 0x0001000100010001u >> 48);
}

// The sums of a kind: which bin a slot belongs to, how many there are, and how hard to look for
// them.
struct Kind {
  ProvedKind kind;
  int32_t doubles;
  int32_t bins;
  uint8_t bin_of[kSlots];

  constexpr int32_t capacity() const { return bins * kProvedBound; }
};

constexpr Kind pairs(int32_t doubles) {
  Kind k = {kProvedPairs, doubles, 2 * doubles + 4 * (4 - doubles), {}};
  for (int32_t s = 0; s < kSlots; ++s) {
    const int32_t side = s % 4 / 2, group = s / 4 % 4, half = s / kHalf;
    k.bin_of[s] = static_cast<uint8_t>(
        group < doubles ? 2 * group + side : 2 * doubles + 4 * (group - doubles) + 2 * half + side);
  }
  return k;
}

// groups: of each word a0..a3 b0..b3.
constexpr Kind deep(ProvedKind kind, int32_t bins, const uint8_t (&groups)[8]) {
  Kind k = {kind, 0, bins, {}};
  for (int32_t s = 0; s < kSlots; ++s)
    k.bin_of[s] = static_cast<uint8_t>(2 * groups[s / 4] + s % 4 / 2);
  return k;
}

constexpr Kind kQuads = deep(kProvedQuads, 4, {0, 0, 1, 1, 0, 0, 1, 1});
constexpr Kind kTriples = deep(kProvedTriples, 6, {0, 0, 1, 2, 0, 1, 1, 2});
constexpr Kind kPairs[] = {pairs(0), pairs(1), pairs(2), pairs(3), pairs(4)};

const Kind& kind_of(const ProvedWindow& w) {
  if (w.kind == kProvedQuads) return kQuads;
  if (w.kind == kProvedTriples) return kTriples;
  return kPairs[w.doubles];
}

// Words in the order of their weights.
constexpr uint8_t kWordOrder[4][8] = {
    {}, {0, 4, 1, 5, 2, 6, 3, 7}, {0, 1, 4, 2, 5, 6, 3, 7}, {0, 1, 4, 5, 2, 3, 6, 7}};

// Weight of column c at k.
int8_t weight(const int8_t* panel, int64_t k, int64_t c) {
  return panel[k / 4 * 64 + c * 4 + k % 4];
}

// The window's k that are its own: an overlapping last window leaves out what the one before it
// has.
int64_t first_own(int64_t k, int64_t i) { return i * kProvedWindow - proved_from(k, i); }

class Search {
 public:
  Search(const int8_t* panel, int64_t k, int64_t i) {
    const int64_t from = proved_from(k, i), own = first_own(k, i);
    total_ = Parts{};
    for (int64_t e = 0; e < kSlots; ++e) {
      element_[e] = Parts{};
      at_[e] = static_cast<uint8_t>(e);
      if (e < own) continue;
      for (int64_t c = 0; c < 16; ++c) {
        const int16_t w = weight(panel, from + e, c);
        if (w > 0) element_[e].v[c / 8][c % 8] = w;
        if (w < 0) element_[e].v[2 + c / 8][c % 8] = static_cast<int16_t>(-w);
      }
      total_ = total_ + element_[e];
    }
  }

  void run(ProvedWindow* out) {
    out->kind = kProvedWidened;
    out->doubles = 0;
    fill(kPairs[0]);
    if (all_excess_ > kHopeless) return;
    const int32_t fullest = greatest(total_);
    if (fullest <= kQuads.capacity() && solve(kQuads, fullest <= kQuadsFill ? 40 : 0))
      return answer(kQuads, out);
    if (fullest <= kTriples.capacity() && solve(kTriples, fullest <= kTriplesFill ? 60 : 0))
      return answer(kTriples, out);
    if (solve(kPairs[4], 120)) return answer(kPairs[4], out);
    for (int32_t doubles = 3; doubles >= 0; --doubles) {
      worst_last(kPairs[doubles + 1]);
      if (solve(kPairs[doubles], 60)) return answer(kPairs[doubles], out);
    }
  }

 private:
  // Fullest column of the window for which it is worth looking, not only trying.
  static constexpr int32_t kQuadsFill = 400, kTriplesFill = 560;
  // Excess of pairs as they come, above which nothing will be found.
  static constexpr int32_t kHopeless = 1500;

  static int32_t greatest(const Parts& x) {
    int32_t most = 0;
    for (const Lanes& v : x.v)
      for (int32_t j = 0; j < 8; ++j) most = v[j] > most ? v[j] : most;
    return most;
  }

  uint32_t random(uint32_t below) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    state_ ^= state_ << 5;
    return static_cast<uint32_t>(uint64_t{state_} * below >> 32);
  }

  // Sums of the bins with the k where they are.
  void fill(const Kind& kind) {
    const Lanes bound = {kProvedBound, kProvedBound, kProvedBound, kProvedBound,
                         kProvedBound, kProvedBound, kProvedBound, kProvedBound};
    for (int32_t b = 0; b < kind.bins; ++b) bin_[b] = {{-bound, -bound, -bound, -bound}};
    for (int32_t s = 0; s < kSlots; ++s)
      bin_[kind.bin_of[s]] = bin_[kind.bin_of[s]] + element_[at_[s]];
    all_excess_ = 0;
    for (int32_t b = 0; b < kind.bins; ++b) all_excess_ += excess_[b] = excess_of(bin_[b]);
  }

  bool solve(const Kind& kind, int32_t steps) {
    fill(kind);
    for (; all_excess_ && steps > 0; --steps) step(kind);
    return !all_excess_;
  }

  // One exchange of two k.
  void step(const Kind& kind) {
    int32_t s = static_cast<int32_t>(random(kSlots));
    while (!excess_[kind.bin_of[s]]) s = (s + 1) % kSlots;
    const int32_t b = kind.bin_of[s], half = s / kHalf * kHalf;
    const Parts mine = element_[at_[s]], rest = bin_[b] - mine;
    int32_t best = -1, least = INT32_MAX;
    const int32_t first = static_cast<int32_t>(random(kHalf));
    for (int32_t i = 0; i < kHalf; ++i) {
      const int32_t t = half + (first + i) % kHalf, c = kind.bin_of[t];
      if (c == b) continue;
      const Parts theirs = element_[at_[t]];
      const int32_t change =
          excess_of(rest + theirs) + excess_of(bin_[c] - theirs + mine) - excess_[b] - excess_[c];
      if (change >= least) continue;
      least = change;
      best = t;
    }
    if (least > 0 && random(3)) return;
    const int32_t c = kind.bin_of[best];
    const Parts theirs = element_[at_[best]];
    bin_[b] = rest + theirs;
    bin_[c] = bin_[c] - theirs + mine;
    excess_[b] = excess_of(bin_[b]);
    excess_[c] = excess_of(bin_[c]);
    all_excess_ += least;
    const uint8_t moved = at_[s];
    at_[s] = at_[best];
    at_[best] = moved;
  }

  // Brings the group of two doubles with the greatest excess behind the others.
  void worst_last(const Kind& kind) {
    const int32_t last = kind.doubles - 1;
    int32_t worst = last;
    for (int32_t g = 0; g < last; ++g)
      if (excess_[2 * g] + excess_[2 * g + 1] > excess_[2 * worst] + excess_[2 * worst + 1])
        worst = g;
    for (int32_t half = 0; half < kSlots; half += kHalf)
      for (int32_t j = 0; j < 4; ++j) {
        uint8_t *x = at_ + half + 4 * worst + j, *y = at_ + half + 4 * last + j, z = *x;
        *x = *y;
        *y = z;
      }
  }

  void answer(const Kind& kind, ProvedWindow* out) const {
    out->kind = static_cast<uint8_t>(kind.kind);
    out->doubles = static_cast<uint8_t>(kind.doubles);
    memcpy(out->at, at_, sizeof at_);
  }

  Parts element_[kSlots], total_;
  Parts bin_[kMaxBins];
  int32_t excess_[kMaxBins], all_excess_ = 0;
  uint8_t at_[kSlots];
  uint32_t state_ = 0x9E3779B9;
};

// Cycles of a row of a 5 x 16 tile, measured on a Zen 4 and in the order in which other cores have
// them too: 32 k widened beforehand, widened here, two words of depth 1, of depth 2, and whole
// windows of depth 3 and 4.
constexpr double kCyclesCanonical = 20.5, kCyclesWidened = 25, kCyclesSingles = 4.8,
                 kCyclesDouble = 3.95, kCyclesTriples = 15.3, kCyclesQuads = 15;
// The pass that widens 32 k of a row, once for all panels.
constexpr double kCyclesWidening = 4;

double window_cycles(const ProvedWindow& w) {
  switch (w.kind) {
    case kProvedQuads:
      return kCyclesQuads;
    case kProvedTriples:
      return kCyclesTriples;
    case kProvedPairs:
      return w.doubles * kCyclesDouble + (4 - w.doubles) * kCyclesSingles;
    default:
      return kCyclesWidened;
  }
}

// Windows of one kind stand together: their place in the panel.
int32_t order_of(const ProvedWindow& w) {
  return w.kind == kProvedPairs ? 1 + w.doubles : w.kind == kProvedWidened ? 0 : w.kind + 4;
}
constexpr int32_t kOrders = 8;

struct PanelLayout {
  int64_t windows[kOrders] = {};
  int32_t runs = 0;
  int64_t move_count = 1;
  size_t moves, weights, bytes;

  PanelLayout(const ProvedWindow* w, int64_t k) {
    const int64_t count = proved_windows(k);
    for (int64_t i = 0; i < count; ++i) {
      ++windows[order_of(w[i])];
      move_count += w[i].kind == kProvedWidened ? 2 : 1;
    }
    for (const int64_t n : windows) runs += n != 0;
    const auto align = [](size_t x) { return (x + 63) / 64 * 64; };
    moves = align(sizeof(ProvedPanel) + static_cast<size_t>(runs) * sizeof(ProvedRun));
    weights = align(moves + static_cast<size_t>(move_count) * sizeof(ProvedMove));
    bytes = weights + static_cast<size_t>(count) * kProvedWindow * 16;
  }
};

// Weights of k in the panel, 0 where the window does not own it.
struct Source {
  const int8_t* panel;
  int64_t from, own;
  int8_t at(int64_t e, int64_t c) const { return e < own ? int8_t{0} : weight(panel, from + e, c); }
};

void write_proof(const Source& s, const ProvedWindow& w, ProvedMove* move, int8_t* weights) {
  for (int32_t slot = 0; slot < kSlots; ++slot) move->index[slot] = w.at[slot] % kHalf;
  for (const uint8_t word : kWordOrder[w.kind])
    for (int64_t c = 0; c < 16; ++c)
      for (int32_t j = 0; j < 4; ++j) *weights++ = s.at(w.at[4 * word + j], c);
}

// Two k at a time as they come.
void write_widened(const Source& s, ProvedMove* move, int8_t* weights) {
  for (int32_t m = 0; m < 2; ++m)
    for (int32_t i = 0; i < 32; ++i)
      // Each half of a move takes 8 k of its own half: low halves first, then the high ones.
      move[m].index[i] = i % 2 ? kProvedNone : static_cast<uint8_t>(8 * m + i % 16 / 2);
  for (int32_t m = 0; m < 2; ++m)
    for (int32_t half = 0; half < 2; ++half)
      for (int32_t e = 0; e < 8; e += 2)
        for (int64_t c = 0; c < 16; ++c)
          for (int32_t j = 0; j < 2; ++j) *weights++ = s.at(half * kHalf + 8 * m + e + j, c);
}

}  // namespace

void prove_panel(const int8_t* panel, int64_t k, ProvedWindow* windows) {
  for (int64_t i = 0; i < proved_windows(k); ++i) Search(panel, k, i).run(windows + i);
}

bool proof_holds(const int8_t* panel, int64_t k, int64_t i, const ProvedWindow& window) {
  if (window.kind == kProvedWidened) return true;
  const Source s = {panel, proved_from(k, i), first_own(k, i)};
  const Kind& kind = kind_of(window);
  uint64_t seen = 0;
  int32_t plus[kMaxBins][16] = {}, minus[kMaxBins][16] = {};
  for (int32_t slot = 0; slot < kSlots; ++slot) {
    const int32_t e = window.at[slot];
    if (e >= kSlots || e / kHalf != slot / kHalf) return false;
    seen |= uint64_t{1} << e;
    for (int64_t c = 0; c < 16; ++c) {
      const int32_t w = s.at(e, c);
      (w > 0 ? plus : minus)[kind.bin_of[slot]][c] += w;
    }
  }
  for (int32_t b = 0; b < kind.bins; ++b)
    for (int32_t c = 0; c < 16; ++c)
      if (plus[b][c] > kProvedBound || minus[b][c] < -kProvedBound) return false;
  return seen == 0xFFFFFFFF;
}

double proved_cycles(const ProvedWindow* windows, int64_t k) {
  double cycles = 0;
  for (int64_t i = 0; i < proved_windows(k); ++i) cycles += window_cycles(windows[i]);
  return cycles;
}

double widened_cycles(int64_t k) {
  return kCyclesCanonical * static_cast<double>(k) / kProvedWindow;
}

double widening_cycles(int64_t k) {
  return kCyclesWidening * static_cast<double>(k) / kProvedWindow;
}

double doubles_cycles(int64_t k) {
  return 4 * kCyclesDouble * static_cast<double>(k) / kProvedWindow;
}

size_t proved_panel_bytes(const ProvedWindow* windows, int64_t k) {
  return PanelLayout(windows, k).bytes;
}

void write_proved_panel(const int8_t* panel, int64_t k, const ProvedWindow* windows, void* to) {
  const PanelLayout l(windows, k);
  char* base = static_cast<char*>(to);
  memset(base, 0, l.weights);
  ProvedPanel* head = static_cast<ProvedPanel*>(to);
  head->runs = l.runs;
  head->moves = static_cast<int32_t>(l.moves);
  head->weights = static_cast<int32_t>(l.weights);
  ProvedRun* run = reinterpret_cast<ProvedRun*>(head + 1);
  ProvedMove* move = reinterpret_cast<ProvedMove*>(base + l.moves);
  int8_t* weights = reinterpret_cast<int8_t*>(base + l.weights);
  for (int32_t order = 0; order < kOrders; ++order) {
    if (!l.windows[order]) continue;
    run->windows = static_cast<int32_t>(l.windows[order]);
    for (int64_t i = 0; i < proved_windows(k); ++i) {
      const ProvedWindow& w = windows[i];
      if (order_of(w) != order) continue;
      run->kind = w.kind;
      run->doubles = w.kind == kProvedPairs ? w.doubles : 0;
      run->singles = w.kind == kProvedPairs ? 4 - w.doubles : 0;
      const Source s = {panel, proved_from(k, i), first_own(k, i)};
      const bool widened = w.kind == kProvedWidened;
      move[0].from = move[widened].from = static_cast<int32_t>(s.from);
      if (widened)
        write_widened(s, move, weights);
      else
        write_proof(s, w, move, weights);
      move += widened ? 2 : 1;
      weights += kProvedWindow * 16;
    }
    ++run;
  }
}

}  // namespace octet

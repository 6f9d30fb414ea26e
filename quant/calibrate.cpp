// SPDX-License-Identifier: Apache-2.0
#include "quant/calibrate.h"

#include <math.h>

#include "quant/elementary.h"

namespace octet {
namespace {

float larger(float a, float b) { return a > b ? a : b; }
float smaller(float a, float b) { return a < b ? a : b; }

float edge_of(const Pow2Histogram& h, int64_t bin) {
  return static_cast<float>(ldexp(static_cast<double>(bin), h.exponent));
}

// What is kept when magnitudes end at t: never more than was seen.
Interval within(const Pow2Histogram& h, float t) { return {larger(h.min, -t), smaller(h.max, t)}; }

// ---- magnitudes: bin k holds what is k to k + 1 widths away from 0 ----------------------------

struct Folded {
  const Pow2Histogram& h;
  uint64_t operator()(int64_t k) const {
    const int64_t half = h.bins / 2;
    return h.counts[half + k] + h.counts[half - 1 - k] + (k ? 0 : h.zeros);
  }
};

// Bins up to the one that holds the largest magnitude.
int64_t used_bins(const Pow2Histogram& h) {
  const Folded count = {h};
  int64_t n = h.bins / 2;
  while (n > 0 && !count(n - 1)) --n;
  return n;
}

// NVIDIA's search looks at the first bin, where the zeros are, as if it were the second.
struct WithoutFirst {
  const AmaxHistogram& h;
  uint64_t operator()(int64_t k) const { return h.counts[k == 0 && h.bins > 1 ? 1 : k]; }
};

// The divergence, in nats, of the first i bins, with everything beyond added to the last of them,
// from the same bins merged into `targets` and spread evenly over those that are not empty.
template <class Count>
double divergence(const Count& count, int64_t i, int64_t targets, uint64_t total, uint64_t inside) {
  if (!inside) return static_cast<double>(__builtin_inff());
  const uint64_t beyond = total - inside;
  const double all = static_cast<double>(total), kept = static_cast<double>(inside);
  double sum = 0;
  for (int64_t k = 0; k < i;) {
    const int64_t target = k * targets / i;
    int64_t end = k, filled = 0;
    uint64_t mass = 0;
    for (; end < i && end * targets / i == target; ++end) {
      const uint64_t c = count(end);
      mass += c;
      filled += c != 0;
    }
    const double q = filled ? static_cast<double>(mass) / static_cast<double>(filled) / kept : 0;
    for (; k < end; ++k) {
      const uint64_t c = count(k), p = c + (k == i - 1 ? beyond : 0);
      if (!p) continue;
      if (!c) return static_cast<double>(__builtin_inff());
      const double share = static_cast<double>(p) / all;
      sum += share * log_of(share / q);
    }
  }
  return sum;
}

// The last i of least divergence among start, start + stride, ... up to bins; 0 if there is none.
template <class Count>
int64_t least_divergence(const Count& count, int64_t bins, int64_t targets, const Search& s) {
  uint64_t total = 0, inside = 0;
  for (int64_t k = 0; k < bins; ++k) total += count(k);
  int64_t best = 0, k = 0;
  double least = static_cast<double>(__builtin_inff());
  for (int64_t i = s.start_bin; i <= bins; i += s.stride) {
    for (; k < i; ++k) inside += count(k);
    const double d = divergence(count, i, targets, total, inside);
    if (!(d <= least)) continue;
    least = d;
    best = i;
  }
  return best;
}

// Whether `cumulative` of total elements are percent of them.
bool reaches(uint64_t cumulative, double percent, uint64_t total) {
  return static_cast<double>(cumulative) * 100 >= percent * static_cast<double>(total);
}

// ---- signed bins ------------------------------------------------------------------------------

// Position k among all bins in ascending order, the zeros standing between the signs.
uint64_t ordered(const Pow2Histogram& h, int64_t k) {
  const int64_t half = h.bins / 2;
  return k < half ? h.counts[k] : k == half ? h.zeros : h.counts[k - 1];
}

uint64_t total_of(const Pow2Histogram& h) {
  uint64_t total = h.zeros;
  for (int64_t k = 0; k < h.bins; ++k) total += h.counts[k];
  return total;
}

// The squared error of all bin centres with the qparams of a range.
double squared_error(const Pow2Histogram& h, const Chooser& c, Interval range) {
  float scale;
  int32_t zero;
  choose(c, range.min, range.max, &scale, &zero);
  const float inverse = 1.0f / scale;
  const float low = static_cast<float>(c.qmin - zero), high = static_cast<float>(c.qmax - zero);
  double sum = 0;
  for (int64_t k = 0; k < h.bins; ++k) {
    if (!h.counts[k]) continue;
    const double centre = ldexp(static_cast<double>(k - h.bins / 2) + 0.5, h.exponent);
    float q = static_cast<float>(centre) * inverse;
    q = rintf(q > low ? (q < high ? q : high) : low);
    const double d = double{q * scale} - centre;
    sum += static_cast<double>(h.counts[k]) * (d * d);
  }
  return sum;
}

// ---- L2 ---------------------------------------------------------------------------------------

// What remains of a distribution whose bins are spread evenly: density times the integral of x^2.
double norm(double density, double from, double to) {
  return density * (to * to * to - from * from * from) / 3;
}

// The squared error when bins i to j are quantized to `steps` values; all others go to the ends.
template <class Mass>
double uniform_error(const Mass& mass, int64_t n, double width, int64_t i, int64_t j,
                     int32_t steps) {
  const double target = width * static_cast<double>(j - i + 1) / steps;
  if (target == 0) return 0;
  double sum = 0;
  for (int64_t k = 0; k < n; ++k) {
    const double m = mass(k);
    if (m == 0) continue;
    const double begin = static_cast<double>(k - i) * width, end = begin + width;
    const auto target_of = [=](double x) {
      const double t = floor(x / target);
      return t < 0 ? 0.0 : t > steps - 1 ? static_cast<double>(steps - 1) : t;
    };
    const double first = target_of(begin), last = target_of(end);
    const double density = m / width;
    sum += norm(density, begin - (first + 0.5) * target, target / 2) +
           (last - first - 1) * norm(density, -target / 2, target / 2) +
           norm(density, -target / 2, end - (last + 0.5) * target);
  }
  return sum;
}

struct Span {
  int64_t first, last;
};

// PyTorch's search: quantiles are taken off both ends in steps of 1e-5, always from the end that
// gives up more bins, until the error grows. `single`: sums and bounds are compared as floats.
template <class Mass>
Span least_error(const Mass& mass, int64_t n, double width, int32_t steps, bool single,
                 double* cumulative) {
  const auto rounded = [single](double v) {
    return single ? static_cast<double>(static_cast<float>(v)) : v;
  };
  double total = 0;
  for (int64_t k = 0; k < n; ++k) {
    total += mass(k);
    cumulative[k] = rounded(total);
  }
  total = rounded(total);
  constexpr double kStep = 1e-5;
  double low = 0, high = 1, least = static_cast<double>(__builtin_inff());
  int64_t i = 0, j = n - 1, from = 0, to = n - 1;
  while (low < high) {
    const double next_low = low + kStep, next_high = high - kStep;
    const double low_bound = rounded(next_low * total), high_bound = rounded(next_high * total);
    while (from < n - 1 && cumulative[from] < low_bound) ++from;
    while (to > 0 && cumulative[to] > high_bound) --to;
    // Not beyond what is kept at the other end.
    const int64_t l = from < i ? i : from > j ? j : from, r = to > j ? j : to < i ? i : to;
    int64_t next_i = i, next_j = j;
    if (l - i > j - r) {
      next_i = l;
      low = next_low;
    } else {
      next_j = r;
      high = next_high;
    }
    if (next_i == i && next_j == j) continue;
    const double e = uniform_error(mass, n, width, next_i, next_j, steps);
    if (e > least) break;
    least = e;
    i = next_i;
    j = next_j;
  }
  return {i, j};
}

}  // namespace

float linspace(float first, float last, int64_t steps, int64_t k) {
  const float step = (last - first) / static_cast<float>(steps);
  if (k < (steps + 1) / 2) return first + step * static_cast<float>(k);
  return last - step * static_cast<float>(steps - k);
}

float AmaxHistogram::edge(int64_t k) const {
  if (whole) return linspace(0, last, bins, k);
  return static_cast<float>(first + static_cast<double>(k) * width);
}

Interval percentile_range(const Pow2Histogram& h, const Search& s) {
  const double percent = static_cast<double>(s.percentile);
  uint64_t total = total_of(h), sum = 0;
  if (!total) return {h.min, h.max};
  if (s.symmetric) {
    if (reaches(h.zeros, percent, total)) return within(h, 0);
    const Folded count = {h};
    for (int64_t k = 0; k < h.bins / 2; ++k) {
      sum += count(k);
      if (reaches(sum, percent, total)) return within(h, edge_of(h, k + 1));
    }
    return {h.min, h.max};
  }
  const double cut = (100 - percent) / 2;
  const int64_t half = h.bins / 2;
  Interval r = {h.min, h.max};
  bool low_found = false;
  for (int64_t k = 0; k <= h.bins; ++k) {
    sum += ordered(h, k);
    const int64_t bin = k > half ? k - 1 - half : k - half;  // its lower edge, in widths
    if (!low_found && reaches(sum, cut, total)) {
      low_found = true;
      r.min = larger(h.min, edge_of(h, bin));
    }
    if (!reaches(sum, 100 - cut, total)) continue;
    r.max = smaller(h.max, edge_of(h, k == half ? 0 : bin + 1));
    break;
  }
  return r;
}

Interval entropy_range(const Pow2Histogram& h, const Search& s) {
  const int32_t steps = s.chooser->qmax - s.chooser->qmin + 1;
  const bool two_sided = h.min < 0 && h.max > 0;
  int64_t targets = two_sided ? steps / 2 : steps;
  if (s.symmetric) targets = s.is_signed ? s.chooser->qmax + 1 : steps / 2;
  const int64_t i = least_divergence(Folded{h}, used_bins(h), targets, s);
  return i ? within(h, edge_of(h, i)) : Interval{h.min, h.max};
}

Interval mse_range(const Pow2Histogram& h, const Search& s) {
  const int64_t n = used_bins(h);
  Interval best = {h.min, h.max};
  double least = static_cast<double>(__builtin_inff());
  for (int64_t i = s.start_bin; i <= n; i += s.stride) {
    const Interval r = within(h, edge_of(h, i));
    const double e = squared_error(h, *s.chooser, r);
    if (!(e < least)) continue;
    least = e;
    best = r;
  }
  return best;
}

Interval l2_range(const Pow2Histogram& h, int32_t steps, double* scratch) {
  // From the bin of min to that of max; the zeros are in bin 0, which is then among them.
  const int64_t half = h.bins / 2;
  int64_t first = 0, last = h.bins - 1;
  const auto count = [&](int64_t k) { return h.counts[k] + (k == half ? h.zeros : 0); };
  while (first < last && !count(first)) ++first;
  while (last > first && !count(last)) --last;
  const auto mass = [&](int64_t k) { return static_cast<double>(count(first + k)); };
  const Span kept =
      least_error(mass, last - first + 1, ldexp(1, h.exponent), steps, false, scratch);
  return {larger(h.min, edge_of(h, first + kept.first - half)),
          smaller(h.max, edge_of(h, first + kept.last + 1 - half))};
}

Interval l2_range(const TorchHistogram& h, int32_t steps, double* scratch) {
  const auto mass = [&](int64_t k) { return static_cast<double>(h.masses[k]); };
  const double width = (static_cast<double>(h.max) - static_cast<double>(h.min)) / h.bins;
  const Span kept = least_error(mass, h.bins, width, steps, true, scratch);
  const float step = (h.max - h.min) / static_cast<float>(h.bins);
  return {h.min + step * static_cast<float>(kept.first),
          h.min + step * static_cast<float>(kept.last + 1)};
}

float percentile_amax(const AmaxHistogram& h, const Search& s) {
  uint64_t total = 0, sum = 0;
  for (int64_t k = 0; k < h.bins; ++k) total += h.counts[k];
  for (int64_t k = 0; k < h.bins; ++k) {
    sum += h.counts[k];
    if (reaches(sum, static_cast<double>(s.percentile), total)) return h.edge(k);
  }
  return h.amax;
}

float entropy_amax(const AmaxHistogram& h, const Search& s) {
  const int64_t i = least_divergence(WithoutFirst{h}, h.bins, s.chooser->qmax + 1, s);
  return i ? h.edge(i) : h.amax;
}

float mse_amax(const AmaxHistogram& h, const Search& s) {
  const float bound = static_cast<float>(s.chooser->qmax);
  float best = h.amax;
  double least = static_cast<double>(__builtin_inff());
  const auto centre = [&](int64_t k) { return (h.edge(k) + h.edge(k + 1)) / 2; };
  for (int64_t i = s.start_bin; i < h.bins; i += s.stride) {
    const float amax = centre(i), scale = bound / amax;
    double sum = 0;
    for (int64_t k = 0; k < h.bins; ++k) {
      if (!h.counts[k]) continue;
      const float x = centre(k), t = x * scale;
      const float y = amax <= 0x1p-24f ? 0.0f : rintf(t < bound ? t : bound) / scale;
      sum += static_cast<double>((y - x) * (y - x) * static_cast<float>(h.counts[k]));
    }
    if (!(sum < least)) continue;
    least = sum;
    best = amax;
  }
  return best;
}

}  // namespace octet

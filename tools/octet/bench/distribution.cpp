// SPDX-License-Identifier: Apache-2.0
#include "bench/distribution.h"

#include <algorithm>
#include <cmath>
#include <fstream>

#include "api.h"

namespace octet_cli {
namespace {

double open_uniform(Rng& rng) { return (static_cast<double>(rng.next() >> 11) + 0.5) * 0x1p-53; }

// One channel at a time: the largest magnitude becomes 127.
template <typename Draw>
void draw_channels(std::vector<int8_t>& w, size_t n, size_t k, Draw draw) {
  Rng rng(1);
  std::vector<double> row(k);
  for (size_t j = 0; j < n; ++j) {
    double largest = 0;
    for (double& v : row) {
      v = draw(rng);
      largest = std::max(largest, std::fabs(v));
    }
    for (size_t i = 0; i < k; ++i)
      w[j * k + i] = static_cast<int8_t>(std::lrint(row[i] * (127.0 / largest)));
  }
}

void read_file(const std::string& path, std::vector<int8_t>& w) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    throw UsageError("The weights " + path +
                     " are neither real, heavy, uniform nor a file that can be read.");
  file.read(reinterpret_cast<char*>(w.data()), static_cast<std::streamsize>(w.size()));
  if (static_cast<size_t>(file.gcount()) != w.size())
    throw UsageError("The file of weights " + path + " has " + std::to_string(file.gcount()) +
                     " bytes; this shape needs " + std::to_string(w.size()) + ".");
}

}  // namespace

double normal(Rng& rng) {
  for (;;) {
    const double u = 2 * open_uniform(rng) - 1, v = 2 * open_uniform(rng) - 1;
    const double s = u * u + v * v;
    if (s < 1 && s > 0) return u * std::sqrt(-2 * log_positive(s) / s);
  }
}

double student_t6(Rng& rng) {
  // Chi-squared with 6 degrees of freedom is twice the sum of three exponentials.
  const double z = normal(rng);
  const double product = open_uniform(rng) * open_uniform(rng) * open_uniform(rng);
  return z / std::sqrt(-2 * log_positive(product) / 6);
}

std::vector<int8_t> draw_weights(const std::string& distribution, size_t n, size_t k) {
  std::vector<int8_t> w(n * k);
  if (distribution == "real") {
    draw_channels(w, n, k, normal);
  } else if (distribution == "heavy") {
    draw_channels(w, n, k, student_t6);
  } else if (distribution == "uniform") {
    Rng rng(1);
    for (int8_t& v : w) v = static_cast<int8_t>(static_cast<int>(rng.below(255)) - 127);
  } else {
    read_file(distribution, w);
  }
  return w;
}

double root_mean_square(const std::vector<int8_t>& w) {
  double sum = 0;
  for (const int8_t v : w) sum += static_cast<double>(v) * v;
  return w.empty() ? 0 : std::sqrt(sum / static_cast<double>(w.size()));
}

}  // namespace octet_cli

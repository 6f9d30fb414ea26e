// SPDX-License-Identifier: Apache-2.0
#include "bench/problem.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <stdexcept>

#include "bench/distribution.h"

namespace octet_cli {
namespace {

// Sets walk the same weights with one number of rows after the other.
const std::vector<int8_t>& drawn(const std::string& distribution, size_t n, size_t k) {
  static struct {
    std::string distribution;
    size_t n = 0, k = 0;
    std::vector<int8_t> w;
  } last;
  if (last.distribution != distribution || last.n != n || last.k != k)
    last = {distribution, n, k, draw_weights(distribution, n, k)};
  return last.w;
}

// p has its shape; inputs: elements of x.
void fill(Problem& p, size_t inputs, Form form, bool act_signed, const std::string& distribution) {
  p.form = form;
  p.act_signed = act_signed;
  p.in_scale = 0.02f;
  p.in_zero = act_signed ? 3 : 128;
  p.out_zero = act_signed ? 0 : 128;
  p.w = drawn(distribution, p.n(), p.k());

  Rng rng(2);
  p.w_scale.resize(p.n());
  for (float& v : p.w_scale) v = 0.005f + 0.005f * rng.uniform();
  p.x.resize(inputs);
  for (uint8_t& v : p.x) v = static_cast<uint8_t>(rng.below(256));
  // Uniform bytes have a standard deviation of 74 around the zero point.
  const double sigma = std::max(root_mean_square(p.w), 1.0) * 0.0075 * 74 * p.in_scale *
                       std::sqrt(static_cast<double>(p.k()));
  p.out_scale = static_cast<float>(3 * sigma / 128);
  p.bias.assign(p.n(), 0.0f);
  if (form != Form::kS32)  // raw accumulators have no unit for a float bias
    for (float& v : p.bias) v = static_cast<float>(sigma) * (rng.uniform() - 0.5f);
  p.x_float.resize(p.x.size());
  for (size_t i = 0; i < p.x.size(); ++i) {
    const int value = act_signed ? static_cast<int8_t>(p.x[i]) : p.x[i];
    p.x_float[i] = p.in_scale * static_cast<float>(value - p.in_zero);
  }
}

}  // namespace

size_t Problem::outputs() const {
  return conv ? static_cast<size_t>(conv->out_pixels()) * n() : m() * n();
}

Problem make_problem(const Shape& shape, Form form, bool act_signed,
                     const std::string& distribution) {
  Problem p;
  p.shape = shape;
  fill(p, p.m() * p.k(), form, act_signed, distribution);
  return p;
}

Problem make_problem(const ConvShape& shape, Form form, bool act_signed,
                     const std::string& distribution) {
  Problem p;
  p.conv = shape;
  p.shape = shape.product();
  fill(p, static_cast<size_t>(shape.in_pixels() * shape.channels), form, act_signed, distribution);
  return p;
}

void write_problem(const Problem& p, const std::string& path) {
  std::ofstream file(path, std::ios::binary);
  auto put = [&file](const void* data, size_t bytes) {
    file.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
  };
  const int64_t head[8] = {p.shape.m, p.shape.n,  p.shape.k,
                           p.in_zero, p.out_zero, static_cast<int64_t>(p.x.size())};
  put(head, sizeof head);
  put(&p.in_scale, sizeof(float));
  put(&p.out_scale, sizeof(float));
  put(p.w.data(), p.w.size());
  put(p.w_scale.data(), p.w_scale.size() * sizeof(float));
  put(p.bias.data(), p.bias.size() * sizeof(float));
  put(p.x.data(), p.x.size());
  file.close();
  if (!file) throw std::runtime_error("The file " + path + " cannot be written.");
}

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
//
// One layer with its data, which Octet and every peer compute alike: a product, or a convolution.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "conv_shape.h"
#include "shapes.h"

namespace octet_cli {

enum class Form {
  kQ8,      // 8-bit activations with scale and zero point to the same type
  kF32,     // the same to float
  kS32,     // to raw accumulators, without bias
  kDynamic  // float to float, quantized in the call
};

struct Problem {
  Shape shape;
  std::optional<ConvShape> conv;  // shape is then its product
  Form form = Form::kQ8;
  bool act_signed = false;  // x is s8, else u8
  float in_scale = 0, out_scale = 0;
  int32_t in_zero = 0, out_zero = 0;
  std::vector<int8_t> w;             // [n][k], zero point 0; conv: [O][(kd)(kh)kw][I / groups]
  std::vector<float> w_scale, bias;  // [n]
  std::vector<uint8_t> x;            // [m][k], bits of the activations' type; conv: [N][(D)(H)W][C]
  std::vector<float> x_float;        // what x stands for
  std::string file;                  // the same for a driver; empty: not written

  size_t m() const { return static_cast<size_t>(shape.m); }
  size_t n() const { return static_cast<size_t>(shape.n); }
  size_t k() const { return static_cast<size_t>(shape.k); }
  size_t out_size() const { return form == Form::kQ8 ? 1 : 4; }  // bytes of an output
  size_t outputs() const;                                        // [m][n]; conv: [N][(D)(H)W][O]
  float w_float(size_t i) const { return w_scale[i / k()] * static_cast<float>(w[i]); }
};

// About three standard deviations of the result fit into the output type.
Problem make_problem(const Shape& shape, Form form, bool act_signed,
                     const std::string& distribution);
Problem make_problem(const ConvShape& shape, Form form, bool act_signed,
                     const std::string& distribution);

// The file that drivers read: eight int64 (m, n, k, in_zero, out_zero, elements of x, 0, 0),
// in_scale and out_scale, w, w_scale, bias, x; all little-endian.
void write_problem(const Problem& problem, const std::string& path);

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
//
// A linear layer in the words of docs/numerics.md and nothing else: one loop for each sum, int64
// for integers, one rounding for each float operation. It shares no code with the library.
#pragma once

#include "tests/numerics/support.h"

namespace octet_test {

enum class Mode {
  kStatic,    // activation scale given at create
  kCall,      // with the call, one scale
  kCallRows,  // with the call, one for each row
  kDynamicRow,
  kDynamicTensor
};
inline bool is_dynamic(Mode m) { return m == Mode::kDynamicRow || m == Mode::kDynamicTensor; }

// A layer and the data of one call.
struct Layer {
  int64_t m = 0, n = 0, k = 0;
  Mode mode = Mode::kStatic;
  // Activations: integers with one scale or one for each row; or floats and how to quantize them.
  octet_type in = OCTET_U8;  // of the integers
  std::vector<float> in_scale = {1};
  std::vector<int32_t> in_zero = {0};
  std::vector<uint8_t> x;  // m * k integers, s8 as their bytes
  std::vector<float> xf;   // m * k floats
  octet_scheme scheme = sized<octet_scheme>();
  // Weights: integers with one scale or one for each channel, perhaps made of floats.
  octet_type w_type = OCTET_S8;
  std::vector<int8_t> w;  // u8 as their bytes, 4-bit ones a byte each
  int64_t group = 0;      // elements of k that share a scale: w_scale is [n][k/group]; 0: none
  std::vector<uint8_t> w_pairs;  // 4-bit weights as tensors hold them, rows of an odd k padded
  std::vector<float> w_scale = {1};
  std::vector<int32_t> w_zero = {0};
  std::vector<float> wf;
  octet_scheme w_scheme = {};  // how they are quantized; struct_size 0: as recommended
  octet_type bias_type = 0;    // 0: none
  std::vector<float> bias_f;
  std::vector<int32_t> bias_i;
  octet_qtype residual = {};  // type 0: none
  std::vector<uint8_t> r;     // m * n elements as bytes
  // Result.
  octet_qtype out = {OCTET_S32, 0, 0};
  int32_t numerics = OCTET_NUMERICS_TORCH;
  int32_t act = OCTET_ACT_NONE;
  float lo = 0, hi = 0;
};

inline int32_t type_min(octet_type t) { return t == OCTET_S8 ? -128 : t == OCTET_S4 ? -8 : 0; }
inline int32_t type_max(octet_type t) {
  return t == OCTET_S8 ? 127 : t == OCTET_S4 ? 7 : t == OCTET_U4 ? 15 : 255;
}
inline bool is_4bit(octet_type t) { return t == OCTET_U4 || t == OCTET_S4; }

// A weight as an integer.
inline int32_t weight(const Layer& l, size_t i) {
  return l.w_type == OCTET_U8 ? static_cast<uint8_t>(l.w[i]) : l.w[i];
}

// clamp(rne(x * fl(1/s)) + z), or x / s.
int32_t quantize(float x, float scale, int32_t zero, int32_t qmin, int32_t qmax,
                 bool divide = false);

struct ScaleZero {
  float scale;
  int32_t zero;
};
// The OCTET chooser for a range that is widened to hold 0.
ScaleZero choose(float min, float max, int32_t qmin, int32_t qmax, bool symmetric);

// The m * n elements of the output, as bytes.
std::vector<uint8_t> model(const Layer& l);

// One element of a static q8 output in the numerics of another framework; sum: without the bias.
uint8_t named_q8(const Layer& l, int64_t sum, size_t col, float sx, float sw);

}  // namespace octet_test

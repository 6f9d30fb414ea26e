// SPDX-License-Identifier: Apache-2.0
//
// Random layers, and the ways to run one: as an op under a context, thread count, plan and memory
// layout, or as a raw GEMM.
#pragma once

#include "tests/numerics/model.h"

namespace octet_test {

// Types, modes, shapes with tails of every kind, degenerate sizes, extremes and special floats. The
// golden hashes are made of these draws: changing one changes every hash, so new kinds of layers
// get a function of their own.
Layer random_layer(Rng* rng);

// The same with u8 weights: integers, or floats with a scheme of that type.
Layer random_u8_layer(Rng* rng);

// The same layer with the other type of weights: bytes xor 0x80, zero points moved by 128.
Layer with_other_weights(const Layer& l);

// The same with a residual, q8 or f32 as its output. Some floats are NaN or infinite.
Layer random_residual_layer(Rng* rng);

// A static layer from q8 to q8 in the numerics of another framework.
Layer random_named_layer(Rng* rng);

// What a reader needs to see of a layer: "m7 n33 k65 u8 call-rows -> s8 …".
std::string describe(const Layer& l);

struct How {
  int32_t threads = 1;
  int32_t plan = 0;
  std::vector<int64_t> leading;  // dims that multiply to m; empty: {m}
  Rng* gaps = nullptr;           // strided rows
  bool in_place = false;         // the residual, if any, is the output
};

inline How on_threads(int32_t threads) {
  How how;
  how.threads = threads;
  return how;
}

// An op with its weights, and the caller's arrays that both read.
class LayerOp {
 public:
  LayerOp(const octet_context* c, const Layer& l);
  int32_t candidates() const;
  // The output's elements as bytes; empty, with a failed test, when the call is refused.
  std::vector<uint8_t> run(const How& how) const;

 private:
  const Layer& l_;
  Weights weights_;
  Op op_;
};

octet_tensor source_tensor(const Layer& l, octet_qparams* q);
octet_tensor bias_tensor(const Layer& l);
// Qparams of the call: kCall and kCallRows.
octet_qparams call_qparams(const Layer& l);

// The same with octet_gemm; not for dynamic layers.
std::vector<uint8_t> run_gemm(const octet_context* c, const Layer& l, int32_t threads, Rng* gaps);

}  // namespace octet_test

// SPDX-License-Identifier: Apache-2.0
//
// The valid calls that the tests of refusals start from are accepted as they stand.
#include "world.h"

namespace contract {
namespace {

TEST_F(WorldTest, EveryFunctionAcceptsItsValidCall) {
  EXPECT_ACCEPTED(w.create_context(sized<octet_context_desc>(), err));
  EXPECT_ACCEPTED(w.weights_bytes(err));
  EXPECT_ACCEPTED(w.weights_pack(err));
  EXPECT_ACCEPTED(w.weights_create(err));
  EXPECT_ACCEPTED(w.weights_open(err));
  EXPECT_ACCEPTED(w.linear_create(err));
  EXPECT_ACCEPTED(w.dynamic_create(err));
  EXPECT_ACCEPTED(w.run(err));
  EXPECT_ACCEPTED(w.run_call(err));
  EXPECT_ACCEPTED(w.run_dynamic(err));
  EXPECT_ACCEPTED(w.infer(err));
  EXPECT_ACCEPTED(w.workspace(err));
  EXPECT_ACCEPTED(w.plan(err));
  EXPECT_ACCEPTED(w.gemm_workspace(err));
  EXPECT_ACCEPTED(w.gemm(err));
  EXPECT_ACCEPTED(w.quantize(err));
  EXPECT_ACCEPTED(w.dequantize(err));
  EXPECT_ACCEPTED(w.requantize(err));
  EXPECT_ACCEPTED(w.fake_quant(err));
  EXPECT_ACCEPTED(w.fake_quant_step(err));
  EXPECT_ACCEPTED(w.fake_quant_backward(err));
  EXPECT_ACCEPTED(w.choose_qparams(err));
  EXPECT_ACCEPTED(w.observer_create(err));
  EXPECT_ACCEPTED(w.observer_feed(err));
  EXPECT_ACCEPTED(w.observer_qparams(err));
  EXPECT_ACCEPTED(w.observer_stats(err));
  w.weights.source = &w.int8_source;
  EXPECT_ACCEPTED(w.weights_pack(err));
}

}  // namespace
}  // namespace contract

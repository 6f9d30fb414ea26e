// SPDX-License-Identifier: Apache-2.0
//
// One valid call of every function. A test of a refusal changes one field and makes the call; the
// call itself then also checks that a refusal wrote nothing: no output, no handle, no size.
#pragma once

#include "support.h"

namespace contract {

class World {
 public:
  World();

  static constexpr int64_t kM = 3, kN = 5, kK = 7, kRows = 4, kColumns = 6;

  Context context = make_context();

  // Weights [kN,kK]: from floats, or from int8 with qparams for each channel.
  octet_tensor source, bias, int8_source;
  octet_qparams int8_q{};
  octet_scheme weights_scheme = sized<octet_scheme>();
  octet_weights_desc weights = sized<octet_weights_desc>();
  octet_blob blob = sized<octet_blob>();
  size_t pack_bytes;
  void* pack_to;

  // Layers: u8 to u8 with everything given, qparams with the call, dynamic, and shape only.
  Weights packed, shape_only;
  octet_linear_desc linear = sized<octet_linear_desc>();
  octet_linear_desc dynamic = sized<octet_linear_desc>();
  octet_scheme dynamic_scheme = sized<octet_scheme>();
  Op op, call_op, dynamic_op, shape_op;
  octet_tensor x, y, fx, fy;
  octet_qparams call_q{};
  octet_exec exec = sized<octet_exec>();
  octet_plan plan_out = sized<octet_plan>();

  octet_gemm_desc gemm_desc = sized<octet_gemm_desc>();
  octet_tensor a, b, gemm_bias, gemm_y;
  octet_qparams aq{}, bq{}, yq{};

  // [kRows,kColumns], element by element.
  octet_tensor floats, bytes, out_bytes, out_floats, gradient;
  octet_qparams q{}, out_q{}, fake_q{};
  octet_scheme scheme = sized<octet_scheme>();
  octet_fake_quantizer fake = sized<octet_fake_quantizer>();
  octet_observer_desc observer_desc = sized<octet_observer_desc>();
  Observer observer, empty_observer;
  octet_observed observed = sized<octet_observed>();
  std::vector<float> min, max;
  size_t count = 1;             // of octet_choose_qparams and octet_observer_qparams
  bool no_zero_points = false;  // passes NULL for them

  octet_status create_context(const octet_context_desc& d, octet_error* err);
  octet_status weights_bytes(octet_error* err);
  octet_status weights_pack(octet_error* err);
  octet_status weights_create(octet_error* err);
  octet_status weights_open(octet_error* err);
  octet_status linear_create(octet_error* err) { return create_op(linear, err); }
  octet_status dynamic_create(octet_error* err) { return create_op(dynamic, err); }
  octet_status create_op(const octet_linear_desc& d, octet_error* err);
  octet_status run(octet_error* err);          // the static op on x and y
  octet_status run_call(octet_error* err);     // the op whose qparams come with x
  octet_status run_dynamic(octet_error* err);  // the dynamic op on fx and fy
  octet_status run_shape_only(octet_error* err);
  octet_status infer(octet_error* err);
  octet_status workspace(octet_error* err);
  octet_status plan(octet_error* err);
  octet_status gemm_workspace(octet_error* err);
  octet_status gemm(octet_error* err);
  octet_status quantize(octet_error* err);
  octet_status dequantize(octet_error* err);
  octet_status requantize(octet_error* err);
  octet_status fake_quant(octet_error* err);
  octet_status fake_quant_step(octet_error* err);
  octet_status fake_quant_backward(octet_error* err);
  octet_status choose_qparams(octet_error* err);
  octet_status observer_create(octet_error* err);
  octet_status observer_feed(octet_error* err);
  octet_status observer_qparams(octet_error* err);
  octet_status observer_stats(octet_error* err);

  // Where all outputs lie, and some bytes of it.
  unsigned char* at(size_t offset) { return memory_.data() + offset; }
  std::vector<float> scales = std::vector<float>(64, 0.5f);
  std::vector<int32_t> zeros = std::vector<int32_t>(64, 1);

 private:
  octet_status checked(const Call& call, octet_error* err);
  template <class T, class Create>
  octet_status created(octet_error* err, Create create);

  std::vector<float> w_, bias_, x_;
  std::vector<int8_t> w8_;
  Guarded memory_{1 << 15};  // 64-byte aligned, as its end
  Guarded workspace_{1 << 15};
  std::vector<unsigned char> blob_;
};

class WorldTest : public testing::Test {
 protected:
  World w;
};

}  // namespace contract

// SPDX-License-Identifier: Apache-2.0
//
// What running refuses: op verbs, raw GEMM, element-wise functions. Shapes, strides, alignment,
// overlap, qparams, and the sentences that say which.
#include "world.h"

namespace contract {
namespace {

using Calls = WorldTest;
using Verb = octet_status (World::*)(octet_error*);

// A tensor of a valid call, and the call.
struct Operand {
  const char* name;
  octet_tensor World::* tensor;
  Verb verb;
  bool output;
};

const Operand kOperands[] = {
    {"in[0]", &World::x, &World::run, false},
    {"out[0]", &World::y, &World::run, true},
    {"in[0]", &World::fx, &World::run_dynamic, false},
    {"out[0]", &World::fy, &World::run_dynamic, true},
    {"a", &World::a, &World::gemm, false},
    {"y", &World::gemm_y, &World::gemm, true},
    {"x", &World::floats, &World::quantize, false},
    {"q", &World::out_bytes, &World::quantize, true},
    {"q", &World::bytes, &World::dequantize, false},
    {"y", &World::out_floats, &World::dequantize, true},
    {"q", &World::bytes, &World::requantize, false},
    {"y", &World::out_bytes, &World::requantize, true},
    {"x", &World::floats, &World::fake_quant, false},
    {"y", &World::out_floats, &World::fake_quant, true},
    {"x", &World::floats, &World::fake_quant_step, false},
    {"y", &World::out_floats, &World::fake_quant_step, true},
    {"dy", &World::floats, &World::fake_quant_backward, false},
    {"dx", &World::gradient, &World::fake_quant_backward, true},
    {"x", &World::floats, &World::observer_feed, false},
};

// Each operand of each function with one field changed.
void refuse_each(const std::function<void(octet_tensor&)>& change, const Words& words,
                 bool outputs_only = false, octet_status status = OCTET_ERR_ARGUMENT) {
  for (const Operand& operand : kOperands) {
    if (outputs_only && !operand.output) continue;
    World w;
    change(w.*operand.tensor);
    SCOPED_TRACE(operand.name);
    EXPECT_REFUSED(status, (w.*operand.verb)(err), operand.name);
    for (const std::string& word : words) EXPECT_REFUSED(status, (w.*operand.verb)(err), word);
  }
}

TEST(Operands, NegativeAndImpossibleDims) {
  refuse_each([](octet_tensor& t) { t.dims[0] = -1; }, {".dims[0]", "-1"});
  refuse_each([](octet_tensor& t) { t.dims[1] = INT64_MIN; }, {".dims[1]", "-9223372036854775808"});
  refuse_each([](octet_tensor& t) { t.dims[0] = INT64_MAX; }, {"2^56"});
  refuse_each([](octet_tensor& t) { t.dims[0] = t.dims[1] = int64_t{1} << 31; }, {"2^56"});
  refuse_each(
      [](octet_tensor& t) {
        t.rank = 3;
        t.dims[0] = 0;
        t.dims[1] = t.dims[2] = int64_t{1} << 40;  // no elements do not excuse the others
      },
      {"2^56"});
}

TEST(Operands, Rank) {
  refuse_each([](octet_tensor& t) { t.rank = -1; }, {".rank", "-1"});
  refuse_each([](octet_tensor& t) { t.rank = 7; }, {".rank", "7"});
  refuse_each([](octet_tensor& t) { t.rank = INT32_MAX; }, {".rank"});
}

TEST(Operands, Data) {
  refuse_each([](octet_tensor& t) { t.data = nullptr; }, {".data", "NULL"});
  for (const Operand& operand : kOperands) {
    World w;
    octet_tensor& t = w.*operand.tensor;
    if (t.type != OCTET_F32) continue;
    t.data = static_cast<char*>(t.data) + 2;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, (w.*operand.verb)(err), operand.name, ".data", "aligned");
  }
}

TEST(Operands, Strides) {
  refuse_each(
      [](octet_tensor& t) {
        t.strides[0] = 1;
        t.strides[1] = t.dims[0];
      },
      {".strides[1]", "innermost"});
  refuse_each(
      [](octet_tensor& t) {
        t.strides[0] = -t.dims[1];
        t.strides[1] = 1;
      },
      {".strides[0]", "negative"});
  refuse_each(
      [](octet_tensor& t) {
        t.strides[0] = int64_t{1} << 60;
        t.strides[1] = 1;
      },
      {".strides[0]", "1152921504606846976"});
  refuse_each(
      [](octet_tensor& t) {
        t.strides[0] = t.dims[1] - 1;
        t.strides[1] = 1;
      },
      {".strides[0]", "overlap"}, true);
}

TEST(Operands, FlagsAndReserved) {
  refuse_each([](octet_tensor& t) { t.flags = 8; }, {".flags", "8"});
  refuse_each([](octet_tensor& t) { t.reserved = -3; }, {".reserved", "-3"});
}

TEST(Operands, TypesOfALaterRelease) {
  for (const octet_type type : {OCTET_U4, OCTET_S4, OCTET_S64, OCTET_F16, OCTET_BF16, OCTET_S16,
                                OCTET_U16, OCTET_U2, OCTET_S2})
    for (const Operand& operand : kOperands) {
      const bool has_all = operand.verb == &World::quantize || operand.verb == &World::dequantize ||
                           operand.verb == &World::requantize;
      if (has_all && type != OCTET_S64) continue;  // every type but that one
      World w;
      (w.*operand.tensor).type = type;
      SCOPED_TRACE(operand.name);
      EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, (w.*operand.verb)(err), operand.name, ".type");
    }
}

TEST(Operands, NullTensors) {
  World w;
  const octet_context* c = w.context.get();
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_op_run(w.op.get(), nullptr, 1, &w.y, 1, nullptr, err),
                 "in ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_op_run(w.op.get(), &w.x, 1, nullptr, 1, nullptr, err),
                 "out ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_gemm(c, nullptr, nullptr, &w.b, nullptr, &w.gemm_y, nullptr, err), "a ",
                 "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_gemm(c, nullptr, &w.a, nullptr, nullptr, &w.gemm_y, nullptr, err), "b ",
                 "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_gemm(c, nullptr, &w.a, &w.b, nullptr, nullptr, nullptr, err), "y ", "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_quantize(c, nullptr, &w.out_bytes, nullptr, err), "x ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_quantize(c, &w.floats, nullptr, nullptr, err), "q ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_dequantize(c, nullptr, &w.out_floats, nullptr, err),
                 "q ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_dequantize(c, &w.bytes, nullptr, nullptr, err), "y ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_requantize(c, nullptr, &w.out_bytes, nullptr, err),
                 "q ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_requantize(c, &w.bytes, nullptr, nullptr, err), "y ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_fake_quant(c, nullptr, &w.fake_q, &w.out_floats, nullptr, nullptr, err),
                 "x ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_fake_quant(c, &w.floats, nullptr, &w.out_floats, nullptr, nullptr, err),
                 "q ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_fake_quant(c, &w.floats, &w.fake_q, nullptr, nullptr, nullptr, err), "y ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_fake_quant_step(c, nullptr, &w.floats, &w.out_floats, nullptr, nullptr, err),
                 "f ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_fake_quant_backward(c, &w.floats, nullptr, &w.gradient, nullptr, err),
                 "mask", "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_observer_feed(w.observer.get(), nullptr, nullptr, err),
                 "x ");
}

TEST(Operands, NullHandles) {
  World w;
  size_t n;
  octet_plan plan = sized<octet_plan>();
  octet_tensor out = w.y;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_op_run(nullptr, &w.x, 1, &w.y, 1, nullptr, err), "o ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_op_infer(nullptr, &w.x, 1, &out, 1, err), "o ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_op_workspace(nullptr, &w.x, 1, nullptr, &n, err), "o ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_op_plan(nullptr, &w.x, 1, nullptr, &plan, err), "o ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_op_describe(nullptr, &w.x, 1, nullptr, nullptr, 0, &n, err), "o ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_op_workspace(w.op.get(), &w.x, 1, nullptr, nullptr, err),
                 "bytes");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_op_plan(w.op.get(), &w.x, 1, nullptr, nullptr, err),
                 "p ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_op_infer(w.op.get(), &w.x, 1, nullptr, 1, err), "out");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_op_describe(w.op.get(), &w.x, 1, nullptr, nullptr, 4, &n, err), "json", "4");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_gemm(nullptr, nullptr, &w.a, &w.b, nullptr, &w.gemm_y, nullptr, err), "c ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_gemm_workspace(nullptr, nullptr, &w.a, &w.b, &w.gemm_y, nullptr, &n, err),
                 "c ");
  EXPECT_REFUSED(
      OCTET_ERR_ARGUMENT,
      octet_gemm_workspace(w.context.get(), nullptr, &w.a, &w.b, &w.gemm_y, nullptr, nullptr, err),
      "bytes");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_quantize(nullptr, &w.floats, &w.out_bytes, nullptr, err),
                 "c ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_dequantize(nullptr, &w.bytes, &w.out_floats, nullptr, err), "c ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_requantize(nullptr, &w.bytes, &w.out_bytes, nullptr, err), "c ");
  EXPECT_REFUSED(
      OCTET_ERR_ARGUMENT,
      octet_fake_quant(nullptr, &w.floats, &w.fake_q, &w.out_floats, nullptr, nullptr, err), "c ");
  EXPECT_REFUSED(
      OCTET_ERR_ARGUMENT,
      octet_fake_quant_step(nullptr, &w.fake, &w.floats, &w.out_floats, nullptr, nullptr, err),
      "c ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_fake_quant_backward(nullptr, &w.floats, w.at(0), &w.gradient, nullptr, err),
                 "c ");
}

// ---- op verbs ---------------------------------------------------------------------------------

TEST_F(Calls, NumbersOfTensors) {
  for (const size_t n : {size_t{0}, size_t{2}, SIZE_MAX}) {
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_op_run(w.op.get(), &w.x, n, &w.y, 1, &w.exec, err),
                   "in has", std::to_string(n));
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_op_run(w.op.get(), &w.x, 1, &w.y, n, &w.exec, err),
                   "out has", std::to_string(n));
  }
}

TEST_F(Calls, Residuals) {
  w.linear.flags = OCTET_RESIDUAL;
  w.linear.residual = {OCTET_U8, 0.5f, 3};
  const Op op = make_op(w.context.get(), w.linear);
  const std::vector<uint8_t> r(World::kM * World::kN, 9);
  octet_tensor in[2] = {w.x, octet_mat(OCTET_U8, r.data(), World::kM, World::kN)};
  const auto run = [&](octet_error* err) {
    return octet_op_run(op.get(), in, 2, &w.y, 1, &w.exec, err);
  };
  EXPECT_ACCEPTED(run(err));
  octet_tensor inferred = {};
  size_t bytes = 0;
  octet_plan plan = sized<octet_plan>();
  for (const size_t n : {size_t{0}, size_t{1}, size_t{3}}) {
    const char* text = "with a residual takes 2";
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_op_run(op.get(), in, n, &w.y, 1, &w.exec, err),
                   "in has", std::to_string(n), text);
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_op_infer(op.get(), in, n, &inferred, 1, err), text);
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_op_workspace(op.get(), in, n, &w.exec, &bytes, err),
                   text);
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_op_plan(op.get(), in, n, &w.exec, &plan, err), text);
  }
  in[1].type = OCTET_S8;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, run(err), "in[1].type", "S8", "U8");
  in[1].type = OCTET_U8;
  in[1].dims[1] = World::kN - 1;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, run(err), "in[1].dims[1]", "4", "5");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_op_plan(op.get(), in, 2, &w.exec, &plan, err),
                 "in[1].dims[1]");
  in[1].dims[1] = World::kN;
  in[1].q = &w.q;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, run(err), "in[1].q", "NULL");
  in[1].q = nullptr;
  in[1].data = nullptr;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, run(err), "in[1].data", "NULL");
  EXPECT_ACCEPTED(octet_op_plan(op.get(), in, 2, &w.exec, &plan, err));
  in[1].data = static_cast<uint8_t*>(w.y.data) + 1;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, run(err), "out[0] overlaps in[1]");
  in[1].data = w.y.data;
  EXPECT_ACCEPTED(run(err));
}

TEST_F(Calls, ShapesThatDoNotFit) {
  w.x.dims[1] = World::kK - 1;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.run(err), "in[0]", "6", "K = 7");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.infer(err), "in[0]", "K = 7");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.workspace(err), "in[0]", "K = 7");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.plan(err), "in[0]", "K = 7");
  w.x.rank = 0;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.run(err), "in[0]", "K = 7");
  w.x.rank = 2;
  w.x.dims[1] = World::kK;
  w.y.dims[0] = World::kM + 1;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.run(err), "out[0].dims[0]", "4", "3");
  w.y.dims[0] = World::kM;
  w.y.dims[1] = World::kN - 1;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.run(err), "out[0].dims[1]", "4", "5");
  w.y = octet_view(OCTET_U8, w.y.data, 3, 1, World::kM, World::kN, 0);
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.run(err), "out[0].rank", "3", "2");
}

TEST_F(Calls, QparamsThatBelongElsewhere) {
  w.x.q = &w.q;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.run(err), "in[0].q", "NULL");
  w.x.q = nullptr;
  w.y.q = &w.q;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.run(err), "out[0].q", "NULL");
}

TEST_F(Calls, QparamsOfTheCall) {
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_op_run(w.call_op.get(), &w.x, 1, &w.y, 1, &w.exec, err),
                 "in[0].q", "NULL");
  for (const int64_t count : {0, -1, 2, 4}) {
    w.call_q.count = count;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.run_call(err), "count", std::to_string(count), "3");
  }
  w.call_q.count = World::kM;
  w.scales[2] = kNan;
  EXPECT_REFUSED(OCTET_ERR_NOT_FINITE, w.run_call(err), "in[0].q->scale", "2");
  w.scales[2] = 0;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.run_call(err), "in[0].q->scale", "2", "2^60");
  w.scales[2] = 1;
  w.zeros[1] = 256;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.run_call(err), "zero_point[1]", "256", "[0, 255]");
  w.zeros[1] = 0;
  w.call_q.scale = nullptr;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.run_call(err), "in[0].q->scale", "NULL");
}

TEST_F(Calls, Exec) {
  const Verb verbs[] = {&World::run,
                        &World::gemm,
                        &World::quantize,
                        &World::dequantize,
                        &World::requantize,
                        &World::fake_quant,
                        &World::fake_quant_step,
                        &World::fake_quant_backward,
                        &World::observer_feed,
                        &World::weights_pack,
                        &World::workspace,
                        &World::plan,
                        &World::gemm_workspace};
  for (const Verb verb : verbs) {
    for (const int32_t threads : {-1, 1025, INT32_MAX, INT32_MIN}) {
      w.exec.max_threads = threads;
      EXPECT_REFUSED(OCTET_ERR_ARGUMENT, (w.*verb)(err), "octet_exec.max_threads",
                     std::to_string(threads));
    }
    w.exec.max_threads = 0;
    w.exec.plan = -1;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, (w.*verb)(err), "octet_exec.plan", "-1");
    w.exec.plan = 0;
  }
  w.exec.plan = 1000;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.run(err), "octet_exec.plan", "1000", "candidates");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.plan(err), "octet_exec.plan", "1000", "candidates");
}

TEST_F(Calls, EveryCandidateOfThePlanRunsAlike) {
  octet_plan plan = sized<octet_plan>();
  EXPECT_ACCEPTED(octet_op_plan(w.op.get(), &w.x, 1, &w.exec, &plan, err));
  ASSERT_GE(plan.candidates, 1);
  EXPECT_ACCEPTED(w.run(err));
  const Snapshot want(w.y.data, World::kM * World::kN);
  for (w.exec.plan = 1; w.exec.plan <= plan.candidates; ++w.exec.plan) {
    std::memset(w.y.data, 0, World::kM * World::kN);
    EXPECT_ACCEPTED(w.run(err));
    EXPECT_TRUE(want.same()) << w.exec.plan;
  }
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.run(err), "octet_exec.plan");
}

// ---- overlap ----------------------------------------------------------------------------------

TEST_F(Calls, OutputsThatOverlapInputs) {
  w.y.data = w.at(World::kM * World::kK - 1);
  w.x.data = w.at(0);
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.run(err), "out[0]", "in[0]", "overlap");
  w.y.data = w.x.data;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.run(err), "out[0]", "in[0]", "overlap");
  w.a.data = w.gemm_y.data;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.gemm(err), "y overlaps a");
  w.a.data = w.at(0);
  w.b.data = static_cast<char*>(w.gemm_y.data) + 14;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.gemm(err), "y overlaps b");
  w.b.data = w.at(64);
  w.gemm_bias.data = w.gemm_y.data;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.gemm(err), "y overlaps bias");
}

TEST_F(Calls, WorkspaceThatOverlapsOperands) {
  const struct {
    Verb verb;
    octet_tensor World::* tensor;
    const char* name;
  } cases[] = {
      {&World::run_dynamic, &World::fx, "input"}, {&World::run_dynamic, &World::fy, "output"},
      {&World::gemm, &World::a, "input"},         {&World::gemm, &World::b, ""},
      {&World::gemm, &World::gemm_y, "output"},   {&World::gemm, &World::gemm_bias, ""}};
  for (const auto& one : cases) {
    World fresh;
    octet_tensor& t = fresh.*one.tensor;
    t.data = fresh.at(12288);
    std::memset(t.data, 0, 1024);
    fresh.exec.workspace = fresh.at(12288);
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, (fresh.*one.verb)(err), "octet_exec.workspace", "overlap",
                   one.name);
  }
}

TEST_F(Calls, ElementWiseOverlap) {
  for (const size_t shift : {size_t{4}, size_t{40}}) {
    w.out_floats.data = static_cast<char*>(w.floats.data) + shift;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.fake_quant(err), "y overlaps x");
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.fake_quant_step(err), "y overlaps x");
    w.gradient.data = w.out_floats.data;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.fake_quant_backward(err), "dx overlaps dy");
  }
  w.out_bytes.data = w.floats.data;  // not of the same element size
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.quantize(err), "q overlaps x");
  w.out_bytes.data = static_cast<char*>(w.bytes.data) + 1;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.requantize(err), "y overlaps q");
  w.out_bytes.data = w.bytes.data;
  EXPECT_ACCEPTED(w.requantize(err));  // in place
}

TEST_F(Calls, MaskThatOverlaps) {
  const octet_context* c = w.context.get();
  auto* in_x = static_cast<uint8_t*>(w.floats.data) + 8;
  auto* in_y = static_cast<uint8_t*>(w.out_floats.data) + 95;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_fake_quant(c, &w.floats, &w.fake_q, &w.out_floats, in_x, nullptr, err),
                 "mask", "x");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_fake_quant(c, &w.floats, &w.fake_q, &w.out_floats, in_y, nullptr, err),
                 "mask", "y");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_fake_quant_step(c, &w.fake, &w.floats, &w.out_floats, in_y, nullptr, err),
                 "mask");
}

// ---- raw GEMM ---------------------------------------------------------------------------------

TEST_F(Calls, GemmShapes) {
  const auto refused = [&](const char* word) {
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.gemm(err), word);
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.gemm_workspace(err), word);
  };
  w.a.dims[1] = 6;
  refused("[3, 6]");
  w.a.dims[1] = World::kK;
  w.b.dims[0] = 4;
  refused("[4, 7]");
  w.b.dims[0] = World::kN;
  w.gemm_y.dims[0] = 2;
  refused("[2, 5]");
  w.gemm_y.dims[0] = World::kM;
  w.a.rank = 1;
  refused("rank");
  w.a.rank = 2;
  w.gemm_bias.dims[0] = 4;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.gemm(err), "bias", "[5]");
}

TEST_F(Calls, GemmQparams) {
  w.aq.count = 2;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.gemm(err), "a.q->count", "2", "3");
  w.aq.count = 1;
  w.bq.count = 3;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.gemm(err), "b.q->count", "3", "5");
  w.bq.count = World::kK;
  w.bq.axis = 1;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.gemm(err), "b.q->axis", "1");
  w.bq.axis = 0;
  w.bq.count = World::kN;
  w.yq.flags = OCTET_DIVIDE;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.gemm(err), "y.q", "flags");
  w.yq.flags = 0;
  w.gemm_y.q = nullptr;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.gemm(err), "y.q", "NULL");
  w.gemm_y = octet_mat(OCTET_F32, w.at(0), World::kM, World::kN);
  w.gemm_y.q = &w.yq;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.gemm(err), "y.q", "F32");
  w.gemm_y.q = nullptr;
  EXPECT_ACCEPTED(w.gemm(err));
  std::vector<float> bias(World::kN, kNan);
  w.gemm_bias.data = bias.data();
  EXPECT_REFUSED(OCTET_ERR_NOT_FINITE, w.gemm(err), "bias[0]", "nan");
}

TEST_F(Calls, GemmNumericsThatDefineLess) {
  w.gemm_desc.numerics = OCTET_NUMERICS_TFLITE;
  w.bq.zero_point = nullptr;
  EXPECT_ACCEPTED(w.gemm(err));
  w.aq.count = World::kM;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.gemm(err), "octet_gemm_desc.numerics", "3",
                 "one input scale");
  w.aq.count = 1;
  const std::vector<int32_t> zeros(World::kN, 5);
  w.bq.zero_point = zeros.data();
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.gemm(err), "octet_gemm_desc.numerics", "symmetric");
}

TEST_F(Calls, GemmOfALaterRelease) {
  w.b.type = OCTET_U4;
  EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, w.gemm(err), "b.type", "U4");
  w.b.type = OCTET_S8;
  w.bq.group = 2;
  EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, w.gemm(err), "b.q->group", "2");
  w.bq.group = 0;
}

// ---- element by element -----------------------------------------------------------------------

TEST_F(Calls, ElementWiseShapesDiffer) {
  w.out_bytes.dims[0] = World::kRows - 1;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.quantize(err), "q.dims[0]", "3", "4");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.requantize(err), "y.dims[0]", "3", "4");
  w.out_floats.rank = 3;
  w.out_floats.dims[2] = 1;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.dequantize(err), "y.rank", "3", "2");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.fake_quant(err), "y.rank", "3", "2");
}

TEST_F(Calls, ElementWiseQparams) {
  const Verb verbs[] = {&World::quantize, &World::fake_quant};
  octet_qparams World::* const qparams[] = {&World::out_q, &World::fake_q};
  for (int i = 0; i < 2; ++i) {
    octet_qparams& q = w.*qparams[i];
    const Verb verb = verbs[i];
    const octet_qparams good = q;
    w.scales[1] = kInf;
    EXPECT_REFUSED(OCTET_ERR_NOT_FINITE, (w.*verb)(err), "q->scale", "1");
    w.scales[1] = -1;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, (w.*verb)(err), "q->scale", "1", "2^60");
    w.scales[1] = 1;
    w.zeros[3] = -1;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, (w.*verb)(err), "zero_point[3]", "-1", "[0, 255]");
    w.zeros[3] = 1;
    q.count = 3;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, (w.*verb)(err), "count", "3", "4");
    q.count = World::kRows;
    q.axis = 2;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, (w.*verb)(err), "axis", "2");
    q.axis = -2;
    EXPECT_ACCEPTED((w.*verb)(err));
    q = good;
    for (const auto& [low, high] :
         {std::pair{1, 9}, {-9, -1}, {0, 0}, {5, 3}, {-1, 255}, {0, 70000}}) {
      if (verb == &World::quantize && low == 0 && high == 0) continue;  // the type's whole range
      q.qmin = low;
      q.qmax = high;
      if (verb == &World::fake_quant && low == -1) continue;  // no type there
      EXPECT_REFUSED(OCTET_ERR_ARGUMENT, (w.*verb)(err), std::to_string(low), std::to_string(high));
    }
    q = good;
    q.group = 8;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, (w.*verb)(err), "q->group", "8", "divide", "6");
    q.group = 3;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, (w.*verb)(err), "count", "groups of 3", "8");
    q = good;
    const float zero = 0;
    q.zero_point_f32 = &zero;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, (w.*verb)(err), "zero_point_f32", "zero_point is too");
    q = good;
    q.reserved = &zero;
    EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, (w.*verb)(err), "reserved");
    q = good;
    q.scale = nullptr;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, (w.*verb)(err), "q->scale", "NULL");
    q = good;
  }
  w.out_bytes.q = nullptr;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.quantize(err), "q.q", "NULL");
  w.bytes.q = nullptr;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.dequantize(err), "q.q", "NULL");
  w.floats.q = &w.q;
  w.out_bytes.q = &w.out_q;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.quantize(err), "x.q", "NULL");
}

// The qparams of float tensors have no meaning anywhere; ignoring them would hide a mistake.
TEST_F(Calls, QparamsOfFloatTensorsAreRefused) {
  w.floats.q = &w.q;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.fake_quant(err), "x.q");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.fake_quant_step(err), "x.q");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.fake_quant_backward(err), "dy.q");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.observer_feed(err), "x.q");
  w.bias.q = &w.q;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_create(err), "bias.q");
  w.gemm_bias.q = &w.q;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.gemm(err), "bias.q");
}

// A batch without rows, weights without inputs: no element, so no data, and an answer all the same.
TEST_F(Calls, EmptyDimsNeedNoData) {
  w.x = octet_mat(OCTET_U8, nullptr, 0, World::kK);
  w.y = octet_mat(OCTET_U8, nullptr, 0, World::kN);
  w.call_q.count = 0;
  w.call_q.scale = nullptr;
  EXPECT_ACCEPTED(w.run(err));
  EXPECT_ACCEPTED(w.run_call(err));
  w.fx = octet_mat(OCTET_F32, nullptr, 0, World::kK);
  w.fy = octet_mat(OCTET_F32, nullptr, 0, World::kN);
  EXPECT_ACCEPTED(w.run_dynamic(err));
  w.floats = octet_mat(OCTET_F32, nullptr, World::kRows, 0);
  w.out_bytes = octet_mat(OCTET_U8, nullptr, World::kRows, 0);
  w.out_bytes.q = &w.out_q;
  EXPECT_ACCEPTED(w.quantize(err));
  EXPECT_ACCEPTED(w.observer_feed(err));
  for (const octet_type in : {OCTET_U8, OCTET_S8}) {
    w.a = octet_mat(in, nullptr, World::kM, 0);
    w.b = octet_mat(OCTET_S8, nullptr, World::kN, 0);
    w.gemm_y = octet_mat(OCTET_F32, w.at(0), World::kM, World::kN);
    EXPECT_ACCEPTED(w.gemm(err));
    EXPECT_TRUE(
        std::equal(w.at(0), w.at(4 * World::kN), static_cast<unsigned char*>(w.gemm_bias.data)));
  }
}

TEST_F(Calls, ZeroPointsOfS32) {
  std::vector<int32_t> sums(World::kRows * World::kColumns, 5);
  w.bytes = octet_mat(OCTET_S32, sums.data(), World::kRows, World::kColumns);
  w.bytes.q = &w.q;
  w.zeros[0] = 1;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.dequantize(err), "zero_point[0]", "1");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.requantize(err), "zero_point[0]", "1");
  w.zeros[0] = 0;
  EXPECT_ACCEPTED(w.dequantize(err));
  EXPECT_ACCEPTED(w.requantize(err));
}

}  // namespace
}  // namespace contract

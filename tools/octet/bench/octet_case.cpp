// SPDX-License-Identifier: Apache-2.0
#include "bench/octet_case.h"

namespace octet_cli {

void check_types(const BenchOptions& options) {
  if (!options.dynamic.empty() && (options.type != "u8" || options.out != "q8"))
    throw UsageError("--dynamic is float to float; it goes with neither --type s8 nor --out.");
}

Form form_of(const BenchOptions& options) {
  if (!options.dynamic.empty()) return Form::kDynamic;
  if (options.out == "f32") return Form::kF32;
  return options.out == "s32" ? Form::kS32 : Form::kQ8;
}

std::string types_of(const BenchOptions& options) {
  if (!options.dynamic.empty()) return "f32s8_f32 dynamic per " + options.dynamic;
  return options.type + "s8_" + (options.out == "q8" ? options.type : options.out);
}

OctetCase::OctetCase(const octet_context* context, const Problem& p, const OctetOptions& options)
    : problem_(p), exec_(sized<octet_exec>()) {
  octet_qparams params = {};
  params.count = p.shape.n;
  params.scale = p.w_scale.data();
  octet_tensor source = octet_mat(OCTET_S8, p.w.data(), p.shape.n, p.shape.k);
  source.q = &params;
  const octet_tensor bias = octet_vec(OCTET_F32, p.bias.data(), p.shape.n);
  auto wd = sized<octet_weights_desc>();
  wd.source = &source;
  if (options.lean) wd.flags = OCTET_LEAN;
  if (p.form != Form::kS32) wd.bias = &bias;
  weights_ = make_weights(context, wd);

  const octet_type type = p.act_signed ? OCTET_S8 : OCTET_U8;
  auto scheme = sized<octet_scheme>();
  scheme.type = OCTET_U8;
  scheme.granularity = OCTET_PER_TENSOR;
  auto ld = sized<octet_linear_desc>();
  ld.weights = weights_.get();
  ld.in = {type, p.in_scale, p.in_zero};
  switch (p.form) {
    case Form::kQ8:
      ld.out = {type, p.out_scale, p.out_zero};
      break;
    case Form::kS32:
      ld.out = {OCTET_S32, 0, 0};
      break;
    case Form::kDynamic:
      ld.in = {OCTET_F32, 0, 0};
      if (options.per_tensor) ld.dynamic = &scheme;
      [[fallthrough]];
    case Form::kF32:
      ld.out = {OCTET_F32, 0, 0};
      break;
  }
  op_ = make_linear(context, ld);
  y_.resize(p.m() * p.n() * p.out_size());
  workspace_.resize(plan().workspace_bytes);
}

void OctetCase::use(Pool& pool) {
  exec_.parallel_for = pool.threads() > 1 ? Pool::parallel_for : nullptr;
  exec_.pool = &pool;
  exec_.max_threads = static_cast<int32_t>(pool.threads());
  workspace_.resize(plan().workspace_bytes);
}

octet_tensor OctetCase::in() const {
  const Problem& p = problem_;
  if (p.form == Form::kDynamic) return octet_mat(OCTET_F32, p.x_float.data(), p.shape.m, p.shape.k);
  return octet_mat(p.act_signed ? OCTET_S8 : OCTET_U8, p.x.data(), p.shape.m, p.shape.k);
}

octet_plan OctetCase::plan() const {
  const octet_tensor x = in();
  auto plan = sized<octet_plan>();
  call(octet_op_plan, op_.get(), &x, size_t{1}, &exec_, &plan);
  return plan;
}

std::string OctetCase::describe() const {
  const octet_tensor x = in();
  size_t need = 0;
  call(octet_op_describe, op_.get(), &x, size_t{1}, &exec_, nullptr, size_t{0}, &need);
  std::string json(need, '\0');
  call(octet_op_describe, op_.get(), &x, size_t{1}, &exec_, json.data(), json.size(), &need);
  json.resize(need - 1);
  return json;
}

void OctetCase::run(size_t iterations) {
  exec_.workspace = workspace_.data();
  exec_.workspace_bytes = workspace_.size();
  const Problem& p = problem_;
  const octet_type out = p.form == Form::kS32  ? OCTET_S32
                         : p.form != Form::kQ8 ? OCTET_F32
                         : p.act_signed        ? OCTET_S8
                                               : OCTET_U8;
  const octet_tensor x = in(), y = octet_mat(out, y_.data(), p.shape.m, p.shape.n);
  octet_error error;  // written by failures alone: not a byte of it is touched in the loop
  octet_op* op = op_.get();
  for (; iterations > 0; --iterations) {
    const octet_status status = octet_op_run(op, &x, 1, &y, 1, &exec_, &error);
    if (status != OCTET_OK) throw LibraryError(status, error.text);
  }
}

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
#include "bench/octet_case.h"

#include <algorithm>

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

namespace {

// [first][the shape's dims of extents][last]
octet_tensor tensor(octet_type type, const void* data, int rank, int64_t first,
                    const ConvShape::Dims& extents, int64_t last) {
  octet_tensor t = octet_view(type, data, rank + 2, first, 0, 0, 0);
  std::copy_n(extents.begin(), rank, t.dims + 1);
  t.dims[rank + 1] = last;
  return t;
}

octet_geometry geometry_of(const ConvShape& c) {
  auto g = sized<octet_geometry>();
  if (c.transposed) g.flags = OCTET_TRANSPOSED;
  g.rank = c.rank;
  g.groups = static_cast<int32_t>(c.groups);
  auto put = [&c](const ConvShape::Dims& from, int32_t* to) {
    for (int d = 0; d < c.rank; ++d) to[d] = static_cast<int32_t>(from[static_cast<size_t>(d)]);
  };
  put(c.stride, g.stride);
  put(c.dilation, g.dilation);
  put(c.pad_lo, g.pad_lo);
  put(c.pad_hi, g.pad_hi);
  put(c.out_pad, g.out_pad);
  return g;
}

}  // namespace

OctetCase::OctetCase(const octet_context* context, const Problem& p, const OctetOptions& options)
    : problem_(p), exec_(sized<octet_exec>()) {
  octet_qparams params = {};
  params.count = p.shape.n;
  params.scale = p.w_scale.data();
  octet_tensor source = octet_mat(OCTET_S8, p.w.data(), p.shape.n, p.shape.k);
  octet_geometry geometry = {};
  if (p.conv) {
    const ConvShape& c = *p.conv;
    source = tensor(OCTET_S8, p.w.data(), c.rank, c.out_channels, c.kernel, c.group_in());
    geometry = geometry_of(c);
  }
  source.q = &params;
  const octet_tensor bias = octet_vec(OCTET_F32, p.bias.data(), p.shape.n);
  auto wd = sized<octet_weights_desc>();
  wd.source = &source;
  if (p.conv) wd.geometry = &geometry;
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
  op_ = p.conv ? make_conv(context, ld, geometry) : make_linear(context, ld);
  if (p.form == Form::kDynamic)
    x_.assign(p.x_float.data(), p.x_float.size() * sizeof(float));
  else
    x_.assign(p.x.data(), p.x.size());
  y_.resize(p.outputs() * p.out_size());
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
  const octet_type type = p.form == Form::kDynamic ? OCTET_F32 : p.act_signed ? OCTET_S8 : OCTET_U8;
  if (!p.conv) return octet_mat(type, x_.data(), p.shape.m, p.shape.k);
  return tensor(type, x_.data(), p.conv->rank, p.conv->batch, p.conv->in, p.conv->channels);
}

octet_tensor OctetCase::out() {
  const Problem& p = problem_;
  const octet_type type = p.form == Form::kS32  ? OCTET_S32
                          : p.form != Form::kQ8 ? OCTET_F32
                          : p.act_signed        ? OCTET_S8
                                                : OCTET_U8;
  if (!p.conv) return octet_mat(type, y_.data(), p.shape.m, p.shape.n);
  const ConvShape& c = *p.conv;
  return tensor(type, y_.data(), c.rank, c.batch, {c.out(0), c.out(1), c.out(2)}, c.out_channels);
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
  const octet_tensor x = in(), y = out();
  octet_error error;  // written by failures alone: not a byte of it is touched in the loop
  octet_op* op = op_.get();
  for (; iterations > 0; --iterations) {
    const octet_status status = octet_op_run(op, &x, 1, &y, 1, &exec_, &error);
    if (status != OCTET_OK) throw LibraryError(status, error.text);
  }
}

}  // namespace octet_cli

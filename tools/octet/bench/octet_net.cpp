// SPDX-License-Identifier: Apache-2.0
#include "bench/octet_net.h"

#include <algorithm>

namespace octet_cli {
namespace {

using Kind = NetLayer::Kind;

octet_geometry geometry_of(const ConvShape& c) {
  auto g = sized<octet_geometry>();
  g.rank = c.rank;
  g.groups = static_cast<int32_t>(c.groups);
  for (size_t d = 0; d < static_cast<size_t>(c.rank); ++d) {
    g.stride[d] = static_cast<int32_t>(c.stride[d]);
    g.dilation[d] = static_cast<int32_t>(c.dilation[d]);
    g.pad_lo[d] = static_cast<int32_t>(c.pad_lo[d]);
    g.pad_hi[d] = static_cast<int32_t>(c.pad_hi[d]);
  }
  return g;
}

octet_qtype qtype_of(const Activation& a) { return {OCTET_U8, a.scale, a.zero}; }

}  // namespace

OctetNet::OctetNet(const octet_context* context, const Net& net, Pool& pool)
    : net_(net), exec_(sized<octet_exec>()) {
  for (const Activation& a : net.activations) activations_.emplace_back(a.elements());
  activations_[0].assign(net.image.data(), net.image.size());
  logits_.resize(static_cast<size_t>(net.activations[0].batch * net.classes) * sizeof(float));
  exec_.parallel_for = pool.threads() > 1 ? Pool::parallel_for : nullptr;
  exec_.pool = &pool;
  exec_.max_threads = static_cast<int32_t>(pool.threads());
  size_t workspace = 0;
  for (const NetLayer& layer : net.layers) {
    Step& step = steps_.emplace_back();
    step.in[0] = tensor(layer.in);
    step.inputs = 1;
    if (layer.kind == Kind::kConv || layer.kind == Kind::kClassifier)
      add_layer(context, layer, step);
    else
      add_pool(context, layer, step);
    workspace = std::max(workspace, plan(steps_.size() - 1).workspace_bytes);
  }
  workspace_.resize(workspace);
  exec_.workspace = workspace_.data();
  exec_.workspace_bytes = workspace;
}

octet_tensor OctetNet::tensor(int activation) const {
  const auto at = static_cast<size_t>(activation);
  const Activation& a = net_.activations[at];
  octet_tensor t =
      octet_view(OCTET_U8, activations_[at].data(), 4, a.batch, a.height, a.width, a.channels);
  return t;
}

void OctetNet::add_layer(const octet_context* context, const NetLayer& layer, Step& step) {
  const ConvShape& c = layer.shape;
  const bool classifier = layer.kind == Kind::kClassifier;
  octet_qparams params = {};
  params.count = c.out_channels;
  params.scale = layer.w_scale.data();
  octet_tensor source =
      octet_nhwc(OCTET_S8, layer.w.data(), c.out_channels, c.kernel[0], c.kernel[1], c.group_in());
  if (classifier) source = octet_mat(OCTET_S8, layer.w.data(), c.out_channels, c.channels);
  source.q = &params;
  const octet_tensor bias = octet_vec(OCTET_F32, layer.bias.data(), c.out_channels);
  const octet_geometry geometry = geometry_of(c);
  auto wd = sized<octet_weights_desc>();
  wd.source = &source;
  wd.bias = &bias;
  if (!classifier) wd.geometry = &geometry;
  step.weights = make_weights(context, wd);

  auto ld = sized<octet_linear_desc>();
  ld.weights = step.weights.get();
  ld.in = qtype_of(net_.activations[static_cast<size_t>(layer.in)]);
  if (classifier) {
    ld.out = {OCTET_F32, 0, 0};
    step.in[0] = octet_mat(OCTET_U8, step.in[0].data, c.batch, c.channels);
    step.out = octet_mat(OCTET_F32, logits_.data(), c.batch, c.out_channels);
    step.op = make_linear(context, ld);
    return;
  }
  ld.out = qtype_of(net_.activations[static_cast<size_t>(layer.out)]);
  if (layer.act == NetLayer::Act::kRelu) ld.act = OCTET_RELU;
  if (layer.act == NetLayer::Act::kRelu6) ld.act = OCTET_RELU6;
  if (layer.residual >= 0) {
    ld.flags = OCTET_RESIDUAL;
    ld.residual = qtype_of(net_.activations[static_cast<size_t>(layer.residual)]);
    step.in[step.inputs++] = tensor(layer.residual);
  }
  step.out = tensor(layer.out);
  step.op = make_conv(context, ld, geometry);
}

void OctetNet::add_pool(const octet_context* context, const NetLayer& layer, Step& step) {
  auto pd = sized<octet_pool_desc>();
  pd.in = pd.out = qtype_of(net_.activations[static_cast<size_t>(layer.in)]);
  const octet_geometry geometry = geometry_of(layer.shape);
  const bool global = layer.kind == Kind::kGlobalAverage;
  if (global) {
    pd.kind = OCTET_POOL_AVERAGE;
    pd.flags = OCTET_GLOBAL;
  } else {
    pd.kind = OCTET_POOL_MAX;
    for (size_t d = 0; d < 2; ++d) pd.kernel[d] = static_cast<int32_t>(layer.shape.kernel[d]);
  }
  step.out = tensor(layer.out);
  octet_op* raw = nullptr;
  call(octet_pool_create, context, &pd, global ? nullptr : &geometry, &raw);
  step.op = Op(raw);
}

octet_plan OctetNet::plan(size_t layer) const {
  const Step& step = steps_[layer];
  auto plan = sized<octet_plan>();
  call(octet_op_plan, step.op.get(), step.in, step.inputs, &exec_, &plan);
  return plan;
}

void OctetNet::run(size_t layer) {
  const Step& step = steps_[layer];
  octet_error error;  // written by failures alone
  const octet_status status =
      octet_op_run(step.op.get(), step.in, step.inputs, &step.out, 1, &exec_, &error);
  if (status != OCTET_OK) throw LibraryError(status, error.text);
}

void OctetNet::run() {
  for (size_t layer = 0; layer < steps_.size(); ++layer) run(layer);
}

}  // namespace octet_cli

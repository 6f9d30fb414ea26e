// SPDX-License-Identifier: Apache-2.0
#include "api.h"

#include "machine.h"

namespace octet_cli {

Context make_context(const std::string& max_isa) {
  auto desc = sized<octet_context_desc>();
  desc.flags = OCTET_READ_ENV | OCTET_ALLOW_SLOW;
  if (!max_isa.empty()) desc.max_isa = max_isa.c_str();
  octet_context* raw = nullptr;
  try {
    call(octet_context_create, &desc, &raw);
  } catch (const LibraryError& error) {
    if (error.status() == OCTET_ERR_MEMORY) throw;
    throw UsageError(error.what());
  }
  Context context(raw);
  if (!max_isa.empty()) {
    for (const Machine::Isa& isa : read_machine(context.get()).isas) {
      if (isa.name == max_isa && !isa.usable)
        throw UsageError("The ISA " + max_isa + " cannot be used here: " + isa.why);
    }
  }
  return context;
}

std::string describe(const octet_context* context) {
  size_t need = 0;
  call(octet_context_describe, context, nullptr, size_t{0}, &need);
  std::string json(need, '\0');
  call(octet_context_describe, context, json.data(), json.size(), &need);
  json.resize(need - 1);
  return json;
}

Weights make_weights(const octet_context* context, const octet_weights_desc& desc) {
  octet_weights* raw = nullptr;
  call(octet_weights_create, context, &desc, nullptr, &raw);
  return Weights(raw);
}

Op make_linear(const octet_context* context, const octet_linear_desc& desc) {
  octet_op* raw = nullptr;
  call(octet_linear_create, context, &desc, &raw);
  return Op(raw);
}

Op make_conv(const octet_context* context, const octet_linear_desc& desc,
             const octet_geometry& geometry) {
  octet_op* raw = nullptr;
  call(octet_conv_create, context, &desc, &geometry, &raw);
  return Op(raw);
}

octet_plan plan(const octet_op* op, const octet_tensor& in) {
  auto plan = sized<octet_plan>();
  call(octet_op_plan, op, &in, size_t{1}, nullptr, &plan);
  return plan;
}

void Runner::reserve(const octet_op* op, const octet_tensor& in) {
  size_t bytes = 0;
  call(octet_op_workspace, op, &in, size_t{1}, nullptr, &bytes);
  if (workspace_.size() < bytes) workspace_.resize(bytes);
}

void Runner::run(const octet_op* op, const octet_tensor& in, const octet_tensor& out) {
  auto exec = sized<octet_exec>();
  exec.workspace = workspace_.data();
  exec.workspace_bytes = workspace_.size();
  call(octet_op_run, op, &in, size_t{1}, &out, size_t{1}, &exec);
}

}  // namespace octet_cli

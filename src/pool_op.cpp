// SPDX-License-Identifier: Apache-2.0
//
// octet_pool_create, and what the verbs of an op do for a pooling layer.
#include "src/fpenv.h"
#include "src/op.h"

namespace octet {

namespace {

octet_status infer(octet_error* err, const octet_op& o, const octet_tensor* in, size_t n_in,
                   octet_tensor* out, size_t n_out) {
  PoolImage m;
  OCTET_TRY(read_pool_image(err, *o.pooling, in, n_in, kShapeOnly, &m));
  if (!out || n_out != 1)
    return fail(err, OCTET_ERR_ARGUMENT, "out has %zu tensors; a pooling op gives 1.",
                out ? n_out : 0);
  out->type = o.pooling->out.type;
  out->rank = m.x.rank;
  for (int i = 0; i < 6; ++i) {
    out->dims[i] = i < m.x.rank ? m.out_dim(i) : 0;
    out->strides[i] = 0;
  }
  return OCTET_OK;
}

octet_status workspace(octet_error* err, const octet_op& o, const octet_tensor* in, size_t n_in,
                       const octet_exec* exec, size_t* bytes) {
  Exec e;
  PoolImage m;
  OCTET_TRY(read_exec(err, exec, &e));
  OCTET_TRY(read_pool_image(err, *o.pooling, in, n_in, kShapeOnly, &m));
  *bytes = 0;
  return OCTET_OK;
}

// The one way in which pooling runs is candidate 1.
octet_status check_plan(octet_error* err, const Exec& e) {
  if (e.e.plan <= 1) return OCTET_OK;
  return fail(err, OCTET_ERR_ARGUMENT, "octet_exec.plan is %d, but this call has 1 candidate.",
              e.e.plan);
}

octet_status run(octet_error* err, const octet_op& o, const octet_tensor* in, size_t n_in,
                 const octet_tensor* out, size_t n_out, const octet_exec* exec) {
  Exec e;
  PoolImage m;
  View y;
  OCTET_TRY(read_exec(err, exec, &e));
  OCTET_TRY(check_plan(err, e));
  OCTET_TRY(read_pool_image(err, *o.pooling, in, n_in, 0, &m));
  if (!out || n_out != 1)
    return fail(err, OCTET_ERR_ARGUMENT, "out has %zu tensors; a pooling op gives 1.",
                out ? n_out : 0);
  OCTET_TRY(read_tensor(err, "out[0]", out, type_bit(o.pooling->out.type), kOutput, &y));
  if (y.q)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "out[0].q is given, but this op has its output's qparams from create; leave it NULL.");
  if (y.rank != m.x.rank)
    return fail(err, OCTET_ERR_ARGUMENT, "out[0].rank is %d; it must be that of in[0], %d.", y.rank,
                m.x.rank);
  for (int i = 0; i < y.rank; ++i)
    if (y.dims[i] != m.out_dim(i))
      return fail(err, OCTET_ERR_ARGUMENT, "out[0].dims[%d] is %lld; it must be %lld.", i,
                  static_cast<long long>(y.dims[i]), static_cast<long long>(m.out_dim(i)));
  OCTET_TRY(check_overlap(err, "out[0]", y, "in[0]", m.x, false));
  return run_pooling(err, *o.pooling, m, y, e);
}

octet_status plan(octet_error* err, const octet_op& o, const octet_tensor* in, size_t n_in,
                  const octet_exec* exec, octet_plan* out) {
  Exec e;
  PoolImage m;
  OCTET_TRY(read_exec(err, exec, &e));
  OCTET_TRY(check_plan(err, e));
  OCTET_TRY(read_pool_image(err, *o.pooling, in, n_in, kShapeOnly, &m));
  const Row& row = *o.pooling->row;
  octet_plan p = {};
  p.flags = row.isa == kIsaScalar ? OCTET_PLAN_REFERENCE : 0;
  p.state_bytes = sizeof o + o.block_bytes;
  p.kernel = row.name;
  p.isa = isa_name(row.isa);
  p.bound = "bandwidth of the image";
  p.why = row.isa == kIsaScalar ? "reference code, as allowed" : "the only candidate";
  p.threads = e.e.parallel_for ? e.e.max_threads : 1;
  p.candidates = 1;
  *out = p;
  return OCTET_OK;
}

octet_status describe(octet_error* err, const octet_op& o, const octet_tensor* in, size_t n_in,
                      const octet_exec* exec, char* json, size_t cap, size_t* need) {
  octet_plan p;
  PoolImage m;
  OCTET_TRY(plan(err, o, in, n_in, exec, &p));
  OCTET_TRY(read_pool_image(err, *o.pooling, in, n_in, kShapeOnly, &m));
  const Pooling& l = *o.pooling;
  return write_text(err, json, cap, need, [&](Text& t) {
    t.add("{\"op\":\"pool\",\"kind\":\"%s\",\"in\":\"%s\",\"out\":\"%s\",\"kernel\":\"%s\",",
          l.maximum ? "max" : "average", type_name(l.in.type), type_name(l.out.type), p.kernel);
    t.add("\"isa\":\"%s\",\"out_dims\":[", p.isa);
    for (int i = 0; i < m.x.rank; ++i)
      t.add("%s%lld", i ? "," : "", static_cast<long long>(m.out_dim(i)));
    t.add(
        "],\"threads\":%d,\"reference\":%s,\"workspace_bytes\":0,\"state_bytes\":%zu,"
        "\"weight_bytes\":0,\"bound\":\"%s\",\"why\":\"%s\",\"candidates\":1,\"kernels\":[\"%s\"",
        p.threads, p.flags & OCTET_PLAN_REFERENCE ? "true" : "false", p.state_bytes, p.bound, p.why,
        p.kernel);
    if (l.requantize) t.add(",\"%s\"", l.requantize->name);
    t.put("]}");
  });
}

constexpr OpKind kPoolKind = {infer, workspace, run, plan, describe};

[[gnu::noinline]] octet_status create(const octet_context& c, const octet_pool_desc* d,
                                      const octet_geometry* g, octet_op** out, octet_error* err) {
  Pooling p;
  OCTET_TRY(read_pooling(err, c, d, g, &p));
  void* block = allocate(c, sizeof p);
  if (!block) return fail_memory(err, sizeof p);
  octet_op* o = make_handle<octet_op>(c);
  if (!o) {
    release(c, block, sizeof p);
    return fail_memory(err, sizeof *o);
  }
  retain(&c);
  o->context = &c;
  o->kind = &kPoolKind;
  o->pooling = new (block) Pooling(p);
  o->block = block;
  o->block_bytes = sizeof p;
  *out = o;
  return OCTET_OK;
}

}  // namespace

}  // namespace octet

octet_status octet_pool_create(const octet_context* c, const octet_pool_desc* d,
                               const octet_geometry* g, octet_op** out, octet_error* err) {
  using namespace octet;
  if (!c) return fail(err, OCTET_ERR_ARGUMENT, "c is NULL; pass a context.");
  if (!d) return fail(err, OCTET_ERR_ARGUMENT, "d is NULL; pass an octet_pool_desc.");
  if (!out) return fail(err, OCTET_ERR_ARGUMENT, "out is NULL; pass where the op goes.");
  const FpGuard guard;
  return create(*c, d, g, out, err);
}

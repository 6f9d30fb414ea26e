// SPDX-License-Identifier: Apache-2.0
//
// Raw GEMM: a linear layer whose weights are packed in the caller's workspace at each call.
#include "src/blob.h"
#include "src/fpenv.h"
#include "src/op.h"
#include "src/pack.h"

namespace octet {

namespace {

const float kOne = 1;
const octet_qparams kPlain = {1, 0, 0, 0, 0, 0, &kOne, nullptr, nullptr, nullptr};

struct GemmCall {
  WeightsSource b;
  View a, y;
  Linear linear;
  octet_qparams aq;
  BlobLayout layout;
};

// The workspace: packed b, column arrays, then the linear run's own.
struct GemmScratch {
  char* blob;
  char* columns;
  char* run;
  size_t bytes;

  GemmScratch(const GemmCall& g, void* base) {
    Carver carve(base);
    blob = carve.take<char>(g.layout.total);
    columns = carve.take<char>(columns_bytes(g.linear.w));
    run = carve.take<char>(linear_workspace(g.linear, g.a.dims[0]));
    bytes = carve.bytes();
  }
};

octet_status read_qparams_of_b(octet_error* err, WeightsSource* b) {
  b->q = b->source.q ? b->source.q : &kPlain;
  int32_t axis, qmin, qmax;
  OCTET_TRY(check_qparams(err, "b", b->q, b->source.type, 2, b->source.dims, &axis, &qmin, &qmax));
  if (axis == 1)
    return fail(err, OCTET_ERR_ARGUMENT, "b.q->axis is 1; b [N,K] has its channels on axis 0.");
  b->per_channel = axis == 0;
  return OCTET_OK;
}

octet_status read_bias(octet_error* err, const octet_tensor* bias, WeightsSource* b) {
  if (!bias) return OCTET_OK;
  OCTET_TRY(read_tensor(err, "bias", bias, type_bit(OCTET_F32) | type_bit(OCTET_S32), kAnyStrides,
                        &b->bias));
  OCTET_TRY(check_no_qparams(err, "bias", b->bias));
  if (b->bias.rank != 1 || b->bias.dims[0] != b->n)
    return fail(err, OCTET_ERR_ARGUMENT, "bias must be [%lld], one for each column of y.",
                static_cast<long long>(b->n));
  b->has_bias = true;
  return check_finite_bias(err, "bias", b->bias);
}

// Everything that can be refused. shapes_only: data is not looked at.
octet_status read_call(octet_error* err, const octet_context& c, const octet_gemm_desc* desc,
                       const octet_tensor* a, const octet_tensor* b, const octet_tensor* bias,
                       const octet_tensor* y, bool shapes_only, GemmCall* out) {
  octet_gemm_desc d = {};
  if (desc) OCTET_TRY(read_struct(err, "octet_gemm_desc", desc, sizeof d, &d));
  if (d.flags) return fail_flags(err, "octet_gemm_desc.flags", d.flags, "none");
  GemmCall g = {};
  const uint32_t shape = shapes_only ? kShapeOnly : 0u;
  OCTET_TRY(read_tensor(err, "a", a, kQ8Types, shape, &g.a));
  OCTET_TRY(read_tensor(err, "b", b, kQ8Types, shape | kAnyStrides, &g.b.source));
  OCTET_TRY(read_tensor(err, "y", y, kQ8Types | type_bit(OCTET_F32) | type_bit(OCTET_S32),
                        shape | kOutput, &g.y));
  if (g.a.rank != 2 || g.b.source.rank != 2 || g.y.rank != 2)
    return fail(err, OCTET_ERR_ARGUMENT,
                "a, b and y have the ranks %d, %d and %d; all three are matrices.", g.a.rank,
                g.b.source.rank, g.y.rank);
  g.b.n = g.b.source.dims[0];
  g.b.k = g.b.source.dims[1];
  if (g.a.dims[1] != g.b.k || g.y.dims[0] != g.a.dims[0] || g.y.dims[1] != g.b.n)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "a is [%lld, %lld], b [%lld, %lld] and y [%lld, %lld]; they must be [M,K], [N,K] and "
        "[M,N].",
        static_cast<long long>(g.a.dims[0]), static_cast<long long>(g.a.dims[1]),
        static_cast<long long>(g.b.n), static_cast<long long>(g.b.k),
        static_cast<long long>(g.y.dims[0]), static_cast<long long>(g.y.dims[1]));
  if (g.b.n > kMaxExtent || g.b.k > kMaxExtent)
    return fail(err, OCTET_ERR_ARGUMENT, "b is [%lld, %lld]; each extent must be below 2^31 - 64.",
                static_cast<long long>(g.b.n), static_cast<long long>(g.b.k));
  OCTET_TRY(read_qparams_of_b(err, &g.b));
  OCTET_TRY(read_bias(err, bias, &g.b));
  g.aq = g.a.q ? *g.a.q : kPlain;
  OCTET_TRY(check_call_qparams(err, "a", &g.aq, g.a.type, g.a.dims[0]));
  LinearSpec spec = {};
  spec.in.type = g.a.type;
  if (g.aq.count == 1) {
    spec.in.scale = g.aq.scale[0];
    spec.in.zero_point = g.aq.zero_point ? g.aq.zero_point[0] : 0;
  }
  spec.out.type = g.y.type;
  int32_t axis = -1, qmin = 0, qmax = 0;
  if (is_q8(g.y.type)) {
    OCTET_TRY(check_qparams(err, "y", g.y.q, g.y.type, 2, g.y.dims, &axis, &qmin, &qmax));
    if (g.y.q->count != 1 || g.y.q->flags)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "y.q has %lld scales and flags %u; y takes one scale and no flags.",
                  static_cast<long long>(g.y.q->count), g.y.q->flags);
    spec.out.scale = g.y.q->scale[0];
    spec.out.zero_point = g.y.q->zero_point ? g.y.q->zero_point[0] : 0;
  } else if (g.y.q) {
    return fail(err, OCTET_ERR_ARGUMENT, "y.q must be NULL where y is %s.", type_name(g.y.type));
  }
  spec.act = d.act;
  spec.lo = d.lo;
  spec.hi = d.hi;
  spec.numerics = d.numerics;
  spec.in_name = "a";
  spec.out_name = "y";
  spec.desc_name = "octet_gemm_desc";
  WeightsView w = g.b.shape_view();
  OCTET_TRY(prepare_linear(err, c, w, spec, &g.linear));
  if (is_q8(g.y.type)) {
    if (g.linear.lo < qmin) g.linear.lo = qmin;
    if (g.linear.hi > qmax) g.linear.hi = qmax;
  }
  g.layout = blob_layout(g.b.n, g.b.k);
  *out = g;
  return OCTET_OK;
}

__attribute__((noinline)) octet_status run(const octet_context& c, const octet_gemm_desc* desc,
                                           const octet_tensor* a, const octet_tensor* b,
                                           const octet_tensor* bias, const octet_tensor* y,
                                           const octet_exec* exec, octet_error* err) {
  GemmCall g;
  Exec e;
  OCTET_TRY(read_exec(err, exec, &e));
  OCTET_TRY(read_call(err, c, desc, a, b, bias, y, false, &g));
  OCTET_TRY(check_overlap(err, "y", g.y, "a", g.a, false));
  OCTET_TRY(check_overlap(err, "y", g.y, "b", g.b.source, false));
  if (g.b.has_bias) OCTET_TRY(check_overlap(err, "y", g.y, "bias", g.b.bias, false));
  const size_t need = GemmScratch(g, nullptr).bytes;
  OCTET_TRY(check_workspace(err, e, need, g.a, g.y));
  OCTET_TRY(check_workspace(err, e, need, g.b.source, g.y));
  if (g.b.has_bias) OCTET_TRY(check_workspace(err, e, need, g.b.bias, g.y));
  const GemmScratch s(g, e.e.workspace);
  OCTET_TRY(pack_blob(err, c, g.b, s.blob, e, false));
  g.linear.w = view_blob(s.blob);
  OCTET_TRY(check_exact(err, g.linear));  // again: now with the values of an S32 bias
  const Columns columns = columns_at(g.linear.w, s.columns);
  if (g.linear.input == Input::kStatic) {
    OCTET_TRY(fill_columns(err, g.linear, g.linear.in.scale, g.linear.in.zero_point, columns));
    g.linear.fixed = &columns;
  }
  g.a.q = &g.aq;
  return run_linear(err, c, g.linear, g.a, g.y, nullptr, e, s.run);
}

octet_status check_arguments(octet_error* err, const octet_context* c) {
  return c ? octet_status{OCTET_OK} : fail(err, OCTET_ERR_ARGUMENT, "c is NULL; pass a context.");
}

}  // namespace

}  // namespace octet

using namespace octet;

octet_status octet_gemm_workspace(const octet_context* c, const octet_gemm_desc* d,
                                  const octet_tensor* a, const octet_tensor* b,
                                  const octet_tensor* y, const octet_exec* e, size_t* bytes,
                                  octet_error* err) {
  OCTET_TRY(check_arguments(err, c));
  if (!bytes) return fail(err, OCTET_ERR_ARGUMENT, "bytes is NULL; pass where the size goes.");
  const FpGuard guard;
  GemmCall g;
  Exec exec;
  OCTET_TRY(read_exec(err, e, &exec));
  OCTET_TRY(read_call(err, *c, d, a, b, nullptr, y, true, &g));
  *bytes = GemmScratch(g, nullptr).bytes;
  return OCTET_OK;
}

octet_status octet_gemm(const octet_context* c, const octet_gemm_desc* d, const octet_tensor* a,
                        const octet_tensor* b, const octet_tensor* bias, const octet_tensor* y,
                        const octet_exec* e, octet_error* err) {
  OCTET_TRY(check_arguments(err, c));
  const FpGuard guard;
  return run(*c, d, a, b, bias, y, e, err);
}

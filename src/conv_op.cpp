// SPDX-License-Identifier: Apache-2.0
//
// octet_conv_create, and what the verbs of an op do for a convolution.
#include "src/conv_lanes.h"
#include "src/conv_padding.h"
#include "src/fpenv.h"
#include "src/op.h"

namespace octet {

namespace {

const char* rung_name(Rung r) {
  switch (r) {
    case Rung::kDepthwise:
      return "depthwise";
    case Rung::kPointwise:
      return "pointwise";
    case Rung::kGathered:
      return "gathered";
    case Rung::kDirect:
      return "direct";
    case Rung::kLanes:
      return "lanes";
  }
  return "";
}

// Output extents of a transposed convolution.
octet_status size_transposed(octet_error* err, int dim, int64_t in, bool empty, int64_t out_pad,
                             Axis* a) {
  a->in = in;
  a->out = 0;
  if (!in) return OCTET_OK;
  int64_t reach = 0;
  const bool wraps = __builtin_mul_overflow(in - 1, a->stride, &reach) || reach > kMaxExtent;
  const int64_t out = reach - a->pad_lo - a->pad_hi + a->dilation * (a->kernel - 1) + 1 + out_pad;
  if (wraps || out > kMaxExtent)
    return fail(err, OCTET_ERR_ARGUMENT,
                "The output would have 2^31 - 64 indices or more along dim %d; it must have fewer.",
                dim);
  if (out < 1 && empty) return OCTET_OK;
  if (out < 1)
    return fail(err, OCTET_ERR_ARGUMENT,
                "The output would have %lld indices along dim %d; pad less, or use a larger image.",
                static_cast<long long>(out), dim);
  a->out = out;
  return OCTET_OK;
}

int64_t out_dim(const octet_op& o, const ConvCall& call, int i) {
  return i == 0                 ? call.batch
         : i == call.x.rank - 1 ? o.conv->form().out_channels
                                : call.axes[kMaxSpatial - o.conv->rank + i - 1].out;
}

octet_status check_dims(octet_error* err, const octet_op& o, const char* name, const ConvCall& call,
                        const View& y) {
  if (y.rank != call.x.rank)
    return fail(err, OCTET_ERR_ARGUMENT, "%s.rank is %d; it must be that of in[0], %d.", name,
                y.rank, call.x.rank);
  for (int i = 0; i < y.rank; ++i)
    if (y.dims[i] != out_dim(o, call, i))
      return fail(err, OCTET_ERR_ARGUMENT, "%s.dims[%d] is %lld; it must be %lld.", name, i,
                  static_cast<long long>(y.dims[i]), static_cast<long long>(out_dim(o, call, i)));
  return OCTET_OK;
}

// Qparams that come with the call: one for all of in[0], or one for each sample.
octet_status check_call_scales(octet_error* err, const View& x) {
  if (x.q && x.q->count != 1 && x.q->count != x.dims[0])
    return fail(err, OCTET_ERR_ARGUMENT,
                "in[0].q->count is %lld; it must be 1 or the %lld samples.",
                static_cast<long long>(x.q->count), static_cast<long long>(x.dims[0]));
  return check_call_qparams(err, "in[0]", x.q, x.type, x.dims[0]);
}

octet_status read_x(octet_error* err, const octet_op& o, const octet_tensor* in, uint32_t options,
                    ConvCall* call) {
  const Conv& v = *o.conv;
  View& x = call->x;
  OCTET_TRY(read_tensor(err, "in[0]", in, type_bit(v.linear.in.type), options, &x));
  if (x.rank != v.rank + 2)
    return fail(err, OCTET_ERR_ARGUMENT,
                "in[0].rank is %d; this op takes [batch, spatial dims, channels], rank %d.", x.rank,
                v.rank + 2);
  if (x.inner() != v.form().in_channels)
    return fail(err, OCTET_ERR_ARGUMENT,
                "in[0] has %lld channels in its last dim; the weights have %lld.",
                static_cast<long long>(x.inner()), static_cast<long long>(v.form().in_channels));
  call->batch = x.dims[0];
  bool empty = !call->batch;
  for (int i = 0; i < v.rank; ++i) empty |= !x.dims[1 + i];
  for (int i = 0; i < kMaxSpatial; ++i) {
    const int dim = i - (kMaxSpatial - v.rank);
    Axis& a = call->axes[i];
    a = v.axes[i];
    if (dim < 0) continue;
    const int64_t extent = x.dims[1 + dim];
    OCTET_TRY(v.form().transposed ? size_transposed(err, dim, extent, empty, v.out_pad[i], &a)
                                  : size_axis(err, dim, extent, empty, false, &a));
  }
  if (options & kShapeOnly) return OCTET_OK;
  if (v.linear.input == Input::kCall) return check_call_scales(err, x);
  if (x.q)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "in[0].q is given, but this op has its input's qparams from create; leave it NULL.");
  return OCTET_OK;
}

octet_status read_inputs(octet_error* err, const octet_op& o, const octet_tensor* in, size_t n_in,
                         uint32_t options, ConvCall* call) {
  *call = ConvCall{};
  call->has_residual = o.conv->linear.residual.type != 0;
  const size_t want = call->has_residual ? 2 : 1;
  if (!in || n_in != want)
    return fail(err, OCTET_ERR_ARGUMENT, "in has %zu tensors; a convolution %s takes %zu.",
                in ? n_in : 0, call->has_residual ? "with a residual" : "without a residual", want);
  OCTET_TRY(read_x(err, o, in, options, call));
  if (!call->has_residual) return OCTET_OK;
  OCTET_TRY(
      read_tensor(err, "in[1]", in + 1, type_bit(o.conv->linear.residual.type), options, &call->r));
  if (call->r.q)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "in[1].q is given, but this op has its residual's qparams from create; leave it NULL.");
  return check_dims(err, o, "in[1]", *call, call->r);
}

octet_status check_out_count(octet_error* err, const octet_tensor* out, size_t n_out) {
  if (out && n_out == 1) return OCTET_OK;
  return fail(err, OCTET_ERR_ARGUMENT, "out has %zu tensors; a convolution gives 1.",
              out ? n_out : 0);
}

octet_status infer(octet_error* err, const octet_op& o, const octet_tensor* in, size_t n_in,
                   octet_tensor* out, size_t n_out) {
  ConvCall call;
  OCTET_TRY(read_inputs(err, o, in, n_in, kShapeOnly, &call));
  OCTET_TRY(check_out_count(err, out, n_out));
  out->type = o.conv->linear.out.type;
  out->rank = call.x.rank;
  for (int i = 0; i < 6; ++i) {
    out->dims[i] = i < call.x.rank ? out_dim(o, call, i) : 0;
    out->strides[i] = 0;
  }
  return OCTET_OK;
}

octet_status workspace(octet_error* err, const octet_op& o, const octet_tensor* in, size_t n_in,
                       const octet_exec* exec, size_t* bytes) {
  Exec e;
  ConvCall call;
  OCTET_TRY(read_exec(err, exec, &e));
  OCTET_TRY(read_inputs(err, o, in, n_in, kShapeOnly, &call));
  *bytes = conv_workspace(*o.context, *o.conv, call, e);
  return OCTET_OK;
}

octet_status run(octet_error* err, const octet_op& o, const octet_tensor* in, size_t n_in,
                 const octet_tensor* out, size_t n_out, const octet_exec* exec) {
  Exec e;
  ConvCall call;
  OCTET_TRY(read_exec(err, exec, &e));
  OCTET_TRY(read_inputs(err, o, in, n_in, 0, &call));
  OCTET_TRY(check_out_count(err, out, n_out));
  OCTET_TRY(read_tensor(err, "out[0]", out, type_bit(o.conv->linear.out.type), kOutput, &call.y));
  if (call.y.q)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "out[0].q is given, but this op has its output's qparams from create; leave it NULL.");
  OCTET_TRY(check_dims(err, o, "out[0]", call, call.y));
  OCTET_TRY(check_overlap(err, "out[0]", call.y, "in[0]", call.x, false));
  if (call.has_residual) OCTET_TRY(check_overlap(err, "out[0]", call.y, "in[1]", call.r, true));
  if (o.weights->shape_only)
    return fail(err, OCTET_ERR_UNSUPPORTED,
                "The weights were made with OCTET_SHAPE_ONLY: this op can be planned, not run.");
  const size_t need = conv_workspace(*o.context, *o.conv, call, e);
  OCTET_TRY(check_workspace(err, e, need, call.x, call.y));
  if (call.has_residual) OCTET_TRY(check_workspace(err, e, need, call.r, call.y));
  if (!call.y.count) return OCTET_OK;
  return run_conv(err, *o.context, *o.conv, call, e, e.e.workspace);
}

struct Planned {
  ConvCall call;
  ConvPlan conv;
  octet_plan plan;
};

octet_status plan_call(octet_error* err, const octet_op& o, const octet_tensor* in, size_t n_in,
                       const octet_exec* exec, Planned* out) {
  Exec e;
  ConvCall& call = out->call;
  OCTET_TRY(read_exec(err, exec, &e));
  OCTET_TRY(read_inputs(err, o, in, n_in, kShapeOnly, &call));
  const Conv& v = *o.conv;
  octet_plan& p = out->plan;
  p = {};
  p.workspace_bytes = conv_workspace(*o.context, v, call, e);
  p.state_bytes = sizeof o + o.block_bytes;
  p.weight_bytes = o.weights->bytes + o.weights->proved_bytes;
  p.threads = e.e.parallel_for ? e.e.max_threads : 1;
  p.kernel = p.isa = p.bound = "";
  p.why = "the output has no element";
  ConvPlan& planned = out->conv;
  planned = {{}, v.direct(), 0};
  if (call.empty() || !v.form().out_channels) return OCTET_OK;
  OCTET_TRY(plan_conv(err, *o.context, v, planned_pixels(v, call), e.e.plan, &planned));
  const Row& row = *planned.gemm.main;
  if (row.isa == kIsaScalar) p.flags |= OCTET_PLAN_REFERENCE;
  const bool gathers = !planned.direct && (v.direct() || v.rung == Rung::kGathered);
  const bool flips = v.rung == Rung::kDepthwise && !v.linear.dynamic();
  if (gathers || (v.linear.packs_a() && !flips)) p.flags |= OCTET_PLAN_PACKS_A;
  if (row.layout != kLayoutC16K4) p.flags |= OCTET_PLAN_REPACKED;
  p.kernel = row.name;
  p.isa = isa_name(row.isa);
  p.bound = "compute";
  p.why = e.e.plan ? "octet_exec.plan asks for it" : v.why;
  p.candidates = planned.candidates;
  p.mr = row.mr;
  p.nr = row.nr;
  p.kr = row.kr;
  p.mc = static_cast<int32_t>(planned.gemm.mc < INT32_MAX ? planned.gemm.mc : INT32_MAX);
  p.nc = static_cast<int32_t>(planned.gemm.nc);
  p.kc = static_cast<int32_t>(v.lane                          ? v.form().kernel_taps() * v.lane
                              : !planned.direct && v.joined_k ? v.joined_k
                                                              : v.form().panel_k(0));
  return OCTET_OK;
}

octet_status plan(octet_error* err, const octet_op& o, const octet_tensor* in, size_t n_in,
                  const octet_exec* exec, octet_plan* out) {
  Planned planned;
  OCTET_TRY(plan_call(err, o, in, n_in, exec, &planned));
  *out = planned.plan;
  return OCTET_OK;
}

octet_status describe(octet_error* err, const octet_op& o, const octet_tensor* in, size_t n_in,
                      const octet_exec* exec, char* json, size_t cap, size_t* need) {
  Planned planned;
  OCTET_TRY(plan_call(err, o, in, n_in, exec, &planned));
  const ConvCall& call = planned.call;
  const octet_plan& p = planned.plan;
  const Conv& v = *o.conv;
  const ConvForm& f = v.form();
  const Rung rung = v.lane                    ? v.rung
                    : planned.conv.direct     ? Rung::kDirect
                    : v.rung == Rung::kDirect ? Rung::kGathered
                                              : v.rung;
  // Of other layers it depends on the zero point that the call brings.
  const bool omits = planned.conv.direct && v.linear.input == Input::kStatic && !call.empty() &&
                     omits_rows(v, call.axes);
  return write_text(err, json, cap, need, [&](Text& t) {
    t.add("{\"op\":\"conv\",\"in\":\"%s\",\"out\":\"%s\",\"residual\":\"%s\",\"rung\":\"%s\",",
          type_name(v.linear.in.type), type_name(v.linear.out.type),
          v.linear.residual.type ? type_name(v.linear.residual.type) : "", rung_name(rung));
    t.add("\"groups\":%d,\"units\":%lld,\"phases\":%lld,\"transposed\":%s,\"k\":%lld,", f.groups,
          static_cast<long long>(f.units), static_cast<long long>(f.phases()),
          f.transposed ? "true" : "false", static_cast<long long>(f.logical_k()));
    t.add("\"out_dims\":[");
    for (int i = 0; i < call.x.rank; ++i)
      t.add("%s%lld", i ? "," : "", static_cast<long long>(out_dim(o, call, i)));
    t.add(
        "],\"kernel\":\"%s\",\"isa\":\"%s\",\"mr\":%d,\"nr\":%d,\"kr\":%d,\"mc\":%d,\"nc\":%d,"
        "\"kc\":%d,\"threads\":%d,\"reference\":%s,\"packs_a\":%s,\"repacked\":%s,",
        p.kernel, p.isa, p.mr, p.nr, p.kr, p.mc, p.nc, p.kc, p.threads,
        p.flags & OCTET_PLAN_REFERENCE ? "true" : "false",
        p.flags & OCTET_PLAN_PACKS_A ? "true" : "false",
        p.flags & OCTET_PLAN_REPACKED ? "true" : "false");
    t.add(
        "\"omits_padding\":%s,\"workspace_bytes\":%zu,\"state_bytes\":%zu,\"weight_bytes\":%zu,"
        "\"bound\":\"%s\",\"why\":\"%s\",\"candidates\":%d}",
        omits ? "true" : "false", p.workspace_bytes, p.state_bytes, p.weight_bytes, p.bound, p.why,
        p.candidates);
  });
}

constexpr OpKind kConvKind = {infer, workspace, run, plan, describe};

octet_status check_weight_scales(octet_error* err, const WeightsView& w) {
  for (int64_t n = 0; n < w.conv.slots(); ++n)
    OCTET_TRY(check_scale(err, "The weights' scale", n, w.scale[n]));
  return OCTET_OK;
}

// What a layer keeps beside itself, each part at a multiple of 64 bytes.
struct Kept {
  char* columns;    // kStatic
  char* depthwise;  // its own copy of the weights
  char* omits;
  int8_t* lanes;
  int8_t* joined;
  size_t bytes;

  Kept(const Conv& v, void* base) {
    Carver carve(base);
    const bool whole = v.w.panels;
    columns =
        carve.take<char>(whole && v.linear.input == Input::kStatic ? conv_columns_bytes(v.w) : 0);
    depthwise = carve.take<char>(whole ? v.depthwise_bytes : 0);
    omits = carve.take<char>(whole ? omits_bytes(v) : 0);
    lanes = carve.take<int8_t>(whole ? lanes_bytes(v) : 0);
    joined = carve.take<int8_t>(whole ? joined_bytes(v) : 0);
    bytes = carve.bytes();
  }
};

octet_status fill_kept(octet_error* err, const Kept& kept, Conv* v) {
  if (!v->w.panels) return OCTET_OK;
  if (v->rung == Rung::kDepthwise) fill_depthwise(v->w, kept.depthwise, &v->depthwise);
  if (v->lane) fill_lanes(*v, kept.lanes);
  v->lanes = kept.lanes;
  if (v->joined_k) fill_joined(*v, kept.joined);
  v->joined = kept.joined;
  if (v->linear.input != Input::kStatic) return OCTET_OK;
  v->columns = conv_columns_at(v->w, kept.columns);
  OCTET_TRY(fill_conv_columns(err, *v, v->linear.in.scale, v->linear.in.zero_point, v->columns));
  v->linear.fixed = &v->columns;
  if (omits_bytes(*v)) {
    int32_t* sums = reinterpret_cast<int32_t*>(kept.omits);
    fill_omits(*v, sums);
    v->omits.ibias = sums;
  }
  if (v->rung != Rung::kPointwise) return OCTET_OK;
  v->finish = fixed_finish(v->linear);
  v->linear.fixed_finish = &v->finish;
  return OCTET_OK;
}

// The layer in a block with all that it keeps; *block is its own, whatever the answer.
octet_status make_conv(octet_error* err, const octet_context& c, const octet_linear_desc& d,
                       const octet_geometry* g, void** block, size_t* bytes) {
  Conv v = {};
  OCTET_TRY(prepare_conv(err, c, d, g, &v));
  v.omits = find_omits(v);
  if (!d.weights->shape_only) OCTET_TRY(check_weight_scales(err, v.w));
  *bytes = sizeof v + Kept(v, nullptr).bytes;
  *block = allocate(c, *bytes);
  if (!*block) return fail_memory(err, *bytes);
  Conv* kept = new (*block) Conv(v);
  return fill_kept(err, Kept(*kept, kept + 1), kept);
}

[[gnu::noinline]] octet_status create(const octet_context& c, const octet_linear_desc& d,
                                      const octet_geometry* g, octet_op** out, octet_error* err) {
  void* block = nullptr;
  size_t bytes = 0;
  const octet_status status = make_conv(err, c, d, g, &block, &bytes);
  octet_op* o = status ? nullptr : make_handle<octet_op>(c);
  if (!o) {
    release(c, block, bytes);
    return status ? status : fail_memory(err, sizeof *o);
  }
  retain(&c);
  retain(d.weights);
  o->context = &c;
  o->weights = d.weights;
  o->kind = &kConvKind;
  o->conv = static_cast<Conv*>(block);
  o->block = block;
  o->block_bytes = bytes;
  *out = o;
  return OCTET_OK;
}

}  // namespace

}  // namespace octet

octet_status octet_conv_create(const octet_context* c, const octet_linear_desc* desc,
                               const octet_geometry* g, octet_op** out, octet_error* err) {
  using namespace octet;
  if (!c) return fail(err, OCTET_ERR_ARGUMENT, "c is NULL; pass a context.");
  if (!desc) return fail(err, OCTET_ERR_ARGUMENT, "d is NULL; pass an octet_linear_desc.");
  if (!out) return fail(err, OCTET_ERR_ARGUMENT, "out is NULL; pass where the op goes.");
  octet_linear_desc d;
  OCTET_TRY(read_linear_desc(err, desc, &d));
  const FpGuard guard;
  return create(*c, d, g, out, err);
}

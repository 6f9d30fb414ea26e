// SPDX-License-Identifier: Apache-2.0
//
// octet_linear_create and the verbs that serve every layer: infer, workspace, run, plan, describe.
#include "src/op.h"

#include "src/fpenv.h"
#include "src/plain.h"

namespace octet {

octet_status check_workspace(octet_error* err, const Exec& exec, size_t need, const View& x,
                             const View& y) {
  if (!need) return OCTET_OK;
  if (exec.e.workspace_bytes < need)
    return fail_too_small(err, "octet_exec.workspace", exec.e.workspace_bytes, need);
  if (!exec.e.workspace)
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_exec.workspace is NULL, but workspace_bytes is %zu.",
                exec.e.workspace_bytes);
  View w = {};
  w.data = static_cast<char*>(exec.e.workspace);
  w.rank = 1;
  w.item = 1;
  w.strides[0] = 1;
  w.dims[0] = w.count = static_cast<int64_t>(need);
  OCTET_TRY(check_overlap(err, "octet_exec.workspace", w, "the input", x, false));
  return check_overlap(err, "octet_exec.workspace", w, "the output", y, false);
}

octet_status read_linear_desc(octet_error* err, const octet_linear_desc* desc,
                              octet_linear_desc* out) {
  OCTET_TRY(read_struct(err, "octet_linear_desc", desc, sizeof *out, out));
  const octet_linear_desc& d = *out;
  const uint32_t unknown = d.flags & ~uint32_t{OCTET_RESIDUAL};
  if (unknown) return fail_flags(err, "octet_linear_desc.flags", unknown, "OCTET_RESIDUAL");
  if (!d.weights)
    return fail(err, OCTET_ERR_ARGUMENT, "octet_linear_desc.weights is NULL; pass packed weights.");
  const bool residual = d.residual.type || d.residual.scale != 0 || d.residual.zero_point;
  if (residual && !(d.flags & OCTET_RESIDUAL))
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "octet_linear_desc.residual is set, but flags lack OCTET_RESIDUAL; set it, or leave "
        "the residual all 0.");
  if (!d.residual.type && (d.flags & OCTET_RESIDUAL))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_linear_desc.flags has OCTET_RESIDUAL, but residual.type is 0; give the type "
                "of in[1].");
  if (d.expect || d.expects)
    return fail(err, OCTET_ERR_UNSUPPORTED,
                "octet_linear_desc.expect must be NULL and expects 0 in this release.");
  for (int i = 0; i < 3; ++i)
    if (d.reserved[i])
      return fail(err, OCTET_ERR_ARGUMENT, "octet_linear_desc.reserved[%d] is %d; it must be 0.", i,
                  d.reserved[i]);
  return OCTET_OK;
}

namespace {

int64_t row_count(const View& x) {
  int64_t rows = 1;
  for (int i = 0; i + 1 < x.rank; ++i) rows *= x.dims[i];
  return rows;
}

// y: [..., N], the leading dims those of x.
octet_status check_output_dims(octet_error* err, const octet_op& o, const char* name, const View& x,
                               const View& y) {
  if (y.rank != x.rank)
    return fail(err, OCTET_ERR_ARGUMENT, "%s.rank is %d; it must be that of in[0], %d.", name,
                y.rank, x.rank);
  for (int i = 0; i < x.rank; ++i) {
    const int64_t want = i + 1 < x.rank ? x.dims[i] : o.linear.w.n;
    if (y.dims[i] != want)
      return fail(err, OCTET_ERR_ARGUMENT, "%s.dims[%d] is %lld; it must be %lld.", name, i,
                  static_cast<long long>(y.dims[i]), static_cast<long long>(want));
  }
  return OCTET_OK;
}

// in[0] of a linear op; with kShapeOnly its data and qparams are not looked at.
octet_status read_x(octet_error* err, const octet_op& o, const octet_tensor* in, uint32_t options,
                    View* x) {
  OCTET_TRY(read_tensor(err, "in[0]", in, type_bit(o.linear.in.type), options, x));
  if (x->rank < 1 || x->inner() != o.linear.w.k)
    return fail(err, OCTET_ERR_ARGUMENT,
                "in[0] has %lld elements in its last dim; the weights have K = %lld.",
                static_cast<long long>(x->rank ? x->inner() : 0),
                static_cast<long long>(o.linear.w.k));
  if (options & kShapeOnly) return OCTET_OK;
  if (o.linear.input == Input::kCall)
    return check_call_qparams(err, "in[0]", x->q, x->type, row_count(*x));
  if (x->q)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "in[0].q is given, but this op has its input's qparams from create; leave it NULL.");
  return OCTET_OK;
}

// in[1]: [..., N] beside x.
octet_status read_residual(octet_error* err, const octet_op& o, const octet_tensor* in,
                           uint32_t options, const View& x, View* r) {
  OCTET_TRY(read_tensor(err, "in[1]", in, type_bit(o.linear.residual.type), options, r));
  if (r->q)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "in[1].q is given, but this op has its residual's qparams from create; leave it NULL.");
  return check_output_dims(err, o, "in[1]", x, *r);
}

// The inputs of a linear op. *r is the residual, where the op has one.
octet_status read_inputs(octet_error* err, const octet_op& o, const octet_tensor* in, size_t n_in,
                         uint32_t options, View* x, View* r) {
  const bool residual = o.linear.residual.type != 0;
  const size_t want = residual ? 2 : 1;
  if (!in || n_in != want)
    return fail(err, OCTET_ERR_ARGUMENT, "in has %zu tensors; a linear op %s takes %zu.",
                in ? n_in : 0, residual ? "with a residual" : "without a residual", want);
  OCTET_TRY(read_x(err, o, in, options, x));
  return residual ? read_residual(err, o, in + 1, options, *x, r) : octet_status{OCTET_OK};
}

octet_status read_output(octet_error* err, const octet_op& o, const octet_tensor* out, size_t n_out,
                         const View& x, const View* r, View* y) {
  if (!out || n_out != 1)
    return fail(err, OCTET_ERR_ARGUMENT, "out has %zu tensors; a linear op gives 1.",
                out ? n_out : 0);
  OCTET_TRY(read_tensor(err, "out[0]", out, type_bit(o.linear.out.type), kOutput, y));
  if (y->q)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "out[0].q is given, but this op has its output's qparams from create; leave it NULL.");
  OCTET_TRY(check_output_dims(err, o, "out[0]", x, *y));
  OCTET_TRY(check_overlap(err, "out[0]", *y, "in[0]", x, false));
  return r ? check_overlap(err, "out[0]", *y, "in[1]", *r, true) : octet_status{OCTET_OK};
}

// Opened bytes may hold anything.
octet_status check_weight_scales(octet_error* err, const WeightsView& w) {
  const int64_t each = w.form.group ? w.groups() : 1;
  for (int64_t n = 0; n < w.n; ++n)
    for (int64_t g = 0; g < each; ++g) {
      const float scale = w.form.group ? w.group_scale(n, g) : w.scale[n];
      OCTET_TRY(check_scale(err, "The weights' scale", n * each + g, scale));
    }
  return OCTET_OK;
}

__attribute__((noinline)) octet_status create(const octet_context* c, const octet_linear_desc& d,
                                              octet_op** out, octet_error* err) {
  const octet_weights& w = *d.weights;
  Linear l;
  OCTET_TRY(prepare_linear(err, *c, w.view, linear_spec(d, false), &l));
  if (!w.shape_only) OCTET_TRY(check_weight_scales(err, w.view));
  const bool fixed = l.input == Input::kStatic && !w.shape_only && !w.view.form.group;
  const bool copied = l.holds_columns && !w.shape_only && reads_columns(l.table);
  const size_t arrays = fixed ? columns_bytes(w.view) : 0;
  const size_t bytes = arrays + (copied ? column_bytes(w.view.n, w.view.k) : 0);
  void* block = nullptr;
  if (bytes) {
    block = allocate(*c, bytes);
    if (!block) return fail_memory(err, bytes);
  }
  if (copied) {
    int8_t* copy = static_cast<int8_t*>(block) + arrays;
    write_columns(w.view.panels, w.view.n, w.view.k, copy);
    l.columns = copy;
  }
  if (fixed) {
    if (const octet_status status =
            fill_columns(err, l, l.in.scale, l.in.zero_point, columns_at(w.view, block))) {
      release(*c, block, bytes);
      return status;
    }
  }
  octet_op* o = make_handle<octet_op>(*c);
  if (!o) {
    release(*c, block, bytes);
    return fail_memory(err, sizeof *o);
  }
  retain(c);
  retain(&w);
  o->context = c;
  o->weights = &w;
  o->linear = l;
  o->block = block;
  o->block_bytes = bytes;
  if (fixed) {
    o->columns = columns_at(w.view, block);
    o->linear.fixed = &o->columns;
    o->finish = fixed_finish(o->linear);
    o->linear.fixed_finish = &o->finish;
  }
  plan_small_calls(*c, &o->linear.table);
  o->may_be_plain = may_be_plain(*o);
  *out = o;
  return OCTET_OK;
}

__attribute__((noinline)) octet_status run(const octet_op& o, const octet_tensor* in, size_t n_in,
                                           const octet_tensor* out, size_t n_out,
                                           const octet_exec* exec, octet_error* err) {
  View x, y, residual;
  Exec e;
  OCTET_TRY(read_exec(err, exec, &e));
  OCTET_TRY(read_inputs(err, o, in, n_in, 0, &x, &residual));
  const View* const r = o.linear.residual.type ? &residual : nullptr;
  OCTET_TRY(read_output(err, o, out, n_out, x, r, &y));
  if (o.weights->shape_only)
    return fail(err, OCTET_ERR_UNSUPPORTED,
                "The weights were made with OCTET_SHAPE_ONLY: this op can be planned, not run.");
  const size_t need = linear_workspace(o.linear, row_count(x));
  OCTET_TRY(check_workspace(err, e, need, x, y));
  if (r) OCTET_TRY(check_workspace(err, e, need, *r, y));
  return run_linear(err, *o.context, o.linear, x, y, r, e, e.e.workspace);
}

struct Shape {
  int64_t m, n, k;
};

// What the cost model sees as the limit: cycles of the dots at the pace of the best tile, cycles to
// read the weights from the cache that holds them, and what each tile costs besides.
const char* bound_of(const octet_context& c, const GemmTable& t, const GemmPlan& plan,
                     const Shape& s) {
  const double n = static_cast<double>(s.n), k = static_cast<double>(s.k),
               products = static_cast<double>(s.m) * n * k;
  double pace = 0;  // products in a cycle
  for (int32_t i = 0; i < t.count; ++i) {
    const Row& r = *t.rows[i];
    const double of_row = 4.0 * r.mr * r.nr / static_cast<double>(r.cycles_k4);
    if (of_row > pace) pace = of_row;
  }
  const Row& r = *plan.main;
  const double tiles = static_cast<double>((s.m + r.mr - 1) / r.mr * ((s.n + r.nr - 1) / r.nr));
  const double dots = products / pace, fixed = tiles * static_cast<double>(r.cycles_fixed);
  // Bytes in a cycle that one core reads from L2, L3 and memory, about.
  const bool in_l2 = n * k * 2 <= static_cast<double>(c.cpu.l2),
             in_l3 = n * k * 2 <= static_cast<double>(c.cpu.l3);
  const double weights = n * k / (in_l2 ? 32 : in_l3 ? 8 : 4);
  if (dots + fixed < 200) return "call overhead";
  if (weights > dots && weights > fixed) return "bandwidth of the weights";
  return fixed > dots ? "epilogue" : "compute";
}

struct Planned {
  octet_plan plan;
  GemmPlan gemm;
  Shape shape;
};

octet_status plan_call(octet_error* err, const octet_op& o, const octet_tensor* in, size_t n_in,
                       const octet_exec* exec, Planned* out) {
  View x, residual;
  Exec e;
  OCTET_TRY(read_exec(err, exec, &e));
  OCTET_TRY(read_inputs(err, o, in, n_in, kShapeOnly, &x, &residual));
  const Linear& l = o.linear;
  const octet_context& c = *o.context;
  Planned p = {};
  p.shape = {row_count(x), l.w.n, l.w.k};
  octet_plan& r = p.plan;
  r.workspace_bytes = linear_workspace(l, p.shape.m);
  r.state_bytes = sizeof(octet_op) + o.block_bytes;
  r.weight_bytes = o.weights->bytes + o.weights->proved_bytes;
  r.threads = e.e.parallel_for ? e.e.max_threads : 1;
  r.kernel = r.isa = r.bound = r.why = "";
  if (!p.shape.m || !p.shape.n) {
    r.why = "the output has no element";
    *out = p;
    return OCTET_OK;
  }
  OCTET_TRY(select_gemm(err, c, l.table, p.shape.m, e.e.max_threads, e.e.plan, &p.gemm));
  const Row& row = *p.gemm.main;
  if (row.isa == kIsaScalar) r.flags |= OCTET_PLAN_REFERENCE;
  if (l.packs_a()) r.flags |= OCTET_PLAN_PACKS_A;
  if (row.layout != kLayoutC16K4) r.flags |= OCTET_PLAN_REPACKED;
  r.kernel = row.name;
  r.isa = isa_name(row.isa);
  r.bound = bound_of(c, l.table, p.gemm, p.shape);
  r.candidates = count_candidates(l.table, p.shape.m);
  r.why = e.e.plan                ? "octet_exec.plan asks for it"
          : l.table.forced        ? "forced by the context"
          : r.candidates == 1     ? "the only candidate"
          : row.isa == kIsaScalar ? "reference code, as allowed"
                                  : "fewest modelled cycles";
  r.mr = row.mr;
  r.nr = row.nr;
  r.kr = row.kr;
  const int64_t rows = rows_at_a_time(c, l, p.shape.m, e.e.max_threads, p.gemm);
  r.mc = static_cast<int32_t>(p.gemm.mc < rows ? p.gemm.mc : rows);
  r.nc = static_cast<int32_t>(p.gemm.nc);
  r.kc = static_cast<int32_t>(l.w.k);
  *out = p;
  return OCTET_OK;
}

octet_status check_op(octet_error* err, const octet_op* o) {
  return o ? octet_status{OCTET_OK} : fail(err, OCTET_ERR_ARGUMENT, "o is NULL; pass an op.");
}

const char* input_name(Input i) {
  switch (i) {
    case Input::kStatic:
      return "static";
    case Input::kCall:
      return "static, qparams with each call";
    case Input::kDynamicRow:
      return "dynamic, per row";
    case Input::kDynamicTensor:
      return "dynamic, per tensor";
  }
  return "";
}

}  // namespace

}  // namespace octet

using namespace octet;

octet_status octet_linear_create(const octet_context* c, const octet_linear_desc* desc,
                                 octet_op** out, octet_error* err) {
  if (!c) return fail(err, OCTET_ERR_ARGUMENT, "c is NULL; pass a context.");
  if (!desc) return fail(err, OCTET_ERR_ARGUMENT, "d is NULL; pass an octet_linear_desc.");
  if (!out) return fail(err, OCTET_ERR_ARGUMENT, "out is NULL; pass where the op goes.");
  octet_linear_desc d;
  OCTET_TRY(read_linear_desc(err, desc, &d));
  if (d.lut)
    return fail(err, OCTET_ERR_UNSUPPORTED,
                "octet_linear_desc.lut must be NULL: tables are not in this release.");
  if (d.weights->view.conv.rank)
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_linear_desc.weights are those of a convolution; use octet_conv_create, or "
                "pack a matrix [N,K].");
  const FpGuard guard;
  return create(c, d, out, err);
}

octet_status octet_op_infer(const octet_op* o, const octet_tensor* in, size_t n_in,
                            octet_tensor* out, size_t n_out, octet_error* err) {
  OCTET_TRY(check_op(err, o));
  if (o->kind) return o->kind->infer(err, *o, in, n_in, out, n_out);
  View x, residual;
  OCTET_TRY(read_inputs(err, *o, in, n_in, kShapeOnly, &x, &residual));
  if (!out || n_out != 1)
    return fail(err, OCTET_ERR_ARGUMENT, "out has %zu tensors; a linear op gives 1.",
                out ? n_out : 0);
  out->type = o->linear.out.type;
  out->rank = x.rank;
  for (int i = 0; i < 6; ++i) {
    out->dims[i] = i + 1 < x.rank ? x.dims[i] : i + 1 == x.rank ? o->linear.w.n : 0;
    out->strides[i] = 0;
  }
  return OCTET_OK;
}

octet_status octet_op_workspace(const octet_op* o, const octet_tensor* in, size_t n_in,
                                const octet_exec* e, size_t* bytes, octet_error* err) {
  OCTET_TRY(check_op(err, o));
  if (!bytes) return fail(err, OCTET_ERR_ARGUMENT, "bytes is NULL; pass where the size goes.");
  if (o->kind) return o->kind->workspace(err, *o, in, n_in, e, bytes);
  View x, residual;
  Exec exec;
  OCTET_TRY(read_exec(err, e, &exec));
  OCTET_TRY(read_inputs(err, *o, in, n_in, kShapeOnly, &x, &residual));
  *bytes = linear_workspace(o->linear, row_count(x));
  return OCTET_OK;
}

octet_status octet_op_run(const octet_op* o, const octet_tensor* in, size_t n_in,
                          const octet_tensor* out, size_t n_out, const octet_exec* e,
                          octet_error* err) {
  OCTET_TRY(check_op(err, o));
  const FpGuard guard;
  LinearCall call;
  if (read_plain(*o, in, n_in, out, n_out, e, &call)) {
    if (!is_small(o->linear, call.rows))
      return run_linear(err, *o->context, o->linear, call, kSerial, e ? e->workspace : nullptr);
    run_small(o->linear, call.x, call.pitch_x, call.y, call.pitch_y, call.rows);
    return OCTET_OK;
  }
  if (o->kind) return o->kind->run(err, *o, in, n_in, out, n_out, e);
  return run(*o, in, n_in, out, n_out, e, err);
}

octet_status octet_op_plan(const octet_op* o, const octet_tensor* in, size_t n_in,
                           const octet_exec* e, octet_plan* p, octet_error* err) {
  OCTET_TRY(check_op(err, o));
  if (!p) return fail(err, OCTET_ERR_ARGUMENT, "p is NULL; pass an octet_plan.");
  octet_plan given;
  OCTET_TRY(read_struct(err, "octet_plan", p, sizeof given, &given));
  const FpGuard guard;
  octet_plan filled;
  if (o->kind) {
    OCTET_TRY(o->kind->plan(err, *o, in, n_in, e, &filled));
  } else {
    Planned planned;
    OCTET_TRY(plan_call(err, *o, in, n_in, e, &planned));
    filled = planned.plan;
  }
  filled.struct_size = p->struct_size;
  memcpy(p, &filled, sizeof filled);
  return OCTET_OK;
}

octet_status octet_op_describe(const octet_op* o, const octet_tensor* in, size_t n_in,
                               const octet_exec* e, char* json, size_t cap, size_t* need,
                               octet_error* err) {
  OCTET_TRY(check_op(err, o));
  const FpGuard guard;
  if (o->kind) return o->kind->describe(err, *o, in, n_in, e, json, cap, need);
  Planned planned;
  OCTET_TRY(plan_call(err, *o, in, n_in, e, &planned));
  const octet_plan& p = planned.plan;
  const Linear& l = o->linear;
  GemmPlan modelled = {};  // plans of small calls are kept without their cycles
  if (planned.gemm.main)
    replan_gemm(*o->context, l.table, planned.shape.m, 1, planned.gemm.main, &modelled);
  return write_text(err, json, cap, need, [&](Text& t) {
    t.add(
        "{\"op\":\"linear\",\"input\":\"%s\",\"in\":\"%s\",\"weights\":\"%s\",\"group\":%lld,"
        "\"residual\":\"%s\","
        "\"numerics\":\"%s\","
        "\"out\":\"%s\",\"m\":"
        "%lld,\"n\":%lld,"
        "\"k\":%lld,\"kernel\":\"%s\",\"isa\":\"%s\",\"mr\":%d,\"nr\":%d,\"kr\":%d,\"mc\":%d,"
        "\"nc\":%d,\"kc\":%d,\"threads\":%d,\"reference\":%s,\"packs_a\":%s,",
        input_name(l.input), type_name(l.in.type), type_name(l.w.form.type),
        static_cast<long long>(l.w.form.group), l.residual.type ? type_name(l.residual.type) : "",
        numerics_name(l.numerics), type_name(l.out.type), static_cast<long long>(planned.shape.m),
        static_cast<long long>(l.w.n), static_cast<long long>(l.w.k), p.kernel, p.isa, p.mr, p.nr,
        p.kr, p.mc, p.nc, p.kc, p.threads, p.flags & OCTET_PLAN_REFERENCE ? "true" : "false",
        p.flags & OCTET_PLAN_PACKS_A ? "true" : "false");
    t.add(
        "\"repacked\":%s,\"workspace_bytes\":%zu,\"state_bytes\":%zu,\"weight_bytes\":%zu,"
        "\"bound\":\"%s\",\"why\":\"%s\",\"candidates\":%d,\"modelled_cycles\":%lld,"
        "\"kernels\":[",
        p.flags & OCTET_PLAN_REPACKED ? "true" : "false", p.workspace_bytes, p.state_bytes,
        p.weight_bytes, p.bound, p.why, p.candidates, static_cast<long long>(modelled.cycles));
    bool first = true;
    for (int w = kMaxPanels; w >= 0; --w) {
      const Row *full = planned.gemm.full[w], *edge = planned.gemm.edge[w];
      if (!full) continue;
      t.add("%s\"%s\"", first ? "" : ",", full->name);
      first = false;
      if (edge != full && planned.shape.m % full->mr) t.add(",\"%s\"", edge->name);
    }
    t.put("]}");
  });
}

void octet_op_destroy(octet_op* o) {
  if (!o || o->refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  octet_context* c = const_cast<octet_context*>(o->context);
  octet_weights* w = const_cast<octet_weights*>(o->weights);
  release(*c, o->block, o->block_bytes);
  o->~octet_op();
  release(*c, o, sizeof *o);
  octet_weights_destroy(w);
  octet_context_destroy(c);
}

// SPDX-License-Identifier: Apache-2.0
//
// What is decided when a convolution is created: types, bounds and kernels as for a linear layer,
// the rung of the ladder, column arrays.
#include "src/conv.h"

#include "src/conv_lanes.h"

namespace octet {

namespace {

constexpr int64_t kMostJoined = 32;  // bytes of a row of the kernel

int64_t gcd(int64_t a, int64_t b) {
  while (b) {
    const int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

// g is legal and says what the weights say.
octet_status read_conv_geometry(octet_error* err, const ConvForm& f, const octet_geometry* g,
                                Conv* v) {
  octet_geometry given;
  if (!g) return fail(err, OCTET_ERR_ARGUMENT, "g is NULL; pass an octet_geometry.");
  OCTET_TRY(read_struct(err, "octet_geometry", g, sizeof given, &given));
  const auto unlike = [&](const char* field, int64_t is, int64_t must) {
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_geometry.%s is %lld, but the weights were packed for %lld; give octet_conv_"
                "create the geometry of the weights.",
                field, static_cast<long long>(is), static_cast<long long>(must));
  };
  if (given.rank >= 1 && given.rank <= kMaxSpatial && given.rank != f.rank)
    return unlike("rank", given.rank, f.rank);
  const int first = kMaxSpatial - f.rank;
  int32_t kernel[kMaxSpatial] = {};
  for (int i = 0; i < f.rank; ++i) kernel[i] = f.kernel[first + i];
  OCTET_TRY(read_geometry(err, g, OCTET_TRANSPOSED, kernel, &given, v->axes));
  if (given.groups != f.groups) return unlike("groups", given.groups, f.groups);
  if (static_cast<bool>(given.flags & OCTET_TRANSPOSED) != f.transposed)
    return unlike("flags", given.flags, f.transposed ? OCTET_TRANSPOSED : 0);
  char field[16];
  const auto indexed = [&](const char* name, int i) {
    Text text(field, sizeof field);
    text.add("%s[%d]", name, i);
    text.finish();
    return field;
  };
  v->rank = f.rank;
  for (int i = 0; i < f.rank; ++i) {
    v->out_pad[first + i] = given.out_pad[i];
    if (!f.transposed) continue;
    if (given.stride[i] != f.stride[first + i])
      return unlike(indexed("stride", i), given.stride[i], f.stride[first + i]);
    if (given.dilation[i] != f.dilation[first + i])
      return unlike(indexed("dilation", i), given.dilation[i], f.dilation[first + i]);
  }
  return OCTET_OK;
}

octet_status read_table(octet_error* err, const octet_context& c, const octet_linear_desc& d,
                        Conv* v) {
  if (!d.lut) return OCTET_OK;
  if (!is_q8(d.out.type))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_linear_desc.lut is given, but out.type is %s; a table is indexed by the "
                "bytes of U8 or S8 output: leave it NULL.",
                type_name(d.out.type));
  v->has_lut = true;
  memcpy(v->lut, d.lut, sizeof v->lut);
  v->lookup = kernel<LookupFn>(c, kLut, kOutQ8, kOutQ8);
  return OCTET_OK;
}

bool is_pointwise(const Conv& v) {
  const ConvForm& f = v.form();
  if (f.units != 1 || f.transposed || f.kernel_taps() != 1) return false;
  // The private layout has K rounded up to 4, which the pixels do not hold.
  if (v.w.proved && f.in_channels % 4) return false;
  for (const Axis& a : v.axes) {
    if (a.pad_lo || a.pad_hi) return false;
    // The scale of a dynamic layer is that of all of the image, not of the pixels that count.
    if (v.linear.dynamic() && a.stride != 1) return false;
  }
  return true;
}

// The matrix that the weights of a pointwise convolution are.
WeightsView pointwise_view(const WeightsView& w) {
  WeightsView m = unit_view(w, 0, 0);
  m.k = w.conv.in_channels;
  return m;
}

// Tiles can read the image in place: they take canonical panels, channels that end a group of 4 or
// are bytes, or whole rows of the kernel, and no sums of windows are needed.
bool may_be_direct(const Conv& v) {
  const ConvForm& f = v.form();
  if (v.w.has_zero || f.depthwise) return false;
  if (v.ragged()) return f.row_runs() && v.linear.form != OCTET_S16;
  // Bytes may end anywhere: a unit's last ones are followed by the next unit's.
  const bool bytes = v.linear.form == OCTET_U8 || v.linear.form == OCTET_S8;
  return f.in_channels > 0 &&
         ((f.units > 1 && bytes) || (f.unit_in(0) % 4 == 0 && f.unit_in(f.units - 1) % 4 == 0));
}

// K of the rows of the kernel one behind the other, where that and short copies pay.
int64_t joined_k(const Conv& v) {
  const ConvForm& f = v.form();
  if (!v.ragged() || !f.row_runs() || v.w.has_zero || f.runs(0) < 2 || v.axes[2].dilation > 1 ||
      f.run_bytes(0) > kMostJoined)
    return 0;
  const int64_t k = (f.runs(0) * f.run_bytes(0) + 3) / 4 * 4;
  // Long rows of the kernel are copied by two stores: steps of panels saved must make up for them.
  const int64_t steps = (f.panel_k(0) - k) / 4 * f.unit_panels;
  const int64_t pays = f.run_bytes(0) > 16 ? 2 * f.runs(0) : f.in_channels > 4;
  return steps >= pays ? k : 0;
}

void choose_rung(Conv* v) {
  const ConvForm& f = v->form();
  v->rung = Rung::kGathered;
  if (f.depthwise) {
    v->rung = Rung::kDepthwise;
    v->why = "depthwise: one input channel for each output channel";
  } else if (is_pointwise(*v)) {
    v->rung = Rung::kPointwise;
    v->why = "pointwise: a linear layer on the pixels";
  } else if (v->lane) {
    v->rung = Rung::kLanes;
    v->why = "lanes: small groups side by side, each column on its own channels, in place";
  } else if (v->w.has_zero) {
    v->why = "gathered: weights with zero points need the sum of each window";
  } else if (v->linear.table.rows[0]->layout == kLayoutProved) {
    v->why = "gathered: the private layout wants rows in one piece";
  } else if (v->joined_k) {
    v->why = "gathered: few channels, rows of the kernel one behind the other";
  } else if (has_blocks(v->linear.table)) {
    v->why = "blocks: strips of pixels in place where they fill tiles, else gathered";
  } else if (!v->direct_table.count) {
    v->why = v->linear.table.forced
                 ? "gathered: the forced kernel, or the channels, want rows in one piece"
                 : "gathered: channels are no multiple of 4";
  } else {
    v->rung = Rung::kDirect;
    v->why = v->ragged()    ? "direct: rows of the kernel in place, those at the sides gathered"
             : f.transposed ? "direct: one convolution for each phase, in place"
             : f.units > 1  ? "direct: units of groups in turn, in place"
                            : "direct: tiles read the image in place";
  }
}

// The one kernel of a depthwise layer, and what it reads.
octet_status choose_depthwise(octet_error* err, const octet_context& c, Conv* v) {
  const Row* row = depthwise_row(c, out_tag(v->linear));
  const bool asked =
      (c.flags & OCTET_ALLOW_SLOW) || (c.cap && !strcmp(c.cap, "scalar")) || c.forced == row;
  if (row->isa == kIsaScalar && !asked)
    return fail(err, OCTET_ERR_SLOW_ONLY,
                "Only reference code can do this under the instruction sets of this context; set "
                "OCTET_ALLOW_SLOW or max_isa \"scalar\" to allow it.");
  v->linear.table.rows[0] = row;  // for its form
  take_form(c, &v->linear);
  v->depthwise_bytes = size_depthwise(v->w, *row, v->axes, &v->depthwise);
  // Kernels number what lies under a window in 32 bits; its workspace would be 512 GiB and more.
  const StripForm& f = v->depthwise.form;
  const int64_t units = int64_t{f.planes} * f.units,
                reach = int64_t{f.kernel[1] - 1} * f.dilation[1];
  if (reach > INT32_MAX / units - 1)
    return fail(
        err, OCTET_ERR_UNSUPPORTED,
        "octet_geometry.dilation[%d] is %d, so that a window of this depthwise kernel reaches "
        "over %lld columns; %lld is the most; use a smaller dilation.",
        v->rank - 1, f.dilation[1], static_cast<long long>(reach) + 1,
        static_cast<long long>(INT32_MAX / units));
  return OCTET_OK;
}

// Tiles of small groups, where they promise fewer cycles than panels that groups share.
bool choose_lanes(const octet_context& c, int32_t tag, Conv* v) {
  const int32_t lane = lane_channels(*v);
  if (!lane) return false;
  const ConvForm& f = v->form();
  const octet_type in = v->linear.q_type;
  const int64_t taps = (f.kernel_taps() + f.phases() - 1) / f.phases();
  GemmWeights weights = {OCTET_S8, 0, 0, true};
  GemmTable shared, own;
  if (make_gemm_table(nullptr, c, in, tag, 16, taps * 16, weights, &shared)) return false;
  weights.lane = lane;
  if (make_gemm_table(nullptr, c, in, tag, f.out_channels, taps * lane, weights, &own))
    return false;
  constexpr int64_t kPixels = 96;
  GemmPlan panel, all;
  if (select_gemm(nullptr, c, shared, kPixels, 1, 0, &panel) ||
      select_gemm(nullptr, c, own, kPixels, 1, 0, &all) ||
      (!own.forced && (shared.forced || all.cycles >= panel.cycles * static_cast<double>(f.units))))
    return false;
  v->lane = lane;
  plan_small_calls(c, &own);
  v->linear.table = v->direct_table = own;
  take_form(c, &v->linear);
  return true;
}

}  // namespace

Slide plain_slide(const Axis& a) {
  return {a.in, a.out, a.kernel, -a.pad_lo, a.stride, a.dilation, 0, 1};
}

// Output index o = i * s - lo + t * d. With o + lo = j * s + c, the taps of coordinate c are those
// with t * d = m * s + c, and i = j - m: m grows by d / gcd(s, d) from one of them to the next.
Slide phase_slide(const ConvForm& f, int dim, int64_t phase, const Axis& a) {
  const int64_t c = f.coordinate(dim, phase), s = a.stride;
  const Taps taps = f.taps_along(dim, c);
  Slide r = {};
  r.in = a.in;
  r.taps = taps.count;
  r.stride = 1;
  r.step = -(a.dilation / gcd(s, a.dilation));
  r.out_step = s;
  r.out_first = ((c - a.pad_lo) % s + s) % s;
  r.out = a.out > r.out_first ? (a.out - r.out_first + s - 1) / s : 0;
  r.first = (r.out_first + a.pad_lo - c) / s;
  if (taps.count) r.first -= (taps.first * a.dilation - c) / s;
  return r;
}

size_t conv_columns_bytes(const WeightsView& w) {
  const size_t slots = static_cast<size_t>(w.conv.slots());
  return slots * 4 * (static_cast<size_t>(w.conv.phases()) + 2);
}

Columns conv_columns_at(const WeightsView& w, void* block) {
  const int64_t slots = w.conv.slots();
  Columns c;
  c.ibias = static_cast<int32_t*>(block);
  c.fbias = reinterpret_cast<float*>(c.ibias + slots * w.conv.phases());
  c.mult = c.fbias + slots;
  return c;
}

octet_status fill_conv_columns(octet_error* err, const Conv& v, float scale, int32_t zero,
                               const Columns& to) {
  const ConvForm& f = v.form();
  for (int64_t phase = 0; phase < f.phases(); ++phase)
    for (int64_t u = 0; u < f.units; ++u) {
      WeightsView unit = unit_view(v.w, phase, u);
      unit.k = v.w.k;
      const int64_t slot = u * f.unit_slots();
      const Columns part = {to.ibias + phase * f.slots() + slot, to.fbias + slot, to.mult + slot};
      OCTET_TRY(fill_columns(err, v.linear, unit, f.first_out(u), scale, zero, part));
    }
  return OCTET_OK;
}

void look_up(const Conv& v, char* y, int64_t rows, int64_t pitch, int64_t n) {
  const Lookup r = {v.lut,
                    y,
                    y,
                    static_cast<size_t>(rows),
                    static_cast<size_t>(n),
                    static_cast<ptrdiff_t>(pitch),
                    static_cast<ptrdiff_t>(pitch)};
  v.lookup(&r);
}

void fill_joined(const Conv& v, int8_t* to) {
  const ConvForm& f = v.form();
  const int64_t run = f.run_bytes(0), padded = f.padded_run(0), k = f.runs(0) * run;
  memset(to, 0, joined_bytes(v));
  const auto at = [](int64_t i, int64_t column) { return i / 4 * 64 + column * 4 + i % 4; };
  for (int64_t p = 0; p < f.unit_panels; ++p, to += v.joined_k * 16)
    for (int64_t i = 0; i < k; ++i)
      for (int64_t column = 0; column < 16; ++column)
        to[at(i, column)] =
            v.w.panels[p * v.w.panel_stride + at(i / run * padded + i % run, column)];
}

octet_status prepare_conv(octet_error* err, const octet_context& c, const octet_linear_desc& d,
                          const octet_geometry* g, Conv* out) {
  Conv& v = *out;
  v.w = d.weights->view;
  const ConvForm& f = v.form();
  if (!f.rank)
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_linear_desc.weights are a matrix; pack them with a geometry, or use octet_"
                "linear_create.");
  OCTET_TRY(read_conv_geometry(err, f, g, &v));
  OCTET_TRY(read_table(err, c, d, &v));
  OCTET_TRY(prepare_linear(err, c, v.w, linear_spec(d, true), &v.linear));
  v.per_sample = v.linear.dynamic() && v.linear.scheme.granularity == OCTET_PER_SAMPLE;
  if (f.depthwise) {
    choose_rung(&v);
    return choose_depthwise(err, c, &v);
  }
  GemmWeights weights = {OCTET_S8, 0, v.w.proved_load};
  // One panel does not pay for the gathering that the private layout needs.
  if (f.unit_panels < 2 && !v.ragged() && may_be_direct(v)) weights.proved_load = 0;
  if (is_pointwise(v)) {
    v.linear.w = pointwise_view(v.w);
    OCTET_TRY(choose_kernels(err, c, &v.linear));
    plan_small_calls(c, &v.linear.table);
    choose_rung(&v);
    return OCTET_OK;
  }
  for (int64_t phase = 0; phase < f.phases(); ++phase)
    if (f.packed_k(phase, 0) > v.widest_k) v.widest_k = f.packed_k(phase, 0);
  // Phases share a table: K is that of an average one, which only the cost model reads.
  const int32_t tag = out_tag(v.linear);
  const int64_t n = f.unit_out(0), k = (f.panel_k(0) + f.phases() - 1) / f.phases();
  if (choose_lanes(c, tag, &v)) {
    choose_rung(&v);
    return OCTET_OK;
  }
  OCTET_TRY(make_gemm_table(err, c, v.linear.q_type, tag, n, k, weights, &v.linear.table));
  // The private layout has the canonical K.
  if (v.linear.table.rows[0]->layout == kLayoutC16K4) v.joined_k = joined_k(v);
  if (v.joined_k)
    OCTET_TRY(
        make_gemm_table(err, c, v.linear.q_type, tag, n, v.joined_k, weights, &v.linear.table));
  take_form(c, &v.linear);
  weights.by_offsets = true;
  if (may_be_direct(v) &&
      (make_gemm_table(nullptr, c, v.linear.q_type, tag, n, k, weights, &v.direct_table) ||
       v.direct_table.rows[0]->in != v.linear.form))
    v.direct_table.count = 0;
  choose_rung(&v);
  plan_small_calls(c, v.rung == Rung::kDirect ? &v.direct_table : &v.linear.table);
  return OCTET_OK;
}

}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
//
// What is decided at create: types, bounds, exactness, kernels, column arrays.
#include "src/linear.h"

#include <math.h>

#include "quant/fixed_point.h"

namespace octet {

namespace {

constexpr float kInf = __builtin_inff();

bool is_tflite(int32_t numerics) {
  return numerics == OCTET_NUMERICS_TFLITE || numerics == OCTET_NUMERICS_TFLITE_SINGLE;
}
// Quantized by x / s rather than x * fl(1/s).
bool divides(int32_t numerics) { return is_tflite(numerics) || numerics == OCTET_NUMERICS_ONNX; }

bool normal(float x) { return x >= 0x1p-126f && x < kInf; }
bool finite(float x) { return x - x == 0; }

// docs/numerics.md, "Activations": bounds of the integers or of the floats.
octet_status read_activation(octet_error* err, const LinearSpec& s, Linear* l) {
  char field[64];
  const auto name = [&](const char* suffix) {
    Text text(field, sizeof field);
    text.add("%s.%s", s.desc_name, suffix);
    text.finish();
    return field;
  };
  if (s.act < OCTET_ACT_NONE || s.act > OCTET_CLAMP)
    return fail_enum(err, name("act"), s.act,
                     "OCTET_ACT_NONE, OCTET_RELU, OCTET_RELU6, OCTET_CLAMP");
  if (s.act == OCTET_CLAMP) {
    if (!finite(s.lo) || !finite(s.hi))
      return fail(err, OCTET_ERR_NOT_FINITE, "%s.lo is %g and hi is %g; both must be finite.",
                  s.desc_name, static_cast<double>(s.lo), static_cast<double>(s.hi));
    if (s.lo > s.hi)
      return fail(err, OCTET_ERR_ARGUMENT, "%s.lo is %g, above hi = %g; exchange them.",
                  s.desc_name, static_cast<double>(s.lo), static_cast<double>(s.hi));
  } else if (s.lo != 0 || s.hi != 0) {
    return fail(err, OCTET_ERR_ARGUMENT,
                "%s.lo is %g and hi is %g, but both belong to OCTET_CLAMP; leave them 0.",
                s.desc_name, static_cast<double>(s.lo), static_cast<double>(s.hi));
  }
  if (s.out.type == OCTET_S32) {
    if (s.act != OCTET_ACT_NONE)
      return fail(err, OCTET_ERR_ARGUMENT, "%s is %d, but S32 output has no activation; use 0.",
                  name("act"), s.act);
    return OCTET_OK;
  }
  // Sums with +0 turn a bound of -0 into +0: minimum and maximum of zeros then agree everywhere.
  const float low = s.act == OCTET_CLAMP ? s.lo + 0.0f : 0.0f;
  const float high = s.act == OCTET_CLAMP ? s.hi + 0.0f : 6.0f;
  const bool has_low = s.act != OCTET_ACT_NONE;
  const bool has_high = s.act == OCTET_RELU6 || s.act == OCTET_CLAMP;
  if (s.out.type == OCTET_F32) {
    l->flo = has_low ? low : -kInf;
    l->fhi = has_high ? high : kInf;
    return OCTET_OK;
  }
  const int32_t qmin = type_min(s.out.type), qmax = type_max(s.out.type);
  const float inverse = 1.0f / s.out.scale;
  const auto quantize = [&](float x) {
    float v = divides(s.numerics) ? x / s.out.scale : x * inverse;
    const float below = static_cast<float>(qmin - s.out.zero_point);
    const float above = static_cast<float>(qmax - s.out.zero_point);
    v = v > below ? v : below;
    v = v < above ? v : above;
    return (is_tflite(s.numerics) ? round_away(v) : round_even(v)) + s.out.zero_point;
  };
  l->lo = qmin;
  l->hi = qmax;
  if (has_low) l->lo = quantize(low);
  if (has_high) l->hi = quantize(high);
  return OCTET_OK;
}

octet_status read_types(octet_error* err, const LinearSpec& s, Linear* l) {
  if (s.numerics < OCTET_NUMERICS_TORCH || s.numerics > OCTET_NUMERICS_TFLITE_SINGLE)
    return fail(err, OCTET_ERR_ARGUMENT,
                "%s.numerics is %d, which is no known value; use OCTET_NUMERICS_TORCH, _ONNX, "
                "_QNNPACK, _TFLITE or _TFLITE_SINGLE.",
                s.desc_name, s.numerics);
  OCTET_TRY(check_type(err, s.in_name, s.in.type, kQ8Types | type_bit(OCTET_F32)));
  OCTET_TRY(check_type(err, s.out_name, s.out.type,
                       kQ8Types | type_bit(OCTET_F32) | type_bit(OCTET_S32)));
  const auto check_zero = [&](const char* name, const octet_qtype& t) {
    if (t.zero_point < type_min(t.type) || t.zero_point > type_max(t.type))
      return fail(err, OCTET_ERR_ARGUMENT, "%s.zero_point is %d; it must lie within [%d, %d].",
                  name, t.zero_point, type_min(t.type), type_max(t.type));
    return octet_status{OCTET_OK};
  };
  const auto check_no_qparams = [&](const char* name, const octet_qtype& t) {
    if (t.scale != 0 || t.zero_point != 0)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "%s has scale %g and zero point %d, but its type %s has none; leave both 0.",
                  name, static_cast<double>(t.scale), t.zero_point, type_name(t.type));
    return octet_status{OCTET_OK};
  };
  if (s.in.type == OCTET_F32) {
    OCTET_TRY(check_no_qparams(s.in_name, s.in));
    if (s.out.type != OCTET_F32)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "%s.type is %s, but a dynamic layer (F32 in) has F32 output; quantize it after.",
                  s.out_name, type_name(s.out.type));
  } else {
    if (s.dynamic)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "%s.dynamic must be NULL where the input is %s; it belongs to F32 input.",
                  s.desc_name, type_name(s.in.type));
    if (s.in.scale == 0) {
      if (s.in.zero_point)
        return fail(err, OCTET_ERR_ARGUMENT,
                    "%s.zero_point is %d with scale 0; with scale 0 both come with each call.",
                    s.in_name, s.in.zero_point);
    } else {
      OCTET_TRY(check_scale(err, "octet_qtype.scale of the input,", 0, s.in.scale));
      OCTET_TRY(check_zero(s.in_name, s.in));
    }
  }
  if (is_q8(s.out.type)) {
    OCTET_TRY(check_scale(err, "octet_qtype.scale of the output,", 0, s.out.scale));
    OCTET_TRY(check_zero(s.out_name, s.out));
  } else {
    OCTET_TRY(check_no_qparams(s.out_name, s.out));
  }
  if (s.residual.type) {
    const char* name = "octet_linear_desc.residual";
    OCTET_TRY(check_type(err, name, s.residual.type, kQ8Types | type_bit(OCTET_F32)));
    if (is_q8(s.out.type) ? !is_q8(s.residual.type) : s.residual.type != s.out.type)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "%s.type is %s, but %s.type is %s; U8 and S8 output take a residual of U8 or S8, "
                  "F32 output one of F32, S32 output none.",
                  name, type_name(s.residual.type), s.out_name, type_name(s.out.type));
    if (is_q8(s.residual.type)) {
      OCTET_TRY(check_scale(err, "octet_qtype.scale of the residual,", 0, s.residual.scale));
      OCTET_TRY(check_zero(name, s.residual));
    } else {
      OCTET_TRY(check_no_qparams(name, s.residual));
    }
  }
  l->in = s.in;
  l->out = s.out;
  l->residual = s.residual;
  l->numerics = s.numerics;
  l->q_type = s.in.type;
  if (s.in.type != OCTET_F32) {
    l->input = s.in.scale == 0 ? Input::kCall : Input::kStatic;
    return OCTET_OK;
  }
  OCTET_TRY(resolve_scheme(err, s.dynamic, s.convolution ? Place::kDynamicConv : Place::kDynamic, 0,
                           &l->scheme));
  l->q_type = l->scheme.type;
  l->input = l->scheme.granularity == OCTET_PER_ROW ? Input::kDynamicRow : Input::kDynamicTensor;
  return OCTET_OK;
}

// The numerics of other frameworks are defined for static q8 layers. TORCH is defined for all.
octet_status check_numerics(octet_error* err, const LinearSpec& s, const Linear& l) {
  if (s.numerics == OCTET_NUMERICS_TORCH) return OCTET_OK;
  const char* what = !is_q8(l.out.type) ? "U8 and S8 output only"
                     : l.input == Input::kDynamicRow || l.input == Input::kDynamicTensor
                         ? "U8 and S8 input only"
                     : l.input == Input::kCall ? "one input scale that is known from the start"
                     : l.residual.type         ? "layers without a residual"
                     : !l.w.form.plain()       ? "weights of 8 bits without groups"
                     : is_tflite(s.numerics) && l.w.has_zero
                         ? "symmetric weights (zero points of 0 for S8, 128 for U8)"
                         : nullptr;
  if (!what) return OCTET_OK;
  return fail(err, OCTET_ERR_ARGUMENT,
              "%s.numerics is %d (%s), which is defined for %s; change that or use "
              "OCTET_NUMERICS_TORCH.",
              s.desc_name, s.numerics, numerics_name(s.numerics), what);
}

octet_status check_bias(octet_error* err, const Linear& l) {
  if (l.w.bias_type == OCTET_S32 && l.input != Input::kStatic)
    return fail(err, OCTET_ERR_ARGUMENT,
                "The weights have an S32 bias, whose unit is in.scale * scale[n]; it needs an "
                "activation scale given at create. Use an F32 bias.");
  if (l.w.form.group && l.residual.type)
    return fail(err, OCTET_ERR_UNSUPPORTED,
                "The op has a residual, but its weights have a scale for each group of K, which "
                "this release does not have together; add after the op.");
  if (l.w.form.group && l.out.type == OCTET_S32)
    return fail(err, OCTET_ERR_ARGUMENT,
                "The output is S32, but weights with a scale for each group of K have no common "
                "unit for integer sums; use F32, U8 or S8 output.");
  if (l.w.bias_type == OCTET_F32 && l.out.type == OCTET_S32)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "The weights have an F32 bias, which S32 output cannot hold; use an S32 bias or none.");
  return OCTET_OK;
}

}  // namespace

namespace {

// The largest product of an activation and a weight, zero points taken out, by their types.
int64_t worst_product(const Linear& l) {
  const int64_t x =
      l.input == Input::kStatic && l.q_type == OCTET_S8 && l.in.zero_point == 0 ? 128 : 255;
  return x * (l.w.form.nibbles() ? 15 : l.w.has_zero ? 255 : 128);
}

// An F32 bias as the integer that numerics other than TORCH's make of it.
int32_t quantize_bias(int32_t numerics, float bias, float product) {
  if (numerics == OCTET_NUMERICS_QNNPACK) return round_even(bias * (1.0f / product));
  const float v = bias / product;
  return is_tflite(numerics) ? round_away(v) : round_even(v);
}

// Channel n of numerics other than TORCH's: an integer bias, and the multiplier in their form.
octet_status fill_named(octet_error* err, const Linear& l, const WeightsView& w, int64_t first,
                        int64_t n, float scale, const Columns& to) {
  const float product = scale * w.scale[n];
  const auto channel = static_cast<long long>(first + n);
  if (w.bias_type == OCTET_F32) {
    const float given = static_cast<const float*>(w.bias)[n];
    const int32_t bias = quantize_bias(l.numerics, given, product);
    const int64_t room = int64_t{INT32_MAX} - w.k * worst_product(l);
    if (bias > room || bias < -room)
      return fail(
          err, OCTET_ERR_INEXACT,
          "The bias of channel %lld, %g, is %d in units of its scale %g, but with this K an "
          "int32 accumulator has room for %lld only; make it smaller.",
          channel, static_cast<double>(given), bias, static_cast<double>(product),
          static_cast<long long>(room));
    to.ibias[n] =
        static_cast<int32_t>(static_cast<uint32_t>(to.ibias[n]) + static_cast<uint32_t>(bias));
  }
  if (is_tflite(l.numerics)) {
    const FixedPoint m =
        quantize_multiplier(double{scale} * double{w.scale[n]} / double{l.out.scale});
    memcpy(to.mult + n, &m.mult, sizeof m.mult);
    memcpy(to.fbias + n, &m.exponent, sizeof m.exponent);
    return OCTET_OK;
  }
  to.fbias[n] = 0;
  if (l.numerics == OCTET_NUMERICS_QNNPACK && !(to.mult[n] >= 0x1p-32f && to.mult[n] < 256))
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "The multiplier of channel %lld is %g, but QNNPACK's must lie in [2^-32, 256); choose "
        "scales closer to each other.",
        channel, static_cast<double>(to.mult[n]));
  return OCTET_OK;
}

}  // namespace

const char* numerics_name(int32_t numerics) {
  static const char* const names[] = {"torch", "onnx", "qnnpack", "tflite", "tflite_single"};
  return names[numerics];
}

// docs/numerics.md, "Accumulator": judged by the types, never by the data.
octet_status check_exact(octet_error* err, const Linear& l) {
  int64_t bias = 0;
  if (l.w.bias_type == OCTET_S32 && l.w.bias)
    for (int64_t n = 0; n < l.w.n; ++n) {
      const int64_t b = static_cast<const int32_t*>(l.w.bias)[n];
      if ((b < 0 ? -b : b) > bias) bias = b < 0 ? -b : b;
    }
  const int64_t limit = (int64_t{INT32_MAX} - bias) / worst_product(l);
  // A group is summed in an integer of its own, and the groups in float.
  if (l.w.form.group) {
    if (l.w.form.group <= limit) return OCTET_OK;
    return fail(err, OCTET_ERR_INEXACT,
                "The group is %lld, but an int32 accumulator of these types is exact up to a group "
                "of %lld only; use smaller groups.",
                static_cast<long long>(l.w.form.group), static_cast<long long>(limit));
  }
  if (l.w.k <= limit) return OCTET_OK;
  return fail(
      err, OCTET_ERR_INEXACT,
      "K is %lld, but an int32 accumulator of these types is exact up to K = %lld only; split "
      "K and add the parts.",
      static_cast<long long>(l.w.k), static_cast<long long>(limit < 0 ? 0 : limit));
}

void take_form(const octet_context& c, Linear* l) {
  l->form = l->table.rows[0]->in;
  l->shift = l->form == OCTET_S16 || l->form == l->q_type ? 0 : l->form == OCTET_U8 ? 128 : -128;
  // Quantized straight into the tiles' form where that is a byte: only the range moves.
  const octet_type q = l->dynamic() && l->form != OCTET_S16 ? l->form : l->q_type;
  if (l->dynamic()) l->quantize = kernel<RunFn>(c, kQuantize, OCTET_F32, q);
  l->rowsum = kernel<RowSumFn>(c, kRowSum, q, OCTET_S32);
}

octet_status choose_kernels(octet_error* err, const octet_context& c, Linear* l) {
  const WeightsView& w = l->w;
  const GemmWeights weights = {w.form.nibbles() ? OCTET_U4 : OCTET_S8, w.form.group, w.proved_load,
                               false, l->holds_columns};
  OCTET_TRY(make_gemm_table(err, c, l->q_type, out_tag(*l), w.n, w.k, weights, &l->table));
  take_form(c, l);
  // Tiles of AMX load 16 rows together, which a pitch of 4 KiB would send to the same lines of the
  // caches. A copy costs less where its rows are multiplied with many columns.
  l->copies_a = w.k && w.k % 4096 == 0 && w.n >= 512 && has_blocks(l->table);
  size_chunks(l);
  return OCTET_OK;
}

void set_columns(Finish* f, const Columns& columns) {
  f->ibias = columns.ibias;
  f->fbias = columns.fbias;
  f->mult = columns.mult;
  f->fixed_mult = reinterpret_cast<const int32_t*>(columns.mult);
  f->fixed_exp = reinterpret_cast<const int32_t*>(columns.fbias);
}

LinearSpec linear_spec(const octet_linear_desc& d, bool convolution) {
  return {d.in,
          d.out,
          d.residual,
          d.dynamic,
          d.act,
          d.lo,
          d.hi,
          d.numerics,
          "octet_linear_desc.in",
          "octet_linear_desc.out",
          "octet_linear_desc",
          convolution,
          !convolution};
}

octet_status prepare_linear(octet_error* err, const octet_context& c, const WeightsView& w,
                            const LinearSpec& spec, Linear* out) {
  Linear l = {};
  l.w = w;
  OCTET_TRY(read_types(err, spec, &l));
  OCTET_TRY(read_activation(err, spec, &l));
  OCTET_TRY(check_numerics(err, spec, l));
  OCTET_TRY(check_bias(err, l));
  OCTET_TRY(check_exact(err, l));
  l.flip = kernel<RunFn>(c, kFlip, kOutQ8, kOutQ8);
  l.widen = kernel<RunFn>(c, kWiden, l.q_type, OCTET_S16);
  if (is_tflite(l.numerics)) l.finish_fixed = kernel<FixedFn>(c, kFixed, OCTET_S32, kOutQ8);
  if (l.dynamic()) l.minmax = kernel<RangeFn>(c, kMinMax, OCTET_F32, 0);
  l.in_bytes = static_cast<int32_t>(type_bytes(l.in.type));
  l.out_bytes = static_cast<int32_t>(type_bytes(l.out.type));
  l.holds_columns = spec.keeps_copy && may_be_columns(w) && !l.residual.type && !l.finish_fixed &&
                    l.out.type != OCTET_S32;
  if (!spec.convolution) OCTET_TRY(choose_kernels(err, c, &l));
  *out = l;
  return OCTET_OK;
}

size_t columns_bytes(const WeightsView& w) { return static_cast<size_t>(w.n16()) * 12; }

Columns columns_at(const WeightsView& w, void* block) {
  const size_t n16 = static_cast<size_t>(w.n16());
  Columns c;
  c.ibias = static_cast<int32_t*>(block);
  c.fbias = reinterpret_cast<float*>(c.ibias + n16);
  c.mult = c.fbias + n16;
  return c;
}

octet_status fill_columns(octet_error* err, const Linear& l, float scale, int32_t zero,
                          const Columns& to) {
  return fill_columns(err, l, l.w, 0, scale, zero, to);
}

octet_status fill_columns(octet_error* err, const Linear& l, const WeightsView& w, int64_t first,
                          float scale, int32_t zero, const Columns& to) {
  const bool q8 = is_q8(l.out.type);
  const uint32_t za = static_cast<uint32_t>(zero + l.shift);
  for (int64_t n = 0; n < w.n16(); ++n) {
    uint32_t start = 0 - za * static_cast<uint32_t>(w.sums[n]);
    if (w.bias_type == OCTET_S32)
      start += static_cast<uint32_t>(static_cast<const int32_t*>(w.bias)[n]);
    to.ibias[n] = static_cast<int32_t>(start);
    const float product = scale * w.scale[n];
    const float bias = w.bias_type == OCTET_F32 ? static_cast<const float*>(w.bias)[n] : 0.0f;
    to.mult[n] = q8 ? product / l.out.scale : product;
    to.fbias[n] = q8 ? bias / product : bias;
    if (n >= w.n || l.out.type == OCTET_S32) {
      to.mult[n] = 1;  // padding, and s32 out, which has no scale
      to.fbias[n] = 0;
      if (l.finish_fixed) memset(to.mult + n, 0, sizeof *to.mult);
      continue;
    }
    if (!normal(to.mult[n]))
      return fail(
          err, OCTET_ERR_ARGUMENT,
          "The multiplier of channel %lld, input scale %g * weight scale %g / output scale %g, "
          "is no normal number; choose scales closer to each other.",
          static_cast<long long>(first + n), static_cast<double>(scale),
          static_cast<double>(w.scale[n]), static_cast<double>(l.out.scale));
    if (!finite(to.fbias[n]))
      return fail(err, OCTET_ERR_NOT_FINITE,
                  "The bias of channel %lld, %g, divided by its scale %g is not finite.",
                  static_cast<long long>(first + n), static_cast<double>(bias),
                  static_cast<double>(product));
    if (l.numerics != OCTET_NUMERICS_TORCH) OCTET_TRY(fill_named(err, l, w, first, n, scale, to));
  }
  return OCTET_OK;
}

octet_status check_call_qparams(octet_error* err, const char* name, const octet_qparams* q,
                                octet_type type, int64_t rows) {
  if (!q)
    return fail(err, OCTET_ERR_ARGUMENT,
                "%s.q is NULL, but this op was made with scale 0: give its qparams with each call.",
                name);
  if (q->count != 1 && q->count != rows)
    return fail(err, OCTET_ERR_ARGUMENT, "%s.q->count is %lld; it must be 1 or the %lld rows.",
                name, static_cast<long long>(q->count), static_cast<long long>(rows));
  int32_t axis, qmin, qmax;
  octet_qparams flat = *q;
  flat.axis = 0;
  return check_qparams(err, name, &flat, type, 1, &flat.count, &axis, &qmin, &qmax);
}

}  // namespace octet

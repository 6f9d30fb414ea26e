// SPDX-License-Identifier: Apache-2.0
#include "src/pack.h"

#include "quant/rounding.h"
#include "src/blob.h"

namespace octet {

WeightsView WeightsSource::shape_view() const {
  WeightsView v = {};
  v.n = n;
  v.k = k;
  v.panel_stride = static_cast<int64_t>(layout().panel_stride);
  v.form = form();
  v.bias_type = has_bias ? bias.type : 0;
  if (source.type != OCTET_F32) {
    if (q)
      for (int64_t i = 0; i < q->count; ++i)
        v.has_zero |= (q->zero_point ? q->zero_point[i] : 0) != offset();
    return v;
  }
  // ATen's and FBGEMM's choosers take one-sided ranges as affine, whatever the scheme says.
  const Chooser& c = scheme.chooser;
  const bool keeps_symmetry =
      c.formula == OCTET_CHOOSE_OCTET || c.formula == OCTET_CHOOSE_TORCH_OBSERVER;
  v.has_zero = !c.symmetric || !keeps_symmetry || c.symmetric_zero != offset();
  return v;
}

void WeightsSource::search_range(int64_t first_n, int64_t rows, int64_t first_k, int64_t columns,
                                 Range* r) const {
  if (!scheme.least_error || !(r->min <= r->max) || r->nan_count || r->inf_count) return;
  const int64_t* strides = source.strides;
  const float* x =
      reinterpret_cast<const float*>(source.data) + first_n * strides[0] + first_k * strides[1];
  least_error_range(scheme.chooser, scheme.divide, {x, rows, columns, strides[0], strides[1]},
                    &r->min, &r->max);
}

bool WeightsSource::range_in_domain(const Range& r, float scale) const {
  if (!scheme.least_error || !(r.min <= r.max)) return scale_in_domain(scale);
  return searched_scales_in_domain(scheme.chooser, r.min, r.max);
}

octet_status check_finite_bias(octet_error* err, const char* name, const View& bias) {
  if (bias.type != OCTET_F32) return OCTET_OK;
  const float* b = reinterpret_cast<const float*>(bias.data);
  for (int64_t i = 0; i < bias.dims[0]; ++i) {
    const float x = b[i * bias.strides[0]];
    if (!(x - x == 0))
      return fail(err, OCTET_ERR_NOT_FINITE, "%s[%lld] is %g; a bias must be finite.", name,
                  static_cast<long long>(i), static_cast<double>(x));
  }
  return OCTET_OK;
}

namespace {

octet_status check_group(octet_error* err, const char* name, const WeightsSource& s) {
  if (legal_group(s.weight_type(), s.k, s.group)) return OCTET_OK;
  return fail(err, OCTET_ERR_ARGUMENT,
              "%s is %lld; a group of %s weights must be a multiple of %d that divides K = %lld.",
              name, static_cast<long long>(s.group), type_name(s.weight_type()),
              is_q4(s.weight_type()) ? 8 : 4, static_cast<long long>(s.k));
}

// The qparams that come with integers: per tensor, per channel, or [n][k/group].
octet_status read_source_qparams(octet_error* err, const char* name, WeightsSource* s) {
  const octet_qparams* q = s->q = s->source.q;
  int32_t axis, qmin, qmax;
  if (!q || !q->group) {
    OCTET_TRY(check_qparams(err, name, q, s->source.type, 2, s->source.dims, &axis, &qmin, &qmax));
    s->per_channel = axis == 0;
  } else {
    s->group = q->group;
    OCTET_TRY(check_group(err, "octet_weights_desc.source.q->group", *s));
    const int64_t count = s->n * (s->k / s->group);
    if (q->count != count)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "%s.q->count is %lld; groups of %lld need N * K / group = %lld scales.", name,
                  static_cast<long long>(q->count), static_cast<long long>(s->group),
                  static_cast<long long>(count));
    axis = q->axis == 0 || q->axis == -2 ? 0 : 1;
    octet_qparams flat = *q;
    flat.axis = 0;
    flat.group = 0;
    int32_t unused;
    OCTET_TRY(check_qparams(err, name, &flat, s->source.type, 1, &count, &unused, &qmin, &qmax));
  }
  if (axis == 1)
    return fail(err, OCTET_ERR_ARGUMENT,
                "%s.q->axis is %d; weights [N,K] have their channels on axis 0.", name, q->axis);
  return OCTET_OK;
}

}  // namespace

octet_status read_weights_desc(octet_error* err, const octet_weights_desc* desc, uint32_t options,
                               WeightsSource* out) {
  if (!desc) return fail(err, OCTET_ERR_ARGUMENT, "d is NULL; pass an octet_weights_desc.");
  octet_weights_desc d;
  OCTET_TRY(read_struct(err, "octet_weights_desc", desc, sizeof d, &d));
  const uint32_t known = OCTET_SHAPE_ONLY | OCTET_LEAN;
  if (d.flags & ~known)
    return fail_flags(err, "octet_weights_desc.flags", d.flags & ~known,
                      "OCTET_SHAPE_ONLY, OCTET_LEAN");
  if (d.geometry)
    return fail(err, OCTET_ERR_UNSUPPORTED,
                "octet_weights_desc.geometry must be NULL: convolution is not in this release.");
  WeightsSource s = {};
  s.shape_only = (d.flags & OCTET_SHAPE_ONLY) != 0;
  s.lean = (d.flags & OCTET_LEAN) != 0;
  if (s.shape_only && !(options & kAllowShapeOnly))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_weights_desc.flags has OCTET_SHAPE_ONLY, but packing needs data.");
  const bool no_data = s.shape_only || (options & kShapeSuffices);
  const char* name = "octet_weights_desc.source";
  OCTET_TRY(read_tensor(err, name, d.source, type_bit(OCTET_F32) | kQ8Types | kQ4Types,
                        kAnyStrides | (no_data ? kShapeOnly : 0u), &s.source));
  if (s.source.rank != 2)
    return fail(err, OCTET_ERR_ARGUMENT, "%s.rank is %d; a matrix [N,K] has rank 2.", name,
                s.source.rank);
  s.n = s.source.dims[0];
  s.k = s.source.dims[1];
  if (s.n > kMaxExtent || s.k > kMaxExtent)
    return fail(err, OCTET_ERR_ARGUMENT, "%s is [%lld, %lld]; each extent must be below 2^31 - 64.",
                name, static_cast<long long>(s.n), static_cast<long long>(s.k));
  if (s.source.type == OCTET_F32) {
    if (d.source->q)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "%s.q must be NULL for an F32 source; its scales are chosen by the scheme.",
                  name);
    OCTET_TRY(resolve_scheme(err, d.scheme, Place::kWeights, 0, &s.scheme));
    s.per_channel = s.scheme.granularity == OCTET_PER_CHANNEL;
    s.group = s.scheme.group;
    if (s.scheme.granularity == OCTET_PER_GROUP)
      OCTET_TRY(check_group(err, "octet_scheme.group", s));
    if ((s.per_channel || s.group) && s.scheme.axis != 0 && s.scheme.axis != -2)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "octet_scheme.axis is %d; weights [N,K] have their channels on axis 0.",
                  s.scheme.axis);
  } else {
    if (d.scheme)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "octet_weights_desc.scheme must be NULL for an %s source; give its qparams in "
                  "source.q.",
                  type_name(s.source.type));
    OCTET_TRY(read_source_qparams(err, name, &s));
  }
  if (d.bias) {
    const char* bias = "octet_weights_desc.bias";
    OCTET_TRY(read_tensor(err, bias, d.bias, type_bit(OCTET_F32) | type_bit(OCTET_S32),
                          kAnyStrides | (no_data ? kShapeOnly : 0u), &s.bias));
    OCTET_TRY(check_no_qparams(err, bias, s.bias));
    if (s.bias.rank != 1 || s.bias.dims[0] != s.n)
      return fail(err, OCTET_ERR_ARGUMENT, "%s must be [%lld], one for each output channel.", bias,
                  static_cast<long long>(s.n));
    if (s.group && s.bias.type == OCTET_S32)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "%s.type is S32, whose unit would be the one scale of a channel, but these "
                  "weights have one for each group; use an F32 bias.",
                  bias);
    s.has_bias = true;
    if (!no_data) OCTET_TRY(check_finite_bias(err, bias, s.bias));
  }
  *out = s;
  return OCTET_OK;
}

namespace {

constexpr int64_t kChunk = 512;  // k handled at a time on the stack, a multiple of 4

// Kernels of the context and the arrays that packing fills.
struct Packer {
  const WeightsSource& s;
  RunFn* quantize;
  RangeFn* minmax;
  int8_t* panels;
  int64_t panel_stride;
  int32_t* sums;
  float* scale;
  int32_t* zero;
  float tensor_scale = 1;  // per-tensor scheme
  int32_t tensor_zero = 0;
  std::atomic<int64_t> bad{INT64_MAX};  // first channel that cannot be quantized

  Packer(const octet_context& c, const WeightsSource& source)
      : s(source),
        quantize(kernel<RunFn>(c, kQuantize, OCTET_F32, OCTET_S8)),
        minmax(kernel<RangeFn>(c, kMinMax, OCTET_F32, 0)) {}

  // k elements of channel n from k0 on, contiguous: in place where the source is, else in buffer.
  const float* floats(int64_t n, int64_t k0, int64_t count, float* buffer) const {
    const float* p = reinterpret_cast<const float*>(s.source.data) + n * s.source.strides[0] +
                     k0 * s.source.strides[1];
    if (s.source.strides[1] == 1) return p;
    for (int64_t i = 0; i < count; ++i) buffer[i] = p[i * s.source.strides[1]];
    return buffer;
  }

  Range range(int64_t n) const {
    Range r = {__builtin_inff(), -__builtin_inff(), 0, 0};
    float buffer[kChunk];
    for (int64_t k = 0; k < s.k; k += kChunk) {
      const int64_t count = s.k - k < kChunk ? s.k - k : kChunk;
      minmax(floats(n, k, count, buffer), static_cast<size_t>(count), &r);
    }
    return r;
  }

  // False: the channel holds a non-finite weight or its scale leaves the domain.
  bool choose_channel(const Range& r, float* out_scale, int32_t* out_zero) const {
    if (r.nan_count || r.inf_count) return false;
    const bool empty = r.min > r.max;  // K = 0
    choose(s.scheme.chooser, empty ? 0 : r.min, empty ? 0 : r.max, out_scale, out_zero);
    return s.range_in_domain(r, *out_scale);
  }

  void pack_channel(int64_t n) {
    int8_t* panel = panels + n / 16 * panel_stride + n % 16 * 4;
    uint32_t sum = 0;
    float channel_scale = 1;
    int32_t channel_zero = 0;
    if (s.source.type != OCTET_F32) {
      const int64_t at = s.per_channel ? n : 0;
      channel_scale = s.q->scale[at];
      channel_zero = s.q->zero_point ? s.q->zero_point[at] : 0;
    } else if (s.per_channel) {
      Range r = range(n);
      s.search_range(n, 1, 0, s.k, &r);
      choose_channel(r, &channel_scale, &channel_zero);
    } else {
      channel_scale = tensor_scale;
      channel_zero = tensor_zero;
    }
    channel_zero -= s.offset();
    const float inverse = s.scheme.divide ? channel_scale : 1.0f / channel_scale;
    // Bytes of the source, which are u8 where the weights are; floats become s8 at once.
    const int8_t flip = s.source.type == OCTET_U8 ? -128 : 0;
    float buffer[kChunk];
    int8_t bytes[kChunk];
    for (int64_t k = 0; k < s.k; k += kChunk) {
      const int64_t count = s.k - k < kChunk ? s.k - k : kChunk;
      const int8_t* from = bytes;
      int64_t step = 1;
      if (s.source.type != OCTET_F32) {
        step = s.source.strides[1];
        from = reinterpret_cast<const int8_t*>(s.source.data) + n * s.source.strides[0] + k * step;
      } else {
        Run run = {};
        run.x = floats(n, k, count, buffer);
        run.y = bytes;
        run.n = static_cast<size_t>(count);
        run.out_inv = &inverse;
        run.out_zero = &channel_zero;
        run.qmin = s.scheme.chooser.qmin - s.offset();
        run.qmax = s.scheme.chooser.qmax - s.offset();
        run.divide = s.scheme.divide;
        quantize(&run);
      }
      int8_t* to = panel + k / 4 * 64;
      for (int64_t i = 0; i < count; ++i) {
        const int8_t w = static_cast<int8_t>(from[i * step] ^ flip);
        sum += static_cast<uint32_t>(int32_t{w});
        to[i / 4 * 64 + i % 4] = w;
      }
    }
    sums[n] = static_cast<int32_t>(sum);
    scale[n] = channel_scale;
    zero[n] = channel_zero;
  }

  static void check_panel(void* arg, size_t panel) {
    Packer& p = *static_cast<Packer*>(arg);
    const int64_t first = static_cast<int64_t>(panel) * 16;
    for (int64_t n = first; n < p.s.n && n < first + 16; ++n) {
      float unused_scale;
      int32_t unused_zero;
      const Range r = p.range(n);
      const bool good = p.s.per_channel ? p.choose_channel(r, &unused_scale, &unused_zero)
                                        : !r.nan_count && !r.inf_count;
      if (good) continue;
      int64_t seen = p.bad.load(std::memory_order_relaxed);
      while (n < seen && !p.bad.compare_exchange_weak(seen, n)) {
      }
      return;
    }
  }

  static void pack_panel(void* arg, size_t panel) {
    Packer& p = *static_cast<Packer*>(arg);
    memset(p.panels + static_cast<int64_t>(panel) * p.panel_stride, 0,
           static_cast<size_t>(p.panel_stride));
    const int64_t first = static_cast<int64_t>(panel) * 16;
    for (int64_t n = first; n < first + 16; ++n) {
      if (n < p.s.n) {
        p.pack_channel(n);
      } else {
        p.sums[n] = p.zero[n] = 0;
        p.scale[n] = 1;
      }
    }
  }

  // The sentence for channel n, which check_panel refused.
  octet_status explain(octet_error* err, int64_t n) const {
    const float* p = reinterpret_cast<const float*>(s.source.data) + n * s.source.strides[0];
    for (int64_t k = 0; k < s.k; ++k) {
      const float w = p[k * s.source.strides[1]];
      if (!(w - w == 0))
        return fail(err, OCTET_ERR_NOT_FINITE,
                    "octet_weights_desc.source[%lld, %lld] is %g; weights must be finite.",
                    static_cast<long long>(n), static_cast<long long>(k), static_cast<double>(w));
    }
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "octet_weights_desc.source channel %lld needs a scale above 2^60; scale the weights "
        "down.",
        static_cast<long long>(n));
  }

  octet_status check(octet_error* err, const Exec& exec) {
    if (s.source.type != OCTET_F32) return OCTET_OK;
    OCTET_TRY(run_tasks(err, exec, static_cast<size_t>((s.n + 15) / 16), check_panel, this));
    const int64_t first = bad.load(std::memory_order_relaxed);
    if (first != INT64_MAX) return explain(err, first);
    if (s.per_channel) return OCTET_OK;
    Range all = {__builtin_inff(), -__builtin_inff(), 0, 0};
    for (int64_t n = 0; n < s.n; ++n) {
      const Range r = range(n);
      if (r.min < all.min) all.min = r.min;
      if (r.max > all.max) all.max = r.max;
    }
    s.search_range(0, s.n, 0, s.k, &all);
    if (!choose_channel(all, &tensor_scale, &tensor_zero))
      return fail(err, OCTET_ERR_ARGUMENT,
                  "octet_weights_desc.source needs a scale above 2^60; scale the weights down.");
    return OCTET_OK;
  }

  octet_status write(octet_error* err, const Exec& exec) {
    return run_tasks(err, exec, static_cast<size_t>((s.n + 15) / 16), pack_panel, this);
  }
};

void write_bias(const WeightsSource& s, void* bias) {
  memset(bias, 0, static_cast<size_t>((s.n + 15) / 16 * 16) * 4);
  if (!s.has_bias) return;
  for (int64_t n = 0; n < s.n; ++n)
    memcpy(static_cast<char*>(bias) + n * 4, s.bias.data + n * s.bias.strides[0] * 4, 4);
}

octet_status pack_bytes(octet_error* err, const octet_context& c, const WeightsSource& s,
                        const BlobLayout& l, char* base, const Exec& exec, bool* has_zero) {
  Packer p(c, s);
  OCTET_TRY(p.check(err, exec));
  p.panels = reinterpret_cast<int8_t*>(base + l.panels);
  p.panel_stride = static_cast<int64_t>(l.panel_stride);
  p.sums = reinterpret_cast<int32_t*>(base + l.sums);
  p.scale = reinterpret_cast<float*>(base + l.scale);
  p.zero = reinterpret_cast<int32_t*>(base + l.zero);
  OCTET_TRY(p.write(err, exec));
  for (int64_t n = 0; n < s.n; ++n) *has_zero |= p.zero[n] != 0;
  return OCTET_OK;
}

}  // namespace

octet_status pack_blob(octet_error* err, const octet_context& c, const WeightsSource& s, void* blob,
                       const Exec& exec, bool seal) {
  const BlobLayout l = s.layout();
  char* base = static_cast<char*>(blob);
  bool has_zero = false;
  if (s.form().plain())
    OCTET_TRY(pack_bytes(err, c, s, l, base, exec, &has_zero));
  else
    OCTET_TRY(pack_groups(err, c, s, blob, exec, &has_zero));
  write_bias(s, base + l.bias);
  BlobHeader h = {};
  memcpy(h.magic, kBlobMagic, sizeof h.magic);
  h.major = kBlobMajor;
  h.header_bytes = sizeof h;
  h.total_bytes = l.total;
  h.layout = s.group ? kBlobLayoutGroups : s.form().nibbles() ? kBlobLayoutC16K8 : kBlobLayoutC16K4;
  h.kind = kBlobMatrix;
  h.n = static_cast<uint64_t>(s.n);
  h.k = static_cast<uint64_t>(s.k);
  h.panel_stride = l.panel_stride;
  h.panels = l.panels;
  h.sums = l.sums;
  h.scale = l.scale;
  h.zero = l.zero;
  h.bias = l.bias;
  h.weight_type = static_cast<uint32_t>(s.weight_type());
  h.bias_type = s.has_bias ? static_cast<uint32_t>(s.bias.type) : 0;
  h.flags = has_zero ? uint32_t{kBlobHasZero} : 0;
  h.group = static_cast<uint32_t>(s.group);
  memcpy(blob, &h, sizeof h);
  if (seal) seal_blob(blob);
  return OCTET_OK;
}

}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
#include "src/pack.h"

#include "src/blob.h"

namespace octet {

WeightsView WeightsSource::shape_view() const {
  WeightsView v = {};
  v.n = conv.rank ? conv.slots() : n;
  v.k = k;
  v.conv = conv;
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

namespace {

constexpr int64_t kChunk = 512;  // elements handled at a time on the stack, a multiple of 4

// Where the elements of one output channel lie in the source, numbered tap by tap, D H W order, and
// within a tap by input channel. A matrix has one tap.
class Channels {
 public:
  Channels(const View& v, const ConvForm& f) : v_(v), f_(f), lead_(v.rank - f.rank - 1) {
    for (int i = 0; i < f.rank; ++i) tap_[kMaxSpatial - f.rank + i] = v.strides[lead_ + i];
    in_ = v.strides[v.rank - 1];
    dense_ = f.group_in() == 1 || in_ == 1;
    for (int64_t i = kMaxSpatial - 1, step = f.group_in(); i >= 0; step *= f.kernel[i--])
      dense_ &= f.kernel[i] == 1 || tap_[i] == step;
  }

  int64_t start(int64_t channel) const {
    if (lead_ < 2) return channel * v_.strides[0];
    return channel / f_.group_out() * v_.strides[0] + channel % f_.group_out() * v_.strides[1];
  }

  // Calls part(at, tap, input channel, count) for the elements e .. e + count: parts of one tap,
  // the first `at` elements behind the channel's start.
  template <class Part>
  void parts(int64_t e, int64_t count, Part part) const {
    const int64_t in = f_.group_in();
    for (int64_t n; count; e += n, count -= n) {
      int64_t tap[kMaxSpatial], index = e / in;
      for (int i = kMaxSpatial - 1; i >= 0; index /= f_.kernel[i--]) tap[i] = index % f_.kernel[i];
      const int64_t c = e % in;
      n = in - c < count ? in - c : count;
      part(tap[0] * tap_[0] + tap[1] * tap_[1] + tap[2] * tap_[2] + c * in_, tap, c, n);
    }
  }
  // The channel's source elements e .. e + count one behind another: in place or in buffer.
  template <class T>
  const T* elements(int64_t channel, int64_t e, int64_t count, T* buffer) const {
    const T* p = reinterpret_cast<const T*>(v_.data) + start(channel);
    if (dense_) return p + e;
    T* to = buffer;
    parts(e, count, [&](int64_t at, const int64_t*, int64_t, int64_t n) {
      for (int64_t i = 0; i < n; ++i) *to++ = p[at + i * in_];
    });
    return buffer;
  }

  // "[o, h, w, i]" of an element, as the source has its dims.
  void name(int64_t channel, int64_t e, Text* text) const {
    const auto put = [&](const char* before, int64_t i) {
      text->put(before);
      text->put_signed(i);
    };
    if (lead_ == 2) put("[", channel / f_.group_out());
    put(lead_ == 2 ? ", " : "[", lead_ == 2 ? channel % f_.group_out() : channel);
    parts(e, 1, [&](int64_t, const int64_t* tap, int64_t c, int64_t) {
      for (int i = kMaxSpatial - f_.rank; i < kMaxSpatial; ++i) put(", ", tap[i]);
      put(", ", c);
    });
    text->put(']');
  }

 private:
  const View& v_;
  const ConvForm& f_;
  const int lead_;  // dims before the taps: output channels, or groups and theirs
  int64_t tap_[kMaxSpatial] = {}, in_ = 0;
  bool dense_;  // all elements of a channel follow each other, in order
};

// Sums are formed modulo 2^32.
void add(int32_t* sum, uint32_t x) { *sum = static_cast<int32_t>(static_cast<uint32_t>(*sum) + x); }

// Kernels of the context and the arrays that packing fills.
struct Packer {
  const WeightsSource& s;
  const ConvForm form;  // a matrix is packed as the 1x1 convolution that it is
  const Channels channels;
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
        form(s.conv.rank ? s.conv
                         : make_conv_form(0, 1, false, nullptr, nullptr, nullptr, s.k, s.n)),
        channels(s.source, form),
        quantize(kernel<RunFn>(c, kQuantize, OCTET_F32, OCTET_S8)),
        minmax(kernel<RangeFn>(c, kMinMax, OCTET_F32, 0)) {}

  // The range that scales are chosen from: of `rows` channels from n on.
  Range searched(Range r, int64_t n, int64_t rows) const {
    const auto read = [this](int64_t channel, int64_t k, int64_t count, float* buffer) {
      return channels.elements(channel, k, count, buffer);
    };
    s.search_range(n, rows, 0, s.k, read, &r);
    return r;
  }

  size_t panel_count() const { return static_cast<size_t>(form.slots() / 16); }

  Range range(int64_t n) const {
    Range r = {__builtin_inff(), -__builtin_inff(), 0, 0};
    float buffer[kChunk];
    for (int64_t k = 0; k < s.k; k += kChunk) {
      const int64_t count = s.k - k < kChunk ? s.k - k : kChunk;
      minmax(channels.elements(n, k, count, buffer), static_cast<size_t>(count), &r);
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

  void choose_qparams(int64_t n, float* channel_scale, int32_t* channel_zero) const {
    if (s.source.type != OCTET_F32) {
      const int64_t at = s.per_channel ? n : 0;
      *channel_scale = s.q->scale[at];
      *channel_zero = s.q->zero_point ? s.q->zero_point[at] : 0;
    } else if (s.per_channel) {
      choose_channel(searched(range(n), n, 1), channel_scale, channel_zero);
    } else {
      *channel_scale = tensor_scale;
      *channel_zero = tensor_zero;
    }
    *channel_zero -= s.offset();
  }

  // The integers to store of a channel's elements k .. k + count.
  const int8_t* integers(int64_t n, int64_t k, int64_t count, const float& inverse,
                         const int32_t& channel_zero, int8_t* bytes) const {
    if (s.source.type != OCTET_F32) return channels.elements(n, k, count, bytes);
    float buffer[kChunk];
    Run run = {};
    run.x = channels.elements(n, k, count, buffer);
    run.y = bytes;
    run.n = static_cast<size_t>(count);
    run.out_inv = &inverse;
    run.out_zero = &channel_zero;
    run.qmin = s.scheme.chooser.qmin - s.offset();
    run.qmax = s.scheme.chooser.qmax - s.offset();
    run.divide = s.scheme.divide;
    quantize(&run);
    return bytes;
  }

  // Where groups share a panel: the column's zero point for the channels of all of them.
  void fill_column(int64_t unit, int8_t* column, int32_t channel_zero, int64_t slot) {
    const int64_t filled = form.unit_in(unit);
    const uint32_t others = static_cast<uint32_t>(filled - form.group_in());
    channels.parts(0, s.k, [&](int64_t, const int64_t* tap, int64_t, int64_t) {
      const int64_t at = form.tap_k(tap, unit);
      for (int64_t i = at; i < at + filled; ++i)
        column[i / 4 * 64 + i % 4] = static_cast<int8_t>(channel_zero);
      add(&sums[form.phase_of(tap) * form.slots() + slot],
          others * static_cast<uint32_t>(channel_zero));
    });
  }

  // Column `at` of a unit.
  void pack_channel(int64_t unit, int64_t at) {
    const int64_t n = form.first_out(unit) + at, slot = unit * form.unit_slots() + at;
    int8_t* column = panels + slot / 16 * panel_stride + slot % 16 * 4;
    choose_qparams(n, scale + slot, zero + slot);
    const int32_t channel_zero = zero[slot];
    const float inverse = s.scheme.divide ? scale[slot] : 1.0f / scale[slot];
    // The channels of its group among those of the unit.
    const bool shares = form.unit_in(unit) != form.group_in();
    const int64_t first = shares ? at / form.group_out() * form.group_in() : 0;
    if (shares) fill_column(unit, column, channel_zero, slot);
    // Bytes of the source, which are u8 where the weights are; floats become s8 at once.
    const int8_t flip = s.source.type == OCTET_U8 ? -128 : 0;
    int8_t bytes[kChunk];
    for (int64_t k = 0; k < s.k; k += kChunk) {
      const int64_t count = s.k - k < kChunk ? s.k - k : kChunk;
      const int8_t* from = integers(n, k, count, inverse, channel_zero, bytes);
      channels.parts(k, count, [&](int64_t, const int64_t* tap, int64_t c, int64_t part) {
        uint32_t sum = 0;
        const int64_t k0 = form.tap_k(tap, unit) + first + c;
        for (int64_t i = k0; i < k0 + part; ++i) {
          const int8_t w = static_cast<int8_t>(*from++ ^ flip);
          sum += static_cast<uint32_t>(int32_t{w});
          column[i / 4 * 64 + i % 4] = w;
        }
        add(&sums[form.phase_of(tap) * form.slots() + slot], sum);
      });
    }
  }

  static void check_panel(void* arg, size_t panel) {
    Packer& p = *static_cast<Packer*>(arg);
    const int64_t first = static_cast<int64_t>(panel) * 16;
    for (int64_t slot = first; slot < first + 16; ++slot) {
      const int64_t n = p.form.channel(slot);
      if (n < 0) return;
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
    const int64_t first = static_cast<int64_t>(panel) * 16, slots = p.form.slots();
    for (int64_t phase = 0; phase < p.form.phases(); ++phase)
      memset(p.sums + phase * slots + first, 0, 16 * sizeof *p.sums);
    for (int64_t slot = first; slot < first + 16; ++slot) {
      if (p.form.channel(slot) >= 0) {
        p.pack_channel(slot / p.form.unit_slots(), slot % p.form.unit_slots());
      } else {
        p.zero[slot] = 0;
        p.scale[slot] = 1;
      }
    }
  }

  // The sentence for channel n, which check_panel refused.
  octet_status explain(octet_error* err, int64_t n) const {
    for (int64_t k = 0; k < s.k; ++k) {
      float buffer;
      const float w = *channels.elements(n, k, 1, &buffer);
      if (w - w == 0) continue;
      char name[160];
      Text text(name, sizeof name);
      channels.name(n, k, &text);
      text.finish();
      return fail(err, OCTET_ERR_NOT_FINITE,
                  "octet_weights_desc.source%s is %g; weights must be finite.", name,
                  static_cast<double>(w));
    }
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "octet_weights_desc.source channel %lld needs a scale above 2^60; scale the weights "
        "down.",
        static_cast<long long>(n));
  }

  octet_status check(octet_error* err, const Exec& exec) {
    if (s.source.type != OCTET_F32) return OCTET_OK;
    OCTET_TRY(run_tasks(err, exec, panel_count(), check_panel, this));
    const int64_t first = bad.load(std::memory_order_relaxed);
    if (first != INT64_MAX) return explain(err, first);
    if (s.per_channel) return OCTET_OK;
    Range all = {__builtin_inff(), -__builtin_inff(), 0, 0};
    for (int64_t n = 0; n < s.n; ++n) {
      const Range r = range(n);
      if (r.min < all.min) all.min = r.min;
      if (r.max > all.max) all.max = r.max;
    }
    if (!choose_channel(searched(all, 0, s.n), &tensor_scale, &tensor_zero))
      return fail(err, OCTET_ERR_ARGUMENT,
                  "octet_weights_desc.source needs a scale above 2^60; scale the weights down.");
    return OCTET_OK;
  }

  octet_status write(octet_error* err, const Exec& exec) {
    return run_tasks(err, exec, panel_count(), pack_panel, this);
  }
};

void write_bias(const WeightsSource& s, size_t bytes, void* bias) {
  memset(bias, 0, bytes);
  if (!s.has_bias) return;
  for (int64_t n = 0; n < s.n; ++n) {
    const int64_t at = s.conv.rank ? s.conv.slot(n) : n;
    memcpy(static_cast<char*>(bias) + at * 4, s.bias.data + n * s.bias.strides[0] * 4, 4);
  }
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
  for (int64_t slot = 0; slot < p.form.slots(); ++slot) *has_zero |= p.zero[slot] != 0;
  return OCTET_OK;
}

}  // namespace

void describe_conv(const ConvForm& f, ConvHeader* h) {
  h->rank = static_cast<uint32_t>(f.rank);
  h->groups = static_cast<uint32_t>(f.groups);
  h->flags = f.transposed ? uint32_t{kBlobTransposed} : 0;
  for (int i = 0; i < f.rank; ++i) {
    const int dim = kMaxSpatial - f.rank + i;
    h->kernel[i] = static_cast<uint32_t>(f.kernel[dim]);
    if (!f.transposed) continue;
    h->stride[i] = static_cast<uint32_t>(f.stride[dim]);
    h->dilation[i] = static_cast<uint32_t>(f.dilation[dim]);
  }
}

octet_status pack_blob(octet_error* err, const octet_context& c, const WeightsSource& s, void* blob,
                       const Exec& exec, bool seal) {
  const BlobLayout l = s.layout();
  char* base = static_cast<char*>(blob);
  bool has_zero = false;
  if (s.form().plain())
    OCTET_TRY(pack_bytes(err, c, s, l, base, exec, &has_zero));
  else
    OCTET_TRY(pack_groups(err, c, s, blob, exec, &has_zero));
  write_bias(s, l.total - l.bias, base + l.bias);
  ConvHeader conv = {};
  BlobHeader& h = conv.blob;
  memcpy(h.magic, kBlobMagic, sizeof h.magic);
  h.major = kBlobMajor;
  h.header_bytes = static_cast<uint32_t>(l.panels);
  h.total_bytes = l.total;
  h.layout = s.group              ? kBlobLayoutGroups
             : s.form().nibbles() ? kBlobLayoutC16K8
             : s.conv.depthwise   ? kBlobLayoutDepthwise
                                  : kBlobLayoutC16K4;
  h.kind = s.conv.rank ? kBlobConv : kBlobMatrix;
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
  if (s.conv.rank) describe_conv(s.conv, &conv);
  memcpy(blob, &conv, l.panels);
  if (seal) seal_blob(blob);
  return OCTET_OK;
}

}  // namespace octet

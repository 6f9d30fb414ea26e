// SPDX-License-Identifier: Apache-2.0
//
// oneDNN's convolution and deconvolution. Padding is the input's zero point for Octet and for
// oneDNN where that is passed ("zero point"). Where the caller folds it into the bias ("folded"),
// padding has to be data: each call first copies the image into a padded one.
#include "onednn_call.h"

namespace octet_cli {
namespace {

using dnnl::memory;
using Type = memory::data_type;
using Tag = memory::format_tag;

Tag pixels_first(int rank) {
  constexpr Tag kTags[] = {Tag::nwc, Tag::nhwc, Tag::ndhwc};
  return kTags[rank - 1];
}

// oneDNN names O I (D)(H) W, with groups G O I (D)(H) W; in memory [O][(D)(H)W][I].
Tag weights_tag(int rank, bool groups) {
  constexpr Tag kTags[2][3] = {{Tag::acb, Tag::acdb, Tag::acdeb},
                               {Tag::abdc, Tag::abdec, Tag::abdefc}};
  return kTags[groups][rank - 1];
}

memory::dims dims_of(const ConvShape::Dims& d, int rank) { return {d.begin(), d.begin() + rank}; }

memory::dims image_dims(const ConvShape& c, const ConvShape::Dims& extents, int64_t channels) {
  memory::dims dims = {c.batch, channels};
  dims.insert(dims.end(), extents.begin(), extents.begin() + c.rank);
  return dims;
}

memory::dims weights_dims(const ConvShape& c) {
  memory::dims dims = {c.out_channels, c.group_in()};
  if (c.groups > 1) dims = {c.groups, c.group_out(), c.group_in()};
  dims.insert(dims.end(), c.kernel.begin(), c.kernel.begin() + c.rank);
  return dims;
}

// The layer on an image that has its padding as data.
ConvShape padded(const ConvShape& from) {
  ConvShape c = from;
  for (size_t d = 0; d < 3; ++d) c.in[d] += c.pad_lo[d] + c.pad_hi[d];
  c.pad_lo = c.pad_hi = {0, 0, 0};
  return c;
}

// Copies the image of p, row by row, into that of c: its own, or padded(its own).
void copy_rows(const Problem& p, const ConvShape& c, uint8_t* to) {
  const ConvShape& from = *p.conv;
  ConvShape::Dims first;
  for (size_t d = 0; d < 3; ++d) first[d] = from.pad_lo[d] - c.pad_lo[d];
  const auto row = static_cast<size_t>(from.in[2] * from.channels);
  const uint8_t* x = p.x.data();
  for (int64_t n = 0; n < c.batch; ++n) {
    for (int64_t z = 0; z < from.in[0]; ++z) {
      for (int64_t y = 0; y < from.in[1]; ++y, x += row) {
        const int64_t line = (n * c.in[0] + z + first[0]) * c.in[1] + y + first[1];
        std::memcpy(to + (line * c.in[2] + first[2]) * c.channels, x, row);
      }
    }
  }
}

class Maker {
 public:
  Maker(const dnnl::engine& engine, const dnnl::stream& stream, const Problem& problem)
      : engine_(engine), stream_(stream), p_(problem) {}

  std::unique_ptr<OneDnnCall> quantized(bool folded) const {
    const Type act = p_.act_signed ? Type::s8 : Type::u8;
    const bool raw = p_.form == Form::kS32;
    const Type out = raw ? Type::s32 : p_.form == Form::kF32 ? Type::f32 : act;
    // Raw accumulators have no scales; a folded zero point then goes into an int32 bias.
    const Type bias_type = raw ? Type::s32 : Type::f32;
    dnnl::primitive_attr attr;
    if (!raw) {
      attr.set_scales_mask(DNNL_ARG_SRC, 0);
      attr.set_scales_mask(DNNL_ARG_WEIGHTS, p_.conv->groups > 1 ? 3 : 1);
    }
    if (p_.form == Form::kQ8) {
      attr.set_scales_mask(DNNL_ARG_DST, 0);
      attr.set_zero_points_mask(DNNL_ARG_DST, 0);
    }
    if (!folded) attr.set_zero_points_mask(DNNL_ARG_SRC, 0);

    const ConvShape c = folded ? padded(*p_.conv) : *p_.conv;
    const Tag order = pixels_first(c.rank);
    const memory::desc src(image_dims(c, c.in, c.channels), act, order);
    const memory::desc dst = output_desc(out, order);
    const memory::desc bias = !raw || folded ? bias_desc(bias_type) : memory::desc();
    auto call = std::make_unique<OneDnnCall>(engine_, stream_);
    call->variant = folded ? "folded" : "zero point";
    make(*call, c, src, memory::desc(weights_dims(c), Type::s8, Tag::any), bias, dst, attr);

    call->weights({weights_dims(c), Type::s8, weights_tag(c.rank, c.groups > 1)}, p_.w.data());
    std::vector<uint8_t> x(src.get_size(), static_cast<uint8_t>(p_.in_zero));
    copy_rows(p_, c, x.data());
    auto* image = static_cast<uint8_t*>(call->tensor(DNNL_ARG_SRC, src, x.data()));
    if (folded && p_.conv->padded())
      call->before = [problem = &p_, c, image] { copy_rows(*problem, c, image); };
    if (!raw) {
      call->argument(DNNL_ARG_ATTR_SCALES | DNNL_ARG_SRC, Type::f32, std::vector{p_.in_scale});
      call->argument(DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS, Type::f32, p_.w_scale);
    }
    if (p_.form == Form::kQ8) {
      call->argument(DNNL_ARG_ATTR_SCALES | DNNL_ARG_DST, Type::f32, std::vector{p_.out_scale});
      call->argument(DNNL_ARG_ATTR_ZERO_POINTS | DNNL_ARG_DST, Type::s32, std::vector{p_.out_zero});
    }
    if (!folded)
      call->argument(DNNL_ARG_ATTR_ZERO_POINTS | DNNL_ARG_SRC, Type::s32, std::vector{p_.in_zero});
    if (!raw || folded) add_bias(*call, folded, bias_type);
    return call;
  }

  std::unique_ptr<OneDnnCall> floating(bool any_order) const {
    const ConvShape& c = *p_.conv;
    const Tag order = any_order ? Tag::any : pixels_first(c.rank);
    const memory::dims in = image_dims(c, c.in, c.channels);
    auto call = std::make_unique<OneDnnCall>(engine_, stream_);
    call->variant = any_order ? "its order" : "pixels first";
    make(*call, c, {in, Type::f32, order}, {weights_dims(c), Type::f32, Tag::any},
         bias_desc(Type::f32), output_desc(Type::f32, order), {});
    std::vector<float> w(p_.w.size());
    for (size_t i = 0; i < w.size(); ++i) w[i] = p_.w_float(i);
    call->weights({weights_dims(c), Type::f32, weights_tag(c.rank, c.groups > 1)}, w.data());
    call->reordered(DNNL_ARG_SRC, {in, Type::f32, pixels_first(c.rank)}, p_.x_float.data(), src_);
    call->tensor(DNNL_ARG_BIAS, bias_desc(Type::f32), p_.bias.data());
    return call;
  }

 private:
  memory::desc output_desc(Type type, Tag order) const {
    const ConvShape& c = *p_.conv;
    return {image_dims(c, {c.out(0), c.out(1), c.out(2)}, c.out_channels), type, order};
  }
  memory::desc bias_desc(Type type) const { return {{dim(p_.n())}, type, Tag::a}; }

  void make(OneDnnCall& call, const ConvShape& c, const memory::desc& src, const memory::desc& w,
            const memory::desc& bias, const memory::desc& dst, dnnl::primitive_attr attr) const {
    if (c.transposed)
      create<dnnl::deconvolution_forward>(call, dnnl::algorithm::deconvolution_direct, c, src, w,
                                          bias, dst, attr);
    else
      create<dnnl::convolution_forward>(call, dnnl::algorithm::convolution_direct, c, src, w, bias,
                                        dst, attr);
  }

  template <typename Primitive>
  void create(OneDnnCall& call, dnnl::algorithm algorithm, const ConvShape& c,
              const memory::desc& src, const memory::desc& w, const memory::desc& bias,
              const memory::desc& dst, dnnl::primitive_attr& attr) const {
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const auto kind = dnnl::prop_kind::forward_inference;
    memory::dims dilation = dims_of(c.dilation, c.rank), hi = dims_of(c.pad_hi, c.rank);
    for (auto& d : dilation) --d;  // oneDNN counts the gaps
    for (size_t d = 0; d < hi.size(); ++d) hi[d] -= c.out_pad[d];
    const memory::dims stride = dims_of(c.stride, c.rank), lo = dims_of(c.pad_lo, c.rank);
    using Desc = typename Primitive::primitive_desc;
    const Desc desc =
        bias.get_size()
            ? Desc(engine_, kind, algorithm, src, w, bias, dst, stride, dilation, lo, hi, attr)
            : Desc(engine_, kind, algorithm, src, w, dst, stride, dilation, lo, hi, attr);
    src_ = desc.src_desc();
    call.adopt<Primitive>(desc);
  }

  void add_bias(OneDnnCall& call, bool folded, Type type) const {
    std::vector<float> real = p_.bias;
    std::vector<int32_t> whole(p_.n(), 0);
    for (size_t j = 0; folded && j < p_.n(); ++j) {
      int32_t sum = 0;
      for (size_t i = 0; i < p_.k(); ++i) sum += p_.w[j * p_.k() + i];
      whole[j] = -p_.in_zero * sum;
      real[j] += p_.in_scale * p_.w_scale[j] * static_cast<float>(whole[j]);
    }
    call.tensor(DNNL_ARG_BIAS, bias_desc(type),
                type == Type::s32 ? static_cast<const void*>(whole.data()) : real.data());
  }

  dnnl::engine engine_;
  dnnl::stream stream_;
  const Problem& p_;
  mutable memory::desc src_;  // of the last that was created
};

// Each way by itself: one may be refused where the other is not.
template <typename Make>
void attempt(Offer& offer, Make make) {
  try {
    offer.variants.push_back(make());
  } catch (const std::exception& error) {
    offer.absent = std::string("oneDNN refuses: ") + error.what() + ".";
  }
}

}  // namespace

Offer convolutions(const dnnl::engine& engine, const dnnl::stream& stream, const Problem& p) {
  if (p.form == Form::kDynamic) return {{}, "oneDNN's convolution quantizes no activations."};
  const Maker maker(engine, stream, p);
  Offer offer;
  attempt(offer, [&] { return maker.quantized(false); });
  // A transposed convolution has no padding to fold: its border outputs have fewer products.
  if (!p.conv->transposed) attempt(offer, [&] { return maker.quantized(true); });
  return offer;
}

Offer float_convolutions(const dnnl::engine& engine, const dnnl::stream& stream, const Problem& p) {
  const Maker maker(engine, stream, p);
  Offer offer;
  attempt(offer, [&] { return maker.floating(false); });
  attempt(offer, [&] { return maker.floating(true); });
  return offer;
}

}  // namespace octet_cli

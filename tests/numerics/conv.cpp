// SPDX-License-Identifier: Apache-2.0
#include "tests/numerics/conv.h"

#include <math.h>

#include <algorithm>

#include "tests/kernels/guarded.h"

namespace octet_test {

int64_t ConvLayer::taps() const {
  int64_t n = 1;
  for (int i = 0; i < rank; ++i) n *= kernel[i];
  return n;
}
int64_t ConvLayer::pixels() const {
  int64_t n = 1;
  for (int i = 0; i < rank; ++i) n *= image[i];
  return n;
}
int64_t ConvLayer::out_extent(int i) const {
  if (!image[i]) return 0;
  const int64_t reach = int64_t{dilation[i]} * (kernel[i] - 1) + 1;
  if (transposed) return (image[i] - 1) * stride[i] - pad_lo[i] - pad_hi[i] + reach + out_pad[i];
  const int64_t room = image[i] + pad_lo[i] + pad_hi[i] - reach;
  return room < 0 ? 0 : room / stride[i] + 1;
}
int64_t ConvLayer::out_pixels() const {
  int64_t n = 1;
  for (int i = 0; i < rank; ++i) n *= out_extent(i);
  return n;
}
octet_geometry ConvLayer::geometry() const {
  octet_geometry g = sized<octet_geometry>();
  g.flags = transposed ? OCTET_TRANSPOSED : 0;
  g.rank = rank;
  g.groups = groups;
  for (int i = 0; i < rank; ++i) {
    g.stride[i] = stride[i];
    g.dilation[i] = dilation[i];
    g.pad_lo[i] = pad_lo[i];
    g.pad_hi[i] = pad_hi[i];
    g.out_pad[i] = out_pad[i];
  }
  return g;
}

namespace {

struct Quantized {
  std::vector<int32_t> q;
  std::vector<float> scale;  // of each sample
  std::vector<int32_t> zero;
  std::vector<bool> finite;
};

Quantized activations(const ConvLayer& l) {
  Quantized a;
  const int64_t size = l.pixels() * l.channels;
  const size_t batch = static_cast<size_t>(l.batch);
  if (!l.dynamic) {
    for (uint8_t byte : l.x) a.q.push_back(l.in == OCTET_S8 ? static_cast<int8_t>(byte) : byte);
    a.scale.assign(batch, l.in_scale[0]);
    a.zero.assign(batch, l.in_zero[0]);
    if (l.in_scale.size() > 1) a.scale = l.in_scale;
    if (l.in_zero.size() > 1) a.zero = l.in_zero;
    a.finite.assign(batch, true);
    return a;
  }
  const int64_t together = l.per_tensor ? l.batch : 1;
  for (int64_t first = 0; first < l.batch; first += together) {
    float min = 0, max = 0;
    bool finite = true;
    for (int64_t i = first * size; i < (first + together) * size; ++i) {
      const float x = l.xf[static_cast<size_t>(i)];
      finite &= isfinite(x) != 0;
      min = std::min(min, x);
      max = std::max(max, x);
    }
    const int32_t qmin = type_min(l.in), qmax = type_max(l.in);
    const ScaleZero s =
        finite ? choose(min, max, qmin, qmax, l.scheme.flags & OCTET_SYMMETRIC) : ScaleZero{1, 0};
    for (int64_t i = first * size; i < (first + together) * size; ++i)
      a.q.push_back(quantize(l.xf[static_cast<size_t>(i)], s.scale, s.zero, qmin, qmax));
    for (int64_t n = 0; n < together; ++n) {
      a.scale.push_back(s.scale);
      a.zero.push_back(s.zero);
      a.finite.push_back(finite);
    }
  }
  return a;
}

// Accumulators [batch][output pixels][outputs], zero points taken out.
std::vector<int64_t> accumulate(const ConvLayer& l, const Quantized& a) {
  int64_t in[3] = {1, 1, 1}, out[3] = {1, 1, 1}, kernel[3] = {1, 1, 1}, stride[3] = {1, 1, 1},
          dilation[3] = {1, 1, 1}, pad[3] = {};
  for (int i = 0; i < l.rank; ++i) {
    const int at = 3 - l.rank + i;
    in[at] = l.image[i];
    out[at] = l.out_extent(i);
    kernel[at] = l.kernel[i];
    stride[at] = l.stride[i];
    dilation[at] = l.dilation[i];
    pad[at] = l.pad_lo[i];
  }
  const int64_t pixels = out[0] * out[1] * out[2];
  std::vector<int64_t> acc(static_cast<size_t>(l.batch * pixels * l.outputs));
  const int64_t ig = l.channels / l.groups, og = l.outputs / l.groups;
  // A tap joins an input pixel with an output pixel: output = input * s - lo + t * d (transposed),
  // input = output * s - lo + t * d.
  const auto& from = l.transposed ? in : out;
  const auto& to = l.transposed ? out : in;
  int64_t p[3], t[3], q[3];
  for (int64_t n = 0; n < l.batch; ++n)
    for (p[0] = 0; p[0] < from[0]; ++p[0])
      for (p[1] = 0; p[1] < from[1]; ++p[1])
        for (p[2] = 0; p[2] < from[2]; ++p[2])
          for (t[0] = 0; t[0] < kernel[0]; ++t[0])
            for (t[1] = 0; t[1] < kernel[1]; ++t[1])
              for (t[2] = 0; t[2] < kernel[2]; ++t[2]) {
                bool inside = true;
                for (int i = 0; i < 3; ++i) {
                  q[i] = p[i] * stride[i] - pad[i] + t[i] * dilation[i];
                  inside &= q[i] >= 0 && q[i] < to[i];
                }
                if (!inside) continue;  // padding is the zero point: it adds nothing
                const auto& image = l.transposed ? p : q;
                const auto& pixel = l.transposed ? q : p;
                const int64_t at_x =
                    (((n * in[0] + image[0]) * in[1] + image[1]) * in[2] + image[2]) * l.channels;
                const int64_t at_y =
                    (((n * out[0] + pixel[0]) * out[1] + pixel[1]) * out[2] + pixel[2]) * l.outputs;
                const int64_t tap = (t[0] * kernel[1] + t[1]) * kernel[2] + t[2];
                const int64_t zx = a.zero[static_cast<size_t>(n)];
                for (int64_t o = 0; o < l.outputs; ++o) {
                  const int64_t zw = l.w_zero[l.w_zero.size() > 1 ? static_cast<size_t>(o) : 0];
                  const int64_t at_w = (o * l.taps() + tap) * ig;
                  int64_t sum = 0;
                  for (int64_t c = 0; c < ig; ++c) {
                    const int8_t byte = l.w[static_cast<size_t>(at_w + c)];
                    const int64_t w = l.w_type == OCTET_U8 ? static_cast<uint8_t>(byte) : byte;
                    sum += (a.q[static_cast<size_t>(at_x + o / og * ig + c)] - zx) * (w - zw);
                  }
                  acc[static_cast<size_t>(at_y + o)] += sum;
                }
              }
  return acc;
}

float bounded(float v, float lo, float hi) {
  v = v > lo ? v : lo;
  return v < hi ? v : hi;
}

}  // namespace

Bytes conv_model(const ConvLayer& l) {
  const Quantized a = activations(l);
  const std::vector<int64_t> sums = accumulate(l, a);
  const bool q8 = l.out.type == OCTET_U8 || l.out.type == OCTET_S8;
  const bool named = l.numerics != OCTET_NUMERICS_TORCH;
  Layer finish;  // of a framework's numerics
  finish.out = l.out;
  finish.numerics = l.numerics;
  finish.act = l.act;
  finish.lo = l.lo;
  finish.hi = l.hi;
  finish.bias_type = l.bias_type;
  finish.bias_f = l.bias_f;
  finish.bias_i = l.bias_i;
  const float inverse = q8 ? 1.0f / l.out.scale : 1;
  int32_t lo = type_min(l.out.type), hi = type_max(l.out.type);
  float flo = -INFINITY, fhi = INFINITY;
  if (l.act != OCTET_ACT_NONE) flo = l.act == OCTET_CLAMP ? l.lo + 0.0f : 0;
  if (l.act == OCTET_RELU6) fhi = 6;
  if (l.act == OCTET_CLAMP) fhi = l.hi + 0.0f;
  if (q8) {
    const auto bound = [&](float v) {
      return std::clamp(
          static_cast<int32_t>(nearbyintf(bounded(v * inverse, -1e6f, 1e6f))) + l.out.zero_point,
          type_min(l.out.type), type_max(l.out.type));
    };
    if (isfinite(flo)) lo = bound(flo);
    if (isfinite(fhi)) hi = bound(fhi);
  }
  Bytes bytes;
  const int64_t each = l.out_pixels() * l.outputs;
  for (size_t i = 0; i < sums.size(); ++i) {
    const size_t n = i / static_cast<size_t>(each), o = i % static_cast<size_t>(l.outputs);
    int64_t sum = sums[i];
    const float product = a.scale[n] * l.w_scale[l.w_scale.size() > 1 ? o : 0];
    const float bias = l.bias_type == OCTET_F32 ? l.bias_f[o] : 0;
    if (named) {
      const uint8_t q =
          named_q8(finish, sum, o, a.scale[n], l.w_scale[l.w_scale.size() > 1 ? o : 0]);
      bytes.push_back(l.lut.empty() ? q : l.lut[q]);
      continue;
    }
    if (l.bias_type == OCTET_S32) sum += l.bias_i[o];
    const int32_t acc = static_cast<int32_t>(sum);
    uint8_t element[4];
    size_t size = 4;
    if (l.out.type == OCTET_S32) {
      memcpy(element, &acc, 4);
    } else if (l.out.type == OCTET_F32) {
      float y = static_cast<float>(acc) * product;
      y = y + bias;
      if (!a.finite[n]) y = NAN;
      if (l.residual.type) {
        float r;
        memcpy(&r, l.r.data() + 4 * i, 4);
        y = y + r;
      }
      uint32_t bits = 0x7FC00000;
      if (y == y) {
        y = y < flo ? flo : y;
        y = y > fhi ? fhi : y;
        memcpy(&bits, &y, 4);
      }
      memcpy(element, &bits, 4);
    } else {
      float v = static_cast<float>(acc);
      const float term = bias / product, mult = product / l.out.scale;
      v = v + term;
      v = v * mult;
      if (l.residual.type) {
        const int32_t r = l.residual.type == OCTET_S8 ? static_cast<int8_t>(l.r[i]) : l.r[i];
        const float scale = l.residual.scale / l.out.scale;
        const float add = scale * static_cast<float>(r - l.residual.zero_point);
        v = v + add;
      }
      v = bounded(v, static_cast<float>(lo - l.out.zero_point),
                  static_cast<float>(hi - l.out.zero_point));
      element[0] = static_cast<uint8_t>(static_cast<int32_t>(nearbyintf(v)) + l.out.zero_point);
      if (!l.lut.empty()) element[0] = l.lut[element[0]];
      size = 1;
    }
    bytes.insert(bytes.end(), element, element + size);
  }
  return bytes;
}

// ---- random layers ----------------------------------------------------------------------------

void fill_conv(Rng* rng, ConvLayer* l) {
  const int64_t count = l->batch * l->pixels() * l->channels;
  const bool extreme = rng->chance(20);
  const auto byte = [&](octet_type t) {
    if (extreme) return static_cast<uint8_t>(rng->chance(50) ? type_min(t) : type_max(t));
    return static_cast<uint8_t>(rng->next());
  };
  const std::vector<int32_t> zeros = l->in == OCTET_S8 ? std::vector<int32_t>{0, 1, 127, -128, -1}
                                                       : std::vector<int32_t>{0, 1, 127, 128, 255};
  if (l->dynamic) {
    for (int64_t i = 0; i < count; ++i) l->xf.push_back((rng->unit() - 0.4f) * 9);
    if (count && rng->chance(15))
      l->xf[static_cast<size_t>(rng->range(0, count - 1))] = rng->chance(50) ? NAN : -INFINITY;
  } else {
    for (int64_t i = 0; i < count; ++i) l->x.push_back(byte(l->in));
    const bool each = l->call && l->batch > 1 && rng->chance(60);
    l->in_scale.clear();
    l->in_zero.clear();
    for (int64_t n = 0; n < (each ? l->batch : 1); ++n) {
      l->in_scale.push_back(0.01f + rng->unit() / 50);
      l->in_zero.push_back(rng->pick(zeros));
    }
  }
  const size_t weights = static_cast<size_t>(l->outputs * l->taps() * (l->channels / l->groups));
  for (size_t i = 0; i < weights; ++i) l->w.push_back(static_cast<int8_t>(byte(l->w_type)));
  l->w_scale.clear();
  l->w_zero.clear();
  const bool channel = rng->chance(70), asymmetric = rng->chance(25);
  for (int64_t o = 0; o < (channel ? l->outputs : 1); ++o) {
    l->w_scale.push_back(0.002f + rng->unit() / 100);
    l->w_zero.push_back(
        asymmetric ? static_cast<int32_t>(rng->range(type_min(l->w_type), type_max(l->w_type)))
        : l->w_type == OCTET_U8 ? 128
                                : 0);
  }
  const bool q8 = l->out.type == OCTET_U8 || l->out.type == OCTET_S8;
  const float k = static_cast<float>(l->taps() * (l->channels / l->groups));
  if (q8) {
    l->out.scale = 0.004f * sqrtf(k + 1) * (0.3f + rng->unit());
    l->out.zero_point =
        static_cast<int32_t>(rng->range(type_min(l->out.type), type_max(l->out.type)));
  }
  if (l->bias_type == OCTET_F32)
    for (int64_t o = 0; o < l->outputs; ++o) l->bias_f.push_back((rng->unit() - 0.5f) * 2);
  if (l->bias_type == OCTET_S32)
    for (int64_t o = 0; o < l->outputs; ++o)
      l->bias_i.push_back(static_cast<int32_t>(rng->range(-9999, 9999)));
  if (l->residual.type) {
    const size_t n = static_cast<size_t>(l->batch * l->out_pixels() * l->outputs);
    if (l->residual.type == OCTET_F32) {
      for (size_t i = 0; i < n; ++i) {
        const float r = (rng->unit() - 0.5f) * 8;
        const uint8_t* p = reinterpret_cast<const uint8_t*>(&r);
        l->r.insert(l->r.end(), p, p + 4);
      }
    } else {
      l->residual.scale = l->out.scale * (0.2f + rng->unit());
      l->residual.zero_point =
          static_cast<int32_t>(rng->range(type_min(l->residual.type), type_max(l->residual.type)));
      for (size_t i = 0; i < n; ++i) l->r.push_back(static_cast<uint8_t>(rng->next()));
    }
  }
  if (q8 && rng->chance(15))
    for (int i = 0; i < 256; ++i) l->lut.push_back(static_cast<uint8_t>(rng->next()));
}

namespace {

void draw_shape(Rng* rng, ConvKind kind, ConvLayer* l) {
  const int percent = static_cast<int>(rng->range(0, 99));
  if (kind == ConvKind::kAny)
    kind = percent < 45   ? ConvKind::kPlain
           : percent < 65 ? ConvKind::kGrouped
           : percent < 72 ? ConvKind::kDepthwise
           : percent < 90 ? ConvKind::kTransposed
                          : ConvKind::kPointwise;
  l->rank = rng->pick<int32_t>({1, 2, 2, 2, 3});
  l->transposed = kind == ConvKind::kTransposed;
  l->batch = rng->pick<int64_t>({1, 1, 2, 3});
  l->channels = rng->pick<int64_t>({1, 2, 3, 4, 5, 8, 12, 16, 17, 32, 48, 67});
  l->outputs = rng->pick<int64_t>({1, 3, 8, 16, 17, 33, 64, 80, 130});
  if (kind == ConvKind::kGrouped || (l->transposed && rng->chance(40))) {
    l->groups = rng->pick<int32_t>({2, 3, 4, 7, 8, 17});
    l->channels = l->groups * rng->pick<int64_t>({2, 3, 4, 8, 20});
    l->outputs = l->groups * rng->pick<int64_t>({1, 2, 3, 4, 8, 15, 16, 20, 33});
  } else if (kind == ConvKind::kSmallGroups) {
    const int64_t group = rng->pick<int64_t>({2, 4, 4, 8, 8, 16});
    l->transposed = rng->chance(15);
    l->channels = l->outputs = rng->pick<int64_t>({16, 32, 48, 64, 80, 128, 160});
    l->groups = static_cast<int32_t>(l->channels / group);
  } else if (kind == ConvKind::kDepthwise) {
    l->groups = rng->pick<int32_t>({2, 3, 8, 16, 17, 40, 64});
    l->channels = l->groups;
    l->outputs = l->groups * rng->pick<int64_t>({1, 1, 2, 3});
  }
  for (int i = 0; i < l->rank; ++i) {
    const bool one = kind == ConvKind::kPointwise;
    l->kernel[i] = one ? 1 : rng->pick<int32_t>({1, 2, 3, 3, 3, 4, 5, 7});
    if (l->rank == 3 && l->kernel[i] > 3) l->kernel[i] = 3;
    l->stride[i] = rng->pick<int32_t>({1, 1, 1, 2, 3});
    l->dilation[i] = rng->pick<int32_t>({1, 1, 1, 2, 3});
    const int32_t reach = (l->kernel[i] - 1) * l->dilation[i];
    l->image[i] = rng->range(1, l->rank == 1 ? 60 : l->rank == 2 ? 12 : 6);
    if (l->transposed) {
      l->out_pad[i] =
          static_cast<int32_t>(rng->range(0, std::max(l->stride[i], l->dilation[i]) - 1));
      const int64_t most = (l->image[i] - 1) * l->stride[i] + reach + l->out_pad[i];
      l->pad_lo[i] = static_cast<int32_t>(rng->range(0, std::min<int64_t>(most, reach)));
      l->pad_hi[i] =
          static_cast<int32_t>(rng->range(0, std::min<int64_t>(most - l->pad_lo[i], reach)));
      continue;
    }
    if (one && rng->chance(70)) continue;
    l->pad_lo[i] = static_cast<int32_t>(rng->range(0, reach + (rng->chance(10) ? 2 : 0)));
    l->pad_hi[i] = rng->chance(20) ? 0 : static_cast<int32_t>(rng->range(0, reach));
    if (rng->chance(40)) l->pad_lo[i] = l->pad_hi[i] = reach / 2;
    const int64_t missing = reach + 1 - l->image[i] - l->pad_lo[i] - l->pad_hi[i];
    if (missing > 0) l->image[i] += missing;
  }
}

}  // namespace

ConvLayer random_conv(Rng* rng, ConvKind kind) {
  ConvLayer l;
  draw_shape(rng, kind, &l);
  l.in = rng->pick<octet_type>({OCTET_U8, OCTET_U8, OCTET_S8});
  l.dynamic = rng->chance(20);
  l.per_tensor = rng->chance(40);
  l.call = !l.dynamic && rng->chance(15);
  l.w_type = rng->pick<octet_type>({OCTET_S8, OCTET_S8, OCTET_U8});
  if (l.dynamic) {
    l.out.type = OCTET_F32;
    l.scheme.type = l.in;
    l.scheme.granularity = l.per_tensor ? OCTET_PER_TENSOR : 0;
  } else {
    l.out.type = rng->pick<octet_type>({OCTET_U8, OCTET_U8, OCTET_S8, OCTET_F32, OCTET_S32});
  }
  const bool raw = l.out.type == OCTET_S32;
  l.bias_type = rng->pick<octet_type>({0, OCTET_F32, OCTET_F32, OCTET_S32});
  if (raw && l.bias_type == OCTET_F32) l.bias_type = 0;
  if ((l.dynamic || l.call) && l.bias_type == OCTET_S32) l.bias_type = 0;
  if (!raw) {
    l.act = rng->pick<int32_t>({OCTET_ACT_NONE, OCTET_RELU, OCTET_RELU6, OCTET_CLAMP});
    if (l.act == OCTET_CLAMP) {
      l.lo = -0.7f;
      l.hi = 1.3f;
    }
    if (rng->chance(30))
      l.residual.type =
          l.out.type == OCTET_F32 ? OCTET_F32 : rng->pick<octet_type>({OCTET_U8, OCTET_S8});
  }
  const bool q8 = l.out.type == OCTET_U8 || l.out.type == OCTET_S8;
  if (q8 && !l.call && !l.residual.type && rng->chance(30))
    l.numerics = rng->pick<int32_t>({OCTET_NUMERICS_ONNX, OCTET_NUMERICS_QNNPACK,
                                     OCTET_NUMERICS_TFLITE, OCTET_NUMERICS_TFLITE_SINGLE});
  fill_conv(rng, &l);
  if (l.numerics >= OCTET_NUMERICS_TFLITE)
    for (int32_t& z : l.w_zero) z = l.w_type == OCTET_U8 ? 128 : 0;
  if (l.numerics == OCTET_NUMERICS_QNNPACK)  // its multipliers stay below 256
    for (const float s : l.w_scale)
      if (l.in_scale[0] * s / l.out.scale >= 256) l.out.scale = l.in_scale[0] * s / 128;
  return l;
}

std::string describe(const ConvLayer& l) {
  std::string s;
  const auto add = [&](const char* name, const auto& v) {
    s += std::string(" ") + name;
    for (int i = 0; i < l.rank; ++i) s += (i ? "," : "=") + std::to_string(v[i]);
  };
  s = std::to_string(l.rank) + "-D n" + std::to_string(l.batch) + " c" +
      std::to_string(l.channels) + " o" + std::to_string(l.outputs) + " g" +
      std::to_string(l.groups) + (l.transposed ? " transposed" : "");
  add("image", l.image);
  add("kernel", l.kernel);
  add("stride", l.stride);
  add("dilation", l.dilation);
  add("lo", l.pad_lo);
  add("hi", l.pad_hi);
  add("out_pad", l.out_pad);
  s += " in " + std::to_string(l.in) +
       (l.dynamic ? " dynamic"
        : l.call  ? " call"
                  : "") +
       (l.per_tensor ? " per tensor" : "") + " zero " + std::to_string(l.in_zero[0]) + " weights " +
       std::to_string(l.w_type) + " zero " + std::to_string(l.w_zero[0]) + " bias " +
       std::to_string(l.bias_type) + " residual " + std::to_string(l.residual.type) + " out " +
       std::to_string(l.out.type) + " act " + std::to_string(l.act) + " numerics " +
       std::to_string(l.numerics) + (l.lut.empty() ? "" : " lut");
  return s;
}

// ---- the op -----------------------------------------------------------------------------------

ConvOp::ConvOp(const octet_context* c, const ConvLayer& l, Rng* views) : l_(l) {
  const int64_t ig = l.channels / l.groups;
  octet_tensor source = {};
  source.type = l.w_type;
  source.rank = l.rank + 2;
  source.dims[0] = l.outputs;
  for (int i = 0; i < l.rank; ++i) source.dims[1 + i] = l.kernel[i];
  source.dims[1 + l.rank] = ig;
  // Some are channels-first in memory: [outputs, channels, taps].
  std::vector<int8_t> first(l.w.size());
  source.data = const_cast<int8_t*>(l.w.data());
  if (views && views->chance(50) && !l.w.empty()) {
    for (int64_t o = 0; o < l.outputs; ++o)
      for (int64_t t = 0; t < l.taps(); ++t)
        for (int64_t i = 0; i < ig; ++i)
          first[static_cast<size_t>((o * ig + i) * l.taps() + t)] =
              l.w[static_cast<size_t>((o * l.taps() + t) * ig + i)];
    source.data = first.data();
    int64_t step = 1;
    for (int i = l.rank; i >= 1; --i) {
      source.strides[i] = step;
      step *= l.kernel[i - 1];
    }
    source.strides[1 + l.rank] = step;
    source.strides[0] = step * ig;
  }
  octet_qparams q = {};
  q.count = static_cast<int64_t>(l.w_scale.size());
  q.scale = l.w_scale.data();
  q.zero_point = l.w_zero.data();
  source.q = &q;
  octet_tensor bias = octet_vec(
      l.bias_type,
      l.bias_type == OCTET_F32 ? static_cast<const void*>(l.bias_f.data()) : l.bias_i.data(),
      l.outputs);
  const octet_geometry g = l.geometry();
  octet_weights_desc wd = sized<octet_weights_desc>();
  wd.source = &source;
  wd.geometry = &g;
  if (l.bias_type) wd.bias = &bias;
  octet_weights* weights = nullptr;
  Error err;
  EXPECT_TRUE(ok(octet_weights_create(c, &wd, nullptr, &weights, &err), err));
  weights_.reset(weights);
  octet_linear_desc d = sized<octet_linear_desc>();
  d.weights = weights;
  d.in = {l.dynamic ? OCTET_F32 : l.in, l.dynamic || l.call ? 0 : l.in_scale[0],
          l.dynamic || l.call ? 0 : l.in_zero[0]};
  d.out = l.out;
  d.residual = l.residual;
  d.flags = l.residual.type ? OCTET_RESIDUAL : 0;
  d.act = l.act;
  d.lo = l.lo;
  d.hi = l.hi;
  d.numerics = l.numerics;
  d.dynamic = l.dynamic ? &l.scheme : nullptr;
  d.lut = l.lut.empty() ? nullptr : l.lut.data();
  octet_op* op = nullptr;
  EXPECT_TRUE(ok(octet_conv_create(c, &d, &g, &op, &err), err));
  op_.reset(op);
}

std::vector<int64_t> ConvOp::image() const {
  std::vector<int64_t> dims = {l_.batch};
  dims.insert(dims.end(), l_.image, l_.image + l_.rank);
  return dims;
}

int32_t ConvOp::candidates() const {
  Strided x(l_.dynamic ? OCTET_F32 : l_.in, image(), l_.channels, nullptr);
  octet_tensor in[2] = {x.tensor(), {}};
  in[1].rank = l_.rank + 2;
  in[1].type = l_.residual.type;
  in[1].dims[0] = l_.batch;
  for (int i = 0; i < l_.rank; ++i) in[1].dims[1 + i] = l_.out_extent(i);
  in[1].dims[1 + l_.rank] = l_.outputs;
  octet_plan p = sized<octet_plan>();
  Error err;
  EXPECT_TRUE(ok(octet_op_plan(get(), in, l_.residual.type ? 2 : 1, nullptr, &p, &err), err));
  return p.candidates;
}

std::string ConvOp::describe() const {
  Strided x(l_.dynamic ? OCTET_F32 : l_.in, image(), l_.channels, nullptr);
  octet_tensor in = x.tensor();
  Error err;
  size_t need = 0;
  EXPECT_TRUE(ok(octet_op_describe(get(), &in, 1, nullptr, nullptr, 0, &need, &err), err));
  std::string text(need, 0);
  EXPECT_TRUE(ok(octet_op_describe(get(), &in, 1, nullptr, text.data(), need, &need, &err), err));
  return text;
}

Bytes ConvOp::run(const ConvHow& how) const {
  if (!op_) return {};
  const octet_type in = l_.dynamic ? OCTET_F32 : l_.in;
  Strided x(in, image(), l_.channels, how.gaps);
  std::vector<int64_t> dims = {l_.batch};
  for (int i = 0; i < l_.rank; ++i) dims.push_back(l_.out_extent(i));
  Strided y(l_.out.type, dims, l_.outputs, how.gaps);
  Strided r(l_.residual.type ? l_.residual.type : OCTET_U8, dims, l_.outputs, how.gaps);
  if (l_.dynamic)
    x.fill(l_.xf.data());
  else
    x.fill(l_.x.data());
  octet_tensor X = x.tensor(), Y = y.tensor(), R = r.tensor();
  if (l_.residual.type) (how.in_place ? y : r).fill(l_.r.data());
  if (how.in_place) {
    R = Y;
    R.type = l_.residual.type;
  }
  octet_qparams q = {};
  q.count = static_cast<int64_t>(l_.in_scale.size());
  q.scale = l_.in_scale.data();
  q.zero_point = l_.in_zero.data();
  if (l_.call) X.q = &q;
  const size_t x_bytes = static_cast<size_t>(l_.batch * l_.pixels() * l_.channels) * item_bytes(in);
  const size_t y_bytes =
      static_cast<size_t>(l_.batch * l_.out_pixels() * l_.outputs) * item_bytes(l_.out.type);
  octet::Guarded end_x(x_bytes + 1), end_y(y_bytes + 1);
  if (how.guarded) {
    uint8_t* to = end_x.place<uint8_t>(x_bytes, true);
    if (x_bytes) memcpy(to, X.data, x_bytes);
    X.data = to;
    Y.data = end_y.place<uint8_t>(y_bytes, true);
  }
  Exec exec(how.threads, how.plan);
  Error err;
  EXPECT_TRUE(ok(octet_test::run(get(), X, Y, &exec, &err, l_.residual.type ? &R : nullptr), err));
  EXPECT_TRUE(y.gaps_intact());
  if (!how.guarded) return y.dense();
  const uint8_t* p = static_cast<const uint8_t*>(Y.data);
  return Bytes(p, p + y_bytes);
}

}  // namespace octet_test

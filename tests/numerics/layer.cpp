// SPDX-License-Identifier: Apache-2.0
#include "tests/numerics/layer.h"

#include <math.h>

#include <algorithm>
#include <numeric>

namespace octet_test {

namespace {

float random_scale(Rng* rng, int32_t exponent) { return ldexpf(1 + rng->unit(), exponent); }

int32_t random_zero(Rng* rng, octet_type t) {
  return rng->chance(50) ? static_cast<int32_t>(rng->range(type_min(t), type_max(t)))
                         : rng->pick<int32_t>({type_min(t), 0, 127, type_max(t)});
}

// Integers all over the type, or its extremes only.
uint8_t random_byte(Rng* rng, octet_type t, bool extremes) {
  if (extremes)
    return static_cast<uint8_t>(rng->pick<int32_t>({type_min(t), type_min(t) + 1, type_max(t)}));
  return static_cast<uint8_t>(rng->range(type_min(t), type_max(t)));
}

void draw_weights(Rng* rng, Layer* l) {
  const size_t n = static_cast<size_t>(l->n), k = static_cast<size_t>(l->k);
  const bool per_channel = rng->chance(60);
  const size_t scales = per_channel && n != 1 ? n : 1;
  l->w.resize(n * k);
  if (rng->chance(25)) {
    // Floats, quantized by the recommended scheme: per channel, symmetric, -127..127.
    l->w_scale.clear();
    l->w_zero.assign(n, 0);
    for (size_t j = 0; j < n; ++j) {
      float most = 0;
      const int32_t exponent = static_cast<int32_t>(rng->range(-6, 6));
      for (size_t i = 0; i < k; ++i) {
        const float w = rng->chance(5) ? 0 : ldexpf(rng->unit() * 2 - 1, exponent);
        l->wf.push_back(w);
        most = std::max(most, fabsf(w));
      }
      const ScaleZero s = choose(-most, most, -127, 127, true);
      for (size_t i = 0; i < k; ++i)
        l->w[j * k + i] = static_cast<int8_t>(quantize(l->wf[j * k + i], s.scale, 0, -127, 127));
      l->w_scale.push_back(s.scale);
    }
    return;
  }
  const bool extremes = rng->chance(25), zeros = rng->chance(40);
  for (int8_t& w : l->w) w = static_cast<int8_t>(random_byte(rng, OCTET_S8, extremes));
  l->w_scale.clear();
  l->w_zero.clear();
  for (size_t j = 0; j < scales; ++j) {
    l->w_scale.push_back(random_scale(rng, -7));
    l->w_zero.push_back(zeros ? random_zero(rng, OCTET_S8) : 0);
  }
}

void draw_activations(Rng* rng, Layer* l) {
  const size_t m = static_cast<size_t>(l->m), k = static_cast<size_t>(l->k);
  if (!is_dynamic(l->mode)) {
    const size_t scales = l->mode == Mode::kCallRows ? m : 1;
    l->in_scale.clear();
    l->in_zero.clear();
    for (size_t i = 0; i < scales; ++i) {
      l->in_scale.push_back(random_scale(rng, static_cast<int32_t>(rng->range(-7, -5))));
      l->in_zero.push_back(random_zero(rng, l->in));
    }
    const bool extremes = rng->chance(25);
    for (size_t i = 0; i < m * k; ++i) l->x.push_back(random_byte(rng, l->in, extremes));
    return;
  }
  l->scheme.type = l->in;
  l->scheme.granularity = l->mode == Mode::kDynamicRow ? OCTET_PER_ROW : OCTET_PER_TENSOR;
  if (rng->chance(40)) l->scheme.flags |= OCTET_SYMMETRIC;
  if (rng->chance(20)) l->scheme.flags |= OCTET_DIVIDE;
  const bool specials = rng->chance(l->mode == Mode::kDynamicRow ? 40 : 10);
  for (size_t i = 0; i < m; ++i) {
    const int32_t exponent = static_cast<int32_t>(rng->range(-8, 8));
    const float offset = rng->chance(30) ? 2 : 1;  // one-sided rows
    for (size_t j = 0; j < k; ++j) l->xf.push_back(ldexpf(rng->unit() * 2 + offset - 2, exponent));
    if (!specials || !k || !rng->chance(50)) continue;
    float* row = l->xf.data() + i * k;
    const size_t at = static_cast<size_t>(rng->range(0, static_cast<int64_t>(k) - 1));
    switch (rng->range(0, 5)) {
      case 0:
        row[at] = __builtin_nanf("");
        break;
      case 1:
        row[at] = __builtin_inff();
        break;
      case 2:
        row[at] = -__builtin_inff();
        break;
      case 3:
        row[at] = 1e30f;
        break;  // scale above 2^60
      case 4:
        std::fill_n(row, k, 0.0f);
        break;  // scale 1
      default:
        for (size_t j = 0; j < k; ++j) row[j] = row[j] * 0x1p-140f;  // subnormal
    }
  }
}

void draw_bias(Rng* rng, Layer* l) {
  const bool fixed = l->mode == Mode::kStatic;
  const bool raw = l->out.type == OCTET_S32;
  l->bias_type = rng->pick<octet_type>({0, raw ? 0 : OCTET_F32, fixed ? OCTET_S32 : 0});
  const float unit = l->in_scale.empty() ? 1 : l->in_scale[0] * 0x1p-7f;
  for (int64_t j = 0; j < l->n; ++j) {
    const int32_t b = static_cast<int32_t>(rng->range(-20000, 20000));
    if (l->bias_type == OCTET_S32) l->bias_i.push_back(b);
    if (l->bias_type == OCTET_F32)
      l->bias_f.push_back((static_cast<float>(b) + rng->unit()) * unit);
  }
}

void draw_output(Rng* rng, Layer* l) {
  l->out = {OCTET_F32, 0, 0};
  if (!is_dynamic(l->mode))
    l->out.type = rng->pick<octet_type>({OCTET_U8, OCTET_S8, OCTET_F32, OCTET_S32});
  if (l->out.type == OCTET_U8 || l->out.type == OCTET_S8) {
    // About the spread of random sums, so that outputs fill their range and some saturate.
    const float spread = sqrtf(static_cast<float>(l->k + 1)) * ldexpf(1, -13) * 5500;
    l->out.scale = spread * random_scale(rng, static_cast<int32_t>(rng->range(-7, -5)));
    l->out.zero_point = random_zero(rng, l->out.type);
  }
  if (l->out.type == OCTET_S32) return;
  l->act = rng->pick<int32_t>({OCTET_ACT_NONE, OCTET_RELU, OCTET_RELU6, OCTET_CLAMP});
  if (l->act == OCTET_CLAMP) {
    l->lo = rng->unit() * 40 - 20;
    l->hi = l->lo + rng->unit() * 40;
  }
}

}  // namespace

Layer random_layer(Rng* rng) {
  Layer l;
  const std::vector<int64_t> m = {0, 1, 1,  1,  2,  3,  4,  5,  6,  7,
                                  8, 9, 11, 13, 14, 15, 16, 17, 29, 40};
  const std::vector<int64_t> n = {0,  1,  2,  3,  7,  8,  15, 16, 17,  31, 32,
                                  33, 47, 48, 49, 63, 64, 65, 80, 100, 130};
  const std::vector<int64_t> k = {0,  1,  2,  3,  4,  5,  6,  7,  8,   9,   12,  15,  16,
                                  17, 31, 32, 33, 60, 63, 64, 65, 127, 128, 129, 255, 300};
  l.m = rng->pick(m);
  l.n = rng->pick(n);
  l.k = rng->pick(k);
  l.mode = rng->pick<Mode>({Mode::kStatic, Mode::kStatic, Mode::kCall, Mode::kCallRows,
                            Mode::kDynamicRow, Mode::kDynamicTensor});
  l.in = rng->chance(50) ? OCTET_U8 : OCTET_S8;
  draw_weights(rng, &l);
  draw_activations(rng, &l);
  draw_output(rng, &l);
  draw_bias(rng, &l);
  return l;
}

Layer with_other_weights(const Layer& l) {
  Layer other = l;
  const bool to_u8 = l.w_type == OCTET_S8;
  other.w_type = to_u8 ? OCTET_U8 : OCTET_S8;
  for (int8_t& w : other.w) w = static_cast<int8_t>(w ^ -128);
  for (int32_t& z : other.w_zero) z += to_u8 ? 128 : -128;
  other.wf.clear();
  other.w_scheme = {};
  return other;
}

Layer random_u8_layer(Rng* rng) {
  const Layer s8 = random_layer(rng);
  Layer l = with_other_weights(s8);
  const bool any_zero = rng->chance(50);
  if (s8.wf.empty()) {
    if (any_zero)
      for (int32_t& z : l.w_zero) z = random_zero(rng, OCTET_U8);
    return l;
  }
  // Floats again, by a scheme of their own.
  l.wf = s8.wf;
  l.w_scheme = sized<octet_scheme>();
  l.w_scheme.type = OCTET_U8;
  if (!any_zero) l.w_scheme.flags = OCTET_SYMMETRIC;
  const size_t n = static_cast<size_t>(l.n), k = static_cast<size_t>(l.k);
  for (size_t j = 0; j < n; ++j) {
    const float* row = l.wf.data() + j * k;
    float low = 0, high = 0;
    for (size_t i = 0; i < k; ++i) {
      low = std::min(low, row[i]);
      high = std::max(high, row[i]);
    }
    const ScaleZero s = choose(low, high, 0, 255, !any_zero);
    l.w_scale[j] = s.scale;
    l.w_zero[j] = s.zero;
    for (size_t i = 0; i < k; ++i)
      l.w[j * k + i] = static_cast<int8_t>(quantize(row[i], s.scale, s.zero, 0, 255));
  }
  return l;
}

namespace {

// Integers, or floats that a scheme quantizes: for each group, each channel or all weights.
void draw_group_weights(Rng* rng, Layer* l) {
  const size_t n = static_cast<size_t>(l->n), k = static_cast<size_t>(l->k);
  const int32_t low = type_min(l->w_type), high = type_max(l->w_type);
  const bool per_tensor = !l->group && rng->chance(40), floats = rng->chance(40);
  const size_t span = l->group ? static_cast<size_t>(l->group) : k;
  const size_t groups = l->group ? k / span : 1;
  const size_t scales = per_tensor ? 1 : n * groups;
  const int32_t exponent = is_4bit(l->w_type) ? -3 : -7;
  const bool extremes = rng->chance(25), zeros = rng->chance(50);
  l->w_scale.clear();
  l->w_zero.clear();
  for (size_t i = 0; i < scales; ++i) {
    l->w_scale.push_back(random_scale(rng, exponent));
    l->w_zero.push_back(zeros ? static_cast<int32_t>(rng->range(low, high)) : 0);
  }
  for (size_t i = 0; i < n * k; ++i)
    l->w.push_back(static_cast<int8_t>(extremes ? rng->pick<int32_t>({low, high})
                                                : static_cast<int32_t>(rng->range(low, high))));
  if (!floats || !n || !k) return;
  for (size_t i = 0; i < n * k; ++i) l->wf.push_back(ldexpf(rng->unit() * 2 - 1, exponent + 2));
  l->w_scheme = sized<octet_scheme>();
  l->w_scheme.type = l->w_type;
  l->w_scheme.granularity = l->group     ? OCTET_PER_GROUP + 0
                            : per_tensor ? OCTET_PER_TENSOR + 0
                                         : OCTET_PER_CHANNEL + 0;
  l->w_scheme.group = l->group;
  if (!zeros) l->w_scheme.flags = OCTET_SYMMETRIC;
  for (size_t at = 0; at < scales; ++at) {
    const size_t from = per_tensor ? 0 : at * span, count = per_tensor ? n * k : span;
    float min = 0, max = 0;
    for (size_t i = from; i < from + count; ++i) {
      min = std::min(min, l->wf[i]);
      max = std::max(max, l->wf[i]);
    }
    const ScaleZero s = choose(min, max, low, high, !zeros);
    l->w_scale[at] = s.scale;
    l->w_zero[at] = s.zero;
    for (size_t i = from; i < from + count; ++i)
      l->w[i] = static_cast<int8_t>(quantize(l->wf[i], s.scale, s.zero, low, high));
  }
}

}  // namespace

Layer random_group_layer(Rng* rng) {
  Layer l;
  l.m = rng->pick<int64_t>({0, 1, 1, 2, 3, 4, 6, 7, 8, 13, 29});
  l.n = rng->pick<int64_t>({0, 1, 3, 15, 16, 17, 33, 48, 64, 65, 100, 130});
  l.mode = rng->pick<Mode>({Mode::kStatic, Mode::kStatic, Mode::kCall, Mode::kCallRows,
                            Mode::kDynamicRow, Mode::kDynamicTensor});
  l.in = rng->chance(50) ? OCTET_U8 : OCTET_S8;
  l.w_type = rng->pick<octet_type>({OCTET_S4, OCTET_S4, OCTET_U4, OCTET_S8, OCTET_U8});
  if (is_4bit(l.w_type) && rng->chance(30)) {
    l.k = rng->pick<int64_t>({0, 1, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 31, 33, 60, 127, 130});
  } else {
    const int64_t step = is_4bit(l.w_type) ? 8 : 4;
    l.group = rng->pick<int64_t>({step, 2 * step, 5 * step, 32, 32, 64, 128, 136, 264});
    l.k = l.group * rng->pick<int64_t>({0, 1, 1, 2, 3, 5});
  }
  draw_group_weights(rng, &l);
  draw_activations(rng, &l);
  draw_output(rng, &l);
  if (l.group && l.out.type == OCTET_S32) l.out.type = OCTET_F32;
  draw_bias(rng, &l);
  if (l.group && l.bias_type == OCTET_S32) l.bias_type = 0;
  pack_pairs(&l);
  return l;
}

void pack_pairs(Layer* l) {
  if (!is_4bit(l->w_type)) return;
  const size_t k = static_cast<size_t>(l->k), pitch = (k + 1) / 2;
  l->w_pairs.assign(static_cast<size_t>(l->n) * pitch, 0);
  for (size_t i = 0; i < l->w.size(); ++i) {
    const int32_t bits = l->w[i] & 15;
    const size_t at = i % k;
    l->w_pairs[i / k * pitch + at / 2] |= static_cast<uint8_t>(at % 2 ? bits << 4 : bits);
  }
}

Layer with_s8_weights(const Layer& l) {
  Layer other = l;
  other.w_type = OCTET_S8;
  other.w_pairs.clear();
  other.wf.clear();
  other.w_scheme = {};
  return other;
}

Layer random_residual_layer(Rng* rng) {
  Layer l = random_layer(rng);
  while (l.out.type == OCTET_S32) l = random_layer(rng);
  l.residual.type = l.out.type;
  const size_t count = static_cast<size_t>(l.m * l.n);
  if (l.out.type == OCTET_F32) {
    const bool specials = rng->chance(20);
    for (size_t i = 0; i < count; ++i) {
      float r = rng->unit() * 16 - 8;
      if (specials && rng->chance(10))
        r = rng->pick<float>({__builtin_nanf("3"), -__builtin_nanf("5"), __builtin_inff(),
                              -__builtin_inff(), -0.0f, 0x1p127f});
      const uint8_t* bytes = reinterpret_cast<const uint8_t*>(&r);
      l.r.insert(l.r.end(), bytes, bytes + 4);
    }
    return l;
  }
  l.residual.type = rng->chance(50) ? OCTET_U8 : OCTET_S8;
  l.residual.scale = l.out.scale * random_scale(rng, static_cast<int32_t>(rng->range(-3, 1)));
  l.residual.zero_point = random_zero(rng, l.residual.type);
  for (size_t i = 0; i < count; ++i) l.r.push_back(random_byte(rng, l.residual.type, false));
  return l;
}

Layer random_named_layer(Rng* rng) {
  Layer l;
  do l = random_layer(rng);
  while (l.mode != Mode::kStatic || (l.out.type != OCTET_U8 && l.out.type != OCTET_S8));
  l.numerics = rng->pick<int32_t>({OCTET_NUMERICS_ONNX, OCTET_NUMERICS_QNNPACK,
                                   OCTET_NUMERICS_TFLITE, OCTET_NUMERICS_TFLITE_SINGLE,
                                   OCTET_NUMERICS_TFLITE, OCTET_NUMERICS_TFLITE_SINGLE});
  const bool tflite = l.numerics >= OCTET_NUMERICS_TFLITE;
  if (tflite)
    for (int32_t& z : l.w_zero) z = 0;
  // Multipliers from far below 1 to beyond it; of powers of two, which meet ties.
  const int32_t least = l.numerics == OCTET_NUMERICS_QNNPACK ? -18 : -30;
  if (rng->chance(30)) l.out.scale = ldexpf(1, static_cast<int32_t>(rng->range(least, 4)));
  if (rng->chance(30)) {
    l.in_scale[0] = 0x1p-6f;
    for (float& s : l.w_scale) s = ldexpf(1, static_cast<int32_t>(rng->range(-8, -5)));
    l.out.scale = ldexpf(1, static_cast<int32_t>(rng->range(-12, 0)));
    l.wf.clear();
  }
  if (l.numerics == OCTET_NUMERICS_QNNPACK)  // its multipliers stay below 256
    for (float s : l.w_scale)
      if (l.in_scale[0] * s / l.out.scale >= 256) l.out.scale = l.in_scale[0] * s / 128;
  return l;
}

std::string describe(const Layer& l) {
  static const char* const modes[] = {"static", "call", "call-rows", "row", "tensor"};
  static const char* const types[] = {"none", "u8", "s8", "s32", "f32", "u4", "s4"};
  static const char* const acts[] = {"none", "relu", "relu6", "clamp"};
  const int32_t middle = l.w_type == OCTET_U8 ? 128 : 0;
  const std::string grouped = " in groups of " + std::to_string(l.group);
  const bool zeros =
      std::any_of(l.w_zero.begin(), l.w_zero.end(), [&](int32_t z) { return z != middle; });
  static const char* const numerics[] = {"", ", onnx", ", qnnpack", ", tflite", ", tflite single"};
  char text[200];
  snprintf(text, sizeof text,
           "m%d n%d k%d %s %s%s%s, weights %s%s%s%s, bias %s%s%s, act %s -> %s%s",
           static_cast<int>(l.m), static_cast<int>(l.n), static_cast<int>(l.k), types[l.in],
           modes[static_cast<int>(l.mode)], l.scheme.flags & OCTET_SYMMETRIC ? " symmetric" : "",
           l.scheme.flags & OCTET_DIVIDE ? " divide" : "", l.wf.empty() ? types[l.w_type] : "f32",
           l.wf.empty() || l.w_type == OCTET_S8 ? ""
           : l.w_type == OCTET_U8               ? " as u8"
           : l.w_type == OCTET_U4               ? " as u4"
                                                : " as s4",
           l.group                 ? grouped.c_str()
           : l.w_scale.size() == 1 ? ""
                                   : " per channel",
           zeros ? " with zero points" : "", types[l.bias_type],
           l.residual.type ? ", residual " : "", l.residual.type ? types[l.residual.type] : "",
           acts[l.act], types[l.out.type], numerics[l.numerics]);
  return text;
}

octet_tensor source_tensor(const Layer& l, octet_qparams* q) {
  if (!l.wf.empty()) return octet_mat(OCTET_F32, l.wf.data(), l.n, l.k);
  const bool pairs = is_4bit(l.w_type);
  octet_tensor t = octet_mat(
      l.w_type, pairs ? static_cast<const void*>(l.w_pairs.data()) : l.w.data(), l.n, l.k);
  if (pairs) {
    t.strides[0] = (l.k + 1) / 2 * 2;
    t.strides[1] = 1;
  }
  static const float one = 1;
  *q = {};
  q->count = static_cast<int64_t>(l.w_scale.size());
  q->scale = l.w_scale.empty() ? &one : l.w_scale.data();
  q->zero_point = l.w_zero.data();
  q->group = l.group;
  t.q = q;
  return t;
}

octet_tensor bias_tensor(const Layer& l) {
  const void* data = l.bias_type == OCTET_F32 ? static_cast<const void*>(l.bias_f.data())
                                              : static_cast<const void*>(l.bias_i.data());
  return octet_vec(l.bias_type, data, l.n);
}

octet_qparams call_qparams(const Layer& l) {
  static const float one = 1;
  octet_qparams q = {};
  q.count = static_cast<int64_t>(l.in_scale.size());
  q.scale = l.in_scale.empty() ? &one : l.in_scale.data();
  q.zero_point = l.in_zero.data();
  return q;
}

LayerOp::LayerOp(const octet_context* c, const Layer& l) : l_(l) {
  octet_qparams q;
  const octet_tensor source = source_tensor(l, &q), bias = bias_tensor(l);
  weights_ = make_weights(c, source, l.bias_type ? &bias : nullptr,
                          l.w_scheme.struct_size ? &l.w_scheme : nullptr);
  octet_linear_desc d = sized<octet_linear_desc>();
  d.weights = weights_.get();
  d.out = l.out;
  d.numerics = l.numerics;
  d.residual = l.residual;
  if (l.residual.type) d.flags = OCTET_RESIDUAL;
  d.act = l.act;
  d.lo = l.lo;
  d.hi = l.hi;
  d.in.type = is_dynamic(l.mode) ? OCTET_F32 : l.in;
  if (is_dynamic(l.mode)) d.dynamic = &l.scheme;
  if (l.mode == Mode::kStatic) {
    d.in.scale = l.in_scale[0];
    d.in.zero_point = l.in_zero[0];
  }
  Error err;
  octet_op* op = nullptr;
  EXPECT_TRUE(ok(octet_linear_create(c, &d, &op, &err), err)) << describe(l);
  op_.reset(op);
}

int32_t LayerOp::candidates() const {
  const octet_tensor in[2] = {
      octet_mat(is_dynamic(l_.mode) ? OCTET_F32 : l_.in, nullptr, l_.m, l_.k),
      octet_mat(l_.residual.type, nullptr, l_.m, l_.n)};
  octet_plan plan = sized<octet_plan>();
  Error err;
  EXPECT_TRUE(
      ok(octet_op_plan(op_.get(), in, l_.residual.type ? 2 : 1, nullptr, &plan, &err), err));
  return plan.candidates;
}

std::vector<uint8_t> LayerOp::run(const How& how) const {
  const bool floats = is_dynamic(l_.mode);
  const std::vector<int64_t> leading =
      how.leading.empty() ? std::vector<int64_t>{l_.m} : how.leading;
  Strided x(floats ? OCTET_F32 : l_.in, leading, l_.k, how.gaps);
  Strided y(l_.out.type, leading, l_.n, how.gaps);
  x.fill(floats ? static_cast<const void*>(l_.xf.data()) : l_.x.data());
  octet_tensor in = x.tensor();
  const octet_qparams q = call_qparams(l_);
  if (l_.mode == Mode::kCall || l_.mode == Mode::kCallRows) in.q = &q;
  Strided r(l_.residual.type ? l_.residual.type : l_.out.type, leading, l_.n, how.gaps);
  octet_tensor residual = {};
  if (l_.residual.type) {
    Strided& where = how.in_place ? y : r;
    where.fill(l_.r.data());
    residual = where.tensor();
    residual.type = l_.residual.type;
  }
  Exec exec(how.threads, how.plan);
  Error err;
  if (!ok(octet_test::run(op_.get(), in, y.tensor(), &exec, &err,
                          l_.residual.type ? &residual : nullptr),
          err)) {
    ADD_FAILURE() << err.text << "\n" << describe(l_);
    return {};
  }
  EXPECT_TRUE(y.gaps_intact()) << describe(l_);
  return y.dense();
}

std::vector<uint8_t> run_gemm(const octet_context* c, const Layer& l, int32_t threads, Rng* gaps) {
  Strided a(l.in, {l.m}, l.k, gaps), y(l.out.type, {l.m}, l.n, gaps);
  a.fill(l.x.data());
  Layer integers = l;
  integers.wf.clear();
  octet_qparams qb;
  const octet_tensor b = source_tensor(integers, &qb), bias = bias_tensor(l);
  octet_tensor in = a.tensor(), out = y.tensor();
  const octet_qparams qa = call_qparams(l);
  octet_qparams qy = {};
  in.q = &qa;
  qy.count = 1;
  qy.scale = &l.out.scale;
  qy.zero_point = &l.out.zero_point;
  if (l.out.type == OCTET_U8 || l.out.type == OCTET_S8) out.q = &qy;
  octet_gemm_desc d = sized<octet_gemm_desc>();
  d.numerics = l.numerics;
  d.act = l.act;
  d.lo = l.lo;
  d.hi = l.hi;
  Exec exec(threads);
  Error err;
  size_t bytes = 0;
  EXPECT_TRUE(ok(octet_gemm_workspace(c, &d, &in, &b, &out, &exec.e, &bytes, &err), err));
  exec.reserve(bytes);
  EXPECT_TRUE(
      ok(octet_gemm(c, &d, &in, &b, l.bias_type ? &bias : nullptr, &out, &exec.e, &err), err))
      << describe(l);
  EXPECT_TRUE(y.gaps_intact());
  return y.dense();
}

}  // namespace octet_test

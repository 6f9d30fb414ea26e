// SPDX-License-Identifier: Apache-2.0
//
// Training with learned ranges: learn and clip give the gradient of x and the terms of those of the
// parameters, sum and sumcols add terms in binary64, amax quantizes to a share of the largest
// magnitude (docs/numerics.md, "Learned fake-quantization").
#include "kernels/elementwise/affine.h"

HWY_BEFORE_NAMESPACE();
namespace octet {
namespace {

struct Amax : LaneOp<float, float> {
  static constexpr bool kWritesMask = true;
  static constexpr bool kStreams = true;
  template <bool kUniform>
  static void loop(const Run& r) {
    if constexpr (kUniform) return loop<false>(r);  // which serves one set of parameters too
    static constexpr float kOne = 1;
    const Param<FloatTag, false> before(r.in_scale ? r.in_scale : &kOne,
                                        r.in_scale ? r.in_step : 0);
    const Param<FloatTag, false> scale(r.out_inv, r.out_step), amax(r.out_scale, r.out_step);
    const Floats low = hn::Set(kFloat, static_cast<float>(r.qmin));
    const Floats high = hn::Set(kFloat, static_cast<float>(r.qmax));
    const Ints one = hn::Set(kInt, 1);
    const float* x = static_cast<const float*>(r.x);
    for (size_t i = 0; i < r.n; i += kLanes) {
      Floats t = hn::LoadU(kFloat, x + i);
      if (r.in_scale) t = hn::Mul(t, before(i));
      const Floats s = scale(i);
      const auto dead = hn::Eq(s, hn::Zero(kFloat));
      const Floats v = hn::Min(hn::Max(hn::Mul(t, s), low), high);
      const Floats q = hn::IfThenZeroElse(dead, hn::ConvertTo(kFloat, round_to_int(v)));
      if (r.mask) {
        const auto pass = hn::RebindMask(kInt, hn::Le(hn::Abs(t), amax(i)));
        store_bytes(hn::IfThenElseZero(pass, one), r.mask + i);
      }
      const Floats y = r.divide ? hn::IfThenZeroElse(dead, hn::Div(q, s)) : q;
      store(y, r, static_cast<float*>(r.y) + i);
    }
  }
};

struct Clamp : LaneOp<float, float> {
  static constexpr bool kStreams = true;
  template <bool>
  static void loop(const Run& r) {
    const Floats lo = hn::Set(kFloat, *r.in_scale), hi = hn::Set(kFloat, *r.out_scale);
    for (size_t i = 0; i < r.n; i += kLanes) {
      const Floats x = hn::LoadU(kFloat, static_cast<const float*>(r.x) + i);
      const Floats raised = hn::IfThenElse(hn::Lt(x, lo), lo, x);
      store(hn::IfThenElse(hn::Gt(x, hi), hi, raised), r, static_cast<float*>(r.y) + i);
    }
  }
};

inline void store_dx(Floats v, const Grad& g, size_t i) {
  if (g.stream)
    hn::Stream(v, kFloat, g.dx + i);
  else
    hn::StoreU(v, kFloat, g.dx + i);
}

void learn(const Grad& g) {
  Run r = {};  // for the quantizer
  r.out_inv = g.inv;
  r.out_zero = g.zero;
  r.out_float = g.float_zero;
  r.out_step = g.step;
  r.qmin = g.qmin;
  r.qmax = g.qmax;
  r.divide = g.divide;
  r.away = g.away;
  const Quantizer<false> quantize(r);
  const Param<FloatTag, false> scale(g.scale, g.step);
  const Ints one = hn::Set(kInt, 1);
  const Floats unit = hn::Set(kFloat, 1.0f);
  const Floats sign = hn::Set(kFloat, -0.0f);
  for (size_t i = 0; i < g.n; i += kLanes) {
    const Floats x = hn::LoadU(kFloat, g.x + i), dy = hn::LoadU(kFloat, g.dy + i);
    const Floats s = scale(i), inverse = hn::Div(unit, s);
    const Ints low = quantize.low(i), high = quantize.high(i);
    const Floats t = quantize.shifted(quantize.scaled(x, i), i);
    const Ints wide = quantize.round_within(t, hn::Sub(low, one), hn::Add(high, one));
    const Ints q = hn::Min(hn::Max(wide, low), high);
    const auto pass = hn::RebindMask(kFloat, hn::Eq(q, wide));
    const Floats f = quantize.unshifted(hn::ConvertTo(kFloat, q), i);
    const Floats residue = hn::Mul(hn::Sub(hn::Mul(f, s), x), inverse);
    store_dx(hn::IfThenElseZero(pass, dy), g, i);
    hn::StoreU(hn::Mul(dy, hn::IfThenElse(pass, residue, f)), kFloat, g.t0 + i);
    hn::StoreU(hn::IfThenZeroElse(pass, hn::Xor(hn::Mul(dy, s), sign)), kFloat, g.t1 + i);
  }
}

// The vectors of doubles that 16 lanes are, and half as many floats.
using DoubleTag = hn::ScalableTag<double>;
using HalfTag = hn::Rebind<float, DoubleTag>;
constexpr size_t kDoubles = HWY_LANES(double), kSets = 16 / kDoubles;

inline hn::Vec<DoubleTag> load_wide(const float* x) {
  return hn::PromoteTo(DoubleTag(), hn::LoadU(HalfTag(), x));
}

// 16 sums in vectors.
class Lanes {
 public:
  explicit Lanes(double* lanes) : lanes_(lanes) {
    for (size_t k = 0; k < kSets; ++k) sum_[k] = hn::LoadU(DoubleTag(), lanes + k * kDoubles);
  }
  void store() const {
    for (size_t k = 0; k < kSets; ++k) hn::StoreU(sum_[k], DoubleTag(), lanes_ + k * kDoubles);
  }
  void add(size_t set, hn::Vec<DoubleTag> v) { sum_[set] = hn::Add(sum_[set], v); }
  // Vector k of those that 16 elements are.
  void add(size_t k, Floats v) {
    add(2 * k, hn::PromoteTo(DoubleTag(), hn::LowerHalf(HalfTag(), v)));
    add(2 * k + 1, hn::PromoteTo(DoubleTag(), hn::UpperHalf(HalfTag(), v)));
  }

 private:
  double* lanes_;
  hn::Vec<DoubleTag> sum_[kSets];
};

// The same as learn, with the sums in registers.
void learn_lanes(const Grad& g) {
  Run r = {};
  r.out_inv = g.inv;
  r.out_zero = g.zero;
  r.qmin = g.qmin;
  r.qmax = g.qmax;
  const PlainQuantizer quantize(r, 1);
  const Floats low = hn::Set(kFloat, static_cast<float>(g.qmin - *g.zero));
  const Floats high = hn::Set(kFloat, static_cast<float>(g.qmax - *g.zero));
  const Floats s = hn::Set(kFloat, *g.scale), inverse = hn::Div(hn::Set(kFloat, 1.0f), s);
  const Floats sign = hn::Set(kFloat, -0.0f);
  Lanes lanes0(g.lanes0), lanes1(g.lanes1);
  for (size_t i = 0; i < g.n; i += 16)
    for (size_t k = 0; k < 16 / kLanes; ++k) {
      const size_t at = i + k * kLanes;
      const Floats x = hn::LoadU(kFloat, g.x + at), dy = hn::LoadU(kFloat, g.dy + at);
      const Floats wide = quantize.real(x), f = hn::Min(hn::Max(wide, low), high);
      const auto pass = hn::Eq(f, wide);
      const Floats residue = hn::Mul(hn::Sub(hn::Mul(f, s), x), inverse);
      store_dx(hn::IfThenElseZero(pass, dy), g, at);
      lanes0.add(k, hn::Mul(dy, hn::IfThenElse(pass, residue, f)));
      lanes1.add(k, hn::IfThenZeroElse(pass, hn::Xor(hn::Mul(dy, s), sign)));
    }
  lanes0.store();
  lanes1.store();
}

void clip(const Grad& g) {
  const Floats lo = hn::Set(kFloat, g.lo), hi = hn::Set(kFloat, g.hi);
  for (size_t i = 0; i < g.n; i += kLanes) {
    const Floats x = hn::LoadU(kFloat, g.x + i);
    const Floats dy = hn::LoadU(kFloat, g.dy + i);
    const auto inside = hn::And(hn::Gt(x, lo), hn::Lt(x, hi));
    store_dx(hn::IfThenElseZero(inside, dy), g, i);
    hn::StoreU(hn::IfThenElseZero(hn::Le(x, lo), dy), kFloat, g.t0 + i);
    hn::StoreU(hn::IfThenElseZero(hn::Ge(x, hi), dy), kFloat, g.t1 + i);
  }
}

// Whole vectors first, then what is left from copies.
[[gnu::noinline]] void apply_grad(const Grad* g, void loop(const Grad&)) {
  Grad part = *g;
  const size_t whole = g->n & ~(kLanes - 1), rest = g->n - whole;
  part.n = whole;
  if (whole) loop(part);
  if (!rest) return;
  alignas(64) float x[kLanes], dy[kLanes], dx[kLanes], t0[kLanes], t1[kLanes];
  alignas(64) float scale[kLanes], inv[kLanes], float_zero[kLanes];
  alignas(64) int32_t zero[kLanes];
  part.n = kLanes;
  part.stream = 0;
  part.x = stage<kLanes>(g->x, whole, rest, x);
  part.dy = stage<kLanes>(g->dy, whole, rest, dy);
  part.dx = dx;
  part.t0 = t0;
  part.t1 = t1;
  if (g->step) {
    part.scale = stage<kLanes>(g->scale, whole, rest, scale);
    part.inv = stage<kLanes>(g->inv, whole, rest, inv);
    part.zero = stage<kLanes>(g->zero, whole, rest, zero);
    if (g->float_zero) part.float_zero = stage<kLanes>(g->float_zero, whole, rest, float_zero);
  }
  loop(part);
  const size_t bytes = rest * sizeof(float);
  memcpy(g->dx + whole, dx, bytes);
  memcpy(g->t0 + whole, t0, bytes);
  memcpy(g->t1 + whole, t1, bytes);
}

}  // namespace
}  // namespace octet

using namespace octet;

OCTET_KERNEL void OCTET_ROW(amax_f32_f32)(const Run* r) { apply<Amax>(r); }

OCTET_KERNEL void OCTET_ROW(clamp_f32_f32)(const Run* r) { apply<Clamp>(r); }

OCTET_KERNEL void OCTET_ROW(learn_f32_f32)(const Grad* g) {
  if (g->lanes0)
    learn_lanes(*g);
  else
    apply_grad(g, learn);
}

OCTET_KERNEL void OCTET_ROW(clip_f32_f32)(const Grad* g) { apply_grad(g, clip); }

OCTET_KERNEL void OCTET_ROW(sum_f32_sums)(const float* x, size_t n, double* lanes) {
  Lanes sum(lanes);
  size_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (size_t k = 0; k < kSets; ++k) sum.add(k, load_wide(x + i + k * kDoubles));
  sum.store();
  for (size_t k = 0; i < n; ++i, ++k) lanes[k] += static_cast<double>(x[i]);
}

OCTET_KERNEL void OCTET_ROW(sumcols_f32_sums)(const float* x, size_t n, double* into) {
  size_t i = 0;
  for (; i + kDoubles <= n; i += kDoubles)
    hn::StoreU(hn::Add(hn::LoadU(DoubleTag(), into + i), load_wide(x + i)), DoubleTag(), into + i);
  for (; i < n; ++i) into[i] += static_cast<double>(x[i]);
}

HWY_AFTER_NAMESPACE();

// SPDX-License-Identifier: Apache-2.0
//
// Pooling of bytes, channels innermost: a vector of channels is held while the taps pass by. Sums
// are taken of unsigned bytes in 16 bits, as many taps as cannot overflow, then in 32. The last
// channels are done together with some before them, or, where there are fewer than a vector, from a
// copy.
#include "kernels/elementwise/affine.h"

HWY_BEFORE_NAMESPACE();
namespace octet {
namespace {

// Calls visit(x) with the first byte of each tap, until all are done.
template <class Visit>
void for_each_tap(const Pool& r, const uint8_t* x, Visit visit) {
  for (int64_t i = 0; i < r.size[0]; ++i, x += r.step[0]) {
    const uint8_t* row = x;
    for (int64_t j = 0; j < r.size[1]; ++j, row += r.step[1]) {
      const uint8_t* tap = row;
      for (int64_t k = 0; k < r.size[2]; ++k, tap += r.step[2]) visit(tap);
    }
  }
}

// Op::step(r, x, y) does Op::kStep channels of one pixel.
template <class Op>
void pool(const Pool* all) {
  const Pool& r = *all;
  constexpr size_t kStep = Op::kStep;
  const Op op(r);
  const uint8_t* x = static_cast<const uint8_t*>(r.x);
  uint8_t* y = static_cast<uint8_t*>(r.y);
  for (int64_t p = 0; p < r.pixels; ++p, x += r.step_x, y += r.step_y) {
    if (r.n < kStep) {
      alignas(64) uint8_t out[kStep];
      op.few(r, x, r.n, out);
      memcpy(y, out, r.n);
      continue;
    }
    size_t c = 0;
    for (; c + kStep <= r.n; c += kStep) op.step(r, x + c, y + c);
    if (c < r.n) op.step(r, x + r.n - kStep, y + r.n - kStep);
  }
}

template <class T>
class Max {
 public:
  using Tag = hn::ScalableTag<T>;
  static constexpr size_t kStep = HWY_LANES(T);
  static constexpr T kLowest = T(-1) < T(0) ? T(-128) : T(0);
  explicit Max(const Pool&) {}

  void step(const Pool& r, const uint8_t* x, uint8_t* y) const {
    auto best = hn::Set(Tag(), kLowest);
    for_each_tap(r, x, [&](const uint8_t* tap) {
      best = hn::Max(best, hn::LoadU(Tag(), reinterpret_cast<const T*>(tap)));
    });
    hn::StoreU(best, Tag(), reinterpret_cast<T*>(y));
  }
  void few(const Pool& r, const uint8_t* x, size_t n, uint8_t* y) const {
    alignas(64) T copy[kStep] = {};
    auto best = hn::Set(Tag(), kLowest);
    for_each_tap(r, x, [&](const uint8_t* tap) {
      memcpy(copy, tap, n);
      best = hn::Max(best, hn::Load(Tag(), copy));
    });
    hn::Store(best, Tag(), reinterpret_cast<T*>(y));
  }
};

using HalfTag = hn::ScalableTag<uint16_t>;
constexpr HalfTag kHalf{};
constexpr size_t kSums = HWY_LANES(uint16_t);

// The sums of kSums channels over all taps, less r.bias; a signed byte counts as itself.
template <class T>
class Sum {
 public:
  explicit Sum(const Pool& r) {
    const int64_t taps = r.size[0] * r.size[1] * r.size[2];
    const int64_t moved = sizeof(T) == 1 && T(-1) < T(0) ? 128 * taps : 0;
    start_ = hn::Set(kInt, static_cast<int32_t>(-(moved + r.bias)));
  }

  template <class Load>
  void operator()(const Pool& r, const uint8_t* x, Load load, Ints* low, Ints* high) const {
    auto part = hn::Zero(kHalf);
    *low = *high = start_;
    int left = 257;  // of them 255 make 65535
    for_each_tap(r, x, [&](const uint8_t* tap) {
      part = hn::Add(part, hn::PromoteTo(kHalf, load(tap)));
      if (--left) return;
      flush(part, low, high);
      part = hn::Zero(kHalf);
      left = 257;
    });
    flush(part, low, high);
  }

 private:
  static void flush(hn::Vec<HalfTag> part, Ints* low, Ints* high) {
    const hn::Half<HalfTag> half;
    *low = hn::Add(*low, hn::PromoteTo(kInt, hn::LowerHalf(half, part)));
    *high = hn::Add(*high, hn::PromoteTo(kInt, hn::UpperHalf(half, part)));
  }
  Ints start_;
};

// Averages: Finish turns a vector of sums into output integers.
template <class In, class Out, class Finish>
class Average {
 public:
  using Tag = hn::Rebind<uint8_t, HalfTag>;
  static constexpr size_t kStep = kSums;
  explicit Average(const Pool& r) : sum_(r), finish_(r) {}

  void step(const Pool& r, const uint8_t* x, uint8_t* y) const {
    store(r, x, [](const uint8_t* tap) { return unsign(hn::LoadU(Tag(), tap)); }, y);
  }
  void few(const Pool& r, const uint8_t* x, size_t n, uint8_t* y) const {
    alignas(64) uint8_t copy[kSums] = {};
    store(
        r, x,
        [&](const uint8_t* tap) {
          memcpy(copy, tap, n);
          return unsign(hn::LoadU(Tag(), copy));
        },
        y);
  }

 private:
  static hn::Vec<Tag> unsign(hn::Vec<Tag> v) {
    constexpr uint8_t kFlip = In(-1) < In(0) ? 0x80 : 0;
    return hn::Xor(v, hn::Set(Tag(), kFlip));
  }
  template <class Load>
  void store(const Pool& r, const uint8_t* x, Load load, uint8_t* y) const {
    Ints low, high;
    sum_(r, x, load, &low, &high);
    store_bytes(finish_(low), reinterpret_cast<Out*>(y));
    store_bytes(finish_(high), reinterpret_cast<Out*>(y) + kLanes);
  }
  Sum<In> sum_;
  Finish finish_;
};

class Scaled {
 public:
  explicit Scaled(const Pool& r)
      : mult_(hn::Set(kFloat, r.mult)),
        low_(hn::Set(kFloat, static_cast<float>(r.qmin - r.zero))),
        high_(hn::Set(kFloat, static_cast<float>(r.qmax - r.zero))),
        zero_(hn::Set(kInt, r.zero)) {}
  Ints operator()(Ints acc) const {
    const Floats v = hn::Mul(hn::ConvertTo(kFloat, acc), mult_);
    return hn::Add(round_to_int(hn::Min(hn::Max(v, low_), high_)), zero_);
  }

 private:
  Floats mult_, low_, high_;
  Ints zero_;
};

// (acc +- divisor / 2) / divisor in binary64: an int32 quotient that is no integer is further from
// the next than the rounding of the division can reach, so cutting it gives that of the integers.
class Divided {
 public:
  explicit Divided(const Pool& r)
      : divisor_(hn::Set(Wide(), static_cast<double>(r.divisor))),
        half_(hn::Set(kInt, r.divisor / 2)),
        low_(hn::Set(kInt, r.qmin)),
        high_(hn::Set(kInt, r.qmax)) {}
  Ints operator()(Ints acc) const {
    const Ints away =
        hn::IfThenElse(hn::Gt(acc, hn::Zero(kInt)), hn::Add(acc, half_), hn::Sub(acc, half_));
    const Part part;
    const Ints q =
        hn::Combine(kInt, quotient(hn::UpperHalf(part, away)), quotient(hn::LowerHalf(part, away)));
    return hn::Min(hn::Max(q, low_), high_);
  }

 private:
  using Wide = hn::ScalableTag<double>;
  using Part = hn::Half<IntTag>;
  hn::Vec<Part> quotient(hn::Vec<Part> v) const {
    return hn::DemoteTo(Part(), hn::Div(hn::PromoteTo(Wide(), v), divisor_));
  }
  hn::Vec<Wide> divisor_;
  Ints half_, low_, high_;
};

}  // namespace
}  // namespace octet

using namespace octet;

OCTET_KERNEL void OCTET_ROW(poolmax_u8_u8)(const Pool* r) { pool<Max<uint8_t>>(r); }
OCTET_KERNEL void OCTET_ROW(poolmax_s8_s8)(const Pool* r) { pool<Max<int8_t>>(r); }

OCTET_KERNEL void OCTET_ROW(poolavg_u8_u8)(const Pool* r) {
  pool<Average<uint8_t, uint8_t, Scaled>>(r);
}
OCTET_KERNEL void OCTET_ROW(poolavg_u8_s8)(const Pool* r) {
  pool<Average<uint8_t, int8_t, Scaled>>(r);
}
OCTET_KERNEL void OCTET_ROW(poolavg_s8_u8)(const Pool* r) {
  pool<Average<int8_t, uint8_t, Scaled>>(r);
}
OCTET_KERNEL void OCTET_ROW(poolavg_s8_s8)(const Pool* r) {
  pool<Average<int8_t, int8_t, Scaled>>(r);
}

OCTET_KERNEL void OCTET_ROW(poolavgint_u8_u8)(const Pool* r) {
  pool<Average<uint8_t, uint8_t, Divided>>(r);
}
OCTET_KERNEL void OCTET_ROW(poolavgint_s8_s8)(const Pool* r) {
  pool<Average<int8_t, int8_t, Divided>>(r);
}

HWY_AFTER_NAMESPACE();

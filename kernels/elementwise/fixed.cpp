// SPDX-License-Identifier: Apache-2.0
//
// The finish of a row of sums in fixed point (kernels/reference/fixed.h). The product needs 64
// bits, which even and odd lanes have in turn; all else is done in 32:
//
//   * a sum beyond INT32_MAX >> exponent lies outside of every output range, its multiplier being 1
//     or more, and so does that bound itself: clamped to it, the shift to the left cannot overflow;
//   * rounded twice, the high product is floor((x * m + 2^30) / 2^31);
//   * rounded once, shifted to the right by e > 0, it is floor((y + 2^(e-1)) / 2^e) with y =
//     floor(x * m / 2^31), whose sum cannot overflow if it is written (y >> e) + (y >> (e-1) & 1).
#include "kernels/elementwise/simd.h"

HWY_BEFORE_NAMESPACE();
namespace octet {
namespace {

using WideTag = hn::Repartition<int64_t, IntTag>;
using UnsignedWideTag = hn::Repartition<uint64_t, IntTag>;
constexpr WideTag kWide{};
constexpr UnsignedWideTag kUnsignedWide{};

// floor((x * m + nudge) / 2^31); 0 <= nudge.
inline Ints high_product(Ints x, Ints m, Ints nudge) {
  const auto down = [](Ints v) {
    return hn::BitCast(kInt, hn::ShiftRight<32>(hn::BitCast(kUnsignedWide, v)));
  };
  const auto add = [](auto product, Ints even_nudge) {
    return hn::BitCast(
        kUnsignedWide,
        hn::Add(product, hn::BitCast(kWide, hn::And(hn::BitCast(kUnsignedWide, even_nudge),
                                                    hn::Set(kUnsignedWide, 0xFFFFFFFFu)))));
  };
  const auto even = add(hn::MulEven(x, m), nudge);
  const auto odd = add(hn::MulEven(down(x), down(m)), down(nudge));
  return hn::OddEven(hn::BitCast(kInt, hn::ShiftLeft<1>(odd)),
                     hn::BitCast(kInt, hn::ShiftRight<31>(even)));
}

// x / 2^shift, a half rounded away from 0.
inline Ints shift_away(Ints x, Ints shift) {
  const Ints one = hn::Set(kInt, 1);
  const Ints mask = hn::Sub(hn::Shl(one, shift), one);
  // Minus 1 where x is negative; the comparison is minus 1 where it holds.
  const Ints threshold = hn::Sub(hn::ShiftRight<1>(mask), hn::ShiftRight<31>(x));
  const Ints more = hn::VecFromMask(kInt, hn::Gt(hn::And(x, mask), threshold));
  return hn::Sub(hn::Shr(x, shift), more);
}

// x / 2^shift, a half rounded up.
inline Ints shift_up(Ints x, Ints shift) {
  const Ints one = hn::Set(kInt, 1);
  const Ints last = hn::Max(hn::Sub(shift, one), hn::Zero(kInt));
  const Ints half = hn::And(hn::And(hn::Shr(x, last), one), hn::Min(shift, one));
  return hn::Add(hn::Shr(x, shift), half);
}

inline Ints scaled(Ints acc, Ints mult, Ints exponent, bool once) {
  const Ints none = hn::Zero(kInt);
  const Ints left = hn::Max(exponent, none), right = hn::Max(hn::Sub(none, exponent), none);
  const Ints bound = hn::Shr(hn::Set(kInt, INT32_MAX), left);
  const Ints x = hn::Shl(hn::Min(hn::Max(acc, hn::Not(bound)), bound), left);
  const Ints half = hn::Set(kInt, 1 << 30);
  if (!once) return shift_away(high_product(x, mult, half), right);
  const Ints nudge = hn::IfThenElseZero(hn::Eq(right, none), half);
  return shift_up(high_product(x, mult, nudge), right);
}

}  // namespace
}  // namespace octet

using namespace octet;

OCTET_KERNEL void OCTET_ROW(fixed_s32_q8)(const Finish* f, const int32_t* acc, int32_t col,
                                          int32_t n, void* c) {
  const Ints low = hn::Set(kInt, f->lo - f->zp), high = hn::Set(kInt, f->hi - f->zp);
  const Ints zero = hn::Set(kInt, f->zp), byte = hn::Set(kInt, 255);
  const hn::Rebind<uint8_t, IntTag> bytes;
  const bool once = f->fixed_rounding == kRoundOnce;
  for (int32_t j = 0; j < n; j += static_cast<int32_t>(kLanes)) {
    const int32_t at = col + j;
    const Ints y = scaled(hn::LoadU(kInt, acc + j), hn::LoadU(kInt, f->fixed_mult + at),
                          hn::LoadU(kInt, f->fixed_exp + at), once);
    const Ints q = hn::Add(hn::Min(hn::Max(y, low), high), zero);
    const auto narrow = hn::DemoteTo(bytes, hn::And(q, byte));
    uint8_t* to = static_cast<uint8_t*>(c) + j;
    const size_t left = static_cast<size_t>(n - j);
    if (left >= kLanes) {
      hn::StoreU(narrow, bytes, to);
    } else {
      alignas(64) uint8_t part[kLanes];
      hn::StoreU(narrow, bytes, part);
      memcpy(to, part, left);
    }
  }
}

HWY_AFTER_NAMESPACE();

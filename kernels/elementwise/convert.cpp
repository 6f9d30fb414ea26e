// SPDX-License-Identifier: Apache-2.0
//
// What stands before and behind the affine maps: half-precision reals from and to f32, and elements
// of 4 and 2 bits from and to bytes (docs/numerics.md, "Types").
#include "kernels/elementwise/simd.h"

HWY_BEFORE_NAMESPACE();
namespace octet {
namespace {

using HalfTag = hn::Rebind<hwy::float16_t, FloatTag>;
using ShortTag = hn::Rebind<uint16_t, FloatTag>;
using WordTag = hn::Rebind<uint32_t, FloatTag>;
constexpr WordTag kWord{};

struct ToF16 : LaneOp<float, uint16_t> {
  template <bool>
  static void loop(const Run& r) {
    const Floats most = hn::Set(kFloat, 65504.0f), least = hn::Set(kFloat, -65504.0f);
    const auto nan = hn::Set(ShortTag(), uint16_t{0x7E00});
    for (size_t i = 0; i < r.n; i += kLanes) {
      const Floats x = hn::LoadU(kFloat, static_cast<const float*>(r.x) + i);
      const Floats within = hn::Min(hn::Max(x, least), most);
      const auto half = hn::BitCast(ShortTag(), hn::DemoteTo(HalfTag(), within));
      // All ones where x is a number, narrowed like it.
      const auto number = hn::VecFromMask(kInt, hn::RebindMask(kInt, hn::Eq(x, x)));
      const auto keep =
          hn::BitCast(ShortTag(), hn::DemoteTo(hn::Rebind<int16_t, IntTag>(), number));
      hn::StoreU(hn::Or(hn::And(keep, half), hn::AndNot(keep, nan)), ShortTag(),
                 static_cast<uint16_t*>(r.y) + i);
    }
  }
};

struct FromF16 : LaneOp<uint16_t, float> {
  template <bool>
  static void loop(const Run& r) {
    for (size_t i = 0; i < r.n; i += kLanes) {
      const auto half = hn::LoadU(ShortTag(), static_cast<const uint16_t*>(r.x) + i);
      hn::StoreU(hn::PromoteTo(kFloat, hn::BitCast(HalfTag(), half)), kFloat,
                 static_cast<float*>(r.y) + i);
    }
  }
};

struct ToBf16 : LaneOp<float, uint16_t> {
  template <bool>
  static void loop(const Run& r) {
    const auto nan = hn::Set(kWord, 0x7FC0u), one = hn::Set(kWord, 1u);
    const auto half = hn::Set(kWord, 0x7FFFu);
    for (size_t i = 0; i < r.n; i += kLanes) {
      const Floats x = hn::LoadU(kFloat, static_cast<const float*>(r.x) + i);
      const auto u = hn::BitCast(kWord, x);
      const auto odd = hn::And(hn::ShiftRight<16>(u), one);
      const auto top = hn::ShiftRight<16>(hn::Add(hn::Add(u, half), odd));
      const auto v = hn::IfThenElse(hn::RebindMask(kWord, hn::Eq(x, x)), top, nan);
      hn::StoreU(hn::DemoteTo(ShortTag(), hn::BitCast(kInt, v)), ShortTag(),
                 static_cast<uint16_t*>(r.y) + i);
    }
  }
};

struct FromBf16 : LaneOp<uint16_t, float> {
  template <bool>
  static void loop(const Run& r) {
    for (size_t i = 0; i < r.n; i += kLanes) {
      const auto top = hn::LoadU(ShortTag(), static_cast<const uint16_t*>(r.x) + i);
      hn::StoreU(hn::BitCast(kFloat, hn::ShiftLeft<16>(hn::PromoteTo(kWord, top))), kFloat,
                 static_cast<float*>(r.y) + i);
    }
  }
};

// ---- elements of 4 and 2 bits -----------------------------------------------------------------

using ByteTag = hn::ScalableTag<uint8_t>;
constexpr ByteTag kByte{};
constexpr size_t kBytes = HWY_LANES(uint8_t);

// A vector of bytes, of which the low kBits count, as kBytes * kBits / 8 bytes.
template <unsigned kBits>
void pack_vector(const uint8_t* x, uint8_t* y) {
  const auto bytes = hn::And(hn::LoadU(kByte, x), hn::Set(kByte, uint8_t{(1 << kBits) - 1}));
  if constexpr (kBits == 4) {
    const hn::ScalableTag<uint16_t> wide;
    const hn::ScalableTag<int16_t> signed_wide;
    const hn::Rebind<uint8_t, decltype(wide)> narrow;
    const auto w = hn::BitCast(wide, bytes);
    const auto both = hn::And(hn::Or(w, hn::ShiftRight<4>(w)), hn::Set(wide, uint16_t{0xFF}));
    hn::StoreU(hn::DemoteTo(narrow, hn::BitCast(signed_wide, both)), narrow, y);
  } else {
    const hn::ScalableTag<uint32_t> wide;
    const hn::Rebind<uint8_t, decltype(wide)> narrow;
    const auto w = hn::BitCast(wide, bytes);
    const auto pairs = hn::Or(w, hn::ShiftRight<6>(w));  // of bytes 0 and 1, 2 and 3
    const auto all = hn::And(hn::Or(pairs, hn::ShiftRight<12>(pairs)), hn::Set(wide, 0xFFu));
    hn::StoreU(hn::DemoteTo(narrow, hn::BitCast(kInt, all)), narrow, y);
  }
}

template <unsigned kBits, bool kSigned>
void unpack_vector(const uint8_t* x, uint8_t* y) {
  auto spread = hn::Undefined(kByte);
  if constexpr (kBits == 4) {
    const hn::ScalableTag<uint16_t> wide;
    const auto w = hn::PromoteTo(wide, hn::LoadU(hn::Rebind<uint8_t, decltype(wide)>(), x));
    spread = hn::BitCast(kByte, hn::Or(w, hn::ShiftLeft<4>(w)));
  } else {
    const hn::ScalableTag<uint32_t> wide;
    const auto w = hn::PromoteTo(wide, hn::LoadU(hn::Rebind<uint8_t, decltype(wide)>(), x));
    const auto pairs = hn::Or(w, hn::ShiftLeft<12>(w));
    spread = hn::BitCast(kByte, hn::Or(pairs, hn::ShiftLeft<6>(pairs)));
  }
  auto v = hn::And(spread, hn::Set(kByte, uint8_t{(1 << kBits) - 1}));
  if constexpr (kSigned) {
    const auto sign = hn::Set(kByte, uint8_t{1 << (kBits - 1)});
    v = hn::Sub(hn::Xor(v, sign), sign);
  }
  hn::StoreU(v, kByte, y);
}

template <unsigned kBits>
void pack(const Run* r) {
  constexpr size_t kEach = 8 / kBits;
  const uint8_t* x = static_cast<const uint8_t*>(r->x);
  uint8_t* y = static_cast<uint8_t*>(r->y);
  size_t i = 0;
  for (; i + kBytes <= r->n; i += kBytes) pack_vector<kBits>(x + i, y + i / kEach);
  if (i == r->n) return;
  alignas(64) uint8_t rest[kBytes], packed[kBytes / kEach];
  pack_vector<kBits>(stage<kBytes>(x, i, r->n - i, rest), packed);
  memcpy(y + i / kEach, packed, (r->n - i + kEach - 1) / kEach);
}

template <unsigned kBits, bool kSigned>
void unpack(const Run* r) {
  constexpr size_t kEach = 8 / kBits;
  const uint8_t* x = static_cast<const uint8_t*>(r->x);
  uint8_t* y = static_cast<uint8_t*>(r->y);
  size_t i = 0;
  for (; i + kBytes <= r->n; i += kBytes) unpack_vector<kBits, kSigned>(x + i / kEach, y + i);
  if (i == r->n) return;
  alignas(64) uint8_t rest[kBytes / kEach], bytes[kBytes];
  stage<kBytes / kEach>(x, i / kEach, (r->n - i + kEach - 1) / kEach, rest);
  unpack_vector<kBits, kSigned>(rest, bytes);
  memcpy(y + i, bytes, r->n - i);
}

}  // namespace
}  // namespace octet

using namespace octet;

OCTET_KERNEL void OCTET_ROW(convert_f32_f16)(const Run* r) { apply<ToF16>(r); }
OCTET_KERNEL void OCTET_ROW(convert_f32_bf16)(const Run* r) { apply<ToBf16>(r); }
OCTET_KERNEL void OCTET_ROW(convert_f16_f32)(const Run* r) { apply<FromF16>(r); }
OCTET_KERNEL void OCTET_ROW(convert_bf16_f32)(const Run* r) { apply<FromBf16>(r); }

OCTET_KERNEL void OCTET_ROW(pack_u8_u4)(const Run* r) { pack<4>(r); }
OCTET_KERNEL void OCTET_ROW(pack_u8_u2)(const Run* r) { pack<2>(r); }
OCTET_KERNEL void OCTET_ROW(unpack_u4_u8)(const Run* r) { unpack<4, false>(r); }
OCTET_KERNEL void OCTET_ROW(unpack_s4_s8)(const Run* r) { unpack<4, true>(r); }
OCTET_KERNEL void OCTET_ROW(unpack_u2_u8)(const Run* r) { unpack<2, false>(r); }
OCTET_KERNEL void OCTET_ROW(unpack_s2_s8)(const Run* r) { unpack<2, true>(r); }

HWY_AFTER_NAMESPACE();

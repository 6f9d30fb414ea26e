// SPDX-License-Identifier: Apache-2.0
//
// Table lookups of bytes: any function of 8 bits, such as an activation between two scales. The
// table stays in registers or in L1, as an instruction set can look up from it: 64 entries of four
// registers (NEON), 64 pairs of two (AVX-512), or 16 of one (AVX2).
#include "kernels/elementwise/simd.h"

HWY_BEFORE_NAMESPACE();
namespace octet {
namespace {

using ByteTag = hn::ScalableTag<uint8_t>;
using Bytes = hn::Vec<ByteTag>;
constexpr ByteTag kByte{};
constexpr size_t kBytes = HWY_LANES(uint8_t);

#if HWY_TARGET == HWY_NEON

class Table {
 public:
  explicit Table(const uint8_t* t)
      : part_{vld1q_u8_x4(t), vld1q_u8_x4(t + 64), vld1q_u8_x4(t + 128), vld1q_u8_x4(t + 192)} {}

  // An index of 64 and more gives 0, or leaves what the parts before have found.
  Bytes operator()(Bytes x) const {
    const uint8x16_t step = vdupq_n_u8(64);
    uint8x16_t at = x.raw, y = vqtbl4q_u8(part_[0], at);
    for (int i = 1; i < 4; ++i) {
      at = vsubq_u8(at, step);
      y = vqtbx4q_u8(y, part_[i], at);
    }
    return Bytes(y);
  }

 private:
  uint8x16x4_t part_[4];
};

#elif HWY_TARGET == HWY_AVX3

// Entries as pairs: the pair of an index by its upper seven bits, the byte of it by the lowest.
class Table {
 public:
  explicit Table(const uint8_t* t)
      : part_{_mm512_loadu_si512(t), _mm512_loadu_si512(t + 64), _mm512_loadu_si512(t + 128),
              _mm512_loadu_si512(t + 192)} {}

  Bytes operator()(Bytes x) const {
    const __m512i eight = _mm512_set1_epi16(8), low = _mm512_set1_epi16(0xFF);
    // Even bytes of x end in the low byte of their word, odd ones in the high byte.
    const __m512i even = pairs(_mm512_srli_epi16(_mm512_and_si512(x.raw, low), 1));
    const __m512i odd = pairs(_mm512_srli_epi16(x.raw, 9));
    const __m512i down = _mm512_and_si512(_mm512_slli_epi16(x.raw, 3), eight);
    const __m512i up = _mm512_andnot_si512(_mm512_srli_epi16(x.raw, 5), eight);
    return Bytes{_mm512_ternarylogic_epi64(low, _mm512_srlv_epi16(even, down),
                                           _mm512_sllv_epi16(odd, up), 0xCA)};
  }

 private:
  // The words of indices below 128.
  __m512i pairs(__m512i at) const {
    const __mmask32 upper = _mm512_test_epi16_mask(at, _mm512_set1_epi16(64));
    return _mm512_mask_blend_epi16(upper, _mm512_permutex2var_epi16(part_[0], at, part_[1]),
                                   _mm512_permutex2var_epi16(part_[2], at, part_[3]));
  }

  __m512i part_[4];
};

#else

// Two halves of eight times 16 entries. A shuffle gives 0 for a negative index, so that after
// subtracting 16 for each part before it, a part counts for its own entries and those of later
// ones: each holds the difference to the part before.
class Table {
 public:
  explicit Table(const uint8_t* t) {
    for (int i = 0; i < 16; ++i) part_[i] = hn::LoadDup128(kByte, t + i * 16);
    for (int i = 15; i > 0; --i)
      if (i != 8) part_[i] = hn::Xor(part_[i], part_[i - 1]);
  }

  Bytes operator()(Bytes x) const {
    const hn::RebindToSigned<ByteTag> kSigned;
    const auto step = hn::Set(kByte, uint8_t{16});
    auto low = x, high = hn::Xor(x, hn::Set(kByte, uint8_t{0x80}));
    auto y = hn::TableLookupBytesOr0(part_[0], low), z = hn::TableLookupBytesOr0(part_[8], high);
    for (int i = 1; i < 8; ++i) {
      low = hn::Sub(low, step);
      high = hn::Sub(high, step);
      y = hn::Xor(y, hn::TableLookupBytesOr0(part_[i], low));
      z = hn::Xor(z, hn::TableLookupBytesOr0(part_[8 + i], high));
    }
    const auto upper = hn::MaskFromVec(hn::BitCast(kSigned, x));
    return hn::BitCast(kByte,
                       hn::IfThenElse(upper, hn::BitCast(kSigned, z), hn::BitCast(kSigned, y)));
  }

 private:
  Bytes part_[16];
};

#endif

// Bytes that are at least one part and at most two, which may overlap.
template <class Part>
void look_up_two(Part part, const Table& table, const Lookup& r, const uint8_t* x, uint8_t* y) {
  constexpr size_t kPart = hn::MaxLanes(Part());
  const hn::Twice<Part> both;
  const auto v = hn::Combine(both, hn::LoadU(part, x + r.n - kPart), hn::LoadU(part, x));
  const auto store = [&](auto found) {
    hn::StoreU(hn::LowerHalf(part, found), part, y);
    hn::StoreU(hn::UpperHalf(part, found), part, y + r.n - kPart);
  };
  if constexpr (2 * kPart == kBytes)
    store(table(v));
  else
    store(hn::LowerHalf(both, table(hn::ZeroExtendVector(kByte, v))));
}

// Fewer bytes than a vector has.
inline void look_up_few(const Table& table, const Lookup& r, const uint8_t* x, uint8_t* y) {
  if constexpr (kBytes > 32) {
    if (r.n >= 32) return look_up_two(hn::CappedTag<uint8_t, 32>(), table, r, x, y);
  }
  if constexpr (kBytes > 16) {
    if (r.n >= 16) return look_up_two(hn::CappedTag<uint8_t, 16>(), table, r, x, y);
  }
  for (size_t i = 0; i < r.n; ++i) y[i] = r.table[x[i]];
}

// In vectors. The last one may overlap the one before it: it is loaded before y, which may be x, is
// written.
inline void look_up(const Table& table, const Lookup& r, const uint8_t* x, uint8_t* y) {
  if (r.n < kBytes) return look_up_few(table, r, x, y);
  const size_t last = r.n - kBytes;
  const auto end = table(hn::LoadU(kByte, x + last));
  for (size_t i = 0; i < last; i += kBytes)
    hn::StoreU(table(hn::LoadU(kByte, x + i)), kByte, y + i);
  hn::StoreU(end, kByte, y + last);
}

}  // namespace
}  // namespace octet

using namespace octet;

OCTET_KERNEL void OCTET_ROW(lut_x8_x8)(const Lookup* r) {
  const Table table(r->table);
  const uint8_t* x = static_cast<const uint8_t*>(r->x);
  uint8_t* y = static_cast<uint8_t*>(r->y);
  for (size_t i = 0; i < r->rows; ++i, x += r->ldx, y += r->ldy) look_up(table, *r, x, y);
}

HWY_AFTER_NAMESPACE();

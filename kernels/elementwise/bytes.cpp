// SPDX-License-Identifier: Apache-2.0
//
// What prepares activations for the tiles: flip changes the sign convention of bytes, widen gives
// the tiles without a byte product 16-bit operands in their order, rowsum feeds the correction for
// weight zero points.
#include "kernels/elementwise/simd.h"

HWY_BEFORE_NAMESPACE();
namespace octet {
namespace {

using ByteTag = hn::ScalableTag<uint8_t>;
constexpr ByteTag kByte{};
constexpr size_t kBytes = HWY_LANES(uint8_t);

struct Flip {
  using X = uint8_t;
  using Y = uint8_t;
  static constexpr size_t kStep = kBytes;
  static constexpr bool kWritesMask = false;
  static constexpr bool kStreams = false;
  static constexpr size_t kPad = 1;

  template <bool>
  static void loop(const Run& r) {
    const auto sign = hn::Set(kByte, uint8_t{0x80});
    for (size_t i = 0; i < r.n; i += kStep) {
      const auto v = hn::LoadU(kByte, static_cast<const uint8_t*>(r.x) + i);
      hn::StoreU(hn::Xor(v, sign), kByte, static_cast<uint8_t*>(r.y) + i);
    }
  }
};

template <class In>
struct Widen {
  using WideTag = hn::ScalableTag<int16_t>;
  static constexpr size_t kStep = HWY_LANES(int16_t);

  static void loop(const In* x, int16_t* y, size_t n) {
    alignas(16) static constexpr In kOrder[16] = {0, 2,  1, 3,  4,  6,  5,  7,
                                                  8, 10, 9, 11, 12, 14, 13, 15};
    const hn::Rebind<In, WideTag> narrow;
    const auto order = hn::LoadDup128(narrow, kOrder);
    for (size_t i = 0; i < n; i += kStep) {
      const auto v = hn::LoadU(narrow, x + i);
      hn::StoreU(hn::PromoteTo(WideTag(), hn::TableLookupBytes(v, order)), WideTag(), y + i);
    }
  }
};

// Fours of elements one by one, the last of them filled up with zeros.
template <class In>
void widen_fours(const In* x, int16_t* y, size_t n) {
  for (size_t i = 0; i < n; i += 4, y += 4) {
    const size_t left = n - i;
    y[0] = x[i];
    y[2] = left > 1 ? x[i + 1] : 0;
    y[1] = left > 2 ? x[i + 2] : 0;
    y[3] = left > 3 ? x[i + 3] : 0;
  }
}

// Rows are short: the last vector overlaps the one before it, because copies would take longer.
template <class In>
void widen(const Run* r) {
  using Op = Widen<In>;
  const In* x = static_cast<const In*>(r->x);
  int16_t* y = static_cast<int16_t*>(r->y);
  size_t done = 0;
  if (r->n >= Op::kStep) {
    const size_t whole = r->n & ~(Op::kStep - 1);
    Op::loop(x, y, whole);
    done = r->n & ~size_t{3};
    if (whole != done) Op::loop(x + done - Op::kStep, y + done - Op::kStep, Op::kStep);
  }
  widen_fours(x + done, y + done, r->n - done);
}

// Sum of the bytes xor `sign`: with 0x80 a signed byte b counts as b + 128.
inline uint64_t sum_bytes(const uint8_t* p, size_t n, uint8_t sign) {
  const hn::Repartition<uint64_t, ByteTag> wide;
  const auto flip = hn::Set(kByte, sign);
  auto sum = hn::Zero(wide);
  size_t i = 0;
  for (; i + kBytes <= n; i += kBytes)
    sum = hn::Add(sum, hn::SumsOf8(hn::Xor(hn::LoadU(kByte, p + i), flip)));
  if (i < n) {
    alignas(64) uint8_t rest[kBytes];
    memset(rest, sign, kBytes);  // counts 0
    memcpy(rest, p + i, n - i);
    sum = hn::Add(sum, hn::SumsOf8(hn::Xor(hn::LoadU(kByte, rest), flip)));
  }
  return hn::GetLane(hn::SumOfLanes(wide, sum));
}

}  // namespace
}  // namespace octet

using namespace octet;

OCTET_KERNEL void OCTET_ROW(flip_x8_x8)(const Run* r) { apply<Flip>(r); }
OCTET_KERNEL void OCTET_ROW(widen_u8_s16)(const Run* r) { widen<uint8_t>(r); }
OCTET_KERNEL void OCTET_ROW(widen_s8_s16)(const Run* r) { widen<int8_t>(r); }

OCTET_KERNEL int32_t OCTET_ROW(rowsum_u8_s32)(const void* a, size_t n) {
  return static_cast<int32_t>(
      static_cast<uint32_t>(sum_bytes(static_cast<const uint8_t*>(a), n, 0)));
}
OCTET_KERNEL int32_t OCTET_ROW(rowsum_s8_s32)(const void* a, size_t n) {
  const uint64_t sum = sum_bytes(static_cast<const uint8_t*>(a), n, 0x80) - 128 * uint64_t{n};
  return static_cast<int32_t>(static_cast<uint32_t>(sum));
}

HWY_AFTER_NAMESPACE();

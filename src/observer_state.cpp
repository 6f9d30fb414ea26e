// SPDX-License-Identifier: Apache-2.0
//
// octet_observer_save and _load. The bytes, little-endian, equal on every CPU:
//    0  magic "OCTETOBS"
//    8  u16 major, u16 minor: a reader refuses a newer major
//   12  u32 kind
//   16  u64 bytes in all
//   24  u64 channels, 0: per tensor
//   32  i32 axis
//   36  u32 CRC-32C of all bytes, with this field 0
//   40  u64 elements fed
//   48  for each channel, or once: f32 min, f32 max, u64 NaN, u64 infinities
#include <string.h>

#include "src/crc32c.h"
#include "src/fpenv.h"
#include "src/observer.h"

namespace octet {
namespace {

constexpr char kMagic[] = "OCTETOBS";
constexpr uint16_t kMajor = 1, kMinor = 0;
constexpr size_t kHeader = 48, kRecord = 24, kCrcAt = 36;

void put(unsigned char* p, uint64_t v, int bytes) {
  for (int i = 0; i < bytes; ++i) p[i] = static_cast<unsigned char>(v >> 8 * i);
}
uint64_t get(const unsigned char* p, int bytes) {
  uint64_t v = 0;
  for (int i = 0; i < bytes; ++i) v |= uint64_t{p[i]} << 8 * i;
  return v;
}
uint32_t bits(float v) { return __builtin_bit_cast(uint32_t, v); }
float real(uint64_t v) { return __builtin_bit_cast(float, static_cast<uint32_t>(v)); }

uint32_t checksum(const unsigned char* p, size_t n) {
  static constexpr unsigned char kZero[4] = {};
  uint32_t crc = crc32c(0, p, kCrcAt);
  crc = crc32c(crc, kZero, sizeof kZero);
  return crc32c(crc, p + kCrcAt + 4, n - kCrcAt - 4);
}

octet_status corrupt(octet_error* err, const char* what) {
  return fail(err, OCTET_ERR_CORRUPT,
              "The saved observer %s; it was damaged or cut, or is something else: save it again.",
              what);
}

// A range that feeding could have left: empty, or finite, in order and without a -0.
bool is_sound(const Range& r) {
  if (is_empty(r))
    return bits(r.min) == bits(kEmptyRange.min) && bits(r.max) == bits(kEmptyRange.max);
  return r.min - r.min == 0 && r.max - r.max == 0 && r.min <= r.max && bits(r.min) != 1u << 31 &&
         bits(r.max) != 1u << 31;
}

Range get_range(const unsigned char* p) {
  return {real(get(p, 4)), real(get(p + 4, 4)), get(p + 8, 8), get(p + 16, 8)};
}

// Everything that the header says, against the bytes that are there.
[[gnu::noinline]] octet_status check_saved(octet_error* err, const unsigned char* p, size_t n) {
  if (n < kHeader + kRecord) return corrupt(err, "is too short");
  if (memcmp(p, kMagic, 8)) return corrupt(err, "does not start with OCTETOBS");
  if (checksum(p, n) != get(p + kCrcAt, 4)) return corrupt(err, "does not match its checksum");
  if (get(p + 8, 2) > kMajor)
    return fail(err, OCTET_ERR_VERSION,
                "The saved observer has version %d, but this library reads up to %d; use a newer "
                "Octet.",
                static_cast<int>(get(p + 8, 2)), kMajor);
  if (get(p + 8, 2) != kMajor || get(p + 12, 4) != OCTET_OBSERVE_MINMAX)
    return corrupt(err, "has an unknown version or kind");
  const uint64_t channels = get(p + 24, 8);
  const int32_t axis = static_cast<int32_t>(get(p + 32, 4));
  if (channels > kMaxChannels || axis < -6 || axis > 5 || (!channels && axis))
    return corrupt(err, "has impossible channels");
  if (get(p + 16, 8) != n || n != kHeader + (channels ? channels : 1) * kRecord)
    return corrupt(err, "has another length than it says");
  for (size_t i = kHeader; i < n; i += kRecord)
    if (!is_sound(get_range(p + i))) return corrupt(err, "has an impossible range");
  return OCTET_OK;
}

}  // namespace
}  // namespace octet

using namespace octet;

octet_status octet_observer_save(const octet_observer* o, void* bytes, size_t cap, size_t* need,
                                 octet_error* err) {
  if (!o) return fail(err, OCTET_ERR_ARGUMENT, "o is NULL; pass an observer.");
  const size_t n = kHeader + o->count() * kRecord;
  if (!bytes && !cap) {
    if (!need) return fail(err, OCTET_ERR_ARGUMENT, "bytes and need are NULL; pass one of them.");
    *need = n;
    return OCTET_OK;
  }
  if (!bytes)
    return fail(err, OCTET_ERR_ARGUMENT, "bytes is NULL, but cap is %zu; pass memory.", cap);
  if (cap < n) return fail_too_small(err, "bytes", cap, n);
  unsigned char* const p = static_cast<unsigned char*>(bytes);
  memcpy(p, kMagic, 8);
  put(p + 8, kMajor, 2);
  put(p + 10, kMinor, 2);
  put(p + 12, OCTET_OBSERVE_MINMAX, 4);
  put(p + 16, n, 8);
  put(p + 24, o->channels, 8);
  put(p + 32, static_cast<uint32_t>(o->axis), 4);
  put(p + 40, o->fed, 8);
  for (size_t i = 0; i < o->count(); ++i) {
    unsigned char* const r = p + kHeader + i * kRecord;
    put(r, bits(o->ranges[i].min), 4);
    put(r + 4, bits(o->ranges[i].max), 4);
    put(r + 8, o->ranges[i].nan_count, 8);
    put(r + 16, o->ranges[i].inf_count, 8);
  }
  put(p + kCrcAt, checksum(p, n), 4);
  if (need) *need = n;
  return OCTET_OK;
}

octet_status octet_observer_load(const octet_context* c, const void* bytes, size_t n,
                                 octet_observer** out, octet_error* err) {
  if (!c) return fail(err, OCTET_ERR_ARGUMENT, "c is NULL; pass a context.");
  if (!bytes) return fail(err, OCTET_ERR_ARGUMENT, "bytes is NULL; pass what was saved.");
  if (!out) return fail(err, OCTET_ERR_ARGUMENT, "out is NULL; pass where the observer goes.");
  const FpGuard guard;
  const unsigned char* const p = static_cast<const unsigned char*>(bytes);
  OCTET_TRY(check_saved(err, p, n));
  octet_observer* o;
  OCTET_TRY(make_observer(err, c, get(p + 24, 8), static_cast<int32_t>(get(p + 32, 4)), &o));
  o->fed = get(p + 40, 8);
  for (size_t i = 0; i < o->count(); ++i) o->ranges[i] = get_range(p + kHeader + i * kRecord);
  *out = o;
  return OCTET_OK;
}

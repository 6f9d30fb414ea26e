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
// All kinds but MINMAX and ABSMAX go on with
//       u32 flags, f32 momentum, u32 bins, u32 whole, u64 most bins, u64 bins in use, f64 first,
//       f64 width, f32 last, u32 0  (the last six are those of NVIDIA's edges)
//   FIXED: f32 scale and i32 zero point of each channel
//   HISTOGRAM: for each channel i32 exponent, u32 0, u64 zeros, u64 counts[bins]
//   TORCH_HISTOGRAM: f32 masses[bins]
//   NVIDIA_HISTOGRAM: u64 zeros, u64 counts[bins in use]
#include <string.h>

#include "src/crc32c.h"
#include "src/fpenv.h"
#include "src/observer.h"

namespace octet {
namespace {

constexpr char kMagic[] = "OCTETOBS";
constexpr uint16_t kMajor = 1, kMinor = 0;
constexpr size_t kHeader = 48, kRecord = 24, kCrcAt = 36, kDetails = 56;

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

bool has_details(int32_t kind) {
  return kind != OCTET_OBSERVE_MINMAX && kind != OCTET_OBSERVE_ABSMAX;
}

// What follows the ranges, in order, as puts or gets of one field: both walk the same list.
template <class Io>
void details(octet_observer* o, Io& io) {
  if (!has_details(o->kind)) return;
  uint32_t bins = static_cast<uint32_t>(o->bins), whole = o->edges.whole;
  uint64_t most = o->max_bins, in_use = static_cast<uint64_t>(o->edges.bins);
  io.u32(&o->flags);
  io.f32(&o->momentum);
  io.u32(&bins);
  io.u32(&whole);
  io.u64(&most);
  io.u64(&in_use);
  io.f64(&o->edges.first);
  io.f64(&o->edges.width);
  io.f32(&o->edges.last);
  uint32_t zero = 0;
  io.u32(&zero);
  o->edges.whole = whole;
  o->edges.bins = static_cast<int64_t>(in_use);
}

template <class Io>
void content(octet_observer* o, Io& io) {
  const size_t count = o->count();
  for (size_t i = 0; i < count && o->kind == OCTET_OBSERVE_FIXED; ++i) {
    io.f32(o->scale + i);
    io.i32(o->zero_point + i);
  }
  if (o->kind == OCTET_OBSERVE_TORCH_HISTOGRAM)
    for (size_t b = 0; b < o->room(); ++b) io.f32(o->masses + b);
  if (o->kind == OCTET_OBSERVE_HISTOGRAM)
    for (size_t i = 0; i < count; ++i) {
      io.i32(&o->channel[i].exponent);
      io.i32(&o->channel[i].reserved);
      io.u64(&o->channel[i].zeros);
      for (size_t b = 0; b < o->room(); ++b) io.u64(o->counts + i * o->room() + b);
    }
  if (o->kind != OCTET_OBSERVE_NVIDIA_HISTOGRAM) return;
  io.u64(&o->channel->zeros);
  for (int64_t b = 0; b < o->edges.bins; ++b) io.u64(o->counts + b);
}

struct Writer {
  unsigned char* p;
  void put_next(uint64_t v, int bytes) {
    put(p, v, bytes);
    p += bytes;
  }
  void u32(const uint32_t* v) { put_next(*v, 4); }
  void i32(const int32_t* v) { put_next(static_cast<uint32_t>(*v), 4); }
  void u64(const uint64_t* v) { put_next(*v, 8); }
  void f32(const float* v) { put_next(bits(*v), 4); }
  void f64(const double* v) { put_next(__builtin_bit_cast(uint64_t, *v), 8); }
};

struct Reader {
  const unsigned char* p;
  uint64_t next(int bytes) {
    p += bytes;
    return get(p - bytes, bytes);
  }
  void u32(uint32_t* v) { *v = static_cast<uint32_t>(next(4)); }
  void i32(int32_t* v) { *v = static_cast<int32_t>(next(4)); }
  void u64(uint64_t* v) { *v = next(8); }
  void f32(float* v) { *v = real(next(4)); }
  void f64(double* v) { *v = __builtin_bit_cast(double, next(8)); }
};

size_t saved_bytes(const octet_observer& o) {
  const size_t count = o.count(), room = o.room();
  size_t n = kHeader + count * kRecord;
  if (has_details(o.kind)) n += kDetails;
  if (o.kind == OCTET_OBSERVE_FIXED) n += 8 * count;
  if (o.kind == OCTET_OBSERVE_TORCH_HISTOGRAM) n += 4 * room;
  if (o.kind == OCTET_OBSERVE_HISTOGRAM) n += count * (16 + 8 * room);
  if (o.kind == OCTET_OBSERVE_NVIDIA_HISTOGRAM) n += 8 + 8 * static_cast<size_t>(o.edges.bins);
  return n;
}

// The desc that the bytes say, and the length that they must have with it. Sizes are those of a
// checked desc, so that nothing here can overflow.
[[gnu::noinline]] octet_status read_header(octet_error* err, const unsigned char* p, size_t n,
                                           octet_observer_desc* d) {
  if (n < kHeader + kRecord) return corrupt(err, "is too short");
  if (memcmp(p, kMagic, 8)) return corrupt(err, "does not start with OCTETOBS");
  if (checksum(p, n) != get(p + kCrcAt, 4)) return corrupt(err, "does not match its checksum");
  if (get(p + 8, 2) > kMajor)
    return fail(err, OCTET_ERR_VERSION,
                "The saved observer has version %d, but this library reads up to %d; use a newer "
                "Octet.",
                static_cast<int>(get(p + 8, 2)), kMajor);
  if (get(p + 12, 4) > OCTET_OBSERVE_NVIDIA_HISTOGRAM || get(p + 8, 2) != kMajor)
    return corrupt(err, "has an unknown version or kind");
  d->kind = static_cast<int32_t>(get(p + 12, 4));
  d->channels = get(p + 24, 8);
  d->axis = static_cast<int32_t>(get(p + 32, 4));
  if (d->kind == OCTET_OBSERVE_CALLBACK) return corrupt(err, "has an unknown version or kind");
  if (d->channels > kMaxChannels || d->axis < -6 || d->axis > 5 || (!d->channels && d->axis))
    return corrupt(err, "has impossible channels");
  if (get(p + 16, 8) != n) return corrupt(err, "has another length than it says");
  return OCTET_OK;
}

// An observer whose parts are of the kind that the bytes name, before they are read.
[[gnu::noinline]] octet_status check_saved(octet_error* err, const unsigned char* p, size_t n,
                                           octet_observer_desc* d) {
  OCTET_TRY(read_header(err, p, n, d));
  const size_t count = d->channels ? d->channels : 1;
  const size_t at = kHeader + count * kRecord;
  octet_observer o = {};
  o.kind = d->kind;
  o.channels = d->channels;
  if (has_details(o.kind)) {
    if (n < at + kDetails) return corrupt(err, "has another length than it says");
    Reader r = {p + at};
    details(&o, r);
    d->flags = o.flags;
    d->momentum = o.momentum;
    d->bins = static_cast<int32_t>(get(p + at + 8, 4));
    d->max_bins = get(p + at + 16, 8);
    const bool nvidia = o.kind == OCTET_OBSERVE_NVIDIA_HISTOGRAM;
    const bool sane = get(p + at + 12, 4) <= 1 && get(p + at + kDetails - 4, 4) == 0;
    if (!sane || (has_bins(o.kind) && !d->bins) || (nvidia && !d->max_bins) ||
        (o.kind == OCTET_OBSERVE_MOVING && d->momentum == 0) ||
        check_observer(nullptr, d) != OCTET_OK)
      return corrupt(err, "has impossible settings");
    o.bins = d->bins;
    o.max_bins = d->max_bins;
    const Edges& e = o.edges;
    const bool finite = e.first - e.first == 0 && e.width - e.width == 0 && e.last - e.last == 0;
    const bool used = nvidia && e.bins > 0 && e.bins <= static_cast<int64_t>(d->max_bins) &&
                      finite && e.width > 0 && e.last > 0;
    const bool unused = !e.bins && !e.whole && e.first == 0 && e.width == 0 && e.last == 0;
    if (!used && !unused) return corrupt(err, "has impossible edges");
  }
  if (n != saved_bytes(o)) return corrupt(err, "has another length than it says");
  for (size_t i = 0; i < count; ++i)
    if (!is_sound(get_range(p + kHeader + i * kRecord)))
      return corrupt(err, "has an impossible range");
  return OCTET_OK;
}

// What feeding could have left in a histogram, or a desc in constants.
bool is_sound(const octet_observer& o) {
  for (size_t i = 0; i < o.count(); ++i) {
    const Range& r = o.ranges[i];
    if (o.kind == OCTET_OBSERVE_FIXED && !scale_in_domain(o.scale[i])) return false;
    if (o.kind != OCTET_OBSERVE_HISTOGRAM) continue;
    const int32_t e = o.channel[i].exponent;
    if (o.channel[i].reserved || e < -126 || e > 128) return false;
    if (!is_empty(r) && exponent_for(r.min, r.max, o.bins) > e) return false;
  }
  if (o.kind == OCTET_OBSERVE_TORCH_HISTOGRAM)
    for (size_t b = 0; b < o.room(); ++b)
      if (!(o.masses[b] >= 0 && o.masses[b] - o.masses[b] == 0)) return false;
  return true;
}

}  // namespace
}  // namespace octet

using namespace octet;

octet_status octet_observer_save(const octet_observer* o, void* bytes, size_t cap, size_t* need,
                                 octet_error* err) {
  if (!o) return fail(err, OCTET_ERR_ARGUMENT, "o is NULL; pass an observer.");
  if (o->kind == OCTET_OBSERVE_CALLBACK)
    return fail(err, OCTET_ERR_UNSUPPORTED,
                "o is of kind OCTET_OBSERVE_CALLBACK, whose state is the caller's; save that.");
  const size_t n = saved_bytes(*o);
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
  put(p + 12, static_cast<uint32_t>(o->kind), 4);
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
  Writer w = {p + kHeader + o->count() * kRecord};
  octet_observer same = *o;  // whose fields details() may assign; of the arrays nothing is written
  details(&same, w);
  content(&same, w);
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
  octet_observer_desc d = {};
  OCTET_TRY(check_saved(err, p, n, &d));
  octet_observer* o;
  OCTET_TRY(make_observer(err, c, d, &o));
  o->fed = get(p + 40, 8);
  for (size_t i = 0; i < o->count(); ++i) o->ranges[i] = get_range(p + kHeader + i * kRecord);
  Reader r = {p + kHeader + o->count() * kRecord};
  details(o, r);
  content(o, r);
  if (!is_sound(*o)) {
    octet_observer_destroy(o);
    return corrupt(err, "has impossible content");
  }
  *out = o;
  return OCTET_OK;
}

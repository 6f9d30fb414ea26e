// SPDX-License-Identifier: Apache-2.0
//
// Opening, creating and sharing packed weights. The header's first 64 bytes are frozen for ever; a
// reader checks header checksum, sizes and every offset always, the payload's checksum unless the
// caller vouches for it.
#include "src/weights.h"

#include "src/blob.h"
#include "src/crc32c.h"
#include "src/fpenv.h"
#include "src/pack.h"
#include "src/repack.h"

namespace octet {

void retain(const octet_weights* w) { w->refs.fetch_add(1, std::memory_order_relaxed); }

BlobLayout blob_layout(int64_t n, int64_t k) {
  const size_t panels = static_cast<size_t>((n + 15) / 16), n16 = panels * 16;
  BlobLayout l;
  l.panel_stride = static_cast<size_t>((k + 3) / 4) * 64;
  // Panels a multiple of 4 KiB apart would compete for the same cache sets.
  if (l.panel_stride && l.panel_stride % 4096 == 0) l.panel_stride += 64;
  l.panels = sizeof(BlobHeader);
  l.sums = l.panels + panels * l.panel_stride;
  l.scale = l.sums + n16 * 4;
  l.zero = l.scale + n16 * 4;
  l.bias = l.zero + n16 * 4;
  l.total = l.bias + n16 * 4;
  return l;
}

WeightsView view_blob(const void* blob) {
  const BlobHeader& h = *static_cast<const BlobHeader*>(blob);
  const char* base = static_cast<const char*>(blob);
  WeightsView v = {};
  v.n = static_cast<int64_t>(h.n);
  v.k = static_cast<int64_t>(h.k);
  v.panels = reinterpret_cast<const int8_t*>(base + h.panels);
  v.panel_stride = static_cast<int64_t>(h.panel_stride);
  v.sums = reinterpret_cast<const int32_t*>(base + h.sums);
  v.scale = reinterpret_cast<const float*>(base + h.scale);
  v.zero = reinterpret_cast<const int32_t*>(base + h.zero);
  v.bias = base + h.bias;
  v.bias_type = static_cast<octet_type>(h.bias_type);
  v.type = static_cast<octet_type>(h.weight_type);
  v.has_zero = (h.flags & kBlobHasZero) != 0;
  return v;
}

void seal_blob(void* blob) {
  BlobHeader& h = *static_cast<BlobHeader*>(blob);
  h.payload_crc = crc32c(0, static_cast<const char*>(blob) + h.header_bytes,
                         static_cast<size_t>(h.total_bytes) - h.header_bytes);
  h.header_crc = 0;
  h.header_crc = crc32c(0, &h, sizeof h);
}

namespace {

octet_status corrupt(octet_error* err, const char* what) {
  return fail(err, OCTET_ERR_CORRUPT,
              "octet_blob.data %s; pack the weights again or use an intact copy.", what);
}

octet_status check_blob(octet_error* err, const void* data, size_t bytes, bool trusted) {
  BlobHeader h;
  if (bytes < sizeof h) return corrupt(err, "is shorter than its header");
  memcpy(&h, data, sizeof h);
  if (memcmp(h.magic, kBlobMagic, sizeof h.magic))
    return corrupt(err, "does not start as packed weights");
  if (h.major != kBlobMajor)
    return fail(
        err, OCTET_ERR_VERSION,
        "octet_blob.data has format %d, but this library reads format %d; use a newer Octet.",
        h.major, kBlobMajor);
  if (h.header_bytes != sizeof h) return corrupt(err, "has a header of the wrong size");
  const uint32_t crc = h.header_crc;
  h.header_crc = 0;
  if (crc32c(0, &h, sizeof h) != crc)
    return corrupt(err, "has a damaged header (its checksum differs)");
  if (h.must)
    return fail(err, OCTET_ERR_VERSION,
                "octet_blob.data needs features %u that this library does not have; use a newer "
                "Octet.",
                h.must);
  if (h.layout != kBlobLayoutC16K4 || h.kind != kBlobMatrix ||
      (h.weight_type != OCTET_S8 && h.weight_type != OCTET_U8))
    return fail(
        err, OCTET_ERR_VERSION,
        "octet_blob.data has layout %u and kind %u, which this library does not have; use a "
        "newer Octet.",
        h.layout, h.kind);
  if (h.n > static_cast<uint64_t>(kMaxExtent) || h.k > static_cast<uint64_t>(kMaxExtent) ||
      (h.n && h.k > (uint64_t{1} << 56) / h.n))
    return corrupt(err, "has an impossible shape");
  const BlobLayout l = blob_layout(static_cast<int64_t>(h.n), static_cast<int64_t>(h.k));
  if (h.panel_stride != l.panel_stride || h.panels != l.panels || h.sums != l.sums ||
      h.scale != l.scale || h.zero != l.zero || h.bias != l.bias || h.total_bytes != l.total)
    return corrupt(err, "has offsets that do not fit its shape");
  if (h.bias_type && h.bias_type != OCTET_F32 && h.bias_type != OCTET_S32)
    return corrupt(err, "has an unknown bias type");
  if (h.total_bytes > bytes) return corrupt(err, "is truncated");
  if (!trusted &&
      crc32c(0, static_cast<const char*>(data) + sizeof h, l.total - sizeof h) != h.payload_crc)
    return corrupt(err, "has a damaged payload (its checksum differs)");
  return OCTET_OK;
}

octet_status new_weights(octet_error* err, const octet_context* c, octet_weights** out) {
  octet_weights* w = make_handle<octet_weights>(*c);
  if (!w) return fail_memory(err, sizeof *w);
  retain(c);
  w->context = c;
  *out = w;
  return OCTET_OK;
}

// A handle around a blob that is known to be good.
void adopt(octet_weights* w, const void* data) {
  w->data = data;
  w->view = view_blob(data);
  w->bytes = static_cast<size_t>(static_cast<const BlobHeader*>(data)->total_bytes);
}

octet_status __attribute__((noinline)) create(const octet_context* c,
                                              const octet_weights_desc* desc,
                                              const octet_exec* exec, octet_weights** out,
                                              octet_error* err) {
  WeightsSource s;
  OCTET_TRY(read_weights_desc(err, desc, kAllowShapeOnly, &s));
  Exec e;
  OCTET_TRY(read_exec(err, exec, &e));
  const BlobLayout l = blob_layout(s.n, s.k);
  octet_weights* w;
  if (s.shape_only) {
    OCTET_TRY(new_weights(err, c, &w));
    w->shape_only = true;
    w->bytes = l.total;
    w->view = s.shape_view();
    if (!s.lean) plan_repack(*c, w);
    *out = w;
    return OCTET_OK;
  }
  void* memory = allocate(*c, l.total);
  if (!memory) return fail_memory(err, l.total);
  octet_status status = pack_blob(err, *c, s, memory, e, true);
  if (!status) status = new_weights(err, c, &w);
  if (status) {
    release(*c, memory, l.total);
    return status;
  }
  adopt(w, memory);
  w->owned = l.total;
  if (!s.lean) status = repack(err, *c, e, w);
  if (status) {
    octet_weights_destroy(w);
    return status;
  }
  *out = w;
  return OCTET_OK;
}

octet_status __attribute__((noinline)) pack(const octet_context* c, const octet_weights_desc* desc,
                                            void* blob, size_t bytes, const octet_exec* exec,
                                            octet_error* err) {
  WeightsSource s;
  OCTET_TRY(read_weights_desc(err, desc, 0, &s));
  Exec e;
  OCTET_TRY(read_exec(err, exec, &e));
  const BlobLayout l = blob_layout(s.n, s.k);
  if (reinterpret_cast<uintptr_t>(blob) % 64)
    return fail(err, OCTET_ERR_ARGUMENT, "blob is not 64-byte aligned; align it.");
  if (bytes < l.total) return fail_too_small(err, "blob", bytes, l.total);
  View target = {};
  target.data = static_cast<char*>(blob);
  target.rank = 1;
  target.dims[0] = target.count = static_cast<int64_t>(l.total);
  target.strides[0] = 1;
  target.item = 1;
  OCTET_TRY(check_overlap(err, "blob", target, "octet_weights_desc.source", s.source, false));
  if (s.has_bias)
    OCTET_TRY(check_overlap(err, "blob", target, "octet_weights_desc.bias", s.bias, false));
  return pack_blob(err, *c, s, blob, e, true);
}

}  // namespace

}  // namespace octet

using namespace octet;

octet_status octet_weights_bytes(const octet_context* c, const octet_weights_desc* d, size_t* bytes,
                                 octet_error* err) {
  if (!c) return fail(err, OCTET_ERR_ARGUMENT, "c is NULL; pass a context.");
  if (!bytes) return fail(err, OCTET_ERR_ARGUMENT, "bytes is NULL; pass where the size goes.");
  const FpGuard guard;
  WeightsSource s;
  OCTET_TRY(read_weights_desc(err, d, kAllowShapeOnly | kShapeSuffices, &s));
  *bytes = blob_layout(s.n, s.k).total;
  return OCTET_OK;
}

octet_status octet_weights_pack(const octet_context* c, const octet_weights_desc* d, void* blob,
                                size_t bytes, const octet_exec* e, octet_error* err) {
  if (!c) return fail(err, OCTET_ERR_ARGUMENT, "c is NULL; pass a context.");
  if (!blob) return fail(err, OCTET_ERR_ARGUMENT, "blob is NULL; pass octet_weights_bytes bytes.");
  const FpGuard guard;
  return pack(c, d, blob, bytes, e, err);
}

octet_status octet_weights_create(const octet_context* c, const octet_weights_desc* d,
                                  const octet_exec* e, octet_weights** out, octet_error* err) {
  if (!c) return fail(err, OCTET_ERR_ARGUMENT, "c is NULL; pass a context.");
  if (!out) return fail(err, OCTET_ERR_ARGUMENT, "out is NULL; pass where the weights go.");
  const FpGuard guard;
  return create(c, d, e, out, err);
}

octet_status octet_weights_open(const octet_context* c, const octet_blob* blob, octet_weights** out,
                                octet_error* err) {
  if (!c) return fail(err, OCTET_ERR_ARGUMENT, "c is NULL; pass a context.");
  if (!blob) return fail(err, OCTET_ERR_ARGUMENT, "b is NULL; pass a blob.");
  if (!out) return fail(err, OCTET_ERR_ARGUMENT, "out is NULL; pass where the weights go.");
  octet_blob b;
  OCTET_TRY(read_struct(err, "octet_blob", blob, sizeof b, &b));
  const uint32_t known = OCTET_BLOB_COPY | OCTET_BLOB_TRUSTED | OCTET_BLOB_MAY_REPACK;
  if (b.flags & ~known)
    return fail_flags(err, "octet_blob.flags", b.flags & ~known,
                      "OCTET_BLOB_COPY, OCTET_BLOB_TRUSTED, OCTET_BLOB_MAY_REPACK");
  if (!b.data) return fail(err, OCTET_ERR_ARGUMENT, "octet_blob.data is NULL; pass packed bytes.");
  const bool copy = (b.flags & OCTET_BLOB_COPY) != 0;
  if (!copy && reinterpret_cast<uintptr_t>(b.data) % 64)
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_blob.data is not 64-byte aligned; align it or set OCTET_BLOB_COPY.");
  OCTET_TRY(check_blob(err, b.data, b.bytes, (b.flags & OCTET_BLOB_TRUSTED) != 0));
  BlobHeader h;
  memcpy(&h, b.data, sizeof h);
  const size_t total = static_cast<size_t>(h.total_bytes);
  void* memory = nullptr;
  if (copy) {
    memory = allocate(*c, total);
    if (!memory) return fail_memory(err, total);
    memcpy(memory, b.data, total);
  }
  octet_weights* w;
  if (const octet_status status = new_weights(err, c, &w)) {
    release(*c, memory, total);
    return status;
  }
  adopt(w, copy ? memory : b.data);
  if (copy) w->owned = total;
  if (b.flags & OCTET_BLOB_MAY_REPACK) {
    const FpGuard guard;
    if (const octet_status status = repack(err, *c, {}, w)) {
      octet_weights_destroy(w);
      return status;
    }
  }
  if (copy) {
    if (b.release) b.release(b.user, b.data, b.bytes);
  } else {
    w->source = b;
  }
  *out = w;
  return OCTET_OK;
}

octet_status octet_weights_blob(const octet_weights* w, const void** data, size_t* bytes,
                                octet_error* err) {
  if (!w) return fail(err, OCTET_ERR_ARGUMENT, "w is NULL; pass weights.");
  if (!data || !bytes)
    return fail(err, OCTET_ERR_ARGUMENT, "%s is NULL; pass where the answer goes.",
                data ? "bytes" : "data");
  if (w->shape_only)
    return fail(err, OCTET_ERR_UNSUPPORTED,
                "w was made with OCTET_SHAPE_ONLY and has no bytes; create it from data.");
  *data = w->data;
  *bytes = w->bytes;
  return OCTET_OK;
}

void octet_weights_destroy(octet_weights* w) {
  if (!w || w->refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  octet_context* c = const_cast<octet_context*>(w->context);
  if (w->owned) release(*c, const_cast<void*>(w->data), w->owned);
  release(*c, w->proved, w->proved_bytes);
  if (w->source.release) w->source.release(w->source.user, w->source.data, w->source.bytes);
  w->~octet_weights();
  release(*c, w, sizeof *w);
  octet_context_destroy(c);
}

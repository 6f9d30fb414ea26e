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

namespace {

// Panels a multiple of 4 KiB apart would compete for the same cache sets.
size_t spread(size_t stride) { return stride && stride % 4096 == 0 ? stride + 64 : stride; }

// Panels, then the side arrays; `phases` times column sums.
BlobLayout layout_arrays(size_t header, size_t panels, size_t panel_stride, size_t phases) {
  const size_t n16 = panels * 16;
  BlobLayout l = {};
  l.panel_stride = panel_stride;
  l.panels = header;
  l.sums = l.panels + panels * panel_stride;
  l.scale = l.sums + phases * n16 * 4;
  l.zero = l.scale + n16 * 4;
  l.bias = l.zero + n16 * 4;
  l.total = l.bias + n16 * 4;
  return l;
}

}  // namespace

BlobLayout blob_layout(int64_t n, int64_t k, const WeightsForm& form) {
  const size_t panels = static_cast<size_t>((n + 15) / 16);
  if (!form.group)
    return layout_arrays(sizeof(BlobHeader), panels,
                         spread(static_cast<size_t>((k + form.step() - 1) / form.step() * 64)), 1);
  BlobLayout l = {};
  l.panel_stride = spread(static_cast<size_t>(k / form.group * form.record_bytes()));
  l.panels = sizeof(BlobHeader);
  l.bias = l.panels + panels * l.panel_stride;
  l.total = l.bias + panels * 64;
  return l;
}

BlobLayout blob_layout(const ConvForm& conv) {
  return layout_arrays(sizeof(ConvHeader), static_cast<size_t>(conv.slots() / 16),
                       spread(static_cast<size_t>(conv.panel_k(0) * 16)),
                       static_cast<size_t>(conv.phases()));
}

namespace {

ConvForm form_of(const ConvHeader& h) {
  int32_t kernel[kMaxSpatial], stride[kMaxSpatial], dilation[kMaxSpatial];
  memcpy(kernel, h.kernel, sizeof kernel);
  memcpy(stride, h.stride, sizeof stride);
  memcpy(dilation, h.dilation, sizeof dilation);
  const int64_t taps =
      int64_t{kernel[0]} * (h.rank > 1 ? kernel[1] : 1) * (h.rank > 2 ? kernel[2] : 1);
  return make_conv_form(static_cast<int32_t>(h.rank), static_cast<int32_t>(h.groups),
                        (h.flags & kBlobTransposed) != 0, kernel, stride, dilation,
                        static_cast<int64_t>(h.blob.k) / taps * h.groups,
                        static_cast<int64_t>(h.blob.n));
}

}  // namespace

WeightsView view_blob(const void* blob) {
  const BlobHeader& h = *static_cast<const BlobHeader*>(blob);
  const char* base = static_cast<const char*>(blob);
  WeightsView v = {};
  v.n = static_cast<int64_t>(h.n);
  v.k = static_cast<int64_t>(h.k);
  v.panels = reinterpret_cast<const int8_t*>(base + h.panels);
  v.panel_stride = static_cast<int64_t>(h.panel_stride);
  if (!h.group) {
    v.sums = reinterpret_cast<const int32_t*>(base + h.sums);
    v.scale = reinterpret_cast<const float*>(base + h.scale);
    v.zero = reinterpret_cast<const int32_t*>(base + h.zero);
  }
  v.bias = base + h.bias;
  v.bias_type = static_cast<octet_type>(h.bias_type);
  v.form = {static_cast<octet_type>(h.weight_type), static_cast<int64_t>(h.group)};
  v.has_zero = (h.flags & kBlobHasZero) != 0;
  if (h.kind == kBlobConv) {
    v.conv = form_of(*static_cast<const ConvHeader*>(blob));
    v.n = v.conv.slots();
  }
  return v;
}

void seal_blob(void* blob) {
  BlobHeader& h = *static_cast<BlobHeader*>(blob);
  h.payload_crc = crc32c(0, static_cast<const char*>(blob) + h.header_bytes,
                         static_cast<size_t>(h.total_bytes) - h.header_bytes);
  h.header_crc = 0;
  h.header_crc = crc32c(0, blob, h.header_bytes);
}

namespace {

octet_status corrupt(octet_error* err, const char* what) {
  return fail(err, OCTET_ERR_CORRUPT,
              "octet_blob.data %s; pack the weights again or use an intact copy.", what);
}

// Layouts and the weights that each may hold.
bool known_layout(const BlobHeader& h) {
  const bool bytes = h.weight_type == OCTET_S8 || h.weight_type == OCTET_U8;
  const bool nibbles = h.weight_type == OCTET_S4 || h.weight_type == OCTET_U4;
  if (h.kind == kBlobConv)
    return bytes && (h.layout == kBlobLayoutC16K4 || h.layout == kBlobLayoutDepthwise);
  if (h.kind != kBlobMatrix) return false;
  return h.layout == kBlobLayoutC16K4   ? bytes
         : h.layout == kBlobLayoutC16K8 ? nibbles
                                        : h.layout == kBlobLayoutGroups && (bytes || nibbles);
}

bool within(uint64_t value, uint64_t low, uint64_t high) { return value >= low && value <= high; }

// Whether fields of a convolution are ones that packing writes; *out is its form then.
bool legal_conv(const ConvHeader& h, ConvForm* out) {
  constexpr uint64_t kMost = static_cast<uint64_t>(kMaxExtent);
  const bool transposed = h.flags == kBlobTransposed;
  if ((h.flags && !transposed) || !within(h.rank, 1, kMaxSpatial)) return false;
  for (const uint32_t reserved : h.reserved)
    if (reserved) return false;
  uint64_t taps = 1, phases = 1;
  for (uint32_t i = 0; i < kMaxSpatial; ++i) {
    const bool has = i < h.rank, steps = has && transposed;
    if (!within(h.kernel[i], has, has ? kMost / taps : 0) ||
        !within(h.stride[i], steps, steps ? kMaxPhases / phases : 0) ||
        !within(h.dilation[i], steps, steps ? INT32_MAX : 0))
      return false;
    if (has) taps *= h.kernel[i];
    if (steps) phases *= h.stride[i];
  }
  if (!within(h.groups, 1, INT32_MAX) || h.blob.n % h.groups || h.blob.k % taps ||
      h.blob.k / taps > kMost / h.groups)
    return false;
  *out = form_of(h);
  return out->depthwise == (h.blob.layout == kBlobLayoutDepthwise);
}

octet_status check_header(octet_error* err, const void* data, size_t bytes, ConvHeader* out) {
  ConvHeader conv = {};
  BlobHeader& h = conv.blob;
  if (bytes < sizeof h) return corrupt(err, "is shorter than its header");
  memcpy(&h, data, sizeof h);
  if (memcmp(h.magic, kBlobMagic, sizeof h.magic))
    return corrupt(err, "does not start as packed weights");
  if (h.major != kBlobMajor)
    return fail(
        err, OCTET_ERR_VERSION,
        "octet_blob.data has format %d, but this library reads format %d; use a newer Octet.",
        h.major, kBlobMajor);
  if (h.header_bytes != sizeof h && h.header_bytes != sizeof conv)
    return corrupt(err, "has a header of the wrong size");
  if (bytes < h.header_bytes) return corrupt(err, "is shorter than its header");
  memcpy(&conv, data, h.header_bytes);
  const uint32_t crc = h.header_crc;
  h.header_crc = 0;
  if (crc32c(0, &conv, h.header_bytes) != crc)
    return corrupt(err, "has a damaged header (its checksum differs)");
  if (h.must)
    return fail(err, OCTET_ERR_VERSION,
                "octet_blob.data needs features %u that this library does not have; use a newer "
                "Octet.",
                h.must);
  if (!known_layout(h))
    return fail(
        err, OCTET_ERR_VERSION,
        "octet_blob.data has layout %u and kind %u, which this library does not have; use a "
        "newer Octet.",
        h.layout, h.kind);
  if (h.header_bytes != (h.kind == kBlobConv ? sizeof conv : sizeof h))
    return corrupt(err, "has a header of the wrong size");
  *out = conv;
  return OCTET_OK;
}

octet_status check_blob(octet_error* err, const void* data, size_t bytes, bool trusted) {
  ConvHeader conv;
  OCTET_TRY(check_header(err, data, bytes, &conv));
  const BlobHeader& h = conv.blob;
  if (h.n > static_cast<uint64_t>(kMaxExtent) || h.k > static_cast<uint64_t>(kMaxExtent) ||
      (h.n && h.k > (uint64_t{1} << 56) / h.n))
    return corrupt(err, "has an impossible shape");
  const WeightsForm form = {static_cast<octet_type>(h.weight_type), static_cast<int64_t>(h.group)};
  if (h.layout == kBlobLayoutGroups ? !legal_group(form.type, static_cast<int64_t>(h.k), form.group)
                                    : h.group != 0)
    return corrupt(err, "has groups that do not fit its shape");
  ConvForm conv_form;
  if (h.kind == kBlobConv && !legal_conv(conv, &conv_form))
    return corrupt(err, "has an impossible convolution");
  const BlobLayout l =
      h.kind == kBlobConv ? blob_layout(conv_form)
                          : blob_layout(static_cast<int64_t>(h.n), static_cast<int64_t>(h.k), form);
  if (h.panel_stride != l.panel_stride || h.panels != l.panels || h.sums != l.sums ||
      h.scale != l.scale || h.zero != l.zero || h.bias != l.bias || h.total_bytes != l.total)
    return corrupt(err, "has offsets that do not fit its shape");
  if (h.bias_type && h.bias_type != OCTET_F32 && (h.bias_type != OCTET_S32 || h.group))
    return corrupt(err, "has an unknown bias type");
  if (h.total_bytes > bytes) return corrupt(err, "is truncated");
  if (!trusted && crc32c(0, static_cast<const char*>(data) + h.header_bytes,
                         l.total - h.header_bytes) != h.payload_crc)
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
  const BlobLayout l = s.layout();
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
  const BlobLayout l = s.layout();
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
  *bytes = s.layout().total;
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

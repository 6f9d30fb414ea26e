// SPDX-License-Identifier: Apache-2.0
#include "src/geometry.h"

namespace octet {

namespace {

int64_t ceil_div(int64_t x, int64_t y) { return (x + y - 1) / y; }
int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

octet_status check_field(octet_error* err, const char* name, int i, int64_t value, int64_t least) {
  if (value >= least) return OCTET_OK;
  return fail(err, OCTET_ERR_ARGUMENT, "%s[%d] is %lld; it must be at least %lld.", name, i,
              static_cast<long long>(value), static_cast<long long>(least));
}

}  // namespace

Window Axis::window(int64_t o) const {
  if (adaptive) {
    const int64_t first = o * in / out, end = ceil_div((o + 1) * in, out);
    return {first, end - first, end - first};
  }
  const int64_t start = o * stride - pad_lo;
  const int64_t skip = start < 0 ? ceil_div(-start, dilation) : 0;
  const int64_t reach = start < in ? ceil_div(in - start, dilation) : 0;
  const int64_t count = max64(0, min64(kernel, reach) - skip);
  return {start + skip * dilation, count, min64(start + kernel, in + pad_hi) - start};
}

void Axis::interior(int64_t* begin, int64_t* end) const {
  *begin = *end = 0;
  if (adaptive) return;
  const int64_t room = in - (kernel - 1) * dilation - 1 + pad_lo;  // the last start that fits
  if (room < pad_lo) return;
  *begin = min64(out, ceil_div(pad_lo, stride));
  *end = max64(*begin, min64(out, room / stride + 1));
}

octet_status read_geometry(octet_error* err, const octet_geometry* g, uint32_t flags,
                           const int32_t* kernel, octet_geometry* given, Axis axes[kMaxSpatial]) {
  if (!g) return fail(err, OCTET_ERR_ARGUMENT, "g is NULL; pass an octet_geometry.");
  OCTET_TRY(read_struct(err, "octet_geometry", g, sizeof *given, given));
  if (given->flags & ~flags)
    return fail_flags(err, "octet_geometry.flags", given->flags & ~flags,
                      flags ? "OCTET_TRANSPOSED" : "none");
  if (given->reserved)
    return fail(err, OCTET_ERR_ARGUMENT, "octet_geometry.reserved is %d; it must be 0.",
                given->reserved);
  const int rank = given->rank;
  if (rank < 1 || rank > kMaxSpatial)
    return fail(err, OCTET_ERR_ARGUMENT, "octet_geometry.rank is %d; it must be 1, 2 or 3.", rank);
  if (given->groups < 1)
    return fail(err, OCTET_ERR_ARGUMENT, "octet_geometry.groups is %d; it must be at least 1.",
                given->groups);
  for (int i = 0; i < kMaxSpatial; ++i) {
    if (i >= rank) {
      if (kernel[i] || given->stride[i] || given->dilation[i] || given->pad_lo[i] ||
          given->pad_hi[i] || given->out_pad[i])
        return fail(err, OCTET_ERR_ARGUMENT,
                    "octet_geometry has a value for dim %d, but its rank is %d; leave it 0.", i,
                    rank);
      continue;
    }
    OCTET_TRY(check_field(err, "kernel", i, kernel[i], 1));
    OCTET_TRY(check_field(err, "octet_geometry.stride", i, given->stride[i], 1));
    OCTET_TRY(check_field(err, "octet_geometry.dilation", i, given->dilation[i], 1));
    OCTET_TRY(check_field(err, "octet_geometry.pad_lo", i, given->pad_lo[i], 0));
    OCTET_TRY(check_field(err, "octet_geometry.pad_hi", i, given->pad_hi[i], 0));
    if (given->out_pad[i] && !(given->flags & OCTET_TRANSPOSED))
      return fail(err, OCTET_ERR_ARGUMENT,
                  "octet_geometry.out_pad[%d] is %d; only transposed convolution has it.", i,
                  given->out_pad[i]);
    const int32_t step =
        given->stride[i] > given->dilation[i] ? given->stride[i] : given->dilation[i];
    if (given->out_pad[i] < 0 || given->out_pad[i] >= step)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "octet_geometry.out_pad[%d] is %d; it must be 0 or more and below the larger of "
                  "stride and dilation, %d.",
                  i, given->out_pad[i], step);
    Axis& a = axes[kMaxSpatial - rank + i];
    a.kernel = kernel[i];
    a.stride = given->stride[i];
    a.dilation = given->dilation[i];
    a.pad_lo = given->pad_lo[i];
    a.pad_hi = given->pad_hi[i];
  }
  return OCTET_OK;
}

octet_status size_axis(octet_error* err, int dim, int64_t in, bool empty, bool ceil, Axis* a) {
  a->in = in;
  a->out = 0;
  if (!in) return OCTET_OK;
  const int64_t reach = (a->kernel - 1) * a->dilation + 1;
  const int64_t room = in + a->pad_lo + a->pad_hi - reach;
  if (room < 0 && empty) return OCTET_OK;
  if (room < 0)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "The kernel covers %lld along dim %d, but the padded image has %lld there; pad more "
        "or use a smaller kernel.",
        static_cast<long long>(reach), dim, static_cast<long long>(in + a->pad_lo + a->pad_hi));
  a->out = room / a->stride + 1;
  if (ceil && room % a->stride && a->out * a->stride < in + a->pad_lo) ++a->out;
  return OCTET_OK;
}

}  // namespace octet

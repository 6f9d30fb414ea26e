// SPDX-License-Identifier: Apache-2.0
//
// Pooling, one channel at a time: the specification that every SIMD row must equal bit for bit
// (docs/numerics.md, "Pooling").
#include <math.h>

#include "kernels/kernel.h"

namespace octet {
namespace {

// Calls visit(q) for every tap of channel c of pixel p.
template <class T, class Visit>
void for_each_tap(const Pool& r, int64_t p, size_t c, Visit visit) {
  const char* x = static_cast<const char*>(r.x) + p * r.step_x;
  for (int64_t i = 0; i < r.size[0]; ++i)
    for (int64_t j = 0; j < r.size[1]; ++j)
      for (int64_t k = 0; k < r.size[2]; ++k)
        visit(int32_t{
            reinterpret_cast<const T*>(x + i * r.step[0] + j * r.step[1] + k * r.step[2])[c]});
}

template <class T, class Value>
void for_each_output(const Pool& r, Value value) {
  for (int64_t p = 0; p < r.pixels; ++p)
    for (size_t c = 0; c < r.n; ++c)
      reinterpret_cast<T*>(static_cast<char*>(r.y) + p * r.step_y)[c] = static_cast<T>(value(p, c));
}

template <class T>
void maximum(const Pool& r) {
  for_each_output<T>(r, [&](int64_t p, size_t c) {
    int32_t best = -128;
    for_each_tap<T>(r, p, c, [&](int32_t q) { best = q > best ? q : best; });
    return best;
  });
}

template <class T>
int32_t sum(const Pool& r, int64_t p, size_t c) {
  int32_t acc = 0;
  for_each_tap<T>(r, p, c, [&](int32_t q) { acc += q; });
  return acc - r.bias;
}

template <class In, class Out>
void average(const Pool& r) {
  const float low = static_cast<float>(r.qmin - r.zero), high = static_cast<float>(r.qmax - r.zero);
  for_each_output<Out>(r, [&](int64_t p, size_t c) {
    const float v = static_cast<float>(sum<In>(r, p, c)) * r.mult;
    return static_cast<int32_t>(rintf(v > low ? (v < high ? v : high) : low)) + r.zero;
  });
}

template <class T>
void average_int(const Pool& r) {
  for_each_output<T>(r, [&](int64_t p, size_t c) {
    const int32_t acc = sum<T>(r, p, c), half = r.divisor / 2;
    const int32_t v = (acc > 0 ? acc + half : acc - half) / r.divisor;
    return v < r.qmin ? r.qmin : v > r.qmax ? r.qmax : v;
  });
}

}  // namespace
}  // namespace octet

using namespace octet;

OCTET_KERNEL void octet_poolmax_u8_u8_scalar(const Pool* r) { maximum<uint8_t>(*r); }
OCTET_KERNEL void octet_poolmax_s8_s8_scalar(const Pool* r) { maximum<int8_t>(*r); }

OCTET_KERNEL void octet_poolavg_u8_u8_scalar(const Pool* r) { average<uint8_t, uint8_t>(*r); }
OCTET_KERNEL void octet_poolavg_u8_s8_scalar(const Pool* r) { average<uint8_t, int8_t>(*r); }
OCTET_KERNEL void octet_poolavg_s8_u8_scalar(const Pool* r) { average<int8_t, uint8_t>(*r); }
OCTET_KERNEL void octet_poolavg_s8_s8_scalar(const Pool* r) { average<int8_t, int8_t>(*r); }

OCTET_KERNEL void octet_poolavgint_u8_u8_scalar(const Pool* r) { average_int<uint8_t>(*r); }
OCTET_KERNEL void octet_poolavgint_s8_s8_scalar(const Pool* r) { average_int<int8_t>(*r); }

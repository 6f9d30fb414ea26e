// SPDX-License-Identifier: Apache-2.0
#include "kernels/reference/fixed.h"

using namespace octet;

OCTET_KERNEL void octet_fixed_s32_q8_scalar(const Finish* f, const int32_t* acc, int32_t col,
                                            int32_t n, void* c) {
  for (int32_t j = 0; j < n; ++j) static_cast<uint8_t*>(c)[j] = fixed_q8(acc[j], *f, col + j);
}

// SPDX-License-Identifier: Apache-2.0
#include "src/columns.h"

namespace octet {

void write_columns(const int8_t* panel, int64_t n, int64_t k, int8_t* to) {
  const int64_t pitch = column_pitch(k), whole = k / kColumnTail * kColumnTail;
  memset(to, 0, column_bytes(n, k));
  for (int64_t j = 0; j < n; ++j, to += pitch) {
    int8_t* last = to + pitch - kColumnStep;
    for (int64_t i = 0; i < k; ++i) {
      to[i] = panel[i / 4 * 64 + j * 4 + i % 4];
      if (whole && i >= whole) last[i - (k - kColumnTail)] = to[i];
    }
  }
}

}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
//
// The observer's state: a finite range with counts for each channel (one for the whole tensor
// without channels), all of it allocated at create. min, max and sums: no order of batches or
// merges shows.
#pragma once

#include "src/ranges.h"

struct octet_observer {
  const octet_context* context;
  size_t channels;  // 0: per tensor
  int32_t axis;     // as given; 0 without channels
  uint64_t fed;     // elements
  octet::Range* ranges;

  size_t count() const { return channels ? channels : 1; }
};

namespace octet {

// An empty observer of that shape; the caller has checked axis and channels.
octet_status make_observer(octet_error* err, const octet_context* c, size_t channels, int32_t axis,
                           octet_observer** out);

constexpr size_t kMaxChannels = size_t{1} << 40;

}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
//
// Pooling layers: maxima and averages of windows of an image whose channels are innermost.
#pragma once

#include "src/geometry.h"
#include "src/parallel.h"

namespace octet {

struct Pooling {
  octet_qtype in, out;
  bool maximum;
  bool ceil, exclude_pad, adaptive, global;
  bool integer;            // averages of integers, as TFLite rounds them
  int32_t divisor;         // 0: what the window says
  int32_t rank;            // spatial dims; 0: those of the image of each call
  Axis axes[kMaxSpatial];  // adaptive: `out` from create, first dims first; else the last dims
  const Row* row;
  const Row* requantize;  // maxima into another type or scale; else null
};

// A desc that is whole and right; g is NULL for adaptive and global pooling.
octet_status read_pooling(octet_error* err, const octet_context& c, const octet_pool_desc* d,
                          const octet_geometry* g, Pooling* out);

// in[0] of a call, [batch, spatial..., channels], with the axes sized to it.
struct PoolImage {
  View x;
  Axis axes[kMaxSpatial];
  int64_t batch, channels;
  int32_t spatial;

  int64_t out_dim(int i) const {
    return i == 0 ? batch : i == x.rank - 1 ? channels : axes[kMaxSpatial - spatial + i - 1].out;
  }
};
octet_status read_pool_image(octet_error* err, const Pooling& p, const octet_tensor* in,
                             size_t n_in, uint32_t options, PoolImage* out);

octet_status run_pooling(octet_error* err, const Pooling& p, const PoolImage& image, const View& y,
                         const Exec& exec);

}  // namespace octet

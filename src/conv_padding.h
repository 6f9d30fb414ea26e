// SPDX-License-Identifier: Apache-2.0
//
// Kernel rows in the padding. Where no pixel of a tile has a row of the kernel inside the image,
// the tile leaves it out: it takes the rows between, a contiguous part of K, and begins with sums
// from which only their weights were taken. For an activation zero point z
//   sum over all rows - z * (all weights) = sum over the rows kept - z * (their weights)
// because each row left out would have added z * (its weights), so the bits are the same.
//
// So it is with columns of a dilated kernel, whose pixels at the sides of the image miss them by
// the dozen: tiles end where these change, and take the columns between for one row of the kernel
// after the other, in partial sums.
#pragma once

#include "src/conv_tiles.h"

namespace octet {

// How many of the first and of the last rows of the kernel.
struct Outside {
  int64_t before, behind;
};

// What the op's calls may leave out; none where the layer is not direct.
Omits find_omits(const Conv& v);
// The layer needs arrays of its own for it.
size_t omits_bytes(const Conv& v);
// v.columns are filled; to: omits_bytes.
void fill_omits(const Conv& v, int32_t* to);

// There is something to leave out of a call with these extents.
bool omits_rows(const Conv& v, const Axis axes[kMaxSpatial]);
// Which sums to begin with: 0, those of all rows.
inline int64_t omits_index(const Omits& o, const Outside& rows, const Outside& columns) {
  return ((rows.before * (o.behind + 1) + rows.behind) * (o.left + 1) + columns.before) *
             (o.right + 1) +
         columns.behind;
}

// A line is all pixels with the same index along the job's omits->dim. Rows that the m pixels from
// pixel `at` of a line on all have outside the image, but never all rows.
Outside omitted_rows(const ConvJob& j, int64_t line, int64_t at, int64_t m);

// Columns of the kernel that the m pixels from `at` of a row of the output on all have outside.
Outside omitted_columns(const ConvJob& j, int64_t at, int64_t m);
// How many pixels from `at` on miss the same columns as it does, up to the end of the row.
int64_t alike_pixels(const ConvJob& j, int64_t at);

// The tile for the next pixels, of which `left` are in one piece.
inline const Row* tile_for(const ConvJob& j, const Row* full, const Row* edge, int64_t left) {
  return left >= full->mr || (j.direct && left > edge->mr) ? full : edge;
}

}  // namespace octet

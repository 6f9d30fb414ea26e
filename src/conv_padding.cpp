// SPDX-License-Identifier: Apache-2.0
#include "src/conv_padding.h"

namespace octet {

namespace {

constexpr int64_t kMostOmitted = 3;  // at each end: an array of sums for each combination is kept
constexpr int64_t kMostTaps = 16, kLeastColumns = 4, kLeastChannels = 64;  // of omitted columns

int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t ceil_div(int64_t x, int64_t y) { return (x + y - 1) / y; }

// Of the pixels with an index along a dim.
Outside outside(const Outside& most, const Slide& s, int64_t index) {
  const int64_t first = s.first + index * s.stride, last = first + (s.taps - 1) * s.step;
  Outside r = {};
  if (first < 0) r.before = min64(most.before, ceil_div(-first, s.step));
  if (last >= s.in) r.behind = min64(most.behind, ceil_div(last - s.in + 1, s.step));
  return r;
}

Outside common(const Outside& a, const Outside& b) {
  return {min64(a.before, b.before), min64(a.behind, b.behind)};
}

// Windows that lie outside as a whole keep a row.
Outside but_one(Outside r, int64_t taps) {
  r.before = min64(r.before, taps - 1);
  r.behind = min64(r.behind, taps - 1 - r.before);
  return r;
}

Outside rows_of(const Omits& o) { return {o.before, o.behind}; }
Outside columns_of(const Omits& o) { return {o.left, o.right}; }

// Columns pay where many pixels miss them, and where a row of the kernel is long enough for
// partial sums.
bool may_omit_columns(const Conv& v) {
  const ConvForm& f = v.form();
  return f.units == 1 && !v.lane && !v.ragged() && f.kernel[0] == 1 && f.kernel[2] > 1 &&
         f.kernel_taps() <= kMostTaps && v.axes[2].dilation >= kLeastColumns &&
         v.axes[2].stride == 1 && (f.kernel[1] == 1 || f.in_channels >= kLeastChannels);
}

// Sums of the weights of row t of the kernel in the 16 columns of a panel.
void add_row(const int8_t* row, int64_t k, uint32_t sums[16]) {
  for (const int8_t* end = row + k * 16; row < end; row += 64)
    for (int c = 0; c < 16; ++c)
      sums[c] +=
          static_cast<uint32_t>(row[4 * c] + row[4 * c + 1] + row[4 * c + 2] + row[4 * c + 3]);
}

// The arrays of a layer that leaves out rows and columns, from the sums of each tap.
void fill_omitted_taps(const Conv& v, int32_t* to) {
  const ConvForm& f = v.form();
  const Omits& o = v.omits;
  const int64_t rows = f.kernel[1], columns = f.kernel[2], k = f.in_channels;
  const uint32_t zero = static_cast<uint32_t>(v.linear.in.zero_point + v.linear.shift);
  for (int64_t slot = 0; slot < f.slots(); slot += 16) {
    uint32_t sums[kMostTaps][16] = {};
    for (int64_t t = 0; t < rows * columns; ++t)
      add_row(v.w.panels + slot / 16 * v.w.panel_stride + t * k * 16, k, sums[t]);
    for (int64_t i = 1; i < o.arrays(); ++i) {
      const int64_t right = columns - i % (o.right + 1), left = i / (o.right + 1) % (o.left + 1),
                    row = i / (o.right + 1) / (o.left + 1), before = row / (o.behind + 1),
                    behind = rows - row % (o.behind + 1);
      int32_t* ibias = to + (i - 1) * f.slots() + slot;
      for (int c = 0; c < 16; ++c) {
        uint32_t sum = 0;
        for (int64_t t = 0; t < rows * columns; ++t) {
          const int64_t h = t / columns, w = t % columns;
          if (h < before || h >= behind || w < left || w >= right) sum += sums[t][c];
        }
        ibias[c] =
            static_cast<int32_t>(static_cast<uint32_t>(v.columns.ibias[slot + c]) + zero * sum);
      }
    }
  }
}

}  // namespace

Omits find_omits(const Conv& v) {
  const ConvForm& f = v.form();
  Omits o = {};
  o.dim = f.kernel[0] > 1 ? 0 : 1;
  if (!v.direct() || f.transposed) return o;
  const Axis& a = v.axes[o.dim];
  const int64_t most = min64(kMostOmitted, a.kernel - 1);
  o.before = static_cast<int32_t>(min64(most, ceil_div(a.pad_lo, a.dilation)));
  o.behind = static_cast<int32_t>(min64(most, ceil_div(a.pad_hi, a.dilation)));
  if (may_omit_columns(v)) {
    const Axis& w = v.axes[2];
    const int64_t columns = min64(kMostOmitted, w.kernel - 1);
    o.left = static_cast<int32_t>(min64(columns, ceil_div(w.pad_lo, w.dilation)));
    o.right = static_cast<int32_t>(min64(columns, ceil_div(w.pad_hi, w.dilation)));
  }
  return o;
}

size_t omits_bytes(const Conv& v) {
  const Omits& o = v.omits;
  if (v.linear.input != Input::kStatic || !(v.linear.in.zero_point + v.linear.shift)) return 0;
  return static_cast<size_t>((o.arrays() - 1) * v.form().slots()) * 4;
}

void fill_omits(const Conv& v, int32_t* to) {
  const ConvForm& f = v.form();
  const Omits& o = v.omits;
  if (o.columns()) return fill_omitted_taps(v, to);
  const int64_t taps = f.kernel[o.dim];
  const uint32_t zero = static_cast<uint32_t>(v.linear.in.zero_point + v.linear.shift);
  for (int64_t slot = 0; slot < f.slots(); slot += 16) {
    const int64_t panel = slot / 16, k = f.packed_k(0, panel / f.unit_panels) / taps;
    const int8_t* row = v.w.panels + panel * v.w.panel_stride;
    uint32_t before[16] = {};
    for (int64_t i = 0; i <= o.before; ++i) {
      if (i) add_row(row + (i - 1) * k * 16, k, before);
      uint32_t sums[16];
      for (int c = 0; c < 16; ++c) sums[c] = before[c];
      for (int64_t h = 0; h <= o.behind; ++h) {
        if (h) add_row(row + (taps - h) * k * 16, k, sums);
        const int64_t index = omits_index(o, {i, h}, {});
        if (!index || i + h >= taps) continue;
        for (int c = 0; c < 16; ++c)
          to[(index - 1) * f.slots() + slot + c] = static_cast<int32_t>(
              static_cast<uint32_t>(v.columns.ibias[slot + c]) + zero * sums[c]);
      }
    }
  }
}

bool omits_rows(const Conv& v, const Axis axes[kMaxSpatial]) {
  const Omits& o = v.omits;
  const auto misses = [&](const Outside& most, int dim) {
    const Slide s = plain_slide(axes[dim]);
    return outside(most, s, 0).before || outside(most, s, s.out - 1).behind;
  };
  return o.any() && (misses(rows_of(o), o.dim) || (o.columns() && misses(columns_of(o), 2)));
}

Outside omitted_rows(const ConvJob& j, int64_t line, int64_t at, int64_t m) {
  const Omits& o = *j.omits;
  const Slide& s = j.slides[o.dim];
  Outside all = {o.before, o.behind};
  for (int64_t p = -at; p < m; p += j.line, line = line + 1 < s.out ? line + 1 : 0)
    all = common(all, outside(rows_of(o), s, line));
  return but_one(all, s.taps);
}

Outside omitted_columns(const ConvJob& j, int64_t at, int64_t m) {
  if (!j.omits->columns()) return {};
  const Slide& s = j.slides[2];
  const Outside most = columns_of(*j.omits);
  return but_one(common(outside(most, s, at), outside(most, s, at + m - 1)), s.taps);
}

int64_t alike_pixels(const ConvJob& j, int64_t at) {
  const Omits& o = *j.omits;
  const Slide& s = j.slides[2];
  int64_t end = s.out;
  const auto change = [&](int64_t index) {
    if (index > at) end = min64(end, index);
  };
  for (int64_t t = 0; t < o.left; ++t) change(-(s.first + t * s.step));
  for (int64_t t = s.taps - o.right; t < s.taps; ++t) change(s.in - s.first - t * s.step);
  return end - at;
}

}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
#include "src/conv_padding.h"

namespace octet {

namespace {

constexpr int64_t kMostOmitted = 3;  // at each end: an array of sums for each combination is kept

int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t ceil_div(int64_t x, int64_t y) { return (x + y - 1) / y; }

// Of the pixels of one line.
Outside outside(const Omits& o, const Slide& s, int64_t line) {
  const int64_t first = s.first + line * s.stride, last = first + (s.taps - 1) * s.step;
  Outside r = {};
  if (first < 0) r.before = min64(o.before, ceil_div(-first, s.step));
  if (last >= s.in) r.behind = min64(o.behind, ceil_div(last - s.in + 1, s.step));
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

// Sums of the weights of row t of the kernel in the 16 columns of a panel.
void add_row(const int8_t* row, int64_t k, uint32_t sums[16]) {
  for (const int8_t* end = row + k * 16; row < end; row += 64)
    for (int c = 0; c < 16; ++c)
      sums[c] +=
          static_cast<uint32_t>(row[4 * c] + row[4 * c + 1] + row[4 * c + 2] + row[4 * c + 3]);
}

}  // namespace

Omits find_omits(const Conv& v) {
  const ConvForm& f = v.form();
  Omits o = {};
  o.dim = f.kernel[0] > 1 ? 0 : 1;
  if (v.rung != Rung::kDirect || f.transposed) return o;
  const Axis& a = v.axes[o.dim];
  const int64_t most = min64(kMostOmitted, a.kernel - 1);
  o.before = static_cast<int32_t>(min64(most, ceil_div(a.pad_lo, a.dilation)));
  o.behind = static_cast<int32_t>(min64(most, ceil_div(a.pad_hi, a.dilation)));
  return o;
}

size_t omits_bytes(const Conv& v) {
  const Omits& o = v.omits;
  if (v.linear.input != Input::kStatic || !(v.linear.in.zero_point + v.linear.shift)) return 0;
  const int64_t arrays = (o.before + 1) * (o.behind + 1) - 1;
  return static_cast<size_t>(arrays * v.form().slots()) * 4;
}

void fill_omits(const Conv& v, int32_t* to) {
  const ConvForm& f = v.form();
  const Omits& o = v.omits;
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
        const int64_t index = omits_index(o, {i, h});
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
  if (!o.any()) return false;
  const Slide s = plain_slide(axes[o.dim]);
  return outside(o, s, 0).before || outside(o, s, s.out - 1).behind;
}

Outside omitted_rows(const ConvJob& j, int64_t line, int64_t at, int64_t m) {
  const Omits& o = *j.omits;
  const Slide& s = j.slides[o.dim];
  Outside all = {o.before, o.behind};
  for (int64_t p = -at; p < m; p += j.line, line = line + 1 < s.out ? line + 1 : 0)
    all = common(all, outside(o, s, line));
  return but_one(all, s.taps);
}

}  // namespace octet

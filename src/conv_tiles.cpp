// SPDX-License-Identifier: Apache-2.0
//
// A task covers a block of output pixels and some columns. It first finds out where each tile of
// its pixels reads and writes (spots), then takes them column block by column block, so that a
// panel of weights stays while they pass by. Units of groups take turns on the same spots.
#include "src/conv_tiles.h"

#include "src/conv_lanes.h"
#include "src/conv_padding.h"

namespace octet {

// A tile without its columns.
struct Spot {
  const char* a;
  const ptrdiff_t* rows;
  char* y;
  const char* r;
  const Row* row;
  int32_t m, taps, row0;
  int32_t kc;  // 0: the channels of a unit
  // Rows and columns of the kernel left out at the beginning, and what sums begin with
  // (omits_index).
  int32_t skipped, skipped_columns, start;
  // Rows of the kernel, `taps` columns of each, taken one after the other; 1: all taps at once.
  int32_t parts;
};

namespace {

int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
int64_t ceil_div(int64_t x, int64_t y) { return (x + y - 1) / y; }

constexpr ptrdiff_t kNoTap = 0;
constexpr int64_t kLeastRows = 48, kMostRows = 512;  // of a gathered block
constexpr int64_t kRawRows = 16;                     // bytes of rows that wait to be widened
constexpr int64_t kHotBytes = 24 << 10;              // of A beside a panel of B in L1
constexpr int64_t kOffsets = 4096;                   // of a direct block, about
constexpr int64_t kLaneBytes = 16 << 10;             // of the image under a block of small groups
constexpr int64_t kTasks = 4;                        // for each thread
constexpr int64_t kShortPitch = 256;                 // rows so short follow one another
constexpr int64_t kPiece = 16, kMostPieces = 4, kMostRuns = 64;  // of windows that these copy
constexpr int64_t kShortWindow = 1280, kSideRows = 64;
constexpr int64_t kStrip = 256;              // bytes of a line at the side of the image
constexpr ptrdiff_t kOutside = PTRDIFF_MIN;  // of a run

// An output pixel of the job.
struct Pixel {
  int64_t n, q[kMaxSpatial];

  Pixel(const ConvJob& j, int64_t index) {
    for (int i = kMaxSpatial - 1; i >= 0; --i) {
      q[i] = index % j.slides[i].out;
      index /= j.slides[i].out;
    }
    n = index;
  }
  void next(const ConvJob& j) {
    for (int i = kMaxSpatial - 1; i >= 0; --i) {
      if (++q[i] < j.slides[i].out) return;
      q[i] = 0;
    }
    ++n;
  }
  // True where that leads to another row of the output.
  bool advance(const ConvJob& j, int64_t count) {
    q[2] += count;
    if (q[2] < j.slides[2].out) return false;
    for (int i = kMaxSpatial - 1; i >= 0 && q[i] >= j.slides[i].out; --i) {
      const int64_t carry = q[i] / j.slides[i].out;
      q[i] -= carry * j.slides[i].out;
      (i ? q[i - 1] : n) += carry;
    }
    return true;
  }
  // Its place in its line of a job that omits rows.
  int64_t in_line(const ConvJob& j) const {
    return (j.omits->dim ? 0 : q[1] * j.slides[2].out) + q[2];
  }
  int64_t at(const Steps& s) const {
    return n * s.n + q[0] * s.d[0] + q[1] * s.d[1] + q[2] * s.d[2];
  }
};

// All taps of a window that begins at index `at` exist.
bool holds(const Slide& s, int64_t at) {
  const int64_t last = at + (s.taps - 1) * s.step;
  return min64(at, last) >= 0 && max64(at, last) < s.in;
}

// Outputs [begin, end) of a dim.
struct Span {
  int64_t begin, end;
};

// Those all of whose taps lie in the first `in` indices of the input.
Span inside_of(const Slide& s, int64_t in) {
  const int64_t reach = (s.taps - 1) * s.step;
  const int64_t below = -(s.first + min64(0, reach)), room = in - 1 - s.first - max64(0, reach);
  return {below > 0 ? ceil_div(below, s.stride) : 0,
          room < 0 ? 0 : min64(s.out, room / s.stride + 1)};
}

// ---- gathered rows ----------------------------------------------------------------------------

typedef char Sixteen __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint64_t Word __attribute__((aligned(1), may_alias));

// Runs are short: a call of memcpy would take longer.
inline void copy(char* to, const char* from, int64_t n) {
  if (n >= 16) {
    for (int64_t i = 0; i + 16 <= n; i += 16)
      *reinterpret_cast<Sixteen*>(to + i) = *reinterpret_cast<const Sixteen*>(from + i);
    *reinterpret_cast<Sixteen*>(to + n - 16) = *reinterpret_cast<const Sixteen*>(from + n - 16);
    return;
  }
  if (n >= 4) {  // 4 words that overlap
    int32_t words[4];
    const int64_t last = n - 4, step = n >= 8 ? 4 : 0;
    memcpy(words, from, 4);
    memcpy(words + 1, from + step, 4);
    memcpy(words + 2, from + last - step, 4);
    memcpy(words + 3, from + last, 4);
    memcpy(to, words, 4);
    memcpy(to + step, words + 1, 4);
    memcpy(to + last - step, words + 2, 4);
    memcpy(to + last, words + 3, 4);
    return;
  }
  for (int64_t i = 0; i < n; ++i) to[i] = from[i];
}

inline void fill_bytes(char* to, int value, int64_t n) {
  if (n < 16) {
    for (int64_t i = 0; i < n; ++i) to[i] = static_cast<char>(value);
    return;
  }
  const Sixteen all = Sixteen{} + static_cast<char>(value);
  for (int64_t i = 0; i + 16 <= n; i += 16) *reinterpret_cast<Sixteen*>(to + i) = all;
  *reinterpret_cast<Sixteen*>(to + n - 16) = all;
}

ptrdiff_t tap_offset(const ConvJob& j, int64_t td, int64_t th, int64_t tw) {
  return td * j.slides[0].step * j.in.d[0] + th * j.slides[1].step * j.in.d[1] +
         tw * j.slides[2].step * j.in.d[2];
}

// Where the windows of a unit's pixels are copied from.
struct Gather {
  const ConvJob& j;
  int64_t channels, run, padded;  // bytes of a tap, of a run, of a run in the row
  const char* image;              // the unit's first channel
  bool rows;                      // a run is a row of the kernel
  bool dense;                     // whose taps lie side by side
  Span inside = {0, 0};           // dense: outputs along W whose taps all exist
  // Runs of windows whose columns exist are copied in whole pieces, which reach beyond them: what
  // that writes the next run writes again, what it reads belongs to the image. 0: not here.
  int64_t pieces = 0;
  Span among = {0, 0}, last = {0, 0};  // outputs along W; in rows of the image that none follows
  bool joins_rows = false;             // what is read beyond a row of the image is the next one
  ptrdiff_t offset[kMostRuns];         // of the runs from the first one

  Gather(const ConvJob& job, int64_t unit)
      : j(job),
        channels(job.v.form().unit_in(unit)),
        run(job.v.form().run_bytes(unit)),
        padded(job.v.joined_k && !job.direct ? run : job.v.form().padded_run(unit)),
        image(job.image + job.v.form().first_in(unit)),
        rows(job.v.form().row_runs()),
        dense(rows && job.slides[2].step == 1 && job.in.d[2] == channels) {
    if (dense) inside = inside_of(job.slides[2], job.slides[2].in);
    if (!job.direct) find_pieces();
  }

  void find_pieces() {
    const Slide& w = j.slides[2];
    const int64_t taps_w = rows ? 1 : w.taps;
    // Sums of rows count their padding.
    if (j.v.w.has_zero || (rows && !dense) || j.runs > kMostRuns || j.runs == 0 ||
        j.in.d[2] != j.v.form().in_channels || run > kPiece * kMostPieces || run == 0)
      return;
    pieces = ceil_div(run, kPiece);
    const int64_t beyond = ceil_div(pieces * kPiece - run, j.v.form().in_channels);
    among = inside_of(w, w.in);
    last = inside_of(w, w.in - beyond);
    joins_rows = j.in.d[1] == w.in * j.in.d[2] && w.in >= beyond;
    if (!joins_rows) among = last;
    ptrdiff_t* to = offset;
    for (int64_t td = 0; td < j.slides[0].taps; ++td)
      for (int64_t th = 0; th < j.slides[1].taps; ++th)
        for (int64_t tw = 0; tw < taps_w; ++tw) *to++ = tap_offset(j, td, th, tw);
  }

  void fill(char* to, int64_t n) const { fill_bytes(to, j.zero, n); }

  // Zeros for the last bytes of a run's row, which the run then covers but for its padding.
  void end_with_zeros(char* to) const {
    if (padded > run) memset(to + padded - 4, 0, 4);
  }

  // The taps of one row of the kernel, side by side. line NULL: outside the image.
  void take_row(char* to, const char* line, int64_t iw) const {
    const Slide& w = j.slides[2];
    if (!line) return fill(to, run);
    if (dense) {
      const int64_t before = min64(w.taps, max64(0, -iw));
      const int64_t end = min64(w.taps, max64(before, w.in - iw));
      if (before) fill(to, before * channels);
      copy(to + before * channels, line + (iw + before) * channels, (end - before) * channels);
      if (end < w.taps) fill(to + end * channels, (w.taps - end) * channels);
      return;
    }
    for (int64_t t = 0; t < w.taps; ++t, iw += w.step, to += channels)
      take_tap(to, line, iw, channels);
  }

  void take_tap(char* to, const char* line, int64_t iw, int64_t n) const {
    if (line && iw >= 0 && iw < j.slides[2].in)
      copy(to, line + iw * j.in.d[2], n);
    else
      fill(to, n);
  }

  // The windows of `count` pixels, `step` bytes apart; runs lie at these offsets from `from` on.
  // kPieces, kRuns: how many there are; 0: any.
  template <int kPieces, int kRuns>
  void take_runs(char* to, int64_t pitch, const char* from, const ptrdiff_t* at, int64_t step,
                 int64_t count) const {
    const int64_t n = kRuns ? kRuns : j.runs, end = kPiece * (kPieces ? kPieces : pieces);
    const int64_t next = padded;
    const auto take_run = [&](char* run_to, int64_t i) {
      for (int64_t b = 0; b < end; b += kPiece)
        *reinterpret_cast<Sixteen*>(run_to + b) =
            *reinterpret_cast<const Sixteen*>(from + at[i] + b);
    };
    for (; count > 0; --count, from += step, to += pitch) {
      if constexpr (kRuns == 3) {
        take_run(to, 0);
        take_run(to + next, 1);
        take_run(to + 2 * next, 2);
        continue;
      }
      char* run_to = to;
      int64_t i = 0;
      for (; i + 4 <= n; i += 4, run_to += 4 * next) {
        take_run(run_to, i);
        take_run(run_to + next, i + 1);
        take_run(run_to + 2 * next, i + 2);
        take_run(run_to + 3 * next, i + 3);
      }
      for (; i < n; ++i, run_to += next) take_run(run_to, i);
    }
  }

  // The same of runs of 8 bytes at most: words are stored faster.
  void take_words(char* to, int64_t pitch, const char* from, const ptrdiff_t* at, int64_t step,
                  int64_t count) const {
    const int64_t n = j.runs, next = padded;
    for (; count > 0; --count, from += step, to += pitch) {
      char* run_to = to;
      for (int64_t i = 0; i < n; ++i, run_to += next)
        *reinterpret_cast<Word*>(run_to) = *reinterpret_cast<const Word*>(from + at[i]);
    }
  }

  // The same where some runs lie outside the image.
  void take_some(char* to, int64_t pitch, const char* from, const ptrdiff_t* at, int64_t step,
                 int64_t count) const {
    const int64_t n = j.runs, end = pieces * kPiece;
    const Sixteen zeros = Sixteen{} + static_cast<char>(j.zero);
    for (; count > 0; --count, from += step, to += pitch) {
      char* run_to = to;
      for (int64_t i = 0; i < n; ++i, run_to += padded)
        for (int64_t b = 0; b < end; b += kPiece)
          *reinterpret_cast<Sixteen*>(run_to + b) =
              at[i] == kOutside ? zeros : *reinterpret_cast<const Sixteen*>(from + at[i] + b);
    }
  }

  void take_pieces(char* to, int64_t pitch, const char* from, const ptrdiff_t* at, int64_t step,
                   int64_t count) const {
    if (run <= 8) return take_words(to, pitch, from, at, step, count);
    if (pieces == 1) {
      if (j.runs == 3) return take_runs<1, 3>(to, pitch, from, at, step, count);
      return take_runs<1, 0>(to, pitch, from, at, step, count);
    }
    if (pieces == 2) return take_runs<2, 0>(to, pitch, from, at, step, count);
    return take_runs<0, 0>(to, pitch, from, at, step, count);
  }

  // Where the runs of the window are that begins at p, kOutside for those beyond D and H, and W
  // where it is a single tap.
  void find_runs_of(const Pixel& p, ptrdiff_t* at) const {
    const Slide &d = j.slides[0], &h = j.slides[1], &w = j.slides[2];
    const auto in = [](const Slide& o, int64_t q, int64_t t) {
      const int64_t i = o.first + q * o.stride + t * o.step;
      return i >= 0 && i < o.in;
    };
    const ptrdiff_t* from = offset;
    for (int64_t td = 0; td < d.taps; ++td)
      for (int64_t th = 0; th < h.taps; ++th) {
        const bool exists = in(d, p.q[0], td) && in(h, p.q[1], th);
        for (int64_t tw = 0; tw < (rows ? 1 : w.taps); ++tw, ++from)
          *at++ = exists && (rows || in(w, p.q[2], tw)) ? *from : kOutside;
      }
  }

  // Copies of the lines of the image around `count` windows from p on, whose columns do not all
  // exist, with what lies outside: runs at multiples of kStrip.
  void fill_strips(const Pixel& p, int64_t count, const char* line, char* strips) const {
    const Slide& w = j.slides[2];
    const int64_t iw = w.first + p.q[2] * w.stride, n = (count - 1) * w.stride + w.taps;
    const int64_t first = max64(0, iw), end = min64(w.in, iw + n);
    ptrdiff_t at[kMostRuns];
    find_runs_of(p, at);
    for (int64_t i = 0; i < j.runs; ++i, strips += kStrip) {
      fill(strips, n * channels + kPiece);
      if (at[i] != kOutside && first < end)
        copy(strips + (first - iw) * channels, line + at[i] + first * channels,
             (end - first) * channels);
    }
  }

  // The windows of some of `count` pixels from p on, at least one, if pieces may be; else 0.
  int64_t take_stretch(const Pixel& p, char* to, int64_t pitch, int64_t count, char* strips) const {
    if (!pieces) return 0;
    const Slide &d = j.slides[0], &h = j.slides[1], &w = j.slides[2];
    const int64_t id = d.first + p.q[0] * d.stride, ih = h.first + p.q[1] * h.stride;
    const int64_t q = p.q[2], step = w.stride * j.in.d[2];
    const bool followed = max64(ih, ih + (h.taps - 1) * h.step) < h.in - 1;
    const Span& span = followed ? among : last;
    const char* line = image + p.n * j.in.n + id * j.in.d[0] + ih * j.in.d[1];
    const char* from = line + (w.first + q * w.stride) * j.in.d[2];
    ptrdiff_t at[kMostRuns];
    if (q >= span.begin && q < span.end) {
      const int64_t n = min64(count, span.end - q);
      if (holds(d, id) && holds(h, ih)) {
        take_pieces(to, pitch, from, offset, step, n);
      } else {
        find_runs_of(p, at);
        take_some(to, pitch, from, at, step, n);
      }
      return n;
    }
    if (!rows) {
      if (!followed || !joins_rows) return 0;
      find_runs_of(p, at);
      take_some(to, pitch, from, at, step, 1);
      return 1;
    }
    const int64_t end = q < span.begin && span.begin < span.end ? span.begin : w.out;
    const int64_t most = (kStrip - kPiece - run) / step + 1;
    const int64_t n = min64(min64(count, end - q), most);
    fill_strips(p, n, line, strips);
    for (int64_t i = 0; i < j.runs; ++i) at[i] = i * kStrip;
    take_pieces(to, pitch, strips, at, step, n);
    return n;
  }

  // A window of dense rows, whose first tap is at `from`, inside the image.
  void take_inside(char* to, const char* from) const {
    const Slide &d = j.slides[0], &h = j.slides[1];
    const int64_t step_d = d.step * j.in.d[0], step_h = h.step * j.in.d[1];
    for (int64_t td = 0; td < d.taps; ++td, from += step_d) {
      const char* line = from;
      for (int64_t th = 0; th < h.taps; ++th, line += step_h, to += padded) {
        end_with_zeros(to);
        copy(to, line, run);
      }
    }
  }

  void take(const Pixel& p, char* to) const {
    const Slide &d = j.slides[0], &h = j.slides[1], &w = j.slides[2];
    if (padded == run && j.runs * run % 4) memset(to + j.runs * run / 4 * 4, 0, 4);
    const int64_t iw0 = w.first + p.q[2] * w.stride;
    const bool inside_w = p.q[2] >= inside.begin && p.q[2] < inside.end;
    int64_t id = d.first + p.q[0] * d.stride;
    const int64_t ih0 = h.first + p.q[1] * h.stride;
    if (inside_w && holds(d, id) && holds(h, ih0))
      return take_inside(to,
                         image + p.n * j.in.n + id * j.in.d[0] + ih0 * j.in.d[1] + iw0 * channels);
    for (int64_t td = 0; td < d.taps; ++td, id += d.step) {
      int64_t ih = ih0;
      for (int64_t th = 0; th < h.taps; ++th, ih += h.step) {
        const bool exists = id >= 0 && id < d.in && ih >= 0 && ih < h.in;
        const char* line =
            exists ? image + p.n * j.in.n + id * j.in.d[0] + ih * j.in.d[1] : nullptr;
        int64_t iw = iw0;
        for (int64_t left = rows ? 1 : w.taps; left > 0; --left, iw += w.step, to += padded) {
          end_with_zeros(to);
          if (rows)
            take_row(to, line, iw);
          else
            take_tap(to, line, iw, run);
        }
      }
    }
  }
};

// The windows of `count` pixels from *p on, which moves behind them.
void take_all(const Gather& g, Pixel* p, char* to, int64_t pitch, int64_t count, char* strips) {
  while (count) {
    int64_t n = g.take_stretch(*p, to, pitch, count, strips);
    if (!n) {
      g.take(*p, to);
      n = 1;
    }
    p->advance(g.j, n);
    to += n * pitch;
    count -= n;
  }
}

// Rows of the windows of `count` pixels from `first` on, in the tiles' form, from row `at` of the
// slot on. Rows are widened some time after they were written: loads wait for stores that they do
// not match.
void gather(const ConvJob& j, const ConvScratch& s, int64_t unit, int64_t first, int64_t count,
            int64_t at) {
  const Linear& l = j.v.linear;
  const Gather g(j, unit);
  const int64_t k = unit ? j.runs * g.padded : j.unit.k;
  const uint32_t real = static_cast<uint32_t>(j.runs * g.run);
  const bool wide = l.form == OCTET_S16, flips = !j.operands && l.shift;
  Pixel p(j, first);
  Run run = {};
  for (int64_t start = 0, end; start < count; start = end) {
    end = wide ? min64(count, start + kRawRows) : count;
    char* const raw = wide ? s.raw : s.rows + (at + start) * s.pitch;
    const int64_t pitch = wide ? s.pitch / 2 : s.pitch;
    take_all(g, &p, raw, pitch, end - start, s.strips);
    const bool rows_join = pitch == k && !j.v.w.has_zero;
    run.n = static_cast<size_t>(rows_join ? (end - start) * k : k);
    for (int64_t i = start; i < end; i += rows_join ? end - start : 1) {
      run.x = raw + (i - start) * pitch;
      if (j.v.w.has_zero) {
        uint32_t sum = static_cast<uint32_t>(l.rowsum(run.x, run.n));
        if (flips) sum += static_cast<uint32_t>(l.shift) * real;
        s.sums[at + i] = static_cast<int32_t>(sum - real * static_cast<uint32_t>(j.operand_zero));
      }
      run.y = s.rows + (at + i) * s.pitch;
      if (flips && !wide) l.flip(&run);
    }
    if (!wide) continue;
    // All rows at once, with what lies between them.
    Run all = {};
    all.x = raw;
    all.y = s.rows + (at + start) * s.pitch;
    all.n = static_cast<size_t>((end - start) * pitch);
    l.widen(&all);
  }
}

// ---- spots ------------------------------------------------------------------------------------

struct Pixels {
  const ConvJob& j;
  const ConvScratch& s;
  int64_t first, end;  // pixels
  int64_t spots = 0;
  const Row *full = nullptr, *edge = nullptr;  // what the spots are for

  // Stretches of pixels at equal distances: visit(first pixel, count).
  template <class Visit>
  void stretches(Visit visit) const {
    for (int64_t p = first; p < end;) {
      const int64_t count = min64(end - p, j.run - p % j.run);
      visit(p, count);
      p += count;
    }
  }
};

// Rows of the kernel lie in one piece in the image.
bool has_rows(const ConvJob& j) {
  const ConvForm& f = j.v.form();
  return f.row_runs() && !j.v.lane && j.slides[2].step == 1 && j.in.d[2] == f.in_channels * j.item;
}

// Columns behind a row of the kernel that are read with it, where its bytes are filled up to a
// multiple of 4: they meet weights of 0.
int64_t columns_beyond(const ConvForm& f, bool ragged) {
  return ragged ? ceil_div(f.padded_run(0) - f.run_bytes(0), f.in_channels) : 0;
}

// Offsets of a tile's rows where they follow one another in the slot's memory.
void fill_offsets(const ConvScratch& s, int32_t mr, int32_t m, ptrdiff_t* offsets) {
  for (int32_t row = 0; row < mr; ++row) offsets[row] = min64(row, m - 1) * s.pitch;
}

// A tile's rows in the slot's memory, but for their offsets.
void place(const ConvJob& j, const ConvScratch& s, Spot* spot) {
  spot->a = s.rows + spot->row0 * s.pitch;
  spot->taps = j.unit.k ? 1 : 0;
  spot->kc = j.v.form().units == 1 ? static_cast<int32_t>(j.unit.k) : 0;
}

// Rows for windows at the sides of the image, which a tile would else read tap by tap together
// with all of its other pixels: of direct layers whose windows are short copies.
int64_t side_windows(const Conv& v) {
  const ConvForm& f = v.form();
  return f.row_runs() && f.kernel[2] > 1 && v.linear.form != OCTET_S16 &&
                 f.panel_k(0) <= kShortWindow
             ? kSideRows
             : 0;
}

// What direct spots of a block share.
struct Locator {
  const ConvJob& j;
  const ConvScratch& s;
  const Gather gather;
  const bool rows = has_rows(j);  // of the kernel, each a tap of a tile
  const int32_t kc = rows ? static_cast<int32_t>(gather.padded) : 0;
  const int64_t beyond = columns_beyond(j.v.form(), j.v.ragged());
  const Row* full;             // the usual tile
  const ptrdiff_t* common;     // its offsets where all taps exist, from the first one
  int32_t common_taps;         // and how many taps that are
  Span inside, last;           // columns for such tiles; in rows that none follows
  const char* line = nullptr;  // column 0 of the row of the output
  Span span = {0, 0};          // columns for such tiles in this row
  const int64_t side_rows;     // of the slot, for windows at the sides of the image
  int64_t side = 0;            // how many are in use

  Locator(const ConvJob& job, const ConvScratch& scratch, const Row* tile, ptrdiff_t* offsets)
      : j(job),
        s(scratch),
        gather(job, 0),
        full(tile),
        common(offsets),
        side_rows(rows && !job.v.ragged() ? min64(scratch.pixels, side_windows(job.v)) : 0) {
    const Slide& w = j.slides[2];
    inside = inside_of(w, w.in);
    last = inside_of(w, w.in - beyond);
    if (j.in.d[1] != w.in * j.in.d[2]) inside = last;
    if (!rows && j.v.ragged()) inside = last = {0, 0};
    const int64_t taps_w = rows ? 1 : w.taps, step = w.stride * j.in.d[2];
    for (int64_t td = 0; td < j.slides[0].taps; ++td)
      for (int64_t th = 0; th < j.slides[1].taps; ++th)
        for (int64_t tw = 0; tw < taps_w; ++tw) {
          ptrdiff_t at = tap_offset(j, td, th, tw);
          for (int32_t i = 0; i < full->mr; ++i, at += step) *offsets++ = at;
        }
    common_taps = static_cast<int32_t>(j.slides[0].taps * j.slides[1].taps * taps_w);
  }

  // The row of the output that p lies in.
  void enter(const Pixel& p) {
    const Slide &d = j.slides[0], &h = j.slides[1], &w = j.slides[2];
    const int64_t id = d.first + p.q[0] * d.stride, ih = h.first + p.q[1] * h.stride;
    span = {0, 0};
    if (!holds(d, id) || !holds(h, ih)) return;
    span = !beyond || ih + (h.taps - 1) * h.step < h.in - 1 ? inside : last;
    line = j.image + p.n * j.in.n + id * j.in.d[0] + ih * j.in.d[1] + w.first * j.in.d[2];
  }

  // A full tile in this row whose taps all exist: the usual case, in few steps.
  bool locate_inside(const Pixel& p, Spot* spot) const {
    const int64_t at = p.q[2];
    if (spot->m != full->mr || at < span.begin || at + spot->m > span.end) return false;
    spot->a = line + at * j.slides[2].stride * j.in.d[2];
    spot->rows = common;
    spot->taps = common_taps;
    spot->kc = kc;
    return true;
  }

  // From the image to other memory that tiles read.
  ptrdiff_t distance(const char* to) const {
    return static_cast<ptrdiff_t>(reinterpret_cast<uintptr_t>(to) -
                                  reinterpret_cast<uintptr_t>(j.image));
  }

  // A full tile in this row, of a layer that gathers windows at the sides of the image: the other
  // pixels are where they are inside.
  bool locate_beside(const Pixel& p, Spot* spot, ptrdiff_t* offsets) {
    const int64_t at = p.q[2], mr = full->mr;
    if (!j.v.ragged() && side + mr > side_rows) return false;
    if (span.begin >= span.end || spot->m != mr || at + mr > j.slides[2].out) return false;
    spot->a = line + at * j.slides[2].stride * j.in.d[2];
    spot->taps = common_taps;
    spot->kc = kc;
    memcpy(offsets, common, static_cast<size_t>(common_taps * mr) * sizeof *offsets);
    Pixel q = p;
    for (int64_t i = 0; i < mr; ++i, ++q.q[2]) {
      if (q.q[2] >= span.begin && q.q[2] < span.end) continue;
      ptrdiff_t to = gather_row(q, spot->row0 + i) - distance(spot->a);
      for (int64_t tap = 0; tap < common_taps; ++tap, to += gather.padded)
        offsets[tap * mr + i] = to;
    }
    return true;
  }

  // A pixel's window in row `at` of the slot, or the next one of the sides' rows; returns where
  // that is.
  ptrdiff_t gather_row(const Pixel& p, int64_t at) {
    char* row = s.rows + (side_rows ? side++ : at) * s.pitch;
    gather.take(p, row);
    return distance(row);
  }

  // Any tile.
  void locate(Pixel p, Spot* spot, ptrdiff_t* offsets);
};

// A tile's rows of the image, tap by tap. What lies outside is left out where it does for all
// pixels, else it is the padding row. Windows that reach beyond the image's width are gathered
// where the layer has rows for them.
void Locator::locate(Pixel p, Spot* spot, ptrdiff_t* offsets) {
  const Slide &d = j.slides[0], &h = j.slides[1], &w = j.slides[2];
  const int32_t mr = spot->row->mr, m = spot->m;
  const bool ragged = j.v.ragged(), gathers = ragged || side + m <= side_rows;
  Outside omitted = {}, columns = {};
  int64_t first[] = {0, 0}, end[] = {d.taps, h.taps};  // taps along D and H that are kept
  if (j.omits) {
    const int dim = j.omits->dim;
    omitted = omitted_rows(j, p.q[dim], p.in_line(j), m);
    first[dim] = omitted.before;
    end[dim] -= omitted.behind;
    columns = omitted_columns(j, p.q[2], m);
  }
  const auto holds_kept = [&](int dim, int64_t at) {
    Slide kept = j.slides[dim];
    kept.taps = end[dim] - first[dim];
    return holds(kept, at + first[dim] * kept.step);
  };
  bool merged = rows;
  bool all = true;  // every tap of every row that is kept
  struct {
    int64_t id, ih;
    ptrdiff_t at;
    const Span* span;
    bool all, exists;
  } lines[kMaxMr];                     // of the image, under a row of the output
  int32_t line_of[kMaxMr], count = 0;  // by pixel
  ptrdiff_t base[kMaxMr];              // where the first tap lies, or would
  int64_t iw[kMaxMr];
  bool copied[kMaxMr];
  for (int32_t i = 0; i < m; ++i, p.next(j)) {
    if (!i || !p.q[2]) {
      auto& l = lines[count++];
      l.id = d.first + p.q[0] * d.stride;
      l.ih = h.first + p.q[1] * h.stride;
      l.at = p.n * j.in.n + l.id * j.in.d[0] + l.ih * j.in.d[1];
      l.span = l.ih + (h.taps - 1) * h.step < h.in - 1 ? &inside : &last;
      l.all = holds_kept(1, l.ih) && holds_kept(0, l.id);
    }
    const auto& l = lines[count - 1];
    line_of[i] = count - 1;
    iw[i] = w.first + p.q[2] * w.stride;
    const bool in_w = p.q[2] >= l.span->begin && p.q[2] < l.span->end;
    copied[i] = gathers && !(rows && in_w);
    if (copied[i]) {
      base[i] = gather_row(p, spot->row0 + i);
    } else {
      base[i] = l.at + iw[i] * j.in.d[2];
      merged &= in_w;
      all &= in_w && l.all;
    }
  }
  if (ragged && !rows) {
    fill_offsets(s, mr, m, offsets);
    return place(j, s, spot);
  }
  const int64_t first_w = merged ? 0 : columns.before;
  const int64_t end_w = merged ? 1 : w.taps - columns.behind;
  const ptrdiff_t pad = distance(j.pad);
  const auto in = [](const Slide& o, int64_t at) { return at >= 0 && at < o.in; };
  ptrdiff_t* to = offsets;
  ptrdiff_t run = (first[0] * h.taps + first[1]) * gather.padded;  // of a gathered row
  for (int64_t td = first[0]; td < end[0]; ++td)
    for (int64_t th = first[1]; th < end[1]; ++th, run += gather.padded) {
      const ptrdiff_t row = tap_offset(j, td, th, 0);
      ptrdiff_t start[kMaxMr];  // the first tap of this row of the kernel
      for (int32_t i = 0; i < count; ++i)
        lines[i].exists =
            lines[i].all || (in(d, lines[i].id + td * d.step) && in(h, lines[i].ih + th * h.step));
      for (int32_t i = 0; i < m; ++i)
        start[i] = copied[i] ? base[i] + run : lines[line_of[i]].exists ? base[i] + row : pad;
      for (int64_t tw = first_w; tw < end_w; ++tw, to += mr) {
        const int64_t across = tw * w.step;
        for (int32_t i = 0; i < m; ++i)
          to[i] =
              copied[i] || all || (lines[line_of[i]].exists && (merged || in(w, iw[i] + across)))
                  ? start[i] + across * j.in.d[2]
                  : pad;
        for (int32_t i = m; i < mr; ++i) to[i] = to[m - 1];
      }
    }
  spot->kc = merged ? kc : 0;
  spot->taps = static_cast<int32_t>((end[0] - first[0]) * (end[1] - first[1]) * (end_w - first_w));
  spot->skipped = static_cast<int32_t>(omitted.before);
  spot->start = j.omits ? static_cast<int32_t>(omits_index(*j.omits, omitted, columns)) : 0;
  if (columns.before || columns.behind) {
    spot->skipped_columns = static_cast<int32_t>(columns.before);
    spot->parts = static_cast<int32_t>(end[1] - first[1]);
    spot->taps /= spot->parts;
  }
  spot->a = j.image;
}

// The spots of a block one by one: visit(first pixel, spot, whether a row of the output begins).
template <class Visit>
void visit_spots(Pixels* b, Visit visit) {
  const ConvJob& j = b->j;
  b->spots = 0;
  b->stretches([&](int64_t first, int64_t count) {
    Pixel at(j, first);
    char* y = j.y + at.at(j.out);
    const char* r = j.r ? j.r + at.at(j.residual) : nullptr;
    bool begins = true;
    for (int64_t i = 0; i < count;) {
      const int64_t left =
          j.omits && j.omits->columns() ? min64(count - i, alike_pixels(j, at.q[2])) : count - i;
      Spot& spot = b->s.spots[b->spots++];
      spot.row = tile_for(j, b->full, b->edge, left);
      spot.m = static_cast<int32_t>(min64(spot.row->mr, left));
      spot.skipped = spot.skipped_columns = spot.start = 0;
      spot.parts = 1;
      spot.row0 = static_cast<int32_t>(first + i - b->first);
      spot.y = y + i * j.pitch_y;
      spot.r = r ? r + i * j.pitch_r : nullptr;
      visit(at, &spot, begins);
      i += spot.m;
      begins = at.advance(j, spot.m);
    }
  });
}

// The spots of a block for tiles `full` and `edge`.
void find_spots(Pixels* b, const Row* full, const Row* edge) {
  if (b->full == full && b->edge == edge) return;
  b->full = full;
  b->edge = edge;
  const ConvJob& j = b->j;
  ptrdiff_t* offsets = b->s.offsets;
  const auto added = [&](Spot* spot) {
    spot->rows = offsets;
    offsets += max64(1, spot->taps) * spot->parts * spot->row->mr;
  };
  if (!j.direct) {
    const ptrdiff_t* const common = offsets;
    fill_offsets(b->s, full->mr, full->mr, offsets);
    offsets += full->mr;
    visit_spots(b, [&](const Pixel&, Spot* spot, bool) {
      place(j, b->s, spot);
      if (spot->m == full->mr) {
        spot->rows = common;
        return;
      }
      fill_offsets(b->s, spot->row->mr, spot->m, offsets);
      added(spot);
    });
    return;
  }
  Locator locator(j, b->s, full, offsets);
  offsets += locator.common_taps * full->mr;
  visit_spots(b, [&](const Pixel& at, Spot* spot, bool begins) {
    if (begins) locator.enter(at);
    if (locator.locate_inside(at, spot)) return;
    if (!locator.locate_beside(at, spot, offsets)) locator.locate(at, spot, offsets);
    added(spot);
  });
}

// ---- columns ----------------------------------------------------------------------------------

// A unit of the job's phase; tiles of small groups take all of them as one.
struct Unit {
  WeightsView w;
  int64_t index;
  int64_t first_out;
  Finish finish;

  Unit(const ConvJob& j, const ConvScratch& s, int64_t u) : w(j.unit), index(u) {
    const ConvForm& f = j.v.form();
    const int64_t panels = u * f.unit_panels, slot = panels * 16;
    first_out = f.first_out(u);
    w.n = f.unit_out(u);
    if (u) w.k = j.runs * f.padded_run(u);
    w.panels += panels * w.panel_stride;
    // Where the phase begins in a panel depends on the unit's channels.
    w.panels += j.taps_before * (f.padded_run(u) - f.padded_run(0)) * 16;
    if (w.proved) w.proved += panels;
    if (j.v.lane) {
      w.n = f.out_channels;
      w.k = f.taps(j.phase) * j.v.lane;
      w.panels = j.v.lanes + lane_phase_bytes(j.v, j.phase);
      w.panel_stride = lane_panel_bytes(j.v);
    }
    finish = j.finish;
    finish.ibias += slot;
    finish.fbias += slot;
    finish.mult += slot;
    finish.fixed_mult += slot;
    finish.fixed_exp += slot;
    if (w.has_zero) {
      finish.row_b = s.sums;
      finish.col_b = w.zero + slot;
    }
  }
};

// A tile row of the kernel by row of the kernel, which lie row_bytes apart; t: the first one's.
void run_parts(const ConvScratch& s, const Spot& spot, int64_t row_bytes, Tile t) {
  void* const c = t.c;
  const ptrdiff_t ldc = t.ldc;
  const Finish* const finish = t.finish;
  t.finish = nullptr;
  t.c = s.partial;
  t.ldi = spot.row->nr;
  t.ldc = t.ldi * static_cast<ptrdiff_t>(sizeof(int32_t));
  for (int32_t part = 1;; ++part) {
    if (part == spot.parts) {
      t.finish = finish;
      t.c = c;
      t.ldc = ldc;
    }
    reinterpret_cast<TileFn*>(spot.row->fn)(&t);
    if (part == spot.parts) return;
    t.init = s.partial;
    t.rows += spot.taps * spot.row->mr;
    t.b += row_bytes;
  }
}

// One column block of `panels` panels from n on, for all spots.
void run_spots(const Pixels& b, Unit& u, int64_t n, int64_t panels, int64_t n1) {
  const ConvJob& j = b.j;
  const ConvForm& f = j.v.form();
  const Linear& l = j.v.linear;
  const int64_t column = u.first_out + n;
  // A column of a small group reads channels with its own number. Other units but the last read
  // whole groups of 4, whose last bytes, the next unit's, meet weights of 0.
  const ptrdiff_t shift = j.v.lane ? n : j.direct ? f.first_in(u.index) * j.item : 0;
  const int64_t channels =
      u.index + 1 < f.units ? f.padded_run(u.index) : f.unit_in(u.index);  // of a direct tap
  const int32_t tap = j.v.lane ? j.v.lane : static_cast<int32_t>(j.direct ? channels : u.w.k);
  const int32_t* const ibias = u.finish.ibias;
  const int64_t row_bytes =
      !j.omits   ? 0
      : j.v.lane ? u.w.k / j.v.lane * lane_tap_bytes(j.v) / j.slides[j.omits->dim].taps
                 : u.w.k / j.slides[j.omits->dim].taps * 16;
  Tile t = {};
  const int8_t* const panel = b.full->layout == kLayoutProved
                                  ? u.w.proved_panel(n / 16)
                                  : u.w.panels + n / 16 * u.w.panel_stride;
  t.panel = u.w.panel_stride;
  t.tap = &kNoTap;
  t.lda = b.s.pitch;
  t.ldc = j.pitch_y;
  t.n = static_cast<int32_t>(min64(panels * 16, n1 - n));
  t.col0 = static_cast<int32_t>(n);
  t.finish = &u.finish;
  for (int64_t i = 0; i < b.spots; ++i) {
    const Spot& spot = b.s.spots[i];
    t.a = spot.a + shift;
    t.rows = spot.row->rows == kRowsIndexed ? spot.rows : nullptr;
    t.b = panel + spot.skipped * row_bytes + spot.skipped_columns * int64_t{tap} * 16;
    t.taps = spot.taps;
    t.kc = spot.kc ? spot.kc : tap;
    t.c = spot.y + column * l.out_bytes;
    t.m = spot.m;
    t.row0 = spot.row0;
    if (spot.r) u.finish.residual = spot.r + u.first_out * l.out_bytes - spot.row0 * j.pitch_r;
    u.finish.ibias = spot.start && j.omits->ibias
                         ? j.omits->ibias + (spot.start - 1) * f.slots() + u.index * f.unit_slots()
                         : ibias;
    if (spot.parts == 1)
      reinterpret_cast<TileFn*>(spot.row->fn)(&t);
    else
      run_parts(b.s, spot, row_bytes, t);
  }
  u.finish.ibias = ibias;
}

// Rows of scope block take all columns of a stretch of rows.
struct Blocks {
  const ConvJob& j;
  const Row& main;
  const Row& edge;
  Block k = {};

  Blocks(const ConvJob& job, Unit& u, int64_t n0, int64_t n1)
      : j(job), main(*job.plan->main), edge(*job.plan->edge[main.nr / 16]) {
    k.kc = static_cast<int32_t>(u.w.k);
    k.b = u.w.panels + n0 / 16 * u.w.panel_stride;
    k.panel = u.w.panel_stride;
    k.ldc = j.pitch_y;
    k.n = static_cast<int32_t>(n1 - n0);
    k.col0 = static_cast<int32_t>(n0);
    k.columns_outer = j.plan->columns_outer;
    k.prefetch = j.plan->prefetch;
    k.finish = &u.finish;
  }
  void run(const Row& row, int64_t rows) {
    if (!rows) return;
    k.m = static_cast<int32_t>(rows);
    reinterpret_cast<BlockFn*>(row.fn)(&k);
  }
  // Rows of the slot from `first` on: row i makes output at[i], or i.
  void run_rows(const ConvScratch& s, int64_t first, int64_t count, const int32_t* at) {
    const int64_t rest = &edge == &main ? 0 : count % main.mr;
    char* const c = static_cast<char*>(k.c);
    k.lda = s.pitch;
    k.a = s.rows + first * s.pitch;
    k.at = at;
    run(main, count - rest);
    k.a = s.rows + (first + count - rest) * s.pitch;
    if (at) {
      k.at += count - rest;
    } else {
      k.c = c + (count - rest) * k.ldc;
      k.row0 += static_cast<int32_t>(count - rest);
    }
    run(edge, rest);
  }
};

void run_blocks(const Pixels& b, Unit& u, int64_t n0, int64_t n1) {
  const ConvJob& j = b.j;
  b.stretches([&](int64_t first, int64_t count) {
    const Pixel start(j, first);
    const int64_t row0 = first - b.first;
    Blocks blocks(j, u, n0, n1);
    blocks.k.c = j.y + start.at(j.out) + (u.first_out + n0) * j.v.linear.out_bytes;
    blocks.k.row0 = static_cast<int32_t>(row0);
    if (j.r)
      u.finish.residual =
          j.r + start.at(j.residual) + u.first_out * j.v.linear.out_bytes - row0 * j.pitch_r;
    blocks.run_rows(b.s, row0, count, nullptr);
  });
}

// How blocks read the pixels of a unit where they lie: strips of up to 16 pixels of a row of the
// output, all of whose taps exist. Other pixels are gathered.
struct Strips {
  static constexpr int64_t kRows = 16;  // of a tile
  // Modelled, not measured: a byte copied takes 1/32 of a cycle, a product of two bytes 1/614.
  static constexpr double kCopy = 614.0 / 32;

  int64_t height = 0;  // 0: none
  int64_t taps = 0, kc = 0;
  bool merged = false;  // a tap is a row of the kernel
  Span inside = {0, 0};

  Strips(const ConvJob& j, const Unit& u, int64_t columns) {
    const ConvForm& f = j.v.form();
    const Slide& w = j.slides[2];
    if (j.plan->main->scope != kScopeBlock || j.direct || j.v.w.has_zero || j.v.joined_k || !u.w.k)
      return;
    if (!j.operands && j.v.linear.shift) return;  // bytes that gathering flips
    merged = has_rows(j);
    kc = merged ? f.run_bytes(u.index) : f.unit_in(u.index);
    if (!merged && f.row_runs() && kc % 4) return;  // a tap begins amid 4 k of its panel
    taps = merged || !f.row_runs() ? j.runs : j.runs * w.taps;
    inside = inside_of(w, w.in);
    const int64_t width = inside.end - inside.begin;
    if (width < 1) return;
    const int64_t tiles = ceil_div(width, kRows);
    // Rows that a tile lacks are multiplied all the same.
    const double idle = static_cast<double>(tiles * kRows) / static_cast<double>(width) - 1;
    if (idle * static_cast<double>(columns) < kCopy) height = ceil_div(width, tiles);
  }

  void fill_taps(const ConvJob& j, ptrdiff_t* to) const {
    for (int64_t td = 0; td < j.slides[0].taps; ++td)
      for (int64_t th = 0; th < j.slides[1].taps; ++th)
        for (int64_t tw = 0; tw < (merged ? 1 : j.slides[2].taps); ++tw)
          *to++ = tap_offset(j, td, th, tw);
  }
};

void run_strips(const Pixels& b, Unit& u, const Strips& strips, int64_t n0, int64_t n1) {
  const ConvJob& j = b.j;
  const ConvScratch& s = b.s;
  const Slide &d = j.slides[0], &h = j.slides[1], &w = j.slides[2];
  const char* const image = j.image + j.v.form().first_in(u.index);
  strips.fill_taps(j, s.block_taps);
  b.stretches([&](int64_t first, int64_t count) {
    int64_t placed = 0, copied = 0;  // strips and gathered rows
    int32_t* const at = s.block_at;
    int32_t* const copied_at = at + 2 * s.pixels;
    const auto copy_pixels = [&](int64_t from, int64_t end) {
      if (from >= end) return;
      gather(j, s, u.index, first + from, end - from, copied);
      for (; from < end; ++from) copied_at[copied++] = static_cast<int32_t>(from);
    };
    Pixel p(j, first);
    for (int64_t i = 0; i < count;) {  // a row of the output, from p on
      const int64_t left = min64(count - i, w.out - p.q[2]), row = i - p.q[2];
      const int64_t begin = max64(p.q[2], strips.inside.begin);
      const int64_t end = min64(p.q[2] + left, strips.inside.end);
      const int64_t id = d.first + p.q[0] * d.stride, ih = h.first + p.q[1] * h.stride;
      if (end - begin < strips.height || !holds(d, id) || !holds(h, ih)) {
        copy_pixels(i, i + left);
      } else {
        copy_pixels(i, row + begin);
        const char* const line = image + p.n * j.in.n + id * j.in.d[0] + ih * j.in.d[1];
        for (int64_t q = begin; q < end; q += strips.height, ++placed) {
          const int64_t start = min64(q, end - strips.height);
          s.block_strips[placed] = line + (w.first + start * w.stride) * j.in.d[2] - image;
          for (int64_t k = 0; k < strips.height; ++k)
            at[placed * strips.height + k] =
                start + k < q ? -1 : static_cast<int32_t>(row + start + k);
        }
        copy_pixels(row + end, i + left);
      }
      i += left;
      p.advance(j, left);
    }
    Blocks blocks(j, u, n0, n1);
    const Pixel start(j, first);
    blocks.k.c = j.y + start.at(j.out) + (u.first_out + n0) * j.v.linear.out_bytes;
    if (j.r) u.finish.residual = j.r + start.at(j.residual) + u.first_out * j.v.linear.out_bytes;
    blocks.run_rows(s, 0, copied, copied_at);
    Block& k = blocks.k;
    k.a = image;
    k.lda = w.stride * j.in.d[2];
    k.kc = static_cast<int32_t>(strips.kc);
    k.tap = s.block_taps;
    k.taps = static_cast<int32_t>(strips.taps);
    k.height = static_cast<int32_t>(strips.height);
    k.strip = s.block_strips;
    k.at = at;
    const int64_t last = &blocks.edge == &blocks.main ? 0 : placed % (blocks.main.mr / 16);
    blocks.run(blocks.main, (placed - last) * strips.height);
    k.strip += placed - last;
    k.at += (placed - last) * strips.height;
    blocks.run(blocks.edge, last * strips.height);
  });
}

void look_up_block(const Pixels& b, const Unit& u, int64_t n0, int64_t n1) {
  const ConvJob& j = b.j;
  b.stretches([&](int64_t first, int64_t count) {
    look_up(j.v, j.y + Pixel(j, first).at(j.out) + u.first_out + n0, count, j.pitch_y, n1 - n0);
  });
}

void run_unit(Pixels& b, int64_t index, int64_t n0, int64_t n1) {
  const ConvJob& j = b.j;
  Unit u(j, b.s, index);
  n1 = min64(n1, u.w.n);
  const Strips strips(j, u, n1 - n0);
  if (!j.direct && u.w.k && !strips.height) gather(j, b.s, index, b.first, b.end - b.first, 0);
  if (!u.w.k && j.v.w.has_zero) memset(b.s.sums, 0, static_cast<size_t>(b.end - b.first) * 4);
  if (strips.height) {
    run_strips(b, u, strips, n0, n1);
  } else if (j.plan->main->scope == kScopeBlock) {
    run_blocks(b, u, n0, n1);
  } else {
    const int64_t width = j.plan->main->nr / 16;
    for (int64_t n = n0; n < n1;) {
      int64_t panels = min64((n1 - n + 15) / 16, width);
      while (!j.plan->full[panels]) --panels;
      find_spots(&b, j.plan->full[panels], j.plan->edge[panels]);
      run_spots(b, u, n, panels, n1);
      n += panels * 16;
    }
  }
  if (j.v.has_lut) look_up_block(b, u, n0, n1);
}

// As many pixels from `first` on as the slot's memory holds.
int64_t block_end(const ConvJob& j, const ConvScratch& s, int64_t first, int64_t end) {
  int64_t entries = kMaxMr, p = first;
  while (p < end && p - first < s.pixels) {
    const int64_t room = min64(s.pixels - (p - first), s.entries - entries - kMaxMr);
    if (room < 1) break;
    const int64_t count = min64(room, min64(end - p, j.run - p % j.run));
    entries += count + kMaxMr;
    p += count;
  }
  return p;
}

}  // namespace

ConvScratch::ConvScratch(const octet_context& c, const Conv& v, bool direct, int64_t most,
                         void* base) {
  const ConvForm& f = v.form();
  const int64_t item = v.linear.form == OCTET_S16 ? 2 : 1;
  Carver carve(base);
  // Whole cache lines, never a multiple of 4 KiB; short rows one behind the other.
  const int64_t k = !direct && v.joined_k ? v.joined_k : v.widest_k;
  const int64_t taps = direct ? f.kernel_taps() : 1;
  const bool columns = direct && v.omits.columns();  // tiles may end after any pixel
  pitch = (k * item + 63) / 64 * 64;
  if (pitch % 4096 == 0) pitch += 64;
  if (!direct && k * item <= kShortPitch) pitch = max64(k * item, 4);
  if (direct) {
    pixels = min64(192, max64(kMaxMr, (columns ? kOffsets / 4 : kOffsets) / taps));
    // All columns of few pixels: a column block of many would find its part of each pixel at a
    // pitch that sends them to few sets of L1, and small groups have few products for each byte.
    if (v.lane)
      pixels =
          min64(pixels, max64(kMaxMr, kLaneBytes / (f.in_channels * f.kernel[0] * f.kernel[1])));
  } else {
    const int64_t l2 = static_cast<int64_t>(c.cpu.l2 ? c.cpu.l2 : 512 << 10);
    const bool b_in_l2 = k * v.linear.table.n <= l2 / 2;
    pixels = min64(kMostRows, max64(kLeastRows, (b_in_l2 ? kHotBytes : l2 / 4) / pitch));
  }
  pixels = min64(pixels, max64(kMaxMr, most));
  const int64_t gathered = direct && !v.ragged() ? min64(pixels, side_windows(v)) : pixels;
  rows = carve.take<char>(static_cast<size_t>(gathered ? gathered * pitch + kPiece : 0));
  raw = carve.take<char>(
      static_cast<size_t>(!direct && item == 2 ? kRawRows * pitch / 2 + kPiece : 0));
  entries = 2 * pixels + 2 * kMaxMr;  // and those of common
  spots = carve.take<Spot>(static_cast<size_t>(pixels));
  offsets = carve.take<ptrdiff_t>(
      static_cast<size_t>((columns ? (pixels + 1) * kMaxMr : entries) * taps));
  partial = carve.take<int32_t>(columns && f.kernel[1] > 1 ? kMaxMr * kMaxPanels * 16 : 0);
  strips = carve.take<char>(
      static_cast<size_t>(direct || !f.row_runs() || f.run_bytes(0) > kPiece * kMostPieces
                              ? 0
                              : min64(kMostRuns, f.runs(0)) * kStrip));
  sums = carve.take<int32_t>(static_cast<size_t>(v.w.has_zero ? pixels : 0));
  const bool blocks = !direct && has_blocks(v.linear.table);
  block_strips = carve.take<ptrdiff_t>(static_cast<size_t>(blocks ? pixels : 0));
  block_taps = carve.take<ptrdiff_t>(static_cast<size_t>(blocks ? f.kernel_taps() : 0));
  block_at = carve.take<int32_t>(static_cast<size_t>(blocks ? 3 * pixels : 0));
  bytes = carve.bytes();
}

void find_runs(ConvJob* j) {
  const int64_t sizes[] = {j->slides[2].out, j->slides[1].out, j->slides[0].out, j->samples};
  const int64_t out[] = {j->out.d[2], j->out.d[1], j->out.d[0], j->out.n};
  const int64_t residual[] = {j->residual.d[2], j->residual.d[1], j->residual.d[0], j->residual.n};
  j->run = 1;
  j->pitch_y = j->pitch_r = 0;
  for (int i = 0; i < 4; ++i) {
    if (sizes[i] == 1) continue;
    if (j->run == 1) {
      j->pitch_y = out[i];
      j->pitch_r = residual[i];
    } else if (out[i] != j->pitch_y * j->run || residual[i] != j->pitch_r * j->run) {
      break;
    }
    j->run *= sizes[i];
  }
  j->finish.ldr = j->pitch_r;
}

int64_t cut_conv(ConvJob* j, int32_t threads) {
  const ConvScratch s(j->ctx, j->v, j->direct, j->most, nullptr);
  const int64_t mr = j->plan->main->mr, nr = j->plan->main->nr, total = j->pixels();
  const int64_t n = j->v.unit_out(), all = j->v.units();
  int64_t pixels = max64(mr, s.pixels / mr * mr), columns = (n + 15) / 16 * 16, units = all;
  const auto tasks = [&] {
    return ceil_div(total, pixels) * ceil_div(all, units) * (all == 1 ? ceil_div(n, columns) : 1);
  };
  while (threads > 1 && tasks() < kTasks * threads) {
    if (pixels > 4 * mr)
      pixels = max64(mr, (pixels / 2 + mr - 1) / mr * mr);
    else if (units > 1)
      units = (units + 1) / 2;
    else if (all == 1 && columns > nr)
      columns = ((columns + 1) / 2 + nr - 1) / nr * nr;
    else
      break;
  }
  j->units_per_task = units;
  j->columns_per_task = all == 1 ? columns : n;
  j->parts = ceil_div(j->run, pixels);
  j->pixels_per_task = pixels;
  j->runs_per_task = max64(1, pixels / j->run);
  const int64_t runs = total / j->run;
  j->tasks_m = j->parts > 1 ? runs * j->parts : ceil_div(runs, j->runs_per_task);
  const int64_t tasks_n = all == 1 ? ceil_div(n, j->columns_per_task) : ceil_div(all, units);
  return j->tasks_m * tasks_n;
}

void conv_task(void* job, size_t task, size_t slot) {
  const ConvJob& j = *static_cast<const ConvJob*>(job);
  const ConvScratch s(j.ctx, j.v, j.direct, j.most, j.slots + slot * j.slot_bytes);
  const int64_t all = j.v.units();
  const int64_t at_m = static_cast<int64_t>(task) % j.tasks_m,
                at_n = static_cast<int64_t>(task) / j.tasks_m;
  int64_t first, end;
  if (j.parts > 1) {
    const int64_t start = at_m / j.parts * j.run, part = at_m % j.parts;
    first = start + part * j.pixels_per_task;
    end = min64(start + j.run, first + j.pixels_per_task);
  } else {
    first = at_m * j.runs_per_task * j.run;
    end = min64(j.pixels(), first + j.runs_per_task * j.run);
  }
  const int64_t n0 = all == 1 ? at_n * j.columns_per_task : 0;
  const int64_t u0 = all == 1 ? 0 : at_n * j.units_per_task;
  const int64_t u1 = all == 1 ? 1 : min64(all, u0 + j.units_per_task);
  while (first < end) {
    Pixels b = {j, s, first, block_end(j, s, first, end)};
    for (int64_t u = u0; u < u1; ++u) run_unit(b, u, n0, n0 + j.columns_per_task);
    first = b.end;
  }
}

}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
//
// Packing of weights of 4 bits and of weights with a scale for each group of K (src/weights.h has
// both forms). Without groups all of K is taken as the one group of its channel.
#include "src/blob.h"
#include "src/pack.h"
#include "src/ranges.h"

namespace octet {

namespace {

static_assert(kPairBlock % 8 == 0);

struct ScaleZero {
  float scale;
  int32_t zero;  // as the caller sees it
};

class GroupPacker {
 public:
  GroupPacker(const octet_context& c, const WeightsSource& source, const BlobLayout& l, char* base)
      : s_(source),
        form_(source.form()),
        group_(form_.group ? form_.group : source.k),
        groups_(form_.group ? source.k / form_.group : 1),
        quantize_(kernel<RunFn>(c, kQuantize, OCTET_F32, OCTET_S8)),
        minmax_(kernel<RangeFn>(c, kMinMax, OCTET_F32, 0)),
        panels_(base + l.panels),
        panel_stride_(static_cast<int64_t>(l.panel_stride)) {
    if (form_.group) return;
    sums_ = reinterpret_cast<int32_t*>(base + l.sums);
    scale_ = reinterpret_cast<float*>(base + l.scale);
    zero_ = reinterpret_cast<int32_t*>(base + l.zero);
  }

  // Everything that can be refused, before the first write.
  octet_status check(octet_error* err, const Exec& exec) {
    if (s_.source.type != OCTET_F32) return OCTET_OK;
    OCTET_TRY(run_tasks(err, exec, panel_count(), check_panel, this));
    const int64_t first = bad_.load(std::memory_order_relaxed);
    if (first != INT64_MAX) return explain(err, first);
    if (!one_scale()) return OCTET_OK;
    Range all = kEmptyRange;
    for (int64_t n = 0; n < s_.n; ++n) join(range(n, 0, s_.k), &all);
    if (choose_from(searched(all, 0, s_.n, 0, s_.k), &tensor_)) return OCTET_OK;
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_weights_desc.source needs a scale above 2^60; scale the weights down.");
  }

  octet_status write(octet_error* err, const Exec& exec, bool* has_zero) {
    OCTET_TRY(run_tasks(err, exec, panel_count(), pack_panel, this));
    *has_zero = has_zero_.load(std::memory_order_relaxed);
    return OCTET_OK;
  }

 private:
  size_t panel_count() const { return static_cast<size_t>((s_.n + 15) / 16); }
  // Floats, quantized with one scale for all.
  bool one_scale() const { return !s_.per_channel && !form_.group; }

  // ---- the source ----

  // k elements of channel n from k0 on, contiguous: in place where the source is, else in buffer.
  const float* floats(int64_t n, int64_t k0, int64_t count, float* buffer) const {
    const float* p = reinterpret_cast<const float*>(s_.source.data) + n * s_.source.strides[0] +
                     k0 * s_.source.strides[1];
    if (s_.source.strides[1] == 1) return p;
    for (int64_t i = 0; i < count; ++i) buffer[i] = p[i * s_.source.strides[1]];
    return buffer;
  }

  Range range(int64_t n, int64_t k0, int64_t count) const {
    Range r = kEmptyRange;
    float buffer[kPairBlock];
    for (int64_t k = 0; k < count; k += kPairBlock) {
      const int64_t part = count - k < kPairBlock ? count - k : kPairBlock;
      minmax_(floats(n, k0 + k, part, buffer), static_cast<size_t>(part), &r);
    }
    return r;
  }

  // The range that scales are chosen from.
  Range searched(Range r, int64_t n, int64_t rows, int64_t k0, int64_t count) const {
    const auto read = [this](int64_t row, int64_t k, int64_t part, float* buffer) {
      return floats(row, k, part, buffer);
    };
    s_.search_range(n, rows, k0, count, read, &r);
    return r;
  }

  // False: a non-finite weight, or a scale that leaves the domain.
  bool choose_from(const Range& r, ScaleZero* q) const {
    if (r.nan_count || r.inf_count) return false;
    const bool none = is_empty(r);  // K = 0
    choose(s_.scheme.chooser, none ? 0 : r.min, none ? 0 : r.max, &q->scale, &q->zero);
    return s_.range_in_domain(r, q->scale);
  }

  ScaleZero qparams(int64_t n, int64_t g) const {
    if (s_.source.type == OCTET_F32) {
      ScaleZero q = tensor_;
      if (one_scale()) return q;
      choose_from(searched(range(n, g * group_, group_), n, 1, g * group_, group_), &q);
      return q;
    }
    const int64_t at = form_.group ? n * groups_ + g : s_.per_channel ? n : 0;
    return {s_.q->scale[at], s_.q->zero_point ? s_.q->zero_point[at] : 0};
  }

  // The integers to store, q - offset, of `count` elements from k0 on.
  void integers(int64_t n, int64_t k0, int64_t count, const ScaleZero& q, int8_t* to) const {
    const int32_t offset = form_.offset();
    const int64_t* strides = s_.source.strides;
    if (s_.source.type == OCTET_F32) {
      float buffer[kPairBlock];
      const float inverse = s_.scheme.divide ? q.scale : 1.0f / q.scale;
      const int32_t zero = q.zero - offset;
      Run run = {};
      run.x = floats(n, k0, count, buffer);
      run.y = to;
      run.n = static_cast<size_t>(count);
      run.out_inv = &inverse;
      run.out_zero = &zero;
      run.qmin = s_.scheme.chooser.qmin - offset;
      run.qmax = s_.scheme.chooser.qmax - offset;
      run.divide = s_.scheme.divide;
      quantize_(&run);
    } else if (form_.nibbles()) {
      const uint8_t* p =
          reinterpret_cast<const uint8_t*>(s_.source.data) + n * strides[0] / 2 + k0 / 2;
      // q + 8 of a 4-bit two's complement is its bits with the sign flipped.
      const int32_t flip = s_.source.type == OCTET_S4 ? 8 : 0;
      for (int64_t i = 0; i < count; ++i)
        to[i] = static_cast<int8_t>((i % 2 ? p[i / 2] >> 4 : p[i / 2] & 15) ^ flip);
    } else {
      const char* p = s_.source.data + n * strides[0] + k0 * strides[1];
      const int32_t flip = s_.source.type == OCTET_U8 ? 0x80 : 0;
      for (int64_t i = 0; i < count; ++i) to[i] = static_cast<int8_t>(p[i * strides[1]] ^ flip);
    }
  }

  // ---- the target ----

  // Stores integers of k0 onwards (a multiple of the form's step) in rows of 64 bytes.
  void store(char* rows, int64_t column, int64_t k0, const int8_t* from, int64_t count) const {
    if (!form_.nibbles()) {
      char* to = rows + k0 / 4 * 64 + column * 4;
      for (int64_t i = 0; i < count; ++i) to[i / 4 * 64 + i % 4] = static_cast<char>(from[i]);
      return;
    }
    char* to = rows + k0 / 8 * 64 + column * 4;
    for (int64_t i = 0; i < count; ++i) {
      char& byte = to[i / 8 * 64 + i % 4];
      byte = static_cast<char>(i / 4 % 2 ? (byte & 0x0F) | from[i] << 4 : (byte & 0xF0) | from[i]);
    }
  }

  void pack_group(int64_t n, int64_t g, char* rows) {
    const ScaleZero q = qparams(n, g);
    const int32_t zero = q.zero - form_.offset();
    if (zero) has_zero_.store(true, std::memory_order_relaxed);
    const int64_t column = n % 16;
    char* pairs = rows + group_ / form_.step() * 64 + column * 4;  // with groups
    uint32_t total = 0;
    for (int64_t k = 0; k < group_; k += kPairBlock) {
      const int64_t count = group_ - k < kPairBlock ? group_ - k : kPairBlock;
      int8_t bytes[kPairBlock];
      integers(n, g * group_ + k, count, q, bytes);
      store(rows, column, k, bytes, count);
      int32_t sum = 0;
      for (int64_t i = 0; i < count; ++i) sum += bytes[i];
      total += static_cast<uint32_t>(sum);
      if (!form_.group) continue;
      const int16_t pair[2] = {static_cast<int16_t>(sum), static_cast<int16_t>(zero)};
      memcpy(pairs, pair, sizeof pair);
      pairs += 64;
    }
    if (form_.group) {
      memcpy(pairs, &q.scale, sizeof q.scale);
      return;
    }
    sums_[n] = static_cast<int32_t>(total);
    scale_[n] = q.scale;
    zero_[n] = zero;
  }

  // A channel that only fills up the last panel.
  void pad_channel(int64_t n, char* panel) {
    const float one = 1;
    if (!form_.group) {
      sums_[n] = zero_[n] = 0;
      scale_[n] = one;
      return;
    }
    for (int64_t g = 1; g <= groups_; ++g)
      memcpy(panel + g * form_.record_bytes() - 64 + n % 16 * 4, &one, sizeof one);
  }

  // K is filled up to whole rows with what 0 is stored as.
  void fill(char* panel) const {
    memset(panel, 0, static_cast<size_t>(panel_stride_));
    if (form_.type != OCTET_S4) return;
    const size_t rows = static_cast<size_t>((group_ + 7) / 8 * 64);
    for (int64_t g = 0; g < groups_; ++g)
      memset(panel + (form_.group ? g * form_.record_bytes() : 0), 0x88, rows);
  }

  static void pack_panel(void* arg, size_t at) {
    GroupPacker& p = *static_cast<GroupPacker*>(arg);
    char* panel = p.panels_ + static_cast<int64_t>(at) * p.panel_stride_;
    p.fill(panel);
    const int64_t first = static_cast<int64_t>(at) * 16;
    for (int64_t n = first; n < first + 16; ++n) {
      if (n >= p.s_.n) {
        p.pad_channel(n, panel);
        continue;
      }
      for (int64_t g = 0; g < p.groups_; ++g)
        p.pack_group(n, g, panel + (p.form_.group ? g * p.form_.record_bytes() : 0));
    }
  }

  // ---- refusals ----

  bool good_channel(int64_t n) const {
    for (int64_t g = 0; g < groups_; ++g) {
      const Range r = range(n, g * group_, group_);
      ScaleZero unused;
      if (one_scale() ? r.nan_count || r.inf_count : !choose_from(r, &unused)) return false;
    }
    return true;
  }

  static void check_panel(void* arg, size_t panel) {
    GroupPacker& p = *static_cast<GroupPacker*>(arg);
    const int64_t first = static_cast<int64_t>(panel) * 16;
    for (int64_t n = first; n < p.s_.n && n < first + 16; ++n) {
      if (p.good_channel(n)) continue;
      int64_t seen = p.bad_.load(std::memory_order_relaxed);
      while (n < seen && !p.bad_.compare_exchange_weak(seen, n)) {
      }
      return;
    }
  }

  octet_status explain(octet_error* err, int64_t n) const {
    const float* p = reinterpret_cast<const float*>(s_.source.data) + n * s_.source.strides[0];
    for (int64_t k = 0; k < s_.k; ++k) {
      const float w = p[k * s_.source.strides[1]];
      if (!(w - w == 0))
        return fail(err, OCTET_ERR_NOT_FINITE,
                    "octet_weights_desc.source[%lld, %lld] is %g; weights must be finite.",
                    static_cast<long long>(n), static_cast<long long>(k), static_cast<double>(w));
    }
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_weights_desc.source channel %lld needs a scale above 2^60; scale the "
                "weights down.",
                static_cast<long long>(n));
  }

  const WeightsSource& s_;
  const WeightsForm form_;
  const int64_t group_, groups_;  // of a channel
  RunFn* quantize_;
  RangeFn* minmax_;
  char* panels_;
  int64_t panel_stride_;
  int32_t* sums_ = nullptr;
  float* scale_ = nullptr;
  int32_t* zero_ = nullptr;
  ScaleZero tensor_ = {1, 0};
  std::atomic<int64_t> bad_{INT64_MAX};  // first channel that cannot be quantized
  std::atomic<bool> has_zero_{false};
};

}  // namespace

octet_status pack_groups(octet_error* err, const octet_context& c, const WeightsSource& s,
                         void* blob, const Exec& exec, bool* has_zero) {
  GroupPacker p(c, s, s.layout(), static_cast<char*>(blob));
  OCTET_TRY(p.check(err, exec));
  return p.write(err, exec, has_zero);
}

}  // namespace octet

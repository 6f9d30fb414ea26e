// SPDX-License-Identifier: Apache-2.0
//
// The observer's state, all of it allocated at create: what feed has counted, and the buffers that
// it counts in. Which parts there are depends on the kind.
#pragma once

#include "src/ranges.h"
#include "src/scheme.h"

namespace octet {

// What a channel has beside its range and its bins.
struct Channel {
  int32_t exponent;  // HISTOGRAM: of the bins' width
  int32_t reserved;
  uint64_t
      zeros;  // HISTOGRAM: elements that are 0; NVIDIA_HISTOGRAM: the same, until there are bins
};

// The edges of NVIDIA's histogram (quant/calibrate.h).
struct Edges {
  int64_t bins;  // 0 until something other than 0 was fed
  double first, width;
  float last;
  bool whole;
};

// Places of a table: a bin or one of the others.
constexpr size_t bin_room(int32_t bins) { return static_cast<size_t>(bins) + kBinSpare; }
// A table of one task: counts in 32 bits and, behind them, the kernel's in 16.
constexpr size_t table_bytes(int32_t bins) {
  return bin_room(bins) * (sizeof(uint32_t) + kBinWays * sizeof(uint16_t));
}

}  // namespace octet

struct octet_observer {
  const octet_context* context;
  int32_t kind;
  uint32_t flags;   // OCTET_SKIP_ZEROS, OCTET_NUMPY_EDGES
  size_t channels;  // 0: per tensor
  int32_t axis;     // as given; 0 without channels
  float momentum;   // MOVING
  int32_t bins;     // of a histogram; as given at create
  bool frozen;
  size_t max_bins;  // NVIDIA_HISTOGRAM
  uint64_t fed;     // elements

  void* memory;  // of all that follows
  size_t memory_bytes;
  octet::Range* ranges;  // of each channel
  octet::Range* batch;   // of the tensor that is being fed; all but MINMAX, ABSMAX and CALLBACK
  octet::Channel* channel;
  uint64_t* counts;  // [channel][bins]; TORCH_HISTOGRAM: of the batch
  float* masses;     // TORCH_HISTOGRAM: [2][bins], the second is spare
  char* tables;      // table_bytes: counts of this call, where there is one channel
  float* scale;      // FIXED
  int32_t* zero_point;
  octet::Edges edges;

  void* user;  // CALLBACK
  int32_t (*feed)(void* user, const octet_tensor* x);
  int32_t (*range)(void* user, float* min, float* max, size_t count);

  size_t count() const { return channels ? channels : 1; }
  // Bins that a channel has memory for.
  size_t room() const { return kind == OCTET_OBSERVE_NVIDIA_HISTOGRAM ? max_bins : size_t(bins); }
};

namespace octet {

constexpr size_t kMaxChannels = size_t{1} << 40;
constexpr int32_t kMaxBins = 1 << 20;

// Fields of a desc completed and checked, whoever it comes from. What does not belong to the kind
// must be 0.
octet_status check_observer(octet_error* err, octet_observer_desc* d);

// An empty observer by a checked desc. FIXED: scale and zero_point of the desc may be NULL, for the
// caller to fill in.
octet_status make_observer(octet_error* err, const octet_context* c, const octet_observer_desc& d,
                           octet_observer** out);
void clear(octet_observer* o);
// The desc that it was made by, without arrays and functions.
void describe(const octet_observer& o, octet_observer_desc* d);

inline bool has_bins(int32_t kind) {
  return kind == OCTET_OBSERVE_HISTOGRAM || kind == OCTET_OBSERVE_TORCH_HISTOGRAM ||
         kind == OCTET_OBSERVE_NVIDIA_HISTOGRAM;
}

// ---- src/histogram.cpp ------------------------------------------------------------------------

// Adds x to the bins and leaves its ranges in o->batch; refuses before it changes anything else.
octet_status feed_bins(octet_error* err, octet_observer* o, const Exec& exec, const View& x,
                       int32_t axis);
// Adds a histogram of Octet's with the same bins.
void merge_bins(const Channel& from, const uint64_t* from_counts, int32_t bins, Channel* into,
                uint64_t* into_counts);
// The least exponent with which bins of that width hold the range.
int32_t exponent_for(float min, float max, int32_t bins);

// ---- src/observed_range.cpp -------------------------------------------------------------------

// The range of each channel, or of everything (count 1), by the scheme's method: to min and max of
// the index, called in order. Memory beyond the observer's comes from the context.
struct RangeReader {
  const octet_observer& o;
  const ResolvedScheme& scheme;
  size_t count;
  void* memory = nullptr;
  size_t bytes = 0;

  octet_status open(octet_error* err);
  octet_status read(octet_error* err, size_t i, float* min, float* max) const;
  ~RangeReader();
};

}  // namespace octet

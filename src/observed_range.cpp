// SPDX-License-Identifier: Apache-2.0
//
// From what an observer has seen to a range, by any method, at any time: without the data.
#include <string.h>

#include "quant/calibrate.h"
#include "src/observer.h"

namespace octet {
namespace {

octet_status fail_empty(octet_error* err, size_t count, size_t i) {
  return fail(err, OCTET_ERR_EMPTY,
              "The observer has seen no finite value%s (index %zu); feed it data first.",
              count > 1 ? " in a channel" : "", i);
}

Search search_of(const ResolvedScheme& s) {
  const bool symmetric = s.chooser.symmetric || s.chooser.formula == OCTET_CHOOSE_NVIDIA;
  return {&s.chooser, s.is_signed, symmetric, s.percentile, s.start_bin, s.stride};
}

// Of the type, not of the integers that are used: reduced ranges have as many steps.
int32_t torch_steps(octet_type type) {
  return type == OCTET_U4 || type == OCTET_S4     ? 16
         : type == OCTET_S16 || type == OCTET_U16 ? 65536
                                                  : 256;
}

octet_status check_method(octet_error* err, int32_t kind, int32_t range) {
  const bool pow2 = kind == OCTET_OBSERVE_HISTOGRAM;
  const bool bins = pow2 || kind == OCTET_OBSERVE_NVIDIA_HISTOGRAM;
  if (range == OCTET_RANGE_OBSERVED) return OCTET_OK;
  if (range == OCTET_RANGE_L2 ? pow2 || kind == OCTET_OBSERVE_TORCH_HISTOGRAM : bins)
    return OCTET_OK;
  return fail(err, OCTET_ERR_ARGUMENT,
              "octet_scheme.range is %d, but kind %d of observer cannot tell that; use "
              "OCTET_RANGE_OBSERVED, or OCTET_OBSERVE_HISTOGRAM, which has every method.",
              range, kind);
}

// Range 0 of what a side of 0 never saw stays empty: magnitudes say nothing of signs.
void signed_range(const Range& seen, float amax, float* min, float* max) {
  *min = seen.min < 0 ? -amax : 0.0f;
  *max = seen.max > 0 ? amax : 0.0f;
}

// Item 5's formula with the integers of the scheme, whatever its chooser.
octet_status octet_chooser(octet_error* err, const ResolvedScheme& s, Chooser* c) {
  *c = s.chooser;
  c->formula = OCTET_CHOOSE_OCTET;
  c->floor = 0x1p-60f;
  if (finish_chooser(s.is_signed, c)) return OCTET_OK;
  return fail(err, OCTET_ERR_ARGUMENT,
              "octet_scheme.qmin and qmax leave [%d, %d], which OCTET_RANGE_MSE cannot search "
              "symmetrically; give it more room.",
              c->qmin, c->qmax);
}

}  // namespace

octet_status RangeReader::open(octet_error* err) {
  OCTET_TRY(check_method(err, o.kind, scheme.range));
  const size_t bins = static_cast<size_t>(o.bins);
  if (o.kind == OCTET_OBSERVE_CALLBACK)
    bytes = 2 * count * sizeof(float);
  else if (o.kind == OCTET_OBSERVE_HISTOGRAM && scheme.range != OCTET_RANGE_OBSERVED &&
           count != o.count())
    bytes = 2 * bins * sizeof(double);  // all channels in one, and scratch
  else if (scheme.range == OCTET_RANGE_L2)
    bytes = bins * sizeof(double);
  if (bytes) {
    memory = allocate(*o.context, bytes);
    if (!memory) return fail_memory(err, bytes);
  }
  if (o.kind != OCTET_OBSERVE_CALLBACK) return OCTET_OK;
  float* const ends = static_cast<float*>(memory);
  for (size_t i = 0; i < 2 * count; ++i) ends[i] = 0;
  if (const int32_t answer = o.range(o.user, ends, ends + count, count))
    return fail(err, OCTET_ERR_EMPTY,
                "octet_observer_desc.range answered %d, which means no range yet; feed data first.",
                answer);
  for (size_t i = 0; i < count; ++i) {
    const double low = static_cast<double>(ends[i]), high = static_cast<double>(ends[count + i]);
    if (low - low != 0 || high - high != 0)
      return fail(err, OCTET_ERR_NOT_FINITE,
                  "octet_observer_desc.range gave [%g, %g] at index %zu; it must be finite.", low,
                  high, i);
    if (low > high)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "octet_observer_desc.range gave [%g, %g] at index %zu; min must not exceed max.",
                  low, high, i);
  }
  return OCTET_OK;
}

RangeReader::~RangeReader() {
  if (memory) release(*o.context, memory, bytes);
}

octet_status RangeReader::read(octet_error* err, size_t i, float* min, float* max) const {
  if (o.kind == OCTET_OBSERVE_CALLBACK) {
    *min = static_cast<const float*>(memory)[i];
    *max = static_cast<const float*>(memory)[count + i];
    return OCTET_OK;
  }
  if (o.kind == OCTET_OBSERVE_FIXED) {
    const double s = static_cast<double>(o.scale[i]);
    *min = static_cast<float>(s * (static_cast<double>(scheme.chooser.qmin) - o.zero_point[i]));
    *max = static_cast<float>(s * (static_cast<double>(scheme.chooser.qmax) - o.zero_point[i]));
    return OCTET_OK;
  }
  const bool all = count != o.count();
  Range seen = o.ranges[all ? 0 : i];
  if (all)
    for (size_t c = 1; c < o.channels; ++c) join(o.ranges[c], &seen);
  if (is_empty(seen)) return fail_empty(err, count, i);
  const float magnitude = -seen.min > seen.max ? -seen.min : seen.max;
  *min = seen.min;
  *max = seen.max;
  if (o.kind == OCTET_OBSERVE_ABSMAX) signed_range(seen, magnitude, min, max);
  const Search search = search_of(scheme);

  if (o.kind == OCTET_OBSERVE_NVIDIA_HISTOGRAM) {
    const AmaxHistogram h = {o.counts,     o.edges.bins,  o.edges.first, o.edges.width,
                             o.edges.last, o.edges.whole, magnitude};
    const float amax = !h.bins || scheme.range == OCTET_RANGE_OBSERVED ? magnitude
                       : scheme.range == OCTET_RANGE_PERCENTILE        ? percentile_amax(h, search)
                       : scheme.range == OCTET_RANGE_ENTROPY           ? entropy_amax(h, search)
                                                                       : mse_amax(h, search);
    signed_range(seen, amax, min, max);
    return OCTET_OK;
  }
  if (scheme.range == OCTET_RANGE_OBSERVED) return OCTET_OK;
  Interval kept;
  if (o.kind == OCTET_OBSERVE_TORCH_HISTOGRAM) {
    const TorchHistogram h = {o.masses, o.bins, seen.min, seen.max};
    kept = l2_range(h, torch_steps(scheme.type), static_cast<double*>(memory));
  } else {
    const size_t bins = static_cast<size_t>(o.bins);
    Channel merged = o.channel[all ? 0 : i];
    const uint64_t* counts = o.counts + (all ? 0 : i * bins);
    if (all) {
      uint64_t* const sum = static_cast<uint64_t*>(memory);
      memcpy(sum, counts, bins * sizeof *sum);
      for (size_t c = 1; c < o.channels; ++c)
        merge_bins(o.channel[c], o.counts + c * bins, o.bins, &merged, sum);
      counts = sum;
    }
    const bool skip = o.flags & OCTET_SKIP_ZEROS;
    const Pow2Histogram h = {counts,   o.bins,  merged.exponent, skip ? 0 : merged.zeros,
                             seen.min, seen.max};
    Chooser octet;
    Search with = search;
    with.chooser = &octet;
    OCTET_TRY(octet_chooser(err, scheme, &octet));
    kept = scheme.range == OCTET_RANGE_PERCENTILE ? percentile_range(h, search)
           : scheme.range == OCTET_RANGE_ENTROPY  ? entropy_range(h, search)
           : scheme.range == OCTET_RANGE_MSE
               ? mse_range(h, with)
               : l2_range(h, scheme.chooser.qmax - scheme.chooser.qmin + 1,
                          static_cast<double*>(memory) + (all ? bins : 0));
  }
  // A -0 becomes +0.
  *min = kept.min + 0.0f;
  *max = kept.max + 0.0f;
  return OCTET_OK;
}

}  // namespace octet

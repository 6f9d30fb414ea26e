// SPDX-License-Identifier: Apache-2.0
//
// The octet_observer functions, but for save and load.
#include "src/observer.h"

#include <string.h>

#include "src/fpenv.h"
#include "src/walk.h"

namespace octet {

namespace {

octet_status fail_null(octet_error* err, const char* name) {
  return fail(err, OCTET_ERR_ARGUMENT, "%s is NULL; pass an observer.", name);
}

// A field that is set, although the kind has no use for it.
octet_status fail_field(octet_error* err, const char* field, int32_t kind) {
  return fail(err, OCTET_ERR_ARGUMENT,
              "octet_observer_desc.%s is set, but kind %d of observer has none; leave it 0.", field,
              kind);
}

octet_status check_bins(octet_error* err, octet_observer_desc* d) {
  if (!has_bins(d->kind)) {
    if (d->bins) return fail_field(err, "bins", d->kind);
    return OCTET_OK;
  }
  const bool pow2 = d->kind == OCTET_OBSERVE_HISTOGRAM;
  if (!d->bins) d->bins = pow2 ? 4096 : 2048;
  if (d->bins < 2 || d->bins > kMaxBins || (pow2 && d->bins % 2))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_observer_desc.bins is %d; it must be 2 to 2^20%s, or 0 for %d.", d->bins,
                pow2 ? " and even" : "", pow2 ? 4096 : 2048);
  if (d->kind != OCTET_OBSERVE_NVIDIA_HISTOGRAM) return OCTET_OK;
  const size_t bins = static_cast<size_t>(d->bins);
  if (!d->max_bins) d->max_bins = bins > 65536 ? bins : 65536;
  if (d->max_bins < bins || d->max_bins > kMaxBins)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "octet_observer_desc.max_bins is %zu; it must be bins, %d, to 2^20, or 0 for 65536.",
        d->max_bins, d->bins);
  return OCTET_OK;
}

octet_status check_fixed(octet_error* err, const octet_observer_desc& d) {
  if (d.kind != OCTET_OBSERVE_FIXED) {
    if (d.scale) return fail_field(err, "scale", d.kind);
    if (d.zero_point) return fail_field(err, "zero_point", d.kind);
    return OCTET_OK;
  }
  if (!d.scale)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "octet_observer_desc.scale is NULL; OCTET_OBSERVE_FIXED needs one scale, or one for "
        "each channel.");
  for (size_t i = 0; i < (d.channels ? d.channels : 1); ++i)
    OCTET_TRY(check_scale(err, "octet_observer_desc.scale", static_cast<int64_t>(i), d.scale[i]));
  return OCTET_OK;
}

octet_status check_callback(octet_error* err, const octet_observer_desc& d) {
  if (d.kind == OCTET_OBSERVE_CALLBACK) {
    if (d.feed && d.range) return OCTET_OK;
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_observer_desc.%s is NULL; OCTET_OBSERVE_CALLBACK needs both functions.",
                d.feed ? "range" : "feed");
  }
  if (d.user) return fail_field(err, "user", d.kind);
  if (d.feed) return fail_field(err, "feed", d.kind);
  if (d.range) return fail_field(err, "range", d.kind);
  return OCTET_OK;
}

octet_status check_flags(octet_error* err, const octet_observer_desc& d) {
  const uint32_t known = d.kind == OCTET_OBSERVE_HISTOGRAM ? OCTET_SKIP_ZEROS
                         : d.kind == OCTET_OBSERVE_NVIDIA_HISTOGRAM
                             ? OCTET_SKIP_ZEROS | OCTET_NUMPY_EDGES
                             : 0;
  if (!(d.flags & ~known)) return OCTET_OK;
  return fail_flags(err, "octet_observer_desc.flags", d.flags & ~known,
                    d.kind == OCTET_OBSERVE_HISTOGRAM ? "OCTET_SKIP_ZEROS"
                    : d.kind == OCTET_OBSERVE_NVIDIA_HISTOGRAM
                        ? "OCTET_SKIP_ZEROS, OCTET_NUMPY_EDGES"
                        : "none for this kind");
}

octet_status read_desc(octet_error* err, const octet_observer_desc* desc, octet_observer_desc* d) {
  if (!desc) return fail(err, OCTET_ERR_ARGUMENT, "d is NULL; pass an octet_observer_desc.");
  OCTET_TRY(read_struct(err, "octet_observer_desc", desc, sizeof *desc, d));
  OCTET_TRY(check_observer(err, d));
  OCTET_TRY(check_fixed(err, *d));
  return check_callback(err, *d);
}

// The observer's memory: sizes first, then addresses, with the same calls.
size_t lay_out(octet_observer* o, char* base) {
  Carver m(base);
  const size_t count = o->count(), room = o->room(), kind = static_cast<size_t>(o->kind);
  const bool bins = has_bins(o->kind), torch = o->kind == OCTET_OBSERVE_TORCH_HISTOGRAM;
  o->ranges = m.take<Range>(count, 8);
  if (bins || kind == OCTET_OBSERVE_MOVING) o->batch = m.take<Range>(count, 8);
  if (kind == OCTET_OBSERVE_FIXED) {
    o->scale = m.take<float>(count, 4);
    o->zero_point = m.take<int32_t>(count, 4);
  }
  if (!bins) return m.bytes();
  o->channel = m.take<Channel>(count, 8);
  o->counts = m.take<uint64_t>(count * room);
  if (torch) o->masses = m.take<float>(2 * room);
  if (count == 1) o->tables = m.take<char>(table_bytes(static_cast<int32_t>(room)));
  return m.bytes();
}

}  // namespace

octet_status check_observer(octet_error* err, octet_observer_desc* d) {
  if (d->kind < 0 || d->kind > OCTET_OBSERVE_NVIDIA_HISTOGRAM)
    return fail_enum(err, "octet_observer_desc.kind", d->kind,
                     "OCTET_OBSERVE_MINMAX, _MOVING, _HISTOGRAM, _TORCH_HISTOGRAM, _FIXED, "
                     "_CALLBACK, _ABSMAX, _NVIDIA_HISTOGRAM");
  OCTET_TRY(check_flags(err, *d));
  if (d->axis < -6 || d->axis > 5)
    return fail(err, OCTET_ERR_ARGUMENT, "octet_observer_desc.axis is %d; it must be -6 to 5.",
                d->axis);
  if (d->channels > kMaxChannels)
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_observer_desc.channels is %zu; it must be at most 2^40.", d->channels);
  if (d->channels && has_bins(d->kind) && d->kind != OCTET_OBSERVE_HISTOGRAM)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "octet_observer_desc.channels is %zu, but kind %d of observer is defined per tensor; "
        "use OCTET_OBSERVE_HISTOGRAM, or 0.",
        d->channels, d->kind);
  if (d->group)
    return fail(err, OCTET_ERR_UNSUPPORTED,
                "octet_observer_desc.group is %zu; only packed weights have groups: leave it 0.",
                d->group);
  if (d->momentum != 0 && d->kind != OCTET_OBSERVE_MOVING)
    return fail_field(err, "momentum", d->kind);
  if (d->kind == OCTET_OBSERVE_MOVING && d->momentum == 0) d->momentum = 0.01f;
  if (d->kind == OCTET_OBSERVE_MOVING && !(d->momentum > 0 && d->momentum <= 1))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_observer_desc.momentum is %g; it must be within (0, 1], or 0 for 0.01.",
                static_cast<double>(d->momentum));
  if (d->max_bins && d->kind != OCTET_OBSERVE_NVIDIA_HISTOGRAM)
    return fail_field(err, "max_bins", d->kind);
  OCTET_TRY(check_bins(err, d));
  if (d->channels > kMaxChannels / static_cast<size_t>(d->bins ? d->bins : 1))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_observer_desc.channels is %zu with %d bins each; give it at most 2^40 bins.",
                d->channels, d->bins);
  return OCTET_OK;
}

octet_status make_observer(octet_error* err, const octet_context* c, const octet_observer_desc& d,
                           octet_observer** out) {
  octet_observer* o = make_handle<octet_observer>(*c);
  if (!o) return fail_memory(err, sizeof *o);
  o->kind = d.kind;
  o->flags = d.flags;
  o->channels = d.channels;
  o->axis = d.channels ? d.axis : 0;
  o->momentum = d.momentum;
  o->bins = d.bins;
  o->max_bins = d.max_bins;
  o->user = d.user;
  o->feed = d.feed;
  o->range = d.range;
  o->memory_bytes = lay_out(o, nullptr);
  o->memory = allocate(*c, o->memory_bytes);
  if (!o->memory) {
    const size_t bytes = o->memory_bytes;
    release(*c, o, sizeof *o);
    return fail_memory(err, bytes);
  }
  lay_out(o, static_cast<char*>(o->memory));
  retain(c);
  o->context = c;
  if (o->scale)
    for (size_t i = 0; i < o->count(); ++i) {
      o->scale[i] = d.scale ? d.scale[i] : 1.0f;
      o->zero_point[i] = d.zero_point ? d.zero_point[i] : 0;
    }
  clear(o);
  *out = o;
  return OCTET_OK;
}

void clear(octet_observer* o) {
  o->fed = 0;
  for (size_t i = 0; i < o->count(); ++i) o->ranges[i] = kEmptyRange;
  o->edges = {};
  for (size_t i = 0; i < o->count() && o->channel; ++i) o->channel[i] = {-126, 0, 0};
  if (o->counts) memset(o->counts, 0, o->count() * o->room() * sizeof *o->counts);
  if (o->masses) memset(o->masses, 0, o->room() * sizeof *o->masses);
}

void describe(const octet_observer& o, octet_observer_desc* d) {
  d->struct_size = sizeof *d;
  d->flags = o.flags;
  d->kind = o.kind;
  d->axis = o.axis;
  d->channels = o.channels;
  d->momentum = o.momentum;
  d->bins = o.bins;
  d->max_bins = o.max_bins;
}

namespace {

// The batch joins the moving range of every channel; refused before the first write.
octet_status move_ranges(octet_error* err, octet_observer* o) {
  for (int pass = 0; pass < 2; ++pass)
    for (size_t i = 0; i < o->count(); ++i) {
      const Range& cur = o->batch[i];
      Range& run = o->ranges[i];
      float min = run.min, max = run.max;
      if (!is_empty(cur)) move_range(o->momentum, cur.min, cur.max, &min, &max);
      if (pass) {
        run = {min + 0.0f, max + 0.0f, run.nan_count + cur.nan_count,
               run.inf_count + cur.inf_count};
      } else if (!(is_empty(run) && is_empty(cur)) && (min - min != 0 || max - max != 0)) {
        return fail(err, OCTET_ERR_NOT_FINITE,
                    "The moving range of channel %zu would become [%g, %g]; scale the data first.",
                    i, static_cast<double>(min), static_cast<double>(max));
      }
    }
  return OCTET_OK;
}

[[gnu::noinline]] octet_status feed(octet_observer* o, const octet_tensor* tensor,
                                    const octet_exec* exec, octet_error* err) {
  Exec ex;
  View x;
  OCTET_TRY(read_exec(err, exec, &ex));
  OCTET_TRY(read_tensor(err, "x", tensor, type_bit(OCTET_F32), 0, &x));
  OCTET_TRY(check_no_qparams(err, "x", x));
  int32_t axis = -1;
  if (o->channels) {
    axis = o->axis < 0 ? o->axis + x.rank : o->axis;
    if (axis < 0 || axis >= x.rank)
      return fail(
          err, OCTET_ERR_ARGUMENT,
          "x.rank is %d, but the observer's channels are at axis %d; feed tensors that have "
          "that dim.",
          x.rank, o->axis);
    if (x.dims[axis] != static_cast<int64_t>(o->channels))
      return fail(err, OCTET_ERR_ARGUMENT,
                  "x.dims[%d] is %lld, but the observer was made for %zu channels.", axis,
                  static_cast<long long>(x.dims[axis]), o->channels);
  }
  if (x.count > 0 && o->fed > UINT64_MAX - static_cast<uint64_t>(x.count))
    return fail(err, OCTET_ERR_ARGUMENT,
                "x has %lld elements, with which the observer's count would exceed 64 bits; reset "
                "it.",
                static_cast<long long>(x.count));
  if (o->frozen || !x.count) return OCTET_OK;
  const int64_t count = static_cast<int64_t>(o->count());
  if (o->kind == OCTET_OBSERVE_CALLBACK) {
    if (const int32_t answer = o->feed(o->user, tensor))
      return fail(err, OCTET_ERR_CANCELLED,
                  "octet_observer_desc.feed answered %d; it gives 0 where it has taken the tensor.",
                  answer);
  } else if (!o->batch) {  // FIXED counts too, but its range is its own
    OCTET_TRY(observe(err, *o->context, ex, x, axis, 0, count, o->ranges));
  } else {
    if (o->kind == OCTET_OBSERVE_MOVING) {
      for (int64_t i = 0; i < count; ++i) o->batch[i] = kEmptyRange;
      OCTET_TRY(observe(err, *o->context, ex, x, axis, 0, count, o->batch));
      OCTET_TRY(move_ranges(err, o));
    } else {
      OCTET_TRY(feed_bins(err, o, ex, x, axis));
      for (int64_t i = 0; i < count; ++i) join(o->batch[i], &o->ranges[i]);
    }
  }
  o->fed += static_cast<uint64_t>(x.count);
  return OCTET_OK;
}

octet_status check_count(octet_error* err, const octet_observer& o, int32_t granularity,
                         size_t count) {
  if (granularity == OCTET_PER_CHANNEL && !o.channels)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "octet_scheme.granularity is OCTET_PER_CHANNEL, but the observer has no channels; set "
        "octet_observer_desc.channels.");
  // Constants and callbacks know no whole of channels.
  const bool joins = o.kind != OCTET_OBSERVE_FIXED && o.kind != OCTET_OBSERVE_CALLBACK;
  const bool whole = count == 1 && granularity != OCTET_PER_CHANNEL && (joins || !o.channels);
  const bool each = count == o.count() && granularity != OCTET_PER_TENSOR;
  if (whole || each) return OCTET_OK;
  return fail(err, OCTET_ERR_ARGUMENT, "count is %zu; it must be %zu%s.", count,
              granularity == OCTET_PER_TENSOR ? size_t{1} : o.count(),
              granularity == OCTET_GRANULARITY_DEFAULT && o.channels && joins
                  ? ", or 1 for the whole tensor"
                  : "");
}

// What all answers begin with.
octet_status read_scheme(octet_error* err, const octet_observer& o, const octet_scheme* scheme,
                         size_t count, ResolvedScheme* s) {
  OCTET_TRY(resolve_scheme(err, scheme, Place::kObserver, 0, s));
  return check_count(err, o, s->granularity, count);
}

// Scale and zero point of index i.
octet_status choose_one(octet_error* err, const RangeReader& ranges, const Chooser& c, size_t i,
                        float* scale, int32_t* zero) {
  const octet_observer& o = ranges.o;
  if (o.kind == OCTET_OBSERVE_FIXED) {
    *scale = o.scale[i];
    *zero = o.zero_point[i];
    if (*zero >= c.qmin && *zero <= c.qmax) return OCTET_OK;
    return fail(err, OCTET_ERR_ARGUMENT,
                "The fixed zero point of index %zu is %d, but the scheme's integers are [%d, %d]; "
                "use the scheme that it was made for.",
                i, *zero, c.qmin, c.qmax);
  }
  float min, max;
  OCTET_TRY(ranges.read(err, i, &min, &max));
  return choose_checked(err, c, static_cast<int64_t>(i), min, max, scale, zero);
}

// Refusals come before the first write: every index but the last is chosen twice.
[[gnu::noinline]] octet_status choose_for(const octet_observer& o, const octet_scheme* scheme,
                                          float* scale, int32_t* zero_point, size_t count,
                                          octet_error* err) {
  ResolvedScheme s;
  OCTET_TRY(read_scheme(err, o, scheme, count, &s));
  if (!scale) return fail(err, OCTET_ERR_ARGUMENT, "scale is NULL; pass %zu values.", count);
  const int64_t values = static_cast<int64_t>(count);
  OCTET_TRY(check_overlap(err, "zero_point", array_view(zero_point, zero_point ? values : 0),
                          "scale", array_view(scale, values), false));
  RangeReader ranges = {o, s, count};
  OCTET_TRY(ranges.open(err));
  for (int pass = count > 1 ? 0 : 1; pass < 2; ++pass)
    for (size_t i = 0; i < count; ++i) {
      float one;
      int32_t zero;
      OCTET_TRY(choose_one(err, ranges, s.chooser, i, &one, &zero));
      OCTET_TRY(check_no_zero_point(err, zero_point, static_cast<int64_t>(i), zero));
      if (!pass) continue;
      scale[i] = one;
      if (zero_point) zero_point[i] = zero;
    }
  return OCTET_OK;
}

[[gnu::noinline]] octet_status range_for(const octet_observer& o, const octet_scheme* scheme,
                                         float* min, float* max, size_t count, octet_error* err) {
  ResolvedScheme s;
  OCTET_TRY(read_scheme(err, o, scheme, count, &s));
  if (!min || !max)
    return fail(err, OCTET_ERR_ARGUMENT, "%s is NULL; pass %zu values.", min ? "max" : "min",
                count);
  const int64_t values = static_cast<int64_t>(count);
  OCTET_TRY(
      check_overlap(err, "max", array_view(max, values), "min", array_view(min, values), false));
  RangeReader ranges = {o, s, count};
  OCTET_TRY(ranges.open(err));
  for (int pass = count > 1 ? 0 : 1; pass < 2; ++pass)
    for (size_t i = 0; i < count; ++i) {
      float low, high;
      OCTET_TRY(ranges.read(err, i, &low, &high));
      if (!pass) continue;
      min[i] = low;
      max[i] = high;
    }
  return OCTET_OK;
}

octet_status fail_form(octet_error* err, const octet_observer& into, const octet_observer& from) {
  if (into.kind != from.kind)
    return fail(err, OCTET_ERR_ARGUMENT,
                "from is of kind %d, but into of kind %d; only observers of the same form can be "
                "merged.",
                from.kind, into.kind);
  if (into.channels != from.channels || into.axis != from.axis)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "from has %zu channels at axis %d, but into has %zu at axis %d; only observers of the "
        "same form can be merged.",
        from.channels, from.axis, into.channels, into.axis);
  return fail(err, OCTET_ERR_ARGUMENT,
              "from has %d bins and flags %u, but into has %d and %u; only observers of the same "
              "form can be merged.",
              from.bins, from.flags, into.bins, into.flags);
}

[[gnu::noinline]] octet_status merge(octet_observer* into, const octet_observer& from,
                                     octet_error* err) {
  if (into->kind != from.kind || into->channels != from.channels || into->axis != from.axis ||
      into->bins != from.bins || into->flags != from.flags)
    return fail_form(err, *into, from);
  const int32_t kind = into->kind;
  if (kind != OCTET_OBSERVE_MINMAX && kind != OCTET_OBSERVE_ABSMAX &&
      kind != OCTET_OBSERVE_HISTOGRAM)
    return fail(
        err, OCTET_ERR_UNSUPPORTED,
        "into and from are of kind %d, whose state depends on the order of what it was fed, "
        "or is the caller's; merge OCTET_OBSERVE_MINMAX, _ABSMAX or _HISTOGRAM.",
        kind);
  if (into->fed > UINT64_MAX - from.fed)
    return fail(err, OCTET_ERR_ARGUMENT,
                "into and from have seen more elements together than 64 bits count; reset one.");
  for (size_t i = 0; i < into->count(); ++i) {
    join(from.ranges[i], &into->ranges[i]);
    if (kind == OCTET_OBSERVE_HISTOGRAM)
      merge_bins(from.channel[i], from.counts + i * from.room(), into->bins, &into->channel[i],
                 into->counts + i * into->room());
  }
  into->fed += from.fed;
  return OCTET_OK;
}

}  // namespace
}  // namespace octet

using namespace octet;

octet_status octet_observer_create(const octet_context* c, const octet_observer_desc* desc,
                                   octet_observer** out, octet_error* err) {
  if (!c) return fail(err, OCTET_ERR_ARGUMENT, "c is NULL; pass a context.");
  if (!out) return fail(err, OCTET_ERR_ARGUMENT, "out is NULL; pass where the observer goes.");
  octet_observer_desc d;
  OCTET_TRY(read_desc(err, desc, &d));
  const FpGuard guard;
  return make_observer(err, c, d, out);
}

octet_status octet_observer_feed(octet_observer* o, const octet_tensor* x, const octet_exec* e,
                                 octet_error* err) {
  if (!o) return fail_null(err, "o");
  const FpGuard guard;
  return feed(o, x, e, err);
}

octet_status octet_observer_qparams(const octet_observer* o, const octet_scheme* s, float* scale,
                                    int32_t* zero_point, size_t count, octet_error* err) {
  if (!o) return fail_null(err, "o");
  const FpGuard guard;
  return choose_for(*o, s, scale, zero_point, count, err);
}

octet_status octet_observer_stats(const octet_observer* o, octet_observed* s, octet_error* err) {
  if (!o) return fail_null(err, "o");
  if (!s) return fail(err, OCTET_ERR_ARGUMENT, "s is NULL; pass an octet_observed.");
  if (s->struct_size < sizeof *s)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "octet_observed.struct_size is %u, but the struct has at least %zu bytes; set it to "
        "sizeof.",
        s->struct_size, sizeof *s);
  const FpGuard guard;
  Range all = kEmptyRange;
  for (size_t i = 0; i < o->count(); ++i) join(o->ranges[i], &all);
  s->flags = 0;
  s->count = o->fed;
  s->nan_count = all.nan_count;
  s->inf_count = all.inf_count;
  s->min = static_cast<double>(all.min);
  s->max = static_cast<double>(all.max);
  return OCTET_OK;
}

octet_status octet_observer_merge(octet_observer* into, const octet_observer* from,
                                  octet_error* err) {
  if (!into || !from) return fail_null(err, into ? "from" : "into");
  if (into == from)
    return fail(err, OCTET_ERR_ARGUMENT,
                "into and from are the same observer, which would count "
                "everything twice; pass two.");
  const FpGuard guard;
  return merge(into, *from, err);
}

octet_status octet_observer_range(const octet_observer* o, const octet_scheme* s, float* min,
                                  float* max, size_t count, octet_error* err) {
  if (!o) return fail_null(err, "o");
  const FpGuard guard;
  return range_for(*o, s, min, max, count, err);
}

octet_status octet_observer_copy(const octet_observer* o, octet_observer** out, octet_error* err) {
  if (!o) return fail_null(err, "o");
  if (!out) return fail(err, OCTET_ERR_ARGUMENT, "out is NULL; pass where the observer goes.");
  if (o->kind == OCTET_OBSERVE_CALLBACK)
    return fail(err, OCTET_ERR_UNSUPPORTED,
                "o is of kind OCTET_OBSERVE_CALLBACK, whose state is the caller's; create another "
                "one.");
  octet_observer_desc d = {};
  describe(*o, &d);
  octet_observer* copy;
  OCTET_TRY(make_observer(err, o->context, d, &copy));
  memcpy(copy->memory, o->memory, o->memory_bytes);
  copy->fed = o->fed;
  copy->frozen = o->frozen;
  copy->edges = o->edges;
  *out = copy;
  return OCTET_OK;
}

void octet_observer_freeze(octet_observer* o, int32_t on) {
  if (o) o->frozen = on != 0;
}

void octet_observer_reset(octet_observer* o) {
  if (o) clear(o);
}

void octet_observer_destroy(octet_observer* o) {
  if (!o) return;
  octet_context* c = const_cast<octet_context*>(o->context);
  release(*c, o->memory, o->memory_bytes);
  release(*c, o, sizeof *o);
  octet_context_destroy(c);
}

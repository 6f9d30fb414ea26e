// SPDX-License-Identifier: Apache-2.0
//
// The octet_observer functions, but for save and load.
#include "src/observer.h"

#include "src/fpenv.h"
#include "src/runs.h"
#include "src/scheme.h"

namespace octet {

octet_status make_observer(octet_error* err, const octet_context* c, size_t channels, int32_t axis,
                           octet_observer** out) {
  const size_t bytes = (channels ? channels : 1) * sizeof(Range);
  octet_observer* o = make_handle<octet_observer>(*c);
  if (!o) return fail_memory(err, sizeof *o);
  o->ranges = static_cast<Range*>(allocate(*c, bytes));
  if (!o->ranges) {
    release(*c, o, sizeof *o);
    return fail_memory(err, bytes);
  }
  retain(c);
  o->context = c;
  o->channels = channels;
  o->axis = channels ? axis : 0;
  octet_observer_reset(o);
  *out = o;
  return OCTET_OK;
}

namespace {

octet_status read_desc(octet_error* err, const octet_observer_desc* desc, octet_observer_desc* d) {
  if (!desc) return fail(err, OCTET_ERR_ARGUMENT, "d is NULL; pass an octet_observer_desc.");
  OCTET_TRY(read_struct(err, "octet_observer_desc", desc, sizeof *desc, d));
  if (d->flags) return fail_flags(err, "octet_observer_desc.flags", d->flags, "none");
  if (d->kind < 0 || d->kind > OCTET_OBSERVE_NVIDIA_HISTOGRAM)
    return fail_enum(err, "octet_observer_desc.kind", d->kind, "OCTET_OBSERVE_MINMAX");
  if (d->kind != OCTET_OBSERVE_MINMAX)
    return fail_unsupported(err, "octet_observer_desc.kind", d->kind, "OCTET_OBSERVE_MINMAX (0)");
  if (d->momentum != 0 || d->bins || d->max_bins || d->group || d->scale || d->zero_point ||
      d->user || d->feed || d->range)
    return fail(
        err, OCTET_ERR_UNSUPPORTED,
        "octet_observer_desc has momentum, bins, max_bins, group, scale, zero_point, user, "
        "feed or range set; they belong to kinds that this release does not have: leave them "
        "0.");
  if (d->axis < -6 || d->axis > 5)
    return fail(err, OCTET_ERR_ARGUMENT, "octet_observer_desc.axis is %d; it must be -6 to 5.",
                d->axis);
  if (d->channels > kMaxChannels)
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_observer_desc.channels is %zu; it must be at most "
                "2^40.",
                d->channels);
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
  OCTET_TRY(observe(err, *o->context, ex, x, axis, 0, static_cast<int64_t>(o->count()), o->ranges));
  o->fed += static_cast<uint64_t>(x.count);
  return OCTET_OK;
}

// The range behind scale i of `count`: that of channel i, or of everything.
Range range_of(const octet_observer& o, size_t count, size_t i) {
  if (count == o.count()) return o.ranges[i];
  Range all = kEmptyRange;
  for (size_t c = 0; c < o.channels; ++c) join(o.ranges[c], &all);
  return all;
}

octet_status check_count(octet_error* err, const octet_observer& o, int32_t granularity,
                         size_t count) {
  if (granularity == OCTET_PER_CHANNEL && !o.channels)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "octet_scheme.granularity is OCTET_PER_CHANNEL, but the observer has no channels; set "
        "octet_observer_desc.channels.");
  const bool whole = count == 1 && granularity != OCTET_PER_CHANNEL;
  const bool each = count == o.count() && granularity != OCTET_PER_TENSOR;
  if (whole || each) return OCTET_OK;
  return fail(
      err, OCTET_ERR_ARGUMENT, "count is %zu; it must be %zu%s.", count,
      granularity == OCTET_PER_TENSOR ? size_t{1} : o.count(),
      granularity == OCTET_GRANULARITY_DEFAULT && o.channels ? ", or 1 for the whole tensor" : "");
}

[[gnu::noinline]] octet_status choose_for(const octet_observer& o, const octet_scheme* scheme,
                                          float* scale, int32_t* zero_point, size_t count,
                                          octet_error* err) {
  ResolvedScheme s;
  OCTET_TRY(resolve_scheme(err, scheme, Place::kObserver, 0, &s));
  OCTET_TRY(check_count(err, o, s.granularity, count));
  if (!scale) return fail(err, OCTET_ERR_ARGUMENT, "scale is NULL; pass %zu values.", count);
  const int64_t values = static_cast<int64_t>(count);
  OCTET_TRY(check_overlap(err, "zero_point", array_view(zero_point, zero_point ? values : 0),
                          "scale", array_view(scale, values), false));
  // Everything is chosen twice, so that a refusal comes before the first write.
  for (int pass = 0; pass < 2; ++pass)
    for (size_t i = 0; i < count; ++i) {
      const Range r = range_of(o, count, i);
      const int64_t index = static_cast<int64_t>(i);
      if (is_empty(r))
        return fail(err, OCTET_ERR_EMPTY,
                    "The observer has seen no finite value%s (index %zu); feed it data first.",
                    count > 1 ? " in a channel" : "", i);
      float one;
      int32_t zero;
      OCTET_TRY(choose_checked(err, s.chooser, index, r.min, r.max, &one, &zero));
      if (!pass) OCTET_TRY(check_no_zero_point(err, zero_point, index, zero));
      if (!pass) continue;
      scale[i] = one;
      if (zero_point) zero_point[i] = zero;
    }
  return OCTET_OK;
}

octet_status fail_null(octet_error* err, const char* name) {
  return fail(err, OCTET_ERR_ARGUMENT, "%s is NULL; pass an observer.", name);
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
  return make_observer(err, c, d.channels, d.axis, out);
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
  if (into->channels != from->channels || into->axis != from->axis)
    return fail(
        err, OCTET_ERR_ARGUMENT,
        "from has %zu channels at axis %d, but into has %zu at axis %d; only observers of the "
        "same form can be merged.",
        from->channels, from->axis, into->channels, into->axis);
  const FpGuard guard;
  for (size_t i = 0; i < into->count(); ++i) join(from->ranges[i], &into->ranges[i]);
  into->fed += from->fed;
  return OCTET_OK;
}

void octet_observer_reset(octet_observer* o) {
  if (!o) return;
  o->fed = 0;
  for (size_t i = 0; i < o->count(); ++i) o->ranges[i] = kEmptyRange;
}

void octet_observer_destroy(octet_observer* o) {
  if (!o) return;
  octet_context* c = const_cast<octet_context*>(o->context);
  release(*c, o->ranges, o->count() * sizeof(Range));
  release(*c, o, sizeof *o);
  octet_context_destroy(c);
}

// SPDX-License-Identifier: Apache-2.0
//
// octet_equalize: factors per channel that move range from one side of a product to the other, and
// the weights changed by them in place.
#include "quant/equalize.h"

#include "src/fpenv.h"
#include "src/op.h"
#include "src/parallel.h"
#include "src/tensor.h"

namespace octet {
namespace {

constexpr int64_t kBlock = 16;  // channels of a task

bool finite(float x) { return x - x == 0; }

// What weights span in one channel.
struct Span {
  float min = 0, max = 0;
  double square = 0;
  bool empty = true;

  void add(float x) {
    if (empty || x < min) min = x;
    if (empty || x > max) max = x;
    empty = false;
    square += double{x} * double{x};
  }
  double range() const { return double{max} - double{min}; }
  double absmax() const { return double{-min > max ? -min : max}; }
};

// Weights whose channels lie along one dim.
struct Side {
  View v;  // count 0: absent
  int axis;

  // Visits the elements of `count` channels from c on, in row-major order of each channel.
  template <class Visit>
  void for_each(int64_t c, int64_t count, Visit visit) const {
    if (!v.count) return;
    int64_t at[6] = {}, left = v.count / v.dims[axis];
    float* p = reinterpret_cast<float*>(v.data) + c * v.strides[axis];
    for (; left > 0; --left) {
      for (int64_t i = 0; i < count; ++i) visit(i, p + i * v.strides[axis]);
      for (int d = v.rank - 1; d >= 0; --d) {
        if (d == axis) continue;
        p += v.strides[d];
        if (++at[d] < v.dims[d]) break;
        p -= at[d] * v.strides[d];
        at[d] = 0;
      }
    }
  }
};

struct Equalization {
  octet_equalize_desc desc;
  Exec exec;
  Side maker, bias, reader;  // w1, b1, w2
  View t;
  int64_t channels;
  ChannelRanges* ranges;  // cross-layer: in the workspace
  double* factors;
  bool dry;
  std::atomic<int64_t> bad{INT64_MAX};  // first channel that leaves the floats

  bool cross_layer() const { return desc.kind == OCTET_EQUALIZE_CROSS_LAYER; }
  // Factors divide what makes x and multiply what reads it, but for INPUT_WEIGHT.
  bool divides() const { return desc.kind != OCTET_EQUALIZE_INPUT_WEIGHT; }

  float factor(int64_t c, const Span& w) const {
    if (cross_layer()) return static_cast<float>(factors[c]);
    const double low = double{desc.x_min[c]}, high = double{desc.x_max[c]};
    if (!divides()) return static_cast<float>(input_weight_factor(high - low, w.range()));
    const double alpha = desc.alpha == 0 ? 0.5 : double{desc.alpha};
    return static_cast<float>(smooth_factor(-low > high ? -low : high, w.absmax(), alpha));
  }

  static void measure(void* arg, size_t task) {
    Equalization& e = *static_cast<Equalization*>(arg);
    const int64_t first = static_cast<int64_t>(task) * kBlock;
    const int64_t count = e.channels - first < kBlock ? e.channels - first : kBlock;
    Span makes[kBlock], reads[kBlock];
    e.maker.for_each(first, count, [&](int64_t i, const float* x) { makes[i].add(*x); });
    e.reader.for_each(first, count, [&](int64_t i, const float* x) { reads[i].add(*x); });
    for (int64_t i = 0; i < count; ++i)
      e.ranges[first + i] = {makes[i].range(), reads[i].range(), makes[i].square, reads[i].square};
  }

  // Dry: finds the first channel whose results are not finite. Else writes them.
  static void apply(void* arg, size_t task) {
    Equalization& e = *static_cast<Equalization*>(arg);
    const int64_t first = static_cast<int64_t>(task) * kBlock;
    const int64_t count = e.channels - first < kBlock ? e.channels - first : kBlock;
    Span reads[kBlock];
    float factor[kBlock];
    bool good[kBlock];
    if (!e.cross_layer())
      e.reader.for_each(first, count, [&](int64_t i, const float* x) { reads[i].add(*x); });
    for (int64_t i = 0; i < count; ++i) {
      factor[i] = e.factor(first + i, reads[i]);
      good[i] = factor[i] > 0 && finite(factor[i]);
    }
    const auto scale = [&](const Side& side, bool divide) {
      side.for_each(first, count, [&](int64_t i, float* x) {
        const float y = divide ? *x / factor[i] : *x * factor[i];
        if (e.dry)
          good[i] &= finite(y);
        else
          *x = y;
      });
    };
    scale(e.maker, e.divides());
    scale(e.bias, e.divides());
    scale(e.reader, !e.divides());
    for (int64_t i = 0; i < count; ++i) {
      if (!e.dry) reinterpret_cast<float*>(e.t.data)[first + i] = factor[i];
      if (!e.dry || good[i]) continue;
      int64_t seen = e.bad.load(std::memory_order_relaxed);
      while (first + i < seen && !e.bad.compare_exchange_weak(seen, first + i)) {
      }
    }
  }
};

octet_status read_desc(octet_error* err, const octet_equalize_desc* desc, octet_equalize_desc* d) {
  if (!desc) return fail(err, OCTET_ERR_ARGUMENT, "d is NULL; pass an octet_equalize_desc.");
  OCTET_TRY(read_struct(err, "octet_equalize_desc", desc, sizeof *d, d));
  if (d->flags) return fail_flags(err, "octet_equalize_desc.flags", d->flags, "none");
  if (d->kind < 0 || d->kind > OCTET_EQUALIZE_INPUT_WEIGHT)
    return fail_enum(err, "octet_equalize_desc.kind", d->kind,
                     "OCTET_EQUALIZE_CROSS_LAYER, OCTET_EQUALIZE_SMOOTH, "
                     "OCTET_EQUALIZE_INPUT_WEIGHT");
  const bool smooth = d->kind == OCTET_EQUALIZE_SMOOTH;
  if (!(d->alpha >= 0 && d->alpha <= 1) || (d->alpha != 0 && !smooth))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_equalize_desc.alpha is %g; OCTET_EQUALIZE_SMOOTH takes 0 (0.5) to 1, the "
                "others 0.",
                static_cast<double>(d->alpha));
  const bool wants_x = d->kind != OCTET_EQUALIZE_CROSS_LAYER;
  if ((d->x_min != nullptr) != wants_x || (d->x_max != nullptr) != wants_x)
    return fail(err, OCTET_ERR_ARGUMENT, "octet_equalize_desc.x_min and x_max must %s.",
                wants_x ? "both be given, one value for each channel"
                        : "be NULL for OCTET_EQUALIZE_CROSS_LAYER, which looks at weights alone");
  return OCTET_OK;
}

octet_status read_side(octet_error* err, const char* name, const octet_tensor* t, int axis,
                       int rank, int64_t channels, Side* side) {
  if (!t) return OCTET_OK;
  OCTET_TRY(read_tensor(err, name, t, type_bit(OCTET_F32), kAnyStrides, &side->v));
  OCTET_TRY(check_no_qparams(err, name, side->v));
  OCTET_TRY(check_distinct(err, name, side->v));
  const View& v = side->v;
  if (rank == 1 ? v.rank != 1 : v.rank < 2)
    return fail(err, OCTET_ERR_ARGUMENT, "%s.rank is %d; it must be %s.", name, v.rank,
                rank == 1 ? "1" : "2 to 6");
  side->axis = axis < 0 ? v.rank - 1 : axis;
  if (v.dims[side->axis] != channels)
    return fail(err, OCTET_ERR_ARGUMENT, "%s.dims[%d] is %lld, but count is %lld channels.", name,
                side->axis, static_cast<long long>(v.dims[side->axis]),
                static_cast<long long>(channels));
  for (int64_t c = 0; c < channels; ++c) {
    bool good = true;
    side->for_each(c, 1, [&](int64_t, const float* x) { good &= finite(*x); });
    if (!good)
      return fail(err, OCTET_ERR_NOT_FINITE,
                  "%s holds a NaN or an infinity in channel %lld; it must be finite.", name,
                  static_cast<long long>(c));
  }
  return OCTET_OK;
}

octet_status check_ranges(octet_error* err, const Equalization& e) {
  if (e.cross_layer()) return OCTET_OK;
  for (int64_t c = 0; c < e.channels; ++c) {
    const float low = e.desc.x_min[c], high = e.desc.x_max[c];
    if (!finite(low) || !finite(high))
      return fail(err, OCTET_ERR_NOT_FINITE,
                  "octet_equalize_desc.x_min and x_max of channel %lld are %g and %g; they must be "
                  "finite.",
                  static_cast<long long>(c), static_cast<double>(low), static_cast<double>(high));
    if (low > high)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "octet_equalize_desc.x_min of channel %lld is %g, above x_max with %g.",
                  static_cast<long long>(c), static_cast<double>(low), static_cast<double>(high));
  }
  return OCTET_OK;
}

// What is written overlaps nothing else.
octet_status check_apart(octet_error* err, const Equalization& e) {
  const View low = array_view(e.desc.x_min, e.desc.x_min ? e.channels : 0),
             high = array_view(e.desc.x_max, e.desc.x_max ? e.channels : 0);
  const struct {
    const char* name;
    const View& view;
    bool written;
  } all[] = {{"w1", e.maker.v, true}, {"b1", e.bias.v, true}, {"w2", e.reader.v, true},
             {"t", e.t, true},        {"x_min", low, false},  {"x_max", high, false}};
  for (const auto& a : all)
    for (const auto& b : all)
      if (&a < &b && a.written)
        OCTET_TRY(check_overlap(err, a.name, a.view, b.name, b.view, false));
  return OCTET_OK;
}

octet_status read_workspace(octet_error* err, Equalization* e) {
  if (!e->cross_layer()) return OCTET_OK;
  const size_t n = static_cast<size_t>(e->channels);
  for (const bool sizing : {true, false}) {
    Carver carver(sizing ? nullptr : e->exec.e.workspace);
    e->ranges = carver.take<ChannelRanges>(n);
    e->factors = carver.take<double>(n);
    if (!sizing) break;
    OCTET_TRY(check_workspace(err, e->exec, carver.bytes(), e->maker.v, e->reader.v));
    OCTET_TRY(check_workspace(err, e->exec, carver.bytes(), e->bias.v, e->t));
  }
  return OCTET_OK;
}

[[gnu::noinline]] octet_status equalize(const octet_equalize_desc* desc, const octet_tensor* w1,
                                        const octet_tensor* b1, const octet_tensor* w2, float* t,
                                        size_t count, const octet_exec* exec, octet_error* err) {
  Equalization e = {};
  OCTET_TRY(read_exec(err, exec, &e.exec));
  OCTET_TRY(read_desc(err, desc, &e.desc));
  if (count > size_t{1} << 31)
    return fail(err, OCTET_ERR_ARGUMENT, "count is %zu; it must be at most 2^31.", count);
  e.channels = static_cast<int64_t>(count);
  if (!w2 || (e.cross_layer() && !w1))
    return fail(err, OCTET_ERR_ARGUMENT, "%s is NULL; pass the weights of that layer.",
                w2 ? "w1" : "w2");
  if (b1 && !w1)
    return fail(err, OCTET_ERR_ARGUMENT, "b1 is given without w1; pass both, or only w1.");
  if (!t && count)
    return fail(err, OCTET_ERR_ARGUMENT, "t is NULL; pass %zu values for the factors.", count);
  e.t = array_view(t, e.channels);
  OCTET_TRY(read_side(err, "w1", w1, 0, 2, e.channels, &e.maker));
  OCTET_TRY(read_side(err, "b1", b1, 0, 1, e.channels, &e.bias));
  OCTET_TRY(read_side(err, "w2", w2, -1, 2, e.channels, &e.reader));
  OCTET_TRY(check_ranges(err, e));
  OCTET_TRY(check_apart(err, e));
  if (!count) return OCTET_OK;
  OCTET_TRY(read_workspace(err, &e));
  const size_t tasks = static_cast<size_t>((e.channels + kBlock - 1) / kBlock);
  if (e.cross_layer()) {
    OCTET_TRY(run_tasks(err, e.exec, tasks, Equalization::measure, &e));
    cross_layer_factors(e.ranges, e.channels, e.factors);
  }
  e.dry = true;
  OCTET_TRY(run_tasks(err, e.exec, tasks, Equalization::apply, &e));
  const int64_t bad = e.bad.load(std::memory_order_relaxed);
  if (bad != INT64_MAX)
    return fail(err, OCTET_ERR_NOT_FINITE,
                "The factor of channel %lld leads to a weight that is not finite; scale the "
                "weights first.",
                static_cast<long long>(bad));
  e.dry = false;
  return run_tasks(err, e.exec, tasks, Equalization::apply, &e);
}

}  // namespace
}  // namespace octet

octet_status octet_equalize(const octet_context* c, const octet_equalize_desc* d,
                            const octet_tensor* w1, const octet_tensor* b1, const octet_tensor* w2,
                            float* t, size_t count, const octet_exec* e, octet_error* err) {
  if (!c) return octet::fail(err, OCTET_ERR_ARGUMENT, "c is NULL; pass a context.");
  const octet::FpGuard guard;
  return octet::equalize(d, w1, b1, w2, t, count, e, err);
}

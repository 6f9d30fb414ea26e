// SPDX-License-Identifier: Apache-2.0
//
// octet_fold_batchnorm: weights and bias of a layer take over the batch normalization behind it.
#include "quant/fold.h"

#include "src/fpenv.h"
#include "src/tensor.h"

namespace octet {
namespace {

struct Fold {
  View weight, bias;
  View gamma, beta, mean, var;  // gamma, beta: count 0 where they are absent
  int32_t axis;
  int64_t groups, channels;
  float eps;
};

float value(const View& v, int64_t i) {
  return reinterpret_cast<const float*>(v.data)[i * v.strides[0]];
}

ChannelFold channel(const Fold& f, int64_t c) {
  return fold_channel(f.gamma.count ? value(f.gamma, c) : 1.0f,
                      f.beta.count ? value(f.beta, c) : 0.0f, value(f.mean, c), value(f.var, c),
                      f.eps);
}

octet_status read_channels(octet_error* err, const char* name, const octet_tensor* t,
                           int64_t channels, View* out) {
  OCTET_TRY(read_tensor(err, name, t, type_bit(OCTET_F32), kAnyStrides, out));
  OCTET_TRY(check_no_qparams(err, name, *out));
  if (out->rank == 1 && out->dims[0] == channels) return OCTET_OK;
  return fail(err, OCTET_ERR_ARGUMENT, "%s must be [%lld], one for each output channel.", name,
              static_cast<long long>(channels));
}

octet_status check_values(octet_error* err, const char* name, const View& v, bool negative) {
  for (int64_t i = 0; i < v.count; ++i) {
    const float x = value(v, i);
    if (!(x - x == 0))
      return fail(err, OCTET_ERR_NOT_FINITE, "%s[%lld] is %g; it must be finite.", name,
                  static_cast<long long>(i), static_cast<double>(x));
    if (x < 0 && !negative)
      return fail(err, OCTET_ERR_ARGUMENT, "%s[%lld] is %g; a variance must not be negative.", name,
                  static_cast<long long>(i), static_cast<double>(x));
  }
  return OCTET_OK;
}

octet_status read_norm(octet_error* err, const octet_norm_desc* desc, octet_norm_desc* out) {
  if (!desc) return fail(err, OCTET_ERR_ARGUMENT, "bn is NULL; pass an octet_norm_desc.");
  OCTET_TRY(read_struct(err, "octet_norm_desc", desc, sizeof *out, out));
  if (out->flags) return fail_flags(err, "octet_norm_desc.flags", out->flags, "none");
  if (out->kind != OCTET_NORM_BATCH)
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_norm_desc.kind is %d; only OCTET_NORM_BATCH (%d) folds into a layer.",
                out->kind, OCTET_NORM_BATCH);
  const auto empty = [](const octet_qtype& q) { return !q.type && q.scale == 0 && !q.zero_point; };
  if (!empty(out->in) || !empty(out->out))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_norm_desc.in and out must be all 0: folding works on floats.");
  if (out->eps == 0) out->eps = 1e-5f;
  if (!(out->eps > 0) || out->eps - out->eps != 0)
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_norm_desc.eps is %g; it must be finite and above 0, or 0 for 1e-5.",
                static_cast<double>(out->eps));
  return OCTET_OK;
}

octet_status read_fold(octet_error* err, const octet_norm_desc* desc, const octet_tensor* weight,
                       const octet_tensor* bias, Fold* f) {
  octet_norm_desc d = {};
  OCTET_TRY(read_norm(err, desc, &d));
  OCTET_TRY(read_tensor(err, "weight", weight, type_bit(OCTET_F32), kAnyStrides, &f->weight));
  OCTET_TRY(check_no_qparams(err, "weight", f->weight));
  OCTET_TRY(check_distinct(err, "weight", f->weight));
  const View& w = f->weight;
  if (w.rank < 2)
    return fail(err, OCTET_ERR_ARGUMENT, "weight.rank is %d; weights have rank 2 to 6.", w.rank);
  f->axis = d.axis < 0 ? d.axis + w.rank : d.axis;
  if (f->axis != 0 && f->axis != 1)
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_norm_desc.axis is %d; output channels are on axis 0, or on axis 1 of a "
                "transposed convolution's weights.",
                d.axis);
  if (d.groups < 0)
    return fail(err, OCTET_ERR_ARGUMENT, "octet_norm_desc.groups is %d; it must be 0 or more.",
                d.groups);
  f->groups = d.groups ? d.groups : 1;
  if (f->groups > 1 && (f->axis == 0 || w.dims[0] % f->groups))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_norm_desc.groups is %d; more than 1 go with axis 1, and must divide "
                "weight.dims[0] = %lld.",
                d.groups, static_cast<long long>(w.dims[0]));
  f->channels = f->groups * w.dims[f->axis];
  f->eps = d.eps;
  OCTET_TRY(read_channels(err, "bias", bias, f->channels, &f->bias));
  OCTET_TRY(check_distinct(err, "bias", f->bias));
  OCTET_TRY(read_channels(err, "octet_norm_desc.mean", d.mean, f->channels, &f->mean));
  OCTET_TRY(read_channels(err, "octet_norm_desc.var", d.var, f->channels, &f->var));
  if (d.gamma)
    OCTET_TRY(read_channels(err, "octet_norm_desc.gamma", d.gamma, f->channels, &f->gamma));
  if (d.beta) OCTET_TRY(read_channels(err, "octet_norm_desc.beta", d.beta, f->channels, &f->beta));
  OCTET_TRY(check_overlap(err, "weight", w, "bias", f->bias, false));
  const struct {
    const char* name;
    const View& view;
    bool negative;
  } inputs[] = {{"octet_norm_desc.mean", f->mean, true},
                {"octet_norm_desc.var", f->var, false},
                {"octet_norm_desc.gamma", f->gamma, true},
                {"octet_norm_desc.beta", f->beta, true}};
  for (const auto& in : inputs) {
    OCTET_TRY(check_overlap(err, "weight", w, in.name, in.view, false));
    OCTET_TRY(check_overlap(err, "bias", f->bias, in.name, in.view, false));
    OCTET_TRY(check_values(err, in.name, in.view, in.negative));
  }
  return check_values(err, "bias", f->bias, true);
}

// Visits the weights of output channel c; false as soon as `visit` says so.
template <typename Visit>
bool for_each_weight(const Fold& f, int64_t c, Visit visit) {
  const View& w = f.weight;
  int64_t first[6] = {}, size[6];
  for (int i = 0; i < 6; ++i) size[i] = i < w.rank ? w.dims[i] : 1;
  first[f.axis] = c % w.dims[f.axis];
  size[f.axis] = 1;
  if (f.axis == 1) {
    size[0] = w.dims[0] / f.groups;
    first[0] = c / w.dims[1] * size[0];
  }
  int64_t base = 0, count = 1, at[6] = {};
  for (int i = 0; i < w.rank; ++i) {
    base += first[i] * w.strides[i];
    count *= size[i];
  }
  for (; count > 0; --count) {
    int64_t offset = base;
    for (int i = 0; i < w.rank; ++i) offset += at[i] * w.strides[i];
    if (!visit(reinterpret_cast<float*>(w.data) + offset)) return false;
    for (int i = w.rank - 1; i >= 0 && ++at[i] == size[i]; --i) at[i] = 0;
  }
  return true;
}

bool finite(float x) { return x - x == 0; }

// Refused before the first write: a fold that leaves the floats.
octet_status check_result(octet_error* err, const Fold& f, int64_t c) {
  const ChannelFold fold = channel(f, c);
  const bool good = finite(fold.bias(value(f.bias, c))) &&
                    for_each_weight(f, c, [&](const float* w) { return finite(*w * fold.weight); });
  if (good) return OCTET_OK;
  return fail(err, OCTET_ERR_NOT_FINITE,
              "Folding channel %lld (var %g, gamma %g) gives a weight or bias that is not finite; "
              "leave this batch normalization unfolded.",
              static_cast<long long>(c), static_cast<double>(value(f.var, c)),
              static_cast<double>(fold.gamma));
}

[[gnu::noinline]] octet_status fold(const octet_norm_desc* bn, const octet_tensor* weight,
                                    const octet_tensor* bias, octet_error* err) {
  Fold f = {};
  OCTET_TRY(read_fold(err, bn, weight, bias, &f));
  for (int64_t c = 0; c < f.channels; ++c) OCTET_TRY(check_result(err, f, c));
  for (int64_t c = 0; c < f.channels; ++c) {
    const ChannelFold fold = channel(f, c);
    float* b = reinterpret_cast<float*>(f.bias.data) + c * f.bias.strides[0];
    *b = fold.bias(*b);
    for_each_weight(f, c, [&](float* w) {
      *w *= fold.weight;
      return true;
    });
  }
  return OCTET_OK;
}

}  // namespace
}  // namespace octet

octet_status octet_fold_batchnorm(const octet_norm_desc* bn, const octet_tensor* weight,
                                  const octet_tensor* bias, octet_error* err) {
  const octet::FpGuard guard;
  return octet::fold(bn, weight, bias, err);
}

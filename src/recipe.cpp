// SPDX-License-Identifier: Apache-2.0
//
// octet_recipe: the settings that frameworks have names for, kept in the text form of
// src/descriptor.h. Names and settings are PyTorch's qconfigs, observers and NVIDIA's descriptors.
#include "src/descriptor.h"

namespace octet {
namespace {

// nullptr: the recipe has no such part.
struct Recipe {
  const char* name;
  const char *act, *act_observer, *weight, *weight_observer;
};

#define TORCH "chooser=torch_observer"
#define EPS " eps=0.000244140625"
#define REDUCED "flags=reduce_range type=u8 " TORCH
#define WHOLE "type=u8 " TORCH
#define PER_TENSOR "flags=symmetric type=s8 granularity=per_tensor " TORCH
#define PER_CHANNEL "flags=symmetric type=s8 granularity=per_channel " TORCH
#define NARROW_TENSOR \
  "flags=symmetric type=s8 granularity=per_tensor " TORCH " qmin=-127 qmax=127" EPS
#define NARROW_CHANNEL \
  "flags=symmetric type=s8 granularity=per_channel " TORCH " qmin=-127 qmax=127" EPS
#define DYNAMIC "type=u8 granularity=per_tensor chooser=torch_native"
#define FLOAT8 "type=u8 granularity=per_channel chooser=torch_float"
#define FLOAT4 "type=u4 granularity=per_channel chooser=torch_float"
#define MINMAX ""
#define MOVING "kind=moving momentum=0.01"
#define LATEST "kind=moving momentum=1"
#define HISTOGRAM "kind=torch_histogram"
#define NVIDIA8 "type=s8 granularity=per_tensor chooser=nvidia"
#define NVIDIA_CHANNEL "type=s8 granularity=per_channel chooser=nvidia"
#define NVIDIA_TRANSPOSED "type=s8 granularity=per_channel axis=1 chooser=nvidia"

const Recipe kRecipes[] = {
    // Octet's own.
    {"octet", "type=u8 range=percentile", "kind=histogram",
     "flags=symmetric|narrow type=s8 granularity=per_channel", MINMAX},
    {"octet_dynamic", "type=u8 granularity=per_row", nullptr,
     "flags=symmetric|narrow type=s8 granularity=per_channel", MINMAX},
    {"octet_qat", "type=u8", MOVING, "flags=symmetric|narrow type=s8 granularity=per_channel",
     LATEST},
    // torch.ao.quantization: get_default_qconfig(backend) and get_default_qat_qconfig(backend).
    {"fbgemm", REDUCED " range=l2", HISTOGRAM, PER_CHANNEL, MINMAX},
    {"x86", REDUCED " range=l2", HISTOGRAM, PER_CHANNEL, MINMAX},
    {"qnnpack", WHOLE " range=l2", HISTOGRAM, PER_TENSOR, MINMAX},
    {"onednn", WHOLE " range=l2", HISTOGRAM, PER_CHANNEL, MINMAX},
    {"qat_fbgemm", REDUCED, MOVING, PER_CHANNEL, MOVING},
    {"qat_x86", REDUCED, MOVING, PER_CHANNEL, MOVING},
    {"qat_qnnpack", WHOLE, MOVING, PER_TENSOR, MOVING},
    {"qat_onednn", WHOLE, MOVING, PER_CHANNEL, MOVING},
    // Its named qconfigs.
    {"default_qconfig", REDUCED, MINMAX, PER_TENSOR, MINMAX},
    {"default_qat_qconfig", REDUCED, MOVING, PER_TENSOR, MOVING},
    {"default_qat_qconfig_v2", REDUCED, MOVING, PER_TENSOR, MOVING},
    {"default_dynamic_qconfig", DYNAMIC, nullptr, PER_TENSOR, MINMAX},
    {"per_channel_dynamic_qconfig", DYNAMIC, nullptr, PER_CHANNEL, MINMAX},
    {"float_qparams_weight_only_qconfig", nullptr, nullptr, FLOAT8, MINMAX},
    {"float_qparams_weight_only_qconfig_4bit", nullptr, nullptr, FLOAT4, MINMAX},
    {"default_embedding_qat_qconfig", nullptr, nullptr, FLOAT8, LATEST},
    {"default_embedding_qat_qconfig_4bit", nullptr, nullptr, FLOAT4, LATEST},
    {"default_activation_only_qconfig", REDUCED, MOVING, nullptr, nullptr},
    {"default_weight_only_qconfig", nullptr, nullptr, PER_TENSOR, MOVING},
    {"default_symmetric_qnnpack_qconfig", "type=s8 " TORCH " range=l2" EPS, HISTOGRAM,
     NARROW_TENSOR, MINMAX},
    {"default_symmetric_qnnpack_qat_qconfig", "type=s8 " TORCH EPS, MOVING, NARROW_TENSOR, MOVING},
    {"default_per_channel_symmetric_qnnpack_qconfig", "type=s8 " TORCH " range=l2" EPS, HISTOGRAM,
     NARROW_CHANNEL, MINMAX},
    {"default_per_channel_symmetric_qnnpack_qat_qconfig", "type=s8 " TORCH EPS, MOVING,
     NARROW_CHANNEL, MOVING},
    // Its named observers.
    {"default_observer", REDUCED, MINMAX, nullptr, nullptr},
    {"default_histogram_observer", REDUCED " range=l2", HISTOGRAM, nullptr, nullptr},
    {"default_dynamic_quant_observer", DYNAMIC, nullptr, nullptr, nullptr},
    {"default_fixed_qparams_range_0to1_observer", "type=u8", "kind=fixed", nullptr, nullptr},
    {"default_fixed_qparams_range_neg1to1_observer", "type=u8", "kind=fixed", nullptr, nullptr},
    {"default_weight_observer", nullptr, nullptr, PER_TENSOR, MINMAX},
    {"default_per_channel_weight_observer", nullptr, nullptr, PER_CHANNEL, MINMAX},
    {"weight_observer_range_neg_127_to_127", nullptr, nullptr, NARROW_TENSOR, MINMAX},
    {"per_channel_weight_observer_range_neg_127_to_127", nullptr, nullptr, NARROW_CHANNEL, MINMAX},
    {"default_float_qparams_observer", nullptr, nullptr, FLOAT8, MINMAX},
    {"default_float_qparams_observer_4bit", nullptr, nullptr, FLOAT4, MINMAX},
    // pytorch-quantization's QUANT_DESC_ constants, in lower case.
    {"quant_desc_8bit_per_tensor", NVIDIA8, "kind=absmax", NVIDIA8, "kind=absmax"},
    {"quant_desc_unsigned_8bit_per_tensor", "type=u8 granularity=per_tensor chooser=nvidia",
     "kind=absmax", nullptr, nullptr},
    {"quant_desc_8bit_linear_weight_per_row", nullptr, nullptr, NVIDIA_CHANNEL, "kind=absmax"},
    {"quant_desc_8bit_conv1d_weight_per_channel", nullptr, nullptr, NVIDIA_CHANNEL, "kind=absmax"},
    {"quant_desc_8bit_conv2d_weight_per_channel", nullptr, nullptr, NVIDIA_CHANNEL, "kind=absmax"},
    {"quant_desc_8bit_conv3d_weight_per_channel", nullptr, nullptr, NVIDIA_CHANNEL, "kind=absmax"},
    {"quant_desc_8bit_convtranspose1d_weight_per_channel", nullptr, nullptr, NVIDIA_TRANSPOSED,
     "kind=absmax axis=1"},
    {"quant_desc_8bit_convtranspose2d_weight_per_channel", nullptr, nullptr, NVIDIA_TRANSPOSED,
     "kind=absmax axis=1"},
    {"quant_desc_8bit_convtranspose3d_weight_per_channel", nullptr, nullptr, NVIDIA_TRANSPOSED,
     "kind=absmax axis=1"},
};

// Of sigmoid and softmax, [0, 1], and of tanh, [-1, 1].
const float kUnitScale = 0x1p-8f, kSignedUnitScale = 0x1p-7f;
const int32_t kUnitZero = 0, kSignedUnitZero = 128;

size_t length(const char* s) {
  size_t n = 0;
  while (s[n]) ++n;
  return n;
}

bool same(const char* a, const char* b) {
  while (*a && *a == *b) ++a, ++b;
  return *a == *b;
}

const Recipe* find(const char* name) {
  for (const Recipe& r : kRecipes)
    if (same(r.name, name)) return &r;
  return nullptr;
}

octet_status fail_part(octet_error* err, const Recipe& r, const char* part) {
  return fail(err, OCTET_ERR_ARGUMENT, "The recipe %s has no %s; pass NULL for it.", r.name, part);
}

template <class Struct>
octet_status check_part(octet_error* err, const Recipe& r, const char* part, const char* text,
                        const FieldTable& table, const Struct* to) {
  if (!to) return OCTET_OK;
  if (!text) return fail_part(err, r, part);
  if (to->struct_size >= sizeof *to) return OCTET_OK;
  return fail(err, OCTET_ERR_ARGUMENT,
              "%s.struct_size is %u, but the struct has at least %zu bytes; set it to sizeof.",
              table.what, to->struct_size, sizeof *to);
}

template <class Struct>
octet_status fill_part(octet_error* err, const char* text, const FieldTable& table, Struct* to) {
  if (!to) return OCTET_OK;
  Struct filled = {};
  OCTET_TRY(read_fields(err, table, text, length(text), &filled));
  filled.struct_size = to->struct_size;
  *to = filled;
  return OCTET_OK;
}

void fix(const Recipe& r, octet_observer_desc* d) {
  if (d->kind != OCTET_OBSERVE_FIXED) return;
  const bool with_sign = same(r.name, "default_fixed_qparams_range_neg1to1_observer");
  d->scale = with_sign ? &kSignedUnitScale : &kUnitScale;
  d->zero_point = with_sign ? &kSignedUnitZero : &kUnitZero;
}

}  // namespace
}  // namespace octet

using namespace octet;

octet_status octet_recipe(const char* name, octet_scheme* act, octet_observer_desc* act_observer,
                          octet_scheme* weight, octet_observer_desc* weight_observer,
                          octet_error* err) {
  if (!name) return fail(err, OCTET_ERR_ARGUMENT, "name is NULL; pass a recipe's name.");
  const Recipe* r = find(name);
  if (!r) {
    char shown[81] = {};
    for (size_t i = 0; i < sizeof shown - 1 && name[i]; ++i)
      shown[i] = name[i] > 31 && name[i] < 127 ? name[i] : '?';
    return fail(err, OCTET_ERR_ARGUMENT,
                "name is \"%s\", which is no recipe; such are octet, octet_dynamic, octet_qat, "
                "fbgemm, x86, qnnpack, onednn, the last four with qat_ before them, PyTorch's "
                "default_..._qconfig and default_..._observer, and NVIDIA's quant_desc_....",
                shown);
  }
  OCTET_TRY(check_part(err, *r, "activation", r->act, kSchemeFields, act));
  OCTET_TRY(check_part(err, *r, "observer of activations", r->act_observer, kObserverDescFields,
                       act_observer));
  OCTET_TRY(check_part(err, *r, "weight", r->weight, kSchemeFields, weight));
  OCTET_TRY(check_part(err, *r, "observer of weights", r->weight_observer, kObserverDescFields,
                       weight_observer));
  OCTET_TRY(fill_part(err, r->act, kSchemeFields, act));
  OCTET_TRY(fill_part(err, r->act_observer, kObserverDescFields, act_observer));
  OCTET_TRY(fill_part(err, r->weight, kSchemeFields, weight));
  OCTET_TRY(fill_part(err, r->weight_observer, kObserverDescFields, weight_observer));
  if (act_observer) fix(*r, act_observer);
  return OCTET_OK;
}

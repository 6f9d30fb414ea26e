// SPDX-License-Identifier: Apache-2.0
//
// Fake-quantization: forward with given qparams, the straight-through estimator, and the one-call
// QAT step whose state lives in the caller's buffers.
#include <string.h>

#include "src/fpenv.h"
#include "src/ranges.h"
#include "src/scheme.h"
#include "src/sides.h"

namespace octet {
namespace {

// qparams without a type: the range is given and may have up to 16 bits.
octet_status read_qparams(octet_error* err, const octet_qparams* q, Elementwise* e) {
  Range32 range;
  OCTET_TRY(read_side(err, "q", q, 0, e->x, &e->out, &range));
  e->qmin = range.qmin;
  e->qmax = range.qmax;
  e->divide = range.divide;
  e->away = range.away;
  return OCTET_OK;
}

[[gnu::noinline]] octet_status forward(const octet_context& c, const octet_tensor* x,
                                       const octet_qparams* q, const octet_tensor* y, uint8_t* mask,
                                       const octet_exec* exec, octet_error* err) {
  Exec ex;
  Elementwise e = {};
  OCTET_TRY(read_exec(err, exec, &ex));
  OCTET_TRY(read_operands(err, "x", x, "y", y, mask, &e));
  OCTET_TRY(read_qparams(err, q, &e));
  e.cache = c.cpu.l3;
  e.kernel = kernel<RunFn>(c, kFakeQuant, OCTET_F32, OCTET_F32);
  return run_elementwise(err, ex, e);
}

[[gnu::noinline]] octet_status backward(const octet_context& c, const octet_tensor* dy,
                                        const uint8_t* mask, const octet_tensor* dx,
                                        const octet_exec* exec, octet_error* err) {
  Exec ex;
  Elementwise e = {};
  OCTET_TRY(read_exec(err, exec, &ex));
  OCTET_TRY(read_operands(err, "dy", dy, "dx", dx, mask, &e));
  if (!mask && e.x.count)
    return fail(err, OCTET_ERR_ARGUMENT,
                "mask is NULL; pass the mask that the forward call wrote.");
  e.cache = c.cpu.l3;
  e.kernel = kernel<RunFn>(c, kSte, OCTET_F32, OCTET_F32);
  return run_elementwise(err, ex, e);
}

// ---- the QAT step -----------------------------------------------------------------------------

// What OCTET_NO_QUANTIZE does with a run.
void pass_through(const Run* r) {
  if (r->x != r->y) memcpy(r->y, r->x, r->n * sizeof(float));
  if (r->mask) memset(r->mask, 1, r->n);
}

struct Step {
  octet_fake_quantizer f;
  ResolvedScheme scheme;
  float momentum;
  Side side;  // whose scale belongs to which element
};

constexpr int64_t kGroup = 64;  // channels that are staged on the stack at once

struct Staged {
  float run_min[kGroup], run_max[kGroup], scale[kGroup];
  int32_t zero_point[kGroup];
};

octet_status read_step(octet_error* err, const octet_fake_quantizer* in, const View& x, Step* s) {
  if (!in) return fail(err, OCTET_ERR_ARGUMENT, "f is NULL; pass an octet_fake_quantizer.");
  OCTET_TRY(read_struct(err, "octet_fake_quantizer", in, sizeof *in, &s->f));
  const octet_fake_quantizer& f = s->f;
  const uint32_t unknown = f.flags & ~static_cast<uint32_t>(OCTET_NO_OBSERVE | OCTET_NO_QUANTIZE);
  if (unknown)
    return fail_flags(err, "octet_fake_quantizer.flags", unknown,
                      "OCTET_NO_OBSERVE, OCTET_NO_QUANTIZE");
  s->momentum = f.momentum == 0 ? 0.01f : f.momentum;
  if (!(s->momentum > 0 && s->momentum <= 1))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_fake_quantizer.momentum is %g; it must be within (0, 1], or 0 for 0.01.",
                static_cast<double>(f.momentum));
  if (f.bits && (f.bits < 2 || f.bits > 16))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_fake_quantizer.bits is %d; it must be 2 to 16, or 0 for the scheme's type.",
                f.bits);
  OCTET_TRY(resolve_scheme(err, f.scheme, Place::kFakeQuant, f.bits, &s->scheme));
  s->side = {f.scale, f.zero_point, -1, nullptr, 0};
  if (s->scheme.granularity != OCTET_PER_TENSOR) {
    OCTET_TRY(find_scales(err, "octet_fake_quantizer.scheme.", static_cast<int64_t>(f.count),
                          s->scheme.group, s->scheme.axis, x, &s->side));
  } else if (f.count != 1) {
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_fake_quantizer.count is %zu; a scheme per tensor has 1.", f.count);
  }
  if (f.count && (!f.run_min || !f.run_max || !f.scale || !f.zero_point))
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_fake_quantizer.%s is NULL; pass memory for %zu values.",
                !f.run_min   ? "run_min"
                : !f.run_max ? "run_max"
                : !f.scale   ? "scale"
                             : "zero_point",
                f.count);
  return OCTET_OK;
}

// The state must not lie in what the step writes, nor in other state.
octet_status check_state_apart(octet_error* err, const Step& s, const Elementwise& e) {
  const struct {
    const char* name;
    const void* data;
  } arrays[] = {{"octet_fake_quantizer.run_min", s.f.run_min},
                {"octet_fake_quantizer.run_max", s.f.run_max},
                {"octet_fake_quantizer.scale", s.f.scale},
                {"octet_fake_quantizer.zero_point", s.f.zero_point}};
  const int64_t count = static_cast<int64_t>(s.f.count);
  for (const auto& a : arrays) {
    const View v = array_view(a.data, count);
    for (const auto* b = arrays; b != &a; ++b)
      OCTET_TRY(check_overlap(err, a.name, v, b->name, array_view(b->data, count), false));
    OCTET_TRY(check_overlap(err, "y", e.y, a.name, v, false));
    OCTET_TRY(check_overlap(err, a.name, v, "x", e.x, false));
    if (e.mask) OCTET_TRY(check_overlap(err, "mask", mask_view(e.x, e.mask), a.name, v, false));
  }
  return OCTET_OK;
}

// The running range of channel i as the caller holds it: finite, or +inf and -inf while unfed.
octet_status read_run(octet_error* err, const octet_fake_quantizer& f, int64_t i, float* min,
                      float* max) {
  *min = f.run_min[i];
  *max = f.run_max[i];
  const bool unfed = *min == kEmptyRange.min && *max == kEmptyRange.max;
  const bool finite = *min - *min == 0 && *max - *max == 0;
  if (!unfed && !finite)
    return fail(
        err, OCTET_ERR_NOT_FINITE,
        "octet_fake_quantizer.run_min[%lld] and run_max are %g and %g; they must be finite, or "
        "+inf and -inf at first.",
        static_cast<long long>(i), static_cast<double>(*min), static_cast<double>(*max));
  if (finite && *min > *max)
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_fake_quantizer.run_min[%lld] is %g, which is more than run_max, %g.",
                static_cast<long long>(i), static_cast<double>(*min), static_cast<double>(*max));
  return OCTET_OK;
}

// New range, scale and zero point of `count` channels from `first` on, without a write to the
// state.
octet_status stage(octet_error* err, const octet_context& c, const Exec& exec, const Step& s,
                   const View& x, int64_t first, int64_t count, Staged* out) {
  Range batch[kGroup];
  for (int64_t i = 0; i < count; ++i) batch[i] = kEmptyRange;
  if (!(s.f.flags & OCTET_NO_OBSERVE) && x.count) {
    if (s.side.group)
      OCTET_TRY(observe_groups(err, c, exec, split_groups(x, s.side.group), s.side.axis, first,
                               count, batch));
    else
      OCTET_TRY(observe(err, c, exec, x, s.side.axis, first, count, batch));
  }
  for (int64_t i = 0; i < count; ++i) {
    float* const min = &out->run_min[i];
    float* const max = &out->run_max[i];
    OCTET_TRY(read_run(err, s.f, first + i, min, max));
    if (!is_empty(batch[i])) move_range(s.momentum, batch[i].min, batch[i].max, min, max);
    if (*min > *max)
      return fail(err, OCTET_ERR_EMPTY,
                  "The fake-quantizer has seen no finite value (channel %lld); observe data first.",
                  static_cast<long long>(first + i));
    if (*max - *max != 0 || *min - *min != 0)
      return fail(err, OCTET_ERR_NOT_FINITE,
                  "The running range of channel %lld would become [%g, %g]; scale the data first.",
                  static_cast<long long>(first + i), static_cast<double>(*min),
                  static_cast<double>(*max));
    OCTET_TRY(choose_checked(err, s.scheme.chooser, first + i, *min, *max, &out->scale[i],
                             &out->zero_point[i]));
    OCTET_TRY(check_scale(err, "The scale", first + i, out->scale[i]));
  }
  return OCTET_OK;
}

void commit(const octet_fake_quantizer& f, int64_t first, int64_t count, const Staged& s) {
  const size_t bytes = static_cast<size_t>(count) * 4;
  memcpy(f.run_min + first, s.run_min, bytes);
  memcpy(f.run_max + first, s.run_max, bytes);
  memcpy(f.scale + first, s.scale, bytes);
  memcpy(f.zero_point + first, s.zero_point, bytes);
}

// Observes and chooses. Refusals come before the first write: all groups are staged, then, unless
// one group holds them all, staged again and committed.
octet_status update_state(octet_error* err, const octet_context& c, const Exec& exec, const Step& s,
                          const View& x) {
  const int64_t channels = static_cast<int64_t>(s.f.count);
  Staged staged;
  for (int pass = channels > kGroup ? 0 : 1; pass < 2; ++pass)
    for (int64_t first = 0; first < channels; first += kGroup) {
      const int64_t count = channels - first < kGroup ? channels - first : kGroup;
      OCTET_TRY(stage(err, c, exec, s, x, first, count, &staged));
      if (pass) commit(s.f, first, count, staged);
    }
  return OCTET_OK;
}

// Both switches are off and there is no range yet, as at the start of a schedule.
bool waits(const Step& s) {
  bool unfed = (s.f.flags & OCTET_NO_OBSERVE) && (s.f.flags & OCTET_NO_QUANTIZE);
  for (size_t i = 0; unfed && i < s.f.count; ++i)
    unfed = s.f.run_min[i] == kEmptyRange.min && s.f.run_max[i] == kEmptyRange.max;
  return unfed;
}

[[gnu::noinline]] octet_status step(const octet_context& c, const octet_fake_quantizer* f,
                                    const octet_tensor* x, const octet_tensor* y, uint8_t* mask,
                                    const octet_exec* exec, octet_error* err) {
  Exec ex;
  Elementwise e = {};
  Step s;
  OCTET_TRY(read_exec(err, exec, &ex));
  OCTET_TRY(read_operands(err, "x", x, "y", y, mask, &e));
  OCTET_TRY(read_step(err, f, e.x, &s));
  OCTET_TRY(check_state_apart(err, s, e));
  if (!waits(s)) OCTET_TRY(update_state(err, c, ex, s, e.x));
  if (s.f.flags & OCTET_NO_QUANTIZE) {
    e.kernel = pass_through;
  } else {
    e.out = s.side;
    e.qmin = s.scheme.chooser.qmin;
    e.qmax = s.scheme.chooser.qmax;
    e.divide = s.scheme.divide;
    e.away = s.scheme.away;
    e.cache = c.cpu.l3;
    e.kernel = kernel<RunFn>(c, kFakeQuant, OCTET_F32, OCTET_F32);
  }
  return run_elementwise(err, ex, e);
}

octet_status fail_no_context(octet_error* err) {
  return fail(err, OCTET_ERR_ARGUMENT, "c is NULL; pass a context.");
}

}  // namespace
}  // namespace octet

using namespace octet;

octet_status octet_fake_quant(const octet_context* c, const octet_tensor* x, const octet_qparams* q,
                              const octet_tensor* y, uint8_t* mask, const octet_exec* e,
                              octet_error* err) {
  if (!c) return fail_no_context(err);
  const FpGuard guard;
  return forward(*c, x, q, y, mask, e, err);
}

octet_status octet_fake_quant_backward(const octet_context* c, const octet_tensor* dy,
                                       const uint8_t* mask, const octet_tensor* dx,
                                       const octet_exec* e, octet_error* err) {
  if (!c) return fail_no_context(err);
  const FpGuard guard;
  return backward(*c, dy, mask, dx, e, err);
}

octet_status octet_fake_quant_step(const octet_context* c, const octet_fake_quantizer* f,
                                   const octet_tensor* x, const octet_tensor* y, uint8_t* mask,
                                   const octet_exec* e, octet_error* err) {
  if (!c) return fail_no_context(err);
  const FpGuard guard;
  return step(*c, f, x, y, mask, e, err);
}

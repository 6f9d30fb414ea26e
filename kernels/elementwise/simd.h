// SPDX-License-Identifier: Apache-2.0
//
// What the element-wise kernels share. Each source of this folder is compiled once for each
// instruction set, with that set's whole flag list and -DOCTET_ISA=<name>; Highway then picks its
// static target from the flags (HWY_BEFORE_NAMESPACE allows, for NEON, the extension that Highway's
// own functions name and nothing here uses). Only the kernels have external linkage.
//
// A kernel body is a loop over whole vectors. The elements that are left over run through the same
// loop from a copy on the stack, so that not one byte outside the run is touched and the tail has
// the bits of the body by construction.
#pragma once

#include <hwy/highway.h>
#include <string.h>

#include "kernels/kernel.h"

#define OCTET_JOIN_(a, b) a##b
#define OCTET_JOIN(a, b) OCTET_JOIN_(a, b)
// Before a loop that compilers must not unroll: many loads a turn fill the queue of misses before
// prefetchers, which share it, have seen where the run goes.
#if defined(__clang__)
#define OCTET_ROLLED _Pragma("clang loop unroll(disable)")
#else
#define OCTET_ROLLED _Pragma("GCC unroll 1")
#endif
// The kernel function of the registry row <row>_<isa>.
#define OCTET_ROW(row) OCTET_JOIN(OCTET_JOIN(octet_, row), OCTET_JOIN(_, OCTET_ISA))

// With one flag short Highway would silently compile for a lesser target.
#define OCTET_TARGET_avx2 HWY_AVX2
#define OCTET_TARGET_avx512bw HWY_AVX3
#define OCTET_TARGET_neon HWY_NEON
static_assert(HWY_STATIC_TARGET == OCTET_JOIN(OCTET_TARGET_, OCTET_ISA),
              "the compiler flags are not those of OCTET_ISA");

HWY_BEFORE_NAMESPACE();
namespace octet {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using IntTag = hn::ScalableTag<int32_t>;
using Floats = hn::Vec<FloatTag>;
using Ints = hn::Vec<IntTag>;
constexpr FloatTag kFloat{};
constexpr IntTag kInt{};
constexpr size_t kLanes = HWY_LANES(float);  // 32-bit lanes of a vector

// A parameter of a run: one value, kept in a register, or one for each element. kUniform promises
// the former, so that the common loop has no choice to make.
template <class Tag, bool kUniform>
class Param {
  using T = hn::TFromD<Tag>;

 public:
  Param(const T* p, int32_t step) : each_(step ? p : nullptr), one_(hn::Set(Tag(), *p)) {}
  hn::Vec<Tag> operator()(size_t i) const {
    return kUniform || !each_ ? one_ : hn::LoadU(Tag(), each_ + i);
  }

 private:
  const T* each_;
  hn::Vec<Tag> one_;
};

// Replaces *p by a copy of its elements [first, first + count), padded with zeros to kStep.
template <size_t kStep, class T>
const T* stage(const void* p, size_t first, size_t count, T* copy) {
  memset(copy, 0, kStep * sizeof(T));
  memcpy(copy, static_cast<const T*>(p) + first, count * sizeof(T));
  return copy;
}

// A kernel's loop, and what it needs to be known of it: bytes of an element of x and y, elements of
// one turn (a power of two, of at most 64 bytes), and the multiple of elements that is written.
using Loop = void(const Run&);
struct Form {
  Loop *uniform, *each;  // one set of parameters, or one for each element
  size_t x_item, y_item, step, pad;
  bool writes_mask, streams;
};

// Runs the `count` elements of r from `first` on, less than a step, from copies. One function for
// all kernels, as apply_form is, because they would be the larger part of each.
[[gnu::noinline]] inline void apply_rest(const Run* r, size_t first, size_t count, const Form& f,
                                         Loop* loop) {
  Run part = *r;
  alignas(64) uint8_t x[64] = {}, y[64], mask[64];
  alignas(64) float in_scale[kLanes], out_inv[kLanes], out_scale[kLanes];
  alignas(64) float in_float[kLanes], out_float[kLanes];
  alignas(64) int32_t in_zero[kLanes], out_zero[kLanes];
  part.n = f.step;
  part.stream = 0;
  memcpy(x, static_cast<const uint8_t*>(r->x) + first * f.x_item, count * f.x_item);
  part.x = x;
  part.y = y;
  if (r->mask) part.mask = const_cast<uint8_t*>(stage<64>(r->mask, first, count, mask));
  const bool has_params = f.step == kLanes;  // only kernels of one vector a turn have parameters
  if (has_params && r->in_step) {
    if (r->in_scale) part.in_scale = stage<kLanes>(r->in_scale, first, count, in_scale);
    if (r->in_zero) part.in_zero = stage<kLanes>(r->in_zero, first, count, in_zero);
    if (r->in_float) part.in_float = stage<kLanes>(r->in_float, first, count, in_float);
  }
  if (has_params && r->out_step) {
    if (r->out_inv) part.out_inv = stage<kLanes>(r->out_inv, first, count, out_inv);
    if (r->out_zero) part.out_zero = stage<kLanes>(r->out_zero, first, count, out_zero);
    if (r->out_scale) part.out_scale = stage<kLanes>(r->out_scale, first, count, out_scale);
    if (r->out_float) part.out_float = stage<kLanes>(r->out_float, first, count, out_float);
  }
  loop(part);
  const size_t written = (count + f.pad - 1) / f.pad * f.pad;
  memcpy(static_cast<uint8_t*>(r->y) + first * f.y_item, y, written * f.y_item);
  if (f.writes_mask && r->mask) memcpy(r->mask + first, mask, count);
}

// r without its first k elements.
inline Run skip(const Run& r, size_t k, const Form& f) {
  const auto along = [k](auto* p, int32_t step) { return p && step ? p + k : p; };
  Run s = r;
  s.n -= k;
  s.x = static_cast<const uint8_t*>(r.x) + k * f.x_item;
  s.y = static_cast<uint8_t*>(r.y) + k * f.y_item;
  s.mask = along(r.mask, 1);
  s.in_scale = along(r.in_scale, r.in_step);
  s.in_zero = along(r.in_zero, r.in_step);
  s.in_float = along(r.in_float, r.in_step);
  s.out_inv = along(r.out_inv, r.out_step);
  s.out_scale = along(r.out_scale, r.out_step);
  s.out_zero = along(r.out_zero, r.out_step);
  s.out_float = along(r.out_float, r.out_step);
  return s;
}

[[gnu::noinline]] inline void apply_form(const Run* r, const Form& f) {
  constexpr size_t kLine = 64;
  Loop* const loop = r->in_step || r->out_step ? f.each : f.uniform;
  Run part = *r;
  if (part.stream) {
    const size_t past = reinterpret_cast<uintptr_t>(r->y) % kLine;
    if (!f.streams || past % f.y_item) part.stream = 0;
    if (part.stream && past) {
      size_t head = (kLine - past) / f.y_item;
      if (head > r->n) head = r->n;
      for (size_t i = 0; i < head; i += f.step)
        apply_rest(r, i, head - i < f.step ? head - i : f.step, f, loop);
      part = skip(part, head, f);
    }
  }
  const size_t whole = part.n & ~(f.step - 1), rest = part.n - whole;
  const Run all = part;
  part.n = whole;
  if (whole) loop(part);
  if (rest) apply_rest(&all, whole, rest, f, loop);
}

// Runs Op over r. Op has the element types X and Y, kStep, the elements of one turn of its loop,
// kPad, kWritesMask, kStreams and loop<kUniform>(run), which wants run.n to be a multiple of kStep
// and, where it is to stream, run.y to begin a cache line.
template <class Op>
void apply(const Run* r) {
  // Named, because compilers may put a nameless one into writable data.
  static constexpr Form kForm = {Op::template loop<true>,
                                 Op::template loop<false>,
                                 sizeof(typename Op::X),
                                 sizeof(typename Op::Y),
                                 Op::kStep,
                                 Op::kPad,
                                 Op::kWritesMask,
                                 Op::kStreams};
  apply_form(r, kForm);
}

// Stores a vector, past the caches where the run is to stream.
inline void store(Floats v, const Run& r, float* p) {
  if (r.stream)
    hn::Stream(v, kFloat, p);
  else
    hn::StoreU(v, kFloat, p);
}

// What most kernels are: one vector of 32-bit lanes a turn, as many elements out as in.
template <class In, class Out>
struct LaneOp {
  using X = In;
  using Y = Out;
  static constexpr size_t kStep = kLanes;
  static constexpr bool kWritesMask = false;
  static constexpr bool kStreams = false;
  static constexpr size_t kPad = 1;
};

}  // namespace
}  // namespace octet
HWY_AFTER_NAMESPACE();

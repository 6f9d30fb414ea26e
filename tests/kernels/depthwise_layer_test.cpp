// SPDX-License-Identifier: Apache-2.0
//
// Depthwise layers as a whole (src/depthwise.h) against sums made tap by tap: every instruction set
// of this CPU, 1 to 3 dims, strides, dilation, padding, multipliers, zero points of weights, views,
// threads; image, output and workspace between protected pages.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "octet/octet.h"
#include "src/depthwise.h"
#include "tests/kernels/guarded.h"

namespace octet {
namespace {

// Runs the workers one after another, the last one first.
int32_t backwards(void*, size_t workers, void (*work)(void*, size_t), void* arg) {
  while (workers > 0) work(arg, --workers);
  return 0;
}

struct Context {
  explicit Context(const char* cap) {
    octet_context_desc d = {};
    d.struct_size = sizeof d;
    d.max_isa = cap;
    octet_error err;
    if (octet_context_create(&d, &context, &err)) context = nullptr;
  }
  ~Context() { octet_context_destroy(context); }
  Context(const Context&) = delete;
  octet_context* context = nullptr;
};

class Layer {
 public:
  explicit Layer(uint32_t seed) : random_(seed) {}
  int32_t draw(int32_t low, int32_t high) {
    return std::uniform_int_distribution<int32_t>(low, high)(random_);
  }
  bool chance(int32_t part, int32_t of) { return draw(1, of) <= part; }

  // A shape, an image and weights; the sums of a layer on them.
  void make() {
    multiplier_ = chance(1, 3) ? draw(2, 5) : 1;
    inputs_ = chance(1, 4) ? draw(60, 150) : draw(1, 40);
    channels_ = inputs_ * multiplier_;
    batch_ = draw(1, 2);
    const int32_t rank = draw(1, 3);
    const bool flat = chance(1, 3);  // kernels of one row, which are taken along W
    for (int32_t i = 0; i < 3; ++i) {
      axes_[i] = {};
      if (i < 3 - rank) continue;
      Axis& a = axes_[i];
      a.kernel = chance(1, 12) ? draw(8, 11) : draw(1, 5);
      a.stride = draw(1, 3);
      a.dilation = chance(1, 4) ? draw(2, 3) : 1;
      if (flat && i == 1) a.kernel = 1;
      if (flat && i == 2 && chance(1, 3)) a.dilation = draw(2, 24);
      const int64_t reach = (a.kernel - 1) * a.dilation + 1;
      a.pad_lo = draw(0, static_cast<int32_t>(reach));
      a.pad_hi = draw(0, static_cast<int32_t>(reach));
      a.in = i == 2 && chance(1, 6) ? draw(60, 130) : draw(1, i == 0 ? 5 : 14);
      a.in = std::max(a.in, reach - a.pad_lo - a.pad_hi);
      a.out = (a.in + a.pad_lo + a.pad_hi - reach) / a.stride + 1;
    }
    taps_ = axes_[0].kernel * axes_[1].kernel * axes_[2].kernel;
    make_weights();
    make_image();
    zero_ = draw(0, 255);
    sum();
  }

  // The layer on this context gives the same sums, and the same bytes after a finish.
  void check(const octet_context& c, const octet_exec* exec) {
    for (const int32_t out : {int32_t{OCTET_S32}, int32_t{kOutQ8}}) {
      const Row& row = *depthwise_row(c, out);
      DepthwiseLayer layer;
      const size_t bytes = size_depthwise(view_, row, axes_, &layer);
      std::vector<char> block(bytes);
      fill_depthwise(view_, block.data(), &layer);
      DepthwiseCall call = make_call(row, out);
      call.lookup = kernel<LookupFn>(c, kLut, kOutQ8, kOutQ8);
      Exec e;
      octet_error err;
      ASSERT_EQ(read_exec(&err, exec, &e), OCTET_OK);
      const size_t need = depthwise_workspace(layer, axes_, batch_, e);
      char* workspace = workspace_.place<char>(need, true);
      ASSERT_EQ(run_depthwise(&err, layer, call, e, workspace), OCTET_OK);
      compare(row, call, out);
    }
  }

 private:
  void make_weights() {
    const int64_t blocks = (channels_ + 15) / 16;
    stride_ = (taps_ + 3) / 4 * 64;
    panels_.assign(static_cast<size_t>(blocks * stride_) + 64, 0);
    int8_t* panels = panels_.data() + (64 - reinterpret_cast<uintptr_t>(panels_.data()) % 64) % 64;
    zeros_.assign(static_cast<size_t>(blocks * 16), 0);
    const bool zeros = chance(1, 3);
    const int32_t kind = draw(0, 2);
    for (int64_t j = 0; j < channels_; ++j) {
      if (zeros) zeros_[static_cast<size_t>(j)] = kind ? draw(-128, 127) : -128;
      for (int64_t t = 0; t < taps_; ++t)
        panels[j / 16 * stride_ + t / 4 * 64 + j % 16 * 4 + t % 4] =
            static_cast<int8_t>(kind           ? draw(-128, 127)
                                : chance(1, 2) ? 127
                                               : -128);
    }
    view_ = {};
    int32_t kernel[3];
    for (int i = 0; i < 3; ++i) kernel[i] = static_cast<int32_t>(axes_[i].kernel);
    view_.conv = make_conv_form(3, static_cast<int32_t>(inputs_), false, kernel, nullptr, nullptr,
                                inputs_, channels_);
    view_.panels = panels;
    view_.panel_stride = stride_;
    view_.zero = zeros_.data();
    view_.has_zero = zeros;
  }

  int64_t weight(int64_t channel, int64_t tap) const {
    return view_.panels[channel / 16 * stride_ + tap / 4 * 64 + channel % 16 * 4 + tap % 4] -
           zeros_[static_cast<size_t>(channel)];
  }

  // Rows and pixels at any distance; the last channel of the last pixel ends at a protected page.
  void make_image() {
    steps(inputs_, [](const Axis& a) { return a.in; }, 1, step_x_);
    const size_t bytes =
        static_cast<size_t>(extent(inputs_, [](const Axis& a) { return a.in; }, 1, step_x_));
    uint8_t* x = image_.place<uint8_t>(bytes, true);
    const int32_t kind = draw(0, 2);
    for (size_t i = 0; i < bytes; ++i)
      x[i] = kind ? static_cast<uint8_t>(random_()) : chance(1, 2) ? 255 : 0;
    x_ = x;
  }

  template <class Size>
  void steps(int64_t channels, Size size, int64_t item, int64_t* step) {
    int64_t next = channels * item;
    for (int i = 2; i >= 0; --i) {
      step[1 + i] = next + (chance(1, 3) ? draw(0, 9) * item : 0);
      next = step[1 + i] * size(axes_[i]);
    }
    step[0] = next;
  }
  template <class Size>
  int64_t extent(int64_t channels, Size size, int64_t item, const int64_t* step) const {
    int64_t last = step[0] * (batch_ - 1);
    for (int i = 0; i < 3; ++i) last += step[1 + i] * (size(axes_[i]) - 1);
    return last + channels * item;
  }

  template <class Do>
  void each_output(Do act) const {
    for (int64_t n = 0; n < batch_; ++n)
      for (int64_t d = 0; d < axes_[0].out; ++d)
        for (int64_t h = 0; h < axes_[1].out; ++h)
          for (int64_t w = 0; w < axes_[2].out; ++w)
            for (int64_t j = 0; j < channels_; ++j) act(n, d, h, w, j);
  }

  int64_t at(int64_t n, const int64_t* in, int64_t channel) const {
    int64_t offset = n * step_x_[0] + channel;
    for (int i = 0; i < 3; ++i) {
      if (in[i] < 0 || in[i] >= axes_[i].in) return zero_;
      offset += in[i] * step_x_[1 + i];
    }
    return x_[offset];
  }

  void sum() {
    sums_.clear();
    each_output([&](int64_t n, int64_t d, int64_t h, int64_t w, int64_t j) {
      int64_t total = 0, tap = 0;
      const int64_t out[3] = {d, h, w};
      for (int64_t a = 0; a < axes_[0].kernel; ++a)
        for (int64_t b = 0; b < axes_[1].kernel; ++b)
          for (int64_t c = 0; c < axes_[2].kernel; ++c, ++tap) {
            const int64_t k[3] = {a, b, c};
            int64_t in[3];
            for (int i = 0; i < 3; ++i)
              in[i] = out[i] * axes_[i].stride - axes_[i].pad_lo + k[i] * axes_[i].dilation;
            total += (at(n, in, j / multiplier_) - zero_) * weight(j, tap);
          }
      sums_.push_back(static_cast<int32_t>(total));
    });
  }

  DepthwiseCall make_call(const Row& row, int32_t out) {
    const int64_t item = out == kOutQ8 ? 1 : 4;
    DepthwiseCall call = {};
    call.x = x_;
    call.batch = batch_;
    std::copy(axes_, axes_ + 3, call.axes);
    std::copy(step_x_, step_x_ + 4, call.step_x);
    const auto size = [](const Axis& a) { return a.out; };
    steps(channels_, size, item, call.step_y);
    const size_t bytes = static_cast<size_t>(extent(channels_, size, item, call.step_y));
    call.y = output_.place<char>(bytes, true);
    memset(call.y, 0x5A, bytes);
    call.pad = static_cast<int32_t>(zero_);
    call.flip = row.in == OCTET_U8 ? 0 : 128;
    call.zero = static_cast<int32_t>(zero_) - call.flip;
    fill_columns(call.zero);
    finish_ = {};
    finish_.ibias = ibias_.data();
    finish_.fbias = fbias_.data();
    finish_.mult = mult_.data();
    finish_.zp = 9;
    finish_.hi = 255;
    if (out == kOutQ8 && chance(1, 2)) {
      steps(channels_, size, 1, call.step_r);
      residual_.resize(static_cast<size_t>(extent(channels_, size, 1, call.step_r)));
      for (char& r : residual_) r = static_cast<char>(random_());
      call.r = residual_.data();
      finish_.residual_scale = 0.75f;
      finish_.residual_zero = 100;
    }
    if (out == kOutQ8 && chance(1, 3)) {
      for (uint8_t& entry : lut_) entry = static_cast<uint8_t>(random_());
      call.lut = lut_;
    }
    call.finish = finish_;
    return call;
  }

  // As for a matrix: the zero point times the sum of the weights as they are stored.
  void fill_columns(int32_t zero) {
    const size_t slots = zeros_.size();
    ibias_.assign(slots, 0);
    fbias_.assign(slots, 0.5f);
    mult_.assign(slots, 1.0f / static_cast<float>(64 * taps_));
    for (int64_t j = 0; j < channels_; ++j) {
      int64_t total = 0;
      for (int64_t t = 0; t < taps_; ++t) total += weight(j, t) + zeros_[static_cast<size_t>(j)];
      ibias_[static_cast<size_t>(j)] = static_cast<int32_t>(-zero * total);
    }
  }

  void compare(const Row& row, const DepthwiseCall& call, int32_t out) const {
    size_t i = 0, wrong = 0;
    const auto offset = [&](const int64_t* s, int64_t n, int64_t d, int64_t h, int64_t w) {
      return n * s[0] + d * s[1] + h * s[2] + w * s[3];
    };
    each_output([&](int64_t n, int64_t d, int64_t h, int64_t w, int64_t j) {
      const int32_t sum = sums_[i++];
      const char* y = call.y + offset(call.step_y, n, d, h, w);
      if (out == OCTET_S32) {
        int32_t got;
        memcpy(&got, y + 4 * j, 4);
        wrong += got != sum;
        return;
      }
      float f = (static_cast<float>(sum) + 0.5f) * mult_[0];
      if (call.r) {
        const char r = call.r[offset(call.step_r, n, d, h, w) + j];
        f += 0.75f * static_cast<float>(static_cast<uint8_t>(r) - 100);
      }
      uint8_t want = static_cast<uint8_t>(std::nearbyint(std::min(std::max(f, -9.0f), 246.0f)) + 9);
      if (call.lut) want = lut_[want];
      wrong += static_cast<uint8_t>(y[j]) != want;
    });
    ASSERT_EQ(wrong, 0u) << row.name << ": kernel " << axes_[0].kernel << " " << axes_[1].kernel
                         << " " << axes_[2].kernel << ", channels " << channels_;
  }

  std::mt19937 random_;
  int64_t multiplier_ = 1, inputs_ = 1, channels_ = 1, batch_ = 1, taps_ = 1, stride_ = 0,
          zero_ = 0;
  Axis axes_[3];
  WeightsView view_ = {};
  int64_t step_x_[4] = {};
  const uint8_t* x_ = nullptr;
  uint8_t lut_[256] = {};
  Finish finish_ = {};
  std::vector<int8_t> panels_;
  std::vector<int32_t> zeros_, sums_, ibias_;
  std::vector<float> fbias_, mult_;
  std::vector<char> residual_;
  Guarded image_{1 << 24}, output_{1 << 26}, workspace_{1 << 22};
};

class DepthwiseLayers : public testing::TestWithParam<const char*> {};

TEST_P(DepthwiseLayers, EqualTheirSums) {
  const Context c(GetParam());
  if (!c.context) GTEST_SKIP() << "this CPU has no " << GetParam();
  octet_exec threads = {};
  threads.struct_size = sizeof threads;
  threads.max_threads = 3;
  threads.parallel_for = backwards;
#if defined(__x86_64__)
  const uint32_t layers = strcmp(GetParam(), "scalar") ? 90 : 18;
#else
  const uint32_t layers = strcmp(GetParam(), "scalar") ? 24 : 6;  // emulated
#endif
  for (uint32_t seed = 1; seed <= layers; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Layer layer(seed);
    layer.make();
    layer.check(*c.context, seed % 3 ? nullptr : &threads);
    if (HasFailure()) return;
  }
}

#if defined(__x86_64__)
INSTANTIATE_TEST_SUITE_P(Caps, DepthwiseLayers,
                         testing::Values("scalar", "avx2", "avxvnni", "avx512bw", "avx512vnni"));
#else
INSTANTIATE_TEST_SUITE_P(Caps, DepthwiseLayers, testing::Values("scalar", "neon", "neondot"));
#endif

}  // namespace
}  // namespace octet

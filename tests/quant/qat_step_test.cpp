// SPDX-License-Identifier: Apache-2.0
//
// The one-call QAT step: equal to its parts, switches, refusals before the first write, and
// training runs whose state is copied, restored and reduced as plain memory.
#include <algorithm>

#include "tests/quant/support.h"

namespace octet_test {
namespace {

// A fake-quantizer with its buffers, as a host would hold them.
struct State {
  octet_scheme scheme;
  std::vector<float> run_min, run_max, scale;
  std::vector<int32_t> zero;
  float momentum = 0;
  int32_t bits = 0;

  explicit State(octet_scheme s, size_t n = 1)
      : scheme(s), run_min(n, kInf), run_max(n, -kInf), scale(n, -7), zero(n, -7) {}
  octet_fake_quantizer view(uint32_t flags = 0) {
    octet_fake_quantizer f = {};
    f.struct_size = sizeof f;
    f.flags = flags;
    f.momentum = momentum;
    f.bits = bits;
    f.count = run_min.size();
    f.scheme = &scheme;
    f.run_min = run_min.data();
    f.run_max = run_max.data();
    f.scale = scale.data();
    f.zero_point = zero.data();
    return f;
  }
  bool operator==(const State& o) const {
    return run_min == o.run_min && run_max == o.run_max && scale == o.scale && zero == o.zero;
  }
};

octet_scheme per_channel(octet_scheme s, int32_t axis) {
  s.granularity = OCTET_PER_CHANNEL;
  s.axis = axis;
  return s;
}

class Step : public testing::Test {
 protected:
  using Bytes = std::vector<uint8_t>;

  octet_status step(State* s, const octet_tensor& x, const octet_tensor& y, uint8_t* mask = nullptr,
                    uint32_t flags = 0, const octet_exec* e = nullptr, octet_error* err = nullptr) {
    const octet_fake_quantizer f = s->view(flags);
    return octet_fake_quant_step(c, &f, &x, &y, mask, e, err);
  }

  Context c;
  std::mt19937 rng{5};
};

TEST_F(Step, MovingAverageGolden) {
  State s(make_scheme(OCTET_U8));
  const float batches[][3] = {{-1, 0.3f, 2}, {-3, 0.7f, 4}};
  float y[3];
  ASSERT_EQ(step(&s, octet_vec(OCTET_F32, batches[0], 3), octet_vec(OCTET_F32, y, 3)), OCTET_OK);
  EXPECT_EQ(bits(s.scale[0]), bits(0.0117647061f));
  EXPECT_EQ(s.zero[0], 85);
  ASSERT_EQ(step(&s, octet_vec(OCTET_F32, batches[1], 3), octet_vec(OCTET_F32, y, 3)), OCTET_OK);
  EXPECT_EQ(bits(s.run_min[0]), bits(-1.01999998f));
  EXPECT_EQ(bits(s.run_max[0]), bits(2.01999998f));
  EXPECT_EQ(bits(s.scale[0]), bits(0.0119215688f));
  EXPECT_EQ(s.zero[0], 86);
  EXPECT_EQ(bits(y[0]), bits(-1.02525496f));
  EXPECT_EQ(bits(y[1]), bits(0.703372538f));
  EXPECT_EQ(bits(y[2]), bits(2.01474524f));
}

TEST_F(Step, MovingAverageOfTheObserver) {
  State s(make_scheme(OCTET_U8));
  s.momentum = 0.01f;
  const float batches[][2] = {{-1, 1}, {-2, 3}, {-0.5f, 0.25f}};
  const uint32_t min[] = {0xBF800000, 0xBF8147AE, 0xBF80A090};
  const uint32_t max[] = {0x3F800000, 0x3F828F5C, 0x3F81930C};
  float y[2];
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(step(&s, octet_vec(OCTET_F32, batches[i], 2), octet_vec(OCTET_F32, y, 2)), OCTET_OK);
    EXPECT_EQ(bits(s.run_min[0]), min[i]);
    EXPECT_EQ(bits(s.run_max[0]), max[i]);
  }
  EXPECT_EQ(bits(s.scale[0]), bits(0.00791058782f));
  EXPECT_EQ(s.zero[0], 127);
}

// By hand: an observer for the batch, the moving range, the chooser, the plain function.
TEST_F(Step, EqualsItsParts) {
  constexpr int64_t kRows = 130, kCols = 90;
  struct Case {
    octet_scheme scheme;
    int32_t bits, qmin, qmax;
    float momentum;
  } const cases[] = {{make_scheme(OCTET_U8), 0, 0, 255, 0},
                     {make_scheme(OCTET_S8, OCTET_SYMMETRIC | OCTET_NARROW), 0, -127, 127, 1},
                     {make_scheme(OCTET_S4, OCTET_SYMMETRIC), 0, -8, 7, 0.5f},
                     {make_scheme(OCTET_U4), 0, 0, 15, 0.25f},
                     {make_scheme(OCTET_S8, OCTET_POW2), 16, -32768, 32767, 0.1f},
                     {make_scheme(OCTET_U8, OCTET_DIVIDE), 2, 0, 3, 0.1f}};
  for (const Case& k : cases)
    for (int axis = -1; axis < 2; ++axis) {
      const size_t n = axis < 0 ? 1 : static_cast<size_t>(axis ? kCols : kRows);
      State s(axis < 0 ? k.scheme : per_channel(k.scheme, axis - 2), n);
      s.momentum = k.momentum;
      s.bits = k.bits;
      std::vector<float> run_min(n, kInf), run_max(n, -kInf);
      for (int round = 0; round < 3; ++round) {
        std::vector<float> x(kRows * kCols);
        for (size_t i = 0; i < x.size(); ++i)
          x[i] = static_cast<float>(static_cast<int>(rng() % 20001) - 10000) * 1e-3f;
        x[0] = kNan, x[5] = kInf, x[7] = -kInf;
        std::vector<float> y(x.size()), want(x.size());
        std::vector<uint8_t> mask(x.size()), want_mask(x.size());
        const octet_tensor in = octet_mat(OCTET_F32, x.data(), kRows, kCols);
        const octet_tensor out = octet_mat(OCTET_F32, y.data(), kRows, kCols);
        const octet_tensor other = octet_mat(OCTET_F32, want.data(), kRows, kCols);
        octet_error err = {};
        const octet_exec e = exec_with(run_reversed, 1 + round * 7);
        ASSERT_EQ(step(&s, in, out, mask.data(), 0, &e, &err), OCTET_OK) << err.text;

        std::vector<float> min(n, kInf), max(n, -kInf);
        for (size_t i = 0; i < x.size(); ++i) {
          const size_t ch = axis < 0 ? 0 : axis ? i % kCols : i / kCols;
          if (!std::isfinite(x[i])) continue;
          min[ch] = std::fmin(min[ch], x[i]);
          max[ch] = std::fmax(max[ch], x[i]);
        }
        const float m = k.momentum == 0 ? 0.01f : k.momentum;
        for (size_t i = 0; i < n; ++i) {
          run_min[i] = round && m != 1 ? run_min[i] + m * (min[i] - run_min[i]) : min[i];
          run_max[i] = round && m != 1 ? run_max[i] + m * (max[i] - run_max[i]) : max[i];
        }
        EXPECT_EQ(s.run_min, run_min);
        EXPECT_EQ(s.run_max, run_max);
        octet_qparams q = with_range(make_qparams(s.scale.data(), s.zero.data(),
                                                  static_cast<int64_t>(n), axis < 0 ? 0 : axis),
                                     k.qmin, k.qmax);
        q.flags = k.scheme.flags & OCTET_DIVIDE;
        if (!k.bits && k.scheme.type <= OCTET_S8) {
          std::vector<float> scale(n);
          std::vector<int32_t> zero(n);
          ASSERT_EQ(octet_choose_qparams(&k.scheme, run_min.data(), run_max.data(), n, scale.data(),
                                         zero.data(), nullptr),
                    OCTET_OK);
          EXPECT_EQ(s.scale, scale);
          EXPECT_EQ(s.zero, zero);
        }
        ASSERT_EQ(octet_fake_quant(c, &in, &q, &other, want_mask.data(), nullptr, &err), OCTET_OK)
            << err.text;
        EXPECT_EQ(memcmp(y.data(), want.data(), y.size() * 4), 0);
        EXPECT_EQ(mask, want_mask);
      }
    }
}

TEST_F(Step, BothSwitchesInAllStates) {
  const std::vector<float> x = {-1, 0.3f, 2, 9};
  for (uint32_t flags = 0; flags < 4; ++flags) {
    State s(make_scheme(OCTET_U8));
    s.run_min = {-1};
    s.run_max = {2};
    std::vector<float> y(4, -7);
    std::vector<uint8_t> mask(4, 9);
    ASSERT_EQ(step(&s, vec(x), vec(y), mask.data(), flags), OCTET_OK);
    const bool observed = !(flags & OCTET_NO_OBSERVE), quantized = !(flags & OCTET_NO_QUANTIZE);
    EXPECT_EQ(s.run_max[0], observed ? 2 + 0.01f * 7 : 2);
    EXPECT_EQ(bits(s.scale[0]),
              bits(static_cast<float>((static_cast<double>(s.run_max[0]) + 1) / 255)));
    EXPECT_EQ(y == x, !quantized);
    EXPECT_EQ(mask, quantized ? (Bytes{1, 1, 1, 0}) : (Bytes{1, 1, 1, 1}));
    // In place the same; y = x is no write at all then.
    State again(make_scheme(OCTET_U8));
    again.run_min = {-1};
    again.run_max = {2};
    std::vector<float> same = x;
    ASSERT_EQ(step(&again, vec(same), vec(same), nullptr, flags), OCTET_OK);
    EXPECT_EQ(same, y);
    EXPECT_TRUE(again == s);
  }
}

TEST_F(Step, EmptyWritesNothing) {
  for (uint32_t flags = 0; flags < 3; ++flags) {  // both: nothing is asked for
    State s(make_scheme(OCTET_U8)), before = s;
    const std::vector<float> x = {kNan, kInf};
    std::vector<float> y(2, -7);
    octet_error err = {};
    expect_refused(step(&s, vec(x), vec(y), nullptr, flags, nullptr, &err), err, OCTET_ERR_EMPTY,
                   {"no finite value"});
    EXPECT_TRUE(s == before);
    EXPECT_EQ(y[0], -7);
  }
  // Once fed, a batch without a finite value leaves the range as it is.
  State s(make_scheme(OCTET_U8));
  std::vector<float> y(2);
  ASSERT_EQ(step(&s, vec({-1, 2}), vec(y)), OCTET_OK);
  const State before = s;
  ASSERT_EQ(step(&s, vec({kNan, kInf}), vec(y)), OCTET_OK);
  EXPECT_TRUE(s == before);
  EXPECT_EQ(bits(y[0]), bits(static_cast<float>(0 - s.zero[0]) * s.scale[0]));
  ASSERT_EQ(step(&s, octet_vec(OCTET_F32, nullptr, 0), octet_vec(OCTET_F32, nullptr, 0)), OCTET_OK);
  EXPECT_TRUE(s == before);
}

// More channels than are staged at once: the last one's refusal must still precede every write.
TEST_F(Step, ALateRefusalWritesNothing) {
  constexpr int64_t kChannels = 200, kRows = 3;
  for (int axis = 0; axis < 2; ++axis)
    for (float bad : {kNan, 1e30f}) {
      std::vector<float> x(kChannels * kRows, 1), y(x.size(), -7);
      for (size_t i = 0; i < x.size(); ++i)
        if ((axis ? i % kChannels : i / kRows) == 199) x[i] = bad;
      State s(per_channel(make_scheme(OCTET_S8, OCTET_SYMMETRIC), axis), kChannels), before = s;
      const octet_tensor in = axis ? octet_mat(OCTET_F32, x.data(), kRows, kChannels)
                                   : octet_mat(OCTET_F32, x.data(), kChannels, kRows);
      octet_tensor out = in;
      out.data = y.data();
      octet_error err = {};
      expect_refused(step(&s, in, out, nullptr, 0, nullptr, &err), err,
                     std::isnan(bad) ? OCTET_ERR_EMPTY : OCTET_ERR_ARGUMENT, {"199"});
      EXPECT_TRUE(s == before);
      EXPECT_EQ(y, std::vector<float>(y.size(), -7));
      for (size_t i = 0; i < x.size(); ++i)
        if ((axis ? i % kChannels : i / kRows) == 199) x[i] = 2;
      ASSERT_EQ(step(&s, in, out, nullptr, 0, nullptr, &err), OCTET_OK) << err.text;
      EXPECT_EQ(s.scale[198], 1.0f / 127);
      EXPECT_EQ(s.scale[199], 2.0f / 127);
    }
}

// ---- training runs: the state is plain memory -------------------------------------------------

class Training : public Step {
 protected:
  static constexpr int kSteps = 40;
  static constexpr int64_t kRows = 16, kCols = 70;

  std::vector<float> batch(int i) {
    std::mt19937 r(static_cast<uint32_t>(i));
    std::vector<float> x(kRows * kCols);
    for (auto& v : x)
      v = static_cast<float>(static_cast<int>(r() % 4001) - 2000) * 1e-3f *
          static_cast<float>(1 + i % 5);
    return x;
  }
  octet_status train(State* s, int i, std::vector<float>* y, int64_t first = 0,
                     int64_t rows = kRows) {
    const std::vector<float> x = batch(i);
    y->resize(x.size());
    return step(s, octet_mat(OCTET_F32, x.data() + first * kCols, rows, kCols),
                octet_mat(OCTET_F32, y->data() + first * kCols, rows, kCols));
  }
};

TEST_F(Training, RestoredBuffersContinueTheRun) {
  State whole(per_channel(make_scheme(OCTET_U8), 1), kCols), first = whole;
  std::vector<float> y, z;
  for (int i = 0; i < kSteps; ++i) {
    ASSERT_EQ(train(&whole, i, &y), OCTET_OK);
    if (i < kSteps / 2) {
      ASSERT_EQ(train(&first, i, &z), OCTET_OK);
    }
  }
  State restored(first.scheme, kCols);  // other memory, as from a checkpoint
  restored.run_min = first.run_min;
  restored.run_max = first.run_max;
  for (int i = kSteps / 2; i < kSteps; ++i) ASSERT_EQ(train(&restored, i, &z), OCTET_OK);
  EXPECT_TRUE(restored == whole);
  EXPECT_EQ(y, z);
}

// Two workers see half of each batch and reduce min and max: rounding is monotonic, so the run
// equals that of one worker who sees everything.
TEST_F(Training, AllReducedBuffersEqualOneWorker) {
  State whole(per_channel(make_scheme(OCTET_S8, OCTET_SYMMETRIC), 1), kCols), a = whole, b = whole;
  std::vector<float> y, ya, yb;
  for (int i = 0; i < kSteps; ++i) {
    ASSERT_EQ(train(&whole, i, &y), OCTET_OK);
    ASSERT_EQ(train(&a, i, &ya, 0, kRows / 2), OCTET_OK);
    ASSERT_EQ(train(&b, i, &yb, kRows / 2, kRows / 2), OCTET_OK);
    for (size_t k = 0; k < kCols; ++k) {
      a.run_min[k] = b.run_min[k] = std::min(a.run_min[k], b.run_min[k]);
      a.run_max[k] = b.run_max[k] = std::max(a.run_max[k], b.run_max[k]);
    }
  }
  // Scales again from the reduced range, without observing.
  std::vector<float> x = batch(kSteps - 1);
  const octet_tensor t = octet_mat(OCTET_F32, x.data(), kRows, kCols);
  ASSERT_EQ(step(&a, t, t, nullptr, OCTET_NO_OBSERVE), OCTET_OK);
  EXPECT_TRUE(a == whole);
  EXPECT_EQ(x, y);
}

TEST_F(Step, Refusals) {
  const std::vector<float> x = {-1, 2};
  std::vector<float> y(2, -7);
  octet_error err = {};
  const auto refused = [&](auto spoil, octet_status status,
                           std::initializer_list<const char*> words) {
    State s(make_scheme(OCTET_U8));
    octet_fake_quantizer f = s.view();
    spoil(&s, &f);
    const State before = s;
    const octet_tensor in = vec(x), out = vec(y);
    err = {};
    expect_refused(octet_fake_quant_step(c, &f, &in, &out, nullptr, nullptr, &err), err, status,
                   words);
    EXPECT_TRUE(s == before || std::isnan(s.run_min[0]));
    EXPECT_EQ(y[0], -7);
  };
  using F = octet_fake_quantizer;
  refused([](State*, F* f) { f->struct_size = 8; }, OCTET_ERR_ARGUMENT, {"struct_size is 8"});
  refused([](State*, F* f) { f->flags = 4; }, OCTET_ERR_ARGUMENT, {"octet_fake_quantizer.flags"});
  refused([](State*, F* f) { f->momentum = -0.5f; }, OCTET_ERR_ARGUMENT, {"momentum is -0.5"});
  refused([](State*, F* f) { f->momentum = 1.5f; }, OCTET_ERR_ARGUMENT, {"momentum is 1.5"});
  refused([](State*, F* f) { f->momentum = kNan; }, OCTET_ERR_ARGUMENT, {"momentum is nan"});
  refused([](State*, F* f) { f->bits = 1; }, OCTET_ERR_ARGUMENT, {"bits is 1"});
  refused([](State*, F* f) { f->bits = 17; }, OCTET_ERR_ARGUMENT, {"bits is 17"});
  refused([](State*, F* f) { f->count = 2; }, OCTET_ERR_ARGUMENT, {"count is 2"});
  refused([](State*, F* f) { f->run_max = nullptr; }, OCTET_ERR_ARGUMENT, {"run_max is NULL"});
  refused([](State*, F* f) { f->zero_point = nullptr; }, OCTET_ERR_ARGUMENT,
          {"zero_point is NULL"});
  refused([](State* s, F*) { s->run_min[0] = kNan; }, OCTET_ERR_NOT_FINITE, {"nan"});
  refused([](State* s, F*) { s->run_max[0] = 1; }, OCTET_ERR_NOT_FINITE, {"inf"});
  refused([](State* s, F*) { s->run_min[0] = 3, s->run_max[0] = 1; }, OCTET_ERR_ARGUMENT,
          {"more than"});
  refused([](State* s, F*) { s->scheme.type = OCTET_S32; }, OCTET_ERR_UNSUPPORTED, {"type is 3"});
  refused([](State* s, F*) { s->scheme.granularity = OCTET_PER_ROW; }, OCTET_ERR_ARGUMENT,
          {"PER_ROW"});
  refused([](State* s, F*) { s->scheme.granularity = OCTET_PER_SAMPLE; }, OCTET_ERR_UNSUPPORTED,
          {"granularity is 5"});
  refused(
      [](State* s, F*) {
        s->scheme.granularity = OCTET_PER_GROUP;
        s->scheme.group = 3;
      },
      OCTET_ERR_ARGUMENT, {"group is 3", "divide"});
  refused([](State* s, F*) { s->scheme = per_channel(s->scheme, 0); }, OCTET_ERR_ARGUMENT,
          {"count is 1", "dims[0] = 2"});
  refused([](State* s, F*) { s->scheme = per_channel(s->scheme, 1); }, OCTET_ERR_ARGUMENT,
          {"axis is 1"});
  refused([](State* s, F*) { s->scheme.chooser = OCTET_CHOOSE_TORCH_FLOAT; }, OCTET_ERR_ARGUMENT,
          {"chooser"});
  // The largest range there is, and one that only ONNX's formula takes below the domain.
  refused([](State* s, F*) { s->run_min[0] = -3e38f, s->run_max[0] = 3e38f; }, OCTET_ERR_ARGUMENT,
          {"2^60"});
  refused(
      [](State* s, F* f) {
        s->scheme.chooser = OCTET_CHOOSE_ONNX;
        s->run_min[0] = 0, s->run_max[0] = 1e-30f;
        f->flags = OCTET_NO_OBSERVE;
      },
      OCTET_ERR_ARGUMENT, {"2^-60"});
  refused([&](State*, F* f) { f->scale = y.data() + 1; }, OCTET_ERR_ARGUMENT, {"y overlaps"});
  const octet_tensor in = vec(x), out = vec(y);
  expect_refused(octet_fake_quant_step(c, nullptr, &in, &out, nullptr, nullptr, &err), err,
                 OCTET_ERR_ARGUMENT, {"f is NULL"});
}

}  // namespace
}  // namespace octet_test

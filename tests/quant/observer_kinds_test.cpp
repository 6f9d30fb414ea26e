// SPDX-License-Identifier: Apache-2.0
//
// What every kind of observer promises beside its statistic: copies, freezing, counts beyond 32
// bits, degenerate input, memory; and the kinds without a histogram.
#include <memory>

#include "tests/quant/observers.h"

namespace octet_test {
namespace {

using Interval = Observer::Interval;
using Kinds = Observers;

const float kFixedScale[] = {0.5f};
const int32_t kFixedZero[] = {3};

octet_observer_desc any_desc(int32_t kind) {
  octet_observer_desc d = observer_desc(kind);
  if (kind == OCTET_OBSERVE_FIXED) {
    d.scale = kFixedScale;
    d.zero_point = kFixedZero;
  }
  return d;
}

// All but CALLBACK, whose state is the caller's.
const int32_t kAll[] = {OCTET_OBSERVE_MINMAX,          OCTET_OBSERVE_MOVING,
                        OCTET_OBSERVE_HISTOGRAM,       OCTET_OBSERVE_TORCH_HISTOGRAM,
                        OCTET_OBSERVE_FIXED,           OCTET_OBSERVE_ABSMAX,
                        OCTET_OBSERVE_NVIDIA_HISTOGRAM};

TEST_F(Kinds, MovingAverageGoldenVectors) {
  Observer o(c, observer_desc(OCTET_OBSERVE_MOVING));
  const octet_scheme s = range_scheme(OCTET_RANGE_OBSERVED);
  o.feed(vec({-1, 1}));
  EXPECT_EQ(o.range(s), (Interval{-1, 1}));
  o.feed(vec({-2, 3}));
  EXPECT_EQ(o.range(s), (Interval{from_bits(0xBF8147AE), from_bits(0x3F828F5C)}));
  o.feed(vec({kNan, kInf}));  // moves nothing, but is counted
  o.feed(vec({-0.5f, 0.25f}));
  EXPECT_EQ(o.range(s), (Interval{from_bits(0xBF80A090), from_bits(0x3F81930C)}));
  EXPECT_EQ(o.stats().count, 8u);
  EXPECT_EQ(o.stats().nan_count, 1u);
  EXPECT_EQ(o.stats().inf_count, 1u);
  octet_scheme u8 = make_scheme(OCTET_U8, 0, OCTET_CHOOSE_TORCH_OBSERVER);
  float scale;
  int32_t zero;
  ASSERT_EQ(octet_observer_qparams(o, &u8, &scale, &zero, 1, nullptr), OCTET_OK);
  EXPECT_EQ(bits(scale), bits(0.00791058782f));
  EXPECT_EQ(zero, 127);
}

TEST_F(Kinds, MovingAverageOfChannels) {
  octet_observer_desc d = observer_desc(OCTET_OBSERVE_MOVING, 3, 1);
  d.momentum = 0.5f;
  Observer o(c, d);
  const float first[] = {1, kNan, -4, 2, kInf, 4}, second[] = {3, 5, 0, 3, 6, 0};
  o.feed(octet_mat(OCTET_F32, first, 2, 3));
  o.feed(octet_mat(OCTET_F32, second, 2, 3));
  const octet_scheme s = range_scheme(OCTET_RANGE_OBSERVED);
  float min[3], max[3];
  ASSERT_EQ(octet_observer_range(o, &s, min, max, 3, nullptr), OCTET_OK);
  EXPECT_EQ(min[0], 2);
  EXPECT_EQ(max[0], 2.5f);
  EXPECT_EQ(min[1], 5);  // its first finite batch is copied
  EXPECT_EQ(max[1], 6);
  EXPECT_EQ(min[2], -2);
  EXPECT_EQ(max[2], 2);
  // A range that leaves the floats is refused, and nothing is taken.
  Observer huge(c, observer_desc(OCTET_OBSERVE_MOVING));
  huge.feed(vec({-3e38f, 3e38f}));
  const auto before = huge.save();
  octet_error err = {};
  const float x = 3e38f;
  const octet_tensor t = octet_vec(OCTET_F32, &x, 1);
  expect_refused(octet_observer_feed(huge, &t, nullptr, &err), err, OCTET_ERR_NOT_FINITE,
                 {"channel 0"});
  EXPECT_EQ(huge.save(), before);
}

TEST_F(Kinds, AbsmaxIsNvidiasMax) {
  Observer o(c, observer_desc(OCTET_OBSERVE_ABSMAX, 2, 0));
  const float first[] = {1, -2, .5f, .25f}, second[] = {-3, 0, .1f, .2f};
  o.feed(octet_mat(OCTET_F32, first, 2, 2));
  o.feed(octet_mat(OCTET_F32, second, 2, 2));
  octet_scheme s = make_scheme(OCTET_S8, 0, OCTET_CHOOSE_NVIDIA);
  float min[2], max[2], scale[2];
  ASSERT_EQ(octet_observer_range(o, &s, min, max, 2, nullptr), OCTET_OK);
  EXPECT_EQ(min[0], -3);
  EXPECT_EQ(max[0], 3);  // of either sign
  EXPECT_EQ(min[1], 0);  // nothing negative was seen
  EXPECT_EQ(max[1], .5f);
  ASSERT_EQ(octet_observer_qparams(o, &s, scale, nullptr, 2, nullptr), OCTET_OK);
  EXPECT_EQ(scale[0], 3.0f / 127);
  EXPECT_EQ(scale[1], 0.5f / 127);
}

TEST_F(Kinds, FixedGivesItsConstants) {
  Observer o(c, any_desc(OCTET_OBSERVE_FIXED));
  float scale = -1, min, max;
  int32_t zero = -1;
  ASSERT_EQ(octet_observer_qparams(o, nullptr, &scale, &zero, 1, nullptr), OCTET_OK);  // unfed
  o.feed(vec({-100, 100, kNan}));
  EXPECT_EQ(o.stats().count, 3u);
  ASSERT_EQ(octet_observer_qparams(o, nullptr, &scale, &zero, 1, nullptr), OCTET_OK);
  EXPECT_EQ(scale, 0.5f);
  EXPECT_EQ(zero, 3);
  ASSERT_EQ(octet_observer_range(o, nullptr, &min, &max, 1, nullptr), OCTET_OK);
  EXPECT_EQ(min, -1.5f);
  EXPECT_EQ(max, 126);
  octet_error err = {};
  octet_scheme small = make_scheme(OCTET_U8);
  small.qmax = 2;
  expect_refused(octet_observer_qparams(o, &small, &scale, &zero, 1, &err), err, OCTET_ERR_ARGUMENT,
                 {"zero point", "is 3"});
  const float scales[] = {1, 2};
  octet_observer_desc d = observer_desc(OCTET_OBSERVE_FIXED, 2, 0);
  d.scale = scales;
  Observer channels(c, d);
  float two[2];
  ASSERT_EQ(octet_observer_qparams(channels, nullptr, two, nullptr, 2, nullptr), OCTET_OK);
  EXPECT_EQ(two[1], 2);
  expect_refused(octet_observer_qparams(channels, nullptr, two, nullptr, 1, &err), err,
                 OCTET_ERR_ARGUMENT, {"count is 1; it must be 2"});
}

// ---- the caller's own -------------------------------------------------------------------------

struct Third {
  int feeds = 0;
  int32_t feed_answer = 0, range_answer = 0;
  float low = -2, high = 3;
};

octet_observer_desc third_desc(Third* t) {
  octet_observer_desc d = observer_desc(OCTET_OBSERVE_CALLBACK);
  d.user = t;
  d.feed = [](void* user, const octet_tensor* x) {
    Third* const third = static_cast<Third*>(user);
    third->feeds += static_cast<int>(x->dims[0]);
    return third->feed_answer;
  };
  d.range = [](void* user, float* min, float* max, size_t count) {
    const Third* const third = static_cast<const Third*>(user);
    for (size_t i = 0; i < count; ++i) {
      min[i] = third->low;
      max[i] = third->high;
    }
    return third->range_answer;
  };
  return d;
}

TEST_F(Kinds, CallbacksAreAskedAndTheirAnswersChecked) {
  Third third;
  Observer o(c, third_desc(&third));
  octet_error err = {};
  o.feed(vec({1, 2, 3}));
  EXPECT_EQ(third.feeds, 3);
  EXPECT_EQ(o.stats().count, 3u);
  EXPECT_EQ(o.range(make_scheme(OCTET_U8)), (Interval{-2, 3}));
  float min = -7, max = -7;
  const auto range = [&] { return octet_observer_range(o, nullptr, &min, &max, 1, &err); };
  third.range_answer = 5;
  expect_refused(range(), err, OCTET_ERR_EMPTY, {"answered 5"});
  third.range_answer = 0;
  third.low = kNan;
  expect_refused(range(), err, OCTET_ERR_NOT_FINITE, {"nan"});
  third.low = 4;
  expect_refused(range(), err, OCTET_ERR_ARGUMENT, {"[4, 3]"});
  EXPECT_EQ(min, -7);
  third.feed_answer = 9;
  const octet_tensor t = octet_vec(OCTET_F32, &min, 1);
  expect_refused(octet_observer_feed(o, &t, nullptr, &err), err, OCTET_ERR_CANCELLED,
                 {"answered 9"});
  EXPECT_EQ(o.stats().count, 3u);
  const octet_tensor bad = octet_vec(OCTET_U8, &min, 1);
  EXPECT_EQ(octet_observer_feed(o, &bad, nullptr, &err), OCTET_ERR_ARGUMENT);
  EXPECT_EQ(third.feeds, 4);  // a tensor that is refused never arrives
  octet_observer* copy = nullptr;
  size_t need = 0;
  expect_refused(octet_observer_copy(o, &copy, &err), err, OCTET_ERR_UNSUPPORTED, {"CALLBACK"});
  expect_refused(octet_observer_save(o, nullptr, 0, &need, &err), err, OCTET_ERR_UNSUPPORTED,
                 {"CALLBACK"});
  Observer other(c, third_desc(&third));
  expect_refused(octet_observer_merge(o, other, &err), err, OCTET_ERR_UNSUPPORTED, {"merge"});
}

// ---- all kinds --------------------------------------------------------------------------------

TEST_F(Kinds, CopiesGoTheirOwnWay) {
  for (int32_t kind : kAll) {
    SCOPED_TRACE(kind);
    Observer o(c, any_desc(kind));
    o.feed(vec({-1, 2, 0, kNan}));
    const auto before = o.save();
    octet_observer* raw = nullptr;
    octet_error err = {};
    ASSERT_EQ(octet_observer_copy(o, &raw, &err), OCTET_OK) << err.text;
    Observer copy(raw);
    EXPECT_EQ(copy.save(), before);
    copy.feed(vec({-5, 0.1f}));
    EXPECT_EQ(o.save(), before);
    o.feed(vec({-5, 0.1f}));
    EXPECT_EQ(copy.save(), o.save());
  }
  octet_observer* raw = nullptr;
  octet_error err = {};
  expect_refused(octet_observer_copy(nullptr, &raw, &err), err, OCTET_ERR_ARGUMENT, {"o is NULL"});
  Observer o(c);
  expect_refused(octet_observer_copy(o, nullptr, &err), err, OCTET_ERR_ARGUMENT, {"out is NULL"});
}

TEST_F(Kinds, FrozenObserversChangeNothing) {
  for (int32_t kind : kAll) {
    Observer o(c, any_desc(kind));
    o.feed(vec({-1, 2}));
    const auto before = o.save();
    octet_observer_freeze(o, 1);
    o.feed(vec({-10, 20}));
    EXPECT_EQ(o.save(), before);
    octet_error err = {};
    const octet_tensor bad = octet_vec(OCTET_U8, nullptr, 0);
    EXPECT_EQ(octet_observer_feed(o, &bad, nullptr, &err), OCTET_ERR_ARGUMENT);
    octet_observer_freeze(o, 0);
    o.feed(vec({-10, 20}));
    EXPECT_NE(o.save(), before);
    octet_observer_reset(o);
    const Observer empty(c, any_desc(kind));
    EXPECT_EQ(o.save(), empty.save());
  }
  octet_observer_freeze(nullptr, 1);
}

TEST_F(Kinds, CountsBeyond32Bits) {
  for (int32_t kind : {OCTET_OBSERVE_MINMAX, OCTET_OBSERVE_ABSMAX, OCTET_OBSERVE_HISTOGRAM}) {
    Observer o(c, any_desc(kind));
    o.feed(vec({0.75f, kNan, 0}));
    for (int i = 0; i < 33; ++i) {
      octet_observer* raw = nullptr;
      ASSERT_EQ(octet_observer_copy(o, &raw, nullptr), OCTET_OK);
      const Observer copy(raw);
      ASSERT_EQ(octet_observer_merge(o, copy, nullptr), OCTET_OK);
    }
    EXPECT_EQ(o.stats().count, uint64_t{3} << 33);
    EXPECT_EQ(o.stats().nan_count, uint64_t{1} << 33);
    // 2^64 elements are too many.
    Observer full(c, any_desc(kind));
    octet_error err = {};
    octet_status status = OCTET_OK;
    for (int i = 0; i < 40 && !status; ++i) {
      octet_observer* raw = nullptr;
      ASSERT_EQ(octet_observer_copy(o, &raw, nullptr), OCTET_OK);
      const Observer copy(raw);
      status = octet_observer_merge(o, copy, &err);
    }
    expect_refused(status, err, OCTET_ERR_ARGUMENT, {"64 bits"});
  }
  // One feed of 2^33 elements: rows that are all the same one.
  const float row[4] = {1, -2, kNan, 0};
  octet_tensor t = octet_mat(OCTET_F32, row, int64_t{1} << 31, 4);
  t.strides[1] = 1;
  for (int32_t kind : kAll) {
    SCOPED_TRACE(kind);
    Observer o(c, any_desc(kind)), one(c, any_desc(kind));
    o.feed(t);
    one.feed(octet_vec(OCTET_F32, row, 4));
    EXPECT_EQ(o.stats().count, uint64_t{1} << 33);
    EXPECT_EQ(o.stats().nan_count, uint64_t{1} << 31);
    const octet_scheme s = range_scheme(OCTET_RANGE_OBSERVED);
    EXPECT_EQ(o.range(s), one.range(s));
    if (kind != OCTET_OBSERVE_HISTOGRAM) continue;
    for (int i = 0; i < 31; ++i) {  // 2^31 rows, merged
      octet_observer* raw = nullptr;
      ASSERT_EQ(octet_observer_copy(one, &raw, nullptr), OCTET_OK);
      const Observer copy(raw);
      ASSERT_EQ(octet_observer_merge(one, copy, nullptr), OCTET_OK);
    }
    EXPECT_EQ(o.save(), one.save());
  }
}

// Every kind with every search it has, on what upsets observers elsewhere.
TEST_F(Kinds, DegenerateInputHasExactAnswers) {
  const float tiny = from_bits(1);
  const struct {
    std::vector<float> x;
    bool empty;
    float scale;  // of the OCTET chooser, s8 symmetric
  } cases[] = {
      {{}, true, 0},
      {{kNan, kInf, -kInf}, true, 0},
      {std::vector<float>(5000, 0.0f), false, 1},
      {{-0.0f}, false, 1},
      {std::vector<float>(5000, 2.54f), false, 2.54f / 127},
      {{-2.54f, kNan}, false, 2.54f / 127},
      {{tiny}, false, 0x1p-60f},
      {{-tiny, tiny, 0}, false, 0x1p-60f},
      {{1, std::nextafter(1.0f, 2.0f)}, false, std::nextafter(1.0f, 2.0f) / 127},
  };
  for (const auto& k : cases)
    for (int32_t kind : kAll) {
      if (kind == OCTET_OBSERVE_FIXED) continue;
      for (int32_t range = 0; range <= OCTET_RANGE_L2; ++range) {
        SCOPED_TRACE("kind " + std::to_string(kind) + " range " + std::to_string(range) + " case " +
                     std::to_string(&k - cases));
        const bool pow2 = kind == OCTET_OBSERVE_HISTOGRAM;
        const bool has = !range || pow2 ||
                         (range == OCTET_RANGE_L2 ? kind == OCTET_OBSERVE_TORCH_HISTOGRAM
                                                  : kind == OCTET_OBSERVE_NVIDIA_HISTOGRAM);
        if (!has) continue;
        Observer o(c, any_desc(kind));
        o.feed(vec(k.x));
        octet_scheme s = range_scheme(range);
        float scale = -1;
        octet_error err = {};
        const octet_status status = octet_observer_qparams(o, &s, &scale, nullptr, 1, &err);
        if (k.empty) {
          EXPECT_EQ(status, OCTET_ERR_EMPTY);
          EXPECT_EQ(scale, -1);
          continue;
        }
        ASSERT_EQ(status, OCTET_OK) << err.text;
        // Searches may cut by up to a bin; NVIDIA's percentile takes the lower edge.
        const bool search = range && kind != OCTET_OBSERVE_HISTOGRAM;
        if (!search) {
          EXPECT_EQ(bits(scale), bits(k.scale)) << scale;
        }
        EXPECT_GT(scale, 0);
        EXPECT_LE(scale, std::fmax(k.scale * 1.001f, 1.0f));
      }
    }
}

struct Ledger {
  size_t live = 0, calls = 0;
};

TEST_F(Kinds, MemoryIsFlatOverAMillionBatches) {
  Ledger ledger;
  octet_allocator a = {};
  a.user = &ledger;
  a.alloc = [](void* user, size_t bytes, size_t align) {
    Ledger* const l = static_cast<Ledger*>(user);
    ++l->calls;
    l->live += bytes;
    return std::aligned_alloc(align, (bytes + align - 1) / align * align);
  };
  a.free = [](void* user, void* p, size_t bytes) {
    static_cast<Ledger*>(user)->live -= bytes;
    std::free(p);
  };
  octet_context_desc cd = {};
  cd.struct_size = sizeof cd;
  cd.allocator = &a;
  octet_context* context = nullptr;
  ASSERT_EQ(octet_context_create(&cd, &context, nullptr), OCTET_OK);
  for (int32_t kind : kAll) {
    octet_observer_desc d = any_desc(kind);
    if (d.kind == OCTET_OBSERVE_TORCH_HISTOGRAM) d.bins = 16;  // it walks all of them each time
    const Observer o(context, d);
    const size_t calls = ledger.calls, live = ledger.live;
    const int64_t batches = kind == OCTET_OBSERVE_HISTOGRAM ? 1000000 : 50000;
    float x[3] = {1, -2, 0.5f};
    const octet_tensor t = octet_vec(OCTET_F32, x, 3);
    bool ok = true;
    for (int64_t i = 0; i < batches; ++i) {
      x[2] = static_cast<float>(i % 1000) * 1e-3f;
      ok &= octet_observer_feed(o, &t, nullptr, nullptr) == OCTET_OK;
    }
    EXPECT_TRUE(ok);
    EXPECT_EQ(o.stats().count, static_cast<uint64_t>(3 * batches));
    EXPECT_EQ(ledger.calls, calls);
    EXPECT_EQ(ledger.live, live);
    // A search gives back what it took.
    if (kind == OCTET_OBSERVE_HISTOGRAM) o.range(range_scheme(OCTET_RANGE_L2));
    EXPECT_EQ(ledger.live, live);
  }
  octet_context_destroy(context);
  EXPECT_EQ(ledger.live, 0u);
}

}  // namespace
}  // namespace octet_test

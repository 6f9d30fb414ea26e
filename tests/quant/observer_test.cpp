// SPDX-License-Identifier: Apache-2.0
//
// Observers: what is seen depends on no batch, order, thread or merge; ranges serve every scheme.
#include <algorithm>

#include "tests/quant/observers.h"

namespace octet_test {
namespace {

TEST_F(Observers, CountEverythingAndRangeOverTheFinite) {
  Observer o(c);
  EXPECT_EQ(o.stats().min, HUGE_VAL);
  EXPECT_EQ(o.stats().max, -HUGE_VAL);
  o.feed(vec({1, kNan, -kInf, -2.5f, kInf, -kNan, 0.5f}));
  const octet_observed s = o.stats();
  EXPECT_EQ(s.count, 7u);
  EXPECT_EQ(s.nan_count, 2u);
  EXPECT_EQ(s.inf_count, 2u);
  EXPECT_EQ(s.min, -2.5);
  EXPECT_EQ(s.max, 1);
  float scale;
  int32_t zero;
  ASSERT_EQ(octet_observer_qparams(o, nullptr, &scale, &zero, 1, nullptr), OCTET_OK);
  EXPECT_EQ(bits(scale), bits(static_cast<float>(3.5 / 255)));
  octet_observer_reset(o);
  EXPECT_EQ(o.stats().count, 0u);
  EXPECT_EQ(o.stats().min, HUGE_VAL);
}

TEST_F(Observers, BatchesOrderThreadsAndMergesDoNotShow) {
  for (int32_t kind : {OCTET_OBSERVE_MINMAX, OCTET_OBSERVE_ABSMAX})
    expect_one_state(observer_desc(kind), data(50000));
}

TEST_F(Observers, ZerosOfEitherSignAreTheSameState) {
  for (float first : {0.0f, -0.0f})
    for (size_t n : {1, 5, 100}) {
      Observer o(c), want(c);
      std::vector<float> x(n, -first);
      x[0] = first;
      o.feed(vec(x));
      want.feed(vec(std::vector<float>(n, 0.0f)));
      EXPECT_EQ(o.save(), want.save());
    }
}

TEST_F(Observers, ChannelsAlongAnyAxisOfStridedTensors) {
  const std::vector<std::vector<int64_t>> shapes = {
      {9},    {3, 5},  {40, 70}, {70, 40}, {2, 3, 4, 5}, {5, 1, 33}, {2, 2, 2, 2, 2, 3},
      {1, 1}, {200, 3}};
  for (const auto& dims : shapes)
    for (size_t axis = 0; axis < dims.size(); ++axis)
      for (int variant = 0; variant < 3; ++variant) {
        SCOPED_TRACE(testing::PrintToString(dims) + " axis " + std::to_string(axis));
        const size_t channels = static_cast<size_t>(dims[axis]);
        const int32_t rank = static_cast<int32_t>(dims.size());
        Observer o(c, channels, static_cast<int32_t>(axis) - (variant ? rank : 0));
        std::vector<float> x(100000);
        octet_tensor t = octet_vec(OCTET_F32, x.data(), 0);
        t.rank = rank;
        int64_t step = 1;
        for (int i = rank - 1; i >= 0; --i) {
          t.dims[i] = dims[static_cast<size_t>(i)];
          t.strides[i] = step;
          step = step * t.dims[i] + (variant == 2 ? 1 : 0);
        }
        ASSERT_LT(step, 100000);
        std::vector<float> min(channels, kInf), max(channels, -kInf);
        int64_t count = 1;
        for (int64_t d : dims) count *= d;
        for (auto& v : x) v = static_cast<float>(static_cast<int>(rng() % 20001) - 10000);
        if (variant == 1)
          for (auto& v : x)
            if (rng() % 50 == 0) v = kNan;
        for (int64_t i = 0; i < count; ++i) {
          int64_t rest = i, offset = 0;
          size_t k = 0;
          for (int d = rank - 1; d >= 0; --d) {
            const int64_t at = rest % t.dims[d];
            rest /= t.dims[d];
            offset += at * t.strides[d];
            if (d == static_cast<int>(axis)) k = static_cast<size_t>(at);
          }
          const float v = x[static_cast<size_t>(offset)];
          min[k] = std::fmin(min[k], v);
          max[k] = std::fmax(max[k], v);
        }
        const octet_exec e = exec_with(run_reversed, 3);
        o.feed(t, &e);
        // A symmetric scale of range r is r / 127: the larger side of each channel.
        const octet_scheme s = make_scheme(OCTET_S8, OCTET_SYMMETRIC);
        std::vector<float> scale(channels);
        bool empty = false;
        for (size_t k = 0; k < channels; ++k) empty |= min[k] > max[k];
        octet_error err = {};
        const octet_status status =
            octet_observer_qparams(o, &s, scale.data(), nullptr, channels, &err);
        if (empty) {
          EXPECT_EQ(status, OCTET_ERR_EMPTY);
          continue;
        }
        ASSERT_EQ(status, OCTET_OK) << err.text;
        for (size_t k = 0; k < channels; ++k) {
          const float most = std::fmax(std::fmax(-min[k], max[k]), 0.0f);
          EXPECT_EQ(scale[k], most == 0 ? 1 : most / 127) << k;
        }
        // count 1: the whole tensor's range from the same state.
        ASSERT_EQ(octet_observer_qparams(o, &s, scale.data(), nullptr, 1, &err), OCTET_OK);
        const float all = std::fmax(-*std::min_element(min.begin(), min.end()),
                                    *std::max_element(max.begin(), max.end()));
        EXPECT_EQ(scale[0], all == 0 ? 1 : all / 127);
      }
}

TEST_F(Observers, FeedingNothingChangesNothing) {
  Observer o(c, 3, 1);
  const auto before = o.save();
  octet_tensor t = octet_mat(OCTET_F32, nullptr, 0, 3);
  o.feed(t);
  EXPECT_EQ(o.save(), before);
  Observer scalar(c);
  const float x = -3;
  scalar.feed(octet_view(OCTET_F32, &x, 0, 0, 0, 0, 0));  // rank 0: one element
  EXPECT_EQ(scalar.stats().count, 1u);
  EXPECT_EQ(scalar.stats().min, -3);
}

TEST_F(Observers, EverySchemeFromOneState) {
  Observer o(c);
  o.feed(vec({-1, 2, 0.25f}));
  const struct {
    octet_scheme scheme;
    float scale;
    int32_t zero;
  } cases[] = {
      {make_scheme(OCTET_U8), 0.0117647061f, 85},
      {make_scheme(OCTET_S8), 0.0117647061f, -43},
      {make_scheme(OCTET_S8, OCTET_SYMMETRIC), 2.0f / 127, 0},
      {make_scheme(OCTET_U8, OCTET_POW2), 0x1p-6f, 64},
      {make_scheme(OCTET_U8, OCTET_REDUCE_RANGE), 0.0236220472f, 42},
      {make_scheme(OCTET_S8, OCTET_SYMMETRIC, OCTET_CHOOSE_TORCH_OBSERVER), 0.0156862754f, 0},
      {make_scheme(OCTET_U8, 0, OCTET_CHOOSE_TORCH_NATIVE), 0.0117647061f, 85},
      {make_scheme(OCTET_U8, 0, OCTET_CHOOSE_TORCH_FBGEMM), 0.0117647061f, 85},
      {make_scheme(OCTET_U8, 0, OCTET_CHOOSE_ONNX), 0.0117647061f, 85}};
  for (const auto& k : cases) {
    float scale = -1;
    int32_t zero = -1;
    ASSERT_EQ(octet_observer_qparams(o, &k.scheme, &scale, &zero, 1, nullptr), OCTET_OK);
    EXPECT_EQ(bits(scale), bits(k.scale));
    EXPECT_EQ(zero, k.zero);
  }
}

TEST_F(Observers, RefuseWhatTheyCannotAnswer) {
  octet_error err = {};
  float scale[4] = {-7, -7, -7, -7};
  int32_t zero[4] = {};
  Observer o(c), channels(c, 2, 0);
  expect_refused(octet_observer_qparams(o, nullptr, scale, zero, 1, &err), err, OCTET_ERR_EMPTY,
                 {"no finite value"});
  o.feed(vec({kNan, kInf}));
  expect_refused(octet_observer_qparams(o, nullptr, scale, zero, 1, &err), err, OCTET_ERR_EMPTY,
                 {"no finite value"});
  const float half[4] = {1, 2, kNan, kNan};
  channels.feed(octet_mat(OCTET_F32, half, 2, 2));
  expect_refused(octet_observer_qparams(channels, nullptr, scale, zero, 2, &err), err,
                 OCTET_ERR_EMPTY, {"index 1"});
  o.feed(vec({-1, 2}));
  expect_refused(octet_observer_qparams(o, nullptr, scale, nullptr, 1, &err), err,
                 OCTET_ERR_ARGUMENT, {"zero_point is NULL", "85"});
  expect_refused(octet_observer_qparams(o, nullptr, nullptr, zero, 1, &err), err,
                 OCTET_ERR_ARGUMENT, {"scale is NULL"});
  expect_refused(octet_observer_qparams(o, nullptr, scale, zero, 2, &err), err, OCTET_ERR_ARGUMENT,
                 {"count is 2; it must be 1"});
  expect_refused(octet_observer_qparams(channels, nullptr, scale, zero, 3, &err), err,
                 OCTET_ERR_ARGUMENT, {"count is 3; it must be 2, or 1"});
  octet_scheme s = make_scheme(OCTET_U8);
  s.granularity = OCTET_PER_CHANNEL;
  expect_refused(octet_observer_qparams(o, &s, scale, zero, 1, &err), err, OCTET_ERR_ARGUMENT,
                 {"has no channels"});
  s.granularity = OCTET_PER_ROW;
  expect_refused(octet_observer_qparams(o, &s, scale, zero, 1, &err), err, OCTET_ERR_ARGUMENT,
                 {"OCTET_PER_ROW"});
  s.granularity = OCTET_PER_TENSOR;
  expect_refused(octet_observer_qparams(channels, &s, scale, zero, 2, &err), err,
                 OCTET_ERR_ARGUMENT, {"count is 2; it must be 1"});
  Observer huge(c);
  huge.feed(vec({-3e38f, 3e38f}));
  expect_refused(octet_observer_qparams(huge, nullptr, scale, zero, 1, &err), err,
                 OCTET_ERR_ARGUMENT, {"2^60"});
  for (float v : scale) EXPECT_EQ(v, -7);

  const float x[6] = {};
  octet_tensor t = octet_mat(OCTET_F32, x, 3, 2);
  expect_refused(octet_observer_feed(channels, &t, nullptr, &err), err, OCTET_ERR_ARGUMENT,
                 {"dims[0] is 3", "2 channels"});
  t = octet_view(OCTET_F32, x, 0, 0, 0, 0, 0);
  expect_refused(octet_observer_feed(channels, &t, nullptr, &err), err, OCTET_ERR_ARGUMENT,
                 {"rank is 0"});
  t = octet_vec(OCTET_U8, x, 3);
  expect_refused(octet_observer_feed(o, &t, nullptr, &err), err, OCTET_ERR_ARGUMENT, {"U8"});
  expect_refused(octet_observer_feed(nullptr, &t, nullptr, &err), err, OCTET_ERR_ARGUMENT,
                 {"o is NULL"});
  expect_refused(octet_observer_merge(o, channels, &err), err, OCTET_ERR_ARGUMENT, {"2 channels"});
  expect_refused(octet_observer_merge(o, o, &err), err, OCTET_ERR_ARGUMENT, {"same observer"});
  octet_observed small = {};
  small.struct_size = 8;
  expect_refused(octet_observer_stats(o, &small, &err), err, OCTET_ERR_ARGUMENT,
                 {"struct_size is 8"});
}

TEST_F(Observers, DescsThatAreRefused) {
  octet_error err = {};
  const float one = 1, bad = -1;
  const int32_t zero = 0;
  const auto refused = [&](int32_t kind, auto spoil, octet_status status, const char* word) {
    octet_observer_desc d = observer_desc(kind);
    spoil(&d);
    octet_observer* o = reinterpret_cast<octet_observer*>(&err);
    expect_refused(octet_observer_create(c, &d, &o, &err), err, status, {word});
    EXPECT_EQ(o, reinterpret_cast<octet_observer*>(&err));
  };
  using D = octet_observer_desc;
  const octet_status wrong = OCTET_ERR_ARGUMENT;
  refused(8, [](D*) {}, wrong, "kind is 8");
  refused(-1, [](D*) {}, wrong, "_NVIDIA_HISTOGRAM");
  refused(0, [](D* d) { d->flags = OCTET_SKIP_ZEROS; }, wrong, "none for this kind");
  refused(OCTET_OBSERVE_HISTOGRAM, [](D* d) { d->flags = OCTET_NUMPY_EDGES; }, wrong, "flags");
  refused(OCTET_OBSERVE_NVIDIA_HISTOGRAM, [](D* d) { d->flags = 4; }, wrong, "OCTET_NUMPY_EDGES");
  refused(0, [](D* d) { d->struct_size = 4; }, wrong, "struct_size is 4");
  refused(0, [](D* d) { d->axis = 6; }, wrong, "axis is 6");
  refused(0, [](D* d) { d->channels = SIZE_MAX; }, wrong, "channels");
  refused(0, [](D* d) { d->group = 32; }, OCTET_ERR_UNSUPPORTED, "group is 32");
  refused(0, [](D* d) { d->momentum = 0.5f; }, wrong, "momentum");
  refused(OCTET_OBSERVE_MOVING, [](D* d) { d->momentum = 1.5f; }, wrong, "momentum is 1.5");
  refused(OCTET_OBSERVE_MOVING, [](D* d) { d->momentum = kNan; }, wrong, "momentum is nan");
  refused(OCTET_OBSERVE_MOVING, [](D* d) { d->bins = 8; }, wrong, "bins");
  refused(OCTET_OBSERVE_HISTOGRAM, [](D* d) { d->bins = 7; }, wrong, "bins is 7");
  refused(OCTET_OBSERVE_HISTOGRAM, [](D* d) { d->bins = -2; }, wrong, "even");
  refused(OCTET_OBSERVE_TORCH_HISTOGRAM, [](D* d) { d->bins = 1; }, wrong, "bins is 1");
  refused(OCTET_OBSERVE_TORCH_HISTOGRAM, [](D* d) { d->bins = 2 << 20; }, wrong, "2^20");
  refused(OCTET_OBSERVE_TORCH_HISTOGRAM, [](D* d) { d->channels = 3; }, wrong, "per tensor");
  refused(OCTET_OBSERVE_TORCH_HISTOGRAM, [](D* d) { d->max_bins = 3; }, wrong, "max_bins");
  refused(OCTET_OBSERVE_NVIDIA_HISTOGRAM, [](D* d) { d->channels = 3; }, wrong, "per tensor");
  refused(OCTET_OBSERVE_NVIDIA_HISTOGRAM, [](D* d) { d->max_bins = 2047; }, wrong, "2047");
  refused(OCTET_OBSERVE_HISTOGRAM, [](D* d) { d->channels = size_t{1} << 30; }, wrong, "2^40 bins");
  refused(OCTET_OBSERVE_FIXED, [](D*) {}, wrong, "scale is NULL");
  refused(OCTET_OBSERVE_FIXED, [&](D* d) { d->scale = &bad; }, wrong, "scale");
  refused(0, [&](D* d) { d->scale = &one; }, wrong, "scale is set");
  refused(0, [&](D* d) { d->zero_point = &zero; }, wrong, "zero_point is set");
  refused(0, [&](D* d) { d->user = &err; }, wrong, "user is set");
  refused(OCTET_OBSERVE_CALLBACK, [](D*) {}, wrong, "feed is NULL");
  refused(
      OCTET_OBSERVE_CALLBACK, [](D* d) { d->feed = [](void*, const octet_tensor*) { return 0; }; },
      wrong, "range is NULL");
}

// ---- memory ----

struct Ledger {
  size_t live = 0, calls = 0, fail_at = SIZE_MAX;
};
void* ledger_alloc(void* user, size_t bytes, size_t align) {
  Ledger* l = static_cast<Ledger*>(user);
  if (l->calls++ == l->fail_at) return nullptr;
  l->live += bytes;
  return std::aligned_alloc(align, (bytes + align - 1) / align * align);
}
void ledger_free(void* user, void* p, size_t bytes) {
  static_cast<Ledger*>(user)->live -= bytes;
  std::free(p);
}

TEST(ObserverMemory, IsAllocatedAtCreateOnly) {
  Ledger ledger;
  const octet_allocator a = {&ledger, ledger_alloc, ledger_free};
  octet_context_desc cd = {};
  cd.struct_size = sizeof cd;
  cd.allocator = &a;
  octet_context* c = nullptr;
  ASSERT_EQ(octet_context_create(&cd, &c, nullptr), OCTET_OK);
  octet_observer_desc d = {};
  d.struct_size = sizeof d;
  d.channels = 7;
  octet_observer* o = nullptr;
  octet_error err = {};
  const size_t before = ledger.live;
  for (size_t i = 0; i < 2; ++i) {
    ledger.fail_at = ledger.calls + i;
    expect_refused(octet_observer_create(c, &d, &o, &err), err, OCTET_ERR_MEMORY, {"bytes"});
    EXPECT_EQ(ledger.live, before);
    EXPECT_EQ(o, nullptr);
  }
  ASSERT_EQ(octet_observer_create(c, &d, &o, &err), OCTET_OK);
  octet_context_destroy(c);  // the observer holds it
  const size_t calls = ledger.calls;
  std::vector<float> x(7 * 1000, 1.0f);
  const octet_tensor t = octet_mat(OCTET_F32, x.data(), 7, 1000);
  EXPECT_EQ(octet_observer_feed(o, &t, nullptr, &err), OCTET_OK);
  std::vector<float> scale(7);
  std::vector<int32_t> zero(7);
  EXPECT_EQ(octet_observer_qparams(o, nullptr, scale.data(), zero.data(), 7, &err), OCTET_OK);
  EXPECT_EQ(ledger.calls, calls);
  octet_observer_destroy(o);
  octet_observer_destroy(nullptr);
  EXPECT_EQ(ledger.live, 0u);
}

}  // namespace
}  // namespace octet_test

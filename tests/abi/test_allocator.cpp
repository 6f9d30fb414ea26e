// SPDX-License-Identifier: Apache-2.0
//
// The caller's allocator: every allocation of every create fails once, and nothing happens but
// OCTET_ERR_MEMORY; what was given comes back with the same size; a second try succeeds.
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstdlib>
#include <fstream>
#include <map>
#include <string>

#include "world.h"

namespace contract {
namespace {

class Allocator {
 public:
  Allocator() : hooks_{this, alloc, free} {}
  ~Allocator() { EXPECT_TRUE(live_.empty()) << live_.size() << " blocks leaked"; }
  const octet_allocator* hooks() const { return &hooks_; }
  // The n-th allocation from now on (0: the next) gives NULL; -1: none.
  void fail(int n) { countdown_ = n; }
  size_t live() const { return live_.size(); }
  int given() const { return given_; }

 private:
  static void* alloc(void* user, size_t bytes, size_t align) {
    Allocator& a = *static_cast<Allocator*>(user);
    EXPECT_GT(bytes, 0u);
    EXPECT_TRUE(align > 0 && align <= 64 && (align & (align - 1)) == 0) << align;
    if (a.countdown_ >= 0 && a.countdown_-- == 0) return nullptr;
    ++a.given_;
    // Exactly aligned, never better: an address that is a multiple of 128 would hide a mistake.
    char* p = static_cast<char*>(std::aligned_alloc(128, (bytes + 255) / 128 * 128)) + 64;
    a.live_[p] = bytes;
    return p;
  }
  static void free(void* user, void* p, size_t bytes) {
    Allocator& a = *static_cast<Allocator*>(user);
    const auto at = a.live_.find(p);
    ASSERT_NE(at, a.live_.end()) << "freed what was not given";
    EXPECT_EQ(at->second, bytes) << "another size than was asked for";
    a.live_.erase(at);
    std::free(static_cast<char*>(p) - 64);
  }

  octet_allocator hooks_;
  std::map<void*, size_t> live_;
  int countdown_ = -1, given_ = 0;
};

// create makes a handle that the test then destroys; each of its allocations fails once.
template <class T>
void fail_each(Allocator& a, const std::function<octet_status(T**, octet_error*)>& create) {
  T* const untouched = reinterpret_cast<T*>(uintptr_t{64});
  const size_t live = a.live();
  for (int n = 0; n < 100; ++n) {
    T* out = untouched;
    a.fail(n);
    octet_error err{};
    const octet_status status = create(&out, &err);
    a.fail(-1);
    if (status == OCTET_OK) {
      EXPECT_GE(n, 1) << "nothing was allocated";
      Destroy()(out);
      EXPECT_EQ(a.live(), live);
      return;
    }
    ASSERT_EQ(status, OCTET_ERR_MEMORY) << err.text;
    EXPECT_NE(std::string(err.text).find("bytes"), std::string::npos) << err.text;
    EXPECT_EQ(out, untouched);
    EXPECT_EQ(a.live(), live) << "allocation " << n << " leaks what came before it";
    a.fail(n);
    EXPECT_EQ(create(&out, nullptr), OCTET_ERR_MEMORY);
    a.fail(-1);
    out = nullptr;
    ASSERT_EQ(create(&out, nullptr), OCTET_OK) << "second try";
    Destroy()(out);
    EXPECT_EQ(a.live(), live);
  }
  FAIL() << "no end of allocations";
}

class FailingAllocator : public testing::Test {
 protected:
  Allocator a_;  // outlives the contexts below
  World w_;      // on malloc: descs only
  const Context context_ = make_context(nullptr, a_.hooks());
};

TEST_F(FailingAllocator, ContextCreate) {
  octet_context_desc d = sized<octet_context_desc>();
  d.allocator = a_.hooks();
  fail_each<octet_context>(a_, [&](octet_context** out, octet_error* err) {
    return octet_context_create(&d, out, err);
  });
}

TEST_F(FailingAllocator, WeightsCreate) {
  for (const octet_tensor* source : {&w_.source, &w_.int8_source}) {
    w_.weights.source = source;
    fail_each<octet_weights>(a_, [&](octet_weights** out, octet_error* err) {
      return octet_weights_create(context_.get(), &w_.weights, nullptr, out, err);
    });
  }
  w_.weights.flags = OCTET_SHAPE_ONLY;
  fail_each<octet_weights>(a_, [&](octet_weights** out, octet_error* err) {
    return octet_weights_create(context_.get(), &w_.weights, nullptr, out, err);
  });
}

// Weights of which a context for AVX2 keeps a private copy: made of scratch memory and a block
// more.
#ifdef __x86_64__
TEST_F(FailingAllocator, WeightsWithAPrivateCopy) {
  const Context avx2 = make_context("avx2", a_.hooks());
  const std::vector<int8_t> bytes(40 * 96, 3);
  const float scale = 0.5f;
  octet_qparams q = {};
  q.count = 1;
  q.scale = &scale;
  octet_tensor source = octet_mat(OCTET_S8, bytes.data(), 40, 96);
  source.q = &q;
  octet_weights_desc d = sized<octet_weights_desc>();
  d.source = &source;
  const int before = a_.given();
  Weights w = make_weights(avx2.get(), d);
  const int allocations = a_.given() - before;
  d.flags = OCTET_LEAN;
  const int lean = a_.given();
  w = make_weights(avx2.get(), d);
  if (a_.given() - lean == allocations) GTEST_SKIP() << "no AVX2";
  octet_blob b = sized<octet_blob>();
  b.flags = OCTET_BLOB_MAY_REPACK;
  EXPECT_ACCEPTED(octet_weights_blob(w.get(), &b.data, &b.bytes, err));
  d.flags = 0;
  fail_each<octet_weights>(a_, [&](octet_weights** out, octet_error* err) {
    return octet_weights_create(avx2.get(), &d, nullptr, out, err);
  });
  int released = 0, opened = 0;
  b.user = &released;
  b.release = [](void* user, const void*, size_t) { ++*static_cast<int*>(user); };
  for (const uint32_t copy : {uint32_t{0}, uint32_t{OCTET_BLOB_COPY}}) {
    b.flags = OCTET_BLOB_MAY_REPACK | copy;
    fail_each<octet_weights>(a_, [&](octet_weights** out, octet_error* err) {
      const octet_status status = octet_weights_open(avx2.get(), &b, out, err);
      opened += status == OCTET_OK;
      return status;
    });
  }
  EXPECT_EQ(released, opened);
}
#endif

// A release callback is called once for each success and never for a failure.
TEST_F(FailingAllocator, WeightsOpen) {
  int released = 0, opened = 0;
  w_.blob.user = &released;
  w_.blob.release = [](void* user, const void*, size_t) { ++*static_cast<int*>(user); };
  for (const uint32_t flags : {uint32_t{0}, uint32_t{OCTET_BLOB_COPY}}) {
    w_.blob.flags = flags;
    fail_each<octet_weights>(a_, [&](octet_weights** out, octet_error* err) {
      const octet_status status = octet_weights_open(context_.get(), &w_.blob, out, err);
      opened += status == OCTET_OK;
      return status;
    });
    EXPECT_EQ(released, opened);
  }
}

TEST_F(FailingAllocator, LinearCreate) {
  octet_linear_desc with_call = w_.linear;
  with_call.in = {OCTET_U8, 0, 0};
  for (const octet_linear_desc& d : {w_.linear, w_.dynamic, with_call})
    fail_each<octet_op>(a_, [&](octet_op** out, octet_error* err) {
      return octet_linear_create(context_.get(), &d, out, err);
    });
}

TEST_F(FailingAllocator, ObserverCreateAndLoad) {
  for (const size_t channels : {size_t{0}, size_t{9}}) {
    w_.observer_desc.channels = channels;
    fail_each<octet_observer>(a_, [&](octet_observer** out, octet_error* err) {
      return octet_observer_create(context_.get(), &w_.observer_desc, out, err);
    });
  }
  w_.observer_desc.kind = OCTET_OBSERVE_HISTOGRAM;
  fail_each<octet_observer>(a_, [&](octet_observer** out, octet_error* err) {
    return octet_observer_create(context_.get(), &w_.observer_desc, out, err);
  });
  const Observer histogram = make_observer(context_.get(), 0, 0, OCTET_OBSERVE_HISTOGRAM);
  fail_each<octet_observer>(a_, [&](octet_observer** out, octet_error* err) {
    return octet_observer_copy(histogram.get(), out, err);
  });
  unsigned char saved[256];
  size_t bytes = 0;
  EXPECT_ACCEPTED(octet_observer_save(w_.observer.get(), saved, sizeof saved, &bytes, err));
  fail_each<octet_observer>(a_, [&](octet_observer** out, octet_error* err) {
    return octet_observer_load(context_.get(), saved, bytes, out, err);
  });
}

// References keep the context's memory, and its allocator, until the last handle is gone.
TEST_F(FailingAllocator, DestroyInAnyOrderGivesEverythingBack) {
  for (const std::string order : {"cwo", "cow", "wco", "woc", "ocw", "owc"}) {
    const size_t live = a_.live();
    Context c = make_context(nullptr, a_.hooks());
    Weights weights = make_weights(c.get(), w_.weights);
    octet_linear_desc d = w_.linear;
    d.weights = weights.get();
    Op op = make_op(c.get(), d);
    for (const char which : order) {
      EXPECT_GT(a_.live(), live);
      if (which == 'c') c.reset();
      if (which == 'w') weights.reset();
      if (which == 'o') op.reset();
    }
    EXPECT_EQ(a_.live(), live) << order;
  }
}

TEST(Handles, NullHandlesAreDestroyedWithoutEffect) {
  octet_context_destroy(nullptr);
  octet_weights_destroy(nullptr);
  octet_op_destroy(nullptr);
  octet_observer_destroy(nullptr);
  octet_observer_reset(nullptr);
}

// A refused create asks for nothing, or gives it back.
TEST_F(FailingAllocator, RefusedCreatesKeepNothing) {
  const size_t live = a_.live();
  octet_weights* weights = nullptr;
  octet_op* op = nullptr;
  octet_observer* observer = nullptr;
  std::vector<float> bad(World::kN * World::kK, kNan);
  w_.source.data = bad.data();
  EXPECT_EQ(octet_weights_create(context_.get(), &w_.weights, nullptr, &weights, nullptr),
            OCTET_ERR_NOT_FINITE);
  w_.linear.out.scale = 0x1p60f;
  w_.linear.in.scale = 0x1p-60f;
  w_.scales.assign(64, 0x1p-60f);
  w_.weights.source = &w_.int8_source;
  const Weights tiny = make_weights(w_.context.get(), w_.weights);
  w_.linear.weights = tiny.get();
  EXPECT_EQ(octet_linear_create(context_.get(), &w_.linear, &op, nullptr), OCTET_ERR_ARGUMENT);
  EXPECT_EQ(octet_observer_load(context_.get(), "OCTETOBS", 8, &observer, nullptr),
            OCTET_ERR_CORRUPT);
  EXPECT_EQ(a_.live(), live);
}

#if defined(__linux__)

// The flags that Linux shows for the mapping of p, "" if it shows none.
std::string mapping_flags(const void* p) {
  std::ifstream maps("/proc/self/smaps");
  const uintptr_t at = reinterpret_cast<uintptr_t>(p);
  bool here = false;
  for (std::string line; std::getline(maps, line);) {
    unsigned long long first, last;
    if (std::sscanf(line.c_str(), "%llx-%llx ", &first, &last) == 2)
      here = at >= first && at < last;
    else if (here && line.rfind("VmFlags:", 0) == 0)
      return line;
  }
  return "";
}

bool is_mapped(const void* p) {
  // Linux answers ENOMEM for a page that is not there.
  return msync(const_cast<void*>(p), 1, MS_ASYNC) == 0;
}

// Large weights in the library's own memory: aligned for huge pages, advised, and gone with their
// last handle. That of a caller is only ever asked for 64 bytes (Allocator).
TEST(DefaultAllocator, LargeWeightsMayHaveHugePages) {
  constexpr size_t kHuge = size_t{2} << 20;
  const Context context = make_context();
  const std::vector<int8_t> values(size_t{2048} * 1100, 3);
  const float scale = 1;
  octet_qparams q = {};
  q.count = 1;
  q.scale = &scale;
  octet_tensor source = octet_mat(OCTET_S8, values.data(), 2048, 1100);
  source.q = &q;
  octet_weights_desc desc = {};
  desc.struct_size = sizeof desc;
  desc.source = &source;
  Weights weights = make_weights(context.get(), desc);
  const void* data;
  size_t bytes;
  ASSERT_EQ(octet_weights_blob(weights.get(), &data, &bytes, nullptr), OCTET_OK);
  ASSERT_GE(bytes, kHuge);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % kHuge, 0u);
  const std::string flags = mapping_flags(data);
  bool shown =
      !flags.empty() && std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled").good();
#ifndef __x86_64__
  shown = false;  // the emulator keeps the advice to itself
#endif
  if (shown) {
    EXPECT_NE(flags.find(" hg"), std::string::npos) << flags;
  }
  const char* const last = static_cast<const char*>(data) + kHuge;
  EXPECT_TRUE(is_mapped(last));
  weights.reset();
  EXPECT_FALSE(is_mapped(data));
  EXPECT_FALSE(is_mapped(last));
}

#endif

}  // namespace
}  // namespace contract

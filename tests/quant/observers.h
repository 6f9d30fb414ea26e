// SPDX-License-Identifier: Apache-2.0
//
// An owned observer, and the fixture of all tests that feed some.
#pragma once

#include <algorithm>

#include "tests/quant/support.h"

namespace octet_test {

inline octet_observer_desc observer_desc(int32_t kind, size_t channels = 0, int32_t axis = 0) {
  octet_observer_desc d = {};
  d.struct_size = sizeof d;
  d.kind = kind;
  d.channels = channels;
  d.axis = axis;
  return d;
}

inline octet_scheme range_scheme(int32_t range, octet_type type = OCTET_S8,
                                 uint32_t flags = OCTET_SYMMETRIC) {
  octet_scheme s = make_scheme(type, flags);
  s.range = range;
  return s;
}

class Observer {
 public:
  struct Interval {
    float min, max;
    bool operator==(const Interval&) const = default;
  };

  Observer(const octet_context* c, const octet_observer_desc& d) {
    octet_error err = {};
    EXPECT_EQ(octet_observer_create(c, &d, &o_, &err), OCTET_OK) << err.text;
  }
  Observer(const octet_context* c, size_t channels = 0, int32_t axis = 0) {
    octet_observer_desc d = {};
    d.struct_size = sizeof d;
    d.channels = channels;
    d.axis = axis;
    octet_error err = {};
    EXPECT_EQ(octet_observer_create(c, &d, &o_, &err), OCTET_OK) << err.text;
  }
  explicit Observer(octet_observer* o) : o_(o) {}
  ~Observer() { octet_observer_destroy(o_); }
  Observer(const Observer&) = delete;
  Observer& operator=(const Observer&) = delete;
  operator octet_observer*() const { return o_; }

  void feed(const octet_tensor& x, const octet_exec* e = nullptr) {
    octet_error err = {};
    EXPECT_EQ(octet_observer_feed(o_, &x, e, &err), OCTET_OK) << err.text;
  }
  octet_observed stats() const {
    octet_observed s = {};
    s.struct_size = sizeof s;
    EXPECT_EQ(octet_observer_stats(o_, &s, nullptr), OCTET_OK);
    return s;
  }
  Interval range(const octet_scheme& s) const {
    Interval r = {kNan, kNan};
    octet_error err = {};
    EXPECT_EQ(octet_observer_range(o_, &s, &r.min, &r.max, 1, &err), OCTET_OK) << err.text;
    return r;
  }
  float amax(const octet_scheme& s) const {
    const Interval r = range(s);
    return std::fmax(-r.min, r.max);
  }
  std::vector<unsigned char> save() const {
    size_t need = 0;
    EXPECT_EQ(octet_observer_save(o_, nullptr, 0, &need, nullptr), OCTET_OK);
    std::vector<unsigned char> bytes(need);
    EXPECT_EQ(octet_observer_save(o_, bytes.data(), need, nullptr, nullptr), OCTET_OK);
    return bytes;
  }

 private:
  octet_observer* o_ = nullptr;
};

class Observers : public testing::Test {
 protected:
  std::vector<float> data(size_t n) {
    std::vector<float> x(n);
    for (auto& v : x) v = hostile_float(rng, 0.5f);
    return x;
  }
  // Batches, their order, threads, merges and instruction sets do not show in what observers by d
  // save of x.
  void expect_one_state(const octet_observer_desc& d, std::vector<float> x) {
    Observer whole(c, d);
    whole.feed(vec(x));
    const auto want = whole.save();
    Observer batches(c, d);
    for (size_t i = 0; i < x.size();) {
      const size_t n = std::min<size_t>(1 + rng() % 3000, x.size() - i);
      batches.feed(octet_vec(OCTET_F32, x.data() + i, static_cast<int64_t>(n)));
      i += n;
    }
    EXPECT_EQ(batches.save(), want);
    std::shuffle(x.begin(), x.end(), rng);
    const int64_t count = static_cast<int64_t>(x.size());
    for (int32_t threads = 1; threads <= 16; ++threads) {
      Observer shuffled(c, d);
      const octet_exec e = exec_with(threads % 2 ? run_reversed : run_first_only, threads);
      shuffled.feed(octet_mat(OCTET_F32, x.data(), 100, count / 100), &e);
      EXPECT_EQ(shuffled.save(), want);
    }
    for (int order = 0; order < 2; ++order) {
      Observer a(c, d), b(c, d), e(c, d);
      a.feed(octet_vec(OCTET_F32, x.data(), 20000));
      b.feed(octet_vec(OCTET_F32, x.data() + 20000, 1));
      e.feed(octet_vec(OCTET_F32, x.data() + 20001, count - 20001));
      Observer& first = order ? a : e;
      Observer& last = order ? e : a;
      ASSERT_EQ(octet_observer_merge(b, first, nullptr), OCTET_OK);
      ASSERT_EQ(octet_observer_merge(last, b, nullptr), OCTET_OK);
      EXPECT_EQ(last.save(), want);
    }
    const Context scalar("scalar");
    Observer reference(scalar, d);
    reference.feed(vec(x));
    EXPECT_EQ(reference.save(), want);
  }

  Context c;
  std::mt19937 rng{2024};
};

}  // namespace octet_test

// SPDX-License-Identifier: Apache-2.0
//
// An owned observer, and the fixture of all tests that feed some.
#pragma once

#include "tests/quant/support.h"

namespace octet_test {

class Observer {
 public:
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
  Context c;
  std::mt19937 rng{2024};
};

}  // namespace octet_test

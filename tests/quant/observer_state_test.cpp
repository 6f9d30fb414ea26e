// SPDX-License-Identifier: Apache-2.0
//
// Saved observers: the bytes are fixed, a load continues where the save stopped, and whatever is
// wrong with the bytes is refused.
#include <algorithm>

#include "tests/quant/observers.h"

namespace octet_test {
namespace {

using SavedObservers = Observers;

TEST_F(SavedObservers, LoadContinuesWhereSaveStopped) {
  for (size_t channels : {0, 1, 5}) {
    Observer whole(c, channels, -1), part(c, channels, -1);
    const std::vector<float> x = data(2000);
    const octet_tensor first = octet_mat(OCTET_F32, x.data(), 200, 5);
    const octet_tensor second = octet_mat(OCTET_F32, x.data() + 1000, 200, 5);
    const auto shape = [&](octet_tensor t) {
      if (channels == 1) t.dims[0] = 1000, t.dims[1] = 1;
      return t;
    };
    part.feed(shape(first));
    const auto bytes = part.save();
    octet_observer* raw = nullptr;
    octet_error err = {};
    ASSERT_EQ(octet_observer_load(c, bytes.data(), bytes.size(), &raw, &err), OCTET_OK) << err.text;
    Observer loaded(raw);
    EXPECT_EQ(loaded.save(), bytes);
    loaded.feed(shape(second));
    whole.feed(shape(first));
    whole.feed(shape(second));
    EXPECT_EQ(loaded.save(), whole.save());
  }
}

TEST_F(SavedObservers, TheSavedBytesAreFixed) {
  Observer o(c);
  o.feed(vec({-1.5f, 2, kNan, kInf, kInf}));
  const std::vector<unsigned char> want = {
      'O', 'C', 'T',  'E',  'T', 'O', 'B', 'S',  1, 0, 0, 0, 0, 0, 0, 0, 72, 0, 0, 0, 0, 0, 0, 0,
      0,   0,   0,    0,    0,   0,   0,   0,    0, 0, 0, 0, 0, 0, 0, 0, 5,  0, 0, 0, 0, 0, 0, 0,
      0,   0,   0xC0, 0xBF, 0,   0,   0,   0x40, 1, 0, 0, 0, 0, 0, 0, 0, 2,  0, 0, 0, 0, 0, 0, 0};
  auto got = o.save();
  std::fill(got.begin() + 36, got.begin() + 40, 0);
  EXPECT_EQ(got, want);
}

uint32_t crc32c(const std::vector<unsigned char>& v) {
  uint32_t crc = ~0u;
  for (unsigned char b : v) {
    crc ^= b;
    for (int i = 0; i < 8; ++i) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
  }
  return ~crc;
}

void reseal(std::vector<unsigned char>* v) {
  std::fill(v->begin() + 36, v->begin() + 40, 0);
  const uint32_t crc = crc32c(*v);
  for (int i = 0; i < 4; ++i)
    (*v)[36 + static_cast<size_t>(i)] = static_cast<unsigned char>(crc >> 8 * i);
}

TEST_F(SavedObservers, LoadRefusesEveryFlipCutAndTail) {
  Observer o(c, 3, 1);
  const std::vector<float> x = data(30);
  o.feed(octet_mat(OCTET_F32, x.data(), 10, 3));
  const auto good = o.save();
  const auto load = [&](const std::vector<unsigned char>& bytes, octet_error* err) {
    octet_observer* out = nullptr;
    const std::vector<unsigned char> exact(bytes);  // its own allocation: overreads would show
    const octet_status s = octet_observer_load(c, exact.data(), exact.size(), &out, err);
    octet_observer_destroy(out);
    return s;
  };
  octet_error err = {};
  EXPECT_EQ(load(good, &err), OCTET_OK);
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    auto bad = good;
    bad[bit / 8] ^= static_cast<unsigned char>(1 << bit % 8);
    EXPECT_EQ(load(bad, &err), OCTET_ERR_CORRUPT) << bit << ": " << err.text;
  }
  for (size_t n = 1; n < good.size(); ++n)
    EXPECT_EQ(load({good.begin(), good.begin() + static_cast<ptrdiff_t>(n)}, &err),
              OCTET_ERR_CORRUPT);
  auto bad = good;
  bad.push_back(0);
  EXPECT_EQ(load(bad, &err), OCTET_ERR_CORRUPT);
  // With a right checksum the content itself is judged.
  const auto sealed = [&](size_t at, std::vector<unsigned char> bytes, octet_status want,
                          const char* word) {
    auto v = good;
    std::copy(bytes.begin(), bytes.end(), v.begin() + static_cast<ptrdiff_t>(at));
    reseal(&v);
    err = {};
    expect_refused(load(v, &err), err, want, {word});
  };
  sealed(8, {2}, OCTET_ERR_VERSION, "version 2");
  sealed(8, {0}, OCTET_ERR_CORRUPT, "version");
  sealed(12, {8}, OCTET_ERR_CORRUPT, "kind");
  sealed(12, {OCTET_OBSERVE_CALLBACK}, OCTET_ERR_CORRUPT, "kind");
  sealed(12, {OCTET_OBSERVE_MOVING}, OCTET_ERR_CORRUPT, "length");
  sealed(16, {1}, OCTET_ERR_CORRUPT, "length");
  sealed(24, {4}, OCTET_ERR_CORRUPT, "length");
  sealed(24, {3, 0, 0, 0, 0, 0, 0, 255}, OCTET_ERR_CORRUPT, "channels");
  sealed(32, {9}, OCTET_ERR_CORRUPT, "channels");
  sealed(48, {0, 0, 0xC0, 0x7F}, OCTET_ERR_CORRUPT, "range");  // NaN
  sealed(48, {0, 0, 0x80, 0x7F}, OCTET_ERR_CORRUPT, "range");  // one end empty
  sealed(48, {0, 0, 0, 0x80}, OCTET_ERR_CORRUPT, "range");     // -0
  auto longer = good;
  longer.resize(good.size() + 24);
  longer[16] = static_cast<unsigned char>(longer.size());
  reseal(&longer);
  EXPECT_EQ(load(longer, &err), OCTET_ERR_CORRUPT);
}

// Every kind that can be saved, with few bins.
std::vector<octet_observer_desc> all_descs() {
  static const float kScale[] = {0.5f, 2};
  std::vector<octet_observer_desc> all;
  for (int32_t kind = 0; kind <= OCTET_OBSERVE_NVIDIA_HISTOGRAM; ++kind) {
    octet_observer_desc d = observer_desc(kind);
    if (kind == OCTET_OBSERVE_CALLBACK) continue;
    if (kind == OCTET_OBSERVE_FIXED) d.scale = kScale;
    if (kind == OCTET_OBSERVE_HISTOGRAM || kind == OCTET_OBSERVE_TORCH_HISTOGRAM ||
        kind == OCTET_OBSERVE_NVIDIA_HISTOGRAM)
      d.bins = 8;
    if (kind == OCTET_OBSERVE_MOVING) d.momentum = 0.25f;
    if (kind == OCTET_OBSERVE_NVIDIA_HISTOGRAM) d.flags = OCTET_SKIP_ZEROS;
    all.push_back(d);
    d.channels = 2;
    d.axis = -1;
    if (kind != OCTET_OBSERVE_TORCH_HISTOGRAM && kind != OCTET_OBSERVE_NVIDIA_HISTOGRAM)
      all.push_back(d);
  }
  return all;
}

TEST_F(SavedObservers, EveryKindContinuesAndRefusesDamage) {
  const float first[] = {1, -2, kNan, 0, 3, 0.1f}, second[] = {9, -2, 5, 0, -7, 0.1f};
  for (const octet_observer_desc& d : all_descs()) {
    SCOPED_TRACE("kind " + std::to_string(d.kind) + " channels " + std::to_string(d.channels));
    Observer whole(c, d);
    const Observer unfed(c, d);
    whole.feed(octet_mat(OCTET_F32, first, 3, 2));
    octet_error err = {};
    for (const auto& bytes : {whole.save(), unfed.save()}) {
      octet_observer* raw = nullptr;
      ASSERT_EQ(octet_observer_load(c, bytes.data(), bytes.size(), &raw, &err), OCTET_OK)
          << err.text;
      Observer loaded(raw);
      EXPECT_EQ(loaded.save(), bytes);
    }
    const auto good = whole.save();
    octet_observer* raw = nullptr;
    ASSERT_EQ(octet_observer_load(c, good.data(), good.size(), &raw, &err), OCTET_OK);
    Observer loaded(raw);
    loaded.feed(octet_mat(OCTET_F32, second, 3, 2));
    whole.feed(octet_mat(OCTET_F32, second, 3, 2));
    EXPECT_EQ(loaded.save(), whole.save());
    // Any other bytes with a right checksum are refused, or are a state that can be used.
    for (int i = 0; i < 3000; ++i) {
      auto bad = good;
      bad[8 + rng() % (bad.size() - 8)] = static_cast<unsigned char>(rng());
      if (i % 2) bad[48 + rng() % (bad.size() - 48)] ^= static_cast<unsigned char>(1 << rng() % 8);
      if (i % 50 == 0) bad.resize(rng() % bad.size() + 1);
      if (bad.size() >= 40) reseal(&bad);
      raw = nullptr;
      if (octet_observer_load(c, bad.data(), bad.size(), &raw, &err) != OCTET_OK) {
        EXPECT_EQ(raw, nullptr);
        continue;
      }
      Observer strange(raw);
      const octet_tensor t = octet_mat(OCTET_F32, second, 3, 2);
      octet_observer_feed(strange, &t, nullptr, nullptr);
      float min[2], max[2];
      for (int32_t range = 0; range <= OCTET_RANGE_L2; ++range) {
        octet_scheme s = range_scheme(range);
        if (range == OCTET_RANGE_ENTROPY || range == OCTET_RANGE_MSE) s.start_bin = 1;
        octet_observer_range(strange, &s, min, max, d.channels ? 2 : 1, nullptr);
        octet_observer_range(strange, &s, min, max, 1, nullptr);
      }
    }
  }
}

TEST_F(SavedObservers, SaveNeedsRoom) {
  Observer o(c);
  octet_error err = {};
  unsigned char bytes[80];
  memset(bytes, 0x77, sizeof bytes);
  expect_refused(octet_observer_save(o, bytes, 71, nullptr, &err), err, OCTET_ERR_TOO_SMALL,
                 {"72"});
  EXPECT_EQ(err.need, 72);
  EXPECT_EQ(bytes[0], 0x77);
  EXPECT_EQ(octet_observer_save(o, bytes, static_cast<size_t>(err.need), nullptr, &err), OCTET_OK);
  EXPECT_EQ(bytes[72], 0x77);
  expect_refused(octet_observer_save(o, nullptr, 72, nullptr, &err), err, OCTET_ERR_ARGUMENT,
                 {"bytes is NULL"});
}

}  // namespace
}  // namespace octet_test

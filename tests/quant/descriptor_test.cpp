// SPDX-License-Identifier: Apache-2.0
//
// Settings as text: what is written is read back equal, mistakes are named with their place, and
// each recipe is what its framework says.
#include "tests/quant/support.h"

namespace octet_test {
namespace {

octet_scheme empty_scheme() {
  octet_scheme s = {};
  s.struct_size = sizeof s;
  return s;
}

octet_observer_desc empty_desc() {
  octet_observer_desc d = {};
  d.struct_size = sizeof d;
  return d;
}

octet_status write(const octet_scheme& s, char* text, size_t cap, size_t* need, octet_error* err) {
  return octet_scheme_write(&s, text, cap, need, err);
}
octet_status write(const octet_observer_desc& d, char* text, size_t cap, size_t* need,
                   octet_error* err) {
  return octet_observer_desc_write(&d, text, cap, need, err);
}
octet_status read(const std::string& text, octet_scheme* s, octet_error* err) {
  return octet_scheme_read(text.data(), text.size(), s, err);
}
octet_status read(const std::string& text, octet_observer_desc* d, octet_error* err) {
  return octet_observer_desc_read(text.data(), text.size(), d, err);
}

template <class Struct>
std::string text_of(const Struct& s) {
  char text[400];
  size_t need = 0;
  octet_error err = {};
  EXPECT_EQ(write(s, text, sizeof text, &need, &err), OCTET_OK) << err.text;
  EXPECT_EQ(need, std::string(text).size() + 1);
  return text;
}

template <class Struct>
void expect_round_trip(const Struct& s, const char* want = nullptr) {
  const std::string text = text_of(s);
  if (want) {
    EXPECT_EQ(text, want);
  }
  Struct back;
  memset(static_cast<void*>(&back), 0x5A, sizeof back);
  back.struct_size = sizeof back;
  octet_error err = {};
  ASSERT_EQ(read(text, &back, &err), OCTET_OK) << err.text;
  EXPECT_EQ(memcmp(&back, &s, sizeof s), 0) << text;
}

TEST(SchemeText, Examples) {
  octet_scheme s = empty_scheme();
  expect_round_trip(s, "");
  s.type = OCTET_S8;
  s.flags = OCTET_SYMMETRIC | OCTET_NARROW;
  s.granularity = OCTET_PER_CHANNEL;
  expect_round_trip(s, "flags=symmetric|narrow type=s8 granularity=per_channel");
  s.axis = -1;
  s.chooser = OCTET_CHOOSE_TORCH_OBSERVER;
  s.range = OCTET_RANGE_PERCENTILE;
  s.qmin = -127;
  s.qmax = 127;
  s.eps = 0x1p-12f;
  s.percentile = 99.99f;
  s.start_bin = 128;
  s.stride = 2;
  expect_round_trip(s,
                    "flags=symmetric|narrow type=s8 granularity=per_channel axis=-1 "
                    "chooser=torch_observer range=percentile qmin=-127 qmax=127 "
                    "eps=0.000244140625 percentile=99.9899979 start_bin=128 stride=2");
}

TEST(SchemeText, EveryValueComesBack) {
  for (int32_t v = 0; v <= OCTET_S2; ++v) {
    octet_scheme s = empty_scheme();
    s.type = v;
    s.granularity = v % (OCTET_PER_SAMPLE + 1);
    s.chooser = v % (OCTET_CHOOSE_TORCH_FLOAT + 1);
    s.range = v % (OCTET_RANGE_L2 + 1);
    s.flags = static_cast<uint32_t>(v * 37 % 64);
    s.group = int64_t{1} << (v * 4);
    expect_round_trip(s);
  }
  for (int32_t kind = 0; kind <= OCTET_OBSERVE_NVIDIA_HISTOGRAM; ++kind) {
    octet_observer_desc d = empty_desc();
    d.kind = kind;
    d.flags = static_cast<uint32_t>(kind % 4);
    d.axis = kind - 4;
    d.channels = SIZE_MAX >> kind;
    d.momentum = 0.01f;
    d.bins = INT32_MAX - kind;
    d.max_bins = 65536;
    d.group = 3;
    expect_round_trip(d);
  }
}

TEST(SchemeText, FloatsComeBack) {
  std::mt19937 rng(1);
  for (int i = 0; i < 200000; ++i) {
    octet_scheme s = empty_scheme();
    s.eps = from_bits(static_cast<uint32_t>(rng()));
    if (i < 64) s.eps = std::ldexp(1.0f, i * 4 - 149);  // from the smallest denormal on
    if (!(s.eps - s.eps == 0) || s.eps == 0) continue;
    char text[64];
    octet_scheme back = empty_scheme();
    ASSERT_EQ(octet_scheme_write(&s, text, sizeof text, nullptr, nullptr), OCTET_OK);
    ASSERT_EQ(octet_scheme_read(text, strlen(text), &back, nullptr), OCTET_OK) << text;
    ASSERT_EQ(bits(back.eps), bits(s.eps)) << text;
  }
}

TEST(SchemeText, AnyOrderAndSpace) {
  octet_scheme s = empty_scheme();
  octet_error err = {};
  ASSERT_EQ(read("\n  qmax=7\ttype=s4  qmin=-8 eps=1e-3 percentile=.5\r\n", &s, &err), OCTET_OK)
      << err.text;
  EXPECT_EQ(s.type, OCTET_S4);
  EXPECT_EQ(s.qmin, -8);
  EXPECT_EQ(s.qmax, 7);
  EXPECT_EQ(s.eps, 1e-3f);
  EXPECT_EQ(s.percentile, 0.5f);
  ASSERT_EQ(octet_scheme_read(nullptr, 0, &s, &err), OCTET_OK);
  EXPECT_EQ(s.type, 0);
  // Not terminated, and followed by what is not the text.
  ASSERT_EQ(octet_scheme_read("type=u8 nonsense", 7, &s, &err), OCTET_OK);
  EXPECT_EQ(s.type, OCTET_U8);
}

TEST(SchemeText, Refusals) {
  const struct {
    const char* text;
    std::initializer_list<const char*> words;
  } cases[] = {
      {"type=s8 color=red", {"\"color\"", "offset 8", "flags, group, type"}},
      {"type", {"no =", "type", "offset 4"}},
      {"type = s8", {"no =", "offset 4"}},
      {"type=s9", {"type=s9", "offset 5", "u8, s8, s32"}},
      {"type=", {"type=", "offset 5", "u8"}},
      {"qmin=-8 qmin=-8", {"qmin", "second time", "offset 8"}},
      {"flags=symmetric|wide", {"flags=wide", "offset 16", "narrow"}},
      {"flags=", {"offset 6", "symmetric"}},
      {"flags=narrow|", {"offset 13", "symmetric"}},
      {"qmax=2147483648", {"qmax=2147483648", "offset 5", "32 bits"}},
      {"qmin=-2147483649", {"32 bits"}},
      {"qmin=+3", {"32 bits"}},
      {"qmin=3.0", {"32 bits"}},
      {"group=9223372036854775808", {"64 bits"}},
      {"eps=nan", {"eps=nan", "offset 4", "decimal"}},
      {"eps=inf", {"decimal"}},
      {"eps=1e39", {"decimal"}},
      {"eps=1e", {"decimal"}},
      {"eps=.", {"decimal"}},
      {"eps=1.2.3", {"decimal"}},
      {"eps=0x1p-3", {"decimal"}},
      {"range=\x01\xFF", {"range=??", "observed"}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    octet_scheme s = empty_scheme();
    s.axis = 77;
    const octet_scheme before = s;
    octet_error err = {};
    const octet_status status = read(c.text, &s, &err);
    expect_refused(status, err, OCTET_ERR_ARGUMENT, c.words);
    EXPECT_EQ(memcmp(&s, &before, sizeof s), 0);
  }
  octet_observer_desc d = empty_desc();
  octet_error err = {};
  expect_refused(read("channels=-1", &d, &err), err, OCTET_ERR_ARGUMENT, {"channels=-1", "count"});
  expect_refused(read("scale=1", &d, &err), err, OCTET_ERR_ARGUMENT, {"\"scale\"", "channels"});
}

TEST(SchemeText, WhatHasNoText) {
  octet_scheme s = empty_scheme();
  octet_error err = {};
  size_t need = 0;
  s.chooser = 99;
  expect_refused(write(s, nullptr, 0, &need, &err), err, OCTET_ERR_ARGUMENT,
                 {"octet_scheme.chooser", "99"});
  s = empty_scheme();
  s.flags = 1u << 20;
  expect_refused(write(s, nullptr, 0, &need, &err), err, OCTET_ERR_ARGUMENT,
                 {"octet_scheme.flags", "1048576"});
  s = empty_scheme();
  s.eps = kNan;
  expect_refused(write(s, nullptr, 0, &need, &err), err, OCTET_ERR_NOT_FINITE,
                 {"octet_scheme.eps", "nan"});
  octet_observer_desc d = empty_desc();
  d.user = &d;
  expect_refused(write(d, nullptr, 0, &need, &err), err, OCTET_ERR_UNSUPPORTED, {"user"});
  s = empty_scheme();
  s.type = OCTET_S8;
  char text[8] = "before";
  expect_refused(write(s, text, 7, &need, &err), err, OCTET_ERR_TOO_SMALL, {"text", "7", "8"});
  EXPECT_EQ(err.need, 8);
  EXPECT_STREQ(text, "before");
  ASSERT_EQ(write(s, text, 8, &need, &err), OCTET_OK);
  EXPECT_STREQ(text, "type=s8");
}

// ---- recipes ----------------------------------------------------------------------------------

struct Parts {
  octet_scheme act = empty_scheme(), weight = empty_scheme();
  octet_observer_desc act_observer = empty_desc(), weight_observer = empty_desc();
};

TEST(Recipes, TorchQconfigs) {
  const struct {
    const char *name, *act, *act_observer, *weight, *weight_observer;
  } cases[] = {
      {"fbgemm", "flags=reduce_range type=u8 chooser=torch_observer range=l2",
       "kind=torch_histogram",
       "flags=symmetric type=s8 granularity=per_channel chooser=torch_observer", ""},
      {"qnnpack", "type=u8 chooser=torch_observer range=l2", "kind=torch_histogram",
       "flags=symmetric type=s8 granularity=per_tensor chooser=torch_observer", ""},
      {"qat_x86", "flags=reduce_range type=u8 chooser=torch_observer",
       "kind=moving momentum=0.00999999978",
       "flags=symmetric type=s8 granularity=per_channel chooser=torch_observer",
       "kind=moving momentum=0.00999999978"},
      {"default_symmetric_qnnpack_qconfig",
       "type=s8 chooser=torch_observer range=l2 eps=0.000244140625", "kind=torch_histogram",
       "flags=symmetric type=s8 granularity=per_tensor chooser=torch_observer qmin=-127 qmax=127 "
       "eps=0.000244140625",
       ""},
      {"quant_desc_8bit_per_tensor", "type=s8 granularity=per_tensor chooser=nvidia", "kind=absmax",
       "type=s8 granularity=per_tensor chooser=nvidia", "kind=absmax"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Parts p;
    octet_error err = {};
    ASSERT_EQ(octet_recipe(c.name, &p.act, &p.act_observer, &p.weight, &p.weight_observer, &err),
              OCTET_OK)
        << err.text;
    EXPECT_EQ(text_of(p.act), c.act);
    EXPECT_EQ(text_of(p.act_observer), c.act_observer);
    EXPECT_EQ(text_of(p.weight), c.weight);
    EXPECT_EQ(text_of(p.weight_observer), c.weight_observer);
  }
}

TEST(Recipes, PartsThatAreNotThere) {
  Parts p;
  octet_error err = {};
  const octet_scheme before = p.weight;
  p.weight.axis = 3;
  expect_refused(octet_recipe("default_observer", &p.act, nullptr, &p.weight, nullptr, &err), err,
                 OCTET_ERR_ARGUMENT, {"default_observer", "no weight"});
  EXPECT_EQ(p.act.type, 0);
  EXPECT_EQ(p.weight.axis, 3);
  p.weight = before;
  ASSERT_EQ(octet_recipe("default_dynamic_qconfig", &p.act, nullptr, &p.weight, nullptr, &err),
            OCTET_OK);
  EXPECT_EQ(p.act.chooser, OCTET_CHOOSE_TORCH_NATIVE);
  expect_refused(
      octet_recipe("default_dynamic_qconfig", nullptr, &p.act_observer, nullptr, nullptr, &err),
      err, OCTET_ERR_ARGUMENT, {"no observer of activations"});
  ASSERT_EQ(octet_recipe("quant_desc_8bit_convtranspose2d_weight_per_channel", nullptr, nullptr,
                         &p.weight, &p.weight_observer, &err),
            OCTET_OK);
  EXPECT_EQ(p.weight.axis, 1);
  EXPECT_EQ(p.weight_observer.axis, 1);
}

TEST(Recipes, FixedQparams) {
  Parts p;
  octet_error err = {};
  ASSERT_EQ(octet_recipe("default_fixed_qparams_range_neg1to1_observer", nullptr, &p.act_observer,
                         nullptr, nullptr, &err),
            OCTET_OK);
  EXPECT_EQ(p.act_observer.kind, OCTET_OBSERVE_FIXED);
  EXPECT_EQ(*p.act_observer.scale, 2.0f / 256);
  EXPECT_EQ(*p.act_observer.zero_point, 128);
  ASSERT_EQ(octet_recipe("default_fixed_qparams_range_0to1_observer", nullptr, &p.act_observer,
                         nullptr, nullptr, &err),
            OCTET_OK);
  EXPECT_EQ(*p.act_observer.scale, 1.0f / 256);
  EXPECT_EQ(*p.act_observer.zero_point, 0);
}

TEST(Recipes, Refusals) {
  octet_error err = {};
  octet_scheme s = empty_scheme();
  expect_refused(octet_recipe("fbgem", &s, nullptr, nullptr, nullptr, &err), err,
                 OCTET_ERR_ARGUMENT, {"\"fbgem\"", "fbgemm", "quant_desc_"});
  expect_refused(octet_recipe(nullptr, &s, nullptr, nullptr, nullptr, &err), err,
                 OCTET_ERR_ARGUMENT, {"name is NULL"});
  s.struct_size = 8;
  expect_refused(octet_recipe("fbgemm", &s, nullptr, nullptr, nullptr, &err), err,
                 OCTET_ERR_ARGUMENT, {"octet_scheme.struct_size", "8"});
}

// Weights of every recipe whose chooser is there can be packed as the recipe says.
TEST(Recipes, WeightsArePacked) {
  const Context c;
  std::vector<float> w(64);
  for (size_t i = 0; i < w.size(); ++i) w[i] = std::sin(static_cast<float>(i));
  for (const char* name : {"octet", "octet_dynamic", "octet_qat", "fbgemm", "x86", "qnnpack",
                           "onednn", "qat_fbgemm", "default_qconfig", "default_dynamic_qconfig",
                           "default_per_channel_symmetric_qnnpack_qconfig"}) {
    octet_scheme s = empty_scheme();
    octet_error err = {};
    ASSERT_EQ(octet_recipe(name, nullptr, nullptr, &s, nullptr, &err), OCTET_OK) << err.text;
    const octet_tensor source = octet_mat(OCTET_F32, w.data(), 4, 16);
    octet_weights_desc d = {};
    d.struct_size = sizeof d;
    d.source = &source;
    d.scheme = &s;
    octet_weights* packed = nullptr;
    EXPECT_EQ(octet_weights_create(c, &d, nullptr, &packed, &err), OCTET_OK)
        << name << ": " << err.text;
    octet_weights_destroy(packed);
  }
}

}  // namespace
}  // namespace octet_test

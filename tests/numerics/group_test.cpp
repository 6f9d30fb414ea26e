// SPDX-License-Identifier: Apache-2.0
//
// Weights of 4 bits and weights with a scale for each group of K: random layers equal the naive
// model under every instruction set, thread count, plan and memory layout; 4-bit weights without
// groups give the bits of the same integers in s8; and what cannot be is refused with its sentence.
#include "tests/numerics/layer.h"
#include "tests/numerics/packed.h"

namespace octet_test {
namespace {

class GroupBits : public testing::TestWithParam<int> {};

TEST_P(GroupBits, EqualTheModelHoweverTheyAreComputed) {
  Rng rng(static_cast<uint64_t>(GetParam() + 1000));
  for (int i = 0; i < scaled(200); ++i) {
    const Layer l = random_group_layer(&rng);
    const Bytes want = model(l);
    for (const CappedContext& c : contexts()) {
      SCOPED_TRACE(c.isa + ": " + describe(l));
      const LayerOp op(c.context, l);
      ASSERT_TRUE(equal(op.run({}), want));
      const int32_t candidates = op.candidates();
      for (int32_t plan = 1; plan <= candidates; ++plan) {
        How how;
        how.threads = rng.pick<int32_t>({1, 2, 3, 7});
        how.plan = plan;
        if (l.m % 2 == 0) how.leading = {2, l.m / 2};
        if (rng.chance(60)) how.gaps = &rng;
        ASSERT_TRUE(equal(op.run(how), want)) << "plan " << plan << ", " << how.threads;
      }
    }
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Random, GroupBits, testing::Range(1, 5));

// One scale of a channel: 4 bits are a way to store integers, and change no bit of a result.
TEST(Group, FourBitsAreTheSameIntegersInEight) {
  Rng rng(1100);
  for (int i = 0; i < scaled(200); ++i) {
    const Layer l = random_group_layer(&rng);
    if (!is_4bit(l.w_type)) continue;
    const Layer bytes = with_s8_weights(l);
    ASSERT_TRUE(equal(LayerOp(best_context(), l).run({}), LayerOp(best_context(), bytes).run({})))
        << describe(l);
  }
}

// Many chunks of rows.
TEST(Group, ManyRows) {
  Rng rng(1101);
  for (const Mode mode :
       {Mode::kStatic, Mode::kCallRows, Mode::kDynamicRow, Mode::kDynamicTensor}) {
    Layer l;
    do l = random_group_layer(&rng);
    while (l.mode != mode || !l.group || l.n < 16 || l.k < 500 || l.m < 6);
    const int64_t copies = scaled(16000) / l.m;
    const auto repeat = [&](auto* v, int64_t one) {
      if (static_cast<int64_t>(v->size()) != l.m * one) return;
      const auto first = *v;
      for (int64_t i = 1; i < copies; ++i) v->insert(v->end(), first.begin(), first.end());
    };
    repeat(&l.x, l.k);
    repeat(&l.xf, l.k);
    if (mode == Mode::kCallRows) repeat(&l.in_scale, 1);
    if (mode == Mode::kCallRows) repeat(&l.in_zero, 1);
    Layer once = l;
    const Bytes one = model([&] {
      once.x.resize(static_cast<size_t>(l.m * l.k) * (l.x.empty() ? 0 : 1));
      once.xf.resize(static_cast<size_t>(l.m * l.k) * (l.xf.empty() ? 0 : 1));
      return once;
    }());
    Bytes want;
    l.m *= copies;
    for (int64_t i = 0; i < copies; ++i) want.insert(want.end(), one.begin(), one.end());
    for (int32_t threads : {1, 3})
      ASSERT_TRUE(equal(LayerOp(best_context(), l).run(on_threads(threads)), want)) << describe(l);
  }
}

// By eye: two groups of 8, x = 1 2 3 4 5 6 7 8 twice, weights 1 and -8 of S4.
TEST(Group, FormulaByEye) {
  Layer l;
  l.m = l.n = 1;
  l.k = 16;
  l.group = 8;
  l.w_type = OCTET_S4;
  for (int k = 0; k < 16; ++k) {
    l.x.push_back(static_cast<uint8_t>(k % 8 + 1));
    l.w.push_back(k < 8 ? 1 : -8);
  }
  l.w_scale = {0.5f, 0.25f};
  l.w_zero = {0, 2};
  l.in_scale = {2};
  l.in_zero = {1};
  l.bias_type = OCTET_F32;
  l.bias_f = {10};
  l.out.type = OCTET_F32;
  pack_pairs(&l);
  // (36 - 8) * 0.5 + (36 - 8) * -10 * 0.25 = -56; * 2 + 10.
  for (const CappedContext& c : contexts()) {
    const Bytes y = LayerOp(c.context, l).run({});
    float value;
    memcpy(&value, y.data(), 4);
    EXPECT_EQ(value, -102.0f) << c.isa;
  }
  EXPECT_TRUE(equal(model(l), LayerOp(best_context(), l).run({})));
}

// Every row of 4-bit and of group-wise weights that this CPU can run, forced.
TEST(Group, EveryForcedRowGivesTheSameBits) {
  size_t need = 0;
  ASSERT_EQ(octet_context_describe(best_context(), nullptr, 0, &need, nullptr), OCTET_OK);
  std::string json(need, 0);
  ASSERT_EQ(octet_context_describe(best_context(), json.data(), need, &need, nullptr), OCTET_OK);
  Rng rng(1104);
  std::vector<Layer> layers;
  while (layers.size() < 40) {
    const Layer l = random_group_layer(&rng);
    if (l.n >= 64 && l.k && l.m) layers.push_back(l);
  }
  int forced = 0;
  const std::string key = "{\"name\":\"gemm";
  for (size_t at = json.find(key); at != std::string::npos; at = json.find(key, at + 1)) {
    const std::string name = json.substr(at + 9, json.find('"', at + 9) - at - 9);
    const bool grouped = name.find("gemmgroup") == 0, nibbles = name.find("u4_") != name.npos;
    if (!grouped && !nibbles) continue;
    octet_context_desc d = sized<octet_context_desc>();
    d.flags = OCTET_ALLOW_SLOW;
    d.force_kernel = name.c_str();
    octet_context* c = nullptr;
    if (octet_context_create(&d, &c, nullptr)) continue;  // of another CPU
    const Context context(c);
    for (const Layer& l : layers) {
      const std::string out = l.out.type == OCTET_F32   ? "_f32_"
                              : l.out.type == OCTET_S32 ? "_s32_"
                                                        : "_q8_";
      if ((l.group != 0) != grouped || is_4bit(l.w_type) != nibbles || name.find(out) == name.npos)
        continue;
      ASSERT_TRUE(equal(LayerOp(c, l).run({}), model(l))) << name << ": " << describe(l);
      ++forced;
    }
  }
  EXPECT_GT(forced, 20);
}

// ---- packed bytes ----

// Every byte of a small file of each form, written here again from the documentation.
TEST(Group, PackedBytesAreWhatIsDocumented) {
  Rng rng(1102);
  for (int i = 0; i < scaled(60); ++i) {
    const Layer l = random_group_layer(&rng);
    if (!l.group || !l.n) continue;
    const Bytes blob = packed_bytes(best_context(), l);
    const int64_t offset = l.w_type == OCTET_U8 ? 128 : l.w_type == OCTET_S4 ? -8 : 0;
    const int64_t step = is_4bit(l.w_type) ? 8 : 4, groups = l.k / l.group;
    const int64_t blocks = (l.group + 127) / 128, rows = l.group / step;
    const int64_t record = (rows + blocks + 1) * 64;
    int64_t stride = groups * record;
    if (stride && stride % 4096 == 0) stride += 64;
    ASSERT_EQ(static_cast<int64_t>(blob.size()),
              128 + (l.n + 15) / 16 * stride + (l.n + 15) / 16 * 64);
    for (int64_t n = 0; n < l.n; ++n)
      for (int64_t g = 0; g < groups; ++g) {
        const uint8_t* at = blob.data() + 128 + n / 16 * stride + g * record + n % 16 * 4;
        const size_t scale_at = static_cast<size_t>(n * groups + g);
        std::vector<int32_t> sums(static_cast<size_t>(blocks));
        for (int64_t k = 0; k < l.group; ++k) {
          const int64_t q = weight(l, static_cast<size_t>(n * l.k + g * l.group + k)) - offset;
          const uint8_t byte = at[k / step * 64 + k % 4];
          const int64_t got = step == 4        ? static_cast<int8_t>(byte)
                              : k / 4 % 2 == 0 ? byte & 15
                                               : byte >> 4;
          ASSERT_EQ(got, q);
          sums[static_cast<size_t>(k / 128)] += static_cast<int32_t>(q);
        }
        for (int64_t b = 0; b < blocks; ++b) {
          int16_t pair[2];
          memcpy(pair, at + (rows + b) * 64, 4);
          ASSERT_EQ(pair[0], sums[static_cast<size_t>(b)]);
          ASSERT_EQ(pair[1], l.w_zero[scale_at] - offset);
        }
        ASSERT_EQ(memcmp(at + (rows + blocks) * 64, &l.w_scale[scale_at], 4), 0);
      }
  }
}

TEST(Group, PackingIsAPureFunction) {
  Rng rng(1103);
  for (int i = 0; i < scaled(60); ++i) {
    const Layer l = random_group_layer(&rng);
    const Bytes want = packed_bytes(best_context(), l);
    for (const CappedContext& c : contexts())
      for (int32_t threads : {1, 3}) {
        const Exec exec(threads);
        ASSERT_TRUE(equal(packed_bytes(c.context, l, &exec.e), want)) << c.isa << describe(l);
      }
    if (!l.n || !l.k || is_4bit(l.w_type) || !l.wf.empty()) continue;
    // [K,N] by strides.
    octet_qparams q;
    octet_tensor t = source_tensor(l, &q);
    std::vector<int8_t> turned(l.w.size());
    for (int64_t n = 0; n < l.n; ++n)
      for (int64_t k = 0; k < l.k; ++k)
        turned[static_cast<size_t>(k * l.n + n)] = l.w[static_cast<size_t>(n * l.k + k)];
    t.data = turned.data();
    t.strides[0] = 1;
    t.strides[1] = l.n;
    const octet_tensor bias = bias_tensor(l);
    const Weights w = make_weights(best_context(), t, l.bias_type ? &bias : nullptr);
    const void* data;
    size_t bytes;
    ASSERT_EQ(octet_weights_blob(w.get(), &data, &bytes, nullptr), OCTET_OK);
    ASSERT_EQ(bytes, want.size());
    ASSERT_EQ(memcmp(data, want.data(), bytes), 0) << describe(l);
  }
}

// ---- refusals ----

class GroupRefusals : public testing::Test {
 protected:
  // weights [2, 32] of a type, in groups if group is not 0.
  octet_status create(octet_type type, int64_t group) {
    source_ = octet_mat(type, data_, 2, 32);
    q_ = {};
    q_.count = group > 0 && 32 % group == 0 ? 2 * 32 / group : 2;
    q_.group = group;
    q_.scale = scales_;
    source_.q = type == OCTET_F32 ? nullptr : &q_;
    return again();
  }
  octet_status again() {
    octet_weights_desc d = sized<octet_weights_desc>();
    d.source = &source_;
    d.bias = bias_;
    if (source_.type == OCTET_F32) d.scheme = &scheme_;
    octet_weights* w = nullptr;
    const octet_status status = octet_weights_create(best_context(), &d, nullptr, &w, &err_);
    weights_.reset(w);
    return status;
  }
  octet_status linear(octet_qtype out) {
    octet_linear_desc d = sized<octet_linear_desc>();
    d.weights = weights_.get();
    d.in = {OCTET_U8, 1, 0};
    d.out = out;
    octet_op* op = nullptr;
    const octet_status status = octet_linear_create(best_context(), &d, &op, &err_);
    octet_op_destroy(op);
    return status;
  }
  void expect(octet_status status, octet_status want, const char* part) {
    EXPECT_EQ(status, want) << err_.text;
    EXPECT_THAT(err_.text, testing::HasSubstr(part));
  }

  alignas(64) float data_[64] = {};
  float scales_[64];
  octet_tensor source_;
  const octet_tensor* bias_ = nullptr;
  octet_qparams q_;
  octet_scheme scheme_ = sized<octet_scheme>();
  Weights weights_;
  Error err_;

  void SetUp() override { std::fill(scales_, scales_ + 64, 1.0f); }
};

TEST_F(GroupRefusals, GroupsThatDoNotFit) {
  for (const octet_type type : {OCTET_S8 + 0, OCTET_U8 + 0})
    for (const int64_t group : {4, 8, 16, 32}) EXPECT_EQ(create(type, group), OCTET_OK);
  for (const octet_type type : {OCTET_S4 + 0, OCTET_U4 + 0})
    for (const int64_t group : {8, 16, 32}) EXPECT_EQ(create(type, group), OCTET_OK);
  for (const int64_t group : {1, 2, 3, 6, 12, 64, -8})
    expect(create(OCTET_S8, group), OCTET_ERR_ARGUMENT, "must be a multiple of 4 that divides K");
  for (const int64_t group : {4, 12, 24, 64, -8})
    expect(create(OCTET_S4, group), OCTET_ERR_ARGUMENT, "must be a multiple of 8 that divides K");
  create(OCTET_S8, 8);
  q_.count = 2;
  expect(again(), OCTET_ERR_ARGUMENT, "N * K / group = 8 scales");
  q_.count = 8;
  q_.axis = 1;
  expect(again(), OCTET_ERR_ARGUMENT, "axis is 1");
  q_.axis = 0;
  scales_[7] = 0;
  expect(again(), OCTET_ERR_ARGUMENT, "scale of index 7 is 0");
  scales_[7] = 1;
  int32_t zeros[8] = {0, 0, 0, 0, 0, 0, 0, 128};
  q_.zero_point = zeros;
  expect(again(), OCTET_ERR_ARGUMENT, "zero_point[7] is 128");
}

TEST_F(GroupRefusals, Schemes) {
  scheme_.type = OCTET_S4;
  scheme_.granularity = OCTET_PER_GROUP;
  expect(create(OCTET_F32, 0), OCTET_ERR_ARGUMENT, "group is 0");
  scheme_.group = 12;
  expect(create(OCTET_F32, 0), OCTET_ERR_ARGUMENT, "octet_scheme.group is 12; a group of S4");
  scheme_.group = 16;
  EXPECT_EQ(create(OCTET_F32, 0), OCTET_OK);
  scheme_.granularity = OCTET_PER_CHANNEL;
  expect(create(OCTET_F32, 0), OCTET_ERR_ARGUMENT, "a group is given with OCTET_PER_GROUP");
  scheme_.group = 0;
  EXPECT_EQ(create(OCTET_F32, 0), OCTET_OK);
  data_[33] = __builtin_nanf("");
  expect(create(OCTET_F32, 0), OCTET_ERR_NOT_FINITE, "source[1, 1] is nan");
  data_[33] = 1e30f;
  expect(create(OCTET_F32, 0), OCTET_ERR_ARGUMENT, "channel 1 needs a scale above 2^60");
}

TEST_F(GroupRefusals, StridesOfNibbles) {
  create(OCTET_S4, 0);
  source_.strides[0] = 33;
  source_.strides[1] = 1;
  expect(again(), OCTET_ERR_ARGUMENT, "strides[0] is 33");
  source_.strides[0] = 1;
  source_.strides[1] = 2;
  expect(again(), OCTET_ERR_ARGUMENT, "must be even");
  source_.strides[0] = 64;
  expect(again(), OCTET_ERR_ARGUMENT, "the innermost stride");
  source_.strides[0] = 64;
  source_.strides[1] = 1;
  EXPECT_EQ(again(), OCTET_OK);
}

TEST_F(GroupRefusals, WhatHasNoCommonUnit) {
  const int32_t b[2] = {1, 2};
  const octet_tensor bias = octet_vec(OCTET_S32, b, 2);
  bias_ = &bias;
  expect(create(OCTET_S8, 8), OCTET_ERR_ARGUMENT, "use an F32 bias");
  EXPECT_EQ(create(OCTET_S4, 0), OCTET_OK);  // one scale for a channel
  bias_ = nullptr;
  ASSERT_EQ(create(OCTET_S8, 8), OCTET_OK);
  expect(linear({OCTET_S32, 0, 0}), OCTET_ERR_ARGUMENT, "no common unit");
  EXPECT_EQ(linear({OCTET_F32, 0, 0}), OCTET_OK);
}

TEST_F(GroupRefusals, WhatIsForOneScaleAChannel) {
  ASSERT_EQ(create(OCTET_S8, 8), OCTET_OK);
  octet_linear_desc d = sized<octet_linear_desc>();
  d.weights = weights_.get();
  d.in = {OCTET_U8, 1, 0};
  d.out = {OCTET_U8, 1, 0};
  d.flags = OCTET_RESIDUAL;
  d.residual = {OCTET_U8, 1, 0};
  octet_op* op = nullptr;
  expect(octet_linear_create(best_context(), &d, &op, &err_), OCTET_ERR_UNSUPPORTED, "residual");
  d.flags = 0;
  d.residual = {};
  d.numerics = OCTET_NUMERICS_TFLITE;
  EXPECT_NE(octet_linear_create(best_context(), &d, &op, &err_), OCTET_OK);
  EXPECT_THAT(err_.text, testing::HasSubstr("weights of 8 bits without groups"));
}

TEST_F(GroupRefusals, RawGemmTakesBytes) {
  create(OCTET_S4, 0);
  uint8_t x[32] = {};
  float y[2];
  const octet_tensor a = octet_mat(OCTET_U8, x, 1, 32), out = octet_mat(OCTET_F32, y, 1, 2);
  expect(octet_gemm(best_context(), nullptr, &a, &source_, nullptr, &out, nullptr, &err_),
         OCTET_ERR_UNSUPPORTED, "octet_weights_create");
  create(OCTET_S8, 8);
  expect(octet_gemm(best_context(), nullptr, &a, &source_, nullptr, &out, nullptr, &err_),
         OCTET_ERR_UNSUPPORTED, "b.q->group is 8");
}

// How long a group may be; K itself is not limited.
TEST(Group, LongestExactGroup) {
  const auto create = [](octet_type type, int64_t k, int64_t group, Error* err) {
    const float one = 1;
    octet_tensor t = octet_mat(type, nullptr, 1, k);
    octet_qparams q = {};
    q.group = group;
    std::vector<float> scales(static_cast<size_t>(k / (group ? group : k)), one);
    q.count = static_cast<int64_t>(scales.size());
    q.scale = scales.data();
    t.q = &q;
    octet_weights_desc wd = sized<octet_weights_desc>();
    wd.source = &t;
    wd.flags = OCTET_SHAPE_ONLY;
    octet_weights* w = nullptr;
    EXPECT_TRUE(ok(octet_weights_create(best_context(), &wd, nullptr, &w, err), *err));
    octet_linear_desc d = sized<octet_linear_desc>();
    d.weights = w;
    d.in.type = OCTET_F32;
    d.out.type = OCTET_F32;
    octet_op* op = nullptr;
    const octet_status status = octet_linear_create(best_context(), &d, &op, err);
    octet_op_destroy(op);
    octet_weights_destroy(w);
    return status;
  };
  Error err;
  EXPECT_EQ(create(OCTET_S8, 65792, 65792, &err), OCTET_OK);
  EXPECT_EQ(create(OCTET_S8, 65796, 65796, &err), OCTET_ERR_INEXACT);
  EXPECT_THAT(err.text, testing::HasSubstr("up to a group of 65793"));
  EXPECT_EQ(create(OCTET_S8, 65792 * 40, 65792, &err), OCTET_OK);
  EXPECT_EQ(create(OCTET_S4, 561432, 561432, &err), OCTET_OK);
  EXPECT_EQ(create(OCTET_S4, 561440, 561440, &err), OCTET_ERR_INEXACT);
  EXPECT_EQ(create(OCTET_U4, 561433, 0, &err), OCTET_OK);
  EXPECT_EQ(create(OCTET_U4, 561434, 0, &err), OCTET_ERR_INEXACT);
  EXPECT_THAT(err.text, testing::HasSubstr("up to K = 561433"));
}

// The worst data at a length where int16 sums of the zero points would not do.
TEST(Group, WorstDataIsExact) {
  for (const octet_type type : {OCTET_S8 + 0, OCTET_S4 + 0})
    for (const int64_t group : {128, 256, 16384, 32768}) {
      Layer l;
      l.m = l.n = 1;
      l.k = group;
      l.group = group;
      l.w_type = type;
      l.x.assign(static_cast<size_t>(group), 255);
      l.w.assign(static_cast<size_t>(group), static_cast<int8_t>(type_min(type)));
      l.w_zero = {type_max(type)};
      l.out.type = OCTET_F32;
      pack_pairs(&l);
      const Bytes want = model(l);
      for (const CappedContext& c : contexts())
        ASSERT_TRUE(equal(LayerOp(c.context, l).run({}), want)) << c.isa << " " << describe(l);
    }
}

}  // namespace
}  // namespace octet_test

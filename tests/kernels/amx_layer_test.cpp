// SPDX-License-Identifier: Apache-2.0
//
// Whole layers on AMX, run on the model of its tiles: the selector, the tasks and the kernels
// together give the bits that the other instruction sets give, whatever the plan, the threads and
// the form of the activations. And what decides whether a process may use AMX.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "octet/octet.h"
#include "src/amx.h"
#include "src/context.h"
#include "tests/kernels/cpu.h"
#include "tests/kernels/tile_model.h"

namespace octet {
namespace {

template <class T>
T sized() {
  T t = {};
  t.struct_size = sizeof t;
  return t;
}

struct Destroy {
  void operator()(octet_context* c) const { octet_context_destroy(c); }
  void operator()(octet_weights* w) const { octet_weights_destroy(w); }
  void operator()(octet_op* o) const { octet_op_destroy(o); }
};
using Context = std::unique_ptr<octet_context, Destroy>;
using Weights = std::unique_ptr<octet_weights, Destroy>;
using Op = std::unique_ptr<octet_op, Destroy>;

// AVX-512-VNNI, with AMX on top where the model is to be used.
Context make_context(bool amx) {
  auto d = sized<octet_context_desc>();
  d.max_isa = "avx512vnni";
  octet_context* c = nullptr;
  EXPECT_EQ(octet_context_create(&d, &c, nullptr), OCTET_OK);
  if (amx) c->isas |= kIsaAmx;
  return Context(c);
}

// A pool that starts all its threads at once.
int32_t parallel_for(void*, size_t tasks, void (*work)(void*, size_t), void* arg) {
  std::vector<std::thread> threads;
  for (size_t t = 0; t < tasks; ++t) threads.emplace_back(work, arg, t);
  for (std::thread& t : threads) t.join();
  return 0;
}

struct Layer {
  int64_t m, n, k;
  octet_type in, out;  // F32 in: dynamic
  bool weight_zeros;
};

class AmxLayers : public testing::Test {
 protected:
  void SetUp() override {
    if (!(cpu_isas() & kIsaAvx512Vnni)) GTEST_SKIP() << "the rest of a layer needs AVX-512-VNNI";
    with_ = make_context(true);
    without_ = make_context(false);
  }

  void draw(const Layer& l) {
    layer_ = l;
    const auto elements = static_cast<size_t>(l.m * l.k);
    x_.resize(elements * (l.in == OCTET_F32 ? 4 : 1));
    for (uint8_t& v : x_) v = static_cast<uint8_t>(random_());
    if (l.in == OCTET_F32) {
      std::normal_distribution<float> normal;
      for (size_t i = 0; i < elements; ++i) {
        const float v = normal(random_);
        memcpy(x_.data() + 4 * i, &v, 4);
      }
      const float nan = __builtin_nanf("");
      memcpy(x_.data(), &nan, 4);  // the first row is not finite
    }
    w_.resize(static_cast<size_t>(l.n * l.k));
    for (int8_t& v : w_) v = static_cast<int8_t>(static_cast<int>(random_() % 255) - 127);
    scale_.resize(static_cast<size_t>(l.n));
    zero_.resize(static_cast<size_t>(l.n));
    bias_.resize(static_cast<size_t>(l.n));
    for (size_t i = 0; i < scale_.size(); ++i) {
      scale_[i] = 0.001f * static_cast<float>(random_() % 1000 + 1);
      zero_[i] = l.weight_zeros ? static_cast<int32_t>(random_() % 21) - 10 : 0;
      bias_[i] = static_cast<float>(random_() % 2000) - 1000;
    }
  }

  Op make(const octet_context* c) {
    octet_qparams q = {};
    q.count = layer_.n;
    q.scale = scale_.data();
    q.zero_point = layer_.weight_zeros ? zero_.data() : nullptr;
    octet_tensor source = octet_mat(OCTET_S8, w_.data(), layer_.n, layer_.k);
    source.q = &q;
    const octet_tensor bias = octet_vec(OCTET_F32, bias_.data(), layer_.n);
    auto wd = sized<octet_weights_desc>();
    wd.source = &source;
    if (layer_.out != OCTET_S32) wd.bias = &bias;
    octet_error err = {};
    octet_weights* weights = nullptr;
    EXPECT_EQ(octet_weights_create(c, &wd, nullptr, &weights, &err), OCTET_OK) << err.text;
    const Weights owner(weights);
    auto d = sized<octet_linear_desc>();
    d.weights = weights;
    d.in.type = layer_.in;
    d.out.type = layer_.out;
    if (layer_.in != OCTET_F32) d.in = {layer_.in, 0.02f, 5};
    if (layer_.out != OCTET_F32 && layer_.out != OCTET_S32) d.out = {layer_.out, 3.0f, 7};
    octet_op* op = nullptr;
    EXPECT_EQ(octet_linear_create(c, &d, &op, &err), OCTET_OK) << err.text;
    return Op(op);
  }

  octet_tensor in() { return octet_mat(layer_.in, x_.data(), layer_.m, layer_.k); }

  octet_plan plan(const octet_op* op, const octet_exec& e) {
    auto p = sized<octet_plan>();
    const octet_tensor x = in();
    EXPECT_EQ(octet_op_plan(op, &x, 1, &e, &p, nullptr), OCTET_OK);
    return p;
  }

  std::vector<uint8_t> run(const octet_op* op, octet_exec e) {
    const bool bytes = layer_.out == OCTET_U8 || layer_.out == OCTET_S8;
    std::vector<uint8_t> y(static_cast<size_t>(layer_.m * layer_.n) * (bytes ? 1 : 4), 0xA5);
    const octet_tensor x = in(), to = octet_mat(layer_.out, y.data(), layer_.m, layer_.n);
    octet_error err = {};
    EXPECT_EQ(octet_op_workspace(op, &x, 1, &e, &e.workspace_bytes, &err), OCTET_OK);
    std::vector<char> workspace(e.workspace_bytes);
    e.workspace = workspace.data();
    EXPECT_EQ(octet_op_run(op, &x, 1, &to, 1, &e, &err), OCTET_OK) << err.text;
    EXPECT_FALSE(octet_tiles::in_use()) << "tiles were not released";
    return y;
  }

  // The layer without AMX once, with AMX on one thread and several, under every plan.
  void compare(const Layer& l) {
    draw(l);
    SCOPED_TRACE(std::to_string(l.m) + "x" + std::to_string(l.n) + "x" + std::to_string(l.k) +
                 ", in " + std::to_string(l.in) + ", out " + std::to_string(l.out));
    auto e = sized<octet_exec>();
    const std::vector<uint8_t> want = run(make(without_.get()).get(), e);
    const Op op = make(with_.get());
    for (const int32_t threads : {1, 3}) {
      e.parallel_for = threads > 1 ? parallel_for : nullptr;
      e.max_threads = threads;
      e.plan = 0;
      const int32_t candidates = plan(op.get(), e).candidates;
      for (e.plan = 0; e.plan <= candidates; ++e.plan) {
        const octet_plan p = plan(op.get(), e);
        blocks_ += !strcmp(p.isa, "amx");
        ASSERT_TRUE(run(op.get(), e) == want) << p.kernel << ", " << threads << " threads";
      }
    }
  }

  std::mt19937 random_{1};
  Context with_, without_;
  Layer layer_{};
  std::vector<uint8_t> x_;
  std::vector<int8_t> w_;
  std::vector<float> scale_, bias_;
  std::vector<int32_t> zero_;
  int blocks_ = 0;  // runs on AMX
};

TEST_F(AmxLayers, HaveTheSameBits) {
  for (const octet_type in : {OCTET_U8, OCTET_S8, OCTET_F32})
    for (const octet_type out : {OCTET_U8, OCTET_S8, OCTET_F32, OCTET_S32}) {
      if (in == OCTET_F32 && out != OCTET_F32) continue;
      for (const bool zeros : {false, true}) {
        compare({1, 100, 70, in, out, zeros});
        compare({17, 33, 129, in, out, zeros});
        compare({77, 150, 64, in, out, zeros});
        compare({40, 16, 300, in, out, zeros});
      }
    }
  EXPECT_GT(blocks_, 300);
}

// Beyond what a task, an L1 or an L2 holds: several tasks, and panels of B stay while A streams.
TEST_F(AmxLayers, HaveTheSameBitsWhereACacheIsFull) {
  const_cast<octet::Cpu&>(with_->cpu).l1d = 4096;
  with_->cpu.l2 = 32768;
  compare({333, 70, 200, OCTET_U8, OCTET_U8, false});
  compare({333, 300, 90, OCTET_S8, OCTET_F32, true});
  EXPECT_GT(blocks_, 8);
}

// Rows 4 KiB apart are copied before tiles read them, where there are columns enough to pay for it.
TEST_F(AmxLayers, CopyRowsThatShareTheirCacheLines) {
  const auto copied = [&](int64_t n, int64_t k) {
    draw({33, n, k, OCTET_U8, OCTET_U8, false});
    return (plan(make(with_.get()).get(), sized<octet_exec>()).flags & OCTET_PLAN_PACKS_A) != 0;
  };
  EXPECT_TRUE(copied(512, 4096));
  EXPECT_FALSE(copied(512, 4100));
  EXPECT_FALSE(copied(64, 4096));
  compare({17, 512, 4096, OCTET_U8, OCTET_F32, false});
}

TEST_F(AmxLayers, ChooseAmxForAllButTheSmallest) {
  const auto isa = [&](int64_t m, int64_t n, int64_t k, octet_type in = OCTET_U8) {
    draw({m, n, k, in, in, false});
    return std::string(plan(make(with_.get()).get(), sized<octet_exec>()).isa);
  };
  EXPECT_EQ(isa(128, 768, 768), "amx");
  EXPECT_EQ(isa(16, 64, 64), "amx");
  EXPECT_EQ(isa(4, 1024, 1024), "amx");
  EXPECT_EQ(isa(1, 64, 64), "avx512vnni");
  EXPECT_EQ(isa(7, 5, 3), "avx512vnni");
  EXPECT_EQ(isa(8, 32, 32), "avx512vnni");
  // s8 activations: read in place, or shifted for the tiles that take u8 only.
  EXPECT_EQ(isa(128, 768, 768, OCTET_S8), "amx");
  EXPECT_EQ(isa(1, 768, 768, OCTET_S8), "amx");
  EXPECT_EQ(isa(1, 16, 16, OCTET_S8), "avx512vnni");
}

TEST_F(AmxLayers, TakeABlockOfFewerRowsForTheLastOnes) {
  draw({40, 768, 768, OCTET_U8, OCTET_U8, false});
  const Op op = make(with_.get());
  const octet_tensor x = in();
  char json[4096];
  ASSERT_EQ(octet_op_describe(op.get(), &x, 1, nullptr, json, sizeof json, nullptr, nullptr),
            OCTET_OK);
  EXPECT_THAT(json, testing::HasSubstr("\"kernels\":[\"gemm_u8s8_q8_32x32c4_amx\","
                                       "\"gemm_u8s8_q8_16x64c4_amx\"]"));
}

TEST_F(AmxLayers, AForcedKernelTakesEveryShape) {
  for (size_t r = 0; r < octet_row_count; ++r) {
    const Row& row = octet_rows[r];
    if (row.isa != kIsaAmx || row.out != kOutQ8) continue;
    const octet_type type = row.in == OCTET_S8 ? OCTET_S8 : OCTET_U8;
    for (const int64_t m : {1, 31, 50})
      for (const int64_t n : {3, 90}) {
        draw({m, n, 37, type, type, false});
        const auto e = sized<octet_exec>();
        with_->forced = nullptr;
        const std::vector<uint8_t> want = run(make(without_.get()).get(), e);
        with_->forced = &row;
        const Op op = make(with_.get());
        EXPECT_STREQ(plan(op.get(), e).kernel, row.name);
        EXPECT_TRUE(run(op.get(), e) == want) << row.name;
      }
  }
}

// ---- may this process use AMX? ----------------------------------------------------------------

AmxFacts good_facts() { return {true, true, 0x602E7, 1, 1024, 64, 8, 16}; }

// Convolutions, whose blocks read strips of pixels in place, or gathered rows.
class AmxConvs : public AmxLayers {
 protected:
  struct Shape {
    int64_t channels, outputs;
    int32_t groups;
    bool transposed;
    octet_type in, out;
    bool weight_zeros;
    int64_t height, width;
    int32_t stride, dilation;
    bool residual;  // which the output replaces
  };

  // Draws the image, which the model then watches.
  void draw_conv(const Shape& s) {
    draw({2 * s.height * s.width, s.outputs, 9 * s.channels, OCTET_F32, OCTET_F32, false});
    const float one = 1;
    memcpy(x_.data(), &one, 4);
    octet_tiles::watch_loads(x_.data(), x_.size());
  }

  std::vector<uint8_t> run_conv(const octet_context* c, const Shape& s, int32_t threads,
                                int32_t choice, octet_plan* plan) {
    octet_qparams q = {};
    q.count = 1;
    const float scale = 0.01f;
    const int32_t zero = s.weight_zeros ? 3 : 0;
    q.scale = &scale;
    q.zero_point = &zero;
    octet_tensor source = octet_nhwc(OCTET_S8, w_.data(), s.outputs, 3, 3, s.channels / s.groups);
    source.q = &q;
    auto g = sized<octet_geometry>();
    g.flags = s.transposed ? OCTET_TRANSPOSED : 0;
    g.rank = 2;
    g.groups = s.groups;
    for (int i = 0; i < 2; ++i) {
      g.stride[i] = s.stride;
      g.dilation[i] = s.dilation;
      g.pad_lo[i] = g.pad_hi[i] = 1;
    }
    auto wd = sized<octet_weights_desc>();
    wd.source = &source;
    wd.geometry = &g;
    octet_error err = {};
    octet_weights* weights = nullptr;
    EXPECT_EQ(octet_weights_create(c, &wd, nullptr, &weights, &err), OCTET_OK) << err.text;
    const Weights owner(weights);
    auto d = sized<octet_linear_desc>();
    d.weights = weights;
    d.in.type = s.in;
    d.out.type = s.out;
    if (s.in != OCTET_F32) d.in = {s.in, 0.02f, 5};
    if (s.out == OCTET_U8) d.out = {s.out, 3.0f, 7};
    if (s.residual) {
      d.flags |= OCTET_RESIDUAL;
      d.residual = {s.out, 1.5f, 100};
    }
    octet_op* made = nullptr;
    EXPECT_EQ(octet_conv_create(c, &d, &g, &made, &err), OCTET_OK) << err.text;
    const Op op(made);
    octet_tensor in[2] = {octet_nhwc(s.in, x_.data(), 2, s.height, s.width, s.channels)};
    octet_tensor y = {};
    // The shape of a residual is the output's, which does not depend on it.
    octet_linear_desc plain = d;
    plain.residual = {};
    plain.flags = 0;
    octet_op* shape = nullptr;
    EXPECT_EQ(octet_conv_create(c, &plain, &g, &shape, &err), OCTET_OK) << err.text;
    const Op shape_owner(shape);
    EXPECT_EQ(octet_op_infer(shape, in, 1, &y, 1, &err), OCTET_OK) << err.text;
    std::vector<uint8_t> out(
        static_cast<size_t>(y.dims[0] * y.dims[1] * y.dims[2] * y.dims[3] * 4));
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<uint8_t>(i * 37);
    y.data = out.data();
    in[1] = y;
    const size_t n_in = s.residual ? 2 : 1;
    auto e = sized<octet_exec>();
    e.max_threads = threads;
    e.plan = choice;
    if (threads > 1) e.parallel_for = parallel_for;
    EXPECT_EQ(octet_op_workspace(made, in, n_in, &e, &e.workspace_bytes, &err), OCTET_OK)
        << err.text;
    std::vector<char> workspace(e.workspace_bytes);
    e.workspace = workspace.data();
    *plan = sized<octet_plan>();
    EXPECT_EQ(octet_op_plan(made, in, n_in, &e, plan, &err), OCTET_OK) << err.text;
    EXPECT_EQ(octet_op_run(made, in, n_in, &y, 1, &e, &err), OCTET_OK) << err.text;
    return out;
  }

  // All plans with AMX give the bits without it. Returns how many of them ran on AMX.
  int32_t compare_conv(const Shape& s) {
    int32_t amx = 0;
    draw_conv(s);
    octet_plan plan;
    const std::vector<uint8_t> want = run_conv(without_.get(), s, 1, 0, &plan);
    run_conv(with_.get(), s, 1, 0, &plan);
    const int32_t candidates = plan.candidates;
    for (int32_t choice = 0; choice <= candidates; ++choice) {
      EXPECT_EQ(run_conv(with_.get(), s, 1 + choice % 3, choice, &plan), want)
          << plan.kernel << ", " << s.channels << " -> " << s.outputs;
      amx += strcmp(plan.isa, "amx") == 0;
    }
    return amx;
  }
};

TEST_F(AmxConvs, HaveTheSameBits) {
  int32_t amx = 0;
  for (const Shape& s : {Shape{16, 40, 1, false, OCTET_U8, OCTET_U8, false, 13, 15, 2, 1, false},
                         Shape{3, 70, 1, false, OCTET_S8, OCTET_S32, false, 13, 15, 2, 1, false},
                         Shape{33, 33, 1, false, OCTET_U8, OCTET_F32, true, 13, 15, 2, 1, false},
                         Shape{60, 60, 3, false, OCTET_S8, OCTET_U8, false, 13, 15, 2, 1, true},
                         Shape{32, 24, 1, true, OCTET_U8, OCTET_U8, true, 13, 15, 2, 1, false},
                         Shape{20, 48, 1, false, OCTET_F32, OCTET_F32, false, 13, 15, 2, 1, false}})
    amx += compare_conv(s);
  EXPECT_GT(amx, 6);
}

// Rows of the kernel at once, taps one by one, strides, groups, phases; ends of rows and the rows
// at the edge are gathered beside them. Strips of 15 pixels, of 13 and 14 of them that overlap.
TEST_F(AmxConvs, ReadWidePixelsInPlace) {
  for (const Shape& s :
       {Shape{16, 40, 1, false, OCTET_U8, OCTET_U8, false, 6, 32, 1, 1, true},
        Shape{64, 70, 1, false, OCTET_S8, OCTET_S32, false, 5, 28, 1, 1, false},
        Shape{31, 33, 1, false, OCTET_U8, OCTET_F32, false, 5, 29, 1, 1, false},
        Shape{24, 36, 1, false, OCTET_U8, OCTET_U8, false, 7, 33, 1, 2, false},
        Shape{36, 20, 1, false, OCTET_U8, OCTET_U8, false, 5, 60, 2, 1, true},
        Shape{60, 60, 3, false, OCTET_S8, OCTET_U8, false, 4, 31, 1, 1, false},
        Shape{32, 24, 1, true, OCTET_U8, OCTET_U8, false, 5, 30, 2, 1, true},
        Shape{20, 48, 1, false, OCTET_F32, OCTET_F32, false, 6, 17, 1, 1, false}}) {
    EXPECT_GT(compare_conv(s), 0);
    // A dynamic layer's tiles read what became of the image.
    if (s.in != OCTET_F32) {
      EXPECT_GT(octet_tiles::loads_seen(), 0) << s.channels;
    }
  }
}

// Where most rows of a tile would be idle, or the bytes are to be changed, all pixels are gathered.
TEST_F(AmxConvs, GatherWhatDoesNotFillTiles) {
  for (const Shape& s : {Shape{32, 64, 1, false, OCTET_U8, OCTET_U8, false, 9, 9, 1, 1, false},
                         Shape{32, 64, 1, false, OCTET_U8, OCTET_U8, true, 9, 32, 1, 1, false}}) {
    EXPECT_GT(compare_conv(s), 0);
    EXPECT_EQ(octet_tiles::loads_seen(), 0);
  }
}

TEST(AmxFacts, EachRefusalHasItsReason) {
  const auto why = [](auto change) {
    AmxFacts f = good_facts();
    change(f);
    const char* reason = judge_amx(f);
    return std::string(reason ? reason : "");
  };
  EXPECT_EQ(why([](AmxFacts&) {}), "");
  EXPECT_EQ(why([](AmxFacts& f) { f.tiles = false; }), "the CPU lacks it");
  EXPECT_EQ(why([](AmxFacts& f) { f.int8 = false; }), "the CPU lacks it");
  const std::string os = "the operating system does not save its registers";
  EXPECT_EQ(why([](AmxFacts& f) { f.xcr0 = 0xE7; }), os);
  EXPECT_EQ(why([](AmxFacts& f) { f.xcr0 = 0x200E7; }), os);
  const std::string tiles = "the CPU does not offer eight tiles of 16 rows of 64 bytes";
  EXPECT_EQ(why([](AmxFacts& f) { f.palettes = 0; }), tiles);
  EXPECT_EQ(why([](AmxFacts& f) { f.tile_count = 4; }), tiles);
  EXPECT_EQ(why([](AmxFacts& f) { f.rows = 8; }), tiles);
}

TEST(AmxFacts, OfThisMachineAreWhatTheContextSays) {
  const char* reason = judge_amx(read_amx());
  Cpu cpu;
  detect_cpu(&cpu, false);
  EXPECT_EQ(cpu.isas & kIsaAmx, reason ? 0u : kIsaAmx);
  if (reason) {
    EXPECT_STREQ(cpu.why[5], reason);
    return;
  }
  detect_cpu(&cpu, true);
  EXPECT_FALSE(cpu.isas & kIsaAmx);
  EXPECT_STREQ(cpu.why[5], "OCTET_NO_AMX was given");
}

}  // namespace
}  // namespace octet

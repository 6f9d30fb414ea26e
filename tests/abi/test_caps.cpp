// SPDX-License-Identifier: Apache-2.0
//
// Contexts with different caps live side by side in one process: each reports its own instruction
// sets and kernels, uses them, and gives the bits of all others.
#include <algorithm>

#include "jobs.h"

namespace contract {
namespace {

// What a cap of this name admits besides itself and "scalar".
std::vector<std::string> admitted(const std::string& cap) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> parents = {
      {"scalar", {}},
      {"avx2", {}},
      {"avxvnni", {"avx2"}},
      {"avx512bw", {"avx2"}},
      {"avx512vnni", {"avx2", "avx512bw"}},
      {"amx", {"avx2", "avxvnni", "avx512bw", "avx512vnni"}},
      {"neon", {}},
      {"neondot", {"neon"}},
      {"neoni8mm", {"neon", "neondot"}},
  };
  std::vector<std::string> names = {"scalar", cap};
  for (const auto& [name, more] : parents)
    if (name == cap) names.insert(names.end(), more.begin(), more.end());
  return names;
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// A dynamic or static layer on weights [n,k] without data: enough for plans.
Op plan_only_op(const octet_context* c, octet_type in, octet_type out, int64_t n, int64_t k) {
  const octet_tensor w = octet_mat(OCTET_F32, nullptr, n, k);
  octet_weights_desc wd = sized<octet_weights_desc>();
  wd.flags = OCTET_SHAPE_ONLY;
  wd.source = &w;
  const Weights weights = make_weights(c, wd);
  octet_linear_desc ld = sized<octet_linear_desc>();
  ld.weights = weights.get();
  ld.in.type = in;
  if (in != OCTET_F32) ld.in.scale = 1;
  ld.out.type = out;
  if (out == OCTET_U8 || out == OCTET_S8) ld.out.scale = 1;
  return make_op(c, ld);
}

octet_plan plan_of(const octet_op* op, octet_type in, int64_t m, int64_t k) {
  const octet_tensor x = octet_mat(in, nullptr, m, k);
  octet_plan plan = sized<octet_plan>();
  EXPECT_ACCEPTED(octet_op_plan(op, &x, 1, nullptr, &plan, err));
  return plan;
}

TEST(Caps, ContextsInterleavedGiveEqualBits) {
  std::vector<Context> contexts;
  std::vector<std::vector<Job>> jobs;
  for (const std::string& isa : usable_isas()) {
    contexts.push_back(make_context(isa.c_str()));
    jobs.push_back(all_jobs(contexts.back().get()));
  }
  ASSERT_GE(jobs.size(), 2u);
  for (size_t i = 0; i < jobs[0].size(); ++i)
    for (size_t c = 1; c < jobs.size(); ++c)
      EXPECT_EQ(bits_of(jobs[c][i]), bits_of(jobs[0][i])) << jobs[0][i].name;
}

TEST(Caps, PlansNameKernelsUnderTheCapOnly) {
  const std::vector<std::string> usable = usable_isas();
  for (const std::string& cap : usable) {
    const Context context = make_context(cap.c_str());
    const Op op = plan_only_op(context.get(), OCTET_U8, OCTET_U8, 96, 64);
    const octet_plan plan = plan_of(op.get(), OCTET_U8, 48, 64);
    EXPECT_TRUE(contains(admitted(cap), plan.isa)) << plan.isa << " under " << cap;
    EXPECT_TRUE(std::string(plan.kernel).ends_with(plan.isa)) << plan.kernel;
    EXPECT_EQ((plan.flags & OCTET_PLAN_REFERENCE) != 0, cap == "scalar") << cap;
    EXPECT_TRUE(cap == "scalar" || plan.isa != std::string("scalar")) << cap;
  }
}

TEST(Caps, DescribeTellsUsableSetsAndWhyNot) {
  for (const std::string& cap : usable_isas()) {
    const Context context = make_context(cap.c_str());
    const std::string json = describe(context.get());
    EXPECT_EQ(json_value(json, "max_isa"), cap);
    for (const std::string& isa : json_objects(json, "isas")) {
      const bool usable = json_value(isa, "usable") == "true";
      EXPECT_TRUE(!usable || contains(admitted(cap), json_value(isa, "name"))) << isa;
      EXPECT_EQ(usable, json_value(isa, "why").empty()) << isa;
    }
    for (const std::string& kernel : json_objects(json, "kernels"))
      EXPECT_EQ(json_value(kernel, "usable") == "true",
                contains(admitted(cap), json_value(kernel, "isa")) &&
                    contains(usable_isas(), json_value(kernel, "isa")))
          << kernel;
  }
}

// An op of one context may use weights of another: the packed bytes know no instruction set.
TEST(Caps, WeightsServeEveryContext) {
  const std::vector<std::string> usable = usable_isas();
  const Context narrow = make_context(usable.front().c_str());
  const Context wide = make_context(usable.back().c_str());
  Random random(4);
  const std::vector<float> w = random.reals(40 * 70, 1), x = random.reals(9 * 70, 1);
  const octet_tensor source = octet_mat(OCTET_F32, w.data(), 40, 70);
  octet_weights_desc wd = sized<octet_weights_desc>();
  wd.source = &source;
  const Weights weights = make_weights(narrow.get(), wd);
  std::vector<std::vector<float>> y;
  for (const octet_context* c : {narrow.get(), wide.get()}) {
    octet_linear_desc ld = sized<octet_linear_desc>();
    ld.weights = weights.get();
    ld.in.type = ld.out.type = OCTET_F32;
    const Op op = make_op(c, ld);
    y.emplace_back(9 * 40);
    const octet_tensor in = octet_mat(OCTET_F32, x.data(), 9, 70);
    const octet_tensor out = octet_mat(OCTET_F32, y.back().data(), 9, 40);
    octet_exec e = sized<octet_exec>();
    EXPECT_ACCEPTED(octet_op_workspace(op.get(), &in, 1, &e, &e.workspace_bytes, err));
    std::vector<char> workspace(e.workspace_bytes);
    e.workspace = workspace.data();
    EXPECT_ACCEPTED(octet_op_run(op.get(), &in, 1, &out, 1, &e, err));
  }
  EXPECT_EQ(y[0], y[1]);
}

// ---- force_kernel -----------------------------------------------------------------------------

// The output types of a kernel's tag.
std::function<bool(octet_type)> makes(const std::string& tag) {
  return [tag](octet_type t) {
    return tag == "q8" ? t == OCTET_U8 || t == OCTET_S8
                       : t == (tag == "f32" ? OCTET_F32 : OCTET_S32);
  };
}

// Rows that layers with s8 weights of one scale a channel can use.
bool is_plain_gemm(const std::string& kernel) {
  return json_value(kernel, "family") == "gemm" && json_value(kernel, "weight") == "s8" &&
         json_value(kernel, "usable") == "true";
}

TEST(ForceKernel, EachUsableRowGivesTheSameBits) {
  constexpr int64_t kM = 48, kK = 33;  // whole tiles of every row
  const Context free = make_context();
  size_t forced = 0;
  for (const std::string& kernel : json_objects(describe(free.get()), "kernels")) {
    if (!is_plain_gemm(kernel)) continue;
    const std::string name = json_value(kernel, "name"), out = json_value(kernel, "out");
    SCOPED_TRACE(name);
    const int64_t n = name.ends_with("_columns") ? 4 : 96;
    octet_context_desc d = sized<octet_context_desc>();
    d.flags = OCTET_ALLOW_SLOW;
    d.force_kernel = name.c_str();
    octet_context* c = nullptr;
    EXPECT_ACCEPTED(octet_context_create(&d, &c, err));
    ASSERT_NE(c, nullptr);
    const Context context(c);
    EXPECT_EQ(json_value(describe(c), "force_kernel"), name);

    const octet_type type = out == "q8" ? OCTET_U8 : out == "f32" ? OCTET_F32 : OCTET_S32;
    const Op op = plan_only_op(c, OCTET_U8, type, n, kK);
    const octet_plan plan = plan_of(op.get(), OCTET_U8, kM, kK);
    EXPECT_EQ(plan.kernel, name);
    EXPECT_EQ(plan.candidates, 1);
    const std::vector<Job> want = layer_jobs(free.get(), kM, n, kK, makes(out));
    const std::vector<Job> got = layer_jobs(c, kM, n, kK, makes(out));
    // A raw GEMM packs its weights at each call, never into a private layout.
    const bool repacked = (plan.flags & OCTET_PLAN_REPACKED) != 0;
    for (size_t i = 0; i < want.size(); ++i) {
      if (repacked && want[i].name.find("gemm") != std::string::npos) continue;
      EXPECT_EQ(bits_of(got[i]), bits_of(want[i])) << want[i].name;
    }
    ++forced;
  }
  EXPECT_GE(forced, 3u);
}

TEST(ForceKernel, AnotherOutputTypeIsRefused) {
  const Context free = make_context();
  const octet_tensor w = octet_mat(OCTET_F32, nullptr, 16, 16);
  octet_weights_desc wd = sized<octet_weights_desc>();
  wd.flags = OCTET_SHAPE_ONLY;
  wd.source = &w;
  for (const std::string& kernel : json_objects(describe(free.get()), "kernels")) {
    if (!is_plain_gemm(kernel)) continue;
    const std::string name = json_value(kernel, "name");
    octet_context_desc d = sized<octet_context_desc>();
    d.force_kernel = name.c_str();
    octet_context* c = nullptr;
    EXPECT_ACCEPTED(octet_context_create(&d, &c, err));
    const Context context(c);
    const Weights weights = make_weights(c, wd);
    for (const octet_type type : {OCTET_U8, OCTET_F32, OCTET_S32}) {
      if (makes(json_value(kernel, "out"))(type)) continue;
      octet_linear_desc ld = sized<octet_linear_desc>();
      ld.weights = weights.get();
      ld.in = {OCTET_U8, 1, 0};
      ld.out = {type, type == OCTET_U8 ? 1.0f : 0.0f, 0};
      octet_op* op = nullptr;
      EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, octet_linear_create(c, &ld, &op, err), name);
      EXPECT_EQ(op, nullptr);
    }
  }
}

// An element-wise kernel can be forced too; it leaves the choice of tiles free.
TEST(ForceKernel, ElementWiseRowsGiveTheSameBits) {
  const Context free = make_context();
  const std::vector<Job> want = other_jobs(free.get());
  std::vector<std::vector<unsigned char>> bits;
  for (const Job& job : want) bits.push_back(bits_of(job));
  for (const std::string& kernel : json_objects(describe(free.get()), "kernels")) {
    if (json_value(kernel, "family") == "gemm" || json_value(kernel, "usable") != "true") continue;
    const std::string name = json_value(kernel, "name");
    octet_context_desc d = sized<octet_context_desc>();
    d.force_kernel = name.c_str();
    octet_context* c = nullptr;
    EXPECT_ACCEPTED(octet_context_create(&d, &c, err));
    ASSERT_NE(c, nullptr);
    const Context context(c);
    const std::vector<Job> got = other_jobs(c);
    for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(bits_of(got[i]), bits[i]) << got[i].name;
  }
}

}  // namespace
}  // namespace contract

// SPDX-License-Identifier: Apache-2.0
//
// Growable structs of every age: too small for any release, of this release, and of a newer header
// whose new fields are zero or set. Structs that the library fills keep their size and their tail.
#include "world.h"

namespace contract {
namespace {

constexpr size_t kGrown = 8;

// A struct as a newer header would have it.
template <class T>
struct Newer {
  T known;
  unsigned char more[kGrown] = {};
};

// Everything that may be done to the size of one struct; call uses the struct that it is given.
template <class T>
void check_sizes(const char* name, T valid,
                 const std::function<octet_status(const T*, octet_error*)>& call) {
  SCOPED_TRACE(name);
  const std::string field = std::string(name) + ".struct_size";
  Newer<T> s{valid, {}};
  EXPECT_ACCEPTED(call(&s.known, err));
  for (const uint32_t size : {uint32_t{0}, uint32_t{4}, uint32_t{8}, uint32_t{sizeof(T) - 8},
                              uint32_t{sizeof(T) - 4}, uint32_t{sizeof(T) - 1}, UINT32_MAX}) {
    s.known.struct_size = size;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, call(&s.known, err), field, std::to_string(size));
  }
  s.known.struct_size = sizeof s;
  EXPECT_ACCEPTED(call(&s.known, err));
  for (const size_t at : {size_t{0}, kGrown - 1}) {
    s.more[at] = 1;
    EXPECT_REFUSED(OCTET_ERR_VERSION, call(&s.known, err), field, std::to_string(sizeof s),
                   "newer");
    s.more[at] = 0;
  }
}

TEST_F(WorldTest, ContextDescOfEveryAge) {
  check_sizes<octet_context_desc>(
      "octet_context_desc", sized<octet_context_desc>(),
      [&](const octet_context_desc* d, octet_error* err) { return w.create_context(*d, err); });
}

TEST_F(WorldTest, WeightsDescOfEveryAge) {
  check_sizes<octet_weights_desc>("octet_weights_desc", w.weights,
                                  [&](const octet_weights_desc* d, octet_error* err) {
                                    size_t bytes;
                                    return octet_weights_bytes(w.context.get(), d, &bytes, err);
                                  });
}

TEST_F(WorldTest, BlobOfEveryAge) {
  check_sizes<octet_blob>("octet_blob", w.blob, [&](const octet_blob* b, octet_error* err) {
    octet_weights* out = nullptr;
    const octet_status status = octet_weights_open(w.context.get(), b, &out, err);
    octet_weights_destroy(out);
    return status;
  });
}

TEST_F(WorldTest, LinearDescOfEveryAge) {
  check_sizes<octet_linear_desc>(
      "octet_linear_desc", w.linear, [&](const octet_linear_desc* d, octet_error* err) {
        octet_op* out = nullptr;
        const octet_status status = octet_linear_create(w.context.get(), d, &out, err);
        octet_op_destroy(out);
        return status;
      });
}

TEST_F(WorldTest, SchemeOfEveryAge) {
  check_sizes<octet_scheme>("octet_scheme", w.scheme, [&](const octet_scheme* s, octet_error* err) {
    const float min = -1, max = 1;
    float scale;
    int32_t zero;
    return octet_choose_qparams(s, &min, &max, 1, &scale, &zero, err);
  });
}

TEST_F(WorldTest, ExecOfEveryAge) {
  check_sizes<octet_exec>("octet_exec", w.exec, [&](const octet_exec* e, octet_error* err) {
    return octet_op_run(w.op.get(), &w.x, 1, &w.y, 1, e, err);
  });
}

TEST_F(WorldTest, ObserverDescOfEveryAge) {
  check_sizes<octet_observer_desc>(
      "octet_observer_desc", w.observer_desc, [&](const octet_observer_desc* d, octet_error* err) {
        octet_observer* out = nullptr;
        const octet_status status = octet_observer_create(w.context.get(), d, &out, err);
        octet_observer_destroy(out);
        return status;
      });
}

TEST_F(WorldTest, GemmDescOfEveryAge) {
  check_sizes<octet_gemm_desc>(
      "octet_gemm_desc", w.gemm_desc, [&](const octet_gemm_desc* d, octet_error* err) {
        return octet_gemm(w.context.get(), d, &w.a, &w.b, nullptr, &w.gemm_y, &w.exec, err);
      });
}

TEST_F(WorldTest, FakeQuantizerOfEveryAge) {
  check_sizes<octet_fake_quantizer>(
      "octet_fake_quantizer", w.fake, [&](const octet_fake_quantizer* f, octet_error* err) {
        return octet_fake_quant_step(w.context.get(), f, &w.floats, &w.out_floats, nullptr, nullptr,
                                     err);
      });
}

TEST_F(WorldTest, PoolDescAndGeometryOfEveryAge) {
  octet_pool_desc d = sized<octet_pool_desc>();
  d.in = d.out = {OCTET_U8, 0.5f, 3};
  d.kernel[0] = 2;
  octet_geometry g = sized<octet_geometry>();
  g.rank = g.groups = g.stride[0] = g.dilation[0] = 1;
  const auto create = [&](const octet_pool_desc* pool, const octet_geometry* geometry,
                          octet_error* err) {
    octet_op* out = nullptr;
    const octet_status status = octet_pool_create(w.context.get(), pool, geometry, &out, err);
    octet_op_destroy(out);
    return status;
  };
  check_sizes<octet_pool_desc>(
      "octet_pool_desc", d,
      [&](const octet_pool_desc* pool, octet_error* err) { return create(pool, &g, err); });
  check_sizes<octet_geometry>(
      "octet_geometry", g,
      [&](const octet_geometry* geometry, octet_error* err) { return create(&d, geometry, err); });
}

TEST(Sizes, NormDescOfEveryAge) {
  float w[] = {1, 2, 3, 4}, bias[] = {0, 0}, ones[] = {1, 1};
  const octet_tensor weight = octet_mat(OCTET_F32, w, 2, 2), b = octet_vec(OCTET_F32, bias, 2),
                     channels = octet_vec(OCTET_F32, ones, 2);
  octet_norm_desc d = sized<octet_norm_desc>();
  d.kind = OCTET_NORM_BATCH;
  d.mean = d.var = &channels;
  check_sizes<octet_norm_desc>("octet_norm_desc", d,
                               [&](const octet_norm_desc* norm, octet_error* err) {
                                 return octet_fold_batchnorm(norm, &weight, &b, err);
                               });
}

TEST_F(WorldTest, DescsOfWeightMethodsOfEveryAge) {
  std::vector<float> reals(16, 0.5f), t(4);
  int8_t to[16];
  std::vector<unsigned char> workspace(4096);
  octet_exec e = sized<octet_exec>();
  e.workspace = workspace.data();
  e.workspace_bytes = workspace.size();
  const octet_tensor weights = octet_mat(OCTET_F32, reals.data(), 4, 4),
                     q = octet_mat(OCTET_S8, to, 4, 4);
  octet_round_desc round = sized<octet_round_desc>();
  round.kind = OCTET_ROUND_NEAREST;
  check_sizes<octet_round_desc>(
      "octet_round_desc", round, [&](const octet_round_desc* d, octet_error* err) {
        return octet_round_weights(w.context.get(), d, &weights, nullptr, nullptr, &q, t.data(),
                                   nullptr, 4, &e, err);
      });
  octet_equalize_desc equalize = sized<octet_equalize_desc>();
  equalize.kind = OCTET_EQUALIZE_INPUT_WEIGHT;
  equalize.x_min = equalize.x_max = t.data();
  std::vector<float> factors(4);
  check_sizes<octet_equalize_desc>(
      "octet_equalize_desc", equalize, [&](const octet_equalize_desc* d, octet_error* err) {
        return octet_equalize(w.context.get(), d, nullptr, nullptr, &weights, factors.data(), 4,
                              nullptr, err);
      });
}

// Filled structs: nothing behind what this library knows is written.
template <class T>
void check_filled(const char* name, const std::function<octet_status(T*, octet_error*)>& call) {
  const std::string field = std::string(name) + ".struct_size";
  Newer<T> s{};
  for (const uint32_t size : {uint32_t{0}, uint32_t{8}, uint32_t{sizeof(T) - 4}}) {
    s.known.struct_size = size;
    const Snapshot before(&s, sizeof s);
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, call(&s.known, err), field, std::to_string(size));
    EXPECT_TRUE(before.same());
  }
  for (const uint32_t size : {uint32_t{sizeof(T)}, uint32_t{sizeof s}}) {
    s = {};
    s.known.struct_size = size;
    EXPECT_ACCEPTED(call(&s.known, err));
    EXPECT_EQ(s.known.struct_size, size);
    for (const unsigned char byte : s.more) EXPECT_EQ(byte, 0);
  }
}

TEST_F(WorldTest, PlanOfEveryAge) {
  check_filled<octet_plan>("octet_plan", [&](octet_plan* p, octet_error* err) {
    return octet_op_plan(w.op.get(), &w.x, 1, nullptr, p, err);
  });
}

TEST_F(WorldTest, ObservedOfEveryAge) {
  check_filled<octet_observed>("octet_observed", [&](octet_observed* s, octet_error* err) {
    return octet_observer_stats(w.observer.get(), s, err);
  });
}

TEST_F(WorldTest, DifferenceOfEveryAge) {
  const float want[] = {1, 2}, got[] = {1, 3};
  const octet_tensor a = octet_vec(OCTET_F32, want, 2), b = octet_vec(OCTET_F32, got, 2);
  check_filled<octet_difference>("octet_difference", [&](octet_difference* d, octet_error* err) {
    return octet_compare(w.context.get(), &a, &b, d, nullptr, err);
  });
}

}  // namespace
}  // namespace contract

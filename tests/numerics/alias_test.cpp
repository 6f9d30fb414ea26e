// SPDX-License-Identifier: Apache-2.0
//
// One buffer for two tensors: exact where a function promises to work in place, refused for every
// other overlap, down to one byte. Inputs on read-only pages are never written.
#include <functional>

#include "tests/numerics/layer.h"

namespace octet_test {
namespace {

constexpr int64_t kCount = 300;
const float kScale = 0.05f, kOther = 0.08f;
const int32_t kZero = 7, kOtherZero = 130;

octet_qparams qparams(const float* scale, const int32_t* zero, octet_type type) {
  octet_qparams q = {};
  q.count = 1;
  q.scale = scale;
  q.zero_point = zero;
  q.qmin = type_min(type);
  q.qmax = type_max(type);
  return q;
}
const octet_qparams kQ = qparams(&kScale, &kZero, OCTET_U8),
                    kR = qparams(&kOther, &kOtherZero, OCTET_U8);

octet_tensor vec(octet_type t, void* p, const octet_qparams* q = nullptr) {
  octet_tensor v = octet_vec(t, p, kCount);
  v.q = q;
  return v;
}

// A function of one input and one output, without what does not matter here.
struct Function {
  const char* name;
  octet_type in, out;
  bool in_place;
  std::function<octet_status(void* x, void* y, octet_error* err)> call;
};

const std::vector<Function>& functions() {
  static const octet_context* c = best_context();
  static const std::vector<uint8_t> mask(kCount, 1);
  static const std::vector<Function> all = {
      {"quantize", OCTET_F32, OCTET_U8, false,
       [](void* x, void* y, octet_error* err) {
         const octet_tensor a = vec(OCTET_F32, x), b = vec(OCTET_U8, y, &kQ);
         return octet_quantize(c, &a, &b, nullptr, err);
       }},
      {"dequantize", OCTET_U8, OCTET_F32, false,
       [](void* x, void* y, octet_error* err) {
         const octet_tensor a = vec(OCTET_U8, x, &kQ), b = vec(OCTET_F32, y);
         return octet_dequantize(c, &a, &b, nullptr, err);
       }},
      {"requantize", OCTET_U8, OCTET_U8, true,
       [](void* x, void* y, octet_error* err) {
         const octet_tensor a = vec(OCTET_U8, x, &kQ), b = vec(OCTET_U8, y, &kR);
         return octet_requantize(c, &a, &b, nullptr, err);
       }},
      {"fake_quant", OCTET_F32, OCTET_F32, true,
       [](void* x, void* y, octet_error* err) {
         const octet_tensor a = vec(OCTET_F32, x), b = vec(OCTET_F32, y);
         return octet_fake_quant(c, &a, &kQ, &b, nullptr, nullptr, err);
       }},
      {"fake_quant_backward", OCTET_F32, OCTET_F32, true,
       [](void* x, void* y, octet_error* err) {
         const octet_tensor a = vec(OCTET_F32, x), b = vec(OCTET_F32, y);
         return octet_fake_quant_backward(c, &a, mask.data(), &b, nullptr, err);
       }},
      {"fake_quant_learn", OCTET_F32, OCTET_F32, true,
       [](void* x, void* y, octet_error* err) {
         const octet_tensor a = vec(OCTET_F32, x), b = vec(OCTET_F32, y);
         const octet_learn_desc d = sized<octet_learn_desc>();
         return octet_fake_quant_learn(c, &d, &a, &kQ, &b, nullptr, err);
       }},
      {"fake_quant_learn_backward", OCTET_F32, OCTET_F32, true,
       [](void* x, void* y, octet_error* err) {
         static const std::vector<float> at(kCount, 0.5f);
         const octet_tensor a = vec(OCTET_F32, x), b = vec(OCTET_F32, y);
         const octet_tensor v = vec(OCTET_F32, const_cast<float*>(at.data()));
         const octet_learn_desc d = sized<octet_learn_desc>();
         float dscale;
         return octet_fake_quant_learn_backward(c, &d, &a, &v, &kQ, &b, &dscale, nullptr, 1,
                                                nullptr, err);
       }},
      {"clip", OCTET_F32, OCTET_F32, true,
       [](void* x, void* y, octet_error* err) {
         const octet_tensor a = vec(OCTET_F32, x), b = vec(OCTET_F32, y);
         const float lo = -1, hi = 2;
         return octet_clip(c, &a, &lo, &hi, &b, nullptr, err);
       }},
      {"amax_fake_quant", OCTET_F32, OCTET_F32, true,
       [](void* x, void* y, octet_error* err) {
         const octet_tensor a = vec(OCTET_F32, x), b = vec(OCTET_F32, y);
         const float amax = 3;
         octet_amax_desc d = sized<octet_amax_desc>();
         d.bits = 8;
         d.count = 1;
         d.amax = &amax;
         return octet_amax_fake_quant(c, &d, &a, &b, nullptr, nullptr, err);
       }},
      {"fake_quant_step", OCTET_F32, OCTET_F32, true,
       [](void* x, void* y, octet_error* err) {
         float min = __builtin_inff(), max = -__builtin_inff(), scale = 0;
         int32_t zero = 0;
         octet_fake_quantizer f = sized<octet_fake_quantizer>();
         f.count = 1;
         f.run_min = &min;
         f.run_max = &max;
         f.scale = &scale;
         f.zero_point = &zero;
         const octet_tensor a = vec(OCTET_F32, x), b = vec(OCTET_F32, y);
         return octet_fake_quant_step(c, &f, &a, &b, nullptr, nullptr, err);
       }},
  };
  return all;
}

Bytes input(octet_type t) {
  Rng rng(30);
  Bytes b(kCount * item_bytes(t));
  for (size_t i = 0; i < b.size(); i += item_bytes(t)) {
    const float x = rng.unit() * 20 - 10;
    if (t == OCTET_F32)
      memcpy(b.data() + i, &x, sizeof x);
    else
      b[i] = static_cast<uint8_t>(rng.next());
  }
  return b;
}

// Both tensors in one buffer, the output `distance` bytes after the input.
octet_status run_apart(const Function& f, int64_t distance, Bytes* y, octet_error* err) {
  const Bytes x = input(f.in);
  const size_t out_bytes = kCount * item_bytes(f.out);
  std::vector<uint8_t> memory(16384, 0);
  uint8_t* a = memory.data() + 8192;
  memcpy(a, x.data(), x.size());
  const octet_status status = f.call(a, a + distance, err);
  y->assign(a + distance, a + distance + out_bytes);
  EXPECT_TRUE(!status || !memcmp(a, x.data(), x.size())) << "refused, but written";
  return status;
}

TEST(Aliases, ExactOnesWorkWherePromised) {
  for (const Function& f : functions()) {
    Bytes apart, in_place;
    Error err;
    ASSERT_TRUE(ok(run_apart(f, 4096, &apart, &err), err)) << f.name;
    const octet_status status = run_apart(f, 0, &in_place, &err);
    EXPECT_EQ(status, f.in_place ? OCTET_OK : OCTET_ERR_ARGUMENT) << f.name << err.text;
    EXPECT_TRUE(!f.in_place || equal(in_place, apart)) << f.name;
  }
}

TEST(Aliases, EveryOtherOverlapIsRefused) {
  for (const Function& f : functions()) {
    const int64_t in = kCount * static_cast<int64_t>(item_bytes(f.in)),
                  out = kCount * static_cast<int64_t>(item_bytes(f.out));
    // Steps of the larger element, so that both stay aligned.
    const int64_t step = static_cast<int64_t>(std::max(item_bytes(f.in), item_bytes(f.out)));
    Bytes y;
    Error err;
    for (int64_t d = -out + step; d < in; d += step) {
      if (d == 0) continue;
      ASSERT_EQ(run_apart(f, d, &y, &err), OCTET_ERR_ARGUMENT) << f.name << " at " << d;
      ASSERT_THAT(err.text, testing::HasSubstr("overlap")) << f.name;
    }
    EXPECT_TRUE(ok(run_apart(f, in, &y, &err), err)) << f.name;
    EXPECT_TRUE(ok(run_apart(f, -out, &y, &err), err)) << f.name;
  }
}

TEST(Aliases, LinearOutputsOverlapNothing) {
  const std::vector<float> w(16 * 16, 0.1f);
  const Weights weights = make_weights(best_context(), octet_mat(OCTET_F32, w.data(), 16, 16));
  const Op op = make_op(best_context(), weights.get(), {OCTET_U8, 1, 0}, {OCTET_U8, 1, 0});
  Bytes memory(2048, 1);
  uint8_t* x = memory.data() + 512;
  for (int64_t d : {-64, -63, -1, 0, 1, 63, 64}) {
    const octet_tensor in = octet_mat(OCTET_U8, x, 4, 16), out = octet_mat(OCTET_U8, x + d, 4, 16);
    Exec exec;
    Error err;
    const octet_status status = run(op.get(), in, out, &exec, &err);
    EXPECT_EQ(status, d == -64 || d == 64 ? OCTET_OK : OCTET_ERR_ARGUMENT) << d << err.text;
  }
  // Column blocks of one matrix interleave, but share no byte.
  octet_tensor in = octet_mat(OCTET_U8, x, 4, 16), out = octet_mat(OCTET_U8, x + 16, 4, 16);
  in.strides[0] = out.strides[0] = 32;
  in.strides[1] = out.strides[1] = 1;
  Exec exec;
  Error err;
  EXPECT_TRUE(ok(run(op.get(), in, out, &exec, &err), err));
  out.data = x + 15;
  EXPECT_EQ(run(op.get(), in, out, &exec, &err), OCTET_ERR_ARGUMENT);
}

// The residual may be the output itself, and nothing in between.
TEST(Aliases, ResidualAndOutput) {
  Layer l;
  l.m = 4;
  l.n = 16;
  l.k = 8;
  l.w.assign(16 * 8, 3);
  l.out = {OCTET_U8, 0.5f, 100};
  const octet_context* c = best_context();
  octet_qparams q;
  const octet_tensor source = source_tensor(l, &q);
  const Weights weights = make_weights(c, source);
  octet_linear_desc d = sized<octet_linear_desc>();
  d.flags = OCTET_RESIDUAL;
  d.weights = weights.get();
  d.in = {OCTET_U8, 0.25f, 128};
  d.out = l.out;
  d.residual = {OCTET_S8, 0.5f, 0};
  octet_op* op = nullptr;
  Error err;
  ASSERT_TRUE(ok(octet_linear_create(c, &d, &op, &err), err));
  const Op owner(op);
  const Bytes x(4 * 8, 130);
  std::vector<uint8_t> memory(1024);
  for (size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<uint8_t>(i * 7);
  const octet_tensor in = octet_mat(OCTET_U8, x.data(), 4, 8);
  const auto run_at = [&](int64_t distance, int64_t pitch) {
    octet_tensor out = octet_mat(OCTET_U8, memory.data() + 512, 4, 16);
    octet_tensor r = octet_mat(OCTET_S8, memory.data() + 512 + distance, 4, 16);
    r.strides[0] = pitch;
    r.strides[1] = 1;
    Exec exec;
    return run(op, in, out, &exec, &err, &r);
  };
  for (int64_t distance : {-64, 0, 64}) EXPECT_TRUE(ok(run_at(distance, 16), err)) << distance;
  for (int64_t distance : {-63, -16, -1, 1, 15, 16, 63})
    EXPECT_EQ(run_at(distance, 16), OCTET_ERR_ARGUMENT) << distance;
  EXPECT_EQ(run_at(0, 17), OCTET_ERR_ARGUMENT);
  EXPECT_THAT(err.text, testing::HasSubstr("out[0] overlaps in[1]"));
}

TEST(Aliases, ReadOnlyInputsOfElementwiseFunctions) {
  for (const Function& f : functions()) {
    const ReadOnlyPages x(input(f.in));
    Bytes y(kCount * item_bytes(f.out)), want;
    Error err;
    EXPECT_TRUE(ok(f.call(x.data(), y.data(), &err), err)) << f.name;
    ASSERT_TRUE(ok(run_apart(f, 4096, &want, &err), err));
    EXPECT_TRUE(equal(y, want)) << f.name;
  }
}

template <class T>
Bytes bytes_of(const std::vector<T>& v) {
  const uint8_t* p = reinterpret_cast<const uint8_t*>(v.data());
  return Bytes(p, p + v.size() * sizeof(T));
}

TEST(Aliases, ReadOnlyActivationsWeightsAndBias) {
  Rng rng(31);
  for (int i = 0; i < scaled(60); ++i) {
    const Layer l = random_layer(&rng);
    const bool floats = is_dynamic(l.mode);
    const ReadOnlyPages x(floats ? bytes_of(l.xf) : l.x);
    octet_qparams q;
    octet_tensor source = source_tensor(l, &q), bias = bias_tensor(l);
    const ReadOnlyPages w(l.wf.empty() ? bytes_of(l.w) : bytes_of(l.wf)),
        b(l.bias_type == OCTET_F32 ? bytes_of(l.bias_f) : bytes_of(l.bias_i));
    source.data = w.data();
    bias.data = b.data();
    const Bytes want = model(l);
    for (const CappedContext& c : contexts()) {
      const Weights weights = make_weights(c.context, source, l.bias_type ? &bias : nullptr);
      octet_linear_desc d = sized<octet_linear_desc>();
      d.weights = weights.get();
      d.in = {floats ? OCTET_F32 + 0 : l.in, 0, 0};
      if (l.mode == Mode::kStatic) d.in = {l.in, l.in_scale[0], l.in_zero[0]};
      if (floats) d.dynamic = &l.scheme;
      d.out = l.out;
      d.act = l.act;
      d.lo = l.lo;
      d.hi = l.hi;
      octet_op* op = nullptr;
      Error err;
      ASSERT_TRUE(ok(octet_linear_create(c.context, &d, &op, &err), err));
      const Op owner(op);
      octet_tensor in = octet_mat(floats ? OCTET_F32 + 0 : l.in, x.data(), l.m, l.k);
      const octet_qparams qx = call_qparams(l);
      if (l.mode == Mode::kCall || l.mode == Mode::kCallRows) in.q = &qx;
      Bytes y(want.size());
      Exec exec;
      ASSERT_TRUE(ok(run(op, in, octet_mat(l.out.type, y.data(), l.m, l.n), &exec, &err), err));
      ASSERT_TRUE(equal(y, want)) << c.isa << ": " << describe(l);
    }
  }
}

}  // namespace
}  // namespace octet_test

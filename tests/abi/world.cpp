// SPDX-License-Identifier: Apache-2.0
#include "world.h"

#include <algorithm>

namespace contract {

namespace {

// Places of the outputs in World's memory.
constexpr size_t kY = 0, kFy = 512, kGemmY = 1024, kBytes = 2048, kFloats = 3072, kGradient = 4096,
                 kMask = 5120, kState = 6144, kScale = 7168, kZero = 8192, kPack = 16384;

}  // namespace

World::World() {
  Random random(2);
  w_ = random.reals(kN * kK, 1);
  bias_ = random.reals(kN, 1);
  x_ = random.reals(64, 4);
  w8_ = random.bytes(kN * kK);
  const octet_context* c = context.get();

  source = octet_mat(OCTET_F32, w_.data(), kN, kK);
  bias = octet_vec(OCTET_F32, bias_.data(), kN);
  int8_source = octet_mat(OCTET_S8, w8_.data(), kN, kK);
  int8_q.count = kN;
  int8_q.scale = scales.data();
  int8_q.zero_point = zeros.data();
  int8_source.q = &int8_q;
  weights_scheme.type = OCTET_S8;
  weights_scheme.flags = OCTET_SYMMETRIC;
  weights.source = &source;
  weights.bias = &bias;
  EXPECT_ACCEPTED(octet_weights_bytes(c, &weights, &pack_bytes, err));
  pack_to = at(kPack);
  packed = make_weights(c, weights);
  const void* packed_data = nullptr;
  size_t packed_bytes = 0;
  EXPECT_ACCEPTED(octet_weights_blob(packed.get(), &packed_data, &packed_bytes, err));
  blob.data = packed_data;
  blob.bytes = packed_bytes;
  octet_weights_desc shape = weights;
  shape.flags = OCTET_SHAPE_ONLY;
  shape_only = make_weights(c, shape);

  linear.weights = packed.get();
  linear.in = {OCTET_U8, 0.02f, 128};
  linear.out = {OCTET_U8, 0.05f, 10};
  op = make_op(c, linear);
  octet_linear_desc other = linear;
  other.in = {OCTET_U8, 0, 0};
  call_op = make_op(c, other);
  other = linear;
  other.weights = shape_only.get();
  shape_op = make_op(c, other);
  dynamic.weights = packed.get();
  dynamic.in.type = dynamic.out.type = OCTET_F32;
  dynamic_scheme.type = OCTET_U8;
  dynamic.dynamic = &dynamic_scheme;
  dynamic_op = make_op(c, dynamic);
  x = octet_mat(OCTET_U8, w8_.data(), kM, kK);
  y = octet_mat(OCTET_U8, at(kY), kM, kN);
  fx = octet_mat(OCTET_F32, x_.data(), kM, kK);
  fy = octet_mat(OCTET_F32, at(kFy), kM, kN);
  call_q.count = kM;
  call_q.scale = scales.data();
  call_q.zero_point = zeros.data();
  exec.workspace = workspace_.data();
  exec.workspace_bytes = workspace_.size();

  a = octet_mat(OCTET_U8, w8_.data(), kM, kK);
  b = octet_mat(OCTET_S8, w8_.data(), kN, kK);
  gemm_bias = octet_vec(OCTET_F32, bias_.data(), kN);
  gemm_y = octet_mat(OCTET_U8, at(kGemmY), kM, kN);
  for (octet_qparams* one : {&aq, &yq, &q}) {
    one->count = 1;
    one->scale = scales.data();
    one->zero_point = zeros.data();
  }
  bq = int8_q;
  a.q = &aq;
  b.q = &bq;
  gemm_y.q = &yq;

  floats = octet_mat(OCTET_F32, x_.data(), kRows, kColumns);
  bytes = octet_mat(OCTET_U8, w8_.data(), kRows, kColumns);
  bytes.q = &q;
  out_q.count = kRows;
  out_q.scale = scales.data();
  out_q.zero_point = zeros.data();
  out_bytes = octet_mat(OCTET_U8, at(kBytes), kRows, kColumns);
  out_bytes.q = &out_q;
  out_floats = octet_mat(OCTET_F32, at(kFloats), kRows, kColumns);
  gradient = octet_mat(OCTET_F32, at(kGradient), kRows, kColumns);
  fake_q = out_q;
  fake_q.qmax = 255;
  scheme.type = OCTET_U8;
  fake.scheme = &scheme;
  fake.count = 1;
  fake.run_min = reinterpret_cast<float*>(at(kState));
  fake.run_max = fake.run_min + 16;
  fake.scale = fake.run_max + 16;
  fake.zero_point = reinterpret_cast<int32_t*>(fake.scale + 16);
  std::fill_n(fake.run_min, 16, kInf);
  std::fill_n(fake.run_max, 16, -kInf);
  observer = make_observer(c, 0, 0);
  empty_observer = make_observer(c, 0, 0);
  EXPECT_ACCEPTED(octet_observer_feed(observer.get(), &floats, nullptr, err));
  min = {-1, -2, -3};
  max = {1, 2, 3};
  std::fill_n(at(kMask), 64, static_cast<unsigned char>(1));
}

octet_status World::checked(const Call& call, octet_error* err) {
  const Snapshot before(memory_.data(), memory_.size());
  const octet_status status = call(err);
  EXPECT_TRUE(status == OCTET_OK || before.same()) << "a refused call wrote into an output";
  return status;
}

// A create: on refusal *out is as it was.
template <class T, class Create>
octet_status World::created(octet_error* err, Create create) {
  T* const untouched = reinterpret_cast<T*>(uintptr_t{64});
  T* out = untouched;
  const octet_status status = create(&out, err);
  if (status == OCTET_OK)
    Destroy()(out);
  else
    EXPECT_EQ(out, untouched) << "a refused call wrote *out";
  return status;
}

octet_status World::create_context(const octet_context_desc& d, octet_error* err) {
  return created<octet_context>(
      err, [&](octet_context** out, octet_error* e) { return octet_context_create(&d, out, e); });
}

octet_status World::weights_bytes(octet_error* err) {
  size_t size = 77;
  const octet_status status = octet_weights_bytes(context.get(), &weights, &size, err);
  EXPECT_TRUE(status == OCTET_OK || size == 77);
  return status;
}

octet_status World::weights_pack(octet_error* err) {
  return checked(
      [&](octet_error* e) {
        return octet_weights_pack(context.get(), &weights, pack_to, pack_bytes, &exec, e);
      },
      err);
}

octet_status World::weights_create(octet_error* err) {
  return created<octet_weights>(err, [&](octet_weights** out, octet_error* e) {
    return octet_weights_create(context.get(), &weights, &exec, out, e);
  });
}

octet_status World::weights_open(octet_error* err) {
  int released = 0;
  octet_blob counted = blob;
  counted.user = &released;
  counted.release = [](void* user, const void*, size_t) { ++*static_cast<int*>(user); };
  const octet_status status = created<octet_weights>(err, [&](octet_weights** out, octet_error* e) {
    return octet_weights_open(context.get(), &counted, out, e);
  });
  EXPECT_EQ(released, status == OCTET_OK ? 1 : 0);
  return status;
}

octet_status World::create_op(const octet_linear_desc& d, octet_error* err) {
  return created<octet_op>(err, [&](octet_op** out, octet_error* e) {
    return octet_linear_create(context.get(), &d, out, e);
  });
}

octet_status World::run(octet_error* err) {
  return checked([&](octet_error* e) { return octet_op_run(op.get(), &x, 1, &y, 1, &exec, e); },
                 err);
}

octet_status World::run_call(octet_error* err) {
  octet_tensor with_q = x;
  with_q.q = &call_q;
  return checked(
      [&](octet_error* e) { return octet_op_run(call_op.get(), &with_q, 1, &y, 1, &exec, e); },
      err);
}

octet_status World::run_dynamic(octet_error* err) {
  return checked(
      [&](octet_error* e) { return octet_op_run(dynamic_op.get(), &fx, 1, &fy, 1, &exec, e); },
      err);
}

octet_status World::run_shape_only(octet_error* err) {
  return checked(
      [&](octet_error* e) { return octet_op_run(shape_op.get(), &x, 1, &y, 1, &exec, e); }, err);
}

octet_status World::infer(octet_error* err) {
  octet_tensor out = y;
  const Snapshot before(&out, sizeof out);
  const octet_status status = octet_op_infer(op.get(), &x, 1, &out, 1, err);
  EXPECT_TRUE(status == OCTET_OK || before.same());
  return status;
}

octet_status World::workspace(octet_error* err) {
  size_t size = 77;
  const octet_status status = octet_op_workspace(op.get(), &x, 1, &exec, &size, err);
  EXPECT_TRUE(status == OCTET_OK || size == 77);
  return status;
}

octet_status World::plan(octet_error* err) {
  octet_plan p = plan_out;
  const Snapshot before(&p, sizeof p);
  const octet_status status = octet_op_plan(op.get(), &x, 1, &exec, &p, err);
  EXPECT_TRUE(status == OCTET_OK || before.same());
  return status;
}

octet_status World::gemm_workspace(octet_error* err) {
  size_t size = 77;
  const octet_status status =
      octet_gemm_workspace(context.get(), &gemm_desc, &a, &b, &gemm_y, &exec, &size, err);
  EXPECT_TRUE(status == OCTET_OK || size == 77);
  return status;
}

octet_status World::gemm(octet_error* err) {
  return checked(
      [&](octet_error* e) {
        return octet_gemm(context.get(), &gemm_desc, &a, &b, &gemm_bias, &gemm_y, &exec, e);
      },
      err);
}

octet_status World::quantize(octet_error* err) {
  return checked(
      [&](octet_error* e) { return octet_quantize(context.get(), &floats, &out_bytes, &exec, e); },
      err);
}

octet_status World::dequantize(octet_error* err) {
  return checked(
      [&](octet_error* e) {
        return octet_dequantize(context.get(), &bytes, &out_floats, &exec, e);
      },
      err);
}

octet_status World::requantize(octet_error* err) {
  return checked(
      [&](octet_error* e) { return octet_requantize(context.get(), &bytes, &out_bytes, &exec, e); },
      err);
}

octet_status World::fake_quant(octet_error* err) {
  return checked(
      [&](octet_error* e) {
        return octet_fake_quant(context.get(), &floats, &fake_q, &out_floats, at(kMask), &exec, e);
      },
      err);
}

octet_status World::fake_quant_step(octet_error* err) {
  return checked(
      [&](octet_error* e) {
        return octet_fake_quant_step(context.get(), &fake, &floats, &out_floats, at(kMask), &exec,
                                     e);
      },
      err);
}

octet_status World::fake_quant_backward(octet_error* err) {
  return checked(
      [&](octet_error* e) {
        return octet_fake_quant_backward(context.get(), &floats, at(kMask), &gradient, &exec, e);
      },
      err);
}

octet_status World::choose_qparams(octet_error* err) {
  return checked(
      [&](octet_error* e) {
        return octet_choose_qparams(
            &scheme, min.empty() ? nullptr : min.data(), max.empty() ? nullptr : max.data(), count,
            reinterpret_cast<float*>(at(kScale)),
            no_zero_points ? nullptr : reinterpret_cast<int32_t*>(at(kZero)), e);
      },
      err);
}

octet_status World::observer_create(octet_error* err) {
  return created<octet_observer>(err, [&](octet_observer** out, octet_error* e) {
    return octet_observer_create(context.get(), &observer_desc, out, e);
  });
}

octet_status World::observer_feed(octet_error* err) {
  octet_observed before = sized<octet_observed>(), after = before;
  octet_observer_stats(observer.get(), &before, nullptr);
  const octet_status status = octet_observer_feed(observer.get(), &floats, &exec, err);
  octet_observer_stats(observer.get(), &after, nullptr);
  EXPECT_TRUE(status == OCTET_OK || std::memcmp(&before, &after, sizeof before) == 0);
  return status;
}

octet_status World::observer_qparams(octet_error* err) {
  return checked(
      [&](octet_error* e) {
        return octet_observer_qparams(
            observer.get(), &scheme, reinterpret_cast<float*>(at(kScale)),
            no_zero_points ? nullptr : reinterpret_cast<int32_t*>(at(kZero)), count, e);
      },
      err);
}

octet_status World::observer_stats(octet_error* err) {
  octet_observed s = observed;
  const Snapshot before(&s, sizeof s);
  const octet_status status = octet_observer_stats(observer.get(), &s, err);
  EXPECT_TRUE(status == OCTET_OK || before.same());
  return status;
}

}  // namespace contract

// SPDX-License-Identifier: Apache-2.0
#include "tests/numerics/packed.h"

namespace octet_test {

Layer packed_layer(octet_type bias_type) {
  Rng rng(40);
  Layer l;
  l.m = 5;
  l.n = 19;
  l.k = 23;
  l.in_scale = {0.03125f};
  l.in_zero = {119};
  for (int64_t i = 0; i < l.m * l.k; ++i) l.x.push_back(static_cast<uint8_t>(rng.next()));
  for (int64_t i = 0; i < l.n * l.k; ++i) l.w.push_back(static_cast<int8_t>(rng.next()));
  l.w_scale.clear();
  l.w_zero.clear();
  for (int64_t j = 0; j < l.n; ++j) {
    l.w_scale.push_back(0.015625f * (1 + rng.unit()));
    l.w_zero.push_back(static_cast<int32_t>(rng.range(-9, 9)));
    l.bias_f.push_back(rng.unit() * 8 - 4);
    l.bias_i.push_back(static_cast<int32_t>(rng.range(-9999, 9999)));
  }
  l.bias_type = bias_type;
  l.out = {OCTET_S8, 0.5f, -3};
  return l;
}

Layer packed_group_layer(octet_type type, int64_t group) {
  Layer l = packed_layer(OCTET_F32);
  Rng rng(41);
  l.k = 32;
  l.w_type = type;
  l.group = group;
  l.x.clear();
  l.w.clear();
  l.w_scale.clear();
  l.w_zero.clear();
  for (int64_t i = 0; i < l.m * l.k; ++i) l.x.push_back(static_cast<uint8_t>(rng.next()));
  const auto draw = [&] { return rng.range(type_min(type), type_max(type)); };
  for (int64_t i = 0; i < l.n * l.k; ++i) l.w.push_back(static_cast<int8_t>(draw()));
  for (int64_t i = 0; i < l.n * (group ? l.k / group : 1); ++i) {
    l.w_scale.push_back(0.015625f * (1 + rng.unit()));
    l.w_zero.push_back(static_cast<int32_t>(draw()));
  }
  pack_pairs(&l);
  return l;
}

namespace {

// The desc of a layer's weights with what it points to.
struct Desc {
  octet_qparams q;
  octet_tensor source, bias;
  octet_weights_desc d = sized<octet_weights_desc>();
  explicit Desc(const Layer& l) : source(source_tensor(l, &q)), bias(bias_tensor(l)) {
    d.source = &source;
    if (!l.wf.empty() && l.w_scheme.struct_size) d.scheme = &l.w_scheme;
    if (l.bias_type) d.bias = &bias;
  }
};

}  // namespace

size_t packed_size(const octet_context* c, const Layer& l) {
  const Desc desc(l);
  size_t bytes = 0;
  Error err;
  EXPECT_TRUE(ok(octet_weights_bytes(c, &desc.d, &bytes, &err), err));
  return bytes;
}

Bytes packed_bytes(const octet_context* c, const Layer& l, const octet_exec* exec) {
  const Desc desc(l);
  const size_t bytes = packed_size(c, l);
  void* blob = aligned_alloc(64, (bytes + 63) / 64 * 64);
  memset(blob, 0xEE, bytes);
  Error err;
  EXPECT_TRUE(ok(octet_weights_pack(c, &desc.d, blob, bytes, exec, &err), err));
  const uint8_t* p = static_cast<const uint8_t*>(blob);
  const Bytes copy(p, p + bytes);
  free(blob);
  return copy;
}

Weights open_bytes(const octet_context* c, const void* data, size_t bytes, uint32_t flags,
                   Error* err) {
  octet_blob b = sized<octet_blob>();
  b.data = data;
  b.bytes = bytes;
  b.flags = flags;
  octet_weights* w = nullptr;
  const octet_status status = octet_weights_open(c, &b, &w, err);
  EXPECT_EQ(status == OCTET_OK, w != nullptr);
  return Weights(w);
}

Bytes run_with(const octet_context* c, const octet_weights* w, const Layer& l) {
  octet_linear_desc d = sized<octet_linear_desc>();
  d.weights = w;
  d.in = {l.in, l.in_scale[0], l.in_zero[0]};
  d.out = l.out;
  d.act = l.act;
  octet_op* op = nullptr;
  if (octet_linear_create(c, &d, &op, nullptr)) return {};
  const Op owner(op);
  Bytes y(static_cast<size_t>(l.m * l.n) * item_bytes(l.out.type));
  Exec exec;
  const octet_tensor x = octet_mat(l.in, l.x.data(), l.m, l.k),
                     out = octet_mat(l.out.type, y.data(), l.m, l.n);
  if (run(op, x, out, &exec, nullptr)) return {};
  return y;
}

}  // namespace octet_test

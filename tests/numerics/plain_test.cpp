// SPDX-License-Identifier: Apache-2.0
//
// The short way of plain calls against the general one: whatever a call holds, a call that counts
// as plain is one that the general way accepts, and both write the same bytes. The general way is
// taken by giving the same matrices with one more leading dim.
#include "src/plain.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace octet {
namespace {

class Rng {
 public:
  int64_t within(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(engine_);
  }
  bool rarely() { return within(0, 24) == 0; }

 private:
  std::mt19937 engine_{7};
};

octet_tensor with_leading_dim(octet_tensor t) {
  if (t.rank != 2) return t;
  t.rank = 3;
  for (int i = 2; i > 0; --i) {
    t.dims[i] = t.dims[i - 1];
    t.strides[i] = t.strides[i - 1];
  }
  t.dims[0] = 1;
  t.strides[0] = 0;
  return t;
}

// A context, weights and an op of a random kind.
struct Layer {
  octet_context* context = nullptr;
  octet_weights* weights = nullptr;
  octet_op* op = nullptr;
  octet_linear_desc desc = {};
  int64_t n, k;

  Layer(Rng& rng, const char* isa) : n(rng.within(1, 70)), k(rng.within(1, 40)) {
    octet_error err = {};
    octet_context_desc cd = {};
    cd.struct_size = sizeof cd;
    cd.flags = OCTET_ALLOW_SLOW;
    cd.max_isa = isa;
    EXPECT_EQ(octet_context_create(&cd, &context, &err), OCTET_OK) << err.text;
    std::vector<float> w(static_cast<size_t>(n * k));
    for (float& v : w) v = static_cast<float>(rng.within(-100, 100)) / 100;
    const octet_tensor source = octet_mat(OCTET_F32, w.data(), n, k);
    octet_scheme scheme = {};
    scheme.struct_size = sizeof scheme;
    scheme.type = OCTET_S8;
    scheme.granularity = OCTET_PER_CHANNEL;
    octet_weights_desc wd = {};
    wd.struct_size = sizeof wd;
    wd.source = &source;
    if (rng.within(0, 3) == 0) wd.scheme = &scheme;  // affine: with zero points
    EXPECT_EQ(octet_weights_create(context, &wd, nullptr, &weights, &err), OCTET_OK) << err.text;
    desc.struct_size = sizeof desc;
    desc.weights = weights;
    switch (rng.within(0, 2)) {
      case 0:
        desc.in = {OCTET_U8, 0.02f, 120};
        break;
      case 1:
        desc.in = {OCTET_S8, 0.02f, -3};
        break;
      default:
        desc.in = {OCTET_F32, 0, 0};
    }
    desc.out = {OCTET_F32, 0, 0};
    if (desc.in.type != OCTET_F32 && rng.within(0, 1)) desc.out = {OCTET_U8, 0.1f, 7};
    EXPECT_EQ(octet_linear_create(context, &desc, &op, &err), OCTET_OK) << err.text;
  }
  ~Layer() {
    octet_op_destroy(op);
    octet_weights_destroy(weights);
    octet_context_destroy(context);
  }
  Layer(const Layer&) = delete;
};

// One field of a call, somewhat wrong or unusual.
void disturb(Rng& rng, octet_tensor* t) {
  const auto other = [&] { return rng.within(-1, 2); };
  if (rng.rarely()) t->type = static_cast<octet_type>(rng.within(0, 5));
  if (rng.rarely()) t->rank = static_cast<int32_t>(rng.within(0, 4));
  if (rng.rarely()) t->dims[0] += other();
  if (rng.rarely()) t->dims[1] += other();
  if (rng.rarely()) t->strides[0] += other();
  if (rng.rarely()) t->strides[1] += other();
  if (rng.rarely()) t->strides[2] = other();
  if (rng.rarely()) t->flags = static_cast<uint32_t>(rng.within(0, 1));
  if (rng.rarely()) t->reserved = static_cast<int32_t>(rng.within(0, 1));
  if (rng.rarely()) t->data = rng.within(0, 1) ? nullptr : static_cast<char*>(t->data) + other();
}

TEST(Plain, IsWhatTheGeneralWayAccepts) {
  Rng rng;
  int plain_calls = 0, untouched = 0;
  const char* const caps[] = {nullptr, "avx2", "scalar"};
  for (int round = 0; round < 150; ++round) {
    const char* cap = caps[round % 3];
    bool foreign = false;
    if (cap && find_isa(cap, &foreign) && foreign) cap = nullptr;
    const Layer layer(rng, cap);
    for (int call = 0; call < 60; ++call) {
      const bool as_it_should = call % 4 == 0;
      const int64_t m = rng.within(1, 70);
      const int64_t pitch_x = layer.k + rng.within(0, 9), pitch_y = layer.n + rng.within(0, 9);
      // One block of memory, so that tensors and workspace may meet.
      std::vector<uint32_t> memory(static_cast<size_t>(m * (pitch_x + pitch_y) + 8192));
      for (uint32_t& v : memory)
        v = layer.desc.in.type == OCTET_F32
                ? 0x3F800000u + static_cast<uint32_t>(rng.within(0, 9999))
                : static_cast<uint32_t>(rng.within(0, INT32_MAX));
      char* const at_x = reinterpret_cast<char*>(memory.data() + 64);
      const int64_t bytes_x = m * pitch_x * layer.op->linear.in_bytes,
                    bytes_y = m * pitch_y * layer.op->linear.out_bytes;
      char* at_y = at_x + (bytes_x + 3) / 4 * 4;
      char* at_w = at_y + (bytes_y + 3) / 4 * 4;
      std::vector<char> workspace(1 << 20);
      octet_tensor x = octet_mat(layer.desc.in.type, at_x, m, layer.k);
      octet_exec e = {};
      e.struct_size = sizeof e;
      e.workspace = workspace.data();
      e.workspace_bytes = workspace.size();
      if (!as_it_should) {
        if (rng.rarely()) at_y -= rng.within(0, 64);
        if (rng.rarely()) e.workspace = at_w - rng.within(0, 300);
        if (rng.rarely()) e.workspace = nullptr;
        if (rng.rarely()) e.workspace_bytes = static_cast<size_t>(rng.within(0, 4096));
        if (rng.rarely()) e.max_threads = static_cast<int32_t>(rng.within(-1, 3));
        if (rng.rarely()) e.plan = static_cast<int32_t>(rng.within(-1, 2));
        if (rng.rarely()) e.flags = static_cast<uint32_t>(rng.within(0, 1));
        if (rng.rarely()) e.struct_size += static_cast<uint32_t>(rng.within(-1, 0));
      }
      octet_tensor y = octet_mat(layer.desc.out.type, at_y, m, layer.n);
      if (rng.within(0, 1)) x.strides[0] = pitch_x, x.strides[1] = 1;
      if (rng.within(0, 1)) y.strides[0] = pitch_y, y.strides[1] = 1;
      if (!as_it_should) disturb(rng, rng.within(0, 1) ? &x : &y);
      size_t n_in = 1, n_out = 1;
      if (!as_it_should && rng.rarely()) n_in = static_cast<size_t>(rng.within(0, 2));
      if (!as_it_should && rng.rarely()) n_out = static_cast<size_t>(rng.within(0, 2));

      LinearCall read;
      if (!read_plain(*layer.op, &x, n_in, &y, n_out, &e, &read)) {
        EXPECT_FALSE(as_it_should) << m << " " << layer.n << " " << layer.k;
        continue;
      }
      ++plain_calls;
      untouched += as_it_should;
      const std::vector<uint32_t> before = memory;
      octet_error err = {};
      ASSERT_EQ(octet_op_run(layer.op, &x, n_in, &y, n_out, &e, &err), OCTET_OK) << err.text;
      const std::vector<uint32_t> direct = memory;
      memory = before;
      // The vector's storage stays where it was: pointers into it hold.
      const octet_tensor x3 = with_leading_dim(x), y3 = with_leading_dim(y);
      ASSERT_FALSE(read_plain(*layer.op, &x3, n_in, &y3, n_out, &e, &read));
      ASSERT_EQ(octet_op_run(layer.op, &x3, n_in, &y3, n_out, &e, &err), OCTET_OK)
          << err.text << " for a call that counts as plain";
      // A workspace within the block is nobody's output.
      const char* const end = at_y + bytes_y;
      const size_t used = static_cast<size_t>(end - reinterpret_cast<char*>(memory.data()));
      ASSERT_EQ(memcmp(direct.data(), memory.data(), used), 0)
          << m << " " << layer.n << " " << layer.k;
    }
  }
  EXPECT_GE(untouched, 150 * 15);
  EXPECT_GE(plain_calls, 2 * untouched);  // the disturbed ones were no idle work
}

}  // namespace
}  // namespace octet

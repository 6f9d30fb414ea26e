// SPDX-License-Identifier: Apache-2.0
//
// Pooling layers against a model that walks over every coordinate of the padded image: shapes in
// one to three dims, strides, dilation, pads, ceil mode, divisors, adaptive and global windows,
// threads; golden vectors of each rounding; and every refusal.
#include <functional>

#include "tests/quant/support.h"

namespace octet_test {
namespace {

struct Layer {
  octet_pool_desc d = {};
  octet_geometry g = {};
  bool windows = true;  // has a geometry

  explicit Layer(int32_t kind, octet_type in = OCTET_U8, octet_type out = OCTET_U8) {
    d.struct_size = sizeof d;
    d.kind = kind;
    d.in = {in, 0.5f, in == OCTET_U8 ? 7 : -3};
    d.out = {out, 0.5f, in == OCTET_U8 ? 7 : -3};
    g.struct_size = sizeof g;
    g.rank = 2;
    g.groups = 1;
    for (int i = 0; i < 2; ++i) d.kernel[i] = 3, g.stride[i] = g.dilation[i] = 1;
  }
  const octet_geometry* geometry() const { return windows ? &g : nullptr; }
};

int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

// Output extent along spatial dim i.
int64_t extent(const Layer& l, int i, int64_t in) {
  if (!in) return 0;
  if (l.d.flags & OCTET_GLOBAL) return 1;
  if (l.d.flags & OCTET_ADAPTIVE) return l.d.out_size[i];
  const int64_t room =
      in + l.g.pad_lo[i] + l.g.pad_hi[i] - int64_t{l.g.dilation[i]} * (l.d.kernel[i] - 1) - 1;
  if (room < 0) return 0;  // of an empty tensor
  int64_t out = floor_div(room, l.g.stride[i]) + 1;
  if (l.d.flags & OCTET_CEIL) {
    out = -floor_div(-room, l.g.stride[i]) + 1;
    if ((out - 1) * l.g.stride[i] >= in + l.g.pad_lo[i]) --out;
  }
  return out;
}

// The input indices of output o along dim i, those in the padding included, and what it divides by.
std::vector<int64_t> taps(const Layer& l, int i, int64_t in, int64_t o, int64_t* divisor) {
  std::vector<int64_t> at;
  if (l.d.flags & (OCTET_GLOBAL | OCTET_ADAPTIVE)) {
    const int64_t out = extent(l, i, in);
    for (int64_t k = floor_div(o * in, out); k < -floor_div(-(o + 1) * in, out); ++k)
      at.push_back(k);
    *divisor *= static_cast<int64_t>(at.size());
    return at;
  }
  int64_t counted = 0;
  for (int64_t t = 0; t < l.d.kernel[i]; ++t) {
    const int64_t k = o * l.g.stride[i] - l.g.pad_lo[i] + t * l.g.dilation[i];
    at.push_back(k);
    const bool exists = k >= 0 && k < in;
    if (l.d.flags & OCTET_EXCLUDE_PAD || l.d.numerics ? exists : k < in + l.g.pad_hi[i]) ++counted;
  }
  *divisor *= counted;
  return at;
}

// One output from the integers under its window.
int32_t reduce(const Layer& l, const std::vector<int32_t>& q, int64_t divisor) {
  const int32_t lowest = l.d.in.type == OCTET_S8 ? -128 : 0;
  const int32_t qmin = l.d.out.type == OCTET_S8 ? -128 : 0, qmax = qmin + 255;
  const auto clamp = [&](double v) {
    return static_cast<int32_t>(std::fmin(std::fmax(v, qmin), qmax));
  };
  if (l.d.kind == OCTET_POOL_MAX) {
    int32_t best = lowest;
    for (int32_t v : q) best = std::max(best, v);
    if (l.d.in.type == l.d.out.type && l.d.in.scale == l.d.out.scale &&
        l.d.in.zero_point == l.d.out.zero_point)
      return best;
    const float real = l.d.in.scale * static_cast<float>(best - l.d.in.zero_point);
    const float v = real * (1.0f / l.d.out.scale);
    return clamp(std::nearbyint(static_cast<double>(v)) + l.d.out.zero_point);
  }
  int64_t sum = 0;
  for (int32_t v : q) sum += v - (l.d.numerics ? 0 : l.d.in.zero_point);
  if (l.d.numerics) {
    const int64_t n = static_cast<int64_t>(q.size());
    return clamp(static_cast<double>((sum > 0 ? sum + n / 2 : sum - n / 2) / n));
  }
  if (l.d.divisor) divisor = l.d.divisor;
  const float ratio = l.d.in.scale / l.d.out.scale;
  const float m = ratio / static_cast<float>(divisor);
  const float v = static_cast<float>(sum) * m;
  return clamp(std::nearbyint(static_cast<double>(v)) + l.d.out.zero_point);
}

// An image [n, spatial..., c], dense or spread, in guarded memory.
struct Image {
  octet_tensor t = {};
  std::unique_ptr<Guarded> memory;

  Image(octet_type type, const std::vector<int64_t>& dims, bool spread, bool at_end) {
    t.type = type;
    t.rank = static_cast<int32_t>(dims.size());
    int64_t step = 1, reach = 1;
    for (size_t i = dims.size(); i-- > 0;) {
      t.dims[i] = dims[i];
      t.strides[i] = step;
      reach += (dims[i] - 1) * step;
      step = step * dims[i] + (spread && i > 0 ? 3 : 0);
      if (!dims[i]) reach = 0;
      if (!reach) break;
    }
    const size_t bytes = static_cast<size_t>(std::max<int64_t>(reach, 0));
    memory = std::make_unique<Guarded>(bytes + 1);
    memory->fill(0x5A);
    t.data = at_end ? memory->at_end<uint8_t>(bytes) : memory->at_begin<uint8_t>();
    if (!reach)
      for (auto& s : t.strides) s = 0;
  }
  uint8_t& byte(int64_t offset) const { return static_cast<uint8_t*>(t.data)[offset]; }
  int32_t at(int64_t offset) const {
    return t.type == OCTET_S8 ? static_cast<int8_t>(byte(offset)) : byte(offset);
  }
};

class Pool : public testing::Test {
 protected:
  using Op = std::unique_ptr<octet_op, decltype(&octet_op_destroy)>;

  Op create(const Layer& l) {
    octet_op* op = nullptr;
    octet_error err = {};
    EXPECT_EQ(octet_pool_create(c, &l.d, l.geometry(), &op, &err), OCTET_OK) << err.text;
    return Op(op, octet_op_destroy);
  }

  void expect_model(const Layer& l, const Image& x, const Image& y) {
    const int spatial = x.t.rank - 2;
    int64_t count = 1;
    for (int i = 0; i < y.t.rank; ++i) count *= y.t.dims[i];
    for (int64_t e = 0; e < count; ++e) {
      int64_t at[5], left = e, to = 0;
      for (int i = y.t.rank - 1; i >= 0; --i) {
        at[i] = left % y.t.dims[i];
        left /= y.t.dims[i];
        to += at[i] * y.t.strides[i];
      }
      int64_t divisor = 1;
      std::vector<int64_t> from = {at[0] * x.t.strides[0] + at[y.t.rank - 1]};
      for (int i = 0; i < spatial; ++i) {
        std::vector<int64_t> next;
        const auto all = taps(l, i, x.t.dims[1 + i], at[1 + i], &divisor);
        for (int64_t offset : from)
          for (int64_t k : all)
            if (k >= 0 && k < x.t.dims[1 + i]) next.push_back(offset + k * x.t.strides[1 + i]);
        from = next;
      }
      std::vector<int32_t> q;
      for (int64_t offset : from) q.push_back(x.at(offset));
      ASSERT_EQ(y.at(to), reduce(l, q, divisor)) << "element " << e;
    }
  }

  // Runs the layer on a random image and compares each output.
  void check(const Layer& l, const std::vector<int64_t>& dims, octet_parallel_for pool = nullptr) {
    const bool spread = rng() % 2, at_end = rng() % 2;
    const Image x(l.d.in.type, dims, spread, at_end);
    std::vector<int64_t> out = dims;
    for (size_t i = 1; i + 1 < dims.size(); ++i)
      out[i] = extent(l, static_cast<int>(i - 1), dims[i]);
    const Image y(l.d.out.type, out, rng() % 2, at_end);
    for (size_t i = 0; i + 1 < x.memory->size(); ++i)
      const_cast<char*>(x.memory->data())[i] = static_cast<char>(rng());
    const Op op = create(l);
    ASSERT_NE(op, nullptr);
    octet_tensor inferred = {};
    octet_error err = {};
    ASSERT_EQ(octet_op_infer(op.get(), &x.t, 1, &inferred, 1, &err), OCTET_OK) << err.text;
    ASSERT_EQ(inferred.type, y.t.type);
    ASSERT_EQ(inferred.rank, y.t.rank);
    for (int i = 0; i < y.t.rank; ++i) ASSERT_EQ(inferred.dims[i], y.t.dims[i]);
    size_t bytes = 1;
    const octet_exec e = exec_with(pool, pool ? 3 : 1);
    ASSERT_EQ(octet_op_workspace(op.get(), &x.t, 1, &e, &bytes, &err), OCTET_OK) << err.text;
    ASSERT_EQ(bytes, 0u);
    ASSERT_EQ(octet_op_run(op.get(), &x.t, 1, &y.t, 1, &e, &err), OCTET_OK) << err.text;
    expect_model(l, x, y);
    if (!HasFatalFailure()) expect_untouched(y);
  }

  // Bytes between the elements keep their filling.
  void expect_untouched(const Image& y) {
    std::vector<bool> written(y.memory->size(), false);
    int64_t count = 1;
    for (int i = 0; i < y.t.rank; ++i) count *= y.t.dims[i];
    const int64_t base = static_cast<const char*>(y.t.data) - y.memory->data();
    for (int64_t e = 0; e < count; ++e) {
      int64_t left = e, to = base;
      for (int i = y.t.rank - 1; i >= 0; --i) {
        to += left % y.t.dims[i] * y.t.strides[i];
        left /= y.t.dims[i];
      }
      written[static_cast<size_t>(to)] = true;
    }
    for (size_t i = 0; i < y.memory->size(); ++i)
      if (!written[i]) {
        ASSERT_EQ(y.memory->data()[i], 0x5A) << i;
      }
  }

  // A random layer with `rank` spatial dims and an image that it fits.
  Layer any(int rank, std::vector<int64_t>* dims) {
    const auto pick = [&](int n) { return static_cast<int32_t>(rng() % static_cast<unsigned>(n)); };
    const octet_type in = pick(2) ? OCTET_U8 : OCTET_S8;
    Layer l(pick(2), in, pick(2) ? OCTET_U8 : OCTET_S8);
    const bool max = l.d.kind == OCTET_POOL_MAX;
    l.d.in = {in, 0.01f * static_cast<float>(1 + pick(90)),
              (in == OCTET_U8 ? 128 : 0) + pick(99) - 50};
    l.d.out.scale = 0.01f * static_cast<float>(1 + pick(90));
    l.d.out.zero_point = (l.d.out.type == OCTET_U8 ? 128 : 0) + pick(99) - 50;
    const bool tflite = pick(4) == 0;
    if (tflite) l.d.numerics = pick(2) ? OCTET_NUMERICS_TFLITE : OCTET_NUMERICS_TFLITE_SINGLE;
    if (tflite || pick(3) == 0) l.d.out = l.d.in;
    l.g.rank = rank;
    *dims = {1 + pick(3)};
    for (int i = 0; i < 3; ++i) {
      const bool there = i < rank;
      l.d.kernel[i] = there ? 1 + pick(4) : 0;
      l.g.stride[i] = there ? 1 + pick(3) : 0;
      l.g.dilation[i] = there ? 1 + (max ? pick(3) : 0) : 0;
      l.g.pad_lo[i] = there ? pick(l.d.kernel[i] / 2 + 1) : 0;
      l.g.pad_hi[i] = there ? pick(l.d.kernel[i] / 2 + 1) : 0;
      if (there) dims->push_back((l.d.kernel[i] - 1) * l.g.dilation[i] + 1 + pick(9));
    }
    dims->push_back(1 + pick(70));
    if (pick(2)) l.d.flags |= OCTET_CEIL;
    if (!max && pick(2)) l.d.flags |= OCTET_EXCLUDE_PAD;
    if (!max && !tflite && pick(4) == 0) l.d.divisor = 1 + pick(20);
    if (pick(4) == 0) {  // windows that follow from the image
      l.windows = false;
      l.d.flags = pick(2) ? OCTET_GLOBAL : OCTET_ADAPTIVE;
      for (int i = 0; i < 3; ++i) {
        l.d.kernel[i] = 0;
        if (l.d.flags == OCTET_ADAPTIVE && i < rank) l.d.out_size[i] = 1 + pick(7);
      }
    }
    return l;
  }

  Context c;
  std::mt19937 rng{5};
};

TEST_F(Pool, EqualsTheModel) {
  for (int i = 0; i < 400; ++i) {
    std::vector<int64_t> dims;
    const Layer l = any(1 + i % 3, &dims);
    check(l, dims, i % 4 == 0 ? run_reversed : i % 4 == 1 ? run_first_only : nullptr);
    if (HasFatalFailure()) return;
  }
}

TEST_F(Pool, LayersOfNetworks) {
  Layer l(OCTET_POOL_MAX);  // ResNet's first
  for (int i = 0; i < 2; ++i) l.g.stride[i] = 2, l.g.pad_lo[i] = l.g.pad_hi[i] = 1;
  check(l, {1, 112, 112, 64});
  Layer global(OCTET_POOL_AVERAGE, OCTET_U8, OCTET_S8);
  global.windows = false;
  global.d.flags = OCTET_GLOBAL;
  global.d.kernel[0] = global.d.kernel[1] = 0;
  global.d.out.scale = 0.11f;
  check(global, {2, 7, 7, 1001});
  check(global, {1, 40, 41, 33});  // more taps than 16-bit sums hold
}

// [1, 2, 2, 1] and others: zero point 0, equal scales; PyTorch's rounding, then TFLite's.
TEST_F(Pool, AveragesRound) {
  const struct {
    std::vector<uint8_t> q;
    int torch, tflite;
  } cases[] = {{{1, 2, 2, 1}, 2, 2}, {{0, 1, 1, 0}, 0, 1},
               {{3, 3, 2, 2}, 2, 3}, {{255, 255, 254, 254}, 254, 255},
               {{1, 0, 0, 1}, 0, 1}, {{4, 2, 2, 2}, 2, 3}};
  for (const auto& k : cases)
    for (int numerics : {OCTET_NUMERICS_TORCH, OCTET_NUMERICS_TFLITE}) {
      Layer l(OCTET_POOL_AVERAGE);
      l.d.in.zero_point = l.d.out.zero_point = 0;
      l.d.kernel[0] = l.d.kernel[1] = 2;
      l.d.numerics = numerics;
      const octet_tensor x = octet_nhwc(OCTET_U8, k.q.data(), 1, 2, 2, 1);
      uint8_t got = 77;
      const octet_tensor y = octet_nhwc(OCTET_U8, &got, 1, 1, 1, 1);
      const Op op = create(l);
      ASSERT_EQ(octet_op_run(op.get(), &x, 1, &y, 1, nullptr, nullptr), OCTET_OK);
      EXPECT_EQ(got, numerics ? k.tflite : k.torch);
    }
}

TEST_F(Pool, NothingInNothingOut) {
  Layer l(OCTET_POOL_AVERAGE);
  l.d.kernel[0] = 9;  // larger than the image, which has nothing
  for (const std::vector<int64_t>& dims :
       {std::vector<int64_t>{0, 4, 4, 3}, {2, 0, 4, 3}, {2, 9, 4, 0}})
    check(l, dims);
}

TEST_F(Pool, PlanAndDescription) {
  const Layer l(OCTET_POOL_MAX, OCTET_U8, OCTET_S8);
  const Op op = create(l);
  const octet_tensor x = octet_nhwc(OCTET_U8, nullptr, 1, 8, 8, 16);
  octet_plan plan = {};
  plan.struct_size = sizeof plan;
  octet_error err = {};
  ASSERT_EQ(octet_op_plan(op.get(), &x, 1, nullptr, &plan, &err), OCTET_OK) << err.text;
  EXPECT_EQ(std::string(plan.kernel).rfind("poolmax_u8_u8_", 0), 0u) << plan.kernel;
  EXPECT_EQ(plan.workspace_bytes, 0u);
  EXPECT_EQ(plan.weight_bytes, 0u);
  char json[2048];
  size_t need;
  ASSERT_EQ(octet_op_describe(op.get(), &x, 1, nullptr, json, sizeof json, &need, &err), OCTET_OK);
  EXPECT_NE(std::string(json).find("\"op\":\"pool\""), std::string::npos) << json;
  EXPECT_EQ(need, strlen(json) + 1);
}

// ---- refusals ----

class PoolRefusal : public testing::Test {
 protected:
  Context c;
  Layer l{OCTET_POOL_AVERAGE};

  void refuse(octet_status status, const std::string& part) {
    octet_op* op = nullptr;
    octet_error err = {};
    EXPECT_EQ(octet_pool_create(c, &l.d, l.geometry(), &op, &err), status) << err.text;
    EXPECT_NE(std::string(err.text).find(part), std::string::npos) << err.text;
    EXPECT_EQ(op, nullptr);
    octet_op_destroy(op);
    l = Layer(OCTET_POOL_AVERAGE);
  }
};

TEST_F(PoolRefusal, Handles) {
  octet_op* op = nullptr;
  octet_error err = {};
  EXPECT_EQ(octet_pool_create(nullptr, &l.d, &l.g, &op, &err), OCTET_ERR_ARGUMENT);
  EXPECT_EQ(octet_pool_create(c, nullptr, &l.g, &op, &err), OCTET_ERR_ARGUMENT);
  EXPECT_EQ(octet_pool_create(c, &l.d, nullptr, &op, &err), OCTET_ERR_ARGUMENT);
  EXPECT_EQ(octet_pool_create(c, &l.d, &l.g, nullptr, &err), OCTET_ERR_ARGUMENT);
}

TEST_F(PoolRefusal, Descriptors) {
  l.d.kind = 2;
  refuse(OCTET_ERR_ARGUMENT, "octet_pool_desc.kind is 2");
  l.d.flags = 64;
  refuse(OCTET_ERR_ARGUMENT, "octet_pool_desc.flags");
  l.d.reserved = 1;
  refuse(OCTET_ERR_ARGUMENT, "octet_pool_desc.reserved is 1");
  l.d.in.type = OCTET_F32;
  refuse(OCTET_ERR_ARGUMENT, "octet_pool_desc.in");
  l.d.out.scale = 0;
  refuse(OCTET_ERR_ARGUMENT, "octet_pool_desc.out.scale");
  l.d.in.scale = kNan;
  refuse(OCTET_ERR_NOT_FINITE, "octet_pool_desc.in.scale");
  l.d.in.zero_point = 256;
  refuse(OCTET_ERR_ARGUMENT, "zero_point is 256");
  l.d.divisor = -1;
  refuse(OCTET_ERR_ARGUMENT, "divisor is -1");
  l.d.kind = OCTET_POOL_MAX;
  l.d.divisor = 4;
  refuse(OCTET_ERR_ARGUMENT, "divisor is 4");
  l.d.kind = OCTET_POOL_MAX;
  l.d.flags = OCTET_EXCLUDE_PAD;
  refuse(OCTET_ERR_ARGUMENT, "maxima have no divisor");
  l.d.numerics = 99;
  refuse(OCTET_ERR_ARGUMENT, "numerics is 99");
  l.d.numerics = OCTET_NUMERICS_QNNPACK;
  refuse(OCTET_ERR_UNSUPPORTED, "numerics");
  l.d.numerics = OCTET_NUMERICS_TFLITE;
  l.d.out.scale = 1;
  refuse(OCTET_ERR_ARGUMENT, "TFLite");
  l.d.numerics = OCTET_NUMERICS_TFLITE;
  l.d.divisor = 3;
  refuse(OCTET_ERR_ARGUMENT, "TFLite");
}

TEST_F(PoolRefusal, Windows) {
  for (const int32_t rank : {0, 4, -1}) {
    l.g.rank = rank;
    refuse(OCTET_ERR_ARGUMENT, "octet_geometry.rank is " + std::to_string(rank));
  }
  l.g.groups = 2;
  refuse(OCTET_ERR_ARGUMENT, "groups is 2");
  l.g.groups = 0;
  refuse(OCTET_ERR_ARGUMENT, "groups is 0");
  l.g.flags = 1;
  refuse(OCTET_ERR_ARGUMENT, "octet_geometry.flags");
  l.d.kernel[1] = 0;
  refuse(OCTET_ERR_ARGUMENT, "kernel[1] is 0");
  l.g.stride[0] = 0;
  refuse(OCTET_ERR_ARGUMENT, "stride[0] is 0");
  l.g.dilation[1] = 0;
  refuse(OCTET_ERR_ARGUMENT, "dilation[1] is 0");
  l.g.dilation[1] = 2;
  refuse(OCTET_ERR_ARGUMENT, "dilation[1] is 2");
  l.g.pad_lo[0] = -1;
  refuse(OCTET_ERR_ARGUMENT, "pad_lo[0] is -1");
  l.g.pad_hi[0] = 2;
  refuse(OCTET_ERR_ARGUMENT, "half of the kernel");
  l.g.out_pad[0] = 1;
  refuse(OCTET_ERR_ARGUMENT, "out_pad[0] is 1");
  l.g.stride[2] = 1;
  refuse(OCTET_ERR_ARGUMENT, "dim 2");
  l.d.out_size[0] = 3;
  refuse(OCTET_ERR_ARGUMENT, "OCTET_ADAPTIVE");
  l.windows = false;
  l.d.flags = OCTET_ADAPTIVE | OCTET_GLOBAL;
  refuse(OCTET_ERR_ARGUMENT, "choose one");
  l.windows = false;
  l.d.flags = OCTET_GLOBAL;
  refuse(OCTET_ERR_ARGUMENT, "kernel[0] is 3");
  l.d.flags = OCTET_GLOBAL;
  refuse(OCTET_ERR_ARGUMENT, "pass NULL");
}

TEST_F(PoolRefusal, Calls) {
  octet_op* op = nullptr;
  ASSERT_EQ(octet_pool_create(c, &l.d, &l.g, &op, nullptr), OCTET_OK);
  std::vector<uint8_t> x(200, 1), y(200, 0x5A);
  const auto refuse_run = [&](octet_status status, const octet_tensor& in, const octet_tensor& out,
                              const std::string& part) {
    octet_error err = {};
    EXPECT_EQ(octet_op_run(op, &in, 1, &out, 1, nullptr, &err), status) << err.text;
    EXPECT_NE(std::string(err.text).find(part), std::string::npos) << err.text;
    for (uint8_t v : y) EXPECT_EQ(v, 0x5A);
  };
  const octet_tensor good = octet_nhwc(OCTET_U8, x.data(), 1, 5, 5, 3),
                     to = octet_nhwc(OCTET_U8, y.data(), 1, 3, 3, 3);
  refuse_run(OCTET_ERR_ARGUMENT, octet_mat(OCTET_U8, x.data(), 5, 5), to, "rank is 2");
  refuse_run(OCTET_ERR_ARGUMENT, octet_nhwc(OCTET_S8, x.data(), 1, 5, 5, 3), to, "in[0].type");
  refuse_run(OCTET_ERR_ARGUMENT, octet_nhwc(OCTET_U8, x.data(), 1, 2, 5, 3), to, "covers 3");
  refuse_run(OCTET_ERR_ARGUMENT, good, octet_nhwc(OCTET_U8, y.data(), 1, 3, 4, 3),
             "out[0].dims[2]");
  refuse_run(OCTET_ERR_ARGUMENT, good, octet_nhwc(OCTET_U8, y.data(), 1, 3, 3, 4),
             "out[0].dims[3]");
  refuse_run(OCTET_ERR_ARGUMENT, good, octet_nhwc(OCTET_U8, x.data() + 9, 1, 3, 3, 3), "overlaps");
  octet_error err = {};
  EXPECT_EQ(octet_op_run(op, &good, 2, &to, 1, nullptr, &err), OCTET_ERR_ARGUMENT);
  EXPECT_EQ(octet_op_run(op, &good, 1, &to, 0, nullptr, &err), OCTET_ERR_ARGUMENT);
  octet_exec e = exec_with(nullptr, 1);
  e.plan = 2;
  EXPECT_EQ(octet_op_run(op, &good, 1, &to, 1, &e, &err), OCTET_ERR_ARGUMENT) << err.text;
  octet_op_destroy(op);

  Layer global(OCTET_POOL_AVERAGE);
  global.windows = false;
  global.d.flags = OCTET_GLOBAL;
  global.d.kernel[0] = global.d.kernel[1] = 0;
  ASSERT_EQ(octet_pool_create(c, &global.d, nullptr, &op, nullptr), OCTET_OK);
  const octet_tensor huge = octet_nhwc(OCTET_U8, nullptr, 1, 4096, 2048, 1);
  octet_tensor inferred = {};
  EXPECT_EQ(octet_op_infer(op, &huge, 1, &inferred, 1, &err), OCTET_ERR_INEXACT) << err.text;
  octet_op_destroy(op);
}

}  // namespace
}  // namespace octet_test

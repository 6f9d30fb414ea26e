// SPDX-License-Identifier: Apache-2.0
#include "jobs.h"

#include <algorithm>

namespace contract {

namespace {

// ---- layers -----------------------------------------------------------------------------------

struct LayerKind {
  const char* name;
  octet_qtype in, out;
  bool affine_weights;  // weight zero points that are not 0
  size_t call_scales;   // 0: given at create; 1, or 2 for one for each row
  bool tensor_wide;     // dynamic with one scale for the call
  int32_t act;
};

constexpr octet_qtype kU8 = {OCTET_U8, 0.02f, 113}, kS8 = {OCTET_S8, 0.03f, -7};
constexpr octet_qtype kU8Call = {OCTET_U8, 0, 0}, kS8Call = {OCTET_S8, 0, 0};
constexpr octet_qtype kU8Out = {OCTET_U8, 0.11f, 9}, kS8Out = {OCTET_S8, 0.13f, -3};
constexpr octet_qtype kF32 = {OCTET_F32, 0, 0}, kS32 = {OCTET_S32, 0, 0};

constexpr LayerKind kLayers[] = {
    {"static u8 to u8", kU8, kU8Out, false, 0, false, OCTET_RELU},
    {"static s8 to s8", kS8, kS8Out, false, 0, false, OCTET_ACT_NONE},
    {"static s8 to u8, affine weights", kS8, kU8Out, true, 0, false, OCTET_ACT_NONE},
    {"static u8 to f32", kU8, kF32, false, 0, false, OCTET_RELU6},
    {"static u8 to s32", kU8, kS32, true, 0, false, OCTET_ACT_NONE},
    {"call's scale, u8 to s8", kU8Call, kS8Out, false, 1, false, OCTET_ACT_NONE},
    {"a scale for each row, s8 to u8", kS8Call, kU8Out, true, 2, false, OCTET_RELU},
    {"dynamic per row", kF32, kF32, false, 0, false, OCTET_ACT_NONE},
    {"dynamic per row, affine weights", kF32, kF32, true, 0, false, OCTET_RELU},
    {"dynamic per tensor", kF32, kF32, false, 0, true, OCTET_ACT_NONE},
};

size_t type_bytes(octet_type t) { return t == OCTET_F32 || t == OCTET_S32 ? 4 : 1; }

// Everything that a layer's calls refer to.
struct Layer {
  Weights weights;
  Op op;
  std::vector<unsigned char> x;
  std::vector<float> scale;
  std::vector<int32_t> zero;
  octet_qparams q{};
  octet_tensor in, out;
};

void fill_activations(Random& random, octet_type type, int64_t m, int64_t k,
                      std::vector<unsigned char>* x) {
  const size_t count = static_cast<size_t>(m * k);
  x->resize(count * type_bytes(type));
  if (type != OCTET_F32) {
    for (unsigned char& byte : *x) byte = static_cast<unsigned char>(random.below(256));
    return;
  }
  std::vector<float> values = random.reals(count, 3);
  // Whole rows of subnormals and of zeros; in the middle of a call, rows that are not finite.
  const auto row = [&](int64_t i) { return values.begin() + static_cast<ptrdiff_t>(i * k); };
  if (m > 8 && k > 0) {
    std::fill(row(1), row(2), 1e-40f);
    std::fill(row(3), row(4), 0.0f);
    *row(5) = kNan;
    *row(7) = -kInf;
  }
  const auto* bytes = reinterpret_cast<const unsigned char*>(values.data());
  std::copy_n(bytes, x->size(), x->begin());
}

Job layer_job(const octet_context* c, const LayerKind& kind, int64_t m, int64_t n, int64_t k) {
  auto layer = std::make_shared<Layer>();
  Random random(static_cast<uint64_t>(&kind - kLayers) + 17);
  const std::vector<float> w = random.reals(static_cast<size_t>(n * k), 0.4f);
  const std::vector<float> bias = random.reals(static_cast<size_t>(n), 2);
  const octet_tensor source = octet_mat(OCTET_F32, w.data(), n, k);
  const octet_tensor bias_tensor = octet_vec(OCTET_F32, bias.data(), n);
  octet_scheme affine = sized<octet_scheme>();
  affine.type = OCTET_S8;
  octet_weights_desc wd = sized<octet_weights_desc>();
  wd.source = &source;
  if (kind.out.type != OCTET_S32) wd.bias = &bias_tensor;
  if (kind.affine_weights) wd.scheme = &affine;
  layer->weights = make_weights(c, wd);

  octet_scheme tensor_wide = sized<octet_scheme>();
  tensor_wide.type = OCTET_U8;
  tensor_wide.granularity = OCTET_PER_TENSOR;
  octet_linear_desc ld = sized<octet_linear_desc>();
  ld.weights = layer->weights.get();
  ld.in = kind.in;
  ld.out = kind.out;
  ld.act = kind.act;
  if (kind.tensor_wide) ld.dynamic = &tensor_wide;
  layer->op = make_op(c, ld);

  fill_activations(random, kind.in.type, m, k, &layer->x);
  if (kind.tensor_wide && !layer->x.empty()) {  // one NaN would be all that can be seen
    const std::vector<float> values = random.reals(static_cast<size_t>(m * k), 3);
    std::memcpy(layer->x.data(), values.data(), layer->x.size());
  }
  layer->in = octet_mat(kind.in.type, layer->x.data(), m, k);
  if (kind.call_scales) {
    const size_t count = kind.call_scales == 1 ? 1 : static_cast<size_t>(m);
    for (size_t i = 0; i < count; ++i) {
      layer->scale.push_back(0.01f + 0.001f * static_cast<float>(i));
      layer->zero.push_back(static_cast<int32_t>(i % 90));
    }
    layer->q.count = static_cast<int64_t>(count);
    layer->q.scale = layer->scale.data();
    layer->q.zero_point = layer->zero.data();
    layer->in.q = &layer->q;
  }
  Job job;
  job.name = kind.name;
  job.out = std::make_shared<Guarded>(static_cast<size_t>(m * n) * type_bytes(kind.out.type));
  layer->out = octet_mat(kind.out.type, job.out->data(), m, n);
  job.workspace = [layer](int32_t threads) {
    octet_exec e = sized<octet_exec>();
    e.max_threads = threads;
    size_t bytes = 0;
    octet_error err{};
    EXPECT_EQ(octet_op_workspace(layer->op.get(), &layer->in, 1, &e, &bytes, &err), OCTET_OK)
        << err.text;
    return bytes;
  };
  job.run = [layer](const octet_exec* e, octet_error* err) {
    return octet_op_run(layer->op.get(), &layer->in, 1, &layer->out, 1, e, err);
  };
  job.large = true;
  return job;
}

// ---- raw GEMM ---------------------------------------------------------------------------------

struct Gemm {
  octet_gemm_desc desc = sized<octet_gemm_desc>();
  std::vector<int8_t> a, b;
  std::vector<float> b_scale, bias;
  std::vector<int32_t> b_zero;
  float a_scale = 0.05f, y_scale = 0.5f;
  int32_t a_zero = 3, y_zero = 100;
  octet_qparams aq{}, bq{}, yq{};
  octet_tensor A, B, Bias, Y;
};

Job gemm_job(const octet_context* c, octet_type in, octet_type out, int64_t m, int64_t n,
             int64_t k) {
  auto g = std::make_shared<Gemm>();
  Random random(static_cast<uint64_t>(in * 16 + out));
  g->a = random.bytes(static_cast<size_t>(m * k));
  g->b = random.bytes(static_cast<size_t>(n * k));
  g->bias = random.reals(static_cast<size_t>(n), 9);
  for (int64_t i = 0; i < n; ++i) {
    g->b_scale.push_back(0.01f + 0.002f * static_cast<float>(i));
    g->b_zero.push_back(static_cast<int32_t>(i % 3));
  }
  g->aq.count = 1;
  g->aq.scale = &g->a_scale;
  g->aq.zero_point = &g->a_zero;
  g->bq.count = n;
  g->bq.scale = g->b_scale.data();
  g->bq.zero_point = g->b_zero.data();
  g->yq.count = 1;
  g->yq.scale = &g->y_scale;
  g->yq.zero_point = &g->y_zero;
  g->A = octet_mat(in, g->a.data(), m, k);
  g->A.q = &g->aq;
  g->B = octet_mat(OCTET_S8, g->b.data(), n, k);
  g->B.q = &g->bq;
  g->B.strides[0] = 1;  // stored as [K,N]
  g->B.strides[1] = n;
  g->Bias = octet_vec(OCTET_F32, g->bias.data(), n);
  Job job;
  job.name = std::string("gemm ") + (in == OCTET_U8 ? "u8" : "s8") + " to " +
             (out == OCTET_S32   ? "s32"
              : out == OCTET_F32 ? "f32"
                                 : "u8");
  job.out = std::make_shared<Guarded>(static_cast<size_t>(m * n) * type_bytes(out));
  g->Y = octet_mat(out, job.out->data(), m, n);
  if (out == OCTET_U8) g->Y.q = &g->yq;
  const octet_tensor* bias = out == OCTET_S32 ? nullptr : &g->Bias;
  job.workspace = [g, c](int32_t threads) {
    octet_exec e = sized<octet_exec>();
    e.max_threads = threads;
    size_t bytes = 0;
    octet_error err{};
    EXPECT_EQ(octet_gemm_workspace(c, &g->desc, &g->A, &g->B, &g->Y, &e, &bytes, &err), OCTET_OK)
        << err.text;
    return bytes;
  };
  job.run = [g, c, bias](const octet_exec* e, octet_error* err) {
    return octet_gemm(c, &g->desc, &g->A, &g->B, bias, &g->Y, e, err);
  };
  job.large = true;
  return job;
}

// ---- element by element -----------------------------------------------------------------------

constexpr int64_t kRows = 19, kColumns = 4108;  // more than one task
constexpr size_t kElements = kRows * kColumns;

struct Elements {
  std::vector<float> x;
  std::vector<int32_t> s32;
  std::vector<unsigned char> bytes, mask;
  std::vector<float> scale;
  std::vector<int32_t> zero;
  octet_qparams one{}, plain{}, channels{}, fake{};
  octet_tensor in, out;
  octet_fake_quantizer f = sized<octet_fake_quantizer>();
  octet_scheme scheme = sized<octet_scheme>();
  Observer observer;
};

std::shared_ptr<Elements> make_elements() {
  auto e = std::make_shared<Elements>();
  Random random(99);
  e->x = random.reals(kElements, 4);
  const float special[] = {0.5f, 1.5f, -2.5f, -0.0f, 1e-40f, -1e-45f, kInf, -kInf, kNan, 1e18f};
  std::copy(std::begin(special), std::end(special), e->x.begin() + 3);
  for (size_t i = 0; i < kElements; ++i) {
    e->s32.push_back(static_cast<int32_t>(random.next() >> 40) - (1 << 23));
    e->bytes.push_back(static_cast<unsigned char>(random.below(256)));
    e->mask.push_back(static_cast<unsigned char>(random.below(2)));
  }
  for (int i = 0; i < kRows; ++i) {
    e->scale.push_back(0.01f * static_cast<float>(i + 1));
    e->zero.push_back(i * 3);
  }
  e->one.count = e->plain.count = 1;
  e->one.scale = e->plain.scale = e->scale.data() + 4;
  e->one.zero_point = e->zero.data() + 4;
  e->channels.count = kRows;
  e->channels.scale = e->scale.data();
  e->channels.zero_point = e->zero.data();
  e->fake = e->channels;
  e->fake.qmax = 255;
  return e;
}

octet_tensor elements(octet_type type, const void* data, const octet_qparams* q = nullptr) {
  octet_tensor t = octet_mat(type, data, kRows, kColumns);
  t.q = q;
  return t;
}

using PairFn = octet_status(const octet_context*, const octet_tensor*, const octet_tensor*,
                            const octet_exec*, octet_error*);

// octet_quantize, octet_dequantize or octet_requantize.
Job pair_job(const octet_context* c, const char* name, PairFn* fn, octet_type in, octet_type out,
             bool per_channel, uint32_t flags = 0) {
  auto e = make_elements();
  e->one.flags = e->channels.flags = flags;
  Job job;
  job.name = name;
  job.out = std::make_shared<Guarded>(kElements * type_bytes(out));
  const void* data = in == OCTET_F32   ? static_cast<const void*>(e->x.data())
                     : in == OCTET_S32 ? static_cast<const void*>(e->s32.data())
                                       : e->bytes.data();
  e->in = elements(in, data, in == OCTET_F32 ? nullptr : in == OCTET_S32 ? &e->plain : &e->one);
  e->out = elements(out, job.out->data(),
                    out == OCTET_F32 ? nullptr
                    : per_channel    ? &e->channels
                                     : &e->one);
  job.run = [e, c, fn](const octet_exec* exec, octet_error* err) {
    return fn(c, &e->in, &e->out, exec, err);
  };
  return job;
}

Job fake_quant_job(const octet_context* c) {
  auto e = make_elements();
  Job job;
  job.name = "fake_quant";
  job.out = std::make_shared<Guarded>(kElements * 5);  // y, then the mask
  e->in = elements(OCTET_F32, e->x.data());
  e->out = elements(OCTET_F32, job.out->data());
  unsigned char* mask = job.out->data() + 4 * kElements;
  job.run = [e, c, mask](const octet_exec* exec, octet_error* err) {
    return octet_fake_quant(c, &e->in, &e->fake, &e->out, mask, exec, err);
  };
  return job;
}

Job backward_job(const octet_context* c) {
  auto e = make_elements();
  Job job;
  job.name = "fake_quant_backward";
  job.out = std::make_shared<Guarded>(kElements * 4);
  e->in = elements(OCTET_F32, e->x.data());
  e->out = elements(OCTET_F32, job.out->data());
  job.run = [e, c](const octet_exec* exec, octet_error* err) {
    return octet_fake_quant_backward(c, &e->in, e->mask.data(), &e->out, exec, err);
  };
  return job;
}

// One step of a moving range; y, state and mask are one output.
Job step_job(const octet_context* c, bool per_channel) {
  auto e = make_elements();
  const size_t count = per_channel ? kRows : 1;
  Job job;
  job.name = per_channel ? "fake_quant_step per channel" : "fake_quant_step per tensor";
  job.out = std::make_shared<Guarded>(kElements * 5 + count * 16);
  float* y = job.out->as<float>();
  e->scheme.type = per_channel ? OCTET_S4 : OCTET_U8;
  e->scheme.flags = per_channel ? OCTET_SYMMETRIC : 0;
  e->scheme.granularity = per_channel ? OCTET_PER_CHANNEL : OCTET_PER_TENSOR;
  e->f.scheme = &e->scheme;
  e->f.momentum = 0.3f;
  e->f.count = count;
  e->f.run_min = y + kElements;
  e->f.run_max = e->f.run_min + count;
  e->f.scale = e->f.run_max + count;
  e->f.zero_point = reinterpret_cast<int32_t*>(e->f.scale + count);
  unsigned char* mask = job.out->data() + 4 * kElements + 16 * count;
  e->in = elements(OCTET_F32, e->x.data());
  e->out = elements(OCTET_F32, y);
  job.run = [e, c, mask](const octet_exec* exec, octet_error* err) {
    for (size_t i = 0; i < e->f.count; ++i) {
      e->f.run_min[i] = -1;
      e->f.run_max[i] = 1;
    }
    return octet_fake_quant_step(c, &e->f, &e->in, &e->out, mask, exec, err);
  };
  return job;
}

// reset, feed twice, statistics and qparams.
Job observer_job(const octet_context* c, int32_t kind, bool per_channel) {
  auto e = make_elements();
  const size_t count = per_channel ? kRows : 1;
  Job job;
  job.name =
      "observer of kind " + std::to_string(kind) + (per_channel ? " per channel" : " per tensor");
  job.out = std::make_shared<Guarded>(sizeof(octet_observed) + count * 8);
  e->observer = make_observer(c, per_channel ? count : 0, 0, kind);
  e->scheme.type = OCTET_U8;
  if (kind == OCTET_OBSERVE_HISTOGRAM || kind == OCTET_OBSERVE_NVIDIA_HISTOGRAM)
    e->scheme.range = OCTET_RANGE_PERCENTILE;
  e->in = elements(OCTET_F32, e->x.data());
  auto* stats = job.out->as<octet_observed>();
  float* scale = reinterpret_cast<float*>(stats + 1);
  int32_t* zero = reinterpret_cast<int32_t*>(scale + count);
  job.run = [e, stats, scale, zero, count](const octet_exec* exec, octet_error* err) {
    octet_observer* o = e->observer.get();
    octet_observer_reset(o);
    octet_status status = octet_observer_feed(o, &e->in, exec, err);
    if (!status) status = octet_observer_feed(o, &e->in, exec, err);
    if (status) return status;
    *stats = sized<octet_observed>();
    status = octet_observer_stats(o, stats, err);
    return status ? status : octet_observer_qparams(o, &e->scheme, scale, zero, count, err);
  };
  return job;
}

Job choose_job(int32_t chooser) {
  static const float kMin[] = {-1, 0, -3.3f, 1e-40f, -1e-39f, -5, 0.1f};
  static const float kMax[] = {2, 0, 1e-3f, 2e-40f, 1e-3f, -4, 0.3f};
  constexpr size_t kCount = std::size(kMin);
  auto e = make_elements();
  e->scheme.type = OCTET_U8;
  e->scheme.chooser = chooser;
  Job job;
  job.name = "choose_qparams, chooser " + std::to_string(chooser);
  job.takes_exec = false;
  job.out = std::make_shared<Guarded>(kCount * 8);
  float* scale = job.out->as<float>();
  job.run = [e, scale](const octet_exec*, octet_error* err) {
    return octet_choose_qparams(&e->scheme, kMin, kMax, kCount, scale,
                                reinterpret_cast<int32_t*>(scale + kCount), err);
  };
  return job;
}

// Convolutions of each way to find windows.
struct ConvKind {
  const char* name;
  octet_qtype in, out;
  int32_t groups;
  int64_t channels;  // of a group
  bool affine_weights, transposed;
};
constexpr ConvKind kConvs[] = {
    {"conv, direct", kU8, kU8Out, 1, 32, false, false},
    {"conv, direct s8 to f32", kS8, kF32, 1, 32, false, false},
    {"conv, few channels", kU8, kS8Out, 1, 3, false, false},
    {"conv, affine weights", kS8, kU8Out, 1, 16, true, false},
    {"conv, groups", kU8, kU8Out, 6, 8, false, false},
    {"conv, depthwise", kS8, kU8Out, 36, 1, true, false},
    {"conv, dynamic depthwise", kF32, kF32, 18, 1, false, false},
    {"conv, transposed", kU8, kS32, 1, 16, false, true},
    {"conv, dynamic", kF32, kF32, 1, 16, false, false},
    {"conv, dynamic affine groups", kF32, kF32, 3, 5, true, false},
};

Job conv_job(const octet_context* c, const ConvKind& kind) {
  constexpr int64_t kBatch = 2, kSide = 19, kOutputs = 36;
  auto layer = std::make_shared<Layer>();
  Random random(static_cast<uint64_t>(&kind - kConvs) + 71);
  const std::vector<float> w =
      random.reals(static_cast<size_t>(kOutputs * 9 * kind.channels), 0.4f);
  const octet_tensor source = octet_nhwc(OCTET_F32, w.data(), kOutputs, 3, 3, kind.channels);
  octet_geometry g = sized<octet_geometry>();
  g.flags = kind.transposed ? OCTET_TRANSPOSED : 0;
  g.rank = 2;
  g.groups = kind.groups;
  for (int i = 0; i < 2; ++i) {
    g.stride[i] = kind.transposed ? 2 : 1;
    g.dilation[i] = g.pad_lo[i] = g.pad_hi[i] = 1;
    g.out_pad[i] = kind.transposed ? 1 : 0;
  }
  octet_scheme affine = sized<octet_scheme>();
  affine.type = OCTET_S8;
  octet_weights_desc wd = sized<octet_weights_desc>();
  wd.source = &source;
  wd.geometry = &g;
  if (kind.affine_weights) wd.scheme = &affine;
  layer->weights = make_weights(c, wd);
  octet_linear_desc d = sized<octet_linear_desc>();
  d.weights = layer->weights.get();
  d.in = kind.in;
  d.out = kind.out;
  octet_op* op = nullptr;
  octet_error failure{};
  EXPECT_EQ(octet_conv_create(c, &d, &g, &op, &failure), OCTET_OK) << failure.text;
  layer->op.reset(op);
  const int64_t channels = kind.groups * kind.channels, side = kind.transposed ? 2 * kSide : kSide;
  fill_activations(random, kind.in.type, kBatch * kSide * kSide, channels, &layer->x);
  layer->in = octet_nhwc(kind.in.type, layer->x.data(), kBatch, kSide, kSide, channels);
  Job job;
  job.name = kind.name;
  job.large = true;
  job.out = std::make_shared<Guarded>(static_cast<size_t>(kBatch * side * side * kOutputs) *
                                      type_bytes(kind.out.type));
  layer->out = octet_nhwc(kind.out.type, job.out->data(), kBatch, side, side, kOutputs);
  job.workspace = [layer](int32_t threads) {
    octet_exec e = sized<octet_exec>();
    e.max_threads = threads;
    size_t bytes = 0;
    octet_error err{};
    EXPECT_EQ(octet_op_workspace(layer->op.get(), &layer->in, 1, &e, &bytes, &err), OCTET_OK)
        << err.text;
    return bytes;
  };
  job.run = [layer](const octet_exec* e, octet_error* err) {
    return octet_op_run(layer->op.get(), &layer->in, 1, &layer->out, 1, e, err);
  };
  return job;
}

Job pool_job(const octet_context* c, int32_t kind) {
  constexpr int64_t kSide = 9, kOut = 5, kChannels = 37;
  struct Pool {
    Op op;
    std::vector<uint8_t> x;
  };
  auto p = std::make_shared<Pool>();
  octet_pool_desc d = sized<octet_pool_desc>();
  octet_geometry g = sized<octet_geometry>();
  d.kind = kind;
  d.in = {OCTET_U8, 0.37f, 100};
  d.out = {OCTET_S8, 0.11f, -20};
  g.rank = 2;
  g.groups = 1;
  for (int i = 0; i < 2; ++i) {
    d.kernel[i] = 3;
    g.stride[i] = 2;
    g.dilation[i] = g.pad_lo[i] = g.pad_hi[i] = 1;
  }
  octet_op* op = nullptr;
  octet_pool_create(c, &d, &g, &op, nullptr);
  p->op.reset(op);
  for (int64_t i = 0; i < kSide * kSide * kChannels; ++i)
    p->x.push_back(static_cast<uint8_t>(i * 97 + i / 256));
  Job job;
  job.name = kind == OCTET_POOL_MAX ? "max pool" : "average pool";
  job.out = std::make_shared<Guarded>(kOut * kOut * kChannels);
  job.run = [p, out = job.out.get()](const octet_exec* e, octet_error* err) {
    const octet_tensor x = octet_nhwc(OCTET_U8, p->x.data(), 1, kSide, kSide, kChannels),
                       y = octet_nhwc(OCTET_S8, out->data(), 1, kOut, kOut, kChannels);
    return octet_op_run(p->op.get(), &x, 1, &y, 1, e, err);
  };
  return job;
}

Job fold_job() {
  constexpr int64_t kO = 9, kI = 31;
  struct Fold {
    std::vector<float> w, params;
    octet_tensor gamma, beta, mean, var;
    octet_norm_desc desc = sized<octet_norm_desc>();
  };
  auto f = std::make_shared<Fold>();
  for (int64_t i = 0; i < kO * (kI + 1); ++i)
    f->w.push_back((static_cast<float>(i % 29) - 14.3f) * 1e-3f);
  for (int64_t i = 0; i < 4 * kO; ++i)
    f->params.push_back(0.1f + 1e-38f * static_cast<float>(i) + static_cast<float>(i % 7));
  octet_tensor* const parts[] = {&f->gamma, &f->beta, &f->mean, &f->var};
  for (int i = 0; i < 4; ++i) *parts[i] = octet_vec(OCTET_F32, f->params.data() + i * kO, kO);
  f->desc.kind = OCTET_NORM_BATCH;
  f->desc.gamma = &f->gamma;
  f->desc.beta = &f->beta;
  f->desc.mean = &f->mean;
  f->desc.var = &f->var;
  Job job;
  job.name = "fold_batchnorm";
  job.takes_exec = false;
  job.out = std::make_shared<Guarded>(f->w.size() * sizeof(float));
  float* to = job.out->as<float>();
  job.run = [f, to](const octet_exec*, octet_error* err) {
    std::copy(f->w.begin(), f->w.end(), to);  // folding works in place
    const octet_tensor weight = octet_mat(OCTET_F32, to, kO, kI),
                       bias = octet_vec(OCTET_F32, to + kO * kI, kO);
    return octet_fold_batchnorm(&f->desc, &weight, &bias, err);
  };
  return job;
}

// What the weight methods read and write: weights of a layer and inputs of it.
struct Methods {
  static constexpr int64_t kN = 19, kK = 32, kInputs = 70;
  std::vector<float> w, x;
  std::vector<double> h;
  uint64_t rows = 0;
  octet_scheme scheme = sized<octet_scheme>();
  octet_round_desc desc = sized<octet_round_desc>();
};

Job round_job(const octet_context* c, const char* name, int32_t kind, int64_t group) {
  auto p = std::make_shared<Methods>();
  Random random(8);
  p->w = random.reals(Methods::kN * Methods::kK, 1);
  p->x = random.reals(Methods::kInputs * Methods::kK, 1);
  p->h.resize(Methods::kK * Methods::kK);
  const octet_tensor x = octet_mat(OCTET_F32, p->x.data(), Methods::kInputs, Methods::kK);
  EXPECT_ACCEPTED(octet_gram(c, &x, p->h.data(), &p->rows, nullptr, err));
  p->scheme.type = OCTET_S8;
  p->scheme.qmin = -8;
  p->scheme.qmax = 7;
  p->scheme.range = OCTET_RANGE_MSE;
  p->scheme.granularity = group ? OCTET_PER_GROUP : OCTET_PER_CHANNEL;
  p->scheme.group = group;
  p->desc.kind = kind;
  p->desc.iterations = kind == OCTET_ROUND_ADAROUND ? 5 : 0;
  p->desc.scheme = &p->scheme;
  const int64_t scales = Methods::kN * (group ? Methods::kK / group : 1);
  const size_t integers = Methods::kN * Methods::kK;
  Job job;
  job.name = name;
  job.out = std::make_shared<Guarded>(static_cast<size_t>(scales) * 8 + integers);
  job.run = [p, c, scales, out = job.out.get()](const octet_exec* e, octet_error* err) {
    const bool data = p->desc.kind != OCTET_ROUND_NEAREST;
    float* scale = out->as<float>();
    int32_t* zero = reinterpret_cast<int32_t*>(scale + scales);
    const octet_tensor w = octet_mat(OCTET_F32, p->w.data(), Methods::kN, Methods::kK),
                       q = octet_mat(OCTET_S8, zero + scales, Methods::kN, Methods::kK);
    return octet_round_weights(c, &p->desc, &w, data ? p->h.data() : nullptr,
                               data ? &p->rows : nullptr, &q, scale, zero,
                               static_cast<size_t>(scales), e, err);
  };
  job.workspace = [run = job.run](int32_t threads) {
    octet_exec e = sized<octet_exec>();
    e.max_threads = threads;
    octet_error error{};
    run(&e, &error);
    return static_cast<size_t>(error.need);
  };
  job.large = true;
  return job;
}

Job gram_job(const octet_context* c) {
  constexpr int64_t kGramRows = 41, kK = 77;
  auto x = std::make_shared<std::vector<float>>(Random(9).reals(kGramRows * kK, 1));
  Job job;
  job.name = "gram";
  job.out = std::make_shared<Guarded>((kK * kK + 1) * sizeof(double));
  job.run = [c, x, h = job.out->as<double>()](const octet_exec* e, octet_error* err) {
    std::fill_n(h, kK * kK + 1, 0.0);
    const octet_tensor in = octet_mat(OCTET_F32, x->data(), kGramRows, kK);
    return octet_gram(c, &in, h, reinterpret_cast<uint64_t*>(h + kK * kK), e, err);
  };
  job.large = true;
  return job;
}

Job equalize_job(const octet_context* c, bool cross_layer) {
  constexpr int64_t kIn = 11, kChannels = 45, kOut = 9;
  struct Equalize {
    std::vector<float> w, low, high;
    octet_equalize_desc desc = sized<octet_equalize_desc>();
  };
  auto p = std::make_shared<Equalize>();
  p->w = Random(10).reals(kChannels * (kIn + 1 + kOut), 1);
  p->low.assign(kChannels, -0.7f);
  p->high.assign(kChannels, 1e-40f);
  p->desc.kind = cross_layer ? OCTET_EQUALIZE_CROSS_LAYER : OCTET_EQUALIZE_SMOOTH;
  if (!cross_layer) {
    p->desc.alpha = 0.7f;
    p->desc.x_min = p->low.data();
    p->desc.x_max = p->high.data();
  }
  Job job;
  job.name = cross_layer ? "equalize, cross-layer" : "equalize, smooth";
  job.out = std::make_shared<Guarded>((p->w.size() + kChannels) * sizeof(float));
  job.run = [c, p, w = job.out->as<float>()](const octet_exec* e, octet_error* err) {
    std::copy(p->w.begin(), p->w.end(), w);  // it works in place
    float *const b = w + kChannels * kIn, *const w2 = b + kChannels,
                 *const t = w2 + kChannels * kOut;
    const octet_tensor maker = octet_mat(OCTET_F32, w, kChannels, kIn),
                       bias = octet_vec(OCTET_F32, b, kChannels),
                       reader = octet_mat(OCTET_F32, w2, kOut, kChannels);
    return octet_equalize(c, &p->desc, &maker, &bias, &reader, t, kChannels, e, err);
  };
  if (cross_layer)
    job.workspace = [run = job.run](int32_t threads) {
      octet_exec e = sized<octet_exec>();
      e.max_threads = threads;
      octet_error error{};
      run(&e, &error);
      return static_cast<size_t>(error.need);
    };
  job.large = true;
  return job;
}

Job compare_job(const octet_context* c, bool bias) {
  constexpr int64_t kPairs = 700, kN = 300;
  struct Pair {
    std::vector<float> want;
    std::vector<uint8_t> got;
    float scale = 0.01f;
    int32_t zero = 128;
    octet_qparams q{};
  };
  auto p = std::make_shared<Pair>();
  p->want = Random(11).reals(kPairs * kN, 1);
  for (size_t i = 0; i < p->want.size(); ++i) p->got.push_back(static_cast<uint8_t>(i * 31));
  p->q.count = 1;
  p->q.scale = &p->scale;
  p->q.zero_point = &p->zero;
  Job job;
  job.name = bias ? "bias_error" : "compare";
  job.out = std::make_shared<Guarded>(bias ? (kN + 1) * sizeof(double) : sizeof(octet_difference));
  job.run = [c, p, bias, out = job.out.get()](const octet_exec* e, octet_error* err) {
    std::fill_n(out->data(), out->size(), static_cast<unsigned char>(0));
    const octet_tensor want = octet_mat(OCTET_F32, p->want.data(), kPairs, kN);
    octet_tensor got = octet_mat(OCTET_U8, p->got.data(), kPairs, kN);
    got.q = &p->q;
    if (bias) {
      double* sum = out->as<double>();
      return octet_bias_error(c, &want, &got, sum, reinterpret_cast<uint64_t*>(sum + kN), e, err);
    }
    auto* d = out->as<octet_difference>();
    d->struct_size = sizeof *d;
    return octet_compare(c, &want, &got, d, e, err);
  };
  job.large = true;
  return job;
}

Job pack_job(const octet_context* c, bool affine) {
  constexpr int64_t kN = 83, kK = 131;
  struct Pack {
    std::vector<float> w, bias;
    octet_tensor source, bias_tensor;
    octet_scheme scheme = sized<octet_scheme>();
    octet_weights_desc desc = sized<octet_weights_desc>();
  };
  auto p = std::make_shared<Pack>();
  Random random(5);
  p->w = random.reals(kN * kK, 1);
  std::fill_n(p->w.begin() + 2 * kK, kK, 1e-40f);
  p->bias = random.reals(kN, 1);
  p->source = octet_mat(OCTET_F32, p->w.data(), kN, kK);
  p->bias_tensor = octet_vec(OCTET_F32, p->bias.data(), kN);
  p->scheme.type = OCTET_S8;
  p->desc.source = &p->source;
  p->desc.bias = &p->bias_tensor;
  if (affine) p->desc.scheme = &p->scheme;
  Job job;
  job.name = affine ? "weights_pack, affine" : "weights_pack";
  size_t bytes = 0;
  EXPECT_ACCEPTED(octet_weights_bytes(c, &p->desc, &bytes, err));
  job.out = std::make_shared<Guarded>(bytes);
  job.run = [p, c, out = job.out.get()](const octet_exec* e, octet_error* err) {
    return octet_weights_pack(c, &p->desc, out->data(), out->size(), e, err);
  };
  job.large = true;
  return job;
}

}  // namespace

std::vector<Job> layer_jobs(const octet_context* c, int64_t m, int64_t n, int64_t k,
                            const std::function<bool(octet_type)>& wanted) {
  std::vector<Job> jobs;
  for (const LayerKind& kind : kLayers)
    if (wanted(kind.out.type)) jobs.push_back(layer_job(c, kind, m, n, k));
  constexpr octet_type kGemms[][2] = {
      {OCTET_U8, OCTET_S32}, {OCTET_S8, OCTET_F32}, {OCTET_U8, OCTET_U8}};
  for (const auto& [in, out] : kGemms)
    if (wanted(out)) jobs.push_back(gemm_job(c, in, out, m, n, k));
  return jobs;
}

std::vector<Job> other_jobs(const octet_context* c) {
  std::vector<Job> jobs;
  jobs.push_back(pair_job(c, "quantize u8", octet_quantize, OCTET_F32, OCTET_U8, false));
  jobs.push_back(pair_job(c, "quantize u8 per channel, dividing", octet_quantize, OCTET_F32,
                          OCTET_U8, true, OCTET_DIVIDE));
  jobs.push_back(pair_job(c, "quantize s8 per channel", octet_quantize, OCTET_F32, OCTET_S8, true));
  jobs.push_back(pair_job(c, "dequantize u8", octet_dequantize, OCTET_U8, OCTET_F32, false));
  jobs.push_back(pair_job(c, "dequantize s32", octet_dequantize, OCTET_S32, OCTET_F32, false));
  jobs.push_back(pair_job(c, "requantize u8 to s8", octet_requantize, OCTET_U8, OCTET_S8, true));
  jobs.push_back(pair_job(c, "requantize s32 to u8", octet_requantize, OCTET_S32, OCTET_U8, true));
  jobs.push_back(fake_quant_job(c));
  jobs.push_back(backward_job(c));
  jobs.push_back(step_job(c, false));
  jobs.push_back(step_job(c, true));
  for (const int32_t kind : {OCTET_OBSERVE_MINMAX, OCTET_OBSERVE_MOVING, OCTET_OBSERVE_HISTOGRAM}) {
    jobs.push_back(observer_job(c, kind, false));
    jobs.push_back(observer_job(c, kind, true));
  }
  jobs.push_back(observer_job(c, OCTET_OBSERVE_TORCH_HISTOGRAM, false));
  jobs.push_back(observer_job(c, OCTET_OBSERVE_NVIDIA_HISTOGRAM, false));
  for (int32_t chooser = OCTET_CHOOSE_OCTET; chooser < OCTET_CHOOSE_XNNPACK; ++chooser)
    jobs.push_back(choose_job(chooser));
  jobs.push_back(fold_job());
  jobs.push_back(pool_job(c, OCTET_POOL_MAX));
  jobs.push_back(pool_job(c, OCTET_POOL_AVERAGE));
  jobs.push_back(pack_job(c, false));
  jobs.push_back(pack_job(c, true));
  jobs.push_back(round_job(c, "round_weights, GPTQ", OCTET_ROUND_GPTQ, 0));
  jobs.push_back(round_job(c, "round_weights, GPTQ in groups", OCTET_ROUND_GPTQ, 8));
  jobs.push_back(round_job(c, "round_weights, AdaRound", OCTET_ROUND_ADAROUND, 0));
  jobs.push_back(round_job(c, "round_weights, nearest", OCTET_ROUND_NEAREST, 16));
  jobs.push_back(gram_job(c));
  jobs.push_back(equalize_job(c, true));
  jobs.push_back(equalize_job(c, false));
  jobs.push_back(compare_job(c, false));
  jobs.push_back(compare_job(c, true));
  return jobs;
}

std::vector<Job> all_jobs(const octet_context* c) {
  std::vector<Job> jobs = layer_jobs(c, kJobM, kJobN, kJobK);
  for (const ConvKind& kind : kConvs) jobs.push_back(conv_job(c, kind));
  for (Job& job : other_jobs(c)) jobs.push_back(std::move(job));
  for (Job& job : toolkit_jobs(c)) jobs.push_back(std::move(job));
  return jobs;
}

JobExec::JobExec(const Job& job, int32_t threads) : exec(sized<octet_exec>()) {
  exec.max_threads = threads;
  exec.workspace_bytes = job.workspace(threads);
  workspace_ = std::make_shared<Guarded>(exec.workspace_bytes);
  exec.workspace = workspace_->data();
}

std::vector<unsigned char> bits_of(const Job& job, const octet_exec* e) {
  std::memset(job.out->data(), 0xCD, job.out->size());
  octet_error err{};
  EXPECT_EQ(job.run(e, &err), OCTET_OK) << job.name << ": " << err.text;
  EXPECT_EQ(job.out->spilled(), 0u) << job.name;
  return {job.out->data(), job.out->data() + job.out->size()};
}

std::vector<unsigned char> bits_of(const Job& job) {
  const JobExec e(job);
  return bits_of(job, &e.exec);
}

}  // namespace contract

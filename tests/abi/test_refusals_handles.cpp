// SPDX-License-Identifier: Apache-2.0
//
// What creating contexts, weights and ops refuses, and in which words.
#include <algorithm>

#include "world.h"

namespace contract {
namespace {

using Refusals = WorldTest;

// ---- context ----------------------------------------------------------------------------------

TEST_F(Refusals, Context) {
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_context_create(nullptr, nullptr, err), "out", "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_context_describe(nullptr, nullptr, 0, nullptr, err),
                 "c ", "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_context_describe(w.context.get(), nullptr, 9, nullptr, err), "json", "9");
  octet_context_desc d = sized<octet_context_desc>();
  octet_allocator half = {nullptr, nullptr, [](void*, void*, size_t) {}};
  d.allocator = &half;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.create_context(d, err), "allocator", "alloc");
  half = {nullptr, [](void*, size_t, size_t) -> void* { return nullptr; }, nullptr};
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.create_context(d, err), "allocator", "free");
  d = sized<octet_context_desc>();
  d.force_kernel = "gemm_u8s8_q8_99x99";
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.create_context(d, err), "force_kernel",
                 "gemm_u8s8_q8_99x99");
}

TEST_F(Refusals, ContextOfALaterRelease) {
  octet_context_desc d = sized<octet_context_desc>();
  d.flags = OCTET_JIT;
  EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, w.create_context(d, err), "OCTET_JIT");
  d = sized<octet_context_desc>();
  d.tuning = "";
  EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, w.create_context(d, err), "tuning");
  d = sized<octet_context_desc>();
  d.tuning_bytes = 1;
  EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, w.create_context(d, err), "tuning_bytes");
  d = sized<octet_context_desc>();
  d.jit = &d;
  EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, w.create_context(d, err), "jit");
  d = sized<octet_context_desc>();
  d.jit_bytes = 1;
  EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, w.create_context(d, err), "jit_bytes");
}

// ---- weights ----------------------------------------------------------------------------------

TEST_F(Refusals, WeightsNullArguments) {
  const octet_context* c = w.context.get();
  octet_weights* out = nullptr;
  size_t bytes;
  const void* data;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_weights_bytes(nullptr, &w.weights, &bytes, err), "c ",
                 "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_weights_bytes(c, nullptr, &bytes, err), "d ", "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_weights_bytes(c, &w.weights, nullptr, err), "bytes",
                 "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_weights_pack(nullptr, &w.weights, w.pack_to, w.pack_bytes, nullptr, err),
                 "c ", "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_weights_pack(c, nullptr, w.pack_to, w.pack_bytes, nullptr, err), "d ",
                 "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_weights_pack(c, &w.weights, nullptr, 0, nullptr, err),
                 "blob", "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_weights_create(nullptr, &w.weights, nullptr, &out, err),
                 "c ", "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_weights_create(c, nullptr, nullptr, &out, err), "d ",
                 "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_weights_create(c, &w.weights, nullptr, nullptr, err),
                 "out", "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_weights_open(nullptr, &w.blob, &out, err), "c ", "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_weights_open(c, nullptr, &out, err), "b ", "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_weights_open(c, &w.blob, nullptr, err), "out", "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_weights_blob(nullptr, &data, &bytes, err), "w ", "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_weights_blob(w.packed.get(), nullptr, &bytes, err),
                 "data", "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_weights_blob(w.packed.get(), &data, nullptr, err),
                 "bytes", "NULL");
  w.weights.source = nullptr;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_create(err), "octet_weights_desc.source", "NULL");
}

TEST_F(Refusals, WeightsShapes) {
  const auto refused = [&](const Words& words) {
    const std::vector<std::string> all = words;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_create(err), "octet_weights_desc.source", all[0]);
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_pack(err), all[0]);
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_bytes(err), all[0]);
  };
  const octet_tensor good = w.source;
  w.source.rank = 3;
  w.source.dims[2] = 1;
  refused({"3"});
  w.source.rank = 7;
  refused({"7"});
  w.source.rank = -1;
  refused({"-1"});
  w.source = good;
  w.source.dims[0] = -5;
  refused({"-5"});
  w.source.dims[0] = int64_t{1} << 40;
  w.source.dims[1] = 1;
  refused({"1099511627776"});
  w.source.dims[0] = w.source.dims[1] = int64_t{1} << 30;
  refused({"dims[1]"});
  w.source.dims[0] = w.source.dims[1] = INT64_MAX;
  refused({"dims["});
  w.source = good;
  w.source.strides[0] = INT64_MIN;
  w.source.strides[1] = 1;
  refused({"strides[0]"});
}

TEST_F(Refusals, WeightsData) {
  w.source.data = nullptr;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_create(err), "source.data", "NULL");
  EXPECT_ACCEPTED(w.weights_bytes(err));  // the size follows from the shape alone
  w.source.data = w.at(1);
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_create(err), "source.data", "aligned");
  std::vector<float> bad(World::kN * World::kK, 0.5f);
  w.source.data = bad.data();
  for (const float value : {kNan, kInf, -kInf}) {
    bad[2 * World::kK + 3] = value;
    EXPECT_REFUSED(OCTET_ERR_NOT_FINITE, w.weights_create(err), "source[2, 3]");
    EXPECT_REFUSED(OCTET_ERR_NOT_FINITE, w.weights_pack(err), "source[2, 3]");
  }
  bad[2 * World::kK + 3] = 3e38f;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_create(err), "channel 2", "2^60");
}

TEST_F(Refusals, WeightsBias) {
  std::vector<float> bad(World::kN, 0.5f);
  w.bias.data = bad.data();
  bad[4] = kNan;
  EXPECT_REFUSED(OCTET_ERR_NOT_FINITE, w.weights_create(err), "bias[4]", "nan");
  bad[4] = -kInf;
  EXPECT_REFUSED(OCTET_ERR_NOT_FINITE, w.weights_pack(err), "bias[4]", "-inf");
  w.bias.dims[0] = 4;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_create(err), "bias", "[5]");
  w.bias = octet_mat(OCTET_F32, bad.data(), 1, 5);
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_create(err), "bias");
  w.bias = octet_vec(OCTET_F32, nullptr, 5);
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_create(err), "bias.data", "NULL");
}

TEST_F(Refusals, WeightsOfInt8) {
  w.weights.source = &w.int8_source;
  w.weights.scheme = &w.weights_scheme;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_create(err), "scheme", "NULL");
  w.weights.scheme = nullptr;
  for (const float scale : {kNan, kInf, -kInf}) {
    w.scales[3] = scale;
    EXPECT_REFUSED(OCTET_ERR_NOT_FINITE, w.weights_create(err), "source.q->scale", "3");
  }
  for (const float scale : {0.0f, -1.0f, 0x1p-61f, 0x1p61f, 1e-40f}) {
    w.scales[3] = scale;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_create(err), "source.q->scale", "3", "2^60");
  }
  w.scales[3] = 1;
  for (const int32_t zero : {-129, 128, INT32_MAX, INT32_MIN}) {
    w.zeros[2] = zero;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_create(err), "zero_point[2]", std::to_string(zero),
                   "[-128, 127]");
  }
  w.zeros[2] = 0;
  w.int8_q.count = 4;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_create(err), "count", "4", "5");
  w.int8_q.count = -1;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_create(err), "count", "-1");
  w.int8_q.count = World::kK;
  w.int8_q.axis = 1;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_create(err), "axis", "1");
  w.int8_q.axis = 2;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_create(err), "axis", "2");
  w.int8_q.axis = INT32_MIN;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_create(err), "axis");
  w.int8_q.axis = 0;
  w.int8_q.count = World::kN;
  w.int8_q.scale = nullptr;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_create(err), "scale", "NULL");
  w.int8_source.q = nullptr;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_create(err), "source.q", "NULL");
}

TEST_F(Refusals, WeightsScheme) {
  w.weights.scheme = &w.weights_scheme;
  w.source.q = &w.int8_q;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_create(err), "source.q", "NULL");
  w.source.q = nullptr;
  w.weights_scheme.axis = 1;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_create(err), "axis", "1");
  w.weights_scheme.axis = -2;
  EXPECT_ACCEPTED(w.weights_create(err));
}

TEST_F(Refusals, WeightsPacking) {
  w.pack_to = w.at(16384 + 4);
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_pack(err), "blob", "64");
  w.pack_to = w.at(16384);
  w.weights.flags = OCTET_SHAPE_ONLY;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_pack(err), "OCTET_SHAPE_ONLY");
  w.weights.flags = 0;
  w.source.data = w.at(16384 + w.pack_bytes - 4);  // its first weight would be overwritten
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_pack(err), "blob", "source", "overlap");
}

TEST_F(Refusals, WeightsOfALaterRelease) {
  for (const octet_type type : {OCTET_U2, OCTET_S2, OCTET_F16, OCTET_BF16, OCTET_S16}) {
    w.source.type = type;
    EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, w.weights_create(err), "source.type");
  }
  w.weights.source = &w.int8_source;
  w.int8_q.group = 4;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_create(err), "group is 4", "K = 7");
  w.int8_q.group = 0;
  const float zero = 0;
  w.int8_q.zero_point_f32 = &zero;
  EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, w.weights_create(err), "zero_point_f32");
  w.int8_q.zero_point_f32 = nullptr;
  w.int8_q.reserved = &zero;
  EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, w.weights_create(err), "reserved");
}

// ---- convolution weights ----------------------------------------------------------------------

// Weights [8, 3, 3, 4] of two groups, with a bias.
class ConvRefusals : public WorldTest {
 protected:
  ConvRefusals() : values_(8 * 3 * 3 * 4, 0.5f) {
    for (int i = 0; i < 2; ++i) g_.stride[i] = g_.dilation[i] = 1;
    g_.rank = g_.groups = 2;
    source_.data = values_.data();
    shape({8, 3, 3, 4});
    source_.type = OCTET_F32;
    bias_ = octet_vec(OCTET_F32, values_.data(), 8);
    w.weights.source = &source_;
    w.weights.bias = &bias_;
    w.weights.geometry = &g_;
  }
  void shape(const std::vector<int64_t>& dims) {
    source_.rank = static_cast<int32_t>(dims.size());
    std::copy(dims.begin(), dims.end(), source_.dims);
  }
  // The same words from all three ways to packed weights.
  void refused(octet_status status, const Words& words) {
    const std::vector<std::string> all = words;
    for (const std::string& word : all) {
      EXPECT_REFUSED(status, w.weights_create(err), word);
      EXPECT_REFUSED(status, w.weights_pack(err), word);
      EXPECT_REFUSED(status, w.weights_bytes(err), word);
    }
  }

  std::vector<float> values_;
  octet_tensor source_ = {}, bias_;
  octet_geometry g_ = sized<octet_geometry>();
};

TEST_F(ConvRefusals, Geometry) {
  EXPECT_ACCEPTED(w.weights_create(err));
  const octet_geometry good = g_;
  for (const int32_t rank : {0, -1, 4}) {
    g_.rank = rank;
    refused(OCTET_ERR_ARGUMENT, {"octet_geometry.rank is " + std::to_string(rank)});
  }
  g_ = good;
  g_.flags = 2;
  refused(OCTET_ERR_ARGUMENT, {"octet_geometry.flags", "OCTET_TRANSPOSED"});
  g_ = good;
  g_.groups = 0;
  refused(OCTET_ERR_ARGUMENT, {"octet_geometry.groups is 0"});
  g_.groups = 3;
  refused(OCTET_ERR_ARGUMENT, {"octet_geometry.groups is 3", "dims[0] is 8", "divide"});
  g_ = good;
  g_.stride[1] = 0;
  refused(OCTET_ERR_ARGUMENT, {"octet_geometry.stride[1] is 0"});
  g_ = good;
  g_.dilation[0] = -1;
  refused(OCTET_ERR_ARGUMENT, {"octet_geometry.dilation[0] is -1"});
  g_ = good;
  g_.pad_hi[0] = -2;
  refused(OCTET_ERR_ARGUMENT, {"octet_geometry.pad_hi[0] is -2"});
  g_ = good;
  g_.out_pad[0] = 1;
  refused(OCTET_ERR_ARGUMENT, {"octet_geometry.out_pad[0] is 1", "transposed"});
  g_.flags = OCTET_TRANSPOSED;
  refused(OCTET_ERR_ARGUMENT, {"octet_geometry.out_pad[0] is 1", "larger of stride and dilation"});
  g_.stride[0] = 2;
  EXPECT_ACCEPTED(w.weights_create(err));
  g_.out_pad[0] = -1;
  refused(OCTET_ERR_ARGUMENT, {"octet_geometry.out_pad[0] is -1"});
  g_.out_pad[0] = 0;
  g_.stride[0] = 300;
  g_.stride[1] = 219;
  refused(OCTET_ERR_UNSUPPORTED, {"octet_geometry.stride[1] is 219", "65536"});
  g_.stride[1] = 218;
  EXPECT_ACCEPTED(w.weights_bytes(err));
  g_ = good;
  g_.stride[2] = 1;
  refused(OCTET_ERR_ARGUMENT, {"dim 2", "rank is 2"});
}

TEST_F(ConvRefusals, Shape) {
  shape({8, 3, 4});
  refused(OCTET_ERR_ARGUMENT, {"octet_weights_desc.source.rank is 3", "[O,H,W,I/groups]",
                               "[groups,O/groups,H,W,I/groups]"});
  shape({2, 4, 3, 3, 4});
  EXPECT_ACCEPTED(w.weights_create(err));
  shape({4, 2, 3, 3, 4});
  refused(OCTET_ERR_ARGUMENT, {"dims[0] is 4", "octet_geometry.groups, 2"});
  g_.groups = 1;
  refused(OCTET_ERR_ARGUMENT, {"octet_weights_desc.source.rank is 5", "[O,H,W,I/groups]"});
  shape({8, 3, 0, 4});
  refused(OCTET_ERR_ARGUMENT, {"octet_weights_desc.source.dims[2] is 0", "taps"});
  shape({1, 1, int64_t{1} << 31, 1});
  refused(OCTET_ERR_ARGUMENT, {"octet_weights_desc.source.dims[2] is 2147483648"});
  shape({int64_t{1} << 31, 1, 1, 1});
  refused(OCTET_ERR_ARGUMENT, {"2147483648 output channels", "2^31 - 64"});
  shape({1, 1 << 11, 1 << 10, 1 << 10});
  refused(OCTET_ERR_ARGUMENT, {"2097152 taps", "2^31 - 64"});
  g_.groups = 1 << 30;
  shape({int64_t{1} << 30, 1, 1, 2});
  refused(OCTET_ERR_ARGUMENT, {"2 input channels a group"});
  g_.groups = 2;
  shape({8, 3, 3, 4});
  bias_.dims[0] = 4;
  refused(OCTET_ERR_ARGUMENT, {"octet_weights_desc.bias must be [8]"});
}

TEST_F(ConvRefusals, ScalesAndTypes) {
  octet_scheme scheme = sized<octet_scheme>();
  w.weights.scheme = &scheme;
  scheme.type = OCTET_S8;
  scheme.flags = OCTET_SYMMETRIC;
  scheme.axis = -4;
  EXPECT_ACCEPTED(w.weights_create(err));
  scheme.axis = 1;
  refused(OCTET_ERR_ARGUMENT, {"octet_scheme.axis is 1", "axis 0"});
  scheme.axis = -2;
  refused(OCTET_ERR_ARGUMENT, {"octet_scheme.axis is -2"});
  scheme.axis = 0;
  scheme.granularity = OCTET_PER_GROUP;
  scheme.group = 4;
  refused(OCTET_ERR_UNSUPPORTED, {"octet_scheme.group is 4", "each output channel"});
  scheme.granularity = scheme.group = 0;
  for (const octet_type type : {OCTET_S4, OCTET_U4}) {
    scheme.type = type;
    refused(OCTET_ERR_UNSUPPORTED, {"octet_scheme.type", "8 bits"});
  }
  w.weights.scheme = nullptr;
  source_.type = OCTET_S4;
  refused(OCTET_ERR_UNSUPPORTED, {"octet_weights_desc.source.type is S4", "8 bits"});

  source_.type = OCTET_S8;
  refused(OCTET_ERR_ARGUMENT, {"source.q is NULL"});
  std::vector<float> scales(8, 1.0f);
  octet_qparams q = {};
  q.count = 8;
  q.scale = scales.data();
  source_.q = &q;
  EXPECT_ACCEPTED(w.weights_create(err));
  q.axis = 3;
  refused(OCTET_ERR_ARGUMENT, {"source.q->axis is 3", "axis 0"});
  q.axis = 0;
  q.count = 4;
  refused(OCTET_ERR_ARGUMENT, {"source.q->count is 4", "8"});
  q.count = 8;
  scales[5] = 0;
  refused(OCTET_ERR_ARGUMENT, {"source.q->scale of index 5"});
  scales[5] = 1;
  q.group = 4;
  refused(OCTET_ERR_UNSUPPORTED, {"source.q->group is 4"});
}

TEST_F(ConvRefusals, Data) {
  values_[(6 * 9 + 1 * 3 + 2) * 4 + 3] = kNan;  // channel 6, tap 1 2, input channel 3
  EXPECT_REFUSED(OCTET_ERR_NOT_FINITE, w.weights_create(err), "source[6, 1, 2, 3] is nan");
  shape({2, 4, 3, 3, 4});
  EXPECT_REFUSED(OCTET_ERR_NOT_FINITE, w.weights_create(err), "source[1, 2, 1, 2, 3] is nan");
  values_[(6 * 9 + 1 * 3 + 2) * 4 + 3] = 3e38f;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_create(err), "channel 6", "2^60");
}

TEST_F(ConvRefusals, NotALinearLayer) {
  octet_weights* conv = nullptr;
  EXPECT_ACCEPTED(octet_weights_create(w.context.get(), &w.weights, nullptr, &conv, err));
  const Weights owner(conv);
  w.linear.weights = conv;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "octet_linear_desc.weights",
                 "octet_conv_create");
}

TEST_F(Refusals, ShapeOnlyWeightsHaveNoBytes) {
  const void* data = nullptr;
  size_t bytes = 0;
  EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, octet_weights_blob(w.shape_only.get(), &data, &bytes, err),
                 "OCTET_SHAPE_ONLY");
  EXPECT_EQ(data, nullptr);
  EXPECT_EQ(bytes, 0u);
  EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, w.run_shape_only(err), "OCTET_SHAPE_ONLY");
}

// ---- packed bytes -----------------------------------------------------------------------------

class Blobs : public WorldTest {
 protected:
  Blobs() {
    const auto* p = static_cast<const unsigned char*>(w.blob.data);
    bytes_.assign(p, p + w.blob.bytes);
    w.blob.flags = OCTET_BLOB_COPY;
    w.blob.data = bytes_.data();
  }
  std::vector<unsigned char> bytes_;
};

TEST_F(Blobs, EveryTruncationIsRefused) {
  for (size_t n = 0; n < bytes_.size(); n += n < 200 ? 1 : 37) {
    const Guarded cut(n);
    std::copy_n(bytes_.begin(), n, cut.data());
    w.blob.data = cut.data();
    w.blob.bytes = n;
    EXPECT_REFUSED(OCTET_ERR_CORRUPT, w.weights_open(err), "octet_blob.data");
  }
}

// A flipped bit of the header is damage, or a version of the future where that is what it says.
TEST_F(Blobs, EveryFlippedBitOfTheHeaderIsRefused) {
  for (const uint32_t trusted : {uint32_t{0}, uint32_t{OCTET_BLOB_TRUSTED}}) {
    w.blob.flags = OCTET_BLOB_COPY | trusted;
    for (size_t bit = 0; bit < 128 * 8; ++bit) {
      bytes_[bit / 8] ^= static_cast<unsigned char>(1u << bit % 8);
      octet_error err{};
      const octet_status status = w.weights_open(&err);
      EXPECT_TRUE(status == OCTET_ERR_CORRUPT || status == OCTET_ERR_VERSION)
          << "bit " << bit << ": " << octet_status_name(status);
      EXPECT_NE(std::string(err.text).find("octet_blob.data"), std::string::npos) << err.text;
      bytes_[bit / 8] ^= static_cast<unsigned char>(1u << bit % 8);
    }
  }
}

TEST_F(Blobs, FlippedBitsOfThePayloadAreRefusedUnlessTrusted) {
  for (size_t at = 128; at < bytes_.size(); at += 5) {
    bytes_[at] ^= 0x10;
    w.blob.flags = OCTET_BLOB_COPY;
    EXPECT_REFUSED(OCTET_ERR_CORRUPT, w.weights_open(err), "octet_blob.data", "checksum");
    w.blob.flags = OCTET_BLOB_COPY | OCTET_BLOB_TRUSTED;
    EXPECT_ACCEPTED(w.weights_open(err));
    bytes_[at] ^= 0x10;
  }
}

TEST_F(Blobs, AlignmentTrailingBytesAndNull) {
  std::vector<unsigned char> longer(bytes_.size() + 200);
  unsigned char* aligned = longer.data() + (64 - reinterpret_cast<uintptr_t>(longer.data()) % 64);
  std::copy(bytes_.begin(), bytes_.end(), aligned);
  w.blob.data = aligned;
  w.blob.bytes = bytes_.size() + 64;  // more than its own size
  w.blob.flags = 0;
  EXPECT_ACCEPTED(w.weights_open(err));
  std::memmove(aligned + 4, aligned, bytes_.size());
  w.blob.data = aligned + 4;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_open(err), "octet_blob.data", "64");
  w.blob.flags = OCTET_BLOB_COPY;
  EXPECT_ACCEPTED(w.weights_open(err));
  w.blob.data = nullptr;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.weights_open(err), "octet_blob.data", "NULL");
}

// ---- linear -----------------------------------------------------------------------------------

TEST_F(Refusals, LinearNullArguments) {
  octet_op* out = nullptr;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_linear_create(nullptr, &w.linear, &out, err), "c ",
                 "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_linear_create(w.context.get(), nullptr, &out, err), "d ",
                 "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_linear_create(w.context.get(), &w.linear, nullptr, err),
                 "out", "NULL");
  w.linear.weights = nullptr;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "weights", "NULL");
}

TEST_F(Refusals, LinearScales) {
  for (octet_qtype* type : {&w.linear.in, &w.linear.out}) {
    const octet_qtype good = *type;
    const char* const side = type == &w.linear.in ? "in" : "out";
    for (const float scale : {kNan, kInf, -kInf}) {
      type->scale = scale;
      EXPECT_REFUSED(OCTET_ERR_NOT_FINITE, w.linear_create(err), side, "scale");
    }
    for (const float scale : {-0.5f, 0x1p-61f, 0x1p61f, 1e-42f}) {
      type->scale = scale;
      EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), side, "scale", "2^60");
    }
    *type = good;
    for (const int32_t zero : {-1, 256, INT32_MIN, INT32_MAX}) {
      type->zero_point = zero;
      EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err),
                     std::string("octet_linear_desc.") + side + ".zero_point", std::to_string(zero),
                     "[0, 255]");
    }
    type->type = OCTET_S8;
    type->zero_point = 128;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "zero_point", "128", "[-128, 127]");
    *type = good;
  }
  w.linear.out.scale = 0;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "output", "scale");
  w.linear.out = {OCTET_F32, 0.5f, 0};
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "octet_linear_desc.out", "F32");
  w.linear.out = {OCTET_F32, 0, 0};
  w.linear.in = {OCTET_U8, 0, 5};
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "octet_linear_desc.in.zero_point", "5");
}

TEST_F(Refusals, LinearScalesWhoseProductsLeaveTheDomain) {
  w.weights.source = &w.int8_source;
  w.scales.assign(64, 1);
  w.scales[3] = 0x1p-60f;
  const Weights tiny = make_weights(w.context.get(), w.weights);
  w.linear.weights = tiny.get();
  w.linear.in.scale = 0x1p-30f;
  w.linear.out.scale = 0x1p40f;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "channel 3");
  w.linear.in.scale = 0x1p-60f;
  w.linear.out.scale = 1;
  std::vector<float> large(World::kN, 0);
  large[3] = 1e30f;
  w.bias.data = large.data();
  const Weights biased = make_weights(w.context.get(), w.weights);
  w.linear.weights = biased.get();
  EXPECT_REFUSED(OCTET_ERR_NOT_FINITE, w.linear_create(err), "bias", "channel 3");
}

TEST_F(Refusals, LinearActivation) {
  w.linear.act = OCTET_CLAMP;
  w.linear.lo = 1;
  w.linear.hi = -1;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "octet_linear_desc.lo", "1", "-1");
  for (const float bound : {kNan, kInf, -kInf}) {
    w.linear.lo = bound;
    EXPECT_REFUSED(OCTET_ERR_NOT_FINITE, w.linear_create(err), "octet_linear_desc.lo");
    w.linear.lo = -1;
    w.linear.hi = bound;
    EXPECT_REFUSED(OCTET_ERR_NOT_FINITE, w.linear_create(err), "hi");
  }
  w.linear.act = OCTET_RELU;
  w.linear.lo = 0;
  w.linear.hi = 1;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "OCTET_CLAMP");
  w.linear.hi = 0;
  w.linear.out = {OCTET_S32, 0, 0};
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "act", "S32");
}

TEST_F(Refusals, LinearTypesThatDoNotGoTogether) {
  w.dynamic.out = {OCTET_U8, 0.5f, 0};
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.dynamic_create(err), "out.type", "F32");
  w.linear.dynamic = &w.dynamic_scheme;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "dynamic", "NULL");
  w.linear.dynamic = nullptr;
  w.linear.out = {OCTET_S32, 0, 0};  // the weights have a float bias
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "bias", "S32");
  const std::vector<int32_t> bias(World::kN, 7);
  w.bias = octet_vec(OCTET_S32, bias.data(), World::kN);
  const Weights integer = make_weights(w.context.get(), w.weights);
  w.dynamic.weights = integer.get();
  w.dynamic.out = {OCTET_F32, 0, 0};
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.dynamic_create(err), "bias", "S32");
  w.linear.weights = integer.get();
  EXPECT_ACCEPTED(w.linear_create(err));
  w.linear.in.scale = 0;
  w.linear.in.zero_point = 0;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "bias", "S32");
}

TEST_F(Refusals, LinearNumericsThatDefineLess) {
  const octet_linear_desc good = w.linear;
  octet_scheme affine = sized<octet_scheme>();
  affine.type = OCTET_S8;
  octet_weights_desc desc = w.weights;
  desc.scheme = &affine;
  desc.bias = nullptr;
  const Weights with_zeros = make_weights(w.context.get(), desc);
  desc.scheme = nullptr;
  const Weights plain = make_weights(w.context.get(), desc);
  for (int32_t n = OCTET_NUMERICS_ONNX; n <= OCTET_NUMERICS_TFLITE_SINGLE; ++n) {
    const std::string value = std::to_string(n);
    w.linear = good;
    w.linear.numerics = n;
    EXPECT_ACCEPTED(w.linear_create(err));
    w.linear.out = {OCTET_F32, 0, 0};
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "numerics", value, "output");
    w.linear.out = {OCTET_S32, 0, 0};
    w.linear.weights = plain.get();
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "numerics", value, "output");
    w.linear = good;
    w.linear.numerics = n;
    w.linear.in = {OCTET_U8, 0, 0};
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "numerics", value, "one input scale");
    w.linear = good;
    w.linear.numerics = n;
    w.linear.flags = OCTET_RESIDUAL;
    w.linear.residual = {OCTET_U8, 1, 0};
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "numerics", value, "residual");
    w.linear = good;
    w.linear.numerics = n;
    w.linear.weights = with_zeros.get();
    if (n < OCTET_NUMERICS_TFLITE)
      EXPECT_ACCEPTED(w.linear_create(err));
    else
      EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "numerics", value, "symmetric");
    w.dynamic.numerics = n;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.dynamic_create(err), "numerics", value);
  }
  // QNNPACK's multipliers.
  for (const float scale : {0x1p-40f, 0x1p50f}) {
    w.linear = good;
    w.linear.numerics = OCTET_NUMERICS_QNNPACK;
    w.linear.weights = plain.get();
    w.linear.out.scale = scale;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "multiplier", "channel 0", "256");
    w.linear.numerics = OCTET_NUMERICS_TFLITE;
    EXPECT_ACCEPTED(w.linear_create(err));
  }
  // A float bias that would fill the accumulator as an integer.
  const std::vector<float> huge(World::kN, 1e9f);
  octet_weights_desc filled = w.weights;
  const octet_tensor bias = octet_vec(OCTET_F32, huge.data(), World::kN);
  filled.bias = &bias;
  const Weights full = make_weights(w.context.get(), filled);
  w.linear = good;
  w.linear.weights = full.get();
  EXPECT_ACCEPTED(w.linear_create(err));
  w.linear.numerics = OCTET_NUMERICS_TFLITE;
  EXPECT_REFUSED(OCTET_ERR_INEXACT, w.linear_create(err), "bias", "channel 0");
}

TEST_F(Refusals, LinearResiduals) {
  for (const octet_qtype residual :
       {octet_qtype{OCTET_U8, 0, 0}, octet_qtype{0, 1, 0}, octet_qtype{0, 0, 1}}) {
    w.linear.residual = residual;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "residual", "OCTET_RESIDUAL");
  }
  w.linear.residual = {};
  w.linear.flags = OCTET_RESIDUAL;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "residual.type", "0");
  w.linear.residual = {OCTET_F32, 0, 0};
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "residual.type", "F32", "U8");
  w.linear.residual = {OCTET_S32, 0, 0};
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "residual.type", "S32");
  w.linear.residual = {OCTET_S8, 0, 0};
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "scale of the residual", "0");
  w.linear.residual = {OCTET_S8, kNan, 0};
  EXPECT_REFUSED(OCTET_ERR_NOT_FINITE, w.linear_create(err), "scale of the residual", "nan");
  w.linear.residual = {OCTET_S8, 1, 128};
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "residual.zero_point", "128");
  w.linear.residual = {OCTET_S8, 1, -128};
  EXPECT_ACCEPTED(w.linear_create(err));
  w.dynamic.flags = OCTET_RESIDUAL;
  w.dynamic.residual = {OCTET_S8, 1, 0};
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.dynamic_create(err), "residual.type", "S8", "F32");
  w.dynamic.residual = {OCTET_F32, 1, 0};
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.dynamic_create(err), "residual", "scale 1");
  w.dynamic.residual = {OCTET_F32, 0, 0};
  EXPECT_ACCEPTED(w.dynamic_create(err));
  const octet_weights_desc plain = [this] {
    octet_weights_desc d = w.weights;
    d.bias = nullptr;
    return d;
  }();
  const Weights weights = make_weights(w.context.get(), plain);
  w.linear.weights = weights.get();
  w.linear.out = {OCTET_S32, 0, 0};
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.linear_create(err), "residual.type", "S32");
}

TEST_F(Refusals, LinearThatCouldWrapItsAccumulator) {
  const auto create_with_k = [&](int64_t k, octet_error* err) {
    octet_tensor source = octet_mat(OCTET_F32, nullptr, 1, k);
    octet_weights_desc d = sized<octet_weights_desc>();
    d.flags = OCTET_SHAPE_ONLY;
    d.source = &source;
    const Weights weights = make_weights(w.context.get(), d);
    w.linear.weights = weights.get();
    return w.linear_create(err);
  };
  EXPECT_ACCEPTED(create_with_k(65000, err));
  EXPECT_REFUSED(OCTET_ERR_INEXACT, create_with_k(1 << 20, err), "K", "1048576");
}

// On a CPU for which there is nothing but reference code: never used unseen, always when allowed.
TEST(SlowOnly, ReferenceCodeMustBeAllowed) {
  if (usable_isas() != std::vector<std::string>{"scalar"})
    GTEST_SKIP() << "this CPU has fast kernels";
  World w;
  octet_context_desc d = sized<octet_context_desc>();
  octet_context* c = nullptr;
  EXPECT_ACCEPTED(octet_context_create(&d, &c, err));
  const Context strict(c);
  octet_op* op = nullptr;
  EXPECT_REFUSED(OCTET_ERR_SLOW_ONLY, octet_linear_create(c, &w.linear, &op, err),
                 "OCTET_ALLOW_SLOW", "scalar");
  EXPECT_REFUSED(OCTET_ERR_SLOW_ONLY,
                 octet_gemm(c, &w.gemm_desc, &w.a, &w.b, &w.gemm_bias, &w.gemm_y, &w.exec, err),
                 "OCTET_ALLOW_SLOW");
  EXPECT_EQ(op, nullptr);
  d.max_isa = "scalar";  // names it, and so allows it
  EXPECT_ACCEPTED(octet_context_create(&d, &c, err));
  const Context capped(c);
  const Op slow = make_op(c, w.linear);
  octet_plan plan = sized<octet_plan>();
  EXPECT_ACCEPTED(octet_op_plan(slow.get(), &w.x, 1, nullptr, &plan, err));
  EXPECT_TRUE(plan.flags & OCTET_PLAN_REFERENCE);
}

TEST_F(Refusals, LinearOfALaterRelease) {
  const uint8_t table[256] = {};
  w.linear.lut = table;
  EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, w.linear_create(err), "lut");
  w.linear.lut = nullptr;
  w.linear.expect = &w.x;
  EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, w.linear_create(err), "expect");
  w.linear.expect = nullptr;
  w.linear.expects = 1;
  EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, w.linear_create(err), "expects");
  w.linear.expects = 0;
  for (const octet_type type : {OCTET_U4, OCTET_S4, OCTET_F16, OCTET_BF16, OCTET_S16, OCTET_S64}) {
    w.linear.out.type = type;
    EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, w.linear_create(err), "out.type");
  }
}

}  // namespace
}  // namespace contract

// SPDX-License-Identifier: Apache-2.0
//
// Packing is a pure function of its source: the same bytes on every instruction set and thread
// count, of the size that was announced, with every padding byte zero. Files of each release, in
// data/, open for ever, give the same outputs, and are what packing writes today.
#include "tests/numerics/packed.h"

#include <fstream>

#include "src/blob.h"

namespace octet_test {
namespace {

TEST(Packed, SameBytesOnEveryInstructionSetAndThreadCount) {
  Rng rng(41);
  for (int i = 0; i < scaled(150); ++i) {
    const Layer l = random_layer(&rng);
    const Bytes want = packed_bytes(best_context(), l);
    for (const CappedContext& c : contexts())
      for (int32_t threads : {1, 2, 3, 7, 16}) {
        const Exec exec(threads);
        ASSERT_TRUE(equal(packed_bytes(c.context, l, &exec.e), want))
            << c.isa << ", " << threads << " threads: " << describe(l);
      }
    // create packs the same.
    octet_qparams q;
    const octet_tensor source = source_tensor(l, &q), bias = bias_tensor(l);
    const Weights w = make_weights(best_context(), source, l.bias_type ? &bias : nullptr);
    const void* data = nullptr;
    size_t bytes = 0;
    Error err;
    ASSERT_TRUE(ok(octet_weights_blob(w.get(), &data, &bytes, &err), err));
    ASSERT_EQ(bytes, want.size());
    ASSERT_EQ(memcmp(data, want.data(), bytes), 0);
  }
}

// What is stored of u8 weights is what is stored of the same numbers in s8; the type is remembered.
TEST(Packed, UnsignedWeightsAreStoredSigned) {
  const Layer l = packed_layer(OCTET_F32);
  Bytes blob = packed_bytes(best_context(), l),
        u8 = packed_bytes(best_context(), with_other_weights(l));
  octet::BlobHeader h, hu;
  memcpy(&h, blob.data(), sizeof h);
  memcpy(&hu, u8.data(), sizeof hu);
  EXPECT_EQ(h.weight_type, static_cast<uint32_t>(OCTET_S8));
  EXPECT_EQ(hu.weight_type, static_cast<uint32_t>(OCTET_U8));
  EXPECT_EQ(hu.payload_crc, h.payload_crc);
  blob.erase(blob.begin(), blob.begin() + sizeof h);
  u8.erase(u8.begin(), u8.begin() + sizeof h);
  EXPECT_TRUE(equal(u8, blob));
}

// The size follows from the shape, and packing writes exactly that much.
TEST(Packed, SizeCallEqualsBytesWritten) {
  Rng rng(42);
  for (int i = 0; i < scaled(150); ++i) {
    const Layer l = random_layer(&rng);
    octet_qparams q;
    octet_tensor source = source_tensor(l, &q), bias = bias_tensor(l);
    octet_weights_desc d = sized<octet_weights_desc>();
    d.source = &source;
    if (l.bias_type) d.bias = &bias;
    const size_t bytes = packed_size(best_context(), l);
    const void* data = source.data;
    source.data = nullptr;
    EXPECT_EQ(packed_size(best_context(), l), bytes) << "without data";
    source.data = const_cast<void*>(data);
    // Both fillings end up the same, so every byte inside was written; none outside was.
    Bytes seen;
    for (int filling : {0x00, 0xFF}) {
      std::vector<uint8_t> memory(bytes + 192, static_cast<uint8_t>(filling));
      uint8_t* blob = memory.data() + 64;
      blob += (64 - reinterpret_cast<uintptr_t>(blob) % 64) % 64;
      Error err;
      ASSERT_TRUE(ok(octet_weights_pack(best_context(), &d, blob, bytes, nullptr, &err), err));
      const Bytes inside(blob, blob + bytes);
      EXPECT_TRUE(!filling || equal(inside, seen));
      seen = inside;
      for (const uint8_t* p = memory.data(); p < memory.data() + memory.size(); ++p)
        ASSERT_TRUE((p >= blob && p < blob + bytes) || *p == filling);
      // One byte less is refused with the size that suffices.
      EXPECT_EQ(octet_weights_pack(best_context(), &d, blob, bytes - 1, nullptr, &err),
                OCTET_ERR_TOO_SMALL);
      EXPECT_EQ(err.need, static_cast<int64_t>(bytes));
      EXPECT_TRUE(equal(Bytes(blob, blob + bytes), seen)) << "refused, but written";
    }
  }
}

TEST(Packed, PaddingIsZero) {
  const Layer l = packed_layer(OCTET_F32);
  const Bytes blob = packed_bytes(best_context(), l);
  octet::BlobHeader h;
  memcpy(&h, blob.data(), sizeof h);
  ASSERT_EQ(h.total_bytes, blob.size());
  const size_t k4 = static_cast<size_t>(l.k + 3) / 4 * 4;
  for (size_t n = 0; n < 32; ++n) {
    for (size_t k = 0; k < k4; ++k) {
      const size_t at = h.panels + n / 16 * h.panel_stride + k / 4 * 64 + n % 16 * 4 + k % 4;
      const bool used = n < static_cast<size_t>(l.n) && k < static_cast<size_t>(l.k);
      ASSERT_EQ(static_cast<int8_t>(blob[at]), used ? l.w[n * static_cast<size_t>(l.k) + k] : 0);
    }
    if (n < static_cast<size_t>(l.n)) continue;
    for (uint64_t array : {h.sums, h.zero, h.bias})
      for (size_t byte = 0; byte < 4; ++byte) ASSERT_EQ(blob[array + n * 4 + byte], 0);
  }
}

// A refused source leaves the target as it was, whatever is wrong and wherever.
TEST(Packed, FailureLeavesTheBlobAsItWas) {
  const int64_t n = 40, k = 600;
  std::vector<float> w(static_cast<size_t>(n * k), 0.5f), b(static_cast<size_t>(n), 1.0f);
  const octet_tensor source = octet_mat(OCTET_F32, w.data(), n, k),
                     bias = octet_vec(OCTET_F32, b.data(), n);
  octet_weights_desc d = sized<octet_weights_desc>();
  d.source = &source;
  d.bias = &bias;
  size_t bytes = 0;
  Error err;
  ASSERT_TRUE(ok(octet_weights_bytes(best_context(), &d, &bytes, &err), err));
  uint8_t* blob = static_cast<uint8_t*>(aligned_alloc(64, bytes));
  memset(blob, 0x5A, bytes);
  const auto expect_refused = [&](octet_status status, const char* sentence) {
    for (int32_t threads : {1, 3}) {
      const Exec exec(threads);
      EXPECT_EQ(octet_weights_pack(best_context(), &d, blob, bytes, &exec.e, &err), status);
      EXPECT_THAT(err.text, testing::HasSubstr(sentence));
      for (size_t i = 0; i < bytes; ++i) ASSERT_EQ(blob[i], 0x5A);
    }
  };
  w[static_cast<size_t>(39 * k + 599)] = __builtin_nanf("");
  expect_refused(OCTET_ERR_NOT_FINITE, "source[39, 599] is nan");
  w[static_cast<size_t>(17 * k + 3)] = -__builtin_inff();
  expect_refused(OCTET_ERR_NOT_FINITE, "source[17, 3] is -inf");
  w[static_cast<size_t>(17 * k + 3)] = w[static_cast<size_t>(39 * k + 599)] = 1e30f;
  expect_refused(OCTET_ERR_ARGUMENT, "channel 17 needs a scale above 2^60");
  b[39] = __builtin_inff();
  expect_refused(OCTET_ERR_NOT_FINITE, "bias[39] is inf");
  free(blob);
}

// ---- files of releases ------------------------------------------------------------------------

struct GoldenFile {
  const char* name;
  Layer (*layer)();
  uint64_t outputs;  // hash
};
const GoldenFile kFiles[] = {
    {"format1_bias_f32.octet", [] { return packed_layer(OCTET_F32); }, 3994045482133071175u},
    {"format1_bias_s32.octet", [] { return packed_layer(OCTET_S32); }, 6861791409879034356u},
    {"format1_s4.octet", [] { return packed_group_layer(OCTET_S4, 0); }, 8924406271523735653u},
    {"format1_s4_groups.octet", [] { return packed_group_layer(OCTET_S4, 16); },
     6528962778320200723u},
    {"format1_s8_groups.octet", [] { return packed_group_layer(OCTET_S8, 8); },
     3446566128576487086u},
};

std::string path_of(const GoldenFile& f) {
  const char* folder = getenv("OCTET_TEST_DATA");
  return std::string(folder ? folder : "tests/numerics") + "/data/" + f.name;
}

TEST(Packed, FilesOfEachReleaseOpenForEver) {
  for (const GoldenFile& f : kFiles) {
    const Layer l = f.layer();
    std::ifstream file(path_of(f), std::ios::binary);
    const Bytes bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    ASSERT_FALSE(bytes.empty()) << path_of(f);
    EXPECT_TRUE(equal(packed_bytes(best_context(), l), bytes)) << "format 1 is packed otherwise";
    for (const CappedContext& c : contexts()) {
      Error err;
      const Weights w = open_bytes(c.context, bytes.data(), bytes.size(), OCTET_BLOB_COPY, &err);
      ASSERT_TRUE(w) << err.text;
      const Bytes y = run_with(c.context, w.get(), l);
      EXPECT_TRUE(equal(y, model(l))) << c.isa;
      EXPECT_EQ(hash_bytes(y.data(), y.size()), f.outputs) << c.isa << ", " << f.name;
    }
  }
}

// Not a test: writes the files, when a format is new.
TEST(Packed, WriteFiles) {
  if (!getenv("OCTET_WRITE_GOLDEN")) GTEST_SKIP() << "OCTET_WRITE_GOLDEN=1 writes data/*.octet";
  for (const GoldenFile& f : kFiles) {
    const Bytes bytes = packed_bytes(best_context(), f.layer());
    std::ofstream(path_of(f), std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
}

}  // namespace
}  // namespace octet_test

// SPDX-License-Identifier: Apache-2.0
//
// Packed weights that are not what they were: each flipped bit, each truncation and each
// impossible header is refused with the reason, and bytes that the caller vouches for never lead a
// read outside them, whatever they say.
#include "src/blob.h"
#include "tests/numerics/packed.h"

namespace octet_test {
namespace {

using octet::BlobHeader;

int releases = 0;
void count_release(void*, const void*, size_t) { ++releases; }

octet_status open_status(const void* data, size_t bytes, uint32_t flags, Error* err,
                         Weights* out = nullptr) {
  octet_blob b = sized<octet_blob>();
  b.data = data;
  b.bytes = bytes;
  b.flags = flags;
  b.release = count_release;
  octet_weights* w = nullptr;
  releases = 0;
  const octet_status status = octet_weights_open(best_context(), &b, &w, err);
  EXPECT_EQ(status == OCTET_OK, w != nullptr);
  EXPECT_EQ(releases, !status && (flags & OCTET_BLOB_COPY) ? 1 : 0);
  Weights owner(w);
  if (out) *out = std::move(owner);
  return status;
}

void expect_refused(const Bytes& bytes, const std::string& what) {
  const ReadOnlyPages pages(bytes);
  for (uint32_t flags : {0, OCTET_BLOB_COPY + 0}) {
    Error err;
    const octet_status status = open_status(pages.data(), bytes.size(), flags, &err);
    EXPECT_TRUE(status == OCTET_ERR_CORRUPT || status == OCTET_ERR_VERSION)
        << what << ": " << octet_status_name(status);
    EXPECT_THAT(err.text, testing::HasSubstr("octet_blob.data ")) << what;
  }
}

// A layer of each form that weights are packed in.
class Damage : public testing::TestWithParam<int> {
 protected:
  static Layer layer() {
    switch (GetParam()) {
      case 0:
        return packed_layer(OCTET_F32);
      case 1:
        return packed_group_layer(OCTET_S4, 0);
      case 2:
        return packed_group_layer(OCTET_S4, 16);
      default:
        return packed_group_layer(OCTET_S8, 8);
    }
  }
  static Bytes intact() { return packed_bytes(best_context(), layer()); }
};
const auto form_name = [](const auto& p) {
  static const char* const names[] = {"s8", "s4", "s4_groups", "s8_groups"};
  return std::string(names[p.param]);
};
INSTANTIATE_TEST_SUITE_P(Forms, Damage, testing::Range(0, 4), form_name);

TEST_P(Damage, EveryBitOfTheHeader) {
  const Bytes good = intact();
  for (size_t bit = 0; bit < sizeof(BlobHeader) * 8; ++bit) {
    Bytes bad = good;
    bad[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    expect_refused(bad, "bit " + std::to_string(bit));
  }
}

TEST_P(Damage, EveryBitOfThePayload) {
  const Bytes good = intact();
  const size_t step = effort() < 100 ? 13 : 1;
  for (size_t bit = sizeof(BlobHeader) * 8; bit < good.size() * 8; bit += step) {
    Bytes bad = good;
    bad[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    expect_refused(bad, "bit " + std::to_string(bit));
    if (HasFailure()) return;
  }
}

TEST_P(Damage, TruncationAtEachLength) {
  const Bytes good = intact();
  for (size_t length = 0; length < good.size(); ++length) {
    const Bytes bad(good.begin(), good.begin() + static_cast<int64_t>(length));
    // The end of the data is the end of the memory; its start is aligned where it can be.
    const ReadOnlyPages pages(bad);
    Error err;
    const uint32_t flags = OCTET_BLOB_COPY;
    ASSERT_EQ(open_status(pages.data(), length, flags, &err), OCTET_ERR_CORRUPT) << length;
    ASSERT_EQ(open_status(pages.data(), length, flags | OCTET_BLOB_TRUSTED, &err),
              OCTET_ERR_CORRUPT)
        << length;
  }
}

TEST_P(Damage, TrailingBytesAreIgnored) {
  const Layer l = layer();
  Bytes longer = intact();
  longer.insert(longer.end(), 64 * 3, 0xFF);
  const ReadOnlyPages pages(longer);
  Error err;
  const Weights w = open_bytes(best_context(), pages.data(), longer.size(), 0, &err);
  ASSERT_TRUE(w) << err.text;
  EXPECT_TRUE(equal(run_with(best_context(), w.get(), l), model(l)));
}

TEST_P(Damage, MisalignedOnlyAsACopy) {
  const Layer l = layer();
  Bytes moved = intact();
  const size_t bytes = moved.size();
  moved.resize(bytes + 1);  // the page's end, less one byte: an odd address
  const ReadOnlyPages pages(moved);
  Error err;
  EXPECT_EQ(open_status(pages.data(), bytes, 0, &err), OCTET_ERR_ARGUMENT);
  EXPECT_THAT(err.text, testing::HasSubstr("64-byte aligned"));
  const Weights w = open_bytes(best_context(), pages.data(), bytes, OCTET_BLOB_COPY, &err);
  ASSERT_TRUE(w) << err.text;
  EXPECT_TRUE(equal(run_with(best_context(), w.get(), l), model(l)));
}

// CRC-32C, bit by bit.
uint32_t crc32c(const uint8_t* p, size_t n) {
  uint32_t crc = ~0u;
  for (size_t i = 0; i < n; ++i) {
    crc ^= p[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78 : 0);
  }
  return ~crc;
}

// A forged header: its own checksum fits.
void seal(Bytes* blob) {
  BlobHeader h;
  memcpy(&h, blob->data(), sizeof h);
  h.header_crc = 0;
  memcpy(blob->data(), &h, sizeof h);
  h.header_crc = crc32c(blob->data(), sizeof h);
  memcpy(blob->data(), &h, sizeof h);
}

// Opens if it must, and then runs in modes that read every array: no fault is the test.
void expect_refused_or_harmless(const Bytes& blob, uint32_t flags) {
  const ReadOnlyPages pages(blob);
  Error err;
  Weights w;
  if (open_status(pages.data(), blob.size(), flags, &err, &w)) return;
  BlobHeader h;
  memcpy(&h, blob.data(), sizeof h);
  Layer l = packed_layer(OCTET_F32);
  l.n = static_cast<int64_t>(h.n);
  l.k = static_cast<int64_t>(h.k);
  l.x.assign(static_cast<size_t>(l.m * l.k), 200);
  for (octet_type out : {OCTET_U8 + 0, OCTET_F32 + 0, OCTET_S32 + 0}) {
    l.out = {out, out == OCTET_U8 ? 0.5f : 0, 0};
    run_with(best_context(), w.get(), l);
  }
  const Op op = [&] {
    octet_linear_desc d = sized<octet_linear_desc>();
    d.weights = w.get();
    d.in.type = d.out.type = OCTET_F32;
    octet_op* o = nullptr;
    (void)octet_linear_create(best_context(), &d, &o, nullptr);
    return Op(o);
  }();
  if (!op) return;
  std::vector<float> x(static_cast<size_t>(l.m * l.k), 0.5f), y(static_cast<size_t>(l.m * l.n));
  Exec exec;
  (void)run(op.get(), octet_mat(OCTET_F32, x.data(), l.m, l.k),
            octet_mat(OCTET_F32, y.data(), l.m, l.n), &exec, &err);
}

TEST_P(Damage, ForgedHeaders) {
  const Bytes good = intact();
  for (size_t at = 8; at < sizeof(BlobHeader); at += 4)
    for (uint64_t value :
         {uint64_t{0}, uint64_t{1}, uint64_t{127}, uint64_t{1} << 31, uint64_t{0xFFFFFFFF},
          uint64_t{1} << 32, uint64_t{1} << 56, uint64_t{1} << 63, ~uint64_t{0}}) {
      for (size_t width : {4, 8}) {
        Bytes bad = good;
        if (at + width > sizeof(BlobHeader)) continue;
        memcpy(bad.data() + at, &value, width);
        seal(&bad);
        expect_refused_or_harmless(bad, 0);
        expect_refused_or_harmless(bad, OCTET_BLOB_TRUSTED);
      }
    }
  // Neighbours of the true values, and every shape near the true one.
  for (size_t at = 48; at < sizeof(BlobHeader); at += at < 112 ? 8 : 4)
    for (int64_t delta = -70; delta <= 70; ++delta) {
      Bytes bad = good;
      const size_t width = at < 112 ? 8 : 4;
      uint64_t value = 0;
      memcpy(&value, bad.data() + at, width);
      value += static_cast<uint64_t>(delta);
      memcpy(bad.data() + at, &value, width);
      seal(&bad);
      expect_refused_or_harmless(bad, OCTET_BLOB_TRUSTED);
    }
}

TEST_P(Damage, NewerFormatsAreNamed) {
  Bytes newer = intact();
  BlobHeader h;
  memcpy(&h, newer.data(), sizeof h);
  h.major = 2;
  memcpy(newer.data(), &h, sizeof h);
  seal(&newer);
  Error err;
  const ReadOnlyPages pages(newer);
  EXPECT_EQ(open_status(pages.data(), newer.size(), 0, &err), OCTET_ERR_VERSION);
  EXPECT_THAT(err.text, testing::HasSubstr("use a newer Octet"));
  h.major = 1;
  h.must = 4;
  memcpy(newer.data(), &h, sizeof h);
  seal(&newer);
  const ReadOnlyPages must(newer);
  EXPECT_EQ(open_status(must.data(), newer.size(), 0, &err), OCTET_ERR_VERSION);
}

TEST_P(Damage, TrustedPayloadNeverLeadsOutside) {
  const Bytes good = intact();
  Rng rng(50);
  for (int i = 0; i < scaled(8000); ++i) {
    Bytes bad = good;
    for (int64_t flips = rng.range(1, 40); flips > 0; --flips) {
      const size_t bit = static_cast<size_t>(
          rng.range(sizeof(BlobHeader) * 8, static_cast<int64_t>(good.size()) * 8 - 1));
      bad[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    }
    expect_refused_or_harmless(bad, OCTET_BLOB_TRUSTED);
  }
}

}  // namespace
}  // namespace octet_test

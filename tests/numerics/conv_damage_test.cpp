// SPDX-License-Identifier: Apache-2.0
//
// Packed convolution weights that are not what they were: flipped bits, truncations and impossible
// headers are refused with the reason, and of bytes that open every array of every unit and phase
// lies within them, whatever the header says.
#include "src/blob.h"
#include "tests/numerics/support.h"

namespace octet_test {
namespace {

using octet::ConvHeader;

struct Form {
  const char* name;
  int64_t out, kernel_h, kernel_w, group_in;
  int32_t groups;
  uint32_t flags;
  int32_t stride_h, stride_w, dilation;
};
const Form kForms[] = {
    {"plain", 19, 3, 2, 3, 1, 0, 1, 1, 1},
    {"grouped", 35, 2, 3, 3, 7, 0, 1, 1, 1},
    {"depthwise", 22, 3, 3, 1, 11, 0, 1, 1, 1},
    {"transposed", 12, 3, 2, 5, 3, OCTET_TRANSPOSED, 2, 3, 1},
};
void PrintTo(const Form& f, std::ostream* out) { *out << f.name; }

Bytes pack(const Form& f) {
  Rng rng(80);
  Bytes values(static_cast<size_t>(f.out * f.kernel_h * f.kernel_w * f.group_in));
  for (uint8_t& v : values) v = static_cast<uint8_t>(rng.next());
  std::vector<float> scale, bias;
  std::vector<int32_t> zero;
  for (int64_t i = 0; i < f.out; ++i) {
    scale.push_back(0.01f + rng.unit());
    bias.push_back(rng.unit());
    zero.push_back(static_cast<int32_t>(rng.range(0, 255)));
  }
  octet_qparams q = {};
  q.count = f.out;
  q.scale = scale.data();
  q.zero_point = zero.data();
  octet_tensor source = {};
  source.data = values.data();
  source.type = OCTET_U8;
  source.q = &q;
  source.rank = 4;
  const int64_t dims[] = {f.out, f.kernel_h, f.kernel_w, f.group_in};
  std::copy_n(dims, 4, source.dims);
  const octet_tensor b = octet_vec(OCTET_F32, bias.data(), f.out);
  octet_geometry g = sized<octet_geometry>();
  g.flags = f.flags;
  g.rank = 2;
  g.groups = f.groups;
  g.stride[0] = f.stride_h;
  g.stride[1] = f.stride_w;
  g.dilation[0] = g.dilation[1] = f.dilation;
  octet_weights_desc d = sized<octet_weights_desc>();
  d.source = &source;
  d.bias = &b;
  d.geometry = &g;
  octet_weights* w = nullptr;
  const void* data = nullptr;
  size_t bytes = 0;
  Error err;
  EXPECT_TRUE(ok(octet_weights_create(best_context(), &d, nullptr, &w, &err), err));
  const Weights owner(w);
  EXPECT_TRUE(ok(octet_weights_blob(w, &data, &bytes, &err), err));
  const uint8_t* p = static_cast<const uint8_t*>(data);
  return Bytes(p, p + bytes);
}

octet_status open(const void* data, size_t bytes, uint32_t flags, Error* err, Weights* out) {
  octet_blob b = sized<octet_blob>();
  b.data = data;
  b.bytes = bytes;
  b.flags = flags;
  octet_weights* w = nullptr;
  const octet_status status = octet_weights_open(best_context(), &b, &w, err);
  EXPECT_EQ(status == OCTET_OK, w != nullptr);
  out->reset(w);
  return status;
}

void expect_refused(const Bytes& bytes, const std::string& what) {
  const ReadOnlyPages pages(bytes);
  Error err;
  Weights w;
  const octet_status status = open(pages.data(), bytes.size(), 0, &err, &w);
  EXPECT_TRUE(status == OCTET_ERR_CORRUPT || status == OCTET_ERR_VERSION)
      << what << ": " << octet_status_name(status);
  EXPECT_THAT(err.text, testing::HasSubstr("octet_blob.data ")) << what;
}

// Whether everything that an engine may read of these weights lies inside the bytes.
void check_inside(const octet::WeightsView& v, const void* data, size_t bytes) {
  const char* begin = static_cast<const char*>(data);
  const auto inside = [&](const void* p, int64_t size) {
    const char* at = static_cast<const char*>(p);
    ASSERT_GE(size, 0);
    ASSERT_GE(at, begin);
    ASSERT_LE(at + size, begin + bytes);
  };
  const octet::ConvForm& f = v.conv;
  inside(v.sums, f.phases() * f.slots() * 4);
  inside(v.scale, f.slots() * 4);
  inside(v.zero, f.slots() * 4);
  inside(v.bias, f.slots() * 4);
  if (f.phases() * f.units > 100000) return;
  for (int64_t phase = 0; phase < f.phases(); ++phase)
    for (int64_t u = 0; u < f.units; ++u) {
      const octet::WeightsView m = octet::unit_view(v, phase, u);
      ASSERT_LE(m.n16(), f.unit_slots());
      for (int64_t p = 0; p < m.panel_count(); ++p) inside(m.panels + p * m.panel_stride, m.k * 16);
    }
}

// A layer of these weights on an image of one window (transposed: one pixel): it is refused with a
// sentence, or runs within its buffers. Returns whether it ran.
bool run_layer(octet_weights* w) {
  const octet::ConvForm& f = w->view.conv;
  if (f.in_channels > 4096 || f.kernel_taps() > 64) return false;
  octet_geometry g = sized<octet_geometry>();
  g.flags = f.transposed ? OCTET_TRANSPOSED : 0;
  g.rank = f.rank;
  g.groups = f.groups;
  octet_tensor x = {}, y = {};
  x.type = OCTET_U8;
  x.rank = f.rank + 2;
  x.dims[0] = 1;
  x.dims[f.rank + 1] = f.in_channels;
  for (int i = 0; i < f.rank; ++i) {
    const int d = 3 - f.rank + i;
    g.stride[i] = f.transposed ? f.stride[d] : 1;
    g.dilation[i] = f.transposed ? f.dilation[d] : 1;
    x.dims[1 + i] = f.transposed ? 1 : f.kernel[d];
  }
  octet_linear_desc d = sized<octet_linear_desc>();
  d.weights = w;
  d.in = {OCTET_U8, 0.02f, 5};
  d.out = {OCTET_U8, 3.0f, 7};
  octet_op* made = nullptr;
  Error err;
  if (octet_conv_create(best_context(), &d, &g, &made, &err)) {
    EXPECT_STRNE(err.text, "");
    return false;
  }
  const Op op(made);
  const auto elements = [](const octet_tensor& t) {
    int64_t n = 1;
    for (int i = 0; i < t.rank; ++i) n *= t.dims[i];
    return n;
  };
  const Bytes image(static_cast<size_t>(elements(x)), 200);
  const ReadOnlyPages pages(image);
  x.data = const_cast<void*>(pages.data());
  octet_exec e = sized<octet_exec>();
  EXPECT_TRUE(ok(octet_op_infer(made, &x, 1, &y, 1, &err), err));
  if (elements(y) > 1 << 20) return false;
  EXPECT_TRUE(ok(octet_op_workspace(made, &x, 1, &e, &e.workspace_bytes, &err), err));
  if (e.workspace_bytes > 1 << 24) return false;
  Bytes workspace(e.workspace_bytes), out(static_cast<size_t>(elements(y)));
  y.data = out.data();
  e.workspace = workspace.data();
  EXPECT_TRUE(ok(octet_op_run(made, &x, 1, &y, 1, &e, &err), err));
  return true;
}

void expect_refused_or_inside(const Bytes& blob, uint32_t flags) {
  const ReadOnlyPages pages(blob);
  Error err;
  Weights w;
  if (open(pages.data(), blob.size(), flags, &err, &w)) return;
  check_inside(w->view, pages.data(), blob.size());
  run_layer(w.get());
}

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
  constexpr size_t kCrc = offsetof(octet::BlobHeader, header_crc);
  memset(blob->data() + kCrc, 0, 4);
  const uint32_t crc = crc32c(blob->data(), sizeof(ConvHeader));
  memcpy(blob->data() + kCrc, &crc, 4);
}

class ConvDamage : public testing::TestWithParam<Form> {};
INSTANTIATE_TEST_SUITE_P(Forms, ConvDamage, testing::ValuesIn(kForms),
                         [](const auto& p) { return std::string(p.param.name); });

TEST_P(ConvDamage, EveryBit) {
  const Bytes good = pack(GetParam());
  const size_t head = sizeof(ConvHeader) * 8;
  for (size_t bit = 0; bit < good.size() * 8; bit += bit < head ? 1 : 29) {
    Bytes bad = good;
    bad[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    expect_refused(bad, "bit " + std::to_string(bit));
    if (HasFailure()) return;
  }
}

TEST_P(ConvDamage, TruncationAtEachLength) {
  const Bytes good = pack(GetParam());
  for (size_t length = 0; length < good.size(); length += length < 400 ? 1 : 7) {
    const ReadOnlyPages pages(Bytes(good.begin(), good.begin() + static_cast<int64_t>(length)));
    Error err;
    Weights w;
    for (uint32_t flags : {OCTET_BLOB_COPY + 0u, OCTET_BLOB_COPY + 0u + OCTET_BLOB_TRUSTED})
      ASSERT_EQ(open(pages.data(), length, flags, &err, &w), OCTET_ERR_CORRUPT) << length;
  }
}

TEST_P(ConvDamage, ForgedHeaders) {
  const Bytes good = pack(GetParam());
  const auto forge = [&](size_t at, size_t width, uint64_t value) {
    Bytes bad = good;
    memcpy(bad.data() + at, &value, width);
    seal(&bad);
    for (uint32_t flags : {0u, OCTET_BLOB_TRUSTED + 0u}) expect_refused_or_inside(bad, flags);
  };
  for (size_t at = 8; at < sizeof(ConvHeader); at += 4) {
    const size_t width = at >= 48 && at < 112 ? 8 : 4;
    if (width == 8 && at % 8) continue;
    uint64_t value = 0;
    memcpy(&value, good.data() + at, width);
    for (int64_t delta = -20; delta <= 20; ++delta)
      forge(at, width, value + static_cast<uint64_t>(delta));
    for (uint64_t other :
         {uint64_t{127}, uint64_t{1} << 16, uint64_t{1} << 31, uint64_t{0xFFFFFFFF},
          uint64_t{1} << 40, uint64_t{1} << 56, uint64_t{1} << 63, ~uint64_t{0}})
      forge(at, width, other);
    if (HasFatalFailure()) return;
  }
}

// Two or three fields at once, among them those that keep the size: another kernel with the same
// taps, groups and channels exchanged, strides and dilations.
TEST_P(ConvDamage, ForgedTogether) {
  const Bytes good = pack(GetParam());
  Rng rng(81);
  int opened = 0, ran = 0;
  for (int i = 0; i < scaled(4000); ++i) {
    Bytes bad = good;
    for (int64_t fields = rng.range(1, 3); fields > 0; --fields) {
      const size_t at = 128 + 4 * static_cast<size_t>(rng.range(0, 11));
      const uint32_t value = static_cast<uint32_t>(rng.range(0, rng.chance(90) ? 7 : 70000));
      memcpy(bad.data() + at, &value, 4);
    }
    seal(&bad);
    const ReadOnlyPages pages(bad);
    Error err;
    Weights w;
    if (open(pages.data(), bad.size(), 0, &err, &w)) continue;
    check_inside(w->view, pages.data(), bad.size());
    if (opened++ % 8 == 0) ran += run_layer(w.get());
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(ran, 0);
}

TEST_P(ConvDamage, KindAndHeaderBelongTogether) {
  const Bytes good = pack(GetParam());
  Error err;
  Weights w;
  for (const auto& [at, value] : {std::pair<size_t, uint32_t>{offsetof(octet::BlobHeader, kind), 1},
                                  {offsetof(octet::BlobHeader, header_bytes), 128},
                                  {offsetof(ConvHeader, reserved) + 12, 1},
                                  {offsetof(ConvHeader, flags), 2},
                                  {offsetof(ConvHeader, rank), 4}}) {
    Bytes bad = good;
    memcpy(bad.data() + at, &value, 4);
    seal(&bad);
    expect_refused(bad, "field at " + std::to_string(at));
  }
  Bytes newer = good;
  const uint32_t kind = 3;
  memcpy(newer.data() + offsetof(octet::BlobHeader, kind), &kind, 4);
  seal(&newer);
  const ReadOnlyPages pages(newer);
  EXPECT_EQ(open(pages.data(), newer.size(), 0, &err, &w), OCTET_ERR_VERSION);
  EXPECT_THAT(err.text, testing::HasSubstr("use a newer Octet"));
}

}  // namespace
}  // namespace octet_test

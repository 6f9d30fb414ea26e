// SPDX-License-Identifier: Apache-2.0
//
// Packed convolution weights, written down a second time as docs/architecture.md describes them and
// by nothing that packs them: every byte of every class, type and source view, on every instruction
// set and thread count; and the view of each unit and phase as a matrix. What the integers, scales
// and biases are is taken from the same weights packed as a matrix.
#include "src/conv_weights.h"

#include <algorithm>
#include <fstream>

#include "src/blob.h"
#include "src/prove.h"
#include "tests/numerics/support.h"

namespace octet_test {
namespace {

using octet::ConvForm;
using octet::ConvHeader;

enum class Source {
  kDense,     // [O, k..., I/groups]
  kBackward,  // the same dims, the last one outermost in memory, with gaps
  kOihw,      // O, I/groups, k... in memory
  kFlipped,   // negative strides along the kernel
  kGrouped,   // [groups, O/groups, k..., I/groups]
  kIohw       // the same dims, I, O/groups, k... in memory
};

enum class Scales { kTensor, kChannels, kZeros };  // kZeros: per channel, with zero points

struct Case {
  const char* name;
  int rank;
  int32_t kernel[3];
  int64_t in, out;
  int32_t groups = 1;
  bool transposed = false;
  int32_t stride[3] = {1, 1, 1}, dilation[3] = {1, 1, 1};
  octet_type type = OCTET_S8;
  Scales scales = Scales::kZeros;
  Source source = Source::kDense;
  octet_type bias = OCTET_F32;

  // The same with other fields.
  Case in_groups(int32_t n) const {
    Case c = *this;
    c.groups = n;
    return c;
  }
  Case transpose(const std::vector<int32_t>& strides, const std::vector<int32_t>& dilations) const {
    Case c = *this;
    c.transposed = true;
    std::copy(strides.begin(), strides.end(), c.stride);
    std::copy(dilations.begin(), dilations.end(), c.dilation);
    return c;
  }
  Case with(octet_type new_type, Scales new_scales = Scales::kZeros) const {
    Case c = *this;
    c.type = new_type;
    c.scales = new_scales;
    return c;
  }
  Case from(Source new_source) const {
    Case c = *this;
    c.source = new_source;
    return c;
  }
  Case with_bias(octet_type new_bias) const {
    Case c = *this;
    c.bias = new_bias;
    return c;
  }

  int64_t taps() const {
    int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= kernel[i];
    return n;
  }
  int64_t group_in() const { return in / groups; }
  int64_t group_out() const { return out / groups; }
  int64_t k() const { return taps() * group_in(); }
  bool depthwise() const { return groups > 1 && group_in() == 1 && !transposed; }
};

// A case with everything that its descriptors point to.
class Problem {
 public:
  explicit Problem(const Case& c, uint64_t seed = 1) : c_(c) {
    Rng rng(seed);
    const int64_t k = c.k();
    for (int64_t i = 0; i < c.out * k; ++i) {
      ints_.push_back(static_cast<uint8_t>(rng.next()));
      floats_.push_back(rng.unit() * 2 - 1.25f);
    }
    for (int64_t i = 0; i < c.out; ++i) {
      scale_.push_back(0.01f * (1 + rng.unit()));
      zero_.push_back(static_cast<int32_t>(rng.range(octet_min(c.type), octet_max(c.type))));
      bias_f_.push_back(rng.unit() * 8 - 4);
      bias_i_.push_back(static_cast<int32_t>(rng.range(-9999, 9999)));
    }
    q_.count = c.scales == Scales::kTensor ? 1 : c.out;
    q_.scale = scale_.data();
    q_.zero_point = c.scales == Scales::kZeros ? zero_.data() : nullptr;
    scheme_.type = c.scales == Scales::kZeros ? OCTET_U8 : OCTET_S8;
    scheme_.flags = c.scales == Scales::kZeros ? 0u : uint32_t{OCTET_SYMMETRIC | OCTET_NARROW};
    scheme_.granularity = c.scales == Scales::kTensor ? OCTET_PER_TENSOR : OCTET_PER_CHANNEL;
    geometry_.rank = c.rank;
    geometry_.groups = c.groups;
    geometry_.flags = c.transposed ? uint32_t{OCTET_TRANSPOSED} : 0;
    for (int i = 0; i < c.rank; ++i) {
      geometry_.stride[i] = c.stride[i];
      geometry_.dilation[i] = c.dilation[i];
      geometry_.pad_lo[i] = 1;  // the op's alone
    }
    lay_out();
    matrix_ = octet_mat(c.type, values(), c.out, k);
    bias_ = octet_vec(c.bias,
                      c.bias == OCTET_F32 ? static_cast<void*>(bias_f_.data())
                                          : static_cast<void*>(bias_i_.data()),
                      c.out);
    if (c.type != OCTET_F32) matrix_.q = source_.q = &q_;
  }
  Problem(const Problem&) = delete;
  Problem& operator=(const Problem&) = delete;

  octet_weights_desc desc(bool as_matrix = false) const {
    octet_weights_desc d = sized<octet_weights_desc>();
    d.source = as_matrix ? &matrix_ : &source_;
    if (c_.type == OCTET_F32) d.scheme = &scheme_;
    if (c_.bias) d.bias = &bias_;
    if (!as_matrix) d.geometry = &geometry_;
    return d;
  }
  octet_tensor& source() { return source_; }
  octet_geometry& geometry() { return geometry_; }
  octet_scheme& scheme() { return scheme_; }
  octet_qparams& q() { return q_; }
  float* first_float() { return reinterpret_cast<float*>(source_.data); }

 private:
  static int32_t octet_min(octet_type t) { return t == OCTET_S8 ? -128 : 0; }
  static int32_t octet_max(octet_type t) { return t == OCTET_S8 ? 127 : 255; }
  void* values() {
    return c_.type == OCTET_F32 ? static_cast<void*>(floats_.data())
                                : static_cast<void*>(ints_.data());
  }

  // Memory and strides of the source view, and each weight in its place.
  void lay_out() {
    octet_tensor& t = source_;
    t.type = c_.type;
    const bool grouped = c_.source == Source::kGrouped || c_.source == Source::kIohw;
    int at = 0;
    if (grouped) t.dims[at++] = c_.groups;
    t.dims[at++] = grouped ? c_.group_out() : c_.out;
    const int first_tap = at;
    for (int i = 0; i < c_.rank; ++i) t.dims[at++] = c_.kernel[i];
    t.dims[at++] = c_.group_in();
    t.rank = at;
    std::vector<int> order;  // of dims in memory, innermost first
    for (int i = at - 1; i >= 0; --i) order.push_back(i);
    if (c_.source == Source::kBackward) std::reverse(order.begin(), order.end());
    if (c_.source == Source::kOihw)  // taps innermost
      std::rotate(order.begin(), order.begin() + 1, order.begin() + 1 + c_.rank);
    if (c_.source == Source::kIohw) {  // taps, O/groups, I/groups, groups
      order.clear();
      for (int i = first_tap + c_.rank - 1; i >= first_tap; --i) order.push_back(i);
      order.insert(order.end(), {1, at - 1, 0});
    }
    int64_t size = 1;
    for (int i : order) {
      t.strides[i] = size;
      size = size * t.dims[i] + (c_.source == Source::kBackward ? 3 : 0);
    }
    const size_t item = item_bytes(c_.type);
    memory_.assign(static_cast<size_t>(size) * item + 64, 0xB7);
    uint8_t* data = memory_.data() + (64 - reinterpret_cast<uintptr_t>(memory_.data()) % 64);
    if (c_.source == Source::kFlipped)
      for (int i = first_tap; i < at - 1; ++i) {
        data += static_cast<size_t>((t.dims[i] - 1) * t.strides[i]) * item;
        t.strides[i] = -t.strides[i];
      }
    t.data = data;
    int64_t count = 1;
    for (int i = 0; i < at; ++i) count *= t.dims[i];
    for (int64_t n = 0; n < count; ++n) {  // in the order of the matrix
      int64_t offset = 0, rest = n;
      for (int i = at - 1; i >= 0; rest /= t.dims[i--]) offset += rest % t.dims[i] * t.strides[i];
      memcpy(data + offset * static_cast<int64_t>(item),
             static_cast<const uint8_t*>(values()) + static_cast<size_t>(n) * item, item);
    }
  }

  const Case c_;
  Bytes ints_, memory_;
  std::vector<float> floats_, scale_, bias_f_;
  std::vector<int32_t> zero_, bias_i_;
  octet_qparams q_ = {};
  octet_scheme scheme_ = sized<octet_scheme>();
  octet_geometry geometry_ = sized<octet_geometry>();
  octet_tensor source_ = {}, matrix_ = {}, bias_ = {};
};

Bytes pack(const octet_context* c, const octet_weights_desc& d, int32_t threads = 1) {
  size_t bytes = 0;
  Error err;
  EXPECT_TRUE(ok(octet_weights_bytes(c, &d, &bytes, &err), err));
  Bytes memory(bytes + 64, 0xEE);
  uint8_t* to = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64);
  const Exec exec(threads);
  EXPECT_TRUE(ok(octet_weights_pack(c, &d, to, bytes, &exec.e, &err), err));
  return Bytes(to, to + bytes);
}

// ---- the second description -------------------------------------------------------------------

template <class T>
T read(const Bytes& from, uint64_t at) {
  T value;
  memcpy(&value, from.data() + at, sizeof value);
  return value;
}

template <class T>
void write(Bytes* to, size_t at, T value) {
  memcpy(to->data() + at, &value, sizeof value);
}

// The weights as stored, read from the blob of their matrix [O, k... * I/groups].
struct Stored {
  Bytes blob;
  octet::BlobHeader h;
  explicit Stored(Bytes matrix) : blob(std::move(matrix)), h(read<octet::BlobHeader>(blob, 0)) {}
  int8_t weight(int64_t o, int64_t e) const {
    return static_cast<int8_t>(blob[h.panels + static_cast<uint64_t>(o / 16) * h.panel_stride +
                                    static_cast<uint64_t>(e / 4 * 64 + o % 16 * 4 + e % 4)]);
  }
  uint32_t word(uint64_t array, int64_t o) const {
    return read<uint32_t>(blob, array + static_cast<uint64_t>(o) * 4);
  }
};

// One step of K of a unit: a tap and one of the unit's channels; or filling.
struct Step {
  int64_t tap, channel;  // tap -1: zero weights up to a multiple of 4
};

class Description {
 public:
  Description(const Case& c, Stored stored) : c_(c), s_(std::move(stored)) {
    size_units();
    for (int64_t u = 0; u < units_; ++u) {
      steps_.emplace_back();
      for (int64_t phase = 0; phase < phases(); ++phase) steps_.back().push_back(steps(u, phase));
    }
  }

  int64_t units() const { return units_; }
  int64_t phases() const {
    int64_t n = 1;
    for (int i = 0; c_.transposed && i < c_.rank; ++i) n *= c_.stride[i];
    return n;
  }
  int64_t first_out(int64_t u) const { return u * unit_groups_ * c_.group_out(); }
  int64_t out(int64_t u) const { return groups_of(u) * c_.group_out(); }
  int64_t slots() const { return units_ * unit_panels_ * 16; }
  const std::vector<Step>& steps_of(int64_t u, int64_t phase) const {
    return steps_[static_cast<size_t>(u)][static_cast<size_t>(phase)];
  }
  const Stored& stored() const { return s_; }

  int8_t weight(int64_t u, int64_t column, const Step& step) const {
    if (step.tap < 0) return 0;
    const int64_t o = first_out(u) + column, in = c_.group_in();
    if (c_.depthwise()) return s_.weight(o, step.tap);
    if (step.channel / in != column / c_.group_out())
      return static_cast<int8_t>(s_.word(s_.h.zero, o));
    return s_.weight(o, step.tap * in + step.channel % in);
  }

  // Everything behind the header.
  Bytes payload() const {
    const size_t stride = panel_stride(), panels = static_cast<size_t>(slots() / 16) * stride,
                 array = static_cast<size_t>(slots()) * 4;
    const size_t sums = panels, scale = sums + array * static_cast<size_t>(phases()),
                 zero = scale + array, bias = zero + array;
    Bytes b(bias + array);
    for (size_t slot = 0; slot < array / 4; ++slot) write(&b, scale + slot * 4, 1.0f);
    for (int64_t u = 0; u < units_; ++u)
      for (int64_t j = 0; j < out(u); ++j) {
        const size_t slot = static_cast<size_t>(u * unit_panels_ * 16 + j);
        const int64_t o = first_out(u) + j;
        size_t k = 0;
        for (int64_t phase = 0; phase < phases(); ++phase) {
          int32_t sum = 0;
          for (const Step& step : steps_of(u, phase)) {
            const int8_t w = weight(u, j, step);
            b[slot / 16 * stride + k / 4 * 64 + slot % 16 * 4 + k % 4] = static_cast<uint8_t>(w);
            sum += w;
            ++k;
          }
          write(&b, sums + static_cast<size_t>(phase) * array + slot * 4, sum);
        }
        write(&b, scale + slot * 4, s_.word(s_.h.scale, o));
        write(&b, zero + slot * 4, s_.word(s_.h.zero, o));
        write(&b, bias + slot * 4, s_.word(s_.h.bias, o));
      }
    return b;
  }

  size_t panel_stride() const {
    size_t k = 0;
    for (int64_t phase = 0; phase < phases(); ++phase) k += steps_of(0, phase).size();
    return k * 16 % 4096 || !k ? k * 16 : k * 16 + 64;
  }

 private:
  int64_t groups_of(int64_t u) const {
    return std::min(unit_groups_, c_.groups - u * unit_groups_);
  }

  void size_units() {
    const int64_t out = c_.group_out();
    unit_groups_ = c_.depthwise() ? c_.groups : out >= 16 || !out ? 1 : 16 / out;
    unit_groups_ = std::min<int64_t>(unit_groups_, c_.groups);
    if (!out) unit_groups_ = c_.groups;
    units_ = (c_.groups + unit_groups_ - 1) / unit_groups_;
    unit_panels_ = (unit_groups_ * out + 15) / 16;
  }

  std::vector<Step> steps(int64_t u, int64_t phase) const {
    std::vector<Step> steps;
    const auto fill = [&] {
      while (steps.size() % 4) steps.push_back({-1, 0});
    };
    const int64_t in = c_.depthwise() ? 1 : groups_of(u) * c_.group_in();
    for (int64_t tap = 0; tap < c_.taps(); ++tap) {
      if (c_.transposed && phase_of(tap) != phase) continue;
      for (int64_t i = 0; i < in; ++i) steps.push_back({tap, i});
      const bool row_ends = (tap + 1) % c_.kernel[c_.rank - 1] == 0;
      if (c_.transposed || (units_ > 1 && !c_.depthwise()) || (!c_.depthwise() && row_ends)) fill();
    }
    fill();
    return steps;
  }

  int64_t phase_of(int64_t tap) const {
    int64_t at[3] = {}, phase = 0;
    for (int i = c_.rank - 1; i >= 0; tap /= c_.kernel[i--]) at[i] = tap % c_.kernel[i];
    for (int i = 0; i < c_.rank; ++i)
      phase = phase * c_.stride[i] + at[i] * c_.dilation[i] % c_.stride[i];
    return phase;
  }

  const Case c_;
  const Stored s_;
  int64_t unit_groups_ = 1, units_ = 1, unit_panels_ = 1;
  std::vector<std::vector<std::vector<Step>>> steps_;
};

Description describe_packed(const Case& c, const Problem& p) {
  return Description(c, Stored(pack(best_context(), p.desc(true))));
}

// ---- the cases --------------------------------------------------------------------------------

Case conv(const char* name, const std::vector<int32_t>& kernel, int64_t in, int64_t out) {
  Case c = {name, static_cast<int>(kernel.size()), {}, in, out};
  std::copy(kernel.begin(), kernel.end(), c.kernel);
  return c;
}

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      conv("1x1", {1, 1}, 19, 21),
      conv("4 KiB panels", {1, 1}, 256, 33),
      conv("3x3", {3, 3}, 8, 20),
      conv("3x3 of 3 channels", {3, 3}, 3, 5).with(OCTET_U8),
      conv("one channel", {7, 5}, 1, 17),
      conv("1-D", {5}, 6, 33).with(OCTET_S8, Scales::kChannels),
      conv("3-D", {2, 3, 2}, 5, 9).with(OCTET_U8).from(Source::kOihw).with_bias(OCTET_S32),
      conv("long K", {3, 3}, 131, 4).with(OCTET_F32).from(Source::kOihw),
      conv("2 groups of 20", {3, 3}, 6, 40).in_groups(2),
      conv("3 groups of 16", {1, 3}, 12, 48).in_groups(3).with(OCTET_U8),
      conv("3 groups of 5", {3, 3}, 12, 15).in_groups(3),
      conv("a last unit with fewer groups", {3, 2}, 14, 35)
          .in_groups(7)
          .with(OCTET_U8)
          .from(Source::kGrouped),
      conv("10 groups of 3", {3, 3}, 20, 30).in_groups(10).with(OCTET_F32).from(Source::kGrouped),
      conv("ResNeXt's", {3, 3}, 128, 128).in_groups(32).with(OCTET_F32, Scales::kChannels),
      conv("5 groups of 1", {3}, 15, 5).in_groups(5).from(Source::kBackward),
      conv("20 groups of 1", {1, 2, 2}, 40, 20).in_groups(20).with(OCTET_U8).from(Source::kFlipped),
      conv("depthwise", {3, 3}, 37, 37).in_groups(37),
      conv("depthwise, multiplier 3", {5, 3}, 11, 33)
          .in_groups(11)
          .with(OCTET_F32)
          .from(Source::kOihw),
      conv("depthwise 1-D", {4}, 16, 16)
          .in_groups(16)
          .with(OCTET_U8, Scales::kTensor)
          .from(Source::kFlipped)
          .with_bias(OCTET_S32),
      conv("depthwise 3-D", {2, 2, 3}, 6, 12).in_groups(6).from(Source::kGrouped),
      conv("transposed 2x2", {2, 2}, 6, 18).transpose({2, 2}, {1, 1}),
      conv("transposed 3x3", {3, 3}, 5, 7).transpose({2, 2}, {1, 1}).with(OCTET_U8),
      conv("transposed and dilated", {4, 3}, 8, 3)
          .transpose({3, 2}, {2, 3})
          .with(OCTET_F32)
          .from(Source::kBackward),
      conv("phases without taps", {2, 1}, 4, 16).transpose({3, 4}, {1, 1}),
      conv("dilation a multiple of the stride", {3}, 7, 20).transpose({2}, {4}),
      conv("transposed 3-D", {3, 2, 3}, 3, 4)
          .transpose({2, 1, 2}, {1, 1, 3})
          .from(Source::kFlipped),
      conv("transposed, stride 1", {5}, 9, 6).transpose({1}, {1}),
      conv("transposed, 3 groups of 2", {3, 3}, 9, 6)
          .in_groups(3)
          .transpose({2, 2}, {1, 1})
          .with(OCTET_F32, Scales::kChannels)
          .from(Source::kIohw),
      conv("transposed, 12 groups of 3", {4}, 24, 36)
          .in_groups(12)
          .transpose({2}, {1})
          .with(OCTET_U8)
          .from(Source::kIohw),
      conv("transposed, groups of one channel", {3, 3}, 20, 20)
          .in_groups(20)
          .transpose({2, 2}, {1, 1})
          .from(Source::kIohw),
      conv("transposed 3-D, 2 groups of 17", {2, 2, 2}, 8, 34)
          .in_groups(2)
          .transpose({2, 2, 2}, {1, 1, 1})
          .with(OCTET_F32, Scales::kTensor)
          .from(Source::kIohw)
          .with_bias(0),
      conv("no output channel", {3, 3}, 4, 0).in_groups(2),
      conv("no input channel", {3, 3}, 0, 18),
      conv("no input channel of groups", {3}, 0, 6).in_groups(3).transpose({2}, {1}),
  };
  return all;
}

void check_bytes(const Case& c, const Problem& p) {
  const octet_weights_desc d = p.desc();
  const Bytes blob = pack(best_context(), d);
  const Description want = describe_packed(c, p);
  ASSERT_GE(blob.size(), sizeof(ConvHeader));
  const Bytes payload = want.payload();
  ASSERT_EQ(blob.size(), sizeof(ConvHeader) + payload.size());
  ASSERT_TRUE(equal(Bytes(blob.begin() + sizeof(ConvHeader), blob.end()), payload));

  const ConvHeader h = read<ConvHeader>(blob, 0);
  EXPECT_EQ(h.blob.header_bytes, 192u);
  EXPECT_EQ(h.blob.kind, 2u);
  EXPECT_EQ(h.blob.layout, c.depthwise() ? 4u : 1u);
  EXPECT_EQ(h.blob.n, static_cast<uint64_t>(c.out));
  EXPECT_EQ(h.blob.k, static_cast<uint64_t>(c.k()));
  EXPECT_EQ(h.blob.panel_stride, want.panel_stride());
  EXPECT_EQ(h.blob.weight_type, want.stored().h.weight_type);
  EXPECT_EQ(h.blob.bias_type, static_cast<uint32_t>(c.bias));
  EXPECT_EQ(h.blob.flags, want.stored().h.flags);
  EXPECT_EQ(h.rank, static_cast<uint32_t>(c.rank));
  EXPECT_EQ(h.groups, static_cast<uint32_t>(c.groups));
  EXPECT_EQ(h.flags, c.transposed ? 1u : 0u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(h.kernel[i], i < c.rank ? static_cast<uint32_t>(c.kernel[i]) : 0);
    EXPECT_EQ(h.stride[i], i < c.rank && c.transposed ? static_cast<uint32_t>(c.stride[i]) : 0);
    EXPECT_EQ(h.dilation[i], i < c.rank && c.transposed ? static_cast<uint32_t>(c.dilation[i]) : 0);
  }

  for (const CappedContext& context : contexts())
    for (int32_t threads : {1, 3})
      ASSERT_TRUE(equal(pack(context.context, d, threads), blob)) << context.isa;
}

// Units and phases seen as matrices, and the proved copy of each.
void check_views(const Case& c, const Problem& p, const octet_context* context, int* proved) {
  const octet_weights_desc d = p.desc();
  octet_weights* raw = nullptr;
  Error err;
  ASSERT_TRUE(ok(octet_weights_create(context, &d, nullptr, &raw, &err), err));
  const Weights w(raw);
  const octet::WeightsView& v = raw->view;
  const ConvForm& f = v.conv;
  const Description want = describe_packed(c, p);
  ASSERT_EQ(f.rank, c.rank);
  ASSERT_EQ(f.units, want.units());
  ASSERT_EQ(f.phases(), want.phases());
  ASSERT_EQ(v.n, want.slots());
  ASSERT_EQ(v.k, c.k());
  EXPECT_EQ(f.depthwise, c.depthwise());
  for (int64_t o = 0; o < c.out; ++o) ASSERT_EQ(f.channel(f.slot(o)), o);
  for (int64_t u = 0; u < f.units; ++u)
    for (int64_t phase = 0; phase < f.phases(); ++phase) {
      const octet::WeightsView m = octet::unit_view(v, phase, u);
      const std::vector<Step>& steps = want.steps_of(u, phase);
      ASSERT_EQ(m.conv.rank, 0);
      ASSERT_EQ(m.n, want.out(u));
      ASSERT_EQ(m.k, static_cast<int64_t>(steps.size()));
      for (int64_t j = 0; j < m.n; ++j) {
        const int64_t o = want.first_out(u) + j;
        int32_t sum = 0;
        for (int64_t k = 0; k < m.k; ++k) {
          const int8_t weight = want.weight(u, j, steps[static_cast<size_t>(k)]);
          sum += weight;
          ASSERT_EQ(m.panels[j / 16 * m.panel_stride + k / 4 * 64 + j % 16 * 4 + k % 4], weight);
        }
        ASSERT_EQ(m.sums[j], sum);
        uint32_t scale, bias;
        memcpy(&scale, m.scale + j, 4);
        memcpy(&bias, static_cast<const char*>(m.bias) + j * 4, 4);
        ASSERT_EQ(scale, want.stored().word(want.stored().h.scale, o));
        ASSERT_EQ(bias, want.stored().word(want.stored().h.bias, o));
        ASSERT_EQ(static_cast<uint32_t>(m.zero[j]), want.stored().word(want.stored().h.zero, o));
      }
      // Taps by the arithmetic of phases, in the order of K.
      std::vector<int64_t> taps;
      octet::Taps along[3];
      for (int i = 0; i < 3; ++i) along[i] = f.taps_along(i, f.coordinate(i, phase));
      for (int64_t a = 0; a < along[0].count; ++a)
        for (int64_t b = 0; b < along[1].count; ++b)
          for (int64_t e = 0; e < along[2].count; ++e)
            taps.push_back(((along[0].first + a * along[0].step) * f.kernel[1] + along[1].first +
                            b * along[1].step) *
                               f.kernel[2] +
                           along[2].first + e * along[2].step);
      ASSERT_EQ(static_cast<int64_t>(taps.size()), f.taps(phase));
      size_t at = 0;
      for (const Step& step : steps)
        if (step.tap >= 0 && !step.channel) {
          ASSERT_EQ(step.tap, taps[at++]);
        }
      if (!v.proved || !m.k) continue;
      for (int64_t panel = 0; panel < f.unit_panels; ++panel, ++*proved) {
        std::vector<octet::ProvedWindow> windows(static_cast<size_t>(octet::proved_windows(m.k)));
        const int8_t* canonical = m.panels + panel * m.panel_stride;
        octet::prove_panel(canonical, m.k, windows.data());
        std::vector<uint64_t> copy(octet::proved_panel_bytes(windows.data(), m.k) / 8);
        octet::write_proved_panel(canonical, m.k, windows.data(), copy.data());
        ASSERT_EQ(memcmp(m.proved_panel(panel), copy.data(), copy.size() * 8), 0);
      }
    }
}

TEST(ConvWeights, EveryByteIsAsDescribed) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    check_bytes(c, Problem(c));
    if (HasFatalFailure()) return;
  }
}

Case random_case(Rng* rng) {
  Case c = {};
  c.name = "random";
  c.rank = static_cast<int>(rng->range(1, 3));
  for (int i = 0; i < c.rank; ++i) {
    c.kernel[i] = static_cast<int32_t>(rng->range(1, c.rank == 3 ? 3 : 5));
    c.stride[i] = static_cast<int32_t>(rng->range(1, 4));
    c.dilation[i] = static_cast<int32_t>(rng->range(1, 4));
  }
  c.transposed = rng->chance(40);
  c.groups = static_cast<int32_t>(rng->chance(40) ? 1 : rng->range(1, 20));
  c.in = c.groups * (rng->chance(30) ? 1 : rng->range(1, 9));
  c.out = c.groups * rng->range(1, rng->chance(20) ? 40 : 7);
  c.type = rng->pick<octet_type>({OCTET_S8, OCTET_U8, OCTET_F32});
  c.scales = rng->pick<Scales>({Scales::kTensor, Scales::kChannels, Scales::kZeros});
  c.source = rng->pick<Source>({Source::kDense, Source::kBackward, Source::kOihw, Source::kFlipped,
                                Source::kGrouped, Source::kIohw});
  if (c.groups == 1 && c.source == Source::kGrouped) c.source = Source::kOihw;
  if (c.groups == 1 && c.source == Source::kIohw) c.source = Source::kBackward;
  c.bias = rng->pick<octet_type>({0, OCTET_F32, OCTET_S32});
  return c;
}

TEST(ConvWeights, RandomShapes) {
  Rng rng(70);
  for (int i = 0; i < scaled(200); ++i) {
    const Case c = random_case(&rng);
    SCOPED_TRACE("case " + std::to_string(i));
    const Problem p(c, static_cast<uint64_t>(i));
    check_bytes(c, p);
    int proved = 0;
    check_views(c, p, best_context(), &proved);
    if (HasFatalFailure()) return;
  }
}

TEST(ConvWeights, UnitsAndPhasesAreMatrices) {
  int proved = 0;
  for (const CappedContext& context : contexts()) {
    if (context.isa != "avx2" && context.context != best_context()) continue;
    for (const Case& c : cases()) {
      SCOPED_TRACE(std::string(c.name) + ", " + context.isa);
      check_views(c, Problem(c), context.context, &proved);
      if (HasFatalFailure()) return;
    }
    if (context.isa == "avx2") {
      // Small weights, which can be proved, in units and phases of 32 k and more.
      for (const Case& plain :
           {conv("plain", {3, 3}, 16, 40), conv("grouped", {3, 3}, 32, 12).in_groups(6),
            conv("transposed", {3, 3}, 64, 20).transpose({2, 2}, {1, 1})}) {
        SCOPED_TRACE(plain.name);
        const Case c = plain.with(OCTET_F32, Scales::kChannels);
        Problem p(c);
        p.scheme().qmin = -30;
        p.scheme().qmax = 30;
        p.scheme().flags = OCTET_SYMMETRIC;
        const int before = proved;
        check_views(c, p, context.context, &proved);
        EXPECT_GT(proved, before);
      }
    }
  }
}

// The panels of a 1x1 convolution are those of the matrix.
TEST(ConvWeights, OneTapIsAMatrix) {
  for (const Case& c : {cases()[0], cases()[1]}) {
    const Problem p(c);
    const Bytes conv = pack(best_context(), p.desc()), matrix = pack(best_context(), p.desc(true));
    EXPECT_TRUE(equal(Bytes(conv.begin() + sizeof(ConvHeader), conv.end()),
                      Bytes(matrix.begin() + sizeof(octet::BlobHeader), matrix.end())));
  }
}

TEST(ConvWeights, CreateOpenAndShapeOnly) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    Problem p(c);
    octet_weights_desc d = p.desc();
    const Bytes blob = pack(best_context(), d);
    octet_weights* raw = nullptr;
    Error err;
    ASSERT_TRUE(ok(octet_weights_create(best_context(), &d, nullptr, &raw, &err), err));
    const Weights created(raw);
    const void* data = nullptr;
    size_t bytes = 0;
    ASSERT_TRUE(ok(octet_weights_blob(raw, &data, &bytes, &err), err));
    ASSERT_EQ(bytes, blob.size());
    EXPECT_EQ(memcmp(data, blob.data(), bytes), 0);

    octet_blob b = sized<octet_blob>();
    b.data = blob.data();
    b.bytes = blob.size();
    b.flags = OCTET_BLOB_COPY | OCTET_BLOB_MAY_REPACK;
    octet_weights* opened = nullptr;
    ASSERT_TRUE(ok(octet_weights_open(best_context(), &b, &opened, &err), err));
    const Weights open_owner(opened);
    EXPECT_EQ(memcmp(opened->data, blob.data(), blob.size()), 0);
    const ConvForm &f = opened->view.conv, &g = raw->view.conv;
    EXPECT_EQ(f.in_channels, c.in);
    EXPECT_EQ(f.out_channels, c.out);
    EXPECT_EQ(f.in_channels, g.in_channels);
    EXPECT_EQ(f.slots(), g.slots());

    p.source().data = nullptr;
    d = p.desc();
    size_t announced = 0;
    ASSERT_TRUE(ok(octet_weights_bytes(best_context(), &d, &announced, &err), err));
    EXPECT_EQ(announced, blob.size());
    d.flags = OCTET_SHAPE_ONLY;
    octet_weights* shape = nullptr;
    ASSERT_TRUE(ok(octet_weights_create(best_context(), &d, nullptr, &shape, &err), err));
    const Weights shape_owner(shape);
    EXPECT_EQ(shape->view.n, raw->view.n);
    EXPECT_EQ(shape->view.panel_stride, raw->view.panel_stride);
    EXPECT_EQ(shape->view.has_zero,
              raw->view.has_zero || (c.type == OCTET_F32 && c.scales == Scales::kZeros));
    const octet::WeightsView unit = octet::unit_view(shape->view, 0, shape->view.conv.units - 1);
    EXPECT_EQ(unit.panels, nullptr);
    EXPECT_EQ(unit.k, f.packed_k(0, f.units - 1));
  }
}

// ---- files of releases ------------------------------------------------------------------------

const char* const kFiles[][2] = {{"3-D", "format1_conv_3d.octet"},
                                 {"a last unit with fewer groups", "format1_conv_groups.octet"},
                                 {"depthwise", "format1_conv_depthwise.octet"},
                                 {"phases without taps", "format1_conv_transposed.octet"}};

std::string path_of(const char* name) {
  const char* folder = getenv("OCTET_TEST_DATA");
  return std::string(folder ? folder : "tests/numerics") + "/data/" + name;
}

Bytes packed_case(const char* name) {
  for (const Case& c : cases())
    if (!strcmp(c.name, name)) return pack(best_context(), Problem(c).desc());
  ADD_FAILURE() << name;
  return {};
}

TEST(ConvWeights, FilesOfEachReleaseOpenForEver) {
  for (const auto& [name, file_name] : kFiles) {
    std::ifstream file(path_of(file_name), std::ios::binary);
    const Bytes bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    ASSERT_FALSE(bytes.empty()) << path_of(file_name);
    EXPECT_TRUE(equal(packed_case(name), bytes)) << "format 1 is packed otherwise";
    octet_blob b = sized<octet_blob>();
    b.data = bytes.data();
    b.bytes = bytes.size();
    b.flags = OCTET_BLOB_COPY;
    octet_weights* w = nullptr;
    Error err;
    EXPECT_TRUE(ok(octet_weights_open(best_context(), &b, &w, &err), err));
    octet_weights_destroy(w);
  }
}

// Not a test: writes the files, when a format is new.
TEST(ConvWeights, WriteFiles) {
  if (!getenv("OCTET_WRITE_GOLDEN")) GTEST_SKIP() << "OCTET_WRITE_GOLDEN=1 writes data/*.octet";
  for (const auto& [name, file_name] : kFiles) {
    const Bytes bytes = packed_case(name);
    std::ofstream(path_of(file_name), std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
}

}  // namespace
}  // namespace octet_test

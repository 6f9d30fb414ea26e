// SPDX-License-Identifier: Apache-2.0
//
// The host's rounding mode and flush-to-zero flags reach no bit of a result, and are as they were
// after every call, also a refused one.
#include <cfenv>

#include "tests/quant/support.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace octet_test {
namespace {

struct Mode {
  const char* name;
  int rounding;
  bool flush;
};

const Mode kModes[] = {{"Up", FE_UPWARD, false},
                       {"Down", FE_DOWNWARD, false},
                       {"TowardZero", FE_TOWARDZERO, false},
                       {"Flush", FE_TONEAREST, true},
                       {"UpFlush", FE_UPWARD, true}};

// Sets a mode, and on the way out sees that it is still there.
class HostMode {
 public:
  explicit HostMode(const Mode& m) {
    std::fegetenv(&saved_);
    std::fesetround(m.rounding);
#if defined(__x86_64__)
    if (m.flush) _mm_setcsr(_mm_getcsr() | 0x8040);
    control_ = _mm_getcsr() & 0xFFC0;
#endif
    rounding_ = m.rounding;
  }
  ~HostMode() {
    EXPECT_EQ(std::fegetround(), rounding_);
#if defined(__x86_64__)
    EXPECT_EQ(_mm_getcsr() & 0xFFC0, control_);
#endif
    std::fesetenv(&saved_);
  }
  HostMode(const HostMode&) = delete;
  HostMode& operator=(const HostMode&) = delete;

 private:
  std::fenv_t saved_;
  int rounding_;
  uint32_t control_ = 0;
};

// All that one round of calls computes, as bytes.
std::vector<unsigned char> everything(const octet_context* c, octet_observer* o,
                                      const std::vector<float>& x) {
  std::vector<unsigned char> out;
  const auto keep = [&](const void* p, size_t n) {
    out.insert(out.end(), static_cast<const unsigned char*>(p),
               static_cast<const unsigned char*>(p) + n);
  };
  const int64_t n = static_cast<int64_t>(x.size());
  std::vector<float> y(x.size());
  std::vector<uint8_t> q(x.size()), mask(x.size());
  const float s1 = 0.013f, s2 = 0.031f, min = -1.1f, max = 1.3f;
  const int32_t z = 100;
  octet_qparams q1 = make_qparams(&s1, &z), q2 = make_qparams(&s2, &z);
  q1.qmin = q2.qmin = 0;
  q1.qmax = q2.qmax = 255;
  const octet_tensor in = octet_vec(OCTET_F32, x.data(), n),
                     real = octet_vec(OCTET_F32, y.data(), n);
  const octet_tensor first = with(octet_vec(OCTET_U8, q.data(), n), &q1);
  const octet_tensor second = with(octet_vec(OCTET_U8, q.data(), n), &q2);
  octet_status status = octet_quantize(c, &in, &first, nullptr, nullptr);
  keep(q.data(), q.size());
  status |= octet_dequantize(c, &first, &real, nullptr, nullptr);
  keep(y.data(), y.size() * 4);
  status |= octet_requantize(c, &first, &second, nullptr, nullptr);
  keep(q.data(), q.size());
  status |= octet_fake_quant(c, &in, &q1, &real, mask.data(), nullptr, nullptr);
  keep(y.data(), y.size() * 4);
  keep(mask.data(), mask.size());
  status |= octet_fake_quant_backward(c, &in, mask.data(), &real, nullptr, nullptr);
  keep(y.data(), y.size() * 4);
  float scale = 0, run_min = -0.3f, run_max = 0.7f;
  int32_t zero = 0;
  for (int32_t chooser = 0; chooser <= OCTET_CHOOSE_ONNX; ++chooser) {
    const octet_scheme s = make_scheme(OCTET_U8, 0, chooser);
    status |= octet_choose_qparams(&s, &min, &max, 1, &scale, &zero, nullptr);
    keep(&scale, 4);
    keep(&zero, 4);
  }
  octet_fake_quantizer f = {};
  f.struct_size = sizeof f;
  f.count = 1;
  f.run_min = &run_min;
  f.run_max = &run_max;
  f.scale = &scale;
  f.zero_point = &zero;
  status |= octet_fake_quant_step(c, &f, &in, &real, nullptr, nullptr, nullptr);
  keep(&run_min, 4);
  keep(&run_max, 4);
  keep(&scale, 4);
  keep(y.data(), y.size() * 4);
  octet_observer_reset(o);
  status |= octet_observer_feed(o, &in, nullptr, nullptr);
  unsigned char state[72];
  status |= octet_observer_save(o, state, sizeof state, nullptr, nullptr);
  keep(state, sizeof state);
  EXPECT_EQ(status, OCTET_OK);
  EXPECT_EQ(octet_quantize(c, &in, &in, nullptr, nullptr), OCTET_ERR_ARGUMENT);
  return out;
}

class HostModes : public testing::TestWithParam<Mode> {};

TEST_P(HostModes, ReachNoBit) {
  std::mt19937 rng(11);
  const Context c;
  const Context scalar("scalar");
  octet_observer_desc d = {};
  d.struct_size = sizeof d;
  octet_observer* o = nullptr;
  ASSERT_EQ(octet_observer_create(c, &d, &o, nullptr), OCTET_OK);
  std::vector<float> ordinary(5003), tiny(500);
  for (auto& v : ordinary) {
    v = hostile_float(rng, 0.013f);
    if (std::isfinite(v) && std::fabs(v) > 1e6f) v = 1e6f;  // the step refuses absurd ranges
  }
  for (auto& v : tiny) v = from_bits(static_cast<uint32_t>(rng()) & 0x807FFFFF);  // denormals only
  for (const auto& x : {ordinary, tiny}) {
    const auto want = everything(c, o, x);
    const HostMode mode(GetParam());
    EXPECT_TRUE(everything(c, o, x) == want);
    EXPECT_TRUE(everything(scalar, o, x) == want);
  }
  octet_observer_destroy(o);
}

INSTANTIATE_TEST_SUITE_P(Each, HostModes, testing::ValuesIn(kModes),
                         [](const auto& p) { return std::string(p.param.name); });

}  // namespace
}  // namespace octet_test

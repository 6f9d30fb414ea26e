// SPDX-License-Identifier: Apache-2.0
//
// oneDNN's matmul, through its C interface and the header that wraps it. The source's zero point is
// given to the library ("zero point"), or folded into the bias as a user can who knows the weights
// ("folded").
#include <exception>

#include "onednn_call.h"
#include "onednn_net.h"

namespace octet_cli {
namespace {

using dnnl::memory;

const char* effective_isa() {
  switch (dnnl_get_effective_cpu_isa()) {
    case dnnl_cpu_isa_sse41:
      return "SSE41";
    case dnnl_cpu_isa_avx:
      return "AVX";
    case dnnl_cpu_isa_avx2:
      return "AVX2";
    case dnnl_cpu_isa_avx2_vnni:
      return "AVX2_VNNI";
    case dnnl_cpu_isa_avx512_core:
      return "AVX512_CORE";
    case dnnl_cpu_isa_avx512_core_vnni:
      return "AVX512_CORE_VNNI";
    case dnnl_cpu_isa_avx512_core_bf16:
      return "AVX512_CORE_BF16";
    case dnnl_cpu_isa_avx512_core_fp16:
      return "AVX512_CORE_FP16";
    case dnnl_cpu_isa_avx512_core_amx:
      return "AVX512_CORE_AMX";
    default:
      return "unnamed";
  }
}

// [n][k], oneDNN's B transposed.
memory::desc given_weights(const Problem& p, memory::data_type type) {
  return {{dim(p.k()), dim(p.n())}, type, memory::format_tag::ba};
}

memory::desc rows(size_t m, size_t n, memory::data_type type) {
  return {{dim(m), dim(n)}, type, memory::format_tag::ab};
}

class OneDnn : public Peer {
 public:
  OneDnn() : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
    name = "onednn";
    const dnnl_version_t* v = dnnl_version();
    version =
        std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
    isa = effective_isa();
  }

  Offer prepare(const Problem& p) override {
    if (p.conv) return convolutions(engine_, stream_, p);
    if (p.form == Form::kDynamic) return {{}, "oneDNN's matmul quantizes no activations."};
    return attempt([&](Offer& offer) {
      offer.variants.push_back(quantized(p, false));
      offer.variants.push_back(quantized(p, true));
    });
  }

  std::unique_ptr<PreparedNet> prepare_net(const Net& net, std::string& why) override {
    try {
      return onednn_net(engine_, stream_, net);
    } catch (const std::exception& error) {
      why = std::string("oneDNN refuses: ") + error.what() + ".";
      return nullptr;
    }
  }

  Offer prepare_float(const Problem& p) override {
    if (p.conv) return float_convolutions(engine_, stream_, p);
    return attempt([&](Offer& offer) {
      auto product = std::make_unique<OneDnnCall>(engine_, stream_);
      const auto f32 = memory::data_type::f32;
      const memory::desc any({dim(p.k()), dim(p.n())}, f32, memory::format_tag::any);
      create(*product, rows(p.m(), p.k(), f32), any, rows(1, p.n(), f32), rows(p.m(), p.n(), f32),
             {});
      std::vector<float> w(p.w.size());
      for (size_t i = 0; i < w.size(); ++i) w[i] = p.w_float(i);
      product->weights(given_weights(p, f32), w.data());
      product->tensor(DNNL_ARG_SRC, rows(p.m(), p.k(), f32), p.x_float.data());
      product->tensor(DNNL_ARG_BIAS, rows(1, p.n(), f32), p.bias.data());
      offer.variants.push_back(std::move(product));
    });
  }

 private:
  template <typename Work>
  Offer attempt(Work work) {
    Offer offer;
    try {
      work(offer);
    } catch (const std::exception& error) {
      offer.variants.clear();
      offer.absent = std::string("oneDNN refuses: ") + error.what() + ".";
    }
    return offer;
  }

  void create(OneDnnCall& product, const memory::desc& src, const memory::desc& weights,
              const memory::desc& bias, const memory::desc& dst, dnnl::primitive_attr attr) {
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    product.adopt<dnnl::matmul>(
        bias.get_size() ? dnnl::matmul::primitive_desc(engine_, src, weights, bias, dst, attr)
                        : dnnl::matmul::primitive_desc(engine_, src, weights, dst, attr));
  }

  std::unique_ptr<PreparedPeer> quantized(const Problem& p, bool folded) {
    auto product = std::make_unique<OneDnnCall>(engine_, stream_);
    product->variant = folded ? "folded" : "zero point";
    const auto f32 = memory::data_type::f32;
    const auto act = p.act_signed ? memory::data_type::s8 : memory::data_type::u8;
    const bool raw = p.form == Form::kS32;
    const auto out = raw ? memory::data_type::s32 : p.form == Form::kF32 ? f32 : act;
    // Raw accumulators have no scales; a folded zero point then goes into an int32 bias.
    const auto bias_type = raw ? memory::data_type::s32 : f32;
    const bool with_bias = !raw || folded;

    dnnl::primitive_attr attr;
    if (!raw) {
      attr.set_scales_mask(DNNL_ARG_SRC, 0);
      attr.set_scales_mask(DNNL_ARG_WEIGHTS, 1 << 1);
    }
    if (p.form == Form::kQ8) {
      attr.set_scales_mask(DNNL_ARG_DST, 0);
      attr.set_zero_points_mask(DNNL_ARG_DST, 0);
    }
    if (!folded) attr.set_zero_points_mask(DNNL_ARG_SRC, 0);
    const memory::desc any({dim(p.k()), dim(p.n())}, memory::data_type::s8,
                           memory::format_tag::any);
    create(*product, rows(p.m(), p.k(), act), any,
           with_bias ? rows(1, p.n(), bias_type) : memory::desc(), rows(p.m(), p.n(), out), attr);

    product->weights(given_weights(p, memory::data_type::s8), p.w.data());
    product->tensor(DNNL_ARG_SRC, rows(p.m(), p.k(), act), p.x.data());
    if (!raw) {
      product->argument(DNNL_ARG_ATTR_SCALES | DNNL_ARG_SRC, f32, std::vector<float>{p.in_scale});
      product->argument(DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS, f32, p.w_scale);
    }
    if (p.form == Form::kQ8) {
      product->argument(DNNL_ARG_ATTR_SCALES | DNNL_ARG_DST, f32, std::vector<float>{p.out_scale});
      product->argument(DNNL_ARG_ATTR_ZERO_POINTS | DNNL_ARG_DST, memory::data_type::s32,
                        std::vector<int32_t>{p.out_zero});
    }
    if (!folded)
      product->argument(DNNL_ARG_ATTR_ZERO_POINTS | DNNL_ARG_SRC, memory::data_type::s32,
                        std::vector<int32_t>{p.in_zero});
    if (with_bias) bias(*product, p, folded, raw);
    return product;
  }

  static void bias(OneDnnCall& product, const Problem& p, bool folded, bool raw) {
    std::vector<float> real = p.bias;
    std::vector<int32_t> whole(p.n(), 0);
    for (size_t j = 0; folded && j < p.n(); ++j) {
      int32_t sum = 0;
      for (size_t i = 0; i < p.k(); ++i) sum += p.w[j * p.k() + i];
      whole[j] = -p.in_zero * sum;
      real[j] += p.in_scale * p.w_scale[j] * static_cast<float>(whole[j]);
    }
    const auto type = raw ? memory::data_type::s32 : memory::data_type::f32;
    product.tensor(DNNL_ARG_BIAS, rows(1, p.n(), type),
                   raw ? static_cast<const void*>(whole.data()) : real.data());
  }

  dnnl::engine engine_;
  dnnl::stream stream_;
};

}  // namespace
}  // namespace octet_cli

extern "C" __attribute__((visibility("default"))) octet_cli::Peer* octet_open_peer(
    const char** why) {
  try {
    return new octet_cli::OneDnn();
  } catch (const std::exception&) {
    *why = "oneDNN makes no engine here.";
    return nullptr;
  }
}

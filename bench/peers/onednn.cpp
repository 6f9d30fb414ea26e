// SPDX-License-Identifier: Apache-2.0
//
// oneDNN's matmul, through its C interface and the header that wraps it. Weights are in the order
// that the primitive asks for, everything is made before the first timed call, and the scratchpad
// is the caller's. The source's zero point is given to the library ("zero point"), or folded into
// the bias as a user can who knows the weights ("folded").
#include <array>
#include <chrono>
#include <cstring>
#include <exception>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

#include "bench/peer.h"

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

class Matmul : public PreparedPeer {
 public:
  Matmul(const dnnl::engine& engine, const dnnl::stream& stream)
      : engine_(engine), stream_(stream) {}

  void create(const memory::desc& src, const memory::desc& weights, const memory::desc& bias,
              const memory::desc& dst, dnnl::primitive_attr attr) {
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    desc_ = bias.get_size() ? dnnl::matmul::primitive_desc(engine_, src, weights, bias, dst, attr)
                            : dnnl::matmul::primitive_desc(engine_, src, weights, dst, attr);
    primitive_ = dnnl::matmul(desc_);
    note = desc_.impl_info_str();
    argument(DNNL_ARG_SCRATCHPAD, memory(desc_.scratchpad_desc(), engine_));
    dst_ = memory(desc_.dst_desc(), engine_);
    argument(DNNL_ARG_DST, dst_);
  }

  // A small array in the order that it has.
  template <typename Value>
  void argument(int name, memory::data_type type, const std::vector<Value>& values) {
    memory held({{static_cast<memory::dim>(values.size())}, type, memory::format_tag::a}, engine_);
    std::memcpy(held.get_data_handle(), values.data(), values.size() * sizeof(Value));
    argument(name, held);
  }

  void matrix(int name, const memory::desc& desc, const void* data) {
    memory held(desc, engine_);
    if (desc.get_size()) std::memcpy(held.get_data_handle(), data, desc.get_size());
    argument(name, held);
  }

  // From [n][k] to what the primitive asked for.
  void weights(memory::data_type type, size_t k, size_t n, const void* data) {
    memory given({{dim(k), dim(n)}, type, memory::format_tag::ba}, engine_,
                 const_cast<void*>(data));
    memory packed(desc_.weights_desc(), engine_);
    dnnl::reorder(given, packed).execute(stream_, given, packed);
    stream_.wait();
    argument(DNNL_ARG_WEIGHTS, packed);
  }

  double run(size_t iterations) override {
    std::vector<dnnl_exec_arg_t> arguments;
    for (const auto& [name, held] : held_) arguments.push_back({name, held.get()});
    const dnnl_primitive_t primitive = primitive_.get();
    const dnnl_stream_t stream = stream_.get();
    const auto start = std::chrono::steady_clock::now();
    for (; iterations > 0; --iterations) {
      dnnl_primitive_execute(primitive, stream, static_cast<int>(arguments.size()),
                             arguments.data());
      dnnl_stream_wait(stream);
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  bool output(void* y, size_t bytes) override {
    if (bytes != dst_.get_desc().get_size()) return false;
    std::memcpy(y, dst_.get_data_handle(), bytes);
    return true;
  }

  static memory::dim dim(size_t size) { return static_cast<memory::dim>(size); }

 private:
  void argument(int name, const memory& held) { held_[name] = held; }

  dnnl::engine engine_;
  dnnl::stream stream_;
  dnnl::matmul::primitive_desc desc_;
  dnnl::matmul primitive_;
  memory dst_;
  std::unordered_map<int, memory> held_;
};

memory::desc rows(size_t m, size_t n, memory::data_type type) {
  return {{Matmul::dim(m), Matmul::dim(n)}, type, memory::format_tag::ab};
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
    if (p.form == Form::kDynamic) return {{}, "oneDNN's matmul quantizes no activations."};
    return attempt([&](Offer& offer) {
      offer.variants.push_back(quantized(p, false));
      offer.variants.push_back(quantized(p, true));
    });
  }

  Offer prepare_float(const Problem& p) override {
    return attempt([&](Offer& offer) {
      auto product = std::make_unique<Matmul>(engine_, stream_);
      const auto f32 = memory::data_type::f32;
      const memory::desc any({Matmul::dim(p.k()), Matmul::dim(p.n())}, f32,
                             memory::format_tag::any);
      product->create(rows(p.m(), p.k(), f32), any, rows(1, p.n(), f32), rows(p.m(), p.n(), f32),
                      {});
      std::vector<float> w(p.w.size());
      for (size_t i = 0; i < w.size(); ++i) w[i] = p.w_float(i);
      product->weights(f32, p.k(), p.n(), w.data());
      product->matrix(DNNL_ARG_SRC, rows(p.m(), p.k(), f32), p.x_float.data());
      product->matrix(DNNL_ARG_BIAS, rows(1, p.n(), f32), p.bias.data());
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

  std::unique_ptr<PreparedPeer> quantized(const Problem& p, bool folded) {
    auto product = std::make_unique<Matmul>(engine_, stream_);
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
    const memory::desc any({Matmul::dim(p.k()), Matmul::dim(p.n())}, memory::data_type::s8,
                           memory::format_tag::any);
    product->create(rows(p.m(), p.k(), act), any,
                    with_bias ? rows(1, p.n(), bias_type) : memory::desc(), rows(p.m(), p.n(), out),
                    attr);

    product->weights(memory::data_type::s8, p.k(), p.n(), p.w.data());
    product->matrix(DNNL_ARG_SRC, rows(p.m(), p.k(), act), p.x.data());
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

  static void bias(Matmul& product, const Problem& p, bool folded, bool raw) {
    std::vector<float> real = p.bias;
    std::vector<int32_t> whole(p.n(), 0);
    for (size_t j = 0; folded && j < p.n(); ++j) {
      int32_t sum = 0;
      for (size_t i = 0; i < p.k(); ++i) sum += p.w[j * p.k() + i];
      whole[j] = -p.in_zero * sum;
      real[j] += p.in_scale * p.w_scale[j] * static_cast<float>(whole[j]);
    }
    const auto type = raw ? memory::data_type::s32 : memory::data_type::f32;
    product.matrix(DNNL_ARG_BIAS, rows(1, p.n(), type),
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

// SPDX-License-Identifier: Apache-2.0
//
// A primitive of oneDNN with all that it needs to run: made before the first timed call, weights in
// the order that it asks for, the scratchpad the caller's.
#pragma once

#include <chrono>
#include <cstring>
#include <functional>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <unordered_map>
#include <vector>

#include "bench/peer.h"

namespace octet_cli {

inline dnnl::memory::dim dim(size_t size) { return static_cast<dnnl::memory::dim>(size); }

class OneDnnCall : public PreparedPeer {
 public:
  using memory = dnnl::memory;

  OneDnnCall(const dnnl::engine& engine, const dnnl::stream& stream)
      : engine_(engine), stream_(stream) {}

  // Desc: of matmul, convolution_forward, ... made with a scratchpad of the user's.
  template <typename Primitive, typename Desc>
  void adopt(const Desc& desc) {
    primitive_ = Primitive(desc);
    weights_ = desc.weights_desc();
    note = desc.impl_info_str();
    argument(DNNL_ARG_SCRATCHPAD, memory(desc.scratchpad_desc(), engine_));
    dst_ = memory(desc.dst_desc(), engine_);
    argument(DNNL_ARG_DST, dst_);
  }

  // A small array in the order that it has.
  template <typename Value>
  void argument(int name, memory::data_type type, const std::vector<Value>& values) {
    memory held({{dim(values.size())}, type, memory::format_tag::a}, engine_);
    std::memcpy(held.get_data_handle(), values.data(), values.size() * sizeof(Value));
    argument(name, held);
  }

  void* tensor(int name, const memory::desc& desc, const void* data) {
    memory held(desc, engine_);
    if (desc.get_size()) std::memcpy(held.get_data_handle(), data, desc.get_size());
    argument(name, held);
    return held.get_data_handle();
  }

  // From the order of given to the one that wanted has.
  void reordered(int name, const memory::desc& given, const void* data,
                 const memory::desc& wanted) {
    memory from(given, engine_, const_cast<void*>(data)), to(wanted, engine_);
    dnnl::reorder(from, to).execute(stream_, from, to);
    stream_.wait();
    argument(name, to);
  }

  void weights(const memory::desc& given, const void* data) {
    reordered(DNNL_ARG_WEIGHTS, given, data, weights_);
  }

  double run(size_t iterations) override {
    std::vector<dnnl_exec_arg_t> arguments;
    for (const auto& [name, held] : held_) arguments.push_back({name, held.get()});
    const dnnl_primitive_t primitive = primitive_.get();
    const dnnl_stream_t stream = stream_.get();
    const auto start = std::chrono::steady_clock::now();
    for (; iterations > 0; --iterations) {
      if (before) before();
      dnnl_primitive_execute(primitive, stream, static_cast<int>(arguments.size()),
                             arguments.data());
      dnnl_stream_wait(stream);
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  std::function<void()> before;  // what the caller has to do in every call; timed

  // The output is dense and in the order of the problem's.
  bool output(void* y, size_t bytes) override {
    if (bytes != dst_.get_desc().get_size()) return false;
    std::memcpy(y, dst_.get_data_handle(), bytes);
    return true;
  }

 private:
  void argument(int name, const memory& held) { held_[name] = held; }

  dnnl::engine engine_;
  dnnl::stream stream_;
  memory::desc weights_;
  dnnl::primitive primitive_;
  memory dst_;
  std::unordered_map<int, memory> held_;
};

// The convolutions of a problem: quantized, with the zero point passed and with it folded into the
// bias; float, in the problem's order of pixels and in the one that oneDNN likes best.
Offer convolutions(const dnnl::engine& engine, const dnnl::stream& stream, const Problem& problem);
Offer float_convolutions(const dnnl::engine& engine, const dnnl::stream& stream,
                         const Problem& problem);

}  // namespace octet_cli

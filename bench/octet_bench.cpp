// SPDX-License-Identifier: Apache-2.0
//
// Element-wise functions and the price of a call, on Google Benchmark:
//
//     build/tools/octet_bench --benchmark_filter=quantize
//     OCTET_MAX_ISA=avx2 build/tools/octet_bench
//
// GEMM is measured by `octet bench gemm`, which holds each kernel to the peak of its instruction
// set in the same interleaved run; this program's figures are times and bytes alone.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "api.h"
#include "machine.h"
#include "portable_math.h"

namespace octet_cli {
namespace {

const octet_context* context() {
  static const Context kContext = make_context("");
  return kContext.get();
}

// n floats, n bytes and one scale, as tensors.
struct Data {
  explicit Data(int64_t n)
      : floats(static_cast<size_t>(n)), more(floats.size()), bytes(floats.size()), mask(bytes) {
    Rng rng(1);
    for (float& v : floats) v = 8.0f * rng.uniform() - 4.0f;
    for (uint8_t& v : bytes) v = static_cast<uint8_t>(rng.below(256));
    params.count = 1;
    params.scale = &scale;
    params.zero_point = &zero_point;
    x = octet_vec(OCTET_F32, floats.data(), n);
    y = octet_vec(OCTET_F32, more.data(), n);
    q = octet_vec(OCTET_U8, bytes.data(), n);
    q.q = &params;
    other = params;
    other.scale = &other_scale;
    r = octet_vec(OCTET_U8, mask.data(), n);
    r.q = &other;
  }

  std::vector<float> floats, more;
  std::vector<uint8_t> bytes, mask;
  float scale = 0.03f, other_scale = 0.05f;
  int32_t zero_point = 128;
  octet_qparams params = {}, other = {};
  octet_tensor x, y, q, r;
};

// Runs body for each iteration and reports the bytes it moves.
template <typename Body>
void run(benchmark::State& state, int64_t bytes_per_element, Body body) {
  Data data(state.range(0));
  for (auto _ : state) {
    body(data);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0) * bytes_per_element);
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

void quantize_f32_u8(benchmark::State& state) {
  run(state, 5, [](Data& d) { call(octet_quantize, context(), &d.x, &d.q, nullptr); });
}
void dequantize_u8_f32(benchmark::State& state) {
  run(state, 5, [](Data& d) { call(octet_dequantize, context(), &d.q, &d.y, nullptr); });
}
void requantize_u8_u8(benchmark::State& state) {
  run(state, 2, [](Data& d) { call(octet_requantize, context(), &d.q, &d.r, nullptr); });
}
void fake_quant(benchmark::State& state) {
  run(state, 9, [](Data& d) {
    octet_qparams params = d.params;
    params.qmax = 255;
    call(octet_fake_quant, context(), &d.x, &params, &d.y, d.mask.data(), nullptr);
  });
}
void fake_quant_backward(benchmark::State& state) {
  run(state, 9, [](Data& d) {
    call(octet_fake_quant_backward, context(), &d.x, d.mask.data(), &d.y, nullptr);
  });
}
void observer_feed(benchmark::State& state) {
  auto desc = sized<octet_observer_desc>();
  octet_observer* raw = nullptr;
  call(octet_observer_create, context(), &desc, &raw);
  const Observer observer(raw);
  run(state, 4, [&](Data& d) { call(octet_observer_feed, observer.get(), &d.x, nullptr); });
}

// From one vector that fits L1 to one that fits no cache.
BENCHMARK(quantize_f32_u8)->RangeMultiplier(16)->Range(1 << 10, 1 << 22);
BENCHMARK(dequantize_u8_f32)->RangeMultiplier(16)->Range(1 << 10, 1 << 22);
BENCHMARK(requantize_u8_u8)->RangeMultiplier(16)->Range(1 << 10, 1 << 22);
BENCHMARK(fake_quant)->RangeMultiplier(16)->Range(1 << 10, 1 << 22);
BENCHMARK(fake_quant_backward)->RangeMultiplier(16)->Range(1 << 10, 1 << 22);
BENCHMARK(observer_feed)->RangeMultiplier(16)->Range(1 << 10, 1 << 22);

// The call: one element has next to no work in it.
void call_quantize(benchmark::State& state) {
  Data data(1);
  for (auto _ : state) call(octet_quantize, context(), &data.x, &data.q, nullptr);
}
BENCHMARK(call_quantize);

void call_linear_1x16x4(benchmark::State& state) {
  constexpr int64_t kN = 16, kK = 4;
  const std::vector<float> w(kN * kK, 0.5f);
  const octet_tensor source = octet_mat(OCTET_F32, w.data(), kN, kK);
  auto wd = sized<octet_weights_desc>();
  wd.source = &source;
  const Weights weights = make_weights(context(), wd);
  auto ld = sized<octet_linear_desc>();
  ld.weights = weights.get();
  ld.in = {OCTET_U8, 0.02f, 3};
  ld.out = {OCTET_U8, 0.05f, 0};
  const Op op = make_linear(context(), ld);
  uint8_t x[kK] = {1, 2, 3, 4}, y[kN];
  const octet_tensor in = octet_mat(OCTET_U8, x, 1, kK), out = octet_mat(OCTET_U8, y, 1, kN);
  Runner runner;
  runner.reserve(op.get(), in);
  for (auto _ : state) runner.run(op.get(), in, out);
}
BENCHMARK(call_linear_1x16x4);

}  // namespace
}  // namespace octet_cli

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const auto machine = octet_cli::read_machine(octet_cli::context());
  benchmark::AddCustomContext(
      "octet", machine.version + ", " + machine.cpu + ", ISA cap " + machine.max_isa);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

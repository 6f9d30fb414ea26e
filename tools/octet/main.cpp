// SPDX-License-Identifier: Apache-2.0
//
// The command line of `octet`. The one file that includes CLI11, which costs ten seconds of
// compile time.
//
// Exit status: 0 done, 1 something failed, 2 the command line asks for what does not exist; in both
// bad cases one sentence on stderr says what.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "api.h"
#include "commands.h"

namespace {

using namespace octet_cli;

std::string version_text() {
  const uint32_t v = octet_version();
  return "octet " + std::to_string(v / 10000) + "." + std::to_string(v / 100 % 100) + "." +
         std::to_string(v % 100);
}

constexpr char kIsaHelp[] =
    "Use this instruction set and its parents only: scalar, avx2, avx512vnni, neon, ...";

void add_demo(CLI::App& app, DemoOptions& options) {
  CLI::App* demo = app.add_subcommand("demo", "Train a network on digits and run it in int8");
  demo->add_option("--isa", options.isa, kIsaHelp);
  demo->add_option("--json", options.json, "Write the table as JSON to a file, - for stdout alone");
  demo->add_flag("--study", options.study,
                 "Also compare calibration, weight rounding and training at 8, 4 and 2 bits");
  demo->add_option("--seed", options.seed, "Seed of the network and of the training order")
      ->capture_default_str();
  demo->callback([&options] { run_demo(options); });
}

void add_info(CLI::App& app, InfoOptions& options) {
  CLI::App* info = app.add_subcommand("info", "Show the CPU, its instruction sets and the kernels");
  info->add_option("--isa", options.isa, kIsaHelp);
  info->add_flag("--json", options.json, "Print the library's own JSON");
  info->callback([&options] { run_info(options); });
}

// What a layer computes, for bench and explain. kind: of dynamic scales, beside tensor.
void add_types(CLI::App* gemm, BenchOptions& options, const std::string& kind = "row") {
  gemm->add_option("--isa", options.isas, "ISA caps to compare, separated by commas")
      ->delimiter(',');
  gemm->add_option("--type", options.type, "Activations: u8 or s8")
      ->check(CLI::IsMember({"u8", "s8"}))
      ->capture_default_str();
  gemm->add_option("--out", options.out, "Output: q8 (the activations' type), f32 or s32")
      ->check(CLI::IsMember({"q8", "f32", "s32"}))
      ->capture_default_str();
  gemm->add_flag("--dynamic{" + kind + "}", options.dynamic,
                 "Float in and out, quantized in the call: by " + kind + ", or --dynamic=tensor")
      ->check(CLI::IsMember({kind, std::string("tensor")}));
  gemm->add_option("--weights", options.weights,
                   "Their distribution: real, heavy, uniform, or a file of int8")
      ->capture_default_str();
  gemm->add_flag("--lean", options.lean, "Pack without private layouts");
  gemm->add_option("--threads", options.threads, "Threads of Octet and of every peer")
      ->check(CLI::Range(size_t{1}, size_t{256}))
      ->capture_default_str();
  gemm->add_option("--json", options.json,
                   "Write the figures as JSON to a file, - for stdout alone");
}

// Sets, peers and how it is timed.
void add_measuring(CLI::App* command, BenchOptions& options, CLI::Option* shape) {
  auto* set =
      command->add_option("--set", options.sets, "Files of shapes in the set folder, by name")
          ->delimiter(',');
  shape->excludes(set);
  command->add_option("--set-dir", options.set_dir, "Folder of the shape sets");
  command->add_option("--peer", options.peers, "Other libraries beside it, by name, or all")
      ->delimiter(',');
  command
      ->add_option("--peer-driver", options.peer_driver,
                   "Command of the Python peers' drivers, separated by commas")
      ->delimiter(',');
  command->add_flag("--cold", options.cold, "Empty the caches before each call");
  command->add_option("--repeat", options.repeat, "Interleaved rounds")
      ->check(CLI::Range(size_t{1}, size_t{10000}))
      ->capture_default_str();
}

void add_bench_gemm(CLI::App* bench, BenchOptions& options) {
  CLI::App* gemm = bench->add_subcommand(
      "gemm", "Time linear ops against the instruction set's peak and other libraries, in one run");
  auto* shape = gemm->add_option("shape", options.shape, "M N K")
                    ->expected(3)
                    ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  add_types(gemm, options);
  add_measuring(gemm, options, shape);
  gemm->callback([&options] { run_bench_gemm(options); });
}

void add_bench_quant(CLI::App* bench, QuantBenchOptions& options) {
  CLI::App* quant = bench->add_subcommand(
      "quant", "Time quantization passes against the bandwidth of memory and PyTorch, in one run");
  quant->add_option("--isa", options.isa, kIsaHelp);
  quant->add_option("--mib", options.mib, "MiB of floats; otherwise four times the last cache")
      ->check(CLI::Range(int64_t{1}, int64_t{16384}));
  quant->add_option("--threads", options.threads, "Threads of Octet and of the peer")
      ->check(CLI::Range(size_t{1}, size_t{256}))
      ->capture_default_str();
  quant->add_option("--peer", options.peer, "Another library beside it: torch-x86");
  quant
      ->add_option("--peer-driver", options.peer_driver,
                   "Command of the peer's driver, separated by commas")
      ->delimiter(',');
  quant->add_flag("--small-pages{false}", options.huge,
                  "Memory in the smallest pages, not in huge ones");
  quant->add_option("--repeat", options.repeat, "Interleaved rounds")
      ->check(CLI::Range(size_t{1}, size_t{10000}))
      ->capture_default_str();
  quant->add_option("--json", options.json,
                    "Write the figures as JSON to a file, - for stdout alone");
  quant->callback([&options] { run_bench_quant(options); });
}

constexpr char kLayerHelp[] =
    "BATCHxIMAGExCHANNELS and words, as in 1x56x56x64 k3 o128 s2 p1: k kernel, o output channels, "
    "s stride, d dilation, p padding, g groups (gC: depthwise), t transposed, q output padding. "
    "The image is D H W, H W or W; k, s, d, p and q are one number or one for each dim, k3x5; "
    "p0:1 is 0 before and 1 behind";

void add_bench_conv(CLI::App* bench, BenchOptions& options) {
  CLI::App* conv = bench->add_subcommand(
      "conv", "Time convolutions against the peak and other libraries, in one run");
  auto* layer = conv->add_option("layer", options.layer, kLayerHelp)->expected(1, 16);
  add_types(conv, options, "sample");
  add_measuring(conv, options, layer);
  conv->callback([&options] { run_bench_conv(options); });
}

void add_bench_net(CLI::App* bench, NetOptions& options) {
  CLI::App* net = bench->add_subcommand(
      "net", "Time whole networks as chains of layers beside oneDNN's, and each layer of both");
  net->add_option("--net", options.nets, "resnet50, mobilenetv2")->delimiter(',')->required();
  net->add_option("--isa", options.isas, "ISA caps to compare, separated by commas")
      ->delimiter(',');
  net->add_option("--threads", options.threads, "Numbers of threads, separated by commas")
      ->delimiter(',')
      ->check(CLI::Range(size_t{1}, size_t{256}))
      ->capture_default_str();
  net->add_option("--batch", options.batch, "Images in a call")
      ->check(CLI::Range(int64_t{1}, int64_t{64}))
      ->capture_default_str();
  net->add_flag("--alone", options.alone, "Without oneDNN");
  net->add_option("--repeat", options.repeat, "Interleaved rounds")
      ->check(CLI::Range(size_t{1}, size_t{10000}))
      ->capture_default_str();
  net->add_option("--json", options.json,
                  "Write the figures as JSON to a file, - for stdout alone");
  net->callback([&options] { run_bench_net(options); });
}

void add_explain_gemm(CLI::App* explain, BenchOptions& options) {
  CLI::App* gemm = explain->add_subcommand("gemm", "The plan of a linear op");
  gemm->add_option("shape", options.shape, "M N K")
      ->expected(3)
      ->required()
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  add_types(gemm, options);
  gemm->callback([&options] { run_explain_gemm(options); });
}

void add_explain_conv(CLI::App* explain, BenchOptions& options) {
  CLI::App* conv = explain->add_subcommand("conv", "The plan of a convolution");
  conv->add_option("layer", options.layer, kLayerHelp)->expected(1, 16)->required();
  add_types(conv, options, "sample");
  conv->callback([&options] { run_explain_conv(options); });
}

int fail(int status, std::string sentence) {
  if (!sentence.ends_with('.')) sentence += '.';
  std::fprintf(stderr, "octet: %s\n", sentence.c_str());
  return status;
}

// CLI11 misses the subcommand before it minds the word that stands in its place.
std::string sentence_of(const CLI::App& app, const CLI::ParseError& error) {
  const auto extra = app.remaining(true);
  if (app.get_subcommands().empty() && !extra.empty())
    return "There is no command " + extra.front() + "; octet --help lists the commands.";
  return error.what();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Octet: int8 kernels, packing and quantization", "octet");
  app.require_subcommand(1);
  app.set_version_flag("--version", version_text());
  DemoOptions demo;
  InfoOptions info;
  BenchOptions gemm, conv, explain_gemm, explain_conv;
  NetOptions net;
  QuantBenchOptions quant;
  add_demo(app, demo);
  add_info(app, info);
  CLI::App* bench = app.add_subcommand("bench", "Measure kernels");
  bench->require_subcommand(1);
  add_bench_gemm(bench, gemm);
  add_bench_conv(bench, conv);
  add_bench_net(bench, net);
  add_bench_quant(bench, quant);
  CLI::App* explain = app.add_subcommand("explain", "Show what a call would run, and why");
  explain->require_subcommand(1);
  add_explain_gemm(explain, explain_gemm);
  add_explain_conv(explain, explain_conv);
  try {
    app.parse(argc, argv);  // runs the command
    return 0;
  } catch (const CLI::Success& help_or_version) {
    return app.exit(help_or_version);
  } catch (const CLI::ParseError& error) {
    return fail(2, sentence_of(app, error));
  } catch (const UsageError& error) {
    return fail(2, error.what());
  } catch (const std::exception& error) {
    return fail(1, error.what());
  }
}

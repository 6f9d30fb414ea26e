// SPDX-License-Identifier: Apache-2.0
//
// The program's commands and their options. main.cpp fills the options from the command line, one
// file for each command does the work. Failures are exceptions: UsageError ends with status 2, any
// other with status 1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace octet_cli {

struct DemoOptions {
  std::string isa;   // cap; empty: none
  std::string json;  // file, "-" for stdout, empty: a table
  uint64_t seed = 1;
  bool study = false;
};
void run_demo(const DemoOptions& options);

struct InfoOptions {
  std::string isa;
  bool json = false;
};
void run_info(const InfoOptions& options);

// Of bench gemm and bench conv and, without its measuring, of explain gemm.
struct BenchOptions {
  std::vector<int64_t> shape;      // M N K, or empty with sets
  std::vector<std::string> layer;  // conv: its words (conv_shape.h), or empty with sets
  std::vector<std::string> sets;
  std::string set_dir;
  std::vector<std::string> isas;  // caps to compare; empty: what this CPU has
  std::string type = "u8", out = "q8", json;
  std::string dynamic;           // "row", "tensor", conv: "sample": float in and out; empty: static
  std::string weights = "real";  // or heavy, uniform, a file
  std::vector<std::string> peers;        // by name, or "all"
  std::vector<std::string> peer_driver;  // the command of the drivers; empty: the program's own
  bool lean = false, cold = false;
  size_t threads = 1;
  size_t repeat = 15;  // interleaved rounds
};
void run_bench_gemm(const BenchOptions& options);
void run_bench_conv(const BenchOptions& options);
void run_explain_gemm(const BenchOptions& options);
void run_explain_conv(const BenchOptions& options);

struct NetOptions {
  std::vector<std::string> nets, isas;
  std::vector<size_t> threads = {1, 2};
  std::string json;
  bool alone = false;  // without oneDNN
  int64_t batch = 1;
  size_t repeat = 15;
};
void run_bench_net(const NetOptions& options);

struct QuantBenchOptions {
  std::string isa, json;
  int64_t mib = 0;                       // of the float matrix; 0: four times the last cache
  std::string peer;                      // a driver's name; empty: none
  std::vector<std::string> peer_driver;  // its command; empty: the program's own
  size_t threads = 1, repeat = 15;
  bool huge = true;  // huge pages, where the machine gives them
};
void run_bench_quant(const QuantBenchOptions& options);

}  // namespace octet_cli

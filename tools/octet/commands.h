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
};
void run_demo(const DemoOptions& options);

struct InfoOptions {
  std::string isa;
  bool json = false;
};
void run_info(const InfoOptions& options);

struct BenchOptions {
  std::vector<int64_t> shape;  // M N K, or empty with a set
  std::string set, set_dir;
  std::vector<std::string> isas;  // caps to compare; empty: what this CPU has
  std::string type = "u8", out = "q8", json;
  size_t repeat = 15;  // interleaved rounds
};
void run_bench_gemm(const BenchOptions& options);

}  // namespace octet_cli

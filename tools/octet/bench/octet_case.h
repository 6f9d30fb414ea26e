// SPDX-License-Identifier: Apache-2.0
//
// A problem as an op of the library, run as a whole call through the C interface.
#pragma once

#include "api.h"
#include "bench/buffer.h"
#include "bench/pool.h"
#include "bench/problem.h"
#include "commands.h"

namespace octet_cli {

// From the command line. check_types throws UsageError: options that exclude each other.
void check_types(const BenchOptions& options);
Form form_of(const BenchOptions& options);
std::string types_of(const BenchOptions& options);  // "u8s8_f32", as kernels are named

struct OctetOptions {
  bool lean = false;        // no private layouts beside the packed weights
  bool per_tensor = false;  // dynamic: one scale for the call, not one a row
};

class OctetCase {
 public:
  // problem must outlive the case.
  OctetCase(const octet_context* context, const Problem& problem, const OctetOptions& options);

  // threads > 1: with the pool.
  void use(Pool& pool);
  // octet_exec.plan of what follows.
  void choose(int32_t candidate) { exec_.plan = candidate; }
  octet_plan plan() const;
  std::string describe() const;  // the JSON of octet_op_describe
  void run(size_t iterations);
  std::vector<uint8_t> output() const { return {y_.data(), y_.data() + y_.size()}; }

 private:
  octet_tensor in() const;
  octet_tensor out();

  const Problem& problem_;
  Weights weights_;
  Op op_;
  octet_exec exec_;
  Buffer x_, y_, workspace_;
};

}  // namespace octet_cli

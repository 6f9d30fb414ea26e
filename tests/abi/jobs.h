// SPDX-License-Identifier: Apache-2.0
//
// Every function of the run path, as calls that are ready to be made again and again: fixed data
// (ties, zeros, subnormals, NaN and infinities among them), outputs of their own between guard
// pages. A condition that all of them must bear (another rounding mode, a pool that does strange
// things, a poisoned workspace) is then one loop.
#pragma once

#include "support.h"

namespace contract {

struct Job {
  std::string name;
  // Makes the call. Also the state that it updates is set back first, so that two runs agree.
  std::function<octet_status(const octet_exec*, octet_error*)> run;
  // Bytes of workspace for so many threads; 0 for functions that take none.
  std::function<size_t(int32_t threads)> workspace = [](int32_t) { return size_t{0}; };
  std::shared_ptr<Guarded> out;  // all that the call writes, except *err and the workspace
  bool large = false;            // has work for a pool
  bool takes_exec = true;
  bool needs_workspace = true;  // where there is one; else it serves threads alone
};

// One call of octet_op_run or octet_gemm for each kind of layer and of output; m rows. wanted: the
// output types, all by default.
std::vector<Job> layer_jobs(
    const octet_context* c, int64_t m, int64_t n, int64_t k,
    const std::function<bool(octet_type)>& wanted = [](octet_type) { return true; });
// Element-wise functions, observers, choosers, packing.
std::vector<Job> other_jobs(const octet_context* c);
// Training, conversion, observers' answers, text.
std::vector<Job> toolkit_jobs(const octet_context* c);
std::vector<Job> all_jobs(const octet_context* c);

// Shapes of layer_jobs in all_jobs: edges on every side, and enough tiles for many tasks.
constexpr int64_t kJobM = 37, kJobN = 83, kJobK = 131;

// An exec with a workspace of its own for one job.
class JobExec {
 public:
  explicit JobExec(const Job& job, int32_t threads = 1);
  octet_exec exec;

 private:
  std::shared_ptr<Guarded> workspace_;
};

// Runs a job on poisoned outputs: what it wrote.
std::vector<unsigned char> bits_of(const Job& job, const octet_exec* e);
std::vector<unsigned char> bits_of(const Job& job);

}  // namespace contract

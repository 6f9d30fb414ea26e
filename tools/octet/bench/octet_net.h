// SPDX-License-Identifier: Apache-2.0
//
// A network as a chain of ops of the library. Every activation has memory of its own, and all ops
// share one workspace.
#pragma once

#include "api.h"
#include "bench/buffer.h"
#include "bench/net.h"
#include "bench/pool.h"

namespace octet_cli {

class OctetNet {
 public:
  // net must outlive it; pool: as many threads as it has.
  OctetNet(const octet_context* context, const Net& net, Pool& pool);

  void run();
  void run(size_t layer);
  octet_plan plan(size_t layer) const;
  const float* logits() const { return reinterpret_cast<const float*>(logits_.data()); }

 private:
  struct Step {
    Weights weights;
    Op op;
    octet_tensor in[2], out;
    size_t inputs;
  };
  octet_tensor tensor(int activation) const;
  void add_layer(const octet_context* context, const NetLayer& layer, Step& step);
  void add_pool(const octet_context* context, const NetLayer& layer, Step& step);

  const Net& net_;
  std::vector<Buffer> activations_;
  Buffer logits_, workspace_;
  std::vector<Step> steps_;
  octet_exec exec_;
};

}  // namespace octet_cli

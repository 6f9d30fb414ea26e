// SPDX-License-Identifier: Apache-2.0
//
// Another library, as the benchmark sees it. One that has a C or C++ interface is a module, loaded
// at run time from the folder of the program: neither the library nor the program depends on it,
// it is built where its headers are found, and where it is missing the report says so. One that
// speaks Python is a child process (driver.h).
//
// This header is all that a module shares with the program: modules use no symbol of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/net.h"
#include "bench/problem.h"

namespace octet_cli {

// A problem that a peer has prepared: weights packed, memory allocated.
class PreparedPeer {
 public:
  virtual ~PreparedPeer() = default;
  // Seconds of that many calls; NaN: the peer is lost.
  virtual double run(size_t iterations) = 0;
  // Copies the output of the last call; false: it cannot.
  virtual bool output(void* y, size_t bytes) = 0;
  // The process that runs it, 0: this one.
  virtual int process() const { return 0; }

  std::string variant;  // where a peer has several ways; the fastest of them counts
  std::string note;
  double overhead = 0;  // seconds of a call that does next to nothing; measured for drivers only
};

struct Offer {
  std::vector<std::unique_ptr<PreparedPeer>> variants;
  std::string absent;  // a sentence, where there is no variant
};

inline constexpr char kUncapped[] = "uncapped";  // it has no switch: it runs its best code

// A network that a peer has prepared.
class PreparedNet {
 public:
  virtual ~PreparedNet() = default;
  // Seconds of that many calls, of all layers or of one.
  virtual double run(size_t iterations) = 0;
  virtual double run(size_t layer, size_t iterations) = 0;
  virtual const float* logits() = 0;  // of the last call
};

class Peer {
 public:
  virtual ~Peer() = default;
  virtual Offer prepare(const Problem& problem) = 0;
  // A pass over a matrix of floats, quantized with one scale, or one for each row; `name` is one of
  // `octet bench quant`.
  virtual Offer prepare_pass(const std::string& /*name*/, int64_t /*rows*/, int64_t /*columns*/) {
    return {{}, "It is compared in products alone."};
  }
  // The float product of what problem stands for.
  virtual Offer prepare_float(const Problem&) { return {{}, "It is compared in int8 alone."}; }

  // NULL: it has none, and why says so in a sentence.
  virtual std::unique_ptr<PreparedNet> prepare_net(const Net&, std::string& why) {
    why = "It runs no whole networks here.";
    return nullptr;
  }

  std::string name, version;
  std::string isa;     // the cap that the peer itself tells, or kUncapped
  bool child = false;  // calls go through a driver
};

// What a module exports: a peer to delete, or NULL and a sentence.
using OpenPeer = Peer* (*)(const char** why);
inline constexpr char kOpenPeer[] = "octet_open_peer";

}  // namespace octet_cli

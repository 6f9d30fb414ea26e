// SPDX-License-Identifier: Apache-2.0
//
// A peer that speaks Python: one child process, one line of JSON for each request and one for its
// answer, over pipes. The driver times its calls itself; what a call through Python costs at least
// is measured on an almost empty shape. The requests:
//
//   at the start                      {"ready": true, "peer", "version", "isa"} or {"absent": why}
//   {"cmd": "prepare", "form", "m", "n", "k", "data": file}    {"ok": true, "note"} or {"absent"}
//                                    convolutions also: "conv": {its shape}
//   {"cmd": "prepare_pass", "pass", "rows", "columns"}          the same, for octet bench quant
//   {"cmd": "run", "iterations"}      {"seconds"}
//   {"cmd": "output", "path"}         {"ok": true}, the raw output is in the file
//   {"cmd": "quit"}                   the driver ends
//
// docs/benchmarks.md describes the fields, problem.h the data file. An answer may be {"error":
// why}.
#pragma once

#include <string>
#include <vector>

#include "bench/peer.h"

namespace octet_cli {

// Starts `command... name --isa cap --threads n`. NULL: it is absent, and why says so in a
// sentence. scratch: a folder for outputs.
std::unique_ptr<Peer> start_driver(const std::vector<std::string>& command, const std::string& name,
                                   const std::string& isa, size_t threads,
                                   const std::string& scratch, std::string& why);

// How often the threads of a process had to leave their core, as Linux tells.
long switches_of(int process);

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
//
// The peers by name: modules and drivers, opened under one ISA cap.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bench/peer.h"

namespace octet_cli {

// Every name that --peer knows.
std::vector<std::string> peer_names();

struct PeerPlace {
  std::vector<std::string> driver;  // command of the drivers; empty: the program's own
  std::string scratch;              // a folder for the files that drivers read and write
};

struct AbsentPeer {
  std::string name, why;
};

struct Peers {
  std::vector<std::unique_ptr<Peer>> present;  // int8, in the order asked for
  std::vector<std::unique_ptr<Peer>> floats;   // the float products; may be empty
  std::vector<AbsentPeer> absent;
};

// Caps every library by the environment variables that it reads. Libraries read them once, so this
// comes before any of them is loaded, in a process of its own for each cap. isa: a cap of Octet.
void cap_peers(const std::string& isa, size_t threads);

Peers open_peers(const std::vector<std::string>& names, const std::string& isa, size_t threads,
                 const PeerPlace& place);

}  // namespace octet_cli

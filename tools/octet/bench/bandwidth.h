// SPDX-License-Identifier: Apache-2.0
//
// How fast this machine reads: a loop of the widest loads of an instruction set over buffers that
// fit into L1, L2, L3 and none of them.
#pragma once

#include <cstddef>
#include <string_view>

#include "bench/pool.h"
#include "bench/roofline.h"

namespace octet_cli {

// Reads bytes (a multiple of 512) from data, 64-byte aligned, once, with the loads of that ISA. Not
// wide: 32 bytes a turn, by a single load, which prefetchers may follow better.
using ReadLoop = void (*)(const void* data, size_t bytes);
ReadLoop read_loop(std::string_view isa, bool wide = true);

// Copies bytes (a multiple of 512) between memory that is 64-byte aligned, past the caches where
// the architecture can. Not wide: likewise.
using CopyLoop = void (*)(void* to, const void* from, size_t bytes);
CopyLoop copy_loop(std::string_view isa, bool wide = true);

// Writes bytes (a multiple of 512), likewise.
using WriteLoop = void (*)(void* to, size_t bytes);
WriteLoop write_loop(std::string_view isa);

// caches: of one core; L3 is shared by the threads. A cache that is unknown (0) counts as a usual
// one.
Caches usual_caches(const Caches& known);
// The best round counts: a bound is what can be reached.
Bandwidth measure_bandwidth(std::string_view isa, const Caches& caches, Pool& pool, size_t rounds);

// Memory that is read to push everything else out of the caches.
class Evictor {
 public:
  explicit Evictor(const Caches& caches);
  ~Evictor();
  Evictor(const Evictor&) = delete;
  Evictor& operator=(const Evictor&) = delete;
  void operator()(Pool& pool) const;

 private:
  unsigned char* data_;
  size_t bytes_;
};

}  // namespace octet_cli

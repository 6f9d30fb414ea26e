// SPDX-License-Identifier: Apache-2.0
//
// AMX's tiles in plain C++, so that kernels for AMX can be tested where there is no AMX. The
// generated sources are compiled once more with this header in front of them: its macros take the
// place of the vocabulary's words for tile instructions (gen/isa/amx.j2), and everything else of a
// kernel is what ships. The model is as strict as the manual: what the CPU would answer with a
// fault ends the process with a sentence. It is never linked into the library.
#pragma once

#include <stddef.h>

#include <vector>

namespace octet_tiles {

void ldtilecfg(const void* config);
void tilerelease();
void tilezero(int t);
void tileload(int t, const void* p, ptrdiff_t stride);
void tilestore(int t, void* p, ptrdiff_t stride);
// c += a * b; the letters say whether the bytes of a and of b are signed.
void tdpbssd(int c, int a, int b);
void tdpbsud(int c, int a, int b);
void tdpbusd(int c, int a, int b);
void tdpbuud(int c, int a, int b);

// Adds p to the lines that the calling thread collects, if it does.
void prefetch(const void* p);
void collect_prefetches(std::vector<const void*>* lines);  // null: no more

// Counts the loads of tiles, by any thread, that begin in [p, p + bytes).
void watch_loads(const void* p, size_t bytes);
long loads_seen();

// The calling thread has configured tiles.
bool in_use();

}  // namespace octet_tiles

#define OCTET_TILE_CONFIG(config) octet_tiles::ldtilecfg(&(config))
#define OCTET_TILE_RELEASE() octet_tiles::tilerelease()
#define OCTET_TILE_ZERO(t) octet_tiles::tilezero(t)
#define OCTET_TILE_LOAD(t, p, stride) octet_tiles::tileload(t, p, stride)
#define OCTET_TILE_STREAM(t, p, stride) octet_tiles::tileload(t, p, stride)
#define OCTET_TILE_STORE(t, p, stride) octet_tiles::tilestore(t, p, stride)
#define OCTET_TILE_PREFETCH(p) octet_tiles::prefetch(p)
#define OCTET_TILE_DOT(dot, c, a, b) octet_tiles::dot(c, a, b)

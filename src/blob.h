// SPDX-License-Identifier: Apache-2.0
//
// The packed file's header, little-endian as it lies in memory.
#pragma once

#include "src/weights.h"

namespace octet {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "packed weights are read in place");

constexpr char kBlobMagic[8] = {'O', 'C', 'T', 'E', 'T', 'W', '8', '\n'};
constexpr uint16_t kBlobMajor = 1;
enum {
  kBlobLayoutC16K4 = 1,      // bytes: panels of [k/4][16][4], side arrays
  kBlobLayoutC16K8 = 2,      // 4 bits: panels of [k/8][16][4 bytes], side arrays
  kBlobLayoutGroups = 3,     // panels of records, one for each group of K, bias
  kBlobLayoutDepthwise = 4,  // bytes: panels of [taps/4][16][4], side arrays
};
enum { kBlobMatrix = 1, kBlobConv = 2 };
enum { kBlobHasZero = 1 };

struct BlobHeader {
  char magic[8];
  uint16_t major, minor;
  uint32_t header_bytes;
  uint64_t total_bytes;
  uint32_t must, may;    // features a reader must understand, and ones it may ignore
  uint32_t payload_crc;  // CRC-32C of everything behind the header
  uint32_t header_crc;   // CRC-32C of the header with this field 0
  uint32_t layout, kind;
  uint64_t n, k;
  // Frozen up to here.
  uint64_t panel_stride, panels, sums, scale, zero, bias;  // bytes; offsets from the start
  uint32_t weight_type;  // as given: what is stored is s8 or u4 (src/pack.h)
  uint32_t bias_type;
  uint32_t flags;  // kBlobHasZero: under the header's checksum, because kernels rely on it
  uint32_t group;  // kBlobLayoutGroups: elements of K; else 0
};
static_assert(offsetof(BlobHeader, panel_stride) == 64 && sizeof(BlobHeader) == 128);

// kBlobConv: n is O, k that of one output channel, without padding. Values as in octet_geometry.
struct ConvHeader {
  BlobHeader blob;
  uint32_t rank, kernel[3], groups;
  uint32_t flags;                   // kBlobTransposed
  uint32_t stride[3], dilation[3];  // transposed; else 0
  uint32_t reserved[4];             // 0
};
static_assert(sizeof(ConvHeader) == 192);
enum { kBlobTransposed = 1 };

WeightsView view_blob(const void* blob);
// Computes both checksums of a blob whose header and payload are complete.
void seal_blob(void* blob);

}  // namespace octet

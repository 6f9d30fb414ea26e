// SPDX-License-Identifier: Apache-2.0
//
// Weights for vpmaddubsw, proved: the private layout that the avx2 rows of layout kLayoutProved
// read, made by src/prove.cpp.
//
// vpmaddubsw adds two products of an unsigned and a signed byte in a saturating int16. It is exact
// for every activation where the two weights' positive parts add up to at most 128 and their
// negative parts to at least -128: 255 * 128 = 32640 fits. The same holds for d of its results
// added in int16 before they are widened by one vpmaddwd, if the 2 * d weights that share the sum
// obey that bound; d is the depth. The order of K is free, so it is chosen for each panel of 16
// columns such that weights that share a sum obey it in all 16 columns.
//
// K is cut into windows of 32. A tile brings 32 bytes of its rows into the window's order first:
// byte i of each half is byte index[i] of that half, or 0 where index[i] is kProvedNone (one
// vpshufb). Of the two times four words of 4 bytes, a0..a3 and b0..b3, each meets its weights in
// all columns, and some share their sums:
//   kProvedPairs    `doubles` times depth 2 (a0 b0, a1 b1, ...), then `singles` times two words of
//                   depth 1 (the next a and b, each alone)
//   kProvedTriples  a0 a1 b0, a2 b1 b2 of depth 3 and a3 b3 of depth 2
//   kProvedQuads    a0 a1 b0 b1, a2 a3 b2 b3 of depth 4
//   kProvedWidened  no proof: two moves of 16 k each, made int16 by a 0 behind each byte
// The form is exact for all weights; weights without a proof are only slower.
#pragma once

#include <stdint.h>

namespace octet {

constexpr int32_t kProvedWindow = 32;  // k of a window; rows of A must hold as many bytes
constexpr uint8_t kProvedNone = 0x80;
constexpr int32_t kProvedBound = 128;  // of the positive and of the negative parts of a sum

// In the order in which a panel has them.
enum ProvedKind : int32_t { kProvedWidened, kProvedPairs, kProvedTriples, kProvedQuads };

// Successive windows of one kind.
struct ProvedRun {
  int32_t kind;
  int32_t windows;
  int32_t doubles, singles;  // kProvedPairs; doubles + singles <= 4
};

// One move: 32 bytes of each row from `from` on, which are all in the row.
struct ProvedMove {
  uint8_t index[32];
  int32_t from;
  int32_t reserved[3];
};

// A panel: this, its runs, its moves, and its weights in the order of the windows' words:
// [16 columns][4 k] for each word, of words that share sums one after the other; widened: two k at
// a time, [16 columns][2 k]. Parts begin at multiples of 64 bytes from here. Behind the last move
// stands one more, which may be made and is not used.
struct ProvedPanel {
  int32_t runs;
  int32_t moves, weights;  // bytes from here
  int32_t reserved;
};
static_assert(sizeof(ProvedRun) == 16 && sizeof(ProvedMove) == 48 && sizeof(ProvedPanel) == 16);

}  // namespace octet

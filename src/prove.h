// SPDX-License-Identifier: Apache-2.0
//
// The search for proofs (kernels/proved.h): for each window of a panel an order of its k in which
// weights that share a sum of vpmaddubsw cannot saturate it, and the panel written in that order. A
// pure function of the weights: no SIMD, no memory of its own, the same answer everywhere.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "kernels/proved.h"

namespace octet {

// One window's answer. at: which of its 32 k stands in each byte of its words a0..a3 b0..b3.
struct ProvedWindow {
  uint8_t kind;     // ProvedKind
  uint8_t doubles;  // kProvedPairs
  uint8_t at[kProvedWindow];
};

inline int64_t proved_windows(int64_t k) { return (k + kProvedWindow - 1) / kProvedWindow; }

// Where window i of k begins in a row: the last one may overlap the one before it.
inline int64_t proved_from(int64_t k, int64_t i) {
  const int64_t from = i * kProvedWindow;
  return from + kProvedWindow <= k ? from : k - kProvedWindow;
}

// panel: canonical, k >= kProvedWindow. windows: proved_windows(k).
void prove_panel(const int8_t* panel, int64_t k, ProvedWindow* windows);

// Whether every sum of the window obeys the bound: asked of each answer before it is used.
bool proof_holds(const int8_t* panel, int64_t k, int64_t i, const ProvedWindow& window);

// Modelled cycles of a row over all k: of the answers, and of the canonical panel, widened.
double proved_cycles(const ProvedWindow* windows, int64_t k);
double widened_cycles(int64_t k);
double widening_cycles(int64_t k);  // of the pass before that, once for all panels
double doubles_cycles(int64_t k);   // of a panel with depth 2 throughout

size_t proved_panel_bytes(const ProvedWindow* windows, int64_t k);  // a multiple of 64
// to: 64-byte aligned.
void write_proved_panel(const int8_t* panel, int64_t k, const ProvedWindow* windows, void* to);

}  // namespace octet

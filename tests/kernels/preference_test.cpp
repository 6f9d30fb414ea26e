// SPDX-License-Identifier: Apache-2.0
//
// Which instruction set's tiles a context takes where it has several, CPUs that are not at hand
// included: choosing runs none of them.
#include <gtest/gtest.h>

#include "src/select.h"

namespace octet {
namespace {

uint32_t chosen(uint32_t isas) {
  octet_context c = {};
  c.isas = isas;
  c.flags = OCTET_ALLOW_SLOW;
  GemmTable table;
  octet_error error = {};
  EXPECT_EQ(make_gemm_table(&error, c, OCTET_U8, kOutQ8, 64, 64, {}, &table), OCTET_OK);
  return table.rows[0]->isa;
}

#if defined(__x86_64__)
TEST(Preference, X86) {
  const uint32_t avx2 = kIsaScalar | kIsaAvx2, avx512bw = avx2 | kIsaAvx512Bw;
  EXPECT_EQ(chosen(kIsaScalar), kIsaScalar);
  EXPECT_EQ(chosen(avx2), kIsaAvx2);
  EXPECT_EQ(chosen(avx2 | kIsaAvxVnni), kIsaAvxVnni);
  EXPECT_EQ(chosen(avx512bw), kIsaAvx512Bw);
  EXPECT_EQ(chosen(avx512bw | kIsaAvxVnni), kIsaAvxVnni);
  EXPECT_EQ(chosen(avx512bw | kIsaAvxVnni | kIsaAvx512Vnni), kIsaAvx512Vnni);
}
#elif defined(__aarch64__)
TEST(Preference, Aarch64) {
  const uint32_t neon = kIsaScalar | kIsaNeon, dot = neon | kIsaNeonDot;
  EXPECT_EQ(chosen(neon), kIsaNeon);
  EXPECT_EQ(chosen(dot), kIsaNeonDot);
  EXPECT_EQ(chosen(dot | kIsaNeonI8mm), kIsaNeonI8mm);
}
#endif

}  // namespace
}  // namespace octet

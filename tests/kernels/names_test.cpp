// SPDX-License-Identifier: Apache-2.0
//
// The names of rows: each decodes to exactly the fields of its row, so a name in a report, a tuning
// file or a bug says everything about its kernel.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/kernel.h"
#include "octet/octet.h"

namespace octet {
namespace {

const std::map<std::string, int32_t> kFamilyNames = {{"gemm", kGemm},
                                                     {"gemmgroup", kGemmGroup},
                                                     {"gemmlane", kGemmLane},
                                                     {"depthwise", kDepthwise},
                                                     {"quantize", kQuantize},
                                                     {"dequantize", kDequantize},
                                                     {"requantize", kRequantize},
                                                     {"fakequant", kFakeQuant},
                                                     {"ste", kSte},
                                                     {"amax", kAmax},
                                                     {"clamp", kClamp},
                                                     {"learn", kLearn},
                                                     {"clip", kClip},
                                                     {"sum", kSum},
                                                     {"sumcols", kSumCols},
                                                     {"convert", kConvert},
                                                     {"pack", kPack},
                                                     {"unpack", kUnpack},
                                                     {"flip", kFlip},
                                                     {"widen", kWiden},
                                                     {"minmax", kMinMax},
                                                     {"minmaxcols", kMinMaxCols},
                                                     {"rowsum", kRowSum},
                                                     {"fixed", kFixed},
                                                     {"lut", kLut},
                                                     {"poolmax", kPoolMax},
                                                     {"poolavg", kPoolAvg},
                                                     {"poolavgint", kPoolAvgInt},
                                                     {"bins", kBins}};

const std::map<std::string, uint32_t> kIsaNames = {{"scalar", kIsaScalar},
                                                   {"avx2", kIsaAvx2},
                                                   {"avxvnni", kIsaAvxVnni},
                                                   {"avx512bw", kIsaAvx512Bw},
                                                   {"avx512vnni", kIsaAvx512Vnni},
                                                   {"amx", kIsaAmx},
                                                   {"neon", kIsaNeon},
                                                   {"neondot", kIsaNeonDot},
                                                   {"neoni8mm", kIsaNeonI8mm}};

const std::map<std::string, int32_t> kTypeNames = {
    {"u2", OCTET_U2},   {"s2", OCTET_S2},   {"u4", OCTET_U4},     {"s4", OCTET_S4},
    {"u8", OCTET_U8},   {"s8", OCTET_S8},   {"u16", OCTET_U16},   {"s16", OCTET_S16},
    {"s32", OCTET_S32}, {"f16", OCTET_F16}, {"bf16", OCTET_BF16}, {"f32", OCTET_F32},
    {"q8", kOutQ8},     {"x8", kOutQ8},     {"range", 0},         {"sums", 0}};

std::vector<Row> rows() { return {octet_rows, octet_rows + octet_row_count}; }

std::vector<std::string> split(const std::string& name) {
  std::vector<std::string> parts;
  std::istringstream stream(name);
  for (std::string part; std::getline(stream, part, '_');) parts.push_back(part);
  return parts;
}

TEST(Names, DecodeToTheirRow) {
  for (const Row& row : rows()) {
    SCOPED_TRACE(row.name);
    const std::vector<std::string> parts = split(row.name);
    const bool tile = row.family <= kDepthwise;
    const bool apart = row.layout != kLayoutC16K4;
    ASSERT_EQ(parts.size(), (tile ? 5u : 4u) + apart);
    EXPECT_EQ(kFamilyNames.at(parts[0]), row.family);
    EXPECT_EQ(kTypeNames.at(parts[2]), row.out);
    EXPECT_EQ(kIsaNames.at(parts[tile ? 4 : 3]), row.isa);
    if (apart) {
      EXPECT_EQ(parts.back(), row.layout == kLayoutProved ? "proved" : "columns");
    }
    if (tile) {
      const size_t act = parts[1].find_first_of("us", 1);  // where the weight's type begins
      EXPECT_EQ(kTypeNames.at(parts[1].substr(0, act)), row.in);
      EXPECT_EQ(kTypeNames.at(parts[1].substr(act)), row.weight);
      EXPECT_EQ(parts[3], std::to_string(row.mr) + "x" + std::to_string(row.nr) + "c" +
                              std::to_string(row.kr));
    } else {
      EXPECT_EQ(kTypeNames.at(parts[1]), row.in);
    }
  }
}

TEST(Names, AreUnique) {
  std::set<std::string> seen;
  for (const Row& row : rows()) EXPECT_TRUE(seen.insert(row.name).second) << row.name;
}

TEST(Rows, AreOrderedByInstructionSet) {
  uint32_t last = 0;
  for (const Row& row : rows()) {
    EXPECT_GE(row.isa, last) << row.name;
    last = row.isa;
  }
}

TEST(Rows, HaveWhatTheirFamilyNeeds) {
  for (const Row& row : rows()) {
    SCOPED_TRACE(row.name);
    EXPECT_NE(row.fn, nullptr);
    if (row.family == kDepthwise) {
      EXPECT_GE(row.mr, 1);
      EXPECT_EQ(row.nr % 16, 0);
      EXPECT_EQ(row.kr, row.weight == OCTET_S16 ? 2 : 4);
      EXPECT_TRUE(row.weight == OCTET_S8 || row.weight == OCTET_S16);
    } else if (row.family == kGemmLane) {
      EXPECT_GE(row.mr, 1);
      EXPECT_EQ(row.nr % 16, 0);
      EXPECT_TRUE(row.kr == 4 || row.kr == 8);
      EXPECT_TRUE(row.weight == OCTET_S8 || row.weight == OCTET_S16);
      EXPECT_EQ(row.rows, kRowsIndexed);
      EXPECT_GT(row.cycles_k4, 0);
      EXPECT_GT(row.cycles_fixed, 0);
    } else if (row.family == kGemm || row.family == kGemmGroup) {
      EXPECT_GE(row.mr, 1);
      if (row.layout == kLayoutColumns) {
        EXPECT_EQ(row.nr, 1);
        EXPECT_EQ(kColumnStep % row.kr, 0);
      } else {
        EXPECT_EQ(row.nr % 16, 0);
        EXPECT_TRUE(row.kr == 4 || row.kr == 8);
      }
      EXPECT_TRUE(row.weight == OCTET_S8 || row.weight == OCTET_U4);
      EXPECT_TRUE(row.weight != OCTET_U4 || row.kr == 8);
      EXPECT_GT(row.cycles_k4, 0);
      EXPECT_GT(row.cycles_fixed, 0);
      EXPECT_EQ(row.cycles_call > 0, row.scope == kScopeBlock);
      EXPECT_EQ(row.cycles_group > 0, row.family == kGemmGroup);
    } else {
      EXPECT_EQ(row.mr + row.nr + row.kr + row.rows + row.scope + row.layout + row.weight, 0);
    }
  }
}

TEST(Rows, HaveAScalarFormForEveryFamilyAndType) {
  std::set<std::string> scalar;
  const auto key = [](const Row& r, int32_t in) {
    return std::to_string(r.family) + " " + std::to_string(in) + " " + std::to_string(r.weight) +
           " " + std::to_string(r.out);
  };
  for (const Row& row : rows())
    if (row.isa == kIsaScalar) scalar.insert(key(row, row.in));
  for (const Row& row : rows()) {
    const int32_t in = row.mr && row.in == OCTET_S16 ? OCTET_S8 : row.in;
    EXPECT_TRUE(scalar.count(key(row, in))) << row.name;
  }
}

}  // namespace
}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
//
// golden_hashes.txt holds a hash of the output of several hundred layers: on every instruction set,
// thread count, compiler and architecture it is the same, now and in every later release. Lines are
// only ever added: OCTET_PRINT_GOLDEN=N prints those that are missing to have N.
#include <fstream>
#include <iostream>

#include "tests/numerics/layer.h"

namespace octet_test {
namespace {

Layer golden_layer(size_t index) {
  Rng rng(0x0C7E7000 + index);
  if (index < 900) return random_layer(&rng);
  if (index < 960) return random_u8_layer(&rng);
  if (index < 1010) return random_residual_layer(&rng);
  return random_named_layer(&rng);
}

std::string line_of(size_t index, const Layer& l, const Bytes& y) {
  char head[32];
  snprintf(head, sizeof head, "%04zu %016llx ", index,
           static_cast<unsigned long long>(hash_bytes(y.data(), y.size())));
  return head + describe(l);
}

std::vector<std::string> golden_lines() {
  const char* folder = getenv("OCTET_TEST_DATA");
  std::ifstream file(std::string(folder ? folder : "tests/numerics") + "/golden_hashes.txt");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);)
    if (!line.empty() && line[0] != '#') lines.push_back(line);
  return lines;
}

TEST(GoldenHashes, AreTheSameEverywhereForEver) {
  const std::vector<std::string> lines = golden_lines();
  ASSERT_GE(lines.size(), 800u) << "golden_hashes.txt is found by OCTET_TEST_DATA";
  const std::vector<int32_t> threads =
      effort() < 100 ? std::vector<int32_t>{1, 3} : std::vector<int32_t>{1, 2, 3, 7, 16};
  for (size_t i = 0; i < lines.size(); ++i) {
    const Layer l = golden_layer(i);
    for (const CappedContext& c : contexts()) {
      const LayerOp op(c.context, l);
      for (int32_t n : threads)
        ASSERT_EQ(line_of(i, l, op.run(on_threads(n))), lines[i])
            << c.isa << ", " << n << " threads";
    }
  }
}

// Not a test: the lines of new cases, each of them equal to the model.
TEST(GoldenHashes, PrintNewLines) {
  const char* count = getenv("OCTET_PRINT_GOLDEN");
  if (!count) GTEST_SKIP() << "OCTET_PRINT_GOLDEN=N prints the lines that are missing to have N";
  for (size_t i = golden_lines().size(); i < static_cast<size_t>(atoi(count)); ++i) {
    const Layer l = golden_layer(i);
    const Bytes y = LayerOp(best_context(), l).run({});
    ASSERT_TRUE(equal(y, model(l))) << describe(l);
    std::cout << line_of(i, l, y) << "\n";
  }
}

}  // namespace
}  // namespace octet_test

// SPDX-License-Identifier: Apache-2.0
//
// Sets of GEMM shapes: small text files in bench/, one `M N K` a line, # begins a comment. M may be
// a list, 1,2,4, or a range, 1..64.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace octet_cli {

struct Shape {
  int64_t m, n, k;
  bool operator==(const Shape&) const = default;
};

// Throws UsageError where the folder has no such set, or a line is no shape.
std::vector<Shape> read_shapes(const std::string& folder, const std::string& name);

}  // namespace octet_cli

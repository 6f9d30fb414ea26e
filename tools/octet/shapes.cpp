// SPDX-License-Identifier: Apache-2.0
#include "shapes.h"

#include <charconv>
#include <fstream>
#include <sstream>
#include <string_view>

#include "api.h"

namespace octet_cli {
namespace {

constexpr int64_t kLargest = int64_t{1} << 20;

bool read_size(std::string_view text, int64_t& size) {
  const char* end = text.data() + text.size();
  const auto [at, status] = std::from_chars(text.data(), end, size);
  return status == std::errc() && at == end && size >= 1 && size <= kLargest;
}

// "8", "1,2,4" or "1..64"; empty: none of these.
std::vector<int64_t> read_sizes(std::string_view text) {
  std::vector<int64_t> sizes;
  if (const size_t dots = text.find(".."); dots != std::string_view::npos) {
    int64_t first = 0, last = 0;
    if (!read_size(text.substr(0, dots), first) || !read_size(text.substr(dots + 2), last))
      return {};
    for (; first <= last; ++first) sizes.push_back(first);
    return sizes;
  }
  for (size_t begin = 0; begin <= text.size();) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    int64_t size = 0;
    if (!read_size(text.substr(begin, comma - begin), size)) return {};
    sizes.push_back(size);
    begin = comma + 1;
  }
  return sizes;
}

}  // namespace

std::vector<Shape> read_shapes(const std::string& folder, const std::string& name) {
  const std::string path = folder + "/" + name + ".txt";
  std::ifstream file(path);
  if (!file) throw UsageError("There is no shape set " + name + ": " + path + " cannot be read.");
  std::vector<Shape> shapes;
  std::string line;
  for (size_t number = 1; std::getline(file, line); ++number) {
    line.resize(std::min(line.find('#'), line.size()));
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    std::istringstream words(line);
    std::string m, n, k, more;
    words >> m >> n >> k;
    Shape shape = {};
    const std::vector<int64_t> rows = read_sizes(m);
    if (rows.empty() || !read_size(n, shape.n) || !read_size(k, shape.k) || words >> more)
      throw UsageError(path + ", line " + std::to_string(number) +
                       ": expected M N K, each from 1 to 1048576; M may be 1,2,4 or 1..64.");
    for (const int64_t row : rows) {
      shape.m = row;
      shapes.push_back(shape);
    }
  }
  if (shapes.empty()) throw UsageError("The shape set " + path + " is empty.");
  return shapes;
}

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
#include "shapes.h"

#include <fstream>
#include <sstream>

#include "api.h"

namespace octet_cli {

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
    Shape shape = {};
    std::string more;
    if (!(words >> shape.m >> shape.n >> shape.k) || words >> more || shape.m < 1 || shape.n < 1 ||
        shape.k < 1)
      throw UsageError(path + ", line " + std::to_string(number) +
                       ": expected M N K, all above 0.");
    shapes.push_back(shape);
  }
  if (shapes.empty()) throw UsageError("The shape set " + path + " is empty.");
  return shapes;
}

}  // namespace octet_cli

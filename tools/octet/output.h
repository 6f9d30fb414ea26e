// SPDX-License-Identifier: Apache-2.0
//
// What commands print: tables with aligned columns, and text that goes to a file or to stdout.
#pragma once

#include <string>
#include <vector>

namespace octet_cli {

// Rows of equal length, the first of them the heading. Columns named in right are aligned right.
class Table {
 public:
  Table(std::vector<std::string> heading, std::vector<bool> right);
  void add(std::vector<std::string> row);
  void print() const;  // to stdout

 private:
  std::vector<std::vector<std::string>> rows_;
  std::vector<bool> right_;
};

// printf into a string.
[[gnu::format(printf, 1, 2)]] std::string format(const char* pattern, ...);

// Writes text and a newline to the file, "-" being stdout. Throws std::runtime_error.
void write_text(const std::string& path, const std::string& text);

double median(std::vector<double> values);

}  // namespace octet_cli

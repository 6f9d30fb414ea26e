// SPDX-License-Identifier: Apache-2.0
#include "conv_shape.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <sstream>

#include "api.h"

namespace octet_cli {
namespace {

using Dims = ConvShape::Dims;

constexpr int64_t kLargest = int64_t{1} << 20;
constexpr double kMostElements = 0x1p31;  // of an image, an output or the weights

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::optional<int64_t> number(std::string_view text) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [at, status] = std::from_chars(text.data(), end, value);
  if (status != std::errc() || at != end || value < 0 || value > kLargest) return std::nullopt;
  return value;
}

// One extent for all dims, or one for each.
bool read_dims(std::string_view text, int rank, Dims& dims) {
  const auto parts = split(text, 'x');
  const auto count = static_cast<size_t>(rank);
  if (parts.size() != 1 && parts.size() != count) return false;
  for (size_t d = 0; d < count; ++d) {
    const auto value = number(parts[parts.size() == 1 ? 0 : d]);
    if (!value) return false;
    dims[d] = *value;
  }
  return true;
}

// The same of lo:hi, or of one number for both.
bool read_pads(std::string_view text, int rank, Dims& lo, Dims& hi) {
  const auto parts = split(text, 'x');
  const auto count = static_cast<size_t>(rank);
  if (parts.size() != 1 && parts.size() != count) return false;
  for (size_t d = 0; d < count; ++d) {
    const auto sides = split(parts[parts.size() == 1 ? 0 : d], ':');
    const auto first = number(sides.front()), last = number(sides.back());
    if (sides.size() > 2 || !first || !last) return false;
    lo[d] = *first;
    hi[d] = *last;
  }
  return true;
}

// "1x56x56x64"
bool read_image(std::string_view text, ConvShape& c) {
  const auto parts = split(text, 'x');
  if (parts.size() < 3 || parts.size() > 5) return false;
  std::vector<int64_t> extents;
  for (const std::string_view part : parts) {
    const auto value = number(part);
    if (!value || *value < 1) return false;
    extents.push_back(*value);
  }
  c.rank = static_cast<int>(parts.size()) - 2;
  c.batch = extents.front();
  c.channels = extents.back();
  std::copy(extents.begin() + 1, extents.end() - 1, c.in.begin());
  return true;
}

bool read_word(std::string_view word, ConvShape& c) {
  if (word == "t") return c.transposed = true;
  if (word == "gC") return (c.groups = c.channels) > 0;
  if (word.size() < 2) return false;
  const std::string_view rest = word.substr(1);
  const auto whole = number(rest);
  switch (word.front()) {
    case 'k':
      return read_dims(rest, c.rank, c.kernel);
    case 's':
      return read_dims(rest, c.rank, c.stride);
    case 'd':
      return read_dims(rest, c.rank, c.dilation);
    case 'q':
      return read_dims(rest, c.rank, c.out_pad);
    case 'p':
      return read_pads(rest, c.rank, c.pad_lo, c.pad_hi);
    case 'o':
      return whole && (c.out_channels = *whole) > 0;
    case 'g':
      return whole && (c.groups = *whole) > 0;
    default:
      return false;
  }
}

// In floating point: the product of five extents may be beyond int64.
double elements(const Dims& extents, int64_t channels) {
  double product = static_cast<double>(channels);
  for (const int64_t extent : extents) product *= static_cast<double>(extent);
  return product;
}

// Empty: a layer that can be measured.
std::string misfit(const ConvShape& c) {
  if (c.out_channels < 1) return "it has no output channels (o128)";
  for (const Dims& dims : {c.kernel, c.stride, c.dilation})
    if (*std::min_element(dims.begin(), dims.end()) < 1)
      return "kernel, stride and dilation are at least 1";
  if (c.channels % c.groups || c.out_channels % c.groups)
    return "groups divide the input and the output channels";
  if (!c.transposed && c.out_pad != Dims{}) return "output padding (q) belongs to transposed ones";
  for (int d = 0; d < c.rank; ++d)
    if (c.out(d) < 1) return "its kernel is larger than the padded image";
  const auto batch = static_cast<double>(c.batch), channels = static_cast<double>(c.out_channels);
  const Dims out = {c.out(0), c.out(1), c.out(2)};
  if (batch * elements(c.in, c.channels) > kMostElements ||
      batch * elements(out, c.out_channels) > kMostElements ||
      channels * elements(c.kernel, c.group_in()) > kMostElements)
    return "its image, output and weights have at most 2^31 elements each";
  return "";
}

std::string dims_text(const char* letter, const Dims& dims, int rank) {
  const auto end = dims.begin() + rank;
  std::string text = letter;
  const bool same = std::all_of(dims.begin(), end, [&](int64_t v) { return v == dims[0]; });
  for (auto at = dims.begin(); at != (same ? dims.begin() + 1 : end); ++at)
    text += (at == dims.begin() ? "" : "x") + std::to_string(*at);
  return text;
}

std::string pads_text(const Dims& lo, const Dims& hi, int rank) {
  if (lo == hi) return dims_text("p", lo, rank);
  std::string text = "p";
  for (size_t d = 0; d < static_cast<size_t>(rank); ++d)
    text += (d ? "x" : "") + std::to_string(lo[d]) + ":" + std::to_string(hi[d]);
  return text;
}

bool all_ones(const Dims& dims) { return dims == Dims{1, 1, 1}; }

}  // namespace

Shape ConvShape::product() const {
  return {transposed ? in_pixels() : out_pixels(), out_channels, taps() * group_in()};
}

std::string ConvShape::text() const {
  std::string text = std::to_string(batch);
  for (size_t d = 0; d < static_cast<size_t>(rank); ++d) text += "x" + std::to_string(in[d]);
  text += "x" + std::to_string(channels) + " " + dims_text("k", kernel, rank) + " o" +
          std::to_string(out_channels);
  if (!all_ones(stride)) text += " " + dims_text("s", stride, rank);
  if (!all_ones(dilation)) text += " " + dims_text("d", dilation, rank);
  if (padded()) text += " " + pads_text(pad_lo, pad_hi, rank);
  if (groups > 1) text += " g" + std::to_string(groups);
  if (transposed) text += " t";
  if (out_pad != Dims{}) text += " " + dims_text("q", out_pad, rank);
  return text;
}

const char* class_of(const ConvShape& c) {
  if (c.transposed) return "transposed";
  if (c.depthwise()) return "depthwise";
  if (c.groups > 1) return "grouped";
  if (c.rank == 1) return "1-D";
  if (c.rank == 3) return "3-D";
  if (!all_ones(c.dilation)) return "dilated";
  if (c.channels <= 4) return "first";
  return all_ones(c.kernel) ? "1x1" : "dense";
}

ConvShape read_conv(const std::vector<std::string>& words) {
  ConvShape c;
  std::string line;
  for (const std::string& word : words) line += (line.empty() ? "" : " ") + word;
  for (size_t i = 0; i < words.size(); ++i) {
    if (!(i == 0 ? read_image(words[i], c) : read_word(words[i], c)))
      throw UsageError("The layer " + line + ": " + words[i] +
                       " is no part of one; expected BATCHxIMAGExCHANNELS k o s d p g t q, as in "
                       "1x56x56x64 k3 o128 s2 p1.");
  }
  if (const std::string why = misfit(c); words.empty() || !why.empty())
    throw UsageError("The layer " + line + " cannot be: " + why + ".");
  return c;
}

std::vector<ConvShape> read_conv_set(const std::string& folder, const std::string& name) {
  const std::string path = folder + "/" + name + ".txt";
  std::ifstream file(path);
  if (!file) throw UsageError("There is no layer set " + name + ": " + path + " cannot be read.");
  std::vector<ConvShape> shapes;
  std::string line;
  for (size_t at = 1; std::getline(file, line); ++at) {
    line.resize(std::min(line.find('#'), line.size()));
    std::istringstream stream(line);
    std::vector<std::string> words;
    for (std::string word; stream >> word;) words.push_back(word);
    if (words.empty()) continue;
    try {
      int64_t times = 1;
      if (words.back().front() == '*') {
        times = number(words.back().substr(1)).value_or(0);
        if (times < 1) throw UsageError(words.back() + " is no count.");
        words.pop_back();
      }
      if (words.empty()) throw UsageError("It has no layer.");
      const std::string image =
          words.front().substr(std::min(words.front().find('x'), words.front().size()));
      const std::string batches = words.front().substr(0, words.front().find('x'));
      for (const std::string_view batch : split(batches, ',')) {
        words.front() = std::string(batch) + image;
        shapes.push_back(read_conv(words));
        shapes.back().times = times;
      }
    } catch (const UsageError& error) {
      throw UsageError(path + ", line " + std::to_string(at) + ": " + error.what());
    }
  }
  if (shapes.empty()) throw UsageError("The layer set " + path + " is empty.");
  return shapes;
}

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
#include "support.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

namespace contract {

namespace {

template <class T, class Create>
Handle<T> make(Create create) {
  T* handle = nullptr;
  octet_error err{};
  EXPECT_EQ(create(&handle, &err), OCTET_OK) << err.text;
  return Handle<T>(handle);
}

}  // namespace

Context make_context(const char* max_isa, const octet_allocator* allocator) {
  octet_context_desc d = sized<octet_context_desc>();
  d.flags = OCTET_ALLOW_SLOW;
  d.max_isa = max_isa;
  d.allocator = allocator;
  return make<octet_context>(
      [&](octet_context** out, octet_error* err) { return octet_context_create(&d, out, err); });
}

Weights make_weights(const octet_context* c, const octet_weights_desc& d) {
  return make<octet_weights>([&](octet_weights** out, octet_error* err) {
    return octet_weights_create(c, &d, nullptr, out, err);
  });
}

Op make_op(const octet_context* c, const octet_linear_desc& d) {
  return make<octet_op>(
      [&](octet_op** out, octet_error* err) { return octet_linear_create(c, &d, out, err); });
}

Observer make_observer(const octet_context* c, size_t channels, int32_t axis, int32_t kind) {
  octet_observer_desc d = sized<octet_observer_desc>();
  d.kind = kind;
  d.channels = channels;
  d.axis = axis;
  return make<octet_observer>([&](octet_observer** out, octet_error* err) {
    return octet_observer_create(c, &d, out, err);
  });
}

std::string describe(const octet_context* c) {
  size_t need = 0;
  EXPECT_EQ(octet_context_describe(c, nullptr, 0, &need, nullptr), OCTET_OK);
  std::string json(need, '\0');
  EXPECT_EQ(octet_context_describe(c, json.data(), json.size(), nullptr, nullptr), OCTET_OK);
  json.pop_back();
  return json;
}

std::vector<std::string> json_objects(const std::string& json, const std::string& array) {
  std::vector<std::string> objects;
  size_t at = json.find("\"" + array + "\":[");
  const size_t end = json.find(']', at);
  while (at != std::string::npos) {
    at = json.find('{', at);
    if (at == std::string::npos || at > end) break;
    const size_t close = json.find('}', at);
    objects.push_back(json.substr(at + 1, close - at - 1));
    at = close;
  }
  return objects;
}

std::string json_value(const std::string& object, const std::string& key) {
  const std::string quoted = "\"" + key + "\":";
  size_t at = object.find(quoted);
  if (at == std::string::npos) return "";
  at += quoted.size();
  const bool text = object[at] == '"';
  return text ? object.substr(at + 1, object.find('"', at + 1) - at - 1)
              : object.substr(at, object.find_first_of(",}", at) - at);
}

std::vector<std::string> usable_isas() {
  std::vector<std::string> names;
  const Context c = make_context();
  for (const std::string& isa : json_objects(describe(c.get()), "isas"))
    if (json_value(isa, "usable") == "true") names.push_back(json_value(isa, "name"));
  return names;
}

std::vector<float> Random::reals(size_t n, float scale) {
  std::vector<float> v(n);
  for (float& x : v) x = real(scale);
  return v;
}

std::vector<int8_t> Random::bytes(size_t n) {
  std::vector<int8_t> v(n);
  for (int8_t& x : v) x = static_cast<int8_t>(below(256));
  return v;
}

constexpr unsigned char kSurround = 0xA7;

Guarded::Guarded(size_t bytes, bool at_start) : size_(bytes) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  page_bytes_ = std::max<size_t>((bytes + page - 1) / page, 1) * page;
  map_bytes_ = page_bytes_ + 2 * page;
  map_ = mmap(nullptr, map_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_NE(map_, MAP_FAILED);
  pages_ = static_cast<unsigned char*>(map_) + page;
  EXPECT_EQ(mprotect(pages_, page_bytes_, PROT_READ | PROT_WRITE), 0);
  std::memset(pages_, kSurround, page_bytes_);
  data_ = at_start ? pages_ : pages_ + page_bytes_ - bytes;
}

Guarded::~Guarded() { munmap(map_, map_bytes_); }

size_t Guarded::spilled() const {
  const auto changed = [](unsigned char b) { return b != kSurround; };
  return static_cast<size_t>(std::count_if(pages_, data_, changed) +
                             std::count_if(data_ + size_, pages_ + page_bytes_, changed));
}

void expect_accepted(const Call& call, const char* text, const char* file, int line) {
  const testing::ScopedTrace trace(file, line, text);
  octet_error err;
  std::memset(static_cast<void*>(&err), 0x5A, sizeof err);
  const Snapshot before(&err, sizeof err);
  const octet_status status = call(&err);
  EXPECT_EQ(status, OCTET_OK) << octet_status_name(status) << ": " << err.text;
  EXPECT_TRUE(before.same()) << "err was touched on success";
}

void expect_refused(octet_status want, const Call& call, const Words& words, const char* text,
                    const char* file, int line) {
  const testing::ScopedTrace trace(file, line, text);
  octet_error err;
  std::memset(static_cast<void*>(&err), 0x5A, sizeof err);
  const octet_status status = call(&err);
  ASSERT_EQ(status, want) << octet_status_name(status) << " instead of " << octet_status_name(want)
                          << (status ? err.text : "");
  EXPECT_EQ(err.status, status);
  EXPECT_EQ(err.reserved, 0);
  EXPECT_EQ(err.need != 0, status == OCTET_ERR_TOO_SMALL) << err.need;
  ASSERT_NE(std::memchr(err.text, 0, sizeof err.text), nullptr) << "text is not terminated";
  const std::string sentence = err.text;
  EXPECT_GT(sentence.size(), 15u) << sentence;
  EXPECT_EQ(sentence.empty() ? 0 : sentence.back(), '.') << sentence;
  for (const std::string& word : words)
    EXPECT_NE(sentence.find(word), std::string::npos) << "no \"" << word << "\" in: " << sentence;
  EXPECT_EQ(call(nullptr), want) << "with err NULL";
}

}  // namespace contract

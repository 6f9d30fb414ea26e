// SPDX-License-Identifier: Apache-2.0
//
// Errors are the caller's: fail() writes status and one sentence into *err (if any) and returns the
// status, so that every refusal is `return fail(...)`. Nothing is kept in the library.
#pragma once

#include <octet/octet.h>

namespace octet {

// Formats with its own code: no locale, no allocation. Knows %s %d %u %lld %zu %g %%.
__attribute__((format(printf, 3, 4))) octet_status fail(octet_error* err, octet_status status,
                                                        const char* format, ...);

// OCTET_ERR_TOO_SMALL with the bytes that suffice.
octet_status fail_too_small(octet_error* err, const char* what, size_t given, size_t need);

// An enum field with an unknown value, and a flags word with an unknown bit; `known` lists the
// rest.
octet_status fail_enum(octet_error* err, const char* field, int32_t value, const char* known);
octet_status fail_flags(octet_error* err, const char* field, uint32_t value, const char* known);
// A value that exists but is not in this release.
octet_status fail_unsupported(octet_error* err, const char* field, int32_t value,
                              const char* supported);

// Text of limited length, always terminated; need() is the length that everything would have had.
class Text {
 public:
  Text(char* buffer, size_t capacity) : p_(buffer), capacity_(capacity) {}
  void put(char c) {
    if (length_ + 1 < capacity_) p_[length_] = c;
    ++length_;
  }
  void put(const char* s) {
    while (*s) put(*s++);
  }
  void put_signed(int64_t v);
  void put_unsigned(uint64_t v);
  void put_float(double v);                       // 9 significant digits, as %.9g
  void format(const char* f, __builtin_va_list);  // as fail()
  __attribute__((format(printf, 2, 3))) void add(const char* f, ...);
  void quoted(const char* s);  // a JSON string
  // Terminates; the bytes needed, the terminating 0 included.
  size_t finish() {
    if (capacity_) p_[length_ < capacity_ ? length_ : capacity_ - 1] = 0;
    return length_ + 1;
  }

 private:
  char* p_;
  size_t capacity_, length_ = 0;
};

// Writes a text into a caller's (buffer, cap, need): measured first, so that a buffer that is too
// small stays as it was; cap 0 with a NULL buffer only asks for the size.
template <class Write>
octet_status write_text(octet_error* err, char* buffer, size_t cap, size_t* need, Write write,
                        const char* name = "json") {
  if (!buffer && cap)
    return fail(err, OCTET_ERR_ARGUMENT, "%s is NULL, but cap is %zu; pass a buffer or 0.", name,
                cap);
  Text measure(nullptr, 0);
  write(measure);
  const size_t bytes = measure.finish();
  if (buffer && cap < bytes) return fail_too_small(err, name, cap, bytes);
  if (need) *need = bytes;
  if (!buffer) return OCTET_OK;
  Text text(buffer, cap);
  write(text);
  text.finish();
  return OCTET_OK;
}

}  // namespace octet

// SPDX-License-Identifier: Apache-2.0
#include "src/error.h"

#include <stdarg.h>

namespace octet {

void Text::put_unsigned(uint64_t v) {
  char digits[20];
  int n = 0;
  do digits[n++] = static_cast<char>('0' + v % 10);
  while (v /= 10);
  while (n) put(digits[--n]);
}

void Text::put_signed(int64_t v) {
  if (v < 0) put('-');
  put_unsigned(v < 0 ? 0 - static_cast<uint64_t>(v) : static_cast<uint64_t>(v));
}

void Text::put_float(double v) {
  if (v != v) return put("nan");
  if (__builtin_signbit(v)) {
    put('-');
    v = -v;
  }
  if (v > 1.7976931348623157e308) return put("inf");
  if (v == 0) return put('0');
  // Scale into [1e8, 1e9) so that the nine digits are the integer part.
  int exponent = 8;
  while (v >= 1e9) {
    v /= 10;
    ++exponent;
  }
  while (v < 1e8) {
    v *= 10;
    --exponent;
  }
  uint64_t digits = static_cast<uint64_t>(v + 0.5);
  if (digits >= 1000000000) {
    digits /= 10;
    ++exponent;
  }
  char text[9];
  int last = 0;
  for (int i = 8; i >= 0; --i, digits /= 10) text[i] = static_cast<char>('0' + digits % 10);
  for (int i = 0; i < 9; ++i)
    if (text[i] != '0') last = i;
  if (exponent < -5 || exponent > 8) {
    put(text[0]);
    if (last) put('.');
    for (int i = 1; i <= last; ++i) put(text[i]);
    put('e');
    put(exponent < 0 ? '-' : '+');
    const int e = exponent < 0 ? -exponent : exponent;
    if (e < 10) put('0');
    return put_unsigned(static_cast<uint64_t>(e));
  }
  if (exponent < 0) {
    put("0.");
    for (int i = -1; i > exponent; --i) put('0');
    for (int i = 0; i <= last; ++i) put(text[i]);
    return;
  }
  for (int i = 0; i <= exponent || i <= last; ++i) {
    if (i == exponent + 1) put('.');
    put(text[i]);
  }
}

void Text::quoted(const char* s) {
  put('"');
  for (; *s; ++s) {
    if (*s == '"' || *s == '\\') put('\\');
    if (static_cast<unsigned char>(*s) >= 32) put(*s);
  }
  put('"');
}

void Text::format(const char* f, va_list args) {
  for (; *f; ++f) {
    if (*f != '%') {
      put(*f);
      continue;
    }
    switch (*++f) {
      case 's':
        put(va_arg(args, const char*));
        break;
      case 'd':
        put_signed(va_arg(args, int));
        break;
      case 'u':
        put_unsigned(va_arg(args, unsigned));
        break;
      case 'l':  // lld
        f += 2;
        put_signed(va_arg(args, long long));
        break;
      case 'z':  // zu
        ++f;
        put_unsigned(va_arg(args, size_t));
        break;
      case 'g':
        put_float(va_arg(args, double));
        break;
      default:
        put('%');
        break;
    }
  }
}

void Text::add(const char* f, ...) {
  va_list args;
  va_start(args, f);
  format(f, args);
  va_end(args);
}

octet_status fail(octet_error* err, octet_status status, const char* f, ...) {
  if (!err) return status;
  err->status = status;
  err->reserved = 0;
  err->need = 0;
  Text text(err->text, sizeof err->text);
  va_list args;
  va_start(args, f);
  text.format(f, args);
  va_end(args);
  text.finish();
  return status;
}

octet_status fail_too_small(octet_error* err, const char* what, size_t given, size_t need) {
  fail(err, OCTET_ERR_TOO_SMALL, "%s has %zu bytes, but %zu are needed; err->need has that number.",
       what, given, need);
  if (err) err->need = static_cast<int64_t>(need);
  return OCTET_ERR_TOO_SMALL;
}

octet_status fail_enum(octet_error* err, const char* field, int32_t value, const char* known) {
  return fail(err, OCTET_ERR_ARGUMENT, "%s is %d, which is no known value; use one of %s.", field,
              value, known);
}

octet_status fail_flags(octet_error* err, const char* field, uint32_t value, const char* known) {
  return fail(err, OCTET_ERR_ARGUMENT, "%s has unknown bits %u; the known flags are %s.", field,
              value, known);
}

octet_status fail_unsupported(octet_error* err, const char* field, int32_t value,
                              const char* supported) {
  return fail(err, OCTET_ERR_UNSUPPORTED, "%s is %d, which this release does not have; use %s.",
              field, value, supported);
}

}  // namespace octet

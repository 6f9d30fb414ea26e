// SPDX-License-Identifier: Apache-2.0
#include "src/descriptor.h"

#include <stddef.h>

namespace octet {
namespace {

constexpr Name kTypes[] = {{"u8", OCTET_U8},   {"s8", OCTET_S8},   {"s32", OCTET_S32},
                           {"f32", OCTET_F32}, {"u4", OCTET_U4},   {"s4", OCTET_S4},
                           {"s64", OCTET_S64}, {"f16", OCTET_F16}, {"bf16", OCTET_BF16},
                           {"s16", OCTET_S16}, {"u16", OCTET_U16}, {"u2", OCTET_U2},
                           {"s2", OCTET_S2},   {nullptr, 0}};
constexpr Name kGranularities[] = {{"default", OCTET_GRANULARITY_DEFAULT},
                                   {"per_tensor", OCTET_PER_TENSOR},
                                   {"per_channel", OCTET_PER_CHANNEL},
                                   {"per_row", OCTET_PER_ROW},
                                   {"per_group", OCTET_PER_GROUP},
                                   {"per_sample", OCTET_PER_SAMPLE},
                                   {nullptr, 0}};
constexpr Name kChoosers[] = {{"octet", OCTET_CHOOSE_OCTET},
                              {"torch_observer", OCTET_CHOOSE_TORCH_OBSERVER},
                              {"torch_native", OCTET_CHOOSE_TORCH_NATIVE},
                              {"torch_fbgemm", OCTET_CHOOSE_TORCH_FBGEMM},
                              {"onnx", OCTET_CHOOSE_ONNX},
                              {"tflite", OCTET_CHOOSE_TFLITE},
                              {"nvidia", OCTET_CHOOSE_NVIDIA},
                              {"xnnpack", OCTET_CHOOSE_XNNPACK},
                              {"torchao", OCTET_CHOOSE_TORCHAO},
                              {"torch_float", OCTET_CHOOSE_TORCH_FLOAT},
                              {nullptr, 0}};
constexpr Name kRanges[] = {{"observed", OCTET_RANGE_OBSERVED},
                            {"percentile", OCTET_RANGE_PERCENTILE},
                            {"entropy", OCTET_RANGE_ENTROPY},
                            {"mse", OCTET_RANGE_MSE},
                            {"l2", OCTET_RANGE_L2},
                            {nullptr, 0}};
constexpr Name kSchemeFlags[] = {{"symmetric", OCTET_SYMMETRIC},
                                 {"narrow", OCTET_NARROW},
                                 {"reduce_range", OCTET_REDUCE_RANGE},
                                 {"pow2", OCTET_POW2},
                                 {"divide", OCTET_DIVIDE},
                                 {"round_away", OCTET_ROUND_AWAY},
                                 {nullptr, 0}};
constexpr Name kKinds[] = {{"minmax", OCTET_OBSERVE_MINMAX},
                           {"moving", OCTET_OBSERVE_MOVING},
                           {"histogram", OCTET_OBSERVE_HISTOGRAM},
                           {"torch_histogram", OCTET_OBSERVE_TORCH_HISTOGRAM},
                           {"fixed", OCTET_OBSERVE_FIXED},
                           {"callback", OCTET_OBSERVE_CALLBACK},
                           {"absmax", OCTET_OBSERVE_ABSMAX},
                           {"nvidia_histogram", OCTET_OBSERVE_NVIDIA_HISTOGRAM},
                           {nullptr, 0}};
constexpr Name kObserverFlags[] = {{"skip_zeros", 1}, {"numpy_edges", 2}, {nullptr, 0}};

constexpr FieldKind kInt32 = FieldKind::kInt32, kInt64 = FieldKind::kInt64,
                    kSize = FieldKind::kSize, kFloat = FieldKind::kFloat, kEnum = FieldKind::kEnum,
                    kFlags = FieldKind::kFlags;

const Field kScheme[] = {
    {"flags", kFlags, offsetof(octet_scheme, flags), kSchemeFlags},
    {"group", kInt64, offsetof(octet_scheme, group), nullptr},
    {"type", kEnum, offsetof(octet_scheme, type), kTypes},
    {"granularity", kEnum, offsetof(octet_scheme, granularity), kGranularities},
    {"axis", kInt32, offsetof(octet_scheme, axis), nullptr},
    {"chooser", kEnum, offsetof(octet_scheme, chooser), kChoosers},
    {"range", kEnum, offsetof(octet_scheme, range), kRanges},
    {"qmin", kInt32, offsetof(octet_scheme, qmin), nullptr},
    {"qmax", kInt32, offsetof(octet_scheme, qmax), nullptr},
    {"eps", kFloat, offsetof(octet_scheme, eps), nullptr},
    {"percentile", kFloat, offsetof(octet_scheme, percentile), nullptr},
    {"start_bin", kInt32, offsetof(octet_scheme, start_bin), nullptr},
    {"stride", kInt32, offsetof(octet_scheme, stride), nullptr},
    {nullptr, kInt32, 0, nullptr}};

const Field kObserverDesc[] = {
    {"flags", kFlags, offsetof(octet_observer_desc, flags), kObserverFlags},
    {"kind", kEnum, offsetof(octet_observer_desc, kind), kKinds},
    {"axis", kInt32, offsetof(octet_observer_desc, axis), nullptr},
    {"channels", kSize, offsetof(octet_observer_desc, channels), nullptr},
    {"momentum", kFloat, offsetof(octet_observer_desc, momentum), nullptr},
    {"bins", kInt32, offsetof(octet_observer_desc, bins), nullptr},
    {"max_bins", kSize, offsetof(octet_observer_desc, max_bins), nullptr},
    {"group", kSize, offsetof(octet_observer_desc, group), nullptr},
    {nullptr, kInt32, 0, nullptr}};

template <class T>
T load(const void* from, size_t offset) {
  T value;
  memcpy(&value, static_cast<const char*>(from) + offset, sizeof value);
  return value;
}

template <class T>
void save(void* to, size_t offset, T value) {
  memcpy(static_cast<char*>(to) + offset, &value, sizeof value);
}

// ---- writing ----------------------------------------------------------------------------------

const char* name_of(const Name* names, int32_t value) {
  for (; names->text; ++names)
    if (names->value == value) return names->text;
  return nullptr;
}

uint32_t all_flags(const Name* names) {
  uint32_t all = 0;
  for (; names->text; ++names) all |= static_cast<uint32_t>(names->value);
  return all;
}

bool is_default(const Field& f, const void* from) {
  switch (f.kind) {
    case FieldKind::kInt64:
      return load<int64_t>(from, f.offset) == 0;
    case FieldKind::kSize:
      return load<size_t>(from, f.offset) == 0;
    case FieldKind::kFloat:
      return load<float>(from, f.offset) == 0;
    default:
      return load<int32_t>(from, f.offset) == 0;
  }
}

octet_status check_field(octet_error* err, const FieldTable& table, const Field& f,
                         const void* from) {
  const int32_t value = load<int32_t>(from, f.offset);
  if (f.kind == FieldKind::kEnum && value && !name_of(f.names, value))
    return fail(err, OCTET_ERR_ARGUMENT, "%s.%s is %d, which is no known value and has no name.",
                table.what, f.key, value);
  if (f.kind == FieldKind::kFlags && (static_cast<uint32_t>(value) & ~all_flags(f.names)))
    return fail(err, OCTET_ERR_ARGUMENT, "%s.%s is %u, which has unknown bits without a name.",
                table.what, f.key, static_cast<uint32_t>(value));
  const float real = f.kind == FieldKind::kFloat ? load<float>(from, f.offset) : 0;
  if (real - real != 0)
    return fail(err, OCTET_ERR_NOT_FINITE, "%s.%s is %g; it must be finite.", table.what, f.key,
                static_cast<double>(real));
  return OCTET_OK;
}

void write_value(const Field& f, const void* from, Text* text) {
  switch (f.kind) {
    case FieldKind::kInt32:
      return text->put_signed(load<int32_t>(from, f.offset));
    case FieldKind::kInt64:
      return text->put_signed(load<int64_t>(from, f.offset));
    case FieldKind::kSize:
      return text->put_unsigned(load<size_t>(from, f.offset));
    case FieldKind::kFloat:
      return text->put_float(static_cast<double>(load<float>(from, f.offset)));
    case FieldKind::kEnum:
      return text->put(name_of(f.names, load<int32_t>(from, f.offset)));
    case FieldKind::kFlags:
      break;
  }
  const uint32_t flags = load<uint32_t>(from, f.offset);
  const char* separator = "";
  for (const Name* n = f.names; n->text; ++n) {
    if (!(flags & static_cast<uint32_t>(n->value))) continue;
    text->put(separator);
    text->put(n->text);
    separator = "|";
  }
}

// ---- reading ----------------------------------------------------------------------------------

// A piece of the text: offsets of its first character and behind its last.
struct Word {
  const char* text;
  size_t begin, end;

  size_t size() const { return end - begin; }
  bool is(const char* s) const {
    size_t i = 0;
    for (; i < size() && s[i]; ++i)
      if (s[i] != text[begin + i]) return false;
    return i == size() && !s[i];
  }
  // For sentences: at most 40 characters, those that do not print as '?'.
  void copy(char* to) const {
    size_t i = 0;
    for (; i < size() && i < 40; ++i) {
      const char c = text[begin + i];
      to[i] = c > 32 && c < 127 ? c : '?';
    }
    to[i] = 0;
  }
};

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

octet_status fail_value(octet_error* err, const FieldTable& table, const Field& f, const Word& w,
                        const char* allowed) {
  char value[41];
  w.copy(value);
  return fail(err, OCTET_ERR_ARGUMENT,
              "The %s text has %s=%s with a value, at offset %zu, that is %s.", table.what, f.key,
              value, w.begin, allowed);
}

octet_status fail_names(octet_error* err, const FieldTable& table, const Field& f, const Word& w,
                        const char* what) {
  char allowed[240];
  Text text(allowed, sizeof allowed);
  text.put(what);
  const char* separator = " ";
  for (const Name* n = f.names; n->text; ++n) {
    text.put(separator);
    text.put(n->text);
    separator = ", ";
  }
  text.finish();
  return fail_value(err, table, f, w, allowed);
}

// An integer of digits with an optional sign, within [low, high].
bool read_integer(const Word& w, int64_t low, uint64_t high, int64_t* out) {
  size_t i = w.begin;
  const bool negative = i < w.end && w.text[i] == '-';
  if (negative) ++i;
  if (i == w.end) return false;
  uint64_t magnitude = 0;
  for (; i < w.end; ++i) {
    if (!is_digit(w.text[i])) return false;
    const uint64_t digit = static_cast<uint64_t>(w.text[i] - '0');
    if (__builtin_mul_overflow(magnitude, uint64_t{10}, &magnitude) ||
        __builtin_add_overflow(magnitude, digit, &magnitude))
      return false;
  }
  if (magnitude > (negative ? uint64_t{0} - static_cast<uint64_t>(low) : high)) return false;
  *out = static_cast<int64_t>(negative ? uint64_t{0} - magnitude : magnitude);
  return true;
}

// A decimal number as binary32. Numbers of up to nine digits that put_float wrote come back as the
// very float: the error here, a few units of binary64, is far below half a unit of binary32.
bool read_float(const Word& w, float* out) {
  size_t i = w.begin;
  const auto at = [&](char c) { return i < w.end && w.text[i] == c; };
  const bool negative = at('-');
  if (negative) ++i;
  uint64_t digits = 0;
  int exponent = 0, seen = 0;
  bool point = false;
  for (; i < w.end && (is_digit(w.text[i]) || (w.text[i] == '.' && !point)); ++i) {
    if (w.text[i] == '.') {
      point = true;
      continue;
    }
    ++seen;
    if (digits < 100000000000000000u) {
      digits = digits * 10 + static_cast<uint64_t>(w.text[i] - '0');
      exponent -= point;
    } else {
      exponent += !point;
    }
    if (exponent > 400 || exponent < -400) return false;
  }
  if (!seen) return false;
  if (at('e') || at('E')) {
    ++i;
    if (at('+')) ++i;
    int64_t power;
    if (!read_integer({w.text, i, w.end}, -400, 400, &power)) return false;
    exponent += static_cast<int>(power);
    i = w.end;
  }
  if (i != w.end) return false;
  double value = static_cast<double>(digits), ten = 1;
  int steps = exponent < 0 ? -exponent : exponent;
  while (steps > 0 && value != 0) {
    for (ten = 1; steps > 0 && ten < 1e22; --steps) ten *= 10;  // exact
    value = exponent < 0 ? value / ten : value * ten;
  }
  const float real = static_cast<float>(negative ? -value : value);
  if (real - real != 0) return false;
  *out = real;
  return true;
}

octet_status read_flags(octet_error* err, const FieldTable& table, const Field& f, const Word& w,
                        void* to) {
  uint32_t flags = 0;
  for (size_t i = w.begin; i <= w.end;) {
    Word name = {w.text, i, i};
    while (name.end < w.end && w.text[name.end] != '|') ++name.end;
    const Name* n = f.names;
    while (n->text && !name.is(n->text)) ++n;
    if (!n->text) return fail_names(err, table, f, name, "none of, joined by |,");
    flags |= static_cast<uint32_t>(n->value);
    i = name.end + 1;
  }
  save(to, f.offset, flags);
  return OCTET_OK;
}

octet_status read_value(octet_error* err, const FieldTable& table, const Field& f, const Word& w,
                        void* to) {
  int64_t integer;
  float real;
  switch (f.kind) {
    case FieldKind::kInt32:
      if (!read_integer(w, INT32_MIN, INT32_MAX, &integer))
        return fail_value(err, table, f, w, "no integer of 32 bits");
      save(to, f.offset, static_cast<int32_t>(integer));
      return OCTET_OK;
    case FieldKind::kInt64:
      if (!read_integer(w, INT64_MIN, INT64_MAX, &integer))
        return fail_value(err, table, f, w, "no integer of 64 bits");
      save(to, f.offset, integer);
      return OCTET_OK;
    case FieldKind::kSize:
      if (!read_integer(w, 0, SIZE_MAX, &integer))
        return fail_value(err, table, f, w, "no count, an integer of 0 or more");
      save(to, f.offset, static_cast<size_t>(integer));
      return OCTET_OK;
    case FieldKind::kFloat:
      if (!read_float(w, &real))
        return fail_value(err, table, f, w, "no finite decimal number such as 0.01 or 1e-3");
      save(to, f.offset, real);
      return OCTET_OK;
    case FieldKind::kFlags:
      return read_flags(err, table, f, w, to);
    case FieldKind::kEnum:
      break;
  }
  const Name* n = f.names;
  while (n->text && !w.is(n->text)) ++n;
  if (!n->text) return fail_names(err, table, f, w, "none of");
  save(to, f.offset, n->value);
  return OCTET_OK;
}

octet_status fail_key(octet_error* err, const FieldTable& table, const Word& key) {
  char name[41], known[240];
  key.copy(name);
  Text text(known, sizeof known);
  const char* separator = "";
  for (const Field* f = table.fields; f->key; ++f) {
    text.put(separator);
    text.put(f->key);
    separator = ", ";
  }
  text.finish();
  return fail(err, OCTET_ERR_ARGUMENT,
              "The %s text has the unknown key \"%s\" at offset %zu; the keys are %s.", table.what,
              name, key.begin, known);
}

}  // namespace

const FieldTable kSchemeFields = {"octet_scheme", kScheme};
const FieldTable kObserverDescFields = {"octet_observer_desc", kObserverDesc};

octet_status write_fields(octet_error* err, const FieldTable& table, const void* from, char* text,
                          size_t cap, size_t* need) {
  for (const Field* f = table.fields; f->key; ++f) OCTET_TRY(check_field(err, table, *f, from));
  return write_text(
      err, text, cap, need,
      [&](Text& t) {
        const char* separator = "";
        for (const Field* f = table.fields; f->key; ++f) {
          if (is_default(*f, from)) continue;
          t.put(separator);
          t.put(f->key);
          t.put('=');
          write_value(*f, from, &t);
          separator = " ";
        }
      },
      "text");
}

octet_status read_fields(octet_error* err, const FieldTable& table, const char* text, size_t n,
                         void* to) {
  if (!text && n)
    return fail(err, OCTET_ERR_ARGUMENT, "text is NULL, but n is %zu; pass the text.", n);
  uint32_t seen = 0;  // the fields that were named
  for (size_t i = 0; i < n;) {
    if (is_space(text[i])) {
      ++i;
      continue;
    }
    Word key = {text, i, i};
    while (key.end < n && text[key.end] != '=' && !is_space(text[key.end])) ++key.end;
    const Field* f = table.fields;
    while (f->key && !key.is(f->key)) ++f;
    if (!f->key) return fail_key(err, table, key);
    const uint32_t bit = 1u << (f - table.fields);
    if (seen & bit)
      return fail(err, OCTET_ERR_ARGUMENT,
                  "The %s text has the key %s for a second time at offset %zu; name it once.",
                  table.what, f->key, key.begin);
    seen |= bit;
    if (key.end == n || text[key.end] != '=')
      return fail(err, OCTET_ERR_ARGUMENT,
                  "The %s text has no = behind %s at offset %zu; write key=value.", table.what,
                  f->key, key.end);
    Word value = {text, key.end + 1, key.end + 1};
    while (value.end < n && !is_space(text[value.end])) ++value.end;
    OCTET_TRY(read_value(err, table, *f, value, to));
    i = value.end;
  }
  return OCTET_OK;
}

}  // namespace octet

using namespace octet;

namespace {

octet_status check_written(octet_error* err, const octet_scheme& s) {
  if (!s.reserved) return OCTET_OK;
  return fail(err, OCTET_ERR_ARGUMENT, "octet_scheme.reserved is %d; it must be 0.", s.reserved);
}

octet_status check_written(octet_error* err, const octet_observer_desc& d) {
  if (!d.scale && !d.zero_point && !d.user && !d.feed && !d.range) return OCTET_OK;
  return fail(err, OCTET_ERR_UNSUPPORTED,
              "octet_observer_desc has scale, zero_point, user, feed or range set, which text "
              "cannot hold; leave them NULL and set them after reading.");
}

template <class Struct>
octet_status write_struct(octet_error* err, const FieldTable& table, const char* name,
                          const Struct* s, char* text, size_t cap, size_t* need) {
  if (!s) return fail(err, OCTET_ERR_ARGUMENT, "%s is NULL; pass an %s.", name, table.what);
  Struct known;
  OCTET_TRY(read_struct(err, table.what, s, sizeof known, &known));
  OCTET_TRY(check_written(err, known));
  return write_fields(err, table, &known, text, cap, need);
}

template <class Struct>
octet_status read_text(octet_error* err, const FieldTable& table, const char* name,
                       const char* text, size_t n, Struct* s) {
  if (!s) return fail(err, OCTET_ERR_ARGUMENT, "%s is NULL; pass an %s.", name, table.what);
  if (s->struct_size < sizeof *s)
    return fail(err, OCTET_ERR_ARGUMENT,
                "%s.struct_size is %u, but the struct has at least %zu bytes; set it to sizeof.",
                table.what, s->struct_size, sizeof *s);
  Struct filled = {};
  OCTET_TRY(read_fields(err, table, text, n, &filled));
  filled.struct_size = s->struct_size;
  *s = filled;
  return OCTET_OK;
}

}  // namespace

octet_status octet_scheme_write(const octet_scheme* s, char* text, size_t cap, size_t* need,
                                octet_error* err) {
  return write_struct(err, kSchemeFields, "s", s, text, cap, need);
}

octet_status octet_scheme_read(const char* text, size_t n, octet_scheme* s, octet_error* err) {
  return read_text(err, kSchemeFields, "s", text, n, s);
}

octet_status octet_observer_desc_write(const octet_observer_desc* d, char* text, size_t cap,
                                       size_t* need, octet_error* err) {
  return write_struct(err, kObserverDescFields, "d", d, text, cap, need);
}

octet_status octet_observer_desc_read(const char* text, size_t n, octet_observer_desc* d,
                                      octet_error* err) {
  return read_text(err, kObserverDescFields, "d", text, n, d);
}

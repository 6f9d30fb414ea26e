// SPDX-License-Identifier: Apache-2.0
//
// Structs of settings as one line of text, "key=value key=value": field after field, defaults left
// out, enum values by name. Driven by tables of fields, so that writing and reading cannot differ.
#pragma once

#include "src/context.h"

namespace octet {

enum class FieldKind : uint8_t { kInt32, kInt64, kSize, kFloat, kEnum, kFlags };

struct Name {
  const char* text;
  int32_t value;
};

struct Field {
  const char* key;
  FieldKind kind;
  size_t offset;
  const Name* names;  // kEnum, kFlags: ended by {nullptr, 0}
};

struct FieldTable {
  const char* what;     // "octet_scheme"
  const Field* fields;  // ended by {nullptr, ...}
};

extern const FieldTable kSchemeFields, kObserverDescFields;

// Both work on a struct of this library's size.
octet_status write_fields(octet_error* err, const FieldTable& table, const void* from, char* text,
                          size_t cap, size_t* need);
// The fields that the text does not name are left as they are.
octet_status read_fields(octet_error* err, const FieldTable& table, const char* text, size_t n,
                         void* to);

}  // namespace octet

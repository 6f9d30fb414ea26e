/* SPDX-License-Identifier: Apache-2.0
 *
 * Compiles the list in layout.inc into assertions; in C99 and in every C++ alike, so without
 * static_assert. Including this file is the test. */
#include <octet/octet.h>

#define OCTET_JOIN2(a, b) a##b
#define OCTET_JOIN(a, b) OCTET_JOIN2(a, b)
#define OCTET_SAME(value, bytes64, bytes32) \
  typedef char OCTET_JOIN(                  \
      octet_layout_at_,                     \
      __COUNTER__)[(value) == (sizeof(void*) == 8 ? (bytes64) : (bytes32)) ? 1 : -1];

#define OCTET_STRUCT(name, bytes64, bytes32) OCTET_SAME(sizeof(name), bytes64, bytes32)
#define OCTET_FIELD(name, field, bytes64, bytes32) \
  OCTET_SAME(offsetof(name, field), bytes64, bytes32)
#include "layout.inc"

/* Enums are plain 32-bit integers, whatever -fshort-enums makes of others. */
OCTET_SAME(sizeof(octet_status), 4, 4)
OCTET_SAME(sizeof(octet_type), 4, 4)

// SPDX-License-Identifier: Apache-2.0
//
// Memory of contexts whose caller gives no allocator.
#pragma once

#include <octet/octet.h>

namespace octet {

extern const octet_allocator kDefaultAllocator;

}  // namespace octet

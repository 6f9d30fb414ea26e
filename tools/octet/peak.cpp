// SPDX-License-Identifier: Apache-2.0
//
// No loops for this architecture: shares of the peak are left out of the tables.
#include "peak.h"

namespace octet_cli {

std::span<const Peak> peaks_of(std::string_view) { return {}; }

}  // namespace octet_cli

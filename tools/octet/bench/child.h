// SPDX-License-Identifier: Apache-2.0
//
// Libraries read their ISA cap and their thread count once, so that each cap with peers is measured
// by a process of its own.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>

namespace octet_cli {

// What work returns. It runs in a child, which inherits all that was read until now; this process
// has loaded no peer and started no thread, so that a fork is a clean copy. Exceptions of work come
// out here too, a UsageError as such.
nlohmann::ordered_json in_child(const std::function<nlohmann::ordered_json()>& work);

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
//
// A layer as an object: what reports keep and drivers of peers are asked for.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "conv_shape.h"

namespace octet_cli {

nlohmann::ordered_json conv_json(const ConvShape& shape);
// What conv_json wrote; throws nlohmann::json::exception where something lacks.
ConvShape read_conv_json(const nlohmann::ordered_json& json);

}  // namespace octet_cli

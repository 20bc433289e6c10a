#pragma once

#include <string_view>
#include <tl/expected.hpp>

#include "engine/server/api_error.h"
#include "profiles/tokenizer/chat_template.h"

namespace dsbench::engine::server {

// What a chat request asks of the template of a model that has one:
//
//   tools                 array of {"type":"function","function":{name, description, parameters}}
//   chat_template_kwargs  {"thinking": boolean} or {"enable_thinking": boolean}, as vLLM takes it
//   thinking              {"type":"enabled"|"disabled"}, as DeepSeek's API has it
//   tool_choice           "auto", "none" (then no tool is described); a choice that would bind the model is
//   refused
//
// Others are passed over. The body must be one JSON object.
[[nodiscard]] tl::expected<profiles::ChatSettings, ApiError> read_chat_settings(std::string_view body);

}  // namespace dsbench::engine::server

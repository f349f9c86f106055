#pragma once

// Which names tell that what they stand for is secret. Pure.

#include <string_view>

namespace berth {

// WANDB_API_KEY, HF_TOKEN, DB_PASSWORD, GITHUB_PAT, apiKey, … but neither KEYBOARD nor TOKENIZERS_PARALLELISM. In doubt
// it is one: what is wrongly hidden works all the same.
bool names_secret(std::string_view name);
// The same of a parameter in a URL's query, where a signature lets in whoever has it ("sig", "X-Amz-Signature").
bool names_secret_parameter(std::string_view name);
// Whether the value tells how many tokens there are (MAX_TOKENS=4096), which is no secret.
bool only_counts(std::string_view name, std::string_view value);

}  // namespace berth

#include "agent/jobs/secret_masks.hpp"

#include <nlohmann/json.hpp>

#include "runtime/base/text.hpp"
#include "runtime/base/url_credentials.hpp"
#include "runtime/docker/base64.hpp"

namespace berth::jobs {
namespace {

constexpr std::size_t kLongestSpelled = 4096;  // files are not written in URLs

bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
         c == '~';
}

std::string percent_encoded(std::string_view text, std::string_view digits) {
  std::string coded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (is_unreserved(c))
      coded += c;
    else
      ((coded += '%') += digits[byte >> 4]) += digits[byte & 15];
  }
  return coded;
}

// Within a longer text, such as "user:secret", its letters depend on where it begins; those at its ends on its neighbours,
// too.
void add_base64(std::vector<std::string>& spellings, const std::string& text) {
  for (const auto alphabet : {docker::Alphabet::standard, docker::Alphabet::url}) {
    for (std::size_t shift = 0; shift < 3; ++shift) {
      const auto coded = docker::base64(std::string(shift, ' ') + text, alphabet);
      const auto begin = (shift * 8 + 5) / 6;
      const auto end = (shift + text.size()) * 8 / 6;
      if (end > begin) spellings.push_back(coded.substr(begin, end - begin));
    }
  }
}

void add_spellings(std::vector<std::string>& spellings, const std::string& text) {
  if (text.size() < logs::Mask::kLeast || text.size() > kLongestSpelled) return;
  spellings.push_back(percent_encoded(text, "0123456789ABCDEF"));
  spellings.push_back(percent_encoded(text, "0123456789abcdef"));
  if (is_utf8(text)) {
    const auto quoted = nlohmann::json(text).dump();
    spellings.push_back(quoted.substr(1, quoted.size() - 2));
  }
  add_base64(spellings, text);
}

}  // namespace

logs::Mask mask_of(const model::JobSecrets& secrets) { return mask_of(std::vector{secrets}); }

logs::Mask mask_of(const std::vector<model::JobSecrets>& several) {
  std::vector<std::string> values;
  for (const auto& secrets : several)
    for (auto& value : model::values_to_mask(secrets)) {
      auto decoded = percent_decoded(value);
      if (decoded != value) values.push_back(std::move(decoded));
      values.push_back(std::move(value));
    }
  auto spellings = values;  // first: there may be more than a mask takes
  for (const auto& value : values) add_spellings(spellings, value);
  return logs::Mask(spellings);
}

Error masked(const Error& error, const model::JobSecrets& secrets) {
  return masked(error, mask_of(secrets));
}

Error masked(const Error& error, const logs::Mask& mask) {
  const auto hide = [&](const std::string& text) { return mask.apply(without_credentials(text)); };
  Error hidden(error.code(), hide(error.message()), hide(error.hint()));
  for (const auto& context : error.context()) hidden.add_context(hide(context));
  return hidden;
}

}  // namespace berth::jobs

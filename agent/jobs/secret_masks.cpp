#include "agent/jobs/secret_masks.hpp"

#include <nlohmann/json.hpp>

#include "runtime/base/base64.hpp"
#include "runtime/base/percent.hpp"
#include "runtime/base/text.hpp"
#include "runtime/base/units.hpp"
#include "runtime/base/url_credentials.hpp"

namespace berth::jobs {
namespace {

constexpr std::size_t kLongestSpelled = 4096;  // files are not written in URLs

// Within a longer text, such as "user:secret", its letters depend on where it begins; those at its ends on its
// neighbours, too.
void add_base64(std::vector<std::string>& spellings, const std::string& text) {
  for (const auto alphabet : {Base64::standard, Base64::url}) {
    for (std::size_t shift = 0; shift < 3; ++shift) {
      const auto coded = base64(std::string(shift, ' ') + text, alphabet);
      const auto begin = (shift * 8 + 5) / 6;
      const auto end = (shift + text.size()) * 8 / 6;
      if (end > begin) spellings.push_back(coded.substr(begin, end - begin));
    }
  }
}

void add_spellings(std::vector<std::string>& spellings, const std::string& text) {
  if (text.size() < logs::Mask::kLeast || text.size() > kLongestSpelled) return;
  spellings.push_back(percent_encoded(text));
  spellings.push_back(percent_encoded(text, EscapeDigits::lower));
  if (is_utf8(text)) {
    const auto quoted = nlohmann::json(text).dump();
    spellings.push_back(quoted.substr(1, quoted.size() - 2));
  }
  add_base64(spellings, text);
}

}  // namespace

void check_size(const std::vector<std::string>& values) {
  if (model::bytes_of(values) > model::kMostMasked)
    throw Error(Code::too_large,
                "there are more secrets than can be masked, which is " + to_text(ByteSize(model::kMostMasked)));
}

logs::Mask mask_of(const std::vector<std::string>& values) {
  check_size(values);
  auto spellings = values;
  for (const auto& value : values) add_spellings(spellings, value);
  return logs::Mask(spellings);
}

logs::Mask mask_of(const model::JobSecrets& secrets) { return mask_of(model::values_to_mask(secrets)); }

Error masked(const Error& error, const logs::Mask& mask) {
  const auto hide = [&](const std::string& text) { return mask.apply(without_credentials(text)); };
  Error hidden(error.code(), hide(error.message()), hide(error.hint()));
  hidden.for_lack_of(error.lack());
  for (const auto& context : error.context()) hidden.add_context(hide(context));
  return hidden;
}

}  // namespace berth::jobs

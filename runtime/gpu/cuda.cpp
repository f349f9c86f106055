#include "runtime/gpu/cuda.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace berth::gpu {
namespace {

struct Release {
  Version cuda;
  Version driver;  // the oldest for Linux that has it
};

constexpr std::array<Release, 28> kReleases{{
    {{8, 0, 0}, {375, 26, 0}},   {{9, 0, 0}, {384, 81, 0}},  {{9, 1, 0}, {390, 46, 0}},  {{9, 2, 0}, {396, 26, 0}},
    {{10, 0, 0}, {410, 48, 0}},  {{10, 1, 0}, {418, 39, 0}}, {{10, 2, 0}, {440, 33, 0}}, {{11, 0, 0}, {450, 51, 6}},
    {{11, 1, 0}, {455, 23, 0}},  {{11, 2, 0}, {460, 27, 3}}, {{11, 3, 0}, {465, 19, 1}}, {{11, 4, 0}, {470, 42, 1}},
    {{11, 5, 0}, {495, 29, 5}},  {{11, 6, 0}, {510, 39, 1}}, {{11, 7, 0}, {515, 43, 4}}, {{11, 8, 0}, {520, 61, 5}},
    {{12, 0, 0}, {525, 60, 13}}, {{12, 1, 0}, {530, 30, 2}}, {{12, 2, 0}, {535, 54, 3}}, {{12, 3, 0}, {545, 23, 6}},
    {{12, 4, 0}, {550, 54, 14}}, {{12, 5, 0}, {555, 42, 2}}, {{12, 6, 0}, {560, 28, 3}}, {{12, 8, 0}, {570, 26, 0}},
    {{12, 9, 0}, {575, 51, 3}},  {{13, 0, 0}, {580, 65, 6}}, {{13, 1, 0}, {590, 44, 1}}, {{13, 2, 0}, {595, 45, 4}},
}};

// Minor-version compatibility, and the oldest driver branch for which there is a cuda-compat.
struct Major {
  int cuda;
  std::optional<Version> minor_versions;
  int compat_branch;
};

constexpr std::array<Major, 4> kMajors{{{10, std::nullopt, 384},
                                        {11, Version{450, 80, 2}, 418},
                                        {12, Version{525, 60, 13}, 470},
                                        {13, Version{580, 0, 0}, 535}}};

// A generation of GPUs: which toolkits make code for it, and the last driver branch that knows it.
struct Generation {
  Version from;  // compute capability
  const char* name;
  Version first_toolkit;
  int last_toolkit;  // major version; 0: it is current
  int last_driver;   // 0: it is current
};

constexpr std::array<Generation, 11> kGenerations{{{{2, 0, 0}, "Fermi", {3, 0, 0}, 8, 390},
                                                   {{3, 0, 0}, "Kepler", {4, 2, 0}, 11, 470},
                                                   {{5, 0, 0}, "Maxwell", {6, 5, 0}, 12, 580},
                                                   {{6, 0, 0}, "Pascal", {8, 0, 0}, 12, 580},
                                                   {{7, 0, 0}, "Volta", {9, 0, 0}, 12, 580},
                                                   {{7, 5, 0}, "Turing", {10, 0, 0}, 0, 0},
                                                   {{8, 0, 0}, "Ampere", {11, 0, 0}, 0, 0},
                                                   {{8, 9, 0}, "Ada", {11, 8, 0}, 0, 0},
                                                   {{9, 0, 0}, "Hopper", {11, 8, 0}, 0, 0},
                                                   {{10, 0, 0}, "Blackwell", {12, 8, 0}, 0, 0},
                                                   {{12, 0, 0}, "Blackwell", {12, 8, 0}, 0, 0}}};

constexpr auto kLastKnown = Version{12, 99, 0};  // compute capability

// Nothing for capabilities that this table does not know: no rule is applied to them.
const Generation* generation_of(const Card& card) {
  const Generation* found = nullptr;
  if (card.capability > kLastKnown) return found;
  for (const auto& generation : kGenerations)
    if (generation.from <= card.capability) found = &generation;
  return found;
}

const Major* major_of(const Version& cuda) {
  const auto* found =
      std::find_if(kMajors.begin(), kMajors.end(), [&](const Major& row) { return row.cuda == cuda.first; });
  return found == kMajors.end() ? nullptr : found;
}

// The newest that the driver has itself.
std::optional<Version> cuda_of_driver(const Machine& machine) {
  if (machine.cuda || !machine.driver) return machine.cuda;
  std::optional<Version> newest;
  for (const auto& release : kReleases)
    if (release.driver <= *machine.driver) newest = release.cuda;
  return newest;
}

bool has_minor_compatibility(const Version& cuda, const Version& driver) {
  const auto* row = major_of(cuda);
  return row != nullptr && row->minor_versions && driver >= *row->minor_versions;
}

bool has_forward_compatibility(const CudaRequirement& wanted, const Version& driver, const Card& card) {
  const auto* row = major_of(*wanted.least);
  return wanted.carries_compat && is_data_centre(card) && row != nullptr && driver.first >= row->compat_branch;
}

// The last release of a major version.
Version newest_of(int cuda_major) {
  Version newest;
  for (const auto& release : kReleases)
    if (release.cuda.first == cuda_major) newest = release.cuda;
  return newest;
}

std::string toolkit_in_words(const CudaRequirement& wanted) {
  if (wanted.least && wanted.most && wanted.least == wanted.most) return "CUDA " + to_text(*wanted.least);
  if (wanted.least && wanted.most && wanted.least->first == wanted.most->first && wanted.least->second == 0)
    return "CUDA " + std::to_string(wanted.least->first);
  if (wanted.least) return "CUDA " + to_text(*wanted.least) + " or newer";
  return wanted.most ? "CUDA " + to_text(*wanted.most) + " or older" : "CUDA";
}

std::string driver_in_words(const Machine& machine) {
  auto text = "driver " + driver_text(*machine.driver);
  if (const auto cuda = cuda_of_driver(machine)) text += ", which has CUDA " + to_text(*cuda);
  return text;
}

std::string generation_in_words(const Card& card, const Generation& generation) {
  return card.name + " (" + generation.name + ", compute capability " + to_text(card.capability) + ")";
}

// "take … or something for CUDA 12.2 or older"
std::string what_fits(const Machine& machine, const std::vector<BaseImage>& images) {
  const auto newest = newest_cuda(machine);
  if (!newest) return "";
  auto text = "the newest CUDA that this machine has is " + to_text(*newest);
  if (const auto image = newest_image(images, machine)) text += "; the image " + image->reference + " would fit";
  return text;
}

// The driver that has what is wanted itself; for a card that has none so new, one that does by minor-version
// compatibility.
std::optional<Version> driver_needed(const CudaRequirement& wanted, const Card& card) {
  if (!wanted.least) return std::nullopt;
  const auto needed = driver_for(*wanted.least);
  const auto* generation = generation_of(card);
  const bool knows_card =
      !needed || generation == nullptr || generation->last_driver == 0 || needed->first <= generation->last_driver;
  const auto* row = major_of(*wanted.least);
  return knows_card || row == nullptr ? needed : row->minor_versions;
}

Mismatch driver_mismatch(const CudaRequirement& wanted, const Machine& machine, const Card& card,
                         const std::vector<BaseImage>& images) {
  Mismatch mismatch;
  mismatch.newest_cuda = newest_cuda(machine);
  mismatch.what = wanted.by + " wants " + toolkit_in_words(wanted);
  const auto needed = driver_needed(wanted, card);
  if (needed) mismatch.what += ", for which the NVIDIA driver must be " + driver_text(*needed) + " or newer";
  mismatch.what += "; this machine has " + driver_in_words(machine);
  mismatch.hint = what_fits(machine, images);
  mismatch.driver_needed = needed;
  const std::string update = needed ? "or update the driver to " + driver_text(*needed) : "or update the driver";
  mismatch.hint += (mismatch.hint.empty() ? update.substr(3) : "; " + update);
  return mismatch;
}

// Whether the driver will do; a note in words where with less than its own CUDA.
Verdict judge_driver(const CudaRequirement& wanted, const Machine& machine, const Card& card,
                     const std::vector<BaseImage>& images) {
  const auto cuda = cuda_of_driver(machine).value_or(Version{});
  const Facts facts{cuda, *machine.driver, card.capability, card.brand};
  const bool refused = std::any_of(wanted.requirements.begin(), wanted.requirements.end(),
                                   [&](const Requirement& requirement) { return !is_met(requirement, facts); });
  if (refused) {
    auto mismatch = driver_mismatch(wanted, machine, card, images);
    mismatch.what += ": its NVIDIA_REQUIRE_CUDA is not met";
    return mismatch;
  }
  if (!wanted.least || *wanted.least <= cuda) return Compatible{};
  const auto toolkit = "CUDA " + to_text(*wanted.least);
  if (has_minor_compatibility(*wanted.least, *machine.driver))
    return Compatible{{wanted.by + " wants " + toolkit + " and the driver has " + to_text(cuda) +
                       ": it runs by minor-version compatibility, but code compiled at run time (PTX) may fail"}};
  if (has_forward_compatibility(wanted, *machine.driver, card) ||
      (!wanted.requirements.empty() && is_data_centre(card)))
    return Compatible{{wanted.by + " wants " + toolkit + " and the driver has " + to_text(cuda) +
                       ": it runs by forward compatibility, with its own cuda-compat"}};
  return driver_mismatch(wanted, machine, card, images);
}

Mismatch capability_mismatch(const CudaRequirement& wanted, const Machine& machine, const std::string& why,
                             const std::vector<BaseImage>& images) {
  Mismatch mismatch;
  mismatch.what = wanted.by + " wants " + toolkit_in_words(wanted) + ", " + why;
  mismatch.newest_cuda = newest_cuda(machine);
  mismatch.hint = what_fits(machine, images);
  return mismatch;
}

// Whether a toolkit that is wanted makes code for the card. Code for 8.0 also runs on the later 8.x, so that an
// older toolkit of the same generation is a note only.
Verdict judge_capability(const CudaRequirement& wanted, const Machine& machine, const Card& card,
                         const std::vector<BaseImage>& images) {
  const auto* generation = generation_of(card);
  if (generation == nullptr) return Compatible{};
  const auto card_words = generation_in_words(card, *generation);
  if (wanted.least && generation->last_toolkit > 0 && wanted.least->first > generation->last_toolkit)
    return capability_mismatch(wanted, machine,
                               "which has dropped this machine's " + card_words + ": the last for it is CUDA " +
                                   std::to_string(generation->last_toolkit),
                               images);
  if (!wanted.most || *wanted.most >= generation->first_toolkit) return Compatible{};
  const Version family{card.capability.first, 0, 0};
  const auto* first =
      std::find_if(kGenerations.begin(), kGenerations.end(), [&](const Generation& row) { return row.from >= family; });
  const auto words = "which is older than this machine's " + card_words + ": the first for it is CUDA " +
                     to_text(generation->first_toolkit);
  if (first->from < generation->from && first->from.first == family.first && *wanted.most >= first->first_toolkit)
    return Compatible{{wanted.by + " wants " + toolkit_in_words(wanted) + ", " + words +
                       "; it runs with code for compute capability " + to_text(first->from)}};
  return capability_mismatch(wanted, machine, words, images);
}

Verdict judge_card(const CudaRequirement& wanted, const Machine& machine, const Card& card,
                   const std::vector<BaseImage>& images) {
  auto capability = judge_capability(wanted, machine, card, images);
  if (std::holds_alternative<Mismatch>(capability)) return capability;
  auto verdict = judge_driver(wanted, machine, card, images);
  if (auto* compatible = std::get_if<Compatible>(&verdict)) {
    auto& notes = std::get<Compatible>(capability).notes;
    compatible->notes.insert(compatible->notes.end(), notes.begin(), notes.end());
  }
  return verdict;
}

Mismatch no_driver(const CudaRequirement& wanted) {
  Mismatch mismatch;
  mismatch.driver_needed = wanted.least ? driver_for(*wanted.least) : std::nullopt;
  mismatch.what = wanted.by + " wants " + toolkit_in_words(wanted) + "; this machine has no NVIDIA driver";
  mismatch.hint = "install the NVIDIA driver";
  if (mismatch.driver_needed) mismatch.hint += ", " + driver_text(*mismatch.driver_needed) + " or newer";
  return mismatch;
}

// Joins the notes into `all`, each once; the mismatch, if it is one.
std::optional<Mismatch> gather(Verdict verdict, Compatible& all) {
  if (auto* mismatch = std::get_if<Mismatch>(&verdict)) return std::move(*mismatch);
  for (auto& note : std::get<Compatible>(verdict).notes)
    if (std::find(all.notes.begin(), all.notes.end(), note) == all.notes.end()) all.notes.push_back(std::move(note));
  return std::nullopt;
}

}  // namespace

Verdict judge(const CudaRequirement& wanted, const Machine& machine, const std::vector<BaseImage>& images) {
  if (!machine.driver) return no_driver(wanted);
  Compatible all;
  for (const auto& card : machine.cards)
    if (auto mismatch = gather(judge_card(wanted, machine, card, images), all)) return std::move(*mismatch);
  return all;
}

Verdict judge(const std::vector<CudaRequirement>& wanted, const Machine& machine,
              const std::vector<BaseImage>& images) {
  Compatible all;
  for (const auto& one : wanted)
    if (auto mismatch = gather(judge(one, machine, images), all)) return std::move(*mismatch);
  return all;
}

std::optional<Version> newest_cuda(const Machine& machine) {
  if (!machine.driver) return std::nullopt;
  auto newest = cuda_of_driver(machine);
  if (!newest) return std::nullopt;
  for (const auto& card : machine.cards)
    if (const auto* generation = generation_of(card); generation != nullptr && generation->last_toolkit > 0)
      newest = std::min(*newest, newest_of(generation->last_toolkit));
  return newest;
}

std::optional<BaseImage> newest_image(const std::vector<BaseImage>& images, const Machine& machine) {
  std::optional<BaseImage> best;
  bool best_is_native = false;
  for (const auto& image : images) {
    const CudaRequirement wanted{.by = image.reference, .least = image.cuda, .most = image.cuda, .requirements = {}};
    const auto verdict = judge(wanted, machine);
    if (!std::holds_alternative<Compatible>(verdict)) continue;
    const bool native = image.cuda <= cuda_of_driver(machine).value_or(Version{});
    if (best && (native == best_is_native ? image.cuda <= best->cuda : best_is_native)) continue;
    best = image;
    best_is_native = native;
  }
  return best;
}

std::optional<Version> driver_for(const Version& cuda) {
  for (const auto& release : kReleases)
    if (release.cuda >= Version{cuda.first, cuda.second, 0}) return release.driver;
  return std::nullopt;
}

bool is_data_centre(const Card& card) {
  return card.brand == "tesla" || card.brand == "nvidia" || card.brand == "grid";
}

}  // namespace berth::gpu

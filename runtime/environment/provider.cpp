#include "runtime/environment/provider.hpp"

#include <nlohmann/json.hpp>

#include "runtime/base/error.hpp"
#include "runtime/base/text.hpp"
#include "runtime/environment/lock_text.hpp"

namespace berth::environment {
namespace {

// A lock says itself what it is of.
std::string kind_of_lock(const std::string& lock) {
  const auto json = read_lock(lock);
  if (!json.is_object() || !json.contains("kind") || !json.at("kind").is_string())
    throw Error(Code::invalid, "the lock cannot be read", "give what `berth env lock` printed");
  return json.at("kind").get<std::string>();
}

struct KindOf {
  std::string operator()(const None&) const { return kNoKind; }
  std::string operator()(const UserManaged&) const { return kUserManagedKind; }
  std::string operator()(const FromFiles& spec) const { return spec.kind; }
  std::string operator()(const Image&) const { return kImageKind; }
  std::string operator()(const DockerBuild&) const { return kImageKind; }
  std::string operator()(const Locked& spec) const { return kind_of_lock(spec.lock); }
};

}  // namespace

void Providers::add(std::unique_ptr<Provider> provider) {
  auto kind = provider->kind();
  by_kind_[std::move(kind)] = std::move(provider);
}

Provider& Providers::of(const Spec& spec) const {
  const auto kind = std::visit(KindOf{}, spec);
  const auto found = by_kind_.find(kind);
  const bool lock = std::holds_alternative<Locked>(spec);
  if (found != by_kind_.end() && (!lock || found->second->takes_locks())) return *found->second;
  throw Error(Code::unsupported,
              std::string("this node does not make environments of ") + (lock ? "locks of " : "") + "kind '" +
                  printable(kind) + "'",
              "its administrator can set it up; `berth doctor` tells what is missing");
}

}  // namespace berth::environment

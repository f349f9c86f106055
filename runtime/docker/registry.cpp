#include "runtime/docker/registry.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <optional>

#include "runtime/base/base64.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/percent.hpp"
#include "runtime/base/text.hpp"
#include "runtime/docker/json.hpp"
#include "runtime/docker/manifest.hpp"
#include "runtime/docker/registry_auth.hpp"
#include "runtime/http/client.hpp"
#include "runtime/http/tls.hpp"
#include "runtime/http/url.hpp"
#include "runtime/objects/sha256.hpp"

namespace berth::docker {
namespace {

using http::Url;

constexpr std::uint64_t kLargestManifest = 8U << 20;
constexpr int kMostRedirects = 5;
constexpr std::string_view kManifestTypes =
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

bool is_loopback(const std::string& host) { return host == "localhost" || host == "::1" || host.starts_with("127."); }

std::string api_host(const std::string& registry) {
  return registry == "docker.io" ? "registry-1.docker.io" : registry;
}

// A failure's own words: {"errors": [{"code": …, "message": …}]}.
std::string words_of(const http::Answer& answer) {
  std::string words;
  const auto json = json_or_null(answer.body, kAnswerBounds);
  for (const auto& error : member(json, "errors")) {
    const auto message = text_of(error, "message");
    (words += words.empty() ? "" : "; ") += message.empty() ? text_of(error, "code") : message;
  }
  if (words.empty()) words = "status " + std::to_string(answer.status);
  return printable(std::string_view(words).substr(0, 300));
}

// One registry, one repository, one question after another.
class Session {
 public:
  Session(const Reference& reference, const Credentials& credentials, const RegistryOptions& options)
      : reference_(reference), credentials_(credentials), options_(options), base_(base_of(reference, options)) {}

  http::Answer manifest(const std::string& version) {
    auto answer = get("/v2/" + reference_.repository + "/manifests/" + version, kManifestTypes);
    verify(answer.body, is_digest(version) ? version : std::string(), "the manifest");
    return answer;
  }
  std::string blob(const std::string& digest) {
    auto answer = get("/v2/" + reference_.repository + "/blobs/" + digest, "*/*");
    verify(answer.body, digest, "the configuration");
    return std::move(answer.body);
  }

 private:
  static Url base_of(const Reference& reference, const RegistryOptions& options) {
    const auto host = api_host(reference.registry);
    auto url = http::parse_url("https://" + host);
    if (!url) throw Error(Code::invalid, printable(host) + " is no registry's host");
    const bool listed = std::ranges::find(options.insecure, reference.registry) != options.insecure.end();
    if ((listed || is_loopback(url->host)) && url->port != 443) url->scheme = "http";
    return *url;
  }

  void verify(const std::string& body, const std::string& digest, const std::string& what) const {
    if (!digest.empty() && "sha256:" + objects::sha256(body).hex() != digest)
      throw Error(Code::corrupt, what + " that " + base_.authority() + " sent for " + reference_.text() +
                                     " does not have the digest " + digest);
  }

  http::Client client(const Url& url) const {
    http::Client::Options options;
    options.server_name = "registry " + url.authority();
    options.absence = Lack::registry;
    options.patience = options_.patience;
    options.largest_answer = kLargestManifest;
    options.host = url.authority();
    options.stop = options_.stop;
    const auto connect = [url, patience = options.patience] {
      return url.scheme == "https" ? http::connect_tls(url.host, url.port, patience)
                                   : http::connect_tcp(url.host, url.port, patience);
    };
    return http::Client(connect, std::move(options));
  }

  http::Answer ask(const Url& url, std::string_view accept, const std::string& authorization) const {
    http::Client::Request request;
    request.method = "GET";
    request.target = url.target;
    request.headers.add("Accept", std::string(accept));
    request.headers.add("User-Agent", "berth");
    if (!authorization.empty()) request.headers.add("Authorization", authorization);
    return client(url).ask(request);
  }

  // A registry on an insecure host may speak TLS after all.
  http::Answer ask_registry(Url& url, std::string_view accept) {
    auto answer = ask(url, accept, authorization_);
    if (url.scheme == "http" && answer.status == 400 && answer.body.find("HTTPS server") != std::string::npos) {
      base_.scheme = url.scheme = "https";
      answer = ask(url, accept, authorization_);
    }
    return answer;
  }

  http::Answer get(const std::string& target, std::string_view accept) {
    auto url = base_;
    url.target = target;
    auto answer = ask_registry(url, accept);
    if (answer.status == 401) {
      authorize(answer);
      answer = ask_registry(url, accept);
    }
    answer = followed(std::move(answer), url, accept);
    if (answer.status >= 400 || answer.status != 200) refuse(answer);
    return answer;
  }

  // What authorizes us goes to no other server.
  http::Answer followed(http::Answer answer, Url url, std::string_view accept) const {
    for (int i = 0; i < kMostRedirects && answer.status / 100 == 3; ++i) {
      const auto location = answer.headers.find("Location");
      const auto next = location ? http::follow(url, *location) : std::nullopt;
      if (!next || (url.scheme == "https" && next->scheme != "https"))
        throw Error(Code::invalid, "the registry " + base_.authority() + " redirects to nowhere safe");
      answer = ask(*next, accept, next->same_server(base_) ? authorization_ : std::string());
      url = *next;
    }
    return answer;
  }

  void authorize(const http::Answer& answer) {
    const auto field = answer.headers.find("WWW-Authenticate");
    const auto challenge = field ? parse_challenge(*field) : std::nullopt;
    if (challenge && challenge->scheme == "bearer") {
      authorization_ = "Bearer " + token(*challenge);
    } else if (challenge && challenge->scheme == "basic" && !credentials_.username.empty()) {
      authorization_ = basic();
    } else {
      refuse(answer);
    }
  }

  std::string basic() const { return "Basic " + base64(credentials_.username + ":" + credentials_.password); }

  std::string token(const Challenge& challenge) const {
    const auto value = [&](const char* name) {
      const auto found = challenge.parameters.find(name);
      return found == challenge.parameters.end() ? std::string() : found->second;
    };
    auto realm = http::parse_url(value("realm"));
    if (!realm || (base_.scheme == "https" && realm->scheme != "https"))
      throw Error(Code::invalid, "the registry " + base_.authority() + " names no usable token server");
    auto scope = value("scope");
    if (scope.empty()) scope = "repository:" + reference_.repository + ":pull";
    const auto answer = credentials_.identity_token.empty() ? ask_for_token(*realm, value("service"), scope)
                                                            : refresh_token(*realm, value("service"), scope);
    if (answer.status != 200) refuse(answer);
    const auto json = json_or_null(answer.body, kAnswerBounds);
    auto token = text_of(json, "token");
    if (token.empty()) token = text_of(json, "access_token");
    if (token.empty()) throw Error(Code::invalid, "the token server " + realm->authority() + " gave no token");
    return token;
  }

  http::Answer ask_for_token(Url realm, const std::string& service, const std::string& scope) const {
    realm.target += realm.target.find('?') == std::string::npos ? "?" : "&";
    realm.target += "service=" + percent_encoded(service) + "&scope=" + percent_encoded(scope);
    return ask(realm, "application/json", credentials_.username.empty() ? std::string() : basic());
  }

  http::Answer refresh_token(const Url& realm, const std::string& service, const std::string& scope) const {
    const auto body = "grant_type=refresh_token&client_id=berth&service=" + percent_encoded(service) +
                      "&scope=" + percent_encoded(scope) +
                      "&refresh_token=" + percent_encoded(credentials_.identity_token);
    http::Client::Request request;
    request.method = "POST";
    request.target = realm.target;
    request.body = body;
    request.content_type = "application/x-www-form-urlencoded";
    return client(realm).ask(request);
  }

  [[noreturn]] void refuse(const http::Answer& answer) const {
    const auto what = "cannot look at " + reference_.text() + ": ";
    const auto said = " (" + base_.authority() + ": " + words_of(answer) + ")";
    if (answer.status == 401 || answer.status == 403)
      throw Error(
          Code::denied,
          what + (credentials_.empty() ? "the registry wants credentials" : "the registry refuses the credentials") +
              said,
          "check the name; for a private image give credentials: docker login, or the job's own");
    if (answer.status == 404)
      throw Error(Code::not_found, what + "the registry has no such image" + said, "check name and tag");
    if (answer.status == 429)
      throw Error(Code::unavailable, what + "the registry limits its clients" + said,
                  "log in to it, or try again later")
          .for_lack_of(Lack::registry);
    if (answer.status >= 500)
      throw Error(Code::unavailable, what + "the registry fails" + said).for_lack_of(Lack::registry);
    throw Error(Code::invalid, what + "the registry fails" + said);
  }

  const Reference& reference_;
  const Credentials& credentials_;
  const RegistryOptions& options_;
  Url base_;
  std::string authorization_;
};

RemoteImage ask_registry(const Reference& reference, const Credentials& credentials, const RegistryOptions& options) {
  Session session(reference, credentials, options);
  auto body = session.manifest(reference.version()).body;
  RemoteImage image;
  image.index_digest = image.digest = "sha256:" + objects::sha256(body).hex();
  if (auto chosen = manifest_for(body, options.platform, reference)) {
    image.digest = std::move(*chosen);
    body = session.manifest(image.digest).body;
  }
  image.pinned = reference.with_digest(image.digest);
  const auto manifest = parse_manifest(body, reference);
  image.config_digest = manifest.config_digest;
  image.layers = manifest.layers;
  auto config = parse_image_config(session.blob(image.config_digest), options.platform, reference);
  image.os = std::move(config.os);
  image.architecture = std::move(config.architecture);
  image.environment = std::move(config.environment);
  return image;
}

}  // namespace

Platform this_platform() {
  utsname names{};
  ::uname(&names);
  const std::string machine = names.machine;
  if (machine == "x86_64") return {"linux", "amd64"};
  if (machine == "aarch64") return {"linux", "arm64"};
  return {"linux", machine};
}

std::string RemoteImage::variable(std::string_view name) const {
  std::string value;
  for (const auto& entry : environment)
    if (entry.starts_with(name) && entry.substr(name.size()).starts_with('=')) value = entry.substr(name.size() + 1);
  return value;
}

RemoteImage resolve(const Reference& reference, const Credentials& credentials, const RegistryOptions& options) {
  try {
    return ask_registry(reference, credentials, options);
  } catch (Error& error) {
    error.add_context("asking the registry about " + reference.text());
    throw;
  }
}

}  // namespace berth::docker

#include "runtime/docker/engine.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/percent.hpp"
#include "runtime/base/text.hpp"
#include "runtime/docker/engine_error.hpp"
#include "runtime/docker/json.hpp"
#include "runtime/http/url.hpp"

namespace berth::docker {
namespace {

// The newest API that this code was written against; an engine that no longer speaks it is asked in its
// oldest.
constexpr std::string_view kNewestApi = "1.51";
constexpr std::chrono::seconds kPatience{120};  // removing a large image takes its time
constexpr std::uint64_t kLargestAnswer = 64U << 20;

std::pair<int, int> parts_of(std::string_view version) {
  const auto dot = version.find('.');
  std::pair<int, int> parts;
  const auto major = version.substr(0, dot);
  std::from_chars(major.data(), major.data() + major.size(), parts.first);
  if (dot == std::string_view::npos) return parts;
  const auto minor = version.substr(dot + 1);
  std::from_chars(minor.data(), minor.data() + minor.size(), parts.second);
  return parts;
}

std::int64_t number_of(const Json& object, const char* name) {
  const auto found = member(object, name);
  return found.is_number() ? found.get<std::int64_t>() : 0;
}

std::vector<std::string> strings_of(const Json& object, const char* name) {
  std::vector<std::string> strings;
  for (const auto& item : member(object, name))
    if (item.is_string()) strings.push_back(item.get<std::string>());
  return strings;
}

Labels labels_of(const Json& object) {
  Labels labels;
  const auto found = member(object, "Labels");
  if (!found.is_object()) return labels;
  for (const auto& [name, value] : found.items())
    if (value.is_string()) labels[name] = value.get<std::string>();
  return labels;
}

ByteSize size_of(const Json& object) {
  return ByteSize(static_cast<std::uint64_t>(std::max<std::int64_t>(number_of(object, "Size"), 0)));
}

// "2024-05-01T10:20:30.123Z"; the epoch where it is not that.
std::chrono::system_clock::time_point time_of(const std::string& text) {
  std::tm parts{};
  if (::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts) == nullptr) return {};
  return std::chrono::system_clock::from_time_t(::timegm(&parts));
}

Json parse(std::string_view body) {
  try {
    return read_json(body);
  } catch (Error& failure) {
    failure.add_context("reading the container engine's answer");
    throw;
  }
}

// As Docker itself calls them: Podman names the registry of images that Docker takes for granted.
std::vector<std::string> familiar(std::vector<std::string> names) {
  for (auto& name : names)
    for (const std::string_view taken_for_granted : {"docker.io/library/", "docker.io/"})
      if (name.starts_with(taken_for_granted)) name.erase(0, taken_for_granted.size());
  return names;
}

Image image_from(const Json& json) {
  const auto config = member(json, "Config");
  Image image;
  image.id = text_of(json, "Id");
  image.tags = familiar(strings_of(json, "RepoTags"));
  image.digests = familiar(strings_of(json, "RepoDigests"));
  image.environment = strings_of(config, "Env");
  image.entrypoint = strings_of(config, "Entrypoint");
  image.labels = labels_of(config);
  image.architecture = text_of(json, "Architecture");
  image.os = text_of(json, "Os");
  image.working_directory = text_of(config, "WorkingDir");
  image.size = size_of(json);
  image.created = time_of(text_of(json, "Created"));
  return image;
}

Container container_from(const Json& json) {
  const auto state = member(json, "State");
  Container container;
  container.id = text_of(json, "Id");
  container.name = text_of(json, "Name");
  if (container.name.starts_with('/')) container.name.erase(0, 1);
  container.image = text_of(json, "Image");
  container.labels = labels_of(member(json, "Config"));
  container.status = text_of(state, "Status");
  container.running = member(state, "Running") == true;
  container.pid = static_cast<pid_t>(number_of(state, "Pid"));
  container.exit_code = static_cast<int>(number_of(state, "ExitCode"));
  container.out_of_memory = member(state, "OOMKilled") == true;
  container.error = text_of(state, "Error");
  return container;
}

[[noreturn]] void fail(const http::Answer& answer, const std::string& action, const std::string& object) {
  throw call_error(answer.status, action, object, message_of(answer.body));
}

void check(const http::Answer& answer, const std::string& action, const std::string& object) {
  if (answer.status >= 400) fail(answer, action, object);
}

// False for what is not there.
bool check_or_absent(const http::Answer& answer, const std::string& action, const std::string& object) {
  if (answer.status == 404) return false;
  check(answer, action, object);
  return true;
}

// A path's part: references keep their slashes.
std::string in_path(const std::string& name) {
  std::string encoded;
  for (const char c : name) encoded += c == '/' || c == ':' || c == '@' ? std::string(1, c) : percent_encoded({&c, 1});
  return encoded;
}

std::string build_query(const BuildOptions& options) {
  std::string query = "dockerfile=" + percent_encoded(options.dockerfile) + "&rm=1&forcerm=1";
  for (const auto& tag : options.tags) query += "&t=" + percent_encoded(tag);
  query += "&labels=" + percent_encoded(Json(options.labels).dump());
  query += "&buildargs=" + percent_encoded(Json(options.arguments).dump());
  if (options.memory) {
    const auto bytes = std::to_string(options.memory->bytes());
    query += "&memory=" + bytes + "&memswap=" + bytes;
  }
  if (options.cpu_milli > 0) {
    constexpr std::uint64_t kPeriod = 100'000;  // microseconds
    query +=
        "&cpuperiod=" + std::to_string(kPeriod) + "&cpuquota=" + std::to_string(options.cpu_milli * kPeriod / 1000);
  }
  if (!options.network.empty()) query += "&networkmode=" + percent_encoded(options.network);
  if (options.pull) query += "&pull=1";
  return query;
}

// Messages of a stream for `take`, until the first that tells a failure: that is returned.
template <class Take>
class Listening {
 public:
  explicit Listening(Take take)
      : stream_([this, take](const Message& message) {
          if (!message.error.empty() && failure_.empty()) failure_ = message.error;
          if (failure_.empty()) take(message, PullProgress::Clock::now());
        }) {}

  http::Client::OnChunk on_chunk() {
    return [this](std::string_view chunk) {
      stream_.feed(chunk);
      return true;
    };
  }
  const std::string& finish() {
    stream_.finish();
    return failure_;
  }

 private:
  std::string failure_;
  MessageStream stream_;
};

// Only the engine itself writes a status: what a step prints comes as another member.
void tell_base(const Message& message, const std::function<void(const std::string&, bool)>& on_base) {
  constexpr std::string_view kHere = "Status: Image is up to date for ";
  constexpr std::string_view kFetched = "Status: Downloaded newer image for ";
  if (message.status.starts_with(kHere)) on_base(message.status.substr(kHere.size()), false);
  if (message.status.starts_with(kFetched)) on_base(message.status.substr(kFetched.size()), true);
}

const std::string& overlay_path(const std::string& path) {
  if (!path.starts_with('/') || path.find_first_of(":,\\") != std::string::npos)
    throw Error(Code::invalid, "the path " + printable(path) + " cannot be a layer of an overlay",
                "it must be absolute and hold no colon, comma or backslash");
  return path;
}

}  // namespace

std::string Image::variable(std::string_view name) const {
  std::string value;
  for (const auto& entry : environment)
    if (entry.starts_with(name) && entry.substr(name.size()).starts_with('=')) value = entry.substr(name.size() + 1);
  return value;
}

http::Client Engine::client(http::Patience patience, std::stop_token stop) const {
  http::Client::Options options;
  options.server_name = "container engine";
  options.absent_hint =
      "install and start one (apt install docker.io; systemctl start docker), or name its socket in the "
      "agent's "
      "configuration";
  options.absence = Lack::engine;
  options.patience = patience;
  options.largest_answer = kLargestAnswer;
  options.stop = std::move(stop);
  return http::Client(socket_, std::move(options));
}

http::Answer Engine::ask(std::string_view method, const std::string& path, std::string_view body) const {
  http::Client::Request request;
  request.method = method;
  const auto target = versioned(path);
  request.target = target;
  request.body = body;
  return client(kPatience, stop_).ask(request);
}

EngineVersion Engine::version() const {
  http::Client::Request request;
  request.method = "GET";
  request.target = "/version";
  const auto answer = client(kPatience, stop_).ask(request);
  check(answer, "ask the container engine for", "its version");
  const auto json = parse(answer.body);
  EngineVersion version{text_of(json, "Version"), text_of(json, "ApiVersion"), text_of(json, "MinAPIVersion"),
                        text_of(json, "Arch")};
  for (const auto& component : member(json, "Components"))
    if (text_of(component, "Name") == "Podman Engine") version.name.insert(0, "podman ");
  if (version.api.empty())
    throw Error(Code::unsupported, "what listens on " + printable(socket_) + " is no container engine");
  return version;
}

EngineInfo Engine::info() const {
  const auto answer = ask("GET", "/info");
  check(answer, "ask the container engine", "about itself");
  const auto json = parse(answer.body);
  EngineInfo info;
  info.root_directory = text_of(json, "DockerRootDir");
  info.live_restore = member(json, "LiveRestoreEnabled") == true;
  const auto runtimes = member(json, "Runtimes");
  for (const auto& [name, runtime] : runtimes.items()) info.runtimes.push_back(name);
  for (const auto& option : strings_of(json, "SecurityOptions"))
    info.rootless = info.rootless || option.find("rootless") != std::string::npos;
  return info;
}

std::string Engine::versioned(const std::string& path) const {
  const std::scoped_lock lock(known_->mutex);
  auto& known = known_->version;
  if (!known) known = version();
  auto api =
      std::min<std::string_view>(kNewestApi, known->api, [](auto a, auto b) { return parts_of(a) < parts_of(b); });
  if (parts_of(api) < parts_of(known->oldest_api)) api = known->oldest_api;
  return "/v" + std::string(api) + path;
}

std::optional<Image> Engine::find_image(const std::string& name) const {
  const auto answer = ask("GET", "/images/" + in_path(name) + "/json");
  if (!check_or_absent(answer, "look at the image", name)) return std::nullopt;
  return image_from(parse(answer.body));
}

Image Engine::image(const std::string& name) const {
  auto found = find_image(name);
  if (!found) throw Error(Code::not_found, "the container engine has no image " + printable(name), "pull it first");
  return std::move(*found);
}

Image Engine::pull(const Reference& reference, const Credentials& credentials, const LineSink& progress,
                   std::stop_token stop) const {
  PullProgress lines(progress, PullProgress::Clock::now());
  Listening listening([&](const Message& message, auto now) { lines.take(message, now); });
  const auto on_chunk = listening.on_chunk();
  const auto target = versioned("/images/create?fromImage=" + percent_encoded(reference.name()) +
                                "&tag=" + percent_encoded(reference.version()));
  http::Client::Request request;
  request.method = "POST";
  request.target = target;
  request.headers.add("X-Registry-Auth", registry_auth(credentials, reference.registry));
  request.on_chunk = &on_chunk;
  progress("pulling " + reference.text());
  const auto answer = client(std::nullopt, std::move(stop)).ask(request);
  if (answer.status >= 400) throw pull_error(reference, message_of(answer.body));
  if (const auto& failure = listening.finish(); !failure.empty()) throw pull_error(reference, failure);
  lines.finish(PullProgress::Clock::now());
  auto tagless = reference;
  if (!tagless.digest.empty()) tagless.tag.clear();
  auto pulled = image(tagless.text());
  check_architecture(reference, pulled);
  return pulled;
}

void Engine::ask_registry(const Reference& reference, const Credentials& credentials, std::stop_token stop) const {
  const auto target = versioned("/distribution/" + in_path(reference.text()) + "/json");
  http::Client::Request request;
  request.method = "GET";
  request.target = target;
  request.headers.add("X-Registry-Auth", registry_auth(credentials, reference.registry));
  const auto answer = client(kPatience, std::move(stop)).ask(request);
  if (answer.status >= 400) throw pull_error(reference, message_of(answer.body));
}

void Engine::check_architecture(const Reference& reference, const Image& image) const {
  std::string own;
  {
    const std::scoped_lock lock(known_->mutex);
    own = known_->version ? known_->version->architecture : std::string();
  }
  if (own.empty() || image.architecture.empty() || image.architecture == own) return;
  throw Error(
      Code::unsupported,
      "the image " + reference.text() + " is built for " + printable(image.architecture) + ", this machine is " + own,
      "choose an image that is built for " + own);
}

std::string Engine::build(BuildContext context, const BuildOptions& options, const LineSink& output,
                          std::stop_token stop) const {
  BuildProgress lines(output, PullProgress::Clock::now());
  Listening listening([&](const Message& message, auto now) {
    if (options.on_base) tell_base(message, options.on_base);
    lines.take(message, now);
  });
  const auto on_chunk = listening.on_chunk();
  const http::Client::Producer producer = [&](std::span<char> buffer) { return context.read(buffer); };
  const auto target = versioned("/build?" + build_query(options));
  http::Client::Request request;
  request.method = "POST";
  request.target = target;
  request.headers.add("X-Registry-Config", registry_config(options.credentials));
  request.content_type = "application/x-tar";
  request.producer = &producer;
  request.on_chunk = &on_chunk;
  const auto answer = client(std::nullopt, std::move(stop)).ask(request);
  if (answer.status >= 400) throw build_error(message_of(answer.body));
  const auto& failure = listening.finish();
  lines.finish();
  if (!failure.empty()) throw build_error(failure);
  if (lines.image_id().empty()) throw Error(Code::io, "the image's build ended without an image");
  return lines.image_id();
}

void Engine::tag(const std::string& image, const Reference& name) const {
  const auto target =
      "/images/" + in_path(image) + "/tag?repo=" + percent_encoded(name.name()) + "&tag=" + percent_encoded(name.tag);
  check(ask("POST", target), "tag the image", image);
}

bool Engine::remove_image(const std::string& image, bool force) const {
  const auto target = "/images/" + in_path(image) + (force ? "?force=1" : "");
  return check_or_absent(ask("DELETE", target), "remove the image", image);
}

std::optional<std::string> Engine::use_of_image(const std::string& id) const {
  const Json ancestor = {{"ancestor", Json::array({id})}};
  const auto users = ask("GET", "/containers/json?all=1&filters=" + percent_encoded(ancestor.dump()));
  check(users, "list the containers of the image", id);
  for (const auto& json : parse(users.body)) {
    const auto names = strings_of(json, "Names");
    auto name = names.empty() ? text_of(json, "Id") : names.front();
    if (name.starts_with('/')) name.erase(0, 1);
    return "the container " + printable(name) + " has it";
  }
  const auto images = ask("GET", "/images/json?all=1");
  check(images, "list the images that build upon", id);
  for (const auto& json : parse(images.body))
    if (text_of(json, "ParentId") == id) return "other images are built upon it";
  return std::nullopt;
}

std::string Engine::create_container(const ContainerSpec& spec) const {
  const auto query = spec.name.empty() ? std::string() : "?name=" + percent_encoded(spec.name);
  const auto answer = ask("POST", "/containers/create" + query, to_json(spec));
  check(answer, "make a container of", spec.image);
  return text_of(parse(answer.body), "Id");
}

void Engine::start(const std::string& container) const {
  check(ask("POST", "/containers/" + in_path(container) + "/start"), "start the container", container);
}

std::optional<Container> Engine::find_container(const std::string& container) const {
  const auto answer = ask("GET", "/containers/" + in_path(container) + "/json");
  if (!check_or_absent(answer, "look at the container", container)) return std::nullopt;
  return container_from(parse(answer.body));
}

Container Engine::container(const std::string& container) const {
  auto found = find_container(container);
  if (!found) throw Error(Code::not_found, "the container engine has no container " + printable(container));
  return std::move(*found);
}

bool Engine::kill(const std::string& container, int signal) const {
  const auto target = "/containers/" + in_path(container) + "/kill?signal=" + std::to_string(signal);
  const auto answer = ask("POST", target);
  if (answer.status == 409 || answer.status == 404) return false;
  check(answer, "kill the container", container);
  return true;
}

bool Engine::remove_container(const std::string& container, bool force) const {
  const auto target = "/containers/" + in_path(container) + "?v=1" + (force ? "&force=1" : "");
  return check_or_absent(ask("DELETE", target), "remove the container", container);
}

void Engine::create_overlay_volume(const std::string& name, const std::vector<std::string>& lower,
                                   const std::string& upper, const std::string& work, const Labels& labels) const {
  std::string layers;
  for (const auto& layer : lower) (layers += layers.empty() ? "" : ":") += overlay_path(layer);
  const auto options =
      "nosuid,nodev,lowerdir=" + layers + ",upperdir=" + overlay_path(upper) + ",workdir=" + overlay_path(work);
  const Json driver = {{"type", "overlay"}, {"device", "overlay"}, {"o", options}};
  const Json body = {{"Name", name}, {"Driver", "local"}, {"DriverOpts", driver}, {"Labels", labels}};
  check(ask("POST", "/volumes/create", body.dump()), "make the volume", name);
}

bool Engine::remove_volume(const std::string& name) const {
  return check_or_absent(ask("DELETE", "/volumes/" + in_path(name)), "remove the volume", name);
}

}  // namespace berth::docker

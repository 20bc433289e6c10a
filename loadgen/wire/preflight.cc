#include "loadgen/wire/preflight.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/text.h"
#include "loadgen/codec/codec.h"
#include "loadgen/codec/prompt_text.h"
#include "loadgen/wire/curl_handles.h"
#include "loadgen/wire/curl_library.h"
#include "loadgen/wire/curl_setup.h"

namespace dsbench::loadgen {
namespace {

using nlohmann::json;
constexpr std::size_t largest_body = std::size_t{64} << 20;

struct Reply {
  std::int32_t status = 0;
  std::string body;
  std::string server;
  std::string location, encoding;  // of a redirection; of a body that is compressed
};

std::size_t on_body(char* bytes, std::size_t, std::size_t size, void* user) {
  std::string& body = static_cast<Reply*>(user)->body;
  if (body.size() + size > largest_body) return 0;
  body.append(bytes, size);
  return size;
}

std::size_t on_header(char* bytes, std::size_t, std::size_t size, void* user) {
  const std::string_view line{bytes, size};
  const auto take = [&](std::string_view name, std::string& into) {
    if (line.size() <= name.size() || curl().strnequal(line.data(), name.data(), name.size()) == 0) return;
    std::string_view value = line.substr(name.size());
    while (!value.empty() && (value.back() == '\r' || value.back() == '\n')) value.remove_suffix(1);
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    into = value;
  };
  auto& reply = *static_cast<Reply*>(user);
  take("server:", reply.server);
  take("location:", reply.location);
  take("content-encoding:", reply.encoding);
  return size;
}

// What the server says is wrong: the message of OpenAI's error envelope, else the first bytes; on one line.
std::string complaint(const std::string& body) {
  std::string text;
  const json parsed = json::parse(body, nullptr, false);
  if (parsed.is_object()) {
    const auto error = parsed.find("error");
    const json& holder = error != parsed.end() && error->is_object() ? *error : parsed;
    if (const auto message = holder.find("message"); message != holder.end() && message->is_string())
      text = *message;
    if (text.empty() && error != parsed.end() && error->is_string()) text = *error;
  }
  if (text.empty()) text = body;
  if (text.size() > 200) text = text.substr(0, 200) + "…";
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return text.empty() ? "without a word" : "\"" + text + "\"";
}

// One request, waited for. `body`: it is the codec's method, or the one `instead` of it. Errors: unreachable.
Result<Reply> ask(const WireConfig& config, const ProviderConfig& provider, const Codec& codec,
                  const std::string& url, const std::string* body, Nanos timeout,
                  const std::string& instead = {}) {
  DSBENCH_CHECK(open_curl());
  const Easy easy{curl().easy_init()};
  if (!easy) return fail(ErrorKind::internal, "libcurl gives no handle");
  CURL* const e = easy.get();
  const HeaderList headers = make_headers(provider, codec);
  Reply reply;
  char why[CURL_ERROR_SIZE] = "";
  const auto millis = static_cast<long>(std::max<std::int64_t>(1, timeout.count() / 1'000'000));
  set_common_options(e, config);
  curl().easy_setopt(e, CURLOPT_URL, url.c_str());
  if (!provider.unix_socket.empty())
    curl().easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, provider.unix_socket.c_str());
  curl().easy_setopt(e, CURLOPT_HTTPHEADER, headers.get());
  curl().easy_setopt(e, CURLOPT_ERRORBUFFER, why);
  curl().easy_setopt(e, CURLOPT_TIMEOUT_MS, millis);
  curl().easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, std::min(millis, 10'000L));
  curl().easy_setopt(e, CURLOPT_WRITEFUNCTION, &on_body);
  curl().easy_setopt(e, CURLOPT_WRITEDATA, &reply);
  curl().easy_setopt(e, CURLOPT_HEADERFUNCTION, &on_header);
  curl().easy_setopt(e, CURLOPT_HEADERDATA, &reply);
  if (body != nullptr) {
    curl().easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body->size()));
    curl().easy_setopt(e, CURLOPT_POSTFIELDS, body->data());
    const std::string method{instead.empty() ? codec.method() : std::string_view{instead}};
    if (method != "POST") curl().easy_setopt(e, CURLOPT_CUSTOMREQUEST, method.c_str());
  }
  const CURLcode code = curl().easy_perform(e);
  if (code != CURLE_OK) {
    const std::string way = !provider.unix_socket.empty()
                                ? fmt::format(" at the Unix socket '{}'", provider.unix_socket)
                            : !config.proxy.empty() ? fmt::format(" through the proxy {}", config.proxy)
                                                    : std::string{};
    return fail(ErrorKind::unreachable, "{} does not answer{}: {}", url, way,
                why[0] != '\0' ? why : curl().easy_strerror(code));
  }
  long status = 0;
  curl().easy_getinfo(e, CURLINFO_RESPONSE_CODE, &status);
  reply.status = static_cast<std::int32_t>(status);
  if (provider.api_key) {  // a server may say it back, and what it says is quoted
    if (reply.status != 200) reply.body = redacted(std::move(reply.body), *provider.api_key);
    reply.server = redacted(std::move(reply.server), *provider.api_key);
    reply.location = redacted(std::move(reply.location), *provider.api_key);
  }
  return reply;
}

tl::unexpected<Error> refused(const ProviderConfig& config, const std::string& url, const Reply& reply) {
  std::string remedy = "a 200 was expected";
  if (reply.status == 401 || reply.status == 403) {
    remedy = config.api_key ? "the API key that was given is not accepted"
                            : "it wants an API key, and none was given";
  } else if (reply.status >= 300 && reply.status < 400 && !reply.location.empty()) {
    // What a redirected request would measure is two.
    remedy = fmt::format("it points to '{}'; redirections are not followed, so give that as the target",
                         reply.location);
  } else if (reply.status == 404) {
    remedy = fmt::format("is this the base URL of a server that speaks the API {}, as in http://HOST:PORT?",
                         config.api);
  } else if (reply.status == 429 || reply.status == 503) {
    remedy = "it is overloaded before the run has begun";
  }
  return fail(ErrorKind::unreachable, "{} answers {} {}: {}", url, reply.status, complaint(reply.body),
              remedy);
}

void read_models(const std::string& body, TargetInfo& info, const std::string& wanted) {
  const json parsed = json::parse(body, nullptr, false);
  if (!parsed.is_object() || !parsed.contains("data") || !parsed["data"].is_array()) return;
  for (const json& model : parsed["data"]) {
    if (!model.is_object() || !model.contains("id") || !model["id"].is_string()) continue;
    info.models.push_back(model["id"]);
    const std::string& name = info.models.back();
    if (name != (wanted.empty() ? info.models.front() : wanted)) continue;
    if (const auto length = model.find("max_model_len");
        length != model.end() && length->is_number_integer()) {
      info.max_model_len = length->get<std::int64_t>();
    }
  }
}

struct Answer {
  ReplyReader::Usage usage;
  std::string server;
};

// One whole answer, or why there is none.
Result<Answer> ask_for_answer(const WireConfig& wire, const ProviderConfig& config, const Codec& codec,
                              const BaseUrl& base, const Attempt& attempt, Nanos timeout) {
  Body body;
  PromptCache prompts;
  prompts.set_scale(config.scale);
  codec.encode(attempt, prompts, body);
  const std::string url = base.base + std::string{codec.path()};
  const std::string text = body.str();
  DSBENCH_TRY(const Reply reply,
              ask(wire, config, codec, url, codec.method() == "GET" ? nullptr : &text, timeout));
  const auto reader = codec.make_reader();
  if (!reader->expects(reply.status)) return refused(config, url, reply);
  reader->begin(reply.status);
  auto last = ReplyReader::Step{};
  while (const auto step = reader->next()) last = *step;
  reader->feed(reply.body);
  while (const auto step = reader->next()) last = *step;
  if (last.kind == ReplyReader::Step::Kind::tokens) last = reader->end_of_body();
  if (last.reason != results::Reason::ok) {
    if (!reply.encoding.empty() && !wire.compressed) {
      return fail(ErrorKind::unreachable,
                  "{} answers {} with a body in '{}', which nobody asked for; "
                  "--compressed accepts it",
                  url, reply.status, reply.encoding);
    }
    const std::string body_said =
        config.api_key ? redacted(std::string{reply.body}, *config.api_key) : reply.body;
    return fail(ErrorKind::unreachable, "{} answers {}, but not with a whole answer ({}): {}; accepted is {}",
                url, reply.status, results::to_word(last.reason), complaint(body_said), codec.whole_answer());
  }
  return Answer{reader->usage(), reply.server};
}

}  // namespace

Result<TargetInfo> probe_target(const WireConfig& wire, std::size_t index, Nanos timeout) {
  const ProviderConfig& config = wire.providers.at(index);
  DSBENCH_TRY(const BaseUrl base, parse_base_url(config.base_url));
  DSBENCH_TRY(const auto named, make_codec(codec_config(config)));
  TargetInfo info;
  const bool has_list = !named->models_path().empty();
  const std::string models_url = base.base + std::string{named->models_path()};
  if (has_list) {
    DSBENCH_TRY(const Reply models, ask(wire, config, *named, models_url, nullptr, timeout));
    info.server = models.server;
    if (models.status == 200) read_models(models.body, info, config.model);
    // Some servers have no list of models: that is no reason to refuse one that was named.
    const bool may_lack_list = models.status == 404 || models.status == 405 || models.status == 501;
    if (models.status != 200 && (config.model.empty() || !may_lack_list))
      return refused(config, models_url, models);
  }
  info.model = config.model;
  if (info.model.empty() && has_list) {
    if (info.models.empty()) {
      return fail(ErrorKind::unreachable, "{} names no model; name the model to ask for", models_url);
    }
    info.model = info.models.front();
  } else if (!info.models.empty() &&
             std::find(info.models.begin(), info.models.end(), info.model) == info.models.end()) {
    const std::vector<std::string_view> names(info.models.begin(), info.models.end());
    return fail(ErrorKind::unreachable, "the target does not serve the model {}; it serves {}", info.model,
                join(names));
  }

  ProviderConfig asked = config;
  asked.model = info.model;
  DSBENCH_TRY(const auto codec, make_codec(codec_config(asked)));
  Attempt attempt{.prompt_tokens = 8, .output_tokens = codec->fewest_output_tokens(), .prompt_seed = 1};
  DSBENCH_TRY(const Answer answer, ask_for_answer(wire, config, *codec, base, attempt, timeout));
  if (info.server.empty()) info.server = answer.server;
  info.usage_reported = answer.usage.output_tokens.has_value();
  return info;
}

Result<ReplyReader::Usage> ask_usage(const WireConfig& wire, std::size_t index, const Attempt& attempt,
                                     Nanos timeout) {
  const ProviderConfig& config = wire.providers.at(index);
  DSBENCH_TRY(const BaseUrl base, parse_base_url(config.base_url));
  DSBENCH_TRY(const auto codec, make_codec(codec_config(config)));
  Attempt asked = attempt;
  asked.output_tokens = std::max(asked.output_tokens, codec->fewest_output_tokens());
  DSBENCH_TRY(const Answer answer, ask_for_answer(wire, config, *codec, base, asked, timeout));
  return answer.usage;
}

Result<std::string> http_get(const std::string& url, Nanos timeout, const WireConfig& as) {
  const ProviderConfig provider = as.providers.empty() ? ProviderConfig{} : as.providers.front();
  DSBENCH_TRY(const auto codec, make_codec(codec_config(provider)));
  DSBENCH_TRY(Reply reply, ask(as, provider, *codec, url, nullptr, timeout));
  if (reply.status != 200) return refused(provider, url, reply);
  return std::move(reply.body);
}

Result<std::string> http_admin(const std::string& method, const std::string& url, const std::string& body,
                               Nanos timeout, const WireConfig& as) {
  const ProviderConfig provider;
  DSBENCH_TRY(const auto codec, make_codec({.api = provider.api, .model = "any"}));
  DSBENCH_TRY(Reply reply, ask(as, provider, *codec, url, &body, timeout, method));
  if (reply.status != 200)
    return fail(reply.status == 400 ? ErrorKind::usage : ErrorKind::unreachable, "{} answers {} {}", url,
                reply.status, complaint(reply.body));
  return std::move(reply.body);
}

}  // namespace dsbench::loadgen

#include "loadgen/wire/curl_setup.h"
#include "loadgen/wire/curl_library.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/version.h"

namespace dsbench::loadgen {

using results::Reason;

namespace {

long http_version(HttpVersion version) {
  switch (version) {
    case HttpVersion::http2:
      return CURL_HTTP_VERSION_2TLS;
    case HttpVersion::http2_prior_knowledge:
      return CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
    case HttpVersion::http1:
      break;
  }
  return CURL_HTTP_VERSION_1_1;
}

}  // namespace

Result<std::string> resolve_once(const BaseUrl& base) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST;
  addrinfo* list = nullptr;
  struct Free {
    void operator()(addrinfo* l) const noexcept { ::freeaddrinfo(l); }
  };
  if (::getaddrinfo(base.host.c_str(), nullptr, &hints, &list) == 0) {
    const std::unique_ptr<addrinfo, Free> owner{list};
    return std::string{};
  }
  hints.ai_flags = AI_ADDRCONFIG;
  if (const int code = ::getaddrinfo(base.host.c_str(), nullptr, &hints, &list); code != 0) {
    return fail(ErrorKind::unreachable, "the target's host {} has no address: {}", base.host,
                ::gai_strerror(code));
  }
  const std::unique_ptr<addrinfo, Free> owner{list};
  std::string entry = fmt::format("{}:{}:", base.host, base.port);
  bool first = true;
  for (const addrinfo* a = list; a != nullptr; a = a->ai_next) {
    char text[NI_MAXHOST];
    if (::getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) != 0)
      continue;
    if (!first) entry += ',';
    entry += a->ai_family == AF_INET6 ? fmt::format("[{}]", text) : std::string{text};
    first = false;
  }
  return entry;
}

void append(HeaderList& list, const std::string& line) {
  curl_slist* const longer = curl().slist_append(list.get(), line.c_str());
  if (longer == nullptr) return;
  (void)list.release();
  list.reset(longer);
}

HeaderList make_headers(const ProviderConfig& provider, const Codec& codec) {
  using Headers = std::vector<std::pair<std::string, std::string>>;
  const Headers own = codec.headers();
  const auto named = [](const Headers& headers, std::string_view name) {
    return std::any_of(headers.begin(), headers.end(), [&](const auto& header) {
      return header.first.size() == name.size() &&
             curl().strnequal(header.first.c_str(), name.data(), name.size()) != 0;
    });
  };
  HeaderList list;
  const auto add = [&list](const std::string& name, const std::string& value) {
    append(list, name + ": " + value);
  };
  // What the API and the user say goes before what we would.
  const Headers ours{{"Content-Type", "application/json"}, {"Accept", "text/event-stream, application/json"}};
  for (const auto& [name, value] : ours) {
    if (!named(own, name) && !named(provider.headers, name)) add(name, value);
  }
  for (const auto& [name, value] : own) {
    if (!named(provider.headers, name)) add(name, value);
  }
  for (const auto& [name, value] : provider.headers) add(name, value);
  if (provider.api_key) {
    const auto [name, value] = codec.key_header(provider.api_key->reveal());
    add(name, value);
  }
  return list;
}

void set_common_options(CURL* easy, const WireConfig& config) {
  const std::string agent = fmt::format("dsbench/{}", version());
  curl().easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl().easy_setopt(easy, CURLOPT_PROXY, config.proxy.c_str());
  if (config.proxy.empty()) {
    curl().easy_setopt(easy, CURLOPT_NOPROXY, "");  // or it asks the environment twice for every request
  } else {
    curl().easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    if (config.proxy_auth)
      curl().easy_setopt(easy, CURLOPT_PROXYUSERPWD, config.proxy_auth->reveal().c_str());
  }
  curl().easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(http_version(config.http)));
  // A second attempt waits for the first one's connection instead of opening one of its own.
  if (config.http != HttpVersion::http1) curl().easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
  if (config.compressed) curl().easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");  // all that libcurl can
  curl().easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl().easy_setopt(easy, CURLOPT_USERAGENT, agent.c_str());
  if (!config.ca_file.empty()) {
    curl().easy_setopt(easy, CURLOPT_CAINFO, config.ca_file.c_str());
    curl().easy_setopt(easy, CURLOPT_PROXY_CAINFO, config.ca_file.c_str());
  }
  if (config.insecure) {
    curl().easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl().easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    curl().easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYPEER, 0L);
    curl().easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYHOST, 0L);
  }
}

Reason reason_of(CURLcode code, long os_errno, bool sent, bool got_byte) {
  switch (code) {
    case CURLE_COULDNT_CONNECT:
      // No local port or no descriptor is our poverty, not the target's.
      if (os_errno == EADDRNOTAVAIL || os_errno == EMFILE || os_errno == ENFILE || os_errno == ENOBUFS)
        return Reason::unsent;
      return Reason::connect_failed;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_PROXY:
      return Reason::connect_failed;
    case CURLE_OPERATION_TIMEDOUT:  // the only timeout that libcurl keeps for us
      return Reason::connect_timeout;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_USE_SSL_FAILED:
      return Reason::tls_failed;
    case CURLE_OUT_OF_MEMORY:  // also a header line beyond libcurl's limit
      return got_byte ? Reason::malformed : Reason::unsent;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:   // "HTTP/0.9": no status line came
    case CURLE_BAD_FUNCTION_ARGUMENT:  // a header line without a name
    case CURLE_HTTP2:
    case CURLE_BAD_CONTENT_ENCODING:
      return Reason::malformed;
    default:
      break;
  }
  if (got_byte) return Reason::closed_early;
  return sent ? Reason::send_failed : Reason::connect_failed;
}

Reason reason_of_status(std::int32_t status) {
  if (status == 429) return Reason::http_429;
  if (status == 503) return Reason::http_503;
  if (status >= 400 && status < 500) return Reason::http_4xx;
  if (status >= 500 && status < 600) return Reason::http_5xx;
  return Reason::http_other;
}

}  // namespace dsbench::loadgen

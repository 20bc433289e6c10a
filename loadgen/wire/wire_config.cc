#include "loadgen/wire/wire_config.h"

#include "loadgen/codec/codec.h"
#include "loadgen/wire/curl_handles.h"
#include "loadgen/wire/curl_library.h"

namespace dsbench::loadgen {
namespace {

std::string part(CURLU* url, CURLUPart which, unsigned flags = 0) {
  char* text = nullptr;
  if (curl().url_get(url, which, &text, flags) != CURLUE_OK) return {};
  const CurlString owner{text};
  return text;
}

}  // namespace

CodecConfig codec_config(const ProviderConfig& provider) {
  return {provider.api, provider.model, provider.exact_lengths, provider.stream};
}

Result<BaseUrl> parse_base_url(const std::string& text) {
  DSBENCH_CHECK(open_curl());
  constexpr auto usage = ErrorKind::usage;
  const Url url{curl().url()};
  // The text is quoted in no message before it is known to hold no credentials.
  if (const CURLUcode code = curl().url_set(url.get(), CURLUPART_URL, text.c_str(), CURLU_NON_SUPPORT_SCHEME);
      code != CURLUE_OK) {
    return fail(usage,
                "the target is not a URL ({}); accepted is http://HOST:PORT or https://HOST[:PORT][/PATH]",
                curl().url_strerror(code));
  }
  if (!part(url.get(), CURLUPART_USER).empty() || !part(url.get(), CURLUPART_PASSWORD).empty()) {
    return fail(
        usage,
        "the target URL holds credentials, which would appear in logs and reports; give the API key from a "
        "file, a descriptor, a command or an environment variable");
  }
  const std::string scheme = part(url.get(), CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") {
    return fail(usage, "the target {} is of scheme {}; accepted are http and https", text, scheme);
  }
  if (!part(url.get(), CURLUPART_QUERY).empty() || !part(url.get(), CURLUPART_FRAGMENT).empty()) {
    // A key may be in it, so it is not said again.
    return fail(
        usage, "the target {} has a query or a fragment; accepted is a base such as http://127.0.0.1:8000/v1",
        text.substr(0, text.find_first_of("?#")));
  }
  BaseUrl base;
  base.tls = scheme == "https";
  std::string host = part(url.get(), CURLUPART_HOST);
  const std::string port = part(url.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
  base.port = static_cast<std::uint16_t>(std::stoi(port));
  base.origin = scheme + "://" + host + ":" + port;
  base.host = host.starts_with('[') ? host.substr(1, host.size() - 2) : host;
  std::string path = part(url.get(), CURLUPART_PATH);
  while (path.ends_with('/')) path.pop_back();
  if (path.ends_with("/v1")) path.resize(path.size() - 3);
  base.base = base.origin + path;
  return base;
}

Result<void> check_proxy(const std::string& text) {
  if (text.empty()) return {};
  DSBENCH_CHECK(open_curl());
  const Url url{curl().url()};
  // The text is quoted in no message before it is known to hold no credentials.
  if (const CURLUcode code = curl().url_set(url.get(), CURLUPART_URL, text.c_str(), CURLU_NON_SUPPORT_SCHEME);
      code != CURLUE_OK) {
    return fail(ErrorKind::usage,
                "the proxy is not a URL ({}); accepted are http://HOST:PORT, https://HOST:PORT, "
                "socks5://HOST:PORT and socks5h://HOST:PORT",
                curl().url_strerror(code));
  }
  if (!part(url.get(), CURLUPART_USER).empty() || !part(url.get(), CURLUPART_PASSWORD).empty()) {
    return fail(
        ErrorKind::usage,
        "the proxy's URL holds credentials, which would appear in logs and reports; accepted is a proxy "
        "without them");
  }
  const std::string scheme = part(url.get(), CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https" && scheme != "socks5" && scheme != "socks5h") {
    return fail(ErrorKind::usage,
                "the proxy {} is of scheme {}; accepted are http, https, socks5 and socks5h", text, scheme);
  }
  return {};
}

}  // namespace dsbench::loadgen

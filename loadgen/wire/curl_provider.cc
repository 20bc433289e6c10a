#include "loadgen/wire/curl_provider.h"

#include <utility>

#include "loadgen/wire/curl_setup.h"

namespace dsbench::loadgen {
namespace {

// From 1 MiB on libcurl would ask the server's leave for a body ("Expect: 100-continue": a round trip) if no
// header forbade it.
constexpr std::size_t would_expect = 1'000'000;

}  // namespace

Result<CurlProvider> CurlProvider::make(const ProviderConfig& config) {
  CurlProvider provider;
  DSBENCH_TRY(const BaseUrl base, parse_base_url(config.base_url));
  DSBENCH_TRY(provider.codec, make_codec(codec_config(config)));
  provider.headers_ = make_headers(config, *provider.codec);
  provider.large_headers_ = make_headers(config, *provider.codec);
  append(provider.large_headers_, "Expect:");
  provider.unix_socket = config.unix_socket;
  provider.scale = config.scale;
  provider.url.reset(curl().url());
  const std::string url = base.base + std::string{provider.codec->path()};
  if (curl().url_set(provider.url.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) {
    return fail(ErrorKind::usage, "the target {} makes no URL; accepted is http://HOST:PORT",
                config.base_url);
  }
  return provider;
}

curl_slist* CurlProvider::headers_of(std::uint16_t tenant, std::uint32_t attempt, std::size_t size,
                                     const CallerLines& caller) {
  const bool large = size >= would_expect;
  const HeaderList& plain = large ? large_headers_ : headers_;
  if (!caller.any()) return plain.get();
  HeaderList& told = told_[{tenant, attempt, large}];
  if (!told) {
    for (const curl_slist* h = plain.get(); h != nullptr; h = h->next) append(told, h->data);
    std::string lines;
    caller.append(lines, tenant, attempt);
    for (std::size_t end = lines.find("\r\n"); end != std::string::npos; end = lines.find("\r\n")) {
      append(told, lines.substr(0, end));
      lines.erase(0, end + 2);
    }
  }
  return told.get();
}

}  // namespace dsbench::loadgen

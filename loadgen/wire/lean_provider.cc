#include "loadgen/wire/lean_provider.h"

#include <algorithm>
#include <cctype>
#include <string_view>

#include "core/version.h"
#include "loadgen/wire/curl_handles.h"
#include "loadgen/wire/curl_setup.h"

namespace dsbench::loadgen {
namespace {

std::string name_of(std::string_view line) {
  std::string name{line.substr(0, line.find_first_of(":;"))};
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

}  // namespace

Result<LeanProvider> make_lean_provider(const ProviderConfig& config) {
  LeanProvider out;
  DSBENCH_TRY(const BaseUrl base, parse_base_url(config.base_url));
  if (config.unix_socket.empty()) {
    DSBENCH_TRY(out.addresses, resolve(base));
  } else {
    DSBENCH_TRY(const SocketAddress address, unix_address(config.unix_socket));
    out.addresses.push_back(address);
  }
  DSBENCH_TRY(out.codec, make_codec(codec_config(config)));

  // libcurl's custom headers replace its own of the same name; "Name:" alone takes its own away.
  std::string custom;
  bool has_host = false, has_agent = false;
  const HeaderList list = make_headers(config, *out.codec);
  for (const curl_slist* h = list.get(); h != nullptr; h = h->next) {
    const std::string_view line{h->data};
    const std::string name = name_of(line);
    has_host = has_host || name == "host";
    has_agent = has_agent || name == "user-agent";
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    if (line.find_first_not_of(" \t", colon + 1) == std::string_view::npos) continue;
    custom += line;
    custom += "\r\n";
  }
  const std::string path = base.base.substr(base.origin.size()) + std::string{out.codec->path()};
  out.head = std::string{out.codec->method()} + ' ' + path + " HTTP/1.1\r\n";
  if (!has_host) {
    const bool v6 = base.host.find(':') != std::string::npos;
    out.head += "Host: " + (v6 ? '[' + base.host + ']' : base.host);
    if (base.port != 80) out.head += ':' + std::to_string(base.port);
    out.head += "\r\n";
  }
  if (!has_agent) out.head += fmt::format("User-Agent: dsbench/{}\r\n", version());
  out.head += custom;
  out.scale = config.scale;
  out.has_body = out.codec->method() != "GET";
  if (out.has_body) out.head += "Content-Length: ";
  return out;
}

}  // namespace dsbench::loadgen

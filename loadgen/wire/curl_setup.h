#pragma once

#include <curl/curl.h>

#include <string>

#include "core/result.h"
#include "loadgen/codec/codec.h"
#include "loadgen/wire/curl_handles.h"
#include "loadgen/wire/wire_config.h"

// What every easy handle of ours has in common, and what libcurl's result codes mean to us.
namespace dsbench::loadgen {

// "host:port:address[,address]" for CURLOPT_RESOLVE; empty when the host is an address already. Errors:
// unreachable.
[[nodiscard]] Result<std::string> resolve_once(const BaseUrl& base);

// Content type, what we accept, the API key, the codec's own and those the user gave.
[[nodiscard]] HeaderList make_headers(const ProviderConfig& provider, const Codec& codec);

// Appends a line to a list that may be empty.
void append(HeaderList& list, const std::string& line);

// No signals, no redirects, no proxy but the one that is named; HTTP version, compression and TLS as told.
void set_common_options(CURL* easy, const WireConfig& config);

// What a failed transfer means. `sent`: the request was written; `status`: 0 without a response.
[[nodiscard]] results::Reason reason_of(CURLcode code, long os_errno, bool sent, bool got_byte);
// What a status that is no 2xx means.
[[nodiscard]] results::Reason reason_of_status(std::int32_t status);

}  // namespace dsbench::loadgen

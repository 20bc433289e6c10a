#pragma once

#include <curl/curl.h>

#include <memory>

// Owners of libcurl's handles.
namespace dsbench::loadgen {

struct EasyDeleter {
  void operator()(CURL* h) const noexcept { curl_easy_cleanup(h); }
};
using Easy = std::unique_ptr<CURL, EasyDeleter>;

struct MultiDeleter {
  void operator()(CURLM* h) const noexcept { (void)curl_multi_cleanup(h); }
};
using Multi = std::unique_ptr<CURLM, MultiDeleter>;

struct UrlDeleter {
  void operator()(CURLU* h) const noexcept { curl_url_cleanup(h); }
};
using Url = std::unique_ptr<CURLU, UrlDeleter>;

struct HeaderListDeleter {
  void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, HeaderListDeleter>;

struct CurlStringDeleter {
  void operator()(char* s) const noexcept { curl_free(s); }
};
using CurlString = std::unique_ptr<char, CurlStringDeleter>;

// libcurl's global state, once for the process. The first call must come before a second thread exists; later
// ones do nothing.
void start_curl();

}  // namespace dsbench::loadgen

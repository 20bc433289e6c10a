#pragma once

#include <memory>

#include "loadgen/wire/curl_library.h"

// Owners of libcurl's handles.
namespace dsbench::loadgen {

struct EasyDeleter {
  void operator()(CURL* h) const noexcept { curl().easy_cleanup(h); }
};
using Easy = std::unique_ptr<CURL, EasyDeleter>;

struct MultiDeleter {
  void operator()(CURLM* h) const noexcept { (void)curl().multi_cleanup(h); }
};
using Multi = std::unique_ptr<CURLM, MultiDeleter>;

struct UrlDeleter {
  void operator()(CURLU* h) const noexcept { curl().url_cleanup(h); }
};
using Url = std::unique_ptr<CURLU, UrlDeleter>;

struct HeaderListDeleter {
  void operator()(curl_slist* list) const noexcept { curl().slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, HeaderListDeleter>;

struct CurlStringDeleter {
  void operator()(char* s) const noexcept { curl().free(s); }
};
using CurlString = std::unique_ptr<char, CurlStringDeleter>;

}  // namespace dsbench::loadgen

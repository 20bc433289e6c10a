#pragma once

#include <curl/curl.h>

#include "core/result.h"

namespace dsbench::loadgen {

// libcurl, opened when the first request needs it and not when the program starts: with the libraries that it
// brings, it would take two thirds of the time of `dsbench --version` (scripts/bench_startup: 13 ms
// linked, 4.5 ms opened late).
//
// One pointer for each function that we call, without the prefix: curl().easy_init() is curl_easy_init().
struct CurlLibrary {
#define DSBENCH_CURL_FUNCTIONS(X) \
  X(easy_cleanup)                 \
  X(easy_getinfo)                 \
  X(easy_init)                    \
  X(easy_perform)                 \
  X(easy_setopt)                  \
  X(easy_strerror)                \
  X(free)                         \
  X(getdate)                      \
  X(global_init_mem)              \
  X(multi_add_handle)             \
  X(multi_cleanup)                \
  X(multi_info_read)              \
  X(multi_init)                   \
  X(multi_remove_handle)          \
  X(multi_setopt)                 \
  X(multi_socket_action)          \
  X(slist_append)                 \
  X(slist_free_all) X(strnequal) X(url) X(url_cleanup) X(url_get) X(url_set) X(url_strerror) X(version_info)
#define DSBENCH_CURL_POINTER(name) decltype(&curl_##name) name = nullptr;
  DSBENCH_CURL_FUNCTIONS(DSBENCH_CURL_POINTER)
#undef DSBENCH_CURL_POINTER
};

// Opens libcurl and its global state, once for the process; later calls do nothing. The first must come
// before a second thread exists. Errors: io, with the loader's reason and the remedy.
[[nodiscard]] Result<void> open_curl();

// Opens it if need be; who can refuse calls open_curl() before, because here a missing library ends the
// program.
[[nodiscard]] const CurlLibrary& curl();

}  // namespace dsbench::loadgen

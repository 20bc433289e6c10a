#include "loadgen/wire/curl_library.h"
#include "loadgen/wire/curl_memory.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

namespace dsbench::loadgen {
namespace {

// The ABI that Debian, Ubuntu, Fedora and Arch ship.
constexpr const char* library_name = "libcurl.so.4";

CurlLibrary library;
bool opened = false;

}  // namespace

Result<void> open_curl() {
  if (opened) return {};
  void* handle = ::dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return fail(ErrorKind::io,
                "cannot open {}, which talks to targets on the wire: {}; install libcurl 7.80 or newer",
                library_name, ::dlerror());
  }
#define DSBENCH_CURL_LOOK_UP(name)                                                                       \
  library.name = reinterpret_cast<decltype(library.name)>(::dlsym(handle, "curl_" #name));               \
  if (library.name == nullptr) {                                                                         \
    return fail(ErrorKind::io, "{} has no curl_" #name "; install libcurl 7.80 or newer", library_name); \
  }
  DSBENCH_CURL_FUNCTIONS(DSBENCH_CURL_LOOK_UP)
#undef DSBENCH_CURL_LOOK_UP
  if (library.global_init_mem(CURL_GLOBAL_DEFAULT, curl_memory::allocate, curl_memory::release,
                              curl_memory::reallocate, curl_memory::duplicate,
                              curl_memory::allocate_zeroed) != CURLE_OK) {
    return fail(ErrorKind::internal, "libcurl refused to initialise itself");
  }
  opened = true;
  return {};
}

const CurlLibrary& curl() {
  if (!opened) {
    if (const auto tried = open_curl(); !tried) {
      std::fprintf(stderr, "dsbench: %s\n", tried.error().message.c_str());
      std::abort();
    }
  }
  return library;
}

}  // namespace dsbench::loadgen

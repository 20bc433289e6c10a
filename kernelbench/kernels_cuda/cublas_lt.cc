#include "kernelbench/kernels_cuda/cublas_lt.h"

#include <dlfcn.h>

#include <string>

namespace dsbench::kernelbench::cuda {
namespace {

template <class F>
void find(void* library, const char* name, F& function, std::string& missing) {
  function = reinterpret_cast<F>(dlsym(library, name));
  if (function == nullptr && missing.empty()) missing = name;
}

Result<CublasLt> open_library() {
  void* library = nullptr;
  for (const char* name :
       {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so", "/usr/local/cuda/lib64/libcublasLt.so"}) {
    library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr) break;
  }
  if (library == nullptr) {
    const char* why = dlerror();
    return fail(ErrorKind::internal, "baseline unavailable: cuBLASLt 12 or 13 could not be opened ({})",
                why != nullptr ? why : "no reason given");
  }
  CublasLt lt;
  std::string missing;
  find(library, "cublasLtCreate", lt.create, missing);
  find(library, "cublasLtGetVersion", lt.version, missing);
  find(library, "cublasLtMatmul", lt.matmul, missing);
  find(library, "cublasLtMatmulDescCreate", lt.desc_create, missing);
  find(library, "cublasLtMatmulDescDestroy", lt.desc_destroy, missing);
  find(library, "cublasLtMatmulDescSetAttribute", lt.desc_set, missing);
  find(library, "cublasLtMatrixLayoutCreate", lt.layout_create, missing);
  find(library, "cublasLtMatrixLayoutDestroy", lt.layout_destroy, missing);
  find(library, "cublasLtMatrixLayoutSetAttribute", lt.layout_set, missing);
  find(library, "cublasLtMatmulPreferenceCreate", lt.preference_create, missing);
  find(library, "cublasLtMatmulPreferenceDestroy", lt.preference_destroy, missing);
  find(library, "cublasLtMatmulPreferenceSetAttribute", lt.preference_set, missing);
  find(library, "cublasLtMatmulAlgoGetHeuristic", lt.heuristic, missing);
  if (!missing.empty()) return fail(ErrorKind::internal, "baseline unavailable: cuBLASLt has no {}", missing);
  return lt;
}

}  // namespace

Result<const CublasLt*> cublas_lt() {
  static const Result<CublasLt> library = open_library();
  if (!library) return tl::unexpected(library.error());
  return &*library;
}

}  // namespace dsbench::kernelbench::cuda

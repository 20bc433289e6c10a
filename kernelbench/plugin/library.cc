#include "kernelbench/plugin/library.h"

#include <dlfcn.h>

#include "kernelbench/op.h"

namespace dsbench::kernelbench {

Result<PluginLibrary> PluginLibrary::load(const std::string& path) {
  // A bare name would be looked for in the system's folders; a plug-in is the file that was named.
  const std::string file = path.find('/') == std::string::npos ? "./" + path : path;
  void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return fail(ErrorKind::usage, "plug-in '{}' does not load: {}", path, dlerror());
  PluginLibrary library;
  library.handle_ = std::shared_ptr<void>(handle, [](void* h) { (void)dlclose(h); });

  using Table = const dsb_kernel* (*)(int*);
  const auto table = reinterpret_cast<Table>(dlsym(handle, "dsbench_kernel_table"));
  if (table == nullptr)
    return fail(
        ErrorKind::usage,
        "plug-in '{}' has no symbol dsbench_kernel_table; a plug-in exports it with C linkage and default "
        "visibility (kernelbench/include/dsbench_kernel.h)",
        path);
  int n = 0;
  const dsb_kernel* kernels = table(&n);
  if (kernels == nullptr || n <= 0)
    return fail(ErrorKind::usage, "plug-in '{}' has no kernels: its table has {} entries", path, n);
  // The version stands at the same place in every version, the rest need not.
  if (kernels[0].abi_version != DSB_KERNEL_ABI_VERSION || kernels[0].size != sizeof(dsb_kernel))
    return fail(ErrorKind::usage,
                "plug-in '{}' was built for ABI version {} (a table entry of {} bytes); this dsbench speaks "
                "version {} "
                "({} bytes): build it with this dsbench's dsbench_kernel.h",
                path, kernels[0].abi_version, kernels[0].size, DSB_KERNEL_ABI_VERSION, sizeof(dsb_kernel));
  for (int i = 0; i < n; ++i) {
    const dsb_kernel& k = kernels[i];
    if (k.abi_version != DSB_KERNEL_ABI_VERSION || k.size != sizeof(dsb_kernel))
      return fail(ErrorKind::usage, "plug-in '{}': entry {} was built for ABI version {}, entry 0 for {}",
                  path, i, k.abi_version, DSB_KERNEL_ABI_VERSION);
    if (k.name == nullptr || *k.name == 0 || k.op == nullptr || k.run == nullptr)
      return fail(ErrorKind::usage, "plug-in '{}': entry {} lacks a {}", path, i,
                  k.name == nullptr || *k.name == 0 ? "name"
                  : k.op == nullptr                 ? "op"
                                                    : "run()");
    if (find_op(k.op) == nullptr)
      return fail(ErrorKind::usage,
                  "plug-in '{}': kernel '{}' is for op '{}', which there is not; see dsbench kernels --list",
                  path, k.name, k.op);
    if (k.device != DSB_CPU && k.device != DSB_CUDA)
      return fail(ErrorKind::usage,
                  "plug-in '{}': kernel '{}' names device {}; accepted: {} (CPU), {} (CUDA)", path, k.name,
                  k.device, static_cast<int>(DSB_CPU), static_cast<int>(DSB_CUDA));
  }
  library.kernels_ = {kernels, static_cast<std::size_t>(n)};
  return library;
}

}  // namespace dsbench::kernelbench

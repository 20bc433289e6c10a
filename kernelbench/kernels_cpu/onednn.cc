#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "kernelbench/kernels_cpu/kernel_adapter.h"
#include "kernelbench/kernels_cpu/tables.h"

// oneDNN as the other side of the ratio. Opened when first asked, so that dsbench starts without it.
namespace dsbench::kernelbench::cpu {
namespace {

// The functions of its C interface (version 2) that we call.
struct Dnnl {
  decltype(&dnnl_engine_create) engine_create = nullptr;
  decltype(&dnnl_stream_create) stream_create = nullptr;
  decltype(&dnnl_stream_wait) stream_wait = nullptr;
  decltype(&dnnl_memory_desc_init_by_tag) describe = nullptr;
  decltype(&dnnl_matmul_desc_init) matmul_desc_init = nullptr;
  decltype(&dnnl_primitive_desc_create) primitive_desc_create = nullptr;
  decltype(&dnnl_primitive_desc_destroy) primitive_desc_destroy = nullptr;
  decltype(&dnnl_primitive_desc_query_md) query_md = nullptr;
  decltype(&dnnl_reorder_primitive_desc_create) reorder_desc_create = nullptr;
  decltype(&dnnl_primitive_create) primitive_create = nullptr;
  decltype(&dnnl_primitive_destroy) primitive_destroy = nullptr;
  decltype(&dnnl_primitive_execute) execute = nullptr;
  decltype(&dnnl_memory_create) memory_create = nullptr;
  decltype(&dnnl_memory_destroy) memory_destroy = nullptr;
  void (*set_threads)(int) = nullptr;  // of OpenMP, where it was built with that

  dnnl_engine_t engine = nullptr;
  dnnl_stream_t stream = nullptr;
};

template <class F>
bool find(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
  return function != nullptr;
}

// Null where it is not installed.
const Dnnl* dnnl() {
  static const std::unique_ptr<Dnnl> opened = []() -> std::unique_ptr<Dnnl> {
    void* library = dlopen("libdnnl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return nullptr;
    auto d = std::make_unique<Dnnl>();
    const bool whole = find(library, "dnnl_engine_create", d->engine_create) &&
                       find(library, "dnnl_stream_create", d->stream_create) &&
                       find(library, "dnnl_stream_wait", d->stream_wait) &&
                       find(library, "dnnl_memory_desc_init_by_tag", d->describe) &&
                       find(library, "dnnl_matmul_desc_init", d->matmul_desc_init) &&
                       find(library, "dnnl_primitive_desc_create", d->primitive_desc_create) &&
                       find(library, "dnnl_primitive_desc_destroy", d->primitive_desc_destroy) &&
                       find(library, "dnnl_primitive_desc_query_md", d->query_md) &&
                       find(library, "dnnl_reorder_primitive_desc_create", d->reorder_desc_create) &&
                       find(library, "dnnl_primitive_create", d->primitive_create) &&
                       find(library, "dnnl_primitive_destroy", d->primitive_destroy) &&
                       find(library, "dnnl_primitive_execute", d->execute) &&
                       find(library, "dnnl_memory_create", d->memory_create) &&
                       find(library, "dnnl_memory_destroy", d->memory_destroy);
    (void)find(library, "omp_set_num_threads", d->set_threads);
    if (!whole || d->engine_create(&d->engine, dnnl_cpu, 0) != dnnl_success ||
        d->stream_create(&d->stream, d->engine, dnnl_stream_default_flags) != dnnl_success) {
      return nullptr;
    }
    return d;
  }();
  return opened.get();
}

void require(dnnl_status_t status, const char* what) {
  if (status != dnnl_success) throw std::runtime_error("oneDNN cannot " + std::string{what});
}

class DnnlGemm {
 public:
  static constexpr const char* kOp = "gemm";
  static bool supports(const Problem& p) {
    return (p.dtype == "f32" || p.dtype == "bf16") && dnnl() != nullptr;
  }

  explicit DnnlGemm(const Cell& cell) : dnnl_{*dnnl()}, threads_{cell.pool->threads()} {
    const dnnl_data_type_t type = cell.problem.dtype == "f32" ? dnnl_f32 : dnnl_bf16;
    const dnnl_dim_t m = cell.problem["m"];
    const dnnl_dim_t n = cell.problem["n"];
    const dnnl_dim_t k = cell.problem["k"];
    const dnnl_dims_t a_dims = {m, k};
    const dnnl_dims_t w_dims = {k, n};
    const dnnl_dims_t c_dims = {m, n};
    dnnl_memory_desc_t a;
    dnnl_memory_desc_t given;  // as our operand lies: [n, k]
    dnnl_memory_desc_t packed;
    dnnl_memory_desc_t c;
    require(dnnl_.describe(&a, 2, a_dims, type, dnnl_ab), "describe a");
    require(dnnl_.describe(&given, 2, w_dims, type, dnnl_ba), "describe w");
    require(dnnl_.describe(&packed, 2, w_dims, type, dnnl_format_tag_any), "describe w");
    require(dnnl_.describe(&c, 2, c_dims, type, dnnl_ab), "describe c");
    set_threads();
    dnnl_matmul_desc_t product;
    require(dnnl_.matmul_desc_init(&product, &a, &packed, nullptr, &c), "describe the product");
    dnnl_primitive_desc_t plan = nullptr;
    require(dnnl_.primitive_desc_create(&plan, &product, nullptr, dnnl_.engine, nullptr), "plan the product");
    const dnnl_memory_desc_t chosen = *dnnl_.query_md(plan, dnnl_query_weights_md, 0);
    require(dnnl_.primitive_create(&product_, plan), "make the product");
    (void)dnnl_.primitive_desc_destroy(plan);
    require(dnnl_.memory_create(&a_, &a, dnnl_.engine, cell.in[0].data), "take a");
    require(dnnl_.memory_create(&c_, &c, dnnl_.engine, cell.out[0].data), "take c");
    require(dnnl_.memory_create(&w_, &chosen, dnnl_.engine, DNNL_MEMORY_ALLOCATE), "take w");
    pack(given, chosen, cell.in[1].data);
  }
  ~DnnlGemm() {
    (void)dnnl_.primitive_destroy(product_);
    for (dnnl_memory_t memory : {a_, w_, c_}) (void)dnnl_.memory_destroy(memory);
  }
  DnnlGemm(const DnnlGemm&) = delete;
  DnnlGemm& operator=(const DnnlGemm&) = delete;

  void run() {
    set_threads();
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, a_}, {DNNL_ARG_WEIGHTS, w_}, {DNNL_ARG_DST, c_}};
    (void)dnnl_.execute(product_, dnnl_.stream, 3, args);  // refused, c stays poisoned and the check says so
    (void)dnnl_.stream_wait(dnnl_.stream);
  }

 private:
  void set_threads() const {
    if (dnnl_.set_threads != nullptr) dnnl_.set_threads(threads_);
  }

  void pack(const dnnl_memory_desc_t& given, const dnnl_memory_desc_t& chosen, void* w) {
    dnnl_memory_t from = nullptr;
    require(dnnl_.memory_create(&from, &given, dnnl_.engine, w), "take w");
    dnnl_primitive_desc_t plan = nullptr;
    require(dnnl_.reorder_desc_create(&plan, &given, dnnl_.engine, &chosen, dnnl_.engine, nullptr),
            "plan to pack w");
    dnnl_primitive_t reorder = nullptr;
    require(dnnl_.primitive_create(&reorder, plan), "make what packs w");
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, w_}};
    require(dnnl_.execute(reorder, dnnl_.stream, 2, args), "pack w");
    require(dnnl_.stream_wait(dnnl_.stream), "pack w");
    (void)dnnl_.primitive_destroy(reorder);
    (void)dnnl_.primitive_desc_destroy(plan);
    (void)dnnl_.memory_destroy(from);
  }

  const Dnnl& dnnl_;
  int threads_;
  dnnl_primitive_t product_ = nullptr;
  dnnl_memory_t a_ = nullptr;
  dnnl_memory_t w_ = nullptr;
  dnnl_memory_t c_ = nullptr;
};

}  // namespace

void add_onednn(std::vector<dsb_kernel>& kernels) {
  kernels.push_back(Adapter<DnnlGemm>::table("oneDNN", 1));
}

}  // namespace dsbench::kernelbench::cpu

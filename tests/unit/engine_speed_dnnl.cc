#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>
#include <vector>

#include "tests/unit/engine_speed_machine.h"

namespace dsbench::engine {

double dnnl_product_seconds(int type, int m, int n, int k, int times) {
  using dnnl::memory;
  try {
    const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
    dnnl::stream stream(cpu);
    const auto a_type = type == 0   ? memory::data_type::f32
                        : type == 1 ? memory::data_type::bf16
                                    : memory::data_type::u8;
    const auto w_type = type == 0   ? memory::data_type::f32
                        : type == 1 ? memory::data_type::bf16
                                    : memory::data_type::s8;
    const memory::desc a_desc({m, k}, a_type, memory::format_tag::ab);
    const memory::desc w_desc({k, n}, w_type, memory::format_tag::any);
    const memory::desc c_desc({m, n}, type == 2 ? memory::data_type::s32 : memory::data_type::f32,
                              memory::format_tag::ab);
    const dnnl::matmul::primitive_desc primitive(dnnl::matmul::desc(a_desc, w_desc, c_desc), cpu);
    memory a(primitive.src_desc(), cpu);
    memory w(primitive.weights_desc(), cpu);
    memory c(primitive.dst_desc(), cpu);
    const dnnl::matmul product(primitive);
    const auto once = [&] {
      product.execute(stream, {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, c}});
      stream.wait();
    };
    once();
    return median_seconds(times, once);
  } catch (const dnnl::error&) {
    return 0;
  }
}

}  // namespace dsbench::engine

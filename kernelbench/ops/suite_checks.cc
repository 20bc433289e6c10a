#include <cassert>
#include <tuple>

#include "kernelbench/ops/suite_lists.h"

// The lists that are about right and wrong.
namespace dsbench::kernelbench {

Problem& CaseList::add(std::string_view op, std::string_view dtype, const Params& params, const Words& words,
                       std::string label) {
  Problem& p = problems_.emplace_back();
  p.op = op;
  p.dtype = dtype;
  p.label = std::move(label);
  const Op* const known = find_op(op);
  assert(known != nullptr);
  for (const auto& [name, value] : params) p.params.insert_or_assign(std::string{name}, value);
  for (const auto& [name, word] : words) p.words.insert_or_assign(std::string{name}, std::string{word});
  for (const ParamSpec& spec : known->params()) p.params.emplace(spec.name, spec.fallback);
  for (const WordSpec& spec : known->words()) p.words.emplace(spec.name, spec.accepted.front());
  assert(known->validate(p));
  return p;
}

BackendTypes backend_types(Backend backend) {
  if (backend == Backend::cuda) {
    return {.act = "bf16",
            .products = {"bf16"},
            .grouped = {"bf16", "fp8"},
            .permuted = {"bf16", "fp8"},
            .indexer = "fp8"};
  }
  return {.act = "f32",
          .products = {"bf16", "f32", "f32.bf16"},
          .grouped = {"bf16", "fp8", "f32", "f32.bf16"},
          .permuted = {"f32"},
          .indexer = "f32"};
}

namespace {

void add_products(Backend backend, CaseList& list, std::int64_t m, std::int64_t n, std::int64_t k) {
  for (const std::string_view type : backend_types(backend).products) {
    list.add("gemm", type, {{"m", m}, {"n", n}, {"k", k}});
  }
  if (backend == Backend::cpu) list.add("int8_gemm", "int8", {{"m", m}, {"n", n}, {"k", k}});
  list.add("fp8_gemm", "fp8", {{"m", m}, {"n", n}, {"k", (k + 127) / 128 * 128}});
}

// V4's attention: chosen entries, all of them, contexts shorter than the window.
void add_csa_checks(Backend backend, CaseList& list, bool corner) {
  const auto add = [&](std::string_view dtype, std::int64_t batch, std::int64_t context, std::int64_t heads,
                       std::int64_t top_k, std::int64_t ratio,
                       const CaseList::Words& words = {}) -> Problem& {
    return list.add(
        "csa_decode", dtype,
        {{"batch", batch}, {"context", context}, {"heads", heads}, {"top_k", top_k}, {"ratio", ratio}},
        words);
  };
  const std::vector<std::string_view> types{backend_types(backend).act, "fp8"};
  for (const std::string_view type : types) {
    if (corner) {
      add(type, 1, 1, 16, 0, 128);
      add(type, 5, 300, 16, 40, 4).adversarial = true;
      add(type, 6, 700, 5, 0, 16, {{"turn_back", "yes"}}).adversarial = true;
      add(type, 4, 530, 64, 100, 4, {{"lengths", "list"}}).list = {0, 3, 127, 530};
    } else {
      add(type, 2, 600, 16, 100, 4);
      add(type, 2, 900, 64, 64, 4, {{"turn_back", "yes"}});
      add(type, 3, 1500, 32, 0, 8, {{"lengths", "normal"}});
      add(type, 1, 700, 128, 96, 4);
    }
  }
  const std::string_view act = types.front();
  if (corner) {
    list.add("kv_compress", act, {{"tokens", 4}});
    if (backend == Backend::cpu) {  // a width that the CUDA kernel does not take
      list.add("kv_compress", act, {{"tokens", 67}, {"dim", 77}, {"rope", 10}, {"ratio", 5}}).adversarial =
          true;
    }
    list.add("kv_compress", act, {{"tokens", 31}, {"dim", 128}, {"ratio", 3}}).adversarial = true;
    list.add("kv_compress", act, {{"tokens", 45}, {"ratio", 7}, {"dim", 256}, {"rope", 0}},
             {{"overlap", "no"}})
        .adversarial = true;
  } else {
    list.add("kv_compress", act, {{"tokens", 150}});
    list.add("kv_compress", act, {{"tokens", 150}, {"dim", 128}});
    list.add("kv_compress", act, {{"tokens", 520}, {"ratio", 128}}, {{"overlap", "no"}});
  }
}

}  // namespace

void add_correctness(Backend backend, CaseList& list) {
  const BackendTypes types = backend_types(backend);
  const std::string_view act = types.act;
  add_products(backend, list, 1, 320, 256);
  add_products(backend, list, 64, 384, 512);
  add_products(backend, list, 200, 288, 640);
  for (const std::string_view type : types.grouped) {
    for (const std::string_view routing : {"uniform", "zipf", "balanced", "one"}) {
      for (const std::string_view layout : {"contiguous", "masked"}) {
        list.add("moe_grouped_gemm", type,
                 {{"experts", 16}, {"tokens", 24}, {"top_k", 4}, {"n", 256}, {"k", 384}},
                 {{"routing", routing}, {"layout", layout}});
      }
    }
  }
  list.add("mla_decode", act, {{"batch", 3}, {"context", 256}, {"heads", 16}, {"queries", 1}});
  list.add("mla_decode", act, {{"batch", 2}, {"context", 320}, {"heads", 16}, {"queries", 2}},
           {{"lengths", "normal"}});
  list.add("mla_decode", act, {{"batch", 1}, {"context", 1000}, {"heads", 128}, {"queries", 1}});
  list.add("mla_decode", act, {{"batch", 4}, {"context", 300}, {"heads", 8}, {"queries", 4}},
           {{"lengths", "list"}})
      .list = {46, 300, 17, 65};
  for (const std::int64_t heads : {16, 32, 128}) {
    list.add("mla_decode", "fp8", {{"batch", 2}, {"context", 400}, {"heads", heads}, {"queries", 1}},
             {{"lengths", "normal"}});
  }
  list.add("mla_prefill", act, {{"queries", 130}, {"context", 130}, {"heads", 4}});
  list.add("mla_prefill", act, {{"queries", 70}, {"context", 200}, {"heads", 2}});
  list.add("mla_absorb", act, {{"tokens", 5}, {"heads", 16}, {"in", 128}, {"out", 512}});
  list.add("mla_absorb", act, {{"tokens", 33}, {"heads", 4}, {"in", 512}, {"out", 128}});
  const CaseList::Params v3_gate{{"tokens", 65}, {"experts", 256},   {"top_k", 8},
                                 {"groups", 8},  {"kept_groups", 4}, {"scale_milli", 2500}};
  list.add("moe_gate", "f32", v3_gate);
  list.add("moe_gate", "f32", v3_gate, {{"bias", "no"}});
  list.add("moe_gate", "f32", {{"tokens", 33}, {"experts", 64}, {"top_k", 6}},
           {{"scoring", "softmax"}, {"renormalise", "no"}, {"bias", "no"}});
  list.add("moe_gate", "f32", {{"tokens", 33}, {"experts", 384}, {"top_k", 6}, {"scale_milli", 1500}},
           {{"scoring", "sqrt_softplus"}});
  for (const std::string_view routing : {"uniform", "zipf", "balanced", "one"}) {
    list.add("moe_align", "i32", {{"tokens", 100}, {"experts", 32}, {"top_k", 4}}, {{"routing", routing}});
  }
  for (const std::string_view type : types.permuted) {
    list.add("moe_permute", type, {{"tokens", 40}, {"hidden", 512}, {"top_k", 4}, {"experts", 16}},
             {{"routing", "zipf"}});
  }
  list.add("moe_unpermute", act, {{"tokens", 40}, {"hidden", 512}, {"top_k", 4}, {"experts", 16}},
           {{"routing", "zipf"}});
  list.add("swiglu", act, {{"rows", 65}, {"inter", 384}});
  list.add("swiglu_quant", "fp8", {{"rows", 65}, {"inter", 384}});
  list.add("group_quant", "fp8", {{"tokens", 65}, {"hidden", 896}});
  if (backend == Backend::cpu) list.add("row_quant", "int8", {{"tokens", 65}, {"hidden", 900}});
  list.add("rmsnorm", act, {{"tokens", 65}, {"hidden", 1536}});
  list.add("add_rmsnorm", act, {{"tokens", 65}, {"hidden", 1536}});
  for (const std::string_view op : {"mhc_pre", "mhc_post"})
    list.add(op, act, {{"tokens", 65}, {"hidden", 512}});
  for (const std::string_view pairing : {"interleaved", "half"}) {
    list.add("rope_kv_write", act, {{"tokens", 65}, {"heads", 16}, {"slots", 128}, {"max_position", 512}},
             {{"pairing", pairing}});
  }
  list.add("dsa_indexer", types.indexer, {{"batch", 3}, {"context", 500}});
  list.add("dsa_indexer", types.indexer, {{"batch", 3}, {"context", 500}}, {{"lengths", "normal"}});
  list.add("dsa_topk", "f32", {{"rows", 5}, {"context", 3000}, {"top_k", 512}});
  list.add("dsa_topk", "f32", {{"rows", 5}, {"context", 3000}, {"top_k", 2048}}, {{"lengths", "normal"}});
  list.add("sparse_mla", act, {{"batch", 3}, {"context", 600}, {"heads", 16}, {"top_k", 256}});
  list.add("sparse_mla", act, {{"batch", 2}, {"context", 100}, {"heads", 64}, {"top_k", 128}});
  for (const std::int64_t heads : {16, 32, 128})
    list.add("sparse_mla", "fp8", {{"batch", 2}, {"context", 500}, {"heads", heads}, {"top_k", 256}});
  add_csa_checks(backend, list, false);
}

void add_corner(Backend backend, CaseList& list) {
  const BackendTypes types = backend_types(backend);
  const std::string_view act = types.act;
  add_products(backend, list, 1, 1, 1);
  add_products(backend, list, 17, 129, 131);
  add_products(backend, list, 3, 15, 257);
  add_products(backend, list, 129, 33, 127);
  for (const std::string_view type : types.grouped) {
    const std::int64_t odd_k = type == "fp8" ? 256 : 131;
    for (const std::string_view layout : {"contiguous", "masked"}) {
      for (const std::string_view routing : {"uniform", "one"}) {
        list.add("moe_grouped_gemm", type,
                 {{"experts", 16}, {"tokens", 7}, {"top_k", 2}, {"n", 130}, {"k", odd_k}},
                 {{"routing", routing}, {"layout", layout}})
            .adversarial = true;
      }
      list.add("moe_grouped_gemm", type,
               {{"experts", 1}, {"tokens", 1}, {"top_k", 1}, {"n", 1}, {"k", type == "fp8" ? 128 : 1}},
               {{"layout", layout}});
    }
    list.add("moe_grouped_gemm", type,
             {{"experts", 8}, {"tokens", 40}, {"top_k", 2}, {"n", 64}, {"k", 128}, {"max_m", 5}},
             {{"routing", "zipf"}, {"layout", "masked"}})
        .adversarial = true;
  }
  const auto decode = [&](std::int64_t batch, std::int64_t context, std::int64_t heads,
                          std::int64_t queries) {
    list.add("mla_decode", act,
             {{"batch", batch}, {"context", context}, {"heads", heads}, {"queries", queries}})
        .adversarial = true;
  };
  decode(1, 1, 16, 1);
  decode(5, 65, 16, 1);
  decode(9, 200, 5, 3);
  decode(6, 129, 128, 2);
  list.add("mla_decode", "fp8", {{"batch", 5}, {"context", 65}, {"heads", 16}, {"queries", 1}}).adversarial =
      true;
  list.add("mla_decode", act, {{"batch", 3}, {"context", 64}, {"heads", 16}, {"queries", 2}},
           {{"lengths", "list"}})
      .list = {0, 1, 64};
  if (backend == Backend::cpu) {
    // Widths that are a multiple of nothing; the CUDA kernels have the preset ones.
    list.add("mla_decode", act,
             {{"batch", 4},
              {"context", 143},
              {"heads", 3},
              {"queries", 2},
              {"block", 7},
              {"kv_lora", 131},
              {"rope", 18}})
        .adversarial = true;
    list.add("mla_decode", act,
             {{"batch", 2},
              {"context", 301},
              {"heads", 21},
              {"queries", 1},
              {"block", 64},
              {"kv_lora", 45},
              {"rope", 34}})
        .adversarial = true;
    // Likewise, but for the latent, which goes in groups of 128.
    list.add("mla_decode", "fp8",
             {{"batch", 4},
              {"context", 143},
              {"heads", 3},
              {"queries", 2},
              {"block", 7},
              {"kv_lora", 128},
              {"rope", 18}})
        .adversarial = true;
    list.add("mla_decode", "fp8",
             {{"batch", 3}, {"context", 301}, {"heads", 21}, {"queries", 1}, {"kv_lora", 384}, {"rope", 33}})
        .adversarial = true;
    list.add("mla_decode", "fp8", {{"batch", 3}, {"context", 64}, {"heads", 16}, {"queries", 2}},
             {{"lengths", "list"}})
        .list = {0, 1, 64};
    list.add("mla_prefill", act, {{"queries", 101}, {"context", 233}, {"heads", 13}, {"qk", 75}, {"v", 37}});
    list.add("mla_prefill", act, {{"queries", 29}, {"context", 157}, {"heads", 2}, {"qk", 33}, {"v", 131}});
  }
  list.add("mla_prefill", act, {{"queries", 1}, {"context", 1}, {"heads", 1}});
  list.add("mla_prefill", act, {{"queries", 1}, {"context", 67}, {"heads", 3}});
  list.add("mla_prefill", act, {{"queries", 67}, {"context", 131}, {"heads", 1}});
  list.add("mla_absorb", act, {{"tokens", 1}, {"heads", 1}, {"in", 1}, {"out", 1}});
  list.add("mla_absorb", act, {{"tokens", 3}, {"heads", 5}, {"in", 33}, {"out", 17}});
  list.add("moe_gate", "f32", {{"tokens", 1}, {"experts", 1}, {"top_k", 1}});
  list.add("moe_gate", "f32",
           {{"tokens", 3}, {"experts", 9}, {"top_k", 3}, {"groups", 3}, {"kept_groups", 1}});
  list.add("moe_gate", "f32",
           {{"tokens", 3}, {"experts", 8}, {"top_k", 2}, {"groups", 8}, {"kept_groups", 2}});
  list.add("moe_gate", "f32",
           {{"tokens", 5}, {"experts", 160}, {"top_k", 6}, {"groups", 8}, {"kept_groups", 3}},
           {{"scoring", "softmax"}, {"bias", "no"}, {"renormalise", "no"}});
  list.add("moe_align", "i32", {{"tokens", 1}, {"experts", 1}, {"top_k", 1}});
  list.add("moe_align", "i32", {{"tokens", 3}, {"experts", 256}, {"top_k", 8}}).adversarial = true;
  list.add("moe_align", "i32", {{"tokens", 1025}, {"experts", 7}, {"top_k", 3}}, {{"routing", "one"}});
  for (const std::string_view type : types.permuted) {
    list.add("moe_permute", type, {{"tokens", 1}, {"hidden", 128}, {"top_k", 1}, {"experts", 1}});
    list.add("moe_permute", type, {{"tokens", 3}, {"hidden", 384}, {"top_k", 3}, {"experts", 5}},
             {{"routing", "one"}});
  }
  list.add("moe_unpermute", act, {{"tokens", 1}, {"hidden", 1}, {"top_k", 1}, {"experts", 1}});
  list.add("moe_unpermute", act, {{"tokens", 3}, {"hidden", 130}, {"top_k", 3}, {"experts", 5}},
           {{"routing", "one"}});
  list.add("swiglu", act, {{"rows", 1}, {"inter", 1}});
  list.add("swiglu", act, {{"rows", 3}, {"inter", 131}});
  for (const auto& [op, rows, width] :
       {std::tuple{"swiglu_quant", "rows", "inter"}, {"group_quant", "tokens", "hidden"}}) {
    list.add(op, "fp8", {{rows, 1}, {width, 128}});
    list.add(op, "fp8", {{rows, 9}, {width, 384}}).adversarial = true;
  }
  if (backend == Backend::cpu) {
    list.add("row_quant", "int8", {{"tokens", 1}, {"hidden", 1}});
    list.add("row_quant", "int8", {{"tokens", 9}, {"hidden", 131}}).adversarial = true;
  }
  for (const std::string_view op : {"rmsnorm", "add_rmsnorm"}) {
    list.add(op, act, {{"tokens", 1}, {"hidden", 1}});
    list.add(op, act, {{"tokens", 3}, {"hidden", 131}});
  }
  for (const std::string_view op : {"mhc_pre", "mhc_post"}) {
    list.add(op, act, {{"tokens", 1}, {"hidden", 8}});
    list.add(op, act, {{"tokens", 7}, {"hidden", 136}});
    if (backend == Backend::cpu) list.add(op, act, {{"tokens", 19}, {"hidden", 77}});
  }
  for (const std::string_view pairing : {"interleaved", "half"}) {
    list.add("rope_kv_write", act, {{"tokens", 1}, {"heads", 1}, {"slots", 1}, {"max_position", 1}},
             {{"pairing", pairing}});
    list.add("rope_kv_write", act,
             {{"tokens", 3}, {"heads", 5}, {"kv_lora", 96}, {"rope", 32}, {"slots", 7}, {"max_position", 99}},
             {{"pairing", pairing}})
        .adversarial = true;
  }
  list.add("dsa_indexer", types.indexer, {{"batch", 1}, {"context", 1}});
  list.add("dsa_indexer", types.indexer, {{"batch", 5}, {"context", 130}}).adversarial = true;
  list.add("dsa_topk", "f32", {{"rows", 1}, {"context", 1}, {"top_k", 1}});
  list.add("dsa_topk", "f32", {{"rows", 9}, {"context", 700}, {"top_k", 64}}).adversarial = true;
  list.add("dsa_topk", "f32", {{"rows", 4}, {"context", 33}, {"top_k", 128}}).adversarial = true;
  list.add("sparse_mla", act, {{"batch", 1}, {"context", 1}, {"heads", 16}, {"top_k", 1}});
  list.add("sparse_mla", act, {{"batch", 5}, {"context", 90}, {"heads", 16}, {"top_k", 70}}).adversarial =
      true;
  list.add("sparse_mla", act, {{"batch", 2}, {"context", 20}, {"heads", 3}, {"top_k", 64}}).adversarial =
      true;
  list.add("sparse_mla", "fp8", {{"batch", 5}, {"context", 90}, {"heads", 16}, {"top_k", 70}}).adversarial =
      true;
  if (backend == Backend::cpu) {
    // Widths that are a multiple of nothing; the CUDA kernels have the preset ones.
    list.add("sparse_mla", act,
             {{"batch", 3}, {"context", 50}, {"heads", 7}, {"top_k", 37}, {"kv_lora", 67}, {"rope", 22}})
        .adversarial = true;
    list.add("sparse_mla", "fp8", {{"batch", 2}, {"context", 41}, {"heads", 5}, {"top_k", 33}}).adversarial =
        true;
  }
  add_csa_checks(backend, list, true);
}

}  // namespace dsbench::kernelbench

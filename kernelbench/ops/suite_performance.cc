#include <fmt/format.h>

#include <array>

#include "kernelbench/ops/suite_lists.h"

// The lists that are about speed: shapes of a layer of DeepSeek-V3 and of V2-Lite. On the GPU they are what
// one serves with; on the CPU there is less of everything but the width of rows.
namespace dsbench::kernelbench {
namespace {

using profiles::ModelProfile;

struct Shape {
  std::string label;
  std::int64_t n = 0;
  std::int64_t k = 0;
};

// The dense products of a V3 layer, as every FP8 library measures them.
std::vector<Shape> dense_shapes(const ModelProfile& m) {
  const std::int64_t inter = m.moe.intermediate * m.moe.shared_experts;
  return {{"W_qa+W_kva", m.q_lora + m.latent_width(), m.hidden},
          {"W_qb", std::int64_t{m.heads} * m.qk_dim(), m.q_lora},
          {"W_kvb", std::int64_t{m.heads} * (m.nope_dim + m.v_dim), m.kv_lora},
          {"W_o", m.hidden, std::int64_t{m.heads} * m.v_dim},
          {"shared gate+up", 2 * inter, m.hidden},
          {"shared down", m.hidden, inter},
          {"dense gate+up", 2 * std::int64_t{m.dense_intermediate}, m.hidden}};
}

CaseList::Params gate_params(const ModelProfile& m, std::int64_t tokens) {
  return {{"tokens", tokens},
          {"experts", m.moe.experts},
          {"top_k", m.moe.top_k},
          {"groups", m.moe.groups},
          {"kept_groups", m.moe.kept_groups},
          {"scale_milli", static_cast<std::int64_t>(m.moe.routed_scale * 1000 + 0.5)}};
}

CaseList::Words gate_words(const ModelProfile& m) {
  return {{"scoring", m.moe.scoring == profiles::GateScoring::sigmoid ? "sigmoid" : "softmax"},
          {"renormalise", m.moe.renormalise ? "yes" : "no"},
          {"bias", m.moe.correction_bias ? "yes" : "no"}};
}

// Both products of an expert's feed-forward layer.
void add_experts(CaseList& list, const ModelProfile& m, std::string_view dtype, std::int64_t experts,
                 std::int64_t tokens, std::string_view routing, std::string_view layout) {
  const std::int64_t inter = m.moe.intermediate;
  const std::int64_t top_k = m.moe.top_k;
  for (const Shape& shape : {Shape{"gate+up", 2 * inter, m.hidden}, Shape{"down", m.hidden, inter}}) {
    list.add("moe_grouped_gemm", dtype,
             {{"experts", experts}, {"tokens", tokens}, {"top_k", top_k}, {"n", shape.n}, {"k", shape.k}},
             {{"routing", routing}, {"layout", layout}}, fmt::format("{} experts' {}", m.name, shape.label));
  }
}

void add_decode(CaseList& list, std::string_view act, std::int64_t batch, std::int64_t context,
                std::int64_t heads, std::int64_t queries, std::string_view lengths = "constant") {
  list.add("mla_decode", act,
           {{"batch", batch}, {"context", context}, {"heads", heads}, {"queries", queries}},
           {{"lengths", lengths}});
}

// What lies between the products, for each number of tokens.
void add_glue(CaseList& list, const BackendTypes& types, const ModelProfile& m, std::int64_t tokens) {
  const std::int64_t hidden = m.hidden;
  const std::int64_t top_k = m.moe.top_k;
  const std::int64_t experts = m.moe.experts;
  const CaseList::Params rows{{"tokens", tokens}, {"hidden", hidden}};
  const CaseList::Params copies{
      {"tokens", tokens}, {"hidden", hidden}, {"top_k", top_k}, {"experts", experts}};
  const CaseList::Params inner{{"rows", tokens * top_k}, {"inter", m.moe.intermediate}};
  list.add("moe_align", "i32", {{"tokens", tokens}, {"experts", experts}, {"top_k", top_k}}, {}, m.name);
  list.add("moe_permute", types.permuted.back(), copies, {}, m.name);
  list.add("moe_unpermute", types.act, copies, {}, m.name);
  if (types.act == "f32") list.add("swiglu", types.act, inner, {}, m.name);
  list.add("swiglu_quant", "fp8", inner, {}, m.name);
  list.add("group_quant", "fp8", rows, {}, m.name);
  if (types.act == "f32") list.add("row_quant", "int8", rows, {}, m.name);
  list.add("rmsnorm", types.act, rows, {}, m.name);
  list.add("add_rmsnorm", types.act, rows, {}, m.name);
  list.add("rope_kv_write", types.act, {{"tokens", tokens}, {"heads", m.heads}, {"slots", 2 * tokens}}, {},
           m.name);
}

// A width of V4-Flash's streams (4,096) and of V4-Pro's (7,168).
void add_mhc(CaseList& list, const BackendTypes& types, std::int64_t tokens, bool flash) {
  const CaseList::Params shape{{"tokens", tokens}, {"hidden", flash ? 4096 : 7168}};
  list.add("mhc_pre", types.act, shape, {}, flash ? "v4-flash" : "v4-pro");
  list.add("mhc_post", types.act, shape, {}, flash ? "v4-flash" : "v4-pro");
}

void add_absorb(CaseList& list, std::string_view act, const ModelProfile& m, std::int64_t tokens) {
  list.add("mla_absorb", act,
           {{"tokens", tokens}, {"heads", m.heads}, {"in", m.nope_dim}, {"out", m.kv_lora}}, {},
           m.name + " W_UK");
  list.add("mla_absorb", act, {{"tokens", tokens}, {"heads", m.heads}, {"in", m.kv_lora}, {"out", m.v_dim}},
           {}, m.name + " W_UV");
}

void add_dsa(CaseList& list, const BackendTypes& types, std::int64_t batch, std::int64_t context,
             std::int64_t heads, std::int64_t top_k) {
  list.add("dsa_indexer", types.indexer, {{"batch", batch}, {"context", context}}, {}, "v3.2");
  list.add("dsa_topk", "f32", {{"rows", batch}, {"context", context}, {"top_k", top_k}}, {}, "v3.2");
  list.add("sparse_mla", types.act,
           {{"batch", batch}, {"context", context}, {"heads", heads}, {"top_k", top_k}}, {}, "v3.2");
}

// V4-Flash has 64 heads and chooses 512 entries, V4-Pro 128 and 1,024; every other layer sees all entries of
// 128 positions each.
void add_csa(CaseList& list, std::string_view dtype, std::int64_t batch, std::int64_t context, bool flash,
             bool chosen) {
  const std::int64_t top_k = flash ? 512 : 1024;
  list.add("csa_decode", dtype,
           {{"batch", batch},
            {"context", context},
            {"heads", flash ? 64 : 128},
            {"top_k", chosen ? top_k : 0},
            {"ratio", chosen ? 4 : 128}},
           {}, fmt::format("v4-{} {}", flash ? "flash" : "pro", chosen ? "CSA" : "HCA"));
}

// V4's compressors of CSA, of its indexer (128 numbers) and of HCA.
void add_compress(CaseList& list, std::string_view act, std::int64_t tokens, bool whole) {
  list.add("kv_compress", act, {{"tokens", tokens}}, {}, "v4 CSA");
  if (whole) list.add("kv_compress", act, {{"tokens", tokens}, {"dim", 128}}, {}, "v4 indexer");
  list.add("kv_compress", act, {{"tokens", tokens}, {"ratio", 128}}, {{"overlap", "no"}}, "v4 HCA");
}

void add_cuda(const SuiteModels& models, bool whole, CaseList& list) {
  const BackendTypes types = backend_types(Backend::cuda);
  const ModelProfile& v3 = models.v3;
  const std::vector<Shape> dense = dense_shapes(v3);
  const std::vector<std::int64_t> ladder{1,  2,   4,   8,   16,   24,   32,   48,   64,
                                         96, 128, 256, 512, 1024, 1536, 2048, 3072, 4096};
  for (std::size_t i = 0; i < dense.size(); ++i) {
    std::vector<std::int64_t> sizes{128};
    if (i == 0 || i == 3 || i == 5) sizes = {1, 128, 4096};
    if (whole) sizes = i == 3 ? ladder : std::vector<std::int64_t>{1, 64, 128, 4096};
    for (const std::int64_t m : sizes) {
      list.add("fp8_gemm", "fp8", {{"m", m}, {"n", dense[i].n}, {"k", dense[i].k}}, {},
               "v3 " + dense[i].label);
    }
  }
  for (const std::int64_t m : {1, 128, 4096}) {
    list.add("gemm", "bf16", {{"m", m}, {"n", v3.moe.experts}, {"k", v3.hidden}}, {}, "v3 gate");
  }
  if (whole) {
    for (const std::int64_t m : {1, 128, 4096}) {
      list.add("gemm", "bf16", {{"m", m}, {"n", v3.hidden}, {"k", std::int64_t{v3.heads} * v3.v_dim}}, {},
               "v3 W_o");
    }
    list.add("gemm", "bf16", {{"m", 64}, {"n", v3.vocab}, {"k", v3.hidden}}, {}, "v3 head");
  }

  // 8 experts of 256 (EP32) and 32 (EP8): rows an expert ≈ 128, 20 and 192; then prefill of 8 experts.
  add_experts(list, v3, "fp8", 8, 128, "balanced", "masked");
  add_experts(list, v3, "fp8", 32, 80, "uniform", "masked");
  add_experts(list, v3, "fp8", 8, 4096, "balanced", "contiguous");
  add_experts(list, models.lite, "fp8", models.lite.moe.experts, 128, "zipf", "contiguous");
  if (whole) {
    add_experts(list, v3, "fp8", 32, 768, "uniform", "masked");
    add_experts(list, v3, "fp8", 8, 4096, "zipf", "contiguous");
    add_experts(list, v3, "fp8", 8, 128, "one", "contiguous");
    for (const std::int64_t tokens : {1, 8, 32, 128})
      add_experts(list, v3, "fp8", 256, tokens, "uniform", "contiguous");
    for (const std::int64_t tokens : {1, 32, 1024}) {
      add_experts(list, models.lite, "bf16", models.lite.moe.experts, tokens, "uniform", "contiguous");
    }
  }

  add_decode(list, "bf16", 1, 4096, 128, 1);
  add_decode(list, "bf16", 32, 4096, 128, 1);
  add_decode(list, "bf16", 128, 4096, 128, 1);
  add_decode(list, "bf16", 128, 4096, 128, 2);
  add_decode(list, "bf16", 128, 4096, 16, 1);
  add_decode(list, "fp8", 128, 4096, 16, 1);  // of the cache; the products are bf16
  add_decode(list, "bf16", 1, 131072, 128, 1);
  add_decode(list, "bf16", 128, 4096, 128, 1, "normal");
  list.add("mla_decode", "bf16", {{"batch", 4}, {"context", 45118}, {"heads", 16}, {"queries", 4}},
           {{"lengths", "list"}})
      .list = {4641, 45118, 1730, 1696};
  if (whole) {
    for (const std::int64_t heads : {16, 32, 64}) {
      for (const std::int64_t context : {1024, 16384}) add_decode(list, "bf16", 64, context, heads, 1);
    }
  }
  for (const std::int64_t heads : {16, 128}) {
    for (const std::int64_t context : {2048, 4096, 8192, 16384}) {
      if (!whole && context != (heads == 16 ? 4096 : 2048)) continue;
      list.add("mla_prefill", "bf16", {{"queries", context}, {"context", context}, {"heads", heads}});
    }
  }
  for (const std::int64_t tokens : {1, 64, 128}) {
    if (whole || tokens != 64) add_absorb(list, "bf16", v3, tokens);
  }
  for (const std::int64_t tokens : {1, 64, 128, 4096}) {
    if (whole || tokens != 64) list.add("moe_gate", "f32", gate_params(v3, tokens), gate_words(v3), "v3");
    if (whole || tokens == 128) {
      list.add("moe_gate", "f32", gate_params(models.lite, tokens), gate_words(models.lite), "v2-lite");
      list.add("moe_gate", "f32", {{"tokens", tokens}, {"experts", 256}, {"top_k", 6}, {"scale_milli", 1500}},
               {{"scoring", "sqrt_softplus"}}, "v4-flash");
    }
  }
  for (const std::int64_t tokens : {1, 128, 1024, 4096}) {
    if (whole || tokens == 128 || tokens == 4096) add_glue(list, types, v3, tokens);
  }
  for (const std::int64_t tokens : {1, 512, 4096}) {
    if (whole || tokens == 512) add_mhc(list, types, tokens, false);
    if (whole) add_mhc(list, types, tokens, true);
  }
  add_dsa(list, types, 1, 32768, 128, 2048);
  add_dsa(list, types, 32, 32768, 128, 2048);
  const auto add_sparse = [&](std::string_view dtype, std::int64_t context, std::int64_t heads) {
    list.add("sparse_mla", dtype, {{"batch", 32}, {"context", context}, {"heads", heads}, {"top_k", 2048}},
             {}, "v3.2");
  };
  add_sparse("fp8", 32768, 128);  // of the cache; the products are bf16
  if (whole) {
    add_dsa(list, types, 32, 65536, 64, 2048);
    add_sparse("bf16", 65536, 16);
    for (const std::int64_t heads : {16, 64}) add_sparse("fp8", 65536, heads);
  }
  // With fp8 the cache is; the products are bf16.
  add_csa(list, "fp8", 128, 16384, true, true);
  add_csa(list, "fp8", 128, 16384, false, true);
  add_csa(list, "fp8", 32, 131072, true, false);
  add_compress(list, types.act, 4096, whole);
  if (whole) {
    add_csa(list, "bf16", 128, 16384, true, true);
    add_csa(list, "bf16", 128, 16384, false, true);
    add_csa(list, "fp8", 1, 131072, true, true);
    add_csa(list, "fp8", 1, 131072, false, true);
    add_csa(list, "fp8", 32, 131072, false, false);
  }
}

void add_cpu(const SuiteModels& models, bool whole, CaseList& list) {
  const BackendTypes types = backend_types(Backend::cpu);
  const ModelProfile& v3 = models.v3;
  const ModelProfile& lite = models.lite;
  struct Product {
    std::string label;
    std::int64_t n, k;
  };
  const std::int64_t lite_q = std::int64_t{lite.heads} * lite.qk_dim();
  std::vector<Product> products{{"v2-lite W_q", lite_q, lite.hidden},
                                {"v3 W_qa+W_kva", v3.q_lora + v3.latent_width(), v3.hidden}};
  if (whole) {
    products.push_back({"v2-lite dense gate+up", 2 * std::int64_t{lite.dense_intermediate}, lite.hidden});
    products.push_back({"v3 shared down", v3.hidden, v3.moe.intermediate});
  }
  for (const Product& product : products) {
    for (const std::int64_t m : {1, 4, 16, 64, 256, 1024}) {
      const bool usual = m == 1 || m == 16 || m == 256;
      if (!whole && !usual) continue;
      const CaseList::Params shape{{"m", m}, {"n", product.n}, {"k", product.k}};
      for (const std::string_view type : types.products) list.add("gemm", type, shape, {}, product.label);
      list.add("int8_gemm", "int8", shape, {}, product.label);
      list.add("fp8_gemm", "fp8", shape, {}, product.label);
    }
  }
  for (const std::int64_t tokens : {1, 32, 256}) {
    for (const std::string_view type : types.grouped) {
      if (!whole && type != "f32.bf16") continue;
      // A quarter of V2-Lite's experts: the weights of all would take a gigabyte.
      add_experts(list, lite, type, lite.moe.experts / 4, tokens, "uniform", "contiguous");
      if (whole) add_experts(list, lite, type, lite.moe.experts / 4, tokens, "zipf", "masked");
    }
  }
  add_decode(list, "f32", 1, 4096, 16, 1);
  add_decode(list, "f32", 8, 1024, 16, 1);
  add_decode(list, "f32", 4, 1024, 128, 1);
  add_decode(list, "f32", 8, 1024, 16, 1, "normal");
  add_decode(list, "fp8", 8, 1024, 16, 1);  // of the cache; the products are bf16
  if (whole) {
    add_decode(list, "f32", 8, 1024, 16, 2);
    add_decode(list, "f32", 1, 16384, 128, 1);
    add_decode(list, "f32", 32, 2048, 16, 1);
  }
  list.add("mla_prefill", "f32", {{"queries", 512}, {"context", 512}, {"heads", 16}}, {}, "v2-lite");
  if (whole)
    list.add("mla_prefill", "f32", {{"queries", 512}, {"context", 2048}, {"heads", 16}}, {}, "v2-lite");
  for (const std::int64_t tokens : {1, 64}) add_absorb(list, "f32", whole ? v3 : lite, tokens);
  for (const std::int64_t tokens : {1, 1024}) {
    list.add("moe_gate", "f32", gate_params(v3, tokens), gate_words(v3), "v3");
    if (whole) {
      list.add("moe_gate", "f32", gate_params(lite, tokens), gate_words(lite), "v2-lite");
      list.add("moe_gate", "f32", {{"tokens", tokens}, {"experts", 256}, {"top_k", 6}, {"scale_milli", 1500}},
               {{"scoring", "sqrt_softplus"}}, "v4-flash");
    }
  }
  if (whole) {
    for (const std::int64_t tokens : {1, 16, 128, 1024}) add_glue(list, types, lite, tokens);
    for (const std::int64_t tokens : {1, 128}) add_glue(list, types, v3, tokens);
  } else {
    add_glue(list, types, lite, 512);
  }
  for (const std::int64_t tokens : {1, 512}) {
    if (whole || tokens == 512) add_mhc(list, types, tokens, true);
  }
  add_dsa(list, types, 1, 8192, 16, 2048);
  add_csa(list, "f32", 1, 8192, true, true);
  // With fp8 the cache is; the products are bf16.
  list.add("sparse_mla", "fp8", {{"batch", 1}, {"context", 8192}, {"heads", 16}, {"top_k", 2048}}, {},
           "v3.2");
  add_csa(list, "fp8", 1, 8192, true, true);
  add_compress(list, "f32", 1024, whole);
  if (whole) {
    add_dsa(list, types, 8, 8192, 64, 2048);
    add_csa(list, "f32", 8, 8192, true, true);
    add_csa(list, "f32", 8, 32768, true, false);
  }
}

}  // namespace

void add_performance(Backend backend, const SuiteModels& models, bool whole_ladder, CaseList& list) {
  if (backend == Backend::cuda) {
    add_cuda(models, whole_ladder, list);
  } else {
    add_cpu(models, whole_ladder, list);
  }
}

void add_quick(Backend backend, const SuiteModels& models, CaseList& list) {
  const BackendTypes types = backend_types(backend);
  const ModelProfile& lite = models.lite;
  for (const std::int64_t m : {1, 64}) {
    for (const std::string_view type : types.products) {
      list.add("gemm", type, {{"m", m}, {"n", 1024}, {"k", lite.hidden}});
    }
  }
  if (backend == Backend::cpu) list.add("int8_gemm", "int8", {{"m", 16}, {"n", 1024}, {"k", lite.hidden}});
  for (const std::int64_t m : {1, 64})
    list.add("fp8_gemm", "fp8", {{"m", m}, {"n", 1024}, {"k", lite.hidden}});
  list.add("moe_grouped_gemm", types.grouped.back(),
           {{"experts", 8}, {"tokens", 16}, {"top_k", 2}, {"n", 512}, {"k", 1024}});
  add_decode(list, types.act, 2, 512, 16, 1);
  list.add("mla_prefill", types.act, {{"queries", 128}, {"context", 128}, {"heads", 4}});
  list.add("mla_absorb", types.act, {{"tokens", 4}, {"heads", 16}, {"in", 128}, {"out", 512}});
  list.add("moe_gate", "f32", gate_params(models.v3, 64), gate_words(models.v3), "v3");
  add_glue(list, types, lite, 64);
  add_dsa(list, types, 2, 1024, 16, 256);
  list.add("csa_decode", types.act, {{"batch", 1}, {"context", 1024}, {"heads", 16}, {"top_k", 128}});
}

}  // namespace dsbench::kernelbench

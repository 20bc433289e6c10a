#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernelbench/op.h"
#include "kernelbench/suite.h"
#include "profiles/model_profile.h"

// The lists behind suite_problems().
namespace dsbench::kernelbench {

struct SuiteModels {
  profiles::ModelProfile v3;
  profiles::ModelProfile lite;  // V2-Lite
};

// Cases under way; what is left out gets the op's defaults.
class CaseList {
 public:
  using Params = std::vector<std::pair<std::string_view, std::int64_t>>;
  using Words = std::vector<std::pair<std::string_view, std::string_view>>;

  Problem& add(std::string_view op, std::string_view dtype, const Params& params, const Words& words = {},
               std::string label = {});
  [[nodiscard]] std::vector<Problem> take() && { return std::move(problems_); }

 private:
  std::vector<Problem> problems_;
};

// Types that the kernels of a backend have.
struct BackendTypes {
  std::string_view act;                    // of everything between products
  std::vector<std::string_view> products;  // of gemm
  std::vector<std::string_view> grouped;   // of moe_grouped_gemm
  std::vector<std::string_view> permuted;  // of moe_permute
  std::string_view indexer;                // of dsa_indexer
};
[[nodiscard]] BackendTypes backend_types(Backend backend);

void add_quick(Backend backend, const SuiteModels& models, CaseList& list);
void add_correctness(Backend backend, CaseList& list);
void add_corner(Backend backend, CaseList& list);
void add_performance(Backend backend, const SuiteModels& models, bool whole_ladder, CaseList& list);

}  // namespace dsbench::kernelbench

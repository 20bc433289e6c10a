#include "kernelbench/suite.h"

#include <fmt/format.h>

#include <cassert>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "kernelbench/ops/suite_lists.h"
#include "profiles/model_profile.h"

namespace dsbench::kernelbench {
namespace {

constexpr std::string_view kSchema = "dsbench.kernel-cases/1";

Result<SuiteModels> load_models() {
  SuiteModels models;
  DSBENCH_TRY(models.v3, profiles::load_model_profile("v3"));
  DSBENCH_TRY(models.lite, profiles::load_model_profile("v2-lite"));
  return models;
}

}  // namespace

std::string_view to_word(Suite suite) {
  switch (suite) {
    case Suite::quick:
      return "quick";
    case Suite::correctness:
      return "correctness";
    case Suite::corner:
      return "corner";
    case Suite::standard:
      return "standard";
    case Suite::full:
      return "full";
  }
  return "?";
}

Result<std::vector<Problem>> suite_problems(Suite suite, Backend backend) {
  DSBENCH_TRY(const SuiteModels models, load_models());
  CaseList list;
  switch (suite) {
    case Suite::quick:
      add_quick(backend, models, list);
      break;
    case Suite::correctness:
      add_correctness(backend, list);
      break;
    case Suite::corner:
      add_corner(backend, list);
      break;
    case Suite::standard:
      add_performance(backend, models, false, list);
      break;
    case Suite::full:
      add_performance(backend, models, true, list);
      break;
  }
  return std::move(list).take();
}

Result<std::vector<Problem>> problems_from_file(std::string_view path) {
  std::ifstream in{std::string{path}};
  if (!in) return fail(ErrorKind::io, "cannot read the kernel cases in '{}'", path);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const nlohmann::json file = nlohmann::json::parse(text, nullptr, false);
  if (!file.is_object() || !file.contains("cases") || !file["cases"].is_array()) {
    return fail(ErrorKind::usage,
                "'{}' is not a list of kernel cases: {{\"schema\": \"{}\", \"cases\": [...]}}", path,
                kSchema);
  }
  if (const auto schema = file.value("schema", nlohmann::json{}); schema != std::string{kSchema}) {
    return fail(ErrorKind::usage, "'{}' has schema {}; accepted: \"{}\"", path, schema.dump(), kSchema);
  }
  std::vector<Problem> problems;
  for (const nlohmann::json& entry : file["cases"]) {
    Result<Problem> problem = problem_from_json(entry.dump());
    if (!problem)
      return fail(ErrorKind::usage, "'{}': case {}: {}", path, problems.size(), problem.error().message);
    problems.push_back(std::move(*problem));
  }
  return problems;
}

}  // namespace dsbench::kernelbench

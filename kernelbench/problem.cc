#include "kernelbench/problem.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <nlohmann/json.hpp>

#include "kernelbench/op.h"

namespace dsbench::kernelbench {
namespace {

using nlohmann::json;

constexpr std::string_view kKeys[] = {"op",    "label", "dtype", "params",
                                      "words", "list",  "seed",  "adversarial"};

template <class Range, class Name>
std::string joined(const Range& range, const Name& name_of_one) {
  std::string all;
  for (const auto& one : range) all += fmt::format("{}{}", all.empty() ? "" : ", ", name_of_one(one));
  return all.empty() ? "none" : all;
}

std::string op_names() {
  return joined(all_ops(), [](const Op* op) { return op->name(); });
}

Result<void> read_params(const Op& op, const json& given, Problem& problem) {
  const auto name_of_spec = [](const ParamSpec& spec) { return spec.name; };
  for (const auto& [name, value] : given.items()) {
    const auto known = std::ranges::find(op.params(), name, &ParamSpec::name);
    if (known == op.params().end()) {
      return fail(ErrorKind::usage, "{} has no param \"{}\"; it has: {}", op.name(), name,
                  joined(op.params(), name_of_spec));
    }
    if (!value.is_number_integer()) {
      return fail(ErrorKind::usage, "{}: param \"{}\" is {}; it must be a whole number", op.name(), name,
                  value.dump());
    }
    problem.params[name] = value.get<std::int64_t>();
  }
  for (const ParamSpec& spec : op.params()) {
    const auto [at, missing] = problem.params.emplace(spec.name, spec.fallback);
    if (missing && spec.required) {
      return fail(ErrorKind::usage, "{}: param \"{}\" is missing ({})", op.name(), spec.name, spec.help);
    }
    if (at->second < spec.least) {
      return fail(ErrorKind::usage, "{}: param \"{}\" is {}; the least is {}", op.name(), spec.name,
                  at->second, spec.least);
    }
    if (at->second > (std::int64_t{1} << 31)) {
      return fail(ErrorKind::usage, "{}: param \"{}\" is {}; the most is 2^31", op.name(), spec.name,
                  at->second);
    }
  }
  return {};
}

Result<void> read_words(const Op& op, const json& given, Problem& problem) {
  const auto as_is = [](std::string_view word) { return word; };
  for (const auto& [name, value] : given.items()) {
    const auto known = std::ranges::find(op.words(), name, &WordSpec::name);
    if (known == op.words().end()) {
      return fail(ErrorKind::usage, "{} has no word \"{}\"; it has: {}", op.name(), name,
                  joined(op.words(), [](const WordSpec& spec) { return spec.name; }));
    }
    const std::string word = value.is_string() ? value.get<std::string>() : value.dump();
    if (std::ranges::find(known->accepted, word) == known->accepted.end()) {
      return fail(ErrorKind::usage, "{}: {} is \"{}\"; accepted: {}", op.name(), name, word,
                  joined(known->accepted, as_is));
    }
    problem.words[name] = word;
  }
  for (const WordSpec& spec : op.words()) {
    problem.words.emplace(std::string{spec.name}, std::string{spec.accepted.front()});
  }
  return {};
}

Result<Problem> read_problem(const json& object) {
  if (!object.is_object()) return fail(ErrorKind::usage, "a kernel problem must be a JSON object");
  for (const auto& [key, value] : object.items()) {
    if (std::ranges::find(kKeys, key) == std::end(kKeys)) {
      return fail(ErrorKind::usage, "a kernel problem has no \"{}\"; it has: {}", key,
                  joined(kKeys, [](std::string_view name) { return name; }));
    }
  }
  Problem problem;
  problem.op = object.value("op", "");
  const Op* op = find_op(problem.op);
  if (op == nullptr) {
    return fail(ErrorKind::usage, "there is no op \"{}\"; there are: {}", problem.op, op_names());
  }
  problem.label = object.value("label", "");
  problem.dtype = object.value("dtype", std::string{op->dtypes().front()});
  if (std::ranges::find(op->dtypes(), problem.dtype) == op->dtypes().end()) {
    return fail(ErrorKind::usage, "{} has no dtype \"{}\"; it has: {}", op->name(), problem.dtype,
                joined(op->dtypes(), [](std::string_view name) { return name; }));
  }
  DSBENCH_CHECK(read_params(*op, object.value("params", json::object()), problem));
  DSBENCH_CHECK(read_words(*op, object.value("words", json::object()), problem));
  problem.list = object.value("list", std::vector<std::int64_t>{});
  problem.seed = object.value("seed", std::uint64_t{1});
  problem.adversarial = object.value("adversarial", false);
  DSBENCH_CHECK(op->validate(problem));
  return problem;
}

}  // namespace

std::int64_t Problem::operator[](std::string_view param) const {
  const auto at = params.find(std::string{param});
  assert(at != params.end());
  return at->second;
}

const std::string& Problem::word(std::string_view name) const {
  const auto at = words.find(std::string{name});
  assert(at != words.end());
  return at->second;
}

std::string name_of(const Problem& problem) {
  std::string name = problem.op;
  const Op* op = find_op(problem.op);
  assert(op != nullptr);
  for (const ParamSpec& spec : op->params()) {
    const std::int64_t value = problem[spec.name];
    if (spec.required || value != spec.fallback) name += fmt::format("/{}={}", spec.name, value);
  }
  for (const WordSpec& spec : op->words()) {
    const std::string& word = problem.word(spec.name);
    if (word == spec.accepted.front()) continue;
    if (word == "list") {
      name += fmt::format("/{}={}", spec.name, fmt::join(problem.list, ","));
    } else if (word == "yes" || word == "no" || spec.name == "lengths") {
      name += fmt::format("/{}={}", spec.name, word);
    } else {
      name += fmt::format("/{}", word);
    }
  }
  if (problem.adversarial) name += "/adversarial";
  if (problem.seed != 1) name += fmt::format("/seed={}", problem.seed);
  return name + "/" + problem.dtype;
}

std::string to_json(const Problem& problem) {
  json object{{"op", problem.op},
              {"dtype", problem.dtype},
              {"params", problem.params},
              {"words", problem.words},
              {"list", problem.list},
              {"seed", problem.seed},
              {"adversarial", problem.adversarial}};
  if (!problem.label.empty()) object["label"] = problem.label;
  return object.dump();
}

Result<Problem> problem_from_json(std::string_view text) {
  const json object = json::parse(text, nullptr, false);
  if (object.is_discarded()) return fail(ErrorKind::usage, "a kernel problem is not valid JSON");
  try {
    return read_problem(object);
  } catch (const json::exception& error) {
    return fail(ErrorKind::usage, "a kernel problem cannot be read: {}", error.what());
  }
}

}  // namespace dsbench::kernelbench

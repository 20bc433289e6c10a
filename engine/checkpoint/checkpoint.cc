#include "engine/checkpoint/checkpoint.h"

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/files.h"

namespace dsbench::engine::checkpoint {
namespace {

using Json = nlohmann::json;

// tensor → file, as the index says.
Result<std::map<std::string, std::string>> read_index(const std::filesystem::path& path) {
  DSBENCH_TRY(const std::string text, read_file(path));
  const Json json = Json::parse(text, nullptr, false);
  const auto bad = [&](const std::string& what) {
    return fail(ErrorKind::usage, "'{}': {}", path.string(), what);
  };
  if (!json.is_object()) return bad("is no JSON object");
  const auto map = json.find("weight_map");
  if (map == json.end() || !map->is_object()) return bad("has no object 'weight_map'");
  std::map<std::string, std::string> out;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string()) return bad(fmt::format("weight_map['{}'] is no file name", tensor));
    const auto name = file.get<std::string>();
    if (name.empty() || std::filesystem::path(name).filename() != name)
      return bad(fmt::format("weight_map['{}'] is '{}'; accepted are names of files beside the index", tensor,
                             name));
    out.emplace(tensor, name);
  }
  return out;
}

}  // namespace

Result<Checkpoint> Checkpoint::open(const std::filesystem::path& directory) {
  std::error_code error;
  if (!std::filesystem::is_directory(directory, error))
    return fail(ErrorKind::usage, "'{}' is no directory; accepted is one with config.json and *.safetensors",
                directory.string());
  const std::filesystem::path index_path = directory / "model.safetensors.index.json";
  const std::filesystem::path single = directory / "model.safetensors";
  std::map<std::string, std::string> index;
  std::set<std::string> names;
  if (std::filesystem::exists(index_path, error)) {
    DSBENCH_TRY(index, read_index(index_path));
    for (const auto& [tensor, file] : index) names.insert(file);
  } else if (std::filesystem::exists(single, error)) {
    names.insert(single.filename().string());
  } else {
    return fail(ErrorKind::usage,
                "'{}' holds neither model.safetensors.index.json nor model.safetensors; other formats of "
                "weights are not read",
                directory.string());
  }

  Checkpoint checkpoint;
  std::map<std::string, std::string> file_of;
  for (const std::string& name : names) {
    DSBENCH_TRY(SafetensorsFile file, SafetensorsFile::open(directory / name));
    for (const auto& [tensor, view] : file.tensors()) {
      const auto [at, fresh] = file_of.emplace(tensor, name);
      if (!fresh)
        return fail(ErrorKind::usage, "tensor '{}' is in '{}' and again in '{}'", tensor, at->second, name);
      checkpoint.tensors_.emplace(tensor, view);
    }
    checkpoint.files_.push_back(std::move(file));
  }
  for (const auto& [tensor, name] : index) {
    const auto at = file_of.find(tensor);
    if (at == file_of.end() || at->second != name) {
      return fail(ErrorKind::usage, "the index says that tensor '{}' is in '{}', which does not hold it",
                  tensor, name);
    }
  }
  return checkpoint;
}

const Tensor* Checkpoint::find(std::string_view name) const {
  const auto at = tensors_.find(name);
  return at == tensors_.end() ? nullptr : &at->second;
}

}  // namespace dsbench::engine::checkpoint

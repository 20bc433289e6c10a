#include <fmt/format.h>

#include <algorithm>

#include "results/report/report.h"

namespace dsbench::results::report {
namespace {

// Flags with their values, "--seed 7" as one; the program and the verb are left out.
std::vector<std::string> flags_of(const RunSummary& run) {
  std::vector<std::string> flags;
  for (const std::string& word : run.command) {
    if (word.starts_with("-")) {
      flags.push_back(word);
    } else if (!flags.empty() && flags.back().find_first_of(" =") == std::string::npos) {
      flags.back() += ' ' + word;
    }
  }
  return flags;
}

std::string flag_name(const std::string& flag) {
  return flag.substr(0, flag.find_first_of(" ="));
}

}  // namespace

std::vector<std::string> labels_of(std::span<const RunSummary* const> runs) {
  constexpr std::size_t longest = 34;
  std::vector<std::vector<std::string>> flags;
  for (const RunSummary* run : runs) flags.push_back(flags_of(*run));
  const auto everybody_has = [&](const std::string& flag) {
    return std::all_of(flags.begin(), flags.end(),
                       [&](const auto& f) { return std::find(f.begin(), f.end(), flag) != f.end(); });
  };
  std::vector<std::string> labels;
  for (std::size_t i = 0; i < flags.size(); ++i) {
    std::string label;
    for (const std::string& flag : flags[i]) {
      if (!everybody_has(flag))
        label += (label.empty() ? "" : " ") + flag.substr(flag.find_first_not_of('-'));
    }
    if (label.empty() && flags.size() == 2) {
      const auto& other = flags[1 - i];
      const auto it =
          std::find_if(other.begin(), other.end(), [&](const std::string& f) { return !everybody_has(f); });
      if (it != other.end()) label = "without " + flag_name(*it).substr(it->find_first_not_of('-'));
    }
    if (label.size() > longest) {
      std::size_t cut = longest;
      while (cut > 0 && (static_cast<unsigned char>(label[cut]) & 0xC0U) == 0x80)
        --cut;  // not inside a character
      label = label.substr(0, cut) + "…";
    }
    if (label.empty()) label = fmt::format("run {}", i + 1);
    labels.push_back(std::move(label));
  }
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (std::count(labels.begin(), labels.end(), labels[i]) > 1) {
      const std::string same = labels[i];
      for (std::size_t j = i; j < labels.size(); ++j) {
        if (labels[j] == same) labels[j] = fmt::format("{} (run {})", same, j + 1);
      }
    }
  }
  return labels;
}

}  // namespace dsbench::results::report

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "kernelbench/measure/stand.h"

// What a plug-in's process and ours say to each other: one JSON object a line.
namespace dsbench::kernelbench {

enum class WorkerVerb : int { hello, open, sample, close };

struct WorkerRequest {
  WorkerVerb verb = WorkerVerb::hello;
  int cell = 0;
  std::size_t kernel = 0;
  std::string problem;  // as to_json() writes it
};

[[nodiscard]] std::string print_request(const WorkerRequest& request);
[[nodiscard]] Result<WorkerRequest> parse_request(std::string_view line);

// Answers: to hello, to open and close, to sample; or an error of the worker itself.
[[nodiscard]] std::string print_answer(const std::vector<KernelId>& kernels);
[[nodiscard]] std::string print_answer(const OpenReport& report);
[[nodiscard]] std::string print_answer(const Stand::Taken& taken);
[[nodiscard]] std::string print_answer(const Error& error);
[[nodiscard]] Result<std::vector<KernelId>> parse_kernels(std::string_view line);
[[nodiscard]] Result<OpenReport> parse_report(std::string_view line);
[[nodiscard]] Result<Stand::Taken> parse_taken(std::string_view line);

}  // namespace dsbench::kernelbench

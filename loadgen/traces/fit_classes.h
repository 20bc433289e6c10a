#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "loadgen/traces/prefix_fit.h"
#include "loadgen/traces/session_finder.h"
#include "loadgen/traces/trace.h"
#include "loadgen/traces/trace_statistics.h"

// Which requests of a trace become one class of a fitted workload.
namespace dsbench::loadgen {

// A class of the workload that is being fitted: the requests that it stands for.
struct FitClass {
  std::string name;
  std::vector<std::uint32_t> rows;  // arrivals
  const PrefixFit::Class* pool = nullptr;
  double weight = 0;  // arrivals that it stands for, where that is another number than its rows; 0: it is not
  [[nodiscard]] double arrivals() const { return weight > 0 ? weight : static_cast<double>(rows.size()); }
};

// Of the first requests; what so many begin with is a tenant's system prompt, and the tenant has its own
// habits.
inline constexpr double own_class_share = 0.05;

// The clients that matter one by one, the others together.
[[nodiscard]] std::vector<FitClass> classes_by_client(const Trace& trace, const ClientSkew& skew,
                                                      std::size_t most);

// "prefix 512 to 12k".
[[nodiscard]] std::string pool_name(const PrefixFit::Class& cls);
// The last class has a name of its own: "X (2)" where there is an X.
void name_apart(std::vector<FitClass>& classes);

// The tenants that matter one by one, the others together, each in classes by the length of first requests:
// as many as it has requests. `turns`: requests of the session that begins with a row.
void split_by_tenant(const Trace& trace, const std::vector<std::size_t>& turns,
                     std::vector<std::uint32_t> rows, std::size_t most, std::vector<FitClass>& classes);

// Conversations by how much their second request adds: who hands in documents one after the other has fewer
// turns than who chats. Those of one request alone are a class of their own, less those whose second one came
// after the trace's end: they count with the classes that they are of.
void split_by_growth(const Trace& trace, const SessionForest& forest, const std::vector<std::size_t>& turns,
                     const std::vector<std::uint32_t>& rows, std::size_t most,
                     std::vector<FitClass>& classes);

}  // namespace dsbench::loadgen

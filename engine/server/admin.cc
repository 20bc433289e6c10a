#include "engine/server/admin.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <tl/expected.hpp>

#include "engine/server/rendering.h"

namespace dsbench::engine::server {
namespace {

using Json = nlohmann::json;

tl::unexpected<ApiError> refusal(std::string message) {
  return tl::unexpected(ApiError{.status = 400, .message = std::move(message), .param = "fault"});
}

std::string list(const FaultBoard& board, Nanos now) {
  std::string text;
  for (const FaultBoard::Entry& entry : board.entries()) {
    Fault bare = entry.fault;
    bare.start = Nanos{0};
    bare.duration.reset();
    const double starts_in = to_seconds(entry.fault.start - now);
    const std::string ends_in =
        entry.fault.duration ? fmt::format("{:.3f}", starts_in + to_seconds(*entry.fault.duration)) : "null";
    text += fmt::format(R"({}{{"id":{},"fault":{},"active":{},"starts_in_s":{:.3f},"ends_in_s":{}}})",
                        text.empty() ? "" : ",", entry.id, json_quoted(print_fault(bare)),
                        now >= entry.fault.start, starts_in, ends_in);
  }
  return fmt::format(R"({{"faults":[{}]}})", text);
}

tl::expected<void, ApiError> add(std::string_view body, FaultDirector& faults, Nanos now) {
  const Json json = Json::parse(body, nullptr, false);
  if (!json.is_object() || !json.contains("fault") || !json["fault"].is_string())
    return refusal(R"(the body must be a JSON object {"fault": "NAME[:key=value,…][@START][+DURATION]"})");
  const auto fault = parse_fault(json["fault"].get_ref<const std::string&>());
  if (!fault) return refusal(fault.error().message);
  const auto added = faults.add(*fault, now);
  if (!added) return refusal(added.error().message);
  return {};
}

tl::expected<void, ApiError> clear(std::string_view target, FaultDirector& faults, Nanos now) {
  constexpr std::string_view query = "?fault=";
  constexpr std::string_view by_id = "?id=";
  const std::size_t at = target.find(query);
  if (const std::size_t place = target.find(by_id); place != std::string_view::npos) {
    const std::string_view text = target.substr(place + by_id.size());
    std::int64_t id = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    if (error != std::errc{} || end != text.data() + text.size())
      return refusal(fmt::format("'{}' is no fault's id; accepted: one that the list has", text));
    (void)faults.board().end(id, now);  // one that is over already is no mistake
  } else if (at == std::string_view::npos) {
    faults.board().clear(std::nullopt);
  } else {
    const auto fault = parse_fault(target.substr(at + query.size()));
    if (!fault) return refusal(fault.error().message);
    faults.board().clear(fault->kind);
  }
  faults.on_time(now);
  return {};
}

}  // namespace

tl::expected<std::string, ApiError> admin_faults(std::string_view method, std::string_view target,
                                                 std::string_view body, FaultDirector& faults, Nanos now) {
  tl::expected<void, ApiError> done;
  if (method == "POST") done = add(body, faults, now);
  if (method == "DELETE") done = clear(target, faults, now);
  if (!done) return tl::unexpected(std::move(done).error());
  return list(faults.board(), now);
}

}  // namespace dsbench::engine::server

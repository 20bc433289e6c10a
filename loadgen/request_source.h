#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "loadgen/target.h"
#include "results/record.h"

namespace dsbench::loadgen {

// A session's next request: what it is, and how long after the end of the one before.
struct FollowUp {
  Nanos after{0};
  Attempt attempt;  // `turn` is one that the session has not had; it gives the request its number
};

// What the requests of a run consist of. All const, so that issuer threads may share it; every answer is a
// function of (workload, seed, arguments) alone, whoever asks and in whatever order. What a session remembers
// is in its attempts (Attempt::session).
class RequestSource {
 public:
  virtual ~RequestSource() = default;
  // The request of arrival number `request` of the schedule: the first of a session, where there are
  // sessions.
  [[nodiscard]] virtual Attempt first(std::uint64_t request) const = 0;
  // The same where the profile of the traffic says which mix of tenants comes (see make_source()); mix 0 is
  // the workload's own.
  [[nodiscard]] virtual Attempt first_of_mix(std::uint64_t request, std::uint32_t /*mix*/) const {
    return first(request);
  }
  // Appends what the session does after a request of it has ended in this way: nothing when it is over, or
  // waits for others of its requests; several when they go out together.
  virtual void next(const Attempt& /*ended*/, const results::RequestRecord& /*outcome*/,
                    std::vector<FollowUp>& /*follow_ups*/) const {}
};

// A source that its users share. A function of the request's number is one too: a source without sessions.
class SharedSource {
 public:
  template <class Source>
  requires std::derived_from<Source, RequestSource> SharedSource(std::shared_ptr<Source> source)
      : source_{std::move(source)} {}
  template <class Function>
  requires std::is_invocable_r_v<Attempt, const Function&, std::uint64_t> &&
      (!std::is_same_v<Function, SharedSource>)SharedSource(Function function)
      : source_{std::make_shared<OfFunction<Function>>(std::move(function))} {}

  [[nodiscard]] Attempt operator()(std::uint64_t request) const { return source_->first(request); }
  [[nodiscard]] Attempt first_of_mix(std::uint64_t request, std::uint32_t mix) const {
    return source_->first_of_mix(request, mix);
  }
  void next(const Attempt& ended, const results::RequestRecord& outcome,
            std::vector<FollowUp>& follow_ups) const {
    source_->next(ended, outcome, follow_ups);
  }

 private:
  template <class Function>
  struct OfFunction final : RequestSource {
    explicit OfFunction(Function f) : function{std::move(f)} {}
    [[nodiscard]] Attempt first(std::uint64_t request) const override { return function(request); }
    Function function;
  };
  std::shared_ptr<const RequestSource> source_;
};

}  // namespace dsbench::loadgen

#include "loadgen/workload.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "core/rng.h"
#include "loadgen/class_source.h"
#include "loadgen/from_profiles.h"

namespace dsbench::loadgen {
namespace {

class WorkloadSource final : public RequestSource {
 public:
  WorkloadSource(const profiles::WorkloadProfile& workload, std::uint64_t seed, std::vector<Mix> mixes)
      : seed_{seed} {
    Mix own;
    for (const profiles::TenantClass& c : profiles::classes_of(workload)) {
      own.push_back(c.weight);
      classes_.push_back(make_class_source(c, seed, static_cast<std::uint16_t>(classes_.size())));
    }
    mixes_.push_back(std::move(own));
    for (Mix& mix : mixes) mixes_.push_back(std::move(mix));
  }

  [[nodiscard]] Attempt first(std::uint64_t request) const override { return first_of_mix(request, 0); }
  [[nodiscard]] Attempt first_of_mix(std::uint64_t request, std::uint32_t mix) const override {
    return classes_[class_of(request, mix)]->first(request);
  }
  void next(const Attempt& ended, const results::RequestRecord& outcome,
            std::vector<FollowUp>& follow_ups) const override {
    if (ended.session && ended.tenant < classes_.size())
      classes_[ended.tenant]->next(ended, outcome, follow_ups);
  }

 private:
  [[nodiscard]] std::size_t class_of(std::uint64_t request, std::uint32_t number) const {
    if (classes_.size() == 1) return 0;
    const Mix& mix = mixes_[number < mixes_.size() ? number : 0];
    double total = 0;
    for (const double w : mix) total += w;
    double left = Rng{seed_, "class", request}.open_uniform() * total;
    std::size_t last = 0;  // the last class that may come, should rounding leave a rest
    for (std::size_t i = 0; i < mix.size(); ++i) {
      if (mix[i] <= 0) continue;
      last = i;
      left -= mix[i];
      if (left <= 0) break;
    }
    return last;
  }

  std::uint64_t seed_;
  std::vector<std::shared_ptr<const RequestSource>> classes_;
  std::vector<Mix> mixes_;  // by number
};

}  // namespace

Result<Mix> mix_of(const profiles::WorkloadProfile& workload, const std::map<std::string, double>& weights) {
  const auto classes = profiles::classes_of(workload);
  Mix mix(classes.size(), 0.0);
  double total = 0;
  for (const auto& [name, weight] : weights) {
    const auto it =
        std::find_if(classes.begin(), classes.end(), [&](const auto& c) { return c.name == name; });
    if (it == classes.end()) {
      std::string accepted;
      for (const auto& c : classes) accepted += (accepted.empty() ? "" : ", ") + c.name;
      return fail(ErrorKind::usage, "the mix names the class '{}'; workload '{}' has: {}", name,
                  workload.name, accepted);
    }
    if (!(weight >= 0))
      return fail(ErrorKind::usage, "the mix gives the class '{}' the weight {}; accepted: 0 or more", name,
                  weight);
    mix[static_cast<std::size_t>(it - classes.begin())] = weight;
    total += weight;
  }
  if (!(total > 0))
    return fail(ErrorKind::usage, "the mix has no weight above nought; accepted: at least one class");
  return mix;
}

SharedSource make_source(const profiles::WorkloadProfile& workload, std::uint64_t seed,
                         std::vector<Mix> mixes) {
  return std::make_shared<WorkloadSource>(workload, seed, std::move(mixes));
}

ClientPolicies policies_of(const profiles::WorkloadProfile& workload, const ClientPolicy& of_run) {
  std::vector<ClientPolicy> policies;
  for (const auto& c : profiles::classes_of(workload))
    policies.push_back(c.client ? policy_of(*c.client) : of_run);
  return {std::move(policies), of_run};
}

std::vector<results::Tenant> tenants_of(const profiles::WorkloadProfile& workload,
                                        const results::Slo& of_run) {
  std::vector<results::Tenant> tenants;
  for (const auto& c : profiles::classes_of(workload))
    tenants.push_back({c.name, c.slo ? slo_of(*c.slo) : of_run, c.reasoning_share});
  return tenants;
}

}  // namespace dsbench::loadgen

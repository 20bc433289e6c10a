#pragma once

#include <vector>

#include "results/record.h"

namespace dsbench::fakes {

// A sink that remembers everything.
class KeptRecords final : public results::RecordSink {
 public:
  void attempt(const results::AttemptRecord& r) override { attempts.push_back(r); }
  void request(const results::RequestRecord& r) override { requests.push_back(r); }
  void decided(const results::ProviderDecision& d) override { decisions.push_back(d); }
  std::vector<results::ProviderDecision> decisions;
  std::vector<results::AttemptRecord> attempts;
  std::vector<results::RequestRecord> requests;
};

}  // namespace dsbench::fakes

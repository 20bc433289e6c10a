#include "results/verdicts/step_verdict.h"

#include "results/statistics.h"

namespace dsbench::results {

ShareJudgement judge_step(std::int64_t good, std::int64_t offered, double wanted, double confidence) {
  ShareJudgement judgement;
  if (offered <= 0) return judgement;
  judgement.share = static_cast<double>(good) / static_cast<double>(offered);
  judgement.lower = share_lower_bound(good, offered, confidence);
  judgement.upper = share_upper_bound(good, offered, confidence);
  if (judgement.lower >= wanted)
    judgement.verdict = StepVerdict::good;
  else if (judgement.upper < wanted)
    judgement.verdict = StepVerdict::bad;
  return judgement;
}

}  // namespace dsbench::results

#include "profiles/step_law_fit.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string_view>
#include <vector>

namespace dsbench::profiles {
namespace {

constexpr std::size_t kUnknowns = 4;
constexpr std::size_t kFewest = 20;
using Vector = std::array<double, kUnknowns>;
using Matrix = std::array<Vector, kUnknowns>;

constexpr std::array<std::string_view, kUnknowns> names{"the constant", "prompt tokens", "decode tokens",
                                                        "KV tokens"};

Vector row_of(const StepSample& s) {
  return {1, s.prefill_tokens, s.decode_tokens, s.kv_tokens};
}

double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (std::size_t i = 0; i < kUnknowns; ++i) sum += a[i] * b[i];
  return sum;
}

// The normal equations of Σ ((row·x − t)/t)², with the columns scaled to length one so that seconds per token
// and seconds per KV token, six digits apart, meet on level ground.
struct Normal {
  Matrix a{};
  Vector b{};
  Vector scale{};
  double target = 0;  // Σ 1: the sum of squares with every coefficient at zero
};

Normal normal_equations(std::span<const StepSample> steps) {
  Normal n;
  for (const StepSample& s : steps) {
    const Vector row = row_of(s);
    const double w = 1 / s.seconds;
    for (std::size_t i = 0; i < kUnknowns; ++i) {
      for (std::size_t j = 0; j < kUnknowns; ++j) n.a[i][j] += row[i] * w * row[j] * w;
      n.b[i] += row[i] * w;
    }
    n.target += 1;
  }
  for (std::size_t i = 0; i < kUnknowns; ++i) n.scale[i] = n.a[i][i] > 0 ? 1 / std::sqrt(n.a[i][i]) : 0;
  for (std::size_t i = 0; i < kUnknowns; ++i) {
    for (std::size_t j = 0; j < kUnknowns; ++j) n.a[i][j] *= n.scale[i] * n.scale[j];
    n.b[i] *= n.scale[i];
  }
  return n;
}

// Solves for the unknowns in `active` by elimination with pivots; false when they cannot be told apart.
bool solve(const Normal& n, const std::vector<std::size_t>& active, Vector& x) {
  const std::size_t m = active.size();
  std::vector<std::vector<double>> rows(m, std::vector<double>(m + 1));
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < m; ++j) rows[i][j] = n.a[active[i]][active[j]];
    rows[i][m] = n.b[active[i]];
  }
  for (std::size_t c = 0; c < m; ++c) {
    std::size_t pivot = c;
    for (std::size_t r = c + 1; r < m; ++r) {
      if (std::abs(rows[r][c]) > std::abs(rows[pivot][c])) pivot = r;
    }
    if (std::abs(rows[pivot][c]) < 1e-9) return false;
    std::swap(rows[c], rows[pivot]);
    for (std::size_t r = 0; r < m; ++r) {
      if (r == c) continue;
      const double factor = rows[r][c] / rows[c][c];
      for (std::size_t j = c; j <= m; ++j) rows[r][j] -= factor * rows[c][j];
    }
  }
  x = {};
  for (std::size_t i = 0; i < m; ++i) x[active[i]] = rows[i][m] / rows[i][i];
  return true;
}

Vector best_of_all(const Normal& n) {
  Vector best{};
  double least = std::numeric_limits<double>::infinity();
  for (unsigned subset = 1; subset < 1U << kUnknowns; ++subset) {
    std::vector<std::size_t> active;
    for (std::size_t i = 0; i < kUnknowns; ++i) {
      if ((subset >> i & 1U) != 0) active.push_back(i);
    }
    Vector x;
    if (!solve(n, active, x)) continue;
    if (std::any_of(x.begin(), x.end(), [](double v) { return v < 0; })) continue;
    double squares = n.target - 2 * dot(n.b, x);
    for (std::size_t i = 0; i < kUnknowns; ++i) squares += x[i] * dot(n.a[i], x);
    if (squares < least) {
      least = squares;
      best = x;
    }
  }
  for (std::size_t i = 0; i < kUnknowns; ++i) best[i] *= n.scale[i];
  return best;
}

std::vector<double> errors_of(const Vector& law, std::span<const StepSample> steps) {
  std::vector<double> errors;
  errors.reserve(steps.size());
  for (const StepSample& s : steps) errors.push_back(std::abs(dot(law, row_of(s)) - s.seconds) / s.seconds);
  return errors;
}

double at_share(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  const std::size_t i =
      std::min(values.size() - 1, static_cast<std::size_t>(q * static_cast<double>(values.size())));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(i), values.end());
  return values[i];
}

// Two columns that always move together leave one of them without a cost of its own.
Result<void> check_columns(std::span<const StepSample> steps) {
  Normal n = normal_equations(steps);
  for (std::size_t i = 0; i < kUnknowns; ++i) {
    if (n.scale[i] == 0)
      return fail(ErrorKind::usage,
                  "no step has {}: their cost cannot be fitted; the law needs steps with prompt tokens and "
                  "steps that decode",
                  names[i]);
  }
  for (std::size_t i = 0; i < kUnknowns; ++i) {
    for (std::size_t j = i + 1; j < kUnknowns; ++j) {
      if (n.a[i][j] > 0.99999)
        return fail(ErrorKind::usage,
                    "{} and {} always move together in these steps, so that their costs cannot be told "
                    "apart; record steps "
                    "of different sizes (several rates, several context lengths)",
                    names[i], names[j]);
    }
  }
  return {};
}

}  // namespace

double predict(const StepLawFit& law, const StepSample& s) {
  return law.base_s + law.prefill_token_s * s.prefill_tokens + law.decode_token_s * s.decode_tokens +
         law.kv_token_s * s.kv_tokens;
}

Result<StepLawFit> fit_step_law(std::span<const StepSample> all) {
  if (all.size() < kFewest)
    return fail(ErrorKind::usage, "{} steps are too few to fit a law of four numbers; {} are the least",
                all.size(), kFewest);
  for (const StepSample& s : all) {
    if (!(s.seconds > 0) || !std::isfinite(s.seconds))
      return fail(ErrorKind::usage, "a step took {} s; times must be positive", s.seconds);
  }
  DSBENCH_CHECK(check_columns(all));

  const Vector first = best_of_all(normal_equations(all));
  const std::vector<double> distances = errors_of(first, all);
  const double limit = std::max(6 * at_share(distances, 0.5), 0.25);
  std::vector<StepSample> kept;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (distances[i] <= limit) kept.push_back(all[i]);
  }
  if (kept.size() < kFewest || !check_columns(kept)) kept.assign(all.begin(), all.end());

  const Vector law = best_of_all(normal_equations(kept));
  StepLawFit fit{.base_s = law[0], .prefill_token_s = law[1], .decode_token_s = law[2], .kv_token_s = law[3]};
  fit.steps = static_cast<std::int64_t>(kept.size());
  fit.dropped = static_cast<std::int64_t>(all.size() - kept.size());
  const std::vector<double> errors = errors_of(law, kept);
  fit.median_error = at_share(errors, 0.5);
  fit.p90_error = at_share(errors, 0.9);

  std::vector<StepSample> even, odd;
  for (std::size_t i = 0; i < kept.size(); ++i) (i % 2 == 0 ? even : odd).push_back(kept[i]);
  const std::vector<double> held_out = errors_of(best_of_all(normal_equations(even)), odd);
  fit.held_out_median_error = at_share(held_out, 0.5);
  fit.held_out_p90_error = at_share(held_out, 0.9);
  for (const StepSample& s : kept) {
    fit.max_prefill_tokens = std::max(fit.max_prefill_tokens, s.prefill_tokens);
    fit.max_decode_tokens = std::max(fit.max_decode_tokens, s.decode_tokens);
    fit.max_kv_tokens = std::max(fit.max_kv_tokens, s.kv_tokens);
  }
  return fit;
}

}  // namespace dsbench::profiles

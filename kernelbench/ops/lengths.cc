#include "kernelbench/ops/lengths.h"

#include <algorithm>
#include <cmath>

#include "core/rng.h"

namespace dsbench::kernelbench {

WordSpec lengths_word() {
  return {.name = "lengths",
          .accepted = {"constant", "normal", "list"},
          .help = "how long the contexts are: all alike, spread by a normal law, or as in \"list\""};
}

Result<void> check_lengths(const Problem& p, std::int64_t rows, std::int64_t most) {
  if (p.word("lengths") != "list") {
    if (p.list.empty()) return {};
    return fail(ErrorKind::usage, "{}: there is a list of lengths, but \"lengths\" is \"{}\"; say \"list\"",
                p.op, p.word("lengths"));
  }
  if (std::ssize(p.list) != rows) {
    return fail(ErrorKind::usage, "{}: the list has {} lengths; it needs {}, one for each request", p.op,
                p.list.size(), rows);
  }
  for (const std::int64_t length : p.list) {
    if (length < 0 || (most > 0 && length > most)) {
      return fail(ErrorKind::usage, "{}: a length of {}; accepted: 0 to {}", p.op, length, most);
    }
  }
  return {};
}

std::vector<std::int64_t> make_lengths(const Problem& p, const LengthLaw& law) {
  if (p.word("lengths") == "list") return p.list;
  std::vector<std::int64_t> lengths(static_cast<std::size_t>(law.rows), law.constant);
  Rng rng(p.seed, "kernelbench.lengths");
  if (p.word("lengths") == "normal") {
    for (std::int64_t& length : lengths) {
      const double drawn = law.mean + law.deviation * rng.normal();
      length = std::clamp(static_cast<std::int64_t>(std::nearbyint(drawn)), law.least, law.most);
    }
  }
  if (!p.adversarial) return lengths;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    const std::int64_t odd[] = {
        std::max<std::int64_t>(law.constant - 1, 1), 0, 1,
        static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(law.constant))) + 1};
    lengths[i] = odd[i % 4];
  }
  return lengths;
}

}  // namespace dsbench::kernelbench

#include "cli/manners_flags.h"

#include <fmt/format.h>

#include <cmath>

#include "cli/flags.h"
#include "engine/server/manners.h"

namespace dsbench::cli {
namespace {

using engine::server::Manners;

std::string names(const char* separator) {
  std::string text;
  for (const Manners& manners : engine::server::all_manners()) {
    if (!text.empty()) text += separator;
    text += manners.name;
  }
  return text;
}

Nanos scaled(Nanos time, double scale) {
  return Nanos{std::llround(static_cast<double>(time.count()) * scale)};
}

}  // namespace

void add_manners_flags(CLI::App& app, MannersOptions& o, const std::string& prefix,
                       const std::string& group) {
  const auto flag = [&](const char* name) { return "--" + prefix + name; };
  add_text(app, flag("api"), o.api, names("|"),
           "whose manners the server has: error bodies, keep-alives, cut-offs, usage: docs/serve.md")
      ->group(group);
  add_duration(
      app, flag("keep-alive"), o.keep_alive,
      "a client that has heard nothing for so long gets a comment (streams) or a blank line; 0s: never",
      "that of --api: 10s for deepseek-…, else never")
      ->group(group);
  app.add_option(flag("api-time-scale"), o.time_scale,
                 "the cut-offs of --api times this, so that a test need not wait for them")
      ->type_name("FACTOR")
      ->default_str("1")
      ->group(group);
  app.add_option(flag("reasoning-share"), o.reasoning_share,
                 "of a chat's max_tokens that come first, as reasoning_content; 0 to 1")
      ->type_name("SHARE")
      ->default_str("that of --api: 0.5 for deepseek-…, else 0")
      ->group(group);
}

Result<Manners> make_manners(const MannersOptions& options) {
  const Manners* named = engine::server::find_manners(options.api);
  if (named == nullptr)
    return fail(ErrorKind::usage, "no API manners '{}'; accepted: {}", options.api, names(", "));
  Manners manners = *named;
  if (options.keep_alive) manners.keep_alive = *options.keep_alive;
  if (options.reasoning_share) {
    if (!(*options.reasoning_share >= 0 && *options.reasoning_share <= 1))
      return fail(ErrorKind::usage, "--reasoning-share {} is no share; accepted: 0 to 1",
                  *options.reasoning_share);
    manners.reasoning_share = *options.reasoning_share;
  }
  if (options.time_scale) {
    const double scale = *options.time_scale;
    if (!(scale > 0 && scale <= 1000))
      return fail(ErrorKind::usage, "--api-time-scale {}; accepted: above 0, up to 1000", scale);
    if (!manners.cut_off && !manners.start_cut_off) {
      return fail(ErrorKind::usage,
                  "--api-time-scale has no effect on --api {}, which cuts nothing off; it belongs to --api "
                  "deepseek-2025-02 and deepseek-2026",
                  manners.name);
    }
    if (manners.cut_off) manners.cut_off = scaled(*manners.cut_off, scale);
    if (manners.start_cut_off) manners.start_cut_off = scaled(*manners.start_cut_off, scale);
  }
  return manners;
}

}  // namespace dsbench::cli

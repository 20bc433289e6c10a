#include "loadgen/codec/http_template.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "core/files.h"
#include "core/text.h"
#include "loadgen/codec/body_pattern.h"
#include "profiles/json_object.h"

namespace dsbench::loadgen {
namespace {

using profiles::JsonObject;
using Piece = HttpTemplate::Piece;

const std::vector<std::string_view> methods{"GET", "POST", "PUT", "PATCH", "DELETE"};

struct Placeholder {
  std::string_view word;
  Piece::Kind kind;
};
constexpr std::array<Placeholder, 6> placeholders{{{"seed", Piece::Kind::seed},
                                                   {"request", Piece::Kind::request},
                                                   {"attempt", Piece::Kind::attempt},
                                                   {"prompt", Piece::Kind::prompt},
                                                   {"prompt_tokens", Piece::Kind::prompt_tokens},
                                                   {"output_tokens", Piece::Kind::output_tokens}}};

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; });
}

// Takes the body apart. What is no placeholder must not look like one.
std::vector<Piece> pieces_of(std::string_view text, JsonObject& root, std::string_view key) {
  std::vector<Piece> pieces;
  const auto add_text = [&](std::string_view t) {
    if (!t.empty()) pieces.push_back({Piece::Kind::text, std::string{t}});
  };
  while (true) {
    const std::size_t open = text.find("{{");
    const std::size_t close = open == std::string_view::npos ? open : text.find("}}", open);
    if (close == std::string_view::npos) break;
    const std::string_view word = text.substr(open + 2, close - open - 2);
    const auto known = std::find_if(placeholders.begin(), placeholders.end(),
                                    [&](const Placeholder& p) { return p.word == word; });
    const bool like_a_word =
        !word.empty() && word.size() <= 40 && std::all_of(word.begin(), word.end(), [](char c) {
          return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ' ';
        });
    if (known != placeholders.end()) {
      add_text(text.substr(0, open));
      pieces.push_back({known->kind, {}});
      text.remove_prefix(close + 2);
    } else if (like_a_word) {
      std::vector<std::string_view> words;
      for (const Placeholder& p : placeholders) words.push_back(p.word);
      root.complain(key, fmt::format("no placeholder '{{{{{}}}}}'; accepted between double braces: {}", word,
                                     join(words)));
      return pieces;
    } else {  // JSON has double braces too
      add_text(text.substr(0, open + 1));
      text.remove_prefix(open + 1);
    }
  }
  add_text(text);
  return pieces;
}

void read_expectation(JsonObject& root, HttpTemplate& made) {
  JsonObject expect = root.object("expect", false);
  for (const double status : expect.numbers("status", std::vector<double>{})) {
    if (status != std::floor(status) || status < 200 || status > 599) {
      expect.complain("status", fmt::format("found {}; accepted: whole numbers from 200 to 599", status));
      continue;
    }
    made.statuses.push_back(static_cast<std::int32_t>(status));
  }
  made.contains = expect.text("body_contains", "");
  made.matches = expect.text("body_matches", "");
  if (!made.matches.empty()) {
    if (const auto pattern = BodyPattern::compile(made.matches); !pattern)
      expect.complain("body_matches", pattern.error().message);
  }
}

}  // namespace

Result<HttpTemplate> parse_http_template(std::string_view json, std::string source,
                                         const std::filesystem::path& folder) {
  DSBENCH_TRY(JsonObject root, JsonObject::parse(json, std::move(source)));
  HttpTemplate made;
  root.schema("http", 1);
  (void)root.text("description", "");
  made.method = methods[root.choice("method", methods, 0)];
  made.path = root.text("path", "/");
  if (!made.path.starts_with('/') || has_control(made.path) ||
      made.path.find_first_of(" #{}") != std::string::npos) {
    root.complain("path",
                  fmt::format("found '{}'; accepted: begins with a slash, has no space, '#' or brace (one "
                              "run asks for one path)",
                              made.path));
  }
  root.each(
      "headers",
      [&](JsonObject& header) {
        auto name = header.text("name");
        auto value = header.text("value");
        const bool token = !name.empty() && name.find_first_of(" :\t()<>@,;\\\"/[]?={}") == std::string::npos;
        if (!token || has_control(name))
          header.complain("name", fmt::format("found '{}'; accepted: a header's name without colon", name));
        if (has_control(value)) header.complain("value", "has control characters");
        made.headers.emplace_back(std::move(name), std::move(value));
      },
      false);
  std::string body = root.text("body", "");
  const std::string file = root.text("body_file", "");
  if (root.has("body") && root.has("body_file")) {
    root.complain("body_file", "there is a body already; give one of the two");
  } else if (!file.empty()) {
    DSBENCH_TRY(body, read_file(folder / file));
  }
  const std::string_view body_key = root.has("body_file") ? "body_file" : "body";
  made.body = pieces_of(body, root, body_key);
  if (made.method == "GET" && !made.body.empty())
    root.complain(body_key, "a GET has none; methods with a body: POST, PUT, PATCH, DELETE");
  read_expectation(root, made);
  DSBENCH_CHECK(root.finish());
  return made;
}

Result<HttpTemplate> load_http_template(const std::filesystem::path& path) {
  DSBENCH_TRY(const std::string json, read_file(path));
  return parse_http_template(json, path.string(), path.parent_path());
}

}  // namespace dsbench::loadgen

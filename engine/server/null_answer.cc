#include "engine/server/null_answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "core/text.h"
#include "engine/server/http_head.h"

namespace dsbench::engine::server {
namespace {

constexpr std::int64_t default_events = 16;
constexpr std::int64_t most_events = 100'000'000;
constexpr std::int64_t most_per_packet = 4096;
constexpr std::size_t json_bytes = 200;
constexpr std::size_t most_body = 64u << 20;

std::optional<std::int64_t> number_in(std::string_view text, std::int64_t most) {
  std::int64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc{} || end != text.data() + text.size() || n < 1 || n > most) return std::nullopt;
  return n;
}

// The integer after "key": in a JSON text, by search: this is no parser.
std::optional<std::int64_t> integer_after(std::string_view body, std::string_view key) {
  const auto at = body.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view rest = body.substr(at + key.size());
  rest.remove_prefix(std::min(rest.find_first_not_of(": "), rest.size()));
  return number_in(rest.substr(0, std::min(rest.find_first_not_of("0123456789"), rest.size())), most_events);
}

bool asks_for_stream(std::string_view body) {
  constexpr std::string_view key = "\"stream\":";
  const auto at = body.find(key);
  if (at == std::string_view::npos) return false;
  std::string_view rest = body.substr(at + key.size());
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  return rest.starts_with("true");
}

std::string head_of(std::string_view content_type, std::string_view framing) {
  return fmt::format("HTTP/1.1 200 OK\r\nContent-Type: {}\r\n{}\r\n\r\n", content_type, framing);
}

std::string whole(std::string_view body) {
  return head_of("application/json", fmt::format("Content-Length: {}", body.size())) + std::string(body);
}

std::string chat_json() {
  const auto with = [](std::size_t letters) {
    return fmt::format(
        R"({{"id":"null","object":"chat.completion","created":0,"model":"null","choices":[{{"index":0,"message":)"
        R"({{"role":"assistant","content":"{}"}},"finish_reason":"length"}}],"usage":{{"completion_tokens":1}}}})",
        std::string(letters, 'x'));
  };
  const std::size_t least = with(0).size();
  return with(json_bytes > least ? json_bytes - least : 1);
}

std::string event(bool chat, std::string_view delta, std::string_view finish, std::string_view usage) {
  return fmt::format(
      R"(data: {{"id":"null","object":"{}","created":0,"model":"null","choices":[{{"index":0,{},"finish_reason":{}}}]{}}})"
      "\n\n",
      chat ? "chat.completion.chunk" : "text_completion", delta, finish, usage);
}

NullScript make_stream(const NullAnswer& a) {
  const std::string token =
      event(a.chat, a.chat ? R"("delta":{"content":"x"})" : R"("text":"x")", "null", "");
  const std::string end =
      event(a.chat, a.chat ? R"("delta":{})" : R"("text":"")", R"("length")",
            fmt::format(R"(,"usage":{{"prompt_tokens":1,"completion_tokens":{},"total_tokens":{}}})",
                        a.events, a.events + 1)) +
      "data: [DONE]\n\n";
  const auto packet = [&](std::int64_t events) {
    std::string payload;
    for (std::int64_t i = 0; i < events; ++i) payload += token;
    std::string out;
    append_chunk(out, payload);
    return out;
  };
  NullScript s;
  s.interval = a.interval;
  s.packets = (a.events + a.per_packet - 1) / a.per_packet;
  const std::int64_t in_last = a.events - (s.packets - 1) * a.per_packet;
  s.first = head_of("text/event-stream", "Transfer-Encoding: chunked");
  std::string tail;
  append_chunk(tail, end);
  tail += last_chunk;
  if (s.packets == 1) {
    s.first += packet(in_last) + tail;
  } else {
    s.middle = packet(a.per_packet);
    s.first += s.middle;
    s.last = packet(in_last) + tail;
  }
  return s;
}

bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    const auto low = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return low(x) == low(y);
  });
}

}  // namespace

NullAnswer choose_null_answer(std::string_view target, std::string_view body) {
  const std::string_view path = target.substr(0, target.find('?'));
  NullAnswer a;
  a.chat = !path.ends_with("/completions") || path.ends_with("/chat/completions");
  if (path.ends_with("/models")) {
    a.kind = NullAnswer::Kind::models;
    return a;
  }
  constexpr std::string_view shape = "/sse/";
  if (!path.starts_with(shape)) {
    if (!asks_for_stream(body)) return a;
    a.kind = NullAnswer::Kind::stream;
    a.events = integer_after(body, "\"max_completion_tokens\"")
                   .value_or(integer_after(body, "\"max_tokens\"").value_or(default_events));
    return a;
  }
  std::string_view rest = path.substr(shape.size());
  const auto next = [&] {
    const auto slash = std::min(rest.find('/'), rest.size());
    const std::string_view part = rest.substr(0, slash);
    rest.remove_prefix(std::min(slash + 1, rest.size()));
    return part;
  };
  const auto events = number_in(next(), most_events);
  const auto per_packet = number_in(next(), most_per_packet);
  a.kind = events && per_packet ? NullAnswer::Kind::stream : NullAnswer::Kind::no_such_shape;
  a.events = events.value_or(0);
  a.per_packet = per_packet.value_or(1);
  // What follows may be the API's path.
  if (!rest.empty() && rest.front() >= '0' && rest.front() <= '9') {
    const auto interval = parse_duration(next());
    if (interval && *interval >= Nanos{0}) {
      a.interval = *interval;
    } else {
      a.kind = NullAnswer::Kind::no_such_shape;
    }
  }
  return a;
}

NullScripts::NullScripts() {
  json_.first = whole(chat_json());
  models_.first = whole(
      R"({"object":"list","data":[{"id":"null","object":"model","created":0,"owned_by":"dsbench","max_model_len":1048576}]})");
  constexpr std::string_view said =
      R"({"error":{"message":"accepted: /sse/EVENTS/EVENTS_PER_PACKET[/INTERVAL], as in /sse/100/1/10ms","type":"invalid_request_error","param":null,"code":null}})";
  refusal_.first = fmt::format(
      "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
      said.size(), said);
}

const NullScript& NullScripts::of(const NullAnswer& a) {
  switch (a.kind) {
    case NullAnswer::Kind::json:
      return json_;
    case NullAnswer::Kind::models:
      return models_;
    case NullAnswer::Kind::no_such_shape:
      return refusal_;
    case NullAnswer::Kind::stream:
      break;
  }
  const auto [it, fresh] = streams_.try_emplace({a.chat, a.events, a.per_packet, a.interval.count()});
  if (fresh) it->second = make_stream(a);
  return it->second;
}

NullRequest read_null_request(std::string_view bytes) {
  using State = NullRequest::State;
  NullRequest r;
  const auto head_end = bytes.find("\r\n\r\n");
  if (head_end == std::string_view::npos) {
    if (bytes.size() > (64u << 10)) r.state = State::malformed;
    return r;
  }
  const std::string_view head = bytes.substr(0, head_end);
  const std::string_view line = head.substr(0, head.find("\r\n"));
  const auto first = line.find(' ');
  const auto second = line.rfind(' ');
  if (first == std::string_view::npos || second <= first || !line.substr(second + 1).starts_with("HTTP/1.")) {
    r.state = State::malformed;
    return r;
  }
  r.target = line.substr(first + 1, second - first - 1);
  r.close = line.ends_with("1.0");
  std::size_t length = 0;
  bool expects = false;
  for (std::size_t at = line.size(); at < head.size();) {
    at += 2;
    const auto end = std::min(head.find("\r\n", at), head.size());
    const std::string_view field = head.substr(at, end - at);
    at = end;
    const auto colon = field.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view name = field.substr(0, colon);
    std::string_view value = field.substr(colon + 1);
    value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
    if (same_word(name, "content-length")) {
      const auto [stop, error] = std::from_chars(value.data(), value.data() + value.size(), length);
      if (error != std::errc{} || length > most_body) r.state = State::malformed;
    } else if (same_word(name, "transfer-encoding")) {
      r.state = State::malformed;  // a body without a length: not for us
    } else if (same_word(name, "connection")) {
      r.close = same_word(value, "close") || (r.close && !same_word(value, "keep-alive"));
    } else if (same_word(name, "expect")) {
      expects = true;
    }
  }
  if (r.state == State::malformed) return r;
  if (bytes.size() - head_end - 4 < length) {
    r.expects_continue = expects;
    return r;
  }
  r.state = State::whole;
  r.size = head_end + 4 + length;
  r.body = bytes.substr(head_end + 4, length);
  return r;
}

}  // namespace dsbench::engine::server

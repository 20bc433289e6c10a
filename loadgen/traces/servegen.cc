#include "loadgen/traces/servegen.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/special_functions/gamma.hpp>
#include <cmath>
#include <map>
#include <string>

#include "core/rng.h"
#include "loadgen/traces/field_parsers.h"
#include "loadgen/traces/text_source.h"

namespace dsbench::loadgen {
namespace {

using Window = ServeGenClient::Window;

// N of "chunk-N<suffix>", or -1. The files may be packed.
int number_in(std::string name, std::string_view suffix) {
  if (name.ends_with(".gz")) name.resize(name.size() - 3);
  if (!name.starts_with("chunk-") || !name.ends_with(suffix)) return -1;
  const std::string digits = name.substr(6, name.size() - 6 - suffix.size());
  if (digits.empty() || digits.size() > 6 || digits.find_first_not_of("0123456789") != std::string::npos)
    return -1;
  return std::stoi(digits);
}

constexpr std::string_view trace_suffix = "-trace.csv";
constexpr std::string_view dataset_suffix = "-dataset.json";

Result<Window> read_window(std::string_view line, std::vector<std::string_view>& fields) {
  split_csv(line, fields);
  if (fields.size() < 4)
    return fail(ErrorKind::usage, "{} fields, expected start,rate,cv,law,shape,scale", fields.size());
  const auto start = parse_number(fields[0]);
  const auto rate = parse_number(fields[1]);
  if (!start || !rate || *start < 0 || *rate < 0) {
    return fail(ErrorKind::usage, "start and rate are '{}' and '{}'; accepted: numbers from 0", fields[0],
                fields[1]);
  }
  Window window;
  window.start_s = *start;
  window.rate = *rate;
  if (window.rate <= 0) return window;
  window.cv = parse_number(fields[2]).value_or(0);
  const double shape = fields.size() > 4 ? parse_number(fields[4]).value_or(0) : 0;
  if (fields[3] == "Gamma" || fields[3] == "Weibull") {
    window.law = fields[3] == "Gamma" ? Window::Law::gamma : Window::Law::weibull;
    if (!(shape > 0)) return fail(ErrorKind::usage, "the shape of {} is not above 0", fields[3]);
    window.shape = shape;
  } else if (!fields[3].empty() && fields[3] != "Exponential" && fields[3] != "Exp" &&
             fields[3] != "Poisson") {
    return fail(ErrorKind::usage, "the law is '{}'; accepted: Gamma, Weibull or nothing", fields[3]);
  }
  return window;
}

// Gaps with mean 1.
class UnitGaps {
 public:
  UnitGaps(const Window& window, Rng& rng) : window_{window}, rng_{rng} {
    if (window.law == Window::Law::weibull) scale_ = 1 / std::tgamma(1 + 1 / window.shape);
  }
  [[nodiscard]] double next() {
    switch (window_.law) {
      case Window::Law::gamma:
        return boost::math::gamma_p_inv(window_.shape, rng_.open_uniform()) / window_.shape;
      case Window::Law::weibull:
        return scale_ * std::pow(rng_.exponential(), 1 / window_.shape);
      case Window::Law::none:
        break;
    }
    return rng_.exponential();
  }
  // What is left of the gap at a point of time that knows nothing of it: a uniform share of a length-biased
  // gap. The process is stationary from the start and its mean count is exact.
  [[nodiscard]] double first() {
    const double share = rng_.uniform();
    switch (window_.law) {
      case Window::Law::gamma:
        return share * boost::math::gamma_p_inv(window_.shape + 1, rng_.open_uniform()) / window_.shape;
      case Window::Law::weibull:
        return share * scale_ *
               std::pow(boost::math::gamma_p_inv(1 + 1 / window_.shape, rng_.open_uniform()),
                        1 / window_.shape);
      case Window::Law::none:
        break;
    }
    return rng_.exponential();
  }

 private:
  const Window& window_;
  Rng& rng_;
  double scale_ = 1;
};

}  // namespace

bool is_servegen_folder(const std::filesystem::path& path) {
  std::error_code ec;
  for (const auto& entry : std::filesystem::directory_iterator(path, ec)) {
    if (number_in(entry.path().filename().string(), trace_suffix) >= 0) return true;
  }
  return false;
}

Result<ServeGen> ServeGen::read(const std::filesystem::path& folder) {
  std::map<int, std::filesystem::path> files;
  std::error_code ec;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ec)) {
    const int number = number_in(entry.path().filename().string(), trace_suffix);
    if (number >= 0) files[number] = entry.path();
  }
  if (ec) return fail(ErrorKind::io, "cannot read the folder '{}': {}", folder.string(), ec.message());
  if (files.empty()) {
    return fail(ErrorKind::usage, "the folder '{}' holds no chunk-N-trace.csv of ServeGen", folder.string());
  }
  ServeGen all;
  std::map<double, std::size_t> steps;
  std::vector<std::string_view> fields;
  for (const auto& [number, path] : files) {
    ServeGenClient client;
    client.number = number;
    DSBENCH_TRY(TextSource source, TextSource::open(path, Framing::lines));
    for (;;) {
      DSBENCH_TRY(const auto record, source.next());
      if (!record) break;
      ++all.records;
      const auto window = read_window(record->text, fields);
      if (window && (client.windows.empty() || window->start_s > client.windows.back().start_s)) {
        if (!client.windows.empty()) ++steps[window->start_s - client.windows.back().start_s];
        client.windows.push_back(*window);
        continue;
      }
      ++all.bad;
      if (all.examples.size() < 5) {
        all.examples.push_back(
            fmt::format("{} line {}: {}", path.filename().string(), record->line,
                        window ? "it does not begin after the former" : window.error().message));
      }
    }
    const bool active =
        std::any_of(client.windows.begin(), client.windows.end(), [](const Window& w) { return w.rate > 0; });
    auto dataset = folder / fmt::format("chunk-{}{}", number, dataset_suffix);
    if (!std::filesystem::exists(dataset, ec) && std::filesystem::exists(dataset.string() + ".gz", ec))
      dataset += ".gz";
    if (active) {
      DSBENCH_TRY(client.lengths, read_servegen_dataset(dataset));
      if (client.lengths.empty())
        return fail(ErrorKind::usage, "'{}' holds no lengths, but its client sends requests",
                    dataset.string());
    }
    all.clients.push_back(std::move(client));
  }
  std::size_t most = 0;
  for (const auto& [step, count] : steps) {
    if (count > most) {
      most = count;
      all.window_s = step;
    }
  }
  for (const ServeGenClient& client : all.clients) {
    if (!client.windows.empty())
      all.length_s = std::max(all.length_s, client.windows.back().start_s + all.window_s);
  }
  return all;
}

double ServeGen::expected(Nanos from, Nanos to) const {
  double sum = 0;
  for (const ServeGenClient& client : clients) {
    for (const Window& window : client.windows) {
      const double begin = std::max(window.start_s, to_seconds(from));
      const double end = std::min(window.start_s + window_s, to_seconds(to));
      if (end > begin) sum += window.rate * (end - begin);
    }
  }
  return sum;
}

void ServeGen::draw(std::uint64_t seed, Nanos from, Nanos to, const TraceSink& sink) const {
  TraceRequest request;
  for (const ServeGenClient& client : clients) {
    request.tenant = fmt::format("chunk-{}", client.number);
    for (std::size_t w = 0; w < client.windows.size(); ++w) {
      const Window& window = client.windows[w];
      if (window.rate <= 0 || from_seconds(window.start_s + window_s) <= from ||
          from_seconds(window.start_s) >= to)
        continue;
      // The lengths that were in force: the last that began, or the first of all.
      const auto after = std::upper_bound(client.lengths.begin(), client.lengths.end(), window.start_s,
                                          [](double s, const auto& lengths) { return s < lengths.start_s; });
      const auto& lengths = after == client.lengths.begin() ? *after : *(after - 1);
      const std::uint64_t index = static_cast<std::uint64_t>(client.number) << 32 | w;
      Rng gap_rng{seed, "servegen gaps", index};
      Rng length_rng{seed, "servegen lengths", index};
      UnitGaps gaps{window, gap_rng};
      const double end = window_s * window.rate;  // in units of the mean gap
      for (double at = gaps.first(); at < end; at += gaps.next()) {
        const double input = lengths.input.at(length_rng.uniform());
        const double output = lengths.output.at(length_rng.uniform());
        const double reasoning = length_rng.uniform();
        request.at = from_seconds(window.start_s + at / window.rate);
        if (request.at < from || request.at >= to) continue;
        const auto tokens = [](double n) {
          return static_cast<std::int32_t>(
              std::clamp(std::round(n), 0.0, static_cast<double>(most_trace_tokens)));
        };
        request.input_tokens = tokens(input);
        request.output_tokens = tokens(output);
        request.reasoning_share.reset();
        if (!lengths.reasoning.empty())
          request.reasoning_share = std::clamp(lengths.reasoning.at(reasoning), 0.0, 1.0);
        sink(request);
      }
    }
  }
}

}  // namespace dsbench::loadgen

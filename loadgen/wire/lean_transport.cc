#include "loadgen/wire/lean_transport.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <span>
#include <utility>

#include "loadgen/request_table.h"
#include "loadgen/wire/curl_setup.h"
#include "loadgen/wire/event_dates.h"
#include "loadgen/wire/lean_connection.h"
#include "loadgen/wire/request_writer.h"
#include "loadgen/wire/stamped_socket.h"

namespace dsbench::loadgen {
namespace {

using results::Reason;
using Sent = OutgoingRequest::Sent;
using PieceKind = HttpResponseParser::Kind;

// How long the rest of an ended response may take before its connection is given up.
constexpr Nanos linger_limit{1'000'000'000};
constexpr std::uint32_t reading = EPOLLIN | EPOLLRDHUP;
// Enough for what a socket holds of most answers; one for all streams.
constexpr std::size_t buffer_size = 65'536;
// For what the sockets of a turn hold together, and how much of it a socket must find free.
constexpr std::size_t turn_buffer_size = 262'144;
constexpr std::size_t least_room = 16'384;
constexpr int most_reads = 4;

// Our poverty, not the target's.
bool is_shortage(int error) {
  return error == EADDRNOTAVAIL || error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

struct LeanTransport::Impl {
  using Connection = LeanConnection;
  using State = LeanConnection::State;

  // What a socket gave in this turn, not yet looked at; of nobody where the socket is to be read later.
  struct Taken {
    Connection* connection = nullptr;
    std::span<const char> bytes;
    Received got;
  };

  Impl(const WireConfig& config, const ClientPolicy& policy, const Clock& k, Nanos e, Poller& p,
       AnswerSink* a, EventDates::WallClock w)
      : idle_limit{config.idle_connection_limit},
        connect_timeout{policy.connect_timeout},
        tell_alive{policy.comments_feed_timeout},
        poller{p},
        answers{a},
        dates{k, e, w},
        buffer(buffer_size),
        turn_buffer(turn_buffer_size) {}

  const Nanos idle_limit;
  const std::optional<Nanos> connect_timeout;
  const bool tell_alive;  // of bytes that are no answer
  Poller& poller;
  AnswerSink* const answers;
  EventDates dates;
  std::vector<char> buffer;
  std::vector<char> turn_buffer;
  std::array<Taken, Poller::most_ready> taken;
  std::deque<LeanPool> pools;  // by provider
  std::deque<Connection> connections;
  std::vector<Connection*> by_fd;
  RequestTable live;  // attempts that have not ended, by connection
  RequestWriter writer;
  LeanTimers connects, lingering;
  Counts counts;
  std::vector<TargetEvent>* events = nullptr;  // of the call in progress
  std::uint64_t turn = 0;
  std::uint32_t next_owner = 0;

  // ---- telling

  void tell(Connection& c, EventKind kind, Reason reason = Reason::ok) {
    TargetEvent& e = events->emplace_back();
    e.request = c.request;
    e.attempt = c.attempt;
    e.kind = kind;
    e.at = c.told = std::max(c.told, dates.at());
    e.read_lag = dates.read_lag();
    e.http_status = c.status;
    e.reason = reason;
    if (c.connect_time && kind != EventKind::sent) {
      e.dns_time = Nanos{0};  // names are looked up before the run
      e.connect_time = std::exchange(c.connect_time, {});
    } else if (kind == EventKind::first_byte) {
      e.reused = true;
    }
    if (kind == EventKind::done) {
      const ReplyReader::Usage usage = c.reader->usage();
      e.usage_output_tokens = usage.output_tokens;
      e.usage_prompt_tokens = usage.prompt_tokens;
      e.usage_cached_prompt_tokens = usage.cached_prompt_tokens;
      e.usage_reasoning_tokens = usage.reasoning_tokens;
      if (answers != nullptr && usage.output_tokens.value_or(0) <= 0)
        answers->answered(c.request, c.attempt, std::move(c.text));
    }
    if (kind == EventKind::failed && c.status != 0) {
      e.retry_after = c.retry.advice().retry_after;
      e.should_retry = c.retry.advice().should_retry;
    }
  }

  void tell_end(Connection& c, EventKind kind, Reason reason = Reason::ok) {
    tell(c, kind, reason);
    c.ended = true;
    live.erase(c.request);
  }

  void tell_step(Connection& c, const ReplyReader::Step& step) {
    switch (step.kind) {
      case ReplyReader::Step::Kind::tokens:
        tell(c, EventKind::tokens);
        events->back().tokens = step.tokens;
        events->back().reasoning = step.reasoning;
        break;
      case ReplyReader::Step::Kind::done:
        tell_end(c, EventKind::done);
        break;
      case ReplyReader::Step::Kind::failed:
        tell_end(c, EventKind::failed, step.reason);
        break;
    }
  }

  [[nodiscard]] static bool is_refusal(const Connection& c) {
    return c.status != 0 && !c.reader->expects(c.status);
  }

  // ---- connections

  Connection& closed_connection(LeanPool& p) {
    if (p.closed.empty()) {
      connections.emplace_back(p, static_cast<std::uint32_t>(connections.size()));
      connections.back().reader = p.codec->make_reader();
      if (answers != nullptr) connections.back().reader->keep_text(&connections.back().text);
      return connections.back();
    }
    Connection& c = *p.closed.back();
    p.closed.pop_back();
    return c;
  }

  void assign(Connection& c, const Attempt& attempt) {
    c.request = attempt.request;
    c.attempt = attempt.attempt;
    c.ended = c.got_byte = c.lingers = false;
    c.status = 0;
    c.told = Nanos{0};
    ++c.use;
    c.retry = {};
    c.text.clear();
    c.parser.begin();
    c.reader->begin(0);
    live.insert(c.request, c.number);
  }

  void close_socket(Connection& c) {
    if (c.fd < 0) return;
    poller.forget(c.fd);
    by_fd[static_cast<std::size_t>(c.fd)] = nullptr;
    ::close(c.fd);
    c.fd = -1;
    --counts.connections_open;
  }

  // Whatever its state; nothing is told.
  void close(Connection& c) {
    if (c.state == State::idle) c.pool.remove_idle(c);
    if (c.state == State::busy) counts.comments += c.reader->comments();
    close_socket(c);
    c.outgoing.reset();
    c.connect_time.reset();
    c.state = State::closed;
    ++c.use;
    c.pool.closed.push_back(&c);
  }

  void make_idle(Connection& c) {
    counts.comments += c.reader->comments();
    ++c.use;
    c.state = State::idle;
    c.idle_since = dates.turn();
    c.idle_turn = turn;
    c.pool.add_idle(c);
  }

  // An open connection that the server has not closed, as far as can be seen.
  Connection* take_idle(LeanPool& p) {
    while (p.newest != nullptr) {
      Connection& c = *p.newest;
      bool usable = dates.turn() - c.idle_since <= idle_limit;
      if (usable && c.idle_turn != turn) {  // in this turn epoll has told of no end
        char byte = 0;
        usable = ::recv(c.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR);
      }
      if (usable) {
        p.remove_idle(c);
        c.state = State::busy;
        return &c;
      }
      close(c);
    }
    return nullptr;
  }

  // Tries addresses from c.tried on. 0: connected; EINPROGRESS: on the way; else why not.
  int connect_next(Connection& c) {
    const auto& addresses = c.pool.addresses;
    int error = ECONNREFUSED;
    for (; c.tried < addresses.size(); ++c.tried) {
      const SocketAddress& a = addresses[(c.pool.best + c.tried) % addresses.size()];
      close_socket(c);
      c.fd = ::socket(a.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
      if (c.fd < 0) return errno;
      if (a.family() != AF_UNIX) {
        const int on = 1;
        (void)::setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      }
      c.stamped = a.family() != AF_UNIX && ask_for_receive_stamps(c.fd);
      ++counts.connections_opened;
      ++counts.connections_open;
      counts.connections_peak = std::max(counts.connections_peak, counts.connections_open);
      if (static_cast<std::size_t>(c.fd) >= by_fd.size())
        by_fd.resize(static_cast<std::size_t>(c.fd) * 2 + 64);
      by_fd[static_cast<std::size_t>(c.fd)] = &c;
      poller.lasting(c.fd);
      if (++next_owner == 0) ++next_owner;
      c.owner = next_owner;
      if (::connect(c.fd, a.get(), a.size) == 0) return 0;
      error = errno;
      if (error == EINPROGRESS || error == EINTR) {
        poller.want(c.fd, c.owner, EPOLLOUT);
        return EINPROGRESS;
      }
      if (is_shortage(error)) return error;
    }
    return error;
  }

  void connected(Connection& c) {
    const std::size_t count = c.pool.addresses.size();
    c.pool.best = (c.pool.best + c.tried) % count;
    c.state = State::busy;
    c.connect_time = std::max(dates.turn() - c.opened, Nanos{1});  // 0 is that of a connection used again
    flush(c);
  }

  void fail_connect(Connection& c, Reason reason) {
    tell_end(c, EventKind::failed, reason);
    close(c);
  }

  // ---- sending

  void flush(Connection& c) {
    switch (c.outgoing->send_rest(c.fd)) {
      case Sent::all:
        c.outgoing.reset();
        poller.want(c.fd, c.owner, reading);
        break;
      case Sent::some:
        poller.want(c.fd, c.owner, reading | EPOLLOUT);
        break;
      case Sent::failed:
        break_off(c);
        break;
    }
  }

  // `out` is taken where its socket does not take it whole.
  void send_first(const Attempt& attempt, std::unique_ptr<OutgoingRequest>& out) {
    LeanPool& pool = pools[attempt.provider];
    Connection* const open = take_idle(pool);
    Connection& c = open != nullptr ? *open : closed_connection(pool);
    assign(c, attempt);
    dates.begin_turn_now();
    if (open != nullptr) {
      tell(c, EventKind::sent);
      switch (out->send_rest(c.fd)) {
        case Sent::all:
          if (out->size() > RequestWriter::enough) out.reset();  // a large one's memory is given back
          break;
        case Sent::some:
          c.outgoing = std::move(out);
          poller.want(c.fd, c.owner, reading | EPOLLOUT);
          break;
        case Sent::failed:
          break_off(c);
          break;
      }
      return;
    }
    c.opened = dates.turn();
    c.tried = 0;
    c.state = State::connecting;
    const int error = connect_next(c);
    if (is_shortage(error)) {  // nothing was sent
      fail_connect(c, Reason::unsent);
      return;
    }
    tell(c, EventKind::sent);
    if (error != 0 && error != EINPROGRESS) {
      fail_connect(c, Reason::connect_failed);
      return;
    }
    c.outgoing = std::move(out);
    if (error == 0) {
      dates.begin_turn_now();
      connected(c);
    } else if (connect_timeout) {
      connects.set(c, dates.turn() + *connect_timeout);
    }
  }

  // ---- receiving

  [[nodiscard]] Received receive(const Connection& c, std::span<char> to) const {
    return c.stamped ? receive_stamped(c.fd, to) : receive_bare(c.fd, to);
  }

  // A descriptor may have been closed and opened again since epoll spoke: none, then.
  [[nodiscard]] Connection* connection_of(const Poller::Ready& r) const {
    const auto fd = static_cast<std::size_t>(r.fd);
    if (r.owner == 0 || fd >= by_fd.size()) return nullptr;
    Connection* const c = by_fd[fd];
    return c != nullptr && c->owner == r.owner ? c : nullptr;
  }

  // Reads the sockets that have nothing but bytes, before any of it is looked at: the kernel's code and the
  // parser's each stay in the caches that way, where by turns they drive each other out.
  void take_turn(std::span<const Poller::Ready> ready) {
    std::span<char> room{turn_buffer};
    for (std::size_t i = 0; i < ready.size(); ++i) {
      taken[i].connection = nullptr;
      Connection* const c = ready[i].events == EPOLLIN ? connection_of(ready[i]) : nullptr;
      if (c == nullptr || c->state != State::busy || room.size() < least_room) continue;
      const std::span<char> to = room.first(std::min(room.size(), buffer_size));
      taken[i] = {c, to, receive(*c, to)};
      const auto used = static_cast<std::size_t>(std::max<ssize_t>(taken[i].got.size, 0));
      room = room.subspan(std::min(room.size(), (used + 63) / 64 * 64));
    }
  }

  // What a socket said. True: there may be more.
  bool look_at(Connection& c, std::span<const char> bytes, const Received& got, bool to_the_end) {
    if (got.size > 0) {
      const auto n = static_cast<std::size_t>(got.size);
      dates.by_kernel(got);
      c.parser.feed({bytes.data(), n});
      const std::uint64_t use = c.use;
      digest(c);
      dates.by_clock();    // the end of a connection has no stamp
      if (c.use != use) {  // ended; what came after it is the end of the connection, or nobody's
        if (to_the_end && c.state == State::idle) close(c);
        return false;
      }
      return n == bytes.size() || to_the_end;
    }
    if (got.size == 0) {
      if (c.parser.close() == PieceKind::end) {
        end_response(c);
      } else {
        break_off(c);
      }
      return false;
    }
    if (got.error == EINTR) return true;
    if (got.error != EAGAIN && got.error != EWOULDBLOCK) break_off(c);
    return false;
  }

  void read_some(Connection& c, std::uint32_t ready) {
    const bool to_the_end = (ready & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    for (int i = 0; i < most_reads || to_the_end; ++i) {
      if (!look_at(c, buffer, receive(c, buffer), to_the_end)) return;
    }
  }

  // What was fed, piece by piece.
  void digest(Connection& c) {
    while (const auto piece = c.parser.next()) {
      switch (piece->kind) {
        case PieceKind::interim:
          tell_first_byte(c);
          break;
        case PieceKind::status:
          c.status = piece->status;
          tell_first_byte(c);
          if (is_refusal(c)) {
            c.parser.want_headers();
            // The server wants no more of it.
            if (c.outgoing && c.status >= 300) poller.want(c.fd, c.owner, reading);
          }
          break;
        case PieceKind::header:
          c.retry.read(piece->text, wall_clock_now());
          break;
        case PieceKind::head_over:
          if (is_refusal(c)) break;
          c.reader->begin(c.status);
          while (const auto step = c.reader->next()) tell_step(c, *step);
          break;
        case PieceKind::body:
          if (c.ended || is_refusal(c)) break;
          c.reader->feed(piece->text);
          {
            const std::size_t told = events->size();
            while (const auto step = c.reader->next()) tell_step(c, *step);
            if (tell_alive && events->size() == told) tell(c, EventKind::alive);
          }
          break;
        case PieceKind::end:
          end_response(c);
          return;
        case PieceKind::malformed:
          break_off(c, Reason::malformed);
          return;
        case PieceKind::torn:
          break_off(c);
          return;
      }
    }
    if (c.ended && !c.lingers) {
      c.lingers = true;
      lingering.set(c, dates.turn() + linger_limit);
    }
  }

  void tell_first_byte(Connection& c) {
    if (!c.got_byte) tell(c, EventKind::first_byte);
    c.got_byte = true;
  }

  // The response is whole, by HTTP's measure.
  void end_response(Connection& c) {
    if (!c.ended) {
      if (is_refusal(c)) {
        tell_end(c, EventKind::failed, reason_of_status(c.status));
      } else {
        tell_step(c, c.reader->end_of_body());
      }
    }
    if (c.parser.persistent() && !c.outgoing) {
      make_idle(c);
    } else {
      close(c);
    }
  }

  // It will never be.
  void break_off(Connection& c, Reason reason = Reason::closed_early) {
    if (!c.ended) {
      if (is_refusal(c)) {
        reason = reason_of_status(c.status);
      } else if (reason != Reason::malformed) {
        reason = c.got_byte ? c.reader->broken_off() : Reason::send_failed;
      }
      tell_end(c, EventKind::failed, reason);
    }
    close(c);
  }

  void on_ready(Connection& c, std::uint32_t ready) {
    switch (c.state) {
      case State::closed:
        break;
      case State::idle:
        close(c);
        break;
      case State::connecting: {
        int error = 0;
        socklen_t size = sizeof error;
        (void)::getsockopt(c.fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) {
          ++c.tried;
          error = connect_next(c);
          if (error == EINPROGRESS) break;
          if (error != 0) {
            fail_connect(c, Reason::connect_failed);
            break;
          }
        }
        connected(c);
        break;
      }
      case State::busy: {
        const std::uint64_t use = c.use;
        if ((ready & ~std::uint32_t{EPOLLOUT}) != 0) read_some(c, ready);
        if (c.use == use && c.outgoing && (ready & EPOLLOUT) != 0 && !is_refusal(c)) flush(c);
        break;
      }
    }
  }
};

LeanTransport::LeanTransport(std::unique_ptr<Impl> impl) : impl_{std::move(impl)} {}

LeanTransport::~LeanTransport() {
  for (Impl::Connection& c : impl_->connections) impl_->close_socket(c);
}

Result<std::string> LeanTransport::beyond(const WireConfig& config) {
  for (const ProviderConfig& p : config.providers) {
    DSBENCH_TRY(const BaseUrl base, parse_base_url(p.base_url));
    if (base.tls) return "TLS (" + base.origin + ")";
  }
  if (config.http != HttpVersion::http1) return std::string{"HTTP/2"};
  if (!config.proxy.empty()) return std::string{"a proxy"};
  if (config.resolve_each) return std::string{"a name looked up with every connection"};
  if (config.compressed) return std::string{"compressed answers"};
  return std::string{};
}

Result<std::unique_ptr<LeanTransport>> LeanTransport::make(const WireConfig& config,
                                                           const ClientPolicy& policy, const Clock& clock,
                                                           Nanos epoch, Poller& poller, AnswerSink* answers,
                                                           EventDates::WallClock wall_clock) {
  DSBENCH_TRY(const std::string more, beyond(config));
  if (!more.empty()) {
    return fail(
        ErrorKind::usage,
        "the lean wire cannot carry {}; accepted are http:// targets over HTTP/1.1 without a proxy or "
        "compression (--wire automatic takes libcurl where it must)",
        more);
  }
  auto impl = std::make_unique<Impl>(config, policy, clock, epoch, poller, answers, wall_clock);
  if (config.tenants) impl->writer.set_caller(CallerLines{*config.tenants});
  for (const ProviderConfig& p : config.providers) {
    DSBENCH_TRY(LeanProvider provider, make_lean_provider(p));
    impl->pools.emplace_back(std::move(provider));
  }
  return std::unique_ptr<LeanTransport>{new LeanTransport{std::move(impl)}};
}

void LeanTransport::start_all(std::span<const Attempt> attempts, std::vector<TargetEvent>& events) {
  impl_->events = &events;
  while (!attempts.empty()) {
    const auto written = impl_->writer.write(
        attempts, [&](const Attempt& a) -> const LeanProvider& { return impl_->pools[a.provider]; });
    for (std::size_t i = 0; i < written.size(); ++i) impl_->send_first(attempts[i], written[i]);
    attempts = attempts.subspan(written.size());
  }
}

void LeanTransport::cancel(std::uint64_t request, std::uint32_t attempt) {
  Impl& t = *impl_;
  const std::uint32_t place = t.live.find(request);
  if (place == RequestTable::none || t.connections[place].attempt != attempt) return;
  t.live.erase(request);
  t.close(t.connections[place]);
}

std::optional<Nanos> LeanTransport::next_timer() const {
  std::optional<Nanos> first;
  for (const auto next : {impl_->connects.next(), impl_->lingering.next()}) {
    if (next && (!first || *next < *first)) first = next;
  }
  return first;
}

void LeanTransport::handle(std::span<const Poller::Ready> ready, Nanos now,
                           std::vector<TargetEvent>& events) {
  Impl& t = *impl_;
  t.events = &events;
  t.dates.begin_turn(now);
  ++t.turn;
  const std::size_t first = events.size();
  t.take_turn(ready);
  for (std::size_t i = 0; i < ready.size(); ++i) {
    const Impl::Taken& taken = t.taken[i];
    if (taken.connection == nullptr) {
      if (Impl::Connection* const c = t.connection_of(ready[i]); c != nullptr)
        t.on_ready(*c, ready[i].events);
    } else if (t.look_at(*taken.connection, taken.bytes, taken.got, false)) {
      t.read_some(*taken.connection, ready[i].events);
    }
  }
  t.dates.check(std::span{events}.subspan(first));
  t.connects.fire_due(now, [&](Impl::Connection& c) {
    if (c.state == Impl::State::connecting) t.fail_connect(c, Reason::connect_timeout);
  });
  t.lingering.fire_due(now, [&](Impl::Connection& c) { t.close(c); });
  for (LeanPool& p : t.pools) {
    while (p.oldest != nullptr && now - p.oldest->idle_since > t.idle_limit) t.close(*p.oldest);
  }
}

std::size_t LeanTransport::in_flight() const {
  return impl_->live.size();
}
const LeanTransport::Counts& LeanTransport::counts() const {
  return impl_->counts;
}
void LeanTransport::take_peak() {
  impl_->counts.connections_peak = impl_->counts.connections_open;
}

}  // namespace dsbench::loadgen

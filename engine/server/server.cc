#include "engine/server/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "core/descriptors.h"
#include "engine/server/net.h"
#include "engine/server/session.h"

namespace dsbench::engine::server {
namespace {

using asio::ip::tcp;
using boost::system::error_code;

constexpr auto kSweepPeriod = std::chrono::milliseconds{50};  // how late a deadline may be noticed
constexpr auto kAcceptRetry = std::chrono::milliseconds{50};  // after descriptors have run out
constexpr auto kAbortGrace = std::chrono::seconds{1};  // to write "shutting down" before the socket closes
constexpr auto kTurn = std::chrono::microseconds{50};  // between two looks at an engine without a thread
constexpr std::size_t kReservedDescriptors = 64;       // for what else the process has open

std::size_t connection_limit(const ServerConfig& config) {
  if (config.max_connections) return std::max<std::size_t>(*config.max_connections, 1);
  const auto limit = static_cast<std::size_t>(raise_descriptor_limit());
  return std::max<std::size_t>(limit, kReservedDescriptors + 16) - kReservedDescriptors;
}

Result<tcp::endpoint> endpoint_of(const ServerConfig& config) {
  error_code error;
  const auto address = asio::ip::make_address(config.host == "localhost" ? "127.0.0.1" : config.host, error);
  if (error)
    return fail(ErrorKind::usage,
                "cannot listen on '{}': not an IP address; accepted: an address of this machine such as "
                "127.0.0.1, 0.0.0.0 "
                "(all of them) or ::1",
                config.host);
  return tcp::endpoint{address, config.port};
}

std::string listen_remedy(const error_code& error, std::uint16_t port) {
  if (error == asio::error::address_in_use)
    return "something else is listening there; stop it, choose another port, or 0 to let the system choose";
  if (error == asio::error::access_denied)
    return fmt::format(
        "ports below 1024 belong to root; choose one above, or 0 to let the system choose (asked: {})", port);
  if (error == boost::system::errc::address_not_available)
    return "that is no address of this machine; accepted: 127.0.0.1, 0.0.0.0 (all of them) or one that 'ip "
           "address' shows";
  return error.message();
}

}  // namespace

struct Server::Impl {
  Impl(Engine& engine, Clock& clock, ServerConfig configuration)
      : config{std::move(configuration)},
        max_connections{connection_limit(config)},
        metrics{config.model_name},
        faults{engine, config.executor_faults},
        state{.engine = engine,
              .clock = clock,
              .config = config,
              .model = {.name = config.model_name,
                        .vocabulary = config.vocabulary,
                        .max_model_len = engine.config().max_model_len,
                        .text = config.text},
              .metrics = metrics,
              .faults = faults,
              .bridge = std::make_shared<TokenBridge>(
                  clock, [this] { asio::post(io, [this] { state.bridge->drain(); }); }),
              .created = wall_clock_now() / std::chrono::seconds{1},
              .requests = 0,
              .draining = false,
              .sessions = {},
              .session_closed = [this] { on_session_closed(); },
              .engine_changed = [this] { on_engine_changed(); }} {}

  ~Impl() {
    stop(Nanos{0});
    state.bridge->close();
  }

  Result<void> listen() {
    DSBENCH_TRY(const tcp::endpoint endpoint, endpoint_of(config));
    error_code error;
    const auto refused = [&] {
      return fail(ErrorKind::usage, "cannot listen on {}:{}: {}", config.host, config.port,
                  listen_remedy(error, config.port));
    };
    if (acceptor.open(endpoint.protocol(), error)) return refused();
    if (acceptor.set_option(Acceptor::reuse_address{true}, error)) return refused();
    if (acceptor.bind(endpoint, error)) return refused();
    if (acceptor.listen(Acceptor::max_listen_connections, error)) return refused();
    bound = acceptor.local_endpoint(error);
    if (error) return refused();
    return {};
  }

  Result<void> make_faults() {
    const Nanos now = state.clock.now();
    for (const Fault& fault : config.faults) {
      DSBENCH_CHECK(faults.add(fault, now));
    }
    return {};
  }

  void run() {
    reserve_descriptors(static_cast<std::int64_t>(std::min<std::size_t>(max_connections, kLargestTable)) +
                        static_cast<std::int64_t>(kReservedDescriptors));
    asio::co_spawn(io, accept_connections(), asio::detached);
    asio::co_spawn(io, sweep_sessions(), asio::detached);
    if (driver != nullptr) asio::co_spawn(io, drive_engine(), asio::detached);
    thread = std::thread{[this] { io.run(); }};
  }

  Task<void> accept_connections() {
    while (!state.draining) {
      if (state.sessions.size() >= max_connections) {  // the rest waits in the kernel's queue
        co_await room.wait();
        continue;
      }
      Socket socket{io.get_executor()};
      auto [error] = co_await acceptor.async_accept(socket, as_values);
      if (state.draining) break;
      if (error) {
        accept_retry.expires_after(kAcceptRetry);
        co_await accept_retry.async_wait(as_values);
        continue;
      }
      error_code ignored;
      socket.set_option(tcp::no_delay{true}, ignored);
      Session::start(std::move(socket), state);
    }
  }

  Task<void> sweep_sessions() {
    while (!finished()) {
      sweep_timer.expires_after(kSweepPeriod);
      co_await sweep_timer.async_wait(as_values);
      const Nanos now = state.clock.now();  // once, for all
      faults.on_time(now);
      for (Session* session : state.sessions) session->sweep(now);
    }
  }

  // For an engine without a thread. After each turn it rests for kTurn: thousands of tokens a second that are
  // due a few microseconds apart then share a wake-up, and none is later for it than that.
  Task<void> drive_engine() {
    while (!finished()) {
      state.bridge->hold();
      driver->advance();
      state.bridge->drain();
      const auto rested = std::chrono::steady_clock::now() + kTurn;
      const auto next = driver->next();
      drive_at = next ? std::max(std::chrono::steady_clock::time_point{*next}, rested)
                      : std::chrono::steady_clock::time_point::max();
      drive_timer.expires_at(drive_at);
      co_await drive_timer.async_wait(as_values);
    }
  }

  // What was submitted may be due before what the driver sleeps for.
  void on_engine_changed() {
    if (driver == nullptr) return;
    const auto next = driver->next();
    if (next && std::chrono::steady_clock::time_point{*next} < drive_at) drive_timer.cancel();
  }

  [[nodiscard]] bool finished() const { return state.draining && state.sessions.empty(); }

  void on_session_closed() {
    room.notify();
    if (finished()) let_go();
  }

  // Nothing keeps the io_context running after this.
  void let_go() {
    sweep_timer.cancel();
    drain_timer.cancel();
    drive_timer.cancel();
  }

  void begin_drain(Nanos drain) {
    if (!state.draining) {
      state.draining = true;
      error_code ignored;
      acceptor.close(ignored);
      accept_retry.cancel();
      room.notify();
      for (Session* session : state.sessions) session->begin_drain();
    }
    if (finished()) return let_go();
    const auto until = std::chrono::steady_clock::now() + drain;
    if (until >= drain_until) return;
    drain_until = until;
    drain_timer.expires_at(until);
    drain_timer.async_wait([this](error_code error) {
      if (error || finished()) return;
      for (Session* session : state.sessions) session->abort();
      drain_timer.expires_after(kAbortGrace);
      drain_timer.async_wait([this](error_code cancelled) {
        if (cancelled) return;
        for (Session* session : state.sessions) session->kill();
      });
    });
  }

  void stop(Nanos drain) {
    asio::post(io, [this, drain] { begin_drain(drain); });
    const std::lock_guard lock{join_mutex};
    if (thread.joinable()) thread.join();
  }

  const ServerConfig config;
  const std::size_t max_connections;
  ServerMetrics metrics;
  FaultDirector faults;
  asio::io_context io{1};  // a hint: one thread runs it
  ServerState state;
  Acceptor acceptor{io.get_executor()};
  tcp::endpoint bound;
  EngineDriver* const driver = state.engine.driver();
  Timer drive_timer{io.get_executor()};
  std::chrono::steady_clock::time_point drive_at = std::chrono::steady_clock::time_point::max();
  Timer sweep_timer{io.get_executor()};
  Timer accept_retry{io.get_executor()};
  Timer drain_timer{io.get_executor()};
  std::chrono::steady_clock::time_point drain_until = std::chrono::steady_clock::time_point::max();
  Wakeup room{io.get_executor()};
  std::mutex join_mutex;
  std::thread thread;
};

Server::Server(std::unique_ptr<Impl> impl) : impl_{std::move(impl)} {}
Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::start(Engine& engine, Clock& clock, ServerConfig config) {
  auto impl = std::make_unique<Impl>(engine, clock, std::move(config));
  DSBENCH_CHECK(impl->listen());
  DSBENCH_CHECK(impl->make_faults());
  impl->run();
  return std::unique_ptr<Server>{new Server{std::move(impl)}};
}

std::uint16_t Server::port() const {
  return impl_->bound.port();
}

std::string Server::url() const {
  const auto address = impl_->bound.address();
  return fmt::format(fmt::runtime(address.is_v6() ? "http://[{}]:{}" : "http://{}:{}"), address.to_string(),
                     port());
}

void Server::stop() {
  stop(impl_->config.drain);
}
void Server::stop(Nanos drain) {
  impl_->stop(drain);
}

}  // namespace dsbench::engine::server

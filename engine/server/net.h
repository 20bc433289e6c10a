#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

// Asio's types with the executor spelled out: the type-erased default costs an allocation here and there on
// the hot path. For this folder's own sources only; heavy to compile.
namespace dsbench::engine::server {

namespace asio = boost::asio;

using IoExecutor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<asio::ip::tcp, IoExecutor>;
using Acceptor = asio::basic_socket_acceptor<asio::ip::tcp, IoExecutor>;
using Timer = asio::basic_waitable_timer<std::chrono::steady_clock,
                                         asio::wait_traits<std::chrono::steady_clock>, IoExecutor>;
template <class T>
using Task = asio::awaitable<T, IoExecutor>;
// Errors come back as values: `auto [error, n] = co_await op(…, as_values);`
inline constexpr asio::as_tuple_t<asio::use_awaitable_t<IoExecutor>> as_values{
    asio::use_awaitable_t<IoExecutor>{}};

// A coroutine waits here until somebody on the same thread calls notify(). A notify() with nobody waiting is
// lost, so look at the condition before each wait().
class Wakeup {
 public:
  explicit Wakeup(IoExecutor executor) : timer_{executor, Timer::time_point::max()} {}
  Task<void> wait() { co_await timer_.async_wait(as_values); }
  void notify() { timer_.cancel(); }

 private:
  Timer timer_;
};

}  // namespace dsbench::engine::server

#include "loadgen/wire/issuer.h"

#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <deque>
#include <iterator>
#include <optional>
#include <utility>

#include "loadgen/wire/poller.h"
#include "loadgen/wire/transport.h"

namespace dsbench::loadgen {
namespace {

// Attempts begun in one turn. After a pause of ours many are due at once; between the portions we look what
// has arrived, so that the stamps of streams already under way do not suffer.
constexpr std::size_t starts_per_turn = 16;
// For so long a timeout waits for what may lie unread. A thread that never comes to the end of what is ready
// must fire its timeouts all the same.
constexpr Nanos longest_unheard{100'000'000};

}  // namespace

struct Issuer::Parts {
  Parts(const WireConfig& config, const ClientPolicies& policies, SharedSource source, std::uint64_t seed,
        std::uint32_t worker, results::RecordSink& sink, const Clock& c, Nanos e)
      : clock{c}, epoch{e}, spin{config.spin}, machine{policies, std::move(source), seed, worker, sink} {}
  const Clock& clock;
  Nanos epoch;
  Nanos spin;
  LoadMachine machine;
  std::unique_ptr<Poller> poller;
  std::unique_ptr<Transport> transport;
  std::deque<Action> queue;  // decided and not yet carried out
  std::vector<Action> decided;
  std::vector<Attempt> starting;
  std::vector<TargetEvent> events;

  void decide_on_events() {
    for (const TargetEvent& event : events) machine.on_event(event, decided);
    events.clear();
    enqueue();
  }
  void enqueue() {
    queue.insert(queue.end(), std::make_move_iterator(decided.begin()),
                 std::make_move_iterator(decided.end()));
    decided.clear();
  }
  void carry_out(std::size_t most_starts) {
    std::size_t started = 0;
    while (!queue.empty() && started < most_starts) {
      Action action = std::move(queue.front());
      queue.pop_front();
      if (action.kind == Action::Kind::cancel) {
        start_collected();
        transport->cancel(action.attempt.request, action.attempt.attempt);
      } else {
        starting.push_back(std::move(action.attempt));
        ++started;
      }
    }
    start_collected();
  }
  void start_collected() {
    if (!starting.empty()) transport->start_all(starting, events);
    starting.clear();
  }
};

Issuer::Issuer(std::unique_ptr<Parts> parts) : parts_{std::move(parts)} {}

Result<std::unique_ptr<Issuer>> Issuer::make(const WireConfig& config, const ClientPolicies& policies,
                                             SharedSource source, std::uint64_t seed, std::uint32_t worker,
                                             results::RecordSink& sink, const Clock& clock, Nanos epoch,
                                             AnswerSink* answers) {
  auto parts = std::make_unique<Parts>(config, policies, std::move(source), seed, worker, sink, clock, epoch);
  DSBENCH_TRY(parts->poller, Poller::make(clock));
  DSBENCH_TRY(parts->transport,
              make_transport(config, policies.of_wire(), clock, epoch, *parts->poller, answers));
  std::unique_ptr<Issuer> issuer{new Issuer{std::move(parts)}};
  issuer->wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (issuer->wake_ < 0)
    return fail(ErrorKind::internal, "cannot create an event descriptor: {}", std::strerror(errno));
  issuer->parts_->poller->want(issuer->wake_, 0, EPOLLIN);
  issuer->thread_ = std::thread{&Issuer::run, issuer.get()};
  ::pthread_getcpuclockid(issuer->thread_.native_handle(), &issuer->cpu_clock_);
  return issuer;
}

Issuer::~Issuer() {
  if (thread_.joinable()) {
    command([](Inbox& inbox) { inbox.quit = true; });
    thread_.join();
  }
  parts_.reset();
  if (wake_ >= 0) ::close(wake_);
}

template <class Change>
void Issuer::command(Change&& change) {
  {
    const std::lock_guard lock{mutex_};
    change(inbox_);
    asked_.store(++inbox_.number, std::memory_order_release);
  }
  const std::uint64_t one = 1;
  (void)!::write(wake_, &one, sizeof one);
}

void Issuer::offer(std::vector<Arrival> arrivals) {
  command([&](Inbox& inbox) { inbox.batches.push_back(std::move(arrivals)); });
}
void Issuer::drop_arrivals() {
  command([](Inbox& inbox) { inbox.drop = true; });
}
void Issuer::rest_sessions(bool rest) {
  command([rest](Inbox& inbox) { inbox.rest_sessions = rest; });
}
void Issuer::abandon() {
  command([](Inbox& inbox) { inbox.abandon = true; });
}

bool Issuer::settled() const {
  return taken_.load(std::memory_order_acquire) == asked_.load(std::memory_order_acquire);
}

std::int64_t Issuer::take_connections_peak() {
  return peak_.exchange(connections_open(), std::memory_order_relaxed);
}

Nanos Issuer::cpu_time() const {
  timespec t{};
  if (::clock_gettime(cpu_clock_, &t) != 0) return Nanos{0};
  return Nanos{std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec};
}

void Issuer::publish(std::uint64_t number) {
  const Transport::Counts& counts = parts_->transport->counts();
  in_flight_.store(parts_->machine.in_flight(), std::memory_order_relaxed);
  pending_.store(parts_->machine.pending(), std::memory_order_relaxed);
  unsent_.store(parts_->machine.unsent(), std::memory_order_relaxed);
  opened_.store(counts.connections_opened, std::memory_order_relaxed);
  open_.store(counts.connections_open, std::memory_order_relaxed);
  if (counts.connections_peak > peak_.load(std::memory_order_relaxed)) {
    peak_.store(counts.connections_peak, std::memory_order_relaxed);
  }
  parts_->transport->take_peak();
  taken_.store(number, std::memory_order_release);
}

void Issuer::run() {
  ask_for_exact_wakeups();
  Parts& p = *parts_;
  std::uint64_t number = 0;
  for (;;) {
    // Wait: for what is due, for the wire, or for the controller.
    std::optional<Nanos> deadline = p.machine.next_deadline();
    if (const auto timer = p.transport->next_timer(); timer && (!deadline || *timer < *deadline))
      deadline = timer;
    if (!p.queue.empty()) deadline = Nanos{0};
    if (deadline) *deadline += p.epoch;
    const auto ready = p.poller->wait(deadline, p.spin);
    const Nanos now = p.clock.now() - p.epoch;

    for (const Poller::Ready& r : ready) {
      std::uint64_t counter = 0;
      if (r.owner == 0) (void)!::read(wake_, &counter, sizeof counter);
    }
    bool abandon = false;
    if (asked_.load(std::memory_order_acquire) != number) {
      Inbox inbox;
      {
        const std::lock_guard lock{mutex_};
        std::swap(inbox, inbox_);
        inbox_.number = inbox.number;
      }
      if (inbox.quit) return;
      if (inbox.rest_sessions) {
        if (*inbox.rest_sessions)
          p.machine.rest_sessions(now);
        else
          p.machine.wake_sessions(now);
      }
      for (const auto& batch : inbox.batches) p.machine.add(batch);
      if (inbox.drop) p.machine.drop_arrivals();
      abandon = inbox.abandon;
      number = inbox.number;
    }

    // What has arrived, before what is due: a token that came in time must not meet its own timeout.
    p.transport->handle(ready, now, p.events);
    p.decide_on_events();
    const Nanos heard = std::max(p.poller->reported_until() - p.epoch, now - longest_unheard);
    p.machine.on_time(now, heard, p.decided);
    p.enqueue();
    if (abandon) {
      // What was decided and not yet begun never leaves us.
      std::erase_if(p.queue, [](const Action& a) { return a.kind == Action::Kind::start; });
      p.machine.abandon(std::max(now, p.clock.now() - p.epoch), p.decided);
      p.enqueue();
      p.carry_out(1);
    } else {
      p.carry_out(starts_per_turn);
    }
    p.decide_on_events();
    publish(number);
  }
}

void ask_for_exact_wakeups() {
  (void)::prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
}

}  // namespace dsbench::loadgen

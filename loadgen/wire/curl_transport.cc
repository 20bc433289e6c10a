#include "loadgen/wire/curl_transport.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <utility>

#include "loadgen/codec/codec.h"
#include "loadgen/codec/prompt_text.h"
#include "loadgen/request_table.h"
#include "loadgen/wire/caller_lines.h"
#include "loadgen/wire/curl_alarms.h"
#include "loadgen/wire/curl_handles.h"
#include "loadgen/wire/curl_library.h"
#include "loadgen/wire/curl_provider.h"
#include "loadgen/wire/curl_setup.h"
#include "loadgen/wire/http_response_parser.h"
#include "loadgen/wire/retry_advice.h"

namespace dsbench::loadgen {
namespace {

using results::Reason;

// libcurl's timer tree and socket look-ups grow with the handles of one multi; many small ones cost less
// (measured: about one per 64 streams).
constexpr std::size_t streams_per_shard = 64;
// Handles added before libcurl is asked for the first of them: so many, and no more once their bodies have so
// many bytes.
constexpr std::size_t most_added = 16;
constexpr std::size_t enough_added = 65'536;
// How long the rest of an ended response may take before its connection is given up.
constexpr Nanos linger_limit{1'000'000'000};
// Longer than any run: the policy says how long a client waits for a connection, libcurl's own 300 s do not.
constexpr long no_connect_timeout_ms = 86'400'000;

struct Key {
  std::uint64_t request;
  std::uint32_t attempt;
  friend bool operator==(const Key&, const Key&) = default;
};

}  // namespace

struct CurlTransport::Impl {
  struct Slot;

  // One multi handle with its own connections. libcurl keeps its address: never moved.
  struct Shard {
    Shard(Impl& t, std::uint32_t n) : transport{t}, owner{n} {}
    Shard(const Shard&) = delete;
    Shard& operator=(const Shard&) = delete;
    Impl& transport;
    std::uint32_t owner;
    bool touched = false;  // is in `touched`
    bool added = false;    // has handles of which libcurl was not asked yet
    std::size_t active = 0;
    std::size_t open = 0;  // connections
    std::vector<Slot*> free_slots;
    // The slots' easy handles go after the multi, as libcurl wants: members die in reverse.
    std::vector<std::unique_ptr<Slot>> slots;
    Multi multi;
  };

  // One easy handle, reused for one attempt after another. libcurl keeps its address and that of its body:
  // never moved.
  struct Slot {
    Slot(Shard& s, std::uint32_t n) : shard{s}, number{n} {}
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;
    Shard& shard;
    std::uint32_t number;  // in all_slots
    Body body;
    std::size_t body_sent = 0;         // of a body in several pieces
    CurlProvider* provider = nullptr;  // whose URL and reader the handle has
    curl_slist* headers = nullptr;     // that the handle has
    long connect_timeout_ms = 0;       // likewise
    std::unique_ptr<ReplyReader> reader;
    AnswerText text;  // kept for `answers`
    RetryHeaders retry;
    Key key{};
    std::uint64_t use = 0;  // counts attempts, so that a linger entry knows its own
    bool busy = false;
    bool ended = false;    // done or failed was told; the rest is read in silence
    bool sent = false;     // `sent` was told
    bool written = false;  // the pre-request hook has let it pass
    bool got_byte = false;
    bool opened = false;  // a connection, and nothing was told since
    bool no_descriptor = false;
    bool interim = false;    // the present head is a 1xx
    bool malformed = false;  // a first line that libcurl lets pass and we do not
    enum class Head : std::uint8_t { status_line, lines, over } head = Head::status_line;
    std::int32_t status = 0;
    Easy easy;
  };

  struct Use {
    Slot* slot;
    std::uint64_t use;
  };

  struct Lingering {
    Nanos until;
    Slot* slot;
    std::uint64_t use;
  };

  Impl(const WireConfig& c, const Clock& k, Nanos e, Poller& p, AnswerSink* a)
      : config{c}, clock{k}, epoch{e}, poller{p}, answers{a} {}

  const WireConfig config;
  const Clock& clock;
  const Nanos epoch;
  Poller& poller;
  AnswerSink* const answers;
  std::deque<CurlProvider> providers;  // in place: libcurl keeps addresses in them
  PromptCache prompts;
  CallerLines caller;
  HeaderList resolve;
  long connect_timeout_ms = no_connect_timeout_ms;
  bool tell_alive = false;  // of bytes that are no answer
  Counts counts;
  std::vector<TargetEvent>* events = nullptr;  // of the call in progress
  Nanos stamp{0};                              // of the call in progress; never goes back
  bool adding = false;                         // a handle, of which libcurl will be asked at once
  RequestTable live;                           // attempts that have not ended, by slot
  std::vector<Slot*> all_slots;                // by number
  std::deque<Lingering> lingering;             // in order of `until`
  std::vector<std::unique_ptr<Shard>> shards;
  std::size_t first_with_room = 0;  // no shard before it has room
  std::vector<Shard*> touched;      // may hold messages
  std::vector<Use> added;           // of the call in progress
  CurlAlarms alarms;                // by shard; since the epoch

  [[nodiscard]] Nanos read_clock() const { return clock.now() - epoch; }

  // How long it took to have a connection, as far as one was had.
  void tell_phases(const Slot& slot, TargetEvent& e) const {
    curl_off_t looked_up = 0, connected = 0, shaken_hands = 0;  // µs since the transfer's start
    curl().easy_getinfo(slot.easy.get(), CURLINFO_NAMELOOKUP_TIME_T, &looked_up);
    curl().easy_getinfo(slot.easy.get(), CURLINFO_CONNECT_TIME_T, &connected);
    curl().easy_getinfo(slot.easy.get(), CURLINFO_APPCONNECT_TIME_T, &shaken_hands);
    if (connected <= 0) return;
    // Without a look-up of its own, what libcurl calls one is its way to the address that it was given.
    const bool looks_up = config.resolve_each || !config.proxy.empty();
    e.dns_time = Nanos{looks_up ? looked_up * 1000 : 0};
    e.connect_time = std::max(Nanos{(connected - looked_up) * 1000}, Nanos{1});
    if (shaken_hands > connected) e.tls_time = Nanos{(shaken_hands - connected) * 1000};
  }

  void tell(Slot& slot, EventKind kind, Reason reason = Reason::ok) {
    TargetEvent e;
    e.request = slot.key.request;
    e.attempt = slot.key.attempt;
    e.kind = kind;
    e.at = stamp;
    e.http_status = slot.status;
    e.reason = reason;
    if (slot.opened && kind != EventKind::sent) {
      slot.opened = false;
      tell_phases(slot, e);
    } else if (kind == EventKind::first_byte) {
      e.reused = true;
    }
    if (kind == EventKind::done) {
      const ReplyReader::Usage usage = slot.reader->usage();
      e.usage_output_tokens = usage.output_tokens;
      e.usage_prompt_tokens = usage.prompt_tokens;
      e.usage_cached_prompt_tokens = usage.cached_prompt_tokens;
      e.usage_reasoning_tokens = usage.reasoning_tokens;
      if (answers != nullptr && usage.output_tokens.value_or(0) <= 0)
        answers->answered(e.request, e.attempt, std::move(slot.text));
    }
    if (kind == EventKind::failed && slot.status != 0) {
      e.retry_after = slot.retry.advice().retry_after;
      e.should_retry = slot.retry.advice().should_retry;
    }
    events->push_back(e);
  }

  [[nodiscard]] static bool is_refusal(const Slot& slot) {
    return slot.status != 0 && !slot.reader->expects(slot.status);
  }

  void tell_end(Slot& slot, EventKind kind, Reason reason = Reason::ok) {
    tell(slot, kind, reason);
    slot.ended = true;
    live.erase(slot.key.request);
  }

  void tell_step(Slot& slot, const ReplyReader::Step& step) {
    switch (step.kind) {
      case ReplyReader::Step::Kind::tokens:
        tell(slot, EventKind::tokens);
        events->back().tokens = step.tokens;
        events->back().reasoning = step.reasoning;
        break;
      case ReplyReader::Step::Kind::done:
        tell_end(slot, EventKind::done);
        break;
      case ReplyReader::Step::Kind::failed:
        tell_end(slot, EventKind::failed, step.reason);
        break;
    }
  }

  void tell_sent(Slot& slot) {
    if (slot.sent) return;
    slot.sent = true;
    stamp = std::max(stamp, read_clock());
    tell(slot, EventKind::sent);
  }

  // ---- callbacks of libcurl ----

  static int on_timer(CURLM*, long timeout_ms, void* user) {
    Shard& shard = *static_cast<Shard*>(user);
    if (shard.transport.adding) return 0;
    if (timeout_ms < 0) {
      shard.transport.alarms.clear(shard.owner - 1);
    } else {
      // One millisecond later than said, because libcurl rounds: called too early, it would only ask again.
      const Nanos wait{timeout_ms == 0 ? 0 : (timeout_ms + 1) * 1'000'000};
      shard.transport.alarms.set(shard.owner - 1, shard.transport.read_clock() + wait);
    }
    return 0;
  }

  static int on_interest(CURL*, curl_socket_t fd, int what, void* user, void*) {
    const Shard& shard = *static_cast<Shard*>(user);
    std::uint32_t wanted = 0;
    if (what != CURL_POLL_REMOVE) {
      if ((what & CURL_POLL_IN) != 0) wanted |= EPOLLIN;
      if ((what & CURL_POLL_OUT) != 0) wanted |= EPOLLOUT;
    }
    shard.transport.poller.want(fd, shard.owner, wanted);
    return 0;
  }

  static curl_socket_t on_open(void* user, curlsocktype, curl_sockaddr* address) {
    Slot& slot = *static_cast<Slot*>(user);
    Impl& t = slot.shard.transport;
    const int fd = ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd < 0) {
      slot.no_descriptor = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
      return CURL_SOCKET_BAD;
    }
    t.poller.lasting(fd, t.config.http == HttpVersion::http1);
    ++slot.shard.open;
    ++t.counts.connections_opened;
    ++t.counts.connections_open;
    t.counts.connections_peak = std::max(t.counts.connections_peak, t.counts.connections_open);
    t.tell_sent(slot);
    slot.opened = true;
    return fd;
  }

  static int on_close(void* user, curl_socket_t fd) {
    Shard& shard = *static_cast<Shard*>(user);
    Impl& t = shard.transport;
    t.poller.forget(fd);
    --shard.open;
    --t.counts.connections_open;
    return ::close(fd);
  }

  static int on_request(void* user, char*, char*, int, int) {
    Slot& slot = *static_cast<Slot*>(user);
    if (slot.written) return CURL_PREREQFUNC_ABORT;  // libcurl would send it again; see the header
    slot.written = true;
    slot.shard.transport.tell_sent(slot);
    return CURL_PREREQFUNC_OK;
  }

  static std::size_t on_header(char* text, std::size_t, std::size_t size, void* user) {
    Slot& slot = *static_cast<Slot*>(user);
    Impl& t = slot.shard.transport;
    const std::string_view line{text, size};
    const bool is_end = line.starts_with('\r') || line.starts_with('\n');
    switch (slot.head) {
      case Slot::Head::status_line: {
        const auto first = parse_status_line(line, t.config.http != HttpVersion::http1);
        if (!first) {
          slot.malformed = true;
          return 0;  // ends the transfer
        }
        slot.head = Slot::Head::lines;
        slot.interim = first->status < 200 && first->status != 101;
        if (!slot.interim) slot.status = first->status;
        if (!slot.got_byte) t.tell(slot, EventKind::first_byte);
        slot.got_byte = true;
        break;
      }
      case Slot::Head::lines:
        if (!is_end) {
          if (t.is_refusal(slot)) slot.retry.read(line, wall_clock_now());
        } else if (slot.interim) {
          slot.head = Slot::Head::status_line;
        } else {
          slot.head = Slot::Head::over;
          if (!t.is_refusal(slot)) {
            slot.reader->begin(slot.status);
            while (const auto step = slot.reader->next()) t.tell_step(slot, *step);
          }
        }
        break;
      case Slot::Head::over:  // a trailer
        if (t.is_refusal(slot)) slot.retry.read(line, wall_clock_now());
        break;
    }
    return size;
  }

  static std::size_t on_read(char* to, std::size_t, std::size_t most, void* user) {
    Slot& slot = *static_cast<Slot*>(user);
    std::size_t filled = 0;
    while (filled < most) {
      const std::string_view piece = slot.body.at(slot.body_sent, most - filled);
      if (piece.empty()) break;
      std::copy(piece.begin(), piece.end(), to + filled);
      filled += piece.size();
      slot.body_sent += piece.size();
    }
    return filled;
  }

  static std::size_t on_body(char* bytes, std::size_t, std::size_t size, void* user) {
    Slot& slot = *static_cast<Slot*>(user);
    Impl& t = slot.shard.transport;
    if (slot.ended || t.is_refusal(slot)) return size;
    slot.reader->feed({bytes, size});
    const std::size_t told = t.events->size();
    while (const auto step = slot.reader->next()) t.tell_step(slot, *step);
    if (t.tell_alive && t.events->size() == told) t.tell(slot, EventKind::alive);
    if (slot.ended) t.lingering.push_back({t.stamp + linger_limit, &slot, slot.use});
    return size;
  }

  // ---- slots and shards ----

  // The first with room: the low ones stay busy, so their open connections are the ones used again.
  Shard& shard_with_room() {
    for (; first_with_room < shards.size(); ++first_with_room) {
      if (shards[first_with_room]->active < streams_per_shard) return *shards[first_with_room];
    }
    shards.push_back(std::make_unique<Shard>(*this, static_cast<std::uint32_t>(shards.size() + 1)));
    Shard& shard = *shards.back();
    shard.multi.reset(curl().multi_init());
    CURLM* const m = shard.multi.get();
    curl().multi_setopt(m, CURLMOPT_SOCKETFUNCTION, &Impl::on_interest);
    curl().multi_setopt(m, CURLMOPT_SOCKETDATA, &shard);
    curl().multi_setopt(m, CURLMOPT_TIMERFUNCTION, &Impl::on_timer);
    curl().multi_setopt(m, CURLMOPT_TIMERDATA, &shard);
    curl().multi_setopt(m, CURLMOPT_PIPELINING,
                        config.http == HttpVersion::http1 ? CURLPIPE_NOTHING : CURLPIPE_MULTIPLEX);
    curl().multi_setopt(m, CURLMOPT_MAXCONNECTS, static_cast<long>(2 * streams_per_shard));
    return shard;
  }

  Slot& free_slot(Shard& shard) {
    if (!shard.free_slots.empty()) {
      Slot& slot = *shard.free_slots.back();
      shard.free_slots.pop_back();
      return slot;
    }
    shard.slots.push_back(std::make_unique<Slot>(shard, static_cast<std::uint32_t>(all_slots.size())));
    Slot& slot = *shard.slots.back();
    all_slots.push_back(&slot);
    slot.easy.reset(curl().easy_init());
    CURL* const e = slot.easy.get();
    set_common_options(e, config);
    if (resolve) curl().easy_setopt(e, CURLOPT_RESOLVE, resolve.get());
    if (config.resolve_each) curl().easy_setopt(e, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
    curl().easy_setopt(e, CURLOPT_BUFFERSIZE, 4096L);
    curl().easy_setopt(e, CURLOPT_MAXAGE_CONN,
                       std::max(1L, static_cast<long>(config.idle_connection_limit.count() / 1'000'000'000)));
    curl().easy_setopt(e, CURLOPT_PRIVATE, &slot);
    curl().easy_setopt(e, CURLOPT_READFUNCTION, &Impl::on_read);
    curl().easy_setopt(e, CURLOPT_READDATA, &slot);
    curl().easy_setopt(e, CURLOPT_WRITEFUNCTION, &Impl::on_body);
    curl().easy_setopt(e, CURLOPT_WRITEDATA, &slot);
    curl().easy_setopt(e, CURLOPT_HEADERFUNCTION, &Impl::on_header);
    curl().easy_setopt(e, CURLOPT_HEADERDATA, &slot);
    curl().easy_setopt(e, CURLOPT_PREREQFUNCTION, &Impl::on_request);
    curl().easy_setopt(e, CURLOPT_PREREQDATA, &slot);
    curl().easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, &Impl::on_open);
    curl().easy_setopt(e, CURLOPT_OPENSOCKETDATA, &slot);
    curl().easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, &Impl::on_close);
    curl().easy_setopt(e, CURLOPT_CLOSESOCKETDATA, &shard);
    return slot;
  }

  // Turns the handle to another provider, where it is not already.
  void aim(Slot& slot, CurlProvider& provider) {
    if (slot.provider == &provider) return;
    slot.provider = &provider;
    slot.reader = provider.codec->make_reader();
    if (answers != nullptr) slot.reader->keep_text(&slot.text);
    CURL* const e = slot.easy.get();
    curl().easy_setopt(e, CURLOPT_CURLU, provider.url.get());
    if (!provider.unix_socket.empty() || providers.size() > 1) {
      curl().easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH,
                         provider.unix_socket.empty() ? nullptr : provider.unix_socket.c_str());
    }
    if (provider.codec->method() == "GET") {
      curl().easy_setopt(e, CURLOPT_HTTPGET, 1L);
    } else {
      curl().easy_setopt(e, CURLOPT_POST, 1L);
      curl().easy_setopt(
          e, CURLOPT_CUSTOMREQUEST,
          provider.codec->method() == "POST" ? nullptr : std::string{provider.codec->method()}.c_str());
    }
  }

  void say_headers(Slot& slot, const Attempt& attempt) {
    curl_slist* const list =
        slot.provider->headers_of(attempt.tenant, attempt.attempt, slot.body.size(), caller);
    if (std::exchange(slot.headers, list) != list)
      curl().easy_setopt(slot.easy.get(), CURLOPT_HTTPHEADER, list);
  }

  // A limit costs libcurl a timer for each attempt, and where none was asked for, an attempt that finds a
  // connection open needs none. (If that has died, libcurl's own 300 s hold for the new one.)
  void limit_connecting(Slot& slot) {
    const bool finds_open = config.http == HttpVersion::http1 && slot.shard.open > slot.shard.active;
    const long limit = finds_open && connect_timeout_ms == no_connect_timeout_ms ? 0 : connect_timeout_ms;
    if (std::exchange(slot.connect_timeout_ms, limit) != limit)
      curl().easy_setopt(slot.easy.get(), CURLOPT_CONNECTTIMEOUT_MS, limit);
  }

  // Hands it to libcurl, which is to be asked for it afterwards; says how many bytes its body has.
  std::size_t add(const Attempt& attempt) {
    Shard& shard = shard_with_room();
    Slot& slot = free_slot(shard);
    slot.key = {attempt.request, attempt.attempt};
    slot.busy = true;
    slot.ended = slot.sent = slot.written = slot.got_byte = slot.no_descriptor = false;
    slot.interim = slot.malformed = slot.opened = false;
    slot.head = Slot::Head::status_line;
    slot.status = 0;
    slot.body_sent = 0;
    slot.retry = {};
    slot.text.clear();
    aim(slot, providers[attempt.provider]);
    slot.reader->begin(0);
    prompts.set_scale(slot.provider->scale);
    slot.provider->codec->encode(attempt, prompts, slot.body);
    say_headers(slot, attempt);
    limit_connecting(slot);
    if (slot.provider->codec->method() != "GET") {
      CURL* const e = slot.easy.get();
      curl().easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(slot.body.size()));
      // Without POSTFIELDS libcurl asks on_read() for the body, piece by piece.
      curl().easy_setopt(e, CURLOPT_POSTFIELDS, slot.body.contiguous() ? slot.body.text().data() : nullptr);
    }
    live.insert(slot.key.request, slot.number);
    ++shard.active;
    adding = true;
    const CURLMcode code = curl().multi_add_handle(shard.multi.get(), slot.easy.get());
    adding = false;
    if (code == CURLM_OK) {
      shard.added = true;
      added.push_back({&slot, slot.use});
    } else {
      tell_end(slot, EventKind::failed, Reason::unsent);
      release(slot);
    }
    return slot.body.size();
  }

  // connect() found no port, after the stamp was taken: then nothing was sent.
  void take_back_sent(std::size_t from) {
    const auto begin = events->begin() + static_cast<std::ptrdiff_t>(from);
    const auto is_unsent = [](const TargetEvent& e) {
      return e.kind == EventKind::failed && e.reason == Reason::unsent;
    };
    if (std::none_of(begin, events->end(), is_unsent)) return;
    std::vector<std::pair<std::uint64_t, std::uint32_t>> unsent;
    for (auto e = begin; e != events->end(); ++e) {
      if (is_unsent(*e)) unsent.emplace_back(e->request, e->attempt);
    }
    const auto is_taken_back = [&](const TargetEvent& e) {
      return e.kind == EventKind::sent &&
             std::find(unsent.begin(), unsent.end(), std::pair{e.request, e.attempt}) != unsent.end();
    };
    events->erase(std::remove_if(begin, events->end(), is_taken_back), events->end());
  }

  void release(Slot& slot) {
    Shard& shard = slot.shard;
    if (!slot.ended) live.erase(slot.key.request);
    counts.comments += slot.reader->comments();
    curl().multi_remove_handle(shard.multi.get(), slot.easy.get());
    slot.busy = false;
    ++slot.use;
    --shard.active;
    first_with_room = std::min<std::size_t>(first_with_room, shard.owner - 1);
    shard.free_slots.push_back(&slot);
  }

  void act(Shard& shard, curl_socket_t fd, int what) {
    int running = 0;
    curl().multi_socket_action(shard.multi.get(), fd, what, &running);
    if (!shard.touched) touched.push_back(&shard);
    shard.touched = true;
  }

  void read_all_messages() {
    for (std::size_t i = 0; i < touched.size(); ++i) {
      touched[i]->touched = false;
      read_messages(*touched[i]);
    }
    touched.clear();
  }

  void read_messages(Shard& shard) {
    int left = 0;
    while (const CURLMsg* const message = curl().multi_info_read(shard.multi.get(), &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode code = message->data.result;
      void* user = nullptr;
      curl().easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &user);
      Slot& slot = *static_cast<Slot*>(user);
      if (!slot.ended) tell_over(slot, code);
      release(slot);
    }
  }

  // The transfer is over before the content was.
  void tell_over(Slot& slot, CURLcode code) {
    if (is_refusal(slot)) {
      tell_end(slot, EventKind::failed, reason_of_status(slot.status));
    } else if (slot.malformed) {
      tell_end(slot, EventKind::failed, Reason::malformed);
    } else if (code == CURLE_OK && slot.head == Slot::Head::over) {
      tell_step(slot, slot.reader->end_of_body());
    } else if (slot.no_descriptor) {
      tell_end(slot, EventKind::failed, Reason::unsent);
    } else {
      long os_errno = 0;
      curl().easy_getinfo(slot.easy.get(), CURLINFO_OS_ERRNO, &os_errno);
      const Reason reason = reason_of(code, os_errno, slot.written, slot.got_byte);
      tell_end(slot, EventKind::failed, reason == Reason::closed_early ? slot.reader->broken_off() : reason);
    }
  }
};

CurlTransport::CurlTransport(std::unique_ptr<Impl> impl) : impl_{std::move(impl)} {}

CurlTransport::~CurlTransport() {
  std::vector<TargetEvent> nobody;
  impl_->events = &nobody;
  for (const auto& shard : impl_->shards) {
    for (const auto& slot : shard->slots) {
      if (slot->busy) impl_->release(*slot);
    }
  }
}

Result<std::unique_ptr<CurlTransport>> CurlTransport::make(const WireConfig& config,
                                                           const ClientPolicy& policy, const Clock& clock,
                                                           Nanos epoch, Poller& poller, AnswerSink* answers) {
  DSBENCH_CHECK(open_curl());
  DSBENCH_CHECK(check_proxy(config.proxy));
  if (config.http == HttpVersion::http2_prior_knowledge) {
    // curl 8.0.0: "http2: fix for http2-prior-knowledge when reusing connections".
    const curl_version_info_data* const v = curl().version_info(CURLVERSION_NOW);
    if (v->version_num >= 0x075700 && v->version_num < 0x080000) {
      return fail(ErrorKind::usage,
                  "HTTP/2 in the clear (2-prior-knowledge) was asked for, and libcurl {} cannot use such a "
                  "connection twice; accepted is libcurl 8 or newer, or HTTP/2 over TLS (--http 2)",
                  v->version);
    }
  }
  auto impl = std::make_unique<Impl>(config, clock, epoch, poller, answers);
  if (config.tenants) impl->caller = CallerLines{*config.tenants};
  for (const ProviderConfig& p : config.providers) {
    if (p.unix_socket.empty() && config.proxy.empty() && !config.resolve_each) {
      DSBENCH_TRY(const BaseUrl base, parse_base_url(p.base_url));
      DSBENCH_TRY(const std::string resolved, resolve_once(base));
      if (!resolved.empty()) append(impl->resolve, resolved);
    }
    DSBENCH_TRY(CurlProvider provider, CurlProvider::make(p));
    impl->providers.push_back(std::move(provider));
  }
  impl->tell_alive = policy.comments_feed_timeout;
  if (policy.connect_timeout) {
    const auto millis = (policy.connect_timeout->count() + 999'999) / 1'000'000;
    impl->connect_timeout_ms = static_cast<long>(std::clamp<std::int64_t>(millis, 1, no_connect_timeout_ms));
  }
  return std::unique_ptr<CurlTransport>{new CurlTransport{std::move(impl)}};
}

void CurlTransport::start_all(std::span<const Attempt> attempts, std::vector<TargetEvent>& events) {
  Impl& t = *impl_;
  t.events = &events;
  while (!attempts.empty()) {
    const std::size_t from = events.size();
    std::size_t count = 0, bytes = 0;
    for (; count < std::min(attempts.size(), most_added) && bytes < enough_added; ++count)
      bytes += t.add(attempts[count]);
    attempts = attempts.subspan(count);
    for (std::size_t i = 0; i < t.added.size(); ++i) {
      Impl::Shard& shard = t.added[i].slot->shard;
      if (std::exchange(shard.added, false)) t.act(shard, CURL_SOCKET_TIMEOUT, 0);
    }
    t.read_all_messages();
    // It waits for a connection that another attempt opens, or for room on one: the target's time.
    if (t.config.http != HttpVersion::http1) {
      for (const Impl::Use& u : t.added) {
        if (u.slot->busy && u.slot->use == u.use) t.tell_sent(*u.slot);
      }
    }
    t.added.clear();
    t.take_back_sent(from);
  }
}

void CurlTransport::cancel(std::uint64_t request, std::uint32_t attempt) {
  const std::uint32_t place = impl_->live.find(request);
  if (place == RequestTable::none) return;
  Impl::Slot& slot = *impl_->all_slots[place];
  if (slot.key.attempt != attempt) return;
  std::vector<TargetEvent> nobody;  // closing a connection calls back, but tells nothing
  impl_->events = &nobody;
  impl_->release(slot);
}

std::optional<Nanos> CurlTransport::next_timer() const {
  std::optional<Nanos> first = impl_->alarms.first();
  if (!impl_->lingering.empty() && (!first || impl_->lingering.front().until < *first))
    first = impl_->lingering.front().until;
  return first;
}

void CurlTransport::handle(std::span<const Poller::Ready> ready, Nanos now,
                           std::vector<TargetEvent>& events) {
  Impl& t = *impl_;
  t.events = &events;
  t.stamp = std::max(t.stamp, now);
  for (const Poller::Ready& r : ready) {
    if (r.owner == 0 || r.owner > t.shards.size()) continue;
    int what = 0;
    if ((r.events & EPOLLIN) != 0) what |= CURL_CSELECT_IN;
    if ((r.events & EPOLLOUT) != 0) what |= CURL_CSELECT_OUT;
    if ((r.events & (EPOLLERR | EPOLLHUP)) != 0) what |= CURL_CSELECT_ERR | CURL_CSELECT_IN;
    t.act(*t.shards[r.owner - 1], r.fd, what);
  }
  while (const auto shard = t.alarms.take_due(now)) t.act(*t.shards[*shard], CURL_SOCKET_TIMEOUT, 0);
  t.read_all_messages();
  while (!t.lingering.empty()) {
    const Impl::Lingering first = t.lingering.front();
    const bool over = !first.slot->busy || first.slot->use != first.use;
    if (!over && first.until > now) break;
    t.lingering.pop_front();
    if (!over) t.release(*first.slot);
  }
}

std::size_t CurlTransport::in_flight() const {
  return impl_->live.size();
}
const CurlTransport::Counts& CurlTransport::counts() const {
  return impl_->counts;
}
void CurlTransport::take_peak() {
  impl_->counts.connections_peak = impl_->counts.connections_open;
}

}  // namespace dsbench::loadgen

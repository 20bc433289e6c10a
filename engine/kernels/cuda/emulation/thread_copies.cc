#include "engine/kernels/cuda/emulation/thread_copies.h"

#include <bitset>
#include <cstring>
#include <map>
#include <utility>

namespace dsbench::engine::kernels::cuda::simt {

namespace detail {

namespace {

constexpr int most_threads = 1024;

// Under way to a barrier, of the blocks that run.
std::map<const Barrier*, std::vector<Copy>> arrived;

// Landed at a barrier. A barrier's next copies take the place of these: who reads them has fenced by then.
struct Landed {
  std::vector<Copy> copies;
  std::bitset<most_threads> seen_by;
};
std::map<const Barrier*, Landed> unfenced;

void land(const Copy& copy) {
  if (copy.valid)
    std::memcpy(copy.to, copy.from, static_cast<std::size_t>(copy.bytes));
  else
    std::memset(copy.to, 0, static_cast<std::size_t>(copy.bytes));
}

}  // namespace

void queue_copy(void* to, const void* from, int bytes, bool valid) {
  const auto site = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
  watch(site, to, bytes, Touch::write);
  if (valid) watch(site, from, bytes, Touch::read);
  check_shared(to, bytes, bytes);
  if (valid) require_aligned(from, static_cast<std::uintptr_t>(bytes));
  std::memset(to, 0xff, static_cast<std::size_t>(bytes));
  std::memset(async_view(to), 0xff, static_cast<std::size_t>(bytes));
  own_copies().open.push_back({to, from, bytes, valid});
}

void commit() {
  ThreadCopies& own = own_copies();
  own.groups.push_back(std::move(own.open));
  own.open.clear();
}

void wait(int left) {
  std::vector<std::vector<Copy>>& groups = own_copies().groups;
  while (static_cast<int>(groups.size()) > left) {
    for (const Copy& copy : groups.front()) land(copy);
    groups.erase(groups.begin());
  }
}

bool land_arrived(Barrier* b) {
  const auto found = arrived.find(b);
  if (found == arrived.end()) return false;
  Landed& landed = unfenced[b] = Landed{.copies = std::move(found->second), .seen_by = {}};
  arrived.erase(found);
  int bytes = 0;
  for (const Copy& copy : landed.copies) {
    land(copy);
    bytes += copy.bytes;
  }
  bytes_came(*b, bytes);
  return true;
}

void saw_arrived(const Barrier* b) {
  if (const auto found = unfenced.find(b); found != unfenced.end())
    found->second.seen_by.set(static_cast<std::size_t>(thread()));
}

void fence_arrived() {
  std::erase_if(unfenced, [](const auto& entry) {
    return in_shared(entry.first) && entry.second.seen_by.test(static_cast<std::size_t>(thread()));
  });
}

void hide_unfenced() {
  const auto hide = [](const std::vector<Copy>& copies) {
    for (const Copy& copy : copies)
      std::memset(async_view(copy.to), 0xff, static_cast<std::size_t>(copy.bytes));
  };
  for (const auto& [barrier, landed] : unfenced) {
    if (in_shared(barrier)) hide(landed.copies);
  }
}

bool arrived_under_way() {
  return !arrived.empty();
}

void drop_arrived() {
  arrived.clear();
  unfenced.clear();
}

}  // namespace detail

// Counted as bytes that the barrier waits for.
void arrive_with_copies(Barrier* b) {
  detail::ThreadCopies& own = detail::own_copies();
  std::vector<detail::Copy>& at = detail::arrived[b];
  const auto take = [&](std::vector<detail::Copy>& copies) {
    for (const detail::Copy& copy : copies) b->bytes += copy.bytes * 2;
    at.insert(at.end(), copies.begin(), copies.end());
    copies.clear();
  };
  for (std::vector<detail::Copy>& group : own.groups) take(group);
  take(own.open);
  if (at.empty()) detail::arrived.erase(b);
  arrive(b);
}

}  // namespace dsbench::engine::kernels::cuda::simt

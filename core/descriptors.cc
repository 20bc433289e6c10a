#include "core/descriptors.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

namespace dsbench {

std::int64_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  if (limit.rlim_cur < limit.rlim_max) {
    rlimit more = limit;
    more.rlim_cur = limit.rlim_max;
    if (::setrlimit(RLIMIT_NOFILE, &more) == 0) limit = more;
  }
  if (limit.rlim_cur == RLIM_INFINITY) return std::numeric_limits<std::int64_t>::max();
  return static_cast<std::int64_t>(limit.rlim_cur);
}

void reserve_descriptors(std::int64_t count) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  if (limit.rlim_cur < static_cast<rlim_t>(kLargestTable))
    count = std::min(count, static_cast<std::int64_t>(limit.rlim_cur));
  count = std::min(count, kLargestTable);
  if (count <= 0) return;
  const int any = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (any < 0) return;
  const int last =
      ::fcntl(any, F_DUPFD_CLOEXEC, static_cast<int>(count - 1));  // the table never shrinks again
  if (last >= 0) (void)::close(last);
  (void)::close(any);
}

}  // namespace dsbench

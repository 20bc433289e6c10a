#include "kernelbench/tensor.h"

#include <cassert>
#include <cstring>
#include <utility>

namespace dsbench::kernelbench {

HostTensor::HostTensor(std::string name, Dtype type, std::vector<std::int64_t> shape)
    : name_{std::move(name)}, type_{type}, shape_{std::move(shape)} {
  assert(shape_.size() <= DSB_MAX_DIMS);
  data_.resize(static_cast<std::size_t>(bytes()));
}

std::int64_t HostTensor::elements() const {
  std::int64_t count = 1;
  for (const std::int64_t size : shape_) count *= size;
  return count;
}

void HostTensor::poison_all() {
  poison_range(0, elements());
}

void HostTensor::poison_range(std::int64_t begin, std::int64_t end) {
  if (begin >= end) return;
  const std::int64_t size = size_of(type_);
  std::byte* const first = data_.data() + begin * size;
  poison(type_, first);
  // Doubling what is there.
  const std::int64_t total = (end - begin) * size;
  for (std::int64_t done = size; done < total; done *= 2) {
    std::memcpy(first + done, first, static_cast<std::size_t>(done < total - done ? done : total - done));
  }
}

}  // namespace dsbench::kernelbench

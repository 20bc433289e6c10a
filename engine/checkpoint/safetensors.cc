#include "engine/checkpoint/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

namespace dsbench::engine::checkpoint {

class SafetensorsFile::Mapping {
 public:
  Mapping(void* at, std::size_t size) : at_{at}, size_{size} {}
  ~Mapping() {
    if (size_ > 0) ::munmap(at_, size_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  [[nodiscard]] std::span<const std::byte> bytes() const {
    return {static_cast<const std::byte*>(at_), size_};
  }

 private:
  void* at_;
  std::size_t size_;
};

namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kLongestHeader = 100'000'000;  // as the format's own library allows

std::optional<std::uint64_t> whole_number(const Json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  if (!value.is_number_unsigned() && value.get<std::int64_t>() < 0) return std::nullopt;
  return value.get<std::uint64_t>();
}

// Numbers in a shape; nothing when it does not fit into 63 bits.
std::optional<std::int64_t> volume(const std::vector<std::int64_t>& shape) {
  std::int64_t n = 1;
  for (const std::int64_t d : shape) {
    if (__builtin_mul_overflow(n, d, &n)) return std::nullopt;
  }
  return n;
}

Result<Tensor> parse_tensor(const std::string& where, const Json& entry, std::span<const std::byte> data) {
  const auto bad = [&](const std::string& what) { return fail(ErrorKind::usage, "{}: {}", where, what); };
  if (!entry.is_object()) return bad("its entry in the header is no JSON object");
  Tensor tensor;
  const auto type = entry.find("dtype");
  if (type == entry.end() || !type->is_string()) return bad("the header gives it no 'dtype'");
  tensor.type = type->get<std::string>();
  const auto shape = entry.find("shape");
  if (shape == entry.end() || !shape->is_array()) return bad("the header gives it no 'shape'");
  for (const Json& d : *shape) {
    const auto n = whole_number(d);
    if (!n || *n > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      return bad("its 'shape' holds something else than whole numbers");
    tensor.shape.push_back(static_cast<std::int64_t>(*n));
  }
  const auto offsets = entry.find("data_offsets");
  if (offsets == entry.end() || !offsets->is_array() || offsets->size() != 2)
    return bad("the header gives it no 'data_offsets' of two numbers");
  const auto begin = whole_number((*offsets)[0]);
  const auto end = whole_number((*offsets)[1]);
  if (!begin || !end || *begin > *end) return bad("its 'data_offsets' are no range");
  if (*end > data.size()) {
    return bad(
        fmt::format("its data should end at byte {} of the data, but the file holds only {}: the file "
                    "is truncated or its header is wrong",
                    *end, data.size()));
  }
  const auto width = bytes_per_number(tensor.type);
  const auto numbers = volume(tensor.shape);
  std::int64_t expected = 0;
  if (!width) return bad(fmt::format("its dtype '{}' is unknown", tensor.type));
  if (!numbers || __builtin_mul_overflow(*numbers, *width, &expected))
    return bad(fmt::format("its shape {} is larger than any file", describe_shape(tensor.shape)));
  if (static_cast<std::uint64_t>(expected) != *end - *begin) {
    return bad(fmt::format("{} takes {} bytes, but its data_offsets hold {}", describe(tensor), expected,
                           *end - *begin));
  }
  tensor.bytes = data.subspan(*begin, *end - *begin);
  return tensor;
}

}  // namespace

Result<TensorMap> parse_safetensors(std::span<const std::byte> bytes, const std::string& name) {
  const auto bad = [&](const std::string& what) {
    return fail(ErrorKind::usage, "'{}' is no whole safetensors file: {}", name, what);
  };
  std::uint64_t length = 0;
  if (bytes.size() < sizeof length) return bad(fmt::format("it has {} bytes", bytes.size()));
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > kLongestHeader)
    return bad(
        fmt::format("its header would be {} bytes long; at most {} are accepted", length, kLongestHeader));
  if (length > bytes.size() - sizeof length) {
    return bad(fmt::format("its header should end at byte {}, but the file has {}", length + sizeof length,
                           bytes.size()));
  }
  const std::string_view text{reinterpret_cast<const char*>(bytes.data()) + sizeof length, length};
  const Json header = Json::parse(text, nullptr, false);
  if (!header.is_object()) return bad("its header is no JSON object");
  const std::span<const std::byte> data = bytes.subspan(sizeof length + length);
  TensorMap tensors;
  for (const auto& [key, entry] : header.items()) {
    if (key == "__metadata__") continue;
    DSBENCH_TRY(Tensor tensor, parse_tensor(fmt::format("tensor '{}' of '{}'", key, name), entry, data));
    tensors.emplace(key, std::move(tensor));
  }
  return tensors;
}

Result<SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  const auto refused = [&] {
    return fail(ErrorKind::io, "cannot read '{}': {}", path.string(), std::strerror(errno));
  };
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return refused();
  struct stat status {};
  if (::fstat(fd, &status) != 0) {
    const auto error = refused();
    ::close(fd);
    return error;
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  void* at = nullptr;
  if (size > 0) {
    at = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED) {
      const auto error = refused();
      ::close(fd);
      return error;
    }
  }
  ::close(fd);
  SafetensorsFile file;
  const auto mapping = std::make_shared<const Mapping>(at, size);
  file.mapping_ = mapping;
  DSBENCH_TRY(file.tensors_, parse_safetensors(mapping->bytes(), path.filename().string()));
  return file;
}

}  // namespace dsbench::engine::checkpoint

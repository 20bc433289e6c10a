#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "core/result.h"

namespace dsbench::loadgen {

// The bytes of a file; of a gzip file (known by its first bytes, whatever its name) those that were packed,
// of all its members. It is unpacked as it is read.
class ByteSource {
 public:
  // Errors: io.
  [[nodiscard]] static Result<ByteSource> open(const std::filesystem::path& path);
  ByteSource(ByteSource&&) noexcept;
  ByteSource& operator=(ByteSource&&) noexcept;
  ~ByteSource();

  [[nodiscard]] bool packed() const;

  // Reads up to `size` bytes; 0 at the end. Errors: io; usage for gzip data that are damaged or end early:
  // what was unpacked before is given first, so the error comes with the call after it.
  [[nodiscard]] Result<std::size_t> read(char* into, std::size_t size);

  // The next `most` bytes, or as many as there are.
  [[nodiscard]] Result<std::string> read_up_to(std::size_t most);

 private:
  struct Impl;
  explicit ByteSource(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace dsbench::loadgen

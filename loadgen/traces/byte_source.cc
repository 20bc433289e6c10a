#include "loadgen/traces/byte_source.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

namespace dsbench::loadgen {
namespace {

constexpr std::size_t packed_chunk = std::size_t{1} << 18;
constexpr int gzip_window = 15 + 16;  // the largest window, in a gzip wrapper

struct CloseFile {
  void operator()(std::FILE* file) const noexcept { (void)std::fclose(file); }
};

}  // namespace

// zlib holds the address of the stream.
struct ByteSource::Impl {
  std::string name;
  std::unique_ptr<std::FILE, CloseFile> file;
  bool gzip = false;
  std::vector<unsigned char> packed;
  z_stream stream{};
  bool inside = false;  // a member has begun and not ended
  bool at_end = false;  // of the file
  std::uint64_t packed_bytes = 0, unpacked_bytes = 0;
  std::uint64_t members = 0;  // that ended

  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    if (gzip) (void)inflateEnd(&stream);
  }

  [[nodiscard]] tl::unexpected<Error> broken(const char* what, const std::string& why) const {
    return fail(
        ErrorKind::usage,
        "'{}' is {}: {}, after {} bytes of it were unpacked to {}{}; accepted: a whole gzip file (gzip -t "
        "checks one)",
        name, what, why, packed_bytes - stream.avail_in, unpacked_bytes,
        members > 0 ? fmt::format(", {} members being whole", members) : "");
  }

  Result<void> refill() {
    const std::size_t got = std::fread(packed.data(), 1, packed.size(), file.get());
    if (got == 0 && std::ferror(file.get()) != 0)
      return fail(ErrorKind::io, "cannot read '{}': {}", name, std::strerror(errno));
    at_end = got == 0;
    packed_bytes += got;
    stream.next_in = packed.data();
    stream.avail_in = static_cast<uInt>(got);
    return {};
  }

  // Between members: another one, padding of noughts as tapes have it, or the end.
  Result<bool> next_member() {
    for (;;) {
      if (stream.avail_in == 0) DSBENCH_CHECK(refill());
      if (at_end) return false;
      if (*stream.next_in != 0) break;
      ++stream.next_in;
      --stream.avail_in;
    }
    if (*stream.next_in != 0x1F) return broken("damaged", "what follows its data is no gzip");
    (void)inflateReset(&stream);
    return inside = true;
  }

  Result<std::size_t> unpack(char* into, std::size_t size) {
    stream.next_out = reinterpret_cast<Bytef*>(into);
    stream.avail_out = static_cast<uInt>(std::min<std::size_t>(size, packed_chunk));
    const uInt room = stream.avail_out;
    while (stream.avail_out == room) {
      if (!inside) {
        DSBENCH_TRY(const bool more, next_member());
        if (!more) return std::size_t{0};
      }
      if (stream.avail_in == 0) DSBENCH_CHECK(refill());
      if (at_end) return broken("cut off", "its gzip data end early");
      const int code = inflate(&stream, Z_NO_FLUSH);
      unpacked_bytes += room - stream.avail_out;
      if (code == Z_STREAM_END) {
        inside = false;
        ++members;
      } else if (code != Z_OK && code != Z_BUF_ERROR) {
        // What came before the damage counts; inflate says it again.
        if (stream.avail_out != room && code == Z_DATA_ERROR) break;
        return broken("damaged", stream.msg != nullptr ? stream.msg : fmt::format("zlib's error {}", code));
      }
    }
    return room - stream.avail_out;
  }
};

ByteSource::ByteSource(std::unique_ptr<Impl> impl) : impl_{std::move(impl)} {}
ByteSource::ByteSource(ByteSource&&) noexcept = default;
ByteSource& ByteSource::operator=(ByteSource&&) noexcept = default;
ByteSource::~ByteSource() = default;

Result<ByteSource> ByteSource::open(const std::filesystem::path& path) {
  auto impl = std::make_unique<Impl>();
  impl->name = path.string();
  impl->file.reset(std::fopen(path.c_str(), "rb"));
  if (!impl->file) return fail(ErrorKind::io, "cannot read '{}': {}", path.string(), std::strerror(errno));
  unsigned char magic[2] = {};
  const std::size_t got = std::fread(magic, 1, sizeof magic, impl->file.get());
  if (got == 0 && std::ferror(impl->file.get()) != 0)
    return fail(ErrorKind::io, "cannot read '{}': {}", path.string(), std::strerror(errno));
  if (got == sizeof magic && magic[0] == 0x1F && magic[1] == 0x8B) {
    if (inflateInit2(&impl->stream, gzip_window) != Z_OK)
      return fail(ErrorKind::internal, "zlib has no memory for '{}'", path.string());
    impl->gzip = true;
    impl->packed.resize(packed_chunk);
  }
  std::rewind(impl->file.get());
  return ByteSource{std::move(impl)};
}

bool ByteSource::packed() const {
  return impl_->gzip;
}

Result<std::size_t> ByteSource::read(char* into, std::size_t size) {
  if (impl_->gzip) return impl_->unpack(into, size);
  const std::size_t got = std::fread(into, 1, size, impl_->file.get());
  if (got == 0 && std::ferror(impl_->file.get()) != 0)
    return fail(ErrorKind::io, "cannot read '{}': {}", impl_->name, std::strerror(errno));
  return got;
}

Result<std::string> ByteSource::read_up_to(std::size_t most) {
  std::string bytes(most, '\0');
  std::size_t had = 0;
  while (had < most) {
    DSBENCH_TRY(const std::size_t got, read(bytes.data() + had, most - had));
    if (got == 0) break;
    had += got;
  }
  bytes.resize(had);
  return bytes;
}

}  // namespace dsbench::loadgen

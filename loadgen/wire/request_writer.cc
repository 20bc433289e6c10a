#include "loadgen/wire/request_writer.h"

#include <charconv>

namespace dsbench::loadgen {

std::size_t RequestWriter::write_one(const Attempt& attempt, const LeanProvider& provider,
                                     std::unique_ptr<OutgoingRequest>& out) {
  if (!out) out = std::make_unique<OutgoingRequest>();
  prompts_.set_scale(provider.scale);
  if (provider.has_body) provider.codec->encode(attempt, prompts_, out->body);
  out->sent = 0;
  out->head.assign(provider.head);
  if (provider.has_body) {
    char digits[24];
    const auto end = std::to_chars(digits, digits + sizeof digits, out->body.size()).ptr;
    out->head.append(digits, end);
    out->head.append("\r\n");
  } else {
    out->body.clear();
  }
  caller_.append(out->head, attempt.tenant, attempt.attempt);
  out->head.append("\r\n");
  out->join();
  return out->size();
}

}  // namespace dsbench::loadgen

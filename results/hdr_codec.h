#pragma once

#include <string>
#include <string_view>

#include "core/result.h"
#include "results/histogram.h"

// HdrHistogram's V2 encoding, so that a run's histograms are readable by its Java, C, Go, JavaScript, .NET,
// Python and Rust libraries. Layout (big-endian), from HdrHistogram's AbstractHistogram.java:
//   compressed:   int32 cookie 0x1c849314 · int32 length · zlib stream of what follows
//   uncompressed: int32 cookie 0x1c849313 · int32 payload length · int32 normalizing offset (0) · int32
//   significant digits (3)
//                 · int64 lowest discernible value (1) · int64 highest trackable value · double conversion
//                 ratio (1.0) · payload
//   payload:      counters from index 0 in ZigZag LEB128 (at most 9 bytes each); a negative number is a run
//   of zero counters
// Values are nanoseconds. What V2 does not carry is lost: the infinite count, and the exact sum and extremes,
// which a decoded histogram has from the middles and the ends of its counters.
namespace dsbench::results {

// Base64 of the compressed form: what stands in a line of an .hlog file.
[[nodiscard]] std::string encode_hdr(const Histogram& histogram);

// Accepts what encode_hdr and other libraries write with 3 significant digits and a lowest value of 1.
[[nodiscard]] Result<Histogram> decode_hdr(std::string_view base64);

}  // namespace dsbench::results

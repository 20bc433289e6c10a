#pragma once

#include <cstddef>

// libcurl's memory. A request takes and gives back some dozens of blocks of the same few sizes; each thread
// keeps those it was given back, up to a bound, and gives them out again. A block may be freed by another
// thread than the one that took it: it is then that thread's to keep. What is larger than any class goes to
// malloc and back.
//
// For curl_global_init_mem().
namespace dsbench::loadgen::curl_memory {

void* allocate(std::size_t size);
void release(void* block);
void* reallocate(void* block, std::size_t size);
void* allocate_zeroed(std::size_t count, std::size_t size);
char* duplicate(const char* text);

// Blocks that this thread keeps. For tests.
[[nodiscard]] std::size_t kept();

}  // namespace dsbench::loadgen::curl_memory

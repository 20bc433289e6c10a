#include <fmt/format.h>

#include "core/version.h"

int main() { fmt::print("dsbench {} ({})\n", dsbench::version(), dsbench::commit()); }

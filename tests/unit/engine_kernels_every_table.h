#pragma once

#include <gtest/gtest.h>

#include "engine/kernels/cpu/packed_matrix.h"

namespace dsbench::engine::kernels::cpu {

// Runs a test on every instruction set that this processor has; the parameter is its place in all_kernels().
class EveryTable : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    int count = 0;
    while (all_kernels()[count] != nullptr) ++count;
    if (GetParam() >= count) GTEST_SKIP() << "this processor has " << count << " instruction sets";
    table_ = all_kernels()[GetParam()];
  }
  const KernelTable* table_ = nullptr;
};

}  // namespace dsbench::engine::kernels::cpu

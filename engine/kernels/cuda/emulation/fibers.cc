#include <ucontext.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <stdexcept>

#include "engine/kernels/cuda/emulation/block.h"

namespace dsbench::engine::kernels::cuda::simt::detail {

namespace {

// swapcontext saves the signal mask with two system calls each time; this only swaps what the calling
// convention keeps.
#if defined(__x86_64__)
extern "C" void dsb_switch(void** save, void* load);
__asm__(
    ".text\n.type dsb_switch, @function\ndsb_switch:\n"
    "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
    "  movq %rsp, (%rdi)\n  movq %rsi, %rsp\n"
    "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n  ret\n"
    ".size dsb_switch, .-dsb_switch\n");
#define DSB_FAST_SWITCH 1
#endif

#ifdef DSB_FAST_SWITCH
void* scheduler_stack = nullptr;
#endif

void to_scheduler() {
#ifdef DSB_FAST_SWITCH
  dsb_switch(&block->stacks[static_cast<std::size_t>(block->running)], scheduler_stack);
#else
  swapcontext(&block->fibers[static_cast<std::size_t>(block->running)].context, &block->scheduler);
#endif
}

void fiber_main() {
  try {
    (*block->body)();
    if (block->early && !block->fibers[static_cast<std::size_t>(block->running)].waited)
      throw std::logic_error("a thread of an early kernel never waits for the kernel before it");
  } catch (...) {
    if (!block->thrown) block->thrown = std::current_exception();
  }
  block->fibers[static_cast<std::size_t>(block->running)].done = true;
  --block->left;
  for (;;) to_scheduler();
}

void resume(std::size_t i) {
  block->running = static_cast<int>(i);
#ifdef DSB_FAST_SWITCH
  dsb_switch(&scheduler_stack, block->stacks[i]);
#else
  swapcontext(&block->scheduler, &block->fibers[i].context);
#endif
}

bool runnable(const Fiber& fiber) {
  return !fiber.done && (fiber.gate == nullptr || *fiber.gate != fiber.gate_was);
}

// Runs a warp until all of its lanes wait for something outside it; true if any moved.
bool run_warp(std::size_t w) {
  bool moved = false;
  for (bool again = true; again;) {
    again = false;
    for (std::size_t lane = 0; lane < 32; ++lane) {
      const std::size_t i = w * 32 + (current_order() == Order::forward ? lane : 31 - lane);
      if (!runnable(block->fibers[i])) continue;
      resume(i);
      if (block->thrown) return true;
      moved = again = true;
    }
  }
  return moved;
}

}  // namespace

void prepare(std::size_t i) {
  Fiber& fiber = block->fibers[i];
  if (!fiber.stack) fiber.stack = std::make_unique_for_overwrite<char[]>(stack_bytes);
#ifdef DSB_FAST_SWITCH
  // As dsb_switch leaves it: six registers, the return address; the entry sees a stack that is 8 past a
  // multiple of 16.
  auto top = reinterpret_cast<std::uintptr_t>(fiber.stack.get() + stack_bytes) & ~std::uintptr_t{15};
  void** sp = reinterpret_cast<void**>(top) - 2;
  *sp-- = reinterpret_cast<void*>(&fiber_main);
  for (int k = 0; k < 6; ++k) *sp-- = nullptr;
  block->stacks[i] = sp + 1;
#else
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = stack_bytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, &fiber_main, 0);
#endif
}

Fiber& mine() {
  return block->fibers[static_cast<std::size_t>(block->running)];
}

void wait_for(const std::uint64_t* turns) {
  Fiber& fiber = mine();
  fiber.gate = turns;
  fiber.gate_was = *turns;
  while (*fiber.gate == fiber.gate_was) to_scheduler();
  fiber.gate = nullptr;
}

void run_cluster() {
  for (;;) {
    bool moved = false;
    for (std::size_t n = 0; n < cluster.size(); ++n) {
      block = cluster[current_order() == Order::forward ? n : cluster.size() - 1 - n];
      const std::size_t warps = block->warps.size();
      for (std::size_t k = 0; k < warps; ++k) {
        ++block->passes;
        moved |= run_warp(current_order() == Order::forward ? k : warps - 1 - k);
        if (block->thrown) std::rethrow_exception(block->thrown);
      }
    }
    if (moved) continue;
    for (const Block* each : cluster) {
      for (const Fiber& fiber : each->fibers) {
        if (!fiber.done) throw std::logic_error("some threads wait at a barrier that the others never reach");
      }
    }
    return;
  }
}

}  // namespace dsbench::engine::kernels::cuda::simt::detail

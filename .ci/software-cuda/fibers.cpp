#include "fibers.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <sys/mman.h>
#include <thread>
#include <vector>

#if !defined(__x86_64__)
#error "the switch between fibers is written for x86-64"
#endif

// Saves what a call must keep on the stack of one fiber and goes on with another's.
asm(R"(
.text
.globl software_cuda_switch
.hidden software_cuda_switch
software_cuda_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
extern "C" void software_cuda_switch(void **from, void *to);

namespace software_cuda {
namespace {

constexpr size_t STACK = 256 * 1024;
constexpr size_t SHARED = 256 * 1024;

enum class State { Ready, AtWarp, AtBlock, Done };

struct Fiber : Thread {
    void *stack_pointer;
    State state;
    const void *site;
    Together together;
};

struct Runner {
    std::vector<Fiber> fibers;
    std::vector<char *> stacks;
    std::vector<Warp> warps;
    char *shared;
    void *scheduler = nullptr;
    Fiber *current = nullptr;
    void (*kernel)(void *) = nullptr;
    void *arguments = nullptr;

    Runner() { shared = static_cast<char *>(aligned_alloc(1024, SHARED)); }

    void run(Index block, Index block_dim, Index grid_dim);
    void resume(Fiber &fiber) {
        current = &fiber;
        software_cuda_switch(&scheduler, fiber.stack_pointer);
    }
    void stop(State state) {
        current->state = state;
        software_cuda_switch(&current->stack_pointer, scheduler);
    }
};

thread_local Runner *runner = nullptr;

[[noreturn]] void begin() {
    Runner &here = *runner;
    here.kernel(here.arguments);
    here.stop(State::Done);
    abort();
}

Thread *self() { return runner->current; }
void sync_block() { runner->stop(State::AtBlock); }
__attribute__((noinline)) void sync_warp(Together together) {
    Fiber *fiber = runner->current;
    fiber->site = __builtin_return_address(0);
    fiber->together = together;
    runner->stop(State::AtWarp);
}

void Runner::run(Index block, Index block_dim, Index grid_dim) {
    size_t threads = size_t(block_dim.x) * block_dim.y * block_dim.z;
    while (stacks.size() < threads) {
        void *stack = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stack == MAP_FAILED) abort();
        stacks.push_back(static_cast<char *>(stack));
    }
    fibers.resize(threads);
    warps.resize((threads + WARP - 1) / WARP);
    // Shared memory holds anything at the start of a block.
    memset(shared, 0xcb, 64);
    for (size_t i = 0; i < threads; ++i) {
        Fiber &fiber = fibers[i];
        fiber.thread = {unsigned(i % block_dim.x), unsigned(i / block_dim.x % block_dim.y),
                        unsigned(i / block_dim.x / block_dim.y)};
        fiber.block = block;
        fiber.block_dim = block_dim;
        fiber.grid_dim = grid_dim;
        fiber.lane = i % WARP;
        fiber.shared = shared;
        fiber.warp = &warps[i / WARP];
        fiber.state = State::Ready;
        // Six saved registers and the address to return to; aligned as at the entry of a function.
        void **top = reinterpret_cast<void **>(stacks[i] + STACK) - 2;
        *top = reinterpret_cast<void *>(&begin);
        fiber.stack_pointer = top - 6;
    }
    for (;;) {
        bool waiting = false;
        for (size_t w = 0; w < warps.size(); ++w) {
            size_t first = w * WARP, last = std::min(first + WARP, threads);
            for (;;) {
                const void *site = nullptr;
                for (size_t i = first; i < last; ++i) {
                    if (fibers[i].state == State::Ready) resume(fibers[i]);
                    if (fibers[i].state == State::AtWarp && (!site || fibers[i].site < site)) site = fibers[i].site;
                }
                if (!site) break;
                Warp &warp = warps[w];
                warp.mask = 0;
                Together together = nullptr;
                for (size_t i = first; i < last; ++i) {
                    if (fibers[i].state != State::AtWarp || fibers[i].site != site) continue;
                    memcpy(warp.slots[i - first], fibers[i].slot, SLOT);
                    warp.mask |= 1u << (i - first);
                    together = fibers[i].together;
                    fibers[i].state = State::Ready;
                }
                if (together) together(warp);
            }
            for (size_t i = first; i < last; ++i) waiting |= fibers[i].state == State::AtBlock;
        }
        if (!waiting) return;
        for (Fiber &fiber : fibers)
            if (fiber.state == State::AtBlock) fiber.state = State::Ready;
    }
}

// Threads of the host that share the blocks of one kernel at a time.
class Pool {
  public:
    Pool() {
        unsigned count = std::thread::hardware_concurrency();
        for (unsigned i = 1; i < std::max(1u, std::min(count, 16u)); ++i) std::thread([this] { work(); }).detach();
    }
    void run(size_t count, const std::function<void(size_t)> &task) {
        std::lock_guard<std::mutex> one_kernel(kernel_lock);
        if (count == 1) return task(0);
        {
            std::lock_guard<std::mutex> guard(lock);
            job = &task;
            total = count;
            next = 0;
            done = 0;
            ++generation;
        }
        changed.notify_all();
        share();
        std::unique_lock<std::mutex> guard(lock);
        changed.wait(guard, [&] { return done == total && inside == 0; });
        job = nullptr;
    }

  private:
    void share() {
        for (;;) {
            size_t i = next++;
            if (i >= total) return;
            (*job)(i);
            if (++done == total) {
                std::lock_guard<std::mutex> guard(lock);
                changed.notify_all();
            }
        }
    }
    void work() {
        uint64_t seen = 0;
        for (;;) {
            {
                std::unique_lock<std::mutex> guard(lock);
                changed.wait(guard, [&] { return job && generation != seen; });
                seen = generation;
                ++inside;
            }
            share();
            {
                std::lock_guard<std::mutex> guard(lock);
                --inside;
            }
            changed.notify_all();
        }
    }
    std::mutex kernel_lock, lock;
    std::condition_variable changed;
    const std::function<void(size_t)> *job = nullptr;
    std::atomic<size_t> next{0}, done{0};
    size_t total = 0;
    int inside = 0;
    uint64_t generation = 0;
};

} // namespace

const Runtime runtime_table = {self, sync_block, sync_warp};

void launch(void (*kernel)(void *), void *arguments, Index grid, Index block, size_t shared_bytes) {
    static Pool *pool = new Pool;
    if (shared_bytes > SHARED) abort();
    pool->run(size_t(grid.x) * grid.y * grid.z, [&](size_t i) {
        if (!runner) runner = new Runner;
        runner->kernel = kernel;
        runner->arguments = arguments;
        runner->run({unsigned(i % grid.x), unsigned(i / grid.x % grid.y), unsigned(i / grid.x / grid.y)}, block, grid);
    });
}

} // namespace software_cuda

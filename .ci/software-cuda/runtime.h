// What a kernel sees of the software driver. Shared by the driver and the compiled kernels.

#pragma once
#include <cstddef>
#include <cstdint>

namespace software_cuda {

struct Index {
    unsigned x, y, z;
};

constexpr int WARP = 32;
constexpr size_t SLOT = 64;

// What the lanes of a warp bring to a collective operation, and who takes part.
struct Warp {
    alignas(16) char slots[WARP][SLOT];
    unsigned mask;
};

// The thread of a kernel that is running now.
struct Thread {
    Index thread, block, block_dim, grid_dim;
    unsigned lane;
    char *shared;
    Warp *warp;
    alignas(16) char slot[SLOT];
};

// Called by the driver once for a collective operation, when all lanes that take part are there.
using Together = void (*)(Warp &);

struct Runtime {
    Thread *(*self)();
    void (*sync_block)();
    // Waits for the other lanes; afterwards `warp` holds the slots of all of them.
    void (*sync_warp)(Together);
};

} // namespace software_cuda

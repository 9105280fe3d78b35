// Runs a kernel: the blocks of a grid on a few threads of the host, the threads of a block as fibers.

#pragma once
#include "runtime.h"

namespace software_cuda {

// Runs `kernel(arguments)` for every thread of every block; returns when all have ended.
void launch(void (*kernel)(void *), void *arguments, Index grid, Index block, size_t shared_bytes);

// What compiled kernels call.
extern const Runtime runtime_table;

} // namespace software_cuda

// A CUDA driver in software: just what CubeCL calls. See README.md beside this file.

#include "fibers.h"
#include "streams.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

using software_cuda::Stream, software_cuda::current_device, software_cuda::stream_of;

thread_local int software_cuda::current_device = 0;

Stream *software_cuda::stream_of(void *handle) {
    static Stream *standard = new Stream;
    return handle ? static_cast<Stream *>(handle) : standard;
}

namespace {

long setting(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text && *text ? atol(text) : otherwise;
}

enum Result { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, INVALID_IMAGE = 200,
              NOT_FOUND = 500, NOT_READY = 600, NOT_SUPPORTED = 801 };

long device_count() { return setting("SOFTWARE_CUDA_DEVICES", 1); }
long compute_capability() { return setting("SOFTWARE_CUDA_ARCH", 75); }
size_t device_memory() { return size_t(setting("SOFTWARE_CUDA_MEMORY_MIB", 8192)) << 20; }

// ---- Memory: the host's. Each device counts what it has handed out.

std::mutex memory_lock;
std::map<uintptr_t, std::pair<size_t, int>> allocations;
std::map<int, size_t> used;

Result allocate(uint64_t *pointer, size_t bytes) {
    std::lock_guard<std::mutex> guard(memory_lock);
    if (bytes == 0) return INVALID_VALUE;
    if (used[current_device] + bytes > device_memory()) return OUT_OF_MEMORY;
    void *memory = nullptr;
    if (posix_memalign(&memory, 512, bytes)) return OUT_OF_MEMORY;
    // Fresh device memory holds anything: not zeros.
    memset(memory, 0xcb, std::min(bytes, size_t(1) << 26));
    used[current_device] += bytes;
    allocations[uintptr_t(memory)] = {bytes, current_device};
    *pointer = uint64_t(memory);
    return SUCCESS;
}

Result release(uint64_t pointer) {
    std::lock_guard<std::mutex> guard(memory_lock);
    auto found = allocations.find(uintptr_t(pointer));
    if (found == allocations.end()) return INVALID_VALUE;
    used[found->second.second] -= found->second.first;
    allocations.erase(found);
    free(reinterpret_cast<void *>(pointer));
    return SUCCESS;
}

std::mutex streams_lock;
std::vector<Stream *> streams;

struct Event {
    std::mutex lock;
    std::condition_variable changed;
    uint64_t asked = 0, reached = 0;
    std::chrono::steady_clock::time_point when;

    uint64_t ask() {
        std::lock_guard<std::mutex> guard(lock);
        return ++asked;
    }
    uint64_t last_asked() {
        std::lock_guard<std::mutex> guard(lock);
        return asked;
    }
    void reach(uint64_t number) {
        std::lock_guard<std::mutex> guard(lock);
        reached = std::max(reached, number);
        when = std::chrono::steady_clock::now();
        changed.notify_all();
    }
    void wait(uint64_t number) {
        std::unique_lock<std::mutex> guard(lock);
        changed.wait(guard, [&] { return reached >= number; });
    }
};

// A kernel that has been loaded.
struct Kernel {
    void *(*pack)(void **);
    void (*run)(void *);
    void (*drop)(void *);
    std::string name;
};

} // namespace

// ---- The driver

EXPORT int cuInit(unsigned) { return SUCCESS; }
EXPORT int cuDriverGetVersion(int *version) { return *version = 12090, SUCCESS; }
EXPORT int cuDeviceGetCount(int *count) { return *count = int(device_count()), SUCCESS; }
EXPORT int cuDeviceGet(int *device, int ordinal) {
    if (ordinal < 0 || ordinal >= device_count()) return 101;
    return *device = ordinal, SUCCESS;
}
EXPORT int cuDeviceGetName(char *name, int length, int device) {
    // CubeCL remembers the fastest kernels by this name, and what is fastest for one capability may not exist for another.
    return snprintf(name, length, "Software CUDA sm_%ld %d", compute_capability(), device), SUCCESS;
}
EXPORT int cuDeviceGetUuid_v2(void *uuid, int device) { return memset(uuid, device + 1, 16), SUCCESS; }
EXPORT int cuDeviceGetUuid(void *uuid, int device) { return cuDeviceGetUuid_v2(uuid, device); }
EXPORT int cuDeviceGetPCIBusId(char *name, int length, int device) {
    return snprintf(name, length, "0000:%02x:00.0", device + 1), SUCCESS;
}
EXPORT int cuDeviceTotalMem_v2(size_t *bytes, int) { return *bytes = device_memory(), SUCCESS; }
EXPORT int cuMemGetInfo_v2(size_t *available, size_t *total) {
    std::lock_guard<std::mutex> guard(memory_lock);
    *total = device_memory();
    *available = *total - used[current_device];
    return SUCCESS;
}
EXPORT int cuDeviceGetAttribute(int *value, int attribute, int) {
    long arch = compute_capability();
    switch (attribute) {
    case 1: *value = 1024; break;                         // threads per block
    case 2: case 3: *value = 1024; break;                 // block dimensions
    case 4: *value = 64; break;
    case 5: *value = 2147483647; break;                   // grid dimensions
    case 6: case 7: *value = 65535; break;
    case 8: *value = 49152; break;                        // shared memory
    case 97: *value = arch >= 90 ? 232448 : arch >= 80 ? 166912 : arch >= 75 ? 65536 : 98304; break;
    case 10: *value = 32; break;                          // warp
    case 16: *value = 4; break;                           // multiprocessors
    case 75: *value = int(arch / 10); break;
    case 76: *value = int(arch % 10); break;
    case 115: *value = 1; break;                          // memory pools
    default: *value = 0;
    }
    return SUCCESS;
}
EXPORT int cuDevicePrimaryCtxRetain(void **context, int device) {
    return *context = reinterpret_cast<void *>(uintptr_t(device + 1)), SUCCESS;
}
EXPORT int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
EXPORT int cuCtxSetCurrent(void *context) {
    if (context) current_device = int(uintptr_t(context)) - 1;
    return SUCCESS;
}
EXPORT int cuCtxGetCurrent(void **context) {
    return *context = reinterpret_cast<void *>(uintptr_t(current_device + 1)), SUCCESS;
}
EXPORT int cuCtxGetDevice(int *device) { return *device = current_device, SUCCESS; }
EXPORT int cuCtxGetStreamPriorityRange(int *least, int *greatest) { return *least = 0, *greatest = -5, SUCCESS; }
EXPORT int cuCtxSynchronize() {
    std::vector<Stream *> all;
    {
        std::lock_guard<std::mutex> guard(streams_lock);
        std::copy_if(streams.begin(), streams.end(), std::back_inserter(all),
                     [](Stream *stream) { return stream->device == current_device; });
    }
    for (Stream *stream : all) stream->synchronize();
    stream_of(nullptr)->synchronize();
    return SUCCESS;
}
EXPORT int cuGetErrorName(int error, const char **name) {
    return *name = error == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR", SUCCESS;
}
EXPORT int cuGetErrorString(int error, const char **text) {
    return *text = error == OUT_OF_MEMORY ? "out of memory" : "an error of the software driver", SUCCESS;
}

EXPORT int cuMemAlloc_v2(uint64_t *pointer, size_t bytes) { return allocate(pointer, bytes); }
EXPORT int cuMemAllocAsync(uint64_t *pointer, size_t bytes, void *) { return allocate(pointer, bytes); }
EXPORT int cuMemFree_v2(uint64_t pointer) { return cuCtxSynchronize(), release(pointer); }
EXPORT int cuMemFreeAsync(uint64_t pointer, void *stream) {
    stream_of(stream)->push([=] { release(pointer); });
    return SUCCESS;
}
EXPORT int cuMemAllocHost_v2(void **pointer, size_t bytes) {
    return posix_memalign(pointer, 4096, std::max(bytes, size_t(1))) ? OUT_OF_MEMORY : SUCCESS;
}
EXPORT int cuMemHostAlloc(void **pointer, size_t bytes, unsigned) { return cuMemAllocHost_v2(pointer, bytes); }
EXPORT int cuMemFreeHost(void *pointer) { return free(pointer), SUCCESS; }

EXPORT int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *stream) {
    stream_of(stream)->push([=] { memcpy(reinterpret_cast<void *>(to), from, bytes); });
    return SUCCESS;
}
EXPORT int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *stream) {
    stream_of(stream)->push([=] { memcpy(to, reinterpret_cast<void *>(from), bytes); });
    return SUCCESS;
}
EXPORT int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void *stream) {
    stream_of(stream)->push([=] { memmove(reinterpret_cast<void *>(to), reinterpret_cast<void *>(from), bytes); });
    return SUCCESS;
}
EXPORT int cuMemcpyPeerAsync(uint64_t to, void *, uint64_t from, void *, size_t bytes, void *stream) {
    return cuMemcpyDtoDAsync_v2(to, from, bytes, stream);
}
EXPORT int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t bytes) {
    return cuCtxSynchronize(), memcpy(reinterpret_cast<void *>(to), from, bytes), SUCCESS;
}
EXPORT int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t bytes) {
    return cuCtxSynchronize(), memcpy(to, reinterpret_cast<void *>(from), bytes), SUCCESS;
}
EXPORT int cuMemsetD8Async(uint64_t to, unsigned char value, size_t bytes, void *stream) {
    stream_of(stream)->push([=] { memset(reinterpret_cast<void *>(to), value, bytes); });
    return SUCCESS;
}

struct Copy2D {
    size_t source_x, source_y;
    unsigned source_type;
    const void *source_host;
    uint64_t source_device;
    void *source_array;
    size_t source_pitch;
    size_t target_x, target_y;
    unsigned target_type;
    void *target_host;
    uint64_t target_device;
    void *target_array;
    size_t target_pitch, width, height;
};
EXPORT int cuMemcpy2DAsync_v2(const Copy2D *described, void *stream) {
    Copy2D copy = *described;
    stream_of(stream)->push([=] {
        auto from = copy.source_type == 1 ? static_cast<const char *>(copy.source_host)
                                          : reinterpret_cast<const char *>(copy.source_device);
        auto to = copy.target_type == 1 ? static_cast<char *>(copy.target_host)
                                        : reinterpret_cast<char *>(copy.target_device);
        for (size_t row = 0; row < copy.height; ++row)
            memcpy(to + (copy.target_y + row) * copy.target_pitch + copy.target_x,
                   from + (copy.source_y + row) * copy.source_pitch + copy.source_x, copy.width);
    });
    return SUCCESS;
}

EXPORT int cuStreamCreate(void **stream, unsigned) {
    Stream *created = new Stream;
    std::lock_guard<std::mutex> guard(streams_lock);
    streams.push_back(created);
    return *stream = created, SUCCESS;
}
EXPORT int cuStreamCreateWithPriority(void **stream, unsigned flags, int) { return cuStreamCreate(stream, flags); }
EXPORT int cuStreamDestroy_v2(void *stream) {
    {
        std::lock_guard<std::mutex> guard(streams_lock);
        streams.erase(std::remove(streams.begin(), streams.end(), stream), streams.end());
    }
    delete static_cast<Stream *>(stream);
    return SUCCESS;
}
EXPORT int cuStreamSynchronize(void *stream) { return stream_of(stream)->synchronize(), SUCCESS; }
EXPORT int cuStreamIsCapturing(void *, int *status) { return *status = 0, SUCCESS; }
EXPORT int cuStreamBeginCapture_v2(void *, int) { return NOT_SUPPORTED; }

// A handle of an event; what streams still do with it outlives the handle.
using EventHandle = std::shared_ptr<Event>;

EXPORT int cuEventCreate(void **event, unsigned) {
    return *event = new EventHandle(std::make_shared<Event>()), SUCCESS;
}
EXPORT int cuEventDestroy_v2(void *handle) { return delete static_cast<EventHandle *>(handle), SUCCESS; }
EXPORT int cuEventRecord(void *handle, void *stream) {
    EventHandle event = *static_cast<EventHandle *>(handle);
    uint64_t number = event->ask();
    stream_of(stream)->push([=] { event->reach(number); });
    return SUCCESS;
}
EXPORT int cuEventSynchronize(void *handle) {
    EventHandle event = *static_cast<EventHandle *>(handle);
    return event->wait(event->last_asked()), SUCCESS;
}
EXPORT int cuEventQuery(void *handle) {
    EventHandle event = *static_cast<EventHandle *>(handle);
    std::lock_guard<std::mutex> guard(event->lock);
    return event->reached >= event->asked ? SUCCESS : NOT_READY;
}
EXPORT int cuStreamWaitEvent(void *stream, void *handle, unsigned) {
    EventHandle event = *static_cast<EventHandle *>(handle);
    uint64_t number = event->last_asked();
    stream_of(stream)->push([=] { event->wait(number); });
    return SUCCESS;
}
EXPORT int cuEventElapsedTime_v2(float *milliseconds, void *from, void *to) {
    auto when = [](void *handle) { return (*static_cast<EventHandle *>(handle))->when; };
    *milliseconds = std::chrono::duration<float, std::milli>(when(to) - when(from)).count();
    return SUCCESS;
}
EXPORT int cuEventElapsedTime(float *milliseconds, void *from, void *to) {
    return cuEventElapsedTime_v2(milliseconds, from, to);
}

EXPORT int cuModuleLoadData(void **module, const void *image) {
    void *library = dlopen(static_cast<const char *>(image), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "software CUDA: %s\n", dlerror());
        return INVALID_IMAGE;
    }
    auto runtime = reinterpret_cast<const software_cuda::Runtime **>(dlsym(library, "software_cuda_runtime"));
    if (!runtime) return INVALID_IMAGE;
    *runtime = &software_cuda::runtime_table;
    return *module = library, SUCCESS;
}
EXPORT int cuModuleUnload(void *) { return SUCCESS; }
EXPORT int cuModuleGetFunction(void **function, void *module, const char *name) {
    auto kernel = new Kernel;
    kernel->pack = reinterpret_cast<void *(*)(void **)>(dlsym(module, "software_cuda_pack"));
    kernel->run = reinterpret_cast<void (*)(void *)>(dlsym(module, "software_cuda_run"));
    kernel->drop = reinterpret_cast<void (*)(void *)>(dlsym(module, "software_cuda_drop"));
    kernel->name = name;
    if (!kernel->pack || !kernel->run || !kernel->drop) return NOT_FOUND;
    return *function = kernel, SUCCESS;
}
EXPORT int cuFuncSetAttribute(void *, int, int) { return SUCCESS; }
EXPORT int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                          unsigned shared, void *stream, void **arguments, void **) {
    if (!gx || !gy || !gz || gy > 65535 || gz > 65535 || !bx || !by || !bz || size_t(bx) * by * bz > 1024) return INVALID_VALUE;
    auto kernel = static_cast<Kernel *>(function);
    void *packed = kernel->pack(arguments);
    stream_of(stream)->push([=] {
        static bool trace = getenv("SOFTWARE_CUDA_TRACE");
        auto start = std::chrono::steady_clock::now();
        software_cuda::launch(kernel->run, packed, {gx, gy, gz}, {bx, by, bz}, shared);
        if (trace)
            fprintf(stderr, "kernel %s %ux%ux%u of %ux%ux%u: %.2f ms\n", kernel->name.c_str(), gx, gy, gz, bx, by, bz,
                    std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
        kernel->drop(packed);
    });
    return SUCCESS;
}


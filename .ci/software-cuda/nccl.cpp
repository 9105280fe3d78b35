// NCCL in software: ranks of one process meet on their streams.

#include "streams.h"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

using software_cuda::stream_of;

namespace {
struct Group {
    std::mutex lock;
    std::condition_variable changed;
    int ranks = 0, arrived = 0;
    uint64_t round = 0;
    std::vector<const void *> sources;
    std::vector<void *> targets;
    // What ranks have for others, by sender and receiver; it is taken away when it has been copied.
    std::map<std::pair<int, int>, std::deque<const void *>> messages;
};
struct Communicator {
    std::shared_ptr<Group> group;
    int rank;
};
std::mutex groups_lock;
std::map<std::string, std::shared_ptr<Group>> groups;
struct UniqueId {
    char bytes[128];
};

template <class T> void reduce(Group &group, size_t count, bool mean) {
    std::vector<T> sums(count);
    for (int rank = 0; rank < group.ranks; ++rank)
        for (size_t i = 0; i < count; ++i) sums[i] += static_cast<const T *>(group.sources[rank])[i];
    if (mean)
        for (T &sum : sums) sum = T(sum / T(group.ranks));
    for (int rank = 0; rank < group.ranks; ++rank) memcpy(group.targets[rank], sums.data(), count * sizeof(T));
}
} // namespace

EXPORT int ncclGetUniqueId(UniqueId *id) {
    static std::atomic<int> next{1};
    memset(id, 0, sizeof *id);
    snprintf(id->bytes, sizeof id->bytes, "group %d", next++);
    return 0;
}
EXPORT int ncclCommInitRank(void **communicator, int ranks, UniqueId id, int rank) {
    std::shared_ptr<Group> group;
    {
        std::lock_guard<std::mutex> guard(groups_lock);
        auto &found = groups[id.bytes];
        if (!found) found = std::make_shared<Group>();
        group = found;
    }
    std::unique_lock<std::mutex> guard(group->lock);
    group->ranks = ranks;
    group->sources.resize(ranks);
    group->targets.resize(ranks);
    // As NCCL does: nobody goes on before all have joined.
    uint64_t round = group->round;
    if (++group->arrived == ranks) {
        group->arrived = 0;
        ++group->round;
        group->changed.notify_all();
    } else {
        group->changed.wait(guard, [&] { return group->round != round; });
    }
    *communicator = new Communicator{group, rank};
    return 0;
}
EXPORT int ncclAllReduce(const void *source, void *target, size_t count, int type, int operation, void *handle, void *stream) {
    auto communicator = static_cast<Communicator *>(handle);
    if ((type != 7 && type != 8 && type != 2) || (operation != 0 && operation != 4)) return 4;
    stream_of(stream)->push([=] {
        Group &group = *communicator->group;
        std::unique_lock<std::mutex> guard(group.lock);
        group.sources[communicator->rank] = source;
        group.targets[communicator->rank] = target;
        uint64_t round = group.round;
        if (++group.arrived == group.ranks) {
            if (type == 7) reduce<float>(group, count, operation == 4);
            if (type == 8) reduce<double>(group, count, operation == 4);
            if (type == 2) reduce<int32_t>(group, count, operation == 4);
            group.arrived = 0;
            ++group.round;
            group.changed.notify_all();
        } else {
            group.changed.wait(guard, [&] { return group.round != round; });
        }
    });
    return 0;
}
EXPORT int ncclSend(const void *source, size_t, int, int peer, void *handle, void *stream) {
    auto communicator = static_cast<Communicator *>(handle);
    stream_of(stream)->push([=] {
        Group &group = *communicator->group;
        std::unique_lock<std::mutex> guard(group.lock);
        auto &waiting = group.messages[{communicator->rank, peer}];
        waiting.push_back(source);
        group.changed.notify_all();
        group.changed.wait(guard, [&] { return waiting.empty() || waiting.front() != source; });
    });
    return 0;
}
EXPORT int ncclRecv(void *target, size_t count, int type, int peer, void *handle, void *stream) {
    static const size_t widths[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2, 1, 1};
    if (type < 0 || type > 11) return 4;
    auto communicator = static_cast<Communicator *>(handle);
    stream_of(stream)->push([=] {
        Group &group = *communicator->group;
        std::unique_lock<std::mutex> guard(group.lock);
        auto &waiting = group.messages[{peer, communicator->rank}];
        group.changed.wait(guard, [&] { return !waiting.empty(); });
        memcpy(target, waiting.front(), count * widths[type]);
        waiting.pop_front();
        group.changed.notify_all();
    });
    return 0;
}
EXPORT int ncclGroupStart() { return 0; }
EXPORT int ncclGroupEnd() { return 0; }
EXPORT int ncclCommDestroy(void *) { return 0; }
EXPORT int ncclCommAbort(void *) { return 0; }
EXPORT const char *ncclGetErrorString(int) { return "an error of the software NCCL"; }

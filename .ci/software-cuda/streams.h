// Streams: a thread each, which does its tasks in order, so that what is asynchronous on a GPU is so here.

#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace software_cuda {

// The device whose context is current on this thread.
extern thread_local int current_device;

struct Stream {
    const int device = current_device;
    std::mutex lock;
    std::condition_variable changed;
    std::deque<std::function<void()>> tasks;
    bool busy = false, closing = false;
    std::thread worker;

    Stream() : worker([this] { work(); }) {}
    ~Stream() {
        {
            std::lock_guard<std::mutex> guard(lock);
            closing = true;
        }
        changed.notify_all();
        worker.join();
    }
    void push(std::function<void()> task) {
        {
            std::lock_guard<std::mutex> guard(lock);
            tasks.push_back(std::move(task));
        }
        changed.notify_all();
    }
    void synchronize() {
        std::unique_lock<std::mutex> guard(lock);
        changed.wait(guard, [this] { return tasks.empty() && !busy; });
    }
    void work() {
        std::unique_lock<std::mutex> guard(lock);
        for (;;) {
            changed.wait(guard, [this] { return closing || !tasks.empty(); });
            if (tasks.empty()) return;
            auto task = std::move(tasks.front());
            tasks.pop_front();
            busy = true;
            guard.unlock();
            task();
            guard.lock();
            busy = false;
            changed.notify_all();
        }
    }
};

// The stream of a handle; the standard stream of null.
Stream *stream_of(void *handle);

} // namespace software_cuda

#include "pool.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

namespace elman {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

// A thread without work first spins, since in a loop of training the next follows shortly and
// waking up takes as long as a small layer; leaving the processor to others that want it, it does
// so for longer; then it sleeps.
constexpr auto spin_for = microseconds(50), yield_for = microseconds(2000);
// A member that waits for the others longer than this lets another thread have the processor.
constexpr int spins_before_yield = 2000;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

template <class Condition>
void wait_until(Condition&& holds) {
  for (int spins = 0; !holds(); ++spins) {
    if (spins < spins_before_yield) {
      pause();
    } else {
      sched_yield();
    }
  }
}

struct Openmp {
  void (*parallel)(void (*)(void*), void*, unsigned num_threads, unsigned flags) = nullptr;
  int (*num_threads)() = nullptr;
  int (*thread_num)() = nullptr;
};
Openmp openmp;
thread_local bool openmp_preferred = false;
// A child of fork has none of OpenMP's threads, and its runtime would wait for them.
bool forked = false;

class Gathering final : public Team {
 public:
  void begin(int size) {
    size_ = size;
    arrived_.store(0, std::memory_order_relaxed);
  }

  void barrier(int) override {
    if (size_ == 1) return;
    const unsigned round = round_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
      arrived_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
    } else {
      wait_until([&] { return round_.load(std::memory_order_acquire) != round; });
    }
  }

 private:
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<unsigned> round_{0};
};

// One piece of work at a time. The caller opens seats; waiting threads take them; the caller
// closes them, when all are taken or it has waited long enough, and all who sit begin.
class Pool {
 public:
  static Pool& the() {
    static std::once_flag once;
    std::call_once(once, [] {
      current() = new Pool;  // never destroyed: its threads run until the process ends
      // A child has none of the threads, and maybe a lock that one of them held.
      pthread_atfork(nullptr, nullptr, [] { current() = new Pool; });
    });
    return *current();
  }

  void run(int num_threads, long patience_ns, Work work, void* context) {
    const std::unique_lock lock(busy_, std::try_to_lock);
    if (!lock.owns_lock()) return run_alone(work, context);
    if (openmp_preferred && !forked) return run_openmp(num_threads, work, context);
    hire(num_threads - 1);
    work_ = work;
    context_ = context;
    begun_.store(0, std::memory_order_relaxed);
    const int wanted = num_threads - 1 < hired_ ? num_threads - 1 : hired_;
    seats_.store(wanted, std::memory_order_release);
    calls_.fetch_add(1, std::memory_order_release);
    calls_.notify_all();
    const auto until = Clock::now() + std::chrono::nanoseconds(patience_ns);
    while (seats_.load(std::memory_order_acquire) > 0 && Clock::now() < until) pause();
    const int left = seats_.exchange(-1, std::memory_order_acq_rel);
    const int size = 1 + wanted - left;
    team_.begin(size);
    ranks_.store(1, std::memory_order_relaxed);
    running_.store(size - 1, std::memory_order_relaxed);
    begun_.store(size, std::memory_order_release);
    work(context, team_, 0);
    wait_until([&] { return running_.load(std::memory_order_acquire) == 0; });
  }

  static void run_alone(Work work, void* context) {
    Gathering alone;
    alone.begin(1);
    work(context, alone, 0);
  }

 private:
  struct Job {
    Pool* pool;
    Work work;
    void* context;
  };

  void run_openmp(int num_threads, Work work, void* context) {
    Job job{this, work, context};
    begun_.store(0, std::memory_order_relaxed);
    openmp.parallel(
        [](void* data) {
          const Job& job = *static_cast<Job*>(data);
          Pool& pool = *job.pool;
          const int rank = openmp.thread_num();
          if (rank == 0) {
            pool.team_.begin(openmp.num_threads());
            pool.begun_.store(1, std::memory_order_release);
          } else {
            wait_until([&] { return pool.begun_.load(std::memory_order_acquire) != 0; });
          }
          job.work(job.context, pool.team_, rank);
        },
        &job, static_cast<unsigned>(num_threads), 0);
  }

  static Pool*& current() {
    static Pool* pool = nullptr;
    return pool;
  }

  void hire(int num_workers) {
    for (; hired_ < num_workers; ++hired_) {
      try {
        std::thread([this, seen = calls_.load()] { serve(seen); }).detach();
      } catch (const std::system_error&) {
        return;  // the machine has no more threads to give; the team stays smaller
      }
    }
  }

  void serve(unsigned seen) {
    for (;;) {
      seen = wait_for_call(seen);
      int seat = seats_.load(std::memory_order_acquire);
      while (seat > 0 && !seats_.compare_exchange_weak(seat, seat - 1, std::memory_order_acq_rel)) {
      }
      if (seat <= 0) continue;
      wait_until([&] { return begun_.load(std::memory_order_acquire) != 0; });
      work_(context_, team_, ranks_.fetch_add(1, std::memory_order_relaxed));
      running_.fetch_sub(1, std::memory_order_acq_rel);
    }
  }

  unsigned wait_for_call(unsigned seen) {
    const auto begun = Clock::now();
    for (auto waited = Clock::duration::zero(); waited < yield_for; waited = Clock::now() - begun) {
      for (int spins = 0; spins < 32; ++spins) {
        const unsigned calls = calls_.load(std::memory_order_acquire);
        if (calls != seen) return calls;
        pause();
      }
      if (waited > spin_for) sched_yield();
    }
    calls_.wait(seen, std::memory_order_acquire);
    return calls_.load(std::memory_order_acquire);
  }

  std::mutex busy_;
  int hired_ = 0;
  Work work_ = nullptr;
  void* context_ = nullptr;
  Gathering team_;
  alignas(64) std::atomic<unsigned> calls_{0};
  alignas(64) std::atomic<int> seats_{-1};
  alignas(64) std::atomic<int> begun_{0};
  alignas(64) std::atomic<int> running_{0};
  std::atomic<int> ranks_{1};
};

}  // namespace

void run_team(int num_threads, long patience_ns, Work work, void* context) {
  if (num_threads <= 1) return Pool::run_alone(work, context);
  Pool::the().run(num_threads, patience_ns, work, context);
}

bool connect_openmp(const char* path) {
  void* library = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
  if (library == nullptr) return false;
  Openmp found;
  found.parallel = reinterpret_cast<decltype(found.parallel)>(dlsym(library, "GOMP_parallel"));
  found.num_threads =
      reinterpret_cast<decltype(found.num_threads)>(dlsym(library, "omp_get_num_threads"));
  found.thread_num =
      reinterpret_cast<decltype(found.thread_num)>(dlsym(library, "omp_get_thread_num"));
  if (!found.parallel || !found.num_threads || !found.thread_num) return false;
  openmp = found;
  pthread_atfork(nullptr, nullptr, [] { forked = true; });
  return true;
}

PreferOpenmp::PreferOpenmp(bool preferred) : before_(openmp_preferred) {
  openmp_preferred = preferred && openmp.parallel != nullptr;
}

PreferOpenmp::~PreferOpenmp() { openmp_preferred = before_; }

}  // namespace elman

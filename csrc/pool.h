// Threads that wait for work, and the team that does one piece of it together.
#pragma once

namespace elman {

class Team {
 public:
  int size() const { return size_; }
  // Wait for all members; what they wrote before is seen by all after.
  virtual void barrier(int rank) = 0;
  // The next number of a counter shared by the team, starting with zero.
  static long claim(long& counter) { return __atomic_fetch_add(&counter, 1, __ATOMIC_RELAXED); }

 protected:
  ~Team() = default;
  int size_ = 1;
};

// Call work(context, team, rank) once a member: on the caller and on as many other threads, up to
// num_threads - 1, as take part within patience_ns. A busy pool or machine makes the team smaller,
// and the work must give the same result for any size. Safe from several threads, and after fork.
//
// The other threads are this pool's own, or OpenMP's where the calling thread prefers those. The
// work must not throw: half a team cannot be called back.
using Work = void (*)(void* context, Team& team, int rank) noexcept;
void run_team(int num_threads, long patience_ns, Work work, void* context);

template <class Body>
void run_team(int num_threads, long patience_ns, Body& body) {
  run_team(
      num_threads, patience_ns,
      [](void* context, Team& team, int rank) noexcept {
        (*static_cast<Body*>(context))(team, rank);
      },
      &body);
}

// OpenMP's runtime, of the library that the process has loaded from `path`; false if it is not
// GNU's or not loaded.
bool connect_openmp(const char* path);

// For as long as it lives, teams gathered by this thread are of OpenMP's threads. Torch's wait for
// their next work without leaving the processor: beside them, others would get half of it.
class PreferOpenmp {
 public:
  explicit PreferOpenmp(bool preferred);
  ~PreferOpenmp();
  PreferOpenmp(const PreferOpenmp&) = delete;
  PreferOpenmp& operator=(const PreferOpenmp&) = delete;

 private:
  bool before_;
};

}  // namespace elman

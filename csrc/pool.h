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
void run_team(int num_threads, long patience_ns, void (*work)(void* context, Team& team, int rank),
              void* context);

template <class Work>
void run_team(int num_threads, long patience_ns, Work& work) {
  run_team(
      num_threads, patience_ns,
      [](void* context, Team& team, int rank) { (*static_cast<Work*>(context))(team, rank); },
      &work);
}

}  // namespace elman

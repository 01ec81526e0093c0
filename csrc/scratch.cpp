#include "scratch.h"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdlib>
#include <limits>
#include <mutex>
#include <new>
#include <vector>

namespace elman {

namespace {

constexpr std::size_t alignment = 64, header = 64;
constexpr std::size_t huge_page = std::size_t{2} << 20;
// What is kept for later, at most; more is given back to the system.
constexpr std::size_t kept_at_most = std::size_t{1} << 30;
constexpr std::size_t blocks_kept_at_most = 64;

struct Free {
  std::mutex mutex;
  std::vector<std::byte*> blocks;
  std::size_t size = 0;

  Free() {
    blocks.reserve(blocks_kept_at_most + 1);
    // A child must not inherit the lock in the hands of a thread it does not have.
    pthread_atfork([] { the().mutex.lock(); }, [] { the().mutex.unlock(); },
                   [] { the().mutex.unlock(); });
  }

  static Free& the() {
    static Free* free = new Free;  // never destroyed: threads may outlive main
    return *free;
  }
};

std::size_t& size_of(std::byte* block) { return *reinterpret_cast<std::size_t*>(block); }

std::byte* allocate(std::size_t size) {
  const bool huge = size >= huge_page;
  const std::size_t unit = huge ? huge_page : alignment;
  size = (size + unit - 1) / unit * unit;
  auto* block = static_cast<std::byte*>(std::aligned_alloc(unit, size));
  if (block == nullptr) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
  if (huge) madvise(block, size, MADV_HUGEPAGE);
#endif
  size_of(block) = size;
  return block;
}

// For tests: every block new, of the very size asked for, and filled with NaN, so that what is read
// uninitialised shows in the results and what lies beyond an end is another's, as sanitizers see.
const bool poison = std::getenv("ELMAN_POISON") != nullptr;

float* take_poisoned(std::size_t num_floats) {
  void* memory = nullptr;
  const std::size_t size = header + num_floats * sizeof(float);
  if (posix_memalign(&memory, alignment, size) != 0) throw std::bad_alloc();
  float* data = reinterpret_cast<float*>(static_cast<std::byte*>(memory) + header);
  for (std::size_t i = 0; i < num_floats; ++i) data[i] = std::numeric_limits<float>::quiet_NaN();
  return data;
}

}  // namespace

float* take_scratch(std::size_t num_floats) {
  if (poison) return take_poisoned(num_floats);
  const std::size_t size = header + num_floats * sizeof(float);
  std::byte* block = nullptr;
  {
    Free& free = Free::the();
    const std::lock_guard lock(free.mutex);
    // The smallest that fits, unless it is far too large.
    std::size_t best = free.blocks.size();
    for (std::size_t i = 0; i < free.blocks.size(); ++i) {
      const std::size_t has = size_of(free.blocks[i]);
      if (has < size || has > 2 * size + 4096) continue;
      if (best == free.blocks.size() || has < size_of(free.blocks[best])) best = i;
    }
    if (best < free.blocks.size()) {
      block = free.blocks[best];
      free.size -= size_of(block);
      free.blocks[best] = free.blocks.back();
      free.blocks.pop_back();
    }
  }
  if (block == nullptr) block = allocate(size);
  return reinterpret_cast<float*>(block + header);
}

void give_scratch(float* data) {
  std::byte* block = reinterpret_cast<std::byte*>(data) - header;
  if (poison) return std::free(block);
  Free& free = Free::the();
  {
    const std::lock_guard lock(free.mutex);
    if (free.blocks.size() < blocks_kept_at_most && free.size + size_of(block) <= kept_at_most) {
      free.blocks.push_back(block);
      free.size += size_of(block);
      return;
    }
  }
  std::free(block);
}

}  // namespace elman

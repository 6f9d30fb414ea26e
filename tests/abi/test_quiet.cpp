// SPDX-License-Identifier: Apache-2.0
//
// A guest in its host: this executable puts counters in front of what a library must not call on
// the run path (memory, files, environment, locks, threads), then loads the library as a part of a
// module and has every call made from fresh threads.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string>

namespace {

volatile bool armed = false;
std::atomic<int> seen{0};
const char* volatile last_seen = "";

void count(const char* name) {
  if (!armed) return;
  ++seen;
  last_seen = name;
}

// The real function; looked up before anything is counted, for dlsym itself allocates.
template <class F>
F* next(F*& real, const char* name) {
  if (!real) real = reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
  return real;
}

}  // namespace

#define FORWARD(result, name, parameters, arguments)                         \
  extern "C" __attribute__((visibility("default"))) result name parameters { \
    static result(*real) parameters = nullptr;                               \
    count(#name);                                                            \
    return next(real, #name) arguments;                                      \
  }

// glibc's own names for its allocator: dlsym cannot be asked from within malloc.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);

#define VISIBLE __attribute__((visibility("default")))
VISIBLE void* malloc(size_t n) {
  count("malloc");
  return __libc_malloc(n);
}
VISIBLE void* calloc(size_t n, size_t m) {
  count("calloc");
  return __libc_calloc(n, m);
}
VISIBLE void* realloc(void* p, size_t n) {
  count("realloc");
  return __libc_realloc(p, n);
}
VISIBLE void* aligned_alloc(size_t align, size_t n) {
  count("aligned_alloc");
  return __libc_memalign(align, n);
}
VISIBLE int posix_memalign(void** p, size_t align, size_t n) {
  count("posix_memalign");
  *p = __libc_memalign(align, n);
  return *p ? 0 : 12;
}
VISIBLE void free(void* p) {
  if (p) count("free");
  __libc_free(p);
}
}

FORWARD(void*, mmap, (void* p, size_t n, int prot, int flags, int fd, off_t at),
        (p, n, prot, flags, fd, at))
FORWARD(int, munmap, (void* p, size_t n), (p, n))
FORWARD(int, madvise, (void* p, size_t n, int advice), (p, n, advice))
FORWARD(int, mprotect, (void* p, size_t n, int prot), (p, n, prot))
FORWARD(int, open, (const char* path, int flags, ...), (path, flags))
FORWARD(FILE*, fopen, (const char* path, const char* mode), (path, mode))
FORWARD(ssize_t, read, (int fd, void* p, size_t n), (fd, p, n))
FORWARD(ssize_t, write, (int fd, const void* p, size_t n), (fd, p, n))
FORWARD(int, fputs, (const char* s, FILE* f), (s, f))
FORWARD(char*, getenv, (const char* name), (name))
FORWARD(int, pthread_create, (pthread_t * t, const pthread_attr_t* a, void* (*f)(void*), void* arg),
        (t, a, f, arg))
FORWARD(int, pthread_mutex_lock, (pthread_mutex_t * m), (m))
FORWARD(int, pthread_once, (pthread_once_t * once, void (*f)()), (once, f))
FORWARD(int, pthread_cond_wait, (pthread_cond_t * c, pthread_mutex_t* m), (c, m))
FORWARD(int, sched_yield, (), ())

namespace {

using Report = void(void*, const char*, int32_t);
using Guest = void(volatile bool*, Report*, void*);

struct Verdict {
  int calls = 0;
  static void report(void* self, const char* name, int32_t status) {
    ++static_cast<Verdict*>(self)->calls;
    EXPECT_EQ(status, 0) << name;
    EXPECT_EQ(seen.exchange(0), 0) << name << " called " << last_seen;
  }
};

void run_guest(const char* function, int least) {
  void* module = dlopen(OCTET_GUEST, RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(module, nullptr) << dlerror();
  Guest* const guest = reinterpret_cast<Guest*>(dlsym(module, function));
  ASSERT_NE(guest, nullptr) << dlerror();
  Verdict verdict;
  guest(&armed, Verdict::report, &verdict);
  EXPECT_GE(verdict.calls, least);
}

// These come first, because the module of the others keeps the library loaded.
TEST(Loading, AThousandTimesLeavesNothing) {
  using Create = int32_t(const void*, void**, void*);
  using Drop = void(void*);
  size_t early = 0;
  for (int i = 0; i < 1000; ++i) {
    void* library = dlopen(OCTET_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(library, nullptr) << dlerror();
    auto* const create = reinterpret_cast<Create*>(dlsym(library, "octet_context_create"));
    auto* const drop = reinterpret_cast<Drop*>(dlsym(library, "octet_context_destroy"));
    ASSERT_TRUE(create && drop);
    void* context = nullptr;
    ASSERT_EQ(create(nullptr, &context, nullptr), 0);
    drop(context);
    ASSERT_EQ(dlclose(library), 0);
    ASSERT_EQ(dlopen(OCTET_LIBRARY, RTLD_NOW | RTLD_NOLOAD), nullptr) << "it stays loaded";
    if (i == 100) early = mallinfo2().uordblks;
  }
  EXPECT_LE(mallinfo2().uordblks, early + 1024);
}

TEST(Quiet, TheCountersCount) {
  armed = true;
  free(malloc(10));
  getenv("HOME");
  armed = false;
  EXPECT_EQ(seen.exchange(0), 3);
}

TEST(Quiet, TheRunPathCallsNothingOfItsHost) { run_guest("quiet_run_path", 50); }

TEST(Quiet, CreatesUseTheCallersAllocatorOnly) { run_guest("quiet_creates", 1); }

}  // namespace

// SPDX-License-Identifier: Apache-2.0
#include "bench/bandwidth.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "timing.h"

namespace octet_cli {
namespace {

constexpr size_t kStep = 512;  // bytes of one turn of a loop

#if defined(__x86_64__)

void read_zmm(const void* data, size_t bytes) {
  asm volatile(
      ".p2align 6\n"
      "1:\n"
      ".irp i,0,1,2,3,4,5,6,7\n"
      "vmovdqa64 64*\\i(%0), %%zmm1\\i\n"
      ".endr\n"
      "add $512, %0\n"
      "sub $512, %1\n"
      "jnz 1b\n"
      "vzeroupper\n"
      : "+r"(data), "+r"(bytes)
      :
      : "cc", "memory", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

void read_ymm(const void* data, size_t bytes) {
  asm volatile(
      ".p2align 6\n"
      "1:\n"
      ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
      "vmovdqa 32*\\i(%0), %%ymm\\i\n"
      ".endr\n"
      "add $512, %0\n"
      "sub $512, %1\n"
      "jnz 1b\n"
      "vzeroupper\n"
      : "+r"(data), "+r"(bytes)
      :
      : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
        "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

void read_baseline(const void* data, size_t bytes) {
  asm volatile(
      ".p2align 6\n"
      "1:\n"
      ".irp i,0,16,32,48,64,80,96,112,128,144,160,176,192,208,224,240\n"
      "movdqa \\i(%0), %%xmm0\n"
      "movdqa 256+\\i(%0), %%xmm1\n"
      ".endr\n"
      "add $512, %0\n"
      "sub $512, %1\n"
      "jnz 1b\n"
      : "+r"(data), "+r"(bytes)
      :
      : "cc", "memory", "xmm0", "xmm1");
}

void copy_zmm(void* to, const void* from, size_t bytes) {
  asm volatile(
      ".p2align 6\n"
      "1:\n"
      ".irp i,0,1,2,3,4,5,6,7\n"
      "vmovdqa64 64*\\i(%1), %%zmm1\\i\n"
      ".endr\n"
      ".irp i,0,1,2,3,4,5,6,7\n"
      "vmovntdq %%zmm1\\i, 64*\\i(%0)\n"
      ".endr\n"
      "add $512, %0\n"
      "add $512, %1\n"
      "sub $512, %2\n"
      "jnz 1b\n"
      "sfence\n"
      "vzeroupper\n"
      : "+r"(to), "+r"(from), "+r"(bytes)
      :
      : "cc", "memory", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

void copy_ymm(void* to, const void* from, size_t bytes) {
  asm volatile(
      ".p2align 6\n"
      "1:\n"
      ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
      "vmovdqa 32*\\i(%1), %%ymm\\i\n"
      ".endr\n"
      ".irp i,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
      "vmovntdq %%ymm\\i, 32*\\i(%0)\n"
      ".endr\n"
      "add $512, %0\n"
      "add $512, %1\n"
      "sub $512, %2\n"
      "jnz 1b\n"
      "sfence\n"
      "vzeroupper\n"
      : "+r"(to), "+r"(from), "+r"(bytes)
      :
      : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
        "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

// One load a turn, at a pace above that of memory: it does not fill the queue of misses, which
// prefetchers share, and they see one stream of one instruction.
void read_narrow(const void* data, size_t bytes) {
  asm volatile(
      "vpxor %%xmm1, %%xmm1, %%xmm1\n"
      ".p2align 6\n"
      "1:\n"
      "vorps (%0), %%ymm1, %%ymm1\n"
      "add $32, %0\n"
      "sub $32, %1\n"
      "jnz 1b\n"
      "vzeroupper\n"
      : "+r"(data), "+r"(bytes)
      :
      : "cc", "memory", "xmm1");
}

void copy_narrow(void* to, const void* from, size_t bytes) {
  asm volatile(
      ".p2align 6\n"
      "1:\n"
      "vmovdqa (%1), %%ymm1\n"
      "vmovntdq %%ymm1, (%0)\n"
      "add $32, %0\n"
      "add $32, %1\n"
      "sub $32, %2\n"
      "jnz 1b\n"
      "sfence\n"
      "vzeroupper\n"
      : "+r"(to), "+r"(from), "+r"(bytes)
      :
      : "cc", "memory", "xmm1");
}

void write_ymm(void* to, size_t bytes) {
  asm volatile(
      "vpxor %%xmm1, %%xmm1, %%xmm1\n"
      ".p2align 6\n"
      "1:\n"
      ".irp i,0,1,2,3,4,5,6,7\n"
      "vmovntdq %%ymm1, 32*\\i(%0)\n"
      ".endr\n"
      "add $256, %0\n"
      "sub $256, %1\n"
      "jnz 1b\n"
      "sfence\n"
      "vzeroupper\n"
      : "+r"(to), "+r"(bytes)
      :
      : "cc", "memory", "xmm1");
}

#elif defined(__aarch64__)

void read_baseline(const void* data, size_t bytes) {
  asm volatile(
      "1:\n"
      ".irp i,0,32,64,96,128,160,192,224\n"
      "ldp q0, q1, [%0, #\\i]\n"
      ".endr\n"
      "add %0, %0, #256\n"
      "subs %1, %1, #256\n"
      "b.ne 1b\n"
      : "+r"(data), "+r"(bytes)
      :
      : "cc", "memory", "v0", "v1");
}

#else

void read_baseline(const void* data, size_t bytes) {
  const auto* words = static_cast<const volatile uint64_t*>(data);
  for (size_t i = 0; i < bytes / sizeof(uint64_t); ++i) (void)words[i];
}

#endif

// Memory that has been written, so that each page is one of its own.
unsigned char* allocate(size_t bytes) {
  void* data = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  if (!data) throw std::bad_alloc();
  std::memset(data, 1, bytes);
  return static_cast<unsigned char*>(data);
}

size_t whole_steps(int64_t bytes) {
  return std::max(static_cast<size_t>(bytes) / kStep, size_t{1}) * kStep;
}

}  // namespace

ReadLoop read_loop([[maybe_unused]] std::string_view isa, [[maybe_unused]] bool wide) {
#if defined(__x86_64__)
  if (!wide && isa.starts_with("a")) return read_narrow;  // has AVX
  if (isa == "avx512bw" || isa == "avx512vnni" || isa == "amx") return read_zmm;
  if (isa == "avx2" || isa == "avxvnni") return read_ymm;
#endif
  return read_baseline;
}

CopyLoop copy_loop([[maybe_unused]] std::string_view isa, [[maybe_unused]] bool wide) {
#if defined(__x86_64__)
  if (!wide && isa.starts_with("a")) return copy_narrow;
  if (isa == "avx512bw" || isa == "avx512vnni" || isa == "amx") return copy_zmm;
  if (isa == "avx2" || isa == "avxvnni") return copy_ymm;
#endif
  return [](void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); };
}

WriteLoop write_loop([[maybe_unused]] std::string_view isa) {
#if defined(__x86_64__)
  if (isa.starts_with("a")) return write_ymm;
#endif
  return [](void* to, size_t bytes) { std::memset(to, 0, bytes); };
}

Caches usual_caches(const Caches& known) {
  Caches caches = known;
  if (caches.l1 <= 0) caches.l1 = 32 << 10;
  if (caches.l2 <= 0) caches.l2 = 512 << 10;
  if (caches.l3 <= 0) caches.l3 = 8 << 20;
  return caches;
}

Bandwidth measure_bandwidth(std::string_view isa, const Caches& caches, Pool& pool, size_t rounds) {
  const auto threads = static_cast<int64_t>(pool.threads());
  // Bytes of each thread. L1 and L2 belong to a core, L3 and DRAM to all.
  const size_t bytes[] = {whole_steps(caches.l1 / 2), whole_steps(caches.l2 * 3 / 4),
                          whole_steps(caches.l3 / 2 / threads),
                          whole_steps(caches.l3 * 4 / threads)};
  const ReadLoop loop = read_loop(isa);
  std::vector<unsigned char*> data;
  for (int64_t t = 0; t < threads; ++t) data.push_back(allocate(bytes[3]));

  std::vector<Candidate> candidates;
  for (const size_t size : bytes) {
    candidates.push_back(timed([&pool, &data, loop, size](size_t iterations) {
      pool.everywhere([&](size_t thread) {
        for (size_t i = 0; i < iterations; ++i) loop(data[thread], size);
      });
    }));
  }
  Timing timing;
  timing.rounds = std::min<size_t>(rounds, 7);
  time_interleaved(candidates, timing);
  for (unsigned char* block : data) std::free(block);

  double speed[4];
  for (size_t i = 0; i < 4; ++i)
    speed[i] = static_cast<double>(threads) * static_cast<double>(bytes[i]) / candidates[i].min;
  return {speed[0], speed[1], speed[2], speed[3]};
}

Evictor::Evictor(const Caches& caches)
    : data_(nullptr), bytes_(whole_steps(caches.l3 * 2 + caches.l2 * 2)) {
  data_ = allocate(bytes_);
}

Evictor::~Evictor() { std::free(data_); }

void Evictor::operator()(Pool& pool) const {
  // Each core empties its own caches.
  pool.everywhere([this](size_t) { read_loop("")(data_, bytes_); });
}

}  // namespace octet_cli

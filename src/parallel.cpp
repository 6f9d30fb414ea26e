// SPDX-License-Identifier: Apache-2.0
#include "src/parallel.h"

#include "src/fpenv.h"

namespace octet {

octet_status read_exec(octet_error* err, const octet_exec* in, Exec* out) {
  *out = Exec{};
  out->e.max_threads = 1;
  if (!in) return OCTET_OK;
  OCTET_TRY(read_struct(err, "octet_exec", in, sizeof(octet_exec), &out->e));
  octet_exec& e = out->e;
  if (e.flags) return fail_flags(err, "octet_exec.flags", e.flags, "none");
  if (e.max_threads < 0 || e.max_threads > 1024)
    return fail(err, OCTET_ERR_ARGUMENT, "octet_exec.max_threads is %d; it must be 0 to 1024.",
                e.max_threads);
  if (e.max_threads == 0) e.max_threads = 1;
  if (e.plan < 0)
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_exec.plan is %d; it must be 0, or a candidate from 1 on.", e.plan);
  return OCTET_OK;
}

namespace {

struct Claims {
  std::atomic<size_t> next{0};
  size_t tasks;
  SlotWork* work;
  void* arg;

  // Each index of parallel_for runs once, so it is a slot; what drains after it has slot 0 again.
  void drain(size_t slot) {
    for (size_t t; (t = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) work(arg, t, slot);
  }
};

void worker(void* arg, size_t index) {
  const FpGuard guard;
  static_cast<Claims*>(arg)->drain(index);
}

// Work that needs no slot.
struct Plain {
  Work* work;
  void* arg;
};

void plain_work(void* arg, size_t task, size_t) {
  const Plain& p = *static_cast<const Plain*>(arg);
  p.work(p.arg, task);
}

}  // namespace

octet_status run_tasks(octet_error* err, const Exec& exec, size_t tasks, Work* work, void* arg) {
  if (!exec.e.parallel_for || exec.e.max_threads < 2 || tasks < 2) {
    for (size_t t = 0; t < tasks; ++t) work(arg, t);
    return OCTET_OK;
  }
  Plain plain = {work, arg};
  return run_tasks(err, exec, tasks, plain_work, &plain);
}

octet_status run_tasks(octet_error* err, const Exec& exec, size_t tasks, SlotWork* work,
                       void* arg) {
  const octet_exec& e = exec.e;
  if (!e.parallel_for || e.max_threads < 2 || tasks < 2) {
    for (size_t t = 0; t < tasks; ++t) work(arg, t, 0);
    return OCTET_OK;
  }
  Claims claims;
  claims.tasks = tasks;
  claims.work = work;
  claims.arg = arg;
  const size_t threads = static_cast<size_t>(e.max_threads);
  if (const int32_t cancelled =
          e.parallel_for(e.pool, tasks < threads ? tasks : threads, worker, &claims))
    return fail(err, OCTET_ERR_CANCELLED,
                "octet_exec.parallel_for returned %d: the call was cancelled and its outputs are "
                "unspecified.",
                cancelled);
  claims.drain(0);  // whatever a pool that ran fewer indices has left
  return OCTET_OK;
}

}  // namespace octet

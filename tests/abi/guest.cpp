// SPDX-License-Identifier: Apache-2.0
//
// The guest of test_quiet: a module that is loaded together with the library, as a plugin of a host
// would be. It makes every call of the run path on a thread that has never called before, while
// `armed` is true and only then, and leaves the counting to its host.
#include <pthread.h>

#include "jobs.h"
#include "pools.h"
#include "world.h"

namespace contract {
namespace {

struct Fresh {
  const std::function<void()>* call;
  volatile bool* armed;
};

// Stack and thread are the host's business: they are made before counting starts.
void on_fresh_thread(volatile bool* armed, const std::function<void()>& call) {
  Fresh fresh{&call, armed};
  pthread_t thread;
  pthread_create(
      &thread, nullptr,
      [](void* p) -> void* {
        const Fresh& f = *static_cast<Fresh*>(p);
        *f.armed = true;
        (*f.call)();
        *f.armed = false;
        return nullptr;
      },
      &fresh);
  pthread_join(thread, nullptr);
}

// A pool that needs nothing from anybody.
int32_t serial(void*, size_t n, octet_task task, void* arg) {
  for (size_t i = 0; i < n; ++i) task(arg, i);
  return 0;
}

using Report = void(void* host, const char* name, octet_status status);

}  // namespace
}  // namespace contract

// Calls report after each call, with nothing armed.
extern "C" __attribute__((visibility("default"))) void quiet_run_path(
    volatile bool* armed, void (*report)(void*, const char*, octet_status), void* host) {
  using namespace contract;
  const Context context = make_context();
  for (const Job& job : all_jobs(context.get())) {
    bits_of(job);  // the loader's lazy binding has been here
    for (const int32_t threads : {1, 4}) {
      JobExec e(job, threads);
      if (threads > 1) e.exec.parallel_for = serial;
      octet_status status = OCTET_OK;
      on_fresh_thread(armed, [&] { status = job.run(&e.exec, nullptr); });
      report(host, job.name.c_str(), status);
    }
    if (job.workspace(1) == 0 || !job.needs_workspace) continue;
    octet_error err;
    octet_status status = OCTET_OK;
    on_fresh_thread(armed, [&] { status = job.run(nullptr, &err); });
    report(host, (job.name + ", refused").c_str(), status == OCTET_ERR_TOO_SMALL ? OCTET_OK : 1);
  }
  World w;
  size_t bytes = 0;
  octet_plan plan = sized<octet_plan>();
  octet_tensor out = w.y;
  char json[4096];
  octet_error err;
  const std::pair<const char*, std::function<octet_status()>> more[] = {
      {"infer", [&] { return octet_op_infer(w.op.get(), &w.x, 1, &out, 1, &err); }},
      {"workspace", [&] { return octet_op_workspace(w.op.get(), &w.x, 1, &w.exec, &bytes, &err); }},
      {"plan", [&] { return octet_op_plan(w.op.get(), &w.x, 1, &w.exec, &plan, &err); }},
      {"describe",
       [&] {
         return octet_op_describe(w.op.get(), &w.x, 1, &w.exec, json, sizeof json, &bytes, &err);
       }},
      {"gemm workspace",
       [&] {
         return octet_gemm_workspace(w.context.get(), &w.gemm_desc, &w.a, &w.b, &w.gemm_y, nullptr,
                                     &bytes, &err);
       }},
      {"weights bytes",
       [&] { return octet_weights_bytes(w.context.get(), &w.weights, &bytes, &err); }},
      {"merge",
       [&] { return octet_observer_merge(w.empty_observer.get(), w.observer.get(), &err); }},
      {"save",
       [&] { return octet_observer_save(w.observer.get(), json, sizeof json, &bytes, &err); }},
      {"status name",
       [&] { return octet_status_name(OCTET_ERR_MEMORY) ? OCTET_OK : OCTET_ERR_INTERNAL; }},
      {"wrong shape",
       [&] {
         octet_tensor bad = w.x;
         bad.dims[1] = 5;
         return octet_op_run(w.op.get(), &bad, 1, &w.y, 1, &w.exec, &err) == OCTET_ERR_ARGUMENT
                    ? OCTET_OK
                    : OCTET_ERR_INTERNAL;
       }},
  };
  for (const auto& [name, call] : more) {
    call();
    octet_status status = OCTET_OK;
    on_fresh_thread(armed, [&] { status = call(); });
    report(host, name, status);
  }
}

// Every create with an allocator of its own, which takes from a block; armed throughout.
extern "C" __attribute__((visibility("default"))) void quiet_creates(
    volatile bool* armed, void (*report)(void*, const char*, octet_status), void* host) {
  using namespace contract;
  static unsigned char block[1 << 20];
  struct Bump {
    size_t used = 0;
    static void* alloc(void* self, size_t bytes, size_t) {
      Bump& b = *static_cast<Bump*>(self);
      const size_t at = (b.used + 63 + (64 - reinterpret_cast<uintptr_t>(block) % 64)) / 64 * 64 -
                        (64 - reinterpret_cast<uintptr_t>(block) % 64) % 64;
      if (at + bytes > sizeof block) return nullptr;
      b.used = at + bytes;
      return block + at;
    }
  } bump;
  const octet_allocator hooks = {&bump, Bump::alloc, [](void*, void*, size_t) {}};
  World w;
  octet_context_desc d = sized<octet_context_desc>();
  d.allocator = &hooks;
  octet_status status = OCTET_OK;
  const auto all = [&] {
    octet_context* c = nullptr;
    octet_weights *weights = nullptr, *opened = nullptr;
    octet_op* op = nullptr;
    octet_observer *observer = nullptr, *loaded = nullptr;
    unsigned char saved[256];
    size_t bytes = 0;
    octet_error err;
    w.blob.flags = OCTET_BLOB_COPY;
    status = octet_context_create(&d, &c, &err);
    if (!status) status = octet_weights_create(c, &w.weights, nullptr, &weights, &err);
    if (!status) status = octet_weights_open(c, &w.blob, &opened, &err);
    if (!status) status = octet_linear_create(c, &w.linear, &op, &err);
    if (!status) status = octet_observer_create(c, &w.observer_desc, &observer, &err);
    if (!status) status = octet_observer_save(observer, saved, sizeof saved, &bytes, &err);
    if (!status) status = octet_observer_load(c, saved, bytes, &loaded, &err);
    octet_observer_destroy(observer);
    octet_observer_destroy(loaded);
    octet_op_destroy(op);
    octet_weights_destroy(opened);
    octet_weights_destroy(weights);
    octet_context_destroy(c);
  };
  all();
  bump.used = 0;
  on_fresh_thread(armed, all);
  report(host, "creates", status);
}

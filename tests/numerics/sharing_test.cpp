// SPDX-License-Identifier: Apache-2.0
//
// Weights are kept once: one mapping serves several processes, one handle serves layers of every
// mode and context, and the caller hears exactly once when the bytes are free again.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "tests/numerics/packed.h"

namespace octet_test {
namespace {

// Proportional set size of the mapping at this address, in KiB.
int64_t pss_of(const void* address) {
  char start[32];
  snprintf(start, sizeof start, "%lx-", reinterpret_cast<unsigned long>(address));
  std::ifstream smaps("/proc/self/smaps");
  bool here = false;
  for (std::string line; std::getline(smaps, line);) {
    if (line.rfind(start, 0) == 0) here = true;
    long long kib = 0;
    if (here && sscanf(line.c_str(), "Pss: %lld", &kib) == 1) return kib;
  }
  return -1;
}

// A signal to all processes at once: waiting ends when the parent closes its end.
struct Gate {
  int ends[2];
  Gate() { EXPECT_EQ(pipe(ends), 0); }
  void enter() const { close(ends[1]); }  // in a child, first
  bool wait() const {
    char c;
    return read(ends[0], &c, 1) == 0;
  }
  void open() const { close(ends[1]); }
};

// What each process does: map, open, run, say so; and when all have, tell its share.
int64_t share_of_a_reader(int fd, size_t bytes, const Layer& l, const Bytes& want, int ready,
                          const Gate& all_ready) {
  void* data = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
  Error err;
  const Weights w = open_bytes(best_context(), data, bytes, 0, &err);
  const bool right = w && run_with(best_context(), w.get(), l) == want;
  const char c = 0;
  if (write(ready, &c, 1) != 1 || !all_ready.wait() || !right) return -1;
  return pss_of(data);
}

TEST(Sharing, FourProcessesMapOneCopy) {
  if (effort() < 100) GTEST_SKIP() << "an emulated process has no smaps of its own";
  Layer l = packed_layer(OCTET_F32);
  l.n = 2000;
  l.k = 1000;
  l.m = 1;
  l.x.assign(static_cast<size_t>(l.k), 7);
  l.w.assign(static_cast<size_t>(l.n * l.k), 3);
  l.w_scale = {0.01f};
  l.w_zero = {0};
  l.bias_f.assign(static_cast<size_t>(l.n), 0.5f);
  const Bytes blob = packed_bytes(best_context(), l), want = model(l);

  const int fd = memfd_create("weights", 0);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(write(fd, blob.data(), blob.size()), static_cast<ssize_t>(blob.size()));
  int ready[2], answers[2];
  ASSERT_EQ(pipe(ready) | pipe(answers), 0);
  const Gate all_ready, all_done;
  constexpr int kProcesses = 4;
  for (int i = 0; i < kProcesses; ++i) {
    if (fork()) continue;
    all_ready.enter();
    all_done.enter();
    const int64_t share = share_of_a_reader(fd, blob.size(), l, want, ready[1], all_ready);
    const bool sent = write(answers[1], &share, sizeof share) == sizeof share;
    _exit(sent && all_done.wait() ? 0 : 1);
  }
  char c = 0;
  for (int i = 0; i < kProcesses; ++i) ASSERT_EQ(read(ready[0], &c, 1), 1);
  all_ready.open();
  int64_t total = 0;
  for (int i = 0; i < kProcesses; ++i) {
    int64_t share = 0;
    ASSERT_EQ(read(answers[0], &share, sizeof share), static_cast<ssize_t>(sizeof share));
    EXPECT_GT(share, 0);
    total += share;
  }
  all_done.open();
  for (int i = 0; i < kProcesses; ++i) {
    int status = 0;
    wait(&status);
    EXPECT_EQ(status, 0);
  }
  const double copies = static_cast<double>(total) * 1024 / static_cast<double>(blob.size());
  EXPECT_GT(copies, 0.9);
  EXPECT_LT(copies, 1.1);
  for (int end : {fd, ready[0], ready[1], answers[0], answers[1]}) close(end);
  close(all_ready.ends[0]);
  close(all_done.ends[0]);
}

struct Released {
  int count = 0;
  const void* data = nullptr;
  size_t bytes = 0;
  static void call(void* user, const void* data, size_t bytes) {
    Released& r = *static_cast<Released*>(user);
    ++r.count;
    r.data = data;
    r.bytes = bytes;
  }
};

octet_blob blob_of(const ReadOnlyPages& pages, size_t bytes, Released* r) {
  octet_blob b = sized<octet_blob>();
  b.data = pages.data();
  b.bytes = bytes;
  b.release = Released::call;
  b.user = r;
  return b;
}

TEST(Sharing, ReleaseComesOnceAfterTheLastOp) {
  const Bytes bytes = packed_bytes(best_context(), packed_layer(OCTET_F32));
  const ReadOnlyPages pages(bytes);
  Released r;
  const octet_blob b = blob_of(pages, bytes.size(), &r);
  octet_weights* opened = nullptr;
  Error err;
  ASSERT_TRUE(ok(octet_weights_open(best_context(), &b, &opened, &err), err));
  Weights w(opened);
  Op first = make_op(best_context(), w.get(), {OCTET_U8, 1, 0}, {OCTET_F32, 0, 0});
  Op second = make_op(contexts()[0].context, w.get(), {OCTET_U8, 1, 0}, {OCTET_S8, 1, 0});
  w.reset();
  first.reset();
  EXPECT_EQ(r.count, 0);
  std::thread([&] { second.reset(); }).join();
  EXPECT_EQ(r.count, 1);
  EXPECT_EQ(r.data, pages.data());
  EXPECT_EQ(r.bytes, bytes.size());
}

TEST(Sharing, ReleaseOfACopyComesAtOnce) {
  const Bytes bytes = packed_bytes(best_context(), packed_layer(OCTET_F32));
  const ReadOnlyPages pages(bytes);
  Released r;
  octet_blob b = blob_of(pages, bytes.size(), &r);
  b.flags = OCTET_BLOB_COPY;
  octet_weights* opened = nullptr;
  Error err;
  ASSERT_TRUE(ok(octet_weights_open(best_context(), &b, &opened, &err), err));
  EXPECT_EQ(r.count, 1);
  octet_weights_destroy(opened);
  EXPECT_EQ(r.count, 1);
}

// An allocator that has no memory left when `left` calls have been served.
struct Meagre {
  int left;
  static void* alloc(void* user, size_t bytes, size_t align) {
    return static_cast<Meagre*>(user)->left-- > 0
               ? aligned_alloc(align, (bytes + align - 1) / align * align)
               : nullptr;
  }
  static void free(void*, void* p, size_t) { ::free(p); }
};

TEST(Sharing, NoReleaseAfterAFailedOpen) {
  Bytes bytes = packed_bytes(best_context(), packed_layer(OCTET_F32));
  Meagre memory = {1};
  const octet_allocator allocator = {&memory, Meagre::alloc, Meagre::free};
  octet_context_desc d = sized<octet_context_desc>();
  d.allocator = &allocator;
  octet_context* c = nullptr;
  Error err;
  ASSERT_TRUE(ok(octet_context_create(&d, &c, &err), err));
  const Context context(c);
  Released r;
  for (uint32_t flags : {0, OCTET_BLOB_COPY + 0}) {
    const ReadOnlyPages pages(bytes);
    octet_blob b = blob_of(pages, bytes.size(), &r);
    b.flags = flags;
    octet_weights* w = nullptr;
    EXPECT_EQ(octet_weights_open(c, &b, &w, &err), OCTET_ERR_MEMORY);
    EXPECT_EQ(w, nullptr);
    EXPECT_EQ(r.count, 0);
  }
  bytes.back() ^= 1;
  const ReadOnlyPages damaged(bytes);
  const octet_blob b = blob_of(damaged, bytes.size(), &r);
  octet_weights* w = nullptr;
  EXPECT_EQ(octet_weights_open(best_context(), &b, &w, &err), OCTET_ERR_CORRUPT);
  EXPECT_EQ(r.count, 0);
}

// A static, a per-call-scale and a dynamic layer on one handle, each under every context at once.
TEST(Sharing, OneHandleServesEveryModeAndContext) {
  std::vector<Layer> layers;
  Layer fixed = packed_layer(OCTET_F32);
  layers.push_back(fixed);
  Layer call = fixed;
  call.mode = Mode::kCallRows;
  call.in_scale = {0.01f, 0.02f, 0.03f, 0.04f, 0.05f};
  call.in_zero = {0, 10, 100, 200, 255};
  layers.push_back(call);
  Layer dynamic = fixed;
  dynamic.mode = Mode::kDynamicRow;
  dynamic.out = {OCTET_F32, 0, 0};
  dynamic.scheme.type = OCTET_S8;
  dynamic.scheme.flags = OCTET_SYMMETRIC;
  for (uint8_t x : fixed.x) dynamic.xf.push_back(static_cast<float>(x) * 0.37f - 40);
  layers.push_back(dynamic);

  octet_qparams q;
  const octet_tensor source = source_tensor(fixed, &q), bias = bias_tensor(fixed);
  const Weights shared = make_weights(best_context(), source, &bias);
  std::vector<Op> ops;
  for (const CappedContext& c : contexts())
    for (const Layer& l : layers) {
      octet_linear_desc d = sized<octet_linear_desc>();
      d.weights = shared.get();
      d.out = l.out;
      d.in.type = is_dynamic(l.mode) ? OCTET_F32 : l.in;
      if (l.mode == Mode::kStatic) d.in = {l.in, l.in_scale[0], l.in_zero[0]};
      if (is_dynamic(l.mode)) d.dynamic = &l.scheme;
      octet_op* op = nullptr;
      Error err;
      ASSERT_TRUE(ok(octet_linear_create(c.context, &d, &op, &err), err));
      ops.emplace_back(op);
    }
  for (size_t i = 0; i < ops.size(); ++i) {
    const Layer& l = layers[i % layers.size()];
    const octet_context* c = contexts()[i / layers.size()].context;
    const octet_qparams qx = call_qparams(l);
    octet_tensor x = octet_mat(l.in, l.x.data(), l.m, l.k);
    if (is_dynamic(l.mode)) x = octet_mat(OCTET_F32, l.xf.data(), l.m, l.k);
    if (l.mode == Mode::kCallRows) x.q = &qx;
    Bytes y(static_cast<size_t>(l.m * l.n) * item_bytes(l.out.type));
    Exec exec;
    Error err;
    ASSERT_TRUE(
        ok(run(ops[i].get(), x, octet_mat(l.out.type, y.data(), l.m, l.n), &exec, &err), err));
    EXPECT_TRUE(equal(y, model(l))) << describe(l);
    EXPECT_TRUE(equal(LayerOp(c, l).run({}), y)) << "weights of its own";
  }
}

}  // namespace
}  // namespace octet_test

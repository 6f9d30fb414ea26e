// SPDX-License-Identifier: Apache-2.0
//
// Where a buffer is too small, err->need is the size that is enough at once, and one byte less is
// not.
#include "jobs.h"
#include "world.h"

namespace contract {
namespace {

using Sized = std::function<octet_status(unsigned char* p, size_t bytes, octet_error*)>;

// align: of the buffer that call demands.
void check_need(const Sized& call, size_t align = 1) {
  octet_error first{};
  unsigned char one[64];
  ASSERT_EQ(call(one + (64 - reinterpret_cast<uintptr_t>(one) % 64) % 64, 0, &first),
            OCTET_ERR_TOO_SMALL);
  ASSERT_GT(first.need, 0);
  const size_t need = static_cast<size_t>(first.need);
  const Guarded memory((need + align - 1) / align * align);
  for (const size_t bytes : {need - 1, need / 2}) {
    const Snapshot before(memory.data(), memory.size());
    EXPECT_REFUSED(OCTET_ERR_TOO_SMALL, call(memory.data(), bytes, err), std::to_string(bytes),
                   std::to_string(need));
    EXPECT_TRUE(before.same());
  }
  EXPECT_ACCEPTED(call(memory.data(), need, err));
  EXPECT_EQ(memory.spilled(), 0u);
}

TEST(Need, OfTheWorkspaceOfEveryLayer) {
  const Context context = make_context();
  for (const Job& job : layer_jobs(context.get(), kJobM, kJobN, kJobK)) {
    if (job.workspace(1) == 0) continue;
    SCOPED_TRACE(job.name);
    check_need([&](unsigned char* p, size_t bytes, octet_error* err) {
      octet_exec e = sized<octet_exec>();
      e.workspace = p;
      e.workspace_bytes = bytes;
      return job.run(&e, err);
    });
    EXPECT_REFUSED(OCTET_ERR_TOO_SMALL, job.run(nullptr, err), "octet_exec.workspace");
    octet_exec e = sized<octet_exec>();
    e.workspace_bytes = job.workspace(1);
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, job.run(&e, err), "octet_exec.workspace", "NULL");
  }
}

TEST_F(WorldTest, NeedOfTheBlob) {
  check_need(
      [&](unsigned char* p, size_t bytes, octet_error* err) {
        return octet_weights_pack(w.context.get(), &w.weights, p, bytes, nullptr, err);
      },
      64);
}

TEST_F(WorldTest, NeedOfTheContextsDescription) {
  check_need([&](unsigned char* p, size_t bytes, octet_error* err) {
    return octet_context_describe(w.context.get(), reinterpret_cast<char*>(p), bytes, nullptr, err);
  });
}

TEST_F(WorldTest, NeedOfAnOpsDescription) {
  check_need([&](unsigned char* p, size_t bytes, octet_error* err) {
    return octet_op_describe(w.op.get(), &w.x, 1, nullptr, reinterpret_cast<char*>(p), bytes,
                             nullptr, err);
  });
}

TEST_F(WorldTest, NeedOfASavedObserver) {
  check_need([&](unsigned char* p, size_t bytes, octet_error* err) {
    return octet_observer_save(w.observer.get(), p, bytes, nullptr, err);
  });
}

// With no buffer at all, the same functions tell the size and succeed.
TEST_F(WorldTest, NeedIsAnsweredWithoutABuffer) {
  size_t context_need = 0, op_need = 0, observer_need = 0;
  EXPECT_ACCEPTED(octet_context_describe(w.context.get(), nullptr, 0, &context_need, err));
  EXPECT_ACCEPTED(octet_op_describe(w.op.get(), &w.x, 1, nullptr, nullptr, 0, &op_need, err));
  EXPECT_ACCEPTED(octet_observer_save(w.observer.get(), nullptr, 0, &observer_need, err));
  std::string json(context_need, 'x');
  EXPECT_ACCEPTED(
      octet_context_describe(w.context.get(), json.data(), json.size(), &context_need, err));
  EXPECT_EQ(json.find('\0'), context_need - 1);
  json.assign(op_need, 'x');
  EXPECT_ACCEPTED(
      octet_op_describe(w.op.get(), &w.x, 1, nullptr, json.data(), json.size(), &op_need, err));
  EXPECT_EQ(json.find('\0'), op_need - 1);
}

}  // namespace
}  // namespace contract

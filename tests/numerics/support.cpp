// SPDX-License-Identifier: Apache-2.0
#include "tests/numerics/support.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

namespace octet_test {

Context make_context(const char* max_isa) {
  octet_context_desc d = sized<octet_context_desc>();
  d.max_isa = max_isa;
  d.flags = OCTET_ALLOW_SLOW;
  octet_context* c = nullptr;
  Error err;
  const octet_status status = octet_context_create(&d, &c, &err);
  EXPECT_TRUE(status == OCTET_ERR_UNSUPPORTED || ok(status, err));
  return Context(c);
}

namespace {

// The instruction set of the kernel that a middling layer would get.
std::string isa_of(const octet_context* c) {
  const octet_tensor w = octet_mat(OCTET_F32, nullptr, 64, 64);
  octet_weights_desc d = sized<octet_weights_desc>();
  d.source = &w;
  d.flags = OCTET_SHAPE_ONLY;
  Error err;
  octet_weights* weights = nullptr;
  EXPECT_TRUE(ok(octet_weights_create(c, &d, nullptr, &weights, &err), err));
  const Weights owner(weights);
  const Op op = make_op(c, weights, {OCTET_U8, 1, 0}, {OCTET_U8, 1, 0});
  octet_plan plan = sized<octet_plan>();
  const octet_tensor x = octet_mat(OCTET_U8, nullptr, 64, 64);
  EXPECT_TRUE(ok(octet_op_plan(op.get(), &x, 1, nullptr, &plan, &err), err));
  return plan.isa;
}

}  // namespace

const std::vector<CappedContext>& contexts() {
  static std::vector<Context> owners;
  static std::vector<CappedContext> all;
  if (!all.empty()) return all;
  for (const char* cap : {"scalar", "avx2", "avxvnni", "avx512bw", "avx512vnni", "amx", "neon",
                          "neondot", "neoni8mm"}) {
    Context c = make_context(cap);
    if (!c || isa_of(c.get()) != cap) continue;
    all.push_back({cap, c.get()});
    owners.push_back(std::move(c));
  }
  return all;
}

Op make_op(const octet_context* c, const octet_weights* w, octet_qtype in, octet_qtype out,
           int32_t act, const octet_scheme* dynamic) {
  octet_linear_desc d = sized<octet_linear_desc>();
  d.weights = w;
  d.in = in;
  d.out = out;
  d.act = act;
  d.dynamic = dynamic;
  octet_op* op = nullptr;
  Error err;
  EXPECT_TRUE(ok(octet_linear_create(c, &d, &op, &err), err));
  return Op(op);
}

Weights make_weights(const octet_context* c, const octet_tensor& source, const octet_tensor* bias,
                     const octet_scheme* scheme) {
  octet_weights_desc d = sized<octet_weights_desc>();
  d.source = &source;
  d.bias = bias;
  d.scheme = scheme;
  octet_weights* w = nullptr;
  Error err;
  EXPECT_TRUE(ok(octet_weights_create(c, &d, nullptr, &w, &err), err));
  return Weights(w);
}

int32_t threads_for(void*, size_t n, octet_task task, void* arg) {
  std::vector<std::thread> threads;
  for (size_t i = 1; i < n; ++i) threads.emplace_back(task, arg, i);
  task(arg, 0);
  for (std::thread& t : threads) t.join();
  return 0;
}

Exec::Exec(int32_t threads, int32_t plan) : e(sized<octet_exec>()) {
  e.max_threads = threads;
  e.plan = plan;
  if (threads > 1) e.parallel_for = threads_for;
}

void Exec::reserve(size_t bytes) {
  memory_.assign(bytes + 1, 0xCC);
  e.workspace = memory_.data() + 1;
  e.workspace_bytes = bytes;
}

octet_status run(const octet_op* o, const octet_tensor& x, const octet_tensor& y, Exec* exec,
                 octet_error* err, const octet_tensor* residual) {
  const octet_tensor in[2] = {x, residual ? *residual : octet_tensor{}};
  const size_t n_in = residual ? 2 : 1;
  size_t bytes = 0;
  if (const octet_status status = octet_op_workspace(o, in, n_in, &exec->e, &bytes, err))
    return status;
  exec->reserve(bytes);
  return octet_op_run(o, in, n_in, &y, 1, &exec->e, err);
}

size_t item_bytes(octet_type t) { return t == OCTET_U8 || t == OCTET_S8 ? 1 : 4; }

Strided::Strided(octet_type type, const std::vector<int64_t>& leading, int64_t inner, Rng* gaps)
    : row_bytes_(static_cast<size_t>(inner) * item_bytes(type)) {
  const auto gap = [&] { return gaps ? gaps->range(0, 9) : 0; };
  const size_t item = item_bytes(type);
  tensor_.type = type;
  tensor_.rank = static_cast<int32_t>(leading.size()) + 1;
  int64_t step = 1, rows = 1;
  for (size_t i = leading.size() + 1; i-- > 0;) {
    const int64_t dim = i == leading.size() ? inner : leading[i];
    tensor_.dims[i] = dim;
    if (gaps) tensor_.strides[i] = step;
    step = step * (dim ? dim : 1) + gap();
    if (i < leading.size()) rows *= dim;
  }
  const size_t first = static_cast<size_t>(gap()) * item;
  memory_.assign(first + static_cast<size_t>(step) * item, kGap);
  tensor_.data = memory_.data() + first;
  for (int64_t i = 0; i < rows; ++i) {
    int64_t at = 0, left = i, dense = inner;
    for (size_t d = leading.size(); d-- > 0; left /= leading[d]) {
      at += left % leading[d] * (gaps ? tensor_.strides[d] : dense);
      dense *= leading[d];
    }
    starts_.push_back(first + static_cast<size_t>(at) * item);
  }
}

void Strided::fill(const void* dense) {
  for (int64_t i = 0; i < rows(); ++i)
    if (row_bytes_)
      memcpy(row(i), static_cast<const uint8_t*>(dense) + static_cast<size_t>(i) * row_bytes_,
             row_bytes_);
}

std::vector<uint8_t> Strided::dense() {
  std::vector<uint8_t> all;
  for (int64_t i = 0; i < rows(); ++i) all.insert(all.end(), row(i), row(i) + row_bytes_);
  return all;
}

bool Strided::gaps_intact() {
  std::vector<uint8_t> rest = memory_;
  for (size_t start : starts_)
    std::fill_n(rest.begin() + static_cast<int64_t>(start), row_bytes_, kGap);
  for (uint8_t b : rest)
    if (b != kGap) return false;
  return true;
}

testing::AssertionResult equal(const Bytes& got, const Bytes& want) {
  if (got.size() != want.size())
    return testing::AssertionFailure() << got.size() << " bytes, not " << want.size();
  for (size_t i = 0; i < got.size(); ++i)
    if (got[i] != want[i])
      return testing::AssertionFailure() << "byte " << i << " of " << got.size() << " is "
                                         << int{got[i]} << ", not " << int{want[i]};
  return testing::AssertionSuccess();
}

ReadOnlyPages::ReadOnlyPages(const Bytes& b) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t used = (b.size() + page - 1) / page * page;
  bytes_ = used + page;
  base_ = static_cast<uint8_t*>(
      mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  data_ = base_ + used - b.size();
  if (!b.empty()) memcpy(data_, b.data(), b.size());
  mprotect(base_, used, PROT_READ);
  mprotect(base_ + used, page, PROT_NONE);
}

ReadOnlyPages::~ReadOnlyPages() { munmap(base_, bytes_); }

uint64_t hash_bytes(const void* data, size_t bytes) {
  uint64_t h = 0xCBF29CE484222325;
  for (size_t i = 0; i < bytes; ++i) h = (h ^ static_cast<const uint8_t*>(data)[i]) * 0x100000001B3;
  return h;
}

int effort() {
  static const int percent = [] {
    const char* text = getenv("OCTET_TEST_EFFORT");
    return text ? atoi(text) : 100;
  }();
  return percent;
}

}  // namespace octet_test

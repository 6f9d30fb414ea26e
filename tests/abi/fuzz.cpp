// SPDX-License-Identifier: Apache-2.0
//
// Random calls of every function: descs, tensors and qparams that are mostly right, with a few
// fields that are not. Whatever the call answers, it must not crash, must say why when it refuses,
// and must then have written nothing. The same calls on every machine; most telling under a
// sanitizer.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "support.h"

namespace contract {
namespace {

constexpr size_t kArena = size_t{48} << 10, kReach = kArena / 3;  // tensors start in the middle
constexpr size_t kQparams = 20000;

__extension__ typedef __int128 Wide;

class Fuzz {
 public:
  Fuzz() : arena_(kArena), workspace_(size_t{1} << 19), scales_(kQparams), zeros_(kQparams) {
    for (unsigned char& byte : arena_) byte = static_cast<unsigned char>(random_.below(256));
    for (size_t i = 0; i < kQparams; ++i) {
      scales_[i] = 0.01f * static_cast<float>(1 + random_.below(100));
      zeros_[i] = static_cast<int32_t>(random_.below(128));
    }
    for (const std::string& isa : usable_isas()) contexts_.push_back(make_context(isa.c_str()));
  }

  void step();
  const std::map<int32_t, int>& statuses() const { return statuses_; }
  const std::map<std::string, int>& accepted() const { return accepted_; }

 private:
  // ---- values ---------------------------------------------------------------------------------
  bool one_in(uint64_t n) { return random_.below(n) == 0; }
  int64_t small() { return static_cast<int64_t>(random_.below(9)); }
  int64_t wild() {
    static const int64_t values[] = {-1,        0,         1,         2,         7,
                                     255,       256,       -128,      INT32_MAX, INT32_MIN,
                                     INT64_MAX, INT64_MIN, 1LL << 31, 1LL << 40, 1LL << 62};
    return one_in(3) ? static_cast<int64_t>(random_.next()) : values[random_.below(15)];
  }
  int32_t wild32() { return static_cast<int32_t>(wild()); }
  float wild_float() {
    static const float values[] = {0,     -0.0f,  1,     -1,   kNan,     kInf,
                                   -kInf, 1e-40f, 3e38f, 0.5f, 0x1p-60f, 0x1p61f};
    return values[random_.below(12)];
  }
  // The right value, but for one in so many times.
  template <class T>
  T mostly(T right, uint64_t n = 40) {
    return one_in(n) ? static_cast<T>(wild()) : right;
  }
  float mostly_float(float right) { return one_in(40) ? wild_float() : right; }
  template <class T>
  T grown() {
    T t = sized<T>();
    if (one_in(60)) t.struct_size = static_cast<uint32_t>(random_.below(sizeof t));
    if (one_in(60)) t.flags = static_cast<uint32_t>(random_.next());
    return t;
  }
  octet_type type() { return static_cast<octet_type>(1 + random_.below(4)); }
  octet_type element_type() {
    return one_in(2) ? type() : static_cast<octet_type>(1 + random_.below(13));
  }
  octet_type q8() { return one_in(2) ? OCTET_U8 : OCTET_S8; }
  float scale() { return mostly_float(scales_[random_.below(100)]); }
  int32_t zero() { return mostly(zeros_[random_.below(100)]); }
  octet_qtype qtype(octet_type t) {
    if (t == OCTET_F32 || t == OCTET_S32) return {mostly(t), one_in(40) ? 1.0f : 0.0f, 0};
    return {mostly(t), scale(), zero()};
  }

  // ---- structs --------------------------------------------------------------------------------
  octet_tensor tensor(octet_type t, std::vector<int64_t> dims);
  const octet_qparams* qparams(const octet_tensor& t);
  octet_scheme* scheme();
  octet_exec* exec();
  unsigned char* place(size_t align) {
    const size_t at = kReach + random_.below(kReach / align) * align;
    return arena_.data() + at + (one_in(30) ? random_.below(64) : 0);
  }
  std::vector<int64_t> shape() {
    std::vector<int64_t> dims(random_.below(4) + 1);
    for (int64_t& d : dims) d = small();
    return dims;
  }
  const octet_context* context() {
    return one_in(200) ? nullptr : contexts_[random_.below(contexts_.size())].get();
  }
  template <class T>
  T* any(const std::vector<Handle<T>>& handles) {
    return handles.empty() || one_in(100) ? nullptr : handles[random_.below(handles.size())].get();
  }
  template <class T>
  void keep(std::vector<Handle<T>>& handles, T* handle) {
    if (!handle) return;
    if (handles.size() < 8)
      handles.emplace_back(handle);
    else
      handles[random_.below(8)].reset(handle);
  }

  // ---- calls ----------------------------------------------------------------------------------
  octet_status check(const char* name, const Call& call);
  void weights();
  void conv_weights();
  void conv(const octet_weights* weights, const octet_geometry& packed, int64_t channels,
            int64_t outputs);
  void open();
  void open(const octet_weights* from, const char* name);
  void linear();
  void verbs();
  void gemm();
  void elements();
  void fake();
  void observers();
  void choose();
  void fold();
  void pool();
  void methods();
  void texts();

  Random random_{20};
  std::vector<unsigned char> arena_, before_;
  std::vector<unsigned char> workspace_;
  std::vector<float> scales_;
  std::vector<int32_t> zeros_;
  std::vector<Context> contexts_;
  std::vector<Weights> weights_;
  struct LayerOp {
    Op op;
    octet_type in, out, residual;
    int64_t n, k;
  };
  std::vector<LayerOp> ops_;
  std::vector<Observer> observers_;
  std::map<const octet_weights*, std::pair<int64_t, int64_t>> shapes_;  // of the weights alive
  // Parts of the call in progress.
  octet_qparams q_[6];
  size_t qs_ = 0;
  octet_scheme scheme_;
  octet_exec exec_;
  bool workspace_in_arena_ = false;
  std::map<int32_t, int> statuses_;
  std::map<std::string, int> accepted_;
  std::vector<float> sums_ = std::vector<float>(2 * kQparams);
};

[[noreturn]] void die(const char* name, const char* what, const char* text) {
  std::fprintf(stderr, "%s: %s: %s\n", name, what, text);
  std::abort();
}

octet_tensor Fuzz::tensor(octet_type t, std::vector<int64_t> dims) {
  octet_tensor v{};
  v.type = mostly(t);
  v.rank = mostly(static_cast<int32_t>(dims.size()), 80);
  for (size_t i = 0; i < dims.size(); ++i) v.dims[i] = mostly(dims[i], 80);
  if (one_in(3) && !dims.empty()) {  // explicit strides, with or without gaps
    int64_t step = 1;
    for (size_t i = dims.size(); i-- > 0;) {
      v.strides[i] = step;
      // Dims may be anything: modulo 2^64.
      const auto times = static_cast<uint64_t>(std::max<int64_t>(dims[i], 1));
      step = static_cast<int64_t>(static_cast<uint64_t>(step) * times +
                                  static_cast<uint64_t>(one_in(3) ? small() : 0));
    }
    if (one_in(10)) std::swap(v.strides[0], v.strides[dims.size() - 1]);
    if (one_in(10)) v.strides[random_.below(dims.size())] *= -1;
    if (one_in(40)) v.strides[random_.below(dims.size())] = wild();
  }
  v.flags = one_in(200) ? static_cast<uint32_t>(wild()) : 0;
  v.reserved = one_in(200) ? wild32() : 0;
  v.data = one_in(80) ? nullptr : place(4);
  // A tensor that reaches beyond the caller's memory is the caller's mistake, and no call can see
  // it: only shapes that are refused anyway, or that fit.
  Wide volume = 1, low = 0, high = 0, dense = 1;
  const bool bad_rank = v.rank < 0 || v.rank > 6;
  bool refused = bad_rank, given = false;
  for (int i = 0; !bad_rank && i < v.rank; ++i) {
    refused |= v.dims[i] < 0;
    volume *= v.dims[i] > 0 ? v.dims[i] : 1;
    refused |= volume > (Wide{1} << 56);
    if (refused) break;
    given |= v.strides[i] != 0;
  }
  for (int i = refused ? -1 : v.rank - 1; i >= 0; --i) {
    const Wide stride = given ? Wide{v.strides[i]} : dense;
    if (!given) dense *= std::max<int64_t>(v.dims[i], 1);
    const Wide far = stride * (v.dims[i] - 1);
    if (v.dims[i] > 1) (far < 0 ? low : high) += far;
  }
  if (!refused && (low * 4 < -Wide{kReach} + 64 || high * 4 + 8 > Wide{kReach} - 64)) {
    v.rank = 1;
    v.dims[0] = 3;
    v.strides[0] = 0;
  }
  return v;
}

const octet_qparams* Fuzz::qparams(const octet_tensor& t) {
  if (one_in(60)) return nullptr;
  octet_qparams& q = q_[qs_++ % 6];
  q = {};
  const int32_t rank = t.rank > 0 && t.rank <= 6 ? t.rank : 1;
  q.axis = static_cast<int32_t>(random_.below(static_cast<uint64_t>(rank)));
  q.count = mostly(one_in(2) ? int64_t{1} : t.dims[q.axis]);
  if (q.count > static_cast<int64_t>(kQparams)) q.count = -1;
  if (one_in(3)) q.axis -= rank;
  q.axis = mostly(q.axis, 80);
  q.scale = one_in(80) ? nullptr : scales_.data();
  q.zero_point = one_in(4) ? nullptr : zeros_.data();
  q.flags = one_in(4) ? uint32_t{OCTET_DIVIDE} : mostly(uint32_t{0}, 200);
  q.group = mostly(int64_t{0}, 200);
  if (one_in(20)) {
    q.group = 1 + static_cast<int64_t>(random_.below(4));
    q.count = static_cast<int64_t>(random_.below(16));
  }
  if (one_in(4)) {
    q.qmin = wild32();
    q.qmax = wild32();
  }
  if (one_in(200)) q.reserved = this;
  if (one_in(200)) q.zero_point_f32 = scales_.data();
  return &q;
}

octet_scheme* Fuzz::scheme() {
  if (one_in(3)) return nullptr;
  scheme_ = grown<octet_scheme>();
  scheme_.type = mostly(q8(), 20);
  scheme_.flags |= one_in(2) ? static_cast<uint32_t>(random_.below(32)) : 0;
  scheme_.granularity = static_cast<int32_t>(random_.below(4));
  scheme_.axis = mostly(one_in(2) ? int32_t{0} : static_cast<int32_t>(small()), 40);
  scheme_.chooser = mostly(static_cast<int32_t>(random_.below(10)));
  scheme_.range = mostly(int32_t{0}, 100);
  scheme_.group = mostly(int64_t{0}, 200);
  if (one_in(5)) {
    scheme_.qmin = wild32();
    scheme_.qmax = wild32();
  }
  if (one_in(5)) scheme_.eps = wild_float();
  if (one_in(10)) scheme_.range = static_cast<int32_t>(random_.below(5));
  if (one_in(50)) scheme_.percentile = wild_float();
  if (one_in(50)) scheme_.start_bin = wild32();
  scheme_.reserved = mostly(int32_t{0}, 200);
  return &scheme_;
}

octet_exec* Fuzz::exec() {
  workspace_in_arena_ = false;
  if (one_in(4)) return nullptr;
  exec_ = grown<octet_exec>();
  exec_.workspace = workspace_.data() + random_.below(64);
  exec_.workspace_bytes = workspace_.size() - 64;
  if (one_in(20)) exec_.workspace_bytes = random_.below(3000);
  if (one_in(40)) {
    workspace_in_arena_ = true;
    exec_.workspace = place(1);
    exec_.workspace_bytes = random_.below(kReach);
  }
  if (one_in(100)) exec_.workspace = nullptr;
  exec_.max_threads = mostly(static_cast<int32_t>(small()));
  exec_.plan = one_in(10) ? mostly(static_cast<int32_t>(small())) : 0;
  if (one_in(2)) {
    exec_.pool = this;
    exec_.parallel_for = [](void* pool, size_t n, octet_task task, void* arg) {
      Fuzz& fuzz = *static_cast<Fuzz*>(pool);
      if (fuzz.one_in(20)) return int32_t{1};
      for (size_t i = n; i-- > 0;)
        if (!fuzz.one_in(5)) task(arg, i);
      return int32_t{0};
    };
  }
  return &exec_;
}

octet_status Fuzz::check(const char* name, const Call& call) {
  before_ = arena_;
  octet_error err;
  std::memset(static_cast<void*>(&err), 0x5A, sizeof err);
  const octet_error poison = err;
  const octet_status status = call(&err);
  ++statuses_[status];
  if (status == OCTET_OK) {
    ++accepted_[name];
    if (std::memcmp(&err, &poison, sizeof err)) die(name, "touched err on success", "");
    return status;
  }
  if (!std::memchr(err.text, 0, sizeof err.text)) die(name, "text without an end", "");
  if (status < 0 || status >= OCTET_ERR_INTERNAL) die(name, octet_status_name(status), err.text);
  if (err.status != status || std::strlen(err.text) < 10) die(name, "no reason", err.text);
  if (status != OCTET_ERR_CANCELLED && !workspace_in_arena_ && before_ != arena_)
    die(name, "refused, but wrote", err.text);
  return status;
}

void Fuzz::weights() {
  const int64_t n = static_cast<int64_t>(random_.below(40)),
                k = static_cast<int64_t>(random_.below(50));
  octet_weights_desc d = grown<octet_weights_desc>();
  octet_tensor source = tensor(one_in(2) ? OCTET_F32 : q8(), {n, k});
  const octet_tensor bias = tensor(one_in(2) ? OCTET_F32 : OCTET_S32, {n});
  if (source.type != OCTET_F32 || one_in(50))
    source.q = qparams(source);
  else
    d.scheme = scheme();
  if (source.type == OCTET_F32 && source.data && !one_in(4)) {  // finite weights
    workspace_in_arena_ = false;
    for (size_t i = 0; i < kArena / 4; ++i) {
      const float value = random_.real(2);
      std::memcpy(arena_.data() + 4 * i, &value, 4);
    }
  }
  d.source = one_in(80) ? nullptr : &source;
  if (one_in(2)) d.bias = &bias;
  if (one_in(8)) d.flags |= OCTET_SHAPE_ONLY;
  const octet_context* c = context();
  size_t bytes = 0;
  check("weights_bytes", [&](octet_error* err) { return octet_weights_bytes(c, &d, &bytes, err); });
  const octet_exec* e = exec();
  if (one_in(2)) {
    octet_weights* w = nullptr;
    if (check("weights_create", [&](octet_error* err) {
          return octet_weights_create(c, &d, e, &w, err);
        }) == OCTET_OK) {
      shapes_[w] = {source.dims[0], source.dims[1]};
      keep(weights_, w);
      linear();
    }
  } else {
    unsigned char* to = arena_.data() + (64 - reinterpret_cast<uintptr_t>(arena_.data()) % 64);
    const size_t room = one_in(10) ? random_.below(500) : kArena - 64;
    check("weights_pack", [&](octet_error* err) {
      return octet_weights_pack(c, &d, one_in(50) ? nullptr : to, room, e, err);
    });
  }
}

// A convolution: created, and its bytes opened again.
void Fuzz::conv_weights() {
  const int rank = 1 + static_cast<int>(random_.below(3));
  const int64_t groups = one_in(2) ? 1 : 1 + small(), in = one_in(3) ? 1 : small(), out = small();
  octet_geometry g = grown<octet_geometry>();
  g.rank = mostly(rank);
  g.groups = mostly(static_cast<int32_t>(groups));
  if (one_in(2)) g.flags |= OCTET_TRANSPOSED;
  const bool grouped = groups > 1 && one_in(2);
  std::vector<int64_t> dims = {groups * out};
  if (grouped) dims = {groups, out};
  for (int i = 0; i < rank; ++i) {
    dims.push_back(1 + static_cast<int64_t>(random_.below(3)));
    g.stride[i] = mostly(static_cast<int32_t>(1 + random_.below(3)));
    g.dilation[i] = mostly(static_cast<int32_t>(1 + random_.below(3)));
    g.pad_lo[i] = mostly(static_cast<int32_t>(random_.below(2)), 99);
    if (g.flags & OCTET_TRANSPOSED) g.out_pad[i] = mostly(int32_t{0}, 99);
  }
  dims.push_back(in);
  octet_weights_desc d = grown<octet_weights_desc>();
  octet_tensor source = tensor(one_in(2) ? OCTET_F32 : q8(), dims);
  const octet_tensor bias = tensor(one_in(2) ? OCTET_F32 : OCTET_S32, {groups * out});
  if (source.type != OCTET_F32 || one_in(50))
    source.q = qparams(tensor(source.type, {groups * out, in}));
  else
    d.scheme = scheme();
  if (source.type == OCTET_F32) std::fill(arena_.begin(), arena_.end(), 0);
  workspace_in_arena_ = false;
  d.source = one_in(80) ? nullptr : &source;
  d.geometry = &g;
  if (one_in(2)) d.bias = &bias;
  if (one_in(8)) d.flags |= OCTET_SHAPE_ONLY;
  const octet_context* c = context();
  size_t bytes = 0;
  check("weights_bytes", [&](octet_error* err) { return octet_weights_bytes(c, &d, &bytes, err); });
  octet_weights* made = nullptr;
  check("conv_weights_create",
        [&](octet_error* err) { return octet_weights_create(c, &d, nullptr, &made, err); });
  const Weights owner(made);
  shapes_.erase(made);
  if (made) open(made, "conv_weights_open");
  if (made) conv(made, g, groups * in, groups * out);
}

// An op on these weights, and its verbs.
void Fuzz::conv(const octet_weights* weights, const octet_geometry& packed, int64_t channels,
                int64_t outputs) {
  octet_geometry g = packed;
  const int spatial = g.rank >= 1 && g.rank <= 3 ? g.rank : 1;
  for (int i = 0; i < spatial; ++i) {
    g.pad_lo[i] = mostly(static_cast<int32_t>(random_.below(2)));
    g.pad_hi[i] = mostly(static_cast<int32_t>(random_.below(3)));
    if (one_in(20)) g.stride[i] = mostly(int32_t{2});
    if (g.flags & OCTET_TRANSPOSED) g.out_pad[i] = mostly(int32_t{0});
  }
  octet_linear_desc d = grown<octet_linear_desc>();
  d.weights = weights;
  const octet_type in = one_in(3) ? OCTET_F32 : q8(), out = in == OCTET_F32 ? in : type();
  d.in = qtype(in);
  d.out = qtype(out);
  if (in != OCTET_F32 && one_in(3)) d.in = {in, 0, 0};
  if (in == OCTET_F32) d.dynamic = scheme();
  if (out != OCTET_S32) d.act = mostly(static_cast<int32_t>(random_.below(3)));
  unsigned char table[256] = {};
  if (one_in(6)) d.lut = table;
  if (one_in(4)) {
    d.flags = OCTET_RESIDUAL;
    d.residual = qtype(out == OCTET_F32 ? out : q8());
  }
  octet_op* made = nullptr;
  check("conv_create", [&](octet_error* err) {
    return octet_conv_create(context(), &d, one_in(60) ? nullptr : &g, &made, err);
  });
  const Op op(made);
  if (!made) return;
  std::vector<int64_t> dims(static_cast<size_t>(spatial) + 2);
  for (int64_t& v : dims) v = small();
  if (!one_in(30)) dims.back() = channels;
  octet_tensor x = tensor(in, dims);
  if (in != OCTET_F32 && one_in(3)) x.q = qparams(x);
  octet_tensor inferred{};
  octet_op_infer(made, &x, 1, &inferred, 1, nullptr);
  if (inferred.rank == spatial + 2)
    for (int i = 0; i < inferred.rank; ++i) dims[static_cast<size_t>(i)] = inferred.dims[i];
  else
    dims.back() = outputs;
  int64_t count = 1;
  for (const int64_t v : dims) {
    count *= v;
    if (v < 0 || v > 200 || count > 2000) return;
  }
  const octet_tensor inputs[] = {x, tensor(d.residual.type ? d.residual.type : q8(), dims)};
  const octet_tensor y = tensor(out, dims);
  const size_t n = d.residual.type ? 2 : 1;
  const octet_exec* e = exec();
  octet_plan plan = grown<octet_plan>();
  size_t bytes = 0;
  check("op_workspace",
        [&](octet_error* err) { return octet_op_workspace(made, inputs, n, e, &bytes, err); });
  check("op_plan", [&](octet_error* err) { return octet_op_plan(made, inputs, n, e, &plan, err); });
  char json[2000];
  check("op_describe", [&](octet_error* err) {
    return octet_op_describe(made, inputs, n, e, json, random_.below(2000), &bytes, err);
  });
  check("conv_run", [&](octet_error* err) { return octet_op_run(made, inputs, n, &y, 1, e, err); });
}

void Fuzz::open() { open(any(weights_), "weights_open"); }

void Fuzz::open(const octet_weights* from, const char* name) {
  const void* data = nullptr;
  size_t bytes = 0;
  workspace_in_arena_ = false;
  if (check("weights_blob", [&](octet_error* err) {
        return octet_weights_blob(from, &data, &bytes, err);
      }) != OCTET_OK)
    return;
  std::vector<unsigned char> copy(bytes);
  std::memcpy(copy.data(), data, bytes);
  for (uint64_t flips = random_.below(3); flips > 0; --flips)
    copy[one_in(2) ? random_.below(std::min<size_t>(bytes, 128)) : random_.below(bytes)] ^=
        static_cast<unsigned char>(1u << random_.below(8));
  octet_blob b = grown<octet_blob>();
  b.flags = OCTET_BLOB_COPY | static_cast<uint32_t>(random_.below(8));
  b.data = copy.data();
  b.bytes = one_in(4) ? random_.below(bytes + 1) : bytes;
  octet_weights* w = nullptr;
  check(name, [&](octet_error* err) { return octet_weights_open(context(), &b, &w, err); });
  if (w && shapes_.count(from)) {  // a matrix
    shapes_[w] = shapes_[from];
    keep(weights_, w);
  } else {
    octet_weights_destroy(w);
  }
}

void Fuzz::linear() {
  octet_linear_desc d = grown<octet_linear_desc>();
  d.weights = any(weights_);
  const octet_type in = one_in(2) ? OCTET_F32 : q8();
  const octet_type out = in == OCTET_F32 ? OCTET_F32 : type();
  d.in = qtype(in);
  d.out = qtype(out);
  if (in != OCTET_F32 && one_in(3)) d.in = {in, 0, 0};
  if (in == OCTET_F32) d.dynamic = scheme();
  d.act = mostly(static_cast<int32_t>(random_.below(4)));
  if (d.act == OCTET_CLAMP || one_in(30)) {
    d.lo = one_in(4) ? wild_float() : -1;
    d.hi = one_in(4) ? wild_float() : 2;
  }
  if (out == OCTET_S32) d.act = mostly(int32_t{0});
  d.numerics = one_in(3) ? mostly(static_cast<int32_t>(random_.below(5))) : 0;
  if (one_in(4)) {
    d.flags = OCTET_RESIDUAL;
    d.residual = qtype(one_in(20) ? type() : out == OCTET_F32 ? out : q8());
  }
  octet_op* op = nullptr;
  workspace_in_arena_ = false;
  if (check("linear_create", [&](octet_error* err) {
        return octet_linear_create(context(), &d, &op, err);
      }) != OCTET_OK)
    return;
  const auto& [n, k] = shapes_[d.weights];
  LayerOp kept{Op(op), in, out, d.residual.type, n, k};
  if (ops_.size() < 12)
    ops_.push_back(std::move(kept));
  else
    ops_[random_.below(12)] = std::move(kept);
}

void Fuzz::verbs() {
  if (ops_.empty()) return;
  const LayerOp& layer = ops_[random_.below(ops_.size())];
  std::vector<int64_t> dims = shape();
  dims.back() = layer.k;
  octet_tensor x = tensor(layer.in, dims);
  if (layer.in != OCTET_F32 && one_in(2)) {
    x.q = qparams(x);
    octet_qparams& q = q_[(qs_ + 5) % 6];
    int64_t rows = 1;
    for (size_t i = 0; i + 1 < dims.size(); ++i) rows *= dims[i];
    if (x.q && !one_in(3)) q.count = one_in(2) ? 1 : rows;
  }
  dims.back() = layer.n;
  octet_tensor y = tensor(layer.out, dims);
  const octet_tensor in[3] = {x, layer.residual && !one_in(20) ? tensor(layer.residual, dims) : y,
                              y};
  const size_t inputs = layer.residual ? 2 : 1;
  const octet_exec* e = exec();
  const octet_op* op = one_in(300) ? nullptr : layer.op.get();
  size_t bytes = 0;
  octet_plan plan = grown<octet_plan>();
  octet_tensor inferred = y;
  std::string json(one_in(3) ? random_.below(200) : 2000, ' ');
  check("op_workspace",
        [&](octet_error* err) { return octet_op_workspace(op, in, inputs, e, &bytes, err); });
  check("op_infer",
        [&](octet_error* err) { return octet_op_infer(op, in, inputs, &inferred, 1, err); });
  check("op_plan", [&](octet_error* err) { return octet_op_plan(op, in, inputs, e, &plan, err); });
  check("op_describe", [&](octet_error* err) {
    return octet_op_describe(op, in, inputs, e, json.empty() ? nullptr : json.data(), json.size(),
                             &bytes, err);
  });
  const size_t n = one_in(100) ? random_.below(4) : inputs;
  check("op_run", [&](octet_error* err) { return octet_op_run(op, in, n, &y, 1, e, err); });
}

void Fuzz::gemm() {
  const int64_t m = small(), n = small() * 3, k = small() * 2;
  octet_gemm_desc d = grown<octet_gemm_desc>();
  d.act = mostly(static_cast<int32_t>(random_.below(3)), 20);
  d.numerics = one_in(3) ? mostly(static_cast<int32_t>(random_.below(5))) : 0;
  octet_tensor a = tensor(q8(), {m, k}), b = tensor(q8(), {n, k}), y = tensor(type(), {m, n});
  if (y.type == OCTET_S32) d.act = 0;
  const octet_tensor bias = tensor(one_in(2) ? OCTET_F32 : OCTET_S32, {n});
  if (one_in(2)) a.q = qparams(a);
  if (one_in(2)) b.q = qparams(b);
  if (y.type != OCTET_F32 && y.type != OCTET_S32) y.q = qparams(y);
  const octet_exec* e = exec();
  const octet_context* c = context();
  size_t bytes = 0;
  check("gemm_workspace",
        [&](octet_error* err) { return octet_gemm_workspace(c, &d, &a, &b, &y, e, &bytes, err); });
  const octet_tensor* with = one_in(2) ? &bias : nullptr;
  check("gemm", [&](octet_error* err) { return octet_gemm(c, &d, &a, &b, with, &y, e, err); });
}

void Fuzz::elements() {
  const std::vector<int64_t> dims = shape();
  octet_tensor x = tensor(one_in(2) ? OCTET_F32 : element_type(), dims);
  octet_tensor y = tensor(one_in(2) ? OCTET_F32 : element_type(), dims);
  if (x.type != OCTET_F32 || one_in(40)) x.q = qparams(x);
  if (y.type != OCTET_F32 || one_in(40)) y.q = qparams(y);
  if (one_in(5)) y.data = x.data;
  const octet_exec* e = exec();
  const octet_context* c = context();
  check("quantize", [&](octet_error* err) { return octet_quantize(c, &x, &y, e, err); });
  check("dequantize", [&](octet_error* err) { return octet_dequantize(c, &x, &y, e, err); });
  check("requantize", [&](octet_error* err) { return octet_requantize(c, &x, &y, e, err); });
  check("copy", [&](octet_error* err) { return octet_copy(c, &x, &y, e, err); });
  const octet_scheme* s = scheme();
  if (s && one_in(2)) y.type = s->type;
  if (!one_in(20)) y.q = nullptr;
  int64_t rows = 1;
  for (int i = 0; i + 1 < x.rank && i < 5; ++i)
    rows *= x.dims[i] > 0 && x.dims[i] < 64 ? x.dims[i] : 1;
  const size_t count = mostly(one_in(2) ? size_t{1} : static_cast<size_t>(rows));
  check("quantize_dynamic", [&](octet_error* err) {
    return octet_quantize_dynamic(c, &x, s, &y, one_in(60) ? nullptr : sums_.data(),
                                  reinterpret_cast<int32_t*>(sums_.data()) + kQparams,
                                  count <= kQparams ? count : 1, e, err);
  });
}

void Fuzz::fake() {
  const std::vector<int64_t> dims = shape();
  const octet_tensor x = tensor(OCTET_F32, dims);
  octet_tensor y = tensor(OCTET_F32, dims);
  if (one_in(4)) y.data = x.data;
  const octet_exec* e = exec();
  const octet_context* c = context();
  uint8_t* mask = one_in(3) ? nullptr : place(1);
  // The mask is dense, so it must hold the elements, however they are spread.
  if (mask && mask > arena_.data() + kArena - 8 * 8 * 8 * 8 - 64) mask = nullptr;
  octet_qparams q{};
  if (const octet_qparams* some = qparams(x)) q = *some;
  if (one_in(2)) {
    q.qmin = -128;
    q.qmax = 127;
  }
  check("fake_quant",
        [&](octet_error* err) { return octet_fake_quant(c, &x, &q, &y, mask, e, err); });
  check("fake_quant_backward",
        [&](octet_error* err) { return octet_fake_quant_backward(c, &x, mask, &y, e, err); });
  // Gradients of up to kQparams results.
  octet_learn_desc learn = grown<octet_learn_desc>();
  learn.kind = mostly(static_cast<int32_t>(random_.below(2)));
  learn.grad_factor = mostly_float(0.5f);
  const octet_tensor dy = tensor(OCTET_F32, dims);
  float* const sums = sums_.data();
  float* const other = one_in(4) ? nullptr : sums + (one_in(40) ? 1 : kQparams);
  const size_t results = mostly(static_cast<size_t>(q.count));
  check("fake_quant_learn",
        [&](octet_error* err) { return octet_fake_quant_learn(c, &learn, &x, &q, &y, e, err); });
  check("fake_quant_learn_backward", [&](octet_error* err) {
    return octet_fake_quant_learn_backward(c, &learn, &dy, &x, &q, &y, one_in(60) ? nullptr : sums,
                                           other, results, e, err);
  });
  const float lo = mostly_float(-1), hi = mostly_float(1);
  check("clip", [&](octet_error* err) { return octet_clip(c, &x, &lo, &hi, &y, e, err); });
  check("clip_backward", [&](octet_error* err) {
    return octet_clip_backward(c, &dy, &x, &lo, &hi, &y, one_in(4) ? nullptr : sums, other, e, err);
  });
  octet_amax_desc amax = grown<octet_amax_desc>();
  amax.flags = one_in(4) ? static_cast<uint32_t>(random_.below(5)) : 0;
  amax.bits = mostly(one_in(2) ? int32_t{8} : static_cast<int32_t>(random_.below(18)));
  amax.axis = q.axis;
  amax.count = mostly(q.group ? size_t{1} : static_cast<size_t>(q.count));
  amax.amax = one_in(60) ? nullptr : scales_.data();
  if (amax.count > kQparams) amax.count = 0;
  if (one_in(4)) {
    amax.pre_scale = scales_.data();
    amax.pre_count = mostly(size_t{1});
  }
  amax.scale_amax = mostly_float(1);
  check("amax_fake_quant",
        [&](octet_error* err) { return octet_amax_fake_quant(c, &amax, &x, &y, mask, e, err); });
  octet_tensor ints = y;
  ints.type = one_in(2) ? OCTET_S8 : element_type();
  check("amax_quantize", [&](octet_error* err) {
    return octet_amax_quantize(c, &amax, &x, &ints, one_in(2) ? nullptr : sums, e, err);
  });
  octet_fake_quantizer f = grown<octet_fake_quantizer>();
  f.scheme = scheme();
  f.momentum = mostly_float(0.1f);
  f.bits = mostly(one_in(2) ? int32_t{0} : static_cast<int32_t>(random_.below(18)));
  const bool per_channel = f.scheme && f.scheme->granularity == OCTET_PER_CHANNEL;
  f.count = mostly(per_channel ? static_cast<size_t>(x.dims[0]) : size_t{1});
  if (f.count > 64 && f.count < SIZE_MAX / 8) f.count = 1;
  float* state = reinterpret_cast<float*>(arena_.data()) + random_.below(500);
  f.run_min = state;
  f.run_max = state + 64;
  f.scale = state + 128;
  f.zero_point = reinterpret_cast<int32_t*>(state + (one_in(40) ? 130 : 192));
  std::fill_n(f.run_min, 64, one_in(2) ? kInf : -1);
  std::fill_n(f.run_max, 64, f.run_min[0] == kInf ? -kInf : 1);
  check("fake_quant_step",
        [&](octet_error* err) { return octet_fake_quant_step(c, &f, &x, &y, mask, e, err); });
}

void Fuzz::observers() {
  workspace_in_arena_ = false;
  if (observers_.size() < 3 || one_in(10)) {
    octet_observer_desc d = grown<octet_observer_desc>();
    d.channels = mostly(one_in(2) ? size_t{0} : static_cast<size_t>(small()));
    if (d.channels > 100000 && d.channels < SIZE_MAX / 1000) d.channels = 5;
    d.axis = mostly(static_cast<int32_t>(random_.below(3)));
    d.kind = mostly(static_cast<int32_t>(random_.below(8)), 100);
    if (d.kind == OCTET_OBSERVE_FIXED || d.kind == OCTET_OBSERVE_CALLBACK) d.kind = 0;
    if (one_in(2)) d.bins = mostly(8);
    if (d.bins > 4096) d.bins = 4096;
    if (one_in(4)) d.momentum = wild_float();
    if (one_in(20)) d.max_bins = random_.below(20);
    octet_observer* o = nullptr;
    check("observer_create",
          [&](octet_error* err) { return octet_observer_create(context(), &d, &o, err); });
    keep(observers_, o);
  }
  octet_observer* const o = any(observers_);
  const octet_tensor x = tensor(OCTET_F32, shape());
  const octet_exec* e = exec();
  check("observer_feed", [&](octet_error* err) { return octet_observer_feed(o, &x, e, err); });
  if (one_in(50)) octet_observer_reset(o);
  octet_observed s = grown<octet_observed>();
  check("observer_stats", [&](octet_error* err) { return octet_observer_stats(o, &s, err); });
  float scale[16];
  int32_t zero[16];
  const octet_scheme* sc = scheme();
  const size_t count = random_.below(10);
  check("observer_qparams", [&](octet_error* err) {
    return octet_observer_qparams(o, sc, scale, one_in(5) ? nullptr : zero, count, err);
  });
  float low[16], high[16];
  check("observer_range",
        [&](octet_error* err) { return octet_observer_range(o, sc, low, high, count, err); });
  if (one_in(20)) octet_observer_freeze(o, one_in(2));
  const octet_observer* other = any(observers_);
  check("observer_merge", [&](octet_error* err) { return octet_observer_merge(o, other, err); });
  std::vector<unsigned char> saved(random_.below(400));
  size_t bytes = 0;
  if (check("observer_save",
            [&](octet_error* err) {
              return octet_observer_save(o, saved.empty() ? nullptr : saved.data(), saved.size(),
                                         &bytes, err);
            }) == OCTET_OK &&
      !saved.empty()) {
    if (one_in(2)) saved[random_.below(bytes)] ^= 4;
    octet_observer* loaded = nullptr;
    check("observer_load", [&](octet_error* err) {
      return octet_observer_load(context(), saved.data(), one_in(5) ? random_.below(bytes) : bytes,
                                 &loaded, err);
    });
    keep(observers_, loaded);
  }
  octet_observer* copied = nullptr;
  check("observer_copy",
        [&](octet_error* err) { return octet_observer_copy(any(observers_), &copied, err); });
  keep(observers_, copied);
}

void Fuzz::choose() {
  workspace_in_arena_ = false;
  float min[8], max[8], scale[8];
  int32_t zero[8];
  for (int i = 0; i < 8; ++i) {
    min[i] = one_in(6) ? wild_float() : -random_.real(4);
    max[i] = one_in(6) ? wild_float() : min[i] + 1;
  }
  const octet_scheme* s = scheme();
  const size_t count = random_.below(9);
  float float_zero[8];
  check("choose_qparams_f32", [&](octet_error* err) {
    return octet_choose_qparams_f32(s, min, max, count, scale, float_zero, err);
  });
  check("choose_qparams", [&](octet_error* err) {
    return octet_choose_qparams(s, one_in(60) ? nullptr : min, max, count,
                                one_in(60) ? nullptr : scale, one_in(9) ? nullptr : zero, err);
  });
}

void Fuzz::pool() {
  const int spatial = 1 + static_cast<int>(random_.below(3));
  octet_pool_desc d = grown<octet_pool_desc>();
  octet_geometry g = grown<octet_geometry>();
  d.kind = mostly(static_cast<int32_t>(random_.below(2)));
  d.in = {mostly(q8()), mostly_float(0.5f), mostly(int32_t{3})};
  d.out = one_in(2) ? d.in : octet_qtype{mostly(q8()), mostly_float(0.25f), mostly(int32_t{5})};
  d.flags = one_in(3) ? static_cast<uint32_t>(random_.below(17)) : 0;
  d.divisor = mostly(int32_t{0});
  d.numerics = one_in(5) ? static_cast<int32_t>(random_.below(6)) : 0;
  const bool windows = !(d.flags & (OCTET_ADAPTIVE | OCTET_GLOBAL)) || one_in(20);
  g.rank = mostly(spatial);
  g.groups = mostly(int32_t{1});
  for (int i = 0; i < spatial; ++i) {
    if (windows) d.kernel[i] = mostly(static_cast<int32_t>(1 + random_.below(3)));
    if (d.flags & OCTET_ADAPTIVE)
      d.out_size[i] = mostly(static_cast<int32_t>(1 + random_.below(4)));
    g.stride[i] = mostly(static_cast<int32_t>(1 + random_.below(2)));
    g.dilation[i] = mostly(int32_t{1}, 10);
    g.pad_lo[i] = mostly(static_cast<int32_t>(random_.below(2)));
    g.pad_hi[i] = mostly(static_cast<int32_t>(random_.below(2)));
  }
  octet_op* made = nullptr;
  check("pool_create", [&](octet_error* err) {
    return octet_pool_create(context(), &d, windows ? &g : nullptr, &made, err);
  });
  const Handle<octet_op> op(made);
  if (!made) return;
  std::vector<int64_t> dims(static_cast<size_t>(spatial) + 2);
  for (int64_t& v : dims) v = small();
  const octet_tensor x = tensor(d.in.type, dims);
  octet_tensor inferred{};
  octet_op_infer(made, &x, 1, &inferred, 1, nullptr);
  if (inferred.rank == spatial + 2)
    for (int i = 0; i < inferred.rank; ++i) dims[static_cast<size_t>(i)] = inferred.dims[i];
  for (const int64_t v : dims)
    if (v < 0 || v > 1000) return;
  const octet_tensor y = tensor(d.out.type, dims);
  const octet_exec* e = exec();
  octet_plan plan = grown<octet_plan>();
  size_t bytes = 0;
  check("op_workspace",
        [&](octet_error* err) { return octet_op_workspace(made, &x, 1, e, &bytes, err); });
  check("op_plan", [&](octet_error* err) { return octet_op_plan(made, &x, 1, e, &plan, err); });
  char json[2000];
  check("op_describe", [&](octet_error* err) {
    return octet_op_describe(made, &x, 1, e, json, random_.below(2000), &bytes, err);
  });
  check("pool_run", [&](octet_error* err) { return octet_op_run(made, &x, 1, &y, 1, e, err); });
}

void Fuzz::fold() {
  workspace_in_arena_ = false;
  const std::vector<int64_t> dims = shape();
  const octet_tensor weight = tensor(OCTET_F32, dims);
  octet_norm_desc d = grown<octet_norm_desc>();
  d.kind = mostly(int32_t{OCTET_NORM_BATCH});
  d.axis = mostly(static_cast<int32_t>(random_.below(2)));
  d.groups = mostly(int32_t{0});
  d.eps = mostly_float(1e-3f);
  const int64_t channels =
      dims.empty() ? 1 : dims[std::min<size_t>(dims.size() - 1, random_.below(2))];
  const octet_tensor bias = tensor(OCTET_F32, {channels}), gamma = tensor(OCTET_F32, {channels}),
                     beta = tensor(OCTET_F32, {channels}), mean = tensor(OCTET_F32, {channels}),
                     var = tensor(OCTET_F32, {channels});
  d.gamma = one_in(3) ? nullptr : &gamma;
  d.beta = one_in(3) ? nullptr : &beta;
  d.mean = one_in(30) ? nullptr : &mean;
  d.var = one_in(30) ? nullptr : &var;
  check("fold_batchnorm",
        [&](octet_error* err) { return octet_fold_batchnorm(&d, &weight, &bias, err); });
}

// Weight methods and the numeric suite: mostly shapes that fit, on whatever bits lie there or on
// finite ones.
void Fuzz::methods() {
  const int64_t n = small() + 1, k = (small() + 1) * 4, rows = small();
  workspace_in_arena_ = false;
  if (!one_in(4))
    for (size_t i = 0; i < kArena / 4; ++i) {
      const float value = random_.real(2);
      std::memcpy(arena_.data() + 4 * i, &value, 4);
    }
  const octet_tensor x = tensor(OCTET_F32, {rows, k}), w = tensor(OCTET_F32, {n, k});
  const int64_t columns = x.rank > 0 && x.rank <= 6 ? x.dims[x.rank - 1] : 0;
  std::vector<double> h(static_cast<size_t>(columns > 0 && columns < 100 ? columns * columns : 1));
  uint64_t seen = 0;
  if (columns <= 0 || columns >= 100 || x.data == nullptr) return;
  const octet_exec* e = exec();
  check("gram", [&](octet_error* err) {
    return octet_gram(context(), &x, one_in(60) ? nullptr : h.data(), &seen, e, err);
  });
  octet_round_desc d = grown<octet_round_desc>();
  d.kind = mostly(static_cast<int32_t>(random_.below(3)));
  d.iterations = d.kind == OCTET_ROUND_ADAROUND ? 1 + static_cast<int32_t>(random_.below(4)) : 0;
  d.scheme = scheme();
  if (d.scheme && one_in(3)) {
    scheme_.granularity = OCTET_PER_GROUP;
    scheme_.group = 4;
  }
  if (d.scheme && one_in(3)) scheme_.range = OCTET_RANGE_MSE;
  if (one_in(20)) d.damp = wild_float();
  if (one_in(20)) d.lr = wild_float();
  const bool data = d.kind != OCTET_ROUND_NEAREST;
  const bool fits = w.rank == 2 && w.dims[1] == columns;
  const octet_tensor q =
      tensor(d.scheme ? d.scheme->type : octet_type{OCTET_S8}, {w.dims[0], w.dims[1]});
  std::vector<float> scale(4096);
  std::vector<int32_t> zero(4096);
  const bool groups = d.scheme && d.scheme->granularity == OCTET_PER_GROUP;
  const bool one = d.scheme && d.scheme->granularity == OCTET_PER_TENSOR;
  const size_t count = one ? 1 : static_cast<size_t>(groups ? n * k / 4 : n);
  if (fits || !data)
    check("round_weights", [&](octet_error* err) {
      return octet_round_weights(context(), &d, &w, data ? h.data() : nullptr,
                                 data ? &seen : nullptr, &q, scale.data(),
                                 one_in(9) ? nullptr : zero.data(), count, e, err);
    });

  octet_equalize_desc equalize = grown<octet_equalize_desc>();
  equalize.kind = mostly(static_cast<int32_t>(random_.below(3)));
  std::vector<float> low(64), high(64), t(64);
  for (size_t i = 0; i < low.size(); ++i) {
    low[i] = one_in(100) ? wild_float() : -1;
    high[i] = one_in(100) ? wild_float() : random_.real(1) + 1;
  }
  if (equalize.kind != OCTET_EQUALIZE_CROSS_LAYER && !one_in(50)) {
    equalize.x_min = low.data();
    equalize.x_max = high.data();
  }
  if (one_in(20)) equalize.alpha = wild_float();
  const octet_tensor w1 = tensor(OCTET_F32, {k, n}), b1 = tensor(OCTET_F32, {k});
  const bool maker = equalize.kind == OCTET_EQUALIZE_CROSS_LAYER ? !one_in(40) : one_in(2);
  check("equalize", [&](octet_error* err) {
    return octet_equalize(context(), &equalize, maker ? &w1 : nullptr,
                          maker && one_in(2) ? &b1 : nullptr, &w, t.data(), static_cast<size_t>(k),
                          e, err);
  });

  const octet_tensor want = tensor(OCTET_F32, {rows, n});
  octet_tensor got = tensor(one_in(2) ? OCTET_F32 : q8(), {rows, n});
  if (got.type != OCTET_F32 || one_in(50)) got.q = qparams(got);
  octet_difference difference = grown<octet_difference>();
  check("compare", [&](octet_error* err) {
    return octet_compare(context(), &want, &got, one_in(60) ? nullptr : &difference, e, err);
  });
  std::vector<double> sum(want.rank > 0 && want.rank <= 6 && want.dims[want.rank - 1] > 0 &&
                                  want.dims[want.rank - 1] < 5000
                              ? static_cast<size_t>(want.dims[want.rank - 1])
                              : 1);
  if (want.rank <= 0 || want.rank > 6 || want.dims[want.rank - 1] >= 5000) return;
  check("bias_error", [&](octet_error* err) {
    return octet_bias_error(context(), &want, &got, sum.data(), &seen, e, err);
  });
}

// Text of settings: pieces of the grammar, right or not, and what comes of them.
void Fuzz::texts() {
  static const char* const pieces[] = {
      "type=",   "s8",         "u8 ",       "flags=", "symmetric",
      "|",       "narrow ",    "qmin=",     "-8",     " qmax=",
      "7 ",      "eps=",       "1e-3 ",     "0.5",    "kind=",
      "moving ", "=",          "\n",        "axis=1", "group=",
      "64 ",     "momentum=1", "range=l2 ", "nan",    "type=s8 qmin=-8 qmax=7"};
  workspace_in_arena_ = false;
  std::string text;
  for (uint64_t n = random_.below(6); n > 0; --n) text += pieces[random_.below(std::size(pieces))];
  if (!text.empty() && one_in(5)) text[random_.below(text.size())] = static_cast<char>(wild());
  octet_scheme s = grown<octet_scheme>();
  octet_observer_desc d = grown<octet_observer_desc>();
  char to[128];
  size_t need = 0;
  if (check("scheme_read", [&](octet_error* err) {
        return octet_scheme_read(one_in(80) ? nullptr : text.data(), text.size(), &s, err);
      }) == OCTET_OK)
    check("scheme_write", [&](octet_error* err) {
      return octet_scheme_write(&s, one_in(9) ? nullptr : to, random_.below(128), &need, err);
    });
  if (check("observer_desc_read", [&](octet_error* err) {
        return octet_observer_desc_read(text.data(), text.size(), &d, err);
      }) == OCTET_OK)
    check("observer_desc_write", [&](octet_error* err) {
      return octet_observer_desc_write(&d, to, random_.below(128), &need, err);
    });
  static const char* const names[] = {"fbgemm", "octet_dynamic", "default_observer", "", "type"};
  check("recipe", [&](octet_error* err) {
    return octet_recipe(one_in(50) ? nullptr : names[random_.below(5)], one_in(2) ? &s : nullptr,
                        one_in(3) ? &d : nullptr, one_in(3) ? &s : nullptr, nullptr, err);
  });
}

void Fuzz::step() {
  void (Fuzz::* const all[])() = {
      &Fuzz::weights,   &Fuzz::open,   &Fuzz::verbs,    &Fuzz::verbs,    &Fuzz::verbs,
      &Fuzz::gemm,      &Fuzz::gemm,   &Fuzz::elements, &Fuzz::elements, &Fuzz::fake,
      &Fuzz::observers, &Fuzz::choose, &Fuzz::fold,     &Fuzz::pool,     &Fuzz::conv_weights,
      &Fuzz::methods,   &Fuzz::texts};
  qs_ = 0;
  (this->*all[random_.below(std::size(all))])();
}

}  // namespace
}  // namespace contract

int main(int argc, char** argv) {
  using namespace contract;
  const long steps = argc > 1 ? std::atol(argv[1]) : 100000;
  Fuzz fuzz;
  for (long i = 0; i < steps; ++i) fuzz.step();
  for (const auto& [status, count] : fuzz.statuses())
    std::printf("%-24s %d\n", octet_status_name(status), count);
  for (const auto& [name, count] : fuzz.accepted())
    std::printf("accepted %-20s %d\n", name.c_str(), count);
  // Every function was accepted now and then, else most of its code was never reached.
  return fuzz.accepted().size() == 55 ? 0 : 1;
}

// SPDX-License-Identifier: Apache-2.0
//
// octet.hpp: a thin C++20 layer over octet.h, header-only and optional. Move-only handles that
// destroy themselves, spans instead of pointer and length, and Result<T> instead of out parameters.
// No exceptions and no macros that change behaviour; everything may be mixed with the C functions
// through get(). Thread-safety is that of octet.h: const members may be called by many threads.
#ifndef OCTET_OCTET_HPP_
#define OCTET_OCTET_HPP_

#include <octet/octet.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

namespace octet {
inline namespace v1 {

// A growable struct of octet.h with struct_size set and everything else 0.
template <class Struct>
Struct make() noexcept {
  Struct s{};
  s.struct_size = sizeof s;
  return s;
}

// The outcome of a call without a value; true means success.
class [[nodiscard]] Status {
 public:
  Status() noexcept = default;
  Status(octet_status status, const octet_error& error) noexcept
      : error_(status == OCTET_OK ? octet_error{} : error) {
    error_.status = status;
  }
  explicit operator bool() const noexcept { return error_.status == OCTET_OK; }
  octet_status code() const noexcept { return error_.status; }
  const char* text() const noexcept { return error_.text; }
  // Bytes that suffice, after OCTET_ERR_TOO_SMALL.
  std::size_t need() const noexcept { return static_cast<std::size_t>(error_.need); }

 private:
  octet_error error_{};
};

// A value or the reason why there is none. Dereference only after testing it.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) noexcept : value_(std::move(value)) {}
  Result(octet_status status, const octet_error& error) noexcept : status_(status, error) {}
  explicit operator bool() const noexcept { return value_.has_value(); }
  T& operator*() & noexcept { return *value_; }
  const T& operator*() const& noexcept { return *value_; }
  T&& operator*() && noexcept { return *std::move(value_); }
  T* operator->() noexcept { return &*value_; }
  const T* operator->() const noexcept { return &*value_; }
  const Status& status() const noexcept { return status_; }
  octet_status code() const noexcept { return status_.code(); }
  const char* text() const noexcept { return status_.text(); }

 private:
  std::optional<T> value_;
  Status status_;
};

// The octet_type of a C++ element type.
template <class T>
constexpr octet_type type_of() noexcept {
  using U = std::remove_cv_t<T>;
  if constexpr (std::is_same_v<U, std::uint8_t>) return OCTET_U8;
  if constexpr (std::is_same_v<U, std::int8_t>) return OCTET_S8;
  if constexpr (std::is_same_v<U, std::int32_t>) return OCTET_S32;
  if constexpr (std::is_same_v<U, float>) return OCTET_F32;
  return 0;
}

// A dense tensor over data, of the given dims (at most 6). With octet_qparams that outlive it: .q.
template <class T, class... Dims>
octet_tensor view(const T* data, Dims... dims) noexcept {
  static_assert(type_of<T>() != 0 && sizeof...(Dims) <= 6);
  octet_tensor t{};
  t.data = const_cast<std::remove_cv_t<T>*>(data);
  t.type = type_of<T>();
  t.rank = sizeof...(Dims);
  std::size_t i = 0;
  ((t.dims[i++] = static_cast<std::int64_t>(dims)), ...);
  return t;
}

namespace detail {

// Reads a text of unknown length through a (buffer, capacity, need) function.
template <class Call>
Result<std::string> read_text(Call call) {
  octet_error error{};
  std::size_t need = 0;
  if (octet_status s = call(nullptr, 0, &need, &error)) return {s, error};
  std::string text(need, '\0');
  if (octet_status s = call(text.data(), need, &need, &error)) return {s, error};
  text.resize(need - 1);
  return text;
}

template <class T, void (*destroy)(T*)>
struct Destroy {
  void operator()(T* p) const noexcept { destroy(p); }
};
template <class T, void (*destroy)(T*)>
using Handle = std::unique_ptr<T, Destroy<T, destroy>>;

}  // namespace detail

class Context {
 public:
  static Result<Context> create(const octet_context_desc* desc = nullptr) noexcept {
    octet_error error{};
    octet_context* c = nullptr;
    if (octet_status s = octet_context_create(desc, &c, &error)) return {s, error};
    return Context(c);
  }
  Result<std::string> describe() const {
    return detail::read_text(
        [this](char* json, std::size_t cap, std::size_t* need, octet_error* e) {
          return octet_context_describe(get(), json, cap, need, e);
        });
  }
  octet_context* get() const noexcept { return handle_.get(); }

 private:
  explicit Context(octet_context* c) noexcept : handle_(c) {}
  detail::Handle<octet_context, octet_context_destroy> handle_;
};

class Weights {
 public:
  static Result<Weights> create(const Context& c, const octet_weights_desc& desc,
                                const octet_exec* exec = nullptr) noexcept {
    octet_error error{};
    octet_weights* w = nullptr;
    if (octet_status s = octet_weights_create(c.get(), &desc, exec, &w, &error)) return {s, error};
    return Weights(w);
  }
  static Result<Weights> open(const Context& c, const octet_blob& blob) noexcept {
    octet_error error{};
    octet_weights* w = nullptr;
    if (octet_status s = octet_weights_open(c.get(), &blob, &w, &error)) return {s, error};
    return Weights(w);
  }
  // The packed bytes, valid as long as this object.
  Result<std::span<const std::byte>> blob() const noexcept {
    octet_error error{};
    const void* data = nullptr;
    std::size_t bytes = 0;
    if (octet_status s = octet_weights_blob(get(), &data, &bytes, &error)) return {s, error};
    return std::span(static_cast<const std::byte*>(data), bytes);
  }
  octet_weights* get() const noexcept { return handle_.get(); }

 private:
  explicit Weights(octet_weights* w) noexcept : handle_(w) {}
  detail::Handle<octet_weights, octet_weights_destroy> handle_;
};

// A layer. desc.weights need not outlive it: the op holds a reference.
class Op {
 public:
  using Tensors = std::span<const octet_tensor>;

  static Result<Op> linear(const Context& c, const octet_linear_desc& desc) noexcept {
    octet_error error{};
    octet_op* o = nullptr;
    if (octet_status s = octet_linear_create(c.get(), &desc, &o, &error)) return {s, error};
    return Op(o);
  }
  Result<std::size_t> workspace(Tensors in, const octet_exec* exec = nullptr) const noexcept {
    octet_error error{};
    std::size_t bytes = 0;
    if (octet_status s = octet_op_workspace(get(), in.data(), in.size(), exec, &bytes, &error))
      return {s, error};
    return bytes;
  }
  Status infer(Tensors in, std::span<octet_tensor> out) const noexcept {
    octet_error error{};
    return {octet_op_infer(get(), in.data(), in.size(), out.data(), out.size(), &error), error};
  }
  Status run(Tensors in, Tensors out, const octet_exec* exec = nullptr) const noexcept {
    octet_error error{};
    return {octet_op_run(get(), in.data(), in.size(), out.data(), out.size(), exec, &error), error};
  }
  Result<octet_plan> plan(Tensors in, const octet_exec* exec = nullptr) const noexcept {
    octet_error error{};
    octet_plan p = make<octet_plan>();
    if (octet_status s = octet_op_plan(get(), in.data(), in.size(), exec, &p, &error))
      return {s, error};
    return p;
  }
  Result<std::string> describe(Tensors in, const octet_exec* exec = nullptr) const {
    return detail::read_text([&](char* json, std::size_t cap, std::size_t* need, octet_error* e) {
      return octet_op_describe(get(), in.data(), in.size(), exec, json, cap, need, e);
    });
  }
  octet_op* get() const noexcept { return handle_.get(); }

 private:
  explicit Op(octet_op* o) noexcept : handle_(o) {}
  detail::Handle<octet_op, octet_op_destroy> handle_;
};

class Observer {
 public:
  static Result<Observer> create(
      const Context& c, const octet_observer_desc& desc = make<octet_observer_desc>()) noexcept {
    octet_error error{};
    octet_observer* o = nullptr;
    if (octet_status s = octet_observer_create(c.get(), &desc, &o, &error)) return {s, error};
    return Observer(o);
  }
  static Result<Observer> load(const Context& c, std::span<const std::byte> bytes) noexcept {
    octet_error error{};
    octet_observer* o = nullptr;
    if (octet_status s = octet_observer_load(c.get(), bytes.data(), bytes.size(), &o, &error))
      return {s, error};
    return Observer(o);
  }
  Status feed(const octet_tensor& x, const octet_exec* exec = nullptr) noexcept {
    octet_error error{};
    return {octet_observer_feed(get(), &x, exec, &error), error};
  }
  Status merge(const Observer& from) noexcept {
    octet_error error{};
    return {octet_observer_merge(get(), from.get(), &error), error};
  }
  // One scale and zero point for each channel (1 where the observer is per tensor).
  Status qparams(const octet_scheme* scheme, std::span<float> scale,
                 std::span<std::int32_t> zero_point) const noexcept {
    octet_error error{};
    if (!zero_point.empty() && zero_point.size() != scale.size()) {
      constexpr char text[] = "zero_point must be empty or as long as scale.";
      std::copy(std::begin(text), std::end(text), error.text);
      return {OCTET_ERR_ARGUMENT, error};
    }
    return {octet_observer_qparams(get(), scheme, scale.data(),
                                   zero_point.empty() ? nullptr : zero_point.data(), scale.size(),
                                   &error),
            error};
  }
  // The per-tensor scale and zero point as a qtype that a layer's description takes.
  Result<octet_qtype> qtype(octet_type type, const octet_scheme* scheme = nullptr) const noexcept {
    octet_error error{};
    octet_qtype q{type, 0, 0};
    if (octet_status s = octet_observer_qparams(get(), scheme, &q.scale, &q.zero_point, 1, &error))
      return {s, error};
    return q;
  }
  Result<std::string> save() const {
    octet_error error{};
    std::size_t need = 0;
    if (octet_status s = octet_observer_save(get(), nullptr, 0, &need, &error)) return {s, error};
    std::string bytes(need, '\0');
    if (octet_status s = octet_observer_save(get(), bytes.data(), need, &need, &error))
      return {s, error};
    return bytes;
  }
  void reset() noexcept { octet_observer_reset(get()); }
  octet_observer* get() const noexcept { return handle_.get(); }

 private:
  explicit Observer(octet_observer* o) noexcept : handle_(o) {}
  detail::Handle<octet_observer, octet_observer_destroy> handle_;
};

// Makes exec run on any callable pool(n, task) that calls task(i) for i < n and returns when all
// have ended. The pool must outlive the calls; an exception out of it ends the program, because it
// may not cross the C interface.
template <class Pool>
void use_pool(octet_exec& exec, Pool& pool, std::int32_t max_threads) noexcept {
  exec.pool = std::addressof(pool);
  exec.max_threads = max_threads;
  exec.parallel_for = [](void* p, std::size_t n, octet_task task,
                         void* arg) noexcept -> std::int32_t {
    (*static_cast<Pool*>(p))(n, [task, arg](std::size_t i) noexcept { task(arg, i); });
    return 0;
  };
}

}  // namespace v1
}  // namespace octet

#endif  // OCTET_OCTET_HPP_

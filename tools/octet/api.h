// SPDX-License-Identifier: Apache-2.0
//
// The C interface as the program uses it: handles that free themselves, and failures as exceptions
// that carry the library's sentence.
#pragma once

#include <octet/octet.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace octet_cli {

// The library refused a call: exit status 1.
class LibraryError : public std::runtime_error {
 public:
  LibraryError(octet_status status, const char* text)
      : std::runtime_error(*text ? text : octet_status_name(status)), status_(status) {}
  octet_status status() const { return status_; }

 private:
  octet_status status_;
};

// The user asked for what does not exist: exit status 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// call(octet_xyz, arguments...) adds the error argument, which is the last one of every function.
template <typename Function, typename... Arguments>
void call(Function function, Arguments&&... arguments) {
  octet_error error = {};
  const octet_status status = function(std::forward<Arguments>(arguments)..., &error);
  if (status != OCTET_OK) throw LibraryError(status, error.text);
}

template <auto kDestroy>
struct Destroyer {
  template <typename Handle>
  void operator()(Handle* handle) const {
    kDestroy(handle);
  }
};
using Context = std::unique_ptr<octet_context, Destroyer<octet_context_destroy>>;
using Weights = std::unique_ptr<octet_weights, Destroyer<octet_weights_destroy>>;
using Op = std::unique_ptr<octet_op, Destroyer<octet_op_destroy>>;
using Observer = std::unique_ptr<octet_observer, Destroyer<octet_observer_destroy>>;

// A growable struct, zeroed, with its size filled in.
template <typename Struct>
Struct sized() {
  Struct s = {};
  s.struct_size = sizeof(Struct);
  return s;
}

// Under the named ISA cap, or without one where it is empty. A cap that is unknown, of another
// architecture or not usable on this CPU is a UsageError: a result under another name than the one
// asked for would mislead. Operations that only reference code can run are allowed: every table
// names the kernel that ran.
Context make_context(const std::string& max_isa);

// The JSON text of octet_context_describe.
std::string describe(const octet_context* context);

Weights make_weights(const octet_context* context, const octet_weights_desc& desc);
Op make_linear(const octet_context* context, const octet_linear_desc& desc);
Op make_conv(const octet_context* context, const octet_linear_desc& desc,
             const octet_geometry& geometry);

// The plan for in; its strings are static.
octet_plan plan(const octet_op* op, const octet_tensor& in);

// Runs with a workspace of its own. reserve() comes first, once for the largest input, so that
// run() is the library's call and nothing else.
class Runner {
 public:
  void reserve(const octet_op* op, const octet_tensor& in);
  void run(const octet_op* op, const octet_tensor& in, const octet_tensor& out);

 private:
  std::vector<unsigned char> workspace_;
};

}  // namespace octet_cli

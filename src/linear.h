// SPDX-License-Identifier: Apache-2.0
//
// y = act(x * w^T + bias) on packed weights: what octet_linear_create and octet_gemm share. A
// Linear is plain data: how the activations arrive, what comes out, which kernels do it. Its column
// arrays (start, bias term, multiplier; docs/numerics.md) lie in the op when the activation scale
// is known at create, else in the workspace of each call.
#pragma once

#include "src/columns.h"
#include "src/scheme.h"
#include "src/select.h"
#include "src/weights.h"

namespace octet {

enum class Input {
  kStatic,        // scale and zero point known at create
  kCall,          // q8 with qparams that come with each call, one or one for each row
  kDynamicRow,    // F32, quantized row by row
  kDynamicTensor  // F32, one scale for the whole call
};

struct Columns {
  int32_t* ibias;
  float* fbias;  // in fixed point: int32 exponents
  float* mult;   // in fixed point: int32 multipliers
};

void set_columns(Finish* f, const Columns& columns);

const char* numerics_name(int32_t numerics);  // "tflite"

struct Linear {
  WeightsView w;
  Input input;
  octet_qtype in, out;
  octet_qtype residual;   // type 0: none
  ResolvedScheme scheme;  // dynamic input
  octet_type q_type;      // integers of the activations before they take the tiles' form
  int32_t form;           // what the tiles read: U8, S8 or S16 (widened)
  int32_t shift;          // operand integer minus activation integer: 0, 128 or -128
  bool copies_a;          // rows that tiles could read as they are lie badly for the caches
  int32_t numerics;
  int32_t lo, hi;  // q8 out
  float flo, fhi;  // f32 out
  GemmTable table;
  int32_t in_bytes, out_bytes;  // of an element
  RunFn *quantize, *flip, *widen;
  RangeFn* minmax;
  RowSumFn* rowsum;
  FixedFn* finish_fixed;       // TFLite's numerics, else nullptr
  int64_t prepared_pitch;      // bytes from a rewritten row of activations to the next
  int64_t chunk;               // rows that are prepared at a time at most
  bool holds_columns;          // the op keeps the weights in the layout kLayoutColumns too
  const int8_t* columns;       // them, or nullptr; column n at n * column_pitch(w.k)
  const Columns* fixed;        // kStatic: filled at create
  const Finish* fixed_finish;  // kStatic: fixed_finish() kept by an op, or nullptr

  bool dynamic() const { return input == Input::kDynamicRow || input == Input::kDynamicTensor; }
  // The activations are rewritten into the workspace before the tiles read them.
  bool packs_a() const { return dynamic() || copies_a || form != static_cast<int32_t>(q_type); }
  // Tiles read the caller's tensor, and nothing that belongs to a row is needed.
  bool in_place() const {
    return input == Input::kStatic && !packs_a() && !w.has_zero && !w.form.group;
  }
};

// What a layer is asked for, before anything is decided.
struct LinearSpec {
  octet_qtype in, out;
  octet_qtype residual;  // type 0: none
  const octet_scheme* dynamic;
  int32_t act;
  float lo, hi;
  int32_t numerics;
  const char* in_name;   // "octet_linear_desc.in" or "a"
  const char* out_name;  // for the sentences
  const char* desc_name;
  bool convolution;  // whose kernels are chosen apart
  bool keeps_copy;   // an op, which may hold weights of a few columns in a form of its own
};

// That of octet_linear_create, or octet_conv_create.
LinearSpec linear_spec(const octet_linear_desc& d, bool convolution);

// Checks types, ranges and exactness, finds the kernels. w may be a shape without data.
octet_status prepare_linear(octet_error* err, const octet_context& c, const WeightsView& w,
                            const LinearSpec& spec, Linear* out);

// The part of prepare_linear that depends on the shape of l->w: its table of tiles, their form.
octet_status choose_kernels(octet_error* err, const octet_context& c, Linear* l);
// What activations become before the tiles of l->table read them.
void take_form(const octet_context& c, Linear* l);
inline int32_t out_tag(const Linear& l) { return is_q8(l.out.type) ? int32_t{kOutQ8} : l.out.type; }

// INEXACT when K is so large that an accumulator could wrap; judged by types, zero points and bias.
octet_status check_exact(octet_error* err, const Linear& l);

// Fills columns for one activation scale. ARGUMENT or NOT_FINITE, naming the channel, when a
// product leaves the domain.
octet_status fill_columns(octet_error* err, const Linear& l, float scale, int32_t zero,
                          const Columns& to);
// The same for other columns of the layer's weights than l.w: `first` is the number of the first.
octet_status fill_columns(octet_error* err, const Linear& l, const WeightsView& w, int64_t first,
                          float scale, int32_t zero, const Columns& to);

size_t columns_bytes(const WeightsView& w);  // all three, one block
Columns columns_at(const WeightsView& w, void* block);

// What of a finish depends on nothing but the op: bounds, output, residual, fixed point.
Finish output_finish(const Linear& l);

// rows: the product of x's leading dims.
size_t linear_workspace(const Linear& l, int64_t rows);

// Rows of a call that are prepared and then taken by the tiles before the next ones are: one thread
// finds what it has prepared in its L2, several share out what the workspace holds.
int64_t rows_at_a_time(const octet_context& c, const Linear& l, int64_t rows, int32_t threads,
                       const GemmPlan& plan);

// Sets prepared_pitch and chunk.
void size_chunks(Linear* l);

// What the tiles of a kStatic layer do below the accumulators; l.fixed is filled.
Finish fixed_finish(const Linear& l);

// Where the rows of a checked call lie: `groups` groups of `rows` rows, none of them empty.
struct LinearCall {
  const char* x;
  char* y;
  const char* r;           // the residual, or nullptr
  const octet_qparams* q;  // kCall
  int64_t groups, rows;
  int64_t pitch_x, pitch_y, pitch_r;  // bytes from a row to the next within a group
  const RowPairs* pairs;              // where the groups start; nullptr where there is one
  int64_t item_x, item_y;             // bytes of an element; set where there are pairs

  void start(int64_t group, const char** at_x, char** at_y, const char** at_r) const {
    *at_x = x;
    *at_y = y;
    *at_r = r;
    if (!pairs) return;
    int64_t a, b, c;
    pairs->start(group, &a, &b, &c);
    *at_x += a * item_x;
    *at_y += b * item_y;
    if (r) *at_r += c * item_y;  // of the same size as an output
  }
};

// True for calls whose tiles are known: run_small then does what run_linear would on the calling
// thread. For ops: plan_small_calls and fixed_finish have been there.
inline bool is_small(const Linear& l, int64_t rows) {
  return rows <= l.table.small_m && l.in_place();
}
void run_small(const Linear& l, const char* x, int64_t pitch_x, char* y, int64_t pitch_y,
               int64_t rows);

// The workspace holds linear_workspace bytes.
octet_status run_linear(octet_error* err, const octet_context& c, const Linear& l,
                        const LinearCall& call, const Exec& exec, void* workspace);

// The same for views. x: [..., K] with x.q for kCall; y and r: [..., N]; all checked. r: the
// residual of a layer that has one, else nullptr.
octet_status run_linear(octet_error* err, const octet_context& c, const Linear& l, const View& x,
                        const View& y, const View* r, const Exec& exec, void* workspace);

// The same for weights with a scale for each group of K (src/linear_group.cpp).
size_t group_workspace(const Linear& l, int64_t rows);
octet_status run_group(octet_error* err, const octet_context& c, const Linear& l,
                       const LinearCall& call, const Exec& exec, void* workspace);

// The qparams of a kCall input against the rows of this call.
octet_status check_call_qparams(octet_error* err, const char* name, const octet_qparams* q,
                                octet_type type, int64_t rows);

}  // namespace octet

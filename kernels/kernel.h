// SPDX-License-Identifier: Apache-2.0
//
// What a kernel is. Each kernel is one function and one registry row (Row below); the row is data
// that the selector, the tests, the benchmarks and `octet info` walk. Rows come from
// gen/kernels.toml, the table from gen/generate.py; the functions from gen/templates (SIMD GEMM),
// kernels/elementwise (Highway) and kernels/reference (scalar: it defines every bit). This header
// is included by files compiled for one instruction set each, so it holds plain structs only: an
// inline function here would become a weak symbol that the linker may keep in its AVX-512 form for
// everybody.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Kernel functions: C linkage, hidden, named octet_<row name>.
#define OCTET_KERNEL extern "C" __attribute__((visibility("hidden")))

namespace octet {

// Instruction sets, one bit each; a mask says which a context may use. Names: isa_name() in
// src/cpu.h.
enum Isa : uint32_t {
  kIsaScalar = 1u << 0,
  kIsaAvx2 = 1u << 1,        // with FMA, BMI1/2, F16C, AES, PCLMUL (Highway's whole AVX2 set)
  kIsaAvxVnni = 1u << 2,     // VEX vpdpbusd
  kIsaAvx512Bw = 1u << 3,    // F, BW, VL, DQ, CD
  kIsaAvx512Vnni = 1u << 4,  // EVEX vpdpbusd
  kIsaAmx = 1u << 5,         // AMX-INT8
  kIsaNeon = 1u << 6,
  kIsaNeonDot = 1u << 7,
  kIsaNeonI8mm = 1u << 8,
};

struct Tile;
struct Finish;

// Finishes n <= 64 sums, corrected and with their bias, of columns col and following in fixed point
// and stores them as bytes at c. They are padded to a multiple of 16; col is one.
typedef void FixedFn(const Finish*, const int32_t* acc, int32_t col, int32_t n, void* c);

// Everything below the accumulators, shared by all tiles of one call. Arrays indexed by column are
// padded to a multiple of 16 columns and may be read up to there; arrays indexed by row hold
// exactly the call's rows.
//
// Order (docs/numerics.md), acc in int32 modulo 2^32, floats in binary32, one rounding each, never
// fused:
//   acc = sum(a * b) - row_a[i] * col_a[j] - row_b[i] * col_b[j] + ibias[j]
//   f = float(acc)
//   one activation scale (row_scale null):
//     q8:  f = (f + fbias[j]) * mult[j]
//     f32: f = f * mult[j] + fbias[j]
//   a scale per row:
//     q8:  f = (f * (row_scale[i] * mult[j]) + fbias[j]) * inv_out
//     f32: f = f * (row_scale[i] * mult[j]) + fbias[j]
//   residual (not null), r of this row and column:
//     q8:  f = f + residual_scale * float((r ^ residual_flip) - residual_zero), r as a u8
//     f32: f = f + r, a NaN becoming 0x7FC00000
//   q8:  q = rne(clamp(f, lo - zp, hi - zp)) + zp, stored as a byte; a NaN gives lo
//   f32: y = min(fhi, max(flo, f)), a NaN handed on with its bits
//   s32: acc itself
// In fixed point (fixed not null; q8 only, without row_scale and residual):
//   q = clamp(scaled(acc, fixed_mult[j], fixed_exp[j]), lo - zp, hi - zp) + zp
// where scaled, acc times fixed_mult[j] / 2^31 * 2^fixed_exp[j], rounds as FixedRounding says
// (kernels/reference/fixed.h).
enum FixedRounding : int32_t { kRoundTwice, kRoundOnce };

struct Finish {
  const int32_t* ibias;  // never null
  const float* fbias;  // q8, f32: never null (0 where there is no bias: float(acc) is never -0, so
                       // +0 keeps the bits)
  const float* mult;   // q8, f32: never null
  const int32_t *row_a, *col_a;  // activation zero point x column sum, or both null
  const int32_t *row_b, *col_b;  // corrected row sum x weight zero point, or both null
  const float* row_scale;        // null: one activation scale
  float inv_out;                 // fl(1 / output scale); with row_scale and q8 only
  float flo, fhi;                // f32 out: bounds, -inf and +inf where there is none; never -0
  int32_t zp, lo, hi;            // q8 out: zero point and bounds, in the output type
  int32_t flip;  // q8 out: 0 for u8, 128 for s8 (kernels narrow to u8 and flip the sign bit)
  const void* residual;  // row i of the call at residual + i * ldr; bytes or floats, as C; or null
  ptrdiff_t ldr;         // bytes
  float residual_scale;  // q8 out
  int32_t residual_zero, residual_flip;  // q8 out: flip 0 for u8, 128 for s8, counted in the zero
  FixedFn* fixed;                        // q8 out: takes over from the sums on; or null
  const int32_t* fixed_mult;             // [2^30, 2^31), or 0
  const int32_t* fixed_exp;              // [-31, 30]
  int32_t fixed_rounding;                // FixedRounding
};

// One batch-reduce tile: C[m,n] = finish(init + sum over taps t of A_t[m,kc] * B_t[kc,n]).
// GEMM is one tap with a stride; a convolution is kh*kw taps with an offset for each row.
struct Tile {
  const void* a;  // bytes (u8 or s8) or, for rows of act S16, int16 in the order k0 k2 k1 k3
                  // of each 4 k
  const ptrdiff_t* rows;  // indexed rows: [taps][mr] byte offsets from a; a row >= m repeats a
                          // valid one. Strided rows: null
  ptrdiff_t lda;  // strided rows: row i of tap t is at a + tap[t] + i * lda (bytes); m must be mr
  const ptrdiff_t* tap;  // strided rows: [taps] byte offsets
  int32_t taps, kc;  // kc: elements of K in each tap. A is read for exactly kc elements (S16: for
                     // kc rounded up to 4, the padding being zeros); B for kc rounded up to 4
  const int8_t*
      b;  // canonical panels: [k/4][16 columns][4 k], 64-byte aligned; tap t starts at t
          // * ceil(kc/4) * 64. Weight U4: [k/8][16 columns][4 bytes], where byte i holds
          // k = i in its low and k = 4 + i in its high nibble; tap t at t * ceil(kc/8) * 64
  ptrdiff_t panel;       // bytes from a 16-column panel to the next; all nr/16 panels exist
  const int32_t* init;   // partial sums of earlier K blocks, row-major; null: 0
  ptrdiff_t ldi;         // elements
  void* c;               // row i of C at c + i * ldc
  ptrdiff_t ldc;         // bytes
  int32_t m, n;          // rows and columns to store: 1 <= m <= mr, 1 <= n <= nr
  int32_t row0, col0;    // where the tile stands: indices into the arrays of finish
  const Finish* finish;  // null: store raw int32 sums
};
typedef void TileFn(const Tile*);

// A block of the output of any size: C[m,n] = finish(A[m,kc] * B[kc,n]). For instruction sets whose
// tiles of one block overlap with those of the next, so that the walk over the block belongs to the
// kernel.
struct Block {
  const void* a;    // row i at a + i * lda, exactly kc bytes of it are read
  ptrdiff_t lda;    // bytes
  int32_t kc;       // at least 1
  const int8_t* b;  // as in Tile; the panels of n columns exist, and no others
  ptrdiff_t panel;
  void* c;  // row i of C at c + i * ldc
  ptrdiff_t ldc;
  int32_t m, n;           // at least 1
  int32_t row0, col0;     // indices into the arrays of finish
  int32_t columns_outer;  // what stays in the caches: 0 rows of A, while B streams; 1 a panel of B
  int32_t
      prefetch;  // with columns_outer: B is beyond L2, so fetch the next columns' panels into it
  const Finish* finish;  // never null
  // Rows of an image where they lie, for the layout kLayoutC16K4 alone. K is `taps` pieces of kc,
  // piece t of a row tap[t] bytes behind its start, of B at t * ceil(kc/4) * 64. taps 0: one piece,
  // at the start.
  const ptrdiff_t* tap;
  int32_t taps;
  // Rows come in strips of `height` <= 16 rows lda apart, strip s at a + strip[s]; m is a multiple
  // of height. null: all at a + i * lda.
  int32_t height;
  const ptrdiff_t* strip;
  // Row i of A makes row at[i] of C and of the finish, none where it is -1. null: row i. No two
  // rows make the same.
  const int32_t* at;
};
typedef void BlockFn(const Block*);

// One tile of group-wise weights: K falls into groups, each with scales of its own.
// C[m,n] = finish(sum over groups g, ascending, of float(acc_g) * scale_g[j]), where
//   acc_g = sum over the group's k of a * b + sum over its blocks of pair[i] . column pair[j]
// in int32 modulo 2^32, and the sum in binary32 from +0 on, one rounding for each product and sum.
// The dot products of pairs take the zero points out: a block is up to 128 k of a group, its column
// pair (column sum, zero point), its row pair (-zero point, -(sum over the block of a - zero
// point)). So short a block keeps both within int16. The finish is that of a scale per row, in this
// order: f = f * s + fbias[j]; q8: f = f * inv_out.
struct GroupTile {
  const void* a;          // as in Tile; no tail: K is a multiple of 4, and of 8 with weight U4
  const ptrdiff_t* rows;  // [mr] byte offsets from a; a row >= m repeats a valid one
  int32_t kc, group;      // K, a multiple of group
  const int8_t* b;  // panels of records, one for each group: its k as in Tile, then 64 bytes of
                    // column pairs [16][2] int16 for each block, then its 16 scales
  ptrdiff_t panel;  // bytes from a 16-column panel to the next; all nr/16 panels exist
  const int32_t* pairs;  // [K/group * blocks][pitch] row pairs, the first of a pair in the low
                         // half; those of rows row0 to row0 + mr are read
  ptrdiff_t pitch;
  float scale;  // s of every row where finish->row_scale is null
  void* c;      // row i of C at c + i * ldc
  ptrdiff_t ldc;
  int32_t m, n;          // rows and columns to store: 1 <= m <= mr, 1 <= n <= nr
  int32_t row0, col0;    // where the tile stands: indices into the arrays of finish
  const Finish* finish;  // never null; of its columns fbias alone, no row_a and no row_b
};
typedef void GroupTileFn(const GroupTile*);
constexpr int32_t kPairBlock = 128;  // k of one pair

// Tiles of the family gemmlane, for groups of kr = 4 or 8 channels that have as many columns:
// column j reads the channels j / kr * kr + i, i < kr, of its row, of which nr bytes are read, and
// no others. Tile with kc = kr, n = nr, indexed rows, without init; a finish, without row_a, row_b
// and row_scale. B of a panel is [taps] of 16 * kr weights:
//   weight S8    [kr / 4 vectors][16 slots][4 k]; slot s of vector v: quad q = s % 4 of the 16
//                channels under the panel, so that 16 bytes of A are an operand for all slots
//   weight S16   [kr vectors][8 slots][2 k]; slot s: pair s of the 16 channels. A is widened as
//   read
// A column's slots, one for each quad or pair of its group, are added at the end; lane_column says
// which column of a panel a slot belongs to.

// A strip of a depthwise convolution: `outputs` rows of the output, `pixels` of each, all
// `channels`. The rows of the image under the strip are numbered through in units of kr rows, which
// the kernel interleaves once, column by column: kr bytes (or int16) of a channel, from kr rows,
// become neighbours in `scratch`, an operand of the dot product that serves every output whose
// window has that column.
//   acc[p][j] = sum over steps s and i < kr of
//               weight(s, j, i) * x((unit + at[s] % units) * kr + i, at[s] / units + p * stride,
//                                   (phase + j) / multiplier)
// where x(row, column, channel) is (byte ^ flip) as u8 or s8, whichever the row of the registry
// reads, and `pad` in place of the byte where the row or the column lies in the padding.
struct DepthwiseOut {     // a row of the output
  const int8_t* weights;  // [groups][steps][channels of the group][kr], int16 where the row's
                          // weight is S16; taps that a unit lacks are 0. Groups have nr channels,
                          // then, where there are fewer left, half as many and so on, 16 at least
  const int32_t* at;      // [steps] column * units + unit
  int32_t steps, unit;    // steps: at least 1; unit: the first one
  void* c;                // channel 0 of pixel 0
  const Finish* finish;   // never null; rows are pixels and columns channels of the strip; without
                          // row_a, row_b and row_scale
};
struct Depthwise {
  const uint8_t* const* rows;  // [units * kr] channel phase / multiplier of the first column that
                               // exists; null: a row in the padding
  ptrdiff_t pitch;             // bytes from a column to the next
  int32_t units, columns;      // columns: with those in the padding
  int32_t left, right;         // the first and last columns, which lie in the padding
  int32_t whole;               // of the columns between, the first so many have bytes behind their
                               // channels up to a multiple of 16 of these, which may be read; it
                               // counts with multiplier 1 alone
  int32_t pad, flip;           // pad: before flip, which is 0 or 128
  int32_t channels;            // of the output, at least 1
  int32_t multiplier, phase;   // 0 <= phase < multiplier
  void* scratch;               // units * columns * nr * 4 bytes, 64-byte aligned
  const DepthwiseOut* out;
  int32_t outputs, pixels;
  int32_t stride;  // columns from a pixel to the next
  ptrdiff_t ldc;   // bytes from a pixel to the next
};
typedef void DepthwiseFn(const Depthwise*);

// Element-wise kernels work on one contiguous run of n elements. qparams: one for the run (step 0)
// or one for each element (step 1: per channel along the innermost dim).
struct Run {
  const void* x;
  void* y;        // may equal x where both have the same element size
  uint8_t* mask;  // fakequant: written unless null; ste: read
  size_t n;
  const float* in_scale;   // dequantize, requantize from 8 bits: scale of x. requantize from s32:
                           // fl(scale of x / scale of y)
  const int32_t* in_zero;  // zero point of x
  const float*
      out_inv;  // quantize, requantize from 8 bits, fakequant: fl(1/s), or s itself with divide
  const float* out_scale;   // fakequant: s
  const int32_t* out_zero;  // zero point of y
  int32_t in_step, out_step;
  int32_t qmin, qmax;  // of y
  int32_t divide;      // quantize, requantize from 8 bits, fakequant: x / s instead of x * fl(1/s)
  int32_t away;        // the same: ties are rounded away from 0 instead of to even
  // Float zero points, or null: dequantize subtracts in_float, quantize and fakequant add out_float
  // before they round. The integer zero points beside them are 0.
  const float *in_float, *out_float;
  // y is larger than the caches and is no x: quantize, dequantize, fakequant, ste,
  // amax and clamp may store past them; no fence follows.
  int32_t stream;
};
typedef void RunFn(const Run*);

// Fake-quantization whose parameters are learned, and clipping: the gradient of one run of n
// elements, and for each of them its term in the gradients of both parameters.
//   learn   qf, y, s, z as fakequant has them (z: zero, or float_zero where not null), g = dy
//           in range:  dx = g, t0 = g * ((y - x) * inv),  t1 = 0
//           outside:   dx = 0, t0 = g * (float(bound) - z), t1 = -(g * s)
//   clip    dx = lo < x < hi ? g : 0, t0 = x <= lo ? g : 0, t1 = x >= hi ? g : 0
struct Grad {
  const float *x, *dy;
  float* dx;  // may equal dy, and x
  float *t0, *t1;
  size_t n;
  const float *scale, *inv;  // inv: fl(1/s), or s itself with divide
  const int32_t* zero;
  const float* float_zero;  // or null
  int32_t step;             // as Run.out_step
  int32_t qmin, qmax, divide, away;
  float lo, hi;
  int32_t stream;  // dx begins a cache line, and may be stored past the caches; no fence follows
  // learn with step, divide, away 0 and no float_zero, n a multiple of 16: where not null, the
  // terms are added here instead, that of element i to lanes0[i mod 16] and lanes1[i mod 16], i
  // ascending.
  double *lanes0, *lanes1;
};
typedef void GradFn(const Grad*);
// sum: lanes[i mod 16] += x[i], i ascending. sumcols: into[i] += x[i].
typedef void SumFn(const float* x, size_t n, double* into);

// Finite range of a run: min and max of the finite elements are joined into *into, NaN and
// infinities counted.
struct Range {
  float min, max;  // +inf and -inf while nothing finite was seen; a zero is always +0
  uint64_t nan_count, inf_count;
};
typedef void RangeFn(const float* x, size_t n, Range* into);
// The same for each of n columns of a matrix whose rows are `pitch` elements apart: into[0..n).
typedef void RangeColsFn(const float* x, size_t rows, ptrdiff_t pitch, size_t n, Range* into);
// The bin of a histogram that each of n elements belongs to.
enum BinsForm : int32_t { kBinsPow2, kBinsLinear };
struct Bins {
  // kBinsPow2: floor(x * scale) + bins / 2, but below bins / 2 for every x < 0; scale is a power of
  // two and every finite x has a bin. A zero has index `bins`.
  // kBinsLinear: trunc(fl(fl((x - first) * count) / (last - first))), at most bins - 1, where first
  // <= x <= last; count is float(bins). With absolute, x is |x|; with skip_zeros a zero has index
  // `bins`.
  // What is left, NaN and infinities among it, has index bins + 1.
  int32_t form, bins;
  float scale;
  float first, last, count;
  int32_t absolute, skip_zeros;
};
// index[i] is the bin of element i; or, where index is null, the elements are counted:
// ways[(i mod 2) * (bins + kBinSpare) + place] grows by one. Their place is their bin, that of
// index `bins` is bins + i mod 16, that of index bins + 1 is bins + 16: equal neighbours, of which
// zeros are the commonest, do not wait for each other. A way counts to 65,535.
typedef void BinsFn(const float* x, size_t n, const Bins*, int32_t* index, uint16_t* ways);
constexpr int32_t kBinWays = 2, kZeroWays = 16;
constexpr size_t kBinSpare = 2 * kZeroWays;  // places of a way beside its bins

typedef int32_t RowSumFn(const void* a, size_t n);  // sum of n bytes, modulo 2^32

// Pooling of bytes: `pixels` outputs of n channels each, which share the shape of their window. Tap
// (i, j, k) of pixel p, i < size[0] and so on, is the n bytes at
// x + p * step_x + i * step[0] + j * step[1] + k * step[2]; output p is the n bytes at y + p *
// step_y. Windows hold only taps that exist; y overlaps no tap.
struct Pool {
  const void* x;
  void* y;
  int64_t pixels, step_x, step_y;  // bytes
  size_t n;                        // at least 1
  int64_t size[3], step[3];        // their product is at least 1 and, for averages, below 2^23
  // Averages: acc = sum of taps - bias, then
  //   poolavg      rne(clamp(fl(float(acc) * mult), qmin - zero, qmax - zero)) + zero
  //   poolavgint   clamp((acc + or - divisor / 2) / divisor, qmin, qmax), away from 0 and then cut
  //                towards it; bias is 0
  int32_t bias;
  float mult;
  int32_t zero, qmin, qmax;
  int32_t divisor;  // poolavgint: at least 1
};
typedef void PoolFn(const Pool*);

// Bytes replaced by those of a table: y[i][j] = table[x[i][j]], bytes as unsigned numbers.
struct Lookup {
  const uint8_t* table;  // 256
  const void* x;         // row i at x + i * ldx
  void* y;               // may be x, with the same pitch
  size_t rows, n;        // n: bytes of a row
  ptrdiff_t ldx, ldy;
};
typedef void LookupFn(const Lookup*);

typedef void AnyFn(void);

// Families and the type of their fn:
//   gemm        TileFn    tiles; act U8, S8 or S16 (widened), weight S8 or U4, out: kOutQ8, F32,
//   S32
//               BlockFn   where the row's scope is kScopeBlock
//   gemmgroup   GroupTileFn  tiles; the same, out: kOutQ8, F32
//   gemmlane    TileFn    tiles of small groups; act U8, weight S8 or S16, out: kOutQ8
//   depthwise   DepthwiseFn  act U8 or S8, weight S8 (kr 4) or S16 (kr 2), out: kOutQ8, F32, S32;
//               mr pixels at a time, nr channels at most
//   quantize    RunFn     f32 -> u8, s8, u16, s16, s32 (whose zero point is 0)
//   dequantize  RunFn     u8, s8, u16, s16, s32 -> f32
//   requantize  RunFn     u8, s8, s32 -> u8, s8
//   fakequant   RunFn     f32 -> f32 and mask
//   ste         RunFn     f32 and mask -> f32
//   amax        RunFn     f32 -> f32 and mask: t = in_scale ? x * in_scale : x, v = t * out_inv,
//                         q = rne(clamp(v, qmin, qmax)), mask = |t| <= out_scale; out_inv 0: q = 0.
//                         y = q, or with divide q / out_inv (0 where that is 0)
//   clamp       RunFn     f32 -> f32: x < lo ? lo : x > hi ? hi : x with lo = *in_scale and
//                         hi = *out_scale; a NaN passes with its bits
//   learn       GradFn    f32
//   clip        GradFn    f32
//   sum         SumFn     f32
//   sumcols     SumFn     f32
//   convert     RunFn     f32 <-> f16, bf16; beyond the range of f16 its largest numbers
//   pack        RunFn     u8 -> u4, u2: n bytes, of which the low bits count, become ceil(n / 2) or
//                         ceil(n / 4), the first element lowest; bits that are left over are 0
//   unpack      RunFn     u4, u2 -> u8; s4, s2 -> s8: n elements; y overlaps no x
//   flip        RunFn     u8 <-> s8: the byte xor 0x80
//   widen       RunFn     u8, s8 -> s16 in the order k0 k2 k1 k3 of each 4; y is written for n
//                         rounded up to 4, zeros last
//   minmax      RangeFn   f32
//   minmaxcols  RangeColsFn  f32
//   bins        BinsFn    f32 -> s32
//   rowsum      RowSumFn  u8, s8
//   fixed       FixedFn   s32 -> kOutQ8
//   lut         LookupFn  x8 -> x8
//   poolmax     PoolFn    u8 -> u8, s8 -> s8
//   poolavg     PoolFn    u8, s8 -> u8, s8
//   poolavgint  PoolFn    u8 -> u8, s8 -> s8
enum Family : int32_t {
  kGemm,
  kGemmGroup,
  kGemmLane,
  kDepthwise,
  kQuantize,
  kDequantize,
  kRequantize,
  kFakeQuant,
  kSte,
  kAmax,
  kClamp,
  kLearn,
  kClip,
  kSum,
  kSumCols,
  kConvert,
  kPack,
  kUnpack,
  kFlip,
  kWiden,
  kMinMax,
  kMinMaxCols,
  kRowSum,
  kFixed,
  kLut,
  kPoolMax,
  kPoolAvg,
  kPoolAvgInt,
  kBins,
  kFamilies
};

enum RowsForm : int32_t { kRowsStrided, kRowsIndexed };

// What one call of a GEMM kernel computes: one tile, or a block of any size in steps of its tile.
enum Scope : int32_t { kScopeTile, kScopeBlock };

// How the weights of a GEMM lie in memory: the canonical panels that every packed file has, or a
// private copy beside them (kernels/proved.h; Tile.b is then the panel's first ProvedChunk, nr is
// 16, taps is 1, and kc is all of K).
//
// Columns, for matrices of a few of them: Block.panel is the bytes from a column to the next, nr
// is 1. A column is its K weights, zeros up to a multiple of kColumnStep, and kColumnStep bytes
// more: of its last kColumnTail weights those at k >= K / kColumnTail * kColumnTail, zeros
// elsewhere (where K < kColumnTail nothing but zeros). Finish has no residual and no fixed, Block
// neither taps nor strips.
enum Layout : int32_t { kLayoutC16K4, kLayoutProved, kLayoutColumns };
constexpr int32_t kColumnStep = 64, kColumnTail = 16;

// Operand tags of a row: octet_type values, 0 for a Range, and:
enum { kOutQ8 = 100 };  // u8 or s8: what Finish.flip says, or (flip, "x8" in its name) either

struct Row {
  const char* name;  // <family>_<act><weight>_<out>_<MR>x<NR>c<KR>_<isa>[_<variant>] or
                     // <family>_<in>_<out>_<isa>
  int32_t family;
  uint32_t isa;             // one Isa bit
  int32_t in, weight, out;  // octet_type tags, 0 where the family has none
  int32_t mr, nr, kr;       // tiles only; kr: K that a step takes
  int32_t rows;             // tiles only: RowsForm
  int32_t scope;            // tiles only: Scope
  int32_t layout;           // tiles only: Layout
  // Tiles only: cost model, cycles for each 4 of K and for each tile, for each call of a block, and
  // for each group of K.
  float cycles_k4, cycles_fixed, cycles_call, cycles_group;
  AnyFn* fn;
};

extern "C" {
extern const Row octet_rows[] __attribute__((visibility("hidden")));
extern const size_t octet_row_count __attribute__((visibility("hidden")));
}

}  // namespace octet

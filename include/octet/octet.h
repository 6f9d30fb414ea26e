/* SPDX-License-Identifier: Apache-2.0
 *
 * octet.h: the C interface of Octet, an int8 kernel library. This is the one header that an
 * embedder needs: C99, <stddef.h> and <stdint.h> only.
 *
 * The whole in one paragraph: a *context* knows the CPU and the caller's allocator; *weights* are
 * packed once and may be shared, saved and mapped; an *op* joins weights with types, scales and an
 * activation and is run with tensors; an *observer* collects the ranges from which scales are
 * chosen. Every output has the same bits on every instruction set, thread count, batch split,
 * compiler and host floating-point mode (docs/numerics.md).
 *
 * Rules that hold for every function:
 * R1 A const handle may be used by any number of threads at once; a non-const one needs exclusive
 * access. R2 err, exec, scheme and the context's desc may be NULL (defaults). On failure nothing
 * but *err was written; only OCTET_ERR_CANCELLED leaves the outputs unspecified. err is not touched
 * on success. R3 Descriptors and the arrays they point to are read during the call only. The one
 * retained pointer is octet_blob.data. R4 Handles hold references on what they use: destroy in any
 * order, once each; destroy(NULL) does nothing. R5 0 in a field means its documented default; a
 * field that has none refuses 0. Unknown enum values and flag bits are refused, and so are values
 * in reserved fields. R6 dims and strides: int64_t, in elements. Bytes and array lengths: size_t.
 * No function takes a float, an int64_t or a struct by value. R7 Tensors need only their element's
 * alignment; not one byte outside them is read or written. Outputs overlap nothing, except exact
 * aliases (same data, same strides) where a function says "in place". R8 Rounding mode,
 * flush-to-zero, denormals-are-zero and exception masks of the calling thread are set where they
 *    differ from the default, and restored before return.
 */
#ifndef OCTET_OCTET_H_
#define OCTET_OCTET_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* major * 10000 + minor * 100 + patch of this header; octet_version() tells the library's. */
#define OCTET_VERSION 100

#ifndef OCTET_API
#if defined(OCTET_BUILD) && defined(__GNUC__)
#define OCTET_API __attribute__((visibility("default")))
#else
#define OCTET_API
#endif
#endif

/* ---- enums: int32_t and constants, append-only ----
 * An unknown value is refused with the list of the known ones. */

typedef int32_t octet_status;
enum {
  OCTET_OK = 0,
  OCTET_ERR_ARGUMENT,    /* an argument is outside what its documentation allows */
  OCTET_ERR_MEMORY,      /* the allocator returned NULL; nothing changed */
  OCTET_ERR_UNSUPPORTED, /* known, but not in this release, build or on this CPU */
  OCTET_ERR_SLOW_ONLY,   /* only reference code can do it: allow that with OCTET_ALLOW_SLOW */
  OCTET_ERR_INEXACT,     /* K is so large that an int32 accumulator could wrap */
  OCTET_ERR_EMPTY,       /* an observer that has seen no finite value */
  OCTET_ERR_NOT_FINITE,  /* a scale, bias or range is NaN or infinite */
  OCTET_ERR_TOO_SMALL,   /* a buffer or workspace is too small: err->need has the bytes needed */
  OCTET_ERR_CORRUPT,     /* packed or saved bytes fail their checks */
  OCTET_ERR_VERSION,     /* a struct, blob or saved state from a newer Octet */
  OCTET_ERR_CANCELLED,   /* the caller's parallel_for answered non-zero; outputs are unspecified */
  OCTET_ERR_INTERNAL     /* a defect of Octet */
};

typedef int32_t octet_type;
enum {
  OCTET_U8 = 1,
  OCTET_S8,
  OCTET_S32,
  OCTET_F32,
  OCTET_U4,
  OCTET_S4,
  OCTET_S64,
  OCTET_F16,
  OCTET_BF16,
  OCTET_S16,
  OCTET_U16,
  OCTET_U2,
  OCTET_S2
};

/* octet_scheme.granularity */
enum {
  OCTET_GRANULARITY_DEFAULT = 0, /* what the place recommends: weights per channel, dynamic
                                    inputs per row, observers and fake-quantizers per tensor */
  OCTET_PER_TENSOR,
  OCTET_PER_CHANNEL,
  OCTET_PER_ROW,   /* one scale for each row of activations, also called per-token */
  OCTET_PER_GROUP, /* weights: one scale for each octet_scheme.group elements of K */
  OCTET_PER_SAMPLE /* one for each index of dims[0]: dynamic convolution */
};

/* octet_scheme.chooser: the formula from a range to (scale, zero point); the bits of each
          name are frozen */
enum {
  OCTET_CHOOSE_OCTET = 0,      /* docs/numerics.md, "Choosing qparams" */
  OCTET_CHOOSE_TORCH_OBSERVER, /* torch.ao.quantization observers, float32 */
  OCTET_CHOOSE_TORCH_NATIVE,   /* aten's ChooseQuantizationParams */
  OCTET_CHOOSE_TORCH_FBGEMM,   /* the same as FBGEMM computes it */
  OCTET_CHOOSE_ONNX,           /* ONNX DynamicQuantizeLinear, u8 */
  OCTET_CHOOSE_TFLITE,         /* TFLite's; zero points rounded away from zero */
  OCTET_CHOOSE_NVIDIA,         /* amax / qmax, zero point 0; signed or unsigned */
  OCTET_CHOOSE_XNNPACK,        /* XNNPACK's dynamic s8 */
  OCTET_CHOOSE_TORCHAO,        /* torchao's choose_qparams_affine, float32 */
  OCTET_CHOOSE_TORCH_FLOAT /* float zero points, for embedding tables: octet_choose_qparams_f32 */
};

/* octet_scheme.range: which part of what an observer has seen is quantized (docs/numerics.md,
   "Observers"); weights take OBSERVED and MSE, other places OBSERVED alone */
enum {
  OCTET_RANGE_OBSERVED = 0, /* all of it; the moving range, NVIDIA's amax */
  OCTET_RANGE_PERCENTILE,   /* HISTOGRAM, NVIDIA_HISTOGRAM, as the next two */
  OCTET_RANGE_ENTROPY,      /* least Kullback-Leibler divergence */
  OCTET_RANGE_MSE,          /* least squared error */
  OCTET_RANGE_L2            /* PyTorch's search; HISTOGRAM, TORCH_HISTOGRAM */
};

/* the bits of outputs, named and frozen per name (docs/numerics.md). All but TORCH are defined for
 * static U8 or S8 layers with U8 or S8 output, one activation scale and no residual */
enum {
  OCTET_NUMERICS_TORCH = 0,
  OCTET_NUMERICS_ONNX,         /* integer bias; the multiplier in float */
  OCTET_NUMERICS_QNNPACK,      /* the same; a multiplier in [2^-32, 256) */
  OCTET_NUMERICS_TFLITE,       /* 32-bit fixed point, rounded twice; weights without zero points */
  OCTET_NUMERICS_TFLITE_SINGLE /* 32-bit fixed point, rounded once; the same */
};

/* fused activation */
enum {
  OCTET_ACT_NONE = 0,
  OCTET_RELU,  /* max(y, 0) */
  OCTET_RELU6, /* min(max(y, 0), 6) */
  OCTET_CLAMP  /* min(max(y, lo), hi) with the desc's finite lo <= hi */
};

/* ---- frozen value types: never change size or meaning ---- */

/* Caller-owned; written on failure only. text is one sentence: argument, value, what is allowed,
 * what to do. */
typedef struct octet_error {
  octet_status status;
  int32_t reserved;
  int64_t need; /* OCTET_ERR_TOO_SMALL: bytes that suffice; else 0 */
  char text[496];
} octet_error;

/* A type and its per-tensor qparams: real = scale * (q - zero_point). */
typedef struct octet_qtype {
  octet_type type;
  float scale; /* finite, in [2^-60, 2^60] */
  int32_t zero_point;
} octet_qtype;

/* A view of qparams, real = scale[c] * (q - zero_point[c]). */
typedef struct octet_qparams {
  int64_t count; /* scales given: 1 (per tensor) or dims[axis] (per channel, or per row with axis
                    0); with a group that times the groups of the last dim, [dims[axis]][groups],
                    or the groups alone where axis is the last dim */
  int64_t group; /* 0, or elements of the last dim that share a scale, a divisor of it. In weights:
                    of K, with count N * K / group, a multiple of 4, of 8 for S4 and U4 */
  int32_t axis;  /* the dim that count > 1 belongs to; negative counts from the end */
  int32_t qmin, qmax; /* qmin = qmax = 0: the type's whole range; else qmin <= 0 <= qmax, qmin <
                         qmax, in the type */
  uint32_t flags; /* OCTET_DIVIDE: quantize divides by the scale instead of multiplying by 1/scale
                     (ONNX); OCTET_ROUND_AWAY: ties away from 0 (with OCTET_DIVIDE: TFLite). Both
                     for functions that quantize with it */
  const float* scale;          /* count values in [2^-60, 2^60] */
  const int32_t* zero_point;   /* count values within the type's range; NULL: all 0 */
  const float* zero_point_f32; /* instead of zero_point, count finite values, added before rounding
                                  (embedding tables): the element-wise functions only, not S32 */
  const void* reserved;        /* NULL */
} octet_qparams;

/* A view of the caller's memory. The data of an input is never written. */
typedef struct octet_tensor {
  void* data;             /* NULL only where the tensor has no element */
  const octet_qparams* q; /* NULL: as the op or the weights already know */
  octet_type type;
  int32_t rank; /* 0..6 */
  int64_t dims[6],
      strides[6]; /* elements; strides all 0: dense, row-major. The innermost stride is 1, except in
                     weight sources, which may have any strides (transposed views need no copy).
                     S4, U4, S2, U2: two or four elements in a byte, the first lowest, signed ones
                     in two's complement; innermost stride 1, each row begins at a byte. U2, S2,
                     U16, S16, F16 and BF16: octet_quantize and the like only */
  uint32_t flags; /* 0 */
  int32_t reserved; /* 0 */
} octet_tensor;

/* ---- callbacks: must not unwind, longjmp, or re-enter the call in progress ---- */

typedef void (*octet_task)(void* arg, size_t index);
/* Calls task(arg, i) for each i < n at most once, in any order, on any threads, and returns when
 * all that were started have ended: 0, or non-zero when some were not run because the caller
 * cancelled (OCTET_ERR_CANCELLED). An index that is skipped with return 0 is done by the calls that
 * did run. */
typedef int32_t (*octet_parallel_for)(void* pool, size_t n, octet_task task, void* arg);

/* alloc returns memory aligned to align (a power of two <= 64) or NULL; free gets the same size
 * back. Both may be called from any thread that creates or destroys handles. The user pointer must
 * stay valid until the last handle is gone. */
typedef struct octet_allocator {
  void* user;
  void* (*alloc)(void* user, size_t bytes, size_t align);
  void (*free)(void* user, void* p, size_t bytes);
} octet_allocator;

typedef void (*octet_log)(void* user, int32_t level, const char* line);

typedef struct octet_context octet_context;
typedef struct octet_weights octet_weights;
typedef struct octet_op octet_op;
typedef struct octet_observer octet_observer;

/* ---- growable structs: struct_size = sizeof, then flags ----
 * A shorter struct of an older header is completed with zeros, a longer one of a newer header is
 * accepted if what this library does not know is all zero. */

/* Where one call runs. NULL: on the calling thread, without a workspace. */
typedef struct octet_exec {
  uint32_t struct_size, flags; /* flags: 0 */
  void* workspace; /* any alignment and content; one call at a time; nothing survives in it */
  size_t workspace_bytes;
  octet_parallel_for parallel_for; /* NULL: serial */
  void* pool;
  int32_t max_threads; /* 0: 1. How many indices parallel_for is asked for at most; 1..1024 */
  int32_t plan;        /* 0: the selector's choice; n >= 1: candidate n of octet_plan.candidates */
} octet_exec;

/* How qparams are chosen; NULL: the recommended scheme of the place. */
typedef struct octet_scheme {
  uint32_t struct_size,
      flags;       /* OCTET_SYMMETRIC, OCTET_NARROW, OCTET_REDUCE_RANGE, OCTET_POW2, OCTET_DIVIDE */
  int64_t group;   /* OCTET_PER_GROUP: elements of K or the last dim, as in octet_qparams; else 0 */
  octet_type type; /* OCTET_U8 or OCTET_S8; also OCTET_S4 and OCTET_U4 but for dynamic layers; U16,
                      S16, U2 and S2 where no layer takes the scheme */
  int32_t granularity, axis, chooser, range;
  int32_t qmin, qmax; /* both 0: the type's whole range (NARROW: without the lowest value) */
  int32_t reserved;
  float eps; /* smallest scale; 0: the chooser's own (OCTET: 2^-60, TORCH_OBSERVER and TORCH_FLOAT:
                2^-23, TORCHAO: 2^-126). Only with these */
  float percentile;          /* OCTET_RANGE_PERCENTILE: in (0, 100]; 0: 99.99. Else 0 */
  int32_t start_bin, stride; /* OCTET_RANGE_ENTROPY, _MSE: the fewest bins that are kept and the
                                step of the search; 0: 128 and 1. Else 0 */
} octet_scheme;
enum {
  OCTET_SYMMETRIC = 1,
  OCTET_NARROW = 2,
  OCTET_REDUCE_RANGE = 4,
  OCTET_POW2 = 8,
  OCTET_DIVIDE = 16,
  OCTET_ROUND_AWAY = 32 /* ties away from 0, as TFLite; not in layers */
};

typedef struct octet_context_desc {
  uint32_t struct_size, flags;      /* OCTET_READ_ENV, OCTET_ALLOW_SLOW, OCTET_NO_AMX */
  const octet_allocator* allocator; /* NULL: the C library's memory */
  octet_log log;                    /* NULL: silent. Called at create only */
  void* log_user;
  const char* max_isa; /* cap by name: "scalar", "avx2", "avxvnni", "avx512bw", "avx512vnni", "amx",
                          "neon", "neondot", "neoni8mm"; a cap admits its parents only. NULL: all
                          that this CPU has */
  const char*
      force_kernel;   /* a kernel row's name, used wherever its types and shape fit; else the call
                         that needs   another kernel is refused. NULL: the selector chooses */
  const char* tuning; /* NULL in this release */
  size_t tuning_bytes;
  const void* jit; /* NULL in this release */
  size_t jit_bytes;
} octet_context_desc;
enum {
  OCTET_READ_ENV = 1, /* read OCTET_MAX_ISA, OCTET_FORCE_KERNEL and OCTET_VERBOSE, once, now; of two
                         ISA caps both bind */
  OCTET_ALLOW_SLOW =
      2, /* ops that only reference code can run are created instead of refused with SLOW_ONLY */
  OCTET_NO_AMX = 4, /* never ask Linux for AMX, which is a permission of the whole process and makes
                       sigaltstack refuse stacks too small for its registers. Without it, or a cap
                       below "amx", create asks */
  OCTET_JIT = 8     /* not in this release */
};

/* How windows slide over an image; entries 0 .. rank - 1 are D H W, H W or W, the others 0. An
 * output has floor((in + pad_lo + pad_hi - dilation * (kernel - 1) - 1) / stride) + 1 indices along
 * each dim, that of a transposed convolution (in - 1) * stride - pad_lo - pad_hi + dilation *
 * (kernel - 1) + 1 + out_pad. */
typedef struct octet_geometry {
  uint32_t struct_size, flags;    /* OCTET_TRANSPOSED; pooling: 0 */
  int32_t rank;                   /* spatial dims, 1 to 3 */
  int32_t groups;                 /* of channels; pooling: 1 */
  int32_t stride[3], dilation[3]; /* at least 1 */
  int32_t pad_lo[3], pad_hi[3];   /* before and behind the image, 0 or more */
  int32_t out_pad[3], reserved; /* out_pad: transposed only, below max(stride, dilation); else 0 */
} octet_geometry;
enum { OCTET_TRANSPOSED = 1 };

typedef struct octet_weights_desc {
  uint32_t struct_size, flags;    /* OCTET_SHAPE_ONLY, OCTET_LEAN */
  const octet_tensor* source;     /* [N,K], any strides: F32 (quantized here), or S8, U8, S4 or U4
                                     with q (scales, zero points). Convolution: [O,(D,H,)W,I/groups],
                                     or with groups above 1 also [groups,O/groups,(D,H,)W,I/groups],
                                     whatever its strides (OIHW and IOHW are views); no 4 bits, no
                                     groups of K; channels are axis 0, O scales */
  const octet_scheme* scheme;     /* F32 source only; NULL: s8, per channel (axis 0), symmetric,
                                     -127..127. range MSE:     the scale of least squared error */
  const octet_tensor* bias;       /* [N] F32, or S32 in units of in.scale * scale[n]; NULL: none */
  const octet_geometry* geometry; /* NULL: a matrix. Of a convolution's, rank, groups and flags
                                     count and, if transposed, stride and dilation, which must be
                                     those of the op; the rest is the op's alone */
} octet_weights_desc;
enum {
  OCTET_SHAPE_ONLY = 1, /* no data needed: ops can be planned and described, run is refused */
  OCTET_LEAN =
      2 /* never keep a second copy in a faster private layout: the one for AVX2 without VNNI */
};

/* Packed bytes: little-endian, self-describing, free of activation qparams, the same on every CPU.
 */
typedef struct octet_blob {
  uint32_t struct_size, flags; /* OCTET_BLOB_COPY, OCTET_BLOB_TRUSTED, OCTET_BLOB_MAY_REPACK */
  const void* data;            /* 64-byte aligned, unless OCTET_BLOB_COPY */
  size_t bytes;                /* may exceed the blob's own size */
  void (*release)(void* user, const void* data,
                  size_t bytes); /* called once, after the last op using it; NULL: the caller
                                    keeps data alive. With OCTET_BLOB_COPY: before return */
  void* user;
} octet_blob;
enum {
  OCTET_BLOB_COPY = 1,
  OCTET_BLOB_TRUSTED = 2, /* skip the payload's checksum, never the header's */
  OCTET_BLOB_MAY_REPACK =
      4 /* keep a second copy in a private layout, as octet_weights_create does */
};

typedef struct octet_linear_desc {
  uint32_t struct_size, flags; /* OCTET_RESIDUAL: in[1] is added to the output */
  const octet_weights* weights;
  const octet_scheme*
      dynamic;        /* in.type F32 only: how x is quantized; NULL: per row, u8 affine 0..255 */
  const uint8_t* lut; /* octet_conv_create, U8 or S8 output: 256 entries; else NULL */
  octet_qtype in;     /* U8 or S8 with scale and zero point (scale 0: qparams come with the call as
                         in[0].q, one or one     for each row); or F32: dynamic */
  octet_qtype out;    /* U8 or S8 with scale and zero point; F32; or S32 (raw accumulators) */
  octet_qtype
      residual; /* of in[1], with OCTET_RESIDUAL, else all 0: U8 or S8 with scale and zero point
                   of its own where out is U8 or S8, F32 where out is F32; not with S32 */
  int32_t act;  /* OCTET_ACT_NONE, OCTET_RELU, OCTET_RELU6, OCTET_CLAMP */
  float lo, hi; /* OCTET_CLAMP only: real bounds */
  int32_t numerics, reserved[3];
  const octet_tensor* expect; /* NULL in this release */
  size_t expects;
} octet_linear_desc;
enum { OCTET_RESIDUAL = 1 };

/* What a call would do. The caller sets struct_size; the library fills what fits into it. */
typedef struct octet_plan {
  uint32_t struct_size, flags; /* out: OCTET_PLAN_... */
  size_t workspace_bytes;      /* of this call */
  size_t state_bytes;          /* held by the op itself */
  size_t weight_bytes;         /* held by the weights: canonical bytes and private layouts */
  const char *kernel, *isa;    /* names of the main kernel row and of its ISA; static strings */
  const char *bound, *why;     /* what limits this shape, and why this kernel was chosen; static
                                  strings, "" if unknown */
  int32_t mr, nr, kr, mc, nc, kc, threads;
  int32_t candidates; /* how many values exec.plan may take for this call */
  int32_t prefetch, order;
  size_t jit_bytes;
  double modelled_seconds; /* 0: not modelled */
} octet_plan;
enum {
  OCTET_PLAN_REFERENCE = 1, /* scalar reference code */
  OCTET_PLAN_JIT = 2,
  OCTET_PLAN_PACKS_A = 4, /* activations are rewritten into the workspace first */
  OCTET_PLAN_REPACKED = 8,
  OCTET_PLAN_TUNED = 16
};

typedef struct octet_observer_desc {
  uint32_t struct_size, flags; /* OCTET_SKIP_ZEROS, OCTET_NUMPY_EDGES */
  int32_t kind, axis; /* OCTET_OBSERVE_...; axis: the channel dim, negative counts from the end */
  size_t channels; /* 0: per tensor; else dims[axis] of everything fed. Not for TORCH_HISTOGRAM and
                      NVIDIA_HISTOGRAM */
  float momentum;  /* MOVING: in (0, 1], 1: the last batch only; 0: 0.01 */
  int32_t
      bins; /* of a histogram: 2 to 2^20, even for HISTOGRAM; 0: 4096 for HISTOGRAM, else 2048 */
  size_t max_bins;    /* NVIDIA_HISTOGRAM: its growth, up to 2^20; 0: 65,536. Allocated at create */
  size_t group;       /* 0 */
  const float* scale; /* FIXED: one, or one for each channel, in [2^-60, 2^60]; copied */
  const int32_t* zero_point;                          /* FIXED: the same number; NULL: all 0 */
  void* user;                                         /* CALLBACK: handed to both functions */
  int32_t (*feed)(void* user, const octet_tensor* x); /* CALLBACK: takes a checked tensor; 0: done,
                                                         else the feed is CANCELLED */
  int32_t (*range)(void* user, float* min, float* max,
                   size_t count); /* CALLBACK: writes count (1, or channels) ranges; 0: done, else
                                     EMPTY */
} octet_observer_desc;
enum {
  OCTET_OBSERVE_MINMAX = 0,      /* the finite range */
  OCTET_OBSERVE_MOVING,          /* its moving average over batches */
  OCTET_OBSERVE_HISTOGRAM,       /* Octet's: equal for every order and batching, can be merged */
  OCTET_OBSERVE_TORCH_HISTOGRAM, /* torch.ao's HistogramObserver */
  OCTET_OBSERVE_FIXED,           /* given constants */
  OCTET_OBSERVE_CALLBACK,        /* the caller's statistic */
  OCTET_OBSERVE_ABSMAX,          /* NVIDIA's MaxCalibrator */
  OCTET_OBSERVE_NVIDIA_HISTOGRAM /* NVIDIA's HistogramCalibrator */
};
enum {
  OCTET_SKIP_ZEROS = 1, /* HISTOGRAM, NVIDIA_HISTOGRAM: searches leave exact zeros out */
  OCTET_NUMPY_EDGES =
      2 /* NVIDIA_HISTOGRAM: edges as numpy's path makes them, from the smallest
           magnitude of the first batch on, below which later ones are not counted */
};

/* What an observer has seen. The caller sets struct_size. */
typedef struct octet_observed {
  uint32_t struct_size, flags;
  uint64_t count; /* elements fed, all kinds */
  uint64_t nan_count, inf_count;
  double min, max; /* of the finite elements, over all channels (MOVING: the moving range); +inf and
                      -inf while there are none, and for CALLBACK */
} octet_observed;

/* The state of a fake-quantizer lives in the caller's buffers, where checkpoints and all-reduce can
 * reach it. */
typedef struct octet_fake_quantizer {
  uint32_t struct_size,
      flags;      /* OCTET_NO_OBSERVE, OCTET_NO_QUANTIZE: the two switches of a QAT schedule */
  float momentum; /* moving range; 0: 0.01; 1: this batch only; in (0, 1] */
  int32_t bits;   /* 0: the scheme's type; else 2..16, signed or unsigned as the scheme's type */
  size_t count;   /* 1, or as octet_qparams counts for a scheme per channel or per group */
  const octet_scheme* scheme; /* NULL: u8 affine per tensor */
  float *run_min, *run_max;   /* count each, read and written; at first +inf and -inf */
  float* scale;               /* count, written */
  int32_t* zero_point;        /* count, written */
} octet_fake_quantizer;
enum { OCTET_NO_OBSERVE = 1, OCTET_NO_QUANTIZE = 2 };

typedef struct octet_learn_desc {
  uint32_t struct_size, flags; /* flags: 0 */
  int32_t kind;                /* OCTET_LEARN_LSQ, OCTET_LEARN_LSQ_PLUS */
  float grad_factor; /* of the sums: 1 / sqrt(elements * qmax) in the LSQ paper; finite; 0: 1 */
} octet_learn_desc;
enum { OCTET_LEARN_LSQ = 0, OCTET_LEARN_LSQ_PLUS };

typedef struct octet_amax_desc {
  uint32_t struct_size, flags; /* OCTET_UNSIGNED, OCTET_NARROW */
  int32_t bits;                /* 2..16 */
  int32_t axis;                /* the dim of amax; negative counts from the end */
  size_t count;                /* 1, or dims[axis] */
  const float* amax;           /* count magnitudes, finite, 0 or more */
  const float* pre_scale;      /* NULL; or factors that x is multiplied by first (SmoothQuant), for
                                  each index of the last dim, within [2^-60, 2^60] */
  size_t pre_count;            /* 0, 1 or the last dim */
  float scale_amax;            /* amax counts times this; 0: 1; positive */
  int32_t reserved;            /* 0 */
} octet_amax_desc;
enum { OCTET_UNSIGNED = 1 };

typedef struct octet_gemm_desc {
  uint32_t struct_size, flags; /* flags: 0 */
  int32_t act;
  float lo, hi;
  int32_t numerics;
} octet_gemm_desc;

typedef struct octet_pool_desc {
  uint32_t struct_size, flags; /* OCTET_CEIL, OCTET_EXCLUDE_PAD, OCTET_ADAPTIVE, OCTET_GLOBAL */
  octet_qtype in, out;         /* U8 or S8, each with scale and zero point */
  int32_t kind;                /* OCTET_POOL_MAX, OCTET_POOL_AVERAGE */
  int32_t kernel[3];           /* as in octet_geometry; all 0 with ADAPTIVE and GLOBAL */
  int32_t out_size[3];         /* ADAPTIVE: output extents, first spatial dim first; else all 0 */
  int32_t divisor;             /* averages: instead of the window's; 0: the window's */
  int32_t numerics;            /* OCTET_NUMERICS_TORCH, _TFLITE, _TFLITE_SINGLE (which is equal) */
  int32_t reserved;            /* 0 */
} octet_pool_desc;
enum { OCTET_POOL_MAX = 0, OCTET_POOL_AVERAGE };
enum {
  OCTET_CEIL = 1, /* round output extents up; no window begins behind the image */
  OCTET_EXCLUDE_PAD =
      2,              /* averages divide by the taps that exist, not by those in the padding too */
  OCTET_ADAPTIVE = 4, /* out_size windows share each dim: [floor(o*I/O), ceil((o+1)*I/O)) */
  OCTET_GLOBAL = 8    /* one window, the whole image */
};

/* A normalization; in this release only what octet_fold_batchnorm reads. */
typedef struct octet_norm_desc {
  uint32_t struct_size, flags;      /* flags: 0 */
  const octet_tensor *gamma, *beta; /* [channels] F32; NULL: all 1, all 0 */
  const octet_tensor *mean, *var;   /* [channels] F32; var >= 0 */
  octet_qtype in, out;              /* all 0 */
  int32_t kind;                     /* OCTET_NORM_BATCH */
  int32_t axis;   /* the weights' dim of output channels: 0, or 1 for a transposed convolution */
  int32_t groups; /* 0: 1. More with axis 1 only: channel g * dims[1] + j is index j of that dim in
                     the g-th part of dims[0] */
  float eps;      /* added to var; 0: 1e-5 */
} octet_norm_desc;
enum {
  OCTET_NORM_SOFTMAX = 0, /* all but BATCH are not in this release */
  OCTET_NORM_LAYER,
  OCTET_NORM_RMS,
  OCTET_NORM_GROUP,
  OCTET_NORM_BATCH
};

/* How octet_round_weights rounds. */
typedef struct octet_round_desc {
  uint32_t struct_size, flags; /* flags: 0 */
  int32_t kind;                /* OCTET_ROUND_GPTQ, _ADAROUND, _NEAREST */
  int32_t iterations;          /* ADAROUND: steps of learning; 0: 1,000. The others: 0 */
  const octet_scheme* scheme;  /* as in octet_weights_desc */
  float damp; /* GPTQ: added to the diagonal, as a share of its mean; 0: 0.01. The others: 0 */
  float lr;   /* ADAROUND: Adam's learning rate; 0: 0.01. The others: 0 */
} octet_round_desc;
enum {
  OCTET_ROUND_GPTQ = 0, /* column by column, each error spread over the columns to come */
  OCTET_ROUND_ADAROUND, /* up or down, learned against the error of the layer's output */
  OCTET_ROUND_NEAREST   /* each weight by itself */
};

/* Which factors octet_equalize finds. */
typedef struct octet_equalize_desc {
  uint32_t struct_size, flags; /* flags: 0 */
  int32_t kind;                /* OCTET_EQUALIZE_CROSS_LAYER, _SMOOTH, _INPUT_WEIGHT */
  float alpha; /* SMOOTH: 1 gives the weights all of the range of x; 0: 0.5. The others: 0 */
  const float *x_min, *x_max; /* SMOOTH, INPUT_WEIGHT: the range of each channel of x, finite;
                                 CROSS_LAYER: NULL */
} octet_equalize_desc;
enum { OCTET_EQUALIZE_CROSS_LAYER = 0, OCTET_EQUALIZE_SMOOTH, OCTET_EQUALIZE_INPUT_WEIGHT };

/* How two tensors differ. The caller zeroes it and sets struct_size; octet_compare adds to the sums
 * and derives the last five. */
typedef struct octet_difference {
  uint32_t struct_size, flags; /* flags: 0 */
  uint64_t count;              /* pairs, all of them */
  uint64_t nan_count;          /* of them with a NaN or an infinity, left out of all else */
  uint64_t clip_count;         /* of want, outside what the integers of got can say */
  double xx, yy, xy, dd;       /* sums of want^2, got^2, want * got, (got - want)^2 */
  double max_abs;              /* the largest |got - want| */
  double qlo, qhi;             /* the integers of got that occurred */
  double sqnr_db;              /* 10 log10(xx / dd): +inf where dd is 0, else -inf where xx is */
  double nl2;                  /* sqrt(dd / xx): 0 where dd is 0, else +inf where xx is */
  double cosine;               /* xy / sqrt(xx * yy): 1 where both are 0, 0 where one is */
  double clipped;              /* clip_count / pairs; 0 where got is F32 */
  double range_used;           /* (qhi - qlo + 1) / (qmax - qmin + 1); 0 where got is F32 */
} octet_difference;

/* ---- the library ---- */

/* The library's version, in the form of OCTET_VERSION. */
OCTET_API uint32_t octet_version(void);

/* A static name such as "OCTET_ERR_ARGUMENT"; for a value this library does not know,
 * "OCTET_ERR_UNKNOWN". */
OCTET_API const char* octet_status_name(octet_status s);

/* ---- context: the CPU, the ISA cap, the allocator; immutable ---- */

/* Detects the CPU (CPUID and XGETBV, or the auxiliary vector: no file is read) and writes a context
 * to *out. ARGUMENT: an unknown ISA or kernel name, an unknown flag, an allocator without both
 * functions. UNSUPPORTED: an ISA name of another architecture; tuning, jit. A known ISA that this
 * CPU or build lacks is a bound: its parents are used, and octet_context_describe says so. */
OCTET_API octet_status octet_context_create(const octet_context_desc* d, octet_context** out,
                                            octet_error* err);

/* Writes one JSON object (keys are only ever added): version, cpu, max_isa and force_kernel (the
 * context's cap and forced row, "" if none), isas (usable, else why not), caches in bytes (0:
 * unknown), kernels. *need gets the bytes needed, the terminating 0 included; cap 0 with json NULL
 * asks for it. TOO_SMALL: cap < *need. */
OCTET_API octet_status octet_context_describe(const octet_context* c, char* json, size_t cap,
                                              size_t* need, octet_error* err);
OCTET_API void octet_context_destroy(octet_context* c);

/* ---- weights ---- */

/* Bytes of the packed form of d; they follow from the shape alone, so d->source->data may be NULL
 * here. */
OCTET_API octet_status octet_weights_bytes(const octet_context* c, const octet_weights_desc* d,
                                           size_t* bytes, octet_error* err);

/* Packs d into blob (64-byte aligned, bytes >= octet_weights_bytes). A pure function: the same
 * source gives the same bytes on every CPU and thread count. NOT_FINITE: a non-finite weight, scale
 * or bias, named by its index. On failure the content of blob is as it was. */
OCTET_API octet_status octet_weights_pack(const octet_context* c, const octet_weights_desc* d,
                                          void* blob, size_t bytes, const octet_exec* e,
                                          octet_error* err);

/* Opens packed bytes, without a copy unless OCTET_BLOB_COPY. On failure nothing is retained and
 * release is not called. CORRUPT: checksum, size or an offset does not fit. VERSION: written by a
 * newer Octet. */
OCTET_API octet_status octet_weights_open(const octet_context* c, const octet_blob* b,
                                          octet_weights** out, octet_error* err);

/* bytes + allocate + pack + open in one call. Where the context's kernels gain by a private layout,
 * a second copy is kept in it (about 1.1 times the canonical bytes), unless OCTET_LEAN: under a cap
 * of "avx2", or on a CPU that has no more, for weights whose distribution allows it. octet_plan
 * counts it. Ops of other contexts read the canonical bytes. */
OCTET_API octet_status octet_weights_create(const octet_context* c, const octet_weights_desc* d,
                                            const octet_exec* e, octet_weights** out,
                                            octet_error* err);

/* The packed bytes, to save them; valid as long as w. UNSUPPORTED for OCTET_SHAPE_ONLY weights. */
OCTET_API octet_status octet_weights_blob(const octet_weights* w, const void** data, size_t* bytes,
                                          octet_error* err);
OCTET_API void octet_weights_destroy(octet_weights* w);

/* ---- ops: one create per kind of layer, the same verbs for all ---- */

/* y = act(x * w^T + bias). in[0]: x [..., K], out[0]: y [..., N]; leading dims are rows, of any
 * number, also 0. static  U8/S8 -> U8/S8, F32 or S32 with in.scale given here, or with the call
 * (in.scale 0); dynamic F32 -> F32: x is quantized row by row (default) or with one scale for the
 * whole call (OCTET_PER_TENSOR, a compatibility scheme that gives up independence of the batch). A
 * row that holds a NaN or an infinity gives a row of the NaN 0x7FC00000; the status is OK. INEXACT:
 * K could wrap the accumulator (docs/numerics.md, "Accumulator"). With OCTET_RESIDUAL every verb
 * takes two inputs: in[1], [..., N], is added before the activation; it may be out[0] itself (in
 * place). NOT_FINITE, ARGUMENT: scales whose products leave the domain; the sentence names the
 * channel. SLOW_ONLY: no fast kernel for these types under this cap. */
OCTET_API octet_status octet_linear_create(const octet_context* c, const octet_linear_desc* d,
                                           octet_op** out, octet_error* err);

/* Convolution: d as for octet_linear_create, with weights that were packed with a geometry; g says
 * the same rank, groups and OCTET_TRANSPOSED, and if transposed the same stride and dilation.
 * in[0]: [batch, spatial dims, channels], rank 3 to 5, out[0]: [batch, output extents, output
 * channels] (octet_op_infer). What a window reads beyond the image is the input's zero point.
 * Images may have any strides but the innermost, so that a producer can write into a larger image.
 * F32 input (dynamic) is quantized with one scale for each sample, an index of dims[0]
 * (OCTET_PER_SAMPLE, the default), or with one for the call (OCTET_PER_TENSOR); a NaN or an
 * infinity makes all that shares its scale the NaN 0x7FC00000. in.scale 0: in[0].q has one scale,
 * or one for each sample. lut: 256 bytes of the output type; each byte of U8 or S8 output, after
 * residual and bounds, is replaced by lut[its bits as u8]. A batch or an image without an element
 * gives none. ARGUMENT: geometry unlike the weights', a kernel larger than the padded image. All
 * else as octet_linear_create. */
OCTET_API octet_status octet_conv_create(const octet_context* c, const octet_linear_desc* d,
                                         const octet_geometry* g, octet_op** out, octet_error* err);

/* Maxima or averages of windows. in[0]: [batch, spatial dims, channels], rank 3 to 5 (with ADAPTIVE
 * and GLOBAL any of them), out[0]: the same rank, batch and channels. g: the windows; NULL with
 * ADAPTIVE and GLOBAL. Padding never wins a maximum and adds nothing to a sum; each pad is at most
 * half of the kernel, and averages have dilation 1. From one type or scale to another, maxima are
 * requantized as by octet_requantize. Averages: rne(fl(float(sum of (q - z_in)) * m)) + z_out,
 * clamped, with m = fl(fl(s_in / s_out) / divisor); with OCTET_NUMERICS_TFLITE, which wants in and
 * out equal, sum of q over the taps that exist, divided with halves away from 0. A batch or image
 * of no element gives none. The op needs no workspace. SLOW_ONLY: as octet_linear_create. At run,
 * INEXACT: an average of 2^23 taps or more. */
OCTET_API octet_status octet_pool_create(const octet_context* c, const octet_pool_desc* d,
                                         const octet_geometry* g, octet_op** out, octet_error* err);

/* Fills type, rank and dims of out from those of in; strides become 0, data and q stay. */
OCTET_API octet_status octet_op_infer(const octet_op* o, const octet_tensor* in, size_t n_in,
                                      octet_tensor* out, size_t n_out, octet_error* err);

/* Bytes of workspace for this call and every one with the same inner dims, fewer rows and fewer
 * threads. in: shapes only. */
OCTET_API octet_status octet_op_workspace(const octet_op* o, const octet_tensor* in, size_t n_in,
                                          const octet_exec* e, size_t* bytes, octet_error* err);

/* Runs. Allocates nothing, locks nothing, starts no thread; needs at most 16 KiB of stack.
 * TOO_SMALL: the workspace. */
OCTET_API octet_status octet_op_run(const octet_op* o, const octet_tensor* in, size_t n_in,
                                    const octet_tensor* out, size_t n_out, const octet_exec* e,
                                    octet_error* err);

/* What octet_op_run would do with these shapes. */
OCTET_API octet_status octet_op_plan(const octet_op* o, const octet_tensor* in, size_t n_in,
                                     const octet_exec* e, octet_plan* p, octet_error* err);

/* The same and more as one JSON object; cap and need as in octet_context_describe. */
OCTET_API octet_status octet_op_describe(const octet_op* o, const octet_tensor* in, size_t n_in,
                                         const octet_exec* e, char* json, size_t cap, size_t* need,
                                         octet_error* err);
OCTET_API void octet_op_destroy(octet_op* o);

/* ---- observers ---- */

/* An observer that has seen nothing. All memory it will ever need is allocated here, but for that
 * of a search. ARGUMENT: a field that the kind has no use for is set. */
OCTET_API octet_status octet_observer_create(const octet_context* c, const octet_observer_desc* d,
                                             octet_observer** out, octet_error* err);

/* Adds x (F32, any rank; its innermost stride 1, a stride of 0 repeats) to the statistics. NaN and
 * infinities are counted and left out. Never allocates. Feeding no element changes nothing. A
 * histogram without channels is filled on several threads if the workspace has 8 * (bins + 32)
 * bytes for each of them, and 63 more; the bits are the same. On failure the state is as before,
 * except after CANCELLED. TOO_SMALL: NVIDIA_HISTOGRAM beyond max_bins; err->need is 8 * the bins it
 * wants. NOT_FINITE: a range too wide for float arithmetic. */
OCTET_API octet_status octet_observer_feed(octet_observer* o, const octet_tensor* x,
                                           const octet_exec* e, octet_error* err);

/* Chooses count scales and zero points (1, or channels) from what was seen, with any scheme and any
 * range method that the kind has, as often as wanted. s NULL: u8 affine. FIXED gives its constants.
 * zero_point may be NULL only where every zero point is 0. EMPTY: no finite value yet. MEMORY: a
 * search, and CALLBACK, take some for the time of the call. */
OCTET_API octet_status octet_observer_qparams(const octet_observer* o, const octet_scheme* s,
                                              float* scale, int32_t* zero_point, size_t count,
                                              octet_error* err);

/* The ranges that octet_observer_qparams chooses from. FIXED: what its integers can hold. */
OCTET_API octet_status octet_observer_range(const octet_observer* o, const octet_scheme* s,
                                            float* min, float* max, size_t count, octet_error* err);
OCTET_API octet_status octet_observer_stats(const octet_observer* o, octet_observed* s,
                                            octet_error* err);

/* Adds what `from` has seen; both must have been made alike. Any order of merges gives the same
 * state. UNSUPPORTED: all kinds but MINMAX, ABSMAX and HISTOGRAM, which depend on order by
 * definition, or are the caller's. */
OCTET_API octet_status octet_observer_merge(octet_observer* into, const octet_observer* from,
                                            octet_error* err);

/* Another observer with the same state. UNSUPPORTED: CALLBACK, as for save. */
OCTET_API octet_status octet_observer_copy(const octet_observer* o, octet_observer** out,
                                           octet_error* err);

/* on not 0: feeds are checked, answered OK and change nothing, until it is thawed with 0. Copied,
 * but not saved. o NULL: nothing is done. */
OCTET_API void octet_observer_freeze(octet_observer* o, int32_t on);

/* The state as versioned little-endian bytes, equal on every CPU; cap 0 with bytes NULL asks for
 * *need. */
OCTET_API octet_status octet_observer_save(const octet_observer* o, void* bytes, size_t cap,
                                           size_t* need, octet_error* err);
OCTET_API octet_status octet_observer_load(const octet_context* c, const void* bytes, size_t n,
                                           octet_observer** out, octet_error* err);
OCTET_API void octet_observer_reset(octet_observer* o);
OCTET_API void octet_observer_destroy(octet_observer* o);

/* ---- quantization, element by element ---- */

/* count ranges [min, max] -> count (scale, zero point) by the scheme's chooser. s NULL: u8 affine.
 * NOT_FINITE, ARGUMENT: a range that is not finite, or min > max, named by its index. zero_point as
 * in octet_observer_qparams. */
OCTET_API octet_status octet_choose_qparams(const octet_scheme* s, const float* min,
                                            const float* max, size_t count, float* scale,
                                            int32_t* zero_point, octet_error* err);

/* The same with float zero points, real = scale * (q - zero_point): OCTET_CHOOSE_TORCH_FLOAT, whose
 * ranges need not hold 0 (zero_point = -min / scale), or any other chooser, whose integers are
 * given as floats. zero_point is required. */
OCTET_API octet_status octet_choose_qparams_f32(const octet_scheme* s, const float* min,
                                                const float* max, size_t count, float* scale,
                                                float* zero_point, octet_error* err);

/* q = clamp(rne(x * fl(1/s)) + z, qmin, qmax); NaN -> qmin. x F32, F16 or BF16, q of the same dims
 * and any integer type but S64 (S32: zero point 0); qparams in q->q. The bits that a row of S4, U4,
 * S2 or U2 leaves over in its last byte become 0. With a float zero point
 * q = clamp(rne(x * fl(1/s) + z), qmin, qmax). */
OCTET_API octet_status octet_quantize(const octet_context* c, const octet_tensor* x,
                                      const octet_tensor* q, const octet_exec* e, octet_error* err);

/* y = fl(s * float(q - z)). q of any type that octet_quantize writes, with qparams in q->q; y F32,
 * or F16 or BF16, to which y is rounded (ties to even; beyond F16's range its largest number). With
 * a float zero point y = fl(s * fl(float(q) - z)). */
OCTET_API octet_status octet_dequantize(const octet_context* c, const octet_tensor* q,
                                        const octet_tensor* y, const octet_exec* e,
                                        octet_error* err);

/* From q's qparams to y's, both of any type that octet_quantize writes, in place where elements
 * have the same size. It is quantize(dequantize(q)); but from S32 it is rne(clamp(v)) + z2 with v =
 * fl(float(q) * fl(s1/s2)). */
OCTET_API octet_status octet_requantize(const octet_context* c, const octet_tensor* q,
                                        const octet_tensor* y, const octet_exec* e,
                                        octet_error* err);

/* Observes x, chooses and quantizes in one call. s NULL: u8 affine per row, a row being all dims
 * but the last; also per tensor, per channel and per group. q: of the scheme's type, q->q NULL.
 * scale and zero_point get count values: 1, the rows, or as octet_qparams counts them. Elements
 * that are not finite are left out of the range; the rest of them is as in octet_quantize. */
OCTET_API octet_status octet_quantize_dynamic(const octet_context* c, const octet_tensor* x,
                                              const octet_scheme* s, const octet_tensor* q,
                                              float* scale, int32_t* zero_point, size_t count,
                                              const octet_exec* e, octet_error* err);

/* Copies elements of the same type, any but packed ones, or converts among F32, F16 and BF16 (ties
 * to even; beyond F16's range, infinities too, its largest number). from.q and to.q play no part.
 */
OCTET_API octet_status octet_copy(const octet_context* c, const octet_tensor* from,
                                  const octet_tensor* to, const octet_exec* e, octet_error* err);

/* ---- raw GEMM ---- */

/* y[M,N] = act(a[M,K] * b[N,K]^T + bias), where b is packed in the workspace at each call. */

OCTET_API octet_status octet_gemm_workspace(const octet_context* c, const octet_gemm_desc* d,
                                            const octet_tensor* a, const octet_tensor* b,
                                            const octet_tensor* y, const octet_exec* e,
                                            size_t* bytes, octet_error* err);

/* a U8 or S8, qparams per tensor or per row in a->q (NULL: scale 1, zero point 0); b S8 or U8, any
 * strides ([K,N] by strides), qparams per tensor or per channel (axis 0) in b->q (NULL: scale 1,
 * zero point 0); bias F32, S32 or NULL; y S32, F32, or U8/S8 with y->q. For weights that stay the
 * same, octet_linear_create is faster. */
OCTET_API octet_status octet_gemm(const octet_context* c, const octet_gemm_desc* d,
                                  const octet_tensor* a, const octet_tensor* b,
                                  const octet_tensor* bias, const octet_tensor* y,
                                  const octet_exec* e, octet_error* err);

/* ---- fake-quantization for training ---- */

/* One call of a QAT step: observe x into the running range (unless OCTET_NO_OBSERVE), choose scale
 * and zero point, write y = dequantize(quantize(x)) (unless OCTET_NO_QUANTIZE: y = x, mask 1). y
 * may be x (in place). mask: one byte for each element, dense, 1 where the gradient passes, or
 * NULL. EMPTY: no finite value seen yet; nothing is written. */
OCTET_API octet_status octet_fake_quant_step(const octet_context* c, const octet_fake_quantizer* f,
                                             const octet_tensor* x, const octet_tensor* y,
                                             uint8_t* mask, const octet_exec* e, octet_error* err);

/* y = (clamp(rne(x * fl(1/s)) + z, qmin, qmax) - z) * s; mask = 1 where the unclamped integer lies
 * in [qmin, qmax]. q gives scales, zero points and qmin < qmax (both required here). NaN gives
 * (qmin - z) * s with mask 0. In place allowed. */
OCTET_API octet_status octet_fake_quant(const octet_context* c, const octet_tensor* x,
                                        const octet_qparams* q, const octet_tensor* y,
                                        uint8_t* mask, const octet_exec* e, octet_error* err);

/* The straight-through estimator: dx = mask ? dy : 0. In place allowed. */
OCTET_API octet_status octet_fake_quant_backward(const octet_context* c, const octet_tensor* dy,
                                                 const uint8_t* mask, const octet_tensor* dx,
                                                 const octet_exec* e, octet_error* err);

/* ---- fake-quantization with learned ranges ---- */

/* Fake-quantization whose scale and zero point are trained: as octet_fake_quant with q->scale and,
 * if the zero point is learned too, q->zero_point_f32; otherwise q->zero_point, or NULL for 0.
 * OCTET_LEARN_LSQ takes the integer nearest to a float zero point, within [qmin, qmax]; LSQ_PLUS
 * the float itself. In place allowed. */
OCTET_API octet_status octet_fake_quant_learn(const octet_context* c, const octet_learn_desc* d,
                                              const octet_tensor* x, const octet_qparams* q,
                                              const octet_tensor* y, const octet_exec* e,
                                              octet_error* err);

/* Its gradients. Where the unclamped integer lies in [qmin, qmax]: dx = dy, and dy * ((y - x) / s)
 * counts for the scale; elsewhere dx = 0, dy * (bound - z) counts for the scale and -dy * s for the
 * zero point. dscale[i] and dzero_point[i] (NULL: not learned), i < count = q->count, get the sums
 * times grad_factor, added in binary64 in one order for any number of threads (docs/numerics.md,
 * "Sums"); they are overwritten. dx may be dy. With one scale, threads are used only where the
 * workspace has 16 bytes for each 4,096 elements, and 63 more. */
OCTET_API octet_status octet_fake_quant_learn_backward(
    const octet_context* c, const octet_learn_desc* d, const octet_tensor* dy,
    const octet_tensor* x, const octet_qparams* q, const octet_tensor* dx, float* dscale,
    float* dzero_point, size_t count, const octet_exec* e, octet_error* err);

/* y = min(max(x, *lo), *hi), finite *lo <= *hi; a NaN stays. PACT is a clip with lo fixed at 0; the
 * learned range of a TensorQuantizer clips and then quantizes with amax = max(-lo, hi). In place.
 */
OCTET_API octet_status octet_clip(const octet_context* c, const octet_tensor* x, const float* lo,
                                  const float* hi, const octet_tensor* y, const octet_exec* e,
                                  octet_error* err);

/* dx = dy where *lo < x < *hi, else 0; *dlo = sum of dy where x <= *lo, *dhi = sum of dy where
 * x >= *hi (NULL: fixed). dx may be dy; sums and workspace as octet_fake_quant_learn_backward. */
OCTET_API octet_status octet_clip_backward(const octet_context* c, const octet_tensor* dy,
                                           const octet_tensor* x, const float* lo, const float* hi,
                                           const octet_tensor* dx, float* dlo, float* dhi,
                                           const octet_exec* e, octet_error* err);

/* Quantization by the largest magnitude, as NVIDIA's tensor_quant: scale = fl(bound / amax) with
 * bound = 2^(bits - 1) - 1, or 2^bits - 1 unsigned; q = clamp(rne(fl(x * scale)), -bound or 0,
 * bound), so always narrow. q: F32, or an integer type of one or two bytes that holds the range.
 * scale: d->count values, or NULL. An amax of at most 2^-24 gives q = 0 and scale 1. ARGUMENT: a
 * negative amax, a negative x with OCTET_UNSIGNED. */
OCTET_API octet_status octet_amax_quantize(const octet_context* c, const octet_amax_desc* d,
                                           const octet_tensor* x, const octet_tensor* q,
                                           float* scale, const octet_exec* e, octet_error* err);

/* The same and back: y = fl(q / scale), q not narrow unless OCTET_NARROW; mask = 1 where |x| <=
 * amax, the real value (dense, or NULL). Backward: octet_fake_quant_backward. In place. */
OCTET_API octet_status octet_amax_fake_quant(const octet_context* c, const octet_amax_desc* d,
                                             const octet_tensor* x, const octet_tensor* y,
                                             uint8_t* mask, const octet_exec* e, octet_error* err);

/* ---- folding ---- */

/* Lets a layer take over the batch normalization behind it: with r = 1 / sqrt(var + eps),
 * w' = w * (gamma * r) and b' = (b - mean) * r * gamma + beta for each output channel, in binary32,
 * in place. weight: F32 of rank 2 to 6, any strides, for linear [N,K] and convolution in any order
 * of dims that begins with the output channels (axis 0), or [I,O,...] (axis 1). bias: F32
 * [channels], zeros where the layer has none. Needs no context; weight and bias need exclusive
 * access. NOT_FINITE: an input, or a result, that is not finite; nothing is written. ARGUMENT:
 * shapes that do not fit, a negative variance, overlaps. */
OCTET_API octet_status octet_fold_batchnorm(const octet_norm_desc* bn, const octet_tensor* weight,
                                            const octet_tensor* bias, octet_error* err);

/* ---- weight methods: docs/numerics.md has the formulas. Bits do not depend on threads ---- */

/* h[i * K + j] += the sum of x[r, i] * x[r, j] over the rows r of x, F32 [..., K], and *rows +=
 * their number: what octet_round_weights has to know of a layer's input. h: K * K doubles, zeroed
 * by the caller at first, needs exclusive access; K at most 65,536. Batches add in order. Needs no
 * workspace. NOT_FINITE: a NaN or an infinity in x; nothing is written. */
OCTET_API octet_status octet_gram(const octet_context* c, const octet_tensor* x, double* h,
                                  uint64_t* rows, const octet_exec* e, octet_error* err);

/* w (F32 [N,K], any strides) becomes the integers q with `count` scales and zero points: 1, N or,
 * with groups, N * K / group as [N][K/group]. q: [N,K] of the scheme's type, or one byte an element
 * (S8 or U8). h, rows: from octet_gram over inputs of this layer (NULL for OCTET_ROUND_NEAREST).
 * zero_point may be NULL where the scheme has none. q and scale then are a source for
 * octet_weights_create. TOO_SMALL: the workspace, which this call always needs; err->need has its
 * size. EMPTY: *rows is 0. NOT_FINITE: a weight, or h, also one that stays singular however it is
 * damped. ARGUMENT: shapes, overlaps, a scale outside the domain. */
OCTET_API octet_status octet_round_weights(const octet_context* c, const octet_round_desc* d,
                                           const octet_tensor* w, const double* h,
                                           const uint64_t* rows, const octet_tensor* q,
                                           float* scale, int32_t* zero_point, size_t count,
                                           const octet_exec* e, octet_error* err);

/* Finds count factors t, one for each channel, and changes weights by them in place, so that layers
 * compute what they did and quantize better. w2 (F32, rank 2 to 6, any strides) reads the channels
 * along its last dim, [N,K] or OHWI. w1 (its channels along axis 0) and b1 make them; NULL: the
 * caller scales x.
 *   CROSS_LAYER: w1 / t, b1 / t, w2 * t equalize the ranges of w1 and w2, which must have nothing
 *     but ReLU or the identity between them. w1 required.
 *   SMOOTH: x / t, w2 * t with t = |x|^alpha / |w2|^(1 - alpha) of the largest absolute values.
 *   INPUT_WEIGHT: x * t, w2 / t with t = sqrt(range of w2 / range of x).
 * TOO_SMALL: the workspace, which CROSS_LAYER needs. NOT_FINITE: a weight or range that is not
 * finite, or would not be; nothing is written. */
OCTET_API octet_status octet_equalize(const octet_context* c, const octet_equalize_desc* d,
                                      const octet_tensor* w1, const octet_tensor* b1,
                                      const octet_tensor* w2, float* t, size_t count,
                                      const octet_exec* e, octet_error* err);

/* sum[n] += got - want over all but the last dim, *rows += the number of terms in each. want: F32
 * [..., N], what a layer answers in float; got: what it answers quantized, F32, or U8 or S8 with q.
 * Then bias[n] - sum[n] / rows corrects what quantization shifts. sum: N doubles, zeroed by the
 * caller at first. Needs no workspace. NOT_FINITE: a NaN or an infinity; nothing is written. */
OCTET_API octet_status octet_bias_error(const octet_context* c, const octet_tensor* want,
                                        const octet_tensor* got, double* sum, uint64_t* rows,
                                        const octet_exec* e, octet_error* err);

/* ---- numeric suite ---- */

/* Adds the differences of got from want to d. want: F32; got: F32, or U8 or S8 with q, of the same
 * dims. Needs no workspace. */
OCTET_API octet_status octet_compare(const octet_context* c, const octet_tensor* want,
                                     const octet_tensor* got, octet_difference* d,
                                     const octet_exec* e, octet_error* err);

/* ---- settings as text ----
 * One line of key=value, fields in order, defaults left out, enum values and flags by name
 * ("flags=symmetric|narrow type=s8 granularity=per_channel"), floats in 9 digits, no locale.
 * Reading takes any order and any white space; what it read from what was written is equal. */

/* cap, need: as in octet_context_describe. UNSUPPORTED: pointers of an octet_observer_desc.
 * ARGUMENT: a value that has no name. */
OCTET_API octet_status octet_scheme_write(const octet_scheme* s, char* text, size_t cap,
                                          size_t* need, octet_error* err);
OCTET_API octet_status octet_observer_desc_write(const octet_observer_desc* d, char* text,
                                                 size_t cap, size_t* need, octet_error* err);

/* Reads n characters (a terminating 0 is not needed). The caller sets struct_size; every other
 * field is written. ARGUMENT: an unknown or repeated key or a value out of bounds; the sentence has
 * its offset and what is allowed. Whether the values fit together is seen where they are used. */
OCTET_API octet_status octet_scheme_read(const char* text, size_t n, octet_scheme* s,
                                         octet_error* err);
OCTET_API octet_status octet_observer_desc_read(const char* text, size_t n, octet_observer_desc* d,
                                                octet_error* err);

/* The settings that a name stands for: of activations and of weights, each with the observer that
 * feeds its chooser. The caller sets struct_size of each part and passes NULL for those that it
 * does not want or that the recipe does not have (dynamic activations have no observer). Observers
 * per channel have channels 0, which the caller sets. Names: octet, octet_dynamic, octet_qat;
 * PyTorch's get_default_qconfig as fbgemm, x86, qnnpack, onednn, and get_default_qat_qconfig as
 * qat_fbgemm
 * ...; its default_..._qconfig and default_..._observer as they are; NVIDIA's QUANT_DESC_... in
 * lower case (docs/numerics.md, "Recipes", lists all). */
OCTET_API octet_status octet_recipe(const char* name, octet_scheme* act,
                                    octet_observer_desc* act_observer, octet_scheme* weight,
                                    octet_observer_desc* weight_observer, octet_error* err);

/* ---- helpers for C ---- */

static inline octet_tensor octet_view(octet_type t, const void* p, int32_t rank, int64_t a,
                                      int64_t b, int64_t c, int64_t d) {
  octet_tensor v = {0, 0, 0, 0, {0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0}, 0, 0};
  v.data = (void*)(uintptr_t)p;
  v.type = t;
  v.rank = rank;
  v.dims[0] = a;
  v.dims[1] = b;
  v.dims[2] = c;
  v.dims[3] = d;
  return v;
}
static inline octet_tensor octet_vec(octet_type t, const void* p, int64_t n) {
  return octet_view(t, p, 1, n, 0, 0, 0);
}
static inline octet_tensor octet_mat(octet_type t, const void* p, int64_t rows, int64_t cols) {
  return octet_view(t, p, 2, rows, cols, 0, 0);
}
static inline octet_tensor octet_nhwc(octet_type t, const void* p, int64_t n, int64_t h, int64_t w,
                                      int64_t ch) {
  return octet_view(t, p, 4, n, h, w, ch);
}

#ifdef __cplusplus
}
#endif
#endif /* OCTET_OCTET_H_ */

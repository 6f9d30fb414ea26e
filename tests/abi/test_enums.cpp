// SPDX-License-Identifier: Apache-2.0
//
// Every enum field and every flags word against every kind of value: known ones are accepted or
// named as missing, unknown ones and unknown bits refused with field, value and what is known.
#include <algorithm>

#include "world.h"

namespace contract {
namespace {

struct EnumField {
  const char* name;
  int32_t last;                // the last constant of octet.h
  std::vector<int32_t> known;  // accepted here; the other constants answer UNSUPPORTED or ARGUMENT
  const char* known_name;      // of the list in the sentence
  std::function<octet_status(World&, int32_t, octet_error*)> call;
};

const EnumField kEnums[] = {
    {"octet_scheme.granularity",
     OCTET_PER_SAMPLE,
     {0, 1, 2, 3},
     "OCTET_PER_TENSOR",
     [](World& w, int32_t v, octet_error* err) {
       w.scheme.granularity = v;
       return w.choose_qparams(err);
     }},
    {"octet_scheme.granularity",
     OCTET_PER_SAMPLE,
     {0, 1, 2},
     "OCTET_PER_TENSOR",
     [](World& w, int32_t v, octet_error* err) {
       w.weights_scheme.granularity = v;
       w.weights.scheme = &w.weights_scheme;
       return w.weights_create(err);
     }},
    {"octet_scheme.granularity",
     OCTET_PER_SAMPLE,
     {0, 1, 3},
     "OCTET_PER_TENSOR",
     [](World& w, int32_t v, octet_error* err) {
       w.dynamic_scheme.granularity = v;
       return w.dynamic_create(err);
     }},
    {"octet_scheme.chooser",
     OCTET_CHOOSE_TORCH_FLOAT,
     {0, 1, 2, 3, 4, 5, 6, 8},
     "OCTET_CHOOSE_OCTET",
     [](World& w, int32_t v, octet_error* err) {
       w.scheme.chooser = v;
       return w.choose_qparams(err);
     }},
    {"octet_scheme.range",
     OCTET_RANGE_L2,
     {0},
     "OCTET_RANGE_OBSERVED",
     [](World& w, int32_t v, octet_error* err) {
       w.scheme.range = v;
       return w.observer_qparams(err);
     }},
    {"octet_scheme.type",
     OCTET_S2,
     {OCTET_U8, OCTET_S8, OCTET_U16, OCTET_S16, OCTET_U4, OCTET_S4, OCTET_U2, OCTET_S2},
     "OCTET_U8",
     [](World& w, int32_t v, octet_error* err) {
       w.scheme.type = v;
       return w.choose_qparams(err);
     }},
    {"octet_scheme.type",
     OCTET_S2,
     {OCTET_U8, OCTET_S8, OCTET_U16, OCTET_S16, OCTET_U4, OCTET_S4, OCTET_U2, OCTET_S2},
     "OCTET_U8",
     [](World& w, int32_t v, octet_error* err) {
       w.scheme.type = v;
       return w.fake_quant_step(err);
     }},
    {"octet_linear_desc.act",
     OCTET_CLAMP,
     {0, 1, 2, 3},
     "OCTET_RELU6",
     [](World& w, int32_t v, octet_error* err) {
       w.linear.act = v;
       return w.linear_create(err);
     }},
    {"octet_gemm_desc.act",
     OCTET_CLAMP,
     {0, 1, 2, 3},
     "OCTET_RELU6",
     [](World& w, int32_t v, octet_error* err) {
       w.gemm_desc.act = v;
       return w.gemm(err);
     }},
    {"octet_linear_desc.numerics",
     OCTET_NUMERICS_TFLITE_SINGLE,
     {0, 1, 2, 3, 4},
     "OCTET_NUMERICS_TORCH",
     [](World& w, int32_t v, octet_error* err) {
       w.linear.numerics = v;
       return w.linear_create(err);
     }},
    {"octet_gemm_desc.numerics",
     OCTET_NUMERICS_TFLITE_SINGLE,
     {0, 1, 2},
     "OCTET_NUMERICS_TORCH",
     [](World& w, int32_t v, octet_error* err) {
       w.gemm_desc.numerics = v;
       return w.gemm(err);
     }},
    {"octet_observer_desc.kind",
     OCTET_OBSERVE_NVIDIA_HISTOGRAM,
     {0, 1, 2, 3, 6, 7},
     "OCTET_OBSERVE_MINMAX",
     [](World& w, int32_t v, octet_error* err) {
       w.observer_desc.kind = v;
       return w.observer_create(err);
     }},
    {"octet_linear_desc.in.type",
     OCTET_S2,
     {OCTET_U8, OCTET_S8},
     "U8",
     [](World& w, int32_t v, octet_error* err) {
       w.linear.in = {v, 0.5f, 0};
       return w.linear_create(err);
     }},
    {"octet_linear_desc.out.type",
     OCTET_S2,
     {OCTET_U8, OCTET_S8},
     "U8",
     [](World& w, int32_t v, octet_error* err) {
       w.linear.out = {v, 0.5f, 0};
       return w.linear_create(err);
     }},
    {"in[0].type",
     OCTET_S2,
     {OCTET_U8},
     "U8",
     [](World& w, int32_t v, octet_error* err) {
       w.x.type = v;
       return w.run(err);
     }},
    {"out[0].type",
     OCTET_S2,
     {OCTET_U8},
     "U8",
     [](World& w, int32_t v, octet_error* err) {
       w.y.type = v;
       return w.run(err);
     }},
    {"x.type",
     OCTET_S2,
     {OCTET_F32},
     "F32",
     [](World& w, int32_t v, octet_error* err) {
       w.floats.type = v;
       return w.fake_quant(err);
     }},
    {"q.type",
     OCTET_S2,
     {OCTET_U8, OCTET_S8, OCTET_U16, OCTET_S16, OCTET_U4, OCTET_S4},
     "U8",
     [](World& w, int32_t v, octet_error* err) {
       w.out_bytes.type = v;
       return w.quantize(err);
     }},
    {"octet_weights_desc.source.type",
     OCTET_S2,
     {OCTET_F32},
     "F32",
     [](World& w, int32_t v, octet_error* err) {
       w.source.type = v;
       return w.weights_create(err);
     }},
    {"octet_weights_desc.bias.type",
     OCTET_S2,
     {OCTET_F32, OCTET_S32},
     "F32",
     [](World& w, int32_t v, octet_error* err) {
       w.bias.type = v;
       return w.weights_create(err);
     }},
};

TEST(Enums, UnknownValuesAreRefusedWithTheKnownOnes) {
  for (const EnumField& field : kEnums)
    for (const int32_t value : {-1, field.last + 1, field.last + 100, INT32_MAX, INT32_MIN}) {
      World w;
      SCOPED_TRACE(field.name);
      EXPECT_REFUSED(OCTET_ERR_ARGUMENT, field.call(w, value, err), field.name,
                     std::to_string(value), field.known_name);
    }
}

TEST(Enums, KnownValuesAreAcceptedOrRefusedByName) {
  for (const EnumField& field : kEnums)
    for (int32_t value = 0; value <= field.last; ++value) {
      SCOPED_TRACE(std::string(field.name) + " " + std::to_string(value));
      World w;
      const bool known =
          std::find(field.known.begin(), field.known.end(), value) != field.known.end();
      octet_error err{};
      const octet_status status = field.call(w, value, &err);
      if (known) {
        EXPECT_EQ(status, OCTET_OK) << err.text;
      } else {
        EXPECT_TRUE(status == OCTET_ERR_UNSUPPORTED || status == OCTET_ERR_ARGUMENT)
            << octet_status_name(status);
        const std::string owner = field.name;
        EXPECT_NE(std::string(err.text).find(owner.substr(0, owner.rfind('.'))), std::string::npos)
            << err.text;
      }
    }
}

struct FlagsField {
  const char* name;
  uint32_t known;
  std::function<octet_status(World&, uint32_t, octet_error*)> call;
};

const FlagsField kFlags[] = {
    {"octet_context_desc.flags", OCTET_READ_ENV | OCTET_ALLOW_SLOW | OCTET_NO_AMX | OCTET_JIT,
     [](World& w, uint32_t v, octet_error* err) {
       octet_context_desc d = sized<octet_context_desc>();
       d.flags = v;
       return w.create_context(d, err);
     }},
    {"octet_weights_desc.flags", OCTET_SHAPE_ONLY | OCTET_LEAN,
     [](World& w, uint32_t v, octet_error* err) {
       w.weights.flags = v;
       return w.weights_create(err);
     }},
    {"octet_blob.flags", OCTET_BLOB_COPY | OCTET_BLOB_TRUSTED | OCTET_BLOB_MAY_REPACK,
     [](World& w, uint32_t v, octet_error* err) {
       w.blob.flags = v;
       return w.weights_open(err);
     }},
    {"octet_linear_desc.flags", OCTET_RESIDUAL,
     [](World& w, uint32_t v, octet_error* err) {
       w.linear.flags = v;
       return w.linear_create(err);
     }},
    {"octet_gemm_desc.flags", 0,
     [](World& w, uint32_t v, octet_error* err) {
       w.gemm_desc.flags = v;
       return w.gemm(err);
     }},
    {"octet_observer_desc.flags", 0,
     [](World& w, uint32_t v, octet_error* err) {
       w.observer_desc.flags = v;
       return w.observer_create(err);
     }},
    {"octet_fake_quantizer.flags", OCTET_NO_OBSERVE | OCTET_NO_QUANTIZE,
     [](World& w, uint32_t v, octet_error* err) {
       w.fake.flags = v;
       return w.fake_quant_step(err);
     }},
    {"octet_scheme.flags",
     OCTET_SYMMETRIC | OCTET_NARROW | OCTET_REDUCE_RANGE | OCTET_POW2 | OCTET_DIVIDE |
         OCTET_ROUND_AWAY,
     [](World& w, uint32_t v, octet_error* err) {
       w.scheme.flags = v;
       return w.choose_qparams(err);
     }},
    {"octet_exec.flags", 0,
     [](World& w, uint32_t v, octet_error* err) {
       w.exec.flags = v;
       return w.run(err);
     }},
    {"q.q->flags", OCTET_DIVIDE | OCTET_ROUND_AWAY,
     [](World& w, uint32_t v, octet_error* err) {
       w.out_q.flags = v;
       return w.quantize(err);
     }},
    {"q->flags", OCTET_DIVIDE | OCTET_ROUND_AWAY,
     [](World& w, uint32_t v, octet_error* err) {
       w.fake_q.flags = v;
       return w.fake_quant(err);
     }},
    {"in[0].flags", 0,
     [](World& w, uint32_t v, octet_error* err) {
       w.x.flags = v;
       return w.run(err);
     }},
    {"octet_weights_desc.source.flags", 0,
     [](World& w, uint32_t v, octet_error* err) {
       w.source.flags = v;
       return w.weights_create(err);
     }},
};

TEST(Flags, EachUnknownBitIsRefused) {
  for (const FlagsField& field : kFlags)
    for (int bit = 0; bit < 32; ++bit) {
      const uint32_t value = 1u << bit;
      if (field.known & value) continue;
      SCOPED_TRACE(field.name);
      World w;
      EXPECT_REFUSED(OCTET_ERR_ARGUMENT, field.call(w, value, err), field.name,
                     std::to_string(value));
    }
}

// The same test for words that are reserved altogether.
struct Reserved {
  const char* name;
  std::function<octet_status(World&, int32_t, octet_error*)> call;
};
const Reserved kReserved[] = {
    {"in[0].reserved",
     [](World& w, int32_t v, octet_error* err) {
       w.x.reserved = v;
       return w.run(err);
     }},
    {"octet_scheme.reserved",
     [](World& w, int32_t v, octet_error* err) {
       w.scheme.reserved = v;
       return w.choose_qparams(err);
     }},
    {"octet_linear_desc.reserved[2]",
     [](World& w, int32_t v, octet_error* err) {
       w.linear.reserved[2] = v;
       return w.linear_create(err);
     }},
};

TEST(Flags, ReservedFieldsRefuseEveryValue) {
  for (const Reserved& field : kReserved)
    for (const int32_t value : {1, -1, INT32_MIN}) {
      World w;
      EXPECT_REFUSED(OCTET_ERR_ARGUMENT, field.call(w, value, err), field.name,
                     std::to_string(value));
    }
}

}  // namespace
}  // namespace contract

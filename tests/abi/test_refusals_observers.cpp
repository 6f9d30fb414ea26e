// SPDX-License-Identifier: Apache-2.0
//
// What schemes, choosers, observers and fake-quantizers refuse.
#include "world.h"

namespace contract {
namespace {

using Quantization = WorldTest;

TEST_F(Quantization, Ranges) {
  w.count = SIZE_MAX;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.choose_qparams(err), "count", std::to_string(SIZE_MAX));
  w.count = 3;
  w.min[1] = kNan;
  EXPECT_REFUSED(OCTET_ERR_NOT_FINITE, w.choose_qparams(err), "min[1]", "nan");
  w.min[1] = -kInf;
  EXPECT_REFUSED(OCTET_ERR_NOT_FINITE, w.choose_qparams(err), "min[1]", "-inf");
  w.min[1] = 2.5f;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.choose_qparams(err), "min[1]", "2.5", "2");
  w.min[1] = -2;
  w.max[2] = 3e38f;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.choose_qparams(err), "index 2", "2^60");
  w.max[2] = 3;
  w.no_zero_points = true;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.choose_qparams(err), "zero_point", "NULL");
  w.min.assign(3, 0);
  EXPECT_ACCEPTED(w.choose_qparams(err));  // every zero point is 0
  w.min.clear();
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.choose_qparams(err), "min", "NULL");
  w.min.assign(3, 0);
  w.max.clear();
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.choose_qparams(err), "max", "NULL");
  w.max.assign(3, 1);
  EXPECT_REFUSED(
      OCTET_ERR_ARGUMENT,
      octet_choose_qparams(nullptr, w.min.data(), w.max.data(), 3, nullptr, nullptr, err), "scale",
      "NULL");
}

TEST_F(Quantization, Scheme) {
  const octet_scheme good = w.scheme;
  w.scheme.eps = kNan;
  EXPECT_REFUSED(OCTET_ERR_NOT_FINITE, w.choose_qparams(err), "octet_scheme.eps", "nan");
  w.scheme.eps = -1;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.choose_qparams(err), "octet_scheme.eps", "-1");
  w.scheme = good;
  for (const auto& [low, high] : {std::pair{1, 9}, {-9, -1}, {5, 3}, {-1, 255}, {0, 256}}) {
    w.scheme.qmin = low;
    w.scheme.qmax = high;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.choose_qparams(err), "octet_scheme.qmin",
                   std::to_string(low), std::to_string(high));
  }
  w.scheme = good;
  w.scheme.flags = OCTET_NARROW;  // of an unsigned type
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.choose_qparams(err), "OCTET_NARROW");
  w.scheme = good;
  w.scheme.chooser = OCTET_CHOOSE_ONNX;
  w.scheme.type = OCTET_S8;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.choose_qparams(err), "OCTET_CHOOSE_ONNX");
  w.scheme = good;
  w.scheme.chooser = OCTET_CHOOSE_TORCH_OBSERVER;
  w.scheme.flags = OCTET_POW2;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.choose_qparams(err), "OCTET_POW2");
  w.scheme = good;
  w.scheme.granularity = OCTET_PER_ROW;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.observer_qparams(err), "OCTET_PER_ROW");
  w.dynamic_scheme.granularity = OCTET_PER_CHANNEL;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.dynamic_create(err), "OCTET_PER_CHANNEL");
}

TEST_F(Quantization, SchemeOfALaterRelease) {
  const octet_scheme good = w.scheme;
  for (const int32_t g : {OCTET_PER_GROUP, OCTET_PER_SAMPLE}) {
    w.scheme.granularity = g;
    EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, w.choose_qparams(err), "granularity", std::to_string(g));
    EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, w.observer_qparams(err), "granularity");
    const bool group = g == OCTET_PER_GROUP;  // of 0
    EXPECT_REFUSED(group ? OCTET_ERR_ARGUMENT : OCTET_ERR_UNSUPPORTED, w.fake_quant_step(err),
                   "granularity");
    w.dynamic_scheme.granularity = w.weights_scheme.granularity = g;
    EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, w.dynamic_create(err), "granularity");
    w.weights.scheme = &w.weights_scheme;
    EXPECT_REFUSED(group ? OCTET_ERR_ARGUMENT : OCTET_ERR_UNSUPPORTED, w.weights_create(err),
                   "granularity");
  }
  w.weights_scheme.granularity = OCTET_PER_CHANNEL;
  w.scheme = good;
  for (const int32_t r :
       {OCTET_RANGE_PERCENTILE, OCTET_RANGE_ENTROPY, OCTET_RANGE_MSE, OCTET_RANGE_L2}) {
    w.scheme.range = r;
    EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, w.choose_qparams(err), "range", std::to_string(r));
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.observer_qparams(err), "OCTET_RANGE_OBSERVED");
  }
  w.scheme = good;
  for (const octet_type t : {OCTET_U4, OCTET_S4, OCTET_S16, OCTET_U16, OCTET_U2, OCTET_F16}) {
    w.scheme.type = t;
    if (t == OCTET_F16)
      EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, w.choose_qparams(err), "octet_scheme.type",
                     std::to_string(t));
    else
      EXPECT_ACCEPTED(w.choose_qparams(err));
    w.dynamic_scheme.type = w.weights_scheme.type = t;
    w.weights.scheme = &w.weights_scheme;
    EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, w.dynamic_create(err), "octet_scheme.type");
    if (t != OCTET_U4 && t != OCTET_S4)
      EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, w.weights_create(err), "octet_scheme.type");
  }
  w.scheme = good;
  w.scheme.type = OCTET_S4;
  EXPECT_ACCEPTED(w.fake_quant_step(err));
  w.scheme = good;
  w.dynamic_scheme.flags = OCTET_ROUND_AWAY;
  w.dynamic_scheme.type = OCTET_U8;
  w.dynamic_scheme.granularity = 0;
  EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, w.dynamic_create(err), "OCTET_ROUND_AWAY");
  w.scheme = good;
  w.scheme.group = 32;
  EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, w.choose_qparams(err), "group", "32");
  w.scheme = good;
  w.scheme.percentile = 99.9f;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.choose_qparams(err), "percentile");
  w.scheme = good;
  w.scheme.start_bin = 1;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.choose_qparams(err), "start_bin");
  w.scheme = good;
  w.scheme.stride = 1;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.choose_qparams(err), "stride");
}

// ---- observers --------------------------------------------------------------------------------

TEST_F(Quantization, ObserverNullArguments) {
  octet_observer* out = nullptr;
  float scale = 5;
  unsigned char byte = 0;
  octet_observed s = sized<octet_observed>();
  octet_observer* const o = w.observer.get();
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_observer_create(nullptr, &w.observer_desc, &out, err),
                 "c ", "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_observer_create(w.context.get(), nullptr, &out, err),
                 "d ", "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_observer_create(w.context.get(), &w.observer_desc, nullptr, err), "out");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_observer_feed(nullptr, &w.floats, nullptr, err), "o ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_observer_qparams(nullptr, nullptr, &scale, nullptr, 1, err), "o ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_observer_qparams(o, nullptr, nullptr, nullptr, 1, err),
                 "scale", "NULL");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_observer_stats(nullptr, &s, err), "o ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_observer_stats(o, nullptr, err), "s ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_observer_merge(nullptr, o, err), "into");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_observer_merge(o, nullptr, err), "from");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_observer_save(nullptr, &byte, 1, nullptr, err), "o ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_observer_save(o, nullptr, 1, nullptr, err), "bytes");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_observer_load(nullptr, &byte, 1, &out, err), "c ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_observer_load(w.context.get(), nullptr, 1, &out, err),
                 "bytes");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_observer_load(w.context.get(), &byte, 1, nullptr, err),
                 "out");
  float max = 6;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_observer_range(nullptr, nullptr, &scale, &max, 1, err),
                 "o ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_observer_range(o, nullptr, nullptr, &max, 1, err),
                 "min");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_observer_range(o, nullptr, &scale, nullptr, 1, err),
                 "max");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_observer_range(o, nullptr, &scale, &scale, 1, err),
                 "overlap");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_observer_copy(nullptr, &out, err), "o ");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_observer_copy(o, nullptr, err), "out");
  EXPECT_EQ(out, nullptr);
  EXPECT_EQ(scale, 5);
}

TEST_F(Quantization, ObserverFieldsOfAnotherKind) {
  const octet_observer_desc good = sized<octet_observer_desc>();
  const auto refused = [&](const char* word, const std::function<void(octet_observer_desc&)>& set) {
    w.observer_desc = good;
    set(w.observer_desc);
    EXPECT_REFUSED(std::string(word) == "group" ? OCTET_ERR_UNSUPPORTED : OCTET_ERR_ARGUMENT,
                   w.observer_create(err), word);
  };
  static const float scale = 1;
  static const int32_t zero = 0;
  refused("momentum", [](octet_observer_desc& d) { d.momentum = 0.1f; });
  refused("momentum", [](octet_observer_desc& d) { d.momentum = kNan; });
  refused("bins", [](octet_observer_desc& d) { d.bins = 2048; });
  refused("max_bins", [](octet_observer_desc& d) { d.max_bins = 1; });
  refused("group", [](octet_observer_desc& d) { d.group = 32; });
  refused("scale", [](octet_observer_desc& d) { d.scale = &scale; });
  refused("zero_point", [](octet_observer_desc& d) { d.zero_point = &zero; });
  refused("user", [](octet_observer_desc& d) { d.user = &d; });
  refused("feed", [](octet_observer_desc& d) {
    d.feed = [](void*, const octet_tensor*) { return int32_t{0}; };
  });
  refused("range", [](octet_observer_desc& d) {
    d.range = [](void*, float*, float*, size_t) { return int32_t{0}; };
  });
}

TEST_F(Quantization, ObserverShapes) {
  w.observer_desc.channels = SIZE_MAX;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.observer_create(err), "channels", std::to_string(SIZE_MAX));
  w.observer_desc.channels = 4;
  for (const int32_t axis : {6, -7, INT32_MAX, INT32_MIN}) {
    w.observer_desc.axis = axis;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.observer_create(err), "axis", std::to_string(axis));
  }
  w.observer = make_observer(w.context.get(), 5, 0);
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.observer_feed(err), "x.dims[0]", "4", "5");
  w.observer = make_observer(w.context.get(), 4, 3);
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.observer_feed(err), "axis", "3", "2");
  w.observer = make_observer(w.context.get(), 4, 0);
  const Observer other = make_observer(w.context.get(), 4, 1);
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_observer_merge(w.observer.get(), other.get(), err),
                 "axis", "1", "0");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_observer_merge(w.observer.get(), w.empty_observer.get(), err), "channels");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, octet_observer_merge(w.observer.get(), w.observer.get(), err),
                 "same");
}

TEST_F(Quantization, ObserverQparams) {
  float scale = 5;
  int32_t zero = 6;
  EXPECT_REFUSED(OCTET_ERR_EMPTY,
                 octet_observer_qparams(w.empty_observer.get(), nullptr, &scale, &zero, 1, err),
                 "no finite value");
  const float nothing[] = {kNan, kInf, -kInf};
  const octet_tensor x = octet_vec(OCTET_F32, nothing, 3);
  EXPECT_ACCEPTED(octet_observer_feed(w.empty_observer.get(), &x, nullptr, err));
  EXPECT_REFUSED(OCTET_ERR_EMPTY,
                 octet_observer_qparams(w.empty_observer.get(), nullptr, &scale, &zero, 1, err),
                 "no finite value");
  EXPECT_EQ(scale, 5);
  EXPECT_EQ(zero, 6);
  w.count = 2;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.observer_qparams(err), "count", "2", "1");
  w.count = 0;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.observer_qparams(err), "count", "0", "1");
  w.count = 1;
  w.scheme.granularity = OCTET_PER_CHANNEL;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.observer_qparams(err), "OCTET_PER_CHANNEL");
  w.scheme.granularity = 0;
  w.no_zero_points = true;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.observer_qparams(err), "zero_point", "NULL");
}

TEST_F(Quantization, SavedObserversThatAreDamaged) {
  w.observer = make_observer(w.context.get(), World::kRows, 0);
  EXPECT_ACCEPTED(w.observer_feed(err));
  std::vector<unsigned char> saved(1024);
  size_t bytes = 0;
  EXPECT_ACCEPTED(octet_observer_save(w.observer.get(), saved.data(), saved.size(), &bytes, err));
  octet_observer* out = nullptr;
  const auto load = [&](const void* p, size_t n, octet_error* err) {
    return octet_observer_load(w.context.get(), p, n, &out, err);
  };
  for (size_t n = 0; n < bytes; ++n) {
    const Guarded cut(n);
    std::memcpy(cut.data(), saved.data(), n);
    EXPECT_REFUSED(OCTET_ERR_CORRUPT, load(cut.data(), n, err), "observer");
  }
  EXPECT_REFUSED(OCTET_ERR_CORRUPT, load(saved.data(), bytes + 1, err), "observer");
  for (size_t bit = 0; bit < bytes * 8; ++bit) {
    saved[bit / 8] ^= static_cast<unsigned char>(1u << bit % 8);
    EXPECT_REFUSED(OCTET_ERR_CORRUPT, load(saved.data(), bytes, err), "observer");
    saved[bit / 8] ^= static_cast<unsigned char>(1u << bit % 8);
  }
  EXPECT_EQ(out, nullptr);
  EXPECT_ACCEPTED(load(saved.data(), bytes, err));
  octet_observer_destroy(out);
}

// ---- fake-quantizers --------------------------------------------------------------------------

TEST_F(Quantization, FakeQuantizer) {
  const octet_fake_quantizer good = w.fake;
  for (const float momentum : {-0.1f, 1.5f, kNan, kInf}) {
    w.fake.momentum = momentum;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.fake_quant_step(err), "octet_fake_quantizer.momentum");
  }
  w.fake = good;
  for (const int32_t bits : {-1, 1, 17, INT32_MAX}) {
    w.fake.bits = bits;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.fake_quant_step(err), "octet_fake_quantizer.bits",
                   std::to_string(bits));
  }
  w.fake = good;
  for (const size_t n : {size_t{0}, size_t{2}, SIZE_MAX}) {
    w.fake.count = n;
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.fake_quant_step(err), "count", std::to_string(n));
  }
  w.fake = good;
  w.scheme.granularity = OCTET_PER_CHANNEL;
  w.scheme.axis = 0;
  w.fake.count = 3;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.fake_quant_step(err), "count", "3", "4");
  w.scheme.axis = 2;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.fake_quant_step(err), "axis", "2");
  w.scheme.granularity = 0;
  w.scheme.axis = 0;
  const auto refuse_null = [&](const char* name, const std::function<void()>& set) {
    w.fake = good;
    set();
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.fake_quant_step(err), name, "NULL");
  };
  refuse_null("run_min", [&] { w.fake.run_min = nullptr; });
  refuse_null("run_max", [&] { w.fake.run_max = nullptr; });
  refuse_null("scale", [&] { w.fake.scale = nullptr; });
  refuse_null("zero_point", [&] { w.fake.zero_point = nullptr; });
}

TEST_F(Quantization, FakeQuantizerState) {
  *w.fake.run_min = kNan;
  EXPECT_REFUSED(OCTET_ERR_NOT_FINITE, w.fake_quant_step(err), "run_min[0]", "nan");
  *w.fake.run_min = 1;
  EXPECT_REFUSED(OCTET_ERR_NOT_FINITE, w.fake_quant_step(err), "run_max", "-inf");
  *w.fake.run_max = -1;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.fake_quant_step(err), "run_min[0]", "1", "-1");
  *w.fake.run_min = kInf;
  *w.fake.run_max = -kInf;
  w.fake.flags = OCTET_NO_OBSERVE;
  EXPECT_REFUSED(OCTET_ERR_EMPTY, w.fake_quant_step(err), "no finite value");
  w.fake.flags = 0;
  std::vector<float> nothing(World::kRows * World::kColumns, kNan);
  w.floats.data = nothing.data();
  EXPECT_REFUSED(OCTET_ERR_EMPTY, w.fake_quant_step(err), "no finite value");
}

// The state may lie neither in the tensors nor in itself.
TEST_F(Quantization, FakeQuantizerStateThatOverlaps) {
  const octet_fake_quantizer good = w.fake;
  w.fake.run_max = static_cast<float*>(w.out_floats.data) + 3;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.fake_quant_step(err), "run_max", "overlap");
  w.fake = good;
  w.fake.scale = static_cast<float*>(w.floats.data);
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.fake_quant_step(err), "scale", "overlap");
  w.fake = good;
  w.fake.scale = w.fake.run_min;
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.fake_quant_step(err), "scale", "run_min", "overlap");
  w.fake = good;
  w.fake.zero_point = reinterpret_cast<int32_t*>(w.fake.scale);
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, w.fake_quant_step(err), "zero_point", "scale", "overlap");
}

// Outputs of choosers may not be their inputs: refused, for a later range would be overwritten.
TEST_F(Quantization, ChooserOutputsThatOverlap) {
  float memory[8] = {-1, -2, -3, 1, 2, 3, 0, 0};
  int32_t zero[4];
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_choose_qparams(nullptr, memory, memory + 3, 3, memory + 1, zero, err),
                 "scale", "overlap");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT,
                 octet_choose_qparams(nullptr, memory, memory + 3, 3,
                                      reinterpret_cast<float*>(zero), zero, err),
                 "scale", "zero_point", "overlap");
}

}  // namespace
}  // namespace contract

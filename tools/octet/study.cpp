// SPDX-License-Identifier: Apache-2.0
#include "study.h"

#include <functional>

#include "int8_net.h"
#include "lsq.h"
#include "qat.h"
#include "variants.h"

namespace octet_cli {
namespace {

constexpr size_t kTrainingEpochs = 20;
constexpr int32_t kAdaRoundSteps = 60;

double judge(Int8Net net, const Images& images) {
  std::vector<float> logits(images.count() * kClasses);
  net.run(images.pixels.data(), images.count(), logits.data());
  return accuracy(logits, images);
}

octet_scheme weight_scheme(int bits, int32_t granularity, int32_t range) {
  auto scheme = sized<octet_scheme>();
  scheme.type = OCTET_S8;
  scheme.flags = OCTET_SYMMETRIC;
  scheme.granularity = granularity;
  scheme.range = range;
  scheme.qmax = (1 << (bits - 1)) - 1;
  scheme.qmin = -scheme.qmax;
  return scheme;
}

// ---- weights ----------------------------------------------------------------------------------

// What the layers read when the float network sees the training images, as Gram matrices.
struct Data {
  std::array<std::vector<double>, kLayers> gram;
  std::array<uint64_t, kLayers> rows{};
};

Data gather(const octet_context* context, const Mlp& mlp, const Images& images) {
  FloatNet net(mlp);
  std::vector<float> logits(images.count() * kClasses);
  net.run(images.pixels.data(), images.count(), logits.data());
  Data data;
  for (size_t i = 0; i < kLayers; ++i) {
    const float* x = i == 0 ? images.pixels.data() : net.input_of(i).data();
    const octet_tensor tensor = octet_mat(OCTET_F32, x, static_cast<int64_t>(images.count()),
                                          static_cast<int64_t>(kWidths[i]));
    data.gram[i].resize(kWidths[i] * kWidths[i]);
    call(octet_gram, context, &tensor, data.gram[i].data(), &data.rows[i], nullptr);
  }
  return data;
}

// Calls f with a workspace as large as it asks for.
template <typename Call>
void with_workspace(Call f) {
  octet_error error = {};
  auto exec = sized<octet_exec>();
  if (f(&exec, &error) == OCTET_OK) return;
  std::vector<unsigned char> workspace(static_cast<size_t>(error.need));
  exec.workspace = workspace.data();
  exec.workspace_bytes = workspace.size();
  if (const octet_status status = f(&exec, &error)) throw LibraryError(status, error.text);
}

struct Rounding {
  const char* name;
  int32_t kind, granularity, range;
  bool equalize;
};
constexpr Rounding kRoundings[] = {
    {"per tensor", OCTET_ROUND_NEAREST, OCTET_PER_TENSOR, OCTET_RANGE_OBSERVED, false},
    {"per tensor, equalized", OCTET_ROUND_NEAREST, OCTET_PER_TENSOR, OCTET_RANGE_OBSERVED, true},
    {"per channel", OCTET_ROUND_NEAREST, OCTET_PER_CHANNEL, OCTET_RANGE_OBSERVED, false},
    {"per channel, least error", OCTET_ROUND_NEAREST, OCTET_PER_CHANNEL, OCTET_RANGE_MSE, false},
    {"GPTQ", OCTET_ROUND_GPTQ, OCTET_PER_CHANNEL, OCTET_RANGE_MSE, false},
    {"AdaRound", OCTET_ROUND_ADAROUND, OCTET_PER_CHANNEL, OCTET_RANGE_MSE, false},
};
constexpr size_t kPlainRounding = 2;
bool is_plain(const Rounding& r) {
  return r.kind == OCTET_ROUND_NEAREST && r.range == OCTET_RANGE_OBSERVED && !r.equalize;
}

Weights round_layer(const octet_context* context, const Layer& layer, const Rounding& how, int bits,
                    const std::vector<double>& gram, const uint64_t& rows) {
  const octet_scheme scheme = weight_scheme(bits, how.granularity, how.range);
  auto desc = sized<octet_round_desc>();
  desc.kind = how.kind;
  desc.scheme = &scheme;
  if (how.kind == OCTET_ROUND_ADAROUND) {
    desc.iterations = kAdaRoundSteps;
    desc.lr = 0.05f;
  }
  const bool data = how.kind != OCTET_ROUND_NEAREST;
  const octet_tensor w = weights_view(layer);
  std::vector<int8_t> integers(layer.weights.size());
  std::vector<float> scale(how.granularity == OCTET_PER_TENSOR ? 1 : layer.outputs);
  const octet_tensor q = octet_mat(OCTET_S8, integers.data(), w.dims[0], w.dims[1]);
  with_workspace([&](const octet_exec* exec, octet_error* error) {
    return octet_round_weights(context, &desc, &w, data ? gram.data() : nullptr,
                               data ? &rows : nullptr, &q, scale.data(), nullptr, scale.size(),
                               exec, error);
  });
  return pack_integers(context, layer, integers.data(), scale);
}

LayerWeights round_all(const octet_context* context, const Mlp& mlp, const Rounding& how,
                       const Bits& bits, const Data& data) {
  LayerWeights weights;
  for (size_t i = 0; i < kLayers; ++i)
    weights[i] = round_layer(context, mlp[i], how, bits[i], data.gram[i], data.rows[i]);
  return weights;
}

// Ranges moved between neighbouring layers; the float network stays what it was.
Mlp equalized(const octet_context* context, Mlp mlp) {
  for (size_t i = 0; i + 1 < kLayers; ++i) {
    auto desc = sized<octet_equalize_desc>();
    desc.kind = OCTET_EQUALIZE_CROSS_LAYER;
    const octet_tensor w1 = weights_view(mlp[i]), w2 = weights_view(mlp[i + 1]);
    const octet_tensor b1 =
        octet_vec(OCTET_F32, mlp[i].bias.data(), static_cast<int64_t>(mlp[i].outputs));
    std::vector<float> factors(mlp[i].outputs);
    with_workspace([&](const octet_exec* exec, octet_error* error) {
      return octet_equalize(context, &desc, &w1, &b1, &w2, factors.data(), factors.size(), exec,
                            error);
    });
  }
  return mlp;
}

// ---- activations ------------------------------------------------------------------------------

struct Calibration {
  const char* name;
  int32_t kind, range;
};
constexpr Calibration kCalibrations[] = {
    {"min-max", OCTET_OBSERVE_MINMAX, OCTET_RANGE_OBSERVED},
    {"percentile", OCTET_OBSERVE_HISTOGRAM, OCTET_RANGE_PERCENTILE},
    {"entropy", OCTET_OBSERVE_HISTOGRAM, OCTET_RANGE_ENTROPY},
    {"MSE", OCTET_OBSERVE_HISTOGRAM, OCTET_RANGE_MSE},
    {"L2", OCTET_OBSERVE_HISTOGRAM, OCTET_RANGE_L2},
    {"PyTorch's histogram", OCTET_OBSERVE_TORCH_HISTOGRAM, OCTET_RANGE_L2},
};

// Observers of what each layer reads; scales for any bits come from the same statistics.
class Observed {
 public:
  Observed(const octet_context* context, const Mlp& mlp, const Images& images,
           const Calibration& how)
      : how_(how) {
    FloatNet net(mlp);
    std::vector<float> logits(images.count() * kClasses);
    net.run(images.pixels.data(), images.count(), logits.data());
    for (size_t i = 0; i < kLayers; ++i) {
      auto desc = sized<octet_observer_desc>();
      desc.kind = how.kind;
      octet_observer* raw = nullptr;
      call(octet_observer_create, context, &desc, &raw);
      observer_[i].reset(raw);
      const float* x = i == 0 ? images.pixels.data() : net.input_of(i).data();
      const octet_tensor tensor = octet_mat(OCTET_F32, x, static_cast<int64_t>(images.count()),
                                            static_cast<int64_t>(kWidths[i]));
      call(octet_observer_feed, raw, &tensor, nullptr);
    }
  }

  Activations scales(const Bits& bits) const {
    Activations activations;
    for (size_t i = 0; i < kLayers; ++i) {
      auto scheme = sized<octet_scheme>();
      scheme.type = activations[i].type = OCTET_U8;
      scheme.range = how_.range;
      scheme.qmax = (1 << bits[i]) - 1;
      call(octet_observer_qparams, observer_[i].get(), &scheme, &activations[i].scale,
           &activations[i].zero_point, size_t{1});
    }
    return activations;
  }

 private:
  const Calibration& how_;
  std::array<Observer, kLayers> observer_;
};

Bits same_bits(int bits) { return {bits, bits, bits}; }

// ---- the tables -------------------------------------------------------------------------------

std::vector<MethodRow> compare_methods(const octet_context* context, const Mlp& mlp,
                                       const Digits& digits, const Data& data) {
  std::vector<MethodRow> rows;
  const Mlp moved = equalized(context, mlp);
  for (const Calibration& calibration : kCalibrations) {
    const Observed observed(context, mlp, digits.train, calibration),
        observed_moved(context, moved, digits.train, calibration);
    for (const Rounding& rounding : kRoundings) {
      // The methods for weights differ from each other alike whatever the activations' ranges.
      if (&calibration != kCalibrations && !is_plain(rounding)) continue;
      MethodRow row{calibration.name, rounding.name, {}};
      for (size_t b = 0; b < kStudyBits.size(); ++b) {
        const Bits bits = same_bits(kStudyBits[b]);
        const Mlp& net = rounding.equalize ? moved : mlp;
        const Observed& seen = rounding.equalize ? observed_moved : observed;
        row.accuracy[b] =
            judge(Int8Net::make_static(context, round_all(context, net, rounding, bits, data),
                                       seen.scales(bits), bits),
                  digits.held_out);
      }
      rows.push_back(row);
    }
  }
  return rows;
}

octet_difference difference(const octet_context* context, const octet_tensor& want,
                            const octet_tensor& got) {
  auto d = sized<octet_difference>();
  call(octet_compare, context, &want, &got, &d, nullptr);
  return d;
}

std::vector<LayerRow> compare_layers(const octet_context* context, const Mlp& mlp,
                                     const Digits& digits, const Data& data) {
  const Images& images = digits.held_out;
  const size_t rows = images.count();
  const Observed observed(context, mlp, digits.train, kCalibrations[0]);
  const auto make = [&](const Bits& bits) {
    return Int8Net::make_static(context,
                                round_all(context, mlp, kRoundings[kPlainRounding], bits, data),
                                observed.scales(bits), bits);
  };
  FloatNet real(mlp);
  std::vector<float> want(rows * kClasses), got(rows * kClasses);
  real.run(images.pixels.data(), rows, want.data());
  const auto matrix = [&](const float* x, size_t layer) {
    return octet_mat(OCTET_F32, x, static_cast<int64_t>(rows),
                     static_cast<int64_t>(kWidths[layer + 1]));
  };

  std::vector<LayerRow> table(kLayers);
  for (size_t b = 0; b < kStudyBits.size(); ++b) {
    Int8Net net = make(same_bits(kStudyBits[b]));
    net.run(images.pixels.data(), rows, got.data());
    for (size_t i = 0; i < kLayers; ++i) {
      octet_qparams q;
      const bool last = i + 1 == kLayers;
      const octet_difference d =
          last ? difference(context, matrix(want.data(), i), matrix(got.data(), i))
               : difference(context, matrix(real.input_of(i + 1).data(), i),
                            net.input_of(i + 1, rows, &q));
      table[i].sqnr_db[b] = d.sqnr_db;
      if (kStudyBits[b] == 8) table[i].range_used = d.range_used;
    }
  }
  for (size_t i = 0; i < kLayers; ++i) {
    table[i].name = std::to_string(kWidths[i]) + "x" + std::to_string(kWidths[i + 1]);
    Bits bits = kEightBits;
    bits[i] = 2;
    table[i].alone_at_2_bits = judge(make(bits), images);
  }
  return table;
}

double train_on(const octet_context* context, const Mlp& mlp, const Digits& digits, uint64_t seed,
                int bits, FakeQuantization& fake, const char* what,
                const std::function<LayerWeights(const Mlp&)>& pack,
                const std::function<Activations()>& learned) {
  Mlp tuned = mlp;
  TrainOptions options;
  options.epochs = kTrainingEpochs;
  options.rate = 0.02f;
  options.seed = seed;
  options.fake_quantization = &fake;
  train_with_progress(what, tuned, digits.train, options);
  return judge(Int8Net::make_static(context, pack(tuned), learned(), same_bits(bits)),
               digits.held_out);
}

std::vector<TrainingRow> compare_training(const octet_context* context, const Mlp& mlp,
                                          const Digits& digits, const Data& data, uint64_t seed) {
  std::vector<TrainingRow> rows;
  const Observed observed(context, mlp, digits.train, kCalibrations[0]);
  for (const int bits : {4, 2}) {
    const Bits all = same_bits(bits);
    TrainingRow row = {bits, 0, 0, 0};
    row.ptq = judge(Int8Net::make_static(
                        context, round_all(context, mlp, kRoundings[kPlainRounding], all, data),
                        observed.scales(all), all),
                    digits.held_out);
    Qat ste(context, bits, bits);
    row.ste = train_on(
        context, mlp, digits, seed, bits, ste,
        bits == 4 ? "train 4 bits, STE" : "train 2 bits, STE",
        [&](const Mlp& tuned) {
          LayerWeights weights;
          for (size_t i = 0; i < kLayers; ++i)
            weights[i] = pack_fake_quantized(context, tuned[i], bits);
          return weights;
        },
        [&] { return ste.learned(); });
    Lsq lsq(context, mlp, observed.scales(all), bits);
    row.lsq = train_on(
        context, mlp, digits, seed, bits, lsq,
        bits == 4 ? "train 4 bits, LSQ" : "train 2 bits, LSQ",
        [&](const Mlp& tuned) { return lsq.pack(tuned); }, [&] { return lsq.learned(); });
    rows.push_back(row);
  }
  return rows;
}

}  // namespace

Study make_study(const octet_context* context, const Mlp& mlp, const Digits& digits,
                 uint64_t seed) {
  Study study;
  FloatNet net(mlp);
  std::vector<float> logits(digits.held_out.count() * kClasses);
  net.run(digits.held_out.pixels.data(), digits.held_out.count(), logits.data());
  study.float_accuracy = accuracy(logits, digits.held_out);
  const Data data = gather(context, mlp, digits.train);
  study.methods = compare_methods(context, mlp, digits, data);
  study.layers = compare_layers(context, mlp, digits, data);
  study.training = compare_training(context, mlp, digits, data, seed);
  return study;
}

}  // namespace octet_cli

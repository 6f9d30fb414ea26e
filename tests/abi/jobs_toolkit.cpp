// SPDX-License-Identifier: Apache-2.0
//
// Jobs of the functions that train, convert and describe: learned and clipped ranges, magnitudes,
// dynamic quantization, copies, observers' answers, text.
#include <algorithm>

#include "jobs.h"

namespace contract {
namespace {

constexpr int64_t kRows = 19, kColumns = 4100;  // more than one task, no whole vectors
constexpr size_t kElements = kRows * kColumns;

struct Data {
  std::vector<float> x, dy, scale, zero_f32;
  octet_qparams q{};
  octet_tensor in, grad, out;
  octet_learn_desc learn = sized<octet_learn_desc>();
  octet_amax_desc amax = sized<octet_amax_desc>();
  octet_scheme scheme = sized<octet_scheme>();
  float lo = -1.5f, hi = 2;
  Observer observer, other;
};

std::shared_ptr<Data> make_data() {
  auto d = std::make_shared<Data>();
  Random random(77);
  d->x = random.reals(kElements, 4);
  const float special[] = {0.5f, -2.5f, -0.0f, 1e-40f, kInf, -kInf, kNan, 1e18f};
  std::copy(std::begin(special), std::end(special), d->x.begin() + 3);
  d->dy = random.reals(kElements, 1);
  for (int64_t i = 0; i < kColumns; ++i) {
    d->scale.push_back(0.01f + 1e-5f * static_cast<float>(i));
    d->zero_f32.push_back(static_cast<float>(i % 100) * 0.3f);
  }
  d->in = octet_mat(OCTET_F32, d->x.data(), kRows, kColumns);
  d->grad = octet_mat(OCTET_F32, d->dy.data(), kRows, kColumns);
  return d;
}

octet_tensor matrix(octet_type type, const void* data) {
  return octet_mat(type, data, kRows, kColumns);
}

// Sums of a whole tensor are shared out if there is room for those of 4,096 elements.
void give_workspace(Job* job) {
  job->workspace = [](int32_t) { return (kElements / 4096 + 1) * 16 + 64; };
  job->needs_workspace = false;
}

// axis -1: one scale; 0: a scale for each row; 1: for each column.
Job learn_job(const octet_context* c, int32_t kind, int32_t axis, bool backward) {
  auto d = make_data();
  const size_t count = axis < 0 ? 1 : axis ? kColumns : kRows;
  d->learn.kind = kind;
  d->q.count = static_cast<int64_t>(count);
  d->q.axis = std::max(axis, 0);
  d->q.scale = d->scale.data();
  d->q.zero_point_f32 = d->zero_f32.data();
  d->q.qmax = 127;
  d->q.qmin = -128;
  Job job;
  job.name = std::string(backward ? "fake_quant_learn_backward" : "fake_quant_learn") + ", kind " +
             std::to_string(kind) + ", axis " + std::to_string(axis);
  job.out = std::make_shared<Guarded>((kElements + (backward ? 2 * count : 0)) * sizeof(float));
  float* const y = job.out->as<float>();
  d->out = matrix(OCTET_F32, y);
  job.run = [d, c, y, count, backward](const octet_exec* e, octet_error* err) {
    if (!backward) return octet_fake_quant_learn(c, &d->learn, &d->in, &d->q, &d->out, e, err);
    float* const dscale = y + kElements;
    return octet_fake_quant_learn_backward(c, &d->learn, &d->grad, &d->in, &d->q, &d->out, dscale,
                                           dscale + count, count, e, err);
  };
  if (backward && axis < 0) give_workspace(&job);
  return job;
}

Job clip_job(const octet_context* c, bool backward) {
  auto d = make_data();
  Job job;
  job.name = backward ? "clip_backward" : "clip";
  job.out = std::make_shared<Guarded>((kElements + (backward ? 2 : 0)) * sizeof(float));
  float* const y = job.out->as<float>();
  d->out = matrix(OCTET_F32, y);
  job.run = [d, c, y, backward](const octet_exec* e, octet_error* err) {
    if (!backward) return octet_clip(c, &d->in, &d->lo, &d->hi, &d->out, e, err);
    return octet_clip_backward(c, &d->grad, &d->in, &d->lo, &d->hi, &d->out, y + kElements,
                               y + kElements + 1, e, err);
  };
  if (backward) give_workspace(&job);
  return job;
}

Job amax_job(const octet_context* c, bool fake) {
  auto d = make_data();
  d->amax.bits = 8;
  d->amax.axis = 0;
  d->amax.count = kRows;
  d->amax.amax = d->scale.data();
  d->amax.scale_amax = 100;
  Job job;
  job.name = fake ? "amax_fake_quant" : "amax_quantize";
  // y and the mask, or scales and q.
  job.out = std::make_shared<Guarded>(fake ? kElements * 5 : kRows * 4 + kElements);
  float* const first = job.out->as<float>();
  d->out = fake ? matrix(OCTET_F32, first) : matrix(OCTET_S8, first + kRows);
  job.run = [d, c, first, fake](const octet_exec* e, octet_error* err) {
    if (!fake) return octet_amax_quantize(c, &d->amax, &d->in, &d->out, first, e, err);
    uint8_t* const mask = reinterpret_cast<uint8_t*>(first + kElements);
    return octet_amax_fake_quant(c, &d->amax, &d->in, &d->out, mask, e, err);
  };
  return job;
}

Job dynamic_job(const octet_context* c, bool by_row) {
  auto d = make_data();
  const size_t count = by_row ? kRows : 1;
  d->scheme.type = OCTET_U8;
  d->scheme.granularity = by_row ? OCTET_PER_ROW : OCTET_PER_TENSOR;
  Job job;
  job.name = by_row ? "quantize_dynamic per row" : "quantize_dynamic per tensor";
  job.out = std::make_shared<Guarded>(count * 8 + kElements);
  float* const scale = job.out->as<float>();
  int32_t* const zero = reinterpret_cast<int32_t*>(scale + count);
  d->out = matrix(OCTET_U8, zero + count);
  job.run = [d, c, scale, zero, count](const octet_exec* e, octet_error* err) {
    return octet_quantize_dynamic(c, &d->in, &d->scheme, &d->out, scale, zero, count, e, err);
  };
  return job;
}

Job copy_job(const octet_context* c, octet_type to, size_t bytes) {
  auto d = make_data();
  Job job;
  job.name = "copy to " + std::to_string(to);
  job.out = std::make_shared<Guarded>(kElements * bytes);
  d->out = matrix(to, job.out->data());
  job.run = [d, c](const octet_exec* e, octet_error* err) {
    return octet_copy(c, &d->in, &d->out, e, err);
  };
  return job;
}

Job choose_f32_job() {
  static const float kMin[] = {-1, 0.1f, 0, 1e-40f}, kMax[] = {2, 0.3f, 0, 2e-40f};
  constexpr size_t kCount = std::size(kMin);
  auto d = make_data();
  d->scheme.type = OCTET_U4;
  d->scheme.chooser = OCTET_CHOOSE_TORCH_FLOAT;
  Job job;
  job.name = "choose_qparams_f32";
  job.takes_exec = false;
  job.out = std::make_shared<Guarded>(kCount * 8);
  float* const scale = job.out->as<float>();
  job.run = [d, scale](const octet_exec*, octet_error* err) {
    return octet_choose_qparams_f32(&d->scheme, kMin, kMax, kCount, scale, scale + kCount, err);
  };
  return job;
}

// Two observers, fed and merged; the range, and the state as bytes.
Job merge_job(const octet_context* c, int32_t kind) {
  auto d = make_data();
  d->observer = make_observer(c, 0, 0, kind);
  d->other = make_observer(c, 0, 0, kind);
  d->scheme.type = OCTET_S8;
  if (kind == OCTET_OBSERVE_HISTOGRAM) d->scheme.range = OCTET_RANGE_PERCENTILE;
  size_t bytes = 0;
  EXPECT_ACCEPTED(octet_observer_save(d->observer.get(), nullptr, 0, &bytes, err));
  Job job;
  job.name = "observer merge, range and save, kind " + std::to_string(kind);
  job.out = std::make_shared<Guarded>(8 + bytes);
  float* const range = job.out->as<float>();
  job.run = [d, range, bytes](const octet_exec* e, octet_error* err) {
    octet_observer *const into = d->observer.get(), *const from = d->other.get();
    octet_observer_freeze(into, 0);
    octet_status status = OCTET_OK;
    for (octet_observer* o : {into, from}) {
      octet_observer_reset(o);
      status = octet_observer_feed(o, o == into ? &d->in : &d->grad, e, err);
      if (status) return status;
    }
    status = octet_observer_merge(into, from, err);
    if (!status) status = octet_observer_range(into, &d->scheme, range, range + 1, 1, err);
    return status ? status : octet_observer_save(into, range + 2, bytes, nullptr, err);
  };
  return job;
}

// A recipe written as text and read again.
Job text_job() {
  constexpr size_t kText = 512;
  Job job;
  job.name = "recipe, write and read";
  job.takes_exec = false;
  job.out = std::make_shared<Guarded>(2 * kText);
  char* const text = job.out->as<char>();
  job.run = [text](const octet_exec*, octet_error* err) {
    std::fill_n(text, 2 * kText, '\0');
    auto scheme = sized<octet_scheme>(), again = sized<octet_scheme>();
    auto desc = sized<octet_observer_desc>(), desc_again = sized<octet_observer_desc>();
    octet_status s = octet_recipe("fbgemm", &scheme, &desc, nullptr, nullptr, err);
    if (!s) s = octet_scheme_write(&scheme, text, kText, nullptr, err);
    if (!s) s = octet_scheme_read(text, std::strlen(text), &again, err);
    if (!s) s = octet_observer_desc_write(&desc, text, kText, nullptr, err);
    if (!s) s = octet_observer_desc_read(text, std::strlen(text), &desc_again, err);
    if (!s) s = octet_scheme_write(&again, text, kText, nullptr, err);
    return s ? s : octet_observer_desc_write(&desc_again, text + kText, kText, nullptr, err);
  };
  return job;
}

}  // namespace

std::vector<Job> toolkit_jobs(const octet_context* c) {
  std::vector<Job> jobs;
  for (const bool backward : {false, true}) {
    for (int32_t axis = -1; axis < 2; ++axis)
      jobs.push_back(learn_job(c, OCTET_LEARN_LSQ, axis, backward));
    jobs.push_back(learn_job(c, OCTET_LEARN_LSQ_PLUS, -1, backward));
    jobs.push_back(clip_job(c, backward));
    jobs.push_back(amax_job(c, backward));
    jobs.push_back(dynamic_job(c, backward));
  }
  jobs.push_back(copy_job(c, OCTET_F32, 4));
  jobs.push_back(copy_job(c, OCTET_F16, 2));
  jobs.push_back(copy_job(c, OCTET_BF16, 2));
  jobs.push_back(choose_f32_job());
  for (const int32_t kind : {OCTET_OBSERVE_MINMAX, OCTET_OBSERVE_ABSMAX, OCTET_OBSERVE_HISTOGRAM})
    jobs.push_back(merge_job(c, kind));
  jobs.push_back(text_job());
  return jobs;
}

}  // namespace contract

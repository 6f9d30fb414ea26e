// SPDX-License-Identifier: Apache-2.0
//
// `octet bench quant`: passes over a matrix of floats that is larger than the caches, beside what
// memory allows and PyTorch's own operators. A pass counts the bytes that it must read and write;
// its bound is the fastest plain copy of this machine, or plain read where it writes nothing,
// measured in turn with it on the same memory. That is in huge pages, unless they are refused: with
// small ones reads stop at the end of each, and which of them lie well is another in every run.
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "api.h"
#include "bench/bandwidth.h"
#include "bench/driver.h"
#include "bench/peers.h"
#include "bench/pool.h"
#include "commands.h"
#include "machine.h"
#include "output.h"
#include "timing.h"

namespace octet_cli {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

// Memory that begins a huge page, if there are any, and has been written.
class Memory {
 public:
  Memory(size_t bytes, bool huge) {
    const size_t whole = (bytes + kHugePage - 1) / kHugePage * kHugePage;
    data_.reset(static_cast<char*>(std::aligned_alloc(kHugePage, whole)));
    if (!data_) throw std::bad_alloc();
    madvise(data_.get(), whole, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);  // the kernel may refuse
    std::memset(data_.get(), 1, bytes);
  }
  char* get() const { return data_.get(); }

 private:
  struct Free {
    void operator()(char* p) const { std::free(p); }
  };
  std::unique_ptr<char, Free> data_;
};

// MiB of this process in huge pages.
double huge_mib() {
  std::ifstream file("/proc/self/smaps_rollup");
  std::string word;
  while (file >> word)
    if (word == "AnonHugePages:" && file >> word) return std::stod(word) / 1024;
  return 0;
}

// One pass: what it moves, and its call.
struct Pass {
  const char* name;
  double read, written;  // bytes of each element
  std::function<void()> call;
};

struct Result {
  std::string name, absent;  // absent: the library refuses it
  double read = 0, written = 0;
  double seconds = 0, min = 0, max = 0;
  double bound = 0;      // bytes per second of the copy, or the read
  double read_only = 0;  // of plain reads and writes alone
  double write_only = 0;
  double peer = 0;  // seconds; 0: none
  std::string peer_absent;
  double bytes(double elements) const { return (read + written) * elements; }
  // The least seconds that an element can take: a copy reads as much as it writes, and where a pass
  // does more of one, that alone may take longer.
  double least() const {
    const double one_way = std::max(read / read_only, written > 0 ? written / write_only : 0);
    return std::max(one_way, bytes(1) / bound);
  }
};

class QuantBench {
 public:
  explicit QuantBench(const QuantBenchOptions& options)
      : options_(options),
        context_(make_context(options.isa)),
        machine_(read_machine(context_.get())),
        cores_(cores(options.threads)),
        pool_(cores_),
        isa_(machine_.max_isa),
        columns_(4096),
        rows_(rows(options.mib, machine_)),
        count_(static_cast<size_t>(rows_ * columns_)),
        x_(count_ * 4, options.huge),
        y_(count_ * 4, options.huge),
        q_(count_, options.huge),
        mask_(count_, options.huge),
        workspace_(kWorkspace + count_ / 4096 * 16, options.huge),
        scales_(static_cast<size_t>(rows_), 0.03f),
        zeros_(static_cast<size_t>(rows_), 0) {
    if (isa_ == "none")
      for (const Machine::Isa& isa : machine_.isas)
        if (isa.usable) isa_ = isa.name;
    pin(cores_);
    fill();
    tensors();
    huge_mib_ = huge_mib();
  }

  std::vector<Result> run() {
    std::unique_ptr<Peer> peer;
    if (!options_.peer.empty()) {
      cap_peers(isa_, options_.threads);
      setenv("THP_MEM_ALLOC_ENABLE", options_.huge ? "1" : "0", 1);  // PyTorch's own switch
      Peers peers = open_peers({options_.peer}, isa_, options_.threads, {options_.peer_driver, ""});
      for (const AbsentPeer& absent : peers.absent)
        if (absent.name == options_.peer) throw std::runtime_error(absent.why);
      for (auto& one : peers.present)
        if (one->name == options_.peer) peer = std::move(one);
      if (!peer) throw UsageError("There is no peer " + options_.peer + " for passes.");
      peer_text_ = peer->name + " " + peer->version;
    }
    std::vector<Result> results;
    for (const Pass& pass : passes()) results.push_back(measure(pass, peer.get()));
    return results;
  }

  void print(const std::vector<Result>& results) const {
    const double n = static_cast<double>(count_);
    std::printf("CPU: %s; L3 %lld KiB; Octet %s under %s; %zu thread%s, %zu rounds\n",
                machine_.cpu.c_str(), static_cast<long long>(machine_.l3 >> 10),
                machine_.version.c_str(), isa_.c_str(), options_.threads,
                options_.threads > 1 ? "s" : "", options_.repeat);
    std::printf("%lld x %lld floats, %.0f MiB; %.0f MiB of all in huge pages%s%s\n\n",
                static_cast<long long>(rows_), static_cast<long long>(columns_), n * 4 / (1 << 20),
                huge_mib_, peer_text_.empty() ? "" : "; beside it ", peer_text_.c_str());
    Table table({"pass", "bytes", "ms", "GB/s", "bound GB/s", "% of bound", "% of least", "peer"},
                {false, true, true, true, true, true, true, true});
    for (const Result& r : results) {
      if (!r.absent.empty()) {
        table.add({r.name, "-", "-", "-", "-", "-", "-", "-"});
        continue;
      }
      const double speed = r.bytes(n) / r.seconds;
      table.add({r.name, format("%.0f+%.0f", r.read, r.written), format("%.2f", r.seconds * 1e3),
                 format("%.1f", speed / 1e9),
                 format("%.1f %s", r.bound / 1e9, r.written > 0 ? "copy" : "read"),
                 format("%.1f", 100 * speed / r.bound),
                 format("%.1f", 100 * n * r.least() / r.seconds),
                 r.peer > 0 ? format("%.2f", r.peer / r.seconds) : "-"});
    }
    table.print();
    std::printf(
        "\nleast: the longest of its reads, its writes and a copy of its bytes, each by plain loops"
        "\npeer: its time by Octet's, above 1 Octet is faster\n");
  }

  nlohmann::ordered_json to_json(const std::vector<Result>& results) const {
    const double n = static_cast<double>(count_);
    nlohmann::ordered_json json = {{"machine",
                                    {{"cpu", machine_.cpu},
                                     {"version", machine_.version},
                                     {"isa", isa_},
                                     {"threads", options_.threads},
                                     {"rounds", options_.repeat},
                                     {"l3", machine_.l3},
                                     {"huge_page_mib", huge_mib_},
                                     {"peer", peer_text_}}},
                                   {"rows", nlohmann::ordered_json::array()}};
    for (const Result& r : results) {
      nlohmann::ordered_json row = {{"pass", r.name}, {"elements", count_}};
      if (!r.absent.empty()) {
        row["absent"] = r.absent;
      } else {
        row.update({{"bytes_read", r.read * n},
                    {"bytes_written", r.written * n},
                    {"us", r.seconds * 1e6},
                    {"us_min", r.min * 1e6},
                    {"us_max", r.max * 1e6},
                    {"bound", r.written > 0 ? "copy" : "read"},
                    {"bound_bytes_per_second", r.bound},
                    {"read_bytes_per_second", r.read_only},
                    {"write_bytes_per_second", r.write_only},
                    {"percent_of_bound", 100 * r.bytes(n) / r.seconds / r.bound},
                    {"percent_of_least", 100 * n * r.least() / r.seconds}});
        if (r.peer > 0) row["peer_us"] = r.peer * 1e6;
        if (r.peer > 0) row["ratio"] = r.peer / r.seconds;
        if (!r.peer_absent.empty()) row["peer_absent"] = r.peer_absent;
      }
      json["rows"].push_back(row);
    }
    return json;
  }

 private:
  static constexpr size_t kWorkspace = size_t{4} << 20;  // the histograms' tables of many threads

  static std::vector<int> cores(size_t threads) {
    std::vector<int> all = usable_cores();
    all.resize(threads, all.empty() ? -1 : all.front());
    return all;
  }
  // Of 4096 columns; the float matrix is several times the last cache.
  static int64_t rows(int64_t mib, const Machine& machine) {
    const int64_t l3 = machine.l3 > 0 ? machine.l3 : int64_t{32} << 20;
    const int64_t bytes = mib ? mib << 20 : l3 * 4;
    return std::max<int64_t>(bytes / (4096 * 4), 1);
  }

  // Values of a bell, made of four uniform ones, and a mask that lets nine of ten pass.
  void fill() {
    uint64_t state = 1;
    const auto next = [&state] {
      state = state * 6364136223846793005u + 1442695040888963407u;
      return static_cast<uint32_t>(state >> 33);
    };
    float* x = reinterpret_cast<float*>(x_.get());
    for (size_t i = 0; i < count_; ++i) {
      const uint32_t a = next(), b = next();
      const uint32_t sum = (a & 0xFFFF) + (a >> 16) + (b & 0xFFFF) + (b >> 16);
      x[i] = (static_cast<float>(sum) / 49152 - 2) * 2;
      mask_.get()[i] = a % 10 != 0;
    }
  }

  void tensors() {
    tx_ = octet_mat(OCTET_F32, x_.get(), rows_, columns_);
    ty_ = octet_mat(OCTET_F32, y_.get(), rows_, columns_);
    tq_ = octet_mat(OCTET_U8, q_.get(), rows_, columns_);
    ts_ = octet_mat(OCTET_S8, q_.get(), rows_, columns_);
    one_.count = 1;
    one_.scale = scales_.data();
    one_.zero_point = &zero_;
    each_.count = rows_;
    each_.scale = scales_.data();
    each_.zero_point = zeros_.data();
    fake_ = one_;
    fake_.zero_point = zeros_.data();
    fake_each_ = each_;
    learned_ = fake_;
    learned_.zero_point = nullptr;
    learned_.zero_point_f32 = &zero_f32_;
    for (octet_qparams* q : {&fake_, &fake_each_, &learned_}) {
      q->qmin = -128;
      q->qmax = 127;
    }
    tq_.q = &one_;
    ts_.q = &each_;
    exec_.workspace = workspace_.get();
    exec_.workspace_bytes = kWorkspace + count_ / 4096 * 16;
    exec_.parallel_for = Pool::parallel_for;
    exec_.pool = &pool_;
    exec_.max_threads = static_cast<int32_t>(options_.threads);
    octet_observer* o = nullptr;
    octet_observer_desc desc = sized<octet_observer_desc>();
    octet_cli::call(octet_observer_create, context_.get(), &desc, &o);
    observer_.reset(o);
    desc.kind = OCTET_OBSERVE_HISTOGRAM;
    octet_error refused = {};
    if (octet_observer_create(context_.get(), &desc, &o, &refused) == OCTET_OK) histogram_.reset(o);
  }

  std::vector<Pass> passes() {
    const octet_context* c = context_.get();
    uint8_t* mask = reinterpret_cast<uint8_t*>(mask_.get());
    uint8_t* out_mask = reinterpret_cast<uint8_t*>(q_.get());
    step_.count = 1;
    scheme_.type = OCTET_S8;
    step_.scheme = &scheme_;
    step_.run_min = &run_min_;
    step_.run_max = &run_max_;
    step_.scale = &step_scale_;
    step_.zero_point = &step_zero_;
    std::vector<Pass> all = {
        {"quantize", 4, 1, [=, this] { call(octet_quantize, c, &tx_, &tq_, &exec_); }},
        {"quantize_rows", 4, 1, [=, this] { call(octet_quantize, c, &tx_, &ts_, &exec_); }},
        {"dequantize", 1, 4, [=, this] { call(octet_dequantize, c, &tq_, &ty_, &exec_); }},
        {"dequantize_rows", 1, 4, [=, this] { call(octet_dequantize, c, &ts_, &ty_, &exec_); }},
        {"fake_quant", 4, 5,
         [=, this] { call(octet_fake_quant, c, &tx_, &fake_, &ty_, out_mask, &exec_); }},
        {"fake_quant_rows", 4, 5,
         [=, this] { call(octet_fake_quant, c, &tx_, &fake_each_, &ty_, out_mask, &exec_); }},
        {"backward", 5, 4,
         [=, this] { call(octet_fake_quant_backward, c, &tx_, mask, &ty_, &exec_); }},
        {"learn_backward", 8, 4,
         [=, this] {
           call(octet_fake_quant_learn_backward, c, &learn_, &tx_, &tx_, &learned_, &ty_, &sum_[0],
                &sum_[1], size_t{1}, &exec_);
         }},
        {"step", 8, 5,
         [=, this] { call(octet_fake_quant_step, c, &step_, &tx_, &ty_, out_mask, &exec_); }},
        {"clip", 4, 4, [=, this] { call(octet_clip, c, &tx_, &lo_, &hi_, &ty_, &exec_); }},
        {"min_max", 4, 0, [this] { call(octet_observer_feed, observer_.get(), &tx_, &exec_); }}};
    if (histogram_)
      all.push_back({"histogram", 4, 0,
                     [this] { call(octet_observer_feed, histogram_.get(), &tx_, &exec_); }});
    return all;
  }

  Result measure(const Pass& pass, Peer* peer) {
    Result r;
    r.name = pass.name;
    r.read = pass.read;
    r.written = pass.written;
    try {
      pass.call();
    } catch (const LibraryError& error) {
      r.absent = error.what();
      return r;
    }
    Offer offer;
    if (peer) offer = peer->prepare_pass(pass.name, rows_, columns_);
    r.peer_absent = offer.absent;

    const size_t bytes = count_ * 4 / options_.threads / 512 * 512;
    const bool copies = pass.written > 0;
    const auto plain = [this, bytes](Way way, bool wide) {
      return timed([this, bytes, way, wide](size_t n) {
        for (size_t i = 0; i < n; ++i)
          pool_.everywhere([&](size_t t) { move(t * bytes, bytes, way, wide); });
      });
    };
    std::vector<Candidate> candidates = {timed([&pass](size_t n) {
                                           for (size_t i = 0; i < n; ++i) pass.call();
                                         }),
                                         plain(kRead, true),
                                         plain(kRead, false),
                                         plain(kCopy, true),
                                         plain(kCopy, false),
                                         plain(kWrite, true)};
    const size_t first_peer = candidates.size();
    for (const auto& variant : offer.variants) {
      Candidate candidate;
      candidate.run = [one = variant.get()](size_t n) { return one->run(n); };
      if (const int process = variant->process())
        candidate.switches = [process] { return switches_of(process); };
      candidates.push_back(std::move(candidate));
    }
    Timing timing;
    timing.rounds = options_.repeat;
    time_interleaved(candidates, timing);
    r.seconds = candidates[0].seconds;
    r.min = candidates[0].min;
    r.max = candidates[0].max;
    const double moved = static_cast<double>(bytes * options_.threads);
    const auto fastest = [&](size_t i) {
      return moved / std::min(candidates[i].seconds, candidates[i + 1].seconds);
    };
    r.read_only = fastest(1);
    r.write_only = moved / candidates[5].seconds;
    r.bound = copies ? 2 * fastest(3) : r.read_only;
    for (size_t i = first_peer; i < candidates.size(); ++i)
      if (!candidates[i].lost) r.peer = candidates[i].seconds;
    return r;
  }

  enum Way { kRead, kCopy, kWrite };
  void move(size_t first, size_t bytes, Way way, bool wide) const {
    char *const x = x_.get() + first, *const y = y_.get() + first;
    if (way == kCopy)
      copy_loop(isa_, wide)(y, x, bytes);
    else if (way == kRead)
      read_loop(isa_, wide)(x, bytes);
    else
      write_loop(isa_)(y, bytes);
  }

  const QuantBenchOptions& options_;
  Context context_;
  Machine machine_;
  std::vector<int> cores_;
  Pool pool_;
  std::string isa_, peer_text_;
  double huge_mib_ = 0;
  int64_t columns_, rows_;
  size_t count_;
  Memory x_, y_, q_, mask_, workspace_;
  std::vector<float> scales_;
  std::vector<int32_t> zeros_;
  int32_t zero_ = 128, step_zero_ = 0;
  float zero_f32_ = 0, lo_ = -1, hi_ = 1, sum_[2] = {};
  float run_min_ = -4, run_max_ = 4, step_scale_ = 0;
  octet_qparams one_ = {}, each_ = {}, fake_ = {}, fake_each_ = {}, learned_ = {};
  octet_tensor tx_ = {}, ty_ = {}, tq_ = {}, ts_ = {};
  octet_learn_desc learn_ = sized<octet_learn_desc>();
  octet_scheme scheme_ = sized<octet_scheme>();
  octet_fake_quantizer step_ = sized<octet_fake_quantizer>();
  octet_exec exec_ = sized<octet_exec>();
  Observer observer_, histogram_;
};

}  // namespace

void run_bench_quant(const QuantBenchOptions& options) {
  QuantBench bench(options);
  const std::vector<Result> results = bench.run();
  if (options.json != "-") bench.print(results);
  if (!options.json.empty()) write_text(options.json, bench.to_json(results).dump());
}

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
#include "bench/driver.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "bench/conv_json.h"
#include "output.h"
#include "timing.h"

extern char** environ;

namespace octet_cli {
namespace {

using nlohmann::json;

constexpr int kPatienceSeconds = 600;  // for one answer; graph compilers take their time

// The child process and its pipes.
class Child {
 public:
  explicit Child(const std::vector<std::string>& command) : program_(command[0]) {
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) != 0) throw std::runtime_error("No pipe could be made.");
    if (pipe2(from, O_CLOEXEC) != 0) {
      close(to[0]);
      close(to[1]);
      throw std::runtime_error("No pipe could be made.");
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], 0);
    posix_spawn_file_actions_adddup2(&actions, from[1], 1);
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    const int failed =
        posix_spawnp(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(to[0]);
    close(from[1]);
    in_ = to[1];
    out_ = from[0];
    if (failed) {
      pid_ = -1;
      lost_ = program_ + " does not start: " + std::strerror(failed) + ".";
    }
  }

  ~Child() {
    close(in_);
    close(out_);
    if (pid_ > 0) end();
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  const std::string& lost() const { return lost_; }
  int process() const { return pid_ > 0 ? pid_ : 0; }

  // The answer; null once the child is lost.
  json ask(const json& request) {
    const std::string line = request.dump() + "\n";
    for (size_t done = 0; lost_.empty() && done < line.size();) {
      const ssize_t wrote = write(in_, line.data() + done, line.size() - done);
      if (wrote > 0)
        done += static_cast<size_t>(wrote);
      else if (errno != EINTR)
        lose();
    }
    return answer();
  }

  json answer() {
    std::string line;
    if (!read_line(line)) return nullptr;
    const json value = json::parse(line, nullptr, false);
    if (!value.is_object()) {
      lost_ = "Its driver answered \"" + line.substr(0, 60) + "\", which is no JSON object.";
      return nullptr;
    }
    return value;
  }

 private:
  bool read_line(std::string& line) {
    while (lost_.empty()) {
      if (const size_t end = buffer_.find('\n'); end != std::string::npos) {
        line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return true;
      }
      pollfd ready = {out_, POLLIN, 0};
      const int events = poll(&ready, 1, kPatienceSeconds * 1000);
      if (events < 0 && errno == EINTR) continue;
      char bytes[4096];
      const ssize_t got = events > 0 ? read(out_, bytes, sizeof bytes) : -1;
      if (got > 0)
        buffer_.append(bytes, static_cast<size_t>(got));
      else if (events == 0)
        lost_ = "Its driver did not answer for " + std::to_string(kPatienceSeconds) + " s.";
      else
        lose();
    }
    return false;
  }

  // The pipe is at its end, so the process is, or will be at once.
  void lose() {
    int status = 0;
    std::string how = "closed its output";
    for (int i = 0; i < 100 && pid_ > 0; ++i) {
      if (waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = -1;
        how = WIFSIGNALED(status) ? format("was ended by signal %d", WTERMSIG(status))
                                  : format("ended with status %d", WEXITSTATUS(status));
      } else {
        usleep(10000);
      }
    }
    lost_ = "Its driver, " + program_ + ", " + how + " in the middle.";
  }

  // Its input is closed, which ends a driver that waits; one that hangs is killed.
  void end() {
    for (int i = 0; i < 200; ++i) {
      if (waitpid(pid_, nullptr, WNOHANG) != 0) return;
      usleep(10000);
    }
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  pid_t pid_ = -1;
  int in_ = -1, out_ = -1;
  std::string program_, buffer_, lost_;
};

std::string word(const json& object, const char* key) {
  const auto at = object.find(key);
  if (at == object.end() || at->is_null()) return "";
  return at->is_string() ? at->get<std::string>() : at->dump();
}

const char* form_name(Form form) {
  switch (form) {
    case Form::kF32:
      return "f32";
    case Form::kDynamic:
      return "dynamic";
    default:
      return "u8";
  }
}

// A driver holds one problem at a time, the last that was prepared.
class DriverRun : public PreparedPeer {
 public:
  DriverRun(Child& child, std::string scratch) : child_(child), scratch_(std::move(scratch)) {}

  double run(size_t iterations) override {
    const json answer = child_.ask({{"cmd", "run"}, {"iterations", iterations}});
    if (answer.is_object() && answer.contains("seconds") && answer["seconds"].is_number())
      return answer["seconds"].get<double>();
    note = answer.is_object() ? word(answer, "error") : child_.lost();
    if (note.empty()) note = "Its driver gave no seconds.";
    return std::numeric_limits<double>::quiet_NaN();
  }

  bool output(void* y, size_t bytes) override {
    const std::string path = scratch_ + "/output";
    const json answer = child_.ask({{"cmd", "output"}, {"path", path}});
    if (!answer.is_object() || !answer.value("ok", false)) return false;
    std::ifstream file(path, std::ios::binary);
    file.read(static_cast<char*>(y), static_cast<std::streamsize>(bytes));
    return static_cast<size_t>(file.gcount()) == bytes && file.peek() == EOF;
  }

  int process() const override { return child_.process(); }

 private:
  Child& child_;
  std::string scratch_;
};

class DriverPeer : public Peer {
 public:
  DriverPeer(const std::vector<std::string>& command, std::string scratch)
      : child_(command), scratch_(std::move(scratch)) {
    child = true;
  }

  // Empty: it is ready.
  std::string greet(const std::string& asked) {
    const json answer = child_.answer();
    if (!answer.is_object()) return child_.lost();
    if (!answer.value("ready", false)) {
      const std::string why = word(answer, "absent");
      return why.empty() ? "Its driver says neither ready nor absent." : why;
    }
    name = asked;
    version = word(answer, "version");
    isa = word(answer, "isa");
    return "";
  }

  Offer prepare_pass(const std::string& pass, int64_t rows, int64_t columns) override {
    return offer_of(child_.ask(
        {{"cmd", "prepare_pass"}, {"pass", pass}, {"rows", rows}, {"columns", columns}}));
  }

  Offer prepare(const Problem& problem) override {
    if (problem.act_signed || problem.form == Form::kS32)
      return {{}, "The drivers feed u8 and read u8 or f32."};
    if (!child_.lost().empty()) return {{}, child_.lost()};
    const Form form = problem.form;
    if (overhead_.find(form) == overhead_.end()) {
      Problem empty = problem.conv
                          ? make_problem(read_conv({"1x4x4x8", "k1", "o8"}), form, false, "uniform")
                          : make_problem(Shape{7, 5, 3}, form, false, "uniform");
      empty.file = scratch_ + "/empty";
      write_problem(empty, empty.file);
      Offer offer = ask(empty);
      if (offer.variants.empty()) return offer;
      std::vector<Candidate> alone(1);
      alone[0].run = [&](size_t n) { return offer.variants[0]->run(n); };
      alone[0].switches = [this] { return switches_of(child_.process()); };
      Timing timing;
      timing.rounds = 9;
      time_interleaved(alone, timing);
      if (alone[0].lost) return {{}, offer.variants[0]->note};
      overhead_[form] = alone[0].seconds;
    }
    Offer offer = ask(problem);
    for (auto& variant : offer.variants) variant->overhead = overhead_[form];
    return offer;
  }

 private:
  Offer ask(const Problem& problem) {
    json request = {{"cmd", "prepare"},     {"form", form_name(problem.form)},
                    {"m", problem.shape.m}, {"n", problem.shape.n},
                    {"k", problem.shape.k}, {"data", problem.file}};
    if (problem.conv) request["conv"] = conv_json(*problem.conv);
    return offer_of(child_.ask(request));
  }

  Offer offer_of(const json& answer) {
    Offer offer;
    if (answer.is_object() && answer.value("ok", false)) {
      offer.variants.push_back(std::make_unique<DriverRun>(child_, scratch_));
      offer.variants[0]->note = word(answer, "note");
      return offer;
    }
    offer.absent = child_.lost();
    for (const char* key : {"absent", "error"})
      if (offer.absent.empty() && answer.is_object()) offer.absent = word(answer, key);
    if (offer.absent.empty()) offer.absent = "Its driver prepares nothing and says not why.";
    return offer;
  }

  Child child_;
  std::string scratch_;
  std::map<Form, double> overhead_;
};

}  // namespace

std::unique_ptr<Peer> start_driver(const std::vector<std::string>& command, const std::string& name,
                                   const std::string& isa, size_t threads,
                                   const std::string& scratch, std::string& why) {
  std::vector<std::string> words = command;
  words.insert(words.end(), {name, "--isa", isa, "--threads", std::to_string(threads)});
  auto peer = std::make_unique<DriverPeer>(words, scratch);
  why = peer->greet(name);
  if (!why.empty()) return nullptr;
  return peer;
}

long switches_of(int process) {
  long sum = 0;
  std::error_code ended;
  const std::string tasks = "/proc/" + std::to_string(process) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks, ended)) {
    std::ifstream status(task.path() / "status");
    constexpr std::string_view kKey = "nonvoluntary_ctxt_switches:";
    for (std::string line; std::getline(status, line);)
      if (line.starts_with(kKey)) sum += std::atol(line.c_str() + kKey.size());
  }
  return sum;
}

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
#include "progress.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

namespace octet_cli {

Progress::Progress(std::string what, size_t steps)
    : what_(std::move(what)), steps_(steps), start_(Clock::now()), terminal_(isatty(2) != 0) {}

Progress::~Progress() {
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  std::fprintf(stderr, "%s%s: %.1f s, %s\n", terminal_ ? "\r\033[K" : "", what_.c_str(), seconds,
               note_.c_str());
}

void Progress::step(const std::string& note) {
  ++done_;
  note_ = note;
  if (terminal_) draw(note);
}

void Progress::draw(const std::string& note) {
  // Ten times a second is as often as anybody can read.
  const auto now = Clock::now();
  if (done_ < steps_ && now - drawn_ < std::chrono::milliseconds(100)) return;
  drawn_ = now;

  constexpr size_t kWidth = 30;
  const size_t filled = kWidth * done_ / steps_;
  const double spent = std::chrono::duration<double>(now - start_).count();
  const double left = spent * static_cast<double>(steps_ - done_) / static_cast<double>(done_);
  const std::string bar = std::string(filled, '#') + std::string(kWidth - filled, '.');
  std::fprintf(stderr, "\r\033[K%s [%s] %zu/%zu, %.0f s left, %s", what_.c_str(), bar.c_str(),
               done_, steps_, left, note.c_str());
  std::fflush(stderr);
}

}  // namespace octet_cli

// SPDX-License-Identifier: Apache-2.0
//
// A progress bar on stderr: one line that is rewritten, with the time that is left. Where stderr is
// no terminal it writes a single line at the end, so that logs stay readable.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

namespace octet_cli {

class Progress {
 public:
  Progress(std::string what, size_t steps);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // One step is done; note is a few words that follow the bar.
  void step(const std::string& note);

 private:
  using Clock = std::chrono::steady_clock;
  void draw(const std::string& note);

  std::string what_, note_;
  size_t steps_, done_ = 0;
  Clock::time_point start_, drawn_{};
  bool terminal_;
};

}  // namespace octet_cli

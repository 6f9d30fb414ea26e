// SPDX-License-Identifier: Apache-2.0
#include "bench/child.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <stdexcept>

#include "api.h"
#include "output.h"

namespace octet_cli {
namespace {

void write_all(int file, const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t wrote = write(file, text.data() + done, text.size() - done);
    if (wrote <= 0) return;
    done += static_cast<size_t>(wrote);
  }
}

std::string read_all(int file) {
  std::string text;
  char bytes[65536];
  for (ssize_t got; (got = read(file, bytes, sizeof bytes)) > 0;)
    text.append(bytes, static_cast<size_t>(got));
  return text;
}

}  // namespace

nlohmann::ordered_json in_child(const std::function<nlohmann::ordered_json()>& work) {
  int ends[2];
  std::fflush(nullptr);
  if (pipe(ends) != 0) throw std::runtime_error("No pipe could be made.");
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("No process could be started.");
  if (child == 0) {
    close(ends[0]);
    std::signal(SIGPIPE, SIG_IGN);  // a driver that ends is told by its pipe
    nlohmann::ordered_json answer;
    try {
      answer["report"] = work();
    } catch (const UsageError& error) {
      answer["usage"] = error.what();
    } catch (const std::exception& error) {
      answer["error"] = error.what();
    }
    write_all(ends[1], answer.dump());
    std::fflush(nullptr);
    _exit(0);
  }
  close(ends[1]);
  const std::string text = read_all(ends[0]);
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  const auto answer = nlohmann::ordered_json::parse(text, nullptr, false);
  if (answer.is_discarded())
    throw std::runtime_error(
        WIFSIGNALED(status)
            ? format("The process of a cap was ended by signal %d.", WTERMSIG(status))
            : "The process of a cap gave no rows.");
  if (answer.contains("usage")) throw UsageError(answer["usage"].get<std::string>());
  if (answer.contains("error")) throw std::runtime_error(answer["error"].get<std::string>());
  return answer.at("report");
}

}  // namespace octet_cli

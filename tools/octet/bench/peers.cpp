// SPDX-License-Identifier: Apache-2.0
#include "bench/peers.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>

#include "bench/driver.h"

namespace octet_cli {
namespace {

// Modules stand beside the program.
constexpr std::array kModules = {"onednn", "openblas"};
constexpr std::array kDrivers = {"torch-x86", "torch-onednn", "torch-fbgemm", "zentorch",
                                 "ort",       "openvino",     "litert"};

std::filesystem::path program_folder() {
  std::error_code failed;
  return std::filesystem::read_symlink("/proc/self/exe", failed).parent_path();
}

std::unique_ptr<Peer> load_module(const std::string& name, std::string& why) {
  const std::filesystem::path path = program_folder() / ("octet_peer_" + name + ".so");
  if (std::error_code failed; !std::filesystem::exists(path, failed)) {
    why =
        "Its module was not built: ./tools/peers installs what it needs; then set the build up "
        "anew.";
    return nullptr;
  }
  // Never closed: the libraries behind it have threads.
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    why = std::string("Its module cannot be loaded: ") + dlerror() + ".";
    return nullptr;
  }
  const auto open = reinterpret_cast<OpenPeer>(dlsym(handle, kOpenPeer));
  const char* sentence = "Its module has another form.";
  std::unique_ptr<Peer> peer(open ? open(&sentence) : nullptr);
  if (!peer) why = sentence;
  return peer;
}

std::vector<std::string> own_driver() {
  const std::filesystem::path root = std::filesystem::path(OCTET_SHAPE_DIR).parent_path();
  return {root / ".venv-peers" / "bin" / "python", root / "bench" / "peers" / "driver.py"};
}

std::unique_ptr<Peer> open_driver(const std::string& name, const std::string& isa, size_t threads,
                                  const PeerPlace& place, std::string& why) {
  if (!place.driver.empty())
    return start_driver(place.driver, name, isa, threads, place.scratch, why);
  const std::vector<std::string> command = own_driver();
  for (const std::string& file : command) {
    if (std::error_code failed; !std::filesystem::exists(file, failed)) {
      why = "It is not installed: ./tools/peers does that.";
      return nullptr;
    }
  }
  return start_driver(command, name, isa, threads, place.scratch, why);
}

void set(const char* variable, const std::string& value) { setenv(variable, value.c_str(), 1); }

}  // namespace

std::vector<std::string> peer_names() {
  std::vector<std::string> names(kModules.begin(), kModules.end());
  names.insert(names.end(), kDrivers.begin(), kDrivers.end());
  return names;
}

void cap_peers(const std::string& isa, size_t threads) {
  struct Cap {
    const char *isa, *onednn, *openblas;
  };
  constexpr Cap kCaps[] = {{"scalar", "SSE41", "Nehalem"},
                           {"avx2", "AVX2", "Haswell"},
                           {"avxvnni", "AVX2_VNNI", "Haswell"},
                           {"avx512bw", "AVX512_CORE", "SkylakeX"},
                           {"avx512vnni", "AVX512_CORE_VNNI", "SkylakeX"},
                           {"amx", "AVX512_CORE_AMX", "SkylakeX"}};
  for (const Cap& cap : kCaps) {
    if (isa != cap.isa) continue;
    set("ONEDNN_MAX_CPU_ISA", cap.onednn);
    set("OPENBLAS_CORETYPE", cap.openblas);
  }
  set("OMP_NUM_THREADS", std::to_string(threads));
  set("OPENBLAS_NUM_THREADS", std::to_string(threads));
}

Peers open_peers(const std::vector<std::string>& names, const std::string& isa, size_t threads,
                 const PeerPlace& place) {
  Peers peers;
  if (names.empty()) return peers;
  auto wanted = [&](const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  auto is_module = [](const std::string& name) {
    return std::find(kModules.begin(), kModules.end(), name) != kModules.end();
  };
  // The float reference is the best of all modules, whichever peers were asked for.
  for (const std::string name : kModules) {
    std::string why;
    std::unique_ptr<Peer> module = load_module(name, why);
    if (!module) peers.absent.push_back({name, why});
    if (module && wanted(name) && name != "openblas") {
      peers.present.push_back(load_module(name, why));
    }
    if (module) peers.floats.push_back(std::move(module));
  }
  for (const std::string& name : names) {
    if (is_module(name)) continue;
    std::string why;
    if (auto peer = open_driver(name, isa, threads, place, why))
      peers.present.push_back(std::move(peer));
    else
      peers.absent.push_back({name, why});
  }
  return peers;
}

}  // namespace octet_cli

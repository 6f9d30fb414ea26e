// SPDX-License-Identifier: Apache-2.0
//
// `octet info`: what the library found on this machine and which kernels it has for it.
#include <cstdio>

#include "api.h"
#include "commands.h"
#include "machine.h"
#include "output.h"

namespace octet_cli {
namespace {

std::string size_text(int64_t bytes) {
  if (bytes <= 0) return "unknown";
  return bytes % (1 << 20) ? format("%lld KiB", static_cast<long long>(bytes >> 10))
                           : format("%lld MiB", static_cast<long long>(bytes >> 20));
}

}  // namespace

void run_info(const InfoOptions& options) {
  const Context context = make_context(options.isa);
  if (options.json) {
    write_text("-", describe(context.get()));
    return;
  }
  const Machine machine = read_machine(context.get());
  std::printf("Octet %s\nCPU: %s\nISA cap: %s\n", machine.version.c_str(), machine.cpu.c_str(),
              machine.max_isa.c_str());
  std::printf("Caches: L1d %s, L2 %s, L3 %s\n\n", size_text(machine.l1d).c_str(),
              size_text(machine.l2).c_str(), size_text(machine.l3).c_str());

  Table isas({"ISA", "usable", "why"}, {false, false, false});
  for (const Machine::Isa& isa : machine.isas)
    isas.add({isa.name, isa.usable ? "yes" : "no", isa.why});
  isas.print();

  std::printf("\n");
  Table kernels({"kernel", "family", "ISA", "tile"}, {false, false, false, false});
  for (const Machine::Kernel& k : machine.kernels) kernels.add({k.name, k.family, k.isa, k.tile});
  kernels.print();
}

}  // namespace octet_cli

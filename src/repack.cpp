// SPDX-License-Identifier: Apache-2.0
#include "src/repack.h"

#include "src/prove.h"
#include "src/select.h"

namespace octet {

namespace {

// A block of the context's memory that goes back unless it is kept.
struct Memory {
  const octet_context& c;
  const size_t bytes;
  void* data;

  Memory(const octet_context& context, size_t size)
      : c(context), bytes(size), data(allocate(context, size)) {}
  ~Memory() { release(c, data, bytes); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  void* keep() {
    void* p = data;
    data = nullptr;
    return p;
  }
};

// First every panel is proved, then, when the sizes are known, written.
struct Proving {
  const WeightsView& w;
  ProvedWindow* windows;
  uint64_t* at = nullptr;  // the copy

  ProvedWindow* of(size_t panel) const {
    return windows + static_cast<int64_t>(panel) * proved_windows(w.k);
  }
  const int8_t* canonical(size_t panel) const {
    return w.panels + static_cast<int64_t>(panel) * w.panel_stride;
  }

  static void prove(void* arg, size_t panel) {
    const Proving& p = *static_cast<const Proving*>(arg);
    ProvedWindow* windows = p.of(panel);
    prove_panel(p.canonical(panel), p.w.k, windows);
    for (int64_t i = 0; i < proved_windows(p.w.k); ++i)
      if (!proof_holds(p.canonical(panel), p.w.k, i, windows[i])) windows[i].kind = kProvedWidened;
  }

  static void write(void* arg, size_t panel) {
    const Proving& p = *static_cast<const Proving*>(arg);
    write_proved_panel(p.canonical(panel), p.w.k, p.of(panel),
                       reinterpret_cast<char*>(p.at + panel) + p.at[panel]);
  }
};

bool may_be_proved(const WeightsView& v) { return v.form.plain() && v.n && v.k >= kProvedWindow; }

}  // namespace

void plan_repack(const octet_context& c, octet_weights* w) {
  WeightsView& v = w->view;
  if (c.forced && c.forced->layout == kLayoutProved && may_be_proved(v)) v.proved_load = 1;
}

octet_status repack(octet_error* err, const octet_context& c, const Exec& exec, octet_weights* w) {
  WeightsView& v = w->view;
  if (!reads_proved(c) || !may_be_proved(v)) return OCTET_OK;
  const size_t panels = static_cast<size_t>(v.panel_count());
  const Memory scratch(c, panels * static_cast<size_t>(proved_windows(v.k)) * sizeof(ProvedWindow));
  if (!scratch.data) return fail_memory(err, scratch.bytes);
  Proving proving = {v, static_cast<ProvedWindow*>(scratch.data)};
  OCTET_TRY(run_tasks(err, exec, panels, Proving::prove, &proving));

  double cycles = 0;
  const size_t head = (panels * sizeof(uint64_t) + 63) / 64 * 64;
  size_t bytes = head;
  for (size_t p = 0; p < panels; ++p) {
    cycles += proved_cycles(proving.of(p), v.k);
    bytes += proved_panel_bytes(proving.of(p), v.k);
  }
  const bool wanted = c.forced && c.forced->layout == kLayoutProved;
  if (!wanted && cycles >= widened_cycles(v.k) * static_cast<double>(panels)) return OCTET_OK;
  Memory copy(c, bytes);
  if (!copy.data) return fail_memory(err, bytes);
  proving.at = static_cast<uint64_t*>(copy.data);
  size_t at = head;
  for (size_t p = 0; p < panels; ++p) {
    proving.at[p] = at - p * sizeof(uint64_t);
    at += proved_panel_bytes(proving.of(p), v.k);
  }
  OCTET_TRY(run_tasks(err, exec, panels, Proving::write, &proving));
  v.proved = proving.at;
  v.proved_load = static_cast<float>(cycles / (doubles_cycles(v.k) * static_cast<double>(panels)));
  w->proved = copy.keep();
  w->proved_bytes = bytes;
  return OCTET_OK;
}

}  // namespace octet

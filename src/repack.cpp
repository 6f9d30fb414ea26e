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

// A panel of one phase, as the matrix that it is.
struct Part {
  const int8_t* panel;
  int64_t k;
};

// First every part is proved, then, when the sizes are known, written. Phase by phase, panel by
// panel.
struct Proving {
  const WeightsView& w;
  ProvedWindow* windows = nullptr;
  uint64_t* at = nullptr;  // the copy

  size_t parts() const { return static_cast<size_t>(w.conv.phases() * w.panel_count()); }
  int64_t phase(size_t part) const { return static_cast<int64_t>(part) / w.panel_count(); }
  int64_t panel(size_t part) const { return static_cast<int64_t>(part) % w.panel_count(); }

  Part part(size_t i) const {
    const int64_t p = panel(i);
    if (!w.conv.rank) return {w.panels + p * w.panel_stride, w.k};
    const WeightsView unit = unit_view(w, phase(i), p / w.conv.unit_panels);
    return {unit.panels + p % w.conv.unit_panels * unit.panel_stride, unit.k};
  }
  // The windows of a panel: one more for each phase than its K has, because phases begin anywhere.
  int64_t panel_windows() const {
    return (w.conv.rank ? w.conv.panel_k(0) : w.k) / kProvedWindow + w.conv.phases();
  }
  size_t scratch_bytes() const {
    return static_cast<size_t>(w.panel_count() * panel_windows()) * sizeof(ProvedWindow);
  }
  ProvedWindow* of(size_t i) const {
    const int64_t before =
        w.conv.rank ? w.conv.phase_k(phase(i), panel(i) / w.conv.unit_panels) / kProvedWindow : 0;
    return windows + panel(i) * panel_windows() + before + phase(i);
  }

  static void prove(void* arg, size_t i) {
    const Proving& p = *static_cast<const Proving*>(arg);
    const Part part = p.part(i);
    if (!part.k) return;
    ProvedWindow* windows = p.of(i);
    prove_panel(part.panel, part.k, windows);
    for (int64_t n = 0; n < proved_windows(part.k); ++n)
      if (!proof_holds(part.panel, part.k, n, windows[n])) windows[n].kind = kProvedWidened;
  }

  static void write(void* arg, size_t i) {
    const Proving& p = *static_cast<const Proving*>(arg);
    const Part part = p.part(i);
    if (part.k)
      write_proved_panel(part.panel, part.k, p.of(i), reinterpret_cast<char*>(p.at + i) + p.at[i]);
  }
};

// Every stretch of K that a tile takes holds a window, or nothing.
bool long_enough(const WeightsView& v) {
  const ConvForm& f = v.conv;
  if (!f.rank) return v.k >= kProvedWindow;
  for (int64_t phase = 0; phase < f.phases(); ++phase)
    if (f.taps(phase) && f.packed_k(phase, f.units - 1) < kProvedWindow) return false;
  return true;
}

bool may_be_proved(const WeightsView& v) {
  return v.form.plain() && v.n && !v.conv.depthwise && long_enough(v);
}

}  // namespace

void plan_repack(const octet_context& c, octet_weights* w) {
  WeightsView& v = w->view;
  if (c.forced && c.forced->layout == kLayoutProved && may_be_proved(v)) v.proved_load = 1;
}

octet_status repack(octet_error* err, const octet_context& c, const Exec& exec, octet_weights* w) {
  WeightsView& v = w->view;
  if (!reads_proved(c) || !may_be_proved(v)) return OCTET_OK;
  Proving proving = {v};
  const Memory scratch(c, proving.scratch_bytes());
  if (!scratch.data) return fail_memory(err, scratch.bytes);
  proving.windows = static_cast<ProvedWindow*>(scratch.data);
  OCTET_TRY(run_tasks(err, exec, proving.parts(), Proving::prove, &proving));

  double cycles = 0, widened = 0, doubles = 0;
  const size_t head = (proving.parts() * sizeof(uint64_t) + 63) / 64 * 64;
  size_t bytes = head;
  for (size_t i = 0; i < proving.parts(); ++i) {
    const int64_t k = proving.part(i).k;
    if (!k) continue;
    cycles += proved_cycles(proving.of(i), k);
    widened += widened_cycles(k);
    doubles += doubles_cycles(k);
    bytes += proved_panel_bytes(proving.of(i), k);
  }
  // Widened windows of several taps share pixels: the pass over them counts for little.
  if (!v.conv.rank || (v.conv.units == 1 && v.conv.kernel_taps() == 1))
    widened += widening_cycles(proving.part(0).k);
  const bool wanted = c.forced && c.forced->layout == kLayoutProved;
  if (!wanted && cycles >= widened) return OCTET_OK;
  Memory copy(c, bytes);
  if (!copy.data) return fail_memory(err, bytes);
  proving.at = static_cast<uint64_t*>(copy.data);
  size_t at = head;
  for (size_t i = 0; i < proving.parts(); ++i) {
    const int64_t k = proving.part(i).k;
    proving.at[i] = at - i * sizeof(uint64_t);
    if (k) at += proved_panel_bytes(proving.of(i), k);
  }
  OCTET_TRY(run_tasks(err, exec, proving.parts(), Proving::write, &proving));
  v.proved = proving.at;
  v.proved_load = static_cast<float>(cycles / doubles);
  w->proved = copy.keep();
  w->proved_bytes = bytes;
  return OCTET_OK;
}

}  // namespace octet

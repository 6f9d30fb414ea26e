// SPDX-License-Identifier: Apache-2.0
#include "src/context.h"

#include <stdio.h>
#include <stdlib.h>

#include "src/amx.h"
#include "src/default_allocator.h"

namespace octet {

int type_index(int32_t type) { return type >= OCTET_U8 && type <= OCTET_S2 ? type : 0; }

void* allocate(const octet_context& c, size_t bytes) {
  return c.allocator.alloc(c.allocator.user, bytes ? bytes : 1, kAlign);
}

void release(const octet_context& c, void* p, size_t bytes) {
  if (p) c.allocator.free(c.allocator.user, p, bytes ? bytes : 1);
}

void retain(const octet_context* c) { c->refs.fetch_add(1, std::memory_order_relaxed); }

namespace {

const char kIsaNames[] =
    "\"scalar\", \"avx2\", \"avxvnni\", \"avx512bw\", \"avx512vnni\", \"amx\", \"neon\", "
    "\"neondot\", "
    "\"neoni8mm\"";

// A cap by name; `source` says where the name came from.
octet_status apply_cap(octet_error* err, const char* source, const char* name, octet_context* c) {
  bool foreign;
  const IsaInfo* isa = find_isa(name, &foreign);
  if (!isa)
    return fail(err, OCTET_ERR_ARGUMENT, "%s is \"%s\"; use one of %s.", source, name, kIsaNames);
  if (foreign)
    return fail(err, OCTET_ERR_UNSUPPORTED,
                "%s is \"%s\", an instruction set of another architecture than this build's; use "
                "\"scalar\" or one that octet_context_describe lists.",
                source, name);
  // Of two caps both bind; the narrower one names the context's cap.
  const uint32_t both = c->isas & isa->parents;
  if (!c->cap || both != c->isas) c->cap = isa->name;
  c->isas = both;
  return OCTET_OK;
}

octet_status apply_force(octet_error* err, const char* source, const char* name, octet_context* c) {
  for (size_t i = 0; i < octet_row_count; ++i) {
    const Row& row = octet_rows[i];
    if (strcmp(row.name, name)) continue;
    if (!(row.isa & c->isas))
      return fail(err, OCTET_ERR_UNSUPPORTED,
                  "%s is \"%s\", which needs the instruction set %s that this context may not use.",
                  source, name, isa_name(row.isa));
    c->forced = &row;
    return OCTET_OK;
  }
  return fail(err, OCTET_ERR_ARGUMENT,
              "%s is \"%s\", which is no kernel of this build; octet_context_describe lists them.",
              source, name);
}

// For every task without tiles the row of the newest ISA. ISA bits ascend with preference.
void choose_rows(octet_context* c) {
  for (size_t i = 0; i < octet_row_count; ++i) {
    const Row& row = octet_rows[i];
    if (row.mr || !(row.isa & c->isas)) continue;
    uint16_t& slot = c->best[row.family][type_index(row.in)][type_index(row.out)];
    if (!slot || row.isa > octet_rows[slot - 1].isa) slot = static_cast<uint16_t>(i + 1);
  }
  if (const Row* f = c->forced; f && !f->mr)
    c->best[f->family][type_index(f->in)][type_index(f->out)] =
        static_cast<uint16_t>(f - octet_rows + 1);
}

void stderr_log(void*, int32_t, const char* line) {
  fputs(line, stderr);
  fputc('\n', stderr);
}

octet_status fill(octet_error* err, const octet_context_desc& d, octet_context* c) {
  detect_cpu(&c->cpu, (d.flags & OCTET_NO_AMX) != 0);
  c->flags = d.flags;
  c->isas = c->cpu.isas;
  if (d.max_isa) OCTET_TRY(apply_cap(err, "octet_context_desc.max_isa", d.max_isa, c));
  const char* force = d.force_kernel;
  const char* force_source = "octet_context_desc.force_kernel";
  octet_log log = d.log;
  void* log_user = d.log_user;
  if (d.flags & OCTET_READ_ENV) {
    const char* cap = getenv("OCTET_MAX_ISA");
    if (cap && *cap) OCTET_TRY(apply_cap(err, "OCTET_MAX_ISA", cap, c));
    const char* forced = getenv("OCTET_FORCE_KERNEL");
    if (forced && *forced) {
      force = forced;
      force_source = "OCTET_FORCE_KERNEL";
    }
    const char* verbose = getenv("OCTET_VERBOSE");
    if (verbose && *verbose && strcmp(verbose, "0") && !log) log = stderr_log;
  }
  // A permission of the whole process, so it is asked for here only, and only if no cap excludes
  // it.
  if (c->isas & kIsaAmx) {
    if (const char* why = permit_amx()) {
      refuse_amx(&c->cpu, why);
      c->isas &= c->cpu.isas;
    }
  }
  if (force) OCTET_TRY(apply_force(err, force_source, force, c));
  choose_rows(c);
  if (log) {
    char line[256];
    Text text(line, sizeof line);
    text.add("octet %u: %s, instruction sets", octet_version(), c->cpu.name);
    for (int i = 0; i < kIsaCount; ++i)
      if (c->isas & kIsas[i].bit) text.add(" %s", kIsas[i].name);
    if (c->cap) text.add(", cap %s", c->cap);
    if (c->forced) text.add(", forced kernel %s", c->forced->name);
    text.finish();
    log(log_user, 1, line);
  }
  return OCTET_OK;
}

// A cap to scalar asks for slow code by name.
bool unreachable(const octet_context& c, const IsaInfo& isa, const char** why, int index) {
  if (c.isas & isa.bit) return false;
  *why = c.cpu.isas & isa.bit ? "above this context's cap" : c.cpu.why[index];
  return true;
}

const char* type_tag(int32_t t) {
  switch (t) {
    case OCTET_U8:
      return "u8";
    case OCTET_S8:
      return "s8";
    case OCTET_U4:
      return "u4";
    case OCTET_S4:
      return "s4";
    case OCTET_U2:
      return "u2";
    case OCTET_S2:
      return "s2";
    case OCTET_U16:
      return "u16";
    case OCTET_F16:
      return "f16";
    case OCTET_BF16:
      return "bf16";
    case OCTET_S32:
      return "s32";
    case OCTET_F32:
      return "f32";
    case OCTET_S16:
      return "s16";
    case kOutQ8:
      return "q8";
    default:
      return "";
  }
}

}  // namespace

}  // namespace octet

using namespace octet;

uint32_t octet_version(void) { return OCTET_VERSION; }

const char* octet_status_name(octet_status s) {
  static const char* const names[] = {"OCTET_OK",
                                      "OCTET_ERR_ARGUMENT",
                                      "OCTET_ERR_MEMORY",
                                      "OCTET_ERR_UNSUPPORTED",
                                      "OCTET_ERR_SLOW_ONLY",
                                      "OCTET_ERR_INEXACT",
                                      "OCTET_ERR_EMPTY",
                                      "OCTET_ERR_NOT_FINITE",
                                      "OCTET_ERR_TOO_SMALL",
                                      "OCTET_ERR_CORRUPT",
                                      "OCTET_ERR_VERSION",
                                      "OCTET_ERR_CANCELLED",
                                      "OCTET_ERR_INTERNAL"};
  return s >= 0 && s <= OCTET_ERR_INTERNAL ? names[s] : "OCTET_ERR_UNKNOWN";
}

octet_status octet_context_create(const octet_context_desc* desc, octet_context** out,
                                  octet_error* err) {
  if (!out) return fail(err, OCTET_ERR_ARGUMENT, "out is NULL; pass where the context goes.");
  octet_context_desc d = {};
  if (desc) OCTET_TRY(read_struct(err, "octet_context_desc", desc, sizeof d, &d));
  if (d.flags & OCTET_JIT)
    return fail(err, OCTET_ERR_UNSUPPORTED,
                "octet_context_desc.flags has OCTET_JIT, which this release does not have.");
  const uint32_t known = OCTET_READ_ENV | OCTET_ALLOW_SLOW | OCTET_NO_AMX;
  if (d.flags & ~known)
    return fail_flags(err, "octet_context_desc.flags", d.flags & ~known,
                      "OCTET_READ_ENV, OCTET_ALLOW_SLOW, OCTET_NO_AMX");
  if (d.tuning || d.tuning_bytes)
    return fail(err, OCTET_ERR_UNSUPPORTED,
                "octet_context_desc.tuning must be NULL and tuning_bytes 0 in this release.");
  if (d.jit || d.jit_bytes)
    return fail(err, OCTET_ERR_UNSUPPORTED,
                "octet_context_desc.jit must be NULL and jit_bytes 0 in this release.");
  // By address: a copy by value lets GCC put the initializer into writable data.
  const octet_allocator* const allocator = d.allocator ? d.allocator : &kDefaultAllocator;
  if (!allocator->alloc || !allocator->free)
    return fail(err, OCTET_ERR_ARGUMENT,
                "octet_context_desc.allocator lacks alloc or free; give both functions or NULL.");
  // Filled on the stack first: a refused desc allocates nothing.
  octet_context filled;
  OCTET_TRY(fill(err, d, &filled));
  filled.allocator = *allocator;
  octet_context* c = make_handle<octet_context>(filled);
  if (!c) return fail_memory(err, sizeof(octet_context));
  c->allocator = *allocator;
  c->cpu = filled.cpu;
  c->isas = filled.isas;
  c->flags = filled.flags;
  c->cap = filled.cap;
  c->forced = filled.forced;
  memcpy(c->best, filled.best, sizeof c->best);
  *out = c;
  return OCTET_OK;
}

void octet_context_destroy(octet_context* c) {
  if (!c || c->refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  const octet_allocator a = c->allocator;
  c->~octet_context();
  a.free(a.user, c, sizeof(octet_context));
}

octet_status octet_context_describe(const octet_context* c, char* json, size_t cap, size_t* need,
                                    octet_error* err) {
  if (!c) return fail(err, OCTET_ERR_ARGUMENT, "c is NULL; pass a context.");
  return write_text(err, json, cap, need, [c](Text& t) {
    t.add("{\"version\":\"%d.%d.%d\",\"cpu\":", OCTET_VERSION / 10000, OCTET_VERSION / 100 % 100,
          OCTET_VERSION % 100);
    t.quoted(c->cpu.name);
    t.put(",\"max_isa\":");
    t.quoted(c->cap ? c->cap : "");
    t.put(",\"force_kernel\":");
    t.quoted(c->forced ? c->forced->name : "");
    t.put(",\"isas\":[");
    for (int i = 0; i < kIsaCount; ++i) {
      const char* why = nullptr;
      const bool missing = unreachable(*c, kIsas[i], &why, i);
      t.add("%s{\"name\":\"%s\",\"usable\":%s,\"why\":", i ? "," : "", kIsas[i].name,
            missing ? "false" : "true");
      t.quoted(missing && why ? why : "");
      t.put('}');
    }
    t.add("],\"caches\":{\"l1d\":%zu,\"l2\":%zu,\"l3\":%zu},\"kernels\":[", c->cpu.l1d, c->cpu.l2,
          c->cpu.l3);
    static const char* const families[] = {
        "gemm",       "gemmgroup", "gemmlane", "depthwise",  "quantize", "dequantize",
        "requantize", "fakequant", "ste",      "amax",       "clamp",    "learn",
        "clip",       "sum",       "sumcols",  "convert",    "pack",     "unpack",
        "flip",       "widen",     "minmax",   "minmaxcols", "rowsum",   "fixed",
        "lut",        "poolmax",   "poolavg",  "poolavgint", "bins"};
    static_assert(sizeof families / sizeof *families == kFamilies);
    bool first = true;
    for (size_t i = 0; i < octet_row_count; ++i) {
      const Row& r = octet_rows[i];
      t.add(
          "%s{\"name\":\"%s\",\"family\":\"%s\",\"isa\":\"%s\",\"in\":\"%s\",\"weight\":\"%s\","
          "\"out\":\"%s\",\"mr\":%d,\"nr\":%d,\"kr\":%d,\"usable\":%s}",
          first ? "" : ",", r.name, families[r.family], isa_name(r.isa), type_tag(r.in),
          type_tag(r.weight), type_tag(r.out), r.mr, r.nr, r.kr,
          r.isa & c->isas ? "true" : "false");
      first = false;
    }
    t.put("]}");
  });
}

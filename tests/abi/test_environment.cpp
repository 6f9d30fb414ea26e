// SPDX-License-Identifier: Apache-2.0
//
// Environment variables count only for a context that asks for them, and only at create. Caps by
// name: unknown names, names of another architecture, and names that this CPU lacks.
#include <algorithm>
#include <cstdlib>

#include "support.h"

namespace contract {
namespace {

class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    setenv(name, value.c_str(), 1);
  }
  ~Variable() { unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

octet_status create(uint32_t flags, const char* max_isa, const char* kernel, Context* out,
                    octet_error* err) {
  octet_context_desc d = sized<octet_context_desc>();
  d.flags = flags;
  d.max_isa = max_isa;
  d.force_kernel = kernel;
  octet_context* c = nullptr;
  const octet_status status = octet_context_create(&d, &c, err);
  out->reset(c);
  return status;
}

std::vector<std::string> usable(const octet_context* c) {
  std::vector<std::string> names;
  for (const std::string& isa : json_objects(describe(c), "isas"))
    if (json_value(isa, "usable") == "true") names.push_back(json_value(isa, "name"));
  return names;
}

// The first and the last GEMM kernel that can be used here: of scalar, and of the newest ISA.
struct Kernel {
  std::string name, isa;
};
std::pair<Kernel, Kernel> kernels() {
  std::pair<Kernel, Kernel> ends;
  const Context c = make_context();
  for (const std::string& kernel : json_objects(describe(c.get()), "kernels")) {
    if (json_value(kernel, "family") != "gemm" || json_value(kernel, "usable") != "true") continue;
    ends.second = {json_value(kernel, "name"), json_value(kernel, "isa")};
    if (ends.first.name.empty()) ends.first = ends.second;
  }
  return ends;
}

TEST(Environment, IsIgnoredUnlessAsked) {
  const Variable cap("OCTET_MAX_ISA", "nonsense"), kernel("OCTET_FORCE_KERNEL", "nonsense");
  Context c;
  EXPECT_ACCEPTED(create(0, nullptr, nullptr, &c, err));
  EXPECT_EQ(json_value(describe(c.get()), "max_isa"), "");
  EXPECT_EQ(json_value(describe(c.get()), "force_kernel"), "");
}

TEST(Environment, GivesTheCap) {
  const Variable cap("OCTET_MAX_ISA", "scalar");
  Context c;
  EXPECT_ACCEPTED(create(OCTET_READ_ENV, nullptr, nullptr, &c, err));
  EXPECT_EQ(usable(c.get()), std::vector<std::string>{"scalar"});
}

TEST(Environment, OfTwoCapsBothBind) {
  const std::string widest = usable_isas().back();
  Context c;
  {
    const Variable cap("OCTET_MAX_ISA", "scalar");
    EXPECT_ACCEPTED(create(OCTET_READ_ENV, widest.c_str(), nullptr, &c, err));
    EXPECT_EQ(usable(c.get()), std::vector<std::string>{"scalar"});
  }
  const Variable cap("OCTET_MAX_ISA", widest);
  EXPECT_ACCEPTED(create(OCTET_READ_ENV, "scalar", nullptr, &c, err));
  EXPECT_EQ(usable(c.get()), std::vector<std::string>{"scalar"});
}

TEST(Environment, ForcesAKernelAndOverridesTheDesc) {
  const std::string first = kernels().first.name, second = kernels().second.name;
  const Variable kernel("OCTET_FORCE_KERNEL", second);
  Context c;
  EXPECT_ACCEPTED(create(OCTET_READ_ENV, nullptr, first.c_str(), &c, err));
  EXPECT_EQ(json_value(describe(c.get()), "force_kernel"), second);
}

TEST(Environment, EmptyVariablesAreAbsent) {
  const Variable cap("OCTET_MAX_ISA", ""), kernel("OCTET_FORCE_KERNEL", "");
  Context c;
  EXPECT_ACCEPTED(create(OCTET_READ_ENV, nullptr, nullptr, &c, err));
  EXPECT_EQ(usable(c.get()), usable_isas());
}

TEST(Environment, WrongValuesAreRefusedByName) {
  Context c;
  {
    const Variable cap("OCTET_MAX_ISA", "sse9");
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, create(OCTET_READ_ENV, nullptr, nullptr, &c, err),
                   "OCTET_MAX_ISA", "sse9", "avx2", "neon");
  }
  const Variable kernel("OCTET_FORCE_KERNEL", "gemm_of_dreams");
  EXPECT_REFUSED(OCTET_ERR_ARGUMENT, create(OCTET_READ_ENV, nullptr, nullptr, &c, err),
                 "OCTET_FORCE_KERNEL", "gemm_of_dreams");
}

TEST(Environment, CapAndForcedKernelMustAgree) {
  const auto& [kernel, isa] = kernels().second;
  if (isa == "scalar") GTEST_SKIP() << "this CPU has reference code only";
  Context c;
  EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, create(0, "scalar", kernel.c_str(), &c, err),
                 "force_kernel", kernel, isa);
}

TEST(Cap, UnknownNamesAreRefused) {
  Context c;
  for (const char* name : {"", "AVX2", "avx", "avx512", "sse2", "neon ", "sve"})
    EXPECT_REFUSED(OCTET_ERR_ARGUMENT, create(0, name, nullptr, &c, err), "max_isa", name, "avx2");
}

TEST(Cap, NamesOfAnotherArchitectureAreUnsupported) {
#if defined(__x86_64__)
  const char* const foreign[] = {"neon", "neondot", "neoni8mm"};
#else
  const char* const foreign[] = {"avx2", "avxvnni", "avx512bw", "avx512vnni", "amx"};
#endif
  Context c;
  for (const char* name : foreign)
    EXPECT_REFUSED(OCTET_ERR_UNSUPPORTED, create(0, name, nullptr, &c, err), "max_isa", name,
                   "architecture");
}

// A known instruction set that this CPU or build lacks is a bound: its parents are used.
TEST(Cap, AKnownNameThatTheCpuLacksIsABound) {
#if defined(__x86_64__)
  const char* const known[] = {"scalar", "avx2", "avxvnni", "avx512bw", "avx512vnni", "amx"};
#else
  const char* const known[] = {"scalar", "neon", "neondot", "neoni8mm"};
#endif
  const std::vector<std::string> all = usable_isas();
  for (const char* name : known) {
    Context c;
    EXPECT_ACCEPTED(create(0, name, nullptr, &c, err));
    const std::vector<std::string> some = usable(c.get());
    EXPECT_FALSE(some.empty());
    for (const std::string& isa : some)
      EXPECT_NE(std::find(all.begin(), all.end(), isa), all.end()) << isa;
    EXPECT_EQ(json_value(describe(c.get()), "max_isa"), name);
  }
}

TEST(Log, IsSilentWithoutACallbackAndCalledAtCreateOnly) {
  std::vector<std::string> lines;
  octet_context_desc d = sized<octet_context_desc>();
  d.log_user = &lines;
  d.log = [](void* user, int32_t, const char* line) {
    static_cast<std::vector<std::string>*>(user)->push_back(line);
  };
  octet_context* c = nullptr;
  testing::internal::CaptureStderr();
  EXPECT_ACCEPTED(octet_context_create(&d, &c, err));
  const Context context(c);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  const size_t at_create = lines.size();
  EXPECT_GE(at_create, 1u);
  describe(c);
  EXPECT_EQ(lines.size(), at_create);
}

TEST(Log, VerboseWritesToStderrOnlyWhenTheEnvironmentIsRead) {
  const Variable verbose("OCTET_VERBOSE", "1");
  Context c;
  testing::internal::CaptureStderr();
  EXPECT_ACCEPTED(create(0, nullptr, nullptr, &c, err));
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  testing::internal::CaptureStderr();
  EXPECT_ACCEPTED(create(OCTET_READ_ENV, nullptr, nullptr, &c, err));
  EXPECT_NE(testing::internal::GetCapturedStderr().find("octet"), std::string::npos);
}

}  // namespace
}  // namespace contract

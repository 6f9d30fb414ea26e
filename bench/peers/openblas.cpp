// SPDX-License-Identifier: Apache-2.0
//
// OpenBLAS's sgemm: the float product that int8 must beat.
#include <cblas.h>

#include <chrono>
#include <cstring>

#include "bench/peer.h"

namespace octet_cli {
namespace {

class Sgemm : public PreparedPeer {
 public:
  explicit Sgemm(const Problem& p) : p_(p), w_(p.w.size()), y_(p.m() * p.n()) {
    for (size_t i = 0; i < w_.size(); ++i) w_[i] = p.w_float(i);
  }

  double run(size_t iterations) override {
    const auto start = std::chrono::steady_clock::now();
    for (; iterations > 0; --iterations) product();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  bool output(void* y, size_t bytes) override {
    if (bytes != y_.size() * sizeof(float)) return false;
    std::memcpy(y, y_.data(), bytes);
    return true;
  }

 private:
  void product() {
    const auto m = static_cast<blasint>(p_.m()), n = static_cast<blasint>(p_.n()),
               k = static_cast<blasint>(p_.k());
    if (m == 1)
      cblas_sgemv(CblasRowMajor, CblasNoTrans, n, k, 1, w_.data(), k, p_.x_float.data(), 1, 0,
                  y_.data(), 1);
    else
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1, p_.x_float.data(), k,
                  w_.data(), k, 0, y_.data(), n);
  }

  const Problem& p_;
  std::vector<float> w_, y_;
};

class OpenBlas : public Peer {
 public:
  OpenBlas() {
    name = "openblas";
    const std::string config = openblas_get_config();  // "OpenBLAS 0.3.21 ..."
    const size_t begin = config.find(' ') + 1;
    version = config.substr(begin, config.find(' ', begin) - begin);
    isa = openblas_get_corename();
  }
  Offer prepare(const Problem&) override { return {{}, "OpenBLAS has no int8 product."}; }
  Offer prepare_float(const Problem& problem) override {
    if (problem.conv) return {{}, "OpenBLAS has no convolution."};
    Offer offer;
    offer.variants.push_back(std::make_unique<Sgemm>(problem));
    return offer;
  }
};

}  // namespace
}  // namespace octet_cli

extern "C" __attribute__((visibility("default"))) octet_cli::Peer* octet_open_peer(const char**) {
  return new octet_cli::OpenBlas();
}

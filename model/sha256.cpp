#include "model/sha256.hpp"

#include "messages/check.hpp"

#include <openssl/evp.h>

#include <array>

namespace troupe {

struct sha256::context {
  EVP_MD_CTX* md = EVP_MD_CTX_new();

  context() {
    TROUPE_CHECK(md != nullptr && EVP_DigestInit_ex(md, EVP_sha256(), nullptr) == 1,
                 "OpenSSL offers no SHA-256");
  }

  ~context() { EVP_MD_CTX_free(md); }
};

sha256::sha256() : context_(std::make_unique<context>()) {
  // nop
}

sha256::~sha256() = default;
sha256::sha256(sha256&&) noexcept = default;
sha256& sha256::operator=(sha256&&) noexcept = default;

void sha256::update(std::span<const std::byte> bytes) {
  TROUPE_CHECK(EVP_DigestUpdate(context_->md, bytes.data(), bytes.size()) == 1, "update after the end");
}

void sha256::update(std::string_view text) {
  update(std::as_bytes(std::span(text.data(), text.size())));
}

std::string sha256::hex() {
  std::array<unsigned char, 32> digest{};
  unsigned int size = 0;
  TROUPE_CHECK(EVP_DigestFinal_ex(context_->md, digest.data(), &size) == 1 && size == digest.size(),
               "asked twice");
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (auto byte : digest) {
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

std::string sha256_hex(std::span<const std::byte> bytes) {
  sha256 hash;
  hash.update(bytes);
  return hash.hex();
}

std::string sha256_hex(std::string_view text) {
  return sha256_hex(std::as_bytes(std::span(text.data(), text.size())));
}

} // namespace troupe

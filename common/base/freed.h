#pragma once

// For what a C library makes and wants back:
// std::unique_ptr<X509, Freed<X509_free>>.

namespace kvrecall {

template <auto free>
struct Freed {
  template <typename T>
  void operator()(T* object) const {
    free(object);
  }
};

}  // namespace kvrecall

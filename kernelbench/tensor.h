#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernelbench/dtype.h"

namespace dsbench::kernelbench {

// An operand in host memory, row-major and dense.
class HostTensor {
 public:
  HostTensor() = default;
  HostTensor(std::string name, Dtype type, std::vector<std::int64_t> shape);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] Dtype type() const { return type_; }
  [[nodiscard]] const std::vector<std::int64_t>& shape() const { return shape_; }
  [[nodiscard]] std::int64_t dim(std::size_t i) const { return shape_[i]; }
  [[nodiscard]] std::int64_t elements() const;
  [[nodiscard]] std::int64_t bytes() const { return elements() * size_of(type_); }

  [[nodiscard]] std::byte* data() { return data_.data(); }
  [[nodiscard]] const std::byte* data() const { return data_.data(); }
  template <class T>
  [[nodiscard]] T* as() {
    return reinterpret_cast<T*>(data_.data());
  }
  template <class T>
  [[nodiscard]] const T* as() const {
    return reinterpret_cast<const T*>(data_.data());
  }

  [[nodiscard]] double get(std::int64_t i) const { return decode(type_, data_.data() + i * size_of(type_)); }
  void set(std::int64_t i, double value) { encode(type_, value, data_.data() + i * size_of(type_)); }
  void poison_all();
  void poison_range(std::int64_t begin, std::int64_t end);

 private:
  std::string name_;
  Dtype type_ = Dtype::f32;
  std::vector<std::int64_t> shape_;
  std::vector<std::byte> data_;
};

}  // namespace dsbench::kernelbench

#include "model/losses/distillation.hpp"

#include "model/routing/scores.hpp"

#include <cmath>
#include <string>

namespace troupe {

namespace {

template <class Real>
expected<void> check(matrix_view<Real> student, matrix_view<Real> teacher,
                     std::span<const std::int64_t> labels, double alpha, double temperature) {
  const auto refuse = [](const std::string& what, const std::string& got, const std::string& limit) {
    return fail(error_code::usage, "[distillation] " + what + ": got " + got + ", limit " + limit);
  };
  if (!(alpha >= 0 && alpha <= 1)) return refuse("alpha", std::to_string(alpha), "0 to 1");
  if (!(std::isfinite(temperature) && temperature > 0))
    return refuse("temperature", std::to_string(temperature), "a finite number above 0");
  if (student.rows != teacher.rows || student.columns != teacher.columns || student.rows < 1
      || labels.size() != static_cast<std::size_t>(student.rows))
    return refuse("tokens",
                  std::to_string(student.rows) + ", " + std::to_string(teacher.rows) + " and "
                    + std::to_string(labels.size()),
                  "one shape for student, teacher and labels");
  for (const auto l : labels)
    if (l < 0 || l >= student.columns)
      return refuse("label", std::to_string(l), "0 to " + std::to_string(student.columns - 1));
  return {};
}

template <class Real>
std::vector<Real> divided(matrix_view<Real> m, double by) {
  std::vector<Real> out(m.data, m.data + m.rows * m.columns);
  for (auto& x : out) x /= static_cast<Real>(by);
  return out;
}

} // namespace

template <class Real>
expected<distillation_result<Real>> distil(matrix_view<Real> student, matrix_view<Real> teacher,
                                           std::span<const std::int64_t> labels, double alpha,
                                           double temperature, double scale) {
  if (auto good = check(student, teacher, labels, alpha, temperature); !good)
    return tl::unexpected(good.error());
  const auto rows = student.rows;
  const auto columns = student.columns;
  const auto soft_student = divided(student, temperature);
  const auto soft_teacher = divided(teacher, temperature);
  const auto hard = softmax_rows(student);
  const auto s = softmax_rows<Real>({soft_student.data(), rows, columns});
  const auto q = softmax_rows<Real>({soft_teacher.data(), rows, columns});
  distillation_result<Real> out;
  out.gradient.resize(static_cast<std::size_t>(rows * columns));
  const double share = scale / static_cast<double>(rows);
  for (std::int64_t t = 0; t < rows; ++t) {
    out.cross_entropy += static_cast<double>(hard.log_partition[t] - student.data[t * columns + labels[t]]);
    for (std::int64_t v = 0; v < columns; ++v) {
      const auto i = t * columns + v;
      const double log_ratio = static_cast<double>((soft_teacher[i] - q.log_partition[t])
                                                   - (soft_student[i] - s.log_partition[t]));
      out.kl += static_cast<double>(q.probabilities[i]) * log_ratio;
      const double ce_part = static_cast<double>(hard.probabilities[i]) - (v == labels[t] ? 1.0 : 0.0);
      const double kl_part = temperature * static_cast<double>(s.probabilities[i] - q.probabilities[i]);
      out.gradient[i] = static_cast<Real>(share * ((1 - alpha) * ce_part + alpha * kl_part));
    }
  }
  out.cross_entropy /= static_cast<double>(rows);
  out.kl /= static_cast<double>(rows);
  out.total = (1 - alpha) * out.cross_entropy + alpha * temperature * temperature * out.kl;
  return out;
}

template expected<distillation_result<float>> distil(matrix_view<float>, matrix_view<float>,
                                                     std::span<const std::int64_t>, double, double, double);
template expected<distillation_result<double>> distil(matrix_view<double>, matrix_view<double>,
                                                      std::span<const std::int64_t>, double, double, double);

} // namespace troupe

#pragma once

namespace troupe {

/// Rows of unsigned bytes stand for pixels: byte v is the number v / 255 − pixel_mean, computed as
/// Real(v) / 255, rounded, minus Real(pixel_mean). The constant is the mean of FashionMNIST's training set
/// (0.28604). Routers see rows less the mean of each column on top of that (`data_source::input_mean`).
inline constexpr double pixel_mean = 0.286;

} // namespace troupe

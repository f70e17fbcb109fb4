#pragma once

namespace troupe {

/// Rows of unsigned bytes stand for pixels: byte v is the number v / 255 − pixel_mean, computed as
/// Real(v) / 255, rounded, minus Real(pixel_mean). The constant is the mean of FashionMNIST's training set
/// (0.28604); with inputs around 0 the router's logits do not all move together, which with top-1 routing
/// lets a balance loss of 0.1 keep every expert in use (bench/README.md has the figures).
inline constexpr double pixel_mean = 0.286;

} // namespace troupe

#pragma once

// What nearly every test includes, read once for a program that has many: half the time to compile a short
// test.

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

# Everything from outside. `scripts/setup` writes where it put things; -D<package>_DIR and -DCMAKE_PREFIX_PATH come first.

include(${CMAKE_SOURCE_DIR}/build/dependencies.cmake OPTIONAL)
set(remedy "run `make setup`, or install it and pass -D<package>_DIR=... (README.md lists the packages)")

macro(troupe_require package)
  find_package(${package} ${ARGN} QUIET)
  if(NOT ${package}_FOUND)
    message(FATAL_ERROR "[dependencies] ${package} ${ARGN} was not found: ${remedy}")
  endif()
endmacro()

troupe_require(Threads)
troupe_require(CapnProto 0.9.2)
troupe_require(tl-expected)
troupe_require(ZLIB)
troupe_require(CLI11)
troupe_require(spdlog)
troupe_require(nlohmann_json)
troupe_require(tomlplusplus)
troupe_require(OpenSSL) # SHA-256; and before CAF, whose openssl module expects the targets to exist

find_path(XXHASH_INCLUDE_DIR xxhash.h)
find_library(XXHASH_LIBRARY xxhash)
if(NOT XXHASH_INCLUDE_DIR OR NOT XXHASH_LIBRARY)
  message(FATAL_ERROR "[dependencies] xxhash was not found: ${remedy}")
endif()

if(TROUPE_WITH_LAUNCHER)
  foreach(script IN ITEMS d3.min.js plot.umd.min.js)
    if(NOT EXISTS "${TROUPE_REPORT_SCRIPTS}/${script}")
      message(FATAL_ERROR "[dependencies] ${script} (d3 7, Observable Plot 0.6: npm packages) was not found in "
                          "'${TROUPE_REPORT_SCRIPTS}': run `make setup`, or pass -DTROUPE_REPORT_SCRIPTS=DIR")
    endif()
  endforeach()
endif()

if(TROUPE_WITH_ACTORS)
  troupe_require(CAF COMPONENTS core io openssl)
  if(CAF_VERSION VERSION_LESS 0.18.7)
    message(FATAL_ERROR "[dependencies] CAF: got ${CAF_VERSION} in ${CAF_DIR}, need 0.18.7 or newer: ${remedy}")
  endif()
endif()

if(TROUPE_WITH_TORCH)
  include(troupe_torch)
  if(NOT Torch_FOUND OR Torch_VERSION VERSION_LESS 2.6)
    message(FATAL_ERROR "[dependencies] LibTorch: got '${Torch_VERSION}', need 2.6 or newer: ${remedy}")
  endif()
endif()

if(TROUPE_BUILD_TESTS)
  troupe_require(Catch2 3.4)
  find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)
endif()

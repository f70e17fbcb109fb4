# Compiler, linker and cache: what applies to every target, and the one target that carries our flags.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_INSTALL_RPATH $ORIGIN/../${CMAKE_INSTALL_LIBDIR})
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)

get_property(multi_config GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
if(NOT multi_config AND NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Paths relative to the source folder: every clone on a machine shares the cache. What precompiled headers need it to
  # overlook: times, and macros of a header it does not see.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=true
               CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE_PROGRAM})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()

# A fast linker takes seconds off every incremental build. ThreadSanitizer needs none: its programs are small.
include(CheckLinkerFlag)
foreach(linker IN ITEMS mold lld)
  check_linker_flag(CXX -fuse-ld=${linker} TROUPE_LINKS_WITH_${linker})
  if(TROUPE_LINKS_WITH_${linker})
    add_link_options(-fuse-ld=${linker})
    break()
  endif()
endforeach()

if(TROUPE_SANITIZE)
  add_compile_options(-fsanitize=${TROUPE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  # Half of UBSan's code, and of the time to compile it: bad addresses are AddressSanitizer's to find.
  add_compile_options(-fno-sanitize=null,alignment,object-size,vptr,pointer-overflow)
  add_link_options(-fsanitize=${TROUPE_SANITIZE})
endif()

# The flags of our own code, and of nobody who links to it: warnings, and no fusing of multiply and add, which would make
# the bits depend on the instruction set.
add_library(troupe_flags INTERFACE)
add_library(troupe::flags ALIAS troupe_flags)
target_compile_options(troupe_flags INTERFACE $<BUILD_INTERFACE:-ffp-contract=off;-Wall;-Wextra;-Wpedantic;-Wshadow=local
  -Wnon-virtual-dtor;-Woverloaded-virtual;-Wcast-align;-Wunused;-Wformat=2>)
if(TROUPE_WARNINGS_AS_ERRORS)
  target_compile_options(troupe_flags INTERFACE $<BUILD_INTERFACE:-Werror>)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # g++ 12 reports this inside the standard library's own inlined code.
  target_compile_options(troupe_flags INTERFACE $<BUILD_INTERFACE:-Wno-restrict>)
endif()

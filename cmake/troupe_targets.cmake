# One function per kind of target, so that the lists in the folders only name what is theirs.

# troupe_library(NAME SOURCES file... [SCHEMAS file.capnp...] [PUBLIC target...] [PRIVATE target...] [SEPARATE file...])
# Makes the static library troupe_NAME with the alias troupe::NAME. Includes are relative to the repository's root.
# The sanitizer builds and .ci/run compile sources in batches; SEPARATE names those whose local names clash with another file's.
function(troupe_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;SCHEMAS;PUBLIC;PRIVATE;SEPARATE")
  set(target troupe_${name})
  add_library(${target} STATIC ${arg_SOURCES})
  add_library(troupe::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}>
                                              $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/troupe>)
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_link_libraries(${target} PUBLIC ${arg_PUBLIC} PRIVATE troupe::flags ${arg_PRIVATE})
  if(arg_SEPARATE)
    set_source_files_properties(${arg_SEPARATE} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  endif()
  if(arg_SCHEMAS)
    troupe_add_schemas(${target} ${arg_SCHEMAS})
  endif()
endfunction()

# What `make build` builds: all but the tests.
add_custom_target(programs)

# troupe_program(NAME SOURCES file... [LINK target...]): a program, built into bin/ and installed.
function(troupe_program name)
  troupe_internal_program(${name} ${ARGN})
  add_dependencies(programs ${name})
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# troupe_internal_program(NAME SOURCES file... [LINK target...]): the same for examples and benchmarks, not installed.
function(troupe_internal_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINK")
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  set_target_properties(${name} PROPERTIES UNITY_BUILD OFF) # tests repeat each other's local names
  target_link_libraries(${name} PRIVATE troupe::flags ${arg_LINK})
  if(TROUPE_SANITIZE)
    target_compile_options(${name} PRIVATE -O0) # assertions and options expand to much code: half the time to compile
  endif()
endfunction()

# troupe_tests(NAME [COMPUTES] [BATCH] SOURCES file... [LINK target...] [PROPERTIES property value...])
# A Catch2 program whose test cases CTest lists one by one. COMPUTES: much of its time goes by in itself. They are read when CTest starts, not at every build.
# BATCH: compiled in one where the libraries are (unity builds): for headers that take longer than the tests, whose local names may not clash then.
function(troupe_tests name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "COMPUTES;BATCH" "" "SOURCES;LINK;PROPERTIES")
  troupe_internal_program(${name} SOURCES ${arg_SOURCES} LINK ${arg_LINK} Catch2::Catch2WithMain)
  if(arg_BATCH AND CMAKE_UNITY_BUILD)
    set_target_properties(${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 0)
  endif()
  if(NOT TROUPE_SANITIZE) # half the time to compile; what is tested keeps its own
    target_compile_options(${name} PRIVATE $<IF:$<BOOL:${arg_COMPUTES}>,-O1,-O0>)
    if(CMAKE_CXX_COMPILER_ID STREQUAL GNU) # g++ 12 warns of the standard library's own strings, at -O1
      target_compile_options(${name} PRIVATE -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread)
    endif()
  endif()
  string(REGEX REPLACE "^troupe-tests-" "" label ${name})
  catch_discover_tests(${name} DISCOVERY_MODE PRE_TEST TEST_PREFIX "${label}: "
                       PROPERTIES LABELS ${label} TIMEOUT 300 ${arg_PROPERTIES})
endfunction()

# Compiles schemas into build/<preset>/generated, included like sources: "messages/wire.capnp.h".
function(troupe_add_schemas target)
  set(CAPNPC_SRC_PREFIX ${CMAKE_SOURCE_DIR})
  set(CAPNPC_OUTPUT_DIR ${CMAKE_BINARY_DIR}/generated)
  file(MAKE_DIRECTORY ${CAPNPC_OUTPUT_DIR})
  capnp_generate_cpp(sources headers ${ARGN})
  target_sources(${target} PRIVATE ${sources} ${headers})
  set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS -w)
  target_include_directories(${target} SYSTEM PUBLIC $<BUILD_INTERFACE:${CAPNPC_OUTPUT_DIR}>)
  target_link_libraries(${target} PRIVATE CapnProto::capnp)
endfunction()

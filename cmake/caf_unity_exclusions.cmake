# Read by CAF's own build (see scripts/setup): these three files clash with others in one translation unit.
# Deferred to the end of CAF's top-level list, when its subdirectories are known.
function(exclude_from_unity_build)
  foreach(file IN ITEMS libcaf_core/src/binary_serializer.cpp libcaf_core/src/json_reader.cpp
                        libcaf_io/src/io/network/native_socket.cpp)
    string(REGEX MATCH "^[^/]+" directory ${file})
    set_source_files_properties(${CMAKE_SOURCE_DIR}/${file} DIRECTORY ${CMAKE_SOURCE_DIR}/${directory}
                                PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  endforeach()
endfunction()
cmake_language(DEFER DIRECTORY ${CMAKE_SOURCE_DIR} CALL exclude_from_unity_build)

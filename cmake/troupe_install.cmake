# `cmake --install build/release --prefix DIR`, after which find_package(troupe) gives troupe::messages, troupe::model_base,
# troupe::cores, and where built troupe::model, troupe::torch, troupe::actors and troupe::node (the node program without its
# main, for programs with parts of their own). Each set brings its own dependencies.

include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/troupe)

set(base_set troupe_flags troupe_messages troupe_model_base troupe_cores)
set(model_set troupe_model)
set(torch_set troupe_torch)
set(actors_set troupe_actors)
set(node_set troupe_address troupe_node)
foreach(set IN ITEMS base model torch actors node)
  set(present)
  foreach(target IN LISTS ${set}_set)
    if(TARGET ${target})
      list(APPEND present ${target})
    endif()
  endforeach()
  if(present)
    install(TARGETS ${present} EXPORT troupe-${set} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
    install(EXPORT troupe-${set} NAMESPACE troupe:: DESTINATION ${package_dir})
  endif()
endforeach()
set_target_properties(troupe_flags PROPERTIES EXPORT_NAME flags)

foreach(folder IN ITEMS messages model actors launcher)
  install(DIRECTORY ${folder} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/troupe FILES_MATCHING PATTERN "*.hpp")
endforeach()

configure_package_config_file(cmake/troupe-config.cmake.in ${CMAKE_BINARY_DIR}/troupe-config.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/troupe-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/troupe-config.cmake ${CMAKE_BINARY_DIR}/troupe-config-version.cmake
              cmake/troupe_torch.cmake DESTINATION ${package_dir})

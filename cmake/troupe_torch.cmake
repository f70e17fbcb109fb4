# Finds LibTorch without what its CMake files get wrong. Also used by the installed package.

set(troupe_saved_warnings ${CMAKE_MESSAGE_LOG_LEVEL})
set(CMAKE_MESSAGE_LOG_LEVEL ERROR) # it warns of a static library that its wheel does not contain
find_package(Torch QUIET)
set(CMAKE_MESSAGE_LOG_LEVEL ${troupe_saved_warnings})
if(TARGET caffe2::mkl)
  # Paths of the machine that built the wheel: they would end up in RUNPATH.
  set_target_properties(caffe2::mkl PROPERTIES INTERFACE_LINK_DIRECTORIES "")
endif()

# Run at every build: writes OUTPUT with version and revision, and leaves it alone when nothing has changed.
find_package(Git QUIET)
set(revision "")
if(Git_FOUND)
  execute_process(COMMAND ${GIT_EXECUTABLE} describe --tags --always --dirty
                  WORKING_DIRECTORY ${SOURCE_DIR} OUTPUT_VARIABLE revision OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT [[#pragma once

#define TROUPE_VERSION "@VERSION@"
#define TROUPE_REVISION "@revision@"
#define TROUPE_BUILD_TYPE "@BUILD_TYPE@"
#define TROUPE_COMPILER "@COMPILER@"
#define TROUPE_PROCESSOR "@PROCESSOR@"
]] @ONLY)

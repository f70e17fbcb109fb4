# cmake -DBUILD=... -DPROJECT=... -DWORK=... -DPREFIX_PATH=... -P consume.cmake
cmake_minimum_required(VERSION 3.25)

function(step what)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${what} failed (${result}):\n${output}")
  endif()
  message(STATUS "${what}: ok")
endfunction()

set(prefix ${WORK}/prefix)
file(REMOVE_RECURSE ${prefix} ${WORK}/build)
step("installing" ${CMAKE_COMMAND} --install ${BUILD} --prefix ${prefix})
step("configuring" ${CMAKE_COMMAND} -S ${PROJECT} -B ${WORK}/build -G Ninja "-DCMAKE_PREFIX_PATH=${prefix};${PREFIX_PATH}"
     -DTorch_DIR=${TORCH_DIR} -DCMAKE_BUILD_TYPE=${BUILD_TYPE})
step("building" ${CMAKE_COMMAND} --build ${WORK}/build)
step("running the program of messages and cores" ${WORK}/build/consume-cores)
step("running the program of the model" ${WORK}/build/consume-model)
step("running the program of an expert written with LibTorch" ${WORK}/build/consume-torch)

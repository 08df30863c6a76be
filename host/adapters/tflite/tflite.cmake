# The TensorFlow Lite external delegate, a library of its own: its headers only, the interpreter loads it.
# Debian has them in unstable's libtensorflow-lite-dev, which ci/tflite.sh fetches and unpacks.
set(QDOT_TFLITE_INCLUDE "" CACHE PATH "where tensorflow/lite/core/c/common.h is")
find_path(TFLITE_HEADERS tensorflow/lite/core/c/common.h
    HINTS ${QDOT_TFLITE_INCLUDE} ${CMAKE_CURRENT_BINARY_DIR}/tflite/usr/include)

if(NOT TFLITE_HEADERS)
    message(STATUS "qdot: no TensorFlow Lite delegate: run ci/tflite.sh, or set QDOT_TFLITE_INCLUDE")
else()
    add_library(qdot_tflite MODULE
        host/adapters/tflite/delegate.c
        host/adapters/tflite/kernel.c
        host/adapters/tflite/pair.c
        host/adapters/tflite/pool.c
        host/adapters/tflite/product.c)
    target_include_directories(qdot_tflite SYSTEM PRIVATE ${TFLITE_HEADERS})
    target_link_libraries(qdot_tflite PRIVATE qdot m)
    set_target_properties(qdot_tflite PROPERTIES INSTALL_RPATH "$ORIGIN/..")
    install(TARGETS qdot_tflite COMPONENT tflite LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/qdot)
endif()

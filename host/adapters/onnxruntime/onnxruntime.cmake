# The ONNX Runtime execution provider, a library of its own: its headers only, ONNX Runtime loads it.
# Debian has them in unstable's libonnxruntime-dev, which ci/onnxruntime.sh fetches and unpacks.
set(QDOT_ORT_INCLUDE "" CACHE PATH "where onnxruntime_ep_c_api.h is")
find_path(ORT_HEADERS onnxruntime_ep_c_api.h
    HINTS ${QDOT_ORT_INCLUDE} ${CMAKE_CURRENT_BINARY_DIR}/onnxruntime/usr/include/onnxruntime
    PATH_SUFFIXES onnxruntime)

if(NOT ORT_HEADERS)
    message(STATUS "qdot: no ONNX Runtime execution provider: run ci/onnxruntime.sh, or set QDOT_ORT_INCLUDE")
else()
    add_library(qdot_ort_ep MODULE
        host/adapters/onnxruntime/pairs.c
        host/adapters/onnxruntime/pairs_avx512.c
        host/adapters/onnxruntime/call.c
        host/adapters/onnxruntime/claim.c
        host/adapters/onnxruntime/context.c
        host/adapters/onnxruntime/conv.c
        host/adapters/onnxruntime/device.c
        host/adapters/onnxruntime/factory.c
        host/adapters/onnxruntime/graph.c
        host/adapters/onnxruntime/match.c
        host/adapters/onnxruntime/matrix.c
        host/adapters/onnxruntime/memory.c
        host/adapters/onnxruntime/move.c
        host/adapters/onnxruntime/normal.c
        host/adapters/onnxruntime/part.c
        host/adapters/onnxruntime/pool.c
        host/adapters/onnxruntime/product.c
        host/adapters/onnxruntime/provider.c
        host/adapters/onnxruntime/quantize.c
        host/adapters/onnxruntime/record.c
        host/adapters/onnxruntime/shared.c
        host/adapters/onnxruntime/table.c
        host/adapters/onnxruntime/transfer.c
        host/adapters/onnxruntime/window.c)
    target_include_directories(qdot_ort_ep SYSTEM PRIVATE ${ORT_HEADERS})
    target_link_libraries(qdot_ort_ep PRIVATE qdot Threads::Threads)
    set_target_properties(qdot_ort_ep PROPERTIES INSTALL_RPATH "$ORIGIN/..")
    install(TARGETS qdot_ort_ep COMPONENT onnxruntime
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/qdot)
endif()

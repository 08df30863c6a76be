# The qdot command. It uses the public header only.

find_path(CJSON_INCLUDE cjson/cJSON.h)
find_library(CJSON_LIBRARY cjson)

if(QDOT_COMMAND AND NOT (CJSON_INCLUDE AND CJSON_LIBRARY))
    message(STATUS "qdot: no qdot command: install libcjson-dev")
elseif(QDOT_COMMAND)
    add_library(cjson INTERFACE)
    target_include_directories(cjson SYSTEM INTERFACE ${CJSON_INCLUDE})
    target_link_libraries(cjson INTERFACE ${CJSON_LIBRARY})

    add_executable(qdot_command
        bench/main.c
        bench/options.c
        bench/save.c
        bench/progress.c
        bench/npy.c
        bench/files.c
        bench/devices.c
        bench/gemm.c
        bench/conv.c
        bench/quantize.c
        bench/explain.c
        bench/bench.c
        bench/tune.c
        bench/request.c
        bench/runner.c
        bench/subject.c
        bench/measure.c
        bench/rounding.c
        bench/verify.c
        bench/shape.c
        bench/spec.c
        bench/suites.c
        bench/report.c
        bench/classes.c
        bench/setup.c
        bench/peak_cpu.c
        bench/peak_opencl.c
        bench/peak_vulkan.c
        bench/opencl_device.c
        bench/peers.c
        bench/peer_clblast.c
        bench/peer_library.c
        bench/peer_onednn.c
        bench/peer_onnxruntime.c
        bench/peer_openblas.c
        bench/peer_xnnpack.c
        ${QDOT_CONFORM_SOURCES})
    set_target_properties(qdot_command PROPERTIES OUTPUT_NAME qdot)
    target_link_libraries(qdot_command PRIVATE qdot cjson Threads::Threads m)
    target_link_libraries(qdot_command PRIVATE ${CMAKE_DL_LIBS})
    if(JANSSON_INCLUDE AND JANSSON_LIBRARY)
        target_link_libraries(qdot_command PRIVATE ${JANSSON_LIBRARY})
    endif()
    # The benchmark: OpenCL's headers for peak loops and CLBlast, both loaded at run time.
    if(OPENCL_HEADERS)
        target_compile_definitions(qdot_command PRIVATE BENCH_OPENCL)
        target_include_directories(qdot_command SYSTEM PRIVATE ${OPENCL_HEADERS})
    endif()
    # Vulkan's, for its peak loops; the same condition as the backend's.
    if(QDOT_VULKAN AND VULKAN_HEADERS AND (QDOT_GLSLC OR QDOT_GLSLANG))
        target_compile_definitions(qdot_command PRIVATE BENCH_VULKAN)
        target_include_directories(qdot_command SYSTEM PRIVATE ${VULKAN_HEADERS})
        qdot_shader(qdot_command bench_peak_spv peak.comp)
        qdot_shader(qdot_command bench_peak_int_dot_spv peak.comp -DINT_DOT)
    endif()
    find_path(DNNL_INCLUDE oneapi/dnnl/dnnl.h)
    if(DNNL_INCLUDE)
        target_compile_definitions(qdot_command PRIVATE BENCH_ONEDNN)
        target_include_directories(qdot_command SYSTEM PRIVATE ${DNNL_INCLUDE})
    endif()
    find_path(XNNPACK_INCLUDE xnnpack.h)
    find_library(XNNPACK_LIBRARY XNNPACK)
    if(XNNPACK_INCLUDE AND XNNPACK_LIBRARY AND PTHREADPOOL_INCLUDE)
        file(REAL_PATH ${XNNPACK_LIBRARY} xnnpack_name) # loaded at run time
        get_filename_component(xnnpack_name ${xnnpack_name} NAME)
        set_property(SOURCE bench/peer_xnnpack.c PROPERTY
            COMPILE_DEFINITIONS BENCH_XNNPACK="${xnnpack_name}")
        file(STRINGS ${XNNPACK_INCLUDE}/xnnpack.h xnnpack_reshape
            REGEX "xnn_reshape_convolution2d_nhwc_qs8_qc8w\\(")
        if(xnnpack_reshape)
            set_property(SOURCE bench/peer_xnnpack.c APPEND PROPERTY
                COMPILE_DEFINITIONS BENCH_XNNPACK_RESHAPE)
        endif()
        target_include_directories(qdot_command SYSTEM PRIVATE ${XNNPACK_INCLUDE}
            ${PTHREADPOOL_INCLUDE})
    endif()
    find_path(ONNXRUNTIME_INCLUDE onnxruntime_c_api.h PATH_SUFFIXES onnxruntime)
    find_library(ONNXRUNTIME_LIBRARY onnxruntime)
    if(ONNXRUNTIME_INCLUDE AND ONNXRUNTIME_LIBRARY)
        file(REAL_PATH ${ONNXRUNTIME_LIBRARY} onnxruntime_name)
        get_filename_component(onnxruntime_name ${onnxruntime_name} NAME)
        set_property(SOURCE bench/peer_onnxruntime.c PROPERTY
            COMPILE_DEFINITIONS BENCH_ONNXRUNTIME="${onnxruntime_name}")
        target_include_directories(qdot_command SYSTEM PRIVATE ${ONNXRUNTIME_INCLUDE})
    endif()
    set(commit unknown)
    find_package(Git QUIET)
    if(GIT_FOUND)
        execute_process(COMMAND ${GIT_EXECUTABLE} rev-parse --short=12 HEAD
            WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} OUTPUT_VARIABLE head RESULT_VARIABLE failed
            OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
        if(NOT failed)
            set(commit ${head})
        endif()
    endif()
    set_property(SOURCE bench/report.c PROPERTY COMPILE_DEFINITIONS BENCH_COMMIT="${commit}")
    add_executable(qdot_first bench/first.c) # not installed
    target_link_libraries(qdot_first PRIVATE qdot)
    install(TARGETS qdot_command DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT command)
    install(FILES docs/qdot.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT command)
endif()

# The OpenCL backend: libOpenCL and CLBlast are loaded at run time, only the headers are needed.
find_path(OPENCL_HEADERS CL/cl.h)
if(NOT QDOT_OPENCL)
    message(STATUS "qdot: no OpenCL backend: switched off by QDOT_OPENCL")
elseif(NOT OPENCL_HEADERS)
    message(STATUS "qdot: no OpenCL backend: install ocl-icd-opencl-dev")
else()
    target_sources(qdot PRIVATE
        host/opencl/loader.c
        host/opencl/device.c
        host/opencl/rows.c
        host/opencl/text.c
        host/opencl/program.c
        host/opencl/plan.c
        host/opencl/launch.c
        host/opencl/gemm.c
        host/opencl/conv.c
        host/opencl/bytes.c
        host/opencl/elements.c
        host/opencl/op.c
        host/opencl/event.c
        host/opencl/interop.c)
    target_include_directories(qdot PRIVATE ${OPENCL_HEADERS})
    target_compile_definitions(qdot PRIVATE QDOT_HAVE_OPENCL)
    set(QDOT_HAVE_OPENCL ON)
    install(FILES include/qdot_opencl.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev)
    if(QDOT_EMULATE)
        target_compile_definitions(qdot PRIVATE QDOT_EMULATE)
    endif()
    foreach(text output emulate tile pack gemm gemv tiled block units mma sums float conv_input slide conv depthwise elements map pool)
        qdot_embed(qdot ${PROJECT_SOURCE_DIR}/kernels_cl/${text}.cl qdot_cl_${text})
    endforeach()
endif()

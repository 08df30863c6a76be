# The tests: the verb 'conform' of the command (bench/bench.cmake links it in by the variable
# QDOT_CONFORM_SOURCES), and the API tests.

find_path(CJSON_INCLUDE cjson/cJSON.h)
find_path(OPENCL_HEADERS CL/cl.h)

set(QDOT_CONFORM_SOURCES)
if(QDOT_COMMAND AND CJSON_INCLUDE)
    add_library(qdot_conform OBJECT
        tests/conform.c
        tests/conform_cases.c
        tests/conform_child.c
        tests/conform_data.c
        tests/conform_options.c
        tests/conform_process.c
        tests/conform_report.c
        tests/conform_run.c
        tests/guard.c
        tests/ref.c
        tests/ref_opencl.c)
    target_include_directories(qdot_conform PRIVATE ${CJSON_INCLUDE})
    target_link_libraries(qdot_conform PRIVATE qdot)
    qdot_embed(qdot_conform ${PROJECT_SOURCE_DIR}/kernels_cl/reference.cl ref_kernel_source)
    if(OPENCL_HEADERS)
        target_compile_definitions(qdot_conform PRIVATE CONFORM_OPENCL)
        target_include_directories(qdot_conform SYSTEM PRIVATE ${OPENCL_HEADERS})
    endif()
    set(QDOT_CONFORM_SOURCES $<TARGET_OBJECTS:qdot_conform>)
endif()

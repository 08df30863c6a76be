# The tests: the verb 'conform' of the command (bench/bench.cmake links it in by the variable
# QDOT_CONFORM_SOURCES), and the API tests.

find_path(CJSON_INCLUDE cjson/cJSON.h)
find_path(OPENCL_HEADERS CL/cl.h)

set(QDOT_CONFORM_SOURCES)
if(QDOT_COMMAND AND CJSON_INCLUDE)
    add_library(qdot_conform OBJECT
        tests/check_api.c
        tests/checks.c
        tests/conform.c
        tests/conform_bytes.c
        tests/conform_bytes_run.c
        tests/conform_cases.c
        tests/conform_child.c
        tests/conform_compare.c
        tests/conform_conv.c
        tests/conform_data.c
        tests/conform_gemm.c
        tests/conform_geometry.c
        tests/conform_html.c
        tests/conform_known.c
        tests/conform_layout.c
        tests/conform_options.c
        tests/conform_problem.c
        tests/conform_places.c
        tests/conform_process.c
        tests/conform_quantize.c
        tests/conform_quantize_run.c
        tests/conform_read.c
        tests/conform_repeat.c
        tests/conform_report.c
        tests/conform_run.c
        tests/conform_shrink.c
        tests/guard.c
        tests/primitive.c
        tests/primitive_cpu.c
        tests/primitive_math.c
        tests/primitive_x86.c
        tests/ref.c
        tests/ref_bytes.c
        tests/ref_elements.c
        tests/ref_opencl.c)
    target_include_directories(qdot_conform PRIVATE bench ${CJSON_INCLUDE})
    target_link_libraries(qdot_conform PRIVATE qdot)
    qdot_embed(qdot_conform ${PROJECT_SOURCE_DIR}/kernels_cl/reference.cl ref_kernel_source)
    if(OPENCL_HEADERS)
        target_sources(qdot_conform PRIVATE tests/check_load_opencl.c tests/check_opencl.c
            tests/primitive_opencl.c tests/probe_opencl.c)
        target_compile_definitions(qdot_conform PRIVATE CONFORM_OPENCL)
        target_include_directories(qdot_conform SYSTEM PRIVATE ${OPENCL_HEADERS})
    endif()
    if(JANSSON_INCLUDE AND JANSSON_LIBRARY) # the command links it, as this is an object
        target_compile_definitions(qdot_conform PRIVATE QDOT_HAVE_JANSSON)
        target_include_directories(qdot_conform SYSTEM PRIVATE ${JANSSON_INCLUDE})
    endif()
    if(QDOT_HAVE_SHADERS)
        # check_shader(NAME DEFINITIONS...): a variant of primitive.comp
        function(check_shader name)
            qdot_shader(qdot_conform check_${name}_spv ../tests/primitive.comp ${ARGN})
        endfunction()
        check_shader(integers -DPRIMITIVE_INTEGERS)
        check_shader(floats -DPRIMITIVE_FLOATS)
        check_shader(denorms -DPRIMITIVE_FLOATS -DPRIMITIVE_DENORMS)
        check_shader(dots -DPRIMITIVE_DOTS)
        check_shader(bytes -DPRIMITIVE_BYTES)
        check_shader(vector_dots -DPRIMITIVE_VECTOR_DOTS)
        check_shader(shorts -DPRIMITIVE_SHORTS)
        check_shader(longs -DPRIMITIVE_LONGS)
        qdot_shader(qdot_conform check_load_spv ../tests/load.comp)
        qdot_shader(qdot_conform check_load_bytes_spv ../tests/load.comp -DBYTES)
        qdot_shader(qdot_conform check_limits_128_spv ../tests/limits.comp -DPUSHED=32)
        qdot_shader(qdot_conform check_limits_256_spv ../tests/limits.comp -DPUSHED=64)
        qdot_shader(qdot_conform check_subgroup_spv ../tests/limits.comp -DPUSHED=32 -DSUBGROUP)
        target_sources(qdot_conform PRIVATE tests/check_load_vulkan.c tests/check_vulkan.c
            tests/primitive_vulkan.c tests/probe_vulkan.c)
        target_include_directories(qdot_conform SYSTEM PRIVATE ${VULKAN_HEADERS})
        target_compile_definitions(qdot_conform PRIVATE CONFORM_VULKAN)
    endif()
    set(QDOT_CONFORM_SOURCES $<TARGET_OBJECTS:qdot_conform>)
endif()

# ---- the API tests ----------------------------------------------------------------------------

find_path(CMOCKA_INCLUDE cmocka.h)
find_library(CMOCKA_LIBRARY cmocka)
if(QDOT_TESTS AND NOT (CMOCKA_INCLUDE AND CMOCKA_LIBRARY))
    message(STATUS "qdot: no API tests: install libcmocka-dev")
elseif(QDOT_TESTS)
    enable_testing()
    foreach(name rules bytes conv conv_memory elements memory packed threads event select tuning weights)
        add_executable(api_${name} tests/api_${name}.c)
        target_include_directories(api_${name} SYSTEM PRIVATE ${CMOCKA_INCLUDE})
        target_compile_definitions(api_${name} PRIVATE QDOT_TEST_VERSION="${PROJECT_VERSION}")
        target_link_libraries(api_${name} PRIVATE qdot Threads::Threads m ${CMOCKA_LIBRARY})
        add_test(NAME api_${name} COMMAND api_${name})
    endforeach()
    target_sources(api_conv PRIVATE tests/guard.c)
    target_sources(api_packed PRIVATE tests/guard.c)
    target_sources(api_weights PRIVATE tests/guard.c)

    # Tests that play a host runtime, with its own OpenCL and Vulkan.
    find_library(OPENCL_LIBRARY OpenCL)
    if(QDOT_HAVE_OPENCL AND OPENCL_LIBRARY)
        add_executable(interop_opencl tests/interop_opencl.c tests/ref.c)
        target_include_directories(interop_opencl SYSTEM PRIVATE ${CMOCKA_INCLUDE} ${OPENCL_HEADERS})
        target_link_libraries(interop_opencl PRIVATE qdot Threads::Threads m ${CMOCKA_LIBRARY}
            ${OPENCL_LIBRARY})
        add_test(NAME interop_opencl COMMAND interop_opencl)
    endif()

    add_executable(counted tests/counted.c)
    target_link_libraries(counted PRIVATE qdot)

    # The header alone, in both languages.
    add_library(header_c OBJECT tests/header_c.c)
    set_target_properties(header_c PROPERTIES C_STANDARD 99)
    target_compile_options(header_c PRIVATE -Werror)
    target_link_libraries(header_c PRIVATE qdot)
    include(CheckLanguage)
    check_language(CXX)
    if(CMAKE_CXX_COMPILER)
        add_custom_target(header_cpp ALL
            COMMAND ${CMAKE_CXX_COMPILER} -Wall -Wextra -Wpedantic -Werror
                -I${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/tests/header_cpp.cpp
                $<TARGET_FILE:qdot> -Wl,-rpath,$<TARGET_FILE_DIR:qdot> -o header_cpp
            DEPENDS qdot VERBATIM)
        add_test(NAME header_cpp COMMAND header_cpp)
    endif()
endif()

# ---- a planted hazard for the Vulkan validation layer -----------------------------------------

find_path(VULKAN_HEADERS vulkan/vulkan.h)
find_library(VULKAN_LIBRARY vulkan)
find_program(HAZARD_GLSLC NAMES glslc)
find_program(HAZARD_GLSLANG NAMES glslangValidator)
# tests_shader(target symbol file definitions...): SPIR-V of tests/file, embedded into the target.
function(tests_shader target symbol file)
    set(spirv ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.spv)
    if(HAZARD_GLSLC)
        set(compile ${HAZARD_GLSLC} --target-env=vulkan1.1)
    else()
        set(compile ${HAZARD_GLSLANG} --target-env vulkan1.1)
    endif()
    add_custom_command(OUTPUT ${spirv}
        COMMAND ${compile} ${ARGN} -o ${spirv} ${PROJECT_SOURCE_DIR}/tests/${file}
        DEPENDS ${PROJECT_SOURCE_DIR}/tests/${file} VERBATIM)
    qdot_embed(${target} ${spirv} ${symbol})
endfunction()

if(QDOT_TESTS AND VULKAN_HEADERS AND VULKAN_LIBRARY AND (HAZARD_GLSLC OR HAZARD_GLSLANG))
    add_executable(vk_hazard tests/vk_hazard.c)
    tests_shader(vk_hazard vk_hazard_spv vk_hazard.comp)
    target_include_directories(vk_hazard SYSTEM PRIVATE ${VULKAN_HEADERS})
    target_link_libraries(vk_hazard PRIVATE ${VULKAN_LIBRARY})

    # A host runtime, with its own Vulkan.
    if(QDOT_HAVE_SHADERS AND CMOCKA_INCLUDE AND CMOCKA_LIBRARY)
        add_executable(interop_vulkan tests/interop_vulkan.c tests/ref.c)
        tests_shader(interop_vulkan interop_produce_spv interop.comp -DPRODUCE)
        tests_shader(interop_vulkan interop_consume_spv interop.comp)
        target_include_directories(interop_vulkan SYSTEM PRIVATE ${CMOCKA_INCLUDE} ${VULKAN_HEADERS})
        target_link_libraries(interop_vulkan PRIVATE qdot Threads::Threads m ${CMOCKA_LIBRARY}
            ${VULKAN_LIBRARY})
        add_test(NAME interop_vulkan COMMAND interop_vulkan)
        add_executable(interop_vulkan_queue tests/interop_vulkan_queue.c)
        target_include_directories(interop_vulkan_queue SYSTEM PRIVATE ${CMOCKA_INCLUDE} ${VULKAN_HEADERS})
        target_link_libraries(interop_vulkan_queue PRIVATE qdot Threads::Threads ${CMOCKA_LIBRARY}
            ${VULKAN_LIBRARY})
        add_test(NAME interop_vulkan_queue COMMAND interop_vulkan_queue)
    endif()
endif()

# ---- what compilers make of the OpenCL and Vulkan rows: ci/codegen.sh -------------------------

if(QDOT_TESTS AND TARGET qdot AND QDOT_OPENCL AND OPENCL_HEADERS)
    foreach(name opencl_texts opencl_build)
        add_executable(${name} tests/${name}.c $<TARGET_OBJECTS:qdot>)
        target_include_directories(${name} PRIVATE host include ${OPENCL_HEADERS})
        target_link_libraries(${name} PRIVATE $<TARGET_PROPERTY:qdot,LINK_LIBRARIES>)
    endforeach()
endif()

if(QDOT_TESTS AND TARGET qdot AND COMMAND qdot_shader AND QDOT_HAVE_SHADERS)
    add_executable(vk_codegen tests/vk_codegen.c $<TARGET_OBJECTS:qdot>)
    target_include_directories(vk_codegen PRIVATE host include)
    target_include_directories(vk_codegen SYSTEM PRIVATE ${VULKAN_HEADERS})
    target_link_libraries(vk_codegen PRIVATE $<TARGET_PROPERTY:qdot,LINK_LIBRARIES>)
    qdot_shader(vk_codegen vk_spill_spv gemm_tiled.comp -DINT_DOT -DEDGE=16)
endif()

# ---- faults in drivers ------------------------------------------------------------------------

if(QDOT_TESTS AND OPENCL_HEADERS AND VULKAN_HEADERS AND VULKAN_LIBRARY)
    add_library(fault_layer SHARED tests/fault_layer.c tests/fault_opencl.c tests/fault_vulkan.c)
    # Who opens libvulkan.so.1 gets an object of that name which is loaded already.
    set_target_properties(fault_layer PROPERTIES C_VISIBILITY_PRESET default OUTPUT_NAME vulkan
        SOVERSION 1 LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/fault_layer)
    target_compile_definitions(fault_layer PRIVATE FAULT_LIBVULKAN="${VULKAN_LIBRARY}")
    target_include_directories(fault_layer SYSTEM PRIVATE ${OPENCL_HEADERS} ${VULKAN_HEADERS})
    target_link_libraries(fault_layer PRIVATE Threads::Threads ${CMAKE_DL_LIBS})
    if(QDOT_HAVE_OPENCL AND QDOT_HAVE_SHADERS)
        add_executable(faults tests/faults.c tests/faults_host.c)
        target_compile_definitions(faults PRIVATE FAULT_LIBVULKAN="${VULKAN_LIBRARY}")
        target_include_directories(faults SYSTEM PRIVATE ${OPENCL_HEADERS} ${VULKAN_HEADERS})
        target_link_libraries(faults PRIVATE qdot fault_layer ${CMAKE_DL_LIBS})
    endif()
endif()

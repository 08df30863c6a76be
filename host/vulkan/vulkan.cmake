# The Vulkan backend: the loader is opened at run time; headers and a GLSL compiler build it.
find_path(VULKAN_HEADERS vulkan/vulkan_core.h)
find_program(QDOT_GLSLC glslc)
find_program(QDOT_GLSLANG glslangValidator)
find_program(QDOT_SPIRV_VAL spirv-val)

set(QDOT_SHADER_INCLUDES interface.glsl bytes.glsl dot.glsl exact.glsl load.glsl output.glsl product.glsl tile.glsl tiled.glsl window.glsl)
list(TRANSFORM QDOT_SHADER_INCLUDES PREPEND ${PROJECT_SOURCE_DIR}/shaders/)

# qdot_shader(target symbol file definitions...): SPIR-V of shaders/file, validated where that is
# possible, embedded into the target.
function(qdot_shader target symbol file)
    set(source ${PROJECT_SOURCE_DIR}/shaders/${file})
    set(spirv ${CMAKE_CURRENT_BINARY_DIR}/shaders/${symbol}.spv)
    file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/shaders)
    if(QDOT_GLSLC)
        set(compile ${QDOT_GLSLC} --target-env=vulkan1.1 ${ARGN} -o ${spirv} ${source})
    else()
        set(compile ${QDOT_GLSLANG} --quiet --target-env vulkan1.1 ${ARGN} -o ${spirv} ${source})
    endif()
    set(validate)
    if(QDOT_SPIRV_VAL)
        set(validate COMMAND ${QDOT_SPIRV_VAL} --target-env vulkan1.1 ${spirv})
    endif()
    add_custom_command(OUTPUT ${spirv} COMMAND ${compile} ${validate}
        DEPENDS ${source} ${QDOT_SHADER_INCLUDES} VERBATIM)
    qdot_embed(${target} ${spirv} ${symbol})
endfunction()

if(NOT QDOT_VULKAN)
    message(STATUS "qdot: no Vulkan backend: switched off by QDOT_VULKAN")
elseif(NOT VULKAN_HEADERS)
    message(STATUS "qdot: no Vulkan backend: install libvulkan-dev")
elseif(NOT QDOT_GLSLC AND NOT QDOT_GLSLANG)
    message(STATUS "qdot: no Vulkan backend: install glslc or glslang-tools")
else()
    target_sources(qdot PRIVATE
        host/vulkan/loader.c
        host/vulkan/device.c
        host/vulkan/features.c
        host/vulkan/queue.c
        host/vulkan/memory.c
        host/vulkan/pipeline.c
        host/vulkan/plan.c
        host/vulkan/op.c
        host/vulkan/gemm.c
        host/vulkan/conv.c
        host/vulkan/bytes.c
        host/vulkan/elements.c
        host/vulkan/interop.c)
    target_include_directories(qdot SYSTEM PRIVATE ${VULKAN_HEADERS})
    target_compile_definitions(qdot PRIVATE QDOT_HAVE_VULKAN)
    set(QDOT_HAVE_SHADERS ON)
    install(FILES include/qdot_vulkan.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev)
    qdot_shader(qdot qdot_vk_gemm gemm.comp)
    qdot_shader(qdot qdot_vk_gemm_int_dot gemm.comp -DINT_DOT)
    qdot_shader(qdot qdot_vk_gemm_float gemm_float.comp)
    qdot_shader(qdot qdot_vk_gemm_tiled gemm_tiled.comp -DEDGE=4)
    qdot_shader(qdot qdot_vk_gemm_tiled_dot_4 gemm_tiled.comp -DINT_DOT -DEDGE=4)
    qdot_shader(qdot qdot_vk_gemm_tiled_dot_8 gemm_tiled.comp -DINT_DOT -DEDGE=8)
    qdot_shader(qdot qdot_vk_gemv gemv.comp)
    qdot_shader(qdot qdot_vk_gemv_dot gemv.comp -DINT_DOT)
    qdot_shader(qdot qdot_vk_pack pack.comp)
    qdot_shader(qdot qdot_vk_sums sums.comp)
    qdot_shader(qdot qdot_vk_fold fold.comp)
    qdot_shader(qdot qdot_vk_reduce reduce.comp)
    qdot_shader(qdot qdot_vk_conv conv.comp)
    qdot_shader(qdot qdot_vk_conv_int_dot conv.comp -DINT_DOT)
    qdot_shader(qdot qdot_vk_conv_tiled conv_tiled.comp -DEDGE=4)
    qdot_shader(qdot qdot_vk_conv_tiled_dot_4 conv_tiled.comp -DINT_DOT -DEDGE=4)
    qdot_shader(qdot qdot_vk_conv_tiled_dot_8 conv_tiled.comp -DINT_DOT -DEDGE=8)
    qdot_shader(qdot qdot_vk_depthwise depthwise.comp)
    # Debian 12's compilers know no matrix units: built by ci/coop_spirv.sh.
    qdot_embed(qdot ${PROJECT_SOURCE_DIR}/shaders/gemm_coop.spv qdot_vk_gemm_coop)
    qdot_embed(qdot ${PROJECT_SOURCE_DIR}/shaders/conv_coop.spv qdot_vk_conv_coop)
    qdot_shader(qdot qdot_vk_input input.comp)
    qdot_shader(qdot qdot_vk_window_sums window_sums.comp)
    qdot_shader(qdot qdot_vk_elements elements.comp)
    qdot_shader(qdot qdot_vk_range range.comp)
    qdot_shader(qdot qdot_vk_parameters parameters.comp)
    qdot_shader(qdot qdot_vk_map map.comp)
    qdot_shader(qdot qdot_vk_pool pool.comp)
endif()

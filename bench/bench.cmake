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
        bench/devices.c
        bench/gemm.c
        bench/explain.c
        bench/bench_stub.c
        ${QDOT_CONFORM_SOURCES})
    set_target_properties(qdot_command PROPERTIES OUTPUT_NAME qdot)
    target_link_libraries(qdot_command PRIVATE qdot cjson Threads::Threads m)
    target_link_libraries(qdot_command PRIVATE ${CMAKE_DL_LIBS})
    install(TARGETS qdot_command DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

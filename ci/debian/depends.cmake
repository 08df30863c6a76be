# What the packages' programs need of other packages, by dpkg-shlibdeps of those built. (Asked to do it
# itself, cpack adds scripts that call ldconfig; for that there is a trigger.)
function(add_depends component file)
    if(NOT EXISTS ${CPACK_QDOT_BUILD}/${file})
        return()
    endif()
    set(work ${CPACK_QDOT_BUILD}/debian/depends)
    file(WRITE ${work}/debian/control "Source: qdot\n\nPackage: qdot\nArchitecture: any\n")
    execute_process(
        COMMAND dpkg-shlibdeps --ignore-missing-info -l${CPACK_QDOT_BUILD} -O ${CPACK_QDOT_BUILD}/${file}
        WORKING_DIRECTORY ${work} OUTPUT_VARIABLE found ERROR_VARIABLE error RESULT_VARIABLE result)
    if(NOT result EQUAL 0)
        message(FATAL_ERROR "dpkg-shlibdeps ${file}: ${result} ${error}")
    endif()
    string(REGEX REPLACE "^.*Depends=|\n" "" found "${found}")
    set(all ${CPACK_DEBIAN_${component}_PACKAGE_DEPENDS} ${found})
    list(JOIN all ", " all)
    set(CPACK_DEBIAN_${component}_PACKAGE_DEPENDS "${all}" PARENT_SCOPE)
endfunction()

add_depends(LIBRARY libqdot.so)
add_depends(COMMAND qdot)
add_depends(ONNXRUNTIME libqdot_ort_ep.so)
add_depends(TFLITE libqdot_tflite.so)

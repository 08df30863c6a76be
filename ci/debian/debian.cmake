# The packages for Debian that cpack makes of a build: the library, its headers, the command, and where they
# were built the adapters. Configured with -DCMAKE_INSTALL_PREFIX=/usr they have Debian's own
# directories. ci/packages.sh proves them on bare systems; the step "packages" of the tests looks inside.
set(soname_version ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
set(debian_release 0qdot1) # less than any of Debian's own
set(debian_version ${PROJECT_VERSION}-${debian_release})
set(debian ${PROJECT_SOURCE_DIR}/ci/debian)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME qdot)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL library dev)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SOURCE qdot)
set(CPACK_DEBIAN_PACKAGE_RELEASE ${debian_release})
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "qdot maintainers <maintainers@qdot.invalid>" CACHE STRING
    "who is answerable for the packages")
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

configure_file(ci/debian/shlibs.in debian/shlibs @ONLY)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME libqdot${soname_version})
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA
    "${debian}/symbols;${debian}/triggers;${CMAKE_CURRENT_BINARY_DIR}/debian/shlibs")
set(CPACK_DEBIAN_LIBRARY_PACKAGE_RECOMMENDS "libvulkan1, ocl-icd-libopencl1 | libopencl1")
set(CPACK_DEBIAN_LIBRARY_DESCRIPTION "int8 matrix products and convolutions, the same bits everywhere
qdot multiplies matrices of 8-bit integers and computes convolutions of
them on CPUs (AVX-512 VNNI, AVX-VNNI, AVX2, portable C), by OpenCL and by
Vulkan. Every kernel equals one reference, byte for byte; a dispatcher
chooses among them. OpenCL and Vulkan are loaded where they are.
.
This package has the shared library.")

set(CPACK_DEBIAN_DEV_PACKAGE_NAME libqdot-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "libqdot${soname_version} (= ${debian_version})")
set(CPACK_DEBIAN_DEV_PACKAGE_SUGGESTS "libvulkan-dev, opencl-c-headers")
set(CPACK_DEBIAN_DEV_DESCRIPTION "int8 matrix products and convolutions (development files)
qdot multiplies matrices of 8-bit integers and computes convolutions of
them on CPUs, by OpenCL and by Vulkan, with the same bits everywhere.
.
This package has the headers, and what pkg-config and CMake need.")

if(TARGET qdot_command)
    list(APPEND CPACK_COMPONENTS_ALL command)
    set(CPACK_DEBIAN_COMMAND_PACKAGE_NAME qdot)
    set(CPACK_DEBIAN_COMMAND_PACKAGE_SECTION utils)
    set(CPACK_DEBIAN_COMMAND_PACKAGE_DEPENDS "libqdot${soname_version} (= ${debian_version})")
    set(CPACK_DEBIAN_COMMAND_DESCRIPTION "int8 matrix products and convolutions (command)
The command qdot lists devices with the kernels that pass their tests
there, computes products and convolutions of NumPy files, measures
throughput with every result verified, tunes the choice of kernels, and
proves that a device computes 8-bit integers right.")
endif()

if(TARGET qdot_ort_ep)
    list(APPEND CPACK_COMPONENTS_ALL onnxruntime)
    set(CPACK_DEBIAN_ONNXRUNTIME_PACKAGE_NAME qdot-onnxruntime)
    set(CPACK_DEBIAN_ONNXRUNTIME_PACKAGE_SECTION libs)
    set(CPACK_DEBIAN_ONNXRUNTIME_PACKAGE_DEPENDS "libqdot${soname_version} (= ${debian_version})")
    set(CPACK_DEBIAN_ONNXRUNTIME_DESCRIPTION "qdot as an execution provider of ONNX Runtime
A plug-in for ONNX Runtime 1.23 and newer, from wherever that comes, which
computes the 8-bit integer operators of a model by qdot, with the bits of
ONNX Runtime's own kernels. It is loaded by its path:
register_execution_provider_library.")
endif()

if(TARGET qdot_tflite)
    list(APPEND CPACK_COMPONENTS_ALL tflite)
    set(CPACK_DEBIAN_TFLITE_PACKAGE_NAME qdot-tflite)
    set(CPACK_DEBIAN_TFLITE_PACKAGE_SECTION libs)
    set(CPACK_DEBIAN_TFLITE_PACKAGE_DEPENDS "libqdot${soname_version} (= ${debian_version})")
    set(CPACK_DEBIAN_TFLITE_DESCRIPTION "qdot as an external delegate of TensorFlow Lite
A plug-in for the interpreters of TensorFlow Lite 2.14 and LiteRT, from
wherever they come, which computes 8-bit convolutions, fully connected
layers, additions and pools by qdot, with the bits of TensorFlow Lite's
own kernels. It is loaded by its path: load_delegate.")
endif()

# In what cpack calls while it works: the dependencies, then what only packages have.
set(CPACK_PROJECT_CONFIG_FILE ${debian}/depends.cmake)
set(CPACK_PRE_BUILD_SCRIPTS ${debian}/stage.cmake)
set(CPACK_QDOT_BUILD ${CMAKE_CURRENT_BINARY_DIR})
set(CPACK_QDOT_SOURCE ${PROJECT_SOURCE_DIR})
include(CPack)

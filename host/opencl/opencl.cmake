# The OpenCL backend: libOpenCL is loaded at run time, only its headers are needed to build.

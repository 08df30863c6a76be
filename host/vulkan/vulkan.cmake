# The Vulkan backend: the loader is opened at run time; headers and a GLSL compiler build it.

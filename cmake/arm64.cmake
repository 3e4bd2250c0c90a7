# Cross toolchain for 64-bit ARM on Debian: the packaged cross compiler, a sysroot of Debian's arm64 packages and
# qemu-user to run what was built.  `scripts/bootstrap --arch arm64` brings all three.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

# While bootstrap builds the libraries, the sysroot is still in its working folder.
if(DEFINED ENV{COVEY_SYSROOT})
    set(CMAKE_SYSROOT $ENV{COVEY_SYSROOT})
else()
    get_filename_component(CMAKE_SYSROOT ${CMAKE_CURRENT_LIST_DIR}/../.deps/aarch64/sysroot REALPATH)
endif()

# Programs come from this machine, everything else from the sysroot or from the private prefix beside it.
get_filename_component(covey_arm64_prefix ${CMAKE_SYSROOT}/.. REALPATH)
set(CMAKE_FIND_ROOT_PATH ${covey_arm64_prefix})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)

set(ENV{PKG_CONFIG_SYSROOT_DIR} ${CMAKE_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR} ${CMAKE_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig:${CMAKE_SYSROOT}/usr/share/pkgconfig)

set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static -L ${CMAKE_SYSROOT})

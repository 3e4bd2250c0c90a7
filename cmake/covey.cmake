# Flags, third-party libraries and the few functions that every room's CMakeLists uses.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
    set(CMAKE_C_FLAGS_RELEASE "-O2 -g")  # asserts stay: invariants are checked in what users run
endif()

add_library(covey_flags INTERFACE)
target_compile_options(covey_flags INTERFACE -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes
    -fno-math-errno -ffp-contract=off -fstack-protector-strong $<$<BOOL:${COVEY_WERROR}>:-Werror>)
target_compile_definitions(covey_flags INTERFACE _GNU_SOURCE COVEY_VERSION="${PROJECT_VERSION}")
if(COVEY_SANITIZE STREQUAL "address")
    add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=address,undefined)
elseif(COVEY_SANITIZE STREQUAL "thread")
    add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
    add_link_options(-fsanitize=thread)
endif()

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

# Mbed TLS and libcoap come from the private prefix that scripts/bootstrap made.
set(COVEY_DEPS ${PROJECT_SOURCE_DIR}/.deps/${CMAKE_SYSTEM_PROCESSOR} CACHE PATH "prefix made by scripts/bootstrap")
if(NOT EXISTS ${COVEY_DEPS}/include/mbedtls)
    message(FATAL_ERROR "No Mbed TLS under ${COVEY_DEPS}: run scripts/bootstrap first, or set COVEY_DEPS")
endif()

# covey_import(NAME header library...): one imported target a third-party library, found in the prefix first.
function(covey_import name header)
    set(libraries ${ARGN})
    find_path(${name}_INCLUDE ${header} HINTS ${COVEY_DEPS}/include ${COVEY_DEPS}/sysroot/usr/include REQUIRED)
    add_library(covey_dep_${name} INTERFACE)
    target_include_directories(covey_dep_${name} SYSTEM INTERFACE $<BUILD_INTERFACE:${${name}_INCLUDE}>)
    foreach(library IN LISTS libraries)
        find_library(${name}_${library}_LIB NAMES ${library} HINTS ${COVEY_DEPS}/lib REQUIRED)
        target_link_libraries(covey_dep_${name} INTERFACE ${${name}_${library}_LIB})
    endforeach()
endfunction()
if(COVEY_DEVICE_ONLY)
    set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
endif()
covey_import(mbedtls mbedtls/ssl.h mbedtls mbedx509 mbedcrypto)
covey_import(coap coap3/coap.h coap-3)
target_link_libraries(covey_dep_coap INTERFACE covey_dep_mbedtls Threads::Threads)
covey_import(cbor cbor.h cbor)
covey_import(cyaml cyaml/cyaml.h cyaml yaml)
covey_import(zlib zlib.h z)
if(COVEY_LINALG STREQUAL "blas")
    pkg_check_modules(OPENBLAS IMPORTED_TARGET openblas)
    if(OPENBLAS_FOUND)
        add_library(covey_dep_blas ALIAS PkgConfig::OPENBLAS)
    else()
        covey_import(blas cblas.h openblas)
    endif()
endif()
if(NOT COVEY_DEVICE_ONLY)
    covey_import(sqlite sqlite3.h sqlite3)
endif()

# covey_add_library(ROOM sources... [LINKS targets...] [PRIVATE_LINKS targets...]): the room's one static library.
# Its public headers are ROOM/include; a room sees only the rooms that it links: that is how arrows point down.
function(covey_add_library room)
    cmake_parse_arguments(ARG "" "" "LINKS;PRIVATE_LINKS" ${ARGN})
    add_library(covey_${room} STATIC ${ARG_UNPARSED_ARGUMENTS})
    add_library(Covey::${room} ALIAS covey_${room})
    set_target_properties(covey_${room} PROPERTIES EXPORT_NAME ${room})
    target_include_directories(covey_${room}
        PUBLIC $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>
        PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
    target_link_libraries(covey_${room} PUBLIC ${ARG_LINKS} m PRIVATE $<BUILD_INTERFACE:covey_flags> ${ARG_PRIVATE_LINKS})
    set_property(GLOBAL APPEND PROPERTY COVEY_LIBRARIES covey_${room})
endfunction()

# covey_add_program(NAME sources... LINKS targets...): a program of build/PRESET/bin.
function(covey_add_program name)
    cmake_parse_arguments(ARG "" "" "LINKS" ${ARGN})
    add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
    target_link_libraries(${name} PRIVATE covey_flags ${ARG_LINKS})
    set_property(GLOBAL APPEND PROPERTY COVEY_PROGRAMS ${name})
endfunction()

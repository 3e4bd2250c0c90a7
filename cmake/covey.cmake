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
if(CMAKE_SIZEOF_VOID_P EQUAL 4) # readdir and stat fail on file systems with large numbers otherwise
    target_compile_definitions(covey_flags INTERFACE _FILE_OFFSET_BITS=64)
endif()
if(COVEY_SANITIZE STREQUAL "address")
    add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=address,undefined)
elseif(COVEY_SANITIZE STREQUAL "thread")
    add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
    add_link_options(-fsanitize=thread)
endif()
# Of the inner loops' files for AVX-512; what must be there at run time: covey/vectors_x86.h.
set(COVEY_AVX512_OPTIONS -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512)

# Mbed TLS and libcoap come from the private prefix that scripts/bootstrap made.
set(COVEY_DEPS ${PROJECT_SOURCE_DIR}/.deps/${CMAKE_SYSTEM_PROCESSOR} CACHE PATH "prefix made by scripts/bootstrap")
if(NOT EXISTS ${COVEY_DEPS}/include/mbedtls AND NOT COVEY_CODECS_ONLY)
    message(FATAL_ERROR "No Mbed TLS under ${COVEY_DEPS}: run scripts/bootstrap first, or set COVEY_DEPS")
endif()
if(COVEY_DEVICE_ONLY)
    set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
    # what nobody calls stays out, and so do unwind tables: every kilobyte is flash
    set(CMAKE_POSITION_INDEPENDENT_CODE OFF)
    add_compile_options(-ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables)
    add_link_options(-Wl,--gc-sections -Wl,-z,noseparate-code)
endif()
if(COVEY_CODECS_ONLY)
    find_package(Threads REQUIRED)
else()
    include(covey-dependencies)
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

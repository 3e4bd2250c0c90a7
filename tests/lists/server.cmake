function(covey_add_server_test name)
    cmake_parse_arguments(ARG "" "TIMEOUT" "LINKS;LABELS" ${ARGN})
    covey_add_test(${name} LINKS covey_server ${ARG_LINKS} LABELS ${ARG_LABELS} TIMEOUT ${ARG_TIMEOUT}
        SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/server/${name}.c)
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/server) # private headers stand beside their source
endfunction()

covey_add_server_test(test_server_round)

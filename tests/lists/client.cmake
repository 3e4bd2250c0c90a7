function(covey_add_client_test name)
    cmake_parse_arguments(ARG "" "TIMEOUT" "LABELS;SOURCES" ${ARGN})
    covey_add_test(${name} LINKS covey_client LABELS ${ARG_LABELS} TIMEOUT ${ARG_TIMEOUT}
        SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/client/${name}.c ${ARG_SOURCES})
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/client) # private headers stand beside their source
endfunction()

foreach(name IN ITEMS test_client_config test_client_round test_client_round_schedules test_client_state test_local_step test_policy test_upload)
    covey_add_client_test(${name})
endforeach()
foreach(name IN ITEMS test_client test_download)
    covey_add_client_test(${name} LABELS threads SOURCES unit/client/client_rig.c unit/client/tiny_server.c)
endforeach()

# The client's own peak of memory against what its `plan` said; with --small, by hand or by scripts/test, the static one's.
if(NOT COVEY_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
    find_program(COVEY_PYTHON python3 REQUIRED)
    add_test(NAME device_memory COMMAND ${COVEY_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/integration/device_memory.py
        ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/covey-client ${PROJECT_BINARY_DIR}/device_memory)
    set_tests_properties(device_memory PROPERTIES TIMEOUT 3600)
endif()
target_link_libraries(test_local_step PRIVATE covey_aggregation) # both halves of the algorithms, put together

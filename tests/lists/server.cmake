# Private headers stand beside their source; the fake host answers exchanges itself.
function(covey_add_server_test name)
    cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LABELS" ${ARGN})
    list(TRANSFORM ARG_SOURCES PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/unit/server/)
    covey_add_test(${name} LINKS covey_server LABELS ${ARG_LABELS} TIMEOUT ${ARG_TIMEOUT}
        SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/unit/server/${name}.c ${ARG_SOURCES})
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/server ${PROJECT_SOURCE_DIR}/common)
endfunction()

covey_add_server_test(test_selection)
covey_add_server_test(test_combination)
covey_add_server_test(test_device_scores)
covey_add_server_test(test_server_round)
covey_add_server_test(test_server_round_schedules)
covey_add_server_test(test_registry)
covey_add_server_test(test_published_line)
covey_add_server_test(test_step_store SOURCES fake_host.c)
covey_add_server_test(test_ledger SOURCES fake_host.c LABELS threads)
covey_add_server_test(test_model_store SOURCES fake_host.c)
covey_add_server_test(test_intake SOURCES fake_host.c LABELS threads)
covey_add_server_test(test_gateways SOURCES fake_host.c LABELS threads TIMEOUT 1800)
covey_add_server_test(test_server_kept SOURCES fake_host.c server_run.c LABELS threads TIMEOUT 1800)
covey_add_server_test(test_server SOURCES fake_host.c server_run.c LABELS threads TIMEOUT 1800)
covey_add_server_test(test_availability SOURCES fake_host.c server_run.c)
covey_add_server_test(test_server_farewell SOURCES fake_host.c server_run.c LABELS threads)
covey_add_server_test(test_server_async SOURCES fake_host.c server_run.c LABELS threads TIMEOUT 1800)
covey_add_test(test_federation_inprocess LINKS covey_server covey_client LABELS threads TIMEOUT 1800
    SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/integration/test_federation_inprocess.c)
covey_add_test(test_hierarchy LINKS covey_server covey_client LABELS threads TIMEOUT 1800
    SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/integration/test_hierarchy.c ${CMAKE_CURRENT_SOURCE_DIR}/integration/link_watch.c)
covey_add_test(test_catch_up LINKS covey_server covey_client LABELS threads TIMEOUT 1800
    SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/integration/test_catch_up.c ${CMAKE_CURRENT_SOURCE_DIR}/integration/link_watch.c)
target_include_directories(test_catch_up PRIVATE ${PROJECT_SOURCE_DIR}/server ${PROJECT_SOURCE_DIR}/client)
if(NOT CMAKE_CROSSCOMPILING) # it starts the program
    covey_add_test(test_server_program LINKS covey_aggregation
        SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/integration/test_server_program.c TIMEOUT 1800)
    add_dependencies(test_server_program covey-server)
endif()

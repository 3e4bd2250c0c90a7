# What docs/extend.md shows.
covey_add_test(test_extend LINKS covey_aggregation Covey::training SOURCES integration/test_extend.c LABELS integration)
covey_add_test(test_progress SOURCES unit/common/test_progress.c LINKS covey_common)
if(NOT COVEY_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
    add_test(NAME install_and_find_package COMMAND ${CMAKE_COMMAND} -DBUILD=${PROJECT_BINARY_DIR}
        -DSOURCE=${CMAKE_CURRENT_SOURCE_DIR}/install -DWORK=${PROJECT_BINARY_DIR}/installed-for-test
        -P ${CMAKE_CURRENT_SOURCE_DIR}/install/try.cmake)
    add_test(NAME house_rules COMMAND ${PROJECT_SOURCE_DIR}/scripts/check)
endif()
# Real processes, killed at any moment: a few times here, hundreds of times in the long tier.
if(NOT COVEY_SANITIZE STREQUAL "thread" AND NOT CMAKE_CROSSCOMPILING)
    find_program(COVEY_PYTHON python3 REQUIRED)
    foreach(name IN ITEMS resume_upload device_reports)
        add_test(NAME ${name} COMMAND ${COVEY_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/fault/${name}.py
            ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${PROJECT_BINARY_DIR}/${name})
        set_tests_properties(${name} PROPERTIES LABELS fault TIMEOUT 3600)
    endforeach()
    # What a strategy keeps goes on exactly: the models are those of an undisturbed run.
    add_test(NAME kill_both_kept COMMAND ${COVEY_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/fault/kill_processes.py
        ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${PROJECT_BINARY_DIR}/kill_both_kept --who both --kills 6
        --strategy "centred-clipping hostile=1 clip=quantile mix=nearest")
    set_tests_properties(kill_both_kept PROPERTIES LABELS fault TIMEOUT 3600)
    # What devices and server keep of an algorithm goes on exactly, whoever of them dies.
    add_test(NAME kill_both_scaffold COMMAND ${COVEY_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/fault/kill_processes.py
        ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${PROJECT_BINARY_DIR}/kill_both_scaffold --who both --kills 6
        --algorithm scaffold)
    set_tests_properties(kill_both_scaffold PROPERTIES LABELS fault TIMEOUT 3600)
    # Two levels make the same models as one, gateways killed or not.
    add_test(NAME hierarchy COMMAND ${COVEY_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/fault/hierarchy.py
        ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${PROJECT_BINARY_DIR}/hierarchy --kills 8)
    set_tests_properties(hierarchy PROPERTIES LABELS fault TIMEOUT 3600)
    # All that a federation can name, each killed many times.
    foreach(way IN ITEMS "fedavg clip=quantile clip_norm=1" norm-bound "median hostile=1" "trimmed-mean hostile=1" krum
            multi-krum bulyan "geometric-median hostile=1 mix=nearest" "centred-clipping hostile=1" fltrust)
        string(REGEX MATCH "^[a-z-]+" rule "${way}")
        add_test(NAME kill_rule_${rule}_long COMMAND ${COVEY_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/fault/kill_processes.py
            ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${PROJECT_BINARY_DIR}/kill_rule_${rule}_long --who both --kills 20
            --strategy "${way}")
        set_tests_properties(kill_rule_${rule}_long PROPERTIES LABELS "fault;long" TIMEOUT 7200)
    endforeach()
    foreach(kind IN ITEMS momentum adagrad adam yogi)
        add_test(NAME kill_optimiser_${kind}_long COMMAND ${COVEY_PYTHON}
            ${CMAKE_CURRENT_SOURCE_DIR}/fault/kill_processes.py ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}
            ${PROJECT_BINARY_DIR}/kill_optimiser_${kind}_long --who both --kills 20 --optimiser ${kind})
        set_tests_properties(kill_optimiser_${kind}_long PROPERTIES LABELS "fault;long" TIMEOUT 7200)
    endforeach()
    foreach(algorithm IN ITEMS client-momentum scaffold feddyn ditto)
        add_test(NAME kill_algorithm_${algorithm}_long COMMAND ${COVEY_PYTHON}
            ${CMAKE_CURRENT_SOURCE_DIR}/fault/kill_processes.py ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}
            ${PROJECT_BINARY_DIR}/kill_algorithm_${algorithm}_long --who both --kills 20 --algorithm ${algorithm})
        set_tests_properties(kill_algorithm_${algorithm}_long PROPERTIES LABELS "fault;long" TIMEOUT 7200)
    endforeach()
    foreach(kind IN ITEMS equal steps loss)
        add_test(NAME kill_weighting_${kind}_long COMMAND ${COVEY_PYTHON}
            ${CMAKE_CURRENT_SOURCE_DIR}/fault/kill_processes.py ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}
            ${PROJECT_BINARY_DIR}/kill_weighting_${kind}_long --who both --kills 20 --weighting ${kind})
        set_tests_properties(kill_weighting_${kind}_long PROPERTIES LABELS "fault;long" TIMEOUT 7200)
    endforeach()
    # Buffers: what was acknowledged before the kill is in the model that comes after it.
    add_test(NAME kill_server_async COMMAND ${COVEY_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/fault/kill_processes.py
        ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${PROJECT_BINARY_DIR}/kill_server_async --who server --kills 2 --asynchronous)
    set_tests_properties(kill_server_async PROPERTIES LABELS fault TIMEOUT 3600)
    foreach(who IN ITEMS device server both)
        foreach(tier IN ITEMS short long)
            set(kills 2)
            if(who STREQUAL "both")
                set(kills 8) # of single processes, several at a time
            endif()
            set(name kill_${who})
            if(tier STREQUAL "long")
                set(kills 200)
                set(name kill_${who}_long)
            endif()
            add_test(NAME ${name} COMMAND ${COVEY_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/fault/kill_processes.py
                ${CMAKE_RUNTIME_OUTPUT_DIRECTORY} ${PROJECT_BINARY_DIR}/${name} --who ${who} --kills ${kills})
            set_tests_properties(${name} PROPERTIES LABELS "fault;${tier}" TIMEOUT 7200)
            if(tier STREQUAL "short")
                set_tests_properties(${name} PROPERTIES LABELS fault TIMEOUT 3600)
            endif()
        endforeach()
    endforeach()
endif()

# The simulator's engine. These tests see its private headers.
covey_add_test(test_clock LINKS covey_sim SOURCES unit/sim/test_clock.c)
covey_add_test(test_personal_store LINKS covey_sim SOURCES unit/sim/test_personal_store.c)
covey_add_test(test_simulation LINKS covey_sim SOURCES unit/sim/test_simulation.c unit/sim/little_fleet.c TIMEOUT 1800)
covey_add_test(test_virtual_federation LINKS covey_sim covey_security
    SOURCES integration/test_virtual_federation.c unit/sim/little_fleet.c LABELS integration TIMEOUT 1800)
covey_add_test(test_optimum LINKS covey_sim SOURCES integration/test_optimum.c unit/sim/little_fleet.c LABELS integration)
if(NOT CMAKE_CROSSCOMPILING AND NOT COVEY_SANITIZE)
    covey_add_test(test_robustness LINKS covey_sim SOURCES integration/test_robustness.c LABELS integration)
endif()
if(NOT CMAKE_CROSSCOMPILING)
    covey_add_test(test_sim_program SOURCES integration/test_sim_program.c LABELS integration)
    add_dependencies(test_sim_program covey-sim)
    # Starts the server and devices as processes.
    covey_add_test(test_real_run LINKS covey_sim SOURCES integration/test_real_run.c unit/sim/little_fleet.c
        LABELS integration TIMEOUT 1800)
    add_dependencies(test_real_run covey-sim covey-server covey-client)
endif()

# Several ranks, where MPI is installed.
if(NOT CMAKE_CROSSCOMPILING)
    find_package(MPI COMPONENTS C QUIET)
endif()
if(MPI_C_FOUND AND MPIEXEC_EXECUTABLE AND NOT COVEY_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
    find_program(COVEY_PYTHON python3 REQUIRED)
    add_test(NAME simulation_ranks COMMAND ${COVEY_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/integration/simulation_ranks.py
        ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/covey-sim ${PROJECT_BINARY_DIR}/simulation_ranks ${MPIEXEC_EXECUTABLE})
    set_tests_properties(simulation_ranks PROPERTIES TIMEOUT 600)
endif()

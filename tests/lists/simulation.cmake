# The simulator's engine. These tests see its private headers.
covey_add_test(test_clock LINKS covey_sim SOURCES unit/sim/test_clock.c)
covey_add_test(test_simulation LINKS covey_sim SOURCES unit/sim/test_simulation.c unit/sim/little_fleet.c TIMEOUT 300)
covey_add_test(test_virtual_federation LINKS covey_sim covey_security
    SOURCES integration/test_virtual_federation.c unit/sim/little_fleet.c LABELS integration TIMEOUT 300)

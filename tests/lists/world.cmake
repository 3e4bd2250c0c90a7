# Scenarios, shares and the world of the simulator. These tests see its private headers.
foreach(name IN ITEMS attack dealing partition partition_picture scenario)
    covey_add_test(test_${name} LINKS covey_sim SOURCES unit/sim/test_${name}.c)
endforeach()
covey_add_test(test_sim_data LINKS covey_sim SOURCES unit/sim/test_sim_data.c TIMEOUT 600) # trains each set's model
covey_add_test(test_world LINKS covey_sim SOURCES unit/sim/test_world.c TIMEOUT 600)
covey_add_test(test_world_threads LINKS covey_sim SOURCES unit/sim/test_world_threads.c LABELS threads)

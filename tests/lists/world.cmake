# Scenarios, shares and the world of the simulator. These tests see its private headers.
foreach(name IN ITEMS partition partition_picture scenario sim_data world)
    covey_add_test(test_${name} LINKS covey_sim SOURCES unit/sim/test_${name}.c)
endforeach()

foreach(name IN ITEMS test_yardstick test_outcome test_sweep test_report)
    covey_add_test(${name} SOURCES unit/sim/${name}.c LINKS covey_sim)
endforeach()
covey_add_fuzz(json_object LINKS covey_sim)

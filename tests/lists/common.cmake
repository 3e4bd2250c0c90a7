foreach(name IN ITEMS status hash log arena params json yaml)
    covey_add_test(test_${name} SOURCES unit/common/test_${name}.c LINKS covey_common)
endforeach()
covey_add_fuzz(yaml LINKS covey_common)

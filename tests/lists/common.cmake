foreach(name IN ITEMS status bytes hash log random arena params json yaml)
    covey_add_test(test_${name} SOURCES unit/common/test_${name}.c LINKS covey_common)
endforeach()

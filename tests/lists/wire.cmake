foreach(name IN ITEMS wire_golden wire_damage)
    covey_add_test(test_${name} LINKS covey_common
        SOURCES unit/common/test_${name}.c unit/common/wire_vectors.c)
endforeach()
covey_add_test(test_wire_encode LINKS covey_common SOURCES unit/common/test_wire_encode.c)
covey_add_test(test_wire_cbor LINKS covey_common SOURCES unit/common/test_wire_cbor.c)
target_include_directories(test_wire_cbor PRIVATE ${PROJECT_SOURCE_DIR}/common) # private headers of wire/

foreach(name IN ITEMS plan update manifest description upload_state where cose senml sum_terms partial_sum)
    covey_add_fuzz(${name} LINKS covey_common)
endforeach()

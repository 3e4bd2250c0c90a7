foreach(name IN ITEMS keys sign certificates peer_policy authority)
    covey_add_test(test_${name} LINKS covey_security
        SOURCES unit/security/test_${name}.c unit/security/security_files.c)
endforeach()

foreach(name IN ITEMS certificate signed)
    covey_add_fuzz(${name} LINKS covey_security)
endforeach()

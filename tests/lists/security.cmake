foreach(name IN ITEMS keys sign certificates peer_policy authority)
    covey_add_test(test_${name} LINKS covey_security
        SOURCES unit/security/test_${name}.c unit/security/security_files.c)
endforeach()

foreach(name IN ITEMS certificate signed)
    covey_add_fuzz(${name} LINKS covey_security)
endforeach()

covey_add_test(test_refusals LINKS covey_security Threads::Threads LABELS threads integration TIMEOUT 1800
    SOURCES integration/test_refusals.c integration/coap_rig.c ${PROJECT_SOURCE_DIR}/sim/relay.c)
target_include_directories(test_refusals PRIVATE ${PROJECT_SOURCE_DIR}/sim)

covey_add_test(test_authority_faults LINKS covey_security SOURCES fault/test_authority_faults.c LABELS fault)
foreach(function IN ITEMS write fsync fchmod mkostemp mkdir rename ftruncate renameat2 mkdtemp calloc realloc)
    target_link_options(test_authority_faults PRIVATE -Wl,--wrap=${function})
endforeach()

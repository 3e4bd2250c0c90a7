covey_add_test(test_inprocess LINKS covey_common SOURCES unit/common/test_inprocess.c LABELS threads)
covey_add_test(test_blockwise LINKS covey_common SOURCES unit/common/test_blockwise.c)
covey_add_test(test_coap_requests LINKS covey_common Threads::Threads LABELS threads
    SOURCES integration/test_coap_requests.c integration/coap_rig.c)
set(covey_relay ${PROJECT_SOURCE_DIR}/sim/relay.c) # it stands by itself
add_executable(covey-relay integration/relay_main.c ${covey_relay})
target_include_directories(covey-relay PRIVATE ${PROJECT_SOURCE_DIR}/sim)
target_link_libraries(covey-relay PRIVATE covey_flags covey_common Threads::Threads)
covey_add_test(test_coap_handshake LINKS covey_security covey_common Threads::Threads LABELS threads
    SOURCES integration/test_coap_handshake.c integration/coap_rig.c)
covey_add_test(test_coap_server LINKS covey_common Threads::Threads LABELS threads
    SOURCES integration/test_coap_server.c integration/coap_rig.c)
covey_add_test(test_coap_network LINKS covey_common Threads::Threads LABELS threads TIMEOUT 1800
    SOURCES integration/test_coap_network.c integration/coap_rig.c ${covey_relay})
target_include_directories(test_coap_network PRIVATE ${PROJECT_SOURCE_DIR}/sim)
covey_add_test(test_coap_hostile LINKS covey_common Threads::Threads LABELS threads
    SOURCES integration/test_coap_hostile.c integration/coap_rig.c)
target_include_directories(test_coap_hostile PRIVATE ${PROJECT_SOURCE_DIR}/common/coap)
if(NOT CMAKE_CROSSCOMPILING) # it starts a program of libcoap's
    covey_add_test(test_coap_interop LINKS covey_common Threads::Threads
        SOURCES integration/test_coap_interop.c integration/coap_rig.c)
    target_compile_definitions(test_coap_interop PRIVATE COVEY_DEPS_DIR="${COVEY_DEPS}")
endif()
foreach(target IN ITEMS coap_datagram coap_intake coap_call blockwise)
    covey_add_fuzz(${target} LINKS covey_common)
    target_include_directories(fuzz_${target} PRIVATE ${PROJECT_SOURCE_DIR}/common/coap)
endforeach()
covey_add_test(test_transports LINKS covey_common Threads::Threads LABELS threads
    SOURCES integration/test_transports.c integration/coap_rig.c)
if(TARGET covey-server AND NOT CMAKE_CROSSCOMPILING) # starts programs: a whole round with the real server
    covey_add_test(test_plain_client LINKS covey_common LABELS integration SOURCES integration/test_plain_client.c TIMEOUT 1800)
    target_compile_definitions(test_plain_client PRIVATE COVEY_DEPS_DIR="${COVEY_DEPS}")
    add_dependencies(test_plain_client covey-server)
endif()
covey_add_test(test_coap_call LINKS covey_common SOURCES unit/common/test_coap_call.c)
target_include_directories(test_coap_call PRIVATE ${PROJECT_SOURCE_DIR}/common/coap)

covey_add_test(test_progress SOURCES unit/common/test_progress.c LINKS covey_common)
if(NOT COVEY_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
    add_test(NAME install_and_find_package COMMAND ${CMAKE_COMMAND} -DBUILD=${PROJECT_BINARY_DIR}
        -DSOURCE=${CMAKE_CURRENT_SOURCE_DIR}/install -DWORK=${PROJECT_BINARY_DIR}/installed-for-test
        -P ${CMAKE_CURRENT_SOURCE_DIR}/install/try.cmake)
    add_test(NAME house_rules COMMAND ${PROJECT_SOURCE_DIR}/scripts/check)
endif()

# The training room. Tests of kernels see its private headers.
set(unit_training ${CMAKE_CURRENT_LIST_DIR}/../unit/training)
foreach(precision IN ITEMS f32 f64)
    add_library(op_runner_${precision} OBJECT ${unit_training}/op_runner.c)
    target_include_directories(op_runner_${precision} PRIVATE
        ${PROJECT_SOURCE_DIR}/training/real_${precision} ${PROJECT_SOURCE_DIR}/training)
    target_link_libraries(op_runner_${precision} PRIVATE covey_flags Covey::training)
endforeach()
if(COVEY_LINALG STREQUAL "blas" AND EXISTS ${PROJECT_SOURCE_DIR}/training/kernels/fast_table.c)
    set(op_tables ${unit_training}/op_tables_fast.c)
else()
    set(op_tables ${unit_training}/op_tables_plain.c)
endif()

covey_add_test(test_operations LINKS Covey::training
    SOURCES ${unit_training}/test_operations.c ${unit_training}/op_cases.c ${op_tables}
            $<TARGET_OBJECTS:op_runner_f32> $<TARGET_OBJECTS:op_runner_f64>)
target_include_directories(test_operations PRIVATE ${PROJECT_SOURCE_DIR}/training)

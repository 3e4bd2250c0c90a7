# The training room. These tests see its private headers.
set(unit_training ${CMAKE_CURRENT_LIST_DIR}/../unit/training)
foreach(precision IN ITEMS f32 f64)
    add_library(op_runner_${precision} OBJECT ${unit_training}/op_runner.c ${unit_training}/loss_runner.c)
    target_include_directories(op_runner_${precision} PRIVATE
        ${PROJECT_SOURCE_DIR}/training/real_${precision} ${PROJECT_SOURCE_DIR}/training)
    target_link_libraries(op_runner_${precision} PRIVATE covey_flags Covey::training)
endforeach()
if(COVEY_LINALG STREQUAL "blas" AND EXISTS ${PROJECT_SOURCE_DIR}/training/kernels/fast_table.c)
    set(op_tables ${unit_training}/op_tables_fast.c)
else()
    set(op_tables ${unit_training}/op_tables_plain.c)
endif()

covey_add_test(test_operations LINKS Covey::training TIMEOUT 600
    SOURCES ${unit_training}/test_operations.c ${unit_training}/op_cases.c ${op_tables}
            $<TARGET_OBJECTS:op_runner_f32> $<TARGET_OBJECTS:op_runner_f64>)
covey_add_test(test_operations_golden LINKS Covey::training
    SOURCES ${unit_training}/test_operations_golden.c ${unit_training}/op_cases.c ${unit_training}/golden_file.c
            ${op_tables} $<TARGET_OBJECTS:op_runner_f32> $<TARGET_OBJECTS:op_runner_f64>)
covey_add_test(test_following LINKS Covey::training TIMEOUT 900
    SOURCES ${unit_training}/test_following.c ${unit_training}/following.c ${unit_training}/golden_file.c ${op_tables})
covey_add_test(test_following_long LINKS Covey::training LABELS long TIMEOUT 3600
    SOURCES ${unit_training}/test_following_long.c ${unit_training}/following.c ${unit_training}/golden_file.c
            ${op_tables})
foreach(test IN ITEMS test_operations test_operations_golden test_following test_following_long)
    target_include_directories(${test} PRIVATE ${PROJECT_SOURCE_DIR}/training)
endforeach()

covey_add_test(test_model LINKS Covey::training SOURCES ${unit_training}/test_model.c)
covey_add_test(test_sections LINKS Covey::training SOURCES ${unit_training}/test_sections.c)
covey_add_test(test_trainer LINKS Covey::training SOURCES ${unit_training}/test_trainer.c)
covey_add_test(test_training_plan LINKS Covey::training SOURCES ${unit_training}/test_training_plan.c ${op_tables})
target_include_directories(test_training_plan PRIVATE ${PROJECT_SOURCE_DIR}/training)
covey_add_fuzz(model_yaml LINKS Covey::training)
covey_add_fuzz(model_plan LINKS Covey::training)
covey_add_test(test_trainer_threads LINKS Covey::training LABELS threads SOURCES ${unit_training}/test_trainer_threads.c)
covey_add_test(test_learning LINKS Covey::training TIMEOUT 600 LABELS plain-only SOURCES ${unit_training}/test_learning.c)
covey_add_test(test_training_memory LINKS Covey::training SOURCES ${unit_training}/test_training_memory.c)
target_link_options(test_training_memory PRIVATE
    -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc -Wl,--wrap=aligned_alloc)

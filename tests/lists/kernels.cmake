# Matrix products, and the fast kernels of training against the plain ones.
covey_add_test(test_linalg SOURCES unit/common/test_linalg.c LINKS covey_common)

if(TARGET covey_training AND COVEY_LINALG STREQUAL "blas")
    set(unit_training ${CMAKE_CURRENT_LIST_DIR}/../unit/training)
    foreach(name IN ITEMS dense conv)
        covey_add_test(test_kernels_${name} LINKS covey_training
            SOURCES ${unit_training}/test_kernels_${name}.c ${unit_training}/kernel_trial.c)
        target_include_directories(test_kernels_${name} PRIVATE ${PROJECT_SOURCE_DIR}/training
            ${PROJECT_SOURCE_DIR}/training/real_f32)
    endforeach()
    covey_add_test(test_kernels_vectors LINKS covey_training
        SOURCES ${unit_training}/test_kernels_vectors.c ${unit_training}/vectors_wide.c)
    target_include_directories(test_kernels_vectors PRIVATE ${PROJECT_SOURCE_DIR}/training)
    # Vectors of 64 bytes go through memory on a CPU that has no such registers, slowly to compile with sanitizers; all
    # calls are inlined, so their ABI does not matter.
    set_source_files_properties(${unit_training}/vectors_wide.c PROPERTIES COMPILE_OPTIONS
        "-O1;-Wno-psabi;-fno-sanitize=all")
endif()

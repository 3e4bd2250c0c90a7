foreach(name IN ITEMS grid fold_pool fold fedavg server_optimiser)
    covey_add_test(test_${name} SOURCES unit/aggregation/test_${name}.c LINKS covey_aggregation)
endforeach()
target_include_directories(test_fold PRIVATE ${PROJECT_SOURCE_DIR}/aggregation)

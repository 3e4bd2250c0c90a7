foreach(name IN ITEMS test_dataset_idx test_dataset_npy test_dataset_csv test_dataset_load test_dataset_split
                      test_safetensors)
    covey_add_test(${name} SOURCES unit/training/${name}.c LINKS covey_training)
endforeach()
foreach(name IN ITEMS idx npy csv safetensors)
    covey_add_fuzz(${name} LINKS covey_training)
endforeach()

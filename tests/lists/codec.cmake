# What needs no library: also built by itself, to compare bits across machines and compilers (COVEY_CODECS_ONLY).
set(alone bytes random codec codec_golden hadamard eden uniform rans trellis ternary mask lattice)
if(NOT CMAKE_SIZEOF_VOID_P EQUAL 4) # it reckons with 128 bits
    list(APPEND alone block_kernels)
    set(block_kernels block_kernels)
endif()
foreach(name IN LISTS alone)
    covey_add_test(test_${name} SOURCES unit/common/test_${name}.c LINKS covey_common)
endforeach()
foreach(name IN ITEMS ${block_kernels} hadamard rans trellis mask)
    target_include_directories(test_${name} PRIVATE ${PROJECT_SOURCE_DIR}/common/compress)
endforeach()
covey_add_fuzz(codec LINKS covey_common)

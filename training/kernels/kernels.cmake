# Flags of the fast kernels. They alone may contract multiply and add, which only training sees; each instruction set has
# a file of its own, and one that the target's architecture does not have is left out.
set(kernels ${CMAKE_CURRENT_SOURCE_DIR}/kernels)
file(GLOB kernel_sources CONFIGURE_DEPENDS ${kernels}/*.c)
set_source_files_properties(${kernel_sources} PROPERTIES COMPILE_OPTIONS "$<$<NOT:$<CONFIG:Debug>>:-O3>;-ffp-contract=fast")
set(vector_flags "-O3;-ffp-contract=fast;-fno-stack-protector")
if(COVEY_SANITIZE) # -O3 with all checks takes gcc a minute a file
    set(vector_flags "-O1;-ffp-contract=fast;-fno-sanitize=undefined")
endif()
set_source_files_properties(${kernels}/vectors_base.c PROPERTIES COMPILE_OPTIONS "${vector_flags}")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    set_source_files_properties(${kernels}/vectors_avx2.c PROPERTIES COMPILE_OPTIONS "${vector_flags};-mavx2;-mfma")
    set_source_files_properties(${kernels}/vectors_avx512.c PROPERTIES COMPILE_OPTIONS
        "${vector_flags};-mavx512f;-mavx512vl;-mavx512dq;-mfma;-mprefer-vector-width=512")
else()
    set_source_files_properties(${kernels}/vectors_avx2.c ${kernels}/vectors_avx512.c PROPERTIES HEADER_FILE_ONLY ON)
endif()
